//! The commands, a file each: arguments in, call below, reply out.
//!
//! Every word of a syntax ends in a field or a variant here, and one that nobody reads does not compile.
#![deny(dead_code)]
#![deny(unsafe_code)]

pub mod cluster;
pub mod cube;
mod errors;
mod fields;
mod figures;
pub mod monitor;
pub mod rebuild;
pub mod replay;
pub mod sketch;
pub mod statistics;
pub mod stats;
#[cfg(feature = "test-commands")]
pub mod test;

use crate::server::error::CommandError;
use crate::server::syntax::{Defaulted, Number, Optional};
use std::ops::RangeInclusive;

/// `[CONFIDENCE confidence]`, a fraction: of the intervals in the answer.
const CONFIDENCE: Defaulted<Number, f64> = Defaulted(
    Optional("CONFIDENCE", Number("confidence", 0.5..=0.9999)),
    0.95,
);

/// Where a command makes what has to be new.
fn key_is_taken() -> CommandError {
    CommandError::invalid("the key is there already, delete it first or choose another one")
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
