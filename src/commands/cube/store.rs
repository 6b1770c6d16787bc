//! `HLL.CUBE.STORE destination key [range] [WHERE ...]...`: the users as a sketch of their own, for everything that is
//! asked of sketches.

use super::ask::{About, ConditionClause, RANGE, Range, WHERE, unanswerable};
use super::planning;
use crate::commands::CONFIDENCE;
use crate::cube::Cube;
use crate::cube::query::UnionQuery;
use crate::server::answers::is_short;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage};
use crate::sketch::Sketch;
use crate::syntax;

syntax! {
    /// Where to, where from, and which users.
    pub struct Arguments<'a> {
        destination: Arg<'a> = Key("destination", KeyUsage::Overwrite);
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
    }
}

/// See the head of this file.
pub struct Store;

impl Command for Store {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.STORE",
        access: Access::Write,
        summary: c"Stores the users of a stretch of time as a sketch.",
        complexity: c"O(N) with N slices that make up the time.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let sketch = {
            let key = ctx.read::<Cube>(arguments.key.into())?;
            let cube = super::required(&key)?;
            let about = About {
                range: arguments.range,
                conditions: &arguments.conditions,
                confidence: CONFIDENCE.1,
            };
            let asked = about.question(ctx, cube)?;
            let expected = planning::expected(planning::slices(cube, asked.time.as_ref(), None));
            if !is_short(expected) {
                return Err(planning::too_long(expected));
            }
            let mut query =
                UnionQuery::plan(cube, asked).map_err(|why| unanswerable(cube.schema(), why))?;
            if !is_short(query.expected()) {
                return Err(planning::too_long(query.expected()));
            }
            loop {
                if let Some(sketch) = query.step() {
                    break sketch;
                }
            }
        };
        let propagation = Propagation::whole(&sketch);
        let key = ctx.write::<Sketch>(arguments.destination.into());
        key.replace(sketch, c"hll.cube.store", propagation);
        Ok(Reply::Ok)
    }
}
