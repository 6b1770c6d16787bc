//! The commands, a file each: arguments in, call below, reply out.

pub mod add;
pub mod count;
pub mod create;
pub mod estimate;
pub mod export;
pub mod import;
pub mod info;
pub mod merge;
#[cfg(feature = "panic-command")]
pub mod panic;

use crate::server::call::Call;
use crate::server::error::CommandError;
use crate::server::key::ReadKey;
use crate::server::settings;
use crate::sketch::{Estimate, Precision, Sketch};

/// The empty sketch that a command makes where the client did not ask for a precision or a hash.
fn default_sketch(call: &Call) -> Result<Sketch, CommandError> {
    let precision = settings::default_precision();
    check_memory(call, precision)?;
    Ok(Sketch::new(precision, settings::default_hash()))
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
    key.sketch()?.ok_or_else(|| {
        CommandError::invalid("there is no such key, create it with HLL.ADD or HLL.CREATE")
    })
}
