//! What is asked of sets of people again and again: funnels, retention, overlaps, campaigns.
//!
//! Each is a handful of counts and rates, and none of them is a figure without its bounds. Where from the bounds
//! come:
//!
//! * A **count** of one set alone has the interval of its [`Estimate`](super::Estimate); one out of a joint
//!   solution that of [`Joint::estimate`].
//! * A **rate**, of people by people, is of one joint solution, and so is its interval ([`Joint::ratio`]): the
//!   errors of its two counts are not independent, and where part and whole are nearly the same set they
//!   nearly cancel.
//! * What falls when another figure rises has that figure's bounds, exchanged: the drop-off 1 - r of a rate r
//!   lies in 1 - upper to 1 - lower, and the cost of an amount c for each of n people in c/upper to c/lower. Both
//!   are monotone, so that their intervals hold the truth exactly when those they come from do.
//! * What is known has itself for bounds.

use super::estimate::Bounded;
use super::joint::{Joint, Rate, Segment, SetMask};
use super::{HashMismatch, Sketch};

/// One step of a funnel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunnelStep {
    /// Who did the step, whatever else they did. Of the same solution as `users`, which are never more.
    pub uniques: Bounded,
    /// Who did the step and every one before it.
    pub users: Bounded,
    /// `users` as a fraction of those of the step before, of the first step as one of itself; `None` if there
    /// were none.
    pub conversion: Option<Bounded>,
    /// `users` as a fraction of those of the first step; `None` if there were none.
    pub overall: Option<Bounded>,
}

impl FunnelStep {
    /// How many intervals it has.
    pub const INTERVALS: usize = 4;

    /// Step number `step`, from 0 on, of a funnel. For each step the sets of a solution that one must be in to have
    /// done it: one, or more where only some people are asked about.
    pub fn of(joint: &Joint, steps: &[SetMask], step: usize, confidence: f64) -> FunnelStep {
        let reached = |step: usize| {
            let sets = steps[..=step].iter().copied();
            Segment::all(sets.fold(SetMask::NONE, |all, sets| all | sets))
        };
        let count = |segment| joint.estimate(segment).bounded(confidence);
        let rate = |of: usize| {
            let rate = joint.ratio(reached(step), reached(of));
            rate.map(|rate| rate.bounded(confidence))
        };
        let users = count(reached(step));
        let conversion = rate(step.saturating_sub(1));
        // An interval takes its time: what is the same figure has the same one.
        FunnelStep {
            uniques: match step {
                0 => users,
                _ => count(Segment::all(steps[step])),
            },
            users,
            conversion,
            overall: match step {
                0 | 1 => conversion,
                _ => rate(0),
            },
        }
    }

    /// Who did the step before and went no further, as a fraction of them.
    pub fn drop_off(&self) -> Option<Bounded> {
        self.conversion.map(Bounded::complement)
    }
}

/// Who of a cohort was there in a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retained {
    /// How many.
    pub users: Bounded,
    /// As a fraction of the cohort; `None` if that has nobody.
    pub rate: Option<Bounded>,
}

impl Retained {
    /// How many intervals it has.
    pub const INTERVALS: usize = 2;

    /// Of the cohort, those in the period.
    pub fn of(cohort: &Sketch, period: &Sketch, confidence: f64) -> Result<Retained, HashMismatch> {
        let joint = Joint::solve(&[cohort, period])?;
        let rate = joint.containment(0, 1);
        Ok(Retained {
            users: joint.intersection(SetMask::first(2)).bounded(confidence),
            rate: rate.map(|rate| rate.bounded(confidence)),
        })
    }
}

/// What two sets have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// Elements in both.
    pub common: Bounded,
    /// Those as a fraction of the elements in either; `None` if there are none.
    pub jaccard: Option<Bounded>,
    /// As a fraction of the first, and of the second; `None` if it is empty.
    pub containments: [Option<Bounded>; 2],
}

impl Overlap {
    /// How many intervals it has.
    pub const INTERVALS: usize = 4;

    /// Of these two.
    pub fn of(first: &Sketch, second: &Sketch, confidence: f64) -> Result<Overlap, HashMismatch> {
        let joint = Joint::solve(&[first, second])?;
        let bounded = |rate: Option<Rate>| rate.map(|rate| rate.bounded(confidence));
        Ok(Overlap {
            common: joint.intersection(SetMask::first(2)).bounded(confidence),
            jaccard: bounded(joint.jaccard(0, 1)),
            containments: [(0, 1), (1, 0)].map(|(of, other)| bounded(joint.containment(of, other))),
        })
    }
}

/// What a campaign cost and brought, in one currency, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Money {
    /// Not negative.
    pub cost: Option<f64>,
    /// Not negative.
    pub revenue: Option<f64>,
}

/// A campaign: reach, rates and costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Campaign {
    /// Who saw it, who clicked and who bought, each by themselves.
    pub uniques: [Bounded; 3],
    /// Of those who saw it, the fraction that clicked; `None` if nobody saw it.
    pub ctr: Option<Bounded>,
    /// Of those who clicked, the fraction that bought; `None` if nobody clicked.
    pub conversion_rate: Option<Bounded>,
    /// What it cost and brought.
    pub money: Money,
}

impl Campaign {
    /// How many pairs of sets it solves, with an interval each.
    pub const PAIRS: usize = 2;

    /// Of those who saw it, who clicked and who bought. The rates are of those who did both, so that a click of
    /// somebody who is not known to have seen it cannot raise the click-through rate above 1.
    pub fn of(
        [impressions, clicks, conversions]: [&Sketch; 3],
        money: Money,
        confidence: f64,
    ) -> Result<Campaign, HashMismatch> {
        let rate = |part, of| {
            let rate = Joint::solve(&[of, part])?.containment(0, 1);
            Ok(rate.map(|rate| rate.bounded(confidence)))
        };
        Ok(Campaign {
            uniques: [impressions, clicks, conversions]
                .map(|set| set.estimate().bounded(confidence)),
            ctr: rate(clicks, impressions)?,
            conversion_rate: rate(conversions, clicks)?,
            money,
        })
    }

    /// What was paid for each person who clicked.
    pub fn cost_per_click(&self) -> Quotient {
        Quotient::of(self.money.cost, self.uniques[1])
    }

    /// What was paid for each person who bought.
    pub fn cost_per_acquisition(&self) -> Quotient {
        Quotient::of(self.money.cost, self.uniques[2])
    }

    /// (revenue - cost) / cost, which no estimate is part of; `None` if an amount is unknown, or there was no
    /// cost to speak of.
    pub fn roi(&self) -> Option<Bounded> {
        let Money { cost, revenue } = self.money;
        let (cost, revenue) = (cost?, revenue?);
        let roi = (revenue - cost) / cost;
        (cost > 0.0 && roi.is_finite()).then(|| Bounded::known(roi))
    }
}

/// An amount divided by a count: each of the three is `None` where the amount is unknown or nought would divide.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quotient {
    /// By the count as estimated.
    pub value: Option<f64>,
    /// By its upper bound.
    pub lower: Option<f64>,
    /// By its lower bound: where there may be nobody, the quotient has no bound.
    pub upper: Option<f64>,
}

impl Quotient {
    /// An amount (not negative) by a count.
    pub fn of(amount: Option<f64>, count: Bounded) -> Quotient {
        let by = |divisor: f64| {
            amount
                .filter(|_| divisor > 0.0)
                .map(|amount| amount / divisor)
        };
        Quotient {
            value: by(count.value),
            lower: by(count.upper),
            upper: by(count.lower),
        }
    }
}

#[cfg(test)]
mod tests;
