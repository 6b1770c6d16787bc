//! Unions that are made in several places and put together in one.
//!
//! Thousands of sketches are spread over some machines. Each machine makes a [`PartialUnion`] of its own, of which one sketch
//! or none is left, and whoever puts these together gets the very union that [`Sketch::union`] makes of all of them: the
//! same precision, the same registers, the same tokens, and the running estimate where only one sketch has elements.
//!
//! What makes that more than a union of unions is the precision. The lowest among the *dense* sketches is that of the
//! union, and where all are sparse it is the highest. A machine that has only sparse ones cannot know which, because the
//! others' may be dense or finer. So it keeps its tokens as they are, and where they are too many for the finest precision
//! there is, makes registers of that one, and says which precision its sketches had: a sketch that *stands for* others.
//! [`resolve`] folds it when the precision of the whole is known. Folding registers is exact ([`Sketch::fold`]).

use super::dense::Dense;
use super::precision::Precision;
use super::token::{Token, TokenSet};
use super::{Body, HashMismatch, Sketch};
use std::sync::Arc;

/// The union of some of the sketches.
#[derive(Clone, Debug, Default)]
pub struct PartialUnion {
    universe: Option<Sketch>,
    /// Of those without elements, too.
    finest: Option<Precision>,
    /// The first one that has elements, as it is; it is in the fields below once there is a second one.
    first: Option<Sketch>,
    several: bool,
    /// The union of the dense ones.
    dense: Option<Sketch>,
    /// Tokens of sparse ones, in any order and perhaps twice.
    tokens: Vec<Token>,
    /// What tokens made that were too many.
    packed: Option<Sketch>,
    finest_sparse: Option<Precision>,
}

/// What is left of some sketches.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// If it stands for several sparse ones: the highest of their precisions.
    pub stands_for: Option<Precision>,
    /// The sketch.
    pub sketch: Sketch,
}

impl PartialUnion {
    /// Takes a sketch in. On an error nothing has changed.
    pub fn add(&mut self, sketch: &Sketch) -> Result<(), HashMismatch> {
        let universe = self
            .universe
            .get_or_insert_with(|| Sketch::new(Precision::MIN, sketch.hash_family()));
        universe.check_hash(sketch)?;
        self.finest = self.finest.max(Some(sketch.precision()));
        if sketch.is_empty() {
            return Ok(());
        }
        if self.first.is_none() && !self.several {
            self.first = Some(sketch.clone());
            return Ok(());
        }
        self.several = true;
        if let Some(first) = self.first.take() {
            self.take(&first)?;
        }
        self.take(sketch)
    }

    fn take(&mut self, sketch: &Sketch) -> Result<(), HashMismatch> {
        let Some(tokens) = sketch.tokens() else {
            match &mut self.dense {
                Some(dense) => {
                    dense.merge(sketch)?;
                }
                None => self.dense = Some(sketch.clone()),
            }
            return Ok(());
        };
        if let Some(dense) = &mut self.dense {
            dense.merge(sketch)?;
            return Ok(());
        }
        self.finest_sparse = self.finest_sparse.max(Some(sketch.precision()));
        if let Some(packed) = &mut self.packed {
            packed.merge(sketch)?;
            return Ok(());
        }
        self.tokens.extend(tokens.as_slice());
        if self.tokens.len() >= 2 * Precision::MAX.max_tokens() {
            let tokens = TokenSet::from_unsorted(std::mem::take(&mut self.tokens));
            if tokens.len() < Precision::MAX.max_tokens() {
                self.tokens = tokens.as_slice().to_vec();
            } else {
                self.packed = Some(Sketch::from_tokens(
                    Precision::MAX,
                    sketch.hash_family(),
                    tokens,
                ));
            }
        }
        Ok(())
    }

    /// What is left: `None` where there was no sketch.
    pub fn finish(mut self) -> Result<Option<Part>, HashMismatch> {
        let (Some(universe), Some(finest)) = (self.universe.take(), self.finest) else {
            return Ok(None);
        };
        let hash = universe.hash_family();
        if !self.several {
            let sketch = self.first.unwrap_or_else(|| Sketch::new(finest, hash));
            return Ok(Some(Part {
                stands_for: None,
                sketch,
            }));
        }
        let sparse = self.packed.or_else(|| {
            let tokens = TokenSet::from_unsorted(self.tokens);
            (!tokens.is_empty()).then(|| Sketch::from_tokens(Precision::MAX, hash, tokens))
        });
        let (mut sketch, stands_for) = match (self.dense, sparse) {
            (None, Some(sparse)) => (sparse, self.finest_sparse),
            (None, None) => (Sketch::new(finest, hash), None),
            (Some(dense), None) => (dense, None),
            (Some(mut dense), Some(sparse)) => {
                dense.merge(&sparse)?;
                (dense, None)
            }
        };
        sketch.end_running_estimate();
        Ok(Some(Part { stands_for, sketch }))
    }
}

impl Sketch {
    /// From now on registers alone are what is known.
    fn end_running_estimate(&mut self) {
        if let Body::Dense(dense) = &mut self.body
            && dense.running().is_some()
        {
            Dense::end_running_estimate(Arc::make_mut(dense));
        }
    }
}

/// The parts as sketches whose union is that of all sketches they are of. Where they are to be merged into a sketch that
/// is there already, its precision is `into`: that of sparse ones then counts for nothing.
pub fn resolve(parts: Vec<Part>, into: Option<Precision>) -> Vec<Sketch> {
    let members = || parts.iter().filter(|part| !part.sketch.is_empty());
    let dense = members().filter(|part| part.stands_for.is_none() && !part.sketch.is_sparse());
    let coarsest = dense.map(|part| part.sketch.precision()).min();
    let finest = members().map(|part| part.stands_for.unwrap_or(part.sketch.precision()));
    let Some(target) = [coarsest, into]
        .into_iter()
        .flatten()
        .min()
        .or(finest.max())
    else {
        return parts.into_iter().map(|part| part.sketch).collect();
    };
    let folded = parts.into_iter().map(|part| {
        let Part {
            stands_for,
            mut sketch,
        } = part;
        if stands_for.is_some() {
            sketch.fold(target.min(sketch.precision()));
            sketch.end_running_estimate();
        }
        sketch
    });
    folded.collect()
}

#[cfg(test)]
mod tests {
    use super::super::hash::HashFamily;
    use super::*;
    use proptest::prelude::*;

    /// A sketch of elements `from..from + number`.
    fn sketch(p: u8, family: HashFamily, from: u32, number: u32) -> Sketch {
        let mut sketch = Sketch::new(Precision::new(p).unwrap(), family);
        for element in from..from + number {
            sketch.add(&element.to_le_bytes());
        }
        sketch
    }

    /// Without history, as sketches of other programs are.
    fn plain(sketch: Sketch) -> Sketch {
        let Some(dense) = sketch.dense() else {
            return sketch;
        };
        let registers = dense.registers().iter().map(|r| r & !3).collect();
        let plain = Dense::from_registers(registers, dense.precision(), false).unwrap();
        Sketch::from_dense(sketch.hash_family(), plain)
    }

    fn sketches() -> impl Strategy<Value = Vec<(Sketch, usize)>> {
        let size = prop_oneof![Just(0u32), 1..40u32, 100..3_000u32, Just(70_000)];
        let precision = prop_oneof![4..=14u8, Just(18)];
        let one = (precision, size, 0u32..3_000, any::<bool>(), 0usize..3);
        let one = one.prop_map(|(p, number, from, is_plain, place)| {
            let number = if p == 18 { number } else { number.min(20_000) };
            let made = sketch(p, HashFamily::default(), from, number);
            (if is_plain { plain(made) } else { made }, place)
        });
        prop::collection::vec(one, 0..7)
    }

    fn parts(sketches: &[(Sketch, usize)]) -> Vec<Part> {
        let of_place = |place: usize| {
            let mut union = PartialUnion::default();
            for (sketch, _) in sketches.iter().filter(|(_, its)| *its == place) {
                union.add(sketch).unwrap();
            }
            union.finish().unwrap()
        };
        (0..3).filter_map(of_place).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_union_of_parts_is_that_of_all(sketches in sketches()) {
            let whole = Sketch::union(sketches.iter().map(|(sketch, _)| sketch)).unwrap();
            let resolved = resolve(parts(&sketches), None);
            let found = Sketch::union(&resolved).unwrap();
            prop_assert_eq!(found, whole);
        }

        #[test]
        fn merged_into_a_sketch_they_make_what_all_of_them_make(sketches in sketches(), p in 4..=14u8, number in 0u32..5_000) {
            let mut whole = sketch(p, HashFamily::default(), 1_000, number);
            let mut found = whole.clone();
            let resolved = resolve(parts(&sketches), Some(whole.precision()));
            let all: Vec<&Sketch> = sketches.iter().map(|(sketch, _)| sketch).collect();
            let changed = whole.merge_all(&all).unwrap();
            prop_assert_eq!(found.merge_all(&resolved.iter().collect::<Vec<_>>()).unwrap(), changed);
            prop_assert_eq!(found, whole);
        }
    }

    /// Sparse ones that are too many for the finest precision, and one place has a coarse dense one.
    #[test]
    fn tokens_beyond_all_precisions_are_registers_of_the_finest() {
        let family = HashFamily::default();
        let many: Vec<(Sketch, usize)> = (0..100)
            .map(|i| (sketch(13, family, i * 2_000, 2_000), (i % 2) as usize))
            .collect();
        for last in [
            None,
            Some(sketch(18, family, 7, 60_000)),
            Some(sketch(12, family, 7, 9_000)),
        ] {
            let all: Vec<_> = many
                .iter()
                .cloned()
                .chain(last.map(|last| (last, 2)))
                .collect();
            assert!(many.iter().all(|(sketch, _)| sketch.is_sparse()));
            let parts = parts(&all);
            assert!(!parts[0].sketch.is_sparse() && parts[0].sketch.precision() == Precision::MAX);
            let resolved = resolve(parts, None);
            let whole = Sketch::union(all.iter().map(|(sketch, _)| sketch)).unwrap();
            assert_eq!(Sketch::union(&resolved).unwrap(), whole);
        }
    }

    #[test]
    fn sketches_of_another_universe_are_refused() {
        let mut union = PartialUnion::default();
        union.add(&sketch(13, HashFamily::default(), 0, 0)).unwrap();
        assert!(
            union
                .add(&sketch(13, HashFamily::Xxh3 { seed: 5 }, 0, 10))
                .is_err()
        );
        assert!(union.finish().unwrap().unwrap().sketch.is_empty());
    }
}
