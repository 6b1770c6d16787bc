//! What the commands on several sets have in common: their operands, one solution for some of them
//! at a time, and the decision who computes it.

use crate::server::args::Arg;
use crate::server::background::Outcome;
use crate::server::call::Call;
use crate::server::error::CommandError;
use crate::server::key::ReadKey;
use crate::server::settings;
use crate::sketch::joint::{Joint, SetMask, cost};
use crate::sketch::{Estimate, Precision, Sketch};
use std::borrow::Cow;
use std::time::Duration;

/// The sets a command is about, in its order. A set that is named twice is held once.
pub struct Sets<'k> {
    distinct: Vec<Cow<'k, Sketch>>,
    /// For each operand, which of the distinct ones it is.
    places: Vec<usize>,
}

/// The joint solution of some operands of a [`Sets`].
pub struct Solution {
    /// The solution itself.
    pub joint: Joint,
    places: Vec<usize>,
}

impl Solution {
    /// These of the solution's operands, by their order in [`Sets::solve`].
    pub fn sets(&self, operands: impl IntoIterator<Item = usize>) -> SetMask {
        operands.into_iter().map(|i| self.places[i]).collect()
    }

    /// The set at an operand's place.
    pub fn place(&self, operand: usize) -> usize {
        self.places[operand]
    }
}

impl<'k> Sets<'k> {
    /// The sets under these keys. A missing key is the empty set.
    pub fn of_keys(names: &[Arg], keys: &'k [ReadKey]) -> Result<Sets<'k>, CommandError> {
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut firsts = Vec::new();
        let mut places = Vec::new();
        for (name, key) in names.iter().zip(keys) {
            let name = name.bytes();
            let place = seen.iter().position(|&s| s == name).unwrap_or(seen.len());
            if place == seen.len() {
                seen.push(name);
                firsts.push(key.sketch()?.map(Cow::Borrowed));
            }
            places.push(place);
        }
        Ok(Sets {
            places,
            ..Sets::of_sketches(firsts)
        })
    }

    /// These sets; `None` is the empty one. It takes the hash of the others and the finest
    /// precision, so that it changes nothing for them.
    pub fn of_sketches(sketches: Vec<Option<Cow<'k, Sketch>>>) -> Sets<'k> {
        let hash = sketches
            .iter()
            .flatten()
            .next()
            .map_or(settings::default_hash(), |sketch| sketch.hash_family());
        let empty = || Cow::Owned(Sketch::new(Precision::MAX, hash));
        Sets {
            places: (0..sketches.len()).collect(),
            distinct: sketches
                .into_iter()
                .map(|sketch| sketch.unwrap_or_else(empty))
                .collect(),
        }
    }

    /// The count of one operand by itself.
    pub fn alone(&self, operand: usize) -> Estimate {
        self.distinct[self.places[operand]].estimate()
    }

    /// How many operands there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The joint solution of these operands.
    pub fn solve(&self, operands: &[usize]) -> Result<Solution, CommandError> {
        let mut distinct: Vec<usize> = Vec::new();
        let mut places = Vec::new();
        for &operand in operands {
            let wanted = self.places[operand];
            let place = distinct.iter().position(|&d| d == wanted);
            places.push(place.unwrap_or(distinct.len()));
            if place.is_none() {
                distinct.push(wanted);
            }
        }
        let sketches: Vec<&Sketch> = distinct.iter().map(|&d| &*self.distinct[d]).collect();
        Ok(Solution {
            joint: Joint::solve(&sketches)?,
            places,
        })
    }

    /// The joint solution of all operands.
    pub fn solve_all(&self) -> Result<Solution, CommandError> {
        self.solve(&Vec::from_iter(0..self.len()))
    }

    /// Computes the answer from these sets: at once, or if its `solutions` of `size` sets each are
    /// going to take long and the client may wait, on copies in the background.
    pub fn answer(
        self,
        call: &Call,
        solutions: usize,
        size: usize,
        compute: impl FnOnce(&Sets) -> Outcome + Send + 'static,
    ) -> Outcome {
        let one = cost::costliest(self.distinct.iter().map(|sketch| &**sketch), size);
        if one.saturating_mul(solutions as u32) > LONG && call.may_wait() {
            let copies = Sets {
                distinct: self
                    .distinct
                    .into_iter()
                    .map(|sketch| Cow::Owned(sketch.into_owned()))
                    .collect(),
                places: self.places,
            };
            let bytes = copies.distinct.iter().map(|copy| copy.memory_bytes()).sum();
            return call.in_background(bytes, move || compute(&copies));
        }
        compute(&self)
    }
}

/// The names of keys as the reply has them, to be kept until it is made.
pub fn labels(names: &[Arg]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.bytes().to_vec()).collect()
}

/// Answers expected to take longer than this leave the server's thread.
const LONG: Duration = Duration::from_millis(5);
