//! Sets that are all still sparse: nothing to estimate, their tokens are counted.
//!
//! What is left is that two elements share a token with probability q = 2^-26/3. Where one lies in
//! region T and the other in region U, one token is seen in T∪U instead of one in each. With N_T
//! tokens seen in T there are about N_T N_U q such collisions (half of that if T = U), each of which
//! is put back; how many there really are is Poisson distributed, which is the variance. At 65,536
//! tokens a set, the most there can be, it is some twenty elements; at 2,048 a fiftieth of one. Cut tokens have fewer
//! bits than 26 in q: at 18, where precision is 14, the 4,096 tokens that there can be share eleven.

use super::super::token::Token;
use super::likelihood::Mask;

/// Two regions and the expected number of tokens that elements of one share with the other's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collisions {
    pub regions: [Mask; 2],
    pub expected: f64,
}

/// Tokens by the sets they are in, by one walk through all sets side by side.
pub(super) fn count_regions(sets: &[&[Token]]) -> Vec<u64> {
    let mut counts = vec![0; 1 << sets.len()];
    let mut rest: Vec<&[Token]> = sets.to_vec();
    while let Some(least) = rest
        .iter()
        .filter_map(|tokens| tokens.first())
        .min()
        .copied()
    {
        let mut region = 0;
        for (s, tokens) in rest.iter_mut().enumerate() {
            if let [first, others @ ..] = *tokens
                && *first == least
            {
                region |= 1 << s;
                *tokens = others;
            }
        }
        counts[region] += 1;
    }
    counts
}

/// Elements by region, and the collisions that were put back. Tokens have so many bits of their indices.
pub(super) fn elements(counts: &[u64], index_bits: u32) -> (Vec<f64>, Vec<Collisions>) {
    let share = 1.0 / (3.0 * f64::from(1u32 << index_bits));
    let mut elements: Vec<f64> = counts.iter().map(|&n| n as f64).collect();
    let mut collisions = Vec::new();
    for t in (1..counts.len()).filter(|&t| counts[t] > 0) {
        for u in (1..=t).filter(|&u| counts[u] > 0) {
            let pairs = counts[t] as f64 * counts[u] as f64 / if t == u { 2.0 } else { 1.0 };
            collisions.push(Collisions {
                regions: [t, u],
                expected: pairs * share,
            });
        }
    }
    for a in &collisions {
        let [t, u] = a.regions;
        elements[t] += a.expected;
        elements[u] += a.expected;
        elements[t | u] -= a.expected;
    }
    for n in &mut elements {
        *n = n.max(0.0);
    }
    (elements, collisions)
}

#[cfg(test)]
mod tests {
    use super::super::super::estimate::Estimate;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn the_walk_is_set_algebra(sets in prop::collection::vec(prop::collection::btree_set(0u32..300, 0..200), 1..=8)) {
            let lists: Vec<Vec<Token>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
            let slices: Vec<&[Token]> = lists.iter().map(Vec::as_slice).collect();
            let counts = count_regions(&slices);
            prop_assert_eq!(counts.len(), 1 << sets.len());
            for (region, &count) in counts.iter().enumerate() {
                let universe: BTreeSet<u32> = sets.iter().flatten().copied().collect();
                let inside = universe
                    .iter()
                    .filter(|t| sets.iter().enumerate().all(|(s, set)| set.contains(t) == (region >> s & 1 == 1)))
                    .count();
                prop_assert_eq!(count, inside as u64);
            }
        }
    }

    #[test]
    fn the_union_is_what_one_sketch_says_of_it() {
        let mut counts = vec![0; 4];
        counts[1] = 40_000;
        counts[2] = 20_000;
        counts[3] = 5_000;
        for index_bits in [20, 26] {
            let (elements, collisions) = elements(&counts, index_bits);
            let one = Estimate::from_cut_tokens(65_000, index_bits);
            let union: f64 = elements.iter().sum();
            assert_eq!(union.round(), one.value);
            let variance: f64 = collisions.iter().map(|a| a.expected).sum();
            assert!((variance - one.variance).abs() < 1e-9 * variance);
        }
    }
}
