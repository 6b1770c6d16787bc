//! The accuracy monitor: estimates held against exact counts, over time.
//!
//! A sketch promises an error, and the promise is mathematics. Whether a *deployment* keeps it is another question:
//! elements may be spelled in two ways on their way into the sketch and into the table that is counted exactly, a
//! job may have failed for a day, or somebody chose a precision that is too low for the question. So now and then
//! somebody counts exactly, and the monitor keeps what came of it: a *sample*, one estimate beside the truth.
//!
//! * Samples belong to a *context*, a name that the user chooses: `mobile`, `checkout`, `daily`.
//! * The error of a sample is `|estimate - exact| / exact`, and its *level* says which threshold that has reached,
//!   the critical one being asked first.
//! * A context stands at the level of its last sample. When it rises, an *alert* is raised, once: a sample that is
//!   as bad as the one before it raises none, and one that is good again lets the next bad one raise another.
//! * A [`Report`] looks at the samples of a window: errors, a score, a trend, and which precision to use.
//!
//! Everything is bounded: samples, the oldest of which go first, contexts and the length of their names, alerts.
//! Which thresholds held and how many samples to keep is written into what is tracked ([`Observation`]), so that a
//! copy that is told of the same observations ends the same, whatever would hold there.

mod body;
mod report;
#[cfg(test)]
mod tests;

pub use body::{
    Alert, Level, MAX_ALERTS, MAX_CONTEXT_BYTES, MAX_CONTEXTS, MAX_SAMPLES, Monitor, Observation,
    Refused, Sample, Thresholds,
};
pub use report::{Cause, Direction, Recommendation, Report, Section, Summary, Trend};
