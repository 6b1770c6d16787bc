//! The statistics pass: from registers to counts of cells.
//!
//! A *cell* is a register and a level: one place where an element may or may not have landed. Of
//! each cell, every set knows one of three things, and over all sets these make a three-digit code:
//!
//! ```text
//!   digit of set s (worth 3^s)     when u is the highest level in its register
//!   0  unknown                     the level is below u-2 (without history: below u)
//!   1  empty                       above u, or one of u-1, u-2 with its bit clear; all if u = 0
//!   2  occupied                    u itself, or one of u-1, u-2 with its bit set
//! ```
//!
//! How often each code occurs on each level is all that the likelihood depends on. Codes add up:
//! the code of a cell is the sum of its sets' digits times their worth, so a register value
//! stands for a row of digits over the levels, and the rows of the K values at one index are added
//! four levels at a time. To leave the last set out, divide the counts' last digit away ([`Cells::without_last`]).

use super::super::kernels;
use super::super::precision::Precision;
use super::super::register::{HISTORY, Register};

/// The most sets one solution takes. The work grows as 3^K.
pub const MAX_SETS: usize = 8;

/// 3^s: what the digit of set s is worth.
pub(super) const WORTH: [usize; MAX_SETS + 1] = [1, 3, 9, 27, 81, 243, 729, 2187, 6561];

/// What a set knows of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knowledge {
    Unknown = 0,
    Empty = 1,
    Occupied = 2,
}

/// The registers of one set, all sets at one precision.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub registers: &'a [Register],
    /// Whether the two low bits of a register mean something.
    pub history: bool,
}

impl Member<'_> {
    /// What a register of this set says about a level.
    pub fn knowledge(&self, r: Register, level: u32) -> Knowledge {
        let u = u32::from(r >> 2);
        let seen = |bit| match (self.history, r & HISTORY & bit) {
            (false, _) => Knowledge::Unknown,
            (true, 0) => Knowledge::Empty,
            (true, _) => Knowledge::Occupied,
        };
        if level > u {
            Knowledge::Empty
        } else {
            match u - level {
                0 => Knowledge::Occupied,
                1 => seen(0b10),
                2 => seen(0b01),
                _ => Knowledge::Unknown,
            }
        }
    }

    /// The lowest level of which such a register knows anything.
    fn lowest_known(&self, r: Register) -> u32 {
        let u = u32::from(r >> 2);
        (if self.history { u.saturating_sub(2) } else { u }).max(1)
    }
}

/// How many cells of each level have each code.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cells {
    pub sets: usize,
    pub precision: Precision,
    /// The lowest level that is counted. Below it nobody knows anything.
    pub first: u32,
    /// For each level from `first`, 3^sets counts. Above the last one every set knows every cell
    /// to be empty.
    counts: Vec<u32>,
}

/// Levels in one machine word: codes have 16 bits (3^8 < 2^16), so four of them are added at once.
const LANES: u32 = 4;

/// What each register value of one set says, as rows of digits times their worth over the levels.
struct Rows {
    /// `width` words for each of the 256 values, of which those that occur are filled.
    words: Vec<u64>,
    width: usize,
    /// Per register value, the words from the first it knows anything of to the one with its
    /// highest level. After them it is empty throughout.
    spans: [(u8, u8); 256],
}

impl Rows {
    fn new(
        member: &Member,
        occurring: &[u32; 256],
        worth: usize,
        first: u32,
        width: usize,
    ) -> Rows {
        let mut words = vec![0; 256 * width];
        let mut spans = [(0, 0); 256];
        for r in (0..=255u8).filter(|&r| occurring[usize::from(r)] > 0) {
            let end = u32::from(r >> 2) + 1;
            spans[usize::from(r)] = (
                ((member.lowest_known(r) - first) / LANES) as u8,
                end.saturating_sub(first).div_ceil(LANES) as u8,
            );
            let row = &mut words[usize::from(r) * width..][..width];
            for (word, level) in row.iter_mut().zip((first..).step_by(LANES as usize)) {
                for lane in 0..LANES {
                    let digit = member.knowledge(r, level + lane) as usize * worth;
                    *word |= (digit as u64) << (16 * lane);
                }
            }
        }
        Rows {
            words,
            width,
            spans,
        }
    }
}

impl Cells {
    /// Counts the cells of 1 to 8 sets with 2^p registers each.
    pub fn count(members: &[Member], precision: Precision) -> Cells {
        assert!((1..=MAX_SETS).contains(&members.len()));
        let sets = members.len();
        let codes = WORTH[sets];
        let histograms: Vec<[u32; 256]> = members
            .iter()
            .map(|m| kernels::histogram(m.registers))
            .collect();
        let occurring = || {
            members
                .iter()
                .zip(&histograms)
                .flat_map(|(member, histogram)| {
                    (0..=255u8)
                        .filter(|&r| histogram[usize::from(r)] > 0)
                        .map(move |r| (member.lowest_known(r), u32::from(r >> 2)))
                })
        };
        let first = occurring().map(|(lowest, _)| lowest).min().unwrap_or(1);
        let last = occurring().map(|(_, u)| u).max().unwrap_or(0).max(first);
        let levels = last - first + 1;
        let width = levels.div_ceil(LANES) as usize;
        let rows: Vec<Rows> = members
            .iter()
            .zip(&histograms)
            .zip(WORTH)
            .map(|((member, histogram), worth)| Rows::new(member, histogram, worth, first, width))
            .collect();
        let mut tally = Tally {
            counts: vec![0; width * LANES as usize * codes],
            codes,
            ends: vec![0; width + 1],
        };
        let registers: Vec<&[Register]> = members.iter().map(|m| m.registers).collect();
        match sets {
            1 => {
                for (r, &weight) in (0..=255u8).zip(&histograms[0]).filter(|&(_, &n)| n > 0) {
                    tally.add(&[&rows[0]], [r], weight);
                }
            }
            2 => pair_histogram(&registers, &histograms, |pair, weight| {
                tally.add(&[&rows[0], &rows[1]], pair, weight);
            }),
            3 => tally.add_all::<3>(&rows, &registers),
            4 => tally.add_all::<4>(&rows, &registers),
            5 => tally.add_all::<5>(&rows, &registers),
            6 => tally.add_all::<6>(&rows, &registers),
            7 => tally.add_all::<7>(&rows, &registers),
            _ => tally.add_all::<8>(&rows, &registers),
        }
        Cells {
            sets,
            precision,
            first,
            counts: tally.finish(sets, levels as usize),
        }
    }

    /// Levels and their counts by code, lowest level first.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = (u32, &[u32])> + ExactSizeIterator {
        let first = self.first;
        self.counts
            .chunks_exact(WORTH[self.sets])
            .enumerate()
            .map(move |(i, counts)| (first + i as u32, counts))
    }

    /// The highest level that is counted.
    pub fn last(&self) -> u32 {
        self.first + (self.counts.len() / WORTH[self.sets]) as u32 - 1
    }

    /// The cells as the sets but the last one know them.
    pub fn without_last(&self) -> Cells {
        let sets = self.sets - 1;
        let codes = WORTH[sets];
        let mut counts = Vec::with_capacity(self.counts.len() / 3);
        for level in self.counts.chunks_exact(3 * codes) {
            let (unknown, known) = level.split_at(codes);
            let (empty, occupied) = known.split_at(codes);
            counts.extend((0..codes).map(|c| unknown[c] + empty[c] + occupied[c]));
        }
        Cells {
            sets,
            counts,
            ..*self
        }
    }
}

/// The counts in the making.
struct Tally {
    /// For each level, rounded up to whole words, the counts by code.
    counts: Vec<u32>,
    codes: usize,
    /// How many register tuples end before each word: from there on their cells are empty in
    /// every set.
    ends: Vec<u32>,
}

impl Tally {
    /// Counts the cells of K registers at one index, as if they stood at `weight` indices.
    #[inline]
    fn add<const K: usize>(&mut self, rows: &[&Rows; K], values: [Register; K], weight: u32) {
        let (mut start, mut end) = (u8::MAX, 0);
        for (rows, r) in rows.iter().zip(values) {
            let span = rows.spans[usize::from(r)];
            start = start.min(span.0);
            end = end.max(span.1);
        }
        for word in usize::from(start)..usize::from(end) {
            let mut sum = 0;
            for (rows, r) in rows.iter().zip(values) {
                sum += rows.words[usize::from(r) * rows.width + word];
            }
            let lanes = LANES as usize * self.codes;
            let mut counts = &mut self.counts[word * lanes..][..lanes];
            for _ in 0..LANES {
                let (level, rest) = counts.split_at_mut(self.codes);
                level[usize::from(sum as u16)] += weight;
                sum >>= 16;
                counts = rest;
            }
        }
        self.ends[usize::from(end)] += weight;
    }

    fn add_all<const K: usize>(&mut self, rows: &[Rows], registers: &[&[Register]]) {
        let rows: [&Rows; K] = std::array::from_fn(|s| &rows[s]);
        let m = registers[0].len();
        let registers: [&[Register]; K] = std::array::from_fn(|s| &registers[s][..m]);
        for i in 0..m {
            self.add(&rows, registers.map(|registers| registers[i]), 1);
        }
    }

    /// Adds what lies above the highest level of each register tuple.
    fn finish(mut self, sets: usize, levels: usize) -> Vec<u32> {
        let all_empty = WORTH[..sets].iter().sum::<usize>();
        let mut above = 0;
        let words = self.counts.chunks_exact_mut(LANES as usize * self.codes);
        for (word, ended) in words.zip(self.ends) {
            above += ended;
            for level in word.chunks_exact_mut(self.codes) {
                level[all_empty] += above;
            }
        }
        self.counts.truncate(levels * self.codes);
        self.counts
    }
}

/// How often each pair of register values meets. Two sets have far fewer distinct pairs than
/// registers.
fn pair_histogram(
    registers: &[&[Register]],
    histograms: &[[u32; 256]],
    mut each: impl FnMut([Register; 2], u32),
) {
    let values = [0, 1].map(|s| -> Vec<Register> {
        (0..=255u8)
            .filter(|&r| histograms[s][usize::from(r)] > 0)
            .collect()
    });
    let place = [0, 1].map(|s| {
        let mut place = [0u8; 256];
        for (i, &r) in (0..=255u8).zip(&values[s]) {
            place[usize::from(r)] = i;
        }
        place
    });
    let columns = values[1].len();
    let mut counts = vec![0u32; values[0].len() * columns];
    for (&a, &b) in registers[0].iter().zip(registers[1]) {
        let row = usize::from(place[0][usize::from(a)]);
        counts[row * columns + usize::from(place[1][usize::from(b)])] += 1;
    }
    for (row, &a) in counts.chunks_exact(columns).zip(&values[0]) {
        for (&weight, &b) in row
            .iter()
            .zip(&values[1])
            .filter(|&(&weight, _)| weight > 0)
        {
            each([a, b], weight);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sketch::register;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The definition: every cell of every register, one by one, for every level there is.
    fn naive(members: &[Member], p: Precision) -> BTreeMap<(u32, usize), u32> {
        let mut counts = BTreeMap::new();
        for i in 0..p.registers() {
            for level in 1..=register::max_level(p) {
                let code = members
                    .iter()
                    .enumerate()
                    .map(|(s, m)| {
                        let r = m.registers[i];
                        let u = u32::from(r >> 2);
                        let digit = if level > u {
                            1
                        } else if level == u {
                            2
                        } else if m.history && u - level <= 2 {
                            let bit = if u - level == 1 { 0b10 } else { 0b01 };
                            if r & bit != 0 { 2 } else { 1 }
                        } else {
                            0
                        };
                        digit * 3usize.pow(s as u32)
                    })
                    .sum();
                *counts.entry((level, code)).or_default() += 1;
            }
        }
        counts
    }

    fn assert_equal_to_naive(members: &[Member], p: Precision) {
        let mut counted = BTreeMap::new();
        let cells = Cells::count(members, p);
        for (level, counts) in cells.levels() {
            for (code, &count) in counts.iter().enumerate().filter(|&(_, &n)| n > 0) {
                counted.insert((level, code), count);
            }
        }
        let mut expected = naive(members, p);
        // Left implicit: what nobody knows, and the levels above the last.
        expected.retain(|&(level, code), count| {
            let all_empty = WORTH[..members.len()].iter().sum::<usize>();
            if level > cells.last() {
                assert_eq!((code, *count), (all_empty, p.registers() as u32));
            }
            if level < cells.first {
                assert_eq!(code, 0);
            }
            code != 0 && level <= cells.last()
        });
        counted.retain(|&(_, code), _| code != 0);
        assert_eq!(counted, expected);
    }

    /// Any register a sketch of this precision may hold.
    pub fn any_register(p: Precision) -> impl Strategy<Value = Register> {
        let top = register::max_level(p) as u8;
        prop_oneof![
            2 => Just(0),
            6 => (1..=12u8, 0..4u8).prop_map(valid),
            1 => (1..=top, 0..4u8).prop_map(valid),
            1 => Just(top << 2 | 3),
        ]
    }

    fn valid((u, w): (u8, u8)) -> Register {
        let possible = match u {
            1 => 0,
            2 => 0b10,
            _ => HISTORY,
        };
        u << 2 | w & possible
    }

    proptest! {
        #[test]
        fn the_pass_is_the_definition(
            sets in 1usize..=5,
            bits in 4u8..=6,
            plain in prop::collection::vec(any::<bool>(), 8),
            registers in prop::collection::vec(any_register(Precision::MIN), 64 * 5),
        ) {
            let p = Precision::new(bits).unwrap();
            let top = register::max_level(p) as u8;
            let data: Vec<Vec<Register>> = (0..sets)
                .map(|s| {
                    registers[s * 64..][..p.registers()]
                        .iter()
                        .map(|&r| r.min(top << 2 | 3) & if plain[s] { !HISTORY } else { !0 })
                        .collect()
                })
                .collect();
            let members: Vec<Member> = (0..sets)
                .map(|s| Member { registers: &data[s], history: !plain[s] })
                .collect();
            assert_equal_to_naive(&members, p);
            // Prefixes are projections.
            let mut cells = Cells::count(&members, p);
            for n in (1..sets).rev() {
                cells = cells.without_last();
                let direct = Cells::count(&members[..n], p);
                for (level, counts) in direct.levels() {
                    let (_, projected) = cells.levels().find(|&(l, _)| l == level).unwrap();
                    prop_assert_eq!(&counts[1..], &projected[1..]);
                }
            }
        }
    }
}
