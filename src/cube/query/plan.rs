//! What a question comes to: which columns, which slices, which numbers in them, and what of their cells is wanted.
//!
//! Everything that depends on the cube is looked up here, quickly, so that the rest can be done elsewhere and later.
//!
//! # Factors
//!
//! An event is a fact, so conditions on several dimensions are met by cells of the group of exactly these: the answer
//! has one *factor*, a column with the numbers that meet them. Where users are meant, not events, each dimension has
//! a column of its own, so there are several factors, and a row is what their user sets have in common. A dimension
//! that belongs to the user and not to the event may always be a factor of its own, as both mean the same; the others
//! of the question must then be answered by one column together.
//!
//! # Segments
//!
//! A *segment* is a stretch of time and the slices it is answered from: the whole range, and each bucket. A bucket
//! needs slices that fit its borders; where the slices that would have are gone, nothing is known of it.

use super::super::calendar::{Calendar, Millis, Span, nests};
use super::super::cover::Cover;
use super::super::intern::Names;
use super::super::question::{
    Condition, Gaps, Level, Metric, Order, Question, Test, Time, Unanswerable,
};
use super::super::schema::{OTHER, Schema, TOTAL};
use super::super::source::{Slices, Source};
use super::selection::{Accept, Combinations, Selection, Table};
use crate::sketch::joint::{MAX_SETS, cost as joint_cost};
use crate::sketch::{Dense, HashFamily, Precision, Sketch};
use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

/// The most rows of an answer, and the most buckets.
pub const MAX_ROWS: usize = 10_000;

/// Combinations that are looked up by name, one by one, instead of looking at all there are.
const MAX_LOOKUPS: usize = 1_024;

/// The confidences that have an interval: those which a double can tell from 0 and 1 well enough.
const CONFIDENCES: RangeInclusive<f64> = 1e-12..=1.0 - 1e-12;

/// See the head of this file.
pub struct Plan {
    /// The borders that were used.
    pub range: Range<Millis>,
    /// How the figures come about.
    pub level: Level,
    /// What each row says.
    pub metrics: Vec<Metric>,
    /// By what rows are ordered, how many there may be, and how many go before.
    pub order: Option<Order>,
    /// See `order`.
    pub limit: Option<usize>,
    /// See `order`.
    pub offset: usize,
    /// Whether buckets without events have rows.
    pub gaps: Gaps,
    /// What a row has in common.
    pub factors: Vec<Factor>,
    /// For each dimension that was asked by: the factor, and the place among its values; and its names.
    pub by: Vec<By>,
    /// The whole range.
    pub whole: Segment,
    /// The buckets.
    pub buckets: Option<Vec<Bucket>>,
    /// What is wanted of cells.
    pub needs: Needs,
}

/// A column and what is read of it.
pub struct Factor {
    /// Of the column's cells.
    pub precision: Precision,
    /// The lowest precision that registers may be folded to on the way to a row.
    pub lowest: Precision,
    /// Which numbers.
    pub selection: Selection,
    /// What stands behind them.
    pub all: Combinations,
    /// Places among the column's dimensions of those that were asked by, in the order of the question.
    pub by: Vec<usize>,
    /// Whether the same slot occurs in several rows of a segment.
    pub repeats: bool,
    /// Whether the cell `(other)` is a row.
    pub other_is_row: bool,
    /// The column.
    pub column: usize,
}

/// A dimension whose values are rows.
pub struct By {
    /// The factor that has it.
    pub factor: usize,
    /// The place among the factor's `by`.
    pub place: usize,
    /// Its values.
    pub names: Names,
}

/// A stretch of time: for each factor, the positions of its sources.
#[derive(Clone, Default)]
pub struct Segment {
    /// See the type.
    pub sources: Vec<Vec<u32>>,
}

/// A bucket.
pub struct Bucket {
    /// Where the bucket begins, which may be before the range.
    pub start: Millis,
    /// `None` where nothing is known of it.
    pub segment: Option<Segment>,
}

/// What is wanted of cells.
#[derive(Clone)]
pub struct Needs {
    /// Whether users are.
    pub users: bool,
    /// How many sums a cell has.
    pub sums: usize,
    /// How many of them are measures.
    pub measures: usize,
    /// Which of them is the new users.
    pub new: Option<usize>,
    /// Of users.
    pub hash: HashFamily,
    /// Of intervals that are computed on the way.
    pub confidence: f64,
    /// About how many nanoseconds a joint solution takes.
    pub solution: f64,
}

/// Sources, each of them once, however many segments read it.
pub struct Pool<'c, S> {
    slices: &'c S,
    sources: Vec<Source>,
    places: HashMap<(usize, Millis, usize), Range<u32>>,
}

impl<S: Slices> Pool<'_, S> {
    /// No sources yet.
    pub fn new(slices: &S) -> Pool<'_, S> {
        Pool {
            slices,
            sources: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// The sources.
    pub fn into_sources(self) -> Vec<Source> {
        self.sources
    }

    /// Of what these slices have of these factors.
    pub fn segment(&mut self, cover: &Cover, factors: &[Factor]) -> Segment {
        let of_factor = |factor: &Factor| {
            let mut positions = Vec::with_capacity(cover.pieces.len());
            for piece in &cover.pieces {
                let id = (piece.tier, piece.start, factor.column);
                let range = self.places.entry(id).or_insert_with(|| {
                    let first = self.sources.len() as u32;
                    let sources = self.slices.sources(piece, factor.column);
                    self.sources.extend(sources);
                    first..self.sources.len() as u32
                });
                positions.extend(range.clone());
            }
            positions
        };
        Segment {
            sources: factors.iter().map(of_factor).collect(),
        }
    }
}

impl Plan {
    /// Of a question.
    pub fn new<S: Slices>(pool: &mut Pool<S>, question: Question) -> Result<Plan, Unanswerable> {
        let slices = pool.slices;
        let schema = slices.schema();
        let asked = when(slices, question.time.as_ref());
        let (level, columns) = columns(schema, &question)?;
        let metrics = metrics(schema, &question, level)?;
        let cover = whole(slices, &asked);
        let range = cover.from..cover.to;
        let mut factors = Vec::with_capacity(columns.len());
        for dimensions in &columns {
            factors.push(factor(slices, &cover, dimensions, &question));
        }
        let by_factors = factors
            .iter()
            .filter(|factor| !factor.by.is_empty())
            .count();
        if by_factors > 2 {
            return Err(Unanswerable::TooManySets(by_factors));
        }
        // What sets have in common is solved for at the lowest precision among them.
        let lowest = factors.iter().map(|factor| factor.lowest).min();
        for factor in &mut factors {
            factor.repeats = factor.by.is_empty() || by_factors == 2;
            factor.lowest = lowest.unwrap_or(factor.lowest);
        }
        let mut places = vec![0; factors.len()];
        let by = question.by.iter().filter_map(|dimension| {
            let factor = columns
                .iter()
                .position(|column| column.contains(dimension))?;
            let place = places[factor];
            places[factor] += 1;
            Some(By {
                factor,
                place,
                names: slices.names(*dimension),
            })
        });
        let by = by.collect();
        let buckets = match question.bucket {
            None => None,
            Some(unit) => Some(buckets(pool, &question, unit, &asked, &range, &factors)?),
        };
        let uses_users = |metric: &Metric| matches!(metric, Metric::Unique | Metric::PerUser(_));
        Ok(Plan {
            range,
            level,
            needs: Needs {
                users: factors.len() > 1 || metrics.iter().any(uses_users),
                sums: schema.measures.len() + usize::from(schema.new.is_some()),
                measures: schema.measures.len(),
                new: schema.new.map(|_| schema.measures.len()),
                hash: schema.hash,
                confidence: with_interval(question.confidence),
                solution: solution(&factors),
            },
            metrics,
            order: question.order,
            limit: question.limit,
            offset: question.offset,
            gaps: question.gaps,
            whole: pool.segment(&cover, &factors),
            factors,
            by,
            buckets,
        })
    }

    /// All segments that rows are made for.
    pub fn segments(&self) -> usize {
        self.buckets.as_ref().map_or(1, Vec::len)
    }

    /// Whether figures of users decide which rows are chosen: the survey does not know them.
    pub fn needs_figures_to_choose(&self) -> bool {
        let by_users = |order: Order| matches!(order.metric, Metric::Unique | Metric::PerUser(_));
        self.factors.len() > 1 || self.order.is_some_and(by_users)
    }
}

/// A confidence as near as an interval can have it; no number is the lowest.
fn with_interval(confidence: f64) -> f64 {
    let (least, most) = (*CONFIDENCES.start(), *CONFIDENCES.end());
    match confidence {
        confidence if confidence >= most => most,
        confidence if confidence >= least => confidence,
        _ => least,
    }
}

/// The time that is asked about.
pub fn when(slices: &impl Slices, time: Option<&Time>) -> Range<Millis> {
    match time {
        None => slices.kept().unwrap_or(0..0),
        Some(Time::Between(range)) => range.clone(),
        Some(Time::UpTo(range)) => {
            let schema = slices.schema();
            let is_open = slices.due().is_some_and(|due| range.end > due);
            let finest = schema.tiers.first().filter(|_| is_open);
            let end = finest.map_or(range.end, |tier| {
                let slice = schema.calendar.slice(tier.slice, range.end);
                if slice.start < range.end {
                    slice.end
                } else {
                    range.end
                }
            });
            range.start..end
        }
    }
}

/// What there is of the time that is asked about.
pub fn whole(slices: &impl Slices, asked: &Range<Millis>) -> Cover {
    let kept = slices.kept().unwrap_or(0..0);
    let clipped = asked.start.max(kept.start)..asked.end.min(kept.end);
    if clipped.is_empty() {
        return Cover {
            from: asked.start,
            to: asked.end.max(asked.start),
            pieces: Vec::new(),
        };
    }
    slices.cover(clipped)
}

/// The dimensions of each column that is read, and how the figures come about.
fn columns(schema: &Schema, question: &Question) -> Result<(Level, Vec<Vec<usize>>), Unanswerable> {
    let mut dimensions: Vec<usize> = question.by.clone();
    dimensions.extend(
        question
            .conditions
            .iter()
            .map(|condition| condition.dimension),
    );
    dimensions.sort_unstable();
    dimensions.dedup();
    if dimensions
        .iter()
        .any(|&dimension| dimension >= schema.dimensions.len())
    {
        return Err(Unanswerable::NoGroup(dimensions));
    }
    let together = |some: &[usize]| some.len() < 2 || schema.group_of(some).is_some();
    if question.level == Level::Event && together(&dimensions) {
        return Ok((Level::Event, vec![dimensions]));
    }
    let alone = |dimension: &usize| {
        question.level == Level::Users || schema.dimensions[*dimension].user_level
    };
    let (alone, rest): (Vec<usize>, Vec<usize>) = dimensions.iter().partition(|&own| alone(own));
    if !together(&rest) {
        return Err(Unanswerable::NoGroup(dimensions));
    }
    let mut columns: Vec<Vec<usize>> = alone.into_iter().map(|own| vec![own]).collect();
    if columns.is_empty() || !rest.is_empty() {
        columns.push(rest);
    }
    if columns.len() > MAX_SETS {
        return Err(Unanswerable::TooManySets(columns.len()));
    }
    Ok((Level::Users, columns))
}

/// What rows say.
fn metrics(
    schema: &Schema,
    question: &Question,
    level: Level,
) -> Result<Vec<Metric>, Unanswerable> {
    let ordered = question.order.map(|order| order.metric);
    let asked = question.metrics.iter().chain(&ordered);
    for metric in asked {
        if level == Level::Users && *metric != Metric::Unique {
            return Err(Unanswerable::OnlyUsers);
        }
        if *metric == Metric::New && schema.new.is_none() {
            return Err(Unanswerable::NoNew);
        }
    }
    let mut metrics = question.metrics.clone();
    if metrics.is_empty() {
        metrics.extend([Metric::Unique, Metric::Events]);
        metrics.extend(schema.new.map(|_| Metric::New));
        metrics.extend((0..schema.measures.len()).map(Metric::Sum));
    }
    metrics.extend(ordered.filter(|metric| !metrics.contains(metric)));
    Ok(metrics)
}

/// What is read of the column of these dimensions.
pub fn factor(
    slices: &impl Slices,
    cover: &Cover,
    dimensions: &[usize],
    question: &Question,
) -> Factor {
    let schema = slices.schema();
    let (column, precision, order, all) = match dimensions {
        [] => (0, schema.precision, vec![], Combinations::Values(0)),
        [dimension] => (
            schema.dimension_column(*dimension),
            schema.dimensions[*dimension].precision,
            dimensions.to_vec(),
            Combinations::Values(slices.names(*dimension).bound()),
        ),
        several => {
            let at = schema.group_of(several).unwrap_or_default();
            let group = &schema.groups[at];
            (
                schema.group_column(at),
                group.precision,
                group.dimensions.clone(),
                Combinations::Members(slices.members(at)),
            )
        }
    };
    let place = |dimension: usize| order.iter().position(|&own| own == dimension);
    let by: Vec<usize> = question.by.iter().filter_map(|&own| place(own)).collect();
    let tests: Vec<Accept> = question
        .conditions
        .iter()
        .filter_map(|condition| Some(accept(slices, condition, place(condition.dimension)?)))
        .collect();
    let tiers = cover.pieces.iter().map(|piece| piece.tier);
    let folded = tiers.filter_map(|tier| schema.tiers.get(tier)?.precision);
    Factor {
        precision,
        lowest: folded.min().unwrap_or(precision).min(precision),
        other_is_row: !by.is_empty() && tests.is_empty(),
        selection: selection(slices, dimensions, &order, tests, &by),
        all,
        by,
        repeats: false,
        column,
    }
}

fn accept(slices: &impl Slices, condition: &Condition, place: usize) -> Accept {
    let values = condition.values.iter();
    let numbers = values.filter_map(|value| slices.find_value(condition.dimension, value));
    let mut numbers: Vec<u32> = numbers.filter(|&number| number != OTHER).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Accept {
        place,
        test: condition.test,
        numbers,
    }
}

/// Which numbers of the column pass the tests.
fn selection(
    slices: &impl Slices,
    dimensions: &[usize],
    order: &[usize],
    tests: Vec<Accept>,
    by: &[usize],
) -> Selection {
    if dimensions.is_empty() {
        return Selection::Named(vec![(0, TOTAL)]);
    }
    if tests.is_empty() {
        return Selection::Each;
    }
    let named = tests.len() == order.len() && tests.iter().all(|test| test.test == Test::In);
    let combinations = tests.iter().map(|test| test.numbers.len());
    let combinations = combinations.fold(1usize, usize::saturating_mul);
    match tests.as_slice() {
        [test] if named => {
            // Asked by, each is a row of its own.
            let numbers = test.numbers.iter();
            Selection::Named(match by {
                [] => numbers.map(|&number| (0, number)).collect(),
                _ => (0..).zip(numbers.copied()).collect(),
            })
        }
        several if named && by.is_empty() && combinations <= MAX_LOOKUPS => {
            Selection::Named(look_up(slices, dimensions, several))
        }
        _ => Selection::Table(Table::new(tests)),
    }
}

/// The numbers of all combinations of these values that there are.
fn look_up(slices: &impl Slices, dimensions: &[usize], tests: &[Accept]) -> Vec<(u32, u32)> {
    let Some(group) = slices.schema().group_of(dimensions) else {
        return Vec::new();
    };
    let mut combinations = vec![[0u32; 4]];
    for test in tests {
        let with = |combination: &[u32; 4]| {
            let combination = *combination;
            test.numbers.iter().map(move |&number| {
                let mut longer = combination;
                longer[test.place] = number;
                longer
            })
        };
        combinations = combinations.iter().flat_map(with).collect();
    }
    let found = combinations.into_iter();
    let found = found.filter_map(|numbers| slices.find_member(group, numbers));
    let mut named: Vec<(u32, u32)> = found.map(|number| (0, number)).collect();
    named.sort_unstable();
    named
}

/// About how many nanoseconds it takes to find what sets of these precisions have in common.
fn solution(factors: &[Factor]) -> f64 {
    if factors.len() < 2 {
        return 0.0;
    }
    let full = |factor: &Factor| {
        let registers = vec![0; factor.precision.registers()];
        let dense = Dense::from_registers(registers, factor.precision, true).ok()?;
        Some(Sketch::from_dense(HashFamily::default(), dense))
    };
    let sketches: Vec<Sketch> = factors.iter().filter_map(full).collect();
    joint_cost::solution(&sketches).as_nanos() as f64
}

/// The buckets of a question.
fn buckets<S: Slices>(
    pool: &mut Pool<S>,
    question: &Question,
    unit: Span,
    asked: &Range<Millis>,
    used: &Range<Millis>,
    factors: &[Factor],
) -> Result<Vec<Bucket>, Unanswerable> {
    let slices = pool.slices;
    let schema = slices.schema();
    let foreign = question
        .calendar
        .as_ref()
        .filter(|other| **other != schema.calendar);
    let calendar: &Calendar = foreign.unwrap_or(&schema.calendar);
    let fits = |slice: Span| slice == unit || nests(slice, unit);
    let may_fit = foreign.is_some() || schema.tiers.iter().any(|tier| fits(tier.slice));
    if !unit.is_slice() || !may_fit {
        return Err(Unanswerable::Bucket(unit));
    }
    let kept = slices.kept();
    // Time that is not kept has buckets too, of which nothing is known; what was only rounded has none.
    let filled = match (question.gaps, &kept) {
        (Gaps::Left, _) => used.clone(),
        (Gaps::Filled, None) => asked.clone(),
        (Gaps::Filled, Some(kept)) => {
            let start = if asked.start < kept.start {
                asked.start
            } else {
                used.start
            };
            let end = if asked.end > kept.end {
                asked.end
            } else {
                used.end
            };
            start..end
        }
    };
    let newest = kept.as_ref().map_or(Millis::MIN, |kept| kept.end);
    let oldest = kept.as_ref().map_or(Millis::MAX, |kept| kept.start);
    let mut buckets = Vec::new();
    let mut works_from = None;
    let mut any_misfit = false;
    let mut at = filled.start.max(*Calendar::RANGE.start());
    let end = filled.end.min(*Calendar::RANGE.end());
    while at < end {
        if buckets.len() == MAX_ROWS {
            return Err(Unanswerable::TooManyBuckets(MAX_ROWS + 1));
        }
        let slice = calendar.slice(unit, at);
        let part = slice.start.max(used.start)..slice.end.min(used.end).min(newest);
        let segment = if kept.is_some() && slice.start >= newest {
            // Nothing has happened yet.
            Some(Segment {
                sources: vec![Vec::new(); factors.len()],
            })
        } else if part.is_empty() {
            None
        } else {
            let cover = slices.cover(part.clone());
            cover.is_exact(&part).then(|| pool.segment(&cover, factors))
        };
        if segment.is_none() && slice.end > oldest {
            any_misfit = true;
            works_from = None;
        } else if segment.is_some() {
            works_from = works_from.or(Some(slice.start));
        }
        buckets.push(Bucket {
            start: slice.start,
            segment,
        });
        // A day that a place has skipped is empty.
        at = slice.end.max(at + 1);
    }
    match (foreign, any_misfit, works_from) {
        (Some(_), true, Some(from)) => Err(Unanswerable::Zone(from)),
        (Some(_), true, None) => Err(Unanswerable::Bucket(unit)),
        _ => Ok(buckets),
    }
}
