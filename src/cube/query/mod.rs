//! The answer to a question: planned at once, worked out step by step.
//!
//! # The way of an answer
//!
//! ```text
//!   plan      columns, slices and numbers are looked up; after that the cube is not needed any more
//!   settle    slices that are due and not made yet are made
//!   select    which numbers of a column belong to which row                 where conditions ask for it
//!   survey    a walk past all cells: which rows there are, and how large     where rows are values
//!   choose    the rows of the answer and their order
//!   fill      their figures, for the whole range or bucket by bucket
//! ```
//!
//! Each is done in steps that take about a third of a millisecond, so that whoever works on an answer can do other
//! things in between, or hand the rest to another thread. What takes longer in one piece is only what cannot be divided:
//! to make a slice, to solve for what several sets have in common, and to sort and write down thousands of rows.
//!
//! # The first of many
//!
//! A row's counters are known from the survey, its users only from a union, which costs as much as a thousand cells
//! of a survey. But a union has no more users than its parts together. So where the rows with the most users are asked
//! for, those whose parts come to the most are united first, and after them only rows whose parts come to as much as
//! the last of the best found so far. What is left out could not have been among them: the answer equals the one that
//! is made by uniting everything. The bound must hold for estimates, which may exceed the sum of their parts: tokens
//! are counted, so there it is exact, and where registers are estimated from it is raised by six standard deviations.
//!
//! # What rows mean
//!
//! * A question without dimensions has one row (with buckets, one for each of them), whether something happened or
//!   not. A value has a row if it has events in the range; of users of several sets, if there is anybody at all.
//! * The cell `(other)` is a row after all others, outside the limit, where nothing is asked of the values: with
//!   conditions it holds what meets them and what does not. Rows of named values then say that they are lower bounds.
//! * With buckets, rows are chosen and ordered by the whole range, as far as buckets are read from it.
//! * Where nothing is known of the time that is asked about, the only row has no figures, and there is no other.

pub mod analysis;
mod best;
pub mod cohorts;
mod compare;
mod cost;
mod expected;
pub mod funnels;
mod gather;
mod ledger;
mod plan;
mod selection;
pub mod sets;

use super::question::{
    Answer, Comparison, Direction, Figure, Gaps, Level, Metric, Order, Question, Row, Unanswerable,
};
use super::schema::{OTHER, OTHER_NAME};
use super::source::{Settled, Slices, Source};
use crate::sketch::{Precision, Sketch};
use best::Best;
use compare::{Comparing, Made};
use cost::Budget;
use gather::{Gathering, Readers, Tally};
use ledger::{Ledger, Reach};
use plan::{Factor, MAX_ROWS, Plan, Pool, Segment};
use selection::{Numbers, Selection, Slot};
use std::cmp::Ordering;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A question that is being answered.
pub struct Query {
    expected: Duration,
    bytes: usize,
    work: Work,
    phase: Phase,
    /// How far rows that are filled in have been compared.
    comparing: Option<Box<(Filling, Comparing)>>,
    comparison: Option<Comparison>,
}

/// A union that is being made, of all cells that meet the conditions of a question.
pub struct UnionQuery {
    expected: Duration,
    bytes: usize,
    work: Work,
    gathering: Gathering,
}

/// What all phases share.
struct Work {
    plan: Plan,
    /// Sources whose turn to be settled has not come, in their order.
    waiting: std::vec::IntoIter<Source>,
    pool: Vec<Settled>,
    /// The factors whose numbers are all selected.
    selected: usize,
}

enum Phase {
    Prepare,
    Survey(Survey),
    Choose(Box<Choice>),
    Fill(Box<Filling>),
    Done,
}

/// What each factor's slots come to, as far as they have been walked past.
#[derive(Default)]
struct Survey {
    ledgers: Vec<Option<Ledger>>,
    /// How far the ledger of the next factor has come.
    next: Option<(Ledger, usize, u32)>,
}

/// The rows that there may be, numbered from nought on.
enum Rows {
    /// The only one.
    One,
    /// The slots of a factor.
    Slots { factor: usize, ledger: Ledger },
    /// All pairs of slots of two factors.
    Pairs {
        factors: [usize; 2],
        slots: [Vec<Slot>; 2],
    },
}

/// A row among those that may be chosen.
struct Candidate {
    row: u32,
    /// By which it is ordered; `None` where it has no such figure.
    value: Option<f64>,
    tally: Option<Tally>,
}

/// Choosing rows: how far it has come.
struct Choice {
    rows: Rows,
    way: Way,
    best: Best<Candidate>,
    gathering: Gathering,
}

/// How rows are chosen.
enum Way {
    /// Counting them up to this one.
    Count { at: u32, rows: usize },
    /// By what the survey knows.
    Survey { at: u32 },
    /// By their figures, all of them.
    Figures { at: u32 },
    /// By the most that they may come to, in order to find those that are looked at first.
    Bounds { at: u32, first: Best<(u32, u32)> },
    /// By users: first these, in ascending order.
    First { at: usize, first: Vec<u32> },
    /// And then others that may come to as much as the best so far.
    Rest { at: u32, first: Vec<u32> },
}

/// Filling rows in: how far it has come.
struct Filling {
    rows: Rows,
    chosen: Vec<Candidate>,
    /// Positions of those that were chosen, in ascending order of their rows.
    ascending: Vec<usize>,
    /// The segment at hand: its tallies, one for each that was chosen.
    segment: usize,
    at: usize,
    tallies: Vec<Option<Tally>>,
    gathering: Gathering,
    /// Of the whole range.
    other_events: Option<u64>,
    done: Vec<Row>,
    /// For each of them, where rows are compared, the segment and its slots; none of `(other)`.
    places: Vec<(usize, Option<Vec<Slot>>)>,
}

impl Query {
    /// Looks everything up that the answer needs.
    pub fn plan<S: Slices>(slices: &S, question: Question) -> Result<Query, Unanswerable> {
        let (work, expected, bytes) = Work::plan(slices, question)?;
        Ok(Query::begin(work, expected, bytes))
    }

    /// Of work that nothing has been done of.
    fn begin(work: Work, expected: Duration, bytes: usize) -> Query {
        Query {
            expected,
            bytes,
            work,
            phase: Phase::Prepare,
            comparing: None,
            comparison: None,
        }
    }

    /// About how long all steps take together.
    pub fn expected(&self) -> Duration {
        self.expected
    }

    /// Bytes that live on until the answer is there.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the comparison says that was asked for, once the answer is there; it is given once.
    pub fn take_comparison(&mut self) -> Option<Comparison> {
        self.comparison.take()
    }

    /// The lowest precision that users may have been folded to.
    pub fn precision(&self) -> Precision {
        let factors = self.work.plan.factors.iter();
        factors
            .map(|factor| factor.lowest)
            .min()
            .unwrap_or_default()
    }

    /// Works on the answer for about a third of a millisecond; `None` where it is not finished. It is given once: asked
    /// again after that there is nothing more.
    pub fn step(&mut self) -> Option<Result<Answer, Unanswerable>> {
        let Some(comparing) = &mut self.comparing else {
            let filling = match self.fill()? {
                Ok(filling) => filling,
                Err(why) => return Some(Err(why)),
            };
            if self.work.plan.compared.is_none() {
                return Some(Ok(filling.into_answer(&self.work.plan)));
            }
            self.comparing = Some(Box::new((*filling, Comparing::default())));
            return None;
        };
        let (filling, comparing) = &mut **comparing;
        let mut budget = Budget::of_a_step();
        if !comparing.go_on(&filling.made(&self.work), &mut budget) {
            return None;
        }
        let (filling, comparing) = *self.comparing.take()?;
        self.comparison = Some(comparing.into_comparison(&self.work.plan));
        Some(Ok(filling.into_answer(&self.work.plan)))
    }

    /// The same, as far as the rows that were filled in.
    fn fill(&mut self) -> Option<Result<Box<Filling>, Unanswerable>> {
        let mut budget = Budget::of_a_step();
        let work = &mut self.work;
        loop {
            let next = match mem::replace(&mut self.phase, Phase::Done) {
                Phase::Prepare => match work.prepare(&mut budget) {
                    false => Err(Phase::Prepare),
                    true => Ok(Phase::Survey(Survey::default())),
                },
                Phase::Survey(mut survey) => match survey.go_on(work, &mut budget) {
                    false => Err(Phase::Survey(survey)),
                    true => match survey.into_rows(&work.plan) {
                        Err(too_many) => return Some(Err(too_many)),
                        Ok(rows) => Ok(Phase::Choose(Box::new(Choice::new(rows, &work.plan)))),
                    },
                },
                Phase::Choose(mut choice) => match choice.go_on(work, &mut budget) {
                    Err(too_many) => return Some(Err(too_many)),
                    Ok(false) => Err(Phase::Choose(choice)),
                    Ok(true) => Ok(Phase::Fill(Box::new(choice.into_filling(&work.plan)))),
                },
                Phase::Fill(mut filling) => match filling.go_on(work, &mut budget) {
                    Err(too_many) => return Some(Err(too_many)),
                    Ok(false) => Err(Phase::Fill(filling)),
                    Ok(true) => return Some(Ok(filling)),
                },
                Phase::Done => return None,
            };
            match next {
                Ok(next) => self.phase = next,
                Err(same) => {
                    self.phase = same;
                    return None;
                }
            }
        }
    }
}

impl UnionQuery {
    /// Looks everything up that the union needs. The question's range and conditions count; there are no rows and no
    /// buckets. What several sets have in common is no union, and refused as a question that no group answers; and of a
    /// time of which nothing is known there is none.
    pub fn plan<S: Slices>(slices: &S, question: Question) -> Result<UnionQuery, Unanswerable> {
        let question = Question {
            by: Vec::new(),
            bucket: None,
            against: None,
            metrics: vec![Metric::Unique],
            order: None,
            ..question
        };
        let conditions = question.conditions.iter();
        let dimensions = conditions.map(|condition| condition.dimension).collect();
        let asked = plan::when(slices, question.time.as_ref());
        let since = plan::begun(slices.schema(), &question)?;
        let (work, expected, bytes) = Work::plan(slices, question)?;
        if work.plan.factors.len() > 1 {
            return Err(Unanswerable::NoGroup(dimensions));
        }
        if !work.plan.is_known {
            return Err(match plan::slice_around(slices, asked.start, since) {
                Some(slice) => Unanswerable::WithinSlice(slice),
                None => Unanswerable::Forgotten(work.plan.range.start),
            });
        }
        Ok(UnionQuery {
            expected,
            bytes,
            work,
            gathering: Gathering::default(),
        })
    }

    /// About how long all steps take together.
    pub fn expected(&self) -> Duration {
        self.expected
    }

    /// Bytes that live on until the union is there.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Works on the union for about a third of a millisecond; `None` where it is not finished. It has tokens, or
    /// registers without a running estimate.
    pub fn step(&mut self) -> Option<Sketch> {
        let mut budget = Budget::of_a_step();
        let work = &mut self.work;
        if !work.prepare(&mut budget) {
            return None;
        }
        let plan = &work.plan;
        let mut readers = Readers::new(&work.pool, &plan.whole);
        let factor = plan.factors.first()?;
        self.gathering
            .sketch(0, factor, &plan.needs, &mut readers, &mut budget)
    }
}

impl Work {
    fn plan<S: Slices>(
        slices: &S,
        question: Question,
    ) -> Result<(Work, Duration, usize), Unanswerable> {
        let mut pool = Pool::new(slices);
        let plan = Plan::new(&mut pool, question)?;
        let sources = pool.into_sources();
        let expected = expected::answer(&plan, &sources);
        let bytes = sources.iter().map(Source::bytes).sum();
        Ok((Work::new(plan, sources), expected, bytes))
    }

    /// Of a plan and its sources, none of them settled yet.
    fn new(plan: Plan, sources: Vec<Source>) -> Work {
        Work {
            plan,
            pool: Vec::with_capacity(sources.len()),
            waiting: sources.into_iter(),
            selected: 0,
        }
    }

    /// Settles sources and selects numbers; whether that is done.
    fn prepare(&mut self, budget: &mut Budget) -> bool {
        for source in self.waiting.by_ref() {
            budget.spend(expected::making(&source));
            self.pool.push(source.settle());
            if budget.is_spent() {
                return false;
            }
        }
        while let Some(factor) = self.plan.factor_mut(self.selected) {
            if let Selection::Table(table) = &mut factor.selection
                && !table.extend(&factor.all, &factor.by, budget)
            {
                return false;
            }
            self.selected += 1;
        }
        true
    }
}

impl Survey {
    /// Walks on; whether all ledgers are finished.
    fn go_on(&mut self, work: &Work, budget: &mut Budget) -> bool {
        let plan = &work.plan;
        while let Some(factor) = plan.factors.get(self.ledgers.len()) {
            if factor.by.is_empty() {
                self.ledgers.push(None);
                continue;
            }
            let sources = &plan.whole.sources[self.ledgers.len()];
            let begin = || (plan.ledger(factor), 0, 0);
            let (mut ledger, mut source, mut from) = self.next.take().unwrap_or_else(begin);
            while let Some(&at) = sources.get(source) {
                if budget.is_spent() {
                    self.next = Some((ledger, source, from));
                    return false;
                }
                let settled = &work.pool[at as usize];
                match ledger.note(settled, &factor.selection, from, budget) {
                    Some(on) => from = on,
                    None => (source, from) = (source + 1, 0),
                }
            }
            self.ledgers.push(Some(ledger));
        }
        true
    }

    /// The rows that there may be.
    fn into_rows(self, plan: &Plan) -> Result<Rows, Unanswerable> {
        let ledgers = self.ledgers.into_iter().enumerate();
        let mut with_rows = ledgers.filter_map(|(factor, ledger)| Some((factor, ledger?)));
        let Some((factor, ledger)) = with_rows.next() else {
            return Ok(Rows::One);
        };
        let Some((second, other)) = with_rows.next() else {
            return Ok(Rows::Slots { factor, ledger });
        };
        let slots = [&ledger, &other].map(|ledger| {
            let all = 0..ledger.len() as u32;
            all.filter(|&slot| ledger.has(slot)).collect::<Vec<Slot>>()
        });
        let pairs = slots[0].len().saturating_mul(slots[1].len());
        plan.check_rows(pairs)?;
        Ok(Rows::Pairs {
            factors: [factor, second],
            slots,
        })
    }
}

impl Rows {
    /// One past the last.
    fn len(&self) -> u32 {
        match self {
            Rows::One => 1,
            Rows::Slots { ledger, .. } => ledger.len() as u32,
            Rows::Pairs { slots, .. } => (slots[0].len() * slots[1].len()) as u32,
        }
    }

    /// Whether there is something of it.
    fn has(&self, row: u32) -> bool {
        self.count(row..row + 1) > 0
    }

    /// Of how many of these there is something.
    fn count(&self, rows: Range<u32>) -> usize {
        match self {
            Rows::Slots { ledger, .. } => ledger.count(rows),
            Rows::One | Rows::Pairs { .. } => rows.len(),
        }
    }

    /// What has been noted of their users.
    fn reach(&self) -> Option<(&[u32], Reach)> {
        match self {
            Rows::Slots {
                ledger: Ledger::Reach(notes, reach),
                ..
            } => Some((notes, *reach)),
            _ => None,
        }
    }

    /// The slot of a row in a factor.
    fn slot(&self, row: u32, at: usize) -> Slot {
        match self {
            Rows::Slots { factor, .. } if *factor == at => row,
            Rows::Pairs {
                factors: [first, second],
                slots,
            } => {
                let inner = slots[1].len();
                match row as usize {
                    row if *first == at => slots[0][row / inner],
                    row if *second == at => slots[1][row % inner],
                    _ => 0,
                }
            }
            Rows::One | Rows::Slots { .. } => 0,
        }
    }

    /// The slots of a row in all factors.
    fn slots(&self, row: u32, plan: &Plan) -> Vec<Slot> {
        let factors = 0..plan.factors.len();
        factors.map(|factor| self.slot(row, factor)).collect()
    }

    /// The values of a row.
    fn values(&self, row: u32, plan: &Plan) -> Vec<Arc<[u8]>> {
        let names = (0..plan.by.len()).map(|by| Arc::from(self.name(row, by, plan)));
        names.collect()
    }

    /// One of them.
    fn name<'p>(&self, row: u32, by: usize, plan: &'p Plan) -> &'p [u8] {
        let number = self.number(row, by, plan);
        plan.by[by].names.get(number).unwrap_or_default()
    }

    /// Its number.
    fn number(&self, row: u32, by: usize, plan: &Plan) -> u32 {
        let by = &plan.by[by];
        let factor: &Factor = &plan.factors[by.factor];
        let slot = self.slot(row, by.factor);
        let numbers: Numbers = factor.selection.values(slot, &factor.all, &factor.by);
        numbers[by.place]
    }

    /// By the bytes of the values.
    fn compare_names(&self, a: u32, b: u32, plan: &Plan) -> Ordering {
        let by = 0..plan.by.len();
        let unequal = by.map(|by| self.name(a, by, plan).cmp(self.name(b, by, plan)));
        let first = unequal.into_iter().find(|order| order.is_ne());
        first.unwrap_or_else(|| a.cmp(&b))
    }

    /// By the figure that was asked for, what has none coming last, and then by the values.
    fn compare(&self, a: &Candidate, b: &Candidate, plan: &Plan) -> Ordering {
        let by_value = match (plan.order, a.value, b.value) {
            (Some(order), Some(a), Some(b)) => match order.direction {
                Direction::Descending => b.total_cmp(&a),
                Direction::Ascending => a.total_cmp(&b),
            },
            (_, Some(_), None) => Ordering::Less,
            (_, None, Some(_)) => Ordering::Greater,
            _ => Ordering::Equal,
        };
        by_value.then_with(|| self.compare_names(a.row, b.row, plan))
    }
}

impl Rows {
    /// Takes in those of these rows that there are, with what the survey knows of them.
    fn offer_surveyed(&self, rows: Range<u32>, best: &mut Best<Candidate>, plan: &Plan) {
        let metric = plan.order.map(|order| order.metric);
        match self {
            Rows::Slots { ledger, .. } => match (ledger, metric) {
                (Ledger::Events(events), Some(Metric::Events)) => {
                    let value =
                        |row: u32| (events[row as usize] != 0).then(|| events[row as usize] as f64);
                    self.offer_valued(rows, best, plan, value);
                }
                (Ledger::Sums { rows: sums, .. }, Some(Metric::PerEvent(_))) => {
                    let value = |row: u32| {
                        let (events, sum) = sums[row as usize];
                        (events != 0).then(|| sum / events as f64)
                    };
                    self.offer_valued(rows, best, plan, value);
                }
                (Ledger::Sums { rows: sums, .. }, Some(Metric::Sum(_) | Metric::New)) => {
                    let value = |row: u32| {
                        let (events, sum) = sums[row as usize];
                        (events != 0).then_some(sum)
                    };
                    self.offer_valued(rows, best, plan, value);
                }
                _ => self.offer_unvalued(rows, best, plan),
            },
            Rows::One | Rows::Pairs { .. } => self.offer_unvalued(rows, best, plan),
        }
    }

    /// The value is `None` where there is nothing of a row. Most rows of many are worse than the best so far, and
    /// told by one comparison.
    fn offer_valued(
        &self,
        rows: Range<u32>,
        best: &mut Best<Candidate>,
        plan: &Plan,
        value: impl Fn(u32) -> Option<f64>,
    ) {
        let ascends = plan
            .order
            .is_some_and(|order| order.direction == Direction::Ascending);
        let last = |best: &Best<Candidate>| best.last().and_then(|last| last.value);
        let mut enough = last(best);
        for row in rows {
            let Some(value) = value(row) else {
                continue;
            };
            let is_worse = |enough: f64| {
                if ascends {
                    value > enough
                } else {
                    value < enough
                }
            };
            if !enough.is_some_and(is_worse) {
                // Nought has no sign.
                let value = Some(value + 0.0);
                let tally = None;
                let candidate = Candidate { row, value, tally };
                best.offer(candidate, |a, b| self.compare(a, b, plan));
                enough = last(best);
            }
        }
    }

    /// Rows that are ordered by their values only.
    fn offer_unvalued(&self, rows: Range<u32>, best: &mut Best<Candidate>, plan: &Plan) {
        for row in rows.filter(|&row| self.has(row)) {
            let (value, tally) = (None, None);
            let candidate = Candidate { row, value, tally };
            best.offer(candidate, |a, b| self.compare(a, b, plan));
        }
    }
}

impl Plan {
    /// What the survey of a factor has to note.
    fn ledger(&self, factor: &Factor) -> Ledger {
        let events = Ledger::Events(Vec::new());
        let sum = |at| {
            let rows = Vec::new();
            Ledger::Sums { at, rows }
        };
        let measure = |at: usize| match self.needs.measures.get(at) {
            Some(&place) => sum(place),
            None => Ledger::Events(vec![]),
        };
        match self.order.map(|order| order.metric) {
            Some(Metric::Unique) => {
                Ledger::Reach(Vec::new(), Reach::new(factor.precision, factor.lowest))
            }
            Some(Metric::Sum(at) | Metric::PerEvent(at)) => measure(at),
            Some(Metric::New) => self.needs.new.map_or(events, sum),
            Some(Metric::Events | Metric::Returning | Metric::PerUser(_)) | None => events,
        }
    }

    /// What a row is ordered by, from its figures.
    fn value(&self, tally: &Tally) -> Option<f64> {
        match tally.figure(self.order?.metric, &self.needs)? {
            Figure::Exact(value) => Some(value),
            Figure::Estimate(users) | Figure::Common { users, .. } => Some(users.value),
            Figure::Ratio { sum, users } => Some(sum / users.value),
        }
        // Nought has no sign.
        .map(|value| value + 0.0)
    }

    /// How rows are chosen once they have been counted.
    fn way(&self, rows: &Rows) -> Way {
        let descends_by_users = matches!(
            self.order,
            Some(Order {
                metric: Metric::Unique,
                direction: Direction::Descending
            })
        );
        let first = self.limit.map(|limit| limit.saturating_add(self.offset));
        match (rows, first) {
            (Rows::Slots { .. }, Some(first)) if descends_by_users => Way::Bounds {
                at: 0,
                first: Best::new(first),
            },
            // Who several sets have in common is known only when that has been solved.
            _ if self.needs_figures_to_choose() => Way::Figures { at: 0 },
            _ => Way::Survey { at: 0 },
        }
    }

    /// Whether a row is one, by its figures: see the head of this file.
    fn is_row(&self, tally: &Tally) -> bool {
        match self.level {
            Level::Event => tally.events > 0,
            Level::Users if self.factors.len() == 1 => tally.events > 0,
            Level::Users => tally
                .estimate()
                .is_some_and(|users| users.value >= SOMEBODY),
        }
    }

    /// How many rows there are in a segment at most, of so many candidates.
    fn rows_of(&self, candidates: usize) -> usize {
        candidates
            .saturating_sub(self.offset)
            .min(self.limit.unwrap_or(usize::MAX))
    }

    fn check_rows(&self, rows: usize) -> Result<(), Unanswerable> {
        if rows > MAX_ROWS {
            return Err(Unanswerable::TooManyRows(rows));
        }
        Ok(())
    }
}

/// Fewer users than this are nobody, to the nearest whole number.
const SOMEBODY: f64 = 0.5;

/// Rows that are looked at before a step is asked whether it is over.
const STRIDE: u32 = 1_024;

/// The next rows to look at in one go; `None` where there are none left or the step is over.
fn stride(at: &mut u32, rows: &Rows, budget: &mut Budget) -> Option<Range<u32>> {
    let from = *at;
    if from >= rows.len() || budget.is_spent() {
        return None;
    }
    *at = from.saturating_add(STRIDE).min(rows.len());
    budget.spend(cost::PASS * f64::from(*at - from));
    Some(from..*at)
}

impl Choice {
    fn new(rows: Rows, plan: &Plan) -> Choice {
        let first = plan
            .limit
            .map_or(usize::MAX, |limit| limit.saturating_add(plan.offset));
        Choice {
            rows,
            way: Way::Count { at: 0, rows: 0 },
            best: Best::new(first),
            gathering: Gathering::default(),
        }
    }

    /// Goes on; whether the rows are chosen.
    fn go_on(&mut self, work: &Work, budget: &mut Budget) -> Result<bool, Unanswerable> {
        let plan = &work.plan;
        let mut readers = Readers::new(&work.pool, &plan.whole);
        let rows = &self.rows;
        loop {
            let next = match &mut self.way {
                Way::Count { at, rows: count } => {
                    while let Some(stride) = stride(at, rows, budget) {
                        *count += rows.count(stride);
                    }
                    if *at < rows.len() {
                        return Ok(false);
                    }
                    let segments = match plan.gaps {
                        Gaps::Filled => plan.segments(),
                        Gaps::Left => 1,
                    };
                    plan.check_rows(plan.rows_of(*count).saturating_mul(segments))?;
                    plan.way(rows)
                }
                Way::Survey { at } => {
                    while let Some(stride) = stride(at, rows, budget) {
                        rows.offer_surveyed(stride, &mut self.best, plan);
                    }
                    return Ok(*at >= rows.len());
                }
                Way::Figures { at } => {
                    while *at < rows.len() {
                        if rows.has(*at) {
                            let gathered =
                                gather(*at, rows, plan, &mut self.gathering, &mut readers, budget);
                            let Some(candidate) = gathered else {
                                return Ok(false);
                            };
                            offer(candidate, &mut self.best, rows, plan);
                        }
                        *at += 1;
                    }
                    return Ok(true);
                }
                Way::Bounds { at, first } => {
                    let Some((notes, _)) = rows.reach() else {
                        return Ok(true);
                    };
                    while let Some(stride) = stride(at, rows, budget) {
                        let last = |first: &Best<(u32, u32)>| first.last().map_or(0, |last| last.0);
                        let mut enough = last(first);
                        for row in stride {
                            let noted = notes[row as usize];
                            // Of equal ones the earlier row comes first, and nought is none.
                            if noted > enough {
                                first.offer((noted, row), highest_first);
                                enough = last(first);
                            }
                        }
                    }
                    if *at < rows.len() {
                        return Ok(false);
                    }
                    let first = mem::replace(first, Best::new(0)).into_sorted(highest_first);
                    let mut first: Vec<u32> = first.into_iter().map(|(_, row)| row).collect();
                    first.sort_unstable();
                    Way::First { at: 0, first }
                }
                Way::First { at, first } => {
                    while let Some(&row) = first.get(*at) {
                        let gathered =
                            gather(row, rows, plan, &mut self.gathering, &mut readers, budget);
                        let Some(candidate) = gathered else {
                            return Ok(false);
                        };
                        offer(candidate, &mut self.best, rows, plan);
                        *at += 1;
                    }
                    self.best.sift(|a, b| rows.compare(a, b, plan));
                    let first = mem::take(first);
                    Way::Rest { at: 0, first }
                }
                Way::Rest { at, first } => {
                    let Some((notes, reach)) = rows.reach() else {
                        return Ok(true);
                    };
                    let least = |best: &Best<Candidate>| {
                        let enough = best.last().and_then(|last| last.value);
                        enough.map_or(1, |enough| reach.least(enough).max(1))
                    };
                    let mut enough = least(&self.best);
                    while *at < rows.len() {
                        if budget.is_spent() {
                            return Ok(false);
                        }
                        let end = at.saturating_add(STRIDE).min(rows.len());
                        let ahead = &notes[*at as usize..end as usize];
                        let Some(found) = ahead.iter().position(|&noted| noted >= enough) else {
                            budget.spend(cost::PASS * ahead.len() as f64);
                            *at = end;
                            continue;
                        };
                        budget.spend(cost::PASS * found as f64);
                        *at += found as u32;
                        if first.binary_search(at).is_err() {
                            let gathered =
                                gather(*at, rows, plan, &mut self.gathering, &mut readers, budget);
                            let Some(candidate) = gathered else {
                                return Ok(false);
                            };
                            offer(candidate, &mut self.best, rows, plan);
                            enough = least(&self.best);
                        }
                        *at += 1;
                    }
                    return Ok(true);
                }
            };
            self.way = next;
        }
    }

    fn into_filling(self, plan: &Plan) -> Filling {
        let rows = self.rows;
        let mut chosen = self.best.into_sorted(|a, b| rows.compare(a, b, plan));
        chosen.drain(..plan.offset.min(chosen.len()));
        let mut ascending: Vec<usize> = (0..chosen.len()).collect();
        ascending.sort_unstable_by_key(|&at| chosen[at].row);
        Filling {
            rows,
            chosen,
            ascending,
            segment: 0,
            at: 0,
            tallies: Vec::new(),
            gathering: Gathering::default(),
            other_events: None,
            done: Vec::new(),
            places: Vec::new(),
        }
    }
}

/// The one that may come to more first.
fn highest_first(a: &(u32, u32), b: &(u32, u32)) -> Ordering {
    b.0.cmp(&a.0).then(a.1.cmp(&b.1))
}

/// A row with its figures for the whole range; `None` where the step is over first.
fn gather(
    row: u32,
    rows: &Rows,
    plan: &Plan,
    gathering: &mut Gathering,
    readers: &mut Readers,
    budget: &mut Budget,
) -> Option<Candidate> {
    let slots = rows.slots(row, plan);
    let tally = gathering.tally(&slots, &plan.factors, &plan.needs, readers, budget)?;
    let value = plan.value(&tally);
    let tally = Some(tally);
    Some(Candidate { row, value, tally })
}

/// Takes a row in, if it is one.
fn offer(candidate: Candidate, best: &mut Best<Candidate>, rows: &Rows, plan: &Plan) {
    let is_row = candidate
        .tally
        .as_ref()
        .is_some_and(|tally| plan.is_row(tally));
    if is_row || matches!(rows, Rows::One) {
        best.offer(candidate, |a, b| rows.compare(a, b, plan));
    }
}

/// The row of the cell `(other)`, in a factor where every number is a row.
const OTHER_ROW: u32 = OTHER;

impl Filling {
    /// Goes on; whether all rows are filled in.
    fn go_on(&mut self, work: &Work, budget: &mut Budget) -> Result<bool, Unanswerable> {
        let plan = &work.plan;
        if self.other_events.is_none() {
            let mut readers = Readers::new(&work.pool, &plan.whole);
            self.other_events = Some(readers.other_events());
        }
        let nothing = Segment::default();
        while self.segment < plan.segments() {
            let bucket = plan.buckets.as_ref().map(|buckets| &buckets[self.segment]);
            let segment = plan.segment(self.segment);
            let mut readers = Readers::new(&work.pool, segment.unwrap_or(&nothing));
            if segment.is_some() && !self.fill(plan, bucket.is_none(), &mut readers, budget) {
                return Ok(false);
            }
            let start = bucket.map(|bucket| bucket.start);
            let other_events = readers.other_events();
            self.emit(plan, start, other_events);
            plan.check_rows(self.done.len())?;
            self.gathering.begin_segment();
            self.tallies.clear();
            (self.segment, self.at) = (self.segment + 1, 0);
            if budget.is_spent() && self.segment < plan.segments() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gathers the tallies of a segment, that of `(other)` last; whether all are there.
    fn fill(
        &mut self,
        plan: &Plan,
        is_whole: bool,
        readers: &mut Readers,
        budget: &mut Budget,
    ) -> bool {
        let with_other = usize::from(plan.other_is_row());
        self.tallies.resize(self.chosen.len() + with_other, None);
        while self.at < self.tallies.len() {
            let place = self.ascending.get(self.at).copied();
            let known = place
                .filter(|_| is_whole)
                .and_then(|at| self.chosen[at].tally.take());
            let slots = match place {
                Some(at) => self.rows.slots(self.chosen[at].row, plan),
                None => vec![OTHER_ROW],
            };
            let tally = match known {
                Some(tally) => tally,
                None => {
                    let gathered =
                        self.gathering
                            .tally(&slots, &plan.factors, &plan.needs, readers, budget);
                    let Some(tally) = gathered else {
                        return false;
                    };
                    tally
                }
            };
            self.tallies[place.unwrap_or(self.chosen.len())] = Some(tally);
            self.at += 1;
        }
        true
    }

    /// Makes the rows of a segment; without figures where there are no tallies of it.
    fn emit(&mut self, plan: &Plan, bucket: Option<i64>, other_events: u64) {
        let keeps_all = bucket.is_none() || plan.gaps == Gaps::Filled;
        let figures = |tally: Option<&Tally>| -> Vec<Option<Figure>> {
            let metrics = plan.metrics.iter();
            metrics
                .map(|&metric| match plan.level {
                    Level::Users if metric != Metric::Unique => None,
                    _ => tally?.figure(metric, &plan.needs),
                })
                .collect()
        };
        for (at, candidate) in self.chosen.iter().enumerate() {
            let tally = self.tallies.get(at).and_then(Option::as_ref);
            if keeps_all || tally.is_some_and(|tally| plan.is_row(tally)) {
                if plan.compared.is_some() {
                    let slots = self.rows.slots(candidate.row, plan);
                    self.places.push((self.segment, Some(slots)));
                }
                self.done.push(Row {
                    bucket,
                    values: self.rows.values(candidate.row, plan),
                    figures: figures(tally),
                    at_least: other_events > 0,
                });
            }
        }
        let has_other = plan.other_is_row() && self.other_events.is_some_and(|events| events > 0);
        let here = other_events > 0 || keeps_all;
        if has_other && here {
            let tally = self.tallies.get(self.chosen.len()).and_then(Option::as_ref);
            if plan.compared.is_some() {
                self.places.push((self.segment, None));
            }
            self.done.push(Row {
                bucket,
                values: plan.by.iter().map(|_| Arc::from(OTHER_NAME)).collect(),
                figures: figures(tally),
                at_least: false,
            });
        }
    }

    /// The rows, to be compared.
    fn made<'a>(&'a self, work: &'a Work) -> Made<'a> {
        Made {
            plan: &work.plan,
            pool: &work.pool,
            rows: &self.done,
            places: &self.places,
        }
    }

    fn into_answer(self, plan: &Plan) -> Answer {
        Answer {
            range: plan.range.clone(),
            level: plan.level,
            other_events: self.other_events.unwrap_or(0),
            metrics: plan.metrics.clone(),
            rows: self.done,
        }
    }
}

impl Plan {
    /// Whether the cell `(other)` is a row: only of a question about one column.
    fn other_is_row(&self) -> bool {
        self.factors.len() == 1 && self.factors[0].other_is_row
    }
}

#[cfg(test)]
mod tests;
