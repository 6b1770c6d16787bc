//! The loops over whole register arrays, compiled for the CPU at hand.
//!
//! Most are plain Rust that LLVM turns into byte-wide SIMD; `multiversion` compiles them a second
//! time for a newer x86-64 and chooses once, at the first call, and everywhere else the baseline of
//! the target is used (SSE2 on x86-64, NEON on AArch64). The merge, on which every union waits, has
//! a form of its own for AVX2, whose byte shuffle does by one look-up what otherwise takes a dozen
//! selects. This is the only file of `sketch/` in which `unsafe` is allowed.

use super::register::{self, HISTORY, Register};
use multiversion::multiversion;

/// Merges `source` into `target`, register by register. Returns whether any register changed.
/// Panics if the lengths differ.
///
/// `next` are registers that will be wanted after these, of any number: they are fetched into the
/// cache meanwhile. A union of many sketches waits for memory more than for anything else.
pub fn merge_into(target: &mut [Register], source: &[Register], next: &[Register]) -> bool {
    assert_eq!(target.len(), source.len());
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { avx2::merge_into(target, source, next) };
    }
    merge_one_by_one(target, source)
}

fn merge_one_by_one(target: &mut [Register], source: &[Register]) -> bool {
    let mut changed = 0;
    for (t, &s) in target.iter_mut().zip(source) {
        let merged = register::merge(*t, s);
        changed |= merged ^ *t;
        *t = merged;
    }
    changed != 0
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::Register;
    use std::arch::x86_64::*;

    /// What the lower of two registers adds to the history bits of the higher one. With d levels
    /// between them and w the history of the lower, its three bits 1w move down by d places. The
    /// place in the table is 4d + 3 - w, which is what `(higher | 3) - lower` comes to.
    const SEEN: [u8; 16] = {
        let mut seen = [0; 16];
        let mut at = 0;
        while at < 16 {
            let (distance, history) = (at / 4, 3 - at % 4);
            seen[at] = ((4 | history) >> distance) as u8 & 3;
            at += 1;
        }
        seen
    };

    /// See [`super::merge_into`].
    #[target_feature(enable = "avx2")]
    pub fn merge_into(target: &mut [Register], source: &[Register], next: &[Register]) -> bool {
        // SAFETY: sixteen bytes are read from an array of sixteen.
        let seen = unsafe { _mm_loadu_si128(SEEN.as_ptr().cast()) };
        let seen = _mm256_broadcastsi128_si256(seen);
        let last = _mm256_set1_epi8(SEEN.len() as i8 - 1);
        let history = _mm256_set1_epi8(3);
        let mut changed = _mm256_setzero_si256();
        let (targets, target_rest) = target.as_chunks_mut::<32>();
        let (sources, source_rest) = source.as_chunks::<32>();
        let mut next = next.chunks(32);
        for (t, s) in targets.iter_mut().zip(sources) {
            if let Some(next) = next.next() {
                // SAFETY: a hint, which reads nothing.
                #[allow(unused_unsafe, reason = "later versions of Rust ask for none")]
                unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(next.as_ptr().cast());
                }
            }
            // SAFETY: 32 bytes are read from arrays of 32, at any alignment.
            let (a, b) = unsafe {
                (
                    _mm256_loadu_si256(t.as_ptr().cast()),
                    _mm256_loadu_si256(s.as_ptr().cast()),
                )
            };
            let (high, low) = (_mm256_max_epu8(a, b), _mm256_min_epu8(a, b));
            let place = _mm256_sub_epi8(_mm256_or_si256(high, history), low);
            let added = _mm256_shuffle_epi8(seen, _mm256_min_epu8(place, last));
            // An empty register has no level at all, not level 0.
            let empty = _mm256_cmpeq_epi8(low, _mm256_setzero_si256());
            let merged = _mm256_or_si256(high, _mm256_andnot_si256(empty, added));
            changed = _mm256_or_si256(changed, _mm256_xor_si256(merged, a));
            // SAFETY: 32 bytes are written to an array of 32, at any alignment.
            unsafe { _mm256_storeu_si256(t.as_mut_ptr().cast(), merged) };
        }
        let rest = super::merge_one_by_one(target_rest, source_rest);
        _mm256_testz_si256(changed, changed) == 0 || rest
    }
}

/// The position of the first hash that some register does not know yet, or how many hashes there
/// are. `registers` has 2^p of them.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+lzcnt"))]
pub fn first_unknown(registers: &[Register], hashes: &[u64]) -> usize {
    let unknown = |&hash: &u64| !register::recognize(registers, hash);
    hashes.iter().position(unknown).unwrap_or(hashes.len())
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
            let changed = merge_into(&mut a, &b, &b);
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
