//! `HLL.OVERLAP numkeys key [key ...] [CONFIDENCE c]`: what every two of some sets have in common.

use super::sets::{Sets, labels};
use super::{Labelled, between};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;

/// See the head of this file.
pub struct Overlap;

/// 2,016 pairs: the largest table one command should make.
const MOST_KEYS: usize = 64;

impl Command for Overlap {
    const SPEC: Spec = Spec {
        name: c"HLL.OVERLAP",
        arity: -4,
        access: Access::Read,
        summary: c"Counts what every pair of sketches has in common.",
        complexity: c"O(N^2*M) with N keys of M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::Numbered, KeyUsage::Read)],
        args: &[
            ArgSpec::integer(c"numkeys"),
            ArgSpec::key(c"key", 0).multiple(),
            ArgSpec::CONFIDENCE,
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let names = call.args.numbered_keys()?;
        between("keys of an overlap table", names.len(), 2..=MOST_KEYS)?;
        let confidence = call.args.confidence()?;
        let keys = call.read_all(names.iter().copied());
        let sets = Sets::of_keys(&names, &keys)?;
        let labels = labels(&names);
        let pairs = labels.len() * (labels.len() - 1) / 2;
        sets.answer(call, pairs, 2, move |sets| {
            let n = labels.len();
            let rows = (0..n).flat_map(|first| (first + 1..n).map(move |second| (first, second)));
            let row = |(first, second): (usize, usize)| {
                let solution = sets.solve(&[first, second])?;
                let (a, b) = (solution.place(0), solution.place(1));
                let common = solution.joint.intersection(solution.sets([0, 1]));
                let mut reply = Labelled::new();
                reply.field("first", labels[first].clone());
                reply.field("second", labels[second].clone());
                reply.estimate("estimate", common.value, common.interval(confidence));
                reply.share("jaccard", solution.joint.jaccard(a, b));
                reply.share("first_in_second", solution.joint.containment(a, b));
                reply.share("second_in_first", solution.joint.containment(b, a));
                Ok(reply.into())
            };
            rows.map(row).collect::<Result<_, _>>().map(Reply::Array)
        })
    }
}
