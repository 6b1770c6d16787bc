//! Being written: the cube itself. These are its doors.

use super::calendar::Millis;
use super::schema::Schema;

/// A cube.
#[derive(Clone)]
pub struct Cube {
    schema: Schema,
}

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

/// The time of an event is older than everything that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate {
    /// The oldest instant that is.
    pub oldest: Millis,
}

/// What would become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would be counted, in time.
    InTime,
    /// It would be counted, late.
    Late,
    /// It would not.
    TooLate(TooLate),
}

/// Judges one time after another, as if each event before had been counted, without changing anything.
pub struct Watch<'c> {
    cube: &'c Cube,
}

impl Watch<'_> {
    /// What would become of an event of this time.
    pub fn judge(&mut self, _at: Millis) -> Verdict {
        let _ = self.cube;
        todo!()
    }
}

impl Cube {
    /// An empty one. The schema must be whole: [`Schema::check`](super::schema::Schema).
    pub fn new(schema: Schema) -> Cube {
        Cube { schema }
    }

    /// What it is made for.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// See [`Watch`].
    pub fn watch(&self) -> Watch<'_> {
        Watch { cube: self }
    }

    /// Counts an event, and does its share of upkeep.
    pub fn add(&mut self, _event: &Event) -> Result<(), TooLate> {
        todo!()
    }

    /// Whether this producer has had something of this id counted not long ago.
    pub fn is_repeated(&self, _producer: &[u8], _id: &[u8]) -> bool {
        todo!()
    }

    /// Remembers that it has.
    pub fn remember(&mut self, _producer: &[u8], _id: &[u8]) {
        todo!()
    }

    /// The time of the newest event.
    pub fn newest(&self) -> Option<Millis> {
        todo!()
    }

    /// How far ahead of the clock an event may be at most: one slice of the finest tier.
    pub fn finest_slice_at(&self, _at: Millis) -> std::ops::Range<Millis> {
        todo!()
    }

    /// Bytes that it occupies. O(1).
    pub fn memory_bytes(&self) -> usize {
        todo!()
    }
}
