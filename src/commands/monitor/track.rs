//! `HLL.ACCURACY.TRACK monitor sketch | CUBE key [range] [WHERE ...]... EXACT count | EXACTKEY set [CONTEXT name] [AT at]`:
//! holds an estimate against an exact count, and raises an alert where it is too far off.
//!
//! What an alert is told by, in this order: the monitor keeps it, INFO counts it, channel `hll:alerts` gets it as one JSON
//! object, and subscribers to keyspace events get `hll.accuracy.alert` behind `hll.accuracy.track`.

use super::thresholds;
use crate::commands::cube::ask::{About, ConditionClause, RANGE, Range, WHERE, users};
use crate::commands::cube::{self as cubes, At, timestamp};
use crate::commands::fields::Fields;
use crate::commands::sketch as sketches;
use crate::commands::{CONFIDENCE, statistics};
use crate::cube::Cube;
use crate::monitor::{Alert, Monitor, Observation, Sample};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{
    Bytes, Integer, Key, KeyOrBehind, KeyUsage, Made, OneOf, OneRequired, Optional, OwnedKey,
    Subject,
};
use crate::sketch::{Bounded, Estimate, Precision, Sketch};
use crate::storage::monitor::encode_observation;
use crate::syntax;
use crate::types::settings;
use crate::types::sketch::REPLAY;
use serde::Serialize;
use std::ffi::CStr;

/// Where alerts are published.
const CHANNEL: &CStr = c"hll:alerts";

/// Of samples that are tracked without a name.
const DEFAULT_CONTEXT: &[u8] = b"default";

/// What is known exactly.
enum Exact {
    /// The number itself.
    Count(i64),
    /// The members of the server's own set under the key of this name.
    Members(Vec<u8>),
}

const EXACT: OneRequired<Exact> = OneRequired(OneOf {
    name: "exact",
    alternatives: &[
        &Made("EXACT", Integer("count", 1..=i64::MAX), Exact::Count),
        &Made(
            "EXACTKEY",
            OwnedKey(Key("set", KeyUsage::Read)),
            Exact::Members,
        ),
    ],
    conflict: "EXACT and EXACTKEY each say what is true, give one of them",
});

syntax! {
    /// What is held against what.
    pub struct Arguments<'a> {
        monitor: Arg<'a> = Key("monitor", KeyUsage::Update);
        subject: Subject<'a> = KeyOrBehind { name: "sketch", word: "CUBE", other: "cube", usage: KeyUsage::Read };
    }
    options {
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        exact: Exact = EXACT;
        context: Option<Arg<'a>> = Optional("CONTEXT", Bytes("name"));
        at: Option<At> = Optional("AT", timestamp("at"));
    }
}

/// See the head of this file.
pub struct Track;

impl Command for Track {
    const SPEC: Spec = Spec {
        name: c"HLL.ACCURACY.TRACK",
        access: Access::Write,
        summary:
            c"Holds an estimate against an exact count, and raises an alert if it is too far off.",
        complexity: c"O(M) with M registers of the sketch, or as HLL.CUBE.COUNT.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let at = arguments.at.unwrap_or(At::Now).millis(ctx);
        let (estimate, precision) = estimate(ctx, &arguments)?;
        let exact = exact(ctx, &arguments)?;
        let bounds = estimate.bounded(CONFIDENCE.1);
        let truth = exact as f64;
        let name = arguments.context.map_or(DEFAULT_CONTEXT, Arg::bytes);
        let observation = Observation {
            context: name.to_vec(),
            sample: Sample {
                at,
                estimate: estimate.value,
                exact,
                promised: estimate.relative_error(),
                precision,
                within_bounds: (bounds.lower..=bounds.upper).contains(&truth),
            },
            thresholds: thresholds(),
            keep: usize::try_from(settings::ACCURACY_SAMPLES.get()).unwrap_or(usize::MAX),
        };
        let mut raised = None;
        let key = ctx.write::<Monitor>(arguments.monitor.into());
        let new = |_: &Context| Ok(Monitor::new());
        key.upsert(c"hll.accuracy.track", new, |monitor| {
            let alert = monitor.track(&observation);
            raised = alert.map_err(CommandError::invalid)?.cloned();
            Ok(Some(Propagation::Command {
                name: REPLAY,
                content: encode_observation(&observation),
            }))
        })?;
        statistics::ACCURACY_SAMPLES.add_one();
        if let Some(alert) = raised {
            announce(ctx, arguments.monitor, &alert);
        }
        Ok(reply(&observation, bounds))
    }
}

/// The estimate, and the precision behind it.
fn estimate(ctx: &Context, arguments: &Arguments) -> Result<(Estimate, Precision), CommandError> {
    match arguments.subject {
        Subject::Key(sketch) => {
            if arguments.range.is_some() || !arguments.conditions.is_empty() {
                return Err(CommandError::form(
                    "a range and WHERE are asked of a cube, and no CUBE stands before the key",
                ));
            }
            let key = ctx.read::<Sketch>(sketch.into())?;
            let sketch = sketches::required(&key)?;
            Ok((statistics::estimated(sketch.estimate()), sketch.precision()))
        }
        Subject::Behind(cube) => {
            let key = ctx.read::<Cube>(cube.into())?;
            let about = About {
                range: arguments.range,
                conditions: &arguments.conditions,
                confidence: CONFIDENCE.1,
            };
            users(ctx, cubes::required(&key)?, &about)
        }
    }
}

/// The truth, which is not 0.
fn exact(ctx: &Context, arguments: &Arguments) -> Result<u64, CommandError> {
    match &arguments.exact {
        Exact::Count(count) => Ok(count.unsigned_abs()),
        Exact::Members(set) => match ctx.members_of_set(set[..].into())? {
            0 => Err(CommandError::invalid(
                "the set with the exact members is empty or missing, an error is a share of a count that is \
                 not 0",
            )),
            members => Ok(members as u64),
        },
    }
}

/// What subscribers read.
#[derive(Serialize)]
struct Message<'a> {
    monitor: &'a str,
    context: &'a str,
    level: &'a str,
    estimate: f64,
    exact: u64,
    error_rate: f64,
    threshold: f64,
    at: i64,
}

fn announce(ctx: &Context, monitor: Arg, alert: &Alert) {
    statistics::alerted(alert.level);
    let message = Message {
        monitor: &String::from_utf8_lossy(monitor.bytes()),
        context: &String::from_utf8_lossy(&alert.context),
        level: alert.level.name(),
        estimate: alert.estimate,
        exact: alert.exact,
        error_rate: alert.error(),
        threshold: alert.threshold,
        at: alert.at,
    };
    if let Ok(message) = serde_json::to_string(&message) {
        ctx.publish(CHANNEL, &message);
    }
    ctx.notify(c"hll.accuracy.alert", monitor);
}

fn reply(observation: &Observation, bounds: Bounded) -> Reply {
    let sample = &observation.sample;
    let mut reply = Fields::new();
    reply.field("context", observation.context.clone());
    reply.estimate("estimate", bounds);
    reply.field("exact", sample.exact as f64);
    reply.field("error_rate", sample.error());
    reply.field("relative_error", sample.promised);
    reply.field("level", observation.level().name());
    reply.field(
        "within_bounds",
        if sample.within_bounds { "yes" } else { "no" },
    );
    reply.into()
}
