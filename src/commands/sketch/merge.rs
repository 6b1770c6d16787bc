//! `HLL.MERGE destkey sourcekey [sourcekey ...]`: all elements of the sources join the destination,
//! which keeps its own. Its precision is lowered to that of the coarsest dense source; a new one has the
//! lowest among the dense sources, or the highest where all are sparse.

use super::union::Operands;
use super::{check_memory, default_sketch};
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
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
        let sources = Operands::of_keys(ctx, arguments.sources.iter())?.into_sketches()?;
        let sources: Vec<&Sketch> = sources.iter().collect();
        let key = ctx.write::<Sketch>(arguments.destination.into());
        if key.exists() {
            key.update(c"hll.merge", |destination| {
                let changed = destination.merge_all(&sources)?;
                Ok(changed.then_some(Propagation::Verbatim))
            })?;
            return Ok(Reply::Ok);
        }
        // What no source decides, the settings here do, and replicas are told the result.
        let (merged, propagation) = match Sketch::union(sources)? {
            Some(union) => (union.into_owned(), Propagation::Verbatim),
            None => {
                let empty = default_sketch(key.context())?;
                let propagation = Propagation::whole(&empty);
                (empty, propagation)
            }
        };
        check_memory(key.context(), merged.precision())?;
        key.replace(merged, c"hll.merge", propagation);
        Ok(Reply::Ok)
    }
}
