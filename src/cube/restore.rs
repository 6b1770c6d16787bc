//! A cube put together again from its parts, whoever they come from.
//!
//! Nothing is believed. Slices must lie where the calendar puts them, cells refer to numbers that exist, every slice
//! that waits for a job has exactly one and no job waits for nothing. What follows from the rest is not part of the
//! state and is computed again: where time stands, who refers to which number, and what a job that was under way had
//! made so far, for which it goes again as far as it had come.

use super::body::{Body, Cube, Job, MAX_EVENTS, Open, Slice, Task, Which, is_count, is_weight};
use super::calendar::Millis;
use super::history::History;
use super::horizon::Horizon;
use super::intern::{Intern, Members};
use super::merge::{Budget, Input, Sealed};
use super::recent::Recent;
use super::schema::{OTHER, Schema};
use super::seen::Seen;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// Everything that decides what a cube answers and what becomes of it.
#[derive(Clone, Debug)]
pub struct State {
    /// What it is made for.
    pub schema: Schema,
    /// Of tables of values.
    pub seed: u64,
    /// The time of the newest event.
    pub newest: Option<Millis>,
    /// Of each dimension.
    pub dimensions: Vec<Intern>,
    /// Of each group.
    pub groups: Vec<Members>,
    /// Slices that are written.
    pub open: Vec<(Range<Millis>, Open)>,
    /// Of each tier, slices that are due.
    pub tiers: Vec<BTreeMap<Millis, Slice>>,
    /// What is to be done, in order.
    pub jobs: Vec<Job>,
    /// The epoch of the next late part.
    pub epoch: u64,
    /// Cells that rows owe to the upkeep.
    pub owed: u64,
    /// For each tier, the instant before which slices are given up.
    pub expired: Vec<Millis>,
    /// Ids that were counted.
    pub recent: Recent,
    /// Users that were seen.
    pub seen: Option<Seen>,
    /// Events that came late.
    pub late: u64,
}

/// Why parts are not those of a cube.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsound(pub &'static str);

fn require(sound: bool, what: &'static str) -> Result<(), Unsound> {
    if sound { Ok(()) } else { Err(Unsound(what)) }
}

impl Cube {
    /// The cube that has these parts.
    pub fn restore(state: State) -> Result<Cube, Unsound> {
        let State { schema, .. } = &state;
        require(schema.check().is_ok(), "schema")?;
        require(
            state.dimensions.len() == schema.dimensions.len()
                && state.groups.len() == schema.groups.len()
                && state.tiers.len() == schema.tiers.len()
                && state.expired.len() == schema.tiers.len()
                && state.seen.is_some() == schema.new.is_some(),
            "number of parts",
        )?;
        let mut cube = Cube::new(state.schema, state.seed);
        cube.horizon = state.newest.map(|newest| Horizon::at(&cube.schema, newest));
        require(cube.has_history(), "history")?;
        cube.newest = state.newest;
        cube.numbers.dimensions = state.dimensions;
        cube.numbers.groups = state.groups;
        cube.epoch = state.epoch;
        cube.owed = state.owed;
        cube.expired = state.expired;
        cube.recent = state.recent;
        cube.seen = state.seen;
        cube.late = state.late;
        cube.refer_from_combinations()?;
        for (range, open) in state.open {
            cube.restore_open(range, open)?;
        }
        for (tier, slices) in state.tiers.into_iter().enumerate() {
            for (start, slice) in slices {
                cube.restore_slice((tier, start), slice)?;
            }
        }
        cube.restore_jobs(state.jobs)?;
        cube.check_counters()?;
        cube.numbers
            .are_all_used()
            .then_some(cube)
            .ok_or(Unsound("value without cells"))
    }

    /// No counter is near its end, whatever is counted from now on.
    fn check_counters(&self) -> Result<(), Unsound> {
        let open = self.open.iter().map(|(_, open)| open.events);
        let slices = self.tiers.iter().flat_map(|slices| slices.values());
        let events = open.chain(slices.flat_map(Slice::counts)).map(u128::from);
        require(
            events.sum::<u128>() <= MAX_EVENTS.into() && self.late <= MAX_EVENTS,
            "number of events",
        )?;
        let far = u64::from(u32::MAX);
        require(self.owed <= far && self.epoch <= u64::MAX / 2, "progress")
    }

    /// Whether what became of the schema can have become of it by now: nothing began later than the next slice, what
    /// is due was capped, and what is not was not given up.
    fn has_history(&self) -> bool {
        let history = &self.schema.history;
        let Some(horizon) = &self.horizon else {
            return *history == History::default();
        };
        let mut since = history.additions.iter().map(|addition| addition.since);
        let mut until = history.caps.iter().map(|cap| cap.until);
        let is_fixed = |(tier, &floor): (usize, &Millis)| {
            let mut made_of_it = (tier + 1..self.tiers.len())
                .filter(|&coarser| self.schema.source(coarser) == Some(tier));
            floor <= horizon.closed() && made_of_it.all(|coarser| floor <= horizon.due[coarser])
        };
        since.all(|since| since <= horizon.newest.end)
            && until.all(|until| until <= horizon.closed())
            && history.floors.iter().enumerate().all(is_fixed)
    }

    fn refer_from_combinations(&mut self) -> Result<(), Unsound> {
        for group in 0..self.numbers.groups.len() {
            let dimensions = self.schema.groups[group].dimensions.clone();
            let members: Vec<[u32; 4]> = self.numbers.groups[group]
                .iter()
                .map(|(_, &member)| member)
                .collect();
            for member in members {
                let (used, unused) = member.split_at(dimensions.len());
                require(unused.iter().all(|&number| number == OTHER), "combination")?;
                for (&number, &dimension) in used.iter().zip(&dimensions) {
                    self.refer(self.schema.dimension_column(dimension), number)?;
                }
            }
        }
        Ok(())
    }

    /// A cell, or a combination, refers to a number of a column.
    fn refer(&mut self, column: usize, number: u32) -> Result<(), Unsound> {
        let known = self.numbers.has(column, number);
        require(known && number != OTHER, "number of a value")?;
        self.numbers.acquire(column, number);
        Ok(())
    }

    /// The cells of some columns refer to numbers, from this one on.
    fn refer_from(&mut self, column: usize, inputs: &[Input], from: u32) -> Result<(), Unsound> {
        for input in inputs {
            for cell in input.iter_from(from) {
                let other = cell.number == OTHER && self.schema.values_of(column).is_some();
                if !other {
                    self.refer(column, cell.number)?;
                }
            }
        }
        Ok(())
    }

    /// Of a slice that begins at this instant.
    fn refer_from_open(&mut self, open: &Open, start: Millis) -> Result<(), Unsound> {
        let columns = self.schema.columns_at(start);
        require(open.columns.len() == columns, "columns")?;
        for (column, cells) in open.columns.iter().enumerate() {
            self.refer_from(column, &[Input::Open(cells.clone())], 0)?;
        }
        Ok(())
    }

    fn restore_open(&mut self, range: Range<Millis>, open: Open) -> Result<(), Unsound> {
        let Some(horizon) = &self.horizon else {
            return Err(Unsound("open slice"));
        };
        let place = range == horizon.previous || range == horizon.newest;
        let order = self
            .open
            .last()
            .is_none_or(|last| last.0.start < range.start);
        require(place && order, "open slice")?;
        self.refer_from_open(&open, range.start)?;
        self.add_open(range, open);
        Ok(())
    }

    fn restore_slice(&mut self, which: Which, slice: Slice) -> Result<(), Unsound> {
        let (tier, start) = which;
        let Some(horizon) = &self.horizon else {
            return Err(Unsound("slice"));
        };
        let range = self
            .schema
            .calendar
            .slice(self.schema.tiers[tier].slice, start);
        require(
            range == (start..slice.end) && slice.end <= horizon.due[tier],
            "slice",
        )?;
        match &slice.body {
            Body::Absent => require(!slice.late.is_empty(), "slice without events")?,
            Body::Closed(open) => {
                require(tier == 0, "closed slice")?;
                self.refer_from_open(open, start)?;
            }
            Body::Due { epoch } => {
                require(
                    self.schema.source(tier).is_some() && *epoch <= self.epoch,
                    "due slice",
                )?;
            }
            Body::Sealed(sealed) => {
                let columns = self.schema.columns_at(start);
                require(sealed.columns.len() == columns, "columns")?;
                let cells = |column: &Sealed| {
                    let inputs = column.inputs();
                    let cells = |input: Input| -> Vec<u64> {
                        input.iter_from(0).map(|cell| cell.events).collect()
                    };
                    inputs.flat_map(cells).collect()
                };
                let counted: Vec<Vec<u64>> = sealed.columns.iter().map(cells).collect();
                require(
                    is_count(sealed.events, &counted) && is_weight(sealed.weight),
                    "number of events",
                )?;
                for (column, cells) in sealed.columns.iter().enumerate() {
                    require(is_apart(cells), "cell of other values")?;
                    let inputs: Vec<Input> = cells.inputs().collect();
                    self.refer_from(column, &inputs, 0)?;
                }
            }
        }
        let epochs = slice.late.iter().map(|part| part.epoch);
        require(
            epochs.clone().is_sorted_by(|a, b| a < b),
            "order of late parts",
        )?;
        require(
            epochs.max().is_none_or(|epoch| epoch <= self.epoch),
            "late part",
        )?;
        for part in &slice.late {
            self.refer_from_open(&part.open, start)?;
        }
        self.add_slice(which, slice);
        Ok(())
    }

    fn restore_jobs(&mut self, jobs: Vec<Job>) -> Result<(), Unsound> {
        let mut awaited = self.awaiting();
        for (place, job) in jobs.iter().enumerate() {
            let begun = job.column > 0 || job.steps > 0;
            require(!begun || place == 0, "order of work")?;
            let columns = match &job.task {
                Task::Seal(which)
                | Task::Compact(which)
                | Task::Rewrite(which)
                | Task::Expire(which) => self.schema.columns_at(which.1),
                Task::Release(start, _) => self.schema.columns_at(*start),
            };
            require(
                job.column <= columns && job.epoch <= self.epoch,
                "progress of work",
            )?;
            match &job.task {
                Task::Seal(which) => {
                    require(
                        awaited.remove(&(*which, Waiting::Seal)),
                        "slice to be sealed",
                    )?;
                }
                Task::Compact(which) => {
                    require(
                        awaited.remove(&(*which, Waiting::Compact)),
                        "slice to be made",
                    )?;
                }
                Task::Rewrite(which) => {
                    require(
                        awaited.remove(&(*which, Waiting::Rewrite)),
                        "slice to be rewritten",
                    )?;
                }
                Task::Expire(which) => {
                    let there = self.tiers.get(which.0).map(|slices| slices.get(&which.1));
                    let Some(Some(slice)) = there else {
                        return Err(Unsound("slice to be given up"));
                    };
                    let gone = slice.end <= self.expired[which.0] && !begun;
                    require(gone, "slice to be given up")?;
                }
                Task::Release(_, inputs) => {
                    require(inputs.len() == columns, "columns")?;
                    for (column, inputs) in inputs.iter().enumerate() {
                        let (at, next) = match column == job.column {
                            true => ((job.steps >> 32) as usize, job.steps as u32),
                            false => (0, 0),
                        };
                        require(column >= job.column || inputs.is_empty(), "columns")?;
                        for (place, input) in inputs.iter().enumerate().skip(at) {
                            let from = if place == at { next } else { 0 };
                            self.refer_from(column, std::slice::from_ref(input), from)?;
                        }
                    }
                }
            }
        }
        require(awaited.is_empty(), "slice that waits for ever")?;
        self.jobs = VecDeque::from(jobs);
        self.slice_bytes += self.jobs.iter().map(Job::released_bytes).sum::<usize>();
        self.go_again()
    }

    /// What has to have a job.
    fn awaiting(&self) -> BTreeSet<(Which, Waiting)> {
        let mut awaited = BTreeSet::new();
        for (tier, slices) in self.tiers.iter().enumerate() {
            for (&start, slice) in slices {
                let which = (tier, start);
                match slice.body {
                    Body::Closed(_) => awaited.insert((which, Waiting::Seal)),
                    Body::Due { .. } => awaited.insert((which, Waiting::Compact)),
                    Body::Absent | Body::Sealed(_) => false,
                };
                if slice.rewriting {
                    awaited.insert((which, Waiting::Rewrite));
                }
            }
        }
        awaited
    }

    /// The first job, if it is a merge, goes again as far as it had come.
    fn go_again(&mut self) -> Result<(), Unsound> {
        let Some(mut job) = self.jobs.pop_front() else {
            return Ok(());
        };
        if job.task.makes().is_some() {
            let until = (job.column, job.steps);
            (job.column, job.steps) = (0, 0);
            self.merge(&mut job, &mut Budget::unlimited(), until);
            require((job.column, job.steps) == until, "progress of work")?;
        }
        self.jobs.push_front(job);
        Ok(())
    }
}

/// What a slice waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    Seal,
    Compact,
    Rewrite,
}

/// Whether the cell of other values, and no other cell, stands for itself.
fn is_apart(column: &Sealed) -> bool {
    let named = column.named.get(OTHER).is_none();
    named
        && column
            .other
            .as_deref()
            .is_none_or(|other| other.len() == 1 && other.get(OTHER).is_some())
}
