//! How long the parts of an answer take: what a question is expected to cost before it is begun, and how much of it is
//! done at a time.
//!
//! Work is counted, not timed, so that the same question takes the same steps everywhere. The constants are times of
//! one core of an AMD EPYC, rounded up: benches/cube_costs.rs measures them, and puts whole answers beside what they were
//! expected to take.

use super::super::users::Content;
use crate::sketch::Precision;

/// Nanoseconds to look at a cell on the way, and to note what it has for its row.
pub const SCAN: f64 = 10.0;

/// Nanoseconds to look at what was noted for a row.
pub const PASS: f64 = 2.0;

/// Nanoseconds to find a cell by its number.
pub const SEEK: f64 = 120.0;

/// Nanoseconds to begin a row, and to end it.
pub const ROW: f64 = 150.0;

/// Nanoseconds for each token that is united, and more where it is unpacked first.
const TOKEN: f64 = 4.0;
const UNPACK_TOKEN: f64 = 10.0;

/// Nanoseconds for each register that is united, and more where it is unpacked first.
const REGISTER: f64 = 0.2;
const UNPACK_REGISTER: f64 = 1.1;

/// Nanoseconds for each token of a union that stays one, to put it in order.
const SORT: f64 = 20.0;

/// Nanoseconds for each row of an answer that is put into words and sent, for each of its figures, and more for one that
/// has an interval or stands beside another one.
const WRITE_ROW: f64 = 1_000.0;
const WRITE_FIGURE: f64 = 700.0;
const WRITE_INTERVAL: f64 = 2_000.0;

/// Nanoseconds to estimate from registers: for itself, and for each.
const ESTIMATE: f64 = 1_500.0;
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

/// To put a row with these figures into words, of which as many have intervals as this says, and send it.
pub fn write_row(figures: usize, intervals: usize) -> f64 {
    WRITE_ROW + figures as f64 * WRITE_FIGURE + intervals as f64 * WRITE_INTERVAL
}

/// Users that come into unions, counted by what it takes.
#[derive(Clone, Copy, Default)]
pub struct Effort {
    tokens: f64,
    registers: f64,
    /// To unpack them, in nanoseconds.
    unpacking: f64,
}

impl Effort {
    /// Of this share of some users.
    pub fn of(content: Content, share: f64) -> Effort {
        let tokens = (content.tokens + content.packed_tokens) as f64;
        let registers = (content.registers + content.packed_registers) as f64;
        let unpacking = content.packed_tokens as f64 * UNPACK_TOKEN
            + content.packed_registers as f64 * UNPACK_REGISTER;
        Effort {
            tokens: tokens * share,
            registers: registers * share,
            unpacking: unpacking * share,
        }
    }

    /// With more of them.
    pub fn add(&mut self, other: Effort) {
        self.tokens += other.tokens;
        self.registers += other.registers;
        self.unpacking += other.unpacking;
    }

    /// To take them into unions.
    pub fn uniting(self) -> f64 {
        self.tokens * TOKEN + self.registers * REGISTER + self.unpacking
    }

    /// To say how many there are in so many unions of cells of this precision that they came into. Tokens are put in
    /// order and counted. Where there are registers, or as many tokens, they are estimated: in at most so many unions as
    /// there are such cells, or such heaps of tokens.
    pub fn estimating(self, precision: Precision, unions: f64) -> f64 {
        let most_tokens = precision.max_tokens() as f64;
        let registers = precision.registers() as f64;
        let cells = (self.registers / registers).ceil() + (self.tokens / most_tokens).floor();
        let estimates = cells.min(unions);
        let sorted = self.tokens.min(unions * most_tokens);
        sorted * SORT + estimates * (ESTIMATE + ESTIMATE_REGISTER * registers)
    }
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
