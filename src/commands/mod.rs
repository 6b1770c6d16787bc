//! The commands, a file each: arguments in, call below, reply out.

pub mod accuracy;
pub mod add;
pub mod campaign;
pub mod count;
pub mod create;
pub mod estimate;
pub mod export;
pub mod funnel;
pub mod import;
pub mod info;
pub mod intersect;
pub mod merge;
pub mod overlap;
#[cfg(feature = "panic-command")]
pub mod panic;
pub mod replay;
pub mod retention;
pub mod segment;
mod sets;

use crate::server::call::Call;
use crate::server::error::CommandError;
use crate::server::key::ReadKey;
use crate::server::reply::Reply;
use crate::server::settings;
use crate::sketch::joint::Rate;
use crate::sketch::{Estimate, HashFamily, Precision, Sketch};
use std::ops::RangeInclusive;

/// The empty sketch that a command makes for a new key.
fn new_sketch(call: &Call, precision: Precision, hash: HashFamily) -> Result<Sketch, CommandError> {
    check_memory(call, precision)?;
    Ok(Sketch::new(precision, hash))
}

/// The same where the client asked for nothing in particular.
fn default_sketch(call: &Call) -> Result<Sketch, CommandError> {
    new_sketch(
        call,
        settings::default_precision(),
        settings::default_hash(),
    )
}

/// Refuses a precision whose sketches may outgrow `hll.max-memory-per-key`. Asked before a sketch
/// is made, so that no later ADD has to be refused.
fn check_memory(call: &Call, precision: Precision) -> Result<(), CommandError> {
    let needed = Sketch::memory_limit(precision);
    match settings::max_memory_per_key() {
        Some(allowed) if needed > allowed && !call.is_replayed() => {
            Err(CommandError::invalid(format_args!(
                "precision {precision} can take {needed} bytes and hll.max-memory-per-key is \
                 {allowed}, choose a lower precision or raise the limit"
            )))
        }
        _ => Ok(()),
    }
}

/// The sketches under these keys; missing keys hold no elements and are left out.
fn present<'k>(keys: &'k [ReadKey]) -> Result<Vec<&'k Sketch>, CommandError> {
    keys.iter()
        .filter_map(|key| key.sketch().transpose())
        .collect()
}

/// How many distinct elements these keys hold together.
fn estimate_union(keys: &[ReadKey]) -> Result<Estimate, CommandError> {
    let union = Sketch::union(present(keys)?)?;
    Ok(union.map_or(Estimate::from_tokens(0), |union| union.estimate()))
}

/// To the nearest whole number, halves up.
fn rounded(estimate: Estimate) -> i64 {
    (estimate.value + 0.5).floor() as i64
}

/// The sketch of a command that cannot do without one.
fn required<'k>(key: &'k ReadKey) -> Result<&'k Sketch, CommandError> {
    key.sketch()?.ok_or_else(no_such_key)
}

fn no_such_key() -> CommandError {
    CommandError::invalid("there is no such key, create it with HLL.ADD or HLL.CREATE")
}

/// Refuses a number of things outside a range.
fn between(things: &str, number: usize, range: RangeInclusive<usize>) -> Result<(), CommandError> {
    if range.contains(&number) {
        return Ok(());
    }
    Err(CommandError::invalid(format_args!(
        "{things} must be {} to {}, got {number}",
        range.start(),
        range.end()
    )))
}

/// A reply of named fields, in the making.
struct Labelled(Vec<(&'static str, Reply)>);

impl Labelled {
    fn new() -> Labelled {
        Labelled(Vec::new())
    }

    fn field(&mut self, name: &'static str, value: impl Into<Reply>) {
        self.0.push((name, value.into()));
    }

    fn number(&mut self, name: &'static str, value: f64) {
        self.field(name, value);
    }

    /// An estimate and its interval: the estimate under its name, then `lower` and `upper`.
    fn estimate(&mut self, name: &'static str, value: f64, interval: (f64, f64)) {
        self.number(name, value);
        self.number("lower", interval.0);
        self.number("upper", interval.1);
    }

    /// A rate; null where it is of nothing.
    fn share(&mut self, name: &'static str, rate: Option<Rate>) {
        self.field(name, rate.map(|rate| rate.value));
    }

    /// A rate and its interval; nulls where the rate is of nothing.
    fn rate(&mut self, names: [&'static str; 3], rate: Option<Rate>, confidence: f64) {
        let interval = rate.as_ref().map(|rate| rate.interval(confidence));
        self.share(names[0], rate);
        self.field(names[1], interval.map(|interval| interval.0));
        self.field(names[2], interval.map(|interval| interval.1));
    }
}

impl From<Labelled> for Reply {
    fn from(reply: Labelled) -> Self {
        Reply::Map(reply.0)
    }
}
