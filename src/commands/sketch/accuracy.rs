//! `HLL.ACCURACY key [CONFIDENCE c]`: how sure the count of one sketch is, and what would make it surer.

use super::required;
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::commands::statistics::estimated;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage};
use crate::sketch::{Precision, Sketch};
use crate::syntax;

syntax! {
    /// Which sketch, and how sure the interval is to be.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Accuracy;

impl Command for Accuracy {
    const SPEC: Spec = Spec {
        name: c"HLL.ACCURACY",
        access: Access::Read,
        summary:
            c"Says how sure the count of a sketch is, and which precision would halve its error.",
        complexity: c"O(1) for a sketch that was only added to, otherwise O(M) with M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let confidence = arguments.confidence;
        let key = ctx.read(arguments.key.into())?;
        let sketch = required(&key)?;
        let estimate = estimated(sketch.estimate());
        let mut reply = Fields::new();
        reply.field("precision", sketch.precision().bits() as usize);
        let encoding = if sketch.is_sparse() && key.string_bytes().is_none() {
            "sparse"
        } else {
            "dense"
        };
        reply.field("encoding", encoding);
        reply.field("estimator", estimate.method.name());
        reply.estimate("estimate", estimate.bounded(confidence));
        reply.field("confidence", confidence);
        reply.field("standard_error", estimate.relative_error());
        let bytes = key.string_bytes().unwrap_or(sketch.memory_bytes());
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
        let mut reply = Fields::new();
        reply.field("precision", finer.bits() as usize);
        reply.field("standard_error", finer.added_error());
        reply.field("bytes", Sketch::memory_limit(finer));
        reply.into()
    })
}
