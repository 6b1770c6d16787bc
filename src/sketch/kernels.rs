//! The loops over whole register arrays, compiled for the CPU at hand.
//!
//! The merges are plain Rust that LLVM turns into byte-wide SIMD. `multiversion` compiles them a
//! second time for AVX2 and chooses once, at the first call; everywhere else the baseline of the
//! target is used (SSE2 on x86-64, NEON on AArch64). This is the only file of `sketch/` in which
//! `unsafe` is allowed: the attribute's dispatcher needs it, our lines do not.

use super::register::{self, HISTORY, Register};
use multiversion::multiversion;

/// Merges `source` into `target`, register by register. Returns whether any register changed.
/// Panics if the lengths differ.
#[multiversion(targets("x86_64+avx2"))]
pub fn merge_into(target: &mut [Register], source: &[Register]) -> bool {
    assert_eq!(target.len(), source.len());
    let mut changed = 0;
    for (t, &s) in target.iter_mut().zip(source) {
        let merged = register::merge(*t, s);
        changed |= merged ^ *t;
        *t = merged;
    }
    changed != 0
}

/// Merges as classical HyperLogLog registers: the higher level wins and history is dropped.
/// Returns whether any register of `target` changed. Panics if the lengths differ.
#[multiversion(targets("x86_64+avx2"))]
pub fn merge_plain_into(target: &mut [Register], source: &[Register]) -> bool {
    assert_eq!(target.len(), source.len());
    let mut changed = 0;
    for (t, &s) in target.iter_mut().zip(source) {
        let merged = (*t).max(s) & !HISTORY;
        changed |= merged ^ *t;
        *t = merged;
    }
    changed != 0
}

/// How often each register value occurs. Four tables, so that equal neighbours do not wait for
/// each other's increment.
pub fn histogram(registers: &[Register]) -> [u32; 256] {
    let mut tables = [[0u32; 256]; 4];
    let mut fours = registers.chunks_exact(4);
    for four in &mut fours {
        for (table, &r) in tables.iter_mut().zip(four) {
            table[usize::from(r)] += 1;
        }
    }
    for &r in fours.remainder() {
        tables[0][usize::from(r)] += 1;
    }
    let [mut total, rest @ ..] = tables;
    for table in rest {
        for (sum, count) in total.iter_mut().zip(table) {
            *sum += count;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_kernel_is_the_scalar_merge(pairs in prop::collection::vec((0u8..=247, 0u8..=247), 0..200)) {
            let (mut a, b): (Vec<u8>, Vec<u8>) = pairs.iter().copied().unzip();
            let expected: Vec<u8> = pairs.iter().map(|&(a, b)| register::merge(a, b)).collect();
            let changed = merge_into(&mut a, &b);
            prop_assert_eq!(changed, pairs.iter().zip(&expected).any(|(&(a, _), &e)| a != e));
            prop_assert_eq!(a, expected);
        }

        #[test]
        fn the_histogram_counts(values in prop::collection::vec(any::<u8>(), 0..500)) {
            let counted = histogram(&values);
            for v in 0..=255u8 {
                prop_assert_eq!(counted[usize::from(v)] as usize, values.iter().filter(|&&x| x == v).count());
            }
        }
    }
}
