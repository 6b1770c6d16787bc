//! What each row comes to, as far as a walk past all cells can tell.
//!
//! The walk does not look at who the users of a cell are, only at how many: a billionth of a second each, where a
//! union takes a millionth. What it notes decides which rows there are and in which order, and of users how many a
//! row can have at most, so that unions are made only of those rows that may be among the first.

use super::super::column::{Bound, Scanned};
use super::super::pack;
use super::super::schema::OTHER;
use super::super::source::{Settled, scanned};
use super::cost::{Budget, SCAN, SEEK};
use super::selection::{NONE, Selection, Slot};
use crate::sketch::{Estimate, Precision};
use std::ops::Range;

/// Notes for the slots of a column, by their number; as long as the highest slot with a cell needs.
pub enum Ledger {
    /// Events.
    Events(Vec<u64>),
    /// Events, and the sum at a position.
    Sums {
        /// The position.
        at: usize,
        /// By slot.
        rows: Vec<(u64, f64)>,
    },
    /// How many users there are if no two cells of a slot have one in common, plus one: nought is no cell at all.
    Reach(Vec<u32>, Reach),
}

/// How far the number of users may exceed what is noted.
#[derive(Clone, Copy)]
pub struct Reach {
    /// From so many on, users may be in registers: it is the most that tokens alone come to.
    registers: u32,
    /// What an estimate from registers may exceed the sum by.
    excess: f64,
    /// The fewest that tokens have.
    index_bits: u32,
}

/// Cells that a walk passes before it asks whether the step is over.
const STRIDE: usize = 8_192;

/// An estimate from registers exceeds the truth by this many standard deviations in one case out of a billion.
const DEVIATIONS: f64 = 6.0;

impl Reach {
    /// For cells of a precision, of which some may have been folded to a lower one.
    pub fn new(precision: Precision, lowest: Precision) -> Reach {
        Reach {
            registers: precision.max_tokens() as u32,
            excess: 1.0 + DEVIATIONS * lowest.merged_error(),
            index_bits: pack::index_bits(lowest),
        }
    }

    fn noted(self, users: Bound) -> u32 {
        match users {
            Bound::Tokens(count) => count as u32,
            // Casts end at the largest number.
            Bound::Estimate(value) => (value.ceil() as u32).max(self.registers),
        }
    }

    /// The most users that this note may stand for.
    fn bound(self, noted: u32) -> f64 {
        let sum = noted.saturating_sub(1);
        if sum < self.registers {
            Estimate::from_cut_tokens(sum as usize, self.index_bits).value
        } else if noted == u32::MAX {
            f64::INFINITY
        } else {
            f64::from(sum) * self.excess
        }
    }

    /// The lowest note that may stand for so many users, so that many notes can be compared with one number.
    pub fn least(self, users: f64) -> u32 {
        let (mut low, mut high) = (0, u32::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.bound(middle) < users {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

/// The place of a slot in an array that grows to have it.
#[inline]
fn place<T: Default + Clone>(rows: &mut Vec<T>, slot: Slot) -> &mut T {
    let at = slot as usize;
    if at >= rows.len() {
        grow(rows, at);
    }
    &mut rows[at]
}

#[cold]
#[inline(never)]
fn grow<T: Default + Clone>(rows: &mut Vec<T>, at: usize) {
    rows.resize(at + 1, T::default());
}

impl Ledger {
    /// One past the highest slot that has cells.
    pub fn len(&self) -> usize {
        match self {
            Ledger::Events(rows) => rows.len(),
            Ledger::Sums { rows, .. } => rows.len(),
            Ledger::Reach(rows, _) => rows.len(),
        }
    }

    /// Whether a slot has cells.
    pub fn has(&self, slot: Slot) -> bool {
        self.count(slot..slot + 1) > 0
    }

    /// How many of these slots have cells.
    pub fn count(&self, slots: Range<Slot>) -> usize {
        let slots = slots.start as usize..slots.end as usize;
        match self {
            Ledger::Events(rows) => rows[slots].iter().filter(|&&events| events != 0).count(),
            Ledger::Sums { rows, .. } => rows[slots].iter().filter(|row| row.0 != 0).count(),
            Ledger::Reach(rows, _) => rows[slots].iter().filter(|&&noted| noted != 0).count(),
        }
    }

    /// Notes the cells of a source from a number on. Returns where to go on after this step, or `None` where all have
    /// been noted.
    pub fn note(
        &mut self,
        source: &Settled,
        selection: &Selection,
        from: u32,
        budget: &mut Budget,
    ) -> Option<u32> {
        match selection {
            Selection::Each => {
                let slot = |number| if number == OTHER { NONE } else { number };
                self.walk(source, from, slot, budget)
            }
            Selection::Table(table) => self.walk(source, from, |number| table.slot(number), budget),
            Selection::Named(named) => {
                let mut reader = source.reader();
                for (at, &(slot, number)) in named.iter().enumerate().skip(from as usize) {
                    if budget.is_spent() {
                        return Some(at as u32);
                    }
                    budget.spend(SEEK);
                    if let Some(cell) = reader.seek(number) {
                        self.note_cell(slot, &scanned(cell));
                    }
                }
                None
            }
        }
    }

    fn walk(
        &mut self,
        source: &Settled,
        from: u32,
        slot: impl Fn(u32) -> Slot,
        budget: &mut Budget,
    ) -> Option<u32> {
        let mut next = Some(from);
        while let Some(from) = next
            && !budget.is_spent()
        {
            budget.spend(SCAN * STRIDE.min(source.len()) as f64);
            next = self.stride(source, from, &slot);
        }
        next
    }

    fn note_cell(&mut self, slot: Slot, cell: &Scanned) {
        match self {
            Ledger::Events(rows) => note_events(rows, slot, cell),
            Ledger::Sums { at, rows } => note_sum(rows, *at, slot, cell),
            Ledger::Reach(rows, reach) => note_reach(rows, *reach, slot, cell),
        }
    }

    /// Which of the three it is, is asked once for many cells.
    fn stride(&mut self, source: &Settled, from: u32, slot: impl Fn(u32) -> Slot) -> Option<u32> {
        match self {
            Ledger::Events(rows) => source.scan(from, STRIDE, |cell| {
                note_events(rows, slot(cell.number), &cell);
            }),
            Ledger::Sums { at, rows } => source.scan(from, STRIDE, |cell| {
                note_sum(rows, *at, slot(cell.number), &cell);
            }),
            Ledger::Reach(rows, reach) => source.scan(from, STRIDE, |cell| {
                note_reach(rows, *reach, slot(cell.number), &cell);
            }),
        }
    }
}

#[inline]
fn note_events(rows: &mut Vec<u64>, slot: Slot, cell: &Scanned) {
    if slot != NONE {
        let row = place(rows, slot);
        *row = row.saturating_add(cell.events);
    }
}

#[inline]
fn note_sum(rows: &mut Vec<(u64, f64)>, at: usize, slot: Slot, cell: &Scanned) {
    if slot != NONE {
        let row = place(rows, slot);
        row.0 = row.0.saturating_add(cell.events);
        row.1 += cell.sums.get(at);
    }
}

#[inline]
fn note_reach(rows: &mut Vec<u32>, reach: Reach, slot: Slot, cell: &Scanned) {
    if slot != NONE {
        let row = place(rows, slot);
        *row = (*row).max(1).saturating_add(reach.noted(cell.users));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_least_note_is_the_first_that_may_stand_for_so_many(
            p in 4u8..=16,
            users in prop_oneof![0.0..100.0, 0.0..1e9f64],
        ) {
            let precision = Precision::new(p).unwrap();
            let reach = Reach::new(precision, precision);
            let least = reach.least(users);
            prop_assert!(reach.bound(least) >= users);
            prop_assert!(least == 0 || reach.bound(least - 1) < users);
        }
    }
}
