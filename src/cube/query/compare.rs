//! Rows beside what they are compared with: an earlier time, another time, or other events of the same time.
//!
//! # Change
//!
//! The change is a fraction of what it was: now / then - 1. Counters and sums are exact, so theirs is. Of estimates it has an
//! interval, which is symmetric in the logarithm of now / then:
//!
//! ```text
//!   Var ln(now / then) = Var(now) / now² + Var(then) / then² - 2 Cov(now, then) / (now · then)
//! ```
//!
//! Two sketches of nearly the same users err alike, so the covariance is most of it: it comes from solving for what both
//! have in common ([`sketch::joint`](crate::sketch::joint)), of which now and then are taken too. That takes a millisecond or so
//! for each row, so it is done for the first [`MOST_PAIRS`] rows; where there are more, and where rows are intersections of
//! several sets, the covariance is left out, the interval is wider, and the answer says so. A register is the least that
//! can tell two sets apart, and stands for about n/m of n users: no interval is narrower than that.
//!
//! # Difference
//!
//! Of two groups side by side more is asked: could they differ by chance, though both are the same? Whoever came might
//! have come to the other group, so the users of one group only vary like counts (with their own number as variance), and
//! the error of the sketches adds to that. The interval of the difference and the chance of such a difference, two-sided
//! and by the normal approximation, are about that. Events and sums have none: those of one user come together, a few
//! users may have most of them, and how many each has is not kept.

use super::super::question::{Between, Compared, Comparison, Figure, Level, Metric, Row};
use super::super::schema::OTHER;
use super::super::source::Settled;
use super::cost::Budget;
use super::gather::{Gathering, Readers, Tally};
use super::plan::{Factor, Other, Plan, Segment};
use super::selection::{Selection, Slot};
use crate::sketch::estimate::normal_quantile;
use crate::sketch::joint::{Joint, SetMask};
use crate::sketch::{Estimate, Method, Sketch};

/// The most rows whose covariance is solved for.
pub const MOST_PAIRS: usize = 100;

/// The rows of an answer, and what they were made of.
pub struct Made<'a> {
    /// How.
    pub plan: &'a Plan,
    /// Of what.
    pub pool: &'a [Settled],
    /// As they are told.
    pub rows: &'a [Row],
    /// For each of them, the segment and its slots in all factors; none of `(other)`.
    pub places: &'a [(usize, Option<Vec<Slot>>)],
}

/// Comparing rows: how far it has come.
#[derive(Default)]
pub struct Comparing {
    gathering: Gathering,
    segment: Option<usize>,
    /// Of the row at hand.
    other: Option<Tally>,
    sketch: Option<Sketch>,
    rows: Vec<Vec<Option<Compared>>>,
}

/// What two sets have in common, as far as a comparison needs it.
#[derive(Clone, Copy)]
struct Pair {
    now: f64,
    then: f64,
    /// Users in one of them only.
    apart: f64,
    /// Variances of ln(now / then) and of now - then.
    of_ratio: f64,
    of_difference: f64,
    method: Method,
}

impl Comparing {
    /// What has come out.
    pub fn into_comparison(self, plan: &Plan) -> Comparison {
        Comparison {
            range: plan.compared.as_ref().and_then(|other| other.range.clone()),
            wide: plan.needs.users && !has_pairs(plan, self.rows.len()),
            rows: self.rows,
        }
    }

    /// Goes on; whether all rows are compared.
    pub fn go_on(&mut self, made: &Made, budget: &mut Budget) -> bool {
        let plan = made.plan;
        let Some(other) = &plan.compared else {
            return true;
        };
        while let Some((segment, slots)) = made.places.get(self.rows.len()) {
            let segment = *segment;
            if budget.is_spent() {
                return false;
            }
            if self.segment != Some(segment) {
                self.gathering.begin_segment();
                self.segment = Some(segment);
            }
            let row = match (plan.segment(segment), &other.segments[segment]) {
                (Some(own), Some(then)) => {
                    let slots = slots.clone().unwrap_or_else(|| vec![OTHER]);
                    match self.row(made, other, &slots, (own, then), budget) {
                        Some(row) => row,
                        None => return false,
                    }
                }
                _ => vec![None; plan.metrics.len()],
            };
            self.rows.push(row);
            (self.other, self.sketch) = (None, None);
        }
        true
    }

    /// Compares a row; `None` where the step is over first.
    fn row(
        &mut self,
        made: &Made,
        other: &Other,
        slots: &[Slot],
        (own, then): (&Segment, &Segment),
        budget: &mut Budget,
    ) -> Option<Vec<Option<Compared>>> {
        let plan = made.plan;
        let factors = other.factors.as_ref().unwrap_or(&plan.factors);
        let place = |(slot, (own, other)): (&Slot, (&Factor, &Factor))| match &own.selection {
            Selection::Each | Selection::Named(_) => Some(*slot),
            // Of another table they are other slots.
            Selection::Table(_) => {
                let values = own.selection.values(*slot, &own.all, &own.by);
                other.selection.slot_of_values(values)
            }
        };
        let places = slots
            .iter()
            .zip(plan.factors.iter().zip(factors))
            .map(place);
        let places: Option<Vec<Slot>> = places.collect();
        let mut readers = Readers::new(made.pool, then);
        // Values that do not occur on the other side are nothing there.
        let nowhere = Segment {
            sources: vec![Vec::new(); factors.len()],
            sums: then.sums,
        };
        let places = places.unwrap_or_else(|| {
            readers = Readers::new(made.pool, &nowhere);
            vec![0; factors.len()]
        });
        if self.other.is_none() {
            let gathering = &mut self.gathering;
            self.other =
                Some(gathering.tally(&places, factors, &plan.needs, &mut readers, budget)?);
        }
        let pair = match has_pairs(plan, made.rows.len()) {
            true => Some(self.pair(
                made,
                (slots[0], own),
                (&factors[0], places[0]),
                readers,
                budget,
            )?),
            false => None,
        };
        let tally = self.other.as_ref()?;
        let figures = &made.rows[self.rows.len()].figures;
        let metrics = plan.metrics.iter().zip(figures);
        let compared = metrics.map(|(&metric, figure)| {
            let before = tally.figure(metric, &plan.needs)?;
            let before = match plan.level {
                Level::Users if metric != Metric::Unique => return None,
                _ => before,
            };
            let sides = Sides {
                metric,
                now: (*figure)?,
                before,
                pair,
            };
            let z = normal_quantile(plan.needs.confidence);
            Some(Compared {
                previous: before,
                change: sides.change(z),
                difference: other
                    .factors
                    .is_some()
                    .then(|| sides.difference(z))
                    .flatten(),
            })
        });
        Some(compared.collect())
    }

    /// Solves for what a row has in common with its other side; `None` where the step is over first.
    fn pair(
        &mut self,
        made: &Made,
        (slot, own): (Slot, &Segment),
        (factor, place): (&Factor, Slot),
        mut then: Readers,
        budget: &mut Budget,
    ) -> Option<Pair> {
        let plan = made.plan;
        let own_factor = &plan.factors[0];
        if self.sketch.is_none() {
            let mut now = Readers::new(made.pool, own);
            let gathering = &mut self.gathering;
            self.sketch =
                Some(gathering.sketch(slot, own_factor, &plan.needs, &mut now, budget)?);
        }
        let gathering = &mut self.gathering;
        let before = gathering.sketch(place, factor, &plan.needs, &mut then, budget)?;
        let now = self.sketch.as_ref()?;
        budget.spend(plan.needs.pair);
        Pair::solve(now, &before)
    }
}

/// Whether it is solved for what both sides of so many rows have in common.
fn has_pairs(plan: &Plan, rows: usize) -> bool {
    plan.needs.users && plan.factors.len() == 1 && rows <= MOST_PAIRS
}

impl Pair {
    fn solve(now: &Sketch, then: &Sketch) -> Option<Pair> {
        // The sets of one cube are of one hash.
        let joint = Joint::solve(&[now, then]).ok()?;
        let is_in = |set: usize| move |sets: SetMask| f64::from(u8::from(sets.contains(set)));
        let (is_now, is_then) = (is_in(0), is_in(1));
        let (n, _) = joint.weighted(is_now);
        let (t, _) = joint.weighted(is_then);
        let (both, _) = joint.weighted(|sets| is_now(sets) * is_then(sets));
        let (_, of_difference) = joint.weighted(|sets| is_now(sets) - is_then(sets));
        let of_ratio = match n > 0.0 && t > 0.0 {
            true => {
                joint
                    .weighted(|sets| is_now(sets) / n - is_then(sets) / t)
                    .1
            }
            false => 0.0,
        };
        // Of tokens, each stands for itself.
        let least = match joint.method() {
            Method::Exact => 0.0,
            _ => {
                let registers = now.precision().min(then.precision()).registers();
                ((n + t - both) / registers as f64).powi(2)
            }
        };
        Some(Pair {
            now: n,
            then: t,
            apart: n + t - 2.0 * both,
            of_ratio: of_ratio.max(least / (n * t).max(1.0)),
            of_difference: of_difference.max(least),
            method: joint.method(),
        })
    }
}

/// A figure on both sides.
struct Sides {
    metric: Metric,
    now: Figure,
    before: Figure,
    pair: Option<Pair>,
}

/// A value and its variance.
fn estimate(figure: Figure) -> Estimate {
    match figure {
        Figure::Exact(value) => Estimate {
            value,
            variance: 0.0,
            method: Method::Exact,
        },
        Figure::Estimate(users) | Figure::Common { users, .. } => users,
        Figure::Ratio { sum, users } => {
            let value = sum / users.value;
            Estimate {
                value,
                variance: users.variance * (value / users.value).powi(2),
                method: users.method,
            }
        }
    }
}

impl Sides {
    /// What both sets have in common, for what depends on it. Tokens that were counted may know each set better than
    /// registers know both.
    fn pair(&self) -> Option<Pair> {
        let relative = |one: Estimate| match one.value > 0.0 {
            true => one.variance / one.value.powi(2),
            false => 0.0,
        };
        let apart = relative(estimate(self.now)) + relative(estimate(self.before));
        let is_of_users = self.metric == Metric::Unique;
        self.pair
            .filter(|pair| is_of_users && pair.of_ratio <= apart)
    }

    fn change(&self, z: f64) -> Option<Between> {
        let (mut now, mut before) = (estimate(self.now), estimate(self.before));
        if let Some(pair) = self.pair() {
            (now.value, before.value) = (pair.now, pair.then);
        }
        if before.value == 0.0 {
            return None;
        }
        // Nought has no sign.
        let value = (now.value - before.value) / before.value.abs() + 0.0;
        let exact = |value| {
            Some(Between {
                value,
                lower: value,
                upper: value,
            })
        };
        if now.value <= 0.0 || before.value <= 0.0 {
            return exact(value);
        }
        let of_ratio = match (self.pair(), self.now, self.before) {
            (Some(pair), ..) => pair.of_ratio,
            // The sums are exact, so their quotient differs as the one of users does.
            (None, Figure::Ratio { .. }, Figure::Ratio { .. }) if self.pair.is_some() => {
                self.pair?.of_ratio
            }
            _ => {
                let relative = |one: &Estimate| one.variance / one.value.powi(2);
                relative(&now) + relative(&before)
            }
        };
        let half = z * of_ratio.sqrt();
        let counted = self.metric == Metric::Unique
            && [now.method, before.method] == [Method::Exact; 2]
            && self.pair.is_none_or(|pair| pair.method == Method::Exact);
        // Tokens may fall together, but not by half a user.
        if counted && half * now.value.max(before.value) < 0.5 {
            let (now, before) = (now.value.round(), before.value.round());
            return exact((now - before) / before);
        }
        if half == 0.0 {
            return exact(value);
        }
        let ratio = now.value / before.value;
        Some(Between {
            value,
            lower: ratio * (-half).exp() - 1.0,
            upper: ratio * half.exp() - 1.0,
        })
    }

    /// With the chance of one as large.
    fn difference(&self, z: f64) -> Option<(Between, f64)> {
        let (now, before) = (estimate(self.now), estimate(self.before));
        let (value, variance) = match (self.metric, self.pair()) {
            (Metric::Unique, Some(pair)) => (pair.now - pair.then, pair.of_difference + pair.apart),
            (Metric::Unique | Metric::New | Metric::Returning, _) => {
                let counted = now.value + before.value;
                (
                    now.value - before.value,
                    now.variance + before.variance + counted,
                )
            }
            (Metric::Events | Metric::Sum(_) | Metric::PerEvent(_) | Metric::PerUser(_), _) => {
                return None;
            }
        };
        let value = value + 0.0;
        let half = z * variance.sqrt();
        let p_value = match variance > 0.0 {
            true => libm::erfc(value.abs() / (2.0 * variance).sqrt()),
            false => 1.0,
        };
        let difference = Between {
            value,
            lower: value - half,
            upper: value + half,
        };
        Some((difference, p_value))
    }
}
