//! The dense register: one byte that remembers three levels.
//!
//! A hash `h` picks register `i` by its low p bits and reaches *level* `k` by the run of zeros at
//! its high end: k = 1 with probability 1/2, 2 with 1/4, ... A classical HyperLogLog register keeps
//! the highest level `u` it ever saw. Here two more bits say whether the two levels just below `u`
//! were seen as well (UltraLogLog; Ertl 2023, arXiv 2308.16862, section 2):
//!
//! ```text
//!      7   6   5   4   3   2     1         0
//!    +---+---+---+---+---+---+---------+---------+
//!    |    u, highest level   | u-1     | u-2     |
//!    |    0 = none yet       | seen?   | seen?   |
//!    +---+---+---+---+---+---+---------+---------+
//! ```
//!
//! Example. Levels 1, 3 and 2 arrive in that order: `000001 00` (u = 1), then `000011 01` (u = 3,
//! level 2 not seen, level 1 seen), then `000011 11`. The result is the same for every order, and
//! a level three or more below `u` is forgotten, whenever it came.
//!
//! Index bits are taken from the low end and levels from the high end so that lowering p is a
//! merge of register pairs (see [`fold`]).

use super::precision::Precision;

/// u<<2 | seen(u-1)<<1 | seen(u-2); 0 is empty.
pub type Register = u8;

/// Both history bits of a register.
pub const HISTORY: Register = 0b11;

/// The register a hash belongs to: 0..m.
#[inline]
pub fn index(hash: u64, p: Precision) -> usize {
    hash as usize & (p.registers() - 1)
}

/// The level a hash reaches: 1 to 65-p.
#[inline]
pub fn level(hash: u64, p: Precision) -> u32 {
    (hash | (p.registers() as u64 - 1)).leading_zeros() + 1
}

/// The highest level a register of precision p can hold.
#[inline]
pub const fn max_level(p: Precision) -> u32 {
    65 - p.bits()
}

/// The set of levels a register is known to have seen, level k at bit k.
#[inline]
const fn levels(r: Register) -> u64 {
    if r == 0 {
        0
    } else {
        ((4 | (r & HISTORY) as u64) << (r >> 2)) >> 2
    }
}

/// The register after one more hash of level `k`.
#[inline]
pub const fn insert(r: Register, k: u32) -> Register {
    let seen = levels(r) | 1 << k;
    let u = seen.ilog2();
    (u << 2) as u8 | ((seen << 2) >> u) as u8 & HISTORY
}

/// What [`insert`] says of every register and level, 16 KiB of which few are in use at a time.
static AFTER: [[Register; 256]; 64] = {
    let mut after = [[0; 256]; 64];
    let mut k = 1;
    while k < 64 {
        let mut r = 0;
        while r < 256 {
            after[k][r] = insert(r as Register, k as u32);
            r += 1;
        }
        k += 1;
    }
    after
};

/// [`insert`] for many hashes one after the other: by a table, which takes a third of the time. The level is below 64.
#[inline]
pub fn after(r: Register, k: u32) -> Register {
    AFTER[k as usize & 63][usize::from(r)]
}

/// Whether one more hash of level `k` leaves a register with history as it is: the level is
/// remembered, or three or more below the highest and forgotten. Costs a fraction of [`insert`], and
/// most hashes that a full sketch meets end here.
///
/// The bits of an empty register read as "level 0 seen", a level that no hash has.
#[inline]
pub fn knows(r: Register, k: u32) -> bool {
    let u = r >> 2;
    let remembered = (4 | u64::from(r & HISTORY)) << u;
    let forgotten = (1 << u) - 1;
    (remembered | forgotten) >> 2 >> k & 1 != 0
}

/// Whether the register that this hash belongs to, of the 2^p there are, [`knows`] its level.
#[inline]
pub fn recognize(registers: &[Register], hash: u64) -> bool {
    // There is always a register, and a mask made of their number makes a check of bounds superfluous.
    let mask = registers.len() - 1;
    let level = (hash | mask as u64).leading_zeros() + 1;
    knows(registers[hash as usize & mask], level)
}

/// The registers that these hashes make from nothing.
pub fn from_hashes(hashes: impl IntoIterator<Item = u64>, p: Precision) -> Vec<Register> {
    let mut registers = vec![0; p.registers()];
    for hash in hashes {
        let r = &mut registers[index(hash, p)];
        *r = insert(*r, level(hash, p));
    }
    registers
}

/// The register that has seen what either has. Byte selects only, without a branch or a lookup:
/// a loop over it compiles to SIMD ([`super::kernels`]).
#[inline]
pub fn merge(a: Register, b: Register) -> Register {
    let high = a.max(b);
    let low = a.min(b);
    let distance = (high >> 2) - (low >> 2);
    let same = low & HISTORY;
    let one_below = 0b10 | (low >> 1) & 1;
    let seen = if distance == 0 { same } else { 0 };
    let seen = if distance == 1 { one_below } else { seen };
    let seen = if distance == 2 { 1 } else { seen };
    high | if low == 0 { 0 } else { seen }
}

/// The registers of precision `to` that the same elements would have made, from those of precision
/// `from` > `to`: registers whose indices agree in the low bits fall together.
///
/// One level moves: a hash whose bits above the index are all zero stops at level 65-p because the
/// index ends the run. Where the index bits that turn into level bits are zero too, the run goes on.
pub fn fold(registers: &[Register], from: Precision, to: Precision) -> Vec<Register> {
    assert_eq!(registers.len(), from.registers());
    assert!(to <= from);
    let mut folded = registers.to_vec();
    for p in (to.bits()..from.bits()).rev() {
        let top = (64 - p) as u8;
        let half = 1 << p;
        let (low, high) = folded.split_at_mut(half);
        for (l, &h) in low.iter_mut().zip(high.iter()) {
            if *l >> 2 == top {
                *l = (top + 1) << 2 | (*l & HISTORY) >> 1;
            }
            *l = merge(*l, h);
        }
        folded.truncate(half);
    }
    folded.shrink_to_fit();
    folded
}

/// Probabilities in units of 2^-64: every one that occurs here is a whole number of them.
pub const ONE: u128 = 1 << 64;

/// ρ_k: the probability that a new element reaches level k in one given register.
#[inline]
pub fn level_probability(k: u32, p: Precision) -> u64 {
    debug_assert!((1..=max_level(p)).contains(&k));
    if k == max_level(p) {
        1
    } else {
        1 << (64 - p.bits() - k)
    }
}

/// The probability that a new element changes this register: everything above `u`, and the levels
/// below that are remembered as not seen. A register without history only ever changes upwards.
#[inline]
pub fn unseen_mass(r: Register, p: Precision, history: bool) -> u64 {
    let u = u32::from(r >> 2);
    let above = if u == max_level(p) {
        0
    } else {
        1 << (64 - p.bits() - u)
    };
    let missing = |below: u32, bit: u8| {
        if history && u > below && r & bit == 0 {
            level_probability(u - below, p)
        } else {
            0
        }
    };
    above + missing(1, 0b10) + missing(2, 0b01)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The definition, in words: the highest level and whether the two below it were seen.
    fn naive(levels: &BTreeSet<u32>) -> Register {
        let Some(&u) = levels.last() else { return 0 };
        let seen = |below: u32| u8::from(u > below && levels.contains(&(u - below)));
        (u as u8) << 2 | seen(1) << 1 | seen(2)
    }

    fn from_levels(levels: &BTreeSet<u32>) -> Register {
        levels.iter().fold(0, |r, &k| insert(r, k))
    }

    #[test]
    #[expect(
        clippy::unusual_byte_groupings,
        reason = "grouped as the fields of a register"
    )]
    fn the_documented_example() {
        let r = insert(0, 1);
        assert_eq!(r, 0b000001_00);
        let r = insert(r, 3);
        assert_eq!(r, 0b000011_01);
        assert_eq!(insert(r, 2), 0b000011_11);
    }

    #[test]
    fn masses_of_all_levels_sum_to_one_register() {
        for p in 4..=18 {
            let p = Precision::new(p).unwrap();
            let total: u128 = (1..=max_level(p))
                .map(|k| u128::from(level_probability(k, p)))
                .sum();
            assert_eq!(total * p.registers() as u128, ONE);
            assert_eq!(
                u128::from(unseen_mass(0, p, true)) * p.registers() as u128,
                ONE
            );
        }
    }

    proptest! {
        #[test]
        fn insert_is_the_definition_in_every_order(list in prop::collection::vec(1u32..=61, 0..12)) {
            let set: BTreeSet<u32> = list.iter().copied().collect();
            let r = list.iter().fold(0, |r, &k| insert(r, k));
            prop_assert_eq!(r, naive(&set));
        }

        #[test]
        fn what_a_register_knows_does_not_change_it(set in prop::collection::btree_set(1u32..=61, 0..8), k in 1u32..=61) {
            let r = from_levels(&set);
            prop_assert_eq!(knows(r, k), insert(r, k) == r);
        }

        #[test]
        fn merge_is_the_union_of_levels(a in prop::collection::btree_set(1u32..=61, 0..8), b in prop::collection::btree_set(1u32..=61, 0..8)) {
            let union = a.union(&b).copied().collect();
            prop_assert_eq!(merge(from_levels(&a), from_levels(&b)), naive(&union));
        }

        #[test]
        fn unseen_mass_is_the_chance_of_a_change(set in prop::collection::btree_set(1u32..=51, 0..8)) {
            let p = Precision::new(14).unwrap();
            let r = from_levels(&set);
            let by_trial: u64 = (1..=max_level(p)).filter(|&k| insert(r, k) != r).map(|k| level_probability(k, p)).sum();
            prop_assert_eq!(unseen_mass(r, p, true), by_trial);
            let plain: u64 = (1..=max_level(p)).filter(|&k| insert(r, k) & !HISTORY != r & !HISTORY).map(|k| level_probability(k, p)).sum();
            prop_assert_eq!(unseen_mass(r & !HISTORY, p, false), plain);
        }

        /// Also with hashes that are almost all zeros, where the run of zeros reaches into the index.
        #[test]
        fn fold_is_direct_insertion(hashes in prop::collection::vec((any::<u64>(), 0u32..=64), 0..300), from in 5u8..=14, drop in 1u8..=4) {
            let from = Precision::new(from).unwrap();
            let to = Precision::new((from.bits() as u8 - drop).max(4)).unwrap();
            let direct = |p: Precision| {
                let hashes = hashes.iter();
                from_hashes(hashes.map(|&(h, shift)| h.checked_shr(shift).unwrap_or(0)), p)
            };
            prop_assert_eq!(fold(&direct(from), from, to), direct(to));
        }
    }
}
