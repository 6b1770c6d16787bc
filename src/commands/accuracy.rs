//! `HLL.ACCURACY key [CONFIDENCE c]`: how sure the count of one sketch is, and what would make it surer.

use super::{Labelled, required};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::sketch::{Precision, Sketch};

/// See the head of this file.
pub struct Accuracy;

impl Command for Accuracy {
    const SPEC: Spec = Spec {
        name: c"HLL.ACCURACY",
        arity: -2,
        access: Access::Read,
        summary:
            c"Says how sure the count of a sketch is, and which precision would halve its error.",
        complexity: c"O(1) for a sketch that was only added to, otherwise O(M) with M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Read)],
        args: &[ArgSpec::key(c"key", 0), ArgSpec::CONFIDENCE],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let confidence = call.args.confidence()?;
        let key = call.read(name);
        let sketch = required(&key)?;
        let estimate = sketch.estimate();
        let mut reply = Labelled::new();
        reply.field("precision", sketch.precision().bits() as usize);
        let encoding = if sketch.is_sparse() && key.pf_bytes().is_none() {
            "sparse"
        } else {
            "dense"
        };
        reply.field("encoding", encoding);
        reply.field("estimator", estimate.method.name());
        reply.estimate("estimate", estimate.value, estimate.interval(confidence));
        reply.number("confidence", confidence);
        reply.number("standard_error", estimate.relative_error());
        let bytes = key.pf_bytes().unwrap_or(sketch.memory_bytes());
        reply.field("bytes", bytes);
        reply.field("advice", advice(sketch.precision()));
        Ok(reply.into())
    }
}

/// Four times the registers, half the error; null where there is no such precision.
fn advice(precision: Precision) -> Reply {
    let finer = u8::try_from(precision.bits() + 2)
        .ok()
        .and_then(Precision::new);
    finer.map_or(Reply::Null, |finer| {
        let mut reply = Labelled::new();
        reply.field("precision", finer.bits() as usize);
        reply.number("standard_error", finer.added_error());
        reply.field("bytes", Sketch::memory_limit(finer));
        reply.into()
    })
}
