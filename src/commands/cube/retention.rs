//! `HLL.CUBE.RETENTION key EVERY unit PERIODS n [COHORT dimension ...] [RETURN dimension ...] [BY dimension] [range]
//! [CONFIDENCE c]`: who came for the first time in each period, and how many of them came back.

use super::ask::{About, ConditionClause, RANGE, Range, conditions};
use super::compare::{BY, Planned, by, compare, instant};
use super::span;
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::commands::figures;
use crate::cube::Cube;
use crate::cube::calendar::Span;
use crate::cube::query::cohorts::{Cohort, RetentionQuery, RetentionQuestion};
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Block, Integer, Key, KeyUsage, Optional, Required};
use crate::syntax;

/// As many days as a year has at most.
const MOST_PERIODS: i64 = 366;

syntax! {
    /// How long periods are, how many, who is followed, and what it is to come back.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        every: Span = Required(Optional("EVERY", span("unit")));
        periods: i64 = Required(Optional("PERIODS", Integer("periods", 1..=MOST_PERIODS)));
        cohort: Option<ConditionClause<'a>> = Optional("COHORT", Block::<ConditionClause>::new());
        returned: Option<ConditionClause<'a>> = Optional("RETURN", Block::<ConditionClause>::new());
        by: Option<ArgList<'a>> = BY;
        range: Option<Range> = RANGE;
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Retention;

impl Command for Retention {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.RETENTION",
        access: Access::Read,
        summary: c"Counts who came for the first time in each period, and who of them came back.",
        complexity:
            c"O(R*C*P*M+N) with R rows, C cohorts and P periods of M registers, from N cells.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &[],
            confidence: arguments.confidence,
        };
        let plan = |ctx: &Context, cube: &Cube| {
            let asked = about.question(ctx, cube)?;
            let question = RetentionQuestion {
                time: asked.time,
                every: arguments.every,
                periods: arguments.periods as usize,
                cohort: conditions(cube, arguments.cohort.as_slice())?,
                returned: conditions(cube, arguments.returned.as_slice())?,
                by: by(cube, arguments.by)?,
                confidence: asked.confidence,
            };
            Ok(Planned {
                by: question.by,
                every: Some(question.every),
                analysis: Box::new(move |cube| RetentionQuery::plan(cube, &question)),
            })
        };
        let lines = |begin: &dyn Fn() -> Fields, cohorts: Vec<Cohort>| {
            let line = |cohort: Cohort| {
                let periods = cohort.periods.iter().zip(0..);
                let periods = periods.map(|(followed, number)| {
                    let mut reply = Fields::new();
                    reply.field("period", Reply::Integer(number));
                    reply.field("bucket", Reply::Integer(followed.begin));
                    figures::retained(&mut reply, followed.retained.as_ref());
                    Reply::from(reply)
                });
                let periods = periods.collect();
                let mut line = begin();
                line.field("cohort", Reply::Integer(cohort.begin));
                line.field("earlier_from", instant(cohort.earlier_from));
                line.figure("size", cohort.size);
                line.field("periods", Reply::Array(periods));
                line
            };
            cohorts.into_iter().map(line).collect()
        };
        compare(ctx, arguments.key, plan, lines)
    }
}
