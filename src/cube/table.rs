//! Hash tables that never pause: from the hash of something that is kept elsewhere to its number.
//!
//! **Slots.** A slot is 64 bits: a number of 32, and as many bits of the hash. So a slot knows by itself where it belongs
//! in a table of any size, no name has to be read and hashed again when the table grows, and hardly ever is a
//! name compared that turns out to be another one. The lowest of these bits is always set, which tells a slot that is
//! taken from an empty one.
//!
//! **Places.** The highest bits of the hash say where a slot's *home* is, and it lies there or, where that is taken,
//! in the next empty place behind it (linear probing: one cache line serves most searches). The last home has places
//! behind it too, as many as it takes, so nothing ever wraps around. What is removed leaves no mark: those
//! behind it that are not at home move up. Marks would have to be swept some day, and a table whose members come
//! and go with the hours would sweep all the time.
//!
//! **Growth.** From three quarters full, a table of twice the size takes over; below an eighth, one of half the
//! size. The slots do not move at once: each insertion and removal takes some from the end of the old array, which is in
//! pages and gives them back one by one. In the new array homes are in the opposite order, so what leaves the end
//! of the old one arrives at the beginning of the new one, and that, too, grows by a page at a time. A search looks
//! into one of the two only: a home above a border has moved, one below has not.

use super::paged::Paged;

/// The smallest table has two to the power of this many homes.
const FEWEST_BITS: u32 = 4;

/// And the largest: the lowest bit of a hash tells nothing.
const MOST_BITS: u32 = u32::BITS - 1;

/// Places that an insertion or removal frees from the array that is being left, or a few more. The move is over after a
/// sixteenth as many insertions as there were homes; until then at most 13 of 16 places are taken.
const PLACES_PER_STEP: usize = 16;

/// An empty place.
const EMPTY: u64 = 0;

/// See the head of this file. A clone shares its memory until one of the two is changed.
#[derive(Clone, Debug, Default)]
pub struct Table {
    current: Slots,
    left: Option<Left>,
    len: usize,
}

/// An array that is being left.
#[derive(Clone, Debug)]
struct Left {
    slots: Slots,
    /// Slots with homes below this are still here.
    border: usize,
}

#[derive(Clone, Debug)]
struct Slots {
    /// Those behind the last are empty.
    places: Paged<u64>,
    /// Homes are two to the power of this.
    bits: u32,
    /// All bits are set where homes are in the opposite order of hashes.
    order: u32,
}

/// The part of a hash that is kept.
#[inline]
fn tag_of_hash(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[inline]
fn slot(tag: u32, number: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(number)
}

#[inline]
fn tag_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

#[inline]
fn number_of(slot: u64) -> u32 {
    slot as u32
}

impl Table {
    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of what has this hash and is equal to what is looked for.
    #[inline]
    pub fn find(&self, hash: u64, mut is_equal: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag_of_hash(hash);
        let slots = match &self.left {
            Some(left) if left.has(tag) => &left.slots,
            _ => &self.current,
        };
        slots
            .behind(slots.home(tag))
            .filter(|(_, slot)| tag_of(*slot) == tag)
            .map(|(_, slot)| number_of(slot))
            .find(|&number| is_equal(number))
    }

    /// Puts the number of something in that is not there yet.
    pub fn insert(&mut self, hash: u64, number: u32) {
        self.step();
        let slot = slot(tag_of_hash(hash), number);
        self.slots_mut(tag_of(slot)).put(slot);
        self.len += 1;
        if self.len > self.current.homes() / 4 * 3 && self.current.bits < MOST_BITS {
            self.leave_for(self.current.bits + 1);
        }
    }

    /// Takes this number, of something with this hash, away; whether it was there.
    pub fn remove(&mut self, hash: u64, number: u32) -> bool {
        self.step();
        let slot = slot(tag_of_hash(hash), number);
        if !self.slots_mut(tag_of(slot)).take(slot) {
            return false;
        }
        self.len -= 1;
        if self.len < self.current.homes() / 8 && self.current.bits > FEWEST_BITS {
            self.leave_for(self.current.bits - 1);
        }
        true
    }

    /// Bytes on the heap; see [`Paged::memory_bytes`]. O(1).
    pub fn memory_bytes(&self) -> usize {
        let left = self.left.as_ref();
        self.current.places.memory_bytes() + left.map_or(0, |left| left.slots.places.memory_bytes())
    }

    /// The array where slots of this tag are.
    fn slots_mut(&mut self, tag: u32) -> &mut Slots {
        match &mut self.left {
            Some(left) if left.has(tag) => &mut left.slots,
            _ => &mut self.current,
        }
    }

    /// Begins to move to an array of another size, unless a move is under way.
    fn leave_for(&mut self, bits: u32) {
        if self.left.is_some() {
            return;
        }
        let next = Slots {
            places: Paged::default(),
            bits,
            order: !self.current.order,
        };
        let slots = std::mem::replace(&mut self.current, next);
        let border = slots.homes();
        self.left = Some(Left { slots, border });
    }

    /// Moves on. It stops behind an empty place: no slot with a home before one lies behind it.
    fn step(&mut self) {
        let Some(left) = &mut self.left else {
            return;
        };
        let mut places = 0;
        while let Some(slot) = left.slots.places.pop() {
            places += 1;
            if slot != EMPTY {
                self.current.put(slot);
            } else if places >= PLACES_PER_STEP {
                break;
            }
        }
        left.border = left.border.min(left.slots.places.len());
        if left.slots.places.is_empty() {
            self.left = None;
        }
    }
}

impl Left {
    #[inline]
    fn has(&self, tag: u32) -> bool {
        self.slots.home(tag) < self.border
    }
}

impl Default for Slots {
    fn default() -> Slots {
        Slots {
            places: Paged::default(),
            bits: FEWEST_BITS,
            order: 0,
        }
    }
}

impl Slots {
    #[inline]
    fn homes(&self) -> usize {
        1 << self.bits
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((tag ^ self.order) >> (u32::BITS - self.bits)) as usize
    }

    /// The slots from a place on, each with its place, up to the next empty one.
    #[inline]
    fn behind(&self, place: usize) -> impl Iterator<Item = (usize, u64)> {
        (place..).map_while(|place| match self.places.get(place) {
            None | Some(&EMPTY) => None,
            Some(&slot) => Some((place, slot)),
        })
    }

    fn put(&mut self, slot: u64) {
        let home = self.home(tag_of(slot));
        let place = self.behind(home).last().map_or(home, |(last, _)| last + 1);
        self.places.fill_to(place + 1);
        self.set(place, slot);
    }

    fn set(&mut self, place: usize, slot: u64) {
        if let Some(place) = self.places.get_mut(place) {
            *place = slot;
        }
    }

    /// Takes a slot out; whether it was there.
    fn take(&mut self, slot: u64) -> bool {
        let home = self.home(tag_of(slot));
        let found = self.behind(home).find(|&(_, other)| other == slot);
        let Some((mut gap, _)) = found else {
            return false;
        };
        // Whoever has a home at or before the gap would not be found behind it.
        for place in gap + 1.. {
            let next = self.places.get(place).copied().unwrap_or(EMPTY);
            if next == EMPTY {
                break;
            }
            if self.home(tag_of(next)) <= gap {
                self.set(gap, next);
                gap = place;
            }
        }
        self.set(gap, EMPTY);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::paged::PAGE_BYTES;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use xxhash_rust::xxh3::xxh3_64;

    /// What has this number is the number itself.
    fn find(table: &Table, hash: impl Fn(u32) -> u64, number: u32) -> bool {
        table.find(hash(number), |other| other == number) == Some(number)
    }

    fn spread(number: u32) -> u64 {
        xxh3_64(&number.to_le_bytes())
    }

    /// Few different hashes, all at the two ends: clusters, ties, and places behind the last home.
    fn crowded(number: u32) -> u64 {
        let hash = u64::from(number % 7) << 61;
        if number.is_multiple_of(2) {
            hash
        } else {
            !hash
        }
    }

    /// Counts places and slots: all that a table may hold.
    fn check(table: &Table, hash: impl Fn(u32) -> u64, model: &BTreeSet<u32>, bound: u32) {
        assert_eq!(
            (table.len(), table.is_empty()),
            (model.len(), model.is_empty())
        );
        for number in 0..bound {
            assert_eq!(
                find(table, &hash, number),
                model.contains(&number),
                "{number}"
            );
        }
        let left = table.left.as_ref().map(|left| &left.slots);
        let slots = [Some(&table.current), left].into_iter().flatten();
        let taken = slots.flat_map(|slots| slots.places.iter());
        assert_eq!(taken.filter(|&&slot| slot != EMPTY).count(), model.len());
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_a_clone_stays_as_it_was(
            steps in prop::collection::vec((any::<bool>(), 0u32..200, 0u8..20), 0..600),
            growing in any::<bool>(),
            is_crowded in any::<bool>(),
        ) {
            let hash = if is_crowded { crowded } else { spread };
            let (mut table, mut model) = (Table::default(), BTreeSet::new());
            let mut clone = None;
            for (at, (insert, number, dice)) in steps.into_iter().enumerate() {
                // First more come than go, then the other way round.
                let insert = insert || (growing == (at < 300) && dice % 2 == 0);
                if insert && model.insert(number) {
                    table.insert(hash(number), number);
                } else if !insert {
                    prop_assert_eq!(table.remove(hash(number), number), model.remove(&number));
                }
                prop_assert_eq!(find(&table, hash, number), insert);
                if dice == 0 {
                    clone = Some((table.clone(), model.clone()));
                }
            }
            check(&table, hash, &model, 200);
            if let Some((table, model)) = clone {
                check(&table, hash, &model, 200);
            }
        }
    }

    #[test]
    fn every_number_is_found_while_the_table_grows_and_shrinks() {
        let (mut table, mut model) = (Table::default(), BTreeSet::new());
        for number in 0..2_000 {
            table.insert(spread(number), number);
            model.insert(number);
            if number % 37 == 0 {
                check(&table, spread, &model, number + 50);
            }
        }
        let most = table.current.bits;
        for number in 0..2_000 {
            assert!(table.remove(spread(number), number));
            assert!(!table.remove(spread(number), number));
            model.remove(&number);
            if number % 37 == 0 {
                check(&table, spread, &model, 2_000);
            }
        }
        assert!(most >= 11 && table.current.bits <= FEWEST_BITS + 1);
    }

    #[test]
    fn all_numbers_may_share_one_hash() {
        let mut table = Table::default();
        (0..300).for_each(|number| table.insert(u64::MAX, number));
        assert!((0..300).all(|number| find(&table, |_| u64::MAX, number)));
        assert!((0..300).all(|number| table.remove(u64::MAX, number)));
        assert!(table.is_empty());
    }

    #[test]
    fn the_least_and_the_greatest_numbers_and_hashes_are_as_good_as_others() {
        let mut table = Table::default();
        for (hash, number) in [(0, 0), (0, u32::MAX), (u64::MAX, 0), (u64::MAX, u32::MAX)] {
            assert_eq!(table.find(hash, |other| other == number), None);
            table.insert(hash, number);
            assert_eq!(table.find(hash, |other| other == number), Some(number));
        }
    }

    #[test]
    fn names_are_hardly_ever_compared_for_nothing() {
        let mut table = Table::default();
        (0..20_000).for_each(|number| table.insert(spread(number), number));
        let mut comparisons = 0;
        for number in 20_000..40_000 {
            let found = table.find(spread(number), |_| {
                comparisons += 1;
                false
            });
            assert_eq!(found, None);
        }
        assert!(comparisons < 20, "{comparisons}");
    }

    #[test]
    fn nothing_doubles_at_once_and_nothing_is_freed_at_once() {
        let (mut table, mut bytes) = (Table::default(), 0);
        let mut check = |table: &Table| {
            let change = table.memory_bytes().abs_diff(bytes);
            assert!(change <= 2 * PAGE_BYTES, "{change} at {}", table.len());
            bytes = table.memory_bytes();
        };
        for number in 0..150_000 {
            table.insert(spread(number), number);
            check(&table);
            assert!(table.memory_bytes() <= 1024 + 24 * table.len() + 2 * PAGE_BYTES);
        }
        for number in 0..150_000 {
            table.remove(spread(number), number);
            check(&table);
        }
        assert!(bytes < 2048, "{bytes}");
    }

    #[test]
    fn a_move_ends_long_before_the_next_one_begins() {
        let mut table = Table::default();
        for number in 0..100_000 {
            let before = table.current.bits;
            table.insert(spread(number), number);
            if table.current.bits != before {
                let left = table.left.as_ref().map(|left| left.slots.bits);
                assert_eq!(left, Some(before));
            }
            if table.left.is_some() {
                assert!(table.len() <= table.current.homes() * 13 / 32 + 1);
            }
        }
    }
}
