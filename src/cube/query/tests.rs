//! Answers against a naive twin, which goes through all events for every row.

use super::cost::Effort;
use super::*;
use crate::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use crate::cube::column::{Builder, Column};
use crate::cube::cover::{Cover, Kept, Piece, cover};
use crate::cube::intern::{Intern, Members};
use crate::cube::intern::{MembersSnapshot, Names};
use crate::cube::pack;
use crate::cube::question::{Condition, Test, Time};
use crate::cube::schema::{Dimension, Group, Schema, TOTAL, Tier};
use crate::cube::source::{OpenCells, Size};
use crate::cube::users::{Cell, Content, Registers, Sums, Tokens, Users};
use crate::sketch::joint::{Joint, SetMask};
use crate::sketch::{Dense, Estimate, HashFamily, Method, Precision, Token, TokenSet, token};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

mod sets;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// The first day on which something happens.
const BEGIN: Millis = 20_000 * DAY;

/// The values of each dimension, in the order of their numbers, which is not that of their bytes.
const VALUES: [&[&str]; 3] = [
    &["f", "b", "d", "a", "e", "c"],
    &["y", "x", "w", "z"],
    &["m", "k", "l"],
];

#[derive(Clone, Debug)]
struct Event {
    at: Millis,
    user: u64,
    /// Numbers of values.
    values: [Option<u32>; 3],
    measures: [f64; 2],
    is_new: bool,
}

/// Hours for a while, days for long; cells in several sources of every kind.
#[derive(Debug)]
struct Model {
    schema: Schema,
    events: Vec<Event>,
    hours_from: Millis,
}

/// As much as any source of a [`Model`] may well be.
const TEN_CELLS: Size = Size {
    cells: 10,
    bytes: 10,
    content: Content {
        tokens: 2,
        packed_tokens: 0,
        registers: 0,
        packed_registers: 0,
    },
};

/// What a cell holds.
#[derive(Clone, Debug, Default)]
struct Sum {
    events: u64,
    sums: [f64; 3],
    variance: f64,
    tokens: BTreeSet<Token>,
}

impl Sum {
    fn take(&mut self, event: &Event, weight: f64) {
        self.events += 1;
        for (sum, measure) in self.sums.iter_mut().zip(event.measures) {
            *sum += measure;
        }
        if event.is_new {
            self.sums[2] += 1.0;
            self.variance += weight - 1.0;
        }
        self.tokens.insert(token::from_hash(event.user));
    }

    /// Registers have no running estimate, wherever they are.
    fn sketch(&self, precision: Precision) -> Sketch {
        let tokens = TokenSet::from_unsorted(self.tokens.iter().copied().collect());
        let sketch = Sketch::from_tokens(precision, HashFamily::default(), tokens);
        match sketch.dense() {
            None => sketch,
            Some(dense) => {
                let registers = dense.registers().to_vec();
                let dense = Dense::from_registers(registers, precision, true).unwrap();
                Sketch::from_dense(HashFamily::default(), dense)
            }
        }
    }
}

/// Cells as they are handed out.
struct OwnCells(BTreeMap<u32, OwnCell>);

struct OwnCell {
    events: u64,
    sums: [f64; 3],
    tokens: Vec<Token>,
    sketch: Sketch,
}

impl OwnCells {
    fn cell(number: u32, own: &OwnCell) -> Cell<'_> {
        Cell {
            number,
            events: own.events,
            sums: Sums::Numbers(&own.sums),
            users: match own.sketch.dense() {
                None => Users::Tokens(Tokens::List(&own.tokens)),
                Some(dense) => Users::Registers {
                    registers: Registers::Plain(dense.registers()),
                    estimate: dense.estimate(),
                },
            },
        }
    }

    fn column(&self) -> Column {
        let mut builder = Builder::new(3);
        for (&number, own) in &self.0 {
            builder.push(OwnCells::cell(number, own));
        }
        builder.finish()
    }
}

impl OpenCells for OwnCells {
    fn get(&self, number: u32) -> Option<Cell<'_>> {
        self.0.get(&number).map(|own| OwnCells::cell(number, own))
    }

    fn scan(&self, from: u32, most: usize, take: &mut dyn FnMut(Cell<'_>)) -> Option<u32> {
        let mut rest = self.0.range(from..);
        for (&number, own) in rest.by_ref().take(most) {
            take(OwnCells::cell(number, own));
        }
        rest.next().map(|(&number, _)| number)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// Where an event is counted in a column.
enum Place {
    Nowhere,
    Other,
    At(Vec<u32>),
}

impl Model {
    fn new(events: Vec<Event>, hours_from: Millis, precisions: [u8; 3]) -> Model {
        let [total, dimension, group] = precisions.map(|p| Precision::new(p).unwrap());
        let dimensions = ["a", "b", "c"].map(|name| Dimension {
            name: name.to_owned(),
            precision: dimension,
            values: 10,
            user_level: name == "c",
        });
        let groups = [vec![1, 0], vec![0, 2, 1]].map(|dimensions| Group {
            dimensions,
            precision: group,
            values: 10,
        });
        let tier = |slice, retention| Tier {
            slice,
            retention,
            precision: None,
        };
        let schema = Schema {
            tiers: vec![
                tier(Span::Millis(HOUR), Span::Days(2)),
                tier(Span::Days(1), Span::Days(90)),
            ],
            dimensions: dimensions.to_vec(),
            groups: groups.to_vec(),
            measures: vec!["cost".to_owned(), "gain".to_owned()],
            precision: total,
            new: Some(Precision::DEFAULT),
            calendar: Calendar {
                zone: Zone::named("UTC").unwrap(),
                week_start: WeekStart::Monday,
            },
            hash: HashFamily::default(),
            max_bytes: None,
            history: Default::default(),
        };
        Model {
            schema,
            events,
            hours_from,
        }
    }

    fn newest(&self) -> Option<Millis> {
        self.events.iter().map(|event| event.at).max()
    }

    fn dimensions(&self, column: usize) -> Vec<usize> {
        match column {
            0 => vec![],
            1..=3 => vec![column - 1],
            _ => self.schema.groups[column - 4].dimensions.clone(),
        }
    }

    /// Some combinations have no cell of their own in some slices.
    fn place(&self, event: &Event, dimensions: &[usize], piece: &Piece) -> Place {
        let numbers: Option<Vec<u32>> = dimensions.iter().map(|&at| event.values[at]).collect();
        let Some(numbers) = numbers else {
            return Place::Nowhere;
        };
        let mixed = numbers.iter().sum::<u32>() as Millis + piece.start / HOUR;
        if !dimensions.is_empty() && mixed % 7 == 0 {
            return Place::Other;
        }
        Place::At(numbers)
    }

    fn weight(&self, piece: &Piece) -> f64 {
        1.0 + (piece.start / HOUR % 3) as f64
    }

    /// Numbers of combinations: of all that there might be.
    fn number(&self, column: usize, numbers: &[u32]) -> u32 {
        match column {
            0 => TOTAL,
            1..=3 => numbers[0],
            _ => numbers.iter().fold(0, |number, one| number * 7 + one),
        }
    }

    fn own_cells(&self, piece: &Piece, column: usize, part: usize) -> OwnCells {
        let dimensions = self.dimensions(column);
        let precision = match column {
            0 => self.schema.precision,
            1..=3 => self.schema.dimensions[column - 1].precision,
            _ => self.schema.groups[column - 4].precision,
        };
        let mut cells: BTreeMap<u32, Sum> = BTreeMap::new();
        for (at, event) in self.events.iter().enumerate() {
            if event.at < piece.start || event.at >= piece.end || at % 3 % 2 != part {
                continue;
            }
            let number = match self.place(event, &dimensions, piece) {
                Place::Nowhere => continue,
                Place::Other => OTHER,
                Place::At(numbers) => self.number(column, &numbers),
            };
            cells
                .entry(number)
                .or_default()
                .take(event, self.weight(piece));
        }
        let own = cells.into_iter().map(|(number, sum)| {
            let own = OwnCell {
                events: sum.events,
                sums: sum.sums,
                tokens: sum.tokens.iter().copied().collect(),
                sketch: sum.sketch(precision),
            };
            (number, own)
        });
        OwnCells(own.collect())
    }
}

impl Slices for Model {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn kept(&self) -> Option<Range<Millis>> {
        let end = self.newest()?.div_euclid(HOUR) * HOUR + HOUR;
        Some(BEGIN..end)
    }

    fn due(&self) -> Option<Millis> {
        Some(self.newest()?.div_euclid(HOUR) * HOUR)
    }

    fn cover(&self, range: Range<Millis>) -> Cover {
        let kept = |slice, from| Kept { slice, from };
        let tiers = [
            kept(Span::Millis(HOUR), self.hours_from),
            kept(Span::Days(1), BEGIN),
        ];
        cover(
            &self.schema.calendar,
            &tiers,
            self.due().unwrap_or(0),
            range,
        )
    }

    fn sources(&self, piece: &Piece, column: usize) -> Vec<Source> {
        let weight = self.weight(piece);
        let first = self.own_cells(piece, column, 0);
        let first = match piece.start / HOUR % 3 {
            0 => Source::sealed(Arc::new(first.column()), weight),
            1 => Source::open(Arc::new(first), weight),
            _ => Source::pending(Arc::new(move || first.column()), TEN_CELLS, weight),
        };
        let late = self.own_cells(piece, column, 1);
        let mut sources = vec![first];
        if !late.0.is_empty() {
            sources.push(Source::sealed(Arc::new(late.column()), weight));
        }
        sources
    }

    fn names(&self, dimension: usize) -> Names {
        let names = VALUES[dimension].iter().map(|name| name.as_bytes());
        names_of(names)
    }

    fn find_value(&self, dimension: usize, value: &[u8]) -> Option<u32> {
        let at = VALUES[dimension]
            .iter()
            .position(|name| name.as_bytes() == value)?;
        Some(at as u32 + 1)
    }

    fn members(&self, group: usize) -> MembersSnapshot {
        let mut all = BTreeMap::new();
        let column = 4 + group;
        let size = self.schema.groups[group].dimensions.len() as u32;
        for code in 0..7u32.pow(size) {
            let digits: Vec<u32> = (0..size).rev().map(|at| code / 7u32.pow(at) % 7).collect();
            if !digits.contains(&0) {
                let mut numbers = [0; 4];
                numbers[..digits.len()].copy_from_slice(&digits);
                all.insert(self.number(column, &digits), numbers);
            }
        }
        members_of(all)
    }

    fn find_member(&self, group: usize, numbers: [u32; 4]) -> Option<u32> {
        let size = self.schema.groups[group].dimensions.len();
        Some(self.number(4 + group, &numbers[..size]))
    }
}

fn names_of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Names {
    Intern::restore(0, (1..).zip(names)).unwrap().names()
}

fn members_of(all: BTreeMap<u32, [u32; 4]>) -> MembersSnapshot {
    let members = all.iter().map(|(&number, member)| (number, member));
    Members::restore(0, members).unwrap().snapshot()
}

// ---------------------------------------------------------------------------------------------------------
// The twin

/// The rows of a column in some slices, by the values that were asked by; and what is in `(other)`.
struct Naive {
    rows: BTreeMap<Vec<Vec<u8>>, Sum>,
    other: Sum,
}

struct Twin<'m> {
    model: &'m Model,
    question: &'m Question,
    columns: Vec<Vec<usize>>,
    level: Level,
    metrics: Vec<Metric>,
}

/// A dimension and a value of it.
type Named = (usize, Vec<u8>);

/// A row of the twin: its counters, and its users.
type Counted = (Sum, Option<Figure>);

impl Twin<'_> {
    fn precision(&self, dimensions: &[usize]) -> Precision {
        match dimensions {
            [] => self.model.schema.precision,
            [one] => self.model.schema.dimensions[*one].precision,
            _ => self.model.schema.groups[0].precision,
        }
    }

    fn naive(&self, dimensions: &[usize], pieces: &[Piece]) -> Naive {
        let mut naive = Naive {
            rows: BTreeMap::new(),
            other: Sum::default(),
        };
        // The order in which the group was declared decides what is folded.
        let groups = self
            .model
            .schema
            .groups
            .iter()
            .map(|group| &group.dimensions);
        let same = |group: &&Vec<usize>| {
            group.iter().collect::<BTreeSet<_>>() == dimensions.iter().collect()
        };
        let dimensions = groups
            .clone()
            .find(same)
            .cloned()
            .unwrap_or(dimensions.to_vec());
        for piece in pieces {
            let inside = |event: &&Event| (piece.start..piece.end).contains(&event.at);
            for event in self.model.events.iter().filter(inside) {
                let weight = self.model.weight(piece);
                match self.model.place(event, &dimensions, piece) {
                    Place::Nowhere => {}
                    Place::Other => naive.other.take(event, weight),
                    Place::At(_) => {
                        let value = |at: usize| {
                            VALUES[at][event.values[at].unwrap() as usize - 1]
                                .as_bytes()
                                .to_vec()
                        };
                        let meets = |condition: &&Condition| {
                            let named = condition.values.contains(&value(condition.dimension));
                            named == (condition.test == Test::In)
                        };
                        let own = self.question.conditions.iter();
                        let mut own = own.filter(|own| dimensions.contains(&own.dimension));
                        if own.all(|condition| meets(&condition)) {
                            let by = self.question.by.iter();
                            let by = by.filter(|by| dimensions.contains(by));
                            let values = by.map(|&by| value(by)).collect();
                            naive.rows.entry(values).or_default().take(event, weight);
                        }
                    }
                }
            }
        }
        naive
    }

    fn alone(&self, sum: &Sum, precision: Precision) -> Counted {
        let users = Figure::Estimate(sum.sketch(precision).estimate());
        (sum.clone(), Some(users))
    }

    /// All rows there are in these slices, and what is in `(other)`.
    fn rows(&self, pieces: &[Piece]) -> (BTreeMap<Vec<Vec<u8>>, Counted>, Sum) {
        let naives: Vec<Naive> = self
            .columns
            .iter()
            .map(|own| self.naive(own, pieces))
            .collect();
        let other = naives
            .iter()
            .map(|naive| &naive.other)
            .max_by_key(|other| other.events);
        let other = other.cloned().unwrap_or_default();
        if let [naive] = &naives[..] {
            let precision = self.precision(&self.columns[0]);
            let rows = naive.rows.iter();
            let rows = rows.map(|(values, sum)| (values.clone(), self.alone(sum, precision)));
            return (rows.collect(), other);
        }
        let mut sets: Vec<(Vec<Named>, Vec<Sketch>)> = vec![(vec![], vec![])];
        for (naive, column) in naives.iter().zip(&self.columns) {
            let precision = self.precision(column);
            let by: Vec<usize> = self
                .question
                .by
                .iter()
                .copied()
                .filter(|by| column.contains(by))
                .collect();
            let nothing = BTreeMap::from([(vec![], Sum::default())]);
            let empty = naive.rows.is_empty() && by.is_empty();
            let rows = if empty { &nothing } else { &naive.rows };
            let before = std::mem::take(&mut sets);
            for (values, sketches) in before {
                for (more, sum) in rows {
                    let mut values = values.clone();
                    values.extend(by.iter().copied().zip(more.iter().cloned()));
                    let mut sketches = sketches.clone();
                    sketches.push(sum.sketch(precision));
                    sets.push((values, sketches));
                }
            }
        }
        let rows = sets.into_iter().map(|(values, sketches)| {
            let by = self.question.by.iter();
            let values = by.map(|by| values.iter().find(|own| own.0 == *by).unwrap().1.clone());
            let sketches: Vec<&Sketch> = sketches.iter().collect();
            let joint = Joint::solve(&sketches).unwrap();
            let common = joint.intersection(SetMask::first(sketches.len()));
            let (lower, upper) = common.interval(self.question.confidence);
            let users = Estimate {
                value: common.value,
                variance: common.variance,
                method: match sketches.iter().any(|set| set.is_empty()) {
                    true => Method::Exact,
                    false => common.method,
                },
            };
            let users = Figure::Common {
                users,
                lower,
                upper,
            };
            (values.collect(), (Sum::default(), Some(users)))
        });
        (rows.collect(), other)
    }

    fn figure(&self, (sum, users): &Counted, metric: Metric) -> Option<Figure> {
        if self.level == Level::Users {
            return (*users).filter(|_| metric == Metric::Unique);
        }
        let estimate = || match users {
            Some(Figure::Estimate(users)) => *users,
            _ => unreachable!(),
        };
        match metric {
            Metric::Unique => *users,
            Metric::Events => Some(Figure::Exact(sum.events as f64)),
            Metric::New => Some(Figure::Estimate(Estimate {
                value: sum.sums[2],
                variance: sum.variance,
                method: Method::Hip,
            })),
            Metric::Returning => unreachable!("other tests ask for them"),
            Metric::Sum(at) => Some(Figure::Exact(sum.sums[at])),
            Metric::PerEvent(at) => {
                (sum.events > 0).then(|| Figure::Exact(sum.sums[at] / sum.events as f64))
            }
            Metric::PerUser(at) => (estimate().value > 0.0).then(|| Figure::Ratio {
                sum: sum.sums[at],
                users: estimate(),
            }),
        }
    }

    fn value(&self, counted: &Counted) -> Option<f64> {
        let order = self.question.order?;
        Some(match self.figure(counted, order.metric)? {
            Figure::Exact(value) => value,
            Figure::Estimate(users) | Figure::Common { users, .. } => users.value,
            Figure::Ratio { sum, users } => sum / users.value,
        })
    }

    fn exists(&self, counted: &Counted) -> bool {
        match counted {
            (_, Some(Figure::Common { users, .. })) => users.value >= 0.5,
            (sum, _) => sum.events > 0,
        }
    }

    fn answer(
        &self,
        range: Range<Millis>,
        known: Option<&[Piece]>,
        buckets: Option<&[Known]>,
    ) -> Answer {
        let question = self.question;
        let pieces = known.unwrap_or(&[]);
        let (rows, other) = self.rows(pieces);
        let mut chosen: Vec<(Vec<Vec<u8>>, Counted)> = rows
            .into_iter()
            .filter(|(_, counted)| question.by.is_empty() || self.exists(counted))
            .collect();
        if chosen.is_empty() && question.by.is_empty() {
            chosen.push((
                vec![],
                self.alone(&Sum::default(), self.precision(&self.columns[0])),
            ));
        }
        if let Some(order) = question.order {
            chosen.sort_by(|(_, a), (_, b)| match (self.value(a), self.value(b)) {
                (Some(a), Some(b)) if order.direction == Direction::Descending => b.total_cmp(&a),
                (Some(a), Some(b)) => a.total_cmp(&b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            });
        }
        let chosen: Vec<_> = chosen
            .into_iter()
            .skip(question.offset)
            .take(question.limit.unwrap_or(usize::MAX))
            .collect();
        let conditioned = !question.conditions.is_empty();
        let other_row =
            !question.by.is_empty() && !conditioned && self.columns.len() == 1 && other.events > 0;
        let mut done = vec![];
        let whole = [Known {
            start: 0,
            part: range.clone(),
            pieces: known.map(<[Piece]>::to_vec),
        }];
        for bucket in buckets.unwrap_or(&whole) {
            let (rows, here) = self.rows(bucket.pieces.as_deref().unwrap_or(&[]));
            let start = buckets.map(|_| bucket.start);
            let filled = buckets.is_some() && question.gaps == Gaps::Filled;
            let mut emit = |values: &[Vec<u8>], counted: Option<&Counted>, at_least| {
                let metrics = self.metrics.iter();
                let known = bucket.pieces.is_some();
                done.push(Row {
                    bucket: start,
                    values: values.iter().map(|value| Arc::from(&value[..])).collect(),
                    figures: metrics
                        .map(|&metric| {
                            let counted = counted.filter(|_| known)?;
                            self.figure(counted, metric)
                        })
                        .collect(),
                    at_least,
                });
            };
            let nothing = if self.columns.len() > 1 {
                let zero = Estimate::from_tokens(0);
                let users = Figure::Common {
                    users: zero,
                    lower: 0.0,
                    upper: 0.0,
                };
                (Sum::default(), Some(users))
            } else {
                self.alone(&Sum::default(), self.precision(&self.columns[0]))
            };
            for (values, _) in &chosen {
                let counted = rows.get(values).unwrap_or(&nothing);
                if filled || buckets.is_none() || self.exists(counted) {
                    emit(values, Some(counted), here.events > 0);
                }
            }
            if other_row && (here.events > 0 || filled) {
                let values = vec![OTHER_NAME.to_vec(); question.by.len()];
                let counted = self.alone(&here, self.precision(&self.columns[0]));
                emit(&values, Some(&counted), false);
            }
        }
        Answer {
            range,
            level: self.level,
            other_events: other.events,
            metrics: self.metrics.clone(),
            rows: done,
        }
    }
}

struct Known {
    start: Millis,
    part: Range<Millis>,
    pieces: Option<Vec<Piece>>,
}

/// The answer of the twin; `None` where there is none.
fn twin(model: &Model, question: &Question) -> Option<Answer> {
    let mut dimensions: BTreeSet<usize> = question.by.iter().copied().collect();
    dimensions.extend(
        question
            .conditions
            .iter()
            .map(|condition| condition.dimension),
    );
    let declared =
        |some: &BTreeSet<usize>| some.len() < 2 || [[0, 1].into(), [0, 1, 2].into()].contains(some);
    let (level, columns): (_, Vec<Vec<usize>>) = if question.level == Level::Users {
        let own = dimensions.iter().map(|&own| vec![own]);
        (Level::Users, own.collect())
    } else if declared(&dimensions) {
        (Level::Event, vec![dimensions.iter().copied().collect()])
    } else if dimensions.contains(&2) {
        let rest = dimensions.iter().copied().filter(|&own| own != 2).collect();
        (Level::Users, vec![vec![2], rest])
    } else {
        return None;
    };
    let columns = if columns.is_empty() {
        vec![vec![]]
    } else {
        columns
    };
    let ordered = question.order.map(|order| order.metric);
    let mut asked = question.metrics.iter().chain(&ordered);
    if level == Level::Users && asked.any(|&metric| metric != Metric::Unique) {
        return None;
    }
    let mut metrics = question.metrics.clone();
    if metrics.is_empty() {
        metrics = vec![
            Metric::Unique,
            Metric::Events,
            Metric::New,
            Metric::Sum(0),
            Metric::Sum(1),
        ];
    }
    metrics.extend(ordered.filter(|metric| !metrics.contains(metric)));
    let twin = Twin {
        model,
        question,
        columns,
        level,
        metrics,
    };
    let asked = match question.time.clone() {
        None => model.kept().unwrap_or(0..0),
        Some(Time::Between(range)) => range,
        Some(Time::UpTo(range)) => {
            let is_open = model.due().is_some_and(|due| range.end > due);
            let end = (range.end + HOUR - 1).div_euclid(HOUR) * HOUR;
            range.start..if is_open { end } else { range.end }
        }
    };
    let kept = model.kept().unwrap_or(Millis::MIN..Millis::MIN);
    let clipped = asked.start.max(kept.start)..asked.end.min(kept.end);
    let without_slices = |from, to| Cover {
        from,
        to,
        pieces: vec![],
    };
    let (whole, is_known) = if asked.is_empty() {
        (without_slices(asked.start, asked.start), true)
    } else if asked.end <= kept.start {
        (without_slices(kept.start, kept.start), false)
    } else if clipped.is_empty() {
        (without_slices(asked.start, asked.end), true)
    } else {
        let cover = model.cover(clipped);
        let is_known = !cover.pieces.is_empty();
        (cover, is_known)
    };
    let mut range = whole.from..whole.to;
    let used = match is_known {
        true => range.clone(),
        false => asked.clone(),
    };
    let buckets = question.bucket.map(|unit| {
        let length = match unit {
            Span::Millis(length) => length,
            Span::Days(days) => Millis::from(days) * DAY,
            _ => unreachable!(),
        };
        let from = match question.gaps {
            Gaps::Filled if model.events.is_empty() || asked.start < kept.start => asked.start,
            _ => used.start,
        };
        let to = match question.gaps {
            Gaps::Filled if model.events.is_empty() || asked.end > kept.end => asked.end,
            _ => used.end,
        };
        let mut start = from.div_euclid(length) * length;
        let mut buckets = vec![];
        while start < to && from < to {
            let part = start.max(used.start)..(start + length).min(used.end).min(kept.end);
            let cover = model.cover(part.clone());
            let pieces = if start >= kept.end {
                Some(vec![])
            } else if part.is_empty() || !cover.is_exact(&part) {
                None
            } else {
                Some(cover.pieces)
            };
            buckets.push(Known {
                start,
                part,
                pieces,
            });
            start += length;
        }
        buckets
    });
    // Rows by bucket are those of the buckets that are known, and so are the borders.
    let mut pieces = whole.pieces;
    if let Some(buckets) = &buckets {
        let known = buckets.iter().filter(|bucket| bucket.pieces.is_some());
        pieces = known
            .clone()
            .flat_map(|bucket| bucket.pieces.clone().unwrap())
            .collect();
        let mut read = known.clone().filter(|bucket| bucket.pieces != Some(vec![]));
        if let Some(first) = read.next() {
            range = first.part.start..read.next_back().unwrap_or(first).part.end;
        } else if is_known && known.count() == 0 {
            range = used.end..used.end;
        }
    }
    let known = (is_known || buckets.is_some()).then_some(&pieces[..]);
    Some(twin.answer(range, known, buckets.as_deref()))
}

fn run(mut query: Query) -> Result<Answer, Unanswerable> {
    loop {
        if let Some(answer) = query.step() {
            assert!(query.step().is_none());
            return answer;
        }
    }
}

fn ask(slices: &impl Slices, question: &Question) -> Result<Answer, Unanswerable> {
    run(Query::plan(slices, question.clone())?)
}

/// About everything that is kept.
fn question() -> Question {
    Question::everything(0.95)
}

// ---------------------------------------------------------------------------------------------------------
// Anything that may be asked of anything that may have happened

fn any_event() -> impl Strategy<Value = (Millis, u64, [Option<u32>; 3], [i8; 2])> {
    let value = |dimension: usize| {
        let all = VALUES[dimension].len() as u32;
        prop_oneof![4 => (1..=all).prop_map(Some), 1 => Just(None)]
    };
    let at = prop_oneof![0..3 * DAY, DAY..DAY + 3 * HOUR];
    let values = (value(0), value(1)).prop_map(|(a, b)| [a, b, None]);
    (at, 0..400u64, values, [-3i8..10, 0i8..3])
}

fn any_model() -> impl Strategy<Value = Model> {
    let events = prop::collection::vec(any_event(), 0..250);
    let precisions = [4u8..=7, 4u8..=6, 4u8..=6];
    (events, 0..72 * HOUR, precisions).prop_map(|(mut events, hours, precisions)| {
        events.sort_by_key(|event| event.0);
        let mut seen = BTreeSet::new();
        let events = events
            .into_iter()
            .map(|(at, user, [a, b, _], measures)| Event {
                at: BEGIN + at,
                user: (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                // The third belongs to the user.
                values: [a, b, Some(user as u32 % 4).filter(|&value| value > 0)],
                measures: measures.map(f64::from),
                is_new: seen.insert(user),
            });
        Model::new(events.collect(), BEGIN + hours, precisions)
    })
}

fn any_metric() -> impl Strategy<Value = Metric> {
    prop_oneof![
        3 => Just(Metric::Unique),
        1 => Just(Metric::Events),
        1 => Just(Metric::New),
        1 => (0usize..2).prop_map(Metric::Sum),
        1 => (0usize..2).prop_map(Metric::PerEvent),
        1 => (0usize..2).prop_map(Metric::PerUser),
    ]
}

fn any_condition(dimension: usize) -> impl Strategy<Value = Condition> {
    let known = prop::sample::select(VALUES[dimension]);
    let value = prop_oneof![9 => known, 1 => Just("never")];
    let values = prop::collection::vec(value.prop_map(|name| name.as_bytes().to_vec()), 1..4);
    let test = prop_oneof![3 => Just(Test::In), 1 => Just(Test::NotIn)];
    (values, test).prop_map(move |(values, test)| Condition {
        dimension,
        test,
        values,
    })
}

fn any_conditions() -> impl Strategy<Value = Vec<Condition>> {
    let maybe = |dimension| prop::option::weighted(0.35, any_condition(dimension));
    (maybe(0), maybe(1), maybe(2)).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

fn any_time() -> impl Strategy<Value = Option<Time>> {
    let range =
        (-DAY..4 * DAY, 0..4 * DAY).prop_map(|(from, length)| BEGIN + from..BEGIN + from + length);
    let hours = (-24..80i64, 1..80i64)
        .prop_map(|(from, length)| BEGIN + from * HOUR..BEGIN + (from + length) * HOUR);
    prop_oneof![
        Just(None),
        range.clone().prop_map(|range| Some(Time::Between(range))),
        hours.prop_map(|range| Some(Time::Between(range))),
        range.prop_map(|range| Some(Time::UpTo(range))),
    ]
}

fn any_question() -> impl Strategy<Value = Question> {
    let by = prop::sample::subsequence(vec![0usize, 1, 2], 0..=2).prop_shuffle();
    let unit = prop_oneof![
        Just(Span::Millis(HOUR)),
        Just(Span::Millis(3 * HOUR)),
        Just(Span::Days(1))
    ];
    let direction = prop_oneof![Just(Direction::Descending), Just(Direction::Ascending)];
    let order = (any_metric(), direction);
    let order = order.prop_map(|(metric, direction)| Order { metric, direction });
    let rows = (
        by,
        prop::option::weighted(0.3, unit),
        prop::collection::vec(any_metric(), 0..3),
        prop::option::of(order),
        prop::option::of(0usize..8),
        prop_oneof![Just(0usize), 0usize..4],
    );
    let gaps = prop_oneof![Just(Gaps::Left), Just(Gaps::Filled)];
    let level = prop_oneof![5 => Just(Level::Event), 1 => Just(Level::Users)];
    (any_time(), any_conditions(), rows, gaps, level).prop_map(
        |(time, conditions, (by, bucket, metrics, order, limit, offset), gaps, level)| Question {
            time,
            conditions,
            by,
            bucket,
            metrics,
            order,
            limit,
            offset,
            gaps,
            level,
            ..question()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn answers_are_those_of_the_naive_twin(model in any_model(), question in any_question()) {
        match (ask(&model, &question), twin(&model, &question)) {
            (Ok(answer), Some(expected)) => {
                for (row, expected) in answer.rows.iter().zip(&expected.rows) {
                    prop_assert_eq!(row, expected);
                }
                prop_assert_eq!(answer, expected);
            }
            (Err(Unanswerable::NoGroup(_) | Unanswerable::OnlyUsers), None) => {}
            (answer, expected) => prop_assert!(false, "{answer:?} for {expected:?}"),
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// Many values

/// One dimension, hours from [`BEGIN`] on, and in each of them a total and cells of many values.
struct Hours {
    schema: Schema,
    names: Names,
    hours: Vec<[Source; 2]>,
}

/// The users of a value in an hour.
type Drawn = BTreeMap<u32, Vec<u64>>;

fn hash_of(user: u64) -> u64 {
    HashFamily::default().hash(&user.to_le_bytes())
}

/// A sealed column of sketches that users were added to, so that registers have running estimates.
fn column_of(cells: &Drawn, precision: Precision) -> Column {
    let mut builder = Builder::new(3);
    for (&number, users) in cells {
        let mut sketch = Sketch::new(precision, HashFamily::default());
        for &user in users {
            sketch.add_hash(hash_of(user));
        }
        let sums = [users.len() as f64, 0.0, 0.0];
        builder.push(Cell {
            number,
            events: users.len() as u64,
            sums: Sums::Numbers(&sums),
            users: match (sketch.tokens(), sketch.dense()) {
                (Some(tokens), _) => Users::Tokens(Tokens::List(tokens.as_slice())),
                (None, Some(dense)) => Users::Registers {
                    registers: Registers::Plain(dense.registers()),
                    estimate: dense.estimate(),
                },
                (None, None) => unreachable!(),
            },
        });
    }
    builder.finish()
}

impl Hours {
    /// Cells of the first precision, of which some hours are of the second.
    fn new(drawn: &[Drawn], precision: Precision, lowest: Precision) -> Hours {
        let mut schema = Model::new(vec![], BEGIN, [6, 6, 6]).schema;
        schema.dimensions.truncate(1);
        schema.groups.clear();
        schema.precision = precision;
        schema.dimensions[0].precision = precision;
        schema.tiers[0].precision = Some(lowest);
        let hours = drawn.iter().enumerate().map(|(hour, cells)| {
            let precision = if hour % 2 == 0 { precision } else { lowest };
            let all = cells.values().flatten().copied().collect();
            let total = column_of(&BTreeMap::from([(TOTAL, all)]), precision);
            let columns = [total, column_of(cells, precision)];
            columns.map(|column| Source::sealed(Arc::new(column), 1.0))
        });
        let hours = hours.collect();
        let last = drawn.iter().filter_map(|cells| cells.iter().next_back());
        let bound = last.map(|(&number, _)| number).max().unwrap_or(0);
        // Names that do not ascend with their numbers.
        let names: Vec<String> = (1..=bound)
            .map(|at| format!("{:08x}", at.reverse_bits()))
            .collect();
        Hours {
            schema,
            names: names_of(names.iter().map(|name| name.as_bytes())),
            hours,
        }
    }
}

impl Slices for Hours {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn kept(&self) -> Option<Range<Millis>> {
        (!self.hours.is_empty()).then(|| BEGIN..BEGIN + self.hours.len() as Millis * HOUR)
    }

    fn due(&self) -> Option<Millis> {
        self.kept().map(|kept| kept.end)
    }

    fn cover(&self, range: Range<Millis>) -> Cover {
        let hours = Kept {
            slice: Span::Millis(HOUR),
            from: BEGIN,
        };
        cover(&self.schema.calendar, &[hours], range.end, range)
    }

    fn sources(&self, piece: &Piece, column: usize) -> Vec<Source> {
        let hour = (piece.start - BEGIN) / HOUR;
        vec![self.hours[hour as usize][column].clone()]
    }

    fn names(&self, _: usize) -> Names {
        self.names.clone()
    }

    fn find_value(&self, _: usize, value: &[u8]) -> Option<u32> {
        (1..self.names.bound()).find(|&number| self.names.get(number) == Some(value))
    }

    fn members(&self, _: usize) -> MembersSnapshot {
        members_of(BTreeMap::new())
    }

    fn find_member(&self, _: usize, _: [u32; 4]) -> Option<u32> {
        None
    }
}

/// A few hours in which some values are common and most are rare, or all are alike.
fn any_hours() -> impl Strategy<Value = Vec<Drawn>> {
    let common = (1u32..12, 0u64..60);
    let rare = (1u32..300, 0u64..3);
    let users = prop_oneof![1 => common, 3 => rare.clone()];
    let skewed = prop::collection::vec((users, 0u64..5_000), 0..200);
    let flat = prop::collection::vec((rare, 0u64..5_000), 0..200);
    let hour = prop_oneof![2 => skewed, 1 => flat].prop_map(|cells| {
        let mut drawn = Drawn::new();
        for ((number, count), first) in cells {
            drawn
                .entry(number)
                .or_default()
                .extend(first..first + count);
        }
        drawn.retain(|_, users| !users.is_empty());
        drawn
    });
    prop::collection::vec(hour, 1..5)
}

fn top(metric: Metric, limit: Option<usize>, offset: usize) -> Question {
    Question {
        by: vec![0],
        metrics: vec![Metric::Unique, Metric::Events],
        order: Some(Order {
            metric,
            direction: Direction::Descending,
        }),
        limit,
        offset,
        ..question()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_first_of_many_are_those_of_all(
        drawn in any_hours(),
        p in 5u8..=9,
        lower in 0u8..=1,
        limit in 0usize..30,
        offset in prop_oneof![Just(0usize), 0usize..300],
    ) {
        let [precision, lowest] = [p, p - lower].map(|p| Precision::new(p).unwrap());
        let hours = Hours::new(&drawn, precision, lowest);
        for metric in [Metric::Unique, Metric::Events, Metric::PerUser(0)] {
            let all = ask(&hours, &top(metric, None, 0)).unwrap();
            let some = ask(&hours, &top(metric, Some(limit), offset)).unwrap();
            let expected: Vec<Row> = all.rows.into_iter().skip(offset).take(limit).collect();
            prop_assert_eq!(some.rows, expected);
        }
    }

    #[test]
    fn a_union_is_the_sketch_of_the_same_users(drawn in any_hours(), p in 5u8..=9) {
        let precision = Precision::new(p).unwrap();
        let hours = Hours::new(&drawn, precision, precision);
        let mut expected = Sketch::new(precision, HashFamily::default());
        for user in drawn.iter().flat_map(Drawn::values).flatten() {
            expected.add_hash(hash_of(*user));
        }
        let mut query = UnionQuery::plan(&hours, question()).unwrap();
        let union = std::iter::repeat_with(|| query.step()).flatten().next().unwrap();
        prop_assert_eq!(union.tokens(), expected.tokens());
        prop_assert_eq!(union.registers(precision), expected.registers(precision));
        if let Some(dense) = union.dense() {
            prop_assert_eq!(dense.estimate().method, Method::Ml);
        }
    }
}

/// Values that have about as many users each as there are hours.
fn many(values: u32, hours: u64) -> Hours {
    let drawn: Vec<Drawn> = (0..hours)
        .map(|hour| {
            (1..=values)
                .map(|number| (number, vec![hour, u64::from(number) << 20]))
                .collect()
        })
        .collect();
    let precision = Precision::new(10).unwrap();
    Hours::new(&drawn, precision, precision)
}

#[test]
fn one_raw_slice_is_answered_with_its_running_estimate() {
    let users: Vec<u64> = (0..10_000).collect();
    let precision = Precision::new(8).unwrap();
    let drawn = vec![Drawn::from([(1, users.clone())]); 2];
    let hours = Hours::new(&drawn, precision, precision);
    let method = |until| {
        let answer = ask(
            &hours,
            &Question {
                time: Some(Time::Between(BEGIN..until)),
                ..question()
            },
        );
        let Some(Figure::Estimate(users)) = answer.unwrap().rows[0].figures[0] else {
            panic!("users are estimated");
        };
        users.method
    };
    assert_eq!(method(BEGIN + HOUR), Method::Hip);
    assert_eq!(method(BEGIN + 2 * HOUR), Method::Ml);
}

#[test]
fn long_answers_take_many_steps_and_short_ones_a_single_one() {
    let hours = many(3_000, 20);
    let steps = |question: &Question| {
        let mut query = Query::plan(&hours, question.clone()).unwrap();
        let steps = std::iter::repeat_with(|| query.step()).take_while(Option::is_none);
        (steps.count() + 1, query.expected())
    };
    let (count, expected) = steps(&question());
    assert_eq!(count, 1);
    assert!(expected < Duration::from_millis(1), "{expected:?}");
    let (all, expected) = steps(&top(Metric::Unique, None, 0));
    assert!(all > 10, "{all}");
    assert!(expected > Duration::from_millis(3), "{expected:?}");
}

/// The same cells, packed.
fn packed(plain: &Column, precision: Precision) -> Column {
    let bits = pack::index_bits(precision);
    let mut builder = Builder::of_tokens(3, bits);
    for cell in plain.iter_from(0) {
        let tokens = match cell.users {
            Users::Tokens(tokens) => tokens.to_vec(),
            Users::Registers { .. } => vec![],
        };
        let mut tokens: Vec<Token> = tokens.iter().map(|&one| token::cut(one, bits)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        let users = match cell.users {
            Users::Tokens(_) => Users::Tokens(Tokens::Cut(&tokens, bits)),
            registers => registers,
        };
        builder.push(Cell { users, ..cell });
    }
    builder.finish()
}

/// What an answer is expected to take is what its rows, cells, tokens and registers take, counted one by one, and not half as
/// much again: with values by buckets, where none of them is read twice.
#[test]
fn what_an_answer_takes_is_expected_from_what_it_reads() {
    const HOURS: u64 = 24;
    let precision = Precision::new(8).unwrap();
    // In every hour 40 values have 30 users each, and ten of them have 300, who are in registers.
    let drawn: Vec<Drawn> = (0..HOURS)
        .map(|hour| {
            let users = |number: u32| {
                let first = hour << 40 | u64::from(number) << 20;
                first..first + if number <= 10 { 300 } else { 30 }
            };
            (1..=50)
                .map(|number| (number, users(number).collect()))
                .collect()
        })
        .collect();
    let plain: Vec<Column> = drawn
        .iter()
        .map(|cells| column_of(cells, precision))
        .collect();
    let question = Question {
        by: vec![0],
        bucket: Some(Span::Millis(HOUR)),
        metrics: vec![Metric::Unique],
        ..question()
    };
    let expected = |columns: &[Column]| {
        let mut hours = Hours::new(&drawn, precision, precision);
        for (hour, column) in hours.hours.iter_mut().zip(columns) {
            hour[1] = Source::sealed(Arc::new(column.clone()), 1.0);
        }
        let query = Query::plan(&hours, question.clone()).unwrap();
        let expected = query.expected().as_nanos() as f64;
        assert_eq!(run(query).unwrap().rows.len(), 50 * HOURS as usize);
        expected
    };
    // Counted from the cells themselves.
    let counted = |columns: &[Column]| {
        let mut nanoseconds = 0.0;
        for cell in columns.iter().flat_map(|column| column.iter_from(0)) {
            nanoseconds += cost::SCAN + cost::ROW + cost::SEEK + cost::write_row(1, 1);
            nanoseconds += Effort::of(cell.users.content(), 1.0).uniting();
        }
        nanoseconds
    };
    let packed: Vec<Column> = plain
        .iter()
        .map(|column| packed(column, precision))
        .collect();
    for columns in [&plain, &packed] {
        let (expected, counted) = (expected(columns), counted(columns));
        assert!(
            counted <= expected && expected < 1.5 * counted,
            "{expected} of {counted}"
        );
    }
    // To unpack them is all that makes the difference, and is what packed cells add to others.
    let more = expected(&packed) - expected(&plain);
    let unpacking = counted(&packed) - counted(&plain);
    assert!(
        unpacking > 0.05 * counted(&plain) && (more - unpacking).abs() < 0.01 * unpacking,
        "{more} of {unpacking}"
    );
}

#[test]
fn more_rows_or_buckets_than_there_may_be_are_refused() {
    let hours = many(MAX_ROWS as u32 + 1, 1);
    let all = top(Metric::Events, None, 0);
    assert_eq!(
        ask(&hours, &all),
        Err(Unanswerable::TooManyRows(MAX_ROWS + 1))
    );
    let first = ask(&hours, &top(Metric::Events, Some(MAX_ROWS), 0)).unwrap();
    assert_eq!(first.rows.len(), MAX_ROWS);
    assert!(ask(&hours, &top(Metric::Events, None, 1)).is_ok());
    let buckets = Question {
        time: Some(Time::Between(0..BEGIN)),
        bucket: Some(Span::Millis(HOUR)),
        gaps: Gaps::Filled,
        ..question()
    };
    let too_many = Unanswerable::TooManyBuckets(MAX_ROWS + 1);
    assert_eq!(ask(&hours, &buckets), Err(too_many));
}

#[test]
fn the_most_rows_hold_for_all_buckets_together() {
    let hours = many(600, 20);
    let question = Question {
        by: vec![0],
        bucket: Some(Span::Millis(HOUR)),
        ..question()
    };
    assert!(
        matches!(ask(&hours, &question), Err(Unanswerable::TooManyRows(rows)) if rows > MAX_ROWS)
    );
}

// ---------------------------------------------------------------------------------------------------------
// Refusals and borders

/// An event of everything in each hour of three days; the hours of the first two are gone.
fn eventful() -> Model {
    let events = (0..72).map(|hour| Event {
        at: BEGIN + hour * HOUR,
        user: hash_of(hour as u64 % 30),
        values: [Some(1), Some(2), Some(3)],
        measures: [1.0, 0.0],
        is_new: hour < 30,
    });
    Model::new(events.collect(), BEGIN + 2 * DAY, [8, 6, 6])
}

#[test]
fn what_no_column_knows_is_refused() {
    let mut model = eventful();
    let of = |dimensions: &[usize]| Question {
        by: dimensions.to_vec(),
        ..question()
    };
    assert!(ask(&model, &of(&[0, 1])).is_ok());
    model.schema.groups.clear();
    assert_eq!(
        ask(&model, &of(&[1, 0])),
        Err(Unanswerable::NoGroup(vec![0, 1]))
    );
    assert_eq!(ask(&model, &of(&[7])), Err(Unanswerable::NoGroup(vec![7])));
    let users = Question {
        level: Level::Users,
        metrics: vec![Metric::Unique, Metric::Events],
        ..of(&[0, 1])
    };
    assert_eq!(ask(&model, &users), Err(Unanswerable::OnlyUsers));
    model.schema.new = None;
    let new = Question {
        metrics: vec![Metric::New],
        ..question()
    };
    assert_eq!(ask(&model, &new), Err(Unanswerable::NoNew));
    let metrics = ask(&model, &question()).unwrap().metrics;
    assert!(!metrics.contains(&Metric::New));
    let condition = |dimension| Condition {
        dimension,
        test: Test::In,
        values: vec![b"f".to_vec()],
    };
    let common = Question {
        level: Level::Users,
        conditions: vec![condition(0), condition(1)],
        ..question()
    };
    let union = UnionQuery::plan(&model, common);
    assert_eq!(union.err(), Some(Unanswerable::NoGroup(vec![0, 1])));
}

#[test]
fn more_sets_than_a_joint_solution_takes_are_refused() {
    let mut model = eventful();
    let dimension = model.schema.dimensions[0].clone();
    model.schema.dimensions.resize(9, dimension);
    let condition = |dimension| Condition {
        dimension,
        test: Test::In,
        values: vec![],
    };
    let question = Question {
        level: Level::Users,
        conditions: (0..9).map(condition).collect(),
        ..question()
    };
    assert_eq!(ask(&model, &question), Err(Unanswerable::TooManySets(9)));
}

#[test]
fn a_present_instant_takes_the_open_slice_in() {
    let model = eventful();
    let open = BEGIN + 71 * HOUR;
    let range = |time| {
        let answer = ask(
            &model,
            &Question {
                time: Some(time),
                ..question()
            },
        );
        answer.unwrap().range
    };
    let asked = open - HOUR..open + HOUR / 4;
    assert_eq!(range(Time::UpTo(asked.clone())), open - HOUR..open + HOUR);
    assert_eq!(range(Time::Between(asked)), open - HOUR..open);
    assert_eq!(range(Time::UpTo(open - HOUR..open)), open - HOUR..open);
}

#[test]
fn an_empty_cube_has_an_answer() {
    let model = Model::new(vec![], BEGIN, [8, 6, 6]);
    let answer = ask(&model, &question()).unwrap();
    assert_eq!(answer.range, 0..0);
    let nobody = Some(Figure::Estimate(Estimate::from_tokens(0)));
    assert_eq!(
        answer.rows[0].figures[..2],
        [nobody, Some(Figure::Exact(0.0))]
    );
    let by = Question {
        by: vec![0],
        ..question()
    };
    assert_eq!(ask(&model, &by).unwrap().rows, []);
}

#[test]
fn buckets_that_no_tier_can_cut_are_refused() {
    let model = eventful();
    let bucket = |unit| Question {
        bucket: Some(unit),
        ..question()
    };
    for unit in [Span::Millis(HOUR / 2), Span::Millis(DAY)] {
        assert_eq!(ask(&model, &bucket(unit)), Err(Unanswerable::Bucket(unit)));
    }
    assert_eq!(ask(&model, &bucket(Span::Weeks(1))).unwrap().rows.len(), 1);
    // Of the first days there are no hours any more.
    let rows = ask(&model, &bucket(Span::Millis(HOUR))).unwrap().rows;
    assert_eq!((rows.len(), rows[0].bucket), (24, Some(BEGIN + 2 * DAY)));
}

#[test]
fn days_of_another_place_need_hours() {
    let model = eventful();
    let days_in = |zone, time| Question {
        time,
        bucket: Some(Span::Days(1)),
        calendar: Some(Calendar {
            zone: Zone::named(zone).unwrap(),
            week_start: WeekStart::Monday,
        }),
        ..question()
    };
    let hours = || Some(Time::Between(BEGIN + 2 * DAY..BEGIN + 3 * DAY));
    let answer = ask(&model, &days_in("Asia/Tokyo", hours())).unwrap();
    let starts: Vec<_> = answer.rows.iter().map(|row| row.bucket.unwrap()).collect();
    assert_eq!(
        starts,
        [BEGIN + 2 * DAY - 9 * HOUR, BEGIN + 3 * DAY - 9 * HOUR]
    );
    // The hours of the days before are gone, and no hour begins where a day does.
    let works = Unanswerable::Zone(BEGIN + 3 * DAY - 9 * HOUR);
    assert_eq!(ask(&model, &days_in("Asia/Tokyo", None)), Err(works));
    let never = ask(&model, &days_in("Asia/Kolkata", hours()));
    assert_eq!(never, Err(Unanswerable::Bucket(Span::Days(1))));
}
