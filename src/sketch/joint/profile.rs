//! Intervals from the likelihood itself.
//!
//! The normal interval, the estimate plus and minus some standard deviations, is right where log L is a
//! parabola as far as the interval reaches. It is not where a region falls towards no elements: the
//! standard deviation is measured at an estimate that is too small, and there is nothing below zero. A
//! *profile likelihood* interval has neither difficulty. To a number of elements ψ belongs the largest log
//! L among all λ that have this ψ; the interval holds the ψ for which that is less than z²/2 below the
//! maximum (Wilks 1938; Venzon and Moolgavkar 1988, Applied Statistics 37, 87-94):
//!
//! ```text
//!   log L
//!     |        ___ maximum
//!     |      /     \           z²/2 r
//!     |----/---------\-------  -----
//!     |   |           |\
//!     |   |           |  \
//!     +---+-----------+------- ψ
//!       lower       upper
//! ```
//!
//! Two things are this project's:
//!
//! * The λ are means, of numbers that vary about them. Of the variance v of the estimated mean, the part
//!   p = Σ c² λ is that variation and no error of ours ([`super`]), so log L may fall by z²/2 times
//!   r = (v - p)/v only. For a parabola that is the normal interval.
//! * z is a quantile of Student's distribution with as many degrees of freedom as registers, to first order,
//!   z (1 + (z² + 1)/4m): the noise is judged by the same few registers. From 256 registers on it makes no
//!   difference.
//!
//! # The way to an end
//!
//! The end is where ψ is largest (or smallest) with log L on the wanted height, so that there the slopes
//! of log L and ψ are opposite: g + t c = 0 for every region that has elements, and g + t c < 0 for the
//! others. With log L as a parabola with the information I, the end lies at
//!
//! ```text
//!   δ = I⁻¹ (g + t c),   t² = 2 (log L + g I⁻¹ g / 2 - height) / c I⁻¹ c
//! ```
//!
//! which is exact when log L is one, and repeated it converges like Newton's method: after two or three
//! rounds as a rule. Regions that would fall below no elements stop there and the others are solved again.
//! A region that had none at the maximum has a likelihood without curvature: there a step by the inverse
//! slope costs 1 of log L, and that is the unit in which its steps are damped. A step is shortened until
//! log L + t ψ does not fall.

use super::likelihood::{Evidence, Mask, Model};
use super::linear::Symmetric;

/// What is asked about the regions; one flag for each mask.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// Elements in these regions.
    Count(Vec<bool>),
    /// Elements in the first as a share of those in the second, of which they are some.
    Share(Vec<bool>, Vec<bool>),
}

/// Which end of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Lower,
    Upper,
}

/// The maximum of a likelihood, from which its slopes can be followed.
#[derive(Debug)]
pub(super) struct Peak {
    pub evidence: Evidence,
    /// Roughly how large the sets are.
    pub sizes: Vec<f64>,
    /// The regions that may move.
    pub regions: Vec<Mask>,
    /// λ at the maximum, by mask, and the least it may be.
    pub lam: Vec<f64>,
    pub floor: Vec<f64>,
    /// The smallest set of each region, by mask.
    pub smallest_set: Vec<f64>,
    pub log_likelihood: f64,
}

/// Rounds for one end. Two or three do as a rule.
const ROUNDS: usize = 20;

/// How often a step is shortened, and to what part of itself.
const SHORTENINGS: usize = 6;
const SHORTENING: f64 = 0.3;

/// An end is met when log L is this close to its height, as a part of its fall, and the last step was
/// this part of the way from the estimate.
const HEIGHT_TOLERANCE: f64 = 0.05;
const STEP_TOLERANCE: f64 = 0.02;

/// The longest step of a region that an end may be met with, and that nothing moves by any more.
const CALM: f64 = 0.3;
const STILL: f64 = 1e-6;

/// The least part of the variance that is taken for our error.
const LEAST_SHARE: f64 = 0.01;

/// A region without elements moves in units of what costs 1 of log L, or of this part of its smallest
/// set if that is less; another in units of itself, but for a part that keeps units from vanishing.
const FREE_UNIT: f64 = 0.05;
const LEAST_UNIT: f64 = 1e-3;

/// A region up to this many of its units large is damped by this.
const SMALL: f64 = 3.0;
const DAMPING: f64 = 0.3;

/// Keeps what registers tell nothing of from moving without end.
const PRIOR: f64 = 1e-5;

fn sum(lam: &[f64], inside: &[bool]) -> f64 {
    let counted = lam.iter().zip(inside).filter(|&(_, &inside)| inside);
    counted.fold(0.0, |sum, (lam, _)| sum + lam)
}

impl Question {
    fn value(&self, lam: &[f64]) -> f64 {
        match self {
            Question::Count(inside) => sum(lam, inside),
            Question::Share(part, whole) => sum(lam, part) / sum(lam, whole).max(f64::MIN_POSITIVE),
        }
    }

    /// Whether the answer is known without the λ: no region counts, or the part is the whole.
    pub fn is_settled(&self) -> bool {
        match self {
            Question::Count(part) => !part.contains(&true),
            Question::Share(part, whole) => !part.contains(&true) || part == whole,
        }
    }

    /// c: the derivative by the λ of these regions.
    pub fn slope(&self, lam: &[f64], regions: &[Mask]) -> Vec<f64> {
        let one = |counted: bool| f64::from(u8::from(counted));
        match self {
            Question::Count(inside) => regions.iter().map(|&t| one(inside[t])).collect(),
            Question::Share(part, whole) => {
                let rate = self.value(lam);
                let whole_sum = sum(lam, whole).max(f64::MIN_POSITIVE);
                let derivative = |&t: &Mask| (one(part[t]) - rate * one(whole[t])) / whole_sum;
                regions.iter().map(derivative).collect()
            }
        }
    }

    /// The border that the answer has come to, if it has: no elements, or all of them.
    fn border(&self, lam: &[f64], floor: &[f64], end: End) -> Option<f64> {
        let none = |counted: &dyn Fn(Mask) -> bool| {
            (0..lam.len()).all(|t| !counted(t) || lam[t] <= 1.001 * floor[t])
        };
        match (self, end) {
            (Question::Count(part) | Question::Share(part, _), End::Lower) => {
                none(&|t| part[t]).then_some(0.0)
            }
            (Question::Count(_), End::Upper) => None,
            (Question::Share(part, whole), End::Upper) => {
                none(&|t| whole[t] && !part[t]).then_some(1.0)
            }
        }
    }
}

impl Peak {
    /// The two-sided interval that belongs to the normal quantile z.
    pub fn interval(&self, question: &Question, z: f64) -> (f64, f64) {
        let mut search = Search {
            peak: self,
            question,
            model: Model::new(&self.evidence, &self.sizes, self.regions.clone()),
            units: Vec::new(),
        };
        let start = search.place(self.lam.clone());
        search.units = search.units();
        let whole = 0.5 * quantile(z, self.evidence.registers).powi(2);
        let share = search.own_share(&start);
        let upper = search.end(&start, End::Upper, whole * share);
        // On the way down, elements may go over into a region that had none. What the registers then cannot tell
        // apart is our error, all of it, though at the maximum nothing of that was to be seen.
        let share = if search.may_take_over() { 1.0 } else { share };
        // The model still holds the derivatives where it was last.
        let start = search.place(start.lam);
        let lower = search.end(&start, End::Lower, whole * share);
        (lower, upper)
    }
}

/// Student's quantile for a normal quantile, to first order.
pub(super) fn quantile(z: f64, registers: f64) -> f64 {
    z * (1.0 + (z * z + 1.0) / (4.0 * registers))
}

/// What is sought, and with what.
struct Search<'a> {
    peak: &'a Peak,
    question: &'a Question,
    model: Model<'a>,
    /// In what units the regions' steps are measured while their λ are smaller.
    units: Vec<f64>,
}

/// Where the search is. The model holds the derivatives of the place that was made last.
#[derive(Clone)]
struct Place {
    lam: Vec<f64>,
    /// Below the maximum, so not positive.
    log_likelihood: f64,
    value: f64,
}

impl Search<'_> {
    fn place(&mut self, lam: Vec<f64>) -> Place {
        let log_likelihood = self.model.log_likelihood(&lam, &self.peak.floor);
        Place {
            log_likelihood: log_likelihood - self.peak.log_likelihood,
            value: self.question.value(&lam),
            lam,
        }
    }

    /// Whether a region that has not one element could have some of those that are counted.
    fn may_take_over(&self) -> bool {
        let counted = match self.question {
            Question::Count(part) | Question::Share(part, _) => part,
        };
        let empty = |&t: &Mask| !counted[t] && self.peak.lam[t] < 1.0;
        self.peak.regions.iter().any(empty)
    }

    /// At the maximum.
    fn units(&self) -> Vec<f64> {
        let peak = self.peak;
        let slopes = self.model.gradient(&vec![1.0; peak.regions.len()]);
        let unit = |(&t, slope): (&Mask, f64)| {
            if peak.lam[t] > SMALL * peak.floor[t] {
                LEAST_UNIT * peak.lam[t]
            } else {
                (1.0 / slope.abs()).min(FREE_UNIT * peak.smallest_set[t])
            }
        };
        peak.regions.iter().zip(slopes).map(unit).collect()
    }

    /// r: what is left of the variance of ψ at the maximum without the variation of the true numbers.
    /// Any estimate of a whole number may be off by a half.
    fn own_share(&self, start: &Place) -> f64 {
        let slope = self.question.slope(&start.lam, &self.peak.regions);
        let lam = self.peak.regions.iter().map(|&t| start.lam[t]);
        let variation: f64 = slope.iter().zip(lam).map(|(c, lam)| c * c * lam).sum();
        let least = match self.question {
            Question::Count(_) => 0.25,
            Question::Share(..) => 0.0,
        };
        let (parabola, _) = self.parabola(start, 1.0, 0.0);
        let variance = parabola.variance();
        ((variance - variation).max(least) / variance).clamp(LEAST_SHARE, 1.0)
    }

    /// log L and ψ about a place, in these units.
    fn parabola(&self, at: &Place, direction: f64, fall: f64) -> (Parabola, Vec<f64>) {
        let regions = &self.peak.regions;
        let with_units = || regions.iter().map(|&t| at.lam[t]).zip(&self.units);
        let scale: Vec<f64> = with_units().map(|(lam, unit)| lam.max(*unit)).collect();
        let mut information = self.model.information(&scale);
        for (i, (lam, unit)) in with_units().enumerate() {
            let small = lam <= SMALL * unit;
            *information.at(i, i) += if small { DAMPING } else { PRIOR };
        }
        let slope = self.question.slope(&at.lam, regions);
        let parabola = Parabola {
            surplus: at.log_likelihood + fall,
            gradient: self.model.gradient(&scale),
            information,
            slope: slope
                .iter()
                .zip(&scale)
                .map(|(c, scale)| direction * c * scale)
                .collect(),
            room: regions
                .iter()
                .zip(&scale)
                .map(|(&t, scale)| (at.lam[t] - self.peak.floor[t]).max(0.0) / scale)
                .collect(),
        };
        (parabola, scale)
    }

    /// As far as ψ goes while log L falls by no more than `fall` (positive).
    fn end(&mut self, start: &Place, end: End, fall: f64) -> f64 {
        let direction = match end {
            End::Lower => -1.0,
            End::Upper => 1.0,
        };
        let mut at = start.clone();
        let mut tilt = None;
        for _ in 0..ROUNDS {
            let (parabola, scale) = self.parabola(&at, direction, fall);
            let surplus = parabola.surplus;
            let (step, t) = parabola.step(tilt);
            tilt = Some(t);
            let before = at;
            let mut length = 1.0;
            at = self.moved(&before, &step, &scale, length);
            for _ in 1..SHORTENINGS {
                let gain = at.log_likelihood - before.log_likelihood
                    + t * direction * (at.value - before.value);
                if gain >= -STEP_TOLERANCE * fall {
                    break;
                }
                length *= SHORTENING;
                at = self.moved(&before, &step, &scale, length);
            }
            if let Some(border) = self.question.border(&at.lam, &self.peak.floor, end) {
                return border;
            }
            let longest = step
                .iter()
                .fold(0.0f64, |longest, step| longest.max(step.abs()));
            let (moved, way) = (at.value - before.value, at.value - start.value);
            let met = surplus.abs() < HEIGHT_TOLERANCE * fall
                && moved.abs() <= STEP_TOLERANCE * way.abs()
                && longest < CALM;
            if met || length * longest < STILL || !at.value.is_finite() {
                break;
            }
        }
        at.value
    }

    fn moved(&mut self, from: &Place, step: &[f64], scale: &[f64], length: f64) -> Place {
        let mut lam = from.lam.clone();
        for ((&t, step), scale) in self.peak.regions.iter().zip(step).zip(scale) {
            lam[t] = (lam[t] + length * step * scale).max(self.peak.floor[t]);
        }
        self.place(lam)
    }
}

/// log L about a place, as a parabola, and ψ as a plane.
struct Parabola {
    /// log L above the wanted height.
    surplus: f64,
    gradient: Vec<f64>,
    information: Symmetric,
    /// c, with the sign that makes the end a maximum.
    slope: Vec<f64>,
    /// How far each region can go down.
    room: Vec<f64>,
}

impl Parabola {
    /// The regions that may move: all but those without elements that want fewer. `before`: the t of the
    /// round before.
    fn free(&self, before: Option<f64>) -> Vec<usize> {
        let pull = |i: usize| match before {
            Some(t) => self.gradient[i] + t * self.slope[i],
            None => self.slope[i],
        };
        (0..self.gradient.len())
            .filter(|&i| self.room[i] > 0.0 || pull(i) > 0.0)
            .collect()
    }

    /// c I⁻¹ c of the regions that may move.
    fn variance(&self) -> f64 {
        let free = self.free(None);
        let mut slope: Vec<f64> = free.iter().map(|&i| self.slope[i]).collect();
        self.information.part(&free).factor().forward(&mut slope);
        dot(&slope, &slope)
    }

    /// The step to the end, and t. `before`: the t of the round before.
    fn step(self, before: Option<f64>) -> (Vec<f64>, f64) {
        let n = self.gradient.len();
        let mut free = self.free(before);
        let mut step = vec![0.0; n];
        let mut first = None;
        loop {
            let stopped: Vec<usize> = (0..n)
                .filter(|i| !free.contains(i) && step[*i] != 0.0)
                .collect();
            let mut height = self.surplus;
            for &i in &stopped {
                height += self.gradient[i] * step[i];
                for &j in &stopped {
                    height -= 0.5 * step[i] * step[j] * self.information.get(i, j);
                }
            }
            let rest: Vec<f64> = free
                .iter()
                .map(|&i| {
                    let held = stopped
                        .iter()
                        .map(|&j| self.information.get(i, j) * step[j]);
                    self.gradient[i] - held.sum::<f64>()
                })
                .collect();
            let slope: Vec<f64> = free.iter().map(|&i| self.slope[i]).collect();
            let factor = self.information.part(&free).factor();
            let (mut up, mut along) = (rest.clone(), slope.clone());
            factor.solve(&mut up);
            factor.solve(&mut along);
            height += 0.5 * dot(&rest, &up);
            let variance = dot(&slope, &along);
            let t = if height > 0.0 && variance > 0.0 {
                (2.0 * height / variance).sqrt()
            } else {
                0.0
            };
            // Where those that could have moved ψ have stopped, the others cannot move it as far.
            let first = *first.get_or_insert(t);
            let t = t.min(2.0 * first);
            for (&i, (up, along)) in free.iter().zip(up.iter().zip(&along)) {
                step[i] = up + t * along;
            }
            let before = free.len();
            free.retain(|&i| {
                let stays = step[i] >= -self.room[i];
                if !stays {
                    step[i] = -self.room[i];
                }
                stays
            });
            if free.len() == before {
                return (step, first);
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
