//! The likelihood of what the registers of K sets show, as a function of how many elements lie in
//! each region; its gradient and its information.
//!
//! With L(W) = Σ_{T∩W≠∅} λ_T elements in the union of the sets in W, a cell of probability ρ is
//! empty in all of Q with probability exp(-ρ L(Q)). Given that, let G\[Q\]\[P\] be the probability that
//! it is occupied in every set of P. Taking one set s out of P,
//!
//! ```text
//!   G[Q][V+s] = G[Q][V] - exp(-ρ (L(Q+s) - L(Q))) G[Q+s][V],    G[Q][∅] = 1
//! ```
//!
//! (occupied in V, less occupied in V while s is empty too). Written as
//! (G\[Q\]\[V\] - G\[Q+s\]\[V\]) + (1 - exp(..)) G\[Q+s\]\[V\] both terms are positive, and with s the largest set
//! of P every term is as small as the smallest set makes the result, so that rounding never shows.
//!
//! ```text
//!   log L = -Σ_Q mass[Q] L(Q) + Σ_cells ln G[Q][P]
//! ```
//!
//! where mass\[Q\] is Σ ρ over the cells known to be empty in exactly Q. A cell's derivative by λ_T is
//!
//! ```text
//!   s_T = -ρ                              if T meets Q
//!   s_T = ρ (G[Q][P\T] / G[Q][P] - 1)     otherwise (0 if T misses P)
//! ```
//!
//! The gradient is Σ s_T, the information Σ s_T s_T' over all cells. Both fall apart by whether T
//! and T' meet Q: if so, the derivatives are constant and their sums are made once ([`Evidence`]);
//! if not, they depend on T only by what it has in common with P, so that cells with the same P
//! and Q are summed over the levels first, by subsets of P, and then dealt out to the regions.

use super::cells::{Cells, MAX_SETS, WORTH};
use super::linear::Symmetric;
use crate::sketch::register;

/// Region or group of sets as bits, set s at bit s.
pub(super) type Mask = usize;

/// What the cells say, in the form the likelihood wants.
#[derive(Debug)]
pub(super) struct Evidence {
    pub sets: usize,
    /// m.
    pub registers: f64,
    /// Σ ρ over the cells known to be empty in some set of T, per T.
    missed: Vec<f64>,
    /// Σ ρ² over the same.
    missed_squares: Vec<f64>,
    /// Σ ρ over the cells known to be empty in exactly Q, per Q.
    mass: Vec<f64>,
    /// The ρ of each level from the last one down, and its cells known to be occupied in some set.
    levels: Vec<(f64, Vec<Kind>)>,
    /// The P and Q that occur, P not empty; those of equal Q together.
    patterns: Vec<Pattern>,
}

/// Cells of one level of which the sets know the same.
#[derive(Debug)]
struct Kind {
    pattern: usize,
    count: f64,
    /// Which of the pattern's kinds it is.
    place: usize,
}

#[derive(Debug)]
struct Pattern {
    occupied: Mask,
    empty: Mask,
    /// ρ and number of cells on each level where it occurs.
    cells: Vec<(f64, f64)>,
}

/// Σ 3^s over the sets of a mask: the code in which they are empty and all others unknown.
fn code_of(mask: Mask) -> usize {
    (0..MAX_SETS)
        .filter(|s| mask >> s & 1 == 1)
        .map(|s| WORTH[s])
        .sum()
}

/// (P, Q) of a code.
fn masks_of(mut code: usize) -> (Mask, Mask) {
    let (mut occupied, mut empty) = (0, 0);
    let mut bit = 1;
    while code > 0 {
        match code % 3 {
            1 => empty |= bit,
            2 => occupied |= bit,
            _ => {}
        }
        code /= 3;
        bit <<= 1;
    }
    (occupied, empty)
}

impl Evidence {
    pub fn new(cells: &Cells) -> Evidence {
        let sets = cells.sets;
        let all = (1 << sets) - 1;
        let masks: Vec<(Mask, Mask)> = (0..WORTH[sets]).map(masks_of).collect();
        let rho = |level| {
            register::level_probability(level, cells.precision) as f64 / register::ONE as f64
        };
        let mut mass = vec![0.0; all + 1];
        let mut squares = vec![0.0; all + 1];
        let registers = cells.precision.registers() as f64;
        for level in (cells.last() + 1..=register::max_level(cells.precision)).rev() {
            mass[all] += registers * rho(level);
            squares[all] += registers * rho(level) * rho(level);
        }
        // Patterns in the order of Q, then of P.
        let mut occurs = vec![false; masks.len()];
        for (_, counts) in cells.levels() {
            for (occurs, &count) in occurs.iter_mut().zip(counts) {
                *occurs |= count > 0;
            }
        }
        let mut codes: Vec<usize> = (0..masks.len())
            .filter(|&code| occurs[code] && masks[code].0 != 0)
            .collect();
        codes.sort_unstable_by_key(|&code| (masks[code].1, masks[code].0));
        let mut pattern_of = vec![0; masks.len()];
        let mut patterns: Vec<Pattern> = Vec::with_capacity(codes.len());
        for code in codes {
            let (occupied, empty) = masks[code];
            pattern_of[code] = patterns.len();
            patterns.push(Pattern {
                occupied,
                empty,
                cells: Vec::new(),
            });
        }
        let mut levels = Vec::with_capacity(cells.levels().len());
        for (level, counts) in cells.levels().rev() {
            let rho = rho(level);
            let mut kinds = Vec::new();
            for (code, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
                let (occupied, empty) = masks[code];
                let count = f64::from(count);
                mass[empty] += count * rho;
                squares[empty] += count * rho * rho;
                if occupied != 0 {
                    let pattern = pattern_of[code];
                    let cells = &mut patterns[pattern].cells;
                    kinds.push(Kind {
                        pattern,
                        count,
                        place: cells.len(),
                    });
                    cells.push((rho, count));
                }
            }
            levels.push((rho, kinds));
        }
        let meeting = |of: &[f64]| -> Vec<f64> {
            (0..=all)
                .map(|t| (1..=all).filter(|q| q & t != 0).map(|q| of[q]).sum())
                .collect()
        };
        Evidence {
            sets,
            registers,
            missed: meeting(&mass),
            missed_squares: meeting(&squares),
            mass,
            levels,
            patterns,
        }
    }
}

/// The likelihood as a function of the λ of some regions, with room for its evaluation.
pub(super) struct Model<'a> {
    evidence: &'a Evidence,
    /// The regions by which it is derived.
    regions: Vec<Mask>,
    /// For each code with an occupied set, ascending: how G is made.
    recipe: Vec<Step>,
    /// The patterns' derivatives.
    classes: Vec<Classes>,
    /// The regions by the Q of the patterns, in the same order.
    groups: Vec<Group>,
    code_of: Vec<usize>,

    // What an evaluation writes over.
    /// 1 - exp(-ρ (L(Q+s) - L(Q))), negated, at s·2^K + Q.
    hits: Vec<f64>,
    /// L(Q+s) - L(Q) at the same places.
    gains: Vec<f64>,
    /// G by code.
    given: Vec<f64>,
    /// The derivatives of all kinds of cells by their pattern's classes.
    scores: Vec<f64>,
}

/// `G[code] = (G[without] - G[sibling]) - hits[hit] G[sibling]`.
struct Step {
    without: u16,
    sibling: u16,
    hit: u16,
}

/// The regions that miss the Q of a pattern, by what they have in common with its P.
struct Classes {
    /// For each of these regions, its class.
    of: Vec<u16>,
    /// For each class, what the code loses when the sets it has in common with P are left out. The first
    /// class has nothing in common with P, so that its derivatives are 0.
    lost: Vec<u16>,
    /// Where the first kind's derivatives lie: one for each class, zeros up to `width`, kind after
    /// kind; zeros for kinds up to a multiple of [`BLOCK`].
    scores: usize,
    width: usize,
}

/// Patterns with the same Q.
struct Group {
    patterns: std::ops::Range<usize>,
    /// Positions in `regions` of those that miss Q.
    missing: Vec<u16>,
    /// 1 at the positions of those that meet Q, 0 elsewhere.
    meets: Vec<f64>,
}

/// Sums of products are made of this many kinds of cells, and for this many classes, at a time.
const BLOCK: usize = 4;

impl<'a> Model<'a> {
    /// `sizes`: roughly how large the sets are.
    pub fn new(evidence: &'a Evidence, sizes: &[f64], regions: Vec<Mask>) -> Model<'a> {
        let sets = evidence.sets;
        let masks = 1 << sets;
        let recipe = (0..WORTH[sets])
            .map(|code| {
                let (occupied, empty) = masks_of(code);
                let largest = (0..sets)
                    .filter(|s| occupied >> s & 1 == 1)
                    .max_by(|&a, &b| sizes[a].total_cmp(&sizes[b]));
                match largest {
                    Some(s) => Step {
                        without: (code - 2 * WORTH[s]) as u16,
                        sibling: (code - WORTH[s]) as u16,
                        hit: (s * masks + empty) as u16,
                    },
                    None => Step {
                        without: 0,
                        sibling: 0,
                        hit: 0,
                    },
                }
            })
            .collect();
        let code_of: Vec<usize> = (0..masks).map(code_of).collect();
        let groups = groups(&evidence.patterns, &regions);
        let mut scores = 0;
        let mut classes = Vec::with_capacity(evidence.patterns.len());
        for group in &groups {
            for pattern in &evidence.patterns[group.patterns.clone()] {
                let missing = group.missing.iter().map(|&i| regions[usize::from(i)]);
                let own = Classes::new(pattern, missing, &code_of, scores);
                scores += own.width * pattern.cells.len().next_multiple_of(BLOCK);
                classes.push(own);
            }
        }
        Model {
            evidence,
            regions,
            recipe,
            classes,
            groups,
            code_of,
            hits: vec![0.0; sets * masks],
            gains: vec![0.0; sets * masks],
            given: vec![1.0; WORTH[sets]],
            scores: vec![0.0; scores],
        }
    }

    /// log L at `lam` (by region mask, all of them, none below `floor` except that of the empty mask).
    /// On the way, the derivatives of all kinds of cells are kept.
    pub fn log_likelihood(&mut self, lam: &[f64], floor: &[f64]) -> f64 {
        let sets = self.evidence.sets;
        let masks = 1usize << sets;
        let mut log_likelihood = 0.0;
        self.fill_gains(lam);
        // L(Q), by adding one set at a time.
        let mut union = [0.0; 1 << MAX_SETS];
        for q in 1..masks {
            let s = q.trailing_zeros() as usize;
            let rest = q & (q - 1);
            union[q] = union[rest] + self.gains[s * masks + rest];
            log_likelihood -= self.evidence.mass[q] * union[q];
        }
        let mut previous = 0.0;
        for &(rho, ref kinds) in &self.evidence.levels {
            if rho == 2.0 * previous {
                // exp(-2z) - 1 from exp(-z) - 1.
                for hit in &mut self.hits {
                    *hit *= 2.0 + *hit;
                }
            } else if rho != previous {
                for (hit, gain) in self.hits.iter_mut().zip(&self.gains) {
                    *hit = (-rho * gain).exp_m1();
                }
            }
            previous = rho;
            if kinds.is_empty() {
                continue;
            }
            for code in 1..self.recipe.len() {
                let step = &self.recipe[code];
                if step.sibling > 0 {
                    let sibling = self.given[usize::from(step.sibling)];
                    let hit = self.hits[usize::from(step.hit)];
                    let difference = self.given[usize::from(step.without)] - sibling;
                    self.given[code] = difference.max(0.0) - hit * sibling;
                }
            }
            for kind in kinds {
                let pattern = &self.evidence.patterns[kind.pattern];
                let (p, q) = (pattern.occupied, pattern.empty);
                let code = self.code_of[q] + 2 * self.code_of[p];
                // The region P alone makes 1 - exp(-x) > x/(1+x) of it.
                let least = rho * floor[p] / (1.0 + rho * floor[p]);
                let given = self.given[code].max(least).max(f64::MIN_POSITIVE);
                log_likelihood += kind.count * given.ln();
                let unit = rho / given;
                let classes = &self.classes[kind.pattern];
                let start = classes.scores + kind.place * classes.width;
                let scores = &mut self.scores[start..][..classes.lost.len()];
                for (score, &lost) in scores.iter_mut().zip(&classes.lost).skip(1) {
                    *score = unit * (self.given[code - usize::from(lost)] - given);
                }
            }
        }
        log_likelihood
    }

    /// The gradient by λ_T/scale_T where [`Model::log_likelihood`] was computed last.
    pub fn gradient(&self, scale: &[f64]) -> Vec<f64> {
        let mut gradient: Vec<f64> = self
            .regions
            .iter()
            .map(|&t| -self.evidence.missed[t])
            .collect();
        let mut sums = [0.0; 1 << MAX_SETS];
        for group in &self.groups {
            for pattern in group.patterns.clone() {
                let classes = &self.classes[pattern];
                let sums = &mut sums[..classes.lost.len()];
                sums.fill(0.0);
                for (row, &(_, count)) in self.rows(pattern) {
                    for (sum, score) in sums.iter_mut().zip(row) {
                        *sum += count * score;
                    }
                }
                for (&i, &class) in group.missing.iter().zip(&classes.of) {
                    gradient[usize::from(i)] += sums[usize::from(class)];
                }
            }
        }
        for (gradient, scale) in gradient.iter_mut().zip(scale) {
            *gradient *= scale;
        }
        gradient
    }

    /// The information by λ_T/scale_T where [`Model::log_likelihood`] was computed last.
    pub fn information(&self, scale: &[f64]) -> Symmetric {
        let n = self.regions.len();
        let mut information = Symmetric::new(n);
        // Σ ρ s_T over the cells whose Q meets the one region and misses the other.
        let mut mixed = vec![0.0; n * n];
        let mut local = Vec::new();
        let mut products = Vec::new();
        let mut weighted = Vec::new();
        for group in self.groups.iter().filter(|group| !group.missing.is_empty()) {
            let missing = group.missing.len();
            local.clear();
            local.resize(missing * missing, 0.0);
            weighted.clear();
            weighted.resize(missing, 0.0);
            for pattern in group.patterns.clone() {
                let classes = &self.classes[pattern];
                self.sum_products(pattern, &mut products);
                let mut sums = [0.0; 1 << MAX_SETS];
                for (row, &(rho, count)) in self.rows(pattern) {
                    for (sum, score) in sums.iter_mut().zip(row) {
                        *sum += count * rho * score;
                    }
                }
                for (i, &class) in classes.of.iter().enumerate().filter(|&(_, &c)| c > 0) {
                    weighted[i] += sums[usize::from(class)];
                    let products = &products[usize::from(class) * classes.width..][..classes.width];
                    let row = &mut local[i * missing..][..=i];
                    for (element, &other) in row.iter_mut().zip(&classes.of) {
                        *element += products[usize::from(other)];
                    }
                }
            }
            for (i, &a) in group.missing.iter().enumerate() {
                let a = usize::from(a);
                let row = information.row(a);
                for (&b, product) in group.missing[..=i].iter().zip(&local[i * missing..]) {
                    row[usize::from(b)] += product;
                }
                for (mixed, meets) in mixed[a * n..][..n].iter_mut().zip(&group.meets) {
                    *mixed += weighted[i] * meets;
                }
            }
        }
        let missed = |t: Mask| self.evidence.missed_squares[t];
        for i in 0..n {
            let t = self.regions[i];
            let row = information.row(i);
            for (j, element) in row.iter_mut().enumerate() {
                let u = self.regions[j];
                // Cells whose Q meets both.
                *element += missed(t) + missed(u) - missed(t | u);
                *element -= mixed[i * n + j] + mixed[j * n + i];
                *element *= scale[i] * scale[j];
            }
        }
        information
    }

    /// The derivatives of each kind of cells of a pattern, with its ρ and number.
    fn rows(&self, pattern: usize) -> impl Iterator<Item = (&[f64], &(f64, f64))> {
        let classes = &self.classes[pattern];
        let rows = self.scores[classes.scores..].chunks_exact(classes.width);
        rows.zip(&self.evidence.patterns[pattern].cells)
    }

    /// Σ s s' over the cells of a pattern, for all pairs of classes.
    fn sum_products(&self, pattern: usize, products: &mut Vec<f64>) {
        let classes = &self.classes[pattern];
        let width = classes.width;
        products.clear();
        products.resize(width * width, 0.0);
        let cells = &self.evidence.patterns[pattern].cells;
        let rows = cells.len().next_multiple_of(BLOCK);
        let scores = &self.scores[classes.scores..][..rows * width];
        let blocks = scores.chunks_exact(BLOCK * width);
        for (block, cells) in blocks.zip(cells.chunks(BLOCK)) {
            let rows: [&[[f64; BLOCK]]; BLOCK] =
                std::array::from_fn(|r| block[r * width..][..width].as_chunks().0);
            for i in 1..classes.lost.len() {
                let factors: [f64; BLOCK] = std::array::from_fn(|r| match cells.get(r) {
                    Some(&(_, count)) => count * block[r * width + i],
                    None => 0.0,
                });
                let targets = products[i * width..][..width].as_chunks_mut::<BLOCK>().0;
                for (j, target) in targets[..=i / BLOCK].iter_mut().enumerate() {
                    for (row, factor) in rows.iter().zip(factors) {
                        for (target, score) in target.iter_mut().zip(&row[j]) {
                            *target += factor * score;
                        }
                    }
                }
            }
        }
        for i in 1..classes.lost.len() {
            for j in 1..i {
                products[j * width + i] = products[i * width + j];
            }
        }
    }

    /// L(Q+s) - L(Q) = Σ λ_T over the T that contain s and miss Q: sums of positive terms only.
    fn fill_gains(&mut self, lam: &[f64]) {
        let sets = self.evidence.sets;
        let masks = 1usize << sets;
        for s in 0..sets {
            let gains = &mut self.gains[s * masks..][..masks];
            // First by the complement of Q: the sum over the T + s with T inside it.
            for t in 0..masks {
                gains[t] = if t >> s & 1 == 0 {
                    lam[t | 1 << s]
                } else {
                    0.0
                };
            }
            for bit in (0..sets).filter(|&bit| bit != s) {
                for t in (0..masks).filter(|t| t >> bit & 1 == 1) {
                    gains[t] += gains[t ^ 1 << bit];
                }
            }
            gains.reverse();
            // Reversed, place Q holds the sum for ~Q; ~Q has no s where Q has it, and what is
            // wanted is Q without s: both stand at ~(Q + s).
            for q in (0..masks).filter(|q| q >> s & 1 == 0) {
                gains[q] = gains[q | 1 << s];
            }
        }
    }
}

impl Classes {
    /// Of the regions in `missing`, which miss the pattern's Q.
    fn new(
        pattern: &Pattern,
        missing: impl Iterator<Item = Mask>,
        code_of: &[usize],
        scores: usize,
    ) -> Classes {
        const NONE: u16 = u16::MAX;
        let mut class_of = [NONE; 1 << MAX_SETS];
        class_of[0] = 0;
        let mut lost = vec![0];
        let of = missing
            .map(|region| {
                let common = region & pattern.occupied;
                if class_of[common] == NONE {
                    class_of[common] = lost.len() as u16;
                    lost.push(2 * code_of[common] as u16);
                }
                class_of[common]
            })
            .collect();
        Classes {
            of,
            width: lost.len().next_multiple_of(BLOCK),
            lost,
            scores,
        }
    }
}

/// Runs of patterns with the same Q.
fn groups(patterns: &[Pattern], regions: &[Mask]) -> Vec<Group> {
    let mut start = 0;
    patterns
        .chunk_by(|a, b| a.empty == b.empty)
        .map(|run| {
            let meets = |region: Mask| region & run[0].empty != 0;
            let end = start + run.len();
            let patterns = start..end;
            start = end;
            Group {
                patterns,
                missing: (0..regions.len() as u16)
                    .filter(|&i| !meets(regions[usize::from(i)]))
                    .collect(),
                meets: regions
                    .iter()
                    .map(|&region| f64::from(u8::from(meets(region))))
                    .collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::cells::Member;
    use super::super::cells::tests::any_register;
    use super::*;
    use crate::sketch::precision::Precision;
    use proptest::prelude::*;

    #[test]
    fn codes_and_masks_are_each_others_inverse() {
        for p in 0..256 {
            for q in (0..256).filter(|q| p & q == 0) {
                assert_eq!(masks_of(code_of(q) + 2 * code_of(p)), (p, q));
            }
        }
    }

    /// The probability that a cell is occupied in all of `p`, given that it is empty in all of `q`:
    /// summed over which regions have an element there and which do not.
    fn brute_force(lam: &[f64], rho: f64, p: Mask, q: Mask) -> f64 {
        let regions: Vec<Mask> = (1..lam.len()).filter(|t| t & q == 0).collect();
        (0..1usize << regions.len())
            .map(|hit| {
                let union = regions
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| hit >> i & 1 == 1)
                    .fold(0, |union, (_, t)| union | t);
                if union & p != p {
                    return 0.0;
                }
                regions
                    .iter()
                    .enumerate()
                    .map(|(i, &t)| {
                        let z = -rho * lam[t];
                        if hit >> i & 1 == 1 {
                            -z.exp_m1()
                        } else {
                            z.exp()
                        }
                    })
                    .product::<f64>()
            })
            .sum()
    }

    fn evidence_of(registers: &[Vec<u8>]) -> Evidence {
        let members: Vec<Member> = registers
            .iter()
            .map(|registers| Member {
                registers,
                history: true,
            })
            .collect();
        let p = Precision::new(registers[0].len().ilog2() as u8).unwrap();
        Evidence::new(&Cells::count(&members, p))
    }

    fn three_sets() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(
            prop::collection::vec(any_register(Precision::MIN), 16),
            1..=3,
        )
    }

    fn some_lam() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((-3.0..3.0f64).prop_map(|x| 10f64.powf(x)), 8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Also the logarithm of the likelihood, term by term.
        #[test]
        fn the_recursion_is_the_sum_over_all_cases(registers in three_sets(), lam in some_lam()) {
            let evidence = evidence_of(&registers);
            let sets = evidence.sets;
            let lam = &lam[..1 << sets];
            let regions: Vec<Mask> = (1..1 << sets).collect();
            let mut model = Model::new(&evidence, &[1.0, 3.0, 2.0], regions.clone());
            let log_likelihood = model.log_likelihood(lam, &vec![0.0; lam.len()]);
            let mut expected = 0.0;
            for (q, mass) in evidence.mass.iter().enumerate() {
                expected -= mass * (1..lam.len()).filter(|t| t & q != 0).map(|t| lam[t]).sum::<f64>();
            }
            for pattern in &evidence.patterns {
                for &(rho, count) in &pattern.cells {
                    expected += count * brute_force(lam, rho, pattern.occupied, pattern.empty).ln();
                }
            }
            prop_assert!((log_likelihood - expected).abs() < 1e-8 * expected.abs().max(1.0), "{log_likelihood} {expected}");
        }

        #[test]
        fn the_gradient_is_the_slope(registers in three_sets(), lam in some_lam()) {
            let evidence = evidence_of(&registers);
            let lam = &lam[..1 << evidence.sets];
            let regions: Vec<Mask> = (1..lam.len()).collect();
            let mut model = Model::new(&evidence, &[1.0; 3], regions.clone());
            let scale: Vec<f64> = regions.iter().map(|&t| lam[t]).collect();
            let none = vec![0.0; lam.len()];
            let log_likelihood = model.log_likelihood(lam, &none);
            let gradient = model.gradient(&scale);
            for (i, &t) in regions.iter().enumerate() {
                let mut value = |step: f64| {
                    let mut moved = lam.to_vec();
                    moved[t] *= 1.0 + step;
                    model.log_likelihood(&moved, &none)
                };
                let h = 1e-4;
                let slope = (value(h) - value(-h)) / (2.0 * h);
                let tolerance = 1e-4 * (1.0 + gradient[i].abs() + log_likelihood.abs() * 1e-4);
                prop_assert!((slope - gradient[i]).abs() < tolerance, "{t}: {slope} {}", gradient[i]);
            }
        }

        /// The information is the sum over all cells of the products of their derivatives.
        #[test]
        fn the_information_is_the_sum_of_products(registers in three_sets(), lam in some_lam()) {
            let evidence = evidence_of(&registers);
            let lam = &lam[..1 << evidence.sets];
            let regions: Vec<Mask> = (1..lam.len()).collect();
            let mut model = Model::new(&evidence, &[2.0, 1.0, 3.0], regions.clone());
            let scale: Vec<f64> = regions.iter().map(|&t| lam[t]).collect();
            model.log_likelihood(lam, &vec![0.0; lam.len()]);
            let mut information = model.information(&scale);
            let members: Vec<Member> = registers.iter().map(|registers| Member { registers, history: true }).collect();
            let n = regions.len();
            let mut expected = vec![0.0; n * n];
            for register in 0..16 {
                for level in 1..=register::max_level(Precision::MIN) {
                    let rho = register::level_probability(level, Precision::MIN) as f64 / register::ONE as f64;
                    let (mut p, mut q) = (0, 0);
                    for (s, m) in members.iter().enumerate() {
                        match m.knowledge(m.registers[register], level) {
                            super::super::cells::Knowledge::Empty => q |= 1 << s,
                            super::super::cells::Knowledge::Occupied => p |= 1 << s,
                            super::super::cells::Knowledge::Unknown => {}
                        }
                    }
                    let scores: Vec<f64> = regions.iter().map(|&t| {
                        let ratio = if t & q == 0 { brute_force(lam, rho, p & !t, q) / brute_force(lam, rho, p, q) } else { 0.0 };
                        lam[t] * rho * (ratio - 1.0)
                    }).collect();
                    for i in 0..n {
                        for j in 0..n {
                            expected[i * n + j] += scores[i] * scores[j];
                        }
                    }
                }
            }
            for i in 0..n {
                for j in 0..=i {
                    let (got, wanted) = (*information.at(i, j), expected[i * n + j]);
                    let size = (expected[i * n + i] * expected[j * n + j]).sqrt();
                    prop_assert!((got - wanted).abs() < 1e-6 * size, "{got} {wanted} {size}");
                }
            }
        }
    }
}
