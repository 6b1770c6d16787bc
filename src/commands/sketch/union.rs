//! The union of the sketches under many keys, as copies: they share registers and tokens with the values
//! under the keys, so making them costs next to nothing, and the union can be made by another thread.

use crate::server::answers::OneStep;
use crate::server::args::{Arg, ArgList};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::key::Copied;
use crate::server::reply::{Outcome, Reply};
use crate::sketch::{Estimate, Sketch};
use std::time::Duration;

/// The operands of a union. Missing keys hold no elements and are left out.
pub struct Operands(Vec<Copied<Sketch>>);

/// To read a PF key's string as a sketch: 7 µs where nothing else is going on (`cargo bench --bench formats`).
const READ_STRING: Duration = Duration::from_micros(15);

impl Operands {
    /// What is under these keys now.
    pub fn of_keys<'a>(
        ctx: &Context,
        names: impl IntoIterator<Item = Arg<'a>>,
    ) -> Result<Operands, CommandError> {
        let copies = names
            .into_iter()
            .filter_map(|name| ctx.copy(name.into()).transpose());
        Ok(Operands(copies.collect::<Result<_, _>>()?))
    }

    fn sketches(&self) -> impl Iterator<Item = &Sketch> {
        self.0.iter().filter_map(|operand| match operand {
            Copied::Value(sketch) => Some(sketch),
            Copied::String { .. } => None,
        })
    }

    fn strings(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter_map(|operand| match operand {
            Copied::Value(_) => None,
            Copied::String { bytes, .. } => Some(&**bytes),
        })
    }

    /// About how long the union takes.
    pub fn expected(&self) -> Duration {
        let strings = u32::try_from(self.strings().count()).unwrap_or(u32::MAX);
        Sketch::union_cost(self.sketches()) + READ_STRING * strings
    }

    /// Bytes that the copies keep alive.
    pub fn bytes(&self) -> usize {
        let sketches = self.sketches().map(Sketch::memory_bytes);
        sketches.chain(self.strings().map(<[u8]>::len)).sum()
    }

    /// Their union; `None` of none.
    pub fn unite(self) -> Result<Option<Sketch>, CommandError> {
        let sketches = self.0.into_iter().map(Copied::into_value);
        let sketches = sketches.collect::<Result<Vec<_>, _>>()?;
        Ok(Sketch::union(&sketches)?.map(|union| union.into_owned()))
    }
}

/// Answers with what is made of the count of the union of these keys.
pub fn answer(
    ctx: &mut Context,
    names: ArgList,
    reply: impl FnOnce(Estimate) -> Reply + Send + 'static,
) -> Outcome {
    let operands = Operands::of_keys(ctx, names.iter())?;
    let (expected, bytes) = (operands.expected(), operands.bytes());
    let work = move || {
        let union = operands.unite()?;
        Ok(reply(union.map_or(Estimate::from_tokens(0), |union| {
            union.estimate()
        })))
    };
    ctx.answer(expected, bytes, OneStep::new(work))
}
