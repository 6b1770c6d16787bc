//! `HLL.MERGE destkey sourcekey [sourcekey ...]`: all elements of the sources join the destination,
//! which keeps its own. Its precision is lowered to that of the coarsest dense source; a new one has the
//! lowest among the dense sources, or the highest where all are sparse.

use super::{check_memory, default_sketch};
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::datatype::DataType;
use crate::server::error::CommandError;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage, Keys};
use crate::sketch::Sketch;
use crate::syntax;

syntax! {
    /// What joins which set.
    pub struct Arguments<'a> {
        destination: Arg<'a> = Key("destkey", KeyUsage::Update);
        sources: ArgList<'a> = Keys("sourcekey", KeyUsage::Read);
    }
}

/// See the head of this file.
pub struct Merge;

impl Command for Merge {
    const SPEC: Spec = Spec {
        name: c"HLL.MERGE",
        access: Access::Write,
        summary: c"Merges sketches into one.",
        complexity: c"O(N*M) with N keys of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let merged = {
            let destination = ctx.read::<Sketch>(arguments.destination.into())?;
            if destination.string_bytes().is_some() {
                return Err(Sketch::string_is_read_only(&arguments.destination.shown()));
            }
            let sources = arguments.sources.iter();
            let keys = sources.map(|name| ctx.read::<Sketch>(name.into()));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            let sources: Vec<&Sketch> = keys.iter().filter_map(|key| key.value()).collect();
            merge(ctx, destination.value(), &sources)?
        };
        if let Some((merged, propagation)) = merged {
            let key = ctx.write(arguments.destination.into());
            key.put(merged, c"hll.merge", propagation)?;
        }
        Ok(Reply::Ok)
    }
}

/// The new destination and how it is to be propagated; `None` if it is what it was.
fn merge(
    ctx: &Context,
    destination: Option<&Sketch>,
    sources: &[&Sketch],
) -> Result<Option<(Sketch, Propagation)>, CommandError> {
    if let Some(destination) = destination {
        let mut merged = destination.clone();
        let changed = merged.merge_all(sources)?;
        return Ok(changed.then_some((merged, Propagation::Verbatim)));
    }
    let Some(union) = Sketch::union(sources.iter().copied())? else {
        let empty = default_sketch(ctx)?;
        let propagation = empty.propagation();
        return Ok(Some((empty, propagation)));
    };
    check_memory(ctx, union.precision())?;
    Ok(Some((union.into_owned(), Propagation::Verbatim)))
}
