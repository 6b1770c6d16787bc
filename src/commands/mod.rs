//! The commands, a file each: arguments in, call below, reply out.
//!
//! Every word of a syntax ends in a field or a variant here, and one that nobody reads does not compile.
#![deny(dead_code)]
#![deny(unsafe_code)]

pub mod cube;
mod errors;
mod fields;
pub mod rebuild;
pub mod replay;
pub mod sketch;
#[cfg(feature = "test-commands")]
pub mod test;

use crate::server::error::CommandError;
use std::ops::RangeInclusive;

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
