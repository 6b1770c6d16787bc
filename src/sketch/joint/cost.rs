//! How long a joint solution is going to take, for whoever must not wait for it and can have it made
//! elsewhere.
//!
//! ```text
//!   all sets sparse   tokens × (a + b K)                          the walk of tokens.rs
//!   otherwise         tokens × c                                  replayed into registers
//!                   + registers finer than the coarsest × d       folded
//!                   + K × 2^p of the coarsest × e                 counted (cells.rs)
//!                   + fit[K]                                      climbed (solve.rs)
//!                   + intervals beyond K × interval[K]            gone down again (profile.rs)
//! ```
//!
//! The constants are times of one core of an AMD EPYC, rounded up: `cargo bench -p benches --bench joint -- --costs`
//! prints measured times beside these and judges them. The work of the climb depends on the numbers in the registers, that of intervals on
//! what is asked: `fit` is what a solution takes with the intervals of one question per set, where several of
//! the answers are near their border.

use super::cells::MAX_SETS;
use crate::sketch::Sketch;
use std::time::Duration;

/// Nanoseconds for each token of a walk through tokens: for itself, and for each set.
const WALK: f64 = 1.0;
const WALK_PER_SET: f64 = 4.0;

/// Nanoseconds to replay a token into registers.
const REPLAY: f64 = 8.0;

/// Nanoseconds to fold a register away.
const FOLD: f64 = 2.5;

/// Nanoseconds to count the cells of a register of one set: of pairs, whose values are counted first,
/// and of more.
const PAIR_CELLS: f64 = 2.5;
const CELLS: f64 = 10.0;

/// Microseconds of the fit, by the number of sets.
const FIT: [f64; MAX_SETS + 1] = [
    1.0, 10.0, 80.0, 500.0, 1_500.0, 5_000.0, 20_000.0, 70_000.0, 300_000.0,
];

/// Microseconds of an interval beyond those, by the number of sets: of more than five, the mean over
/// answers of which some are near their border.
const INTERVAL: [f64; MAX_SETS + 1] = [
    0.0, 1.0, 30.0, 80.0, 200.0, 500.0, 1_500.0, 3_000.0, 6_000.0,
];

/// The expected time of one solution for all of these sketches, with an interval for each.
pub fn solution<'a>(sketches: impl IntoIterator<Item = &'a Sketch>) -> Duration {
    answer(sketches, 0)
}

/// The same with so many intervals, if they are more.
pub fn answer<'a>(sketches: impl IntoIterator<Item = &'a Sketch>, intervals: usize) -> Duration {
    let (tokens, registers) = sizes(sketches);
    of_sizes(&tokens, &registers, intervals)
}

/// The same for sketches that are known by their sizes only: how many tokens each sparse one has, and how many
/// registers each dense one.
pub fn of_sizes(tokens: &[usize], registers: &[usize], intervals: usize) -> Duration {
    let sets = tokens.len() + registers.len();
    let coarsest = registers.iter().copied().min();
    let finer = registers.iter().filter(|&&own| Some(own) != coarsest);
    time(sets, tokens.iter().sum(), finer.sum(), coarsest, intervals)
}

/// What none of the solutions for `sets` of these sketches, with so many intervals, is expected to exceed: that
/// for a choice which has the longest token lists and the most registers at once.
pub fn costliest<'a>(
    sketches: impl IntoIterator<Item = &'a Sketch>,
    sets: usize,
    intervals: usize,
) -> Duration {
    let (mut tokens, registers) = sizes(sketches);
    tokens.sort_unstable_by(|a, b| b.cmp(a));
    let tokens = tokens.iter().take(sets).sum();
    // To count the cells of all sets at the finest precision takes longer than to fold it away, and a
    // choice without registers may take longer than one with them.
    let finest = registers.iter().copied().max();
    let time = |coarsest| time(sets, tokens, 0, coarsest, intervals);
    time(finest).max(time(None))
}

/// The lengths of the token lists, and the numbers of registers.
fn sizes<'a>(sketches: impl IntoIterator<Item = &'a Sketch>) -> (Vec<usize>, Vec<usize>) {
    let (mut tokens, mut registers) = (Vec::new(), Vec::new());
    for sketch in sketches {
        match sketch.tokens() {
            Some(list) => tokens.push(list.len()),
            None => registers.push(sketch.precision().registers()),
        }
    }
    (tokens, registers)
}

/// By the formula at the head of this file. `coarsest`: the fewest registers of a dense set, none if there
/// is no dense one; `finer`: all registers of the sets that have more.
fn time(
    sets: usize,
    tokens: usize,
    finer: usize,
    coarsest: Option<usize>,
    intervals: usize,
) -> Duration {
    let tokens = tokens as f64;
    let nanoseconds = match coarsest {
        None => tokens * (WALK + WALK_PER_SET * sets as f64),
        Some(coarsest) => {
            let cells = if sets > 2 { CELLS } else { PAIR_CELLS };
            tokens * REPLAY
                + finer as f64 * FOLD
                + sets as f64 * coarsest as f64 * cells
                + 1e3 * FIT[sets.min(MAX_SETS)]
                + 1e3 * intervals.saturating_sub(sets) as f64 * INTERVAL[sets.min(MAX_SETS)]
        }
    };
    Duration::from_nanos(nanoseconds as u64)
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

    /// Intervals are for nothing where tokens were counted, and only there.
    #[test]
    fn intervals_cost_time_where_there_are_registers() {
        let (few, many) = (sketch(12, 10), sketch(12, 10_000));
        assert_eq!(answer([&few, &few], 8), solution([&few, &few]));
        for sketches in [vec![&few, &many], vec![&many; 3], vec![&many; 8]] {
            let sets = sketches.len();
            let plain = solution(sketches.iter().copied());
            assert_eq!(answer(sketches.iter().copied(), sets), plain);
            assert!(answer(sketches.iter().copied(), 4 * sets) > plain);
        }
        assert!(costliest([&many, &many], 2, 4) > costliest([&many, &many], 2, 2));
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
        let pairs = costliest(&sketches, 2, 0);
        for a in &sketches {
            for b in &sketches {
                assert!(solution([a, b]) <= pairs);
            }
        }
        assert!(pairs < solution(&sketches));
    }
}
