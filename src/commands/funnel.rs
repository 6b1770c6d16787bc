//! `HLL.FUNNEL numkeys step [step ...] [CONFIDENCE c]`: who did a step and every one before it.
//!
//! An intersection funnel: a sketch knows who did a step, not when, so the order of events is not part
//! of the question. docs/funnels.md says what that means for the numbers.

use super::sets::{Sets, labels};
use super::{Labelled, between};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::sketch::joint::{MAX_SETS, Segment};

/// See the head of this file.
pub struct Funnel;

impl Command for Funnel {
    const SPEC: Spec = Spec {
        name: c"HLL.FUNNEL",
        arity: -4,
        access: Access::Read,
        summary: c"Counts who did each step and every one before it, with conversion rates.",
        complexity: c"O(N*M+3^N) with N steps of M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::Numbered, KeyUsage::Read)],
        args: &[
            ArgSpec::integer(c"numkeys"),
            ArgSpec::key(c"step", 0).multiple(),
            ArgSpec::CONFIDENCE,
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let names = call.args.numbered_keys()?;
        between("steps of a funnel", names.len(), 2..=MAX_SETS)?;
        let confidence = call.args.confidence()?;
        let keys = call.read_all(names.iter().copied());
        let sets = Sets::of_keys(&names, &keys)?;
        let labels = labels(&names);
        sets.answer(call, 1, labels.len(), move |sets| {
            let solution = sets.solve_all()?;
            let joint = &solution.joint;
            let reached = |step: usize| Segment::all(solution.sets(0..=step));
            let row = |(step, label): (usize, Vec<u8>)| {
                let users = joint.estimate(reached(step));
                let conversion = joint.ratio(reached(step), reached(step.saturating_sub(1)));
                let overall = joint.ratio(reached(step), reached(0));
                let mut reply = Labelled::new();
                reply.field("step", label);
                // Of the same solution, so that no step has more users than it has elements.
                let uniques = joint.estimate(Segment::all(solution.sets([step])));
                reply.number("uniques", uniques.value);
                reply.estimate("users", users.value, users.interval(confidence));
                reply.rate(
                    ["conversion", "conversion_lower", "conversion_upper"],
                    conversion.clone(),
                    confidence,
                );
                reply.share("overall", overall);
                reply.field("drop_off", conversion.map(|rate| 1.0 - rate.value));
                Reply::from(reply)
            };
            Ok(Reply::Array(
                labels.into_iter().enumerate().map(row).collect(),
            ))
        })
    }
}
