//! The commands on sketches.

pub mod accuracy;
pub mod add;
pub(super) mod asked;
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
pub mod retention;
pub mod segment;
mod sets;
pub(super) mod union;

use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::key::ReadKey;
use crate::sketch::{Estimate, HashFamily, Precision, Sketch};
use crate::types::settings;

/// The empty sketch that a command makes for a new key.
fn new_sketch(
    ctx: &Context,
    precision: Precision,
    hash: HashFamily,
) -> Result<Sketch, CommandError> {
    check_memory(ctx, precision)?;
    Ok(Sketch::new(precision, hash))
}

/// The same where the client asked for nothing in particular.
fn default_sketch(ctx: &Context) -> Result<Sketch, CommandError> {
    new_sketch(ctx, settings::default_precision(), settings::default_hash())
}

/// Refuses a precision whose sketches may outgrow `hll.max-memory-per-key`. Asked before a sketch
/// is made, so that no later ADD has to be refused.
pub(super) fn check_memory(ctx: &Context, precision: Precision) -> Result<(), CommandError> {
    let needed = Sketch::memory_limit(precision);
    match settings::max_memory_per_key() {
        Some(allowed) if needed > allowed && !ctx.is_replayed() => {
            Err(CommandError::invalid(format_args!(
                "precision {precision} can take {needed} bytes and hll.max-memory-per-key is \
                 {allowed}, choose a lower precision or raise the limit"
            )))
        }
        _ => Ok(()),
    }
}

/// To the nearest whole number, halves up.
fn rounded(estimate: Estimate) -> i64 {
    (estimate.value + 0.5).floor() as i64
}

/// The sketch of a command that reads one and cannot do without it.
pub(super) fn required<'k>(key: &'k ReadKey<Sketch>) -> Result<&'k Sketch, CommandError> {
    key.value()
        .ok_or_else(|| CommandError::invalid("there is no such key, name one that holds a sketch"))
}
