//! `HLL.CUBE.SERIES key BUCKET unit [range] [WHERE ...]...`: a row for each bucket, those without events included.

use super::ask::{About, ConditionClause, RANGE, Range, WHERE, ask, table};
use super::query::check_bucket;
use super::span;
use crate::commands::CONFIDENCE;
use crate::cube::Cube;
use crate::cube::calendar::Span;
use crate::cube::question::{Gaps, Question};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::Outcome;
use crate::server::syntax::{Key, KeyUsage, Optional, Required};
use crate::syntax;

syntax! {
    /// The length of buckets, the time, and what events have to be.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        bucket: Span = Required(Optional("BUCKET", span("unit")));
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Series;

impl Command for Series {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.SERIES",
        access: Access::Read,
        summary: c"Answers users, events, new users and measures bucket by bucket.",
        complexity: c"O(N) with N slices that make up the time.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &arguments.conditions,
            confidence: arguments.confidence,
        };
        let more = |_: &Context, _: &Cube, asked: &mut Question| {
            check_bucket(arguments.bucket)?;
            asked.bucket = Some(arguments.bucket);
            asked.gaps = Gaps::Filled;
            Ok(())
        };
        ask(ctx, arguments.key, about, more, table)
    }
}
