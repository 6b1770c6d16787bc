//! Small numbers for what is long: the values of a dimension, and the combinations of values of a group.
//!
//! Everything behind the door of a cube speaks of numbers: cells stand in arrays under them, sealed columns are sorted
//! by them. A number is in use as long as something refers to it, which is counted. When the last reference goes, the
//! number is free, and a new value takes the smallest that is: so numbers stay as dense as the values in use,
//! and arrays as short.
//!
//! **Which number comes next depends only on which are in use**, never on how that came about. A cube that was loaded
//! from a file goes on exactly like the one that wrote it.
//!
//! **Nothing waits.** Entries, references and the map of the numbers in use are in pages, the way from a value to
//! its number is a table that grows by steps, and another thread reads the names as they were through a clone that
//! shares their pages. References change much more often than names and have pages of their own, so they never
//! cause a copy of names that such a thread still reads.
//!
//! **Nobody chooses the collisions.** Values come from outside; the seed of their hash is random, and belongs to
//! the cube because tables of two copies should cost the same.

use super::paged::{ARC_COUNTS, Paged, allocated_bytes};
use super::schema::{GROUP_SIZE, MAX_VALUE_BYTES, OTHER, OTHER_NAME};
use super::table::Table;
use std::fmt::Debug;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The most numbers: more than the values that a dimension may keep apart while a slice is open, four times
/// [`MAX_VALUES`](super::schema::MAX_VALUES). With the shortest names they take 4 GB. And a file that claims to
/// have used the last one makes a reader allocate less than a megabyte for the gap.
pub const MAX_NUMBERS: usize = 1 << 26;

/// Bytes of a page of entries. Copying a page of names counts one more reference to each, somewhere in memory:
/// a thousand of them are copied in some ten microseconds.
const ENTRY_PAGE_BYTES: usize = 16 * 1024;

/// Free places behind the last number in use that a number given back takes away with it, at most.
const TRIMMED_PER_STEP: usize = 64;

/// What numbers are given to, or nothing (the default).
pub trait Entry: Clone + Default + Debug {
    /// As others see it.
    type View: ?Sized + PartialEq;

    /// Of a view.
    fn new(view: &Self::View) -> Self;

    /// `None` of nothing.
    fn view(&self) -> Option<&Self::View>;

    /// Whether there may be such an entry.
    fn is_valid(view: &Self::View) -> bool;

    /// Equal for equal views.
    fn hash(view: &Self::View, seed: u64) -> u64;

    /// Bytes that an entry of this view has on the heap.
    fn heap_bytes(view: &Self::View) -> usize;
}

/// The value of a dimension.
pub type Name = Option<Arc<[u8]>>;

impl Entry for Name {
    type View = [u8];

    fn new(name: &[u8]) -> Name {
        Some(name.into())
    }

    #[inline]
    fn view(&self) -> Option<&[u8]> {
        self.as_deref()
    }

    /// Neither empty nor too long, and not that of the cell [`OTHER`].
    fn is_valid(name: &[u8]) -> bool {
        (1..=MAX_VALUE_BYTES).contains(&name.len()) && name != OTHER_NAME
    }

    #[inline]
    fn hash(name: &[u8], seed: u64) -> u64 {
        xxh3_64_with_seed(name, seed)
    }

    fn heap_bytes(name: &[u8]) -> usize {
        let bytes = ARC_COUNTS + name.len();
        allocated_bytes(bytes.next_multiple_of(align_of::<usize>()))
    }
}

/// Numbers of the values of a group's dimensions, in their order; behind them nought.
pub type Combination = [u32; *GROUP_SIZE.end()];

impl Entry for Combination {
    type View = Combination;

    fn new(numbers: &Combination) -> Combination {
        *numbers
    }

    #[inline]
    fn view(&self) -> Option<&Combination> {
        (self[0] != OTHER).then_some(self)
    }

    /// As many numbers as a group has dimensions, and nothing behind them.
    fn is_valid(numbers: &Combination) -> bool {
        let used = numbers.iter().take_while(|&&number| number != OTHER);
        let used = used.count();
        GROUP_SIZE.contains(&used) && numbers[used..].iter().all(|&number| number == OTHER)
    }

    #[inline]
    fn hash(numbers: &Combination, seed: u64) -> u64 {
        let mut bytes = [0; size_of::<Combination>()];
        for (four, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
            *four = number.to_le_bytes();
        }
        xxh3_64_with_seed(&bytes, seed)
    }

    fn heap_bytes(_: &Combination) -> usize {
        0
    }
}

/// Entries and their numbers, from 1 on; see the head of this file. A clone shares its memory until one of the two is
/// changed.
#[derive(Clone, Debug)]
pub struct Numbering<E> {
    seed: u64,
    table: Table,
    /// That of number 1 first. The last one is in use, but for some that are still to be trimmed.
    entries: Paged<E, ENTRY_PAGE_BYTES>,
    /// As many: how often each is referred to.
    references: Paged<u32>,
    taken: Taken,
    /// Of all entries.
    heap_bytes: usize,
}

/// Values of a dimension and their numbers.
pub type Intern = Numbering<Name>;

/// Combinations of a group and their numbers.
pub type Members = Numbering<Combination>;

/// The combinations of [`Members`] as they were.
pub type MembersSnapshot = Snapshot<Combination>;

/// The entries of a [`Numbering`] as they were when it was taken.
#[derive(Clone, Debug)]
pub struct Snapshot<E> {
    entries: Paged<E, ENTRY_PAGE_BYTES>,
}

/// The names of an [`Intern`] as they were.
pub type Names = Snapshot<Name>;

impl<E: Entry> Numbering<E> {
    /// Without entries. The seed is that of their hash.
    pub fn new(seed: u64) -> Numbering<E> {
        Numbering {
            seed,
            table: Table::default(),
            entries: Paged::default(),
            references: Paged::default(),
            taken: Taken::default(),
            heap_bytes: 0,
        }
    }

    /// With these entries, nothing referring to any of them yet. `None` if numbers do not ascend or are out of range,
    /// or if an entry is there twice or may not be.
    pub fn restore<'a>(
        seed: u64,
        entries: impl IntoIterator<Item = (u32, &'a E::View)>,
    ) -> Option<Numbering<E>>
    where
        E::View: 'a,
    {
        let mut numbering = Numbering::new(seed);
        for (number, view) in entries {
            let index = index_of(number)?;
            let ascends = index >= numbering.entries.len() && index < MAX_NUMBERS;
            let hash = E::hash(view, seed);
            let is_new = numbering.find_hashed(hash, view).is_none();
            if !ascends || !is_new || !E::is_valid(view) {
                return None;
            }
            numbering.put(index, hash, view);
        }
        Some(numbering)
    }

    /// The seed of the hash.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The number of an entry.
    #[inline]
    pub fn find(&self, view: &E::View) -> Option<u32> {
        self.find_hashed(E::hash(view, self.seed), view)
    }

    /// The number of an entry, made now if need be: then nothing refers to it yet. It is [`OTHER`] for what there may
    /// not be, or if no number is free.
    #[inline]
    pub fn intern(&mut self, view: &E::View) -> u32 {
        let hash = E::hash(view, self.seed);
        match self.find_hashed(hash, view) {
            Some(number) => number,
            None => self.make(hash, view),
        }
    }

    /// One more refers to this number. Numbers without an entry, such as [`OTHER`], are not counted.
    #[inline]
    pub fn acquire(&mut self, number: u32) {
        if self.entry(number).is_some()
            && let Some(count) = self.count_mut(number)
        {
            *count = count.saturating_add(1);
        }
    }

    /// One less refers to this number; whether it was the last one, and the number is free again. A count that
    /// ever was the greatest possible stays.
    #[inline]
    pub fn release(&mut self, number: u32) -> bool {
        let Some(count) = self.count_mut(number) else {
            return false;
        };
        if *count == 0 || *count == u32::MAX {
            return false;
        }
        *count -= 1;
        let last = *count == 0;
        if last {
            self.give_back(number);
        }
        last
    }

    /// Gives a number back that nothing has referred to since it was made; whether it was one.
    pub fn discard_if_unused(&mut self, number: u32) -> bool {
        let is_unused =
            self.entry(number).is_some() && self.count_mut(number).is_some_and(|count| *count == 0);
        if is_unused {
            self.give_back(number);
        }
        is_unused
    }

    /// Whether something refers to every number that has an entry.
    pub fn are_all_used(&self) -> bool {
        let entries = self.entries.iter().zip(self.references.iter());
        entries
            .into_iter()
            .all(|(entry, &count)| entry.view().is_none() || count > 0)
    }

    /// The entries with their numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &E::View)> {
        let entries = (1..).zip(self.entries.iter());
        entries.filter_map(|(number, entry)| Some((number, entry.view()?)))
    }

    /// No number above this one has an entry.
    pub fn highest(&self) -> u32 {
        self.entries.len() as u32
    }

    /// The entries for another thread: a pointer for each page of a thousand.
    pub fn snapshot(&self) -> Snapshot<E> {
        Snapshot {
            entries: self.entries.clone(),
        }
    }

    /// Bytes on the heap; see [`Paged::memory_bytes`]. O(1).
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
            + self.entries.memory_bytes()
            + self.references.memory_bytes()
            + self.taken.memory_bytes()
            + self.heap_bytes
    }

    #[inline]
    fn entry(&self, number: u32) -> Option<&E::View> {
        entry_of(&self.entries, number)
    }

    #[inline]
    fn count_mut(&mut self, number: u32) -> Option<&mut u32> {
        self.references.get_mut(index_of(number)?)
    }

    #[inline]
    fn find_hashed(&self, hash: u64, view: &E::View) -> Option<u32> {
        let is_it = |number| self.entry(number).is_some_and(|other| other == view);
        self.table.find(hash, is_it)
    }

    #[inline(never)]
    fn make(&mut self, hash: u64, view: &E::View) -> u32 {
        let index = self.taken.first_free();
        if index >= MAX_NUMBERS || !E::is_valid(view) {
            return OTHER;
        }
        self.put(index, hash, view)
    }

    fn put(&mut self, index: usize, hash: u64, view: &E::View) -> u32 {
        let number = index as u32 + 1;
        self.entries.fill_to(index + 1);
        self.references.fill_to(index + 1);
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = E::new(view);
        }
        self.heap_bytes += E::heap_bytes(view);
        self.taken.take(index);
        self.table.insert(hash, number);
        number
    }

    /// Of a number that nothing refers to.
    fn give_back(&mut self, number: u32) {
        let Some(index) = index_of(number) else {
            return;
        };
        let entry = self.entries.get_mut(index).map(std::mem::take);
        let Some(view) = entry.as_ref().and_then(E::view) else {
            return;
        };
        self.table.remove(E::hash(view, self.seed), number);
        self.heap_bytes -= E::heap_bytes(view);
        self.taken.free(index);
        for _ in 0..TRIMMED_PER_STEP {
            let Some(last) = self.entries.len().checked_sub(1) else {
                break;
            };
            if self.entries.get(last).is_some_and(|e| e.view().is_some()) {
                break;
            }
            self.entries.pop();
            self.references.pop();
        }
    }
}

impl Intern {
    /// The value of a number.
    #[inline]
    pub fn name(&self, number: u32) -> Option<&[u8]> {
        self.entry(number)
    }

    /// The values for another thread; see [`Numbering::snapshot`].
    pub fn names(&self) -> Names {
        self.snapshot()
    }
}

impl Members {
    /// The combination of a number.
    #[inline]
    pub fn get(&self, number: u32) -> Option<Combination> {
        self.entry(number).copied()
    }
}

impl<E: Entry> Snapshot<E> {
    /// The entry of a number.
    #[inline]
    pub fn get(&self, number: u32) -> Option<&E::View> {
        entry_of(&self.entries, number)
    }

    /// A number that is higher than all that have entries.
    pub fn bound(&self) -> u32 {
        self.entries.len() as u32 + 1
    }
}

#[inline]
fn entry_of<E: Entry>(entries: &Paged<E, ENTRY_PAGE_BYTES>, number: u32) -> Option<&E::View> {
    entries.get(index_of(number)?)?.view()
}

/// Where the entry of a number is. There is none of [`OTHER`].
#[inline]
fn index_of(number: u32) -> Option<usize> {
    Some(number.checked_sub(1)? as usize)
}

/// Levels of [`Taken`] that suffice for [`MAX_NUMBERS`].
const LEVELS: usize = (MAX_NUMBERS.ilog2() as usize).div_ceil(WORD_SHIFT);

/// A word has two to the power of this many bits.
const WORD_SHIFT: usize = u64::BITS.ilog2() as usize;

/// A word without a free bit.
const FULL: u64 = u64::MAX;

/// Which indices are in use, with the smallest free one at hand: a bit for each, and above it, for each word of
/// bits, one that tells whether the word is full, and so on up to a single word. Words that are not there are nought.
#[derive(Clone, Debug, Default)]
struct Taken {
    levels: [Paged<u64>; LEVELS],
}

impl Taken {
    fn first_free(&self) -> usize {
        self.levels.iter().rev().fold(0, |at, level| {
            let word = level.get(at).copied().unwrap_or(0);
            (at << WORD_SHIFT) + word.trailing_ones() as usize
        })
    }

    fn take(&mut self, index: usize) {
        let mut at = index;
        for level in &mut self.levels {
            let bit = 1 << (at as u32 % u64::BITS);
            at >>= WORD_SHIFT;
            level.fill_to(at + 1);
            let Some(word) = level.get_mut(at) else {
                return;
            };
            *word |= bit;
            if *word != FULL {
                return;
            }
        }
    }

    fn free(&mut self, index: usize) {
        let mut at = index;
        for level in &mut self.levels {
            let bit = 1 << (at as u32 % u64::BITS);
            at >>= WORD_SHIFT;
            let Some(word) = level.get_mut(at) else {
                return;
            };
            let was_full = *word == FULL;
            *word &= !bit;
            if !was_full {
                return;
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.levels.iter().map(Paged::memory_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SEED: u64 = 42;

    /// A naive twin: entries and references by number.
    type Model = BTreeMap<u32, (Vec<u8>, u32)>;

    fn number_in(model: &Model, name: &[u8]) -> Option<u32> {
        let mut entries = model.iter();
        entries.find(|(_, entry)| entry.0 == name).map(|(&n, _)| n)
    }

    fn smallest_free(model: &Model) -> u32 {
        (1..).find(|number| !model.contains_key(number)).unwrap()
    }

    fn name(i: u32) -> Vec<u8> {
        format!("name {i}").into_bytes()
    }

    fn check(intern: &Intern, model: &Model) {
        assert_eq!(
            (intern.len(), intern.is_empty()),
            (model.len(), model.is_empty())
        );
        let entries = model.iter().map(|(&number, entry)| (number, &entry.0[..]));
        assert!(intern.iter().eq(entries));
        let heap_bytes = intern.iter().map(|(_, name)| Name::heap_bytes(name));
        assert_eq!(intern.heap_bytes, heap_bytes.sum::<usize>());
        assert_eq!(intern.entries.len(), intern.references.len());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Intern(u32),
        Acquire(u32),
        Release(u32),
        Discard(u32),
        Restore,
        Snapshot,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0u32..100).prop_map(Step::Intern),
            8 => (0u32..60).prop_map(Step::Acquire),
            8 => (0u32..60).prop_map(Step::Release),
            4 => (0u32..60).prop_map(Step::Discard),
            1 => Just(Step::Restore),
            1 => Just(Step::Snapshot),
        ]
    }

    proptest! {
        #[test]
        fn numbers_depend_only_on_those_in_use(steps in prop::collection::vec(step(), 0..400)) {
            let (mut intern, mut model) = (Intern::new(SEED), Model::new());
            let mut snapshots: Vec<(Names, Model)> = vec![];
            for step in steps {
                match step {
                    Step::Intern(i) => {
                        let name = name(i);
                        let known = number_in(&model, &name);
                        prop_assert_eq!(intern.find(&name), known);
                        let number = known.unwrap_or_else(|| smallest_free(&model));
                        prop_assert_eq!(intern.intern(&name), number);
                        model.entry(number).or_insert((name, 0));
                    }
                    Step::Acquire(number) => {
                        intern.acquire(number);
                        model.entry(number).and_modify(|entry| entry.1 += 1);
                    }
                    Step::Release(number) => {
                        let entry = model.get_mut(&number).filter(|entry| entry.1 > 0);
                        let last = entry.is_some_and(|entry| {
                            entry.1 -= 1;
                            entry.1 == 0
                        });
                        prop_assert_eq!(intern.release(number), last);
                        if last {
                            model.remove(&number);
                        }
                    }
                    Step::Discard(number) => {
                        intern.discard_if_unused(number);
                        if model.get(&number).is_some_and(|entry| entry.1 == 0) {
                            model.remove(&number);
                        }
                    }
                    Step::Restore => {
                        let restored = Intern::restore(SEED, intern.iter());
                        intern = restored.unwrap();
                        for (&number, entry) in &model {
                            (0..entry.1).for_each(|_| intern.acquire(number));
                        }
                    }
                    Step::Snapshot => snapshots.push((intern.names(), model.clone())),
                }
                check(&intern, &model);
            }
            for (names, model) in snapshots {
                for number in 0..120 {
                    let expected = model.get(&number).map(|entry| &entry.0[..]);
                    prop_assert_eq!(names.get(number), expected);
                }
            }
        }

        #[test]
        fn the_smallest_free_index_is_found(steps in prop::collection::vec((any::<bool>(), 0usize..5_000), 0..100), full in 0usize..5_000) {
            let mut taken = Taken::default();
            let mut model = std::collections::BTreeSet::from_iter(0..full);
            model.iter().for_each(|&index| taken.take(index));
            for (take, index) in steps {
                if take {
                    taken.take(index);
                    model.insert(index);
                } else {
                    taken.free(index);
                    model.remove(&index);
                }
                let first = (0..).find(|index| !model.contains(index));
                prop_assert_eq!(Some(taken.first_free()), first);
            }
        }

        #[test]
        fn any_entries_are_restored_or_refused(entries in prop::collection::vec((0u32..8, 0u32..6), 0..6)) {
            let named: Vec<_> = entries.iter().map(|&(number, i)| (number, name(i))).collect();
            let restored = Intern::restore(SEED, named.iter().map(|(n, name)| (*n, &name[..])));
            let ascend = entries.is_sorted_by(|a, b| a.0 < b.0);
            let names = std::collections::BTreeSet::from_iter(entries.iter().map(|entry| entry.1));
            let fit = ascend && names.len() == entries.len() && entries.iter().all(|e| e.0 > 0);
            prop_assert_eq!(restored.is_some(), fit);
            if let Some(restored) = restored {
                prop_assert!(restored.iter().eq(named.iter().map(|(n, name)| (*n, &name[..]))));
            }
        }
    }

    #[test]
    fn combinations_are_numbered_like_values() {
        let mut members = Members::new(SEED);
        let combinations = [[1, 2, 0, 0], [2, 1, 0, 0], [1, 2, 3, 0], [1, 2, 3, 4]];
        for (number, combination) in (1..).zip(&combinations) {
            assert_eq!(members.find(combination), None);
            assert_eq!(members.intern(combination), number);
            assert_eq!(members.intern(combination), number);
            members.acquire(number);
            assert_eq!(members.get(number), Some(*combination));
        }
        let snapshot = members.snapshot();
        assert!(members.release(2));
        assert_eq!(
            (members.get(2), members.find(&combinations[1])),
            (None, None)
        );
        assert_eq!(snapshot.get(2), Some(&combinations[1]));
        assert_eq!(members.intern(&[9, 9, 9, 9]), 2);
        let restored = Members::restore(SEED, members.iter()).unwrap();
        assert!(restored.iter().eq(members.iter()));
        assert_eq!(restored.len(), 4);
    }

    #[test]
    fn what_may_not_be_there_is_other_and_refused_in_files() {
        let mut intern = Intern::new(SEED);
        let (longest, longer) = ([b'x'; MAX_VALUE_BYTES], [b'x'; MAX_VALUE_BYTES + 1]);
        for wrong in [&b""[..], OTHER_NAME, &longer] {
            assert_eq!(intern.intern(wrong), OTHER);
            assert!(Intern::restore(SEED, [(1, wrong)]).is_none());
        }
        assert_eq!(intern.intern(&longest), 1);
        let mut members = Members::new(SEED);
        for wrong in [[0; 4], [1, 0, 0, 0], [1, 2, 0, 3], [0, 1, 2, 3]] {
            assert_eq!(members.intern(&wrong), OTHER);
            assert!(Members::restore(SEED, [(1, &wrong)]).is_none());
        }
        assert!(members.is_empty() && members.memory_bytes() == 0);
    }

    #[test]
    fn numbers_without_an_entry_are_not_counted() {
        let mut intern = Intern::new(SEED);
        for number in [OTHER, 1, u32::MAX] {
            intern.acquire(number);
            assert!(!intern.release(number));
            intern.discard_if_unused(number);
            assert_eq!(intern.name(number), None);
        }
        assert_eq!(intern.intern(b"a"), 1);
        assert!(!intern.release(1));
        assert_eq!(intern.name(1), Some(&b"a"[..]));
    }

    #[test]
    fn a_gap_costs_next_to_nothing() {
        let last = MAX_NUMBERS as u32;
        let mut intern = Intern::restore(SEED, [(last, &b"a"[..])]).unwrap();
        assert!(
            intern.memory_bytes() < 1024 * 1024,
            "{}",
            intern.memory_bytes()
        );
        assert_eq!(intern.intern(b"b"), 1);
        assert_eq!(intern.find(b"a"), Some(last));
        assert!(Intern::restore(SEED, [(last + 1, &b"a"[..])]).is_none());
        assert!(Intern::restore(SEED, [(u32::MAX, &b"a"[..])]).is_none());
    }

    #[test]
    fn without_a_free_number_a_value_is_other() {
        let mut intern = Intern::new(SEED);
        // The top of the map says that all below it is full.
        let top = intern.taken.levels.last_mut().unwrap();
        top.fill_to(1);
        *top.get_mut(0).unwrap() = (1 << (MAX_NUMBERS >> (WORD_SHIFT * (LEVELS - 1)))) - 1;
        assert_eq!(intern.intern(b"a"), OTHER);
        assert!(intern.is_empty());
    }

    #[test]
    fn memory_follows_the_values_in_use() {
        let mut intern = Intern::new(SEED);
        let (mut bytes, mut most) = (0, 0);
        let mut check = |intern: &Intern| {
            let change = intern.memory_bytes().abs_diff(bytes);
            assert!(change < 4 * super::super::paged::PAGE_BYTES, "{change}");
            bytes = intern.memory_bytes();
            most = most.max(bytes);
            bytes
        };
        for i in 0..100_000 {
            let number = intern.intern(&name(i));
            intern.acquire(number);
            check(&intern);
        }
        for number in 1..=100_000 {
            assert!(intern.release(number));
            check(&intern);
        }
        // Numbers freed from the smallest on are behind all others only at the end: they go with what comes and goes next.
        for _ in 0..100_000 / TRIMMED_PER_STEP {
            let number = intern.intern(b"passing by");
            intern.acquire(number);
            assert!(number == 1 && intern.release(number));
            check(&intern);
        }
        // The map remains.
        let rest = check(&intern);
        assert!(rest < 100_000 / 4, "{rest}");
        assert!(most > 6_000_000 && most < 9_000_000, "{most}");
    }
}
