//! The commands on accuracy monitors.

pub mod alerts;
pub mod report;
pub mod reset;
pub mod track;

use crate::monitor::{Monitor, Thresholds};
use crate::server::error::CommandError;
use crate::server::key::ReadKey;
use crate::types::settings;

/// Those that hold now.
fn thresholds() -> Thresholds {
    Thresholds {
        warning: settings::ACCURACY_WARNING.get(),
        critical: settings::ACCURACY_CRITICAL.get(),
    }
}

/// The monitor of a command that reads one.
fn required<'k>(key: &'k ReadKey<Monitor>) -> Result<&'k Monitor, CommandError> {
    key.value().ok_or_else(|| {
        CommandError::invalid(
            "there is no such key, a monitor begins with its first HLL.ACCURACY.TRACK",
        )
    })
}
