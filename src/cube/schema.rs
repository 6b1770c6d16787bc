//! What a cube is made for: its tiers of time, dimensions, groups and measures. It is declared once and
//! decides what can be asked.
//!
//! A *column* is the total, a dimension or a group of dimensions, numbered in this order. Within a column every
//! value (of a group: every combination of values) has a number from 1 on, and its cell stands under it;
//! [`OTHER`] is the cell of all values that a full column has no place for.

use super::calendar::{Calendar, Span};
use crate::sketch::{HashFamily, Precision};
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

/// The largest magnitude of a measure.
pub const MAX_MEASURE: f64 = 1e15;

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
}
