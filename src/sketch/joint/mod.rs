//! One estimator for sets of sets: intersections, differences, funnels, and how sure they are.
//!
//! # The question
//!
//! K sets, 2 to 8, each known only by its sketch. How many elements lie in all of them, in the first
//! two but not the third, in the second as a fraction of the first? Every such question counts some of
//! the 2^K - 1 *regions* of the Venn diagram:
//!
//! ```text
//!          A              B
//!      .-------.      .-------.            region  elements exactly in   λ
//!     /         \    /         \           {A}     A only                λ_1
//!    |    λ_1    | λ_3 |   λ_2  |          {B}     B only                λ_2
//!     \         /    \         /           {A,B}   both                  λ_3
//!      '-------'      '-------'
//! ```
//!
//! so one solution for the λ answers them all: |A∩B| = λ_3, |A∪B| = λ_1 + λ_2 + λ_3, and so on.
//! Answers made from one solution agree with each other: an intersection is never larger than its
//! sets, a later funnel step never larger than an earlier one.
//!
//! # Why not from the counts
//!
//! |A∩B| = |A| + |B| - |A∪B| is the usual way. Its error is that of the three counts, a fraction
//! of the *union*: with 0.6 % error and an overlap of 1 % it is 40 % off, and an intersection of five
//! sets sums 31 such terms. The registers know more. Where two sketches show the same level in the
//! same register, an element in both is the likely reason; where one shows a level and the other
//! shows that it never occurred, no common element was there. Every register says a little
//! about every region, and the likelihood adds it all up. (Classical registers, without
//! history, have this information too: Ertl 2017 finds it there, with the same gain.)
//!
//! # The model
//!
//! Elements fall into *cells*, pairs of a register and a level. Cell (i, k) is hit by an element with
//! probability ρ_k = 2^-(p+k), so with Poisson numbers of elements in the regions, cells are independent,
//! and the regions hit it independently with probabilities 1 - exp(-ρ_k λ_T). From the registers one
//! reads which sets P are known to have the cell occupied and which sets Q are known to have it empty (a
//! register knows its highest level u, what is above, and with history u-1 and u-2). The probability
//! of that is a polynomial in exp(-ρ λ), the same for all cells of a level with the same P and Q, and its
//! logarithm is summed over all cells:
//!
//! * `cells.rs` counts the cells by level, P and Q: one walk over the registers.
//! * `likelihood.rs` computes log L, its gradient and its information.
//! * `solve.rs` climbs, `profile.rs` goes down again for the ends of intervals.
//! * `tokens.rs` is for sketches that are all still sparse: there it is set algebra, and exact.
//!
//! A sparse sketch among dense ones is replayed into registers. Sketches of different precision are
//! folded to the lowest among the dense ones.
//!
//! # How sure
//!
//! With I = Σ s sᵀ, the sum over all cells of the outer products of their scores, an answer
//! Σ c_T λ_T has the variance
//!
//! ```text
//!   cᵀ I⁻¹ c - Σ c_T² λ_T
//! ```
//!
//! The first term is how well the *Poisson means* are known; the second takes out that the true numbers
//! vary about those means, which is no error of ours. A quotient's variance follows by linearization.
//! Intervals follow the slopes of the likelihood (`profile.rs`), because near its border, where a region falls
//! towards no elements, an estimate is not normally distributed. Measured, 95 % intervals cover the truth in 92 %
//! of the cases or more at nearly all points of a scan, and in nearly all cases where a region is truly empty
//! (disjoint or exactly nested sets) or many are, as with five steps of a funnel. docs/accuracy.md says where
//! they miss.
//!
//! Overlaps that are tiny compared with the sets drown in noise, in this sketch as in every one of its size:
//! two disjoint sets of 100,000 elements at p = 14 look as if 110 elements were common on average, with an
//! upper bound of about 700. An intersection without its interval is worth nothing.
//!
//! # What it costs
//!
//! The walk over the registers takes about 20 µs for each set of 8,192; the search does not depend on their
//! number. At p = 13 two sets take about 65 µs, three .25 ms, five 1.3 ms, eight 10 ms (.2 s where all 255
//! regions are occupied). An interval takes some rounds more for each end: about 20 µs for two sets, 50 µs for
//! three and .3 ms for five, and with six or more, where only answers near their border need them, some
//! milliseconds to some tens of them. While it lasts, the search takes 40 kB for two sets, .3 MB for five and up to 9 MB
//! for eight. `cargo bench -p benches --bench joint` measures the times and the errors.
//!
//! # Sources
//!
//! Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv 1702.01284,
//! has the joint likelihood of two classical sketches. Ertl 2023, "UltraLogLog", arXiv 2308.16862, has the
//! register and the likelihood of one. The step to K sets, by the recursion over P and Q, the growth one set
//! at a time and the variance are this project's.

mod cells;
pub mod cost;
mod likelihood;
mod linear;
mod profile;
mod solve;
mod tokens;

use super::estimate::{Bounded, Estimate, Method, normal_quantile};
use super::precision::Precision;
use super::register::Register;
use super::token::{INDEX_BITS, Token};
use super::{HashMismatch, Sketch};
pub use cells::MAX_SETS;
use cells::{Cells, Member};
use likelihood::Mask;
use linear::{Cholesky, Symmetric};
use profile::{Peak, Question};
use std::borrow::Cow;
use std::ops::BitOr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokens::Collisions;

/// Some of the sets a [`Joint`] was made of, by their position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetMask(u8);

impl SetMask {
    /// No set.
    pub const NONE: SetMask = SetMask(0);

    /// The set at position 0.
    pub const FIRST: SetMask = SetMask(1);

    /// One set. Positions are 0 to 7.
    pub fn single(position: usize) -> SetMask {
        assert!(position < MAX_SETS);
        SetMask(1 << position)
    }

    /// Sets 0 to n-1.
    pub fn first(n: usize) -> SetMask {
        (0..n).collect()
    }

    /// Whether the set at this position is among them.
    pub fn contains(self, position: usize) -> bool {
        position < MAX_SETS && self.0 >> position & 1 == 1
    }

    fn mask(self) -> Mask {
        Mask::from(self.0)
    }
}

impl FromIterator<usize> for SetMask {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> SetMask {
        positions
            .into_iter()
            .map(SetMask::single)
            .fold(SetMask::NONE, |a, b| a | b)
    }
}

impl BitOr for SetMask {
    type Output = SetMask;

    fn bitor(self, other: SetMask) -> SetMask {
        SetMask(self.0 | other.0)
    }
}

/// A question: the elements that lie in every set of `all`, in at least one set of `any` (unless `any`
/// is empty), and in no set of `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sets an element must be in.
    pub all: SetMask,
    /// Sets of which an element must be in one.
    pub any: SetMask,
    /// Sets an element must not be in.
    pub none: SetMask,
}

impl Segment {
    /// The elements in every one of these sets.
    pub fn all(sets: SetMask) -> Segment {
        Segment {
            all: sets,
            ..Segment::default()
        }
    }

    /// The elements in at least one of these sets.
    pub fn any(sets: SetMask) -> Segment {
        Segment {
            any: sets,
            ..Segment::default()
        }
    }

    /// Whether it is one set.
    fn is_one_set(self) -> bool {
        self.all.0.is_power_of_two() && self.any == SetMask::NONE && self.none == SetMask::NONE
    }

    /// Whether elements of a region belong to it.
    fn includes(self, region: Mask) -> bool {
        let (all, any, none) = (self.all.mask(), self.any.mask(), self.none.mask());
        region & all == all && (any == 0 || region & any != 0) && region & none == 0
    }
}

/// A number of elements, with its variance and what it cannot exceed.
#[derive(Clone, Debug)]
pub struct JointEstimate {
    /// Elements; finite and not negative.
    pub value: f64,
    /// Variance of `value` about the truth, in elements².
    pub variance: f64,
    /// [`Method::Exact`], [`Method::Tokens`] or [`Method::Ml`].
    pub method: Method,
    /// What each set that contains all these elements counts by itself.
    within: Vec<Estimate>,
    slopes: Option<Slopes>,
}

impl JointEstimate {
    /// The two-sided interval at `confidence` (a fraction below 1), between 0 and the smallest upper
    /// bound of the sets the elements must lie in.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let (lower, upper) = match &self.slopes {
            Some(slopes) => slopes.interval(self.value, confidence),
            None => Estimate {
                value: self.value,
                variance: self.variance,
                method: self.method,
            }
            .interval(confidence),
        };
        let least = self
            .within
            .iter()
            .map(|set| set.interval(confidence).1)
            .fold(upper, f64::min);
        (lower, least.max(self.value))
    }

    /// The estimate and its interval.
    pub fn bounded(&self, confidence: f64) -> Bounded {
        Bounded::new(self.value, self.interval(confidence))
    }
}

/// A fraction: of the elements of one segment, those that are in another too.
#[derive(Clone, Debug)]
pub struct Rate {
    /// 0 to 1.
    pub value: f64,
    /// Variance of `value` about the truth.
    pub variance: f64,
    doubt: Doubt,
    /// What it is a fraction of, if that may be nobody: of a share of nobody nothing is known.
    whole: Option<JointEstimate>,
}

/// Where the interval of a rate comes from.
#[derive(Clone, Debug)]
enum Doubt {
    /// From the variance.
    Normal,
    /// From the likelihood.
    Slopes(Slopes),
    /// From these counts of tokens, of the part and of the whole: a rate of numbers that are not in doubt is not
    /// in doubt, and otherwise it has the normal interval.
    Tokens([Estimate; 2]),
}

impl Rate {
    /// The two-sided interval at `confidence`, between 0 and 1: all of that where at this confidence perhaps nobody is in
    /// the whole.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let whole = self.whole.as_ref();
        if whole.is_some_and(|whole| whole.interval(confidence).0 <= 0.0) {
            return (0.0, 1.0);
        }
        let normal = || {
            let half = normal_quantile(confidence) * self.variance.sqrt();
            ((self.value - half).max(0.0), (self.value + half).min(1.0))
        };
        match &self.doubt {
            Doubt::Normal => normal(),
            Doubt::Slopes(slopes) => {
                let (lower, upper) = slopes.interval(self.value, confidence);
                (lower, upper.min(1.0))
            }
            Doubt::Tokens(counts) => {
                let intervals = counts.map(|count| count.interval(confidence));
                match intervals.iter().all(|(lower, upper)| lower == upper) {
                    true => (self.value, self.value),
                    false => normal(),
                }
            }
        }
    }

    /// The rate and its interval.
    pub fn bounded(&self, confidence: f64) -> Bounded {
        Bounded::new(self.value, self.interval(confidence))
    }
}

/// Up to this many sets every interval follows the slopes of the likelihood; with more, those of answers that
/// are no more than this many standard deviations from their border.
const FEW: usize = 5;
const NEAR: f64 = 4.0;

/// No interval about a count that is so many standard deviations from nobody reaches there.
const FAR_FROM_NOBODY: f64 = 10.0;

/// What is asked, and the likelihood whose slopes give the interval.
#[derive(Clone, Debug)]
struct Slopes {
    peak: Arc<Peak>,
    question: Question,
}

impl Slopes {
    /// The interval about this estimate; never below zero.
    fn interval(&self, value: f64, confidence: f64) -> (f64, f64) {
        let z = normal_quantile(confidence);
        let (lower, upper) = self.peak.interval(&self.question, z);
        (lower.max(0.0).min(value), upper.max(value))
    }
}

/// Solutions that fitted registers, since the program began, and the nanoseconds that they took.
static SOLUTIONS: AtomicU64 = AtomicU64::new(0);
static NANOSECONDS: AtomicU64 = AtomicU64::new(0);

/// Solutions that fitted registers, by all threads of the program since it began. Where all sets are counted by their
/// tokens, or only one has elements, nothing is fitted.
pub fn solutions() -> u64 {
    SOLUTIONS.load(Ordering::Relaxed)
}

/// Microseconds that these have taken.
pub fn microseconds() -> u64 {
    NANOSECONDS.load(Ordering::Relaxed) / 1_000
}

fn counted<R>(solve: impl FnOnce() -> R) -> R {
    let begin = Instant::now();
    let solution = solve();
    SOLUTIONS.fetch_add(1, Ordering::Relaxed);
    let nanoseconds = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    NANOSECONDS.fetch_add(nanoseconds, Ordering::Relaxed);
    solution
}

/// Whether such an estimate counts tokens.
fn is_counted(method: Method) -> bool {
    matches!(method, Method::Exact | Method::Tokens)
}

/// How many elements lie in each region of some sets, as far as their sketches tell.
#[derive(Clone, Debug)]
pub struct Joint {
    /// What each set counts by itself.
    members: Vec<Estimate>,
    /// The regions that may have elements, and how many.
    regions: Vec<(Mask, f64)>,
    uncertainty: Uncertainty,
}

#[derive(Clone, Debug)]
enum Uncertainty {
    /// Tokens were counted: whole ones, or cut ones.
    Tokens(Vec<Collisions>, Method),
    /// Registers were fitted: per region the unit of its information, and its factor.
    Registers {
        scale: Vec<f64>,
        factor: Cholesky,
        /// The likelihood, and which region of all sets each of its own is; `None` where there is one set.
        peak: Option<(Arc<Peak>, Vec<Mask>)>,
    },
}

impl Joint {
    /// Solves for the regions of 1 to 8 sets (panics with more or none). Sketches of different
    /// hash families have no common elements to speak of.
    pub fn solve(sketches: &[&Sketch]) -> Result<Joint, HashMismatch> {
        Joint::solve_cut(sketches, INDEX_BITS)
    }

    /// The same of sketches whose tokens, where they have tokens, are [cut](super::token::cut) to so many index bits, all
    /// of them. A dense one among them must be of no higher precision than such tokens can be replayed at.
    pub fn solve_cut(sketches: &[&Sketch], index_bits: u32) -> Result<Joint, HashMismatch> {
        assert!((1..=MAX_SETS).contains(&sketches.len()));
        for other in sketches {
            sketches[0].check_hash(other)?;
        }
        let alone = |sketch: &&Sketch| match sketch.tokens() {
            Some(tokens) => Estimate::from_cut_tokens(tokens.len(), index_bits),
            None => sketch.estimate(),
        };
        let members: Vec<Estimate> = sketches.iter().map(alone).collect();
        // An empty set has no regions, and the same set again has those it had before: the others are solved
        // without them.
        let mut present: Vec<usize> = Vec::new();
        let mut alike: Vec<Mask> = Vec::new();
        for (s, sketch) in sketches.iter().enumerate().filter(|(_, s)| !s.is_empty()) {
            let known = present
                .iter()
                .position(|&p| sketch.same_elements(sketches[p]));
            match known {
                Some(bit) => alike[bit] |= 1 << s,
                None => {
                    present.push(s);
                    alike.push(1 << s);
                }
            }
        }
        let expand = |region: Mask| {
            let bits = alike.iter().enumerate();
            bits.fold(0, |mask, (bit, &same)| mask | ((region >> bit & 1) * same))
        };
        if let [only] = present[..]
            && !sketches[only].is_sparse()
        {
            return Ok(Joint::of_one(members, only, expand(1)));
        }
        let slices: Option<Vec<&[Token]>> = present
            .iter()
            .map(|&s| sketches[s].tokens().map(|tokens| tokens.as_slice()))
            .collect();
        if let Some(slices) = slices {
            let counts = tokens::count_regions(&slices);
            let (elements, mut collisions) = tokens::elements(&counts, index_bits);
            for collision in &mut collisions {
                collision.regions = collision.regions.map(expand);
            }
            return Ok(Joint {
                members,
                regions: elements
                    .iter()
                    .enumerate()
                    .filter(|&(_, &n)| n > 0.0)
                    .map(|(t, &n)| (expand(t), n))
                    .collect(),
                uncertainty: Uncertainty::Tokens(
                    collisions,
                    Estimate::from_cut_tokens(0, index_bits).method,
                ),
            });
        }

        let precision = present
            .iter()
            .filter(|&&s| !sketches[s].is_sparse())
            .map(|&s| sketches[s].precision())
            .min()
            .unwrap_or(Precision::DEFAULT);
        let registers: Vec<Cow<[Register]>> = present
            .iter()
            .map(|&s| sketches[s].registers(precision))
            .collect();
        let views: Vec<Member> = present
            .iter()
            .zip(&registers)
            .map(|(&s, registers)| Member {
                registers,
                history: sketches[s].history(),
            })
            .collect();
        let sizes: Vec<f64> = present
            .iter()
            .map(|&s| members[s].value.clamp(1.0, super::register::ONE as f64))
            .collect();
        let solution = counted(|| solve::solve(Cells::count(&views, precision), &sizes));
        Ok(Joint {
            members,
            regions: solution
                .regions
                .iter()
                .map(|&t| (expand(t), solution.lam[t]))
                .collect(),
            uncertainty: Uncertainty::Registers {
                scale: solution.scale,
                factor: solution.factor,
                peak: Some((
                    Arc::new(solution.peak),
                    (0..1 << present.len()).map(expand).collect(),
                )),
            },
        })
    }

    /// Where only one set has elements, its own estimate is the best there is.
    fn of_one(members: Vec<Estimate>, only: usize, region: Mask) -> Joint {
        let Estimate {
            value, variance, ..
        } = members[only];
        let mut information = Symmetric::new(1);
        *information.at(0, 0) = 1.0 / (variance + value);
        Joint {
            regions: vec![(region, value)],
            uncertainty: Uncertainty::Registers {
                scale: vec![1.0],
                factor: information.factor(),
                peak: None,
            },
            members,
        }
    }

    /// What each set counts by itself.
    pub fn members(&self) -> &[Estimate] {
        &self.members
    }

    /// [`Method::Exact`] if all sketches are sparse, [`Method::Tokens`] if their tokens are cut, else [`Method::Ml`].
    pub fn method(&self) -> Method {
        match self.uncertainty {
            Uncertainty::Tokens(_, method) => method,
            Uncertainty::Registers { .. } => Method::Ml,
        }
    }

    /// How many elements a segment has.
    pub fn estimate(&self, segment: Segment) -> JointEstimate {
        let method = self.method();
        let mut variance = self.variance(|region| f64::from(u8::from(segment.includes(region))));
        let mut regions = self.regions.iter().map(|&(region, _)| region);
        if method == Method::Ml && regions.any(|region| segment.includes(region)) {
            // Any estimate of a whole number may be off by a half.
            variance = variance.max(0.25);
        }
        let mut within: Vec<Estimate> = (0..self.members.len())
            .filter(|&s| segment.all.contains(s))
            .map(|s| self.members[s])
            .collect();
        if segment.is_one_set() {
            // Two estimates of one number: the lower of their upper bounds would hold it too seldom.
            within.retain(|set| is_counted(set.method));
        }
        let known = within.iter().filter(|set| is_counted(set.method));
        JointEstimate {
            value: known
                .map(|set| set.value)
                .fold(self.value(segment), f64::min),
            variance,
            method,
            within,
            slopes: self
                .follows_slopes(self.value(segment), variance)
                .then(|| self.slopes(|inside| Question::Count(inside(&|t| segment.includes(t)))))
                .flatten(),
        }
    }

    /// The sum of an amount for each element, which depends on the sets that it is in, and its variance about the
    /// truth. Of two sets, 1 for those in the first and -1 for those in the second is what the first has more.
    pub fn weighted(&self, amount: impl Fn(SetMask) -> f64) -> (f64, f64) {
        let amount = |region: Mask| amount(SetMask(region as u8));
        let regions = self.regions.iter();
        let sum = regions.fold(0.0, |sum, &(region, n)| sum + amount(region) * n);
        (sum, self.variance(amount))
    }

    /// The elements that all of these sets have in common.
    pub fn intersection(&self, sets: SetMask) -> JointEstimate {
        self.estimate(Segment::all(sets))
    }

    /// The elements of these sets together.
    pub fn union(&self, sets: SetMask) -> JointEstimate {
        self.estimate(Segment::any(sets))
    }

    /// The elements of `of` that are in `part` too, as a fraction of `of`; `None` if there are none in
    /// `of`.
    pub fn ratio(&self, part: Segment, of: Segment) -> Option<Rate> {
        let whole = self.value(of);
        if whole <= 0.0 {
            return None;
        }
        let inside = |region| part.includes(region) && of.includes(region);
        let value = (self.sum(inside) / whole).min(1.0);
        // d(N/D) = (dN - (N/D) dD) / D
        let variance = self.variance(|region| {
            let of = f64::from(u8::from(of.includes(region)));
            (f64::from(u8::from(inside(region))) - value * of) / whole
        });
        let slopes = || {
            self.slopes(|counted| {
                Question::Share(counted(&inside), counted(&|region| of.includes(region)))
            })
        };
        let doubt = match self.method() {
            method if is_counted(method) => {
                let count = |value: f64, counted: &dyn Fn(Mask) -> bool| Estimate {
                    value,
                    variance: self.variance(|region| f64::from(u8::from(counted(region)))),
                    method,
                };
                Doubt::Tokens([
                    count(self.sum(inside), &inside),
                    count(whole, &|region| of.includes(region)),
                ])
            }
            _ if self.follows_slopes(value.min(1.0 - value), variance) => {
                slopes().map_or(Doubt::Normal, Doubt::Slopes)
            }
            _ => Doubt::Normal,
        };
        let of_whole = self.variance(|region| f64::from(u8::from(of.includes(region))));
        let may_be_nobody = !is_counted(self.method()) && whole < FAR_FROM_NOBODY * of_whole.sqrt();
        Some(Rate {
            value,
            variance,
            doubt,
            whole: may_be_nobody.then(|| self.estimate(of)),
        })
    }

    /// |A∩B| / |A∪B|; `None` if both are empty.
    pub fn jaccard(&self, a: usize, b: usize) -> Option<Rate> {
        let both = SetMask::single(a) | SetMask::single(b);
        self.ratio(Segment::all(both), Segment::any(both))
    }

    /// |A∩B| / |A|, how much of set `a` lies in set `b`; `None` if it is empty.
    pub fn containment(&self, a: usize, b: usize) -> Option<Rate> {
        let one = Segment::all(SetMask::single(a));
        self.ratio(Segment::all(SetMask::single(b)), one)
    }

    /// Whether an interval is to follow the slopes of the likelihood, for an answer this far from its border.
    /// With many sets that takes long, and far from the border the normal one is as good, if wider.
    fn follows_slopes(&self, distance: f64, variance: f64) -> bool {
        self.members.len() <= FEW || distance < NEAR * variance.sqrt()
    }

    /// The slopes of the likelihood for a question, which is made from which regions count; `None` where no
    /// likelihood is needed for the answer.
    fn slopes(
        &self,
        ask: impl FnOnce(&dyn Fn(&dyn Fn(Mask) -> bool) -> Vec<bool>) -> Question,
    ) -> Option<Slopes> {
        match &self.uncertainty {
            Uncertainty::Registers {
                peak: Some((peak, regions)),
                ..
            } => {
                let question = ask(&|counts| {
                    let known = regions.iter().enumerate();
                    known.map(|(own, &t)| own != 0 && counts(t)).collect()
                });
                (!question.is_settled()).then(|| Slopes {
                    peak: Arc::clone(peak),
                    question,
                })
            }
            _ => None,
        }
    }

    fn value(&self, segment: Segment) -> f64 {
        self.sum(|region| segment.includes(region))
    }

    /// Elements in the regions that count; a whole number where tokens were counted.
    fn sum(&self, counts: impl Fn(Mask) -> bool) -> f64 {
        let sum = self
            .regions
            .iter()
            .filter(|&&(region, _)| counts(region))
            .fold(0.0, |sum, &(_, n)| sum + n);
        match self.uncertainty {
            Uncertainty::Tokens(..) => sum.round(),
            Uncertainty::Registers { .. } => sum,
        }
    }

    /// Variance of Σ c_T λ_T, never negative.
    fn variance(&self, c: impl Fn(Mask) -> f64) -> f64 {
        match &self.uncertainty {
            Uncertainty::Tokens(collisions, _) => collisions
                .iter()
                .map(|collision| {
                    let [t, u] = collision.regions;
                    collision.expected * (c(t) + c(u) - c(t | u)).powi(2)
                })
                .sum(),
            Uncertainty::Registers { scale, factor, .. } => {
                let weights = self.regions.iter().map(|&(region, _)| c(region));
                let mut y: Vec<f64> = weights.zip(scale).map(|(c, scale)| c * scale).collect();
                factor.forward(&mut y);
                let poisson: f64 = self.regions.iter().map(|&(t, n)| c(t).powi(2) * n).sum();
                (y.iter().map(|y| y * y).sum::<f64>() - poisson).max(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests;
