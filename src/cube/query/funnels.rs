//! Funnels and campaigns: who had events of one value of a dimension, and of the next one.
//!
//! Each step is a set of its own, all of one stretch of time, and what they have in common is counted. When a user did
//! what is not known: see docs/funnels.md.

use super::super::question::{Condition, Figure, Metric, Row, Test, Time, Unanswerable};
use super::super::source::Slices;
use super::analysis::{Analysis, Solver};
use super::sets::{Asked, Kind, Operands, Planner, Set, SetQuery};
use crate::sketch::analytics::{Campaign, FunnelStep, Money};
use crate::sketch::joint::{Joint, Segment, SetMask};

/// What is asked of the values of a dimension that stand for steps.
#[derive(Clone, Debug)]
pub struct StepsQuestion {
    /// From when to when; `None`: all that is kept.
    pub time: Option<Time>,
    /// The position of the dimension. It is in none of the conditions.
    pub dimension: usize,
    /// Its values, in their order.
    pub steps: Vec<Vec<u8>>,
    /// What else the events of all steps have to be.
    pub conditions: Vec<Condition>,
    /// Another dimension, each value of which is a row.
    pub by: Option<usize>,
    /// How sure intervals are to be, a fraction.
    pub confidence: f64,
}

impl StepsQuestion {
    /// The events of these steps.
    fn of(&self, steps: &[Vec<u8>]) -> Vec<Condition> {
        let mut conditions = self.conditions.clone();
        conditions.push(Condition {
            dimension: self.dimension,
            test: Test::In,
            values: steps.to_vec(),
        });
        conditions
    }

    /// A set for each step, all of them compared, for so many intervals; with these sums for each row, whose lines are so
    /// many.
    fn plan<S: Slices>(
        &self,
        slices: &S,
        sums: Vec<Metric>,
        lines: usize,
        intervals: usize,
    ) -> Result<SetQuery, Unanswerable> {
        let mut planner = Planner::new(
            slices,
            Asked {
                time: self.time.clone(),
                events: self.of(&self.steps),
                by: self.by,
                sums,
                confidence: self.confidence,
            },
        )?;
        let cover = planner.cover().clone();
        let mut sets: Vec<Set> = Vec::with_capacity(self.steps.len());
        let mut kinds: Vec<Kind> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let kind = planner.kind(self.of(std::slice::from_ref(step)))?;
            // A step that is named twice is one set.
            let known = kinds.iter().position(|&own| own == kind);
            let set = known.map_or_else(|| planner.gather(kind, &cover), |at| sets[at]);
            kinds.push(kind);
            sets.push(set);
        }
        planner.hand_on(&sets, intervals)?;
        Ok(planner.finish(lines))
    }
}

/// A funnel for each row; no steps where nothing is known.
pub type FunnelQuery = Analysis<Funnels>;

/// Makes funnels.
pub struct Funnels {
    confidence: f64,
    solution: Option<Joint>,
    steps: Vec<FunnelStep>,
}

impl FunnelQuery {
    /// Looks everything up that is needed.
    pub fn plan<S: Slices>(
        slices: &S,
        question: &StepsQuestion,
    ) -> Result<FunnelQuery, Unanswerable> {
        let query = question.plan(
            slices,
            Vec::new(),
            question.steps.len(),
            question.steps.len() * FunnelStep::INTERVALS,
        )?;
        let solver = Funnels {
            confidence: question.confidence,
            solution: None,
            steps: Vec::new(),
        };
        Ok(Analysis::new(query, solver))
    }
}

impl Solver for Funnels {
    type Figures = Vec<FunnelStep>;

    fn go_on(&mut self, operands: &Operands) -> Result<bool, Unanswerable> {
        let Some(joint) = &self.solution else {
            self.solution = Some(operands.solve()?);
            return Ok(false);
        };
        let sets: Vec<SetMask> = operands.compared.iter().map(|set| set.all).collect();
        let step = FunnelStep::of(joint, &sets, self.steps.len(), self.confidence);
        self.steps.push(step);
        let is_done = self.steps.len() == sets.len();
        if is_done {
            self.solution = None;
        }
        Ok(is_done)
    }

    fn end(&mut self, _: &Row) -> Vec<FunnelStep> {
        std::mem::take(&mut self.steps)
    }
}

/// Three counts and two rates.
const INTERVALS_OF_A_CAMPAIGN: usize = 5;

/// A campaign for each row; none where nothing is known.
pub type CampaignQuery = Analysis<Campaigns>;

/// Makes campaigns.
pub struct Campaigns {
    confidence: f64,
    /// Where the sums are among the counters of a row, if it has any.
    cost: Option<usize>,
    revenue: Option<usize>,
    campaign: Option<Campaign>,
}

impl CampaignQuery {
    /// Looks everything up that is needed. The steps are impressions, clicks and conversions; cost and revenue are
    /// measures, summed over the events of all three.
    pub fn plan<S: Slices>(
        slices: &S,
        question: &StepsQuestion,
        cost: Option<usize>,
        revenue: Option<usize>,
    ) -> Result<CampaignQuery, Unanswerable> {
        let sums: Vec<Metric> = cost.into_iter().chain(revenue).map(Metric::Sum).collect();
        let place = |measure: Option<usize>| {
            let measure = Metric::Sum(measure?);
            sums.iter().position(|&sum| sum == measure)
        };
        let solver = Campaigns {
            confidence: question.confidence,
            cost: place(cost),
            revenue: place(revenue),
            campaign: None,
        };
        let query = question.plan(slices, sums, 1, INTERVALS_OF_A_CAMPAIGN)?;
        Ok(Analysis::new(query, solver))
    }
}

impl Solver for Campaigns {
    type Figures = Option<Campaign>;

    fn go_on(&mut self, operands: &Operands) -> Result<bool, Unanswerable> {
        let money = Money::default();
        let alone = [0, 1, 2].map(|set| operands.alone(set));
        self.campaign = Some(if let [Some(seen), Some(clicked), Some(bought)] = alone {
            let campaign = Campaign::of([seen, clicked, bought], money, self.confidence);
            campaign.map_err(Unanswerable::Hashes)?
        } else {
            let joint = operands.solve()?;
            let sets = [0, 1, 2].map(|set| Segment::all(operands.compared[set].all));
            let rate = |part: usize, of: usize| {
                let rate = joint.ratio(sets[part], sets[of]);
                rate.map(|rate| rate.bounded(self.confidence))
            };
            Campaign {
                uniques: sets.map(|set| joint.estimate(set).bounded(self.confidence)),
                ctr: rate(1, 0),
                conversion_rate: rate(2, 1),
                money,
            }
        });
        Ok(true)
    }

    fn end(&mut self, counters: &Row) -> Option<Campaign> {
        let sum = |at: Option<usize>| match counters.figures.get(at?)? {
            Some(Figure::Exact(sum)) => Some(*sum),
            _ => None,
        };
        let money = Money {
            // What was paid back is no cost.
            cost: sum(self.cost).filter(|&cost| cost >= 0.0),
            revenue: sum(self.revenue),
        };
        let campaign = self.campaign.take()?;
        Some(Campaign { money, ..campaign })
    }
}
