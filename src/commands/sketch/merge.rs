//! `HLL.MERGE destkey sourcekey [sourcekey ...]`: all elements of the sources join the destination,
//! which keeps its own. Its precision is lowered to that of the coarsest dense source; a new one has the
//! lowest among the dense sources, or the highest where all are sparse.

use super::union::Operands;
use super::{check_memory, default_sketch};
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::key::{Propagation, WriteKey};
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage, Keys};
use crate::sketch::{Precision, Sketch};
use crate::syntax;

syntax! {
    /// What joins which set.
    pub struct Arguments<'a> {
        destination: Arg<'a> = Key("destkey", KeyUsage::Update);
        sources: ArgList<'a> = Keys("sourcekey", KeyUsage::Read);
    }
}

impl<'a> Arguments<'a> {
    /// Destination and sources.
    pub fn into_parts(self) -> (Arg<'a>, ArgList<'a>) {
        (self.destination, self.sources)
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
        let key = ctx.write::<Sketch>(arguments.destination.into());
        merge(key, Travels::AsItCame, |_| sources)
    }
}

/// How a merge is to be propagated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Travels {
    /// As the client sent it: whoever repeats it has the sources.
    AsItCame,
    /// As what it came to.
    AsItsResult,
}

/// Merges sources, which are told the precision of the destination, if there is one.
pub fn merge(
    key: WriteKey<Sketch>,
    travels: Travels,
    sources: impl FnOnce(Option<Precision>) -> Vec<Sketch>,
) -> Outcome {
    let propagation = |result: &Sketch| match travels {
        Travels::AsItCame => Propagation::Verbatim,
        Travels::AsItsResult => Propagation::whole(result),
    };
    if key.exists() {
        key.update(c"hll.merge", |destination| {
            let sources = sources(Some(destination.precision()));
            let changed = destination.merge_all(&Vec::from_iter(&sources))?;
            Ok(changed.then(|| propagation(destination)))
        })?;
        return Ok(Reply::Ok);
    }
    // What no source decides, the settings here do, and replicas are told the result.
    let (merged, propagation) = match Sketch::union(&sources(None))? {
        Some(union) => {
            let union = union.into_owned();
            let propagation = propagation(&union);
            (union, propagation)
        }
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
