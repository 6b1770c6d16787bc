//! `HLL.ACCURACY.REPORT monitor [WINDOW duration] [AT at]`: errors over a time, by context, where they are going, and what
//! to do about them.

use super::{required, thresholds};
use crate::commands::cube::{At, span, timestamp};
use crate::commands::fields::Fields;
use crate::cube::calendar::{Calendar, Span};
use crate::monitor::{Level, Monitor, Report as Findings, Section, Summary, Trend};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage, Optional};
use crate::sketch::Sketch;
use crate::syntax;

syntax! {
    /// Which monitor, and the time up to when.
    pub struct Arguments<'a> {
        monitor: Arg<'a> = Key("monitor", KeyUsage::Read);
    }
    options {
        window: Option<Span> = Optional("WINDOW", span("duration"));
        at: Option<At> = Optional("AT", timestamp("at"));
    }
}

/// See the head of this file.
pub struct Report;

impl Command for Report {
    const SPEC: Spec = Spec {
        name: c"HLL.ACCURACY.REPORT",
        access: Access::Read,
        summary:
            c"Says how far estimates have been off, where, since when, and which precision to use.",
        complexity: c"O(N) with N samples.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let to = match arguments.at {
            None if arguments.window.is_none() => i64::MAX,
            at => at.unwrap_or(At::Now).millis(ctx),
        };
        let from = arguments
            .window
            .map(|window| Calendar::utc().minus(to, window));
        let key = ctx.read::<Monitor>(arguments.monitor.into())?;
        Ok(reply(&required(&key)?.report(from, to, thresholds())))
    }
}

fn reply(report: &Findings) -> Reply {
    let mut reply = Fields::new();
    summary(&mut reply, report.summary.as_ref());
    reply.field("trend", trend(&report.trend));
    let contexts = report.sections.iter().map(|section| {
        let mut reply = Fields::new();
        reply.field("context", section.name.to_vec());
        reply.field("level", section.level.name());
        summary(&mut reply, Some(&section.summary));
        reply.field("trend", trend(&section.trend));
        reply.into()
    });
    reply.field("contexts", Reply::Array(contexts.collect()));
    // The worst first.
    let mut advised: Vec<&Section> = report.sections.iter().collect();
    advised.sort_by(|a, b| {
        let error = |section: &Section| section.summary.average_error;
        error(b).total_cmp(&error(a))
    });
    let recommendations = advised.into_iter().filter_map(recommendation).collect();
    reply.field("recommendations", Reply::Array(recommendations));
    reply.into()
}

fn summary(reply: &mut Fields, summary: Option<&Summary>) {
    reply.field("samples", summary.map_or(0, |summary| summary.samples));
    reply.field(
        "average_error",
        summary.map(|summary| summary.average_error),
    );
    reply.field("max_error", summary.map(|summary| summary.max_error));
    reply.field("relative_error", summary.map(|summary| summary.promised));
    reply.field(
        "within_bounds",
        summary.map(|summary| summary.within_bounds),
    );
    reply.field("accuracy_score", summary.map(Summary::score));
}

fn trend(trend: &Trend) -> Reply {
    let mut reply = Fields::new();
    reply.field("direction", trend.direction.name());
    reply.field("earlier_error", trend.earlier);
    reply.field("later_error", trend.later);
    reply.into()
}

fn recommendation(section: &Section) -> Option<Reply> {
    let advice = section.recommendation?;
    let mut reply = Fields::new();
    reply.field("context", section.name.to_vec());
    reply.field(
        "priority",
        match advice.level {
            Level::Critical => "HIGH",
            Level::Warning | Level::Ok => "MEDIUM",
        },
    );
    reply.field("observed", section.summary.average_error);
    reply.field("cause", advice.cause.name());
    reply.field("precision", advice.precision.bits() as usize);
    reply.field("memory_bytes", Sketch::memory_limit(advice.precision));
    Some(reply.into())
}
