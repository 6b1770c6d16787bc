//! The cube itself: where an event goes, and what is to be done when time goes on.
//!
//! # Where things are
//!
//! ```text
//!   finest tier   [ ][ ][ ][ ][ ][ ][ ][ ][ ]< >< >      two slices are open and take what is written
//!   the next one  [         ][         ]                 made of those above, when all of them are closed
//!   ...
//! ```
//!
//! Every event is written into one open slice, a cell for each column. A slice that is closed is *sealed*: its cells
//! are put in order and lie close together from then on. Coarser slices are made of sealed finer ones. An event that
//! comes after its slice was closed goes to a *late part* of that slice and of each coarser one that is due already;
//! those that are not due yet get it with the rest. A late part that has grown joins its slice.
//!
//! # Who does the work
//!
//! What a write makes due is visible from that write on. To carry it out takes longer, so it is queued as a [`Job`],
//! and every write afterwards does a little of the first job in the queue. A question that needs a slice whose job is
//! still waiting does that job for itself. How much a write does depends on cells and bytes only, so two cubes that
//! have seen the same writes are in the same state to the last bit, whatever they run on.
//!
//! A job's inputs are fixed when it is queued: sealed slices do not change, jobs are done in their order, and late
//! parts bear the number of the *epoch* in which they began. A job takes those of its own epoch and earlier ones, and
//! an event that comes late to a slice which a waiting job is going to read begins a new part.

use super::calendar::{Millis, Span, nests};
use super::cover::{self, Cover, Kept, Piece};
use super::horizon::{Horizon, TooLate, Verdict};
use super::merge::{Budget, Input, Merge, Sealed, Shape};
use super::numbers::Numbers;
use super::open::{Entered, Hit, OpenColumn};
use super::pack;
use super::recent::Recent;
use super::schema::{MAX_DIMENSIONS, MAX_MEASURES, MAX_SUM, OTHER, Place, Schema, TOTAL};
use super::seen::Seen;
use crate::sketch::Relocate;
use crate::sketch::token::INDEX_BITS;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When.
    pub at: Millis,
    /// To whom.
    pub element: &'a [u8],
    /// Positions of dimensions, each at most once, and their values, none of them empty or `(other)`.
    pub values: &'a [(usize, &'a [u8])],
    /// Positions of measures, each at most once, and numbers up to [`MAX_MEASURE`](super::schema::MAX_MEASURE).
    pub measures: &'a [(usize, f64)],
}

/// Columns that take events, for a slice or for what comes late to one.
#[derive(Clone, Debug)]
pub struct Open {
    /// One for each column that slices have which begin when this one does.
    pub columns: Vec<OpenColumn>,
    /// Events in them.
    pub events: u64,
    /// The largest weight of a new user.
    pub weight: f64,
    /// Bytes that the columns occupy.
    bytes: usize,
}

impl Open {
    /// For a slice that begins at this instant.
    fn new(schema: &Schema, start: Millis) -> Open {
        let column = OpenColumn::new(schema.sums_at(start));
        let columns = vec![column; schema.columns_at(start)];
        Open {
            bytes: Self::measured(&columns),
            columns,
            events: 0,
            weight: 0.0,
        }
    }

    /// From columns that were read back; `None` if so many events, of which there is at least one, cannot have come to
    /// these cells.
    pub fn restore(columns: Vec<OpenColumn>, events: u64, weight: f64) -> Option<Open> {
        let cells = |column: &OpenColumn| column.in_order().map(|cell| cell.events).collect();
        let counted: Vec<Vec<u64>> = columns.iter().map(cells).collect();
        (is_count(events, &counted) && is_weight(weight)).then(|| Open {
            bytes: Self::measured(&columns),
            columns,
            events,
            weight,
        })
    }

    fn measured(columns: &Vec<OpenColumn>) -> usize {
        let heap: usize = columns.iter().map(OpenColumn::heap_bytes).sum();
        size_of::<Open>() + columns.capacity() * size_of::<OpenColumn>() + heap
    }

    fn inputs(&self, column: usize) -> Vec<Input> {
        let cells = self.columns.get(column).cloned();
        cells.map(Input::Open).into_iter().collect()
    }

    /// Counts an event in each column, in a slice that ends at this instant.
    fn count(
        &mut self,
        schema: &Schema,
        end: Millis,
        numbers: &mut Numbers,
        event: &Resolved,
        full: Full,
    ) {
        self.events += 1;
        self.weight = self.weight.max(event.weight);
        let columns = self.columns.iter_mut().zip(event.numbers);
        for (column, (cells, &number)) in columns.enumerate() {
            if number == OTHER {
                continue;
            }
            let limit = schema.values_at(column, end);
            let precision = schema.precision_of(column);
            let (number, limit) = match full {
                Full::TakesPlace => (number, limit),
                Full::JoinsOthers if cells.has_room_for(number, limit) => (number, None),
                Full::JoinsOthers => (OTHER, None),
            };
            let (entered, more) = cells.count(number, limit, precision, event.hit);
            self.bytes = self.bytes.wrapping_add_signed(more);
            match entered {
                Entered::Present => {}
                Entered::Added => numbers.acquire(column, number),
                Entered::InPlaceOf(other) => {
                    numbers.acquire(column, number);
                    numbers.release(column, other);
                }
            }
        }
    }
}

/// What becomes of a new value where a column has as many as it may.
#[derive(Clone, Copy)]
enum Full {
    /// It takes the place of a light one: while a slice is open, nobody knows which will be heavy.
    TakesPlace,
    /// It joins the cell [`OTHER`]: what comes late is little beside the slice that it belongs to.
    JoinsOthers,
}

/// An event after its names were looked up.
struct Resolved<'a> {
    /// The number in each column that has begun; [`OTHER`] where it has no cell.
    numbers: &'a [u32],
    hit: Hit<'a>,
    weight: f64,
}

/// What came late to a slice.
#[derive(Clone, Debug)]
pub struct LatePart {
    /// When it began.
    pub epoch: u64,
    /// The events.
    pub open: Open,
}

/// Immutable columns of a slice.
#[derive(Clone, Debug)]
pub struct SealedSlice {
    /// One for each column that slices have which begin when this one does.
    pub columns: Vec<Sealed>,
    /// Events in them.
    pub events: u64,
    /// The largest weight of a new user.
    pub weight: f64,
    /// Bytes that it occupies.
    bytes: usize,
}

impl SealedSlice {
    /// Of these columns.
    pub fn new(columns: Vec<Sealed>, events: u64, weight: f64) -> SealedSlice {
        let cells = columns.iter().map(Sealed::memory_bytes).sum::<usize>();
        SealedSlice {
            bytes: size_of::<SealedSlice>() + cells,
            columns,
            events,
            weight,
        }
    }

    fn inputs(&self, column: usize) -> Vec<Input> {
        let cells = self.columns.get(column);
        cells.into_iter().flat_map(Sealed::inputs).collect()
    }
}

/// What a slice that is due consists of, beside what came late.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing: all its events came late.
    Absent,
    /// The columns that were written, to be sealed.
    Closed(Arc<Open>),
    /// To be made of finer slices.
    Due {
        /// Of the job that does it.
        epoch: u64,
    },
    /// Immutable columns.
    Sealed(Arc<SealedSlice>),
}

/// A slice that is due.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The instant after it.
    pub end: Millis,
    /// See [`Body`].
    pub body: Body,
    /// In order of arrival.
    pub late: Vec<LatePart>,
    /// Whether a job waits that folds the late parts in.
    pub rewriting: bool,
}

impl Slice {
    fn new(end: Millis, body: Body) -> Slice {
        Slice {
            end,
            body,
            late: Vec::new(),
            rewriting: false,
        }
    }

    /// Events of each part.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> {
        let late = self.late.iter().map(|part| part.open.events);
        late.chain([self.own_events()])
    }

    /// Events in the late parts.
    fn late_events(&self) -> u64 {
        self.late_events_until(u64::MAX)
    }

    /// Events in the late parts but for those after an epoch.
    fn late_events_until(&self, epoch: u64) -> u64 {
        let late = self.late.iter().filter(|part| part.epoch <= epoch);
        late.map(|part| part.open.events).sum()
    }

    fn own_events(&self) -> u64 {
        match &self.body {
            Body::Absent | Body::Due { .. } => 0,
            Body::Closed(open) => open.events,
            Body::Sealed(sealed) => sealed.events,
        }
    }

    /// Bytes of what it consists of but for late parts after an epoch.
    fn bytes_until(&self, epoch: u64) -> usize {
        let own = match &self.body {
            Body::Absent | Body::Due { .. } => 0,
            Body::Closed(open) => open.bytes,
            Body::Sealed(sealed) => sealed.bytes,
        };
        let late = self.late.iter().filter(|part| part.epoch <= epoch);
        own + late.map(|part| part.open.bytes).sum::<usize>()
    }

    /// The largest weight of a new user in what is not to be made yet.
    fn weight(&self) -> f64 {
        let own = match &self.body {
            Body::Absent | Body::Due { .. } => 0.0,
            Body::Closed(open) => open.weight,
            Body::Sealed(sealed) => sealed.weight,
        };
        self.late
            .iter()
            .map(|part| part.open.weight)
            .fold(own, f64::max)
    }
}

/// Which slice: the tier and the beginning.
pub type Which = (usize, Millis);

/// Work that is due.
#[derive(Clone, Debug)]
pub enum Task {
    /// A closed slice, of the finest tier, is sealed.
    Seal(Which),
    /// A slice is made of finer ones.
    Compact(Which),
    /// What came late joins its slice, or the slice is folded to the precision of its tier.
    Rewrite(Which),
    /// A slice is past its retention.
    Expire(Which),
    /// Columns that are no longer part of the cube: their numbers are given back. They are those of a slice that began
    /// at this instant.
    Release(Millis, Vec<Vec<Input>>),
}

impl Task {
    /// The slice that it makes; `None` where it makes none.
    pub fn makes(&self) -> Option<Which> {
        match *self {
            Task::Seal(which) | Task::Compact(which) | Task::Rewrite(which) => Some(which),
            Task::Expire(_) | Task::Release(..) => None,
        }
    }
}

/// A task and how far it got.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is to be done.
    pub task: Task,
    /// Late parts of later epochs are not part of it.
    pub epoch: u64,
    /// The column that is being worked on; those before are done.
    pub column: usize,
    /// How far that column was worked on: so many numbers of a merge, or the input and the next number of a release.
    pub steps: u64,
    /// Bytes that a release sets free, or that a merge has made so far.
    bytes: usize,
    /// Columns that are done.
    done: Vec<Sealed>,
    /// The column that is being worked on, once it was begun.
    merge: Option<Box<Merge>>,
}

impl Job {
    /// Not begun.
    pub fn new(task: Task, epoch: u64) -> Job {
        Job {
            task,
            epoch,
            column: 0,
            steps: 0,
            bytes: 0,
            done: Vec::new(),
            merge: None,
        }
    }

    /// Of the columns of a slice, which took so many bytes.
    pub fn release(start: Millis, columns: Vec<Vec<Input>>, bytes: usize) -> Job {
        Job {
            bytes,
            ..Job::new(Task::Release(start, columns), 0)
        }
    }

    /// Bytes of the columns that it releases.
    pub(crate) fn released_bytes(&self) -> usize {
        match self.task {
            Task::Release(..) => self.bytes,
            _ => 0,
        }
    }

    /// Bytes of what it has made and not handed over yet.
    fn made_bytes(&self) -> usize {
        match self.task {
            Task::Release(..) => 0,
            _ => self.bytes + self.merge.as_deref().map_or(0, Merge::made_bytes),
        }
    }

    /// Whether it reads late parts of this epoch of a slice.
    fn reads(&self, schema: &Schema, which: Which, end: Millis, epoch: u64) -> bool {
        let reads = match self.task {
            Task::Seal(_) | Task::Release(..) | Task::Expire(_) => false,
            Task::Rewrite(own) => own == which,
            Task::Compact((tier, start)) => {
                schema.source(tier) == Some(which.0)
                    && start <= which.1
                    && schema.calendar.slice(schema.tiers[tier].slice, start).end >= end
            }
        };
        reads && epoch <= self.epoch
    }
}

/// How much of the upkeep a row of a write does, as multiples of the cells that it writes in each tier.
const SHARE: usize = 2;

/// A late row is written into every tier at once, and what it makes necessary is more.
const LATE_SHARE: usize = 8;

/// Cells for which it is worth to go on with a job; what rows owe is saved up until then.
const BATCH: usize = 256;

/// The effort that goes with it, in bytes of tokens, of which a thousand take about ten microseconds. A row brings a few
/// for each column and tier, a hundredth of that.
const BATCH_EFFORT: usize = 6 << 10;

/// Closed slices that may wait to be sealed. Beyond that rows do more.
const WAITING: usize = 2;

/// Batches of upkeep in one write of several rows: what more they owe is done by the writes that follow. A batch takes
/// some hundred microseconds right after a long slice has closed.
const MOST_BATCHES: usize = 8;

/// Cells of upkeep that each row of such a write adds to that. On average a row needs two or three.
const CELLS_OF_A_ROW: usize = 4;

/// How much more.
const HURRY: usize = 8;

/// Events after which what came late joins its slice: a part of the slice's own, and not fewer than these. A smaller
/// part would cost more work for each late event, a larger one more memory and time of reading.
const LATE_PART: u64 = 4;
const LEAST_LATE: u64 = 512;

/// Slices with late parts, whatever their size, that are folded in each time a slice closes.
const TIDIED: usize = 2;

/// Slices past their retention, in each tier, that are given up each time a slice closes. Others follow when nothing
/// else is to be done.
const EXPIRED: usize = 2;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Cube {
    pub(crate) schema: Arc<Schema>,
    /// Of tables of values.
    pub(crate) seed: u64,
    pub(crate) newest: Option<Millis>,
    pub(crate) horizon: Option<Horizon>,
    pub(crate) numbers: Numbers,
    /// At most two, ascending: those of the horizon's that have events.
    pub(crate) open: Vec<(Range<Millis>, Arc<Open>)>,
    pub(crate) tiers: Vec<BTreeMap<Millis, Slice>>,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) epoch: u64,
    /// Cells that rows owe to the upkeep.
    pub(crate) owed: u64,
    /// What upkeep may still do in the write that is going on.
    allowance: Budget,
    /// For each tier: slices before this instant are given up, or are about to be.
    pub(crate) expired: Vec<Millis>,
    pub(crate) recent: Recent,
    pub(crate) seen: Option<Seen>,
    /// Events that came late and were counted.
    pub(crate) late: u64,
    /// Slices with late parts.
    late_slices: BTreeSet<Which>,
    /// Bytes of sealed and closed slices, late parts, and what is being released.
    pub(crate) slice_bytes: usize,
    /// What this process has seen and done of it, which is no part of the cube.
    pub tally: Tally,
    scratch: Vec<u32>,
}

/// What has been seen and done since somebody began to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events counted.
    pub events: u64,
    /// Events refused or dropped because they came too late.
    pub too_late: u64,
    /// Repetitions.
    pub duplicates: u64,
    /// Events in cells [`OTHER`] of slices when they were sealed, for each column that has one.
    pub other_events: u64,
    /// Steps of sealing.
    pub sealing_steps: u64,
    /// Steps of making slices of others, folding late events in and giving memory back.
    pub compaction_steps: u64,
}

/// Judges one time after another, as if each event before had been counted, without changing anything.
pub struct Watch<'c> {
    schema: &'c Schema,
    horizon: Option<Horizon>,
}

impl Watch<'_> {
    /// Whether an event of this time begins a slice that is newer than all.
    pub fn begins_slice(&self, at: Millis) -> bool {
        let horizon = self.horizon.as_ref();
        horizon.is_none_or(|horizon| at >= horizon.newest.end)
    }

    /// What would become of an event of this time.
    pub fn judge(&mut self, at: Millis) -> Verdict {
        match &mut self.horizon {
            Some(horizon) if at < horizon.newest.end => horizon.judge(self.schema, at),
            horizon => {
                *horizon = Some(Horizon::at(self.schema, at));
                Verdict::InTime
            }
        }
    }
}

impl Cube {
    /// An empty one. The schema must be whole (`Schema::check`). The seed is that of tables of values.
    pub fn new(schema: Schema, seed: u64) -> Cube {
        let tiers = schema.tiers.len();
        Cube {
            seed,
            numbers: Numbers::new(&schema, seed),
            newest: None,
            horizon: None,
            open: Vec::new(),
            tiers: vec![BTreeMap::new(); tiers],
            jobs: VecDeque::new(),
            epoch: 0,
            owed: 0,
            expired: vec![Millis::MIN; tiers],
            recent: Recent::default(),
            seen: schema.new.map(Seen::new),
            late: 0,
            late_slices: BTreeSet::new(),
            slice_bytes: 0,
            tally: Tally::default(),
            allowance: Budget::new(0, 0),
            scratch: Vec::new(),
            schema: Arc::new(schema),
        }
    }

    /// What it is made for.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The same, for whoever outlives the cube.
    pub fn shared_schema(&self) -> Arc<Schema> {
        self.schema.clone()
    }

    /// See [`Watch`].
    pub fn watch(&self) -> Watch<'_> {
        Watch {
            schema: &self.schema,
            horizon: self.horizon.clone(),
        }
    }

    /// Whether this producer has had something of this id counted not long ago.
    pub fn is_repeated(&self, producer: &[u8], id: &[u8]) -> bool {
        self.recent.contains(producer, id)
    }

    /// Remembers that it has.
    pub fn remember(&mut self, producer: &[u8], id: &[u8]) {
        self.recent.remember(producer, id);
    }

    /// The time of the newest event.
    pub fn newest(&self) -> Option<Millis> {
        self.newest
    }

    /// Events that came late and were counted.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The slice of the finest tier that an instant lies in: an event may be no further ahead of the clock than one.
    pub fn finest_slice_at(&self, at: Millis) -> Range<Millis> {
        self.schema.calendar.slice(self.schema.tiers[0].slice, at)
    }

    // -----------------------------------------------------------------------------------------------------
    // Writing

    /// Counts an event, and does its share of upkeep.
    pub fn add(&mut self, event: &Event) -> Result<(), TooLate> {
        self.begin_rows(1);
        self.add_row(event)
    }

    /// A write of so many rows begins.
    pub fn begin_rows(&mut self, rows: usize) {
        let cells = MOST_BATCHES * BATCH + CELLS_OF_A_ROW * rows;
        self.allowance = Budget::new(cells, MOST_BATCHES * BATCH_EFFORT);
    }

    /// [`add`](Cube::add) for a row of a write that [has begun](Cube::begin_rows). All of them together do no more upkeep
    /// than so much.
    pub fn add_row(&mut self, event: &Event) -> Result<(), TooLate> {
        let place = self.place(event.at)?;
        if self.newest.is_none_or(|newest| event.at > newest) {
            self.newest = Some(event.at);
        }
        let mut numbers = std::mem::take(&mut self.scratch);
        self.resolve(event, &mut numbers);
        let hash = self.schema.hash;
        let hash = hash.counts(event.element).then(|| hash.hash(event.element));
        let weight = match (&mut self.seen, hash) {
            (Some(seen), Some(hash)) => seen.add(hash),
            _ => 0.0,
        };
        let mut sums = [(0, 0.0); MAX_MEASURES + 1];
        let measures = event.measures.iter();
        let measures = measures.map(|&(at, number)| (self.schema.measure_sum(at), number));
        let new = self.schema.new_sum().map(|at| (at, weight));
        let new = new.filter(|_| weight > 0.0);
        let mut len = 0;
        for (place, sum) in sums.iter_mut().zip(measures.chain(new)) {
            *place = sum;
            len += 1;
        }
        let resolved = Resolved {
            numbers: &numbers,
            hit: Hit {
                hash,
                sums: &sums[..len],
            },
            weight,
        };
        let share = match place {
            Some(open) => {
                self.count_in_time(open, &resolved);
                SHARE
            }
            None => {
                self.count_late(event.at, &resolved);
                LATE_SHARE
            }
        };
        self.scratch = numbers;
        self.tally.events += 1;
        self.keep_up(share);
        Ok(())
    }

    /// The number of the event in each column that has begun by then.
    fn resolve(&mut self, event: &Event, numbers: &mut Vec<u32>) {
        let mut values = [OTHER; MAX_DIMENSIONS];
        let columns = self.schema.columns_at(event.at);
        for &(dimension, value) in event.values {
            if self.schema.dimension_since(dimension) <= event.at {
                values[dimension] = self.numbers.of_value(dimension, value);
            }
        }
        numbers.clear();
        for column in 0..columns {
            numbers.push(match self.numbers.place(column) {
                Place::Total => TOTAL,
                Place::Dimension(dimension) => values[dimension],
                Place::Group(group) => self.numbers.of_combination(group, &values),
            });
        }
    }

    /// Where among the open slices an event of this time goes; `None` if it is late. Time may go on by it.
    fn place(&mut self, at: Millis) -> Result<Option<usize>, TooLate> {
        if let Some(last) = self.open.last()
            && last.0.contains(&at)
        {
            return Ok(Some(self.open.len() - 1));
        }
        let schema = self.schema.clone();
        let horizon = match &self.horizon {
            Some(horizon) if at < horizon.newest.end => horizon,
            _ => self.go_on_to(at),
        };
        match horizon.judge(&schema, at) {
            Verdict::InTime => {}
            Verdict::Late => return Ok(None),
            Verdict::TooLate(too_late) => return Err(too_late),
        }
        let slice = match horizon.newest.contains(&at) {
            true => horizon.newest.clone(),
            false => horizon.previous.clone(),
        };
        let place = self.open.partition_point(|open| open.0.start < slice.start);
        if self.open.get(place).is_none_or(|open| open.0 != slice) {
            let open = Open::new(&self.schema, slice.start);
            self.slice_bytes += open.bytes;
            self.open.insert(place, (slice, Arc::new(open)));
        }
        Ok(Some(place))
    }

    fn count_in_time(&mut self, place: usize, event: &Resolved) {
        let (range, open) = &mut self.open[place];
        let open = Arc::make_mut(open);
        let before = open.bytes;
        let full = Full::TakesPlace;
        open.count(&self.schema, range.end, &mut self.numbers, event, full);
        self.slice_bytes = self.slice_bytes + open.bytes - before;
    }

    /// Counts an event in a late part of every slice that is due and kept.
    fn count_late(&mut self, at: Millis, event: &Resolved) {
        let schema = self.schema.clone();
        let Some(horizon) = self.horizon.clone() else {
            return;
        };
        self.late += 1;
        for (tier, range) in horizon.kept_at(&schema, at) {
            // Those that are not due yet will be made of others that have it by then.
            if range.end <= horizon.due[tier] {
                self.count_late_in((tier, range.start), range.end, event);
            }
        }
        for (column, &number) in event.numbers.iter().enumerate() {
            self.numbers.discard(column, number);
        }
    }

    fn count_late_in(&mut self, which: Which, end: Millis, event: &Resolved) {
        let (tier, start) = which;
        let slice = self.tiers[tier].entry(start).or_insert_with(|| {
            self.slice_bytes += SLICE_BYTES;
            Slice::new(end, Body::Absent)
        });
        self.late_slices.insert(which);
        let is_fixed = |part: &LatePart| {
            let mut jobs = self.jobs.iter();
            jobs.any(|job| job.reads(&self.schema, which, end, part.epoch))
        };
        if slice.late.last().is_none_or(is_fixed) {
            let open = Open::new(&self.schema, start);
            self.slice_bytes += open.bytes;
            slice.late.push(LatePart {
                epoch: self.epoch,
                open,
            });
        }
        let Some(LatePart { open, .. }) = slice.late.last_mut() else {
            return;
        };
        let before = open.bytes;
        let full = Full::JoinsOthers;
        open.count(&self.schema, end, &mut self.numbers, event, full);
        self.slice_bytes = self.slice_bytes + open.bytes - before;
        let enough = LEAST_LATE.max(slice.own_events() / LATE_PART);
        if slice.late_events() >= enough {
            self.rewrite(which);
        }
    }

    // -----------------------------------------------------------------------------------------------------
    // Time goes on

    /// The newest event enters another slice: what that closes, makes due and makes obsolete.
    #[inline(never)]
    fn go_on_to(&mut self, at: Millis) -> &Horizon {
        let schema = self.schema.clone();
        let horizon = Horizon::at(&schema, at);
        while let Some((range, _)) = self.open.first()
            && range.start < horizon.closed()
        {
            let (range, open) = self.open.remove(0);
            self.slice_bytes += SLICE_BYTES;
            self.tiers[0].insert(range.start, Slice::new(range.end, Body::Closed(open)));
            self.queue(Task::Seal((0, range.start)));
        }
        if let Some(old) = &self.horizon {
            let old_due = old.due.clone();
            for (tier, old_due) in old_due.into_iter().enumerate().skip(1) {
                let span = old_due..horizon.due[tier];
                if !span.is_empty() {
                    self.make_due(tier, span);
                }
            }
        }
        self.tidy();
        // What is past its retention goes after all jobs that still need it.
        for tier in 0..schema.tiers.len() {
            for _ in 0..EXPIRED {
                self.give_up(tier, horizon.gone[tier]);
            }
        }
        self.horizon.insert(horizon)
    }

    /// Has the next slice of a tier go that ends at this instant or before; whether there is one.
    fn give_up(&mut self, tier: usize, gone: Millis) -> bool {
        let next = self.tiers[tier].range(self.expired[tier]..).next();
        let Some((&start, slice)) = next.filter(|(_, slice)| slice.end <= gone) else {
            return false;
        };
        self.expired[tier] = slice.end;
        self.queue(Task::Expire((tier, start)));
        true
    }

    /// Slices of a tier that begin in this span are due where there are finer ones to make them of.
    fn make_due(&mut self, tier: usize, span: Range<Millis>) {
        let Some(source) = self.schema.source(tier) else {
            return;
        };
        let length = self.schema.tiers[tier].slice;
        let mut from = span.start;
        while let Some((&start, _)) = self.tiers[source].range(from..span.end).next() {
            let range = self.schema.calendar.slice(length, start);
            self.slice_bytes += SLICE_BYTES;
            let body = Body::Due { epoch: self.epoch };
            self.tiers[tier].insert(range.start, Slice::new(range.end, body));
            self.queue(Task::Compact((tier, range.start)));
            from = range.end;
        }
    }

    /// Some of the largest late parts join their slices, so that none stays for ever.
    fn tidy(&mut self) {
        for _ in 0..TIDIED {
            let weights = self.late_slices.iter().filter_map(|&(tier, start)| {
                let slice = self.tiers[tier].get(&start)?;
                (!slice.rewriting).then(|| (slice.late_events(), (tier, start)))
            });
            // Of equally large ones the first.
            let largest = weights.rev().max_by_key(|weight| weight.0);
            let Some((_, (tier, start))) = largest else {
                return;
            };
            self.rewrite((tier, start));
        }
    }

    /// Has a slice take its late parts in, if it is not going to anyway.
    fn rewrite(&mut self, which: Which) {
        if let Some(slice) = self.tiers[which.0].get_mut(&which.1)
            && !slice.rewriting
        {
            slice.rewriting = true;
            self.queue(Task::Rewrite(which));
        }
    }

    /// Has this done after all that is queued. What comes late from now on is not part of it.
    fn queue(&mut self, task: Task) {
        self.jobs.push_back(Job::new(task, self.epoch));
        self.epoch += 1;
    }

    // -----------------------------------------------------------------------------------------------------
    // Upkeep

    /// A row does its share.
    fn keep_up(&mut self, share: usize) {
        if self.jobs.is_empty() && !self.find_expired() {
            self.owed = 0;
            return;
        }
        let row = (self.schema.tiers.len() + 1) * self.schema.columns();
        self.owed += (share * row) as u64;
        if self.owed < BATCH as u64 || self.allowance.is_spent() {
            return;
        }
        let waiting = self
            .jobs
            .iter()
            .filter(|job| matches!(job.task, Task::Seal(_)));
        let hurry = if waiting.count() > WAITING { HURRY } else { 1 };
        let cells = self.owed as usize * hurry;
        self.owed = 0;
        let mut budget = self.allowance.take(cells, BATCH_EFFORT * hurry);
        while !budget.is_spent() && self.work(&mut budget) {}
        self.allowance.give_back(budget);
    }

    /// Queues a slice that is past its retention; whether there is one.
    fn find_expired(&mut self) -> bool {
        let Some(horizon) = &self.horizon else {
            return false;
        };
        let gone = horizon.gone.clone();
        let mut tiers = gone.into_iter().enumerate();
        tiers.any(|(tier, gone)| self.give_up(tier, gone))
    }

    /// Goes on with the first job; whether anything was to be done.
    fn work(&mut self, budget: &mut Budget) -> bool {
        let Some(mut job) = self.jobs.pop_front() else {
            return false;
        };
        match job.task {
            Task::Seal(_) => self.tally.sealing_steps += 1,
            _ => self.tally.compaction_steps += 1,
        }
        let done = match &mut job.task {
            Task::Expire(which) => {
                let which = *which;
                self.late_slices.remove(&which);
                // There is nothing left to fold.
                let is_other = |job: &Job| !matches!(job.task, Task::Rewrite(own) if own == which);
                self.jobs.retain(is_other);
                if let Some(slice) = self.tiers[which.0].remove(&which.1) {
                    self.slice_bytes -= SLICE_BYTES;
                    let inputs = |column| self.inputs_until(&slice, column, u64::MAX);
                    let columns = 0..self.schema.columns_at(which.1);
                    let bytes = slice.bytes_until(u64::MAX);
                    let released = Job::release(which.1, columns.map(inputs).collect(), bytes);
                    self.jobs.push_front(released);
                }
                budget.spend(1, 0);
                true
            }
            Task::Release(_, columns) => {
                let state = (&mut job.column, &mut job.steps);
                let all = release(&mut self.numbers, columns, state, budget);
                if all {
                    self.slice_bytes -= job.bytes;
                }
                all
            }
            Task::Seal(_) | Task::Compact(_) | Task::Rewrite(_) => {
                self.merge(&mut job, budget, (usize::MAX, u64::MAX))
            }
        };
        if done {
            self.install(job);
        } else {
            self.jobs.push_front(job);
        }
        true
    }

    /// Goes on with a merge, at most up to this column and step; whether it is done.
    pub(crate) fn merge(
        &mut self,
        job: &mut Job,
        budget: &mut Budget,
        until: (usize, u64),
    ) -> bool {
        let Some(which) = job.task.makes() else {
            return true;
        };
        while job.column < self.schema.columns_at(which.1) {
            let steps = if job.column < until.0 {
                u64::MAX
            } else {
                until.1
            };
            let mut merge = match job.merge.take() {
                Some(merge) => merge,
                None => {
                    let inputs = self.inputs(job, which, job.column);
                    Box::new(Merge::new(inputs, self.shape_of(which, job.column)))
                }
            };
            let stays = |number| self.numbers.acquire(job.column, number);
            if !merge.run(budget, steps, &mut job.steps, stays) || job.column >= until.0 {
                job.merge = Some(merge);
                return false;
            }
            let column = merge.finish();
            job.bytes += column.memory_bytes();
            job.done.push(column);
            job.column += 1;
            job.steps = 0;
        }
        true
    }

    /// The columns that a job merges into one of this slice.
    fn inputs(&self, job: &Job, which: Which, column: usize) -> Vec<Input> {
        let slices = self.merged_by(job, which).into_iter();
        let inputs = slices.map(|slice| self.inputs_until(slice, column, job.epoch));
        inputs.flatten().collect()
    }

    /// The slices whose columns a job merges: finer ones, or that which is there itself.
    fn merged_by(&self, job: &Job, which: Which) -> Vec<&Slice> {
        match job.task {
            Task::Compact(_) => self.finer(which).collect(),
            _ => self.tiers[which.0].get(&which.1).into_iter().collect(),
        }
    }

    /// The slices that a coarser one is made of.
    fn finer(&self, (tier, start): Which) -> impl Iterator<Item = &Slice> {
        let end = self.tiers[tier]
            .get(&start)
            .map_or(start, |slice| slice.end);
        let source = self.schema.source(tier).map(|source| &self.tiers[source]);
        source
            .into_iter()
            .flat_map(move |slices| slices.range(start..end))
            .map(|(_, slice)| slice)
    }

    /// What a slice consists of but for late parts after an epoch. Jobs are done in their order, so what it is made of
    /// is there.
    fn inputs_until(&self, slice: &Slice, column: usize, epoch: u64) -> Vec<Input> {
        let mut inputs = match &slice.body {
            Body::Absent | Body::Due { .. } => Vec::new(),
            Body::Closed(open) => open.inputs(column),
            Body::Sealed(sealed) => sealed.inputs(column),
        };
        let late = slice.late.iter().filter(|part| part.epoch <= epoch);
        inputs.extend(late.flat_map(|part| part.open.inputs(column)));
        inputs
    }

    /// The form of a column in a slice: at the precision of its tier once every coarser slice has taken it in.
    fn shape_of(&self, which: Which, column: usize) -> Shape {
        let own = self.schema.precision_of(column);
        let precision = match self.schema.tiers[which.0].precision {
            Some(tier) if tier < own && self.is_taken_in(which) => tier,
            _ => own,
        };
        let length = self.schema.tiers[which.0].slice;
        let end = self.schema.calendar.slice(length, which.1).end;
        // The finest slices, of which there are few and which are read most, stay as they were written, and so does
        // the total, which most questions read.
        let is_packed = which.0 > 0 && column > 0;
        Shape {
            sums: self.schema.sums_at(which.1),
            precision,
            limit: self.schema.values_at(column, end),
            index_bits: match is_packed {
                true => pack::index_bits(precision),
                false => INDEX_BITS,
            },
        }
    }

    /// Whether every coarser slice that is made of this one has been made.
    fn is_taken_in(&self, (tier, start): Which) -> bool {
        (tier + 1..self.tiers.len())
            .filter(|&coarser| self.schema.source(coarser) == Some(tier))
            .all(|coarser| {
                let length = self.schema.tiers[coarser].slice;
                let range = self.schema.calendar.slice(length, start);
                let made = self.tiers[coarser].get(&range.start);
                let is_due = |horizon: &Horizon| range.end <= horizon.due[coarser];
                self.horizon.as_ref().is_some_and(is_due)
                    && made.is_none_or(|slice| !matches!(slice.body, Body::Due { .. }))
            })
    }

    /// A job is done: what it made takes its place.
    fn install(&mut self, job: Job) {
        let Some(which) = job.task.makes() else {
            return;
        };
        let columns = 0..self.schema.columns_at(which.1);
        let replaced: Vec<Vec<Input>> = match job.task {
            Task::Compact(_) => Vec::new(),
            _ => columns
                .map(|column| self.inputs(&job, which, column))
                .collect(),
        };
        let (mut events, mut weight) = (0, 0.0f64);
        for slice in self.merged_by(&job, which) {
            events += slice.own_events() + slice.late_events_until(job.epoch);
            weight = weight.max(slice.weight());
        }
        let Some(slice) = self.tiers[which.0].get_mut(&which.1) else {
            return;
        };
        if let Task::Seal(_) = job.task {
            let others = job.done.iter().map(Sealed::other_events);
            self.tally.other_events += others.sum::<u64>();
        }
        let sealed = SealedSlice::new(job.done, events, weight);
        let replaced_bytes = slice.bytes_until(job.epoch);
        self.slice_bytes += sealed.bytes;
        slice.body = Body::Sealed(Arc::new(sealed));
        if let Task::Rewrite(_) = job.task {
            slice.rewriting = false;
            slice.late.retain(|part| part.epoch > job.epoch);
            if slice.late.is_empty() {
                self.late_slices.remove(&which);
            }
        }
        if !replaced.is_empty() {
            let released = Job::release(which.1, replaced, replaced_bytes);
            self.jobs.push_front(released);
        }
        if let Task::Compact(which) = job.task {
            self.fold_finer(which);
        }
    }

    /// Has the slices that a coarser one was made of folded to the precision of their tier.
    fn fold_finer(&mut self, which: Which) {
        let Some(source) = self.schema.source(which.0) else {
            return;
        };
        let mut to_fold = self.foldable(which);
        if let Some(end) = self.tiers[which.0].get(&which.1).map(|slice| slice.end) {
            let finer = self.tiers[source]
                .range(which.1..end)
                .map(|(&start, _)| (source, start));
            to_fold.extend(finer.filter(|&finer| self.is_foldable(finer)));
        }
        for which in to_fold {
            self.rewrite(which);
        }
    }

    /// The slice itself, if it is to be folded at once because nothing is made of it.
    fn foldable(&self, which: Which) -> Vec<Which> {
        let coarsest = !(which.0 + 1..self.tiers.len())
            .any(|coarser| self.schema.source(coarser) == Some(which.0));
        match coarsest && self.is_foldable(which) {
            true => vec![which],
            false => Vec::new(),
        }
    }

    fn is_foldable(&self, which: Which) -> bool {
        let finer = |column| self.schema.precision_of(column);
        let tier = self.schema.tiers[which.0].precision;
        let folds = tier.is_some_and(|tier| (0..self.schema.columns()).any(|c| finer(c) > tier));
        folds && self.is_taken_in(which)
    }

    // -----------------------------------------------------------------------------------------------------
    // Reading

    /// The instant from which slices are still open.
    pub fn closed(&self) -> Option<Millis> {
        self.horizon.as_ref().map(Horizon::closed)
    }

    /// From the oldest instant that anything is kept of to the end of the newest slice; `None` of an empty cube.
    pub fn kept(&self) -> Option<Range<Millis>> {
        let horizon = self.horizon.as_ref()?;
        let oldest = self
            .tiers
            .iter()
            .zip(&horizon.gone)
            .filter_map(|(slices, &gone)| {
                let kept = slices.iter().find(|(_, slice)| slice.end > gone);
                kept.map(|(&start, _)| start)
            });
        let open = self.open.first().map(|open| open.0.start);
        let oldest = oldest.chain(open).min()?;
        Some(oldest..horizon.newest.end)
    }

    /// The border of what a tier keeps: slices that end at it, or before, are gone.
    pub fn kept_from(&self, tier: usize) -> Millis {
        let horizon = self.horizon.as_ref();
        horizon.map_or(Millis::MIN, |horizon| horizon.gone[tier])
    }

    /// How many slices there are in a range, of all tiers.
    pub fn slices_in(&self, range: Range<Millis>) -> usize {
        let in_tier = |slices: &BTreeMap<Millis, Slice>| match range.is_empty() {
            true => 0,
            false => slices.range(range.clone()).count(),
        };
        self.tiers.iter().map(in_tier).sum()
    }

    /// From the oldest instant that a slice of any tier may be of, whether anything happened in it or not, to the end of
    /// the newest slice; only of slices that begin at an instant or later. `None` of an empty cube.
    pub fn remembered(&self, since: Millis) -> Option<Range<Millis>> {
        let horizon = self.horizon.as_ref()?;
        let tiers = self.kept_tiers(since);
        let oldest = cover::oldest(&self.schema.calendar, &tiers, horizon.closed());
        Some(oldest.unwrap_or(since).max(since)..horizon.newest.end)
    }

    /// How many slices there would be in a range, of all tiers, had something happened in all of it; and how many
    /// stretches of a length that can be made of them. About, and rather more.
    pub fn places_in(&self, range: &Range<Millis>, length: Option<Span>) -> [usize; 2] {
        let Some(remembered) = self.remembered(Millis::MIN) else {
            return [0, 0];
        };
        let count = |from: Millis, length: Span| {
            let start = range.start.max(remembered.start).max(from);
            let end = range.end.min(remembered.end);
            match start < end {
                true => ((end - start) / length.shortest() + 1) as usize,
                false => 0,
            }
        };
        let tiers = self.schema.tiers.iter().enumerate();
        let slices = tiers.map(|(tier, declared)| count(self.kept_from(tier), declared.slice));
        let mut slices_of = self.schema.tiers.iter().map(|declared| declared.slice);
        let length = length.filter(|&own| slices_of.any(|slice| slice == own || nests(slice, own)));
        let stretches = length.map_or(0, |length| count(Millis::MIN, length));
        [slices.sum(), stretches]
    }

    /// The slices that make up a range, of those that begin at an instant or later.
    pub fn cover(&self, range: Range<Millis>, since: Millis) -> Cover {
        let closed = self.closed().unwrap_or(Millis::MAX);
        let tiers = self.kept_tiers(since);
        cover::cover(&self.schema.calendar, &tiers, closed, range)
    }

    /// What tiers still have of slices that begin at an instant or later.
    fn kept_tiers(&self, since: Millis) -> Vec<Kept> {
        let kept = |tier: usize| {
            let slice = self.schema.tiers[tier].slice;
            let begun = match since {
                Millis::MIN => Millis::MIN,
                since => self.schema.calendar.slice(slice, since - 1).end,
            };
            let from = self.kept_from(tier).max(begun);
            Kept { slice, from }
        };
        (0..self.tiers.len()).map(kept).collect()
    }

    /// What there is of a column in a piece of a cover.
    pub fn read(&self, piece: &Piece, column: usize) -> Reading {
        let mut reading = Reading::default();
        if piece.tier == 0
            && let Some((_, open)) = self.open.iter().find(|open| open.0.start == piece.start)
        {
            reading.add(open.inputs(column), open.weight);
        }
        if let Some(slice) = self.tiers[piece.tier].get(&piece.start) {
            self.read_slice(
                (piece.tier, piece.start),
                slice,
                column,
                u64::MAX,
                &mut reading,
            );
        }
        reading
    }

    /// Adds what there is of a column in a slice, but for late parts after an epoch.
    fn read_slice(
        &self,
        which: Which,
        slice: &Slice,
        column: usize,
        until: u64,
        reading: &mut Reading,
    ) {
        let shape = self.shape_of(which, column);
        match &slice.body {
            Body::Absent => {}
            Body::Sealed(sealed) => reading.add(sealed.inputs(column), sealed.weight),
            Body::Closed(open) => {
                let mut own = Reading::default();
                own.add(open.inputs(column), open.weight);
                reading.add_merged(own, shape);
            }
            Body::Due { epoch } => {
                let mut own = Reading::default();
                let source = self.schema.source(which.0).unwrap_or(0);
                for (&start, finer) in self.tiers[source].range(which.1..slice.end) {
                    self.read_slice((source, start), finer, column, *epoch, &mut own);
                }
                reading.add_merged(own, shape);
            }
        }
        for part in slice.late.iter().filter(|part| part.epoch <= until) {
            reading.add(part.open.inputs(column), part.open.weight);
        }
    }

    // -----------------------------------------------------------------------------------------------------
    // Description

    /// The tiers, from the finest to the coarsest.
    pub fn tier_infos(&self) -> Vec<TierInfo> {
        let tiers = self.tiers.iter().zip(&self.schema.tiers).enumerate();
        let info = |(tier, (slices, declared)): (
            usize,
            (&BTreeMap<Millis, Slice>, &super::schema::Tier),
        )| {
            let gone = self.kept_from(tier);
            let kept = || slices.iter().filter(|(_, slice)| slice.end > gone);
            let open = || self.open.iter().filter(|_| tier == 0);
            let starts = || {
                kept()
                    .map(|(&start, _)| start)
                    .chain(open().map(|open| open.0.start))
            };
            let due: usize = slices
                .values()
                .map(|slice| SLICE_BYTES + slice.bytes_until(u64::MAX))
                .sum();
            TierInfo {
                slice: declared.slice,
                retention: declared.retention,
                slices: starts().count(),
                bytes: due + open().map(|open| open.1.bytes).sum::<usize>(),
                oldest: starts().min(),
                newest: starts().max(),
            }
        };
        tiers.map(info).collect()
    }

    /// The columns: the total, the dimensions, the groups.
    pub fn column_infos(&self) -> Vec<ColumnInfo> {
        let names = &self.schema.dimensions;
        let name_and_values = |column| match self.schema.place(column) {
            Place::Total => (String::new(), 1),
            Place::Dimension(at) => (names[at].name.clone(), self.numbers.dimensions[at].len()),
            Place::Group(at) => {
                let of = self.schema.groups[at].dimensions.iter();
                let of: Vec<&str> = of.map(|&at| &names[at].name[..]).collect();
                (of.join(","), self.numbers.groups[at].len())
            }
        };
        let info = |column| {
            let (name, values) = name_and_values(column);
            let since = self.schema.since(column);
            let kept = self.kept().map(|kept| kept.start.max(since)..kept.end);
            let cover = kept.filter(|kept| !kept.is_empty());
            let cover = cover.map(|kept| self.cover(kept, since));
            let pieces = cover.map_or(Vec::new(), |cover| cover.pieces);
            ColumnInfo {
                name,
                values,
                cap: self.schema.values_of(column),
                precision: self.schema.precision_of(column),
                since: Some(since).filter(|&since| since > Millis::MIN),
                other_events: pieces
                    .iter()
                    .map(|piece| self.other_events(piece, column))
                    .sum(),
                bytes: self.column_bytes(column),
            }
        };
        (0..self.schema.columns()).map(info).collect()
    }

    /// Events in the cell of other values.
    fn other_events(&self, piece: &Piece, column: usize) -> u64 {
        let mut reading = self.read(piece, column);
        reading.settle();
        let parts = reading.parts.iter().filter_map(|part| match part {
            Input::Sealed(column) => column.get(OTHER),
            Input::Open(column) => column.get(OTHER),
        });
        parts.map(|cell| cell.events).sum()
    }

    /// Bytes of a column in all slices.
    fn column_bytes(&self, column: usize) -> usize {
        let of_open = |open: &Open| {
            let cells = open.columns.get(column);
            cells.map_or(0, OpenColumn::heap_bytes)
        };
        let of_slice = |slice: &Slice| {
            let own = match &slice.body {
                Body::Absent | Body::Due { .. } => 0,
                Body::Closed(open) => of_open(open),
                Body::Sealed(sealed) => {
                    let cells = sealed.columns.get(column);
                    cells.map_or(0, Sealed::memory_bytes)
                }
            };
            own + slice
                .late
                .iter()
                .map(|part| of_open(&part.open))
                .sum::<usize>()
        };
        let slices = self.tiers.iter().flat_map(BTreeMap::values);
        let open = self.open.iter().map(|open| of_open(&open.1));
        slices.map(of_slice).sum::<usize>() + open.sum::<usize>()
    }

    // -----------------------------------------------------------------------------------------------------
    // Memory

    /// Moves the chunks of sealed slices that no copy shares, of one slice after the other, from this one on. Where to go
    /// on, if it is told to stop before it is through.
    pub fn relocate<M: Relocate>(
        &mut self,
        mover: &mut M,
        from: u64,
        should_stop: impl Fn(&M) -> bool,
    ) -> Option<u64> {
        let slices = self.tiers.iter_mut().flat_map(BTreeMap::values_mut);
        for (at, slice) in (0..).zip(slices).skip(from as usize) {
            if at > from && should_stop(mover) {
                return Some(at);
            }
            if let Body::Sealed(sealed) = &mut slice.body
                && let Some(sealed) = Arc::get_mut(sealed)
            {
                let columns = sealed.columns.iter_mut();
                let columns =
                    columns.flat_map(|column| [Some(&mut column.named), column.other.as_mut()]);
                for column in columns.flatten().filter_map(Arc::get_mut) {
                    column.relocate(mover);
                }
            }
        }
        None
    }

    /// Work that is queued.
    pub fn waiting(&self) -> usize {
        self.jobs.len()
    }

    // -----------------------------------------------------------------------------------------------------
    // Parts that are read back; see [`super::restore`]

    pub(crate) fn add_open(&mut self, range: Range<Millis>, open: Open) {
        self.slice_bytes += open.bytes;
        self.open.push((range, Arc::new(open)));
    }

    pub(crate) fn add_slice(&mut self, which: Which, slice: Slice) {
        self.slice_bytes += SLICE_BYTES + slice.bytes_until(u64::MAX);
        if !slice.late.is_empty() {
            self.late_slices.insert(which);
        }
        self.tiers[which.0].insert(which.1, slice);
    }

    // -----------------------------------------------------------------------------------------------------
    // Size

    /// Bytes that it occupies. What it shares with copies counts in each of them.
    pub fn memory_bytes(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, Seen::memory_bytes);
        size_of::<Cube>()
            + self.schema.memory_bytes()
            + self.numbers.heap_bytes()
            + self.recent.memory_bytes()
            + seen
            + self.slice_bytes
            + self.jobs.front().map_or(0, Job::made_bytes)
    }
}

/// What is to be said of a tier.
#[derive(Clone, Debug)]
pub struct TierInfo {
    /// The length of its slices.
    pub slice: super::calendar::Span,
    /// How long they are kept.
    pub retention: super::calendar::Span,
    /// Those that have events and are kept.
    pub slices: usize,
    /// Bytes that they occupy.
    pub bytes: usize,
    /// The beginning of the first.
    pub oldest: Option<Millis>,
    /// The beginning of the last.
    pub newest: Option<Millis>,
}

/// What is to be said of a column.
#[derive(Clone, Debug)]
pub struct ColumnInfo {
    /// Its dimensions; empty for the total.
    pub name: String,
    /// Values that have a number.
    pub values: usize,
    /// How many a slice keeps apart.
    pub cap: Option<u32>,
    /// Of its cells.
    pub precision: crate::sketch::Precision,
    /// The first instant that it knows of, where it was added later.
    pub since: Option<Millis>,
    /// Events of all that is kept that share the cell of other values.
    pub other_events: u64,
    /// Bytes of its cells in all slices.
    pub bytes: usize,
}

/// What a slice takes in its tier beside what it consists of: the entry, and the part of a tree's node that is empty.
const SLICE_BYTES: usize = (size_of::<Millis>() + size_of::<Slice>()) * 3 / 2;

/// Gives back the numbers of columns, as far as the budget goes; whether that was all.
fn release(
    numbers: &mut Numbers,
    columns: &mut [Vec<Input>],
    (column, steps): (&mut usize, &mut u64),
    budget: &mut Budget,
) -> bool {
    while let Some(inputs) = columns.get_mut(*column) {
        // The input that is being walked, and the number to go on from.
        let (mut at, mut next) = ((*steps >> 32) as usize, *steps as u32);
        while let Some(input) = inputs.get(at) {
            for cell in input.iter_from(next) {
                if budget.is_spent() {
                    return false;
                }
                numbers.release(*column, cell.number);
                *steps = (at as u64) << 32 | u64::from(cell.number + 1);
                budget.spend(1, 0);
            }
            (at, next) = (at + 1, 0);
            *steps = (at as u64) << 32;
        }
        inputs.clear();
        *column += 1;
        *steps = 0;
    }
    true
}

/// The most events that a cube counts: as many as answers, whose numbers are doubles, tell exactly.
pub(crate) const MAX_EVENTS: u64 = 1 << f64::MANTISSA_DIGITS;

/// Whether so many events, at least one of them, can have come to these cells of each column: all of them to the total,
/// and none of them to two cells of one column.
pub(crate) fn is_count(events: u64, columns: &[Vec<u64>]) -> bool {
    let sum = |cells: &Vec<u64>| cells.iter().map(|&events| u128::from(events)).sum::<u128>();
    let mut sums = columns.iter().map(sum);
    (1..=MAX_EVENTS).contains(&events)
        && sums.next() == Some(events.into())
        && sums.all(|sum| sum <= events.into())
}

/// Whether it can be the largest weight of a new user.
pub(crate) fn is_weight(weight: f64) -> bool {
    (0.0..=MAX_SUM).contains(&weight)
}

/// What there is of a column in a slice: parts that are read side by side. Some may have to be merged first, since
/// that has not been done yet and would decide which values stay apart.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// As they are.
    pub parts: Vec<Input>,
    /// To be merged.
    pub waiting: Vec<(Reading, Shape)>,
    /// The largest weight of a new user.
    pub weight: f64,
}

impl Reading {
    fn add(&mut self, parts: Vec<Input>, weight: f64) {
        self.parts.extend(parts);
        self.weight = self.weight.max(weight);
    }

    /// Adds what is to be merged. Where all values stay apart whether it is or not, it need not be.
    fn add_merged(&mut self, other: Reading, shape: Shape) {
        self.weight = self.weight.max(other.weight);
        if other.waiting.is_empty() && !Merge::may_exceed(&other.parts, shape.limit) {
            self.parts.extend(other.parts);
        } else {
            self.waiting.push((other, shape));
        }
    }

    /// Merges what has to be.
    pub fn settle(&mut self) {
        for (mut reading, shape) in self.waiting.drain(..) {
            reading.settle();
            let sealed = Merge::whole(reading.parts, shape);
            self.parts.extend(sealed.inputs());
        }
    }
}
