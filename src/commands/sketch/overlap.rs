//! `HLL.OVERLAP numkeys key [key ...] [CONFIDENCE c]`: what every two of some sets have in common.

use super::asked::{Asked, Given, Prepared, Question};
use super::sets::labels;
use crate::commands::CONFIDENCE;
use crate::commands::between;
use crate::commands::fields::Fields;
use crate::server::answers::Steps;
use crate::server::args::ArgList;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{KeyUsage, NumberedKeys};
use crate::sketch::analytics::Overlap as Pair;
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

/// See the head of this file.
pub struct Overlap;

/// 2,016 pairs: the largest table one command should make.
const MOST_KEYS: usize = 64;

impl Command for Overlap {
    const SPEC: Spec = Spec {
        name: c"HLL.OVERLAP",
        access: Access::Read,
        summary: c"Counts what every pair of sketches has in common.",
        complexity: c"O(N^2*M) with N keys of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        Self::ask(arguments)?.answer_here(ctx)
    }
}

impl Question for Overlap {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        let Arguments { names, confidence } = arguments;
        between("keys of an overlap table", names.len(), 2..=MOST_KEYS)?;
        let labels = labels(names, names.len())?;
        let n = labels.len();
        let pairs: Vec<(usize, usize)> = (0..n)
            .flat_map(|first| (first + 1..n).map(move |second| (first, second)))
            .collect();
        Ok(Asked::about_sets(names.iter(), move |sets| {
            let (number, expected, bytes) = (
                pairs.len(),
                sets.expected_of_pairs(pairs.len(), Pair::INTERVALS),
                sets.bytes(),
            );
            let row = move |pair: usize| {
                let (first, second) = pairs[pair];
                let overlap = Pair::of(sets.sketch(first), sets.sketch(second), confidence)?;
                let [first_in_second, second_in_first] = overlap.containments;
                let mut reply = Fields::new();
                reply.field("first", labels[first].clone());
                reply.field("second", labels[second].clone());
                reply.estimate("estimate", overlap.common);
                reply.figure("jaccard", overlap.jaccard);
                reply.figure("first_in_second", first_in_second);
                reply.figure("second_in_first", second_in_first);
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
