//! Which numbers of a column belong to an answer, and to which row of it.
//!
//! Rows are told apart by *slots*, small numbers without gaps. Three cases have forms of their own, as they differ in
//! what is read:
//!
//! * Every number is a row: nothing is looked up, the slot is the number.
//! * A few numbers are named: their cells are read by number, and nothing else of the column.
//! * Anything else: a table says which slot each number has. The numbers of a slot are chained through it, so that
//!   it takes the same memory whether a thousand numbers belong to one row or to a thousand.
//!
//! The cell `(other)` belongs to no slot but, where every number is a row, to its own. It may hold what was asked for
//! and what was not, so a condition never takes it in, `NOT` no more than `IN`; the answer says that there may be more.

use super::super::intern::MembersSnapshot;
use super::super::question::Test;
use super::super::schema::OTHER;
use super::cost::{Budget, SELECT};
use std::collections::HashMap;

/// Numbers of the values of a combination, in some order; unused places are nought.
pub type Numbers = [u32; 4];

/// The place of a row among the rows of a column.
pub type Slot = u32;

/// No slot and no number.
pub const NONE: u32 = u32::MAX;

/// What stands behind the numbers of a column.
pub enum Combinations {
    /// Values of one dimension: a number is its own. All are below this one.
    Values(u32),
    /// Those of a group.
    Members(MembersSnapshot),
}

/// What the value at one place of a combination must be.
pub struct Accept {
    /// The place.
    pub place: usize,
    /// How the numbers are meant.
    pub test: Test,
    /// Ascending.
    pub numbers: Vec<u32>,
}

/// See the head of this file.
pub enum Selection {
    /// Every number but [`OTHER`] has the slot of the same number.
    Each,
    /// The slot and the number of each, ascending.
    Named(Vec<(Slot, u32)>),
    /// By a table, which may be unfinished.
    Table(Table),
}

/// See the head of this file.
#[derive(Default)]
pub struct Table {
    tests: Vec<Accept>,
    /// For each number that has been looked at: its slot, and the next number with the same.
    slots: Vec<Slot>,
    next: Vec<u32>,
    /// For each slot: its first and last number, and the values it stands for.
    ends: Vec<(u32, u32)>,
    values: Vec<Numbers>,
    found: HashMap<Numbers, Slot>,
}

impl Combinations {
    /// All numbers are below this one.
    pub fn bound(&self) -> u32 {
        match self {
            Combinations::Values(bound) => *bound,
            Combinations::Members(members) => members.bound(),
        }
    }

    /// What stands behind a number.
    pub fn get(&self, number: u32) -> Option<Numbers> {
        match self {
            Combinations::Values(_) => Some([number, 0, 0, 0]),
            Combinations::Members(members) => members.get(number).copied(),
        }
    }
}

impl Accept {
    fn accepts(&self, numbers: &Numbers) -> bool {
        let named = self.numbers.binary_search(&numbers[self.place]).is_ok();
        match self.test {
            Test::In => named,
            Test::NotIn => !named,
        }
    }
}

/// The numbers at these places, one after the other.
pub fn at_places(numbers: Numbers, places: &[usize]) -> Numbers {
    let mut chosen = [0; 4];
    for (chosen, &place) in chosen.iter_mut().zip(places) {
        *chosen = numbers[place];
    }
    chosen
}

impl Table {
    /// Of numbers that pass all tests, none looked at yet.
    pub fn new(tests: Vec<Accept>) -> Table {
        Table {
            tests,
            ..Table::default()
        }
    }

    /// Looks at more numbers, those with the same values at the places `by` sharing a slot; whether it is finished.
    pub fn extend(&mut self, all: &Combinations, by: &[usize], budget: &mut Budget) -> bool {
        let bound = all.bound();
        while (self.slots.len() as u32) < bound {
            if budget.is_spent() {
                return false;
            }
            budget.spend(SELECT);
            let number = self.slots.len() as u32;
            let accepted = all
                .get(number)
                .filter(|_| number != OTHER)
                .filter(|numbers| self.tests.iter().all(|test| test.accepts(numbers)));
            let slot = accepted.map_or(NONE, |numbers| self.chain(number, at_places(numbers, by)));
            self.slots.push(slot);
            self.next.push(NONE);
        }
        true
    }

    /// Puts a number at the end of its slot.
    fn chain(&mut self, number: u32, values: Numbers) -> Slot {
        let new = self.ends.len() as Slot;
        let slot = *self.found.entry(values).or_insert(new);
        if slot == new {
            self.ends.push((number, number));
            self.values.push(values);
        } else {
            let last = &mut self.ends[slot as usize].1;
            self.next[*last as usize] = number;
            *last = number;
        }
        slot
    }

    /// The slot of these values, if there are numbers that have them.
    fn slot_of(&self, values: Numbers) -> Option<Slot> {
        self.found.get(&values).copied()
    }

    /// The slot of a number, or [`NONE`].
    #[inline]
    pub fn slot(&self, number: u32) -> Slot {
        self.slots.get(number as usize).copied().unwrap_or(NONE)
    }
}

impl Selection {
    /// Where the numbers of a slot begin.
    pub fn first(&self, slot: Slot) -> Option<u32> {
        match self {
            Selection::Each => Some(slot),
            Selection::Named(named) => {
                let at = named.partition_point(|&(other, _)| other < slot);
                named.get(at).filter(|one| one.0 == slot)?;
                Some(at as u32)
            }
            Selection::Table(table) => Some(table.ends.get(slot as usize)?.0),
        }
    }

    /// Where they go on after a place.
    pub fn after(&self, place: u32) -> Option<u32> {
        match self {
            Selection::Each => None,
            Selection::Named(named) => {
                let at = place as usize;
                let next = named.get(at + 1)?;
                (next.0 == named[at].0).then_some(place + 1)
            }
            Selection::Table(table) => {
                Some(table.next[place as usize]).filter(|&next| next != NONE)
            }
        }
    }

    /// The number at a place.
    pub fn number(&self, place: u32) -> u32 {
        match self {
            Selection::Each | Selection::Table(_) => place,
            Selection::Named(named) => named[place as usize].1,
        }
    }

    /// The numbers of the values that a slot stands for, in the order that they were asked by.
    pub fn values(&self, slot: Slot, all: &Combinations, by: &[usize]) -> Numbers {
        match self {
            Selection::Each => at_places(all.get(slot).unwrap_or_default(), by),
            Selection::Named(_) => {
                let number = self.first(slot).map(|place| self.number(place));
                at_places(
                    number
                        .and_then(|number| all.get(number))
                        .unwrap_or_default(),
                    by,
                )
            }
            Selection::Table(table) => table.values.get(slot as usize).copied().unwrap_or_default(),
        }
    }

    /// The slot that has these values in a selection that rows come from by a table. Numbers that are named there make
    /// one row.
    pub fn slot_of_values(&self, values: Numbers) -> Option<Slot> {
        match self {
            Selection::Table(table) => table.slot_of(values),
            Selection::Each | Selection::Named(_) => Some(0),
        }
    }

    /// The slot that stands for a value of the only dimension that was asked by; `None` where nothing does.
    pub fn slot_of(&self, value: u32) -> Option<Slot> {
        match self {
            Selection::Each => Some(value),
            Selection::Named(named) => {
                let mut slots = named.iter().filter(|&&(_, number)| number == value);
                slots.next().map(|&(slot, _)| slot)
            }
            Selection::Table(table) => table.slot_of([value, 0, 0, 0]),
        }
    }

    /// About how many numbers belong to it, for the estimate of costs.
    pub fn numbers(&self, all: &Combinations) -> usize {
        match self {
            Selection::Named(named) => named.len(),
            Selection::Each | Selection::Table(_) => all.bound() as usize,
        }
    }
}
