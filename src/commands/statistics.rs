//! What the commands count of their own work, for INFO and HLL.STATS. Since the server started; a replica counts what it
//! repeats of its primary's work too.

use crate::cube::Cube;
use crate::monitor::Level;
use crate::server::info::Counter;
use crate::sketch::Estimate;
use crate::sketch::estimate::Method;

/// Elements given to HLL.ADD.
pub static ELEMENTS_ADDED: Counter = Counter::new();

/// Estimates of one set, or of one union, in replies: by counting, ...
pub static ESTIMATES_EXACT: Counter = Counter::new();
/// ... by counting tokens that were cut, ...
pub static ESTIMATES_TOKENS: Counter = Counter::new();
/// ... by the martingale estimator, ...
pub static ESTIMATES_HIP: Counter = Counter::new();
/// ... and by maximum likelihood.
pub static ESTIMATES_ML: Counter = Counter::new();

/// Events counted in cubes.
pub static CUBE_EVENTS: Counter = Counter::new();
/// Of these, events of slices that were closed already.
pub static CUBE_LATE_EVENTS: Counter = Counter::new();
/// Events that came after all their slices were gone.
pub static CUBE_TOO_LATE_EVENTS: Counter = Counter::new();
/// Events whose ids had been counted before.
pub static CUBE_DUPLICATE_EVENTS: Counter = Counter::new();
/// Events that were counted in cells `(other)` when their slices were sealed, once for each such column.
pub static CUBE_OTHER_EVENTS: Counter = Counter::new();
/// Steps of sealing closed slices.
pub static CUBE_SEALING_STEPS: Counter = Counter::new();
/// Steps of making slices of others, of folding late events in and of giving memory back.
pub static CUBE_COMPACTION_STEPS: Counter = Counter::new();

/// Samples taken by accuracy monitors.
pub static ACCURACY_SAMPLES: Counter = Counter::new();
/// Alerts raised.
pub static ALERTS_WARNING: Counter = Counter::new();
/// See above.
pub static ALERTS_CRITICAL: Counter = Counter::new();

/// Counts an estimate that goes into a reply.
pub fn estimated(estimate: Estimate) -> Estimate {
    let counter = match estimate.method {
        Method::Exact => &ESTIMATES_EXACT,
        Method::Tokens => &ESTIMATES_TOKENS,
        Method::Hip => &ESTIMATES_HIP,
        Method::Ml => &ESTIMATES_ML,
    };
    counter.add_one();
    estimate
}

/// Counts what a write does to a cube.
pub fn written<R>(cube: &mut Cube, write: impl FnOnce(&mut Cube) -> R) -> R {
    let (before, late) = (cube.tally, cube.late());
    let result = write(cube);
    let after = cube.tally;
    CUBE_LATE_EVENTS.add(cube.late() - late);
    for (counter, before, after) in [
        (&CUBE_EVENTS, before.events, after.events),
        (&CUBE_TOO_LATE_EVENTS, before.too_late, after.too_late),
        (&CUBE_DUPLICATE_EVENTS, before.duplicates, after.duplicates),
        (&CUBE_OTHER_EVENTS, before.other_events, after.other_events),
        (
            &CUBE_SEALING_STEPS,
            before.sealing_steps,
            after.sealing_steps,
        ),
        (
            &CUBE_COMPACTION_STEPS,
            before.compaction_steps,
            after.compaction_steps,
        ),
    ] {
        counter.add(after - before);
    }
    result
}

/// Counts an alert.
pub fn alerted(level: Level) {
    match level {
        Level::Ok => {}
        Level::Warning => ALERTS_WARNING.add_one(),
        Level::Critical => ALERTS_CRITICAL.add_one(),
    }
}
