//! Arrays in pages, shared by their clones: the ground that tables, numberings and open slices stand on.
//!
//! A vector that is full doubles: it copies everything it holds while an event waits, which takes milliseconds from
//! a few megabytes on. And a clone of it copies everything again. Here an array is cut into pages of one length,
//! a power of two of elements in at most 64 KiB, so that the element at an index is found by a shift and a mask.
//! It grows by a page, which nobody has to move, and a clone shares the pages: whichever of the two changes an
//! element first copies the page that it is on, and only that page. So another thread can read an array
//! as it was, at the cost of a pointer per page, while events go on to change it.
//!
//! Small arrays are many (a cube has some for every dimension), hence the first page grows like a vector. Runs of
//! elements that nobody has set yet, as they are found in stored bytes, share one page in many places.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a page, at most: copied in a few microseconds.
pub const PAGE_BYTES: usize = 64 * 1024;

/// Elements that the first page begins with.
const FIRST_ELEMENTS: usize = 4;

/// Bytes that an [`Arc`] keeps beside its content, for two counts.
pub(super) const ARC_COUNTS: usize = 2 * size_of::<usize>();

/// Whether the allocator rounds what it is asked for up to classes of sizes, as jemalloc does and the C library's does not.
static HAS_CLASSES: AtomicBool = AtomicBool::new(true);

/// Tells what kind of allocator there is, before there are cubes: it decides what they say that they occupy.
pub fn allocator_has_classes(has_classes: bool) {
    HAS_CLASSES.store(has_classes, Ordering::Relaxed);
}

/// Bytes that the allocator takes for so many.
pub(super) fn allocated_bytes(bytes: usize) -> usize {
    match HAS_CLASSES.load(Ordering::Relaxed) {
        true => class(bytes),
        false => without_classes(bytes),
    }
}

/// The next of jemalloc's sizes, which are 8, multiples of 16 up to 128, and then four for each doubling.
fn class(bytes: usize) -> usize {
    let step = match bytes {
        0..=8 => 8,
        9..=128 => 16,
        _ => bytes.next_power_of_two() / 8,
    };
    bytes.next_multiple_of(step)
}

/// What can be used of a block of the C library: multiples of 16, of which it keeps 8 bytes for itself.
fn without_classes(bytes: usize) -> usize {
    const KEPT: usize = 8;
    const LEAST: usize = 24;
    match bytes {
        0 => 0,
        _ => ((bytes + KEPT).next_multiple_of(16) - KEPT).max(LEAST),
    }
}

/// An array of elements in pages of at most `BYTES`; see the head of this file.
#[derive(Debug)]
pub struct Paged<T, const BYTES: usize = PAGE_BYTES> {
    /// All full but the last, and none empty.
    pages: Vec<Arc<Vec<T>>>,
    len: usize,
    /// The page of unset elements, if it stands anywhere.
    unset: Option<Arc<Vec<T>>>,
    /// In how many places.
    unset_pages: usize,
    /// See [`Paged::memory_bytes`]: as of the last change, since it is asked for much more often than it changes.
    bytes: usize,
}

impl<T: Clone, const BYTES: usize> Clone for Paged<T, BYTES> {
    fn clone(&self) -> Paged<T, BYTES> {
        let mut clone = Paged {
            pages: self.pages.clone(),
            unset: self.unset.clone(),
            ..*self
        };
        clone.bytes = clone.measured();
        clone
    }
}

impl<T, const BYTES: usize> Default for Paged<T, BYTES> {
    fn default() -> Paged<T, BYTES> {
        Paged {
            pages: Vec::new(),
            len: 0,
            unset: None,
            unset_pages: 0,
            bytes: 0,
        }
    }
}

impl<T: Clone, const BYTES: usize> Paged<T, BYTES> {
    /// Elements of a page are two to the power of this.
    const SHIFT: u32 = {
        let element = if size_of::<T>() == 0 {
            1
        } else {
            size_of::<T>()
        };
        match (BYTES / element).checked_ilog2() {
            Some(shift) => shift,
            None => 0,
        }
    };

    /// Elements of a page.
    const ELEMENTS: usize = 1 << Self::SHIFT;

    /// How many elements there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        let page = self.pages.get(index >> Self::SHIFT)?;
        page.get(index & (Self::ELEMENTS - 1))
    }

    /// The same, to be changed. If its page is shared, it is copied first.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let page = self.page_mut(index >> Self::SHIFT)?;
        page.get_mut(index & (Self::ELEMENTS - 1))
    }

    /// Puts an element at the end.
    pub fn push(&mut self, value: T) {
        if self.len == self.pages.len() << Self::SHIFT {
            let elements = if self.pages.is_empty() {
                FIRST_ELEMENTS.min(Self::ELEMENTS)
            } else {
                Self::ELEMENTS
            };
            self.pages.push(Arc::new(Vec::with_capacity(elements)));
            self.bytes = self.measured();
        }
        let Some(page) = self.page_mut(self.len >> Self::SHIFT) else {
            return;
        };
        let is_full = page.len() == page.capacity();
        if is_full {
            let elements = (2 * page.len()).min(Self::ELEMENTS);
            page.reserve_exact(elements - page.len());
        }
        page.push(value);
        self.len += 1;
        if is_full {
            self.bytes = self.measured();
        }
    }

    /// Takes the last element away, and its page if it was the only one there.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.pages.len().checked_sub(1)?;
        let page = self.page_mut(last)?;
        let value = page.pop()?;
        let is_empty = page.is_empty();
        self.len -= 1;
        if is_empty {
            self.pages.pop();
            self.bytes = self.measured();
        }
        Some(value)
    }

    /// Makes the array this long, if it is shorter, with elements that are the default. Whole pages of them are
    /// one page until they are changed, so that even a very long run takes a pointer per page.
    pub fn fill_to(&mut self, len: usize)
    where
        T: Default,
    {
        while self.len < len {
            let at_border = self.len == self.pages.len() << Self::SHIFT;
            if at_border && !self.pages.is_empty() && len - self.len >= Self::ELEMENTS {
                let unset = self
                    .unset
                    .get_or_insert_with(|| Arc::new(vec![T::default(); Self::ELEMENTS]));
                self.pages.push(Arc::clone(unset));
                self.unset_pages += 1;
                self.len += Self::ELEMENTS;
                self.bytes = self.measured();
            } else {
                self.push(T::default());
            }
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }

    /// Takes all elements away, at once.
    pub fn clear(&mut self) {
        *self = Paged::default();
    }

    /// Bytes on the heap, without what elements have there. What clones share counts in each of them: the first
    /// change of any makes it a copy of its own. O(1).
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn measured(&self) -> usize {
        let Some(first) = self.pages.first() else {
            return allocated_bytes(self.pages.capacity() * size_of::<Arc<Vec<T>>>());
        };
        let unset = usize::from(self.unset.is_some());
        let whole = self.pages.len() - 1 - self.unset_pages + unset;
        allocated_bytes(self.pages.capacity() * size_of::<Arc<Vec<T>>>())
            + (1 + whole) * allocated_bytes(ARC_COUNTS + size_of::<Vec<T>>())
            + allocated_bytes(first.capacity() * size_of::<T>())
            + whole * allocated_bytes(Self::ELEMENTS * size_of::<T>())
    }

    /// A page that nobody else has.
    #[inline]
    fn page_mut(&mut self, at: usize) -> Option<&mut Vec<T>> {
        // No page has weak pointers. If the last other owner leaves between this look and the copy, the copy was not
        // needed, and that is all.
        if Arc::strong_count(self.pages.get(at)?) > 1 {
            self.part(at);
        }
        Arc::get_mut(self.pages.get_mut(at)?)
    }

    /// Copies a shared page, its room to grow included.
    #[cold]
    fn part(&mut self, at: usize) {
        let page = &mut self.pages[at];
        if (self.unset.as_ref()).is_some_and(|unset| Arc::ptr_eq(unset, page)) {
            self.unset_pages -= 1;
            if self.unset_pages == 0 {
                self.unset = None;
            }
        }
        let mut copy = Vec::with_capacity(page.capacity());
        copy.extend_from_slice(page);
        *page = Arc::new(copy);
        self.bytes = self.measured();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pages of eight elements: borders are everywhere.
    type Small = Paged<u64, 64>;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u64),
        Pop,
        Set(usize, u64),
        FillTo(usize),
        Clone,
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => any::<u64>().prop_map(Step::Push),
            4 => Just(Step::Pop),
            4 => (0usize..100, any::<u64>()).prop_map(|(at, value)| Step::Set(at, value)),
            1 => (0usize..100).prop_map(Step::FillTo),
            1 => Just(Step::Clone),
            1 => Just(Step::Clear),
        ]
    }

    /// The same as [`Paged::memory_bytes`], page by page.
    fn counted(paged: &Small) -> usize {
        let mut pages: Vec<_> = paged.pages.iter().collect();
        pages.sort_by_key(|page| Arc::as_ptr(page));
        pages.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let blocks = pages
            .iter()
            .map(|page| allocated_bytes(40) + allocated_bytes(8 * page.capacity()));
        allocated_bytes(8 * paged.pages.capacity()) + blocks.sum::<usize>()
    }

    proptest! {
        #[test]
        fn it_is_a_vector_and_a_clone_stays_as_it_was(steps in prop::collection::vec(step(), 0..200)) {
            let (mut paged, mut model) = (Small::default(), Vec::new());
            let mut clones = vec![];
            for step in steps {
                match step {
                    Step::Push(value) => {
                        paged.push(value);
                        model.push(value);
                    }
                    Step::Pop => prop_assert_eq!(paged.pop(), model.pop()),
                    Step::Set(at, value) => {
                        prop_assert_eq!(paged.get(at), model.get(at));
                        prop_assert_eq!(paged.get_mut(at).is_some(), at < model.len());
                        if let (Some(ours), Some(theirs)) = (paged.get_mut(at), model.get_mut(at)) {
                            (*ours, *theirs) = (value, value);
                        }
                    }
                    Step::FillTo(len) => {
                        paged.fill_to(len);
                        model.resize(len.max(model.len()), 0);
                    }
                    Step::Clone => clones.push((paged.clone(), model.clone())),
                    Step::Clear => {
                        paged.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!((paged.len(), paged.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(paged.memory_bytes(), counted(&paged));
            }
            clones.push((paged, model));
            for (paged, model) in &clones {
                prop_assert!(paged.iter().eq(model));
                prop_assert_eq!(paged.get(model.len()), None);
            }
        }
    }

    #[test]
    fn a_page_holds_a_power_of_two_of_elements_in_its_bytes() {
        assert_eq!(Paged::<u64>::ELEMENTS, 8192);
        assert_eq!(Paged::<[u32; 5]>::ELEMENTS, 2048);
        assert_eq!(Paged::<[u8; 100_000]>::ELEMENTS, 1);
        assert_eq!(Paged::<()>::ELEMENTS, 65536);
    }

    #[test]
    fn a_clone_shares_all_pages_but_those_that_change() {
        let mut paged = Small::default();
        paged.fill_to(8);
        (0..92).for_each(|value| paged.push(value));
        let clone = paged.clone();
        if let Some(value) = paged.get_mut(20) {
            *value = 7;
        }
        let shared = paged.pages.iter().zip(&clone.pages);
        let shared: Vec<bool> = shared.map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(shared.iter().filter(|&&shared| !shared).count(), 1);
        assert!(!shared[20 / 8]);
    }

    #[test]
    fn a_page_that_was_shared_keeps_its_room() {
        let mut paged = Small::default();
        (0..9).for_each(|value| paged.push(value));
        let before = paged.memory_bytes();
        let clone = paged.clone();
        (9..16).for_each(|value| paged.push(value));
        assert_eq!(paged.memory_bytes(), before);
        assert_eq!(clone.len(), 9);
    }

    #[test]
    fn a_long_run_of_unset_elements_takes_a_pointer_per_page() {
        let mut paged = Paged::<u64>::default();
        paged.fill_to(100_000_000);
        assert!(paged.memory_bytes() < 512 * 1024);
        if let Some(value) = paged.get_mut(50_000_000) {
            *value = 1;
        }
        assert_eq!(paged.iter().sum::<u64>(), 1);
    }

    #[test]
    fn allocations_have_the_sizes_of_allocators() {
        for (bytes, allocated) in [(0, 0), (1, 8), (9, 16), (17, 32), (129, 160), (1025, 1280)] {
            assert_eq!(class(bytes), allocated, "{bytes}");
        }
        for (bytes, allocated) in [
            (0, 0),
            (1, 24),
            (24, 24),
            (25, 40),
            (1000, 1000),
            (1001, 1016),
        ] {
            assert_eq!(without_classes(bytes), allocated, "{bytes}");
        }
    }
}
