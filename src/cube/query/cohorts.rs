//! Retention and lifecycle: who came for the first time, who came back, and who stayed away, period by period.
//!
//! # Periods
//!
//! Time is cut into periods of one length, whole ones: those that the range touches. Each is made up of slices that fit its
//! borders; a period of which these are gone is left out. One that has not ended is what there is of it so far.
//!
//! # Earlier
//!
//! "For the first time" means: and not earlier, as far as that is kept. What is kept earlier is every slice of any tier
//! before the period, back to where none goes on to the period without a gap or an overlap; `earlier_from` says where
//! that is. Time in which nothing happened is kept as well as any other, so the first month of a cube that was begun in it
//! has cohorts. But where even the period before is not kept whole, nobody can be told from those who came just before, and
//! nothing is said.
//!
//! ```text
//!   kept    |=====|=====|=====|=====|-|-|-|-|-|
//!                             :  before  : now :
//!   retention of `now`:       earlier ---------|
//!   lifecycle of `now`:       earlier --| one |
//! ```
//!
//! # What is counted
//!
//! With C the cohort's events in its period, E the same events earlier, and R the events of a return in a later period:
//! a cohort has |C \ E| users, and |C ∩ R \ E| of them came back. With T who came in a period, P who came in the one
//! before, and E who came before that one: first in kept are T \ (P ∪ E), retained T ∩ P, resurrected (T ∩ E) \ P,
//! and dormant P \ T.

use super::super::calendar::{Calendar, Millis, Span, nests};
use super::super::cover::Cover;
use super::super::question::{Condition, Row, Time, Unanswerable};
use super::super::source::Slices;
use super::analysis::{Analysis, Solver};
use super::plan::{MAX_ROWS, kept_since, when};
use super::sets::{Asked, Kind, Operands, Planner, Set, begun};
use crate::sketch::Bounded;
use crate::sketch::analytics::Retained;
use crate::sketch::joint::{Joint, Segment, SetMask};
use std::ops::Range;

// ---------------------------------------------------------------------------------------------------------
// Periods
// ---------------------------------------------------------------------------------------------------------

/// Periods one after the other, of one length.
struct Periods<'c, S> {
    slices: &'c S,
    unit: Span,
    /// Where the newest slice ends.
    newest: Millis,
    /// Since when there is everything that is asked about.
    since: Millis,
}

/// A period: where it begins and, if it is kept whole, its slices.
struct Period {
    whole: Range<Millis>,
    cover: Option<Cover>,
}

impl<S: Slices> Periods<'_, S> {
    /// Of this length, where tiers can be cut into it. They are asked for events of these kinds, each narrowed to values
    /// of a dimension.
    fn new<'s>(
        slices: &'s S,
        unit: Span,
        kinds: &[&[Condition]],
        by: Option<usize>,
    ) -> Result<Periods<'s, S>, Unanswerable> {
        let mut tiers = slices.schema().tiers.iter();
        let fits = |slice: Span| slice == unit || nests(slice, unit);
        if !unit.is_slice() || !tiers.any(|tier| fits(tier.slice)) {
            return Err(Unanswerable::Bucket(unit));
        }
        let mut since = Millis::MIN;
        for &conditions in kinds {
            since = since.max(begun(slices.schema(), conditions, by)?);
        }
        Ok(Periods {
            slices,
            unit,
            newest: slices.kept().map_or(Millis::MIN, |kept| kept.end),
            since,
        })
    }

    fn calendar(&self) -> &Calendar {
        &self.slices.schema().calendar
    }

    /// The period of an instant. One that has not begun is not kept.
    fn at(&self, at: Millis) -> Period {
        let whole = self.calendar().slice(self.unit, at);
        let so_far = whole.start..whole.end.min(self.newest);
        let cover =
            (!so_far.is_empty()).then(|| self.slices.cover_since(so_far.clone(), self.since));
        Period {
            whole,
            cover: cover.filter(|cover| cover.is_exact(&so_far)),
        }
    }

    /// Those that a time touches, as far as something is kept of it.
    fn touched(&self, time: Option<&Time>) -> Result<Vec<Period>, Unanswerable> {
        let asked = when(self.slices, time);
        let kept = kept_since(self.slices, self.since).unwrap_or(0..0);
        let (mut at, end) = (asked.start.max(kept.start), asked.end.min(kept.end));
        let mut periods = Vec::new();
        while at < end {
            if periods.len() == MAX_ROWS {
                return Err(Unanswerable::TooManyBuckets(MAX_ROWS + 1));
            }
            let period = self.at(at);
            // A day that a place has skipped is empty.
            at = period.whole.end.max(at + 1);
            periods.push(period);
        }
        Ok(periods)
    }

    /// So many that follow one.
    fn following(&self, last: &Period, number: usize) -> Vec<Period> {
        let mut periods: Vec<Period> = Vec::with_capacity(number);
        for _ in 0..number {
            let last = periods.last().unwrap_or(last).whole.clone();
            periods.push(self.at(last.end.max(last.start + 1)));
        }
        periods
    }

    /// The longest stretch of slices that ends here: of any tiers if they go together, else of whole periods.
    fn earlier(&self, until: Millis) -> Cover {
        let all = self.slices.cover_since(Millis::MIN..until, self.since);
        if all.to == until && !all.pieces.is_empty() {
            return all;
        }
        let mut from = until;
        let mut pieces = Vec::new();
        for _ in 0..MAX_ROWS {
            let period = self.at(from - 1);
            let Some(cover) = period.cover else {
                break;
            };
            from = period.whole.start;
            pieces.extend(cover.pieces.into_iter().rev());
        }
        pieces.reverse();
        Cover {
            from,
            to: until,
            pieces,
        }
    }
}

/// The sets of one kind of events, period by period; each is made when it is first asked for.
struct Timeline<'p> {
    kind: Kind,
    periods: &'p [Period],
    sets: Vec<Option<Set>>,
    /// What is before each period, and from when on: see [`Timeline::earlier`].
    earlier: Vec<Option<(Set, Millis)>>,
}

impl<'p> Timeline<'p> {
    fn new(kind: Kind, periods: &'p [Period]) -> Timeline<'p> {
        Timeline {
            kind,
            periods,
            sets: vec![None; periods.len()],
            earlier: vec![None; periods.len()],
        }
    }

    /// Who came in a period; `None` where it is not kept whole, or has not begun.
    fn set<S: Slices>(&mut self, planner: &mut Planner<S>, at: usize) -> Option<Set> {
        let cover = self.periods.get(at)?.cover.as_ref()?;
        let set = self.sets[at].get_or_insert_with(|| planner.gather(self.kind, cover));
        Some(*set)
    }

    /// Who came before a period, and from when on that is known. Asked for one period after the other, each time it is
    /// those before the last one, and those of the last one.
    fn earlier<S: Slices>(
        &mut self,
        planner: &mut Planner<S>,
        all: &Periods<S>,
        at: usize,
    ) -> (Set, Millis) {
        let before = at.checked_sub(1);
        let before = before.and_then(|before| Some((self.earlier[before]?, before)));
        let known = before.and_then(|((earlier, from), before)| {
            Some((earlier, from, self.set(planner, before)?))
        });
        let earlier = match known {
            Some((earlier, from, set)) => (planner.unite([earlier, set]), from),
            None => {
                let cover = all.earlier(self.periods[at].whole.start);
                (planner.gather(self.kind, &cover), cover.from)
            }
        };
        self.earlier[at] = Some(earlier);
        earlier
    }
}

/// The time from the first of these periods to the last.
fn hull(periods: &[Period]) -> Option<Time> {
    let mut covers = periods.iter().filter_map(|period| period.cover.as_ref());
    let first = covers.next()?;
    let last = covers.next_back().unwrap_or(first);
    Some(Time::Between(first.from..last.to))
}

// ---------------------------------------------------------------------------------------------------------
// Retention
// ---------------------------------------------------------------------------------------------------------

/// What is asked of cohorts.
#[derive(Clone, Debug)]
pub struct RetentionQuestion {
    /// The periods of the cohorts are those that it touches; `None`: all that is kept.
    pub time: Option<Time>,
    /// The length of periods.
    pub every: Span,
    /// How many periods each cohort is followed for, its own being the first.
    pub periods: usize,
    /// What an event has to be for a user to be of the cohort; none: any event.
    pub cohort: Vec<Condition>,
    /// What it has to be for one to have come back; none: any event.
    pub returned: Vec<Condition>,
    /// A dimension whose values are rows.
    pub by: Option<usize>,
    /// How sure intervals are to be, a fraction.
    pub confidence: f64,
}

/// Those whose first event of a kind, as far as that is kept, was in a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// Where the period begins.
    pub begin: Millis,
    /// From when on it is known that they had none before; `None` where the period before is not kept whole: then nothing
    /// is known.
    pub earlier_from: Option<Millis>,
    /// How many they are.
    pub size: Option<Bounded>,
    /// Who of them was there in each of the periods that follow, from the cohort's own on.
    pub periods: Vec<Followed>,
}

/// A cohort in a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// Where the period begins.
    pub begin: Millis,
    /// `None` where it has not begun, or is not kept whole.
    pub retained: Option<Retained>,
}

/// Cohorts for each row.
pub type RetentionQuery = Analysis<Retentions>;

/// Follows cohorts.
pub struct Retentions {
    confidence: f64,
    /// The cohorts of a row before anything is known of them.
    blank: Vec<Cohort>,
    /// What each solution of a row tells, in their order.
    tells: Vec<Tells>,
    cohorts: Vec<Cohort>,
    told: usize,
}

/// What a solution tells.
#[derive(Clone, Copy)]
enum Tells {
    /// The size of the cohort at this position.
    Size(usize),
    /// How many of it were there so many periods later.
    Later(usize, usize),
}

impl RetentionQuery {
    /// Looks everything up that is needed.
    pub fn plan<S: Slices>(
        slices: &S,
        question: &RetentionQuestion,
    ) -> Result<RetentionQuery, Unanswerable> {
        let kinds = [&question.cohort[..], &question.returned];
        let all = Periods::new(slices, question.every, &kinds, question.by)?;
        let mut periods = all.touched(question.time.as_ref())?;
        let number = periods.len();
        let cells = number.saturating_mul(question.periods);
        if cells > MAX_ROWS {
            return Err(Unanswerable::TooManyRows(cells));
        }
        let mut planner = Planner::new(
            slices,
            Asked {
                time: hull(&periods).or_else(|| question.time.clone()),
                events: question.cohort.clone(),
                by: question.by,
                sums: Vec::new(),
                confidence: question.confidence,
            },
        )?;
        let cohort = planner.kind(question.cohort.clone())?;
        let returned = planner.kind(question.returned.clone())?;
        if let (Some(first), Some(last)) = (periods.first(), periods.last()) {
            let before = all.at(first.whole.start - 1);
            let following = all.following(last, question.periods.saturating_sub(1));
            periods.insert(0, before);
            periods.extend(following);
        }
        let mut timelines = vec![Timeline::new(cohort, &periods)];
        if returned != cohort {
            timelines.push(Timeline::new(returned, &periods));
        }
        let back = timelines.len() - 1;
        let mut blank: Vec<Cohort> = Vec::new();
        let mut tells = Vec::new();
        for at in 1..=number {
            let Some(own) = timelines[0].set(&mut planner, at) else {
                continue;
            };
            let is_known = periods[at - 1].cover.is_some();
            let earlier = is_known.then(|| timelines[0].earlier(&mut planner, &all, at));
            let place = blank.len();
            if let Some((earlier, _)) = earlier {
                planner.hand_on(&[earlier, own], 1)?;
                tells.push(Tells::Size(place));
            }
            for later in 0..question.periods {
                if let Some((earlier, _)) = earlier
                    && let Some(set) = timelines[back].set(&mut planner, at + later)
                {
                    planner.hand_on(&[earlier, own, set], Retained::INTERVALS)?;
                    tells.push(Tells::Later(place, later));
                }
            }
            let followed = periods.iter().skip(at).take(question.periods);
            blank.push(Cohort {
                begin: periods[at].whole.start,
                earlier_from: earlier.map(|(_, from)| from),
                size: None,
                periods: followed
                    .map(|period| Followed {
                        begin: period.whole.start,
                        retained: None,
                    })
                    .collect(),
            });
        }
        let solver = Retentions {
            confidence: question.confidence,
            cohorts: blank.clone(),
            blank,
            tells,
            told: 0,
        };
        Ok(Analysis::new(planner.finish(cells), solver))
    }
}

impl Solver for Retentions {
    type Figures = Vec<Cohort>;

    fn go_on(&mut self, operands: &Operands) -> Result<bool, Unanswerable> {
        let joint = operands.solve()?;
        let bounded = |segment| joint.estimate(segment).bounded(self.confidence);
        let [earlier, own] = [0, 1].map(|set| operands.compared[set]);
        let without = |all: SetMask| Segment {
            all,
            none: earlier.own,
            ..Segment::default()
        };
        match (self.tells.get(self.told), operands.compared.get(2)) {
            (Some(&Tells::Later(cohort, later)), Some(there)) => {
                let rate = joint.ratio(Segment::all(there.all), without(own.all));
                self.cohorts[cohort].periods[later].retained = Some(Retained {
                    users: bounded(without(own.all | there.all)),
                    rate: rate.map(|rate| rate.bounded(self.confidence)),
                });
            }
            (Some(&Tells::Size(cohort)), _) => {
                self.cohorts[cohort].size = Some(bounded(without(own.all)));
            }
            (Some(Tells::Later(..)) | None, _) => {}
        }
        self.told += 1;
        Ok(true)
    }

    fn end(&mut self, _: &Row) -> Vec<Cohort> {
        self.told = 0;
        std::mem::replace(&mut self.cohorts, self.blank.clone())
    }
}

// ---------------------------------------------------------------------------------------------------------
// Lifecycle
// ---------------------------------------------------------------------------------------------------------

/// What is asked of periods.
#[derive(Clone, Debug)]
pub struct LifecycleQuestion {
    /// The periods are those that it touches; `None`: all that is kept.
    pub time: Option<Time>,
    /// The length of periods.
    pub every: Span,
    /// What events have to be.
    pub conditions: Vec<Condition>,
    /// How sure intervals are to be, a fraction.
    pub confidence: f64,
}

/// The users of a period.
#[derive(Clone, Debug, PartialEq)]
pub struct Lifecycle {
    /// Where the period begins.
    pub begin: Millis,
    /// From when on events are kept; `None` where the period before is not kept whole: then nothing is known.
    pub earlier_from: Option<Millis>,
    /// Who came, and who did not.
    pub states: Option<States>,
}

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct States {
    /// Who came and is not known from earlier.
    pub first_in_kept: Bounded,
    /// Who came, as in the period before.
    pub retained: Bounded,
    /// Who came, not in the period before, but earlier.
    pub resurrected: Bounded,
    /// Who came in the period before, and not in this one.
    pub dormant: Bounded,
}

impl States {
    /// How many intervals there are.
    const INTERVALS: usize = 4;
}

/// The lifecycle of the users.
pub type LifecycleQuery = Analysis<Lifecycles>;

/// Tells states from each other.
pub struct Lifecycles {
    confidence: f64,
    periods: Vec<Lifecycle>,
    /// For each solution, of which period it is.
    tells: Vec<usize>,
    solution: Option<Joint>,
    told: usize,
}

impl LifecycleQuery {
    /// Looks everything up that is needed.
    pub fn plan<S: Slices>(
        slices: &S,
        question: &LifecycleQuestion,
    ) -> Result<LifecycleQuery, Unanswerable> {
        let all = Periods::new(slices, question.every, &[&question.conditions], None)?;
        let mut periods = all.touched(question.time.as_ref())?;
        let number = periods.len();
        let mut planner = Planner::new(
            slices,
            Asked {
                time: hull(&periods).or_else(|| question.time.clone()),
                events: question.conditions.clone(),
                by: None,
                sums: Vec::new(),
                confidence: question.confidence,
            },
        )?;
        let kind = planner.kind(question.conditions.clone())?;
        if let Some(first) = periods.first() {
            let before = all.at(first.whole.start - 1);
            periods.insert(0, before);
        }
        let mut timeline = Timeline::new(kind, &periods);
        let (mut blank, mut tells) = (Vec::new(), Vec::new());
        for (at, period) in periods.iter().enumerate().skip(1) {
            let Some(own) = timeline.set(&mut planner, at) else {
                continue;
            };
            let mut earlier_from = None;
            if let Some(before) = timeline.set(&mut planner, at - 1) {
                let (earlier, from) = timeline.earlier(&mut planner, &all, at - 1);
                planner.hand_on(&[earlier, before, own], States::INTERVALS)?;
                tells.push(blank.len());
                earlier_from = Some(from);
            }
            blank.push(Lifecycle {
                begin: period.whole.start,
                earlier_from,
                states: None,
            });
        }
        let solver = Lifecycles {
            confidence: question.confidence,
            periods: blank,
            tells,
            solution: None,
            told: 0,
        };
        Ok(Analysis::new(planner.finish(number), solver))
    }
}

impl Solver for Lifecycles {
    type Figures = Vec<Lifecycle>;

    fn go_on(&mut self, operands: &Operands) -> Result<bool, Unanswerable> {
        let Some(joint) = &self.solution else {
            self.solution = Some(operands.solve()?);
            return Ok(false);
        };
        let [earlier, before, now] = [0, 1, 2].map(|set| operands.compared[set]);
        let count = |all: SetMask, none: SetMask| {
            let segment = Segment {
                all,
                none,
                ..Segment::default()
            };
            joint.estimate(segment).bounded(self.confidence)
        };
        let states = States {
            first_in_kept: count(now.all, earlier.own | before.own),
            retained: count(now.all | before.all, SetMask::NONE),
            resurrected: count(now.all | earlier.all, before.own),
            dormant: count(before.all, now.own),
        };
        if let Some(&period) = self.tells.get(self.told) {
            self.periods[period].states = Some(states);
        }
        self.solution = None;
        self.told += 1;
        Ok(true)
    }

    fn end(&mut self, _: &Row) -> Vec<Lifecycle> {
        std::mem::take(&mut self.periods)
    }
}
