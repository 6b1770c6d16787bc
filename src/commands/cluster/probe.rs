//! `HLL.PROBE key`: nothing. Whether the server runs it for a key is the question: the module calls it before it reads a key
//! outside a command, and what the server's own routing says of it (not mine, on its way, cluster down) is what it would say
//! of any command that reads this key.

use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage};
use crate::syntax;
use std::ffi::CStr;

/// Its name.
pub const NAME: &CStr = c"HLL.PROBE";

syntax! {
    /// The key.
    pub struct Arguments<'a> {
        _key: Arg<'a> = Key("key", KeyUsage::Read);
    }
}

/// See the head of this file.
pub struct Probe;

impl Command for Probe {
    const SPEC: Spec = Spec {
        name: NAME,
        access: Access::Probe,
        summary: c"Does nothing with a key. Called by the module itself.",
        complexity: c"O(1)",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(_: &mut Context, _: Arguments) -> Outcome {
        Ok(Reply::Ok)
    }
}
