//! `HLL.INTERSECT numkeys key [key ...] [CONFIDENCE c]`: elements in every one of 1 to 8 sets.

use super::sets::Sets;
use super::{Labelled, between};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::sketch::joint::{MAX_SETS, Segment};

/// See the head of this file.
pub struct Intersect;

impl Command for Intersect {
    const SPEC: Spec = Spec {
        name: c"HLL.INTERSECT",
        arity: -3,
        access: Access::Read,
        summary: c"Counts the elements that sketches have in common and says how sure that is.",
        complexity: c"O(N*M+3^N) with N keys of M registers.",
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
        between("keys of an intersection", names.len(), 1..=MAX_SETS)?;
        let confidence = call.args.confidence()?;
        let keys = call.read_all(names.iter().copied());
        let sets = Sets::of_keys(&names, &keys)?;
        sets.answer(call, 1, names.len(), move |sets| {
            let solution = sets.solve_all()?;
            let all = solution.sets(0..sets.len());
            let common = solution.joint.intersection(all);
            let jaccard = solution.joint.ratio(Segment::all(all), Segment::any(all));
            let mut reply = Labelled::new();
            reply.estimate("estimate", common.value, common.interval(confidence));
            reply.number("confidence", confidence);
            reply.number("union", solution.joint.union(all).value);
            reply.rate(
                ["jaccard", "jaccard_lower", "jaccard_upper"],
                jaccard,
                confidence,
            );
            Ok(reply.into())
        })
    }
}
