//! The dense form: m registers, and for a sketch that has only been added to, the running
//! martingale estimate beside them.

use super::allocation::Relocate;
use super::estimate::{Estimate, Hip, Method, Occupancy};
use super::kernels;
use super::precision::Precision;
use super::register::{self, HISTORY, Register};
use super::token::{self, Token, TokenSet};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// Why a string of bytes is not the registers of a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRegisters;

/// Where the registers came from, with what that allows to be known beside them.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
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
    Merged(CachedEstimate),
    /// Merged with or made from a classical HyperLogLog: both history bits of every register are
    /// 0 and mean "unknown".
    Plain(CachedEstimate),
}

impl Origin {
    /// Anywhere, and nothing computed from the registers yet.
    fn merged(history: bool) -> Origin {
        match history {
            true => Origin::Merged(CachedEstimate::default()),
            false => Origin::Plain(CachedEstimate::default()),
        }
    }
}

/// The maximum-likelihood estimate from registers and its variance, once somebody has asked for them.
/// Whatever changes a register begins with a new one. What has been computed already makes no
/// difference between two sketches.
#[derive(Clone, Debug, Default)]
pub struct CachedEstimate(OnceLock<(f64, f64)>);

impl PartialEq for CachedEstimate {
    fn eq(&self, _: &CachedEstimate) -> bool {
        true
    }
}

/// m registers, and where they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    registers: Box<[Register]>,
    origin: Origin,
}

impl Dense {
    /// The registers of a sparse sketch's tokens, with the martingale estimate starting from
    /// their count. `tokens` must not be empty.
    pub fn from_tokens(tokens: &TokenSet, precision: Precision) -> Dense {
        let mut dense = Dense {
            registers: tokens.registers(precision).into_boxed_slice(),
            origin: Origin::merged(true),
        };
        let start = Estimate::from_tokens(tokens.len());
        let hip = Hip {
            value: start.value,
            variance: start.variance,
        };
        dense.resume(hip);
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
            registers: registers.into_boxed_slice(),
            origin: Origin::merged(history),
        })
    }

    /// The same with a martingale estimate to be continued. `Ok(None)` if it does not belong to these
    /// registers: empty and full ones have none, and each register in use has added at least 1.
    pub fn added(
        registers: Vec<Register>,
        precision: Precision,
        hip: Hip,
    ) -> Result<Option<Dense>, InvalidRegisters> {
        let mut dense = Dense::from_registers(registers, precision, true)?;
        Ok(dense.resume(hip).then_some(dense))
    }

    /// Continues a martingale estimate; whether it can belong to these registers.
    fn resume(&mut self, hip: Hip) -> bool {
        let histogram = kernels::histogram(&self.registers);
        let occupancy = Occupancy::new(&histogram, self.precision(), true);
        let used = self.registers.len() - histogram[0] as usize;
        match u64::try_from(occupancy.unseen()) {
            Ok(unseen @ 1..) if hip.is_possible() && hip.value >= used as f64 => {
                self.origin = Origin::Added { hip, unseen };
                true
            }
            _ => false,
        }
    }

    /// From now on the registers alone are what is known.
    pub fn end_running_estimate(&mut self) {
        if let Origin::Added { .. } = self.origin {
            self.origin = Origin::merged(true);
        }
    }

    /// Whether no register has seen anything.
    pub fn is_empty(&self) -> bool {
        match self.origin {
            // It began with tokens.
            Origin::Added { .. } => false,
            Origin::Merged(_) | Origin::Plain(_) => self.registers.iter().all(|&r| r == 0),
        }
    }

    /// The registers, 2^p bytes.
    pub fn registers(&self) -> &[Register] {
        &self.registers
    }

    /// p.
    pub fn precision(&self) -> Precision {
        Precision::of_registers(self.registers.len())
    }

    /// Where the registers came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The running estimate, of registers that were only added to.
    pub fn running(&self) -> Option<Hip> {
        match self.origin {
            Origin::Added { hip, .. } => Some(hip),
            Origin::Merged(_) | Origin::Plain(_) => None,
        }
    }

    /// Whether the two bits below the highest level mean something.
    pub fn history(&self) -> bool {
        !matches!(self.origin, Origin::Plain(_))
    }

    /// One more element's hash; whether the sketch changed. This is the hot path: most hashes change
    /// nothing, and are told by a few instructions, without asking whether the registers are shared.
    #[inline]
    pub fn add_hash(this: &mut Arc<Dense>, hash: u64) -> bool {
        !register::recognize(&this.registers, hash) && Dense::update_own(this, hash)
    }

    /// More elements' hashes, in this order. What changed the sketch goes to the end of `changes`.
    pub(super) fn add_hashes(this: &mut Arc<Dense>, hashes: &[u64], changes: &mut Vec<Token>) {
        let known = kernels::first_unknown(&this.registers, hashes);
        if known == hashes.len() {
            return;
        }
        let dense = Arc::make_mut(this);
        let mut rest = &hashes[known..];
        while let Some((&hash, others)) = rest.split_first() {
            if dense.update(hash) {
                changes.push(token::from_hash(hash));
            }
            rest = &others[kernels::first_unknown(&dense.registers, others)..];
        }
    }

    #[inline(never)]
    fn update_own(this: &mut Arc<Dense>, hash: u64) -> bool {
        Arc::make_mut(this).update(hash)
    }

    /// Puts a hash in that its register may not know; whether the sketch changed.
    fn update(&mut self, hash: u64) -> bool {
        let precision = self.precision();
        let level = register::level(hash, precision);
        let history = self.history();
        let r = &mut self.registers[register::index(hash, precision)];
        let old = *r;
        let mut new = register::insert(old, level);
        if !history {
            new &= !HISTORY;
        }
        if new == old {
            return false;
        }
        *r = new;
        match &mut self.origin {
            Origin::Added { hip, unseen } => {
                hip.changed(*unseen);
                *unseen -= register::unseen_mass(old, precision, true)
                    - register::unseen_mass(new, precision, true);
                if *unseen == 0 {
                    self.origin = Origin::merged(true);
                }
            }
            Origin::Merged(estimate) | Origin::Plain(estimate) => {
                *estimate = CachedEstimate::default()
            }
        }
        true
    }

    /// Merges tokens in; whether a register changed. A change ends the martingale estimate: tokens
    /// come sorted by hash, which is not the random order it relies on.
    pub fn merge_tokens(&mut self, tokens: &[Token]) -> bool {
        let origin = self.origin.clone();
        self.end_running_estimate();
        let changed = tokens.iter().fold(false, |changed, &t| {
            let hash = token::to_hash(t);
            !register::recognize(&self.registers, hash) && self.update(hash) || changed
        });
        if !changed {
            self.origin = origin;
        }
        changed
    }

    /// Merges another sketch of the same or a higher precision in; whether anything changed. While
    /// nothing does, every single element of the other one would have changed nothing either, and
    /// the martingale estimate stands. `next` are registers that will be wanted soon; see
    /// [`kernels::merge_into`].
    pub fn merge(&mut self, other: &Dense, next: &[Register]) -> bool {
        let theirs = other.registers_at(self.precision());
        if other.history() && self.history() {
            let changed = kernels::merge_into(&mut self.registers, &theirs, next);
            if changed {
                self.origin = Origin::merged(true);
            }
            changed
        } else {
            let had_history = self.history();
            self.origin = Origin::merged(false);
            kernels::merge_plain_into(&mut self.registers, &theirs) | had_history
        }
    }

    /// The registers at this or a lower precision.
    pub fn registers_at(&self, precision: Precision) -> Cow<'_, [Register]> {
        if precision == self.precision() {
            return Cow::Borrowed(&self.registers);
        }
        let mut folded = register::fold(&self.registers, self.precision(), precision);
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
        if to == self.precision() {
            return;
        }
        self.registers = self.registers_at(to).into_owned().into_boxed_slice();
        self.origin = Origin::merged(self.history());
    }

    fn occupancy(&self) -> Occupancy {
        Occupancy::new(
            &kernels::histogram(&self.registers),
            self.precision(),
            self.history(),
        )
    }

    /// Distinct elements.
    pub fn estimate(&self) -> Estimate {
        match &self.origin {
            Origin::Added { hip, .. } => hip.estimate(),
            Origin::Merged(cached) | Origin::Plain(cached) => {
                let &(value, variance) = cached.0.get_or_init(|| {
                    let estimate = self.occupancy().estimate();
                    (estimate.value, estimate.variance)
                });
                Estimate {
                    value,
                    variance,
                    method: Method::Ml,
                }
            }
        }
    }

    /// Bytes of this structure and its registers.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Dense>() + self.registers.len()
    }

    /// Moves the register array.
    pub(super) fn relocate(&mut self, mover: &mut impl Relocate) {
        let registers = std::mem::take(&mut self.registers).into_vec();
        self.registers = mover.array(registers).into_boxed_slice();
    }
}
