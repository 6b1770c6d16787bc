//! How long the parts of an answer take: what a question is expected to cost before it is begun, and how much of it is
//! done at a time.
//!
//! Work is counted, not timed, so that the same question takes the same steps everywhere. The constants are times of
//! one core of an AMD EPYC, rounded up.

use crate::sketch::Precision;

/// Nanoseconds to look at a cell on the way, and to note what it has for its row.
pub const SCAN: f64 = 10.0;

/// Nanoseconds to look at what was noted for a row.
pub const PASS: f64 = 2.0;

/// Nanoseconds to find a cell by its number.
pub const SEEK: f64 = 60.0;

/// Nanoseconds for each token that is united.
pub const TOKEN: f64 = 4.0;

/// Nanoseconds for each byte of registers that is united.
const MERGE: f64 = 0.1;

/// Nanoseconds to estimate from registers: for itself, and for each.
const ESTIMATE: f64 = 4_000.0;
const ESTIMATE_REGISTER: f64 = 0.5;

/// Nanoseconds for each cell and each byte that a column is made of, where that is still to be done.
pub const MAKE_CELL: f64 = 150.0;
/// See [`MAKE_CELL`].
pub const MAKE_BYTE: f64 = 1.0;

/// Nanoseconds to decide which row a number belongs to.
pub const SELECT: f64 = 30.0;

/// Nanoseconds to put a row's name in its place among others, for each comparison.
pub const COMPARE: f64 = 40.0;

/// Nanoseconds of a step. Whoever waits for something else has it after about this time.
const STEP: f64 = 300_000.0;

/// To unite so many bytes of users: registers, or tokens, which are short.
pub fn unite(bytes: f64) -> f64 {
    const LONGEST_LIST: f64 = 1_024.0;
    if bytes > LONGEST_LIST {
        bytes * MERGE
    } else {
        bytes / size_of::<u32>() as f64 * TOKEN
    }
}

/// To estimate how many users a union has that so many bytes came into: as long as these are few they are tokens, and
/// counted.
pub fn estimate(precision: Precision, bytes: f64) -> f64 {
    if bytes < (precision.max_tokens() * size_of::<u32>()) as f64 {
        return 0.0;
    }
    ESTIMATE + ESTIMATE_REGISTER * precision.registers() as f64
}

/// What is left of a step.
pub struct Budget(f64);

impl Budget {
    /// That of one step.
    pub fn of_a_step() -> Budget {
        Budget(STEP)
    }

    /// Work that was done, in nanoseconds.
    #[inline]
    pub fn spend(&mut self, nanoseconds: f64) {
        self.0 -= nanoseconds;
    }

    /// Whether the step is over.
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.0 <= 0.0
    }
}
