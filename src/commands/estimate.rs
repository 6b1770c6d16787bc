//! `HLL.ESTIMATE numkeys key [key ...] [CONFIDENCE c]`: the count of the union with its interval.

use super::estimate_union;
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;

/// See the head of this file.
pub struct Estimate;

impl Command for Estimate {
    const SPEC: Spec = Spec {
        name: c"HLL.ESTIMATE",
        arity: -3,
        access: Access::Read,
        summary:
            c"Counts the distinct elements in the union of sketches and says how sure that is.",
        complexity: c"O(N*M) with N keys of M registers.",
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
        let confidence = call.args.confidence()?;
        let keys = call.read_all(names);
        let estimate = estimate_union(&keys)?;
        let (lower, upper) = estimate.interval(confidence);
        Ok(Reply::Map(vec![
            ("estimate", estimate.value.into()),
            ("lower", lower.into()),
            ("upper", upper.into()),
            ("confidence", confidence.into()),
            ("relative_error", estimate.relative_error().into()),
            ("method", estimate.method.name().into()),
        ]))
    }
}
