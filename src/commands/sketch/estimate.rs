//! `HLL.ESTIMATE numkeys key [key ...] [CONFIDENCE c]`: the count of the union with its interval.

use super::asked::{Asked, Given, Question};
use super::union;
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::server::args::ArgList;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{KeyUsage, NumberedKeys};
use crate::sketch::Estimate as Count;
use crate::syntax;

syntax! {
    /// The sets to be united, and how sure the interval is to be.
    pub struct Arguments<'a> {
        names: ArgList<'a> = NumberedKeys { name: "key", usage: KeyUsage::Read };
    }
    options {
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Estimate;

impl Command for Estimate {
    const SPEC: Spec = Spec {
        name: c"HLL.ESTIMATE",
        access: Access::Read,
        summary:
            c"Counts the distinct elements in the union of sketches and says how sure that is.",
        complexity: c"O(N*M) with N keys of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        union::answer(ctx, arguments.names, reply(arguments.confidence))
    }
}

impl Question for Estimate {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        Ok(union::ask(arguments.names, reply(arguments.confidence)))
    }
}

fn reply(confidence: f64) -> impl FnOnce(Count) -> Reply + Send + 'static {
    move |count| {
        let mut reply = Fields::new();
        reply.estimate("estimate", count.bounded(confidence));
        reply.field("confidence", confidence);
        reply.field("relative_error", count.relative_error());
        reply.field("method", count.method.name());
        reply.into()
    }
}
