//! `HLL.CUBE.SERIES key BUCKET unit [range] [WHERE ...]...`: a row for each bucket, those without events included.

use super::ask::{
    CONFIDENCE, ConditionClause, RANGE, Range, WHERE, ask, conditions, question, table,
};
use super::query::check_bucket;
use super::span;
use crate::cube::calendar::Span;
use crate::cube::question::Gaps;
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
        let asked = |ctx: &Context, cube: &crate::cube::Cube| {
            check_bucket(arguments.bucket)?;
            let mut asked = question(arguments.confidence);
            asked.time = arguments
                .range
                .map(|range| range.time(ctx, cube))
                .transpose()?;
            asked.conditions = conditions(cube, &arguments.conditions)?;
            asked.bucket = Some(arguments.bucket);
            asked.gaps = Gaps::Filled;
            Ok(asked)
        };
        ask(ctx, arguments.key, asked, table)
    }
}
