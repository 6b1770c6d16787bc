//! `HLL.ACCURACY.RESET monitor [CONTEXT name]`: forgets samples, levels and alerts.

use crate::monitor::Monitor;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Bytes, Key, KeyUsage, Optional};
use crate::syntax;

syntax! {
    /// Which monitor, and what of it; everything where that is left out.
    pub struct Arguments<'a> {
        monitor: Arg<'a> = Key("monitor", KeyUsage::Update);
    }
    options {
        context: Option<Arg<'a>> = Optional("CONTEXT", Bytes("name"));
    }
}

/// See the head of this file.
pub struct Reset;

impl Command for Reset {
    const SPEC: Spec = Spec {
        name: c"HLL.ACCURACY.RESET",
        access: Access::Write,
        summary: c"Forgets samples, levels and alerts of a monitor, or of one of its contexts.",
        complexity: c"O(N) with N samples.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    /// A monitor that does not exist has nothing to be forgotten.
    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let context = arguments.context.map(Arg::bytes);
        let key = ctx.write::<Monitor>(arguments.monitor.into());
        key.update(c"hll.accuracy.reset", |monitor| {
            Ok(monitor.reset(context).then_some(Propagation::Verbatim))
        })?;
        Ok(Reply::Ok)
    }
}
