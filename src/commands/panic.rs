//! `HLL.PANIC`: a bug on demand, for the test that proves a server outlives ours.

use crate::server::call::Call;
use crate::server::command::{Access, Command, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;

/// See the head of this file.
pub struct Panic;

impl Command for Panic {
    const SPEC: Spec = Spec {
        name: c"HLL.PANIC",
        arity: 1,
        access: Access::Read,
        summary: c"Panics.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: &[],
        args: &[],
    };

    fn run(_: &mut Call) -> Result<Reply, CommandError> {
        panic!("on purpose, with 100%s of the formatting a server must not obey");
    }
}
