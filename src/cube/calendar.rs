//! Time as people cut it: spans, zones, and the slices of a calendar.
//!
//! # Two kinds of length
//!
//! An hour is a length of *elapsed* time. A day, a week and a month are not: they last as long as it takes until
//! the local date has changed once, seven times, or to the next month. Where clocks are changed a day has 23 or 25
//! hours, and once, in Samoa in 2011, none at all. A [`Span`] therefore says in what it is counted, and
//! everything from a day on is computed with dates.
//!
//! # Where slices begin
//!
//! A day begins at the *first instant* that has its date (or a later one). This is midnight nearly always, and
//! what to say where it is not:
//!
//! - Midnight is skipped (clocks go from 00:00 to 01:00): the day begins at 01:00.
//! - Midnight comes twice (clocks go from 00:01 back to 23:01): the day begins at the first of the two. The hour
//!   after it shows yesterday's date once more, and belongs to today: a day that has begun stays.
//! - A date is skipped (clocks go from the end of one day to the beginning of the day after the next): its day
//!   has no length, begins where the next one does, and no instant lies in it.
//!
//! So days are disjoint, leave nothing out and never go backwards, in all zones. Weeks and months are made of days.
//! Slices below a day are cut from the day's beginning on, in elapsed time, and the last one ends with the day: hours
//! begin with the half hour where the offset from UTC has one, and a day of 23 hours has four slices of six hours of
//! which the last is the shorter.
//!
//! # How it is computed
//!
//! A zone is a list of instants at which the offset changes. In between, *local time* (what clocks show, counted in
//! milliseconds like an instant) is an instant plus an offset. Two searches in that list are all there is:
//! from an instant to the latest local time that clocks have shown so far, whose date is the day it belongs to;
//! and from a local time to the first instant at which clocks show it or have passed it. The second search needs
//! numbers in ascending order, so beside each transition stands the latest local time shown before it.
//!
//! The list is copied from a database once, when a zone is looked up by its name. What is cut by a calendar must not
//! be cut differently by newer data elsewhere, so whoever keeps slices keeps the list with them.

use std::fmt;
use std::ops::{Range, RangeInclusive};

/// Unix milliseconds.
pub type Millis = i64;

/// What clocks of a zone show, as the milliseconds since they, or clocks like them, showed the first of January 1970,
/// 00:00.
type LocalMillis = i64;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The days of a week.
const WEEK_DAYS: i64 = 7;
/// The days of the shortest month.
const SHORTEST_MONTH: i64 = 28;
/// The months of a quarter.
const QUARTER: i64 = 3;
/// The months of a year.
const YEAR: i64 = 12;

/// The longest span, a thousand years: longer than anything is kept, and short enough for every sum to fit.
const LONGEST_MONTHS: i64 = 1000 * YEAR;
/// The same in days: years of the Julian calendar, which are the longer ones.
const LONGEST_DAYS: i64 = 365_250;
/// The same in weeks.
const LONGEST_WEEKS: i64 = LONGEST_DAYS / WEEK_DAYS;
/// The same in milliseconds.
const LONGEST_MILLIS: i64 = LONGEST_DAYS * DAY;

/// How far from 1970 instants are told apart, some two million years: what lies beyond is taken for this. Every sum of
/// such an instant, an offset and a span fits.
const FARTHEST: Millis = 1 << 56;

/// A length of time: elapsed below a day, by the calendar from a day on.
///
/// A span that has been read is at least one and at most a thousand years. A number outside is taken for the
/// nearest inside by everything in this file.
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

impl Span {
    /// Reads a number and a unit: `ms`, `s`, `m`, `h` for elapsed time, `d`, `w`, `mo`, `q`, `y` for the calendar's,
    /// in any case (so `M` is minutes, and months are `MO`). A number alone is milliseconds. `None` for anything
    /// else, for nought, and beyond a thousand years.
    pub fn parse(text: &[u8]) -> Option<Span> {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, unit) = text.split_at(digits);
        let number: i64 = std::str::from_utf8(number).ok()?.parse().ok()?;
        let within = |each: i64, most: i64| {
            let count = number.checked_mul(each)?;
            (1..=most).contains(&count).then_some(count)
        };
        let millis = |each| within(each, LONGEST_MILLIS).map(Span::Millis);
        let months = |each| Some(Span::Months(within(each, LONGEST_MONTHS)? as u32));
        match unit.to_ascii_lowercase().as_slice() {
            b"" | b"ms" => millis(1),
            b"s" => millis(SECOND),
            b"m" => millis(MINUTE),
            b"h" => millis(HOUR),
            b"d" => Some(Span::Days(within(1, LONGEST_DAYS)? as u32)),
            b"w" => Some(Span::Weeks(within(1, LONGEST_WEEKS)? as u32)),
            b"mo" => months(1),
            b"q" => months(QUARTER),
            b"y" => months(YEAR),
            _ => None,
        }
    }

    /// Whether time can be cut into slices of this length. Elapsed time of a day and more cannot be: it would fit
    /// neither into days nor between them.
    pub fn is_slice(self) -> bool {
        !matches!(self, Span::Millis(DAY..))
    }

    /// No slice of this length is shorter than so many milliseconds, but for changes of the clock and the last one of a day.
    pub fn shortest(self) -> Millis {
        let unit = match self {
            Span::Millis(_) => 1,
            Span::Days(_) => DAY,
            Span::Weeks(_) => WEEK_DAYS * DAY,
            Span::Months(_) => SHORTEST_MONTH * DAY,
        };
        self.count() * unit
    }

    /// The number, within its bounds.
    fn count(self) -> i64 {
        let (number, most) = match self {
            Span::Millis(n) => (n, LONGEST_MILLIS),
            Span::Days(n) => (n.into(), LONGEST_DAYS),
            Span::Weeks(n) => (n.into(), LONGEST_WEEKS),
            Span::Months(n) => (n.into(), LONGEST_MONTHS),
        };
        number.clamp(1, most)
    }
}

/// As [`Span::parse`] reads it, in the largest unit that leaves a whole number.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        let units: &[(i64, &str)] = match self {
            Span::Millis(_) => &[(HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (1, "ms")],
            Span::Days(_) => &[(1, "d")],
            Span::Weeks(_) => &[(1, "w")],
            Span::Months(_) => &[(YEAR, "y"), (QUARTER, "q"), (1, "mo")],
        };
        match units.iter().find(|&&(each, _)| count % each == 0) {
            Some((each, unit)) => write!(f, "{}{unit}", count / each),
            None => Ok(()),
        }
    }
}

/// Whether every slice of the coarser length is made of whole slices of the finer one, two or more of them.
///
/// Lengths below a day nest in one another where one divides the other, and in everything from a day on. Single days
/// nest in weeks and months. Otherwise only multiples of the same unit nest: a week does not end with a month, and
/// slices of seven days begin on the weekday of the first of January 1970, with which weeks do not.
pub fn nests(finer: Span, coarser: Span) -> bool {
    let divides = finer.count() < coarser.count() && coarser.count() % finer.count() == 0;
    let fits = match (finer, coarser) {
        (Span::Millis(_), Span::Millis(_))
        | (Span::Days(_), Span::Days(_))
        | (Span::Weeks(_), Span::Weeks(_))
        | (Span::Months(_), Span::Months(_)) => divides,
        (Span::Millis(_), _) => true,
        (Span::Days(_), Span::Weeks(_) | Span::Months(_)) => finer.count() == 1,
        _ => false,
    };
    fits && finer.is_slice() && coarser.is_slice()
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

impl WeekStart {
    /// The number of the day that the week of the first of January 1970 began with. That was a Thursday, and has
    /// the number 0.
    fn first_day(self) -> i64 {
        match self {
            WeekStart::Monday => -3,
            WeekStart::Sunday => -4,
            WeekStart::Saturday => -5,
        }
    }
}

/// The offsets from UTC of a place, for all times.
///
/// Before the first transition, and so before 1970, the first offset holds; after the last one its offset goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    name: Box<str>,
    first_offset: i32,
    transitions: Box<[(Millis, i32)]>,
    /// The latest local time that clocks have shown before each transition; ascending.
    latest: Box<[LocalMillis]>,
}

/// The longest name of a zone in bytes; the database's longest has 32.
const LONGEST_NAME: usize = 64;

/// The most transitions of a zone; the database has some 260 where clocks change twice a year until 2100.
const MOST_TRANSITIONS: usize = 1000;

/// Offsets are less than this, in seconds either way: the database's largest is below 16 hours, its format allows for
/// 26.
const OFFSET_LIMIT: i32 = 26 * 3600;

/// Transitions are looked up until the end of the year 2100.
const LOOKED_UP_UNTIL: Millis = 4_133_980_800_000;

impl Zone {
    /// By its IANA name, in any case; `None` where there is none of that name. "UTC" is one.
    pub fn named(name: &str) -> Option<Zone> {
        let found = jiff::tz::TimeZoneDatabase::bundled().get(name).ok()?;
        let first_offset = found.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds();
        let mut transitions: Vec<(Millis, i32)> = vec![];
        let mut offset = first_offset;
        for transition in found.following(jiff::Timestamp::UNIX_EPOCH) {
            let at = transition.timestamp().as_millisecond();
            if at >= LOOKED_UP_UNTIL {
                break;
            }
            // Others change the name of the time only, or what counts as summer.
            if transition.offset().seconds() != offset {
                offset = transition.offset().seconds();
                transitions.push((at, offset));
            }
        }
        Zone::from_parts(found.iana_name()?, first_offset, transitions)
    }

    /// From what [`name`](Zone::name), [`first_offset`](Zone::first_offset) and [`transitions`](Zone::transitions)
    /// told of one. `None` where they are not whole: the name has 1 to 64 bytes of visible ASCII; offsets are less
    /// than 26 hours; there are at most 1,000 transitions, one after the other, within [`Calendar::RANGE`].
    pub fn from_parts(
        name: &str,
        first_offset: i32,
        transitions: Vec<(Millis, i32)>,
    ) -> Option<Zone> {
        let name_is_whole = (1..=LONGEST_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        let mut offsets = transitions.iter().map(|&(_, offset)| offset);
        let offsets_are_whole = is_offset(first_offset) && offsets.all(is_offset);
        let times_are_whole = transitions.len() <= MOST_TRANSITIONS
            && transitions
                .iter()
                .all(|(at, _)| Calendar::RANGE.contains(at))
            && transitions.is_sorted_by(|(a, _), (b, _)| a < b);
        if !(name_is_whole && offsets_are_whole && times_are_whole) {
            return None;
        }
        let mut offset = first_offset;
        let mut latest_so_far = LocalMillis::MIN;
        let latest = transitions.iter().map(|&(at, next)| {
            latest_so_far = latest_so_far.max(local(at - 1, offset));
            offset = next;
            latest_so_far
        });
        Some(Zone {
            name: name.into(),
            first_offset,
            latest: latest.collect(),
            transitions: transitions.into_boxed_slice(),
        })
    }

    /// As the database spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offset from UTC before the first transition, in seconds, positive in the east.
    pub fn first_offset(&self) -> i32 {
        self.first_offset
    }

    /// From when on which offset from UTC holds, in seconds; ascending.
    pub fn transitions(&self) -> &[(Millis, i32)] {
        &self.transitions
    }

    /// Bytes that it occupies, with all that it points to.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Zone>()
            + self.name.len()
            + size_of_val(&*self.transitions)
            + size_of_val(&*self.latest)
    }

    /// What holds after so many transitions: since when, if after any, and which offset.
    fn after(&self, transitions: usize) -> (Option<Millis>, i32) {
        match transitions.checked_sub(1).map(|i| self.transitions[i]) {
            Some((since, offset)) => (Some(since), offset),
            None => (None, self.first_offset),
        }
    }

    /// What clocks show at an instant.
    fn local(&self, at: Millis) -> LocalMillis {
        let past = self.transitions.partition_point(|&(since, _)| since <= at);
        local(at, self.after(past).1)
    }

    /// The day that an instant belongs to, counted from the first of January 1970: the latest date that clocks have
    /// shown by then.
    fn day(&self, at: Millis) -> i64 {
        let past = self.transitions.partition_point(|&(since, _)| since <= at);
        let now = local(at, self.after(past).1);
        let before = past.checked_sub(1).map(|i| self.latest[i]);
        before.map_or(now, |before| now.max(before)).div_euclid(DAY)
    }

    /// The first instant at which clocks show this time or a later one.
    fn first_at(&self, time: LocalMillis) -> Millis {
        let past = self.latest.partition_point(|&latest| latest < time);
        let (since, offset) = self.after(past);
        let at = time - SECOND * i64::from(offset);
        since.map_or(at, |since| at.max(since))
    }
}

fn is_offset(seconds: i32) -> bool {
    (1 - OFFSET_LIMIT..OFFSET_LIMIT).contains(&seconds)
}

fn local(at: Millis, offset: i32) -> LocalMillis {
    at + SECOND * i64::from(offset)
}

/// A stretch of the calendar, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// The day of an instant.
    Today,
    /// The day before.
    Yesterday,
    /// The week of an instant.
    Week,
    /// The week before.
    LastWeek,
    /// The month of an instant.
    Month,
    /// The month before.
    LastMonth,
    /// The quarter of an instant.
    Quarter,
    /// The year of an instant.
    Year,
}

/// A zone and the day its weeks begin with: all that decides where slices begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// Where.
    pub zone: Zone,
    /// Of weeks.
    pub week_start: WeekStart,
}

impl Calendar {
    /// That of UTC, with weeks that begin on Monday.
    pub fn utc() -> Calendar {
        Calendar {
            zone: Zone::named("UTC").expect("UTC is always known"),
            week_start: WeekStart::Monday,
        }
    }

    /// The instants that anything may happen at: the years 1970 to 9999 of UTC. Slices and sums may lie before and
    /// after; they are right for two million years either way, and what is farther is taken for the farthest.
    pub const RANGE: RangeInclusive<Millis> = 0..=253_402_300_799_999;

    /// The slice of this length that an instant lies in.
    ///
    /// Slices of several days are counted from the first of January 1970, those of several weeks from the
    /// week of that day, and those of several months from the beginning of the era, so that three make the
    /// quarters and twelve the years.
    ///
    /// Elapsed time of a day and more [is no slice](Span::is_slice), and gives the whole day or the first part of a
    /// longer one and its rest.
    pub fn slice(&self, length: Span, at: Millis) -> Range<Millis> {
        let at = at.clamp(-FARTHEST, FARTHEST);
        let day = self.zone.day(at);
        let count = length.count();
        let days = match length {
            Span::Millis(_) => {
                let whole_day = self.days(day..day + 1);
                let start = at - (at - whole_day.start) % count;
                return start..whole_day.end.min(start + count);
            }
            Span::Days(_) => around(day, count),
            Span::Weeks(_) => {
                let first = self.week_start.first_day();
                let days = around(day - first, WEEK_DAYS * count);
                days.start + first..days.end + first
            }
            Span::Months(_) => {
                let months = around(month_of(day).0, count);
                first_day(months.start)..first_day(months.end)
            }
        };
        self.days(days)
    }

    /// An instant so much earlier.
    ///
    /// Elapsed time is subtracted. Days, weeks and months lead to the same time of another day: where clocks skip
    /// that time, to the first instant after it, and where they show it twice, to the first of the two. A month
    /// that is too short for the day of the month ends with its last one.
    pub fn minus(&self, at: Millis, span: Span) -> Millis {
        self.moved(at, span, -span.count())
    }

    /// An instant so much later; see [`minus`](Calendar::minus).
    pub fn plus(&self, at: Millis, span: Span) -> Millis {
        self.moved(at, span, span.count())
    }

    /// How long a stretch of time is by the clocks of the place.
    pub fn local_length(&self, range: &Range<Millis>) -> i64 {
        self.zone.local(range.end) - self.zone.local(range.start)
    }

    /// When clocks showed a time so much earlier; where they skipped it, the first instant after, and where they showed
    /// it twice, the first of the two.
    pub fn minus_local(&self, at: Millis, length: i64) -> Millis {
        let at = at.clamp(-FARTHEST, FARTHEST);
        let length = length.clamp(-FARTHEST, FARTHEST);
        self.zone.first_at(self.zone.local(at) - length)
    }

    /// The whole period that an instant lies in, or the one before it.
    pub fn period(&self, period: Period, at: Millis) -> Range<Millis> {
        let this = |length| self.slice(length, at);
        let last = |length| self.slice(length, this(length).start - 1);
        match period {
            Period::Today => this(Span::Days(1)),
            Period::Yesterday => last(Span::Days(1)),
            Period::Week => this(Span::Weeks(1)),
            Period::LastWeek => last(Span::Weeks(1)),
            Period::Month => this(Span::Months(1)),
            Period::LastMonth => last(Span::Months(1)),
            Period::Quarter => this(Span::Months(QUARTER as u32)),
            Period::Year => this(Span::Months(YEAR as u32)),
        }
    }

    /// The time of these days.
    fn days(&self, days: Range<i64>) -> Range<Millis> {
        self.zone.first_at(days.start * DAY)..self.zone.first_at(days.end * DAY)
    }

    /// An instant so many of a span's units later, whatever the span's own number.
    fn moved(&self, at: Millis, unit: Span, count: i64) -> Millis {
        let at = at.clamp(-FARTHEST, FARTHEST);
        let time = self.zone.local(at);
        let day = time.div_euclid(DAY);
        let to_day = match unit {
            Span::Millis(_) => return at + count,
            Span::Days(_) => day + count,
            Span::Weeks(_) => day + WEEK_DAYS * count,
            Span::Months(_) => {
                let (month, day_of_month) = month_of(day);
                let to_month = month + count;
                (first_day(to_month) + day_of_month).min(first_day(to_month + 1) - 1)
            }
        };
        self.zone.first_at(to_day * DAY + time.rem_euclid(DAY))
    }
}

/// The multiples of a length between which a number lies.
fn around(number: i64, length: i64) -> Range<i64> {
    let start = number - number.rem_euclid(length);
    start..start + length
}

// The Gregorian calendar repeats itself every 400 years. Its years are counted here from March to February, so that
// the day that a leap year has more is the last one of a year, and the months before it follow one pattern:
// 31, 30, 31, 30, 31 days over and over, which (153 m + 2) / 5 sums up.

/// The days of 400 years.
const ERA_DAYS: i64 = 146_097;
/// The days from the first of March of the year 0 to the first of January 1970.
const DAYS_BEFORE_1970: i64 = 719_468;
/// The months from January to March.
const MONTHS_BEFORE_MARCH: i64 = 2;

/// The first day of a month. Months are counted from January of the year 0, days from the first of January 1970.
fn first_day(month: i64) -> i64 {
    let since_march = month - MONTHS_BEFORE_MARCH;
    let (year, month) = (since_march.div_euclid(YEAR), since_march.rem_euclid(YEAR));
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 - DAYS_BEFORE_1970
}

/// The month of a day, and how many days of it lie before.
fn month_of(day: i64) -> (i64, i64) {
    let day = day + DAYS_BEFORE_1970;
    let (era, day) = (day.div_euclid(ERA_DAYS), day.rem_euclid(ERA_DAYS));
    // The days in front without the leap days among them: after every 4 years (1,460 days and one), not after 100
    // (36,524), yet after 400.
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    (
        (400 * era + year) * YEAR + month + MONTHS_BEFORE_MARCH,
        day - (153 * month + 2) / 5,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{self, Date, Weekday};
    use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
    use jiff::{Timestamp, ToSpan};
    use proptest::prelude::*;

    const ZONES: [&str; 10] = [
        "UTC",
        "Europe/London",
        "Europe/Berlin",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "America/St_Johns",
        "Asia/Beirut",
        "Africa/Cairo",
    ];

    const STARTS: [(WeekStart, Weekday); 3] = [
        (WeekStart::Monday, Weekday::Monday),
        (WeekStart::Sunday, Weekday::Sunday),
        (WeekStart::Saturday, Weekday::Saturday),
    ];

    /// The end of 2095: a few years later is still before transitions are looked up no more.
    const LAST_TRIED: Millis = 3_976_214_400_000;

    const HOURS: Span = Span::Millis(HOUR);
    const DAYS: Span = Span::Days(1);
    const WEEKS: Span = Span::Weeks(1);
    const MONTHS: Span = Span::Months(1);

    fn calendar(zone: &str) -> Calendar {
        Calendar {
            zone: Zone::named(zone).unwrap(),
            week_start: WeekStart::Monday,
        }
    }

    fn twin(zone: &str) -> TimeZone {
        TimeZoneDatabase::bundled().get(zone).unwrap()
    }

    fn utc(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn hours(range: Range<Millis>) -> f64 {
        (range.end - range.start) as f64 / HOUR as f64
    }

    fn timestamp(at: Millis) -> Timestamp {
        Timestamp::from_millisecond(at).unwrap()
    }

    /// The first instant of a date.
    fn start_of(zone: &TimeZone, date: Date) -> Millis {
        zone.to_timestamp(date.at(0, 0, 0, 0))
            .unwrap()
            .as_millisecond()
    }

    /// The date whose day an instant lies in, found by trying.
    fn date_of(zone: &TimeZone, at: Millis) -> Date {
        let shown = zone.to_datetime(timestamp(at)).date();
        let near = (-2..=2).map(|days| shown.checked_add(days.days()).unwrap());
        near.rev().find(|&date| start_of(zone, date) <= at).unwrap()
    }

    /// The first date of the slice that a date lies in, and that of the next slice.
    fn dates_around(length: Span, first: Weekday, date: Date) -> (Date, Date) {
        let epoch = civil::date(1970, 1, 1);
        let of_days = |origin: Date, days: i64| {
            let since = i64::from((date - origin).get_days());
            let start = origin
                .checked_add((since - since.rem_euclid(days)).days())
                .unwrap();
            (start, start.checked_add(days.days()).unwrap())
        };
        match length {
            Span::Days(n) => of_days(epoch, n.into()),
            Span::Weeks(n) => {
                let mut origin = epoch;
                while origin.weekday() != first {
                    origin = origin.yesterday().unwrap();
                }
                of_days(origin, 7 * i64::from(n))
            }
            Span::Months(n) => {
                let n = n as i32;
                let month = i32::from(date.year()) * 12 + i32::from(date.month()) - 1;
                let month = month - month % n;
                let start = civil::date((month / 12) as i16, (month % 12 + 1) as i8, 1);
                (start, start.checked_add(n.months()).unwrap())
            }
            Span::Millis(_) => unreachable!(),
        }
    }

    fn slice_by_the_twin(
        zone: &TimeZone,
        first: Weekday,
        length: Span,
        at: Millis,
    ) -> Range<Millis> {
        let date = date_of(zone, at);
        if let Span::Millis(n) = length {
            let end = start_of(zone, date.tomorrow().unwrap());
            let mut start = start_of(zone, date);
            while start + n <= at {
                start += n;
            }
            return start..end.min(start + n);
        }
        let (start, end) = dates_around(length, first, date);
        start_of(zone, start)..start_of(zone, end)
    }

    fn zones() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&ZONES[..])
    }

    /// Instants of 1970 to 2095, half of them within two days of a transition of the zone.
    fn zones_and_instants() -> impl Strategy<Value = (&'static str, Millis)> {
        let instants = 2 * DAY..LAST_TRIED;
        let near = (any::<prop::sample::Index>(), -2 * DAY..2 * DAY);
        (zones(), instants, prop::option::of(near)).prop_map(|(zone, at, near)| {
            let known = Zone::named(zone).unwrap();
            let at = match near {
                Some((index, by)) if !known.transitions().is_empty() => {
                    let place = index.index(known.transitions().len());
                    known.transitions()[place].0 + by
                }
                _ => at,
            };
            (zone, at.clamp(2 * DAY, LAST_TRIED))
        })
    }

    fn slices() -> impl Strategy<Value = Span> {
        let millis = [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, 7 * HOUR];
        prop_oneof![
            3 => prop::sample::select(millis.to_vec()).prop_map(Span::Millis),
            1 => (1..DAY).prop_map(|n| Span::Millis(n.max(MINUTE))),
            2 => Just(DAYS),
            1 => (1u32..40).prop_map(Span::Days),
            2 => (1u32..6).prop_map(Span::Weeks),
            3 => prop::sample::select(vec![1u32, 2, 3, 6, 12, 24, 120]).prop_map(Span::Months),
        ]
    }

    fn spans() -> impl Strategy<Value = Span> {
        prop_oneof![
            any::<i64>().prop_map(Span::Millis),
            (1..=LONGEST_MILLIS).prop_map(Span::Millis),
            (1..=1000i64).prop_map(|n| Span::Millis(n * MINUTE)),
            any::<u32>().prop_map(Span::Days),
            (1u32..100).prop_map(Span::Days),
            any::<u32>().prop_map(Span::Weeks),
            (1u32..100).prop_map(Span::Weeks),
            any::<u32>().prop_map(Span::Months),
            (1u32..100).prop_map(Span::Months),
        ]
    }

    fn starts() -> impl Strategy<Value = (WeekStart, Weekday)> {
        prop::sample::select(&STARTS[..])
    }

    /// Any that is whole, as wild as it may be.
    fn wild_zones() -> impl Strategy<Value = Zone> {
        let offsets = || 1 - OFFSET_LIMIT..OFFSET_LIMIT;
        let steps = prop::collection::vec((1..4 * DAY, offsets()), 0..20);
        (offsets(), steps).prop_map(|(first, steps)| {
            let mut at = 0;
            let later = steps.into_iter().map(|(step, offset)| {
                at += step;
                (at, offset)
            });
            Zone::from_parts("Wild", first, later.collect()).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn slices_are_those_of_another_calendar(
            (zone, at) in zones_and_instants(),
            length in slices(),
            (week_start, weekday) in starts(),
        ) {
            let known = Calendar { week_start, ..calendar(zone) };
            let expected = slice_by_the_twin(&twin(zone), weekday, length, at);
            prop_assert_eq!(known.slice(length, at), expected);
        }

        #[test]
        fn slices_tile_time((zone, at) in zones_and_instants(), length in slices(), (week_start, _) in starts()) {
            let known = Calendar { week_start, ..calendar(zone) };
            let slice = known.slice(length, at);
            prop_assert!(slice.contains(&at));
            prop_assert_eq!(known.slice(length, slice.start), slice.clone());
            prop_assert_eq!(known.slice(length, slice.end - 1), slice.clone());
            prop_assert_eq!(known.slice(length, slice.end).start, slice.end);
            prop_assert_eq!(known.slice(length, slice.start - 1).end, slice.start);
        }

        #[test]
        fn slices_tile_time_in_the_wildest_zone(zone in wild_zones(), at in -10 * DAY..100 * DAY, length in slices()) {
            let known = Calendar { zone, week_start: WeekStart::Sunday };
            let slice = known.slice(length, at);
            prop_assert!(slice.contains(&at));
            prop_assert_eq!(known.slice(length, slice.start), slice.clone());
            prop_assert_eq!(known.slice(length, slice.end - 1), slice.clone());
            prop_assert_eq!(known.slice(length, slice.end).start, slice.end);
            prop_assert_eq!(known.slice(length, slice.start - 1).end, slice.start);
        }

        #[test]
        fn a_time_is_found_at_the_first_instant_that_shows_it_or_a_later_one(
            zone in wild_zones(),
            time in -10 * DAY..100 * DAY,
        ) {
            let at = zone.first_at(time);
            prop_assert!(zone.local(at) >= time);
            let segments = zone.transitions().iter().map(|&(since, _)| since);
            for earlier in segments.map(|since| since - 1).chain([at - 1]).filter(|&e| e < at) {
                prop_assert!(zone.local(earlier) < time);
            }
        }

        #[test]
        fn nested_slices_share_their_borders(
            (zone, at) in zones_and_instants(),
            (finer, coarser) in (slices(), slices()).prop_filter("nested", |&(finer, coarser)| nests(finer, coarser)),
            (week_start, _) in starts(),
        ) {
            let known = Calendar { week_start, ..calendar(zone) };
            let slice = known.slice(coarser, at);
            prop_assert_eq!(known.slice(finer, slice.start).start, slice.start);
            prop_assert_eq!(known.slice(finer, slice.end).start, slice.end);
        }

        #[test]
        fn what_does_not_nest_is_cut_somewhere(finer in slices(), coarser in slices()) {
            prop_assume!(finer != coarser && !nests(finer, coarser));
            // Three days and three weeks, say, may have all borders in common or none, by the day weeks begin with.
            prop_assume!(!matches!((finer, coarser), (Span::Days(_), Span::Weeks(_))));
            let known = calendar("UTC");
            let mut at = 0;
            let is_cut = (0..400).any(|_| {
                let slice = known.slice(coarser, at);
                at = slice.end;
                let part = known.slice(finer, slice.start);
                part.start != slice.start || known.slice(finer, slice.end - 1).end != slice.end || part == slice
            });
            prop_assert!(is_cut);
        }

        #[test]
        fn calendar_sums_are_those_of_another_calendar((zone, at) in zones_and_instants(), span in prop_oneof![
            (1u32..100).prop_map(Span::Days),
            (1u32..50).prop_map(Span::Weeks),
            (1u32..40).prop_map(Span::Months),
        ]) {
            let known = calendar(zone);
            let other = twin(zone);
            let time = other.to_datetime(timestamp(at));
            let length = match span {
                Span::Days(n) => i64::from(n).days(),
                Span::Weeks(n) => i64::from(n).weeks(),
                Span::Months(n) => i64::from(n).months(),
                Span::Millis(n) => n.milliseconds(),
            };
            for (sum, time) in [
                (known.minus(at, span), time.checked_sub(length).unwrap()),
                (known.plus(at, span), time.checked_add(length).unwrap()),
            ] {
                let found = other.to_ambiguous_timestamp(time);
                let expected = if matches!(found.offset(), AmbiguousOffset::Gap { .. }) {
                    // The transition itself, and not as long after it as the time is after the last one before it.
                    let before = found.earlier().unwrap();
                    other.following(before).next().unwrap().timestamp()
                } else {
                    found.compatible().unwrap()
                };
                // Before the first instant of the range, transitions are not known.
                if expected.as_millisecond() >= *Calendar::RANGE.start() {
                    prop_assert_eq!(sum, expected.as_millisecond());
                }
            }
        }

        #[test]
        fn nothing_panics(zone in wild_zones(), at in any::<i64>(), length in spans(), other in spans()) {
            let known = Calendar { zone, week_start: WeekStart::Saturday };
            for at in [at, i64::MIN, i64::MAX, 0] {
                let slice = known.slice(length, at);
                prop_assert!(slice.start < slice.end);
                prop_assert!(known.minus(at, length) < known.plus(at, length) || !length.is_slice());
                known.period(Period::LastMonth, at);
            }
            nests(length, other);
        }

        #[test]
        fn spans_are_read_as_they_are_written(span in spans()) {
            let read = Span::parse(span.to_string().as_bytes());
            prop_assert_eq!(read.map(Span::count), Some(span.count()));
            prop_assert_eq!(read.map(|s| std::mem::discriminant(&s)), Some(std::mem::discriminant(&span)));
        }

        #[test]
        fn reading_a_span_never_panics(text in prop::collection::vec(any::<u8>(), 0..30)) {
            Span::parse(&text);
        }
    }

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (text, span) in [
            ("1500", Span::Millis(1500)),
            ("1500ms", Span::Millis(1500)),
            ("90s", Span::Millis(90 * SECOND)),
            ("5m", Span::Millis(5 * MINUTE)),
            ("5M", Span::Millis(5 * MINUTE)),
            ("48h", Span::Millis(48 * HOUR)),
            ("7D", Span::Days(7)),
            ("2w", Span::Weeks(2)),
            ("1mo", Span::Months(1)),
            ("1Mo", Span::Months(1)),
            ("1q", Span::Months(3)),
            ("1Y", Span::Months(12)),
            ("1000y", Span::Months(12_000)),
        ] {
            assert_eq!(Span::parse(text.as_bytes()), Some(span), "{text}");
        }
        for text in [
            "",
            "h",
            "0",
            "0d",
            "-1d",
            "+1d",
            "1 d",
            " 1d",
            "1d ",
            "1.5h",
            "1min",
            "1da",
            "1001y",
            "4294967297d",
            "9223372036854775807h",
            "9223372036854775808",
            "99999999999999999999999",
        ] {
            assert_eq!(Span::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn spans_are_written_in_the_largest_unit_that_fits() {
        for (span, text) in [
            (Span::Millis(1500), "1500ms"),
            (Span::Millis(90 * SECOND), "90s"),
            (Span::Millis(300 * SECOND), "5m"),
            (Span::Millis(HOUR), "1h"),
            (Span::Millis(DAY), "24h"),
            (Span::Days(90), "90d"),
            (Span::Weeks(53), "53w"),
            (Span::Months(1), "1mo"),
            (Span::Months(3), "1q"),
            (Span::Months(36), "3y"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn a_finer_length_nests_where_its_slices_fill_the_coarser_ones() {
        let nested = |finer: &str, coarser: &str| {
            let read = |text: &str| Span::parse(text.as_bytes()).unwrap();
            nests(read(finer), read(coarser))
        };
        for (finer, coarser) in [
            ("5m", "1h"),
            ("7h", "1d"),
            ("1h", "2w"),
            ("1s", "1y"),
            ("1d", "1w"),
            ("1d", "1mo"),
            ("2d", "4d"),
            ("1w", "2w"),
            ("1mo", "1q"),
            ("1q", "1y"),
        ] {
            assert!(nested(finer, coarser), "{finer} in {coarser}");
            assert!(!nested(coarser, finer), "{coarser} in {finer}");
        }
        for (finer, coarser) in [
            ("1h", "1h"),
            ("2h", "5h"),
            ("1h", "24h"),
            ("24h", "1w"),
            ("2d", "1w"),
            ("7d", "1w"),
            ("2d", "3d"),
            ("1w", "1mo"),
            ("1w", "7d"),
            ("2mo", "1q"),
        ] {
            assert!(!nested(finer, coarser), "{finer} in {coarser}");
        }
    }

    #[test]
    fn zones_are_found_in_any_case() {
        assert_eq!(
            Zone::named("europe/BERLIN").unwrap().name(),
            "Europe/Berlin"
        );
        assert_eq!(Zone::named("utc").unwrap().name(), "UTC");
        assert_eq!(Zone::named("utc").unwrap().transitions(), []);
        for unknown in ["", "Mars/Olympus", "Europe/Berlin ", "CET-1CEST", "\0"] {
            assert_eq!(Zone::named(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_zone_of_the_database_is_whole_and_has_its_offsets() {
        let database = TimeZoneDatabase::bundled();
        let mut zones = 0;
        for name in database.available().filter(|n| n.as_str() != "Etc/Unknown") {
            let zone = Zone::named(name.as_str()).unwrap_or_else(|| panic!("{name}"));
            let other = twin(name.as_str());
            let day_by_day = (0..LOOKED_UP_UNTIL).step_by(11 * DAY as usize);
            let transitions = zone.transitions().iter().map(|&(at, _)| at);
            for at in day_by_day.chain(transitions.flat_map(|at| [at - 1, at])) {
                let offset = other.to_offset(timestamp(at)).seconds();
                assert_eq!(
                    zone.local(at) - at,
                    SECOND * i64::from(offset),
                    "{name} {at}"
                );
            }
            zones += 1;
        }
        assert!(zones > 500);
    }

    #[test]
    fn a_zone_is_its_parts() {
        for name in ZONES {
            let zone = Zone::named(name).unwrap();
            let parts = zone.transitions().to_vec();
            assert_eq!(
                Zone::from_parts(zone.name(), zone.first_offset(), parts),
                Some(zone)
            );
        }
    }

    #[test]
    fn parts_that_are_not_whole_make_no_zone() {
        let zone = |name: &str, first, transitions: &[(Millis, i32)]| {
            Zone::from_parts(name, first, transitions.to_vec())
        };
        let limit = OFFSET_LIMIT;
        assert!(zone("A", limit - 1, &[(5, 1 - limit), (6, 0)]).is_some());
        assert!(zone(&"A".repeat(64), 0, &[]).is_some());
        assert_eq!(zone(&"A".repeat(65), 0, &[]), None);
        assert_eq!(zone("", 0, &[]), None);
        assert_eq!(zone("A B", 0, &[]), None);
        assert_eq!(zone("Zürich", 0, &[]), None);
        assert_eq!(zone("A", limit, &[]), None);
        assert_eq!(zone("A", i32::MIN, &[]), None);
        assert_eq!(zone("A", 0, &[(5, -limit)]), None);
        assert_eq!(zone("A", 0, &[(5, 1), (5, 2)]), None);
        assert_eq!(zone("A", 0, &[(6, 1), (5, 2)]), None);
        assert_eq!(zone("A", 0, &[(i64::MIN, 1)]), None);
        assert_eq!(zone("A", 0, &[(i64::MAX, 1)]), None);
        let many: Vec<_> = (0..1001).map(|at| (at, 0)).collect();
        assert!(zone("A", 0, &many[..1000]).is_some());
        assert_eq!(zone("A", 0, &many), None);
    }

    #[test]
    fn days_have_23_or_25_hours_where_clocks_change() {
        let berlin = calendar("Europe/Berlin");
        for (at, length) in [
            ("2025-03-29T12:00:00Z", 24.0),
            ("2025-03-30T12:00:00Z", 23.0),
            ("2025-10-26T12:00:00Z", 25.0),
        ] {
            assert_eq!(hours(berlin.slice(DAYS, utc(at))), length, "{at}");
        }
        let lord_howe = calendar("Australia/Lord_Howe");
        assert_eq!(
            hours(lord_howe.slice(DAYS, utc("2025-10-05T00:00:00Z"))),
            23.5
        );
        assert_eq!(
            hours(lord_howe.slice(DAYS, utc("2025-04-06T00:00:00Z"))),
            24.5
        );
    }

    #[test]
    fn the_last_slice_below_a_day_ends_with_it() {
        let berlin = calendar("Europe/Berlin");
        let day = berlin.slice(DAYS, utc("2025-03-30T12:00:00Z"));
        let slice = |at| berlin.slice(Span::Millis(6 * HOUR), at);
        assert_eq!(hours(slice(day.start)), 6.0);
        assert_eq!(hours(slice(day.end - 1)), 5.0);
        assert_eq!(slice(day.end - 1).end, day.end);
    }

    #[test]
    fn hours_begin_with_the_half_hour_where_the_offset_has_one() {
        let kolkata = calendar("Asia/Kolkata");
        let hour = kolkata.slice(HOURS, utc("2025-06-01T12:34:56Z"));
        assert_eq!(
            hour,
            utc("2025-06-01T12:30:00Z")..utc("2025-06-01T13:30:00Z")
        );
    }

    #[test]
    fn a_day_without_midnight_begins_after_it() {
        let sao_paulo = calendar("America/Sao_Paulo");
        let day = sao_paulo.slice(DAYS, utc("2015-10-18T12:00:00Z"));
        // 01:00 of that day.
        assert_eq!(day.start, utc("2015-10-18T03:00:00Z"));
        assert_eq!(hours(day), 23.0);
    }

    #[test]
    fn a_day_with_two_midnights_begins_with_the_first() {
        // From 00:01 back to 23:01.
        let st_johns = calendar("America/St_Johns");
        let midnight = utc("2010-11-07T02:30:00Z");
        let day = st_johns.slice(DAYS, midnight + 30 * MINUTE);
        assert_eq!(day.start, midnight);
        assert_eq!(hours(day), 25.0);
        // From 00:00 back to 23:00, which is the only time that midnight is not reached.
        let sao_paulo = calendar("America/Sao_Paulo");
        let back = utc("2018-02-18T02:00:00Z");
        assert_eq!(sao_paulo.slice(DAYS, back).end, back + HOUR);
        assert_eq!(hours(sao_paulo.slice(DAYS, back)), 25.0);
    }

    #[test]
    fn a_skipped_date_has_no_length() {
        let apia = calendar("Pacific/Apia");
        // The end of the 29th of December 2011, and the beginning of the 31st.
        let skip = utc("2011-12-30T10:00:00Z");
        assert_eq!(apia.slice(DAYS, skip - 1), skip - DAY..skip);
        assert_eq!(apia.slice(DAYS, skip), skip..skip + DAY);
        assert_eq!(
            apia.period(Period::Yesterday, skip + HOUR),
            skip - DAY..skip
        );
        assert_eq!(hours(apia.slice(WEEKS, skip)), 6.0 * 24.0);
        assert_eq!(hours(apia.slice(MONTHS, skip)), 30.0 * 24.0);
        assert_eq!(apia.minus(skip + HOUR, DAYS), skip);
    }

    #[test]
    fn weeks_begin_with_their_day() {
        let at = utc("2025-06-04T12:00:00Z");
        for (week_start, start) in [
            (WeekStart::Monday, "2025-06-02T00:00:00Z"),
            (WeekStart::Sunday, "2025-06-01T00:00:00Z"),
            (WeekStart::Saturday, "2025-05-31T00:00:00Z"),
        ] {
            let known = Calendar {
                week_start,
                ..calendar("UTC")
            };
            assert_eq!(known.slice(WEEKS, at).start, utc(start));
        }
    }

    #[test]
    fn periods_are_whole_and_of_the_calendar() {
        let known = calendar("UTC");
        let at = utc("2025-05-15T12:00:00Z");
        for (period, start, end) in [
            (Period::Today, "2025-05-15", "2025-05-16"),
            (Period::Yesterday, "2025-05-14", "2025-05-15"),
            (Period::Week, "2025-05-12", "2025-05-19"),
            (Period::LastWeek, "2025-05-05", "2025-05-12"),
            (Period::Month, "2025-05-01", "2025-06-01"),
            (Period::LastMonth, "2025-04-01", "2025-05-01"),
            (Period::Quarter, "2025-04-01", "2025-07-01"),
            (Period::Year, "2025-01-01", "2026-01-01"),
        ] {
            let midnight = |date: &str| utc(&format!("{date}T00:00:00Z"));
            let expected = midnight(start)..midnight(end);
            assert_eq!(known.period(period, at), expected, "{period:?}");
        }
    }

    #[test]
    fn a_month_too_short_ends_with_its_last_day() {
        let known = calendar("UTC");
        let at = utc("2024-03-31T08:00:00Z");
        assert_eq!(known.minus(at, MONTHS), utc("2024-02-29T08:00:00Z"));
        assert_eq!(
            known.minus(at, Span::Months(13)),
            utc("2023-02-28T08:00:00Z")
        );
        assert_eq!(known.plus(at, MONTHS), utc("2024-04-30T08:00:00Z"));
    }

    #[test]
    fn elapsed_time_ignores_clocks_and_days_follow_them() {
        let berlin = calendar("Europe/Berlin");
        let at = utc("2025-03-30T12:00:00Z");
        assert_eq!(berlin.minus(at, Span::Millis(DAY)), at - DAY);
        assert_eq!(berlin.minus(at, DAYS), at - 23 * HOUR);
        // 02:30 of the 30th is skipped.
        let before = utc("2025-03-29T01:30:00Z");
        assert_eq!(berlin.plus(before, DAYS), utc("2025-03-30T01:00:00Z"));
        // 02:30 of the 26th comes twice.
        let before = utc("2025-10-25T00:30:00Z");
        assert_eq!(berlin.plus(before, DAYS), utc("2025-10-26T00:30:00Z"));
    }

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        let mut day = civil::date(-4000, 1, 1);
        while day < civil::date(9999, 1, 1) {
            let number = i64::from((day - civil::date(1970, 1, 1)).get_days());
            let month = 12 * i64::from(day.year()) + i64::from(day.month()) - 1;
            assert_eq!(month_of(number), (month, i64::from(day.day()) - 1), "{day}");
            assert_eq!(first_day(month), number - i64::from(day.day()) + 1, "{day}");
            day = day.checked_add(5.days()).unwrap();
        }
    }

    #[test]
    fn memory_is_that_of_the_lists() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let lists = zone.transitions().len() * (size_of::<(Millis, i32)>() + size_of::<Millis>());
        assert_eq!(
            zone.memory_bytes(),
            size_of::<Zone>() + "Europe/Berlin".len() + lists
        );
    }
}
