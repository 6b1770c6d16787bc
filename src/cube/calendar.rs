//! Time as people cut it: slices, spans and zones.

use std::ops::Range;

/// Unix milliseconds.
pub type Millis = i64;

/// A length of time: elapsed below a day, by the calendar from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// So many milliseconds of elapsed time.
    Millis(i64),
    /// So many local days.
    Days(u32),
    /// So many weeks.
    Weeks(u32),
    /// So many months; three are a quarter and twelve a year.
    Months(u32),
}

/// The day a week begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeekStart {
    /// As in ISO 8601.
    Monday,
    /// As in the United States.
    Sunday,
    /// As in much of the Arab world.
    Saturday,
}

/// The offsets from UTC of a place, for all times.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    name: String,
}

/// A zone and the day its weeks begin with: all that decides where slices begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// Where.
    pub zone: Zone,
    /// Of weeks.
    pub week_start: WeekStart,
}

impl Zone {
    /// By its IANA name, in any case; `None` where there is none of that name.
    pub fn named(_name: &str) -> Option<Zone> {
        todo!()
    }
}

impl Calendar {
    /// The slice of this length that an instant lies in.
    pub fn slice(&self, _length: Span, _at: Millis) -> Range<Millis> {
        todo!()
    }

    /// An instant so much earlier.
    pub fn minus(&self, _at: Millis, _span: Span) -> Millis {
        todo!()
    }
}

/// Whether every slice of the coarser length is made of whole slices of the finer one.
pub fn nests(_finer: Span, _coarser: Span) -> bool {
    todo!()
}
