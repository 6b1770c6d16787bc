//! What became of a declaration after it was made: columns and measures that were added, caps on values that were
//! changed, and time that a tier gave up before it was to keep more of it.
//!
//! Slices that exist are never made again. What was added begins with a slice that does not exist yet, and from its
//! first instant on every slice of any tier has it: a slice that begins before has neither the column nor, in its
//! cells, the sum. A day that a new dimension begins in the middle of does not have it, as it would tell of half a day
//! what is asked of a whole one; its later hours do, as long as they are kept.
//!
//! ```text
//!   days    |        |        |########|########|
//!   hours   ||||||||||||||####|#|#|#|#|#|#|#|#|#|
//!                        since                      time -->
//! ```
//!
//! So what a slice consists of follows from where it begins, and is nowhere noted.

use super::calendar::Millis;

/// What can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The next dimension of a schema.
    Dimension,
    /// The next group.
    Group,
    /// The next measure.
    Measure,
}

/// Something was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// What.
    pub what: Added,
    /// The first instant of the first slice that has it.
    pub since: Millis,
}

/// A column kept another number of values apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The column.
    pub column: usize,
    /// The last instant that a slice may end at which does.
    pub until: Millis,
    /// How many.
    pub values: u32,
}

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In the order in which they were made; the last of each list of a schema.
    pub additions: Vec<Addition>,
    /// By the instant; for each column and slice the first one counts that reaches as far.
    pub caps: Vec<Cap>,
    /// For each tier, the instant at which a slice must end, or before, to have been given up already when the tier
    /// was told to keep more; nothing where no tier ever was.
    pub floors: Vec<Millis>,
}

impl History {
    /// How many of a kind were added.
    #[inline]
    pub fn count(&self, what: Added) -> usize {
        let additions = self.additions.iter();
        additions.filter(|addition| addition.what == what).count()
    }

    /// When the n-th addition of some kinds begins; `None` stands for what always was there.
    pub fn since(&self, nth: Option<usize>, is_kind: impl Fn(Added) -> bool) -> Millis {
        let mut of_kind = self.additions.iter().filter(|one| is_kind(one.what));
        let addition = nth.and_then(|nth| of_kind.nth(nth));
        addition.map_or(Millis::MIN, |addition| addition.since)
    }

    /// How many additions of some kinds begin after an instant.
    pub fn after(&self, start: Millis, is_kind: impl Fn(Added) -> bool) -> usize {
        let later = self.additions.iter().filter(|one| one.since > start);
        later.filter(|one| is_kind(one.what)).count()
    }

    /// How many values a column keeps apart in a slice that ends at this instant, where that was another number than
    /// it is now.
    pub fn cap(&self, column: usize, end: Millis) -> Option<u32> {
        let mut caps = self.caps.iter();
        let cap = caps.find(|cap| cap.column == column && end <= cap.until);
        cap.map(|cap| cap.values)
    }

    /// A column keeps so many values apart in slices that end at an instant or before, and another number from now
    /// on. What has been said of the same slices before stays true.
    pub fn keep_cap(&mut self, cap: Cap) {
        let is_said = |other: &Cap| other.column == cap.column && other.until >= cap.until;
        if !self.caps.iter().any(is_said) {
            self.caps.push(cap);
        }
    }

    /// Nothing ends at this instant or before any more.
    pub fn forget_caps(&mut self, until: Millis) {
        self.caps.retain(|cap| cap.until > until);
    }

    /// The instant at which slices of a tier must end, or before, to be gone, whatever its retention.
    pub fn floor(&self, tier: usize) -> Millis {
        self.floors.get(tier).copied().unwrap_or(Millis::MIN)
    }

    /// Bytes that it occupies beside itself.
    pub fn heap_bytes(&self) -> usize {
        self.additions.capacity() * size_of::<Addition>()
            + self.caps.capacity() * size_of::<Cap>()
            + self.floors.capacity() * size_of::<Millis>()
    }
}
