//! The first of many in some order, found while they come by one at a time.
//!
//! All that were offered are kept until they are about twice as many as wanted; then the worse half goes. That takes a
//! constant time for each offer on average, unlike a heap, and the order may be anything that compares two, such as
//! figures and then names which lie elsewhere.

use std::cmp::Ordering;

/// The first `most` of what is offered.
pub struct Best<T> {
    most: usize,
    /// At `most - 1` stands the last of the best, once any had to go.
    found: Vec<T>,
    is_sifted: bool,
}

/// Offers beyond twice the wanted ones before the worse go: with few wanted, sifting at every other offer would cost
/// more than to keep some more.
const SLACK: usize = 16;

impl<T> Best<T> {
    /// None yet.
    pub fn new(most: usize) -> Best<T> {
        Best {
            most,
            found: Vec::new(),
            is_sifted: false,
        }
    }

    /// The one that an offer must come before: the last of the wanted ones, where there are already more than wanted.
    /// It may be worse than it would be after another sifting, never better.
    pub fn last(&self) -> Option<&T> {
        let at = self.most.checked_sub(1)?;
        self.is_sifted.then(|| &self.found[at])
    }

    /// Takes one in. What comes first in the order is better; no two may be equal, or which of them stays is open.
    pub fn offer(&mut self, one: T, mut order: impl FnMut(&T, &T) -> Ordering) {
        if self.most == 0 {
            return;
        }
        if let Some(last) = self.last()
            && order(&one, last).is_gt()
        {
            return;
        }
        self.found.push(one);
        if self.found.len() > self.most.saturating_mul(2).saturating_add(SLACK) {
            self.sift(order);
        }
    }

    /// Lets all but the best go, where there are more.
    pub fn sift(&mut self, order: impl FnMut(&T, &T) -> Ordering) {
        if self.most > 0 && self.found.len() >= self.most {
            self.found.select_nth_unstable_by(self.most - 1, order);
            self.found.truncate(self.most);
            self.is_sifted = true;
        }
    }

    /// The best in their order.
    pub fn into_sorted(mut self, mut order: impl FnMut(&T, &T) -> Ordering) -> Vec<T> {
        self.sift(&mut order);
        self.found.sort_unstable_by(order);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_are_the_first_of_all_in_order(
            all in prop::collection::vec(0u32..50, 0..300),
            most in 0usize..80,
        ) {
            let mut best = Best::new(most);
            let mut sorted: Vec<(u32, usize)> = all.iter().copied().zip(0..).collect();
            for &one in &sorted {
                best.offer(one, Ord::cmp);
            }
            sorted.sort_unstable();
            sorted.truncate(most);
            prop_assert_eq!(best.into_sorted(Ord::cmp), sorted);
        }
    }
}
