//! The union of the sketches under many keys: counted in place where that is quick, and on copies by
//! another thread where it is not. (Copies share the registers; see [`crate::sketch::Sketch`].)

use crate::server::answers::OneStep;
use crate::server::args::ArgList;
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::sketch::{Estimate, Sketch};

/// Answers with what is made of the count of the union. Missing keys hold no elements.
pub fn answer(
    ctx: &mut Context,
    names: ArgList,
    reply: impl FnOnce(Estimate) -> Reply + Send + 'static,
) -> Outcome {
    let copies = {
        let keys = names.iter().map(|name| ctx.read::<Sketch>(name.into()));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let sketches: Vec<&Sketch> = keys.iter().filter_map(|key| key.value()).collect();
        let expected = Sketch::union_cost(sketches.iter().copied());
        if ctx.is_short(expected) {
            return estimate(&sketches).map(reply);
        }
        let copies: Vec<Sketch> = sketches.into_iter().cloned().collect();
        (expected, copies)
    };
    let (expected, copies) = copies;
    let bytes = copies.iter().map(Sketch::memory_bytes).sum();
    let work = move || estimate(&Vec::from_iter(&copies)).map(reply);
    ctx.answer(expected, bytes, OneStep::new(work))
}

fn estimate(sketches: &[&Sketch]) -> Result<Estimate, CommandError> {
    let union = Sketch::union(sketches.iter().copied())?;
    Ok(union.map_or(Estimate::from_tokens(0), |union| union.estimate()))
}
