//! Cells that are being written: of a slice that is still open, and of what comes late to one that is not.
//!
//! A column is an array of cells in the order in which their values first occurred, an index from a value's number
//! to the place of its cell, and an array for each sum, touched only by events that have the measure. Nothing here is
//! ever copied, cleared or doubled as a whole: cells and sums lie in pages, and so does the index, each of whose
//! pages stands for 1,024 neighbouring numbers and begins as a short sorted list. A late part, which has few cells
//! of many values, therefore costs little, and the index of a full column is a plain array where it is full.
//!
//! A clone shares all pages; the first write to one copies it. So an answer that is made elsewhere keeps what it was
//! asked about, and nobody waits for it.
//!
//! A column may have a limit on values. Up to four times as many are told apart while it is open, since which of them
//! are the heaviest is not known yet. Beyond that every new value takes the place of the lightest of the next sixteen
//! cells, which joins the cell [`OTHER`]; where the sixteen begin goes round, so that no cell stays for being where
//! it is. Which values stay apart in the end is decided when the slice is sealed.

use super::cell::OpenUsers;
use super::paged::Paged;
use super::schema::OTHER;
use super::users::{Cell, Sums};
use crate::sketch::Precision;
use std::sync::Arc;

/// Numbers of a page of the index.
const PAGE: usize = 1_024;

/// Entries up to which a page of the index is a list. A list of so many takes half of the memory of an array, and
/// moving its tail takes some nanoseconds.
const LONGEST_LIST: usize = 256;

/// Values kept apart for each value that may stay.
pub const SPARE: usize = 4;

/// Cells among which the lightest is looked for.
const CANDIDATES: usize = 16;

/// One more than the place of a cell; 0 where there is none.
type Place = u32;

#[derive(Clone, Debug)]
enum IndexPage {
    /// Numbers in their page, ascending, and the places.
    List(Vec<(u16, Place)>),
    /// The place of every number.
    Array(Box<[Place; PAGE]>),
}

/// Where the cell of a number is. Pages without cells are not there: the others stand in their order, each with its
/// place among all, where it is found at once unless one before it is missing. So a single high number takes one page.
#[derive(Clone, Debug, Default)]
struct Index {
    pages: Vec<(u32, Arc<IndexPage>)>,
    bytes: usize,
}

/// What a list of this capacity takes.
fn list_bytes(list: &Vec<(u16, Place)>) -> usize {
    list.capacity() * size_of::<(u16, Place)>()
}

/// What a page takes beside its entries.
const PAGE_BYTES: usize = 2 * size_of::<usize>() + size_of::<IndexPage>();

/// Which page a number is on, and where on it.
#[inline]
fn split(number: u32) -> (u32, usize) {
    (number / PAGE as u32, number as usize % PAGE)
}

impl Index {
    /// Where a page is, or where it would be put in.
    #[inline]
    fn place_of(&self, page: u32) -> Result<usize, usize> {
        match self.pages.get(page as usize) {
            Some(there) if there.0 == page => Ok(page as usize),
            _ => self.pages.binary_search_by_key(&page, |there| there.0),
        }
    }

    fn find(&self, number: u32) -> Option<usize> {
        let (page, within) = split(number);
        let page = &*self.pages[self.place_of(page).ok()?].1;
        let place = match page {
            IndexPage::Array(places) => places[within],
            IndexPage::List(list) => {
                let at = list.binary_search_by_key(&(within as u16), |entry| entry.0);
                list[at.ok()?].1
            }
        };
        (place as usize).checked_sub(1)
    }

    /// Puts a number in that is not there.
    fn insert(&mut self, number: u32, at: usize) {
        let (page, within) = split(number);
        let slot = self.place_of(page).unwrap_or_else(|slot| {
            let before = self.pages.capacity();
            let new = (page, Arc::new(IndexPage::List(Vec::new())));
            self.pages.insert(slot, new);
            let more = self.pages.capacity() - before;
            self.bytes += more * size_of::<(u32, Arc<IndexPage>)>() + PAGE_BYTES;
            slot
        });
        let page = &mut self.pages[slot].1;
        let page = Arc::make_mut(page);
        let place = at as Place + 1;
        match page {
            IndexPage::Array(places) => places[within] = place,
            IndexPage::List(list) if list.len() == LONGEST_LIST => {
                let mut places = Box::new([0; PAGE]);
                for &(within, place) in list.iter() {
                    places[usize::from(within)] = place;
                }
                places[within] = place;
                self.bytes = self.bytes - list_bytes(list) + size_of::<[Place; PAGE]>();
                *page = IndexPage::Array(places);
            }
            IndexPage::List(list) => {
                let before = list_bytes(list);
                let entry = (within as u16, place);
                let at = list.partition_point(|other| other.0 < entry.0);
                list.insert(at, entry);
                self.bytes = self.bytes - before + list_bytes(list);
            }
        }
    }

    fn remove(&mut self, number: u32) {
        let (page, within) = split(number);
        if let Ok(slot) = self.place_of(page) {
            match Arc::make_mut(&mut self.pages[slot].1) {
                IndexPage::Array(places) => places[within] = 0,
                IndexPage::List(list) => list.retain(|entry| usize::from(entry.0) != within),
            }
        }
    }

    /// The first number from this one on, and where its cell is.
    fn next(&self, from: u32) -> Option<(u32, usize)> {
        let (first, within) = split(from);
        let slot = self.place_of(first).unwrap_or_else(|slot| slot);
        for (number, page) in self.pages.iter().skip(slot) {
            let base = *number as usize * PAGE;
            let within = if *number == first { within } else { 0 };
            let found = match &**page {
                IndexPage::Array(places) => {
                    let taken = places[within..].iter().position(|&place| place != 0);
                    taken.map(|ahead| (within + ahead, places[within + ahead]))
                }
                IndexPage::List(list) => {
                    let at = list.partition_point(|entry| usize::from(entry.0) < within);
                    list.get(at)
                        .map(|&(within, place)| (usize::from(within), place))
                }
            };
            if let Some((within, place)) = found {
                return Some(((base + within) as u32, place as usize - 1));
            }
        }
        None
    }
}

/// A cell but for its sums.
#[derive(Clone, Debug)]
struct Slot {
    number: u32,
    events: u64,
    users: OpenUsers,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct OpenColumn {
    index: Index,
    slots: Paged<Slot>,
    /// How many sums each cell has.
    width: usize,
    /// For each sum, as long as the cells that have had one; none before the first has.
    sums: Vec<Paged<f64>>,
    /// Where the next candidates for [`OTHER`] begin.
    hand: usize,
    /// Bytes that users take beside their slots.
    users_bytes: usize,
    /// Bytes of everything, as of the last change.
    bytes: usize,
}

/// What became of a value that came to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// Its cell was there.
    Present,
    /// It has a cell now.
    Added,
    /// It has a cell now, which was that of this number; its content has gone to [`OTHER`].
    InPlaceOf(u32),
}

/// One event as a column sees it.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// Of the user, unless it is none that is counted.
    pub hash: Option<u64>,
    /// The places of sums, and what is added to them.
    pub sums: &'a [(usize, f64)],
}

impl OpenColumn {
    /// Without cells; each will have so many sums.
    pub fn new(sums: usize) -> OpenColumn {
        OpenColumn {
            index: Index::default(),
            slots: Paged::default(),
            width: sums,
            sums: Vec::new(),
            hand: 0,
            users_bytes: 0,
            bytes: 0,
        }
    }

    /// How many cells there are, [`OTHER`] included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sums each cell has.
    pub fn sums(&self) -> usize {
        self.width
    }

    /// Where the next candidates for [`OTHER`] begin: part of what decides the future.
    pub fn hand(&self) -> usize {
        self.hand
    }

    /// Whether this number has a cell.
    pub fn contains(&self, number: u32) -> bool {
        self.index.find(number).is_some()
    }

    /// Whether a value of this number has a cell, or may get one where so many values may have one.
    pub fn has_room_for(&self, number: u32, limit: Option<u32>) -> bool {
        limit.is_none_or(|limit| self.len() <= limit as usize) || self.contains(number)
    }

    /// Counts an event of this number, whose cell is made if it is missing. With a limit on values, it may take the
    /// place of another one. What became of the value, and by how many bytes the column has grown.
    pub fn count(
        &mut self,
        number: u32,
        limit: Option<u32>,
        precision: Precision,
        hit: Hit,
    ) -> (Entered, isize) {
        let (at, entered) = match self.index.find(number) {
            Some(at) => (at, Entered::Present),
            None => self.enter(number, limit, precision),
        };
        let mut resized = entered != Entered::Present;
        let Some(slot) = self.slots.get_mut(at) else {
            return (entered, 0);
        };
        slot.events += 1;
        if let Some(hash) = hit.hash {
            let more = slot.users.add_hash(hash, precision);
            self.users_bytes = self.users_bytes.wrapping_add_signed(more);
            resized |= more != 0;
        }
        for &(sum, amount) in hit.sums {
            resized |= self.add_sum(sum, at, amount);
        }
        let before = self.bytes;
        if resized {
            self.bytes = self.measured();
        }
        (entered, self.bytes as isize - before as isize)
    }

    /// Whether the array of the sum has become longer. A sum that the cells do not have is not added.
    fn add_sum(&mut self, sum: usize, at: usize, amount: f64) -> bool {
        if sum >= self.width {
            return false;
        }
        if self.sums.is_empty() {
            self.sums = vec![Paged::default(); self.width];
        }
        let sums = &mut self.sums[sum];
        let longer = sums.len() <= at;
        sums.fill_to(at + 1);
        if let Some(sum) = sums.get_mut(at) {
            *sum += amount;
        }
        longer
    }

    #[inline(never)]
    fn enter(&mut self, number: u32, limit: Option<u32>, precision: Precision) -> (usize, Entered) {
        let named = self.len() - usize::from(self.contains(OTHER));
        let full = limit.is_some_and(|limit| named >= limit as usize * SPARE);
        if !full || number == OTHER {
            return (self.push(number), Entered::Added);
        }
        let lightest = self.lightest_ahead();
        let displaced = self.number_at(lightest);
        self.fold_into_other(lightest, precision);
        self.index.remove(displaced);
        self.index.insert(number, lightest);
        self.slot(lightest).number = number;
        (lightest, Entered::InPlaceOf(displaced))
    }

    fn slot(&mut self, at: usize) -> &mut Slot {
        self.slots
            .get_mut(at)
            .expect("the index leads to slots that are there")
    }

    fn push(&mut self, number: u32) -> usize {
        let at = self.slots.len();
        self.index.insert(number, at);
        self.slots.push(Slot {
            number,
            events: 0,
            users: OpenUsers::NOBODY,
        });
        at
    }

    /// The place of the lightest of the next cells; of equal ones that of the lower number.
    fn lightest_ahead(&mut self) -> usize {
        let len = self.len();
        let ahead = (0..len).map(|step| (self.hand + step) % len);
        let named = ahead.filter(|&at| self.number_at(at) != OTHER);
        let weight = |&at: &usize| {
            let events = self.slots.get(at).map_or(0, |slot| slot.events);
            (events, self.number_at(at))
        };
        let lightest = named.take(CANDIDATES).min_by_key(weight).unwrap_or(0);
        self.hand = (self.hand + CANDIDATES) % len;
        lightest
    }

    /// Moves what is in a cell to [`OTHER`], which is made if it is missing.
    fn fold_into_other(&mut self, at: usize, precision: Precision) {
        let other = match self.index.find(OTHER) {
            Some(other) => other,
            None => self.push(OTHER),
        };
        let slot = self.slot(at);
        let users = std::mem::replace(&mut slot.users, OpenUsers::NOBODY);
        let events = std::mem::take(&mut slot.events);
        self.users_bytes -= users.heap_bytes();
        let slot = self.slot(other);
        slot.events += events;
        let more = slot.users.absorb(users.users(), precision);
        self.users_bytes = self.users_bytes.wrapping_add_signed(more);
        for sum in 0..self.sums.len() {
            let amount = self.sums[sum].get_mut(at).map_or(0.0, std::mem::take);
            if amount != 0.0 {
                self.add_sum(sum, other, amount);
            }
        }
    }

    fn number_at(&self, at: usize) -> u32 {
        self.slots.get(at).map_or(OTHER, |slot| slot.number)
    }

    fn cell(&self, at: usize) -> Option<Cell<'_>> {
        let slot = self.slots.get(at)?;
        Some(Cell {
            number: slot.number,
            events: slot.events,
            sums: Sums::Arrays(&self.sums, at),
            users: slot.users.users(),
        })
    }

    /// The cell of a number.
    pub fn get(&self, number: u32) -> Option<Cell<'_>> {
        self.index.find(number).and_then(|at| self.cell(at))
    }

    /// The first cell whose number is this or a higher one.
    pub fn next(&self, from: u32) -> Option<Cell<'_>> {
        self.index.next(from).and_then(|(_, at)| self.cell(at))
    }

    /// The cells from this number on, by ascending numbers.
    pub fn iter_from(&self, from: u32) -> impl Iterator<Item = Cell<'_>> {
        let mut from = Some(from);
        std::iter::from_fn(move || {
            let cell = self.next(from?)?;
            from = cell.number.checked_add(1);
            Some(cell)
        })
    }

    /// The cells in the order in which they came to be, which is part of what decides the future.
    pub fn in_order(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.len()).filter_map(|at| self.cell(at))
    }

    /// The users of the cells, in the same order.
    pub fn users_in_order(&self) -> impl Iterator<Item = &OpenUsers> {
        self.slots.iter().map(|slot| &slot.users)
    }

    /// Puts a cell to the end, as reading it back requires; false if its number is there already.
    pub fn restore(&mut self, number: u32, events: u64, users: OpenUsers, sums: &[f64]) -> bool {
        if self.contains(number) || sums.len() != self.width {
            return false;
        }
        let at = self.push(number);
        self.users_bytes += users.heap_bytes();
        let slot = self.slot(at);
        slot.events = events;
        slot.users = users;
        for (sum, &amount) in sums.iter().enumerate() {
            if amount != 0.0 {
                self.add_sum(sum, at, amount);
            }
        }
        self.bytes = self.measured();
        true
    }

    /// Has the next candidates begin there; false if there is no such cell.
    pub fn restore_hand(&mut self, hand: usize) -> bool {
        self.hand = hand;
        hand < self.len().max(1)
    }

    /// Bytes that it occupies beside itself.
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    fn measured(&self) -> usize {
        let sums = self.sums.iter().map(Paged::memory_bytes).sum::<usize>();
        let arrays = self.sums.capacity() * size_of::<Paged<f64>>();
        self.index.bytes + self.slots.memory_bytes() + self.users_bytes + sums + arrays
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn an_index_is_a_map_whatever_numbers_there_are(
            numbers in prop::collection::vec(prop_oneof![0u32..3_000, 0u32..1 << 26, Just(u32::MAX)], 0..900),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..50),
            asked in prop::collection::vec(any::<u32>(), 20),
        ) {
            let (mut index, mut twin) = (Index::default(), BTreeMap::new());
            for (place, &number) in numbers.iter().enumerate() {
                prop_assert_eq!(index.find(number), twin.get(&number).copied());
                if twin.insert(number, place).is_none() {
                    index.insert(number, place);
                } else {
                    twin.insert(number, index.find(number).unwrap());
                }
            }
            for which in removed.iter().filter(|_| !numbers.is_empty()) {
                let number = *which.get(&numbers);
                index.remove(number);
                twin.remove(&number);
            }
            for number in asked.iter().chain(&numbers).copied() {
                prop_assert_eq!(index.find(number), twin.get(&number).copied());
                let next = twin.range(number..).next().map(|(&number, &place)| (number, place));
                prop_assert_eq!(index.next(number), next);
            }
            // A page for each number at most, and none for those before it.
            prop_assert!(index.pages.len() <= numbers.len());
        }
    }
}
