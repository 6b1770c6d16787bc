//! `HLL.FUNNEL numkeys step [step ...] [CONFIDENCE c]`: who did a step and every one before it.
//!
//! An intersection funnel: a sketch knows who did a step, not when, so the order of events is not part
//! of the question. docs/funnels.md says what that means for the numbers.

use super::asked::{Asked, Given, Prepared, Question};
use super::sets::labels;
use crate::commands::CONFIDENCE;
use crate::commands::between;
use crate::commands::fields::Fields;
use crate::commands::figures;
use crate::server::answers::Steps;
use crate::server::args::ArgList;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{KeyUsage, NumberedKeys};
use crate::sketch::analytics::FunnelStep;
use crate::sketch::joint::{MAX_SETS, SetMask};
use crate::syntax;

syntax! {
    /// The steps in their order, and how sure the intervals are to be.
    pub struct Arguments<'a> {
        steps: ArgList<'a> = NumberedKeys { name: "step", usage: KeyUsage::Read };
    }
    options {
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Funnel;

impl Command for Funnel {
    const SPEC: Spec = Spec {
        name: c"HLL.FUNNEL",
        access: Access::Read,
        summary: c"Counts who did each step and every one before it, with conversion rates.",
        complexity: c"O(N*M+3^N) with N steps of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        Self::ask(arguments)?.answer_here(ctx)
    }
}

impl Question for Funnel {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        let Arguments { steps, confidence } = arguments;
        between("steps of a funnel", steps.len(), 2..=MAX_SETS)?;
        let labels = labels(steps, 1)?;
        Ok(Asked::about_sets(steps.iter(), move |sets| {
            let (number, bytes) = (labels.len(), sets.bytes());
            let expected = sets.expected(FunnelStep::INTERVALS * number);
            let steps: Vec<SetMask> = (0..number).map(SetMask::single).collect();
            let mut solved = None;
            // A step of the work is a step of the funnel, since intervals take their time; the first one has the
            // solution to make.
            let row = move |step: usize| {
                let joint = match &mut solved {
                    Some(joint) => joint,
                    unsolved => unsolved.insert(sets.solve()?),
                };
                let figures = FunnelStep::of(joint, &steps, step, confidence);
                let mut reply = Fields::new();
                reply.field("step", labels[step].clone());
                figures::funnel_step(&mut reply, &figures);
                Ok(reply.into())
            };
            let rows = Steps::new(number, row, |rows| Ok(Reply::Array(rows)));
            Prepared {
                expected,
                bytes,
                work: Box::new(rows),
            }
        }))
    }
}
