//! Tests of the whole: known answers, and the promises that hold for any input.

#![allow(
    clippy::single_range_in_vec_init,
    reason = "a set is a list of ranges, also where one will do"
)]

use super::cells::tests::any_register;
use super::*;
use crate::sketch::hash::HashFamily;
use crate::sketch::{Dense, register};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;

const XXH3: HashFamily = HashFamily::Xxh3 { seed: 0 };

fn precision(p: u8) -> Precision {
    Precision::new(p).unwrap()
}

fn hash(i: u32) -> u64 {
    XXH3.hash(format!("user:{i}").as_bytes())
}

/// Registers from the first element on, without a sparse phase. Elements are `user:<i>`.
fn dense(p: u8, elements: &[Range<u32>]) -> Sketch {
    let mut registers = vec![0; precision(p).registers()];
    for i in elements.iter().cloned().flatten() {
        let r = &mut registers[register::index(hash(i), precision(p))];
        *r = register::insert(*r, register::level(hash(i), precision(p)));
    }
    from_registers(p, registers, true)
}

fn from_registers(p: u8, registers: Vec<Register>, history: bool) -> Sketch {
    let dense = Dense::from_registers(registers, precision(p), history);
    Sketch::from_dense(XXH3, dense.unwrap())
}

/// As a classical HyperLogLog would have it.
fn without_history(sketch: &Sketch) -> Sketch {
    let registers = sketch.registers(sketch.precision());
    let levels = registers.iter().map(|r| r & !register::HISTORY).collect();
    let p = sketch.precision().bits() as u8;
    from_registers(p, levels, false)
}

/// Added one by one: sparse as long as that goes.
fn added(p: u8, elements: Range<u32>) -> Sketch {
    let mut sketch = Sketch::new(precision(p), XXH3);
    for i in elements {
        sketch.add_hash(hash(i));
    }
    sketch
}

fn solve(sketches: &[Sketch]) -> Joint {
    Joint::solve(&sketches.iter().collect::<Vec<_>>()).unwrap()
}

fn sets(positions: &[usize]) -> SetMask {
    positions.iter().copied().collect()
}

/// Precision, sets, and |S1∩…∩Sk| with its standard deviation for every k, from an independent
/// implementation.
type Known<'a> = (u8, &'a [&'a [Range<u32>]], &'a [(f64, f64)]);

#[rustfmt::skip]
const KNOWN: [Known; 10] = [
    (12, &[&[0..60000], &[40000..150000]], &[(59284.471, 663.160), (20222.805, 767.984)]),
    (12, &[&[0..100000], &[95000..105000]], &[(99111.032, 1129.450), (4975.299, 265.764)]),
    (12, &[&[0..100000], &[0..100000]], &[(99310.509, 1160.314), (99310.499, 1162.312)]),
    (12, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991]],
        &[(99407.638, 1079.019), (31655.199, 493.015), (6245.692, 208.385)]),
    (12, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991],
           &[0..2046, 200000..200500, 300000..300654, 400000..400800],
           &[0..826, 200000..200200, 300000..300300, 400000..400274, 500000..500400]],
        &[(99415.532, 1079.875), (31659.022, 494.567), (6240.053, 209.506), (1911.161, 117.916), (743.945, 79.975)]),
    (14, &[&[0..60000], &[40000..150000]], &[(60444.298, 282.271), (20369.058, 367.641)]),
    (14, &[&[0..100000], &[95000..105000]], &[(100201.900, 505.900), (5045.705, 125.588)]),
    (14, &[&[0..100000], &[0..100000]], &[(100249.890, 556.226), (100249.880, 555.485)]),
    (14, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991]],
        &[(100247.132, 484.596), (32036.490, 217.366), (6455.999, 92.529)]),
    (14, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991],
           &[0..2046, 200000..200500, 300000..300654, 400000..400800],
           &[0..826, 200000..200200, 300000..300300, 400000..400274, 500000..500400]],
        &[(100255.382, 484.897), (32045.365, 218.124), (6462.938, 93.388), (2077.031, 51.853), (843.720, 33.602)]),
];

#[test]
fn an_independent_implementation_agrees() {
    for (p, elements, prefixes) in KNOWN {
        let sketches: Vec<Sketch> = elements.iter().map(|set| dense(p, set)).collect();
        let joint = solve(&sketches);
        for (k, &(value, sd)) in prefixes.iter().enumerate() {
            let ours = joint.intersection(SetMask::first(k + 1));
            let our_sd = ours.variance.sqrt();
            let case = format!("p {p}, {} of {} sets", k + 1, elements.len());
            assert!(
                (ours.value - value).abs() < 0.1 * sd,
                "{case}: {} {value}",
                ours.value
            );
            assert!((our_sd / sd - 1.0).abs() < 0.04, "{case}: {our_sd} {sd}");
        }
    }
}

#[test]
fn sparse_sketches_are_set_algebra() {
    let joint = solve(&[
        added(14, 0..1_000),
        added(14, 200..1_500),
        added(12, 900..1_100),
    ]);
    assert_eq!(joint.method(), Method::Exact);
    let exact = |estimate: JointEstimate| {
        assert_eq!(estimate.interval(0.95), (estimate.value, estimate.value));
        estimate.value
    };
    assert_eq!(exact(joint.intersection(sets(&[0, 1]))), 800.0);
    assert_eq!(exact(joint.intersection(sets(&[0, 1, 2]))), 100.0);
    assert_eq!(exact(joint.union(sets(&[0, 1, 2]))), 1_500.0);
    assert_eq!(
        exact(joint.estimate(Segment {
            all: sets(&[1]),
            none: sets(&[0]),
            ..Segment::default()
        })),
        500.0
    );
    assert_eq!(
        exact(joint.estimate(Segment {
            all: sets(&[2]),
            any: sets(&[0, 1]),
            none: SetMask::NONE,
        })),
        200.0
    );
    assert_eq!(joint.containment(2, 0).unwrap().value, 0.5);
    assert_eq!(joint.jaccard(0, 1).unwrap().value, 800.0 / 1_500.0);
}

/// Every segment there is, against sets of numbers.
#[test]
fn sparse_segments_are_exact() {
    let universe = [
        BTreeSet::from_iter(0..300u32),
        (100..400).collect(),
        (0..400).filter(|i| i % 3 == 0).collect(),
    ];
    let sketches: Vec<Sketch> = universe
        .iter()
        .map(|set| {
            let mut sketch = Sketch::new(precision(14), XXH3);
            for &i in set {
                sketch.add_hash(hash(i));
            }
            sketch
        })
        .collect();
    let joint = solve(&sketches);
    for bits in 0..512u32 {
        let mask = |shift: u32| {
            (0..3)
                .filter(|s| bits >> shift >> s & 1 == 1)
                .collect::<Vec<_>>()
        };
        let (all, any, none) = (mask(0), mask(3), mask(6));
        let inside = (0..400)
            .filter(|i| universe.iter().any(|set| set.contains(i)))
            .filter(|i| all.iter().all(|&s| universe[s].contains(i)))
            .filter(|i| any.is_empty() || any.iter().any(|&s| universe[s].contains(i)))
            .filter(|i| !none.iter().any(|&s| universe[s].contains(i)))
            .count();
        let segment = Segment {
            all: sets(&all),
            any: sets(&any),
            none: sets(&none),
        };
        assert_eq!(joint.estimate(segment).value, inside as f64, "{segment:?}");
    }
}

#[test]
fn an_empty_set_has_nothing_in_common_with_any() {
    let empty = Sketch::new(precision(14), XXH3);
    let blank = from_registers(14, vec![0; 1 << 14], true);
    for nothing in [empty, blank] {
        for others in [
            vec![added(14, 0..1_000)],
            vec![dense(14, &[0..100_000])],
            vec![dense(14, &[0..100_000]), added(14, 0..1_000)],
        ] {
            let n = others.len();
            let alone = solve(&others);
            let mut all = others;
            all.insert(0, nothing.clone());
            let joint = solve(&all);
            let common = joint.intersection(SetMask::first(n + 1));
            assert_eq!((common.value, common.interval(0.95)), (0.0, (0.0, 0.0)));
            assert_eq!(joint.union(sets(&[0])).interval(0.95), (0.0, 0.0));
            assert!(joint.containment(0, 1).is_none());
            assert_eq!(joint.containment(1, 0).unwrap().value, 0.0);
            // And the others are what they are without it.
            assert_eq!(
                joint.union(SetMask::first(n + 1)).value,
                alone.union(SetMask::first(n)).value
            );
        }
        let two = solve(&[nothing.clone(), nothing]);
        assert_eq!(two.union(SetMask::first(2)).value, 0.0);
        assert!(two.jaccard(0, 1).is_none());
    }
}

#[test]
fn a_set_is_like_itself() {
    for p in [4, 10, 14] {
        let large = || dense(p, &[0..100_000]);
        let makers: [&dyn Fn() -> Sketch; 4] =
            [&|| added(p, 0..3), &|| dense(p, &[0..100]), &large, &|| {
                without_history(&large())
            }];
        for make in makers {
            for k in 2..=5 {
                // Made anew, so that nothing but the registers tells that they are the same.
                let joint = solve(&Vec::from_iter((0..k).map(|_| make())));
                let jaccard = joint.jaccard(0, k - 1).unwrap();
                let (lower, upper) = jaccard.interval(0.95);
                assert_eq!((jaccard.value, upper), (1.0, 1.0), "p {p}, {k} times");
                assert!(lower > 0.9 || p < 10, "{lower}");
                let all = joint.intersection(SetMask::first(k)).value;
                let one = joint.intersection(SetMask::single(0)).value;
                assert_eq!(all, one);
            }
        }
    }
}

/// A set that is given twice is one set: what follows from that is known, whatever the registers say.
#[test]
fn a_set_without_itself_is_empty() {
    let (set, other) = (dense(8, &[0..5_000]), dense(8, &[4_000..9_000]));
    for members in [vec![&set, &set], vec![&set, &other, &set]] {
        let joint = Joint::solve(&members).unwrap();
        let last = members.len() - 1;
        let difference = Segment {
            all: SetMask::single(0),
            none: SetMask::single(last),
            ..Segment::default()
        };
        let nothing = joint.estimate(difference);
        assert_eq!((nothing.value, nothing.interval(0.95)), (0.0, (0.0, 0.0)));
        let rate = joint.containment(0, last).unwrap();
        assert_eq!((rate.value, rate.interval(0.95)), (1.0, (1.0, 1.0)));
        let none = joint.ratio(difference, Segment::all(SetMask::single(0)));
        assert_eq!(none.unwrap().interval(0.95), (0.0, 0.0));
    }
    // A clone is the same set while nobody adds to it.
    let mut clone = set.clone();
    assert!(set.same_elements(&clone));
    let news = (9_000..).map(hash).find(|&h| clone.add_hash(h));
    assert!(news.is_some() && !set.same_elements(&clone));
}

/// The elements of a step are counted by the same solution as those that came through it: no step has more
/// of the latter, also where one set lies inside the other and its own count happens to be low.
#[test]
fn no_step_has_more_users_than_elements() {
    for first in (0..40).map(|i| i * 100_000) {
        let joint = solve(&[
            dense(10, &[first..first + 20_000]),
            dense(10, &[first..first + 6_000]),
        ]);
        let users = joint.intersection(SetMask::first(2)).value;
        let uniques = joint.intersection(SetMask::single(1)).value;
        assert!(users <= uniques, "{first}: {users} {uniques}");
    }
}

/// One set is all of itself and any of itself: what its own sketch says of it is another estimate of the same number,
/// and does not cut the interval short.
#[test]
fn a_set_is_counted_alike_however_it_is_asked_for() {
    for first in (0..20).map(|i| i * 100_000) {
        let joint = solve(&[
            added(10, first..first + 20_000),
            added(10, first + 15_000..first + 30_000),
        ]);
        for set in [0, 1].map(SetMask::single) {
            let [all, any] = [Segment::all(set), Segment::any(set)].map(|s| joint.estimate(s));
            assert_eq!(all.value, any.value);
            assert_eq!(all.interval(0.95), any.interval(0.95));
        }
    }
}

/// Nested sets leave most regions without elements, and what registers cannot tell of those says nothing about how many
/// elements the largest has: its interval is as narrow as that of its own sketch, or hardly wider.
#[test]
fn the_count_of_a_set_is_not_less_sure_for_sets_inside_it() {
    let sets = [100_000, 30_000, 9_900, 3_000, 990].map(|n| dense(14, &[0..n]));
    let (lower, upper) = solve(&sets).intersection(SetMask::FIRST).interval(0.95);
    let (own_lower, own_upper) = sets[0].estimate().interval(0.95);
    assert!(
        upper - lower < 1.2 * (own_upper - own_lower),
        "{lower} {upper}"
    );
}

#[test]
fn disjoint_sets_may_have_nothing_in_common() {
    let joint = solve(&[dense(14, &[0..100_000]), dense(14, &[100_000..200_000])]);
    let common = joint.intersection(SetMask::first(2));
    assert!(common.value < 1_000.0);
    assert_eq!(common.interval(0.95).0, 0.0);
}

/// Sparse and dense, fine and coarse, with history and without: the truth lies within five standard
/// deviations, which for fixed elements is a fact and not a matter of luck.
#[test]
fn any_mixture_has_an_answer() {
    let fine = dense(14, &[0..60_000]);
    let coarse = dense(12, &[30_000..90_000]);
    let classical = without_history(&dense(13, &[50_000..80_000]));
    let small = added(14, 55_000..58_000);
    assert!(small.is_sparse());
    let all = [fine, coarse, classical, small];
    let truths: [(&[usize], f64); 8] = [
        (&[0, 1], 30_000.0),
        (&[0, 2], 10_000.0),
        (&[1, 2], 30_000.0),
        (&[0, 3], 3_000.0),
        (&[2, 3], 3_000.0),
        (&[0, 1, 2], 10_000.0),
        (&[0, 1, 3], 3_000.0),
        (&[0, 1, 2, 3], 3_000.0),
    ];
    for (members, truth) in truths {
        // In one solution with all four, and alone.
        let chosen: Vec<Sketch> = members.iter().map(|&s| all[s].clone()).collect();
        for estimate in [
            solve(&all).intersection(sets(members)),
            solve(&chosen).intersection(SetMask::first(members.len())),
        ] {
            let sd = estimate.variance.sqrt();
            let off = (estimate.value - truth).abs();
            assert!(
                off < 5.0 * sd && sd < 0.15 * truth,
                "{members:?}: {} ± {sd}",
                estimate.value
            );
            let (lower, upper) = estimate.interval(0.95);
            assert!(lower <= estimate.value && estimate.value <= upper);
            if members.contains(&3) {
                assert!(estimate.value <= 3_000.0 && upper == 3_000.0);
            }
        }
    }
}

/// In whatever order the sets come, the answers are the same but for the rounding of the search.
#[test]
fn order_does_not_matter() {
    let all = [
        dense(13, &[0..50_000]),
        dense(13, &[20_000..40_000, 60_000..70_000]),
        dense(13, &[0..5_000, 35_000..45_000]),
        dense(13, &[36_000..39_000]),
    ];
    let straight = solve(&all);
    for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let joint = solve(&order.map(|s| all[s].clone()));
        for region in 1..16usize {
            let here: Vec<usize> = (0..4).filter(|s| region >> s & 1 == 1).collect();
            let there = here
                .iter()
                .map(|h| order.iter().position(|o| o == h).unwrap());
            let a = straight.intersection(sets(&here));
            let b = joint.intersection(there.collect());
            let sd = a.variance.sqrt();
            assert!(
                (a.value - b.value).abs() < 0.1 * sd,
                "{here:?} {} {} {sd}",
                a.value,
                b.value
            );
            assert!((b.variance.sqrt() / sd - 1.0).abs() < 0.1, "{here:?}");
        }
    }
}

#[test]
fn other_hashes_are_other_universes() {
    let ours = added(10, 0..10);
    let other = Sketch::new(precision(10), HashFamily::Xxh3 { seed: 1 });
    let error = Joint::solve(&[&ours, &ours, &other]).unwrap_err();
    assert_eq!(error.theirs, HashFamily::Xxh3 { seed: 1 });
}

/// What holds of all answers to any question about any registers.
fn assert_sane(joint: &Joint, k: usize) {
    let mut previous = f64::INFINITY;
    for n in 1..=k {
        let common = joint.intersection(SetMask::first(n));
        assert!(common.value.is_finite() && common.value >= 0.0);
        assert!(
            common.value <= previous * (1.0 + 1e-9),
            "{n} sets: {} {previous}",
            common.value
        );
        previous = common.value;
        assert!(common.variance.is_finite() && common.variance >= 0.0);
        for confidence in [0.5, 0.95, 0.9999] {
            let (lower, upper) = common.interval(confidence);
            assert!(0.0 <= lower && lower <= common.value && common.value <= upper);
            assert!(upper.is_finite());
        }
        let all = joint.union(SetMask::first(n));
        assert!(all.value.is_finite() && all.value >= common.value * (1.0 - 1e-9));
        if n > 1 {
            for rate in [joint.jaccard(0, n - 1), joint.containment(0, n - 1)] {
                let Some(rate) = rate else { continue };
                let (lower, upper) = rate.interval(0.95);
                assert!(0.0 <= lower && lower <= rate.value);
                assert!(rate.value <= upper && upper <= 1.0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Registers that no set ever made still have finite answers that fit each other.
    #[test]
    fn absurd_registers_have_answers(
        k in 1usize..=6,
        plain in prop::collection::vec(any::<bool>(), 6),
        registers in prop::collection::vec(any_register(Precision::MIN), 16 * 6),
    ) {
        let sketches: Vec<Sketch> = (0..k)
            .map(|s| {
                let sketch = from_registers(4, registers[16 * s..][..16].to_vec(), true);
                if plain[s] { without_history(&sketch) } else { sketch }
            })
            .collect();
        assert_sane(&solve(&sketches), k);
    }
}

#[test]
fn absurd_sketches_have_answers() {
    let p = 6;
    let all = |value: Register| from_registers(p, vec![value; 1 << p], true);
    let top = register::max_level(precision(p)) as u8;
    let full = all(top << 2 | 3);
    let high = all(30 << 2 | 1);
    let low = all(1 << 2);
    let mut striped = vec![0; 1 << p];
    for r in striped.iter_mut().step_by(2) {
        *r = top << 2;
    }
    let striped = from_registers(p, striped, true);
    let few = added(p, 0..3);
    let empty = Sketch::new(precision(p), XXH3);
    let zoo = [full, high, low, striped, few, empty];
    for a in &zoo {
        for b in &zoo {
            assert_sane(&solve(&[a.clone(), b.clone()]), 2);
            for c in &zoo {
                assert_sane(&solve(&[a.clone(), b.clone(), c.clone()]), 3);
            }
        }
    }
    assert_sane(&solve(&zoo), zoo.len());
    for sketch in &zoo {
        assert_sane(&solve(&vec![sketch.clone(); MAX_SETS]), MAX_SETS);
    }
}

/// Eight sets, large and small, overlapping in all ways.
#[test]
fn eight_sets_are_solved() {
    let sketches: Vec<Sketch> = (0..8u32)
        .map(|s| {
            dense(
                12,
                &[s * 3_000..50_000 >> (s / 2), 100_000..100_000 + 2_000 * s],
            )
        })
        .collect();
    let joint = solve(&sketches);
    assert_sane(&joint, 8);
    // Sets 0 and 1: 3,000..50,000.
    let common = joint.intersection(sets(&[0, 1]));
    assert!((common.value - 47_000.0).abs() < 5.0 * common.variance.sqrt());
}

/// One set among a billion times larger ones is not lost in their floor.
#[test]
fn a_small_set_keeps_its_size_beside_a_huge_one() {
    // As if 2^40 elements had been added: every register between levels 25 and 35.
    let huge = (0..1u32 << 14).map(|i| ((26 + hash(i).leading_zeros() as u8).min(40)) << 2 | 3);
    let huge = from_registers(14, huge.collect(), true);
    let small = dense(14, &[0..100]);
    let joint = solve(&[huge, small]);
    let both = joint.union(sets(&[1]));
    assert!((both.value - 100.0).abs() < 10.0, "{}", both.value);
}

/// Of two times 600 elements half are common; their tokens have 18 bits, as in cells of precision 14.
#[test]
fn cut_tokens_are_counted_with_what_they_share() {
    const BITS: u32 = 18;
    let cut = |elements: Range<u32>| {
        let sketch = added(14, elements);
        let tokens = sketch.tokens().unwrap().as_slice().iter();
        let tokens = tokens.map(|&token| crate::sketch::token::cut(token, BITS));
        let tokens = crate::sketch::TokenSet::from_unsorted(tokens.collect());
        Sketch::from_tokens(precision(14), XXH3, tokens)
    };
    let (a, b) = (cut(0..600), cut(300..900));
    let joint = Joint::solve_cut(&[&a, &b], BITS).unwrap();
    assert_eq!(joint.method(), Method::Tokens);
    let both = joint.intersection(SetMask::first(2));
    let (lower, upper) = both.interval(0.9999);
    assert!(
        lower <= 300.0 && 300.0 <= upper && upper - lower < 12.0,
        "{lower} {upper}"
    );
    // Some 900²/6/2^18 are missing among the tokens of all.
    let union = joint.union(SetMask::first(2));
    assert!((union.value - 900.0).abs() < 6.0 && (union.variance - 0.515).abs() < 0.01);
    let exact = joint.containment(0, 1).unwrap();
    let (lower, upper) = exact.interval(0.9999);
    assert!(lower < 0.5 && 0.5 < upper, "{lower} {upper}");
}
