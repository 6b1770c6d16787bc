//! What a cube is made for: its tiers of time, dimensions, groups and measures. It is declared once and
//! decides what can be asked.
//!
//! # Columns
//!
//! A *column* is the total, a dimension or a group of dimensions, numbered in this order; those that were added later
//! come behind, in the order in which they were ([`history`](super::history)). Within a column every value (of a
//! group: every combination of values) has a number from 1 on, and its cell stands under it; [`OTHER`] is the cell of
//! all values that a full column has no place for.
//!
//! # Sums
//!
//! A cell has a sum for each measure, and behind them that of its new users where these are counted; measures that
//! were added later come behind those. So a slice has the first few of all columns and the first few of all sums,
//! those that had begun at its first instant ([`Schema::columns_at`], [`Schema::sums_at`]).
//!
//! # Tiers
//!
//! Events are written into slices of the finest tier. Every other tier is made of the coarsest finer one of which
//! its slices are whole multiples ([`Schema::source`]): months of days where there are days, and never of weeks.
//! A tier that no finer one fits into could never be filled, and one that forgets its slices before the coarser tier
//! made of them has taken them in would lose events; [`Schema::check`] refuses both.
//!
//! # Names
//!
//! Dimensions and measures share one space of names, since both stand as fields of an event and of a row.
//! The words of questions and answers cannot be names ([`RESERVED`]): behind `BY device` a word has to be either
//! another dimension or the beginning of the next part of the question, whatever the cube has been declared with.

use super::calendar::{Calendar, Millis, Span, nests};
use super::history::{Added, History};
use crate::sketch::{HashFamily, Precision};
use std::fmt;
use std::ops::RangeInclusive;

/// The number of the cell `(other)`.
pub const OTHER: u32 = 0;

/// The number of the total's only cell.
pub const TOTAL: u32 = 1;

/// What users see in the place of the values in the cell [`OTHER`].
pub const OTHER_NAME: &[u8] = b"(other)";

/// The most dimensions, groups, measures and tiers.
pub const MAX_DIMENSIONS: usize = 32;
/// See [`MAX_DIMENSIONS`].
pub const MAX_GROUPS: usize = 32;
/// See [`MAX_DIMENSIONS`].
pub const MAX_MEASURES: usize = 16;
/// See [`MAX_DIMENSIONS`].
pub const MAX_TIERS: usize = 8;

/// Dimensions in a group.
pub const GROUP_SIZE: RangeInclusive<usize> = 2..=4;

/// The most slices that the tiers of a cube may come to together.
pub const MAX_SLICES: u64 = 10_000;

/// The longest value of a dimension, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024;

/// Values that a dimension or a group keeps apart where nothing is said.
pub const DEFAULT_VALUES: u32 = 10_000;

/// The most values that may be asked for.
pub const MAX_VALUES: u32 = 10_000_000;

/// Precisions of columns: one cell of 16 is 64 KiB.
pub const PRECISIONS: RangeInclusive<u8> = 4..=16;

/// Precisions of the sketch that knows who is new.
pub const NEW_PRECISIONS: RangeInclusive<u8> = 4..=18;

/// The longest name of a dimension or measure, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The largest magnitude of a measure.
pub const MAX_MEASURE: f64 = 1e15;

/// Larger in magnitude than any sum comes to be: of measures of 2^53 events at 1e15 each, or of new users at a weight of
/// up to 2^64. A file that claims more would make answers that are no numbers.
pub const MAX_SUM: f64 = 1e40;

/// Slices of one length, kept for some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// The length of a slice.
    pub slice: Span,
    /// How long a slice is kept.
    pub retention: Span,
    /// The highest precision of cells in this tier, once the next one has taken them in.
    pub precision: Option<Precision>,
}

/// Something an event may have a value of.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// As in events and questions.
    pub name: String,
    /// Of its cells.
    pub precision: Precision,
    /// How many values a slice keeps apart.
    pub values: u32,
    /// Whether it belongs to the user and does not change with the event.
    pub user_level: bool,
}

/// Dimensions whose combinations of values have cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Their positions among the dimensions, in the order of the declaration.
    pub dimensions: Vec<usize>,
    /// Of its cells.
    pub precision: Precision,
    /// How many combinations a slice keeps apart.
    pub values: u32,
}

/// See the head of this file.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// From the finest to the coarsest.
    pub tiers: Vec<Tier>,
    /// In the order of their declaration.
    pub dimensions: Vec<Dimension>,
    /// In the order of their declaration.
    pub groups: Vec<Group>,
    /// Names of numbers that are summed.
    pub measures: Vec<String>,
    /// Of the total's cells.
    pub precision: Precision,
    /// Of the sketch of all users ever seen, if new users are counted.
    pub new: Option<Precision>,
    /// Where days begin.
    pub calendar: Calendar,
    /// Of users.
    pub hash: HashFamily,
    /// Bytes beyond which writes are refused.
    pub max_bytes: Option<u64>,
    /// What was added and changed since it was first declared.
    pub history: History,
}

/// Values that are few, so that each has many users and is looked at closely.
const FEW_VALUES: u32 = 64;

/// Values that are many, so that each has few users and there are many cells.
const MANY_VALUES: u32 = 10_000;

/// The precision of a column where nothing is said, by how many values it keeps apart. That of the total is the
/// one of a single value.
pub const fn default_precision(values: u32) -> Precision {
    let bits = if values <= FEW_VALUES {
        14
    } else if values <= MANY_VALUES {
        12
    } else {
        10
    };
    match Precision::new(bits) {
        Some(precision) => precision,
        None => Precision::DEFAULT,
    }
}

/// Words of questions, answers, and declarations, in lower case. No name may be one of them, in any case.
///
/// `cost` and `revenue` are not among them, though questions use them: they always stand before a name, never
/// in the place of one, and they are what many measures are called.
#[rustfmt::skip]
pub const RESERVED: &[&str] = &[
    // Declarations.
    "add", "dimension", "group", "hash", "maxbytes", "measure", "new", "precision", "tier", "timezone", "userlevel",
    "values", "weekstart",
    // Events.
    "drop", "error", "fields", "idmp", "late", "rows",
    // Questions.
    "asc", "at", "bucket", "by", "click", "cohort", "compare", "confidence", "conversion", "cube", "desc", "every",
    "fill", "from", "impression", "in", "last", "limit", "metrics", "not", "offset", "order", "period", "periods",
    "previous", "retention", "return", "steps", "to", "users", "where", "zero",
    // Units of time.
    "ms", "s", "m", "h", "d", "w", "mo", "q", "y",
    // What an answer says beside dimensions and measures.
    "at_least", "change", "change_lower", "change_upper", "conversion_rate", "conversion_rate_lower",
    "conversion_rate_upper", "cpa", "cpa_lower", "cpa_upper", "cpc", "cpc_lower", "cpc_upper", "ctr", "ctr_lower",
    "ctr_upper", "difference", "dormant", "earlier_from", "events", "first_in_kept", "lower", "method", "new_lower",
    "new_upper", "other_events", "p_value", "resurrected", "retained", "returning", "returning_lower",
    "returning_upper", "roi", "roi_lower", "roi_upper", "size", "size_lower", "size_upper", "unique", "unique_clicks",
    "unique_clicks_lower", "unique_clicks_upper", "unique_conversions", "unique_conversions_lower",
    "unique_conversions_upper", "unique_impressions", "unique_impressions_lower", "unique_impressions_upper",
    "unique_lower", "unique_upper", "upper", "zone",
];

/// Metrics that are no measures, and what stands behind the name of a metric in the fields of a comparison. Together they
/// are no names, nor are those of a measure and one of the latter.
const METRICS: &[&str] = &["unique", "events", "new", "returning"];
/// See [`METRICS`].
const COMPARED: &[&str] = &[
    "_previous",
    "_change",
    "_change_lower",
    "_change_upper",
    "_difference",
    "_difference_lower",
    "_difference_upper",
    "_p_value",
];

/// Whether a word may be the name of a dimension or measure: a letter or underscore, then letters, digits and
/// underscores, and none of [`RESERVED`].
pub fn is_name(word: &[u8]) -> bool {
    is_well_formed(word) && !is_reserved(word)
}

fn is_well_formed(word: &[u8]) -> bool {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    word.len() <= MAX_NAME_BYTES
        && word.first().is_some_and(|first| !first.is_ascii_digit())
        && word.iter().all(in_name)
}

fn is_reserved(word: &[u8]) -> bool {
    RESERVED
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved.as_bytes()))
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The dimension at this position.
    Dimension(usize),
    /// The measure at this position.
    Measure(usize),
}

/// Parts of a schema of which there may be only so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// See [`Schema::tiers`].
    Tiers,
    /// See [`Schema::dimensions`].
    Dimensions,
    /// See [`Schema::groups`].
    Groups,
    /// See [`Schema::measures`].
    Measures,
}

impl Part {
    /// The most there may be.
    pub fn most(self) -> usize {
        match self {
            Part::Tiers => MAX_TIERS,
            Part::Dimensions => MAX_DIMENSIONS,
            Part::Groups => MAX_GROUPS,
            Part::Measures => MAX_MEASURES,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Tiers => "tiers",
            Part::Dimensions => "dimensions",
            Part::Groups => "groups",
            Part::Measures => "measures",
        })
    }
}

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// There is no tier.
    NoTier,
    /// More of a part than there may be.
    TooMany(Part, usize),
    /// No name has this form.
    Name(String),
    /// The name is a word of questions and answers.
    Reserved(String),
    /// Two dimensions or measures have this name.
    NameTwice(String),
    /// Time cannot be cut into slices of this length.
    NotASlice(Span),
    /// Two tiers have slices of this length.
    SliceTwice(Span),
    /// The tiers do not go from the finest to the coarsest.
    Order,
    /// No finer tier's slices fit into these.
    NoSource(Span),
    /// Slices are kept for less than one of them, or of those that are made of them, lasts.
    Retention {
        /// Of the tier.
        slice: Span,
        /// How long they are kept.
        retention: Span,
        /// How long they would have to be.
        least: Span,
    },
    /// All tiers together come to so many slices.
    TooManySlices(u64),
    /// A precision outside the range.
    Precision(u32, RangeInclusive<u8>),
    /// A number of values to keep apart that is none.
    Values(u32),
    /// A group of so many dimensions.
    GroupSize(usize),
    /// The position of a dimension in a group is none.
    GroupOfNothing(usize),
    /// A dimension stands twice in a group.
    GroupRepeats(String),
    /// Two groups are of the same dimensions.
    GroupTwice(Vec<String>),
    /// Changes that cannot have been made.
    History,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaError::NoTier => write!(f, "there is no tier"),
            SchemaError::TooMany(part, given) => {
                write!(
                    f,
                    "there may be at most {} {part}, got {given}",
                    part.most()
                )
            }
            SchemaError::Name(name) => write!(f, "'{name}' cannot be a name"),
            SchemaError::Reserved(name) => {
                write!(f, "'{name}' is a word of questions and cannot be a name")
            }
            SchemaError::NameTwice(name) => write!(f, "the name '{name}' is given twice"),
            SchemaError::NotASlice(slice) => {
                write!(
                    f,
                    "time cannot be cut into slices of {slice} of elapsed time"
                )
            }
            SchemaError::SliceTwice(slice) => write!(f, "there are two tiers of {slice}"),
            SchemaError::Order => write!(f, "tiers do not go from the finest to the coarsest"),
            SchemaError::NoSource(slice) => {
                write!(
                    f,
                    "slices of {slice} are not made of whole slices of any finer tier"
                )
            }
            SchemaError::Retention {
                slice,
                retention,
                least,
            } => write!(
                f,
                "slices of {slice} must be kept for {least} or more, got {retention}"
            ),
            SchemaError::TooManySlices(slices) => {
                write!(
                    f,
                    "the tiers may keep {MAX_SLICES} slices together, got {slices}"
                )
            }
            SchemaError::Precision(given, range) => {
                let (least, most) = (range.start(), range.end());
                write!(f, "precision must be {least} to {most}, got {given}")
            }
            SchemaError::Values(given) => {
                write!(f, "values must be 1 to {MAX_VALUES}, got {given}")
            }
            SchemaError::GroupSize(given) => {
                let (least, most) = (GROUP_SIZE.start(), GROUP_SIZE.end());
                write!(f, "a group is of {least} to {most} dimensions, got {given}")
            }
            SchemaError::GroupOfNothing(position) => {
                write!(f, "a group names dimension {position}, which is none")
            }
            SchemaError::GroupRepeats(name) => write!(f, "a group names '{name}' twice"),
            SchemaError::GroupTwice(names) => {
                write!(f, "there are two groups of {}", names.join(","))
            }
            SchemaError::History => write!(f, "it cannot have come about"),
        }
    }
}

/// A month by its average in the Gregorian calendar, in which 400 years are 146,097 days.
const AVERAGE_MONTH: i64 = 146_097 * DAY / 4800;
const DAY: i64 = 86_400_000;

/// How long a span lasts on an average, in milliseconds, to compare spans of different kinds.
fn average_millis(span: Span) -> i64 {
    let times = |count: u32, each: i64| i64::from(count).saturating_mul(each);
    match span {
        Span::Millis(millis) => millis,
        Span::Days(days) => times(days, DAY),
        Span::Weeks(weeks) => times(weeks, 7 * DAY),
        Span::Months(months) => times(months, AVERAGE_MONTH),
    }
}

fn require(met: bool, error: impl FnOnce() -> SchemaError) -> Result<(), SchemaError> {
    if met { Ok(()) } else { Err(error()) }
}

/// Puts tiers into their order, whatever order they were declared in.
pub fn sort_tiers(tiers: &mut [Tier]) {
    tiers.sort_by_key(|tier| average_millis(tier.slice));
}

impl Schema {
    /// Whether a cube can be made for it. Everything that reads or makes a schema asks.
    pub fn check(&self) -> Result<(), SchemaError> {
        for (part, given) in [
            (Part::Tiers, self.tiers.len()),
            (Part::Dimensions, self.dimensions.len()),
            (Part::Groups, self.groups.len()),
            (Part::Measures, self.measures.len()),
        ] {
            require(given <= part.most(), || SchemaError::TooMany(part, given))?;
        }
        self.check_tiers()?;
        self.check_names()?;
        self.check_groups()?;
        // What is asked of columns rests on it.
        require(self.has_history(), || SchemaError::History)?;
        self.check_numbers()
    }

    /// Whether its history can be that of it, as far as can be said without knowing which slices there are.
    fn has_history(&self) -> bool {
        let History {
            additions,
            caps,
            floors,
        } = &self.history;
        let lists = [
            (Added::Dimension, self.dimensions.len()),
            (Added::Group, self.groups.len()),
            (Added::Measure, self.measures.len()),
        ];
        let since = additions.iter().map(|addition| addition.since);
        let finest = self.tiers[0].slice;
        let is_border = |at: Millis| self.calendar.slice(finest, at).start == at;
        let columns = 1..1 + self.dimensions.len() + self.groups.len();
        lists
            .iter()
            .all(|&(what, len)| self.history.count(what) <= len)
            && since.clone().is_sorted()
            && since.clone().all(is_border)
            && (floors.is_empty() || floors.len() == self.tiers.len())
            && caps.is_sorted_by_key(|cap| cap.until)
            && caps
                .iter()
                .all(|cap| columns.contains(&cap.column) && (1..=MAX_VALUES).contains(&cap.values))
    }

    fn check_tiers(&self) -> Result<(), SchemaError> {
        require(!self.tiers.is_empty(), || SchemaError::NoTier)?;
        for (position, tier) in self.tiers.iter().enumerate() {
            let slice = tier.slice;
            require(slice.is_slice() && average_millis(slice) > 0, || {
                SchemaError::NotASlice(slice)
            })?;
            let before = &self.tiers[..position];
            let twice = before.iter().any(|other| other.slice == slice);
            require(!twice, || SchemaError::SliceTwice(slice))?;
            let ascends = before
                .iter()
                .all(|other| average_millis(other.slice) <= average_millis(slice));
            require(ascends, || SchemaError::Order)?;
            let made_of = position == 0 || self.source(position).is_some();
            require(made_of, || SchemaError::NoSource(slice))?;
        }
        let mut slices = 0u64;
        for (
            position,
            &Tier {
                slice, retention, ..
            },
        ) in self.tiers.iter().enumerate()
        {
            let made_of_it = (position + 1..self.tiers.len())
                .filter(|&coarser| self.source(coarser) == Some(position))
                .map(|coarser| self.tiers[coarser].slice);
            let least = made_of_it.fold(slice, |least, coarser| {
                if average_millis(coarser) > average_millis(least) {
                    coarser
                } else {
                    least
                }
            });
            let kept = average_millis(retention);
            require(kept >= average_millis(least), || SchemaError::Retention {
                slice,
                retention,
                least,
            })?;
            slices = slices.saturating_add(kept as u64 / average_millis(slice) as u64);
        }
        require(slices <= MAX_SLICES, || SchemaError::TooManySlices(slices))
    }

    fn check_names(&self) -> Result<(), SchemaError> {
        let names: Vec<&str> = self.names().collect();
        for (position, &name) in names.iter().enumerate() {
            require(is_well_formed(name.as_bytes()), || {
                SchemaError::Name(name.to_owned())
            })?;
            require(!is_reserved(name.as_bytes()), || {
                SchemaError::Reserved(name.to_owned())
            })?;
            let fields = COMPARED.iter();
            let mut fields = fields.filter_map(|of_comparison| name.strip_suffix(of_comparison));
            let is_field = fields.any(|metric| {
                let mut metrics = METRICS.iter();
                self.measures.iter().any(|measure| measure == metric)
                    || metrics.any(|other| other.eq_ignore_ascii_case(metric))
            });
            require(!is_field, || SchemaError::Reserved(name.to_owned()))?;
            let twice = names[..position].contains(&name);
            require(!twice, || SchemaError::NameTwice(name.to_owned()))?;
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), SchemaError> {
        let mut sets: Vec<Vec<usize>> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let size = group.dimensions.len();
            require(GROUP_SIZE.contains(&size), || SchemaError::GroupSize(size))?;
            let mut set = group.dimensions.clone();
            set.sort_unstable();
            if let Some(&none) = set
                .iter()
                .find(|&&dimension| dimension >= self.dimensions.len())
            {
                return Err(SchemaError::GroupOfNothing(none));
            }
            let name = |dimension: usize| self.dimensions[dimension].name.clone();
            if let Some(pair) = set.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(SchemaError::GroupRepeats(name(pair[0])));
            }
            require(!sets.contains(&set), || {
                SchemaError::GroupTwice(set.iter().map(|&dimension| name(dimension)).collect())
            })?;
            sets.push(set);
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), SchemaError> {
        let columns = (0..self.columns()).map(|column| self.precision_of(column));
        let tiers = self.tiers.iter().filter_map(|tier| tier.precision);
        let ranges = columns
            .chain(tiers)
            .map(|precision| (precision, PRECISIONS));
        let new = self.new.map(|precision| (precision, NEW_PRECISIONS));
        for (precision, range) in ranges.chain(new) {
            let bits = precision.bits();
            let least_and_most = u32::from(*range.start())..=u32::from(*range.end());
            require(least_and_most.contains(&bits), || {
                SchemaError::Precision(bits, range)
            })?;
        }
        for values in (0..self.columns()).filter_map(|column| self.values_of(column)) {
            require((1..=MAX_VALUES).contains(&values), || {
                SchemaError::Values(values)
            })?;
        }
        Ok(())
    }

    /// The tier that a tier is made of: the coarsest finer one whose slices make up its own. The finest is made of
    /// events.
    pub fn source(&self, tier: usize) -> Option<usize> {
        let slice = self.tiers[tier].slice;
        (0..tier)
            .rev()
            .find(|&finer| nests(self.tiers[finer].slice, slice))
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        1 + self.dimensions.len() + self.groups.len()
    }

    /// How many dimensions, groups and measures there were from the beginning.
    #[inline]
    fn first(&self) -> (usize, usize, usize) {
        let added = |what| self.history.count(what);
        (
            self.dimensions.len() - added(Added::Dimension),
            self.groups.len() - added(Added::Group),
            self.measures.len() - added(Added::Measure),
        )
    }

    /// What a column is of.
    pub fn place(&self, column: usize) -> Place {
        let (dimensions, groups, _) = self.first();
        let Some(at) = column.checked_sub(1) else {
            return Place::Total;
        };
        if at < dimensions {
            return Place::Dimension(at);
        }
        if at < dimensions + groups {
            return Place::Group(at - dimensions);
        }
        let (mut dimension, mut group, mut left) = (dimensions, groups, at - dimensions - groups);
        for addition in &self.history.additions {
            let (place, next) = match addition.what {
                Added::Dimension => (Place::Dimension(dimension), &mut dimension),
                Added::Group => (Place::Group(group), &mut group),
                Added::Measure => continue,
            };
            if left == 0 {
                return place;
            }
            left -= 1;
            *next += 1;
        }
        Place::Total
    }

    fn column_of(&self, place: Place) -> usize {
        let mut columns = 0..self.columns();
        let found = columns.find(|&column| self.place(column) == place);
        found.unwrap_or(0)
    }

    /// The column of a dimension.
    pub fn dimension_column(&self, dimension: usize) -> usize {
        self.column_of(Place::Dimension(dimension))
    }

    /// The column of a group.
    pub fn group_column(&self, group: usize) -> usize {
        self.column_of(Place::Group(group))
    }

    /// When a column began: the first instant of the first slice that has it. The first ones always were there.
    pub fn since(&self, column: usize) -> Millis {
        let (dimensions, groups, _) = self.first();
        let added = column.checked_sub(1 + dimensions + groups);
        let of_columns = |what| what != Added::Measure;
        self.history.since(added, of_columns)
    }

    /// The same of a dimension.
    pub fn dimension_since(&self, dimension: usize) -> Millis {
        let (dimensions, ..) = self.first();
        let added = dimension.checked_sub(dimensions);
        self.history.since(added, |what| what == Added::Dimension)
    }

    /// The same of a measure.
    pub fn measure_since(&self, measure: usize) -> Millis {
        let (.., measures) = self.first();
        let added = measure.checked_sub(measures);
        self.history.since(added, |what| what == Added::Measure)
    }

    /// How many columns a slice has that begins at this instant.
    pub fn columns_at(&self, start: Millis) -> usize {
        let later = self.history.after(start, |what| what != Added::Measure);
        self.columns() - later
    }

    /// How many sums the cells of such a slice have.
    pub fn sums_at(&self, start: Millis) -> usize {
        let later = self.history.after(start, |what| what == Added::Measure);
        self.sums() - later
    }

    /// The place of the new users among the sums.
    pub fn new_sum(&self) -> Option<usize> {
        self.new.map(|_| self.first().2)
    }

    /// The place of a measure among the sums.
    pub fn measure_sum(&self, measure: usize) -> usize {
        match self.new_sum() {
            Some(new) if measure >= new => measure + 1,
            _ => measure,
        }
    }

    /// The group of exactly these dimensions, in whatever order; each of them is given once.
    pub fn group_of(&self, dimensions: &[usize]) -> Option<usize> {
        self.groups.iter().position(|group| {
            let of = &group.dimensions;
            of.len() == dimensions.len()
                && dimensions.iter().all(|dimension| of.contains(dimension))
        })
    }

    /// How many sums a cell of the newest slices has: the measures and, where they are counted, the new users.
    pub fn sums(&self) -> usize {
        self.measures.len() + usize::from(self.new.is_some())
    }

    /// Of the cells of a column.
    pub fn precision_of(&self, column: usize) -> Precision {
        match self.kind(column) {
            Column::Total => self.precision,
            Column::Dimension(dimension) => dimension.precision,
            Column::Group(group) => group.precision,
        }
    }

    /// How many values a column keeps apart in the newest slices; the total has none to keep.
    pub fn values_of(&self, column: usize) -> Option<u32> {
        match self.kind(column) {
            Column::Total => None,
            Column::Dimension(dimension) => Some(dimension.values),
            Column::Group(group) => Some(group.values),
        }
    }

    /// How many it keeps apart in a slice that ends at this instant.
    pub fn values_at(&self, column: usize, end: Millis) -> Option<u32> {
        let now = self.values_of(column)?;
        Some(self.history.cap(column, end).unwrap_or(now))
    }

    fn kind(&self, column: usize) -> Column<'_> {
        match self.place(column) {
            Place::Total => Column::Total,
            Place::Dimension(dimension) => Column::Dimension(&self.dimensions[dimension]),
            Place::Group(group) => Column::Group(&self.groups[group]),
        }
    }

    /// What a name is of; names are compared byte by byte.
    #[inline]
    pub fn field(&self, name: &[u8]) -> Option<Field> {
        // There are at most 48, nearly all of which differ in their length already.
        let dimension = self
            .dimensions
            .iter()
            .position(|dimension| dimension.name.as_bytes() == name);
        dimension
            .map(Field::Dimension)
            .or_else(|| self.measure(name).map(Field::Measure))
    }

    /// The position of the measure of this name.
    pub fn measure(&self, name: &[u8]) -> Option<usize> {
        self.measures
            .iter()
            .position(|measure| measure.as_bytes() == name)
    }

    /// The names of dimensions, then of measures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let dimensions = self.dimensions.iter().map(|dimension| &*dimension.name);
        dimensions.chain(self.measures.iter().map(String::as_str))
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        let names: usize = self
            .dimensions
            .iter()
            .map(|dimension| dimension.name.capacity())
            .sum();
        let names = names + self.measures.iter().map(String::capacity).sum::<usize>();
        let groups: usize = self
            .groups
            .iter()
            .map(|group| group.dimensions.capacity())
            .sum();
        let zone = self.calendar.zone.memory_bytes() - size_of_val(&self.calendar.zone);
        size_of::<Schema>()
            + self.tiers.capacity() * size_of::<Tier>()
            + self.dimensions.capacity() * size_of::<Dimension>()
            + self.groups.capacity() * size_of::<Group>()
            + self.measures.capacity() * size_of::<String>()
            + groups * size_of::<usize>()
            + names
            + zone
            + self.history.heap_bytes()
    }
}

/// What a column is of, by its position among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Everything.
    Total,
    /// A dimension.
    Dimension(usize),
    /// A group.
    Group(usize),
}

/// What a column is declared as.
enum Column<'s> {
    Total,
    Dimension(&'s Dimension),
    Group(&'s Group),
}
