//! `HLL.ACCURACY.ALERTS monitor [COUNT n]`: the alerts that a monitor keeps, the newest first.

use super::required;
use crate::commands::fields::Fields;
use crate::monitor::{Alert, MAX_ALERTS, Monitor};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Defaulted, Integer, Key, KeyUsage, Optional};
use crate::syntax;

syntax! {
    /// Which monitor, and how many.
    pub struct Arguments<'a> {
        monitor: Arg<'a> = Key("monitor", KeyUsage::Read);
    }
    options {
        count: i64 = Defaulted(Optional("COUNT", Integer("n", 1..=MAX_ALERTS as i64)), 10);
    }
}

/// See the head of this file.
pub struct Alerts;

impl Command for Alerts {
    const SPEC: Spec = Spec {
        name: c"HLL.ACCURACY.ALERTS",
        access: Access::Read,
        summary: c"Returns the last alerts of a monitor, the newest first.",
        complexity: c"O(N) with N alerts.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let key = ctx.read::<Monitor>(arguments.monitor.into())?;
        let alerts = required(&key)?.alerts().take(arguments.count as usize);
        Ok(Reply::Array(alerts.map(shown).collect()))
    }
}

fn shown(alert: &Alert) -> Reply {
    let mut reply = Fields::new();
    reply.field("at", Reply::Integer(alert.at));
    reply.field("context", alert.context.to_vec());
    reply.field("level", alert.level.name());
    reply.field("estimate", alert.estimate);
    reply.field("exact", alert.exact as f64);
    reply.field("error_rate", alert.error());
    reply.field("threshold", alert.threshold);
    reply.into()
}
