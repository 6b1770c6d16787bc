//! `HLL.INTERSECT numkeys key [key ...] [CONFIDENCE c]`: elements in every one of 1 to 8 sets.

use super::asked::{Asked, Given, Prepared, Question};
use super::sets::Sets;
use crate::commands::CONFIDENCE;
use crate::commands::between;
use crate::commands::fields::Fields;
use crate::server::answers::OneStep;
use crate::server::args::ArgList;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::{KeyUsage, NumberedKeys};
use crate::sketch::joint::{MAX_SETS, Segment, SetMask};
use crate::syntax;

syntax! {
    /// The sets, and how sure the intervals are to be.
    pub struct Arguments<'a> {
        names: ArgList<'a> = NumberedKeys { name: "key", usage: KeyUsage::Read };
    }
    options {
        confidence: f64 = CONFIDENCE;
    }
}

/// Of what is common, the union and the Jaccard similarity.
const INTERVALS: usize = 3;

/// See the head of this file.
pub struct Intersect;

impl Command for Intersect {
    const SPEC: Spec = Spec {
        name: c"HLL.INTERSECT",
        access: Access::Read,
        summary: c"Counts the elements that sketches have in common and says how sure that is.",
        complexity: c"O(N*M+3^N) with N keys of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        Self::ask(arguments)?.answer_here(ctx)
    }
}

impl Question for Intersect {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        let Arguments { names, confidence } = arguments;
        between("keys of an intersection", names.len(), 1..=MAX_SETS)?;
        Ok(Asked::about_sets(names.iter(), move |sets| Prepared {
            expected: sets.expected(INTERVALS),
            bytes: sets.bytes(),
            work: Box::new(OneStep::new(move || answer(&sets, confidence))),
        }))
    }
}

fn answer(sets: &Sets, confidence: f64) -> Outcome {
    let joint = sets.solve()?;
    let all = SetMask::first(joint.members().len());
    let jaccard = joint.ratio(Segment::all(all), Segment::any(all));
    let mut reply = Fields::new();
    reply.estimate("estimate", joint.intersection(all).bounded(confidence));
    reply.field("confidence", confidence);
    reply.figure("union", joint.union(all).bounded(confidence));
    reply.figure("jaccard", jaccard.map(|rate| rate.bounded(confidence)));
    Ok(reply.into())
}
