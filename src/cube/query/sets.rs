//! Sets of users that are compared with each other: who did each step of a funnel, who came in each month.
//!
//! A [`SetQuery`] knows how to make sets and hands them over, some at a time, to whoever solves for what they have in
//! common. How is a *program*, made when the question is planned:
//!
//! ```text
//!   gather   a set, from the cells of a kind of events in a stretch of time
//!   unite    a set, of two others: everything before March is everything before February, and February
//!   hand on  some sets that are compared
//! ```
//!
//! It is carried out once for each row, in steps of a third of a millisecond, and a set is kept only as long as the
//! program needs it: a table of a year of weeks has a hundred sets, and a few of them at a time.
//!
//! # Kinds of events, and rows
//!
//! A *kind* is a list of conditions on events: those of a step of a funnel, of a cohort, of a return. Asked by a dimension,
//! there is a row for each of its values, and each of the kinds is narrowed to it. Which values these are, how many
//! events each has and their sums is a question of its own, about all the events that count ([`Planner::new`]): it is
//! answered first, from the same sources. The cell `(other)` is no row: who is in it depends on the slice.
//!
//! # Which column
//!
//! As for every question, conditions on several dimensions are met by the group of exactly these. Without one, a dimension
//! that belongs to the user and not to the event may stand aside: who ever had that value is a set of its own, and
//! whoever is compared must be in that one too. As the value does not change, that set is made of all the time that
//! the question is about, whatever the times of the others are, and so there is one for all of them.

use super::super::calendar::Millis;
use super::super::cover::Cover;
use super::super::pack;
use super::super::question::{Answer, Condition, Level, Metric, Question, Time, Unanswerable};
use super::super::schema::Schema;
use super::super::source::{Slices, Source};
use super::super::users::Content;
use super::cost::{Budget, Effort};
use super::gather::{Gathering, Readers};
use super::plan::{self, Factor, MAX_ROWS, Needs, Plan, Pool, Segment};
use super::selection::Selection;
use super::{Query, Work, expected};
use crate::sketch::joint::{Joint, MAX_SETS, SetMask, cost as joint_cost};
use crate::sketch::token::{self, INDEX_BITS};
use crate::sketch::{Dense, Sketch, TokenSet};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What the rows of a question are, before any set is made.
pub struct Asked {
    /// From when to when; `None`: all that is kept.
    pub time: Option<Time>,
    /// Which events count: they decide which rows there are, and what the counters of a row are.
    pub events: Vec<Condition>,
    /// The dimension whose values are rows.
    pub by: Option<usize>,
    /// What is counted of them beside their number, and comes before it among the figures of a row: sums of measures. Of
    /// intersected sets of users nothing is.
    pub sums: Vec<Metric>,
    /// How sure intervals are to be, a fraction.
    pub confidence: f64,
}

/// A set of the program.
pub type Set = usize;

/// A kind of events.
pub type Kind = usize;

/// Plans a [`SetQuery`].
pub struct Planner<'c, S> {
    slices: &'c S,
    asked: Asked,
    cover: Cover,
    rows: Plan,
    pool: Pool<'c, S>,
    conditions: Vec<Vec<Condition>>,
    kinds: Vec<Sides>,
    factors: Vec<Factor>,
    /// Sets that stand aside: their factors, each once.
    aside: Vec<Aside>,
    /// The kind of each set; none of those that stand aside.
    sets: Vec<Option<Kind>>,
    /// From when to when any set is.
    hull: Option<Range<Millis>>,
    /// What there is of a column in a stretch of time: the steps of a funnel share it.
    segments: HashMap<(usize, Range<Millis>), Arc<Segment>>,
    program: Vec<Op>,
    handed: usize,
}

/// What a kind is made of.
struct Sides {
    factor: usize,
    /// Which of those that stand aside.
    aside: Vec<usize>,
}

/// A dimension of the user.
struct Aside {
    dimension: usize,
    condition: Option<Condition>,
    factor: usize,
    set: Set,
}

/// See the head of this file.
enum Op {
    Gather {
        set: Set,
        factor: usize,
        segment: Arc<Segment>,
    },
    Unite {
        set: Set,
        of: [Set; 2],
    },
    HandOn {
        /// Each once.
        sets: Vec<Set>,
        compared: Vec<Compared>,
        /// How many intervals are made of their solution.
        intervals: usize,
    },
}

/// A set among others, as those who solve for them need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Only the set that has its time and its conditions on events.
    pub own: SetMask,
    /// That and the sets of users that stand aside: who is in all of them.
    pub all: SetMask,
}

/// Sets that are compared.
#[derive(Debug)]
pub struct Operands {
    /// Of which row: its number among those of the answer.
    pub row: usize,
    /// Each of the sets once.
    sketches: Vec<Sketch>,
    /// Of their tokens, where they have tokens.
    index_bits: u32,
    /// The sets in the order in which they were to be handed over.
    pub compared: Vec<Compared>,
}

impl Operands {
    /// What they have in common.
    pub fn solve(&self) -> Result<Joint, Unanswerable> {
        let sketches: Vec<&Sketch> = self.sketches.iter().collect();
        Joint::solve_cut(&sketches, self.index_bits).map_err(Unanswerable::Hashes)
    }

    /// The only sketch of a set; `None` where others stand aside, or tokens are cut.
    pub fn alone(&self, set: usize) -> Option<&Sketch> {
        let Compared { own, all } = self.compared[set];
        let mut places = 0..self.sketches.len();
        let place = places.find(|&place| own.contains(place))?;
        (own == all && self.index_bits == INDEX_BITS).then(|| &self.sketches[place])
    }
}

/// A set that has been made. Its tokens, where it has tokens, are cut to so many index bits.
#[derive(Clone)]
struct Users {
    sketch: Sketch,
    index_bits: u32,
}

impl Users {
    /// With these tokens at a precision that they can be replayed at.
    fn cut(&mut self, index_bits: u32) {
        if let Some(tokens) = self.sketch.tokens() {
            let own = self.sketch.precision();
            let most = pack::precision_of(index_bits).unwrap_or(own);
            let tokens = tokens.as_slice().iter();
            let tokens = tokens.map(|&token| token::cut(token, index_bits)).collect();
            let tokens = TokenSet::from_unsorted(tokens);
            let hash = self.sketch.hash_family();
            self.sketch = Sketch::from_tokens(own.min(most), hash, tokens);
            self.index_bits = index_bits;
        }
    }

    /// How much they are.
    fn content(&self) -> Content {
        match self.sketch.tokens() {
            Some(tokens) => tokens_of(tokens.len()),
            None => registers_of(self.sketch.precision().registers()),
        }
    }

    /// As registers, of the highest precision that cut tokens have.
    fn turn_dense(&mut self) {
        let own = self.sketch.precision();
        let precision = pack::precision_of(self.index_bits).map_or(own, |most| own.min(most));
        let registers = self.sketch.registers(precision).into_owned();
        if let Ok(dense) = Dense::from_registers(registers, precision, true) {
            self.sketch = Sketch::from_dense(self.sketch.hash_family(), dense);
        }
    }
}

/// Makes sets fit to be united or compared: where all have tokens they are cut to the fewest bits among them, or one user
/// would be two; where some have registers, cut tokens become registers. The bits of the tokens that are left.
fn make_alike(sets: &mut [Users]) -> u32 {
    let is_cut = |set: &Users| set.sketch.is_sparse() && set.index_bits < INDEX_BITS;
    let bits = sets
        .iter()
        .filter(|set| is_cut(set) && !set.sketch.is_empty());
    let Some(fewest) = bits.map(|set| set.index_bits).min() else {
        return INDEX_BITS;
    };
    if sets.iter().all(|set| set.sketch.is_sparse()) {
        sets.iter_mut().for_each(|set| set.cut(fewest));
        if sets.iter().all(|set| set.sketch.is_sparse()) {
            return fewest;
        }
    }
    let cut = sets.iter_mut().filter(|set| is_cut(set));
    cut.for_each(Users::turn_dense);
    INDEX_BITS
}

/// What has been found out.
#[derive(Debug)]
pub enum Found {
    /// The rows that there are, with their counters. This comes first.
    Rows(Answer),
    /// Sets that are compared, in the order of the rows, and for each row in that of the program.
    Operands(Operands),
    /// There is nothing more.
    Nothing,
}

/// See the head of this file.
pub struct SetQuery {
    expected: Duration,
    bytes: usize,
    rows: Query,
    level: Level,
    lines: usize,
    needs: Needs,
    factors: Vec<Factor>,
    /// The factors whose numbers are all selected.
    selected: usize,
    program: Vec<Op>,
    /// The last operation that needs a set.
    last: Vec<usize>,
    /// The value of each row, once that is known; of the only row none.
    values: Option<Vec<Option<u32>>>,
    row: usize,
    at: usize,
    made: Vec<Option<Users>>,
    gathering: Gathering,
}

/// Whether one column answers for these dimensions.
fn together(schema: &Schema, dimensions: &[usize]) -> bool {
    dimensions.len() < 2 || schema.group_of(dimensions).is_some()
}

/// Since when there is all that is known of events that meet these conditions, by the values of a dimension.
pub fn begun(
    schema: &Schema,
    conditions: &[Condition],
    by: Option<usize>,
) -> Result<Millis, Unanswerable> {
    let dimensions = dimensions(schema, conditions, by)?;
    let since = |dimensions: &[usize]| schema.since(plan::column_of(schema, dimensions));
    Ok(match together(schema, &dimensions) {
        true => since(&dimensions),
        false => {
            let each = dimensions.chunks(1).map(since);
            each.fold(Millis::MIN, Millis::max)
        }
    })
}

/// The dimensions of these conditions and of the rows, ascending.
fn dimensions(
    schema: &Schema,
    conditions: &[Condition],
    by: Option<usize>,
) -> Result<Vec<usize>, Unanswerable> {
    let conditions = conditions.iter().map(|condition| condition.dimension);
    let mut dimensions: Vec<usize> = conditions.chain(by).collect();
    dimensions.sort_unstable();
    dimensions.dedup();
    match dimensions.iter().all(|&own| own < schema.dimensions.len()) {
        true => Ok(dimensions),
        false => Err(Unanswerable::NoGroup(dimensions)),
    }
}

impl<'c, S: Slices> Planner<'c, S> {
    /// Of a question about these rows; sets and their comparisons are to follow.
    pub fn new(slices: &'c S, asked: Asked) -> Result<Planner<'c, S>, Unanswerable> {
        let schema = slices.schema();
        let time = plan::when(slices, asked.time.as_ref());
        let mut pool = Pool::new(slices);
        // Of intersected sets of users no sum is known.
        let metrics = match together(schema, &dimensions(schema, &asked.events, asked.by)?) {
            true => asked.sums.iter().copied().chain([Metric::Events]).collect(),
            false => vec![Metric::Unique],
        };
        let question = Question {
            time: asked.time.clone(),
            conditions: asked.events.clone(),
            by: asked.by.into_iter().collect(),
            metrics,
            ..Question::everything(asked.confidence)
        };
        let cover = plan::known(slices, &time, plan::begun(schema, &question)?).cover;
        Ok(Planner {
            slices,
            asked,
            cover,
            rows: Plan::new(&mut pool, question)?,
            pool,
            conditions: Vec::new(),
            kinds: Vec::new(),
            factors: Vec::new(),
            aside: Vec::new(),
            sets: Vec::new(),
            hull: None,
            segments: HashMap::new(),
            program: Vec::new(),
            handed: 0,
        })
    }

    /// The slices that the rows are of.
    pub fn cover(&self) -> &Cover {
        &self.cover
    }

    /// The events that meet these conditions.
    pub fn kind(&mut self, conditions: Vec<Condition>) -> Result<Kind, Unanswerable> {
        if let Some(known) = self.conditions.iter().position(|own| *own == conditions) {
            return Ok(known);
        }
        let schema = self.slices.schema();
        let all = dimensions(schema, &conditions, self.asked.by)?;
        let (aside, own) = match together(schema, &all) {
            true => (Vec::new(), all.clone()),
            false => all
                .iter()
                .partition(|&&dimension| schema.dimensions[dimension].user_level),
        };
        if !together(schema, &own) {
            return Err(Unanswerable::NoGroup(all));
        }
        let factor = self.factor(&own, &conditions);
        let aside = aside.into_iter().map(|dimension| {
            let mut own = conditions.iter();
            let condition = own.find(|condition| condition.dimension == dimension);
            self.stand_aside(dimension, condition.cloned())
        });
        let aside = aside.collect();
        self.kinds.push(Sides { factor, aside });
        self.conditions.push(conditions);
        Ok(self.kinds.len() - 1)
    }

    fn factor(&mut self, dimensions: &[usize], conditions: &[Condition]) -> usize {
        let own = |dimension: &usize| dimensions.contains(dimension);
        let conditions = conditions.iter();
        let question = Question {
            by: self.asked.by.into_iter().filter(own).collect(),
            conditions: conditions
                .filter(|condition| own(&condition.dimension))
                .cloned()
                .collect(),
            ..Question::everything(self.asked.confidence)
        };
        let factor = plan::factor(self.slices, dimensions, &question);
        self.factors.push(factor);
        self.factors.len() - 1
    }

    fn stand_aside(&mut self, dimension: usize, condition: Option<Condition>) -> usize {
        let mut known = self.aside.iter();
        let known =
            known.position(|aside| aside.dimension == dimension && aside.condition == condition);
        known.unwrap_or_else(|| {
            let factor = self.factor(&[dimension], condition.as_slice());
            let set = self.new_set(None);
            self.aside.push(Aside {
                dimension,
                condition,
                factor,
                set,
            });
            self.aside.len() - 1
        })
    }

    fn new_set(&mut self, kind: Option<Kind>) -> Set {
        self.sets.push(kind);
        self.sets.len() - 1
    }

    /// Who had events of a kind in these slices.
    pub fn gather(&mut self, kind: Kind, cover: &Cover) -> Set {
        if !cover.pieces.is_empty() {
            let hull = self.hull.get_or_insert(cover.from..cover.to);
            *hull = hull.start.min(cover.from)..hull.end.max(cover.to);
        }
        let factor = self.kinds[kind].factor;
        let segment = self.segment(factor, cover);
        let set = self.new_set(Some(kind));
        self.program.push(Op::Gather {
            set,
            factor,
            segment,
        });
        set
    }

    /// What there is of a factor in these slices.
    fn segment(&mut self, factor: usize, cover: &Cover) -> Arc<Segment> {
        let factor = &self.factors[factor];
        let (pool, id) = (&mut self.pool, (factor.column, cover.from..cover.to));
        let made = || Arc::new(pool.segment(cover, std::slice::from_ref(factor)));
        Arc::clone(self.segments.entry(id).or_insert_with(made))
    }

    /// Who is in either of two sets of one kind.
    pub fn unite(&mut self, of: [Set; 2]) -> Set {
        let set = self.new_set(self.sets[of[0]]);
        self.program.push(Op::Unite { set, of });
        set
    }

    /// These sets are compared, for so many intervals. They must be few enough, with those that stand aside.
    pub fn hand_on(&mut self, operands: &[Set], intervals: usize) -> Result<(), Unanswerable> {
        let mut sets: Vec<Set> = Vec::new();
        let place = |set: Set, sets: &mut Vec<Set>| {
            let known = sets.iter().position(|&own| own == set);
            known.unwrap_or_else(|| {
                sets.push(set);
                sets.len() - 1
            })
        };
        let of_operand = |&set: &Set| {
            let aside = self.sets[set].map_or(&[][..], |kind| &self.kinds[kind].aside);
            let own = place(set, &mut sets);
            let aside = aside.iter().map(|&at| self.aside[at].set);
            let all: Vec<usize> = aside.map(|set| place(set, &mut sets)).collect();
            (own, all)
        };
        let places: Vec<(usize, Vec<usize>)> = operands.iter().map(of_operand).collect();
        if sets.len() > MAX_SETS {
            return Err(Unanswerable::TooManySets(sets.len()));
        }
        let compared = places.into_iter().map(|(own, aside)| {
            let own = SetMask::single(own);
            let all = own | aside.into_iter().collect();
            Compared { own, all }
        });
        let compared = compared.collect();
        self.program.push(Op::HandOn {
            sets,
            compared,
            intervals,
        });
        self.handed += 1;
        Ok(())
    }

    /// The query. A row has so many lines in the table.
    pub fn finish(mut self, lines: usize) -> SetQuery {
        let mut program: Vec<Op> = Vec::with_capacity(self.aside.len() + self.program.len());
        let nothing = Cover {
            from: self.cover.from,
            to: self.cover.from,
            pieces: Vec::new(),
        };
        let hull = self.hull.take();
        let cover = hull.map_or(nothing, |hull| self.slices.cover(hull));
        for aside in std::mem::take(&mut self.aside) {
            program.push(Op::Gather {
                set: aside.set,
                factor: aside.factor,
                segment: self.segment(aside.factor, &cover),
            });
        }
        let level = match program.is_empty() {
            true => self.rows.level,
            false => Level::Users,
        };
        program.append(&mut self.program);
        let mut last = vec![0; self.sets.len()];
        for (at, op) in program.iter().enumerate() {
            match op {
                Op::Gather { set, .. } => last[*set] = at,
                Op::Unite { set, of } => of.iter().chain([set]).for_each(|&set| last[set] = at),
                Op::HandOn { sets, .. } => sets.iter().for_each(|&set| last[set] = at),
            }
        }
        let sources = self.pool.into_sources();
        let rows = most_rows(&self.rows, &sources);
        let expected = expected::answer(&self.rows, &sources)
            + carrying_out(&program, &self.factors, &sources, self.sets.len()).mul_f64(rows);
        let bytes = sources.iter().map(Source::bytes).sum();
        let needs = Needs {
            users: true,
            measures: Vec::new(),
            new: None,
            ..self.rows.needs.clone()
        };
        SetQuery {
            expected,
            bytes,
            level,
            rows: Query::begin(Work::new(self.rows, sources), expected, bytes),
            lines,
            needs,
            factors: self.factors,
            selected: 0,
            program,
            last,
            values: None,
            row: 0,
            at: 0,
            made: vec![None; self.sets.len()],
            gathering: Gathering::default(),
        }
    }
}

/// How many rows there are at most.
fn most_rows(plan: &Plan, sources: &[Source]) -> f64 {
    let asked_by = plan
        .factors
        .iter()
        .zip(&plan.whole.sources)
        .filter(|(factor, _)| !factor.by.is_empty());
    let rows = asked_by.map(|(factor, positions)| {
        let lengths = positions.iter().map(|&at| sources[at as usize].len());
        let numbers = factor.selection.numbers(&factor.all);
        lengths.sum::<usize>().min(numbers).min(MAX_ROWS)
    });
    rows.fold(1.0, |product, rows| product * rows as f64)
}

/// How long the program is going to take for a row. A set that may be dense is taken for dense.
fn carrying_out(program: &[Op], factors: &[Factor], sources: &[Source], sets: usize) -> Duration {
    let mut nanoseconds = 0.0;
    let mut solutions = Duration::ZERO;
    // How many tokens each set has at most, and the registers that it has instead if they are many.
    let mut sizes = vec![(0, 0); sets];
    let content = |(tokens, registers): (usize, usize)| match is_dense(tokens, registers) {
        true => registers_of(registers),
        false => tokens_of(tokens),
    };
    for op in program {
        match op {
            Op::Gather {
                set,
                factor,
                segment,
            } => {
                let factor = &factors[*factor];
                let positions = &segment.sources[0];
                let (time, _) = expected::uniting(factor, positions, sources, 1.0, true);
                nanoseconds += time;
                let tokens = positions.iter().map(|&at| {
                    let content = sources[at as usize].content().packed();
                    content.packed_tokens + content.packed_registers / REGISTERS_OF_A_TOKEN
                });
                sizes[*set] = (tokens.sum(), factor.precision.registers());
            }
            Op::Unite { set, of } => {
                let parts = of.map(|part| sizes[part]);
                nanoseconds += cost_of_union(parts.map(content));
                sizes[*set] = (parts[0].0 + parts[1].0, parts[0].1);
            }
            Op::HandOn {
                sets, intervals, ..
            } => {
                let (mut tokens, mut dense) = (Vec::new(), Vec::new());
                for &set in sets {
                    let (most, registers) = sizes[set];
                    match is_dense(most, registers) {
                        false => tokens.push(most),
                        true => dense.push(registers),
                    }
                }
                solutions += joint_cost::of_sizes(&tokens, &dense, *intervals);
            }
        }
    }
    solutions + Duration::from_nanos(nanoseconds as u64)
}

/// As many tokens as a quarter of the registers are registers.
const REGISTERS_OF_A_TOKEN: usize = 4;

fn is_dense(tokens: usize, registers: usize) -> bool {
    tokens >= registers / REGISTERS_OF_A_TOKEN
}

fn tokens_of(tokens: usize) -> Content {
    Content {
        tokens,
        ..Content::default()
    }
}

fn registers_of(registers: usize) -> Content {
    Content {
        registers,
        ..Content::default()
    }
}

/// To unite sets, in nanoseconds.
fn cost_of_union(parts: impl IntoIterator<Item = Content>) -> f64 {
    let parts = parts.into_iter();
    parts.map(|part| Effort::of(part, 1.0).uniting()).sum()
}

impl SetQuery {
    /// About how long it takes, with a joint solution of all sets that are handed on together.
    pub fn expected(&self) -> Duration {
        self.expected
    }

    /// Bytes that live on until it is done.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Goes on for about a third of a millisecond; `None` where that led to nothing yet.
    pub fn step(&mut self) -> Option<Result<Found, Unanswerable>> {
        let Some(values) = &self.values else {
            let filled = self.rows.fill()?;
            return Some(filled.and_then(|filling| {
                let plan = &self.rows.work.plan;
                let values = filling.chosen.iter().map(|chosen| {
                    let by_value = !plan.by.is_empty();
                    by_value.then(|| filling.rows.number(chosen.row, 0, plan))
                });
                let values: Vec<Option<u32>> = values.collect();
                let lines = values.len().saturating_mul(self.lines);
                plan.check_rows(lines)?;
                self.values = Some(values);
                let mut answer = filling.into_answer(plan);
                answer.level = self.level;
                // Not those of `(other)`.
                answer
                    .rows
                    .truncate(self.values.as_ref().map_or(0, Vec::len));
                Ok(Found::Rows(answer))
            }));
        };
        let mut budget = Budget::of_a_step();
        while let Some(factor) = self.factors.get_mut(self.selected) {
            if let Selection::Table(table) = &mut factor.selection
                && !table.extend(&factor.all, &factor.by, &mut budget)
            {
                return None;
            }
            self.selected += 1;
        }
        let needs = &self.needs;
        // Of what is not known no sets are made.
        let rows = if self.rows.work.plan.is_known {
            &values[..]
        } else {
            &[]
        };
        while let Some(&value) = rows.get(self.row) {
            while let Some(op) = self.program.get(self.at) {
                if budget.is_spent() {
                    return None;
                }
                let take = |set: Set, made: &mut Vec<Option<Users>>| match self.last[set] {
                    last if last == self.at => made[set].take(),
                    _ => made[set].clone(),
                };
                let mut found = None;
                match op {
                    Op::Gather {
                        set,
                        factor,
                        segment,
                    } => {
                        let factor = &self.factors[*factor];
                        let slot = match value {
                            Some(value) if !factor.by.is_empty() => factor.selection.slot_of(value),
                            _ => Some(0),
                        };
                        let (sketch, index_bits) = match slot {
                            None => (Sketch::new(factor.precision, needs.hash), INDEX_BITS),
                            Some(slot) => {
                                let mut readers = Readers::new(&self.rows.work.pool, segment);
                                let gathering = &mut self.gathering;
                                let union = gathering.union(
                                    slot,
                                    factor,
                                    needs,
                                    &mut readers,
                                    &mut budget,
                                )?;
                                union.cut_sketch(needs.hash)
                            }
                        };
                        self.made[*set] = Some(Users { sketch, index_bits });
                    }
                    Op::Unite { set, of } => {
                        let parts = of.map(|part| take(part, &mut self.made));
                        let mut parts: Vec<Users> = parts.into_iter().flatten().collect();
                        budget.spend(cost_of_union(parts.iter().map(Users::content)));
                        let index_bits = make_alike(&mut parts);
                        let union = match Sketch::union(parts.iter().map(|part| &part.sketch)) {
                            Ok(union) => union.map(Cow::into_owned),
                            Err(mismatch) => return Some(Err(Unanswerable::Hashes(mismatch))),
                        };
                        self.made[*set] = union.map(|sketch| Users { sketch, index_bits });
                    }
                    Op::HandOn { sets, compared, .. } => {
                        let users = sets.iter().filter_map(|&set| take(set, &mut self.made));
                        let mut users: Vec<Users> = users.collect();
                        let index_bits = make_alike(&mut users);
                        found = Some(Operands {
                            row: self.row,
                            sketches: users.into_iter().map(|users| users.sketch).collect(),
                            index_bits,
                            compared: compared.clone(),
                        });
                    }
                }
                self.at += 1;
                if let Some(operands) = found {
                    return Some(Ok(Found::Operands(operands)));
                }
            }
            (self.row, self.at) = (self.row + 1, 0);
        }
        Some(Ok(Found::Nothing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{HashFamily, Precision};
    use proptest::prelude::*;
    use std::ops::Range;

    fn sketch(users: Range<u64>, precision: Precision) -> Sketch {
        let mut sketch = Sketch::new(precision, HashFamily::default());
        for user in users {
            sketch.add_hash(HashFamily::default().hash(&user.to_le_bytes()));
        }
        sketch
    }

    /// These users; their tokens cut, where they have tokens.
    fn users(users: Range<u64>, precision: Precision, index_bits: u32) -> Users {
        let mut made = Users {
            sketch: sketch(users, precision),
            index_bits: INDEX_BITS,
        };
        if index_bits < INDEX_BITS {
            made.cut(index_bits);
        }
        made
    }

    proptest! {
        #[test]
        fn users_of_cut_and_whole_tokens_and_registers_are_the_same_ones(
            sizes in prop::collection::vec((0u64..400, 6u8..=12, any::<bool>()), 1..5),
        ) {
            let mut sets: Vec<Users> = sizes
                .iter()
                .map(|&(size, p, is_cut)| {
                    let precision = Precision::new(p).unwrap();
                    let bits = if is_cut { pack::index_bits(precision) } else { INDEX_BITS };
                    users(0..size, precision, bits)
                })
                .collect();
            let bits = make_alike(&mut sets);
            for (set, &(size, p, is_cut)) in sets.iter().zip(&sizes) {
                let own = set.sketch.precision();
                prop_assert!(own.bits() <= u32::from(p) as _);
                let whole = sketch(0..size, own);
                match (set.sketch.tokens(), whole.tokens()) {
                    (Some(tokens), Some(all)) => {
                        let all = all.as_slice().iter();
                        let all = all.map(|&token| token::cut(token, bits)).collect();
                        prop_assert_eq!(tokens, &TokenSet::from_unsorted(all));
                        prop_assert!(!is_cut || size == 0 || bits < INDEX_BITS);
                    }
                    _ => prop_assert_eq!(set.sketch.registers(own), whole.registers(own)),
                }
            }
            let all: Vec<&Sketch> = sets.iter().map(|set| &set.sketch).collect();
            let joint = Joint::solve_cut(&all, bits).unwrap();
            if sets.iter().all(|set| set.sketch.is_sparse()) {
                let least = sizes.iter().map(|size| size.0).min().unwrap() as f64;
                let common = joint.intersection(SetMask::first(sets.len()));
                let (lower, upper) = common.interval(0.999_999);
                prop_assert!(lower <= least && least <= upper, "{lower} {least} {upper}");
            }
        }
    }
}
