//! Questions to a cube and answers from it, as values: what is asked after the words have been read, and what is
//! said before it is put into words.

use super::calendar::{Calendar, Millis, Span};
use crate::sketch::{Estimate, HashMismatch};
use std::ops::Range;
use std::sync::Arc;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// From when to when; `None`: all that is kept.
    pub time: Option<Time>,
    /// All of them speak of one event.
    pub conditions: Vec<Condition>,
    /// Positions of dimensions, each value of which (each pair of values) is a row: none, one or two.
    pub by: Vec<usize>,
    /// A row for each slice of this length.
    pub bucket: Option<Span>,
    /// What each row says, in this order. None of them: users, events, new users where they are counted, and every
    /// measure. What decides the order of rows is said too, last, where it is not among them.
    pub metrics: Vec<Metric>,
    /// What decides the order of rows; without it they come by bucket, then by value.
    pub order: Option<Order>,
    /// The most rows (with buckets: the most values), and how many go before them.
    pub limit: Option<usize>,
    /// See `limit`.
    pub offset: usize,
    /// Whether buckets without events have rows.
    pub gaps: Gaps,
    /// What conditions on several dimensions mean.
    pub level: Level,
    /// In whose time buckets are cut; the cube's own is the default.
    pub calendar: Option<Calendar>,
    /// What every row is compared with.
    pub against: Option<Against>,
    /// How sure the interval of users who are common to several sets is to be, a fraction between 0 and 1. Those
    /// intervals are part of the work; all others can be made from an estimate in no time.
    pub confidence: f64,
}

impl Question {
    /// About everything that is kept, in one row.
    pub fn everything(confidence: f64) -> Question {
        Question {
            time: None,
            conditions: Vec::new(),
            by: Vec::new(),
            bucket: None,
            metrics: Vec::new(),
            order: None,
            limit: None,
            offset: 0,
            gaps: Gaps::Left,
            level: Level::Event,
            calendar: None,
            against: None,
            confidence,
        }
    }
}

/// From when to when.
#[derive(Clone, Debug, PartialEq)]
pub enum Time {
    /// From one instant to another, which is not part of it.
    Between(Range<Millis>),
    /// Up to an instant that is the present of whoever asks: the slice it lies in is part of the answer while it is
    /// open, since nothing in it can be later.
    UpTo(Range<Millis>),
}

/// What is compared with what is asked about.
#[derive(Clone, Debug, PartialEq)]
pub enum Against {
    /// The same so much earlier, as far as that is kept, but nothing that belongs to both.
    Before(Shift),
    /// Another stretch of time.
    Between(Range<Millis>),
    /// Events of the same time that meet another condition on a dimension which stands in a condition.
    Other(Condition),
}

/// How much earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// By the calendar.
    Span(Span),
    /// By so many milliseconds that clocks of the place show.
    Local(i64),
}

impl Shift {
    /// An instant so much earlier.
    pub fn back(self, calendar: &Calendar, at: Millis) -> Millis {
        match self {
            Shift::Span(span) => calendar.minus(at, span),
            Shift::Local(length) => calendar.minus_local(at, length),
        }
    }
}

/// What one dimension of an event must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The position of the dimension.
    pub dimension: usize,
    /// How the values are meant.
    pub test: Test,
    /// One or more.
    pub values: Vec<Vec<u8>>,
}

/// How a condition means its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// One of them.
    In,
    /// A value, and none of them.
    NotIn,
}

/// A figure of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Users.
    Unique,
    /// Events.
    Events,
    /// Users seen for the first time.
    New,
    /// Users who had been seen before.
    Returning,
    /// The sum of the measure at this position.
    Sum(usize),
    /// The same for each event.
    PerEvent(usize),
    /// The same for each user.
    PerUser(usize),
}

/// By what rows are ordered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// By this figure; ties by the bytes of the values.
    pub metric: Metric,
    /// Which way.
    pub direction: Direction,
}

/// Which way rows are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The largest first.
    Descending,
    /// The smallest first.
    Ascending,
}

/// What becomes of buckets without events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// They have no row.
    Left,
    /// They have rows of noughts, or of nothing where nothing is kept.
    Filled,
}

/// What conditions on several dimensions mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// One event that meets all of them, as a group of these dimensions knows.
    Event,
    /// Users who met each of them, perhaps in different events.
    Users,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The borders that were used: of all slices that were read. Where nothing is known of the time that was asked
    /// about they are the same, and figures are missing.
    pub range: Range<Millis>,
    /// How the figures came about.
    pub level: Level,
    /// Events whose values share the cell `(other)` in the column that was read; where several were, in the one
    /// that has most of them.
    pub other_events: u64,
    /// What the figures of a row are, in their order.
    pub metrics: Vec<Metric>,
    /// In the order that was asked for.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The beginning of the bucket.
    pub bucket: Option<Millis>,
    /// The values, as many as dimensions were asked by.
    pub values: Vec<Arc<[u8]>>,
    /// The figures, in the order of the metrics; `None` where nothing is known.
    pub figures: Vec<Option<Figure>>,
    /// Whether events that belong here may be in `(other)`, so that the figures are lower bounds.
    pub at_least: bool,
}

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Exact.
    Exact(f64),
    /// An estimate; `new` users too.
    Estimate(Estimate),
    /// Users who are common to several sets, with the interval for the confidence that was asked for. It follows
    /// the likelihood of all sets, and is not the one that the variance of an estimate would give.
    Common {
        /// How many.
        users: Estimate,
        /// Not more than there are.
        lower: f64,
        /// Not fewer.
        upper: f64,
    },
    /// A sum for each user: the sum, and the users.
    Ratio {
        /// The sum.
        sum: f64,
        /// Over how many.
        users: Estimate,
    },
}

/// What a comparison says beside the rows of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The borders of the time that was compared with; `None` where it is not kept as it would have to be.
    pub range: Option<Range<Millis>>,
    /// Whether changes of users are told as if nobody belonged to both sides, so that intervals are wider than they
    /// had to be.
    pub wide: bool,
    /// For each row and each metric; `None` where nothing is known.
    pub rows: Vec<Vec<Option<Compared>>>,
}

/// A figure beside that of the other side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The other side's.
    pub previous: Figure,
    /// How much more it is now, as a fraction of what it was; `None` of nothing.
    pub change: Option<Between>,
    /// How much more one of two groups has than the other, with the interval and the chance of such a difference where
    /// both are of a kind: see [`query::compare`](super::query).
    pub difference: Option<(Between, f64)>,
}

/// A number and the interval for the confidence that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between {
    /// The number.
    pub value: f64,
    /// Not more than it is.
    pub lower: f64,
    /// Not less.
    pub upper: f64,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Unanswerable {
    /// No group holds exactly these dimensions (their positions).
    NoGroup(Vec<usize>),
    /// Buckets of this length cannot be cut from the tiers there are.
    Bucket(Span),
    /// The finest tier no longer covers the range, so it cannot be cut at another place's borders; it does from here
    /// on.
    Zone(Millis),
    /// The answer would have more rows than the most there may be: at least so many.
    TooManyRows(usize),
    /// More user sets than a joint solution takes.
    TooManySets(usize),
    /// Only users can be known of user sets.
    OnlyUsers,
    /// New users are not counted by this cube.
    NoNew,
    /// The other condition is on a dimension without a condition, or on one whose values are rows.
    NotCompared(usize),
    /// Nothing is known any more of the time that was asked about, or nothing yet of what was asked about it: something
    /// is from here on.
    Forgotten(Millis),
    /// No whole slice is as near to the time that was asked about, which begins in this one.
    WithinSlice(Range<Millis>),
    /// More buckets than rows are allowed.
    TooManyBuckets(usize),
    /// Sketches of the cells are of different universes, which those of one cube never are.
    Hashes(HashMismatch),
}
