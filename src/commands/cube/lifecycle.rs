//! `HLL.CUBE.LIFECYCLE key EVERY unit [range] [WHERE ...]... [CONFIDENCE c]`: of each period, who is new, who stayed, who
//! came back and who stayed away.

use super::ask::{About, ConditionClause, RANGE, Range, WHERE};
use super::compare::{Planned, compare, instant};
use super::span;
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::cube::Cube;
use crate::cube::calendar::Span;
use crate::cube::query::cohorts::{Lifecycle as Period, LifecycleQuery, LifecycleQuestion};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage, Optional, Required};
use crate::syntax;

syntax! {
    /// How long periods are, the time, and what events have to be.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        every: Span = Required(Optional("EVERY", span("unit")));
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Lifecycle;

impl Command for Lifecycle {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.LIFECYCLE",
        access: Access::Read,
        summary:
            c"Counts who is new, who stayed, who came back and who stayed away in each period.",
        complexity: c"O(P*M+N) with P periods of M registers, from N cells.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &arguments.conditions,
            confidence: arguments.confidence,
        };
        let plan = |ctx: &Context, cube: &Cube| {
            let asked = about.question(ctx, cube)?;
            let question = LifecycleQuestion {
                time: asked.time,
                every: arguments.every,
                conditions: asked.conditions,
                confidence: asked.confidence,
            };
            Ok(Planned {
                by: None,
                every: Some(arguments.every),
                analysis: Box::new(move |cube| LifecycleQuery::plan(cube, &question)),
            })
        };
        let lines = |begin: &dyn Fn() -> Fields, periods: Vec<Period>| {
            let line = |period: Period| {
                let mut line = begin();
                line.field("bucket", Reply::Integer(period.begin));
                let states = period.states;
                line.figure("first_in_kept", states.map(|states| states.first_in_kept));
                line.figure("retained", states.map(|states| states.retained));
                line.figure("resurrected", states.map(|states| states.resurrected));
                line.figure("dormant", states.map(|states| states.dormant));
                line.field("earlier_from", instant(period.earlier_from));
                line
            };
            periods.into_iter().map(line).collect()
        };
        compare(ctx, arguments.key, plan, lines)
    }
}
