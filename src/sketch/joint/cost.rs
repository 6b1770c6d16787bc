//! How long a joint solution is going to take, for whoever must not wait for it and can have it made
//! elsewhere.
//!
//! ```text
//!   all sets sparse   tokens × (a + b K)                          the walk of tokens.rs
//!   otherwise         tokens × c                                  replayed into registers
//!                   + registers finer than the coarsest × d       folded
//!                   + K × 2^p of the coarsest × e                 counted (cells.rs)
//!                   + fit[K]                                      climbed (solve.rs)
//! ```
//!
//! The constants are times of one core of an AMD EPYC, rounded up: `cargo bench --bench joint -- --costs`
//! prints measured times beside these and judges them. The work of the climb depends on the numbers in the registers, that of intervals on
//! what is asked: `fit` is what a solution of ordinary sets takes with the interval of one question per set.

use super::cells::MAX_SETS;
use crate::sketch::Sketch;
use std::time::Duration;

/// Nanoseconds for each token of a walk through tokens: for itself, and for each set.
const WALK: f64 = 3.0;
const WALK_PER_SET: f64 = 2.5;

/// Nanoseconds to replay a token into registers.
const REPLAY: f64 = 8.0;

/// Nanoseconds to fold a register away.
const FOLD: f64 = 0.5;

/// Nanoseconds to count the cells of a register of one set.
const CELLS: f64 = 5.0;

/// Microseconds of the fit, by the number of sets.
const FIT: [f64; MAX_SETS + 1] = [
    1.0, 5.0, 60.0, 400.0, 1_200.0, 3_500.0, 8_000.0, 20_000.0, 60_000.0,
];

/// The expected time of one solution for all of these sketches.
pub fn solution<'a>(sketches: impl IntoIterator<Item = &'a Sketch>) -> Duration {
    let mut work = Work::default();
    for sketch in sketches {
        work.sets += 1;
        match sketch.tokens() {
            Some(tokens) => work.tokens += tokens.len(),
            None => {
                let registers = sketch.precision().registers();
                work.registers += registers;
                work.coarsest = Some(work.coarsest.map_or(registers, |c| c.min(registers)));
            }
        }
    }
    work.time()
}

/// What none of the solutions for `sets` of these sketches is expected to exceed: that for a choice
/// which has the longest token lists and the most registers at once.
pub fn costliest<'a>(sketches: impl IntoIterator<Item = &'a Sketch>, sets: usize) -> Duration {
    let (mut tokens, mut registers) = (Vec::new(), Vec::new());
    for sketch in sketches {
        match sketch.tokens() {
            Some(list) => tokens.push(list.len()),
            None => registers.push(sketch.precision().registers()),
        }
    }
    let largest = |mut sizes: Vec<usize>| {
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.truncate(sets);
        sizes
    };
    let (tokens, registers) = (largest(tokens), largest(registers));
    let work = |dense: &[usize]| Work {
        sets,
        tokens: tokens.iter().sum(),
        registers: dense.iter().sum(),
        coarsest: dense.first().copied(),
    };
    // Among others there may be a choice without a dense one, and its walk may take longer.
    work(&registers).time().max(work(&[]).time())
}

/// What the time depends on.
#[derive(Default)]
struct Work {
    sets: usize,
    tokens: usize,
    /// Of all dense sketches together.
    registers: usize,
    /// Of the coarsest dense one.
    coarsest: Option<usize>,
}

impl Work {
    fn time(&self) -> Duration {
        let (sets, tokens) = (self.sets as f64, self.tokens as f64);
        let nanoseconds = match self.coarsest {
            None => tokens * (WALK + WALK_PER_SET * sets),
            Some(coarsest) => {
                tokens * REPLAY
                    + self.registers as f64 * FOLD
                    + sets * coarsest as f64 * CELLS
                    + 1e3 * FIT[self.sets.min(MAX_SETS)]
            }
        };
        Duration::from_nanos(nanoseconds as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{HashFamily, Precision};

    fn sketch(p: u8, elements: u64) -> Sketch {
        let mut sketch = Sketch::new(Precision::new(p).unwrap(), HashFamily::default());
        for i in 1..=elements {
            sketch.add_hash(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        sketch
    }

    /// What is sparse is not free: long lists are walked, or replayed for one that is dense.
    #[test]
    fn tokens_cost_time() {
        let (few, many) = (sketch(18, 10), sketch(18, 65_000));
        let millisecond = Duration::from_millis(1);
        assert!(solution([&few, &few]) < Duration::from_micros(10));
        assert!(solution([&many, &many]) > millisecond / 2);
        assert!(solution([&many, &sketch(4, 100)]) > millisecond / 5);
        assert!(solution(&vec![many; 8]) > 8 * millisecond);
    }

    #[test]
    fn no_choice_takes_longer_than_the_costliest() {
        let sketches = [
            sketch(4, 3),
            sketch(4, 100),
            sketch(12, 10_000),
            sketch(14, 2_000),
            sketch(18, 60_000),
            sketch(18, 200_000),
        ];
        let pairs = costliest(&sketches, 2);
        for a in &sketches {
            for b in &sketches {
                assert!(solution([a, b]) <= pairs);
            }
        }
        assert!(pairs < solution(&sketches));
    }
}
