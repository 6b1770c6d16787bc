//! The dense form: m registers, and for a sketch that has only been added to, the running
//! martingale estimate beside them.

use super::Relocate;
use super::estimate::{Estimate, Hip, Occupancy};
use super::kernels;
use super::precision::Precision;
use super::register::{self, HISTORY, Register};
use super::token::{self, Token, TokenSet};
use std::borrow::Cow;

/// Why a string of bytes is not the registers of a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRegisters;

/// What is known beside the registers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memory {
    /// Only ever added to. `unseen` is the probability that a new element changes the sketch, in
    /// units of 2^-64, kept up to date by every change: an integer, so that it is the same number
    /// whether it was carried along or computed afresh from the registers.
    Added {
        /// The estimate so far.
        hip: Hip,
        /// Σ unseen mass of the registers. Not 2^64, because a dense sketch is never empty.
        unseen: u64,
    },
    /// Merged, folded or imported; registers with history.
    Merged,
    /// Merged with or made from a classical HyperLogLog: both history bits of every register are
    /// 0 and mean "unknown".
    Plain,
}

/// m registers and their memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    registers: Vec<Register>,
    precision: Precision,
    memory: Memory,
}

impl Dense {
    /// The registers of a sparse sketch's tokens, with the martingale estimate starting from
    /// their count. `tokens` must not be empty.
    pub fn from_tokens(tokens: &TokenSet, precision: Precision) -> Dense {
        let mut dense = Dense {
            registers: tokens.registers(precision),
            precision,
            memory: Memory::Merged,
        };
        let start = tokens.estimate();
        dense.resume(Hip {
            value: start.value,
            variance: start.variance,
        });
        dense
    }

    /// From registers that came from outside: 2^p of them, each a value that levels up to 65-p can
    /// make (and without history bits where there is no history).
    pub fn from_registers(
        registers: Vec<Register>,
        precision: Precision,
        history: bool,
    ) -> Result<Dense, InvalidRegisters> {
        // Levels that do not exist, and history of levels below 1. Byte comparisons without a way out of the
        // loop, so that it compiles to SIMD: foreign sketches are checked each time they are read.
        let top = (register::max_level(precision) << 2) as u8 | HISTORY;
        let impossible = |r: Register| {
            (r > top) | (r & HISTORY != 0) & (!history | (r < 2 << 2)) | (r & 1 != 0) & (r < 3 << 2)
        };
        let any = registers.iter().fold(false, |any, &r| any | impossible(r));
        if registers.len() != precision.registers() || any {
            return Err(InvalidRegisters);
        }
        Ok(Dense {
            registers,
            precision,
            memory: if history {
                Memory::Merged
            } else {
                Memory::Plain
            },
        })
    }

    /// Continues a martingale estimate that belongs to these registers. Whether it can: registers that
    /// are empty, full or without history have none, and each register in use has added at least 1.
    pub fn resume(&mut self, hip: Hip) -> bool {
        let used = self.registers.iter().filter(|&&r| r != 0).count();
        match u64::try_from(self.occupancy().unseen()) {
            Ok(unseen @ 1..) if self.history() && hip.value >= used as f64 => {
                self.memory = Memory::Added { hip, unseen };
                true
            }
            _ => false,
        }
    }

    /// From now on the registers alone are what is known.
    pub fn end_running_estimate(&mut self) {
        if let Memory::Added { .. } = self.memory {
            self.memory = Memory::Merged;
        }
    }

    /// Whether no register has seen anything.
    pub fn is_empty(&self) -> bool {
        self.registers.iter().all(|&r| r == 0)
    }

    /// The registers, 2^p bytes.
    pub fn registers(&self) -> &[Register] {
        &self.registers
    }

    /// p.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What is known beside the registers.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Whether the two bits below the highest level mean something.
    pub fn history(&self) -> bool {
        self.memory != Memory::Plain
    }

    /// One more element's hash; whether the sketch changed. This is the hot path.
    #[inline]
    pub fn add_hash(&mut self, hash: u64) -> bool {
        let level = register::level(hash, self.precision);
        let r = &mut self.registers[register::index(hash, self.precision)];
        let old = *r;
        let mut new = register::insert(old, level);
        if self.memory == Memory::Plain {
            new &= !HISTORY;
        }
        if new == old {
            return false;
        }
        *r = new;
        if let Memory::Added { hip, unseen } = &mut self.memory {
            hip.changed(*unseen);
            *unseen -= register::unseen_mass(old, self.precision, true)
                - register::unseen_mass(new, self.precision, true);
            if *unseen == 0 {
                self.memory = Memory::Merged;
            }
        }
        true
    }

    /// Merges tokens in; whether a register changed. A change ends the martingale estimate: tokens
    /// come sorted by hash, which is not the random order it relies on.
    pub fn merge_tokens(&mut self, tokens: &[Token]) -> bool {
        let memory = self.memory;
        self.end_running_estimate();
        let changed = tokens.iter().fold(false, |changed, &t| {
            self.add_hash(token::to_hash(t)) | changed
        });
        if !changed {
            self.memory = memory;
        }
        changed
    }

    /// Merges another sketch of the same or a higher precision in; whether anything changed. While
    /// nothing does, every single element of the other one would have changed nothing either, and
    /// the martingale estimate stands.
    pub fn merge(&mut self, other: &Dense) -> bool {
        let theirs = other.registers_at(self.precision);
        if other.history() && self.history() {
            let changed = kernels::merge_into(&mut self.registers, &theirs);
            if changed {
                self.memory = Memory::Merged;
            }
            changed
        } else {
            let had_history = self.history();
            self.memory = Memory::Plain;
            kernels::merge_plain_into(&mut self.registers, &theirs) | had_history
        }
    }

    /// The registers at this or a lower precision.
    pub fn registers_at(&self, precision: Precision) -> Cow<'_, [Register]> {
        if precision == self.precision {
            return Cow::Borrowed(&self.registers);
        }
        let mut folded = register::fold(&self.registers, self.precision, precision);
        if !self.history() {
            // Two unequal neighbours look like one register that remembers both; it does not.
            for r in &mut folded {
                *r &= !HISTORY;
            }
        }
        Cow::Owned(folded)
    }

    /// The same elements at a lower (or the same) precision.
    pub fn fold(&mut self, to: Precision) {
        if to == self.precision {
            return;
        }
        self.registers = self.registers_at(to).into_owned();
        self.precision = to;
        self.end_running_estimate();
    }

    fn occupancy(&self) -> Occupancy {
        Occupancy::new(
            &kernels::histogram(&self.registers),
            self.precision,
            self.history(),
        )
    }

    /// Distinct elements.
    pub fn estimate(&self) -> Estimate {
        match self.memory {
            Memory::Added { hip, .. } => hip.estimate(),
            Memory::Merged | Memory::Plain => self.occupancy().estimate(),
        }
    }

    /// Bytes of this structure and its registers.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Dense>() + self.registers.capacity()
    }

    /// Moves the register array.
    pub(super) fn relocate(&mut self, mover: &mut impl Relocate) {
        self.registers = mover.array(std::mem::take(&mut self.registers));
    }
}
