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
//! as vectors. To leave the last set out, divide the counts' last digit away ([`Cells::without_last`]).

use super::super::kernels;
use super::super::precision::Precision;
use super::super::register::{self, HISTORY, Register};
use super::MAX_SETS;

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

/// Levels that are added at once: one SSE2 or NEON register of 16-bit codes.
const LANES: usize = 8;
type Lanes = [u16; LANES];

/// Register value to row of premultiplied digits over the levels, for the values that occur.
struct Rows {
    /// Which row belongs to a register value.
    row_of: [u8; 256],
    /// The register value of each row.
    values: Vec<Register>,
    /// `width` groups of lanes per row.
    digits: Vec<Lanes>,
    width: usize,
}

impl Rows {
    fn new(member: &Member, occurring: &[u32; 256], worth: usize, first: u32, levels: usize) -> Rows {
        let width = levels.div_ceil(LANES);
        let mut rows = Rows {
            row_of: [0; 256],
            values: Vec::new(),
            digits: Vec::new(),
            width,
        };
        for r in (0..=255u8).filter(|&r| occurring[usize::from(r)] > 0) {
            rows.row_of[usize::from(r)] = rows.values.len() as u8;
            rows.values.push(r);
            rows.digits.extend((0..width).map(|group| -> Lanes {
                std::array::from_fn(|lane| {
                    let level = first + (group * LANES + lane) as u32;
                    (member.knowledge(r, level) as usize * worth) as u16
                })
            }));
        }
        rows
    }

    #[inline]
    fn digits(&self, row: usize) -> &[Lanes] {
        &self.digits[row * self.width..][..self.width]
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
            members.iter().zip(&histograms).flat_map(|(member, histogram)| {
                (0..=255u8)
                    .filter(|&r| histogram[usize::from(r)] > 0)
                    .map(move |r| (member.lowest_known(r), u32::from(r >> 2)))
            })
        };
        let first = occurring().map(|(lowest, _)| lowest).min().unwrap_or(1);
        let last = occurring().map(|(_, u)| u).max().unwrap_or(0).max(first);
        let levels = (last - first + 1) as usize;

        let rows: Vec<Rows> = members
            .iter()
            .zip(&histograms)
            .enumerate()
            .map(|(s, (member, histogram))| Rows::new(member, histogram, WORTH[s], first, levels))
            .collect();
        // Per set and register value: the lowest level it knows, as an offset, and one past the highest.
        let spans: Vec<[(u8, u8); 256]> = members
            .iter()
            .map(|member| {
                std::array::from_fn(|r| {
                    let lowest = member.lowest_known(r as u8).saturating_sub(first);
                    let end = (u32::from(r as u8 >> 2) + 1).saturating_sub(first);
                    (lowest as u8, end as u8)
                })
            })
            .collect();

        let mut tally = Tally {
            counts: vec![0; levels * codes],
            codes,
            ends: [0; 65],
        };
        if let [a, b] = members {
            let pairs = pair_histogram(a.registers, b.registers, &rows[0], &rows[1]);
            let columns = rows[1].values.len();
            for (i, &weight) in pairs.iter().enumerate().filter(|&(_, &weight)| weight > 0) {
                let pair = [i / columns, i % columns];
                tally.add(&rows, &spans, |s| pair[s], weight);
            }
        } else {
            for i in 0..precision.registers() {
                let row = |s: usize| usize::from(rows[s].row_of[usize::from(members[s].registers[i])]);
                tally.add(&rows, &spans, row, 1);
            }
        }
        Cells {
            sets,
            precision,
            first,
            counts: tally.finish(sets),
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
    counts: Vec<u32>,
    codes: usize,
    /// How many register tuples end at each level offset; all cells from there on are empty in
    /// every set.
    ends: [u32; 65],
}

impl Tally {
    #[inline]
    fn add(
        &mut self,
        rows: &[Rows],
        spans: &[[(u8, u8); 256]],
        row: impl Fn(usize) -> usize,
        weight: u32,
    ) {
        let mut sum = [[0u16; LANES]; 64 / LANES];
        let (mut start, mut end) = (u8::MAX, 0);
        for (s, (rows, spans)) in rows.iter().zip(spans).enumerate() {
            let row = row(s);
            let (lowest, one_past) = spans[usize::from(rows.values[row])];
            start = start.min(lowest);
            end = end.max(one_past);
            for (sum, digits) in sum.iter_mut().zip(rows.digits(row)) {
                for (sum, digit) in sum.iter_mut().zip(digits) {
                    *sum += digit;
                }
            }
        }
        let (start, end) = (usize::from(start).min(usize::from(end)), usize::from(end));
        let codes = &sum.as_flattened()[start..end];
        let levels = self.counts.chunks_exact_mut(self.codes).skip(start);
        for (level, &code) in levels.zip(codes) {
            level[usize::from(code)] += weight;
        }
        self.ends[end] += weight;
    }

    /// Adds what lies above the highest level of each register tuple.
    fn finish(mut self, sets: usize) -> Vec<u32> {
        let all_empty = WORTH[..sets].iter().sum::<usize>();
        let mut above = 0;
        for (level, ended) in self.counts.chunks_exact_mut(self.codes).zip(self.ends) {
            above += ended;
            level[all_empty] += above;
        }
        self.counts
    }
}

/// How often each pair of rows meets: rows of `a` times rows of `b`. Two sets have far fewer
/// distinct pairs of register values than registers.
fn pair_histogram(a: &[Register], b: &[Register], a_rows: &Rows, b_rows: &Rows) -> Vec<u32> {
    let columns = b_rows.values.len();
    let mut counts = vec![0u32; a_rows.values.len() * columns];
    for (&a, &b) in a.iter().zip(b) {
        let (row, column) = (a_rows.row_of[usize::from(a)], b_rows.row_of[usize::from(b)]);
        counts[usize::from(row) * columns + usize::from(column)] += 1;
    }
    counts
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
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
