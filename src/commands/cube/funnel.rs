//! `HLL.CUBE.FUNNEL key dimension STEPS n value ... [BY dimension] [range] [WHERE ...]... [CONFIDENCE c]`: who had events
//! of a value, and of every one before it.

use super::ask::{About, ConditionClause, RANGE, Range, WHERE};
use super::compare::{BY, Planned, compare, steps};
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::commands::figures;
use crate::cube::Cube;
use crate::cube::query::funnels::FunnelQuery;
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Bytes, Counted, Key, KeyUsage, Optional, Required};
use crate::sketch::analytics::FunnelStep;
use crate::syntax;

syntax! {
    /// The steps, and of which events.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
        dimension: Arg<'a> = Bytes("dimension");
    }
    options {
        steps: ArgList<'a> = Required(Optional("STEPS", Counted("value", 2..=8)));
        by: Option<ArgList<'a>> = BY;
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Funnel;

impl Command for Funnel {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.FUNNEL",
        access: Access::Read,
        summary: c"Counts who had events of each value and of every one before it.",
        complexity: c"O(R*(N+3^S)) with R rows of S steps, each of N cells.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &arguments.conditions,
            confidence: arguments.confidence,
        };
        let labels: Vec<Vec<u8>> = arguments
            .steps
            .iter()
            .map(|step| step.bytes().to_vec())
            .collect();
        let plan = |ctx: &Context, cube: &Cube| {
            let names = arguments.steps.iter();
            let question = steps(ctx, cube, about, arguments.dimension, names, arguments.by)?;
            Ok(Planned {
                by: question.by,
                every: None,
                analysis: Box::new(move |cube| FunnelQuery::plan(cube, &question)),
            })
        };
        let lines = move |begin: &dyn Fn() -> Fields, steps: Vec<FunnelStep>| {
            let steps = labels.iter().enumerate().map(|(at, label)| {
                let mut reply = Fields::new();
                reply.field("step", label.clone());
                figures::funnel_step(&mut reply, steps.get(at));
                Reply::from(reply)
            });
            let mut row = begin();
            row.field("steps", Reply::Array(steps.collect()));
            vec![row]
        };
        compare(ctx, arguments.key, plan, lines)
    }
}
