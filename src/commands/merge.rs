//! `HLL.MERGE destkey sourcekey [sourcekey ...]`: all elements of the sources join the destination,
//! which keeps its own. Its precision is lowered to that of the coarsest dense source; a new one has the
//! lowest among the dense sources, or the highest where all are sparse.

use super::{check_memory, default_sketch, present};
use crate::server::call::{Call, Propagation};
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::sketch::Sketch;

/// See the head of this file.
pub struct Merge;

impl Command for Merge {
    const SPEC: Spec = Spec {
        name: c"HLL.MERGE",
        arity: -3,
        access: Access::Write,
        summary: c"Merges sketches into one.",
        complexity: c"O(N*M) with N keys of M registers.",
        since: c"0.1.0",
        keys: &[
            Keys::new(1, KeyCount::One, KeyUsage::Update),
            Keys::new(2, KeyCount::ToTheEnd, KeyUsage::Read),
        ],
        args: &[
            ArgSpec::key(c"destkey", 0),
            ArgSpec::key(c"sourcekey", 1).multiple(),
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let sources = call.args.rest()?;
        let sources = call.read_all(sources);
        let mut key = call.write(name);
        let (merged, propagation) = merge(call, key.sketch()?, &present(&sources)?)?;
        if let Some(propagation) = propagation {
            drop(sources);
            key.put(merged);
            drop(key);
            call.changed(name, c"hll.merge", propagation);
        }
        Ok(Reply::Ok)
    }
}

/// The new destination, and how it is to be propagated if it is not what it was.
fn merge(
    call: &Call,
    destination: Option<&Sketch>,
    sources: &[&Sketch],
) -> Result<(Sketch, Option<Propagation>), CommandError> {
    if let Some(destination) = destination {
        let mut merged = destination.clone();
        let changed = merged.merge_all(sources)?;
        return Ok((merged, changed.then_some(Propagation::Verbatim)));
    }
    match Sketch::union(sources.iter().copied())? {
        Some(union) => {
            let union = union.into_owned();
            check_memory(call, union.precision())?;
            Ok((union, Some(Propagation::Verbatim)))
        }
        None => {
            let empty = default_sketch(call)?;
            let propagation = Propagation::value_of(&empty);
            Ok((empty, Some(propagation)))
        }
    }
}
