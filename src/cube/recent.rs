//! What was counted not long ago: producers that repeat what they are not sure has arrived, and are counted once.
//!
//! A producer gives every write an id. Here are the last ids of each of the producers used last, both by number only:
//! no clock has a say, so every copy of a cube remembers and forgets the same. More than one id has to be known,
//! since writes that several consumers share out and reclaim arrive out of order.
//!
//! Names and ids are kept as hashes of 128 bits, of one size whatever their length: among the 256,000 at most that are
//! kept, two share a hash by chance with probability 10^-28. Whoever made one on purpose would lose an event of
//! their own.
//!
//! Asking changes nothing, not even the order of producers: what is not counted is not told to other copies.

use super::paged::{ARC_COUNTS, allocated_bytes};
use super::table::Table;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Producers that are known; then the one used least recently is forgotten.
pub const MAX_PRODUCERS: usize = 256;

/// Ids of a producer that are known; then the oldest is forgotten.
pub const MAX_IDS: usize = 1_000;

/// Ids that a producer begins with room for.
const FIRST_IDS: usize = 4;

/// See the head of this file. A clone shares the ids of each producer until one of the two gets a new one.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// In no order.
    producers: Vec<Producer>,
    /// From hashes of producers to their places.
    places: Table,
    /// How often something was remembered since the cube was made or restored.
    uses: u64,
    /// Bytes of all ids.
    ids_bytes: usize,
}

#[derive(Clone, Debug)]
struct Producer {
    hash: u128,
    /// Which of the uses was the last one of this producer.
    used: u64,
    ids: Arc<Ids>,
}

/// The ids of a producer: a ring.
#[derive(Clone, Debug, Default)]
struct Ids {
    ids: Vec<u128>,
    /// Where the oldest one is, once they are [`MAX_IDS`]; till then it is the first.
    oldest: usize,
    /// From hashes to places in the ring.
    places: Table,
}

impl Recent {
    /// With these producers, in the order of their use, each with its ids, the oldest first. `None` if there are
    /// more than may be, a producer without ids, or a hash twice.
    pub fn restore<I>(producers: impl IntoIterator<Item = (u128, I)>) -> Option<Recent>
    where
        I: IntoIterator<Item = u128>,
    {
        let mut recent = Recent::default();
        for (hash, ids) in producers {
            let known = recent.place(hash).is_some();
            if known || recent.producers.len() == MAX_PRODUCERS {
                return None;
            }
            let mut restored = Ids::default();
            for id in ids {
                if restored.ids.len() == MAX_IDS || restored.contains(id) {
                    return None;
                }
                restored.push(id);
            }
            if restored.ids.is_empty() {
                return None;
            }
            recent.uses += 1;
            recent.add(hash, restored);
        }
        Some(recent)
    }

    /// Whether this id of this producer is remembered.
    #[inline]
    pub fn contains(&self, producer: &[u8], id: &[u8]) -> bool {
        let producer = self.place(xxh3_128(producer));
        let producer = producer.and_then(|place| self.producers.get(place));
        producer.is_some_and(|producer| producer.ids.contains(xxh3_128(id)))
    }

    /// Remembers an id, and that its producer was used. An id that is known becomes no younger.
    pub fn remember(&mut self, producer: &[u8], id: &[u8]) {
        self.remember_hashes(xxh3_128(producer), xxh3_128(id));
    }

    /// The producers in the order of their use, the last one used last: their hashes and those of their ids, the
    /// oldest first.
    pub fn producers(
        &self,
    ) -> impl ExactSizeIterator<Item = (u128, impl ExactSizeIterator<Item = u128>)> {
        let mut producers: Vec<&Producer> = self.producers.iter().collect();
        producers.sort_unstable_by_key(|producer| producer.used);
        let producers = producers.into_iter();
        producers.map(|producer| (producer.hash, producer.ids.iter()))
    }

    /// Bytes on the heap. What clones share counts in each of them. O(1).
    pub fn memory_bytes(&self) -> usize {
        allocated_bytes(self.producers.capacity() * size_of::<Producer>())
            + self.places.memory_bytes()
            + self.ids_bytes
    }

    #[inline]
    fn place(&self, hash: u128) -> Option<usize> {
        find(&self.places, hash, |place| {
            Some(self.producers.get(place)?.hash)
        })
    }

    fn remember_hashes(&mut self, producer: u128, id: u128) {
        self.uses += 1;
        let Some(place) = self.place(producer) else {
            if self.producers.len() == MAX_PRODUCERS {
                self.forget();
            }
            let mut ids = Ids::default();
            ids.push(id);
            self.add(producer, ids);
            return;
        };
        if let Some(known) = self.producers.get_mut(place) {
            known.used = self.uses;
            if !known.ids.contains(id) {
                self.ids_bytes -= known.ids.memory_bytes();
                Arc::make_mut(&mut known.ids).push(id);
                self.ids_bytes += known.ids.memory_bytes();
            }
        }
    }

    /// Adds a producer that is not known, used just now.
    fn add(&mut self, hash: u128, ids: Ids) {
        self.ids_bytes += ids.memory_bytes();
        self.places.insert(hash as u64, self.producers.len() as u32);
        self.producers.push(Producer {
            hash,
            used: self.uses,
            ids: Arc::new(ids),
        });
    }

    /// Forgets the producer used least recently; the last one in the array takes its place.
    fn forget(&mut self) {
        let places = 0..self.producers.len();
        let Some(place) = places.min_by_key(|&place| self.producers[place].used) else {
            return;
        };
        let forgotten = self.producers.swap_remove(place);
        self.ids_bytes -= forgotten.ids.memory_bytes();
        self.places.remove(forgotten.hash as u64, place as u32);
        if let Some(moved) = self.producers.get(place) {
            let from = self.producers.len();
            self.places.remove(moved.hash as u64, from as u32);
            self.places.insert(moved.hash as u64, place as u32);
        }
    }
}

impl Ids {
    #[inline]
    fn contains(&self, id: u128) -> bool {
        find(&self.places, id, |place| self.ids.get(place).copied()).is_some()
    }

    /// Adds one that is not there, in the place of the oldest if there are enough.
    fn push(&mut self, id: u128) {
        let place = if self.ids.len() < MAX_IDS {
            let place = self.ids.len();
            if place == self.ids.capacity() {
                let room = (2 * place).clamp(FIRST_IDS, MAX_IDS);
                self.ids.reserve_exact(room - place);
            }
            self.ids.push(id);
            place
        } else {
            let place = self.oldest;
            let forgotten = std::mem::replace(&mut self.ids[place], id);
            self.places.remove(forgotten as u64, place as u32);
            self.oldest = (place + 1) % MAX_IDS;
            place
        };
        self.places.insert(id as u64, place as u32);
    }

    /// The oldest first.
    fn iter(&self) -> impl ExactSizeIterator<Item = u128> {
        let len = self.ids.len();
        (0..len).map(move |at| self.ids[(self.oldest + at) % len])
    }

    /// With the block that it lies in itself.
    fn memory_bytes(&self) -> usize {
        allocated_bytes(ARC_COUNTS + size_of::<Ids>())
            + allocated_bytes(self.ids.capacity() * size_of::<u128>())
            + self.places.memory_bytes()
    }
}

/// The place of a hash, if a table leads to it.
#[inline]
fn find(places: &Table, hash: u128, at: impl Fn(usize) -> Option<u128>) -> Option<usize> {
    let place = places.find(hash as u64, |place| at(place as usize) == Some(hash));
    place.map(|place| place as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// A naive twin: the producer used last is the last.
    #[derive(Clone, Default)]
    struct Model(VecDeque<(u128, VecDeque<u128>)>);

    impl Model {
        fn contains(&self, producer: u128, id: u128) -> bool {
            let mut producers = self.0.iter();
            producers.any(|(hash, ids)| *hash == producer && ids.contains(&id))
        }

        fn remember(&mut self, producer: u128, id: u128) {
            let place = self.0.iter().position(|(hash, _)| *hash == producer);
            let known = place.and_then(|place| self.0.remove(place));
            let (_, mut ids) = known.unwrap_or_default();
            if !ids.contains(&id) {
                ids.push_back(id);
            }
            if ids.len() > MAX_IDS {
                ids.pop_front();
            }
            self.0.push_back((producer, ids));
            if self.0.len() > MAX_PRODUCERS {
                self.0.pop_front();
            }
        }

        fn is(&self, recent: &Recent) -> bool {
            let ours = recent.producers().map(|(hash, ids)| (hash, ids.collect()));
            ours.eq(self.0.iter().cloned())
        }
    }

    fn restored(recent: &Recent) -> Option<Recent> {
        Recent::restore(recent.producers())
    }

    fn hash(number: u32) -> u128 {
        xxh3_128(&number.to_le_bytes())
    }

    /// Of the ids, one by one.
    fn counted(recent: &Recent) -> usize {
        let ids = recent
            .producers
            .iter()
            .map(|producer| producer.ids.memory_bytes());
        ids.sum()
    }

    proptest! {
        #[test]
        fn the_last_ids_of_the_last_producers_are_known(
            // Some producers come again and again, most do not.
            events in prop::collection::vec((prop_oneof![0u32..4, 0u32..600], 0u32..40), 0..1_500),
            saves in prop::collection::vec(0usize..1_500, 0..3),
        ) {
            let (mut recent, mut model) = (Recent::default(), Model::default());
            let mut clone = None;
            for (at, (producer, id)) in events.into_iter().enumerate() {
                let (name, bytes) = (producer.to_le_bytes(), id.to_le_bytes());
                let known = model.contains(hash(producer), hash(id));
                prop_assert_eq!(recent.contains(&name, &bytes), known);
                recent.remember(&name, &bytes);
                model.remember(hash(producer), hash(id));
                if saves.contains(&at) {
                    recent = restored(&recent).unwrap();
                    clone = Some((recent.clone(), model.clone()));
                }
            }
            prop_assert!(model.is(&recent));
            prop_assert_eq!(recent.ids_bytes, counted(&recent));
            if let Some((recent, model)) = clone {
                prop_assert!(model.is(&recent));
                prop_assert_eq!(recent.ids_bytes, counted(&recent));
            }
        }
    }

    #[test]
    fn a_thousand_ids_of_a_producer_are_known_and_no_more() {
        let (mut recent, mut model) = (Recent::default(), Model::default());
        for id in 0..2_500u32 {
            recent.remember(b"p", &id.to_le_bytes());
            model.remember(xxh3_128(b"p"), hash(id));
            if id % 100 == 99 {
                assert!(model.is(&recent));
                let mut other = restored(&recent).unwrap();
                assert!(model.is(&other));
                other.remember(b"p", b"new");
                let mut next = model.clone();
                next.remember(xxh3_128(b"p"), xxh3_128(b"new"));
                assert!(next.is(&other));
            }
        }
        assert!(!recent.contains(b"p", &1_499u32.to_le_bytes()));
        assert!(recent.contains(b"p", &1_500u32.to_le_bytes()));
        assert!(!recent.contains(b"q", &1_500u32.to_le_bytes()));
    }

    #[test]
    fn asking_changes_nothing() {
        let mut recent = Recent::default();
        for producer in 0..MAX_PRODUCERS as u32 {
            recent.remember(&producer.to_le_bytes(), b"id");
        }
        assert!(recent.contains(&0u32.to_le_bytes(), b"id"));
        recent.remember(b"one more", b"id");
        assert!(!recent.contains(&0u32.to_le_bytes(), b"id"));
        assert!(recent.contains(&1u32.to_le_bytes(), b"id"));
        // To remember is to use, even what is known.
        recent.remember(&1u32.to_le_bytes(), b"id");
        recent.remember(b"yet another", b"id");
        assert!(recent.contains(&1u32.to_le_bytes(), b"id"));
        assert!(!recent.contains(&2u32.to_le_bytes(), b"id"));
    }

    #[test]
    fn what_cannot_have_been_saved_is_refused() {
        let ids = |count: usize| (0..count as u128).collect::<Vec<_>>();
        let producers = |count: usize| (0..count as u128).map(|hash| (hash, [7]));
        assert!(Recent::restore([(1, ids(MAX_IDS)), (2, ids(1))]).is_some());
        assert!(Recent::restore([(1, ids(MAX_IDS + 1))]).is_none());
        assert!(Recent::restore([(1, ids(0))]).is_none());
        assert!(Recent::restore([(1, ids(1)), (1, ids(2))]).is_none());
        assert!(Recent::restore([(1, [5, 5])]).is_none());
        assert!(Recent::restore(producers(MAX_PRODUCERS)).is_some());
        assert!(Recent::restore(producers(MAX_PRODUCERS + 1)).is_none());
    }

    #[test]
    fn a_clone_takes_next_to_nothing_and_all_is_bounded() {
        let mut recent = Recent::default();
        for event in 0..(300 * MAX_IDS) as u32 {
            recent.remember(&(event % 300).to_le_bytes(), &event.to_le_bytes());
        }
        // Producers that take turns are forgotten before they are used again.
        assert!(recent.producers().all(|(_, ids)| ids.len() == 1));
        for event in 0..(MAX_PRODUCERS * MAX_IDS) as u32 {
            let producer = event % MAX_PRODUCERS as u32;
            recent.remember(&producer.to_le_bytes(), &event.to_le_bytes());
        }
        assert!(recent.memory_bytes() < MAX_PRODUCERS * MAX_IDS * 40);
        let clone = recent.clone();
        recent.remember(&0u32.to_le_bytes(), b"new");
        let pairs = recent.producers.iter().zip(&clone.producers);
        let parted = pairs.filter(|(a, b)| !Arc::ptr_eq(&a.ids, &b.ids));
        assert_eq!(parted.count(), 1);
        assert_eq!(recent.ids_bytes, counted(&recent));
    }
}
