//! `HLL.COUNT key [key ...]`: distinct elements in the union, to the nearest whole number.

use super::{estimate_union, rounded};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::sketch::Sketch;

/// See the head of this file.
pub struct Count;

impl Command for Count {
    const SPEC: Spec = Spec {
        name: c"HLL.COUNT",
        arity: -2,
        access: Access::Read,
        summary: c"Counts the distinct elements in the union of sketches.",
        complexity:
            c"O(1) for one key that was only added to, otherwise O(N*M) with N keys of M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::ToTheEnd, KeyUsage::Read)],
        args: &[ArgSpec::key(c"key", 0).multiple()],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let estimate = match call.args.only() {
            Some(name) => call.read(name).sketch()?.map(Sketch::estimate),
            None => {
                let names = call.args.rest()?;
                let keys = call.read_all(names);
                Some(estimate_union(&keys)?)
            }
        };
        Ok(Reply::Integer(estimate.map_or(0, rounded)))
    }
}
