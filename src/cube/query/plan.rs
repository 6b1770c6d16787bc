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
//! needs slices that fit its borders; where the slices that would have are gone, nothing is known of it. With buckets the
//! whole range is those of them of which something is known.
//!
//! # What is known
//!
//! That nothing happened and that nothing is known of what happened are different answers. Which of them it is follows
//! from the time alone and is decided in one place, [`known`]:
//!
//! ```text
//!        before what was declared | forgotten |        remembered        | not yet
//!   -----------------------------------------------|---|---|---|---|---|---------->  time
//!    nothing is known:  null                       |  slices, 0 without  |  0
//! ```
//!
//! A stretch of time that has slices in what is remembered is answered from them, and the borders say which part of
//! it they are. One that lies before is not known, and neither is one between the borders of a slice whose finer ones are
//! gone: both its borders move to the same one.

use super::super::calendar::{Calendar, Millis, Span, nests};
use super::super::cover::Cover;
use super::super::intern::Names;
use super::super::question::{
    Against, Condition, Gaps, Level, Metric, Order, Question, Shift, Test, Time, Unanswerable,
};
use super::super::schema::{OTHER, Schema, TOTAL, Tier};
use super::super::source::{Slices, Source};
use super::selection::{Accept, Combinations, Selection, Table};
use crate::sketch::joint::{MAX_SETS, cost as joint_cost};
use crate::sketch::{Dense, HashFamily, Precision, Sketch};
use std::collections::{BTreeSet, HashMap};
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
    /// Whether anything is known of the time that was asked about.
    pub is_known: bool,
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
    /// What rows are compared with.
    pub compared: Option<Other>,
}

/// The other side of a comparison.
pub struct Other {
    /// The borders that were used, if it is kept as it would have to be.
    pub range: Option<Range<Millis>>,
    /// What a row has in common there, where that is something else.
    pub factors: Option<Vec<Factor>>,
    /// For each segment of rows what it is compared with; `None` where nothing is known.
    pub segments: Vec<Option<Segment>>,
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
    /// How many sums all of their cells have: those of measures that had begun when the time did.
    pub sums: usize,
}

/// A bucket.
pub struct Bucket {
    /// Where the bucket begins, which may be before the range.
    pub start: Millis,
    /// The part of it that its slices are of; empty where nothing is known of it, or nothing can have happened yet.
    pub part: Range<Millis>,
    /// `None` where nothing is known of it.
    pub segment: Option<Segment>,
}

/// What is wanted of cells.
#[derive(Clone)]
pub struct Needs {
    /// Whether users are.
    pub users: bool,
    /// The place of each measure among the sums of a cell.
    pub measures: Vec<usize>,
    /// The place of the new users.
    pub new: Option<usize>,
    /// Of users.
    pub hash: HashFamily,
    /// Of intervals that are computed on the way.
    pub confidence: f64,
    /// About how many nanoseconds a joint solution takes.
    pub solution: f64,
    /// The same of what two sides of a comparison have in common.
    pub pair: f64,
}

/// Sources, each of them once, however many segments read it.
pub struct Pool<'c, S> {
    slices: &'c S,
    sources: Vec<Source>,
    places: HashMap<(usize, Millis, usize), Range<u32>>,
    /// The lowest precision that slices of the tiers have been folded to which are read.
    folded: Option<Precision>,
}

impl<S: Slices> Pool<'_, S> {
    /// No sources yet.
    pub fn new(slices: &S) -> Pool<'_, S> {
        Pool {
            slices,
            sources: Vec::new(),
            places: HashMap::new(),
            folded: None,
        }
    }

    /// The sources.
    pub fn into_sources(self) -> Vec<Source> {
        self.sources
    }

    /// Of what these slices have of these factors.
    pub fn segment(&mut self, cover: &Cover, factors: &[Factor]) -> Segment {
        let schema = self.slices.schema();
        let tiers = cover.pieces.iter().map(|piece| piece.tier);
        let folded = tiers.filter_map(|tier| schema.tiers.get(tier)?.precision);
        self.folded = folded.chain(self.folded).min();
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
            sums: schema.sums_at(cover.from),
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
        let since = since(schema, &columns, &question);
        let Known {
            mut cover,
            is_known,
        } = known(slices, &asked, since);
        // A period before may not be kept as finely as this one; then both are cut to borders that both have.
        let mut earlier = None;
        if let Some(Against::Before(shift)) = question.against
            && let Some((now, then)) = before(slices, &cover, since, shift)
        {
            cover = now;
            earlier = Some(then);
        }
        let used = cover.from..cover.to;
        let mut factors = Vec::with_capacity(columns.len());
        for dimensions in &columns {
            factors.push(factor(slices, dimensions, &question));
        }
        let by_factors = factors
            .iter()
            .filter(|factor| !factor.by.is_empty())
            .count();
        if by_factors > 2 {
            return Err(Unanswerable::TooManySets(by_factors));
        }
        for factor in &mut factors {
            factor.repeats = factor.by.is_empty() || by_factors == 2;
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
            Some(unit) => {
                let time = Asked {
                    // Where nothing is known, all of it has buckets that say so.
                    used: if is_known { &used } else { &asked },
                    asked: &asked,
                    since,
                };
                Some(buckets(pool, &question, unit, time, &factors)?)
            }
        };
        // A coarse slice keeps fewer values apart than its finer ones together, and may go on where no bucket does. So
        // what is told bucket by bucket is chosen from the buckets, and the range is theirs.
        let range = match &buckets {
            Some(buckets) => read_by(buckets, &used),
            None => used.clone(),
        };
        let whole_segment = match &buckets {
            None => pool.segment(&cover, &factors),
            Some(buckets) => read_together(buckets, factors.len(), schema.sums_at(range.start)),
        };
        // What sets have in common is solved for at the lowest precision among them.
        let lowest = factors.iter().map(|factor| factor.precision);
        let lowest = lowest.chain(pool.folded).min();
        for factor in &mut factors {
            factor.lowest = lowest.unwrap_or(factor.precision);
        }
        let uses_users = |metric: &Metric| {
            let with_users = matches!(metric, Metric::Unique | Metric::Returning);
            with_users || matches!(metric, Metric::PerUser(_))
        };
        let compared = match &question.against {
            None => None,
            Some(against) => {
                let rows = Rows {
                    question: &question,
                    columns: &columns,
                    factors: &factors,
                    buckets: buckets.as_deref(),
                    whole: &whole_segment,
                    range: &used,
                    since,
                };
                Some(other(pool, against, earlier, &rows)?)
            }
        };
        let pair = compared.as_ref().and_then(|_| {
            let [factor] = &factors[..] else {
                return None;
            };
            Some(solution([factor, factor]))
        });
        Ok(Plan {
            range,
            is_known,
            level,
            needs: Needs {
                users: factors.len() > 1 || metrics.iter().any(uses_users),
                measures: (0..schema.measures.len())
                    .map(|measure| schema.measure_sum(measure))
                    .collect(),
                new: schema.new_sum(),
                hash: schema.hash,
                confidence: with_interval(question.confidence),
                solution: solution(&factors),
                pair: pair.unwrap_or(0.0),
            },
            compared,
            metrics,
            order: question.order,
            limit: question.limit,
            offset: question.offset,
            gaps: question.gaps,
            whole: whole_segment,
            factors,
            by,
            buckets,
        })
    }

    /// The factors of rows and then, where they are others, of what rows are compared with.
    pub fn factor_mut(&mut self, at: usize) -> Option<&mut Factor> {
        let others = self
            .compared
            .as_mut()
            .and_then(|other| other.factors.as_mut());
        let others = others.into_iter().flatten();
        self.factors.iter_mut().chain(others).nth(at)
    }

    /// How many segments rows are made for.
    pub fn segments(&self) -> usize {
        self.buckets.as_ref().map_or(1, Vec::len)
    }

    /// One of them; `None` where nothing is known of it.
    pub fn segment(&self, at: usize) -> Option<&Segment> {
        match &self.buckets {
            None => Some(&self.whole).filter(|_| self.is_known),
            Some(buckets) => buckets[at].segment.as_ref(),
        }
    }

    /// Whether figures of users decide which rows are chosen: the survey does not know them.
    pub fn needs_figures_to_choose(&self) -> bool {
        let by_users = |order: Order| {
            let with_users = matches!(order.metric, Metric::Unique | Metric::Returning);
            with_users || matches!(order.metric, Metric::PerUser(_))
        };
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

/// Since when there is everything that is asked about: the columns, and the measures that are asked for by name. Of
/// others nothing is known in a stretch of time that begins before them.
fn since(schema: &Schema, columns: &[Vec<usize>], question: &Question) -> Millis {
    let columns = columns
        .iter()
        .map(|dimensions| schema.since(column_of(schema, dimensions)));
    let ordered = question.order.map(|order| order.metric);
    let named = question.metrics.iter().copied().chain(ordered);
    let measures = named.filter_map(|metric| match metric {
        Metric::Sum(at) | Metric::PerEvent(at) | Metric::PerUser(at) => {
            Some(schema.measure_since(at))
        }
        Metric::Unique | Metric::Events | Metric::New | Metric::Returning => None,
    });
    columns.chain(measures).fold(Millis::MIN, Millis::max)
}

/// The same of a question alone.
pub fn begun(schema: &Schema, question: &Question) -> Result<Millis, Unanswerable> {
    let (_, columns) = columns(schema, question)?;
    Ok(since(schema, &columns, question))
}

/// What there is since an instant.
pub fn kept_since(slices: &impl Slices, since: Millis) -> Option<Range<Millis>> {
    let kept = slices.kept()?;
    Some(kept.start.max(since)..kept.end)
}

/// What is known of a stretch of time.
pub struct Known {
    /// The slices that make it up, as far as they can.
    pub cover: Cover,
    /// Whether it has an answer. It has one without slices where nothing can have happened.
    pub is_known: bool,
}

/// What is known of the time that is asked about, since there is everything that is asked about; see the head of this
/// file. Where nothing is known, the cover is empty, and where it lies time is remembered next.
pub fn known(slices: &impl Slices, asked: &Range<Millis>, since: Millis) -> Known {
    let without_slices = |range: Range<Millis>, is_known| Known {
        cover: Cover {
            from: range.start,
            to: range.end,
            pieces: Vec::new(),
        },
        is_known,
    };
    // Of a cube in which nothing happened all is known since it knows the columns.
    let remembered = slices.remembered(since).unwrap_or(since..since);
    if asked.is_empty() {
        return without_slices(asked.start..asked.start, true);
    }
    if asked.end <= remembered.start {
        return without_slices(remembered.start..remembered.start, false);
    }
    let clipped = asked.start.max(remembered.start)..asked.end.min(remembered.end);
    if clipped.is_empty() {
        // Nothing has happened yet.
        return without_slices(asked.start.max(since)..asked.end, true);
    }
    let cover = slices.cover_since(clipped, since);
    let is_known = !cover.pieces.is_empty();
    Known { cover, is_known }
}

/// The slice that an instant lies in, of the finest tier that still has it.
pub fn slice_around(slices: &impl Slices, at: Millis, since: Millis) -> Option<Range<Millis>> {
    let schema = slices.schema();
    let mut tiers = schema.tiers.iter();
    tiers.find_map(|tier| {
        let slice = schema.calendar.slice(tier.slice, at);
        let cover = slices.cover_since(slice.clone(), since);
        let is_there = cover.is_exact(&slice) && !cover.pieces.is_empty();
        is_there.then_some(slice)
    })
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
        if matches!(metric, Metric::New | Metric::Returning) && schema.new.is_none() {
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

/// The column of these dimensions.
pub fn column_of(schema: &Schema, dimensions: &[usize]) -> usize {
    match dimensions {
        [] => 0,
        [dimension] => schema.dimension_column(*dimension),
        several => schema.group_column(schema.group_of(several).unwrap_or_default()),
    }
}

/// What is read of the column of these dimensions.
pub fn factor(slices: &impl Slices, dimensions: &[usize], question: &Question) -> Factor {
    let schema = slices.schema();
    let column = column_of(schema, dimensions);
    let (precision, order, all) = match dimensions {
        [] => (schema.precision, vec![], Combinations::Values(0)),
        [dimension] => (
            schema.dimensions[*dimension].precision,
            dimensions.to_vec(),
            Combinations::Values(slices.names(*dimension).bound()),
        ),
        several => {
            let at = schema.group_of(several).unwrap_or_default();
            let group = &schema.groups[at];
            (
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
    Factor {
        precision,
        lowest: precision,
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
fn solution<'f>(factors: impl IntoIterator<Item = &'f Factor>) -> f64 {
    let full = |factor: &Factor| {
        let registers = vec![0; factor.precision.registers()];
        let dense = Dense::from_registers(registers, factor.precision, true).ok()?;
        Some(Sketch::from_dense(HashFamily::default(), dense))
    };
    let sketches: Vec<Sketch> = factors.into_iter().filter_map(full).collect();
    if sketches.len() < 2 {
        return 0.0;
    }
    joint_cost::solution(&sketches).as_nanos() as f64
}

/// Borders of each tier at which a time may end to be compared: as many as the days by which months differ, and one.
const DAYS_OF_MONTHS: usize = 4;

/// By how much two times that are as long on the clock may differ.
const CLOCK_CHANGES: Millis = 2 * 3_600_000;

/// The time that was asked about and the same so much earlier, both cut to borders that both have; `None` where the
/// earlier one is not kept.
fn before(
    slices: &impl Slices,
    cover: &Cover,
    since: Millis,
    shift: Shift,
) -> Option<(Cover, Cover)> {
    let schema = slices.schema();
    let calendar = &schema.calendar;
    let kept = kept_since(slices, since)?;
    let slice_at = |tier: &Tier, at| calendar.slice(tier.slice, at);
    let tiers = schema.tiers.iter();
    let starts = tiers.clone().map(|tier| match slice_at(tier, cover.from) {
        slice if slice.start == cover.from => cover.from,
        slice => slice.end,
    });
    // A month has up to three days that the one before it does not have.
    let ends = tiers.flat_map(|tier| {
        let last = slice_at(tier, cover.to).start;
        let before = |end: &Millis| Some(slice_at(tier, end - 1).start);
        std::iter::successors(Some(last), before).take(DAYS_OF_MONTHS)
    });
    let starts: BTreeSet<Millis> = starts.chain([cover.from]).collect();
    let ends: BTreeSet<Millis> = ends.chain([cover.to]).collect();
    // From the longest.
    let pairs = starts
        .iter()
        .flat_map(|&start| ends.iter().map(move |&end| start..end));
    let mut pairs: Vec<Range<Millis>> = pairs.filter(|range| !range.is_empty()).collect();
    pairs.sort_by_key(|range| range.start - range.end);
    pairs.into_iter().find_map(|now| {
        let then = shift.back(calendar, now.start)..shift.back(calendar, now.end);
        // As long but for changes of the clock, and not the same time once more.
        let longer = (then.end - then.start) - (now.end - now.start);
        let is_as_long = longer.abs() <= CLOCK_CHANGES && then.end <= now.start;
        if then.is_empty() || !is_as_long || then.start < kept.start {
            return None;
        }
        let of_then = slices.cover_since(then.clone(), since);
        let of_now = match now == (cover.from..cover.to) {
            true => cover.clone(),
            false => slices.cover_since(now.clone(), since),
        };
        (of_then.is_exact(&then) && of_now.is_exact(&now)).then_some((of_now, of_then))
    })
}

/// The rows of a question, as far as they are planned.
struct Rows<'p> {
    question: &'p Question,
    columns: &'p [Vec<usize>],
    factors: &'p [Factor],
    buckets: Option<&'p [Bucket]>,
    whole: &'p Segment,
    range: &'p Range<Millis>,
    since: Millis,
}

/// What rows are compared with.
fn other<S: Slices>(
    pool: &mut Pool<S>,
    against: &Against,
    earlier: Option<Cover>,
    rows: &Rows,
) -> Result<Other, Unanswerable> {
    let slices = pool.slices;
    let (cover, shift) = match against {
        Against::Before(shift) => (earlier, *shift),
        Against::Between(range) => {
            let cover = known(slices, range, rows.since).cover;
            let calendar = &slices.schema().calendar;
            let shift = Shift::Local(calendar.local_length(&(cover.from..rows.range.start)));
            (Some(cover).filter(|cover| !cover.pieces.is_empty()), shift)
        }
        Against::Other(condition) => return others(slices, condition, rows),
    };
    let mut range = cover.as_ref().map(|cover| cover.from..cover.to);
    let segments = match (rows.buckets, &cover) {
        (None, cover) => {
            let segment = cover
                .as_ref()
                .map(|cover| pool.segment(cover, rows.factors));
            vec![segment]
        }
        (Some(buckets), None) => vec![None; buckets.len()],
        (Some(buckets), Some(_)) => {
            let earlier = buckets.iter().map(|bucket| {
                bucket.segment.as_ref()?;
                earlier_bucket(pool, bucket, shift, rows)
            });
            let (parts, segments): (Vec<_>, Vec<_>) = earlier.map(Option::unzip).unzip();
            range = hull(parts.into_iter().flatten());
            segments
        }
    };
    Ok(Other {
        range,
        factors: None,
        segments,
    })
}

/// From the beginning of the first of these to the end of the last; `None` of none.
fn hull(ranges: impl Iterator<Item = Range<Millis>>) -> Option<Range<Millis>> {
    ranges.reduce(|all, range| all.start.min(range.start)..all.end.max(range.end))
}

/// The time that these buckets of what is used are read from. Where nothing is, it is empty, unless nothing can have
/// happened.
fn read_by(buckets: &[Bucket], used: &Range<Millis>) -> Range<Millis> {
    let parts = buckets.iter().map(|bucket| bucket.part.clone());
    let read = hull(parts.filter(|part| !part.is_empty()));
    let is_to_come = || buckets.iter().any(|bucket| bucket.segment.is_some());
    read.unwrap_or_else(|| match is_to_come() {
        true => used.clone(),
        false => used.end..used.end,
    })
}

/// What is read for all of these buckets.
fn read_together(buckets: &[Bucket], factors: usize, sums: usize) -> Segment {
    let sources = (0..factors).map(|factor| {
        let segments = buckets.iter().filter_map(|bucket| bucket.segment.as_ref());
        let of_factor = segments.flat_map(|segment| &segment.sources[factor]);
        of_factor.copied().collect()
    });
    Segment {
        sources: sources.collect(),
        sums,
    }
}

/// A bucket so much earlier, and when that is; `None` where slices do not have its borders.
fn earlier_bucket<S: Slices>(
    pool: &mut Pool<S>,
    bucket: &Bucket,
    shift: Shift,
    rows: &Rows,
) -> Option<(Range<Millis>, Segment)> {
    let slices = pool.slices;
    let kept = kept_since(slices, rows.since)?;
    let calendar = &slices.schema().calendar;
    let own = rows.question.calendar.as_ref().unwrap_or(calendar);
    let slice = own.slice(rows.question.bucket?, bucket.start);
    let (start, end) = (
        slice.start.max(rows.range.start),
        slice.end.min(rows.range.end),
    );
    let then = shift.back(calendar, start)..shift.back(calendar, end);
    if then.is_empty() || then.start < kept.start || then.end > kept.end {
        return None;
    }
    let cover = slices.cover_since(then.clone(), rows.since);
    let is_exact = cover.is_exact(&then);
    is_exact.then(|| (then, pool.segment(&cover, rows.factors)))
}

/// The same time, and other events in it.
fn others(slices: &impl Slices, condition: &Condition, rows: &Rows) -> Result<Other, Unanswerable> {
    let dimension = condition.dimension;
    let mut question = rows.question.clone();
    let mut conditions = question.conditions.iter_mut();
    let replaced = conditions.find(|own| own.dimension == dimension);
    let replaced = replaced.filter(|_| !rows.question.by.contains(&dimension));
    *replaced.ok_or(Unanswerable::NotCompared(dimension))? = condition.clone();
    let columns = rows.columns.iter().zip(rows.factors);
    let factors = columns.map(|(dimensions, own)| Factor {
        lowest: own.lowest,
        repeats: own.repeats,
        ..factor(slices, dimensions, &question)
    });
    let segments = match rows.buckets {
        None => vec![Some(rows.whole.clone())],
        Some(buckets) => buckets
            .iter()
            .map(|bucket| bucket.segment.clone())
            .collect(),
    };
    Ok(Other {
        range: Some(rows.range.clone()),
        factors: Some(factors.collect()),
        segments,
    })
}

/// The time that buckets are cut from.
struct Asked<'a> {
    /// As it was asked about.
    asked: &'a Range<Millis>,
    /// What of it is answered.
    used: &'a Range<Millis>,
    /// Since when there is everything that is asked about.
    since: Millis,
}

/// The buckets of a question.
fn buckets<S: Slices>(
    pool: &mut Pool<S>,
    question: &Question,
    unit: Span,
    Asked { asked, used, since }: Asked,
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
    let kept = slices.remembered(since);
    let first = kept_since(slices, since).map(|kept| kept.start);
    // Time that is not kept has buckets too, of which nothing is known; what was only rounded has none. Where those
    // without events have no rows, there is no need to look at what is before the first of them.
    let filled = match (question.gaps, &kept) {
        (Gaps::Left, _) => {
            let first = first.unwrap_or(used.start);
            used.start.max(first.min(used.end))..used.end
        }
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
    let oldest = first.unwrap_or(Millis::MAX);
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
        let mut part = slice.start.max(used.start)..slice.end.min(used.end).min(newest);
        let segment = if slice.start >= newest {
            // Nothing has happened yet.
            part.end = part.start;
            Some(Segment {
                sources: vec![Vec::new(); factors.len()],
                sums: schema.sums_at(slice.start),
            })
        } else if part.is_empty() {
            None
        } else {
            let cover = slices.cover_since(part.clone(), since);
            cover.is_exact(&part).then(|| pool.segment(&cover, factors))
        };
        if segment.is_none() && slice.end > oldest {
            any_misfit = true;
            works_from = None;
        } else if segment.is_some() {
            works_from = works_from.or(Some(slice.start));
        }
        if segment.is_none() {
            part.end = part.start;
        }
        buckets.push(Bucket {
            start: slice.start,
            part,
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
