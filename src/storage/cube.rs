//! A cube as bytes: a stream of numbers and strings, cut into [`frame`]s of some 64 KiB.
//!
//! ```text
//!   frame                     frame                     ...
//!   +--------+--------+------+
//!   | coding | length | body |      coding 0 as it is, 1 zstd, 2 lz4, 3 gzip; length of what the body holds, 4 bytes
//!   +--------+--------+------+
//! ```
//!
//! What the frames hold, one after the other, is one stream: whole numbers in groups of seven bits, low ones first,
//! the highest bit of a byte saying that more follow; signed ones with the sign in the lowest bit; floats as eight
//! bytes, low byte first; strings as their length and their bytes. Columns that are sealed lie in it as they lie in
//! memory ([`cube::column`](crate::cube::column)), so to save them is to copy them.
//!
//! The stream says everything that decides what a cube answers and what becomes of it, in the same order always: the
//! declaration with the zone's transitions, values and combinations with their numbers, ids that were counted, users
//! that were seen, open slices, slices by tier, and the work that is queued, with how far it got. The same cube gives
//! the same stream, so its hash tells whether two cubes are the same.

use super::frame::{self, Frame, Kind};
use super::registers::{self, Coding, Compression};
use crate::cube::body::{Body, Cube, Job, LatePart, Open, SealedSlice, Slice, Task};
use crate::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use crate::cube::cell::OpenUsers;
use crate::cube::column::Column;
use crate::cube::history::{Added, Addition, Cap, History};
use crate::cube::intern::{Intern, Members};
use crate::cube::merge::{Input, Sealed};
use crate::cube::open::OpenColumn;
use crate::cube::recent::{MAX_IDS, MAX_PRODUCERS, Recent};
use crate::cube::restore::State;
use crate::cube::schema::{Dimension, Group, MAX_SUM, MAX_VALUE_BYTES, Place, Schema, TOTAL, Tier};
use crate::cube::seen::Seen;
use crate::cube::users::Users;
use crate::sketch::estimate::Hip;
use crate::sketch::{Dense, HashFamily, Precision};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of the stream in every frame but the last.
const PIECE: usize = 64 << 10;

/// The most bytes of a frame's body: a piece that does not become smaller, and what stands before it.
const MOST_BODY: usize = PIECE + 16;

/// The most bytes of a string in the stream: registers and chunks of columns.
const MOST_BYTES: usize = 1 << 20;

/// Why bytes are not a cube.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCube(pub &'static str);

impl fmt::Display for InvalidCube {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a cube: its {} is damaged or impossible", self.0)
    }
}

impl std::error::Error for InvalidCube {}

type Loaded<T> = Result<T, InvalidCube>;

/// Writes a cube.
pub fn save(cube: &Cube, to: &mut impl Write, compression: Compression) -> io::Result<()> {
    let mut out = Out(Pieces {
        to,
        piece: Vec::new(),
        compression,
    });
    out.cube(cube)?;
    out.0.end_piece()
}

/// Sixteen bytes that two cubes have in common if they are the same.
pub fn digest(cube: &Cube) -> [u8; 16] {
    let mut hash = Hashing(Xxh3::new());
    // A hash takes everything.
    let _ = Out(&mut hash).cube(cube);
    hash.0.digest128().to_le_bytes()
}

struct Hashing(Xxh3);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts the stream into frames.
struct Pieces<'w, W> {
    to: &'w mut W,
    piece: Vec<u8>,
    compression: Compression,
}

impl<W: Write> Pieces<'_, W> {
    fn end_piece(&mut self) -> io::Result<()> {
        // Bit planes are made of eight bytes at a time.
        let whole = self.piece.len().is_multiple_of(8);
        let compression = match self.compression {
            Compression::Lz4 if !whole => Compression::Zstd,
            other => other,
        };
        let (coding, body) = registers::encode(&self.piece, compression);
        let length = (self.piece.len() as u32).to_le_bytes();
        let frame = frame::encode(Kind::Cube, &[&[coding as u8], &length, &body]);
        self.piece.clear();
        self.to.write_all(&frame)
    }
}

impl<W: Write> Write for Pieces<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.end_piece()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the stream.
struct Out<W>(W);

impl<W: Write> Out<W> {
    fn u64(&mut self, mut number: u64) -> io::Result<()> {
        let mut bytes = [0; 10];
        let mut len = 0;
        loop {
            bytes[len] = number as u8 & 0x7f;
            number >>= 7;
            if number == 0 {
                return self.0.write_all(&bytes[..=len]);
            }
            bytes[len] |= 0x80;
            len += 1;
        }
    }

    fn len(&mut self, len: usize) -> io::Result<()> {
        self.u64(len as u64)
    }

    fn i64(&mut self, number: i64) -> io::Result<()> {
        self.u64((number << 1 ^ number >> 63) as u64)
    }

    fn f64(&mut self, number: f64) -> io::Result<()> {
        self.0.write_all(&number.to_le_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len(bytes.len())?;
        self.0.write_all(bytes)
    }

    fn precision(&mut self, precision: Option<Precision>) -> io::Result<()> {
        self.u64(precision.map_or(0, Precision::bits).into())
    }

    fn cube(&mut self, cube: &Cube) -> io::Result<()> {
        self.schema(&cube.schema)?;
        self.u64(cube.seed)?;
        match cube.newest {
            None => self.u64(0)?,
            Some(newest) => {
                self.u64(1)?;
                self.i64(newest)?;
            }
        }
        self.u64(cube.epoch)?;
        self.u64(cube.owed)?;
        self.u64(cube.late)?;
        for &expired in &cube.expired {
            self.i64(expired)?;
        }
        for dimension in &cube.numbers.dimensions {
            self.len(dimension.len())?;
            for (number, name) in dimension.iter() {
                self.u64(number.into())?;
                self.bytes(name)?;
            }
        }
        for group in &cube.numbers.groups {
            self.len(group.len())?;
            for (number, combination) in group.iter() {
                self.u64(number.into())?;
                for &value in combination {
                    self.u64(value.into())?;
                }
            }
        }
        self.recent(&cube.recent)?;
        if let Some(seen) = &cube.seen {
            self.users(seen.users().map(Arc::as_ref))?;
        }
        self.len(cube.open.len())?;
        for (range, open) in &cube.open {
            self.i64(range.start)?;
            self.i64(range.end)?;
            self.open(open)?;
        }
        for slices in &cube.tiers {
            self.len(slices.len())?;
            for (&start, slice) in slices {
                self.i64(start)?;
                self.slice(slice)?;
            }
        }
        self.len(cube.jobs.len())?;
        cube.jobs.iter().try_for_each(|job| self.job(job))
    }

    fn schema(&mut self, schema: &Schema) -> io::Result<()> {
        self.len(schema.tiers.len())?;
        for tier in &schema.tiers {
            self.span(tier.slice)?;
            self.span(tier.retention)?;
            self.precision(tier.precision)?;
        }
        self.len(schema.dimensions.len())?;
        for dimension in &schema.dimensions {
            self.bytes(dimension.name.as_bytes())?;
            self.precision(Some(dimension.precision))?;
            self.u64(dimension.values.into())?;
            self.u64(dimension.user_level.into())?;
        }
        self.len(schema.groups.len())?;
        for group in &schema.groups {
            self.len(group.dimensions.len())?;
            for &dimension in &group.dimensions {
                self.len(dimension)?;
            }
            self.precision(Some(group.precision))?;
            self.u64(group.values.into())?;
        }
        self.len(schema.measures.len())?;
        for measure in &schema.measures {
            self.bytes(measure.as_bytes())?;
        }
        self.precision(Some(schema.precision))?;
        self.precision(schema.new)?;
        let zone = &schema.calendar.zone;
        self.bytes(zone.name().as_bytes())?;
        self.i64(zone.first_offset().into())?;
        self.len(zone.transitions().len())?;
        for &(at, offset) in zone.transitions() {
            self.i64(at)?;
            self.i64(offset.into())?;
        }
        self.u64(match schema.calendar.week_start {
            WeekStart::Monday => 0,
            WeekStart::Sunday => 1,
            WeekStart::Saturday => 2,
        })?;
        match schema.hash {
            HashFamily::Xxh3 { seed } => {
                self.u64(0)?;
                self.u64(seed)?;
            }
            HashFamily::Redis => self.u64(1)?,
            HashFamily::DataSketches => self.u64(2)?,
        }
        self.u64(schema.max_bytes.unwrap_or(0))?;
        self.history(&schema.history)
    }

    fn history(&mut self, history: &History) -> io::Result<()> {
        self.len(history.additions.len())?;
        for addition in &history.additions {
            self.u64(match addition.what {
                Added::Dimension => 0,
                Added::Group => 1,
                Added::Measure => 2,
            })?;
            self.i64(addition.since)?;
        }
        self.len(history.caps.len())?;
        for cap in &history.caps {
            self.len(cap.column)?;
            self.i64(cap.until)?;
            self.u64(cap.values.into())?;
        }
        self.len(history.floors.len())?;
        history.floors.iter().try_for_each(|&floor| self.i64(floor))
    }

    fn span(&mut self, span: Span) -> io::Result<()> {
        let (kind, number) = match span {
            Span::Millis(millis) => (0, millis as u64),
            Span::Days(days) => (1, days.into()),
            Span::Weeks(weeks) => (2, weeks.into()),
            Span::Months(months) => (3, months.into()),
        };
        self.u64(kind)?;
        self.u64(number)
    }

    fn recent(&mut self, recent: &Recent) -> io::Result<()> {
        self.len(recent.producers().count())?;
        for (producer, ids) in recent.producers() {
            self.0.write_all(&producer.to_le_bytes())?;
            let ids: Vec<u128> = ids.collect();
            self.len(ids.len())?;
            for id in ids {
                self.0.write_all(&id.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Registers, or none.
    fn users(&mut self, users: Option<&Dense>) -> io::Result<()> {
        let Some(dense) = users else {
            return self.u64(0);
        };
        match dense.running() {
            None => self.u64(1)?,
            Some(hip) => {
                self.u64(2)?;
                self.f64(hip.value)?;
                self.f64(hip.variance)?;
            }
        }
        self.bytes(dense.registers())
    }

    fn open(&mut self, open: &Open) -> io::Result<()> {
        self.u64(open.events)?;
        self.f64(open.weight)?;
        open.columns
            .iter()
            .try_for_each(|column| self.open_column(column))
    }

    fn open_column(&mut self, column: &OpenColumn) -> io::Result<()> {
        self.len(column.hand())?;
        self.len(column.len())?;
        for (cell, users) in column.in_order().zip(column.users_in_order()) {
            self.u64(cell.number.into())?;
            self.u64(cell.events)?;
            for sum in 0..column.sums() {
                self.f64(cell.sums.get(sum))?;
            }
            match (users, cell.users) {
                (OpenUsers::Dense(dense), _) => self.users(Some(dense))?,
                (_, Users::Tokens(tokens)) => {
                    let mut list = tokens.to_vec();
                    list.sort_unstable();
                    // 0 to 2 are registers.
                    self.len(3 + list.len())?;
                    for token in list {
                        self.0.write_all(&token.to_le_bytes())?;
                    }
                }
                (_, Users::Registers { .. }) => self.u64(0)?,
            }
        }
        Ok(())
    }

    fn sealed(&mut self, column: &Column) -> io::Result<()> {
        self.len(column.chunks().len())?;
        column.chunks().try_for_each(|chunk| self.bytes(chunk))
    }

    fn slice(&mut self, slice: &Slice) -> io::Result<()> {
        self.i64(slice.end)?;
        self.u64(slice.rewriting.into())?;
        match &slice.body {
            Body::Absent => self.u64(0)?,
            Body::Closed(open) => {
                self.u64(1)?;
                self.open(open)?;
            }
            Body::Due { epoch } => {
                self.u64(2)?;
                self.u64(*epoch)?;
            }
            Body::Sealed(sealed) => {
                self.u64(3)?;
                self.u64(sealed.events)?;
                self.f64(sealed.weight)?;
                for column in &sealed.columns {
                    self.sealed(&column.named)?;
                    self.u64(column.other.is_some().into())?;
                    if let Some(other) = &column.other {
                        self.sealed(other)?;
                    }
                }
            }
        }
        self.len(slice.late.len())?;
        for part in &slice.late {
            self.u64(part.epoch)?;
            self.open(&part.open)?;
        }
        Ok(())
    }

    fn job(&mut self, job: &Job) -> io::Result<()> {
        self.u64(job.epoch)?;
        self.len(job.column)?;
        self.u64(job.steps)?;
        let (kind, (tier, start)) = match &job.task {
            Task::Seal(which) => (0, *which),
            Task::Compact(which) => (1, *which),
            Task::Rewrite(which) => (2, *which),
            Task::Expire(which) => (3, *which),
            Task::Release(start, _) => (4, (0, *start)),
        };
        self.u64(kind)?;
        self.len(tier)?;
        self.i64(start)?;
        if let Task::Release(_, columns) = &job.task {
            for inputs in columns {
                self.len(inputs.len())?;
                for input in inputs {
                    match input {
                        Input::Sealed(column) => {
                            self.u64(0)?;
                            self.sealed(column)?;
                        }
                        Input::Open(column) => {
                            self.u64(1)?;
                            self.open_column(column)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads a cube, to the end of the bytes.
pub fn load(from: &mut impl Read) -> Loaded<Cube> {
    let mut from = In {
        from,
        piece: Vec::new(),
        at: 0,
        highest: Vec::new(),
    };
    let state = from.state()?;
    let is_at_end = from.at == from.piece.len();
    if !is_at_end || !matches!(Frame::take_bytes(from.from, MOST_BODY), Ok(None)) {
        return Err(InvalidCube("end"));
    }
    Cube::restore(state).map_err(|unsound| InvalidCube(unsound.0))
}

/// Reads the stream.
struct In<'r, R> {
    from: &'r mut R,
    piece: Vec<u8>,
    at: usize,
    /// The highest number of a value, in each column: nothing is made for a cell of a higher one.
    highest: Vec<u32>,
}

const CUT: InvalidCube = InvalidCube("stream");

impl<R: Read> In<'_, R> {
    fn take_piece(&mut self) -> Loaded<()> {
        let bytes = Frame::take_bytes(self.from, MOST_BODY)
            .ok()
            .flatten()
            .ok_or(CUT)?;
        let frame = Frame::only(&bytes).map_err(|_| InvalidCube("frame"))?;
        let body = frame
            .body_of(Kind::Cube)
            .map_err(|_| InvalidCube("frame"))?;
        let (&[coding], body) = body.split_first_chunk().ok_or(CUT)?;
        let (length, body) = body.split_first_chunk().ok_or(CUT)?;
        let length = u32::from_le_bytes(*length) as usize;
        let coding = match coding {
            0 => Coding::Raw,
            1 => Coding::Zstd,
            2 if length.is_multiple_of(8) => Coding::Lz4Planes,
            3 => Coding::Gzip,
            _ => return Err(CUT),
        };
        if length == 0 || length > PIECE {
            return Err(CUT);
        }
        self.piece = registers::decode(body, coding, length).ok_or(CUT)?;
        self.at = 0;
        Ok(())
    }

    fn raw(&mut self, mut into: &mut [u8]) -> Loaded<()> {
        while !into.is_empty() {
            if self.at == self.piece.len() {
                self.take_piece()?;
            }
            let left = &self.piece[self.at..];
            let taken = left.len().min(into.len());
            let (now, later) = into.split_at_mut(taken);
            now.copy_from_slice(&left[..taken]);
            self.at += taken;
            into = later;
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Loaded<[u8; N]> {
        let mut bytes = [0; N];
        self.raw(&mut bytes)?;
        Ok(bytes)
    }

    fn u64(&mut self) -> Loaded<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(InvalidCube("number"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                // A number has one form.
                let shortest = byte != 0 || shift == 0;
                return if shortest {
                    Ok(number)
                } else {
                    Err(InvalidCube("number"))
                };
            }
        }
        Err(InvalidCube("number"))
    }

    fn u32(&mut self) -> Loaded<u32> {
        self.u64()?.try_into().map_err(|_| InvalidCube("number"))
    }

    fn len(&mut self) -> Loaded<usize> {
        self.u64()?.try_into().map_err(|_| InvalidCube("number"))
    }

    fn at_most(&mut self, most: usize) -> Loaded<usize> {
        self.len().and_then(|len| {
            if len <= most {
                Ok(len)
            } else {
                Err(InvalidCube("length"))
            }
        })
    }

    fn i64(&mut self) -> Loaded<i64> {
        let number = self.u64()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn f64(&mut self) -> Loaded<f64> {
        let number = f64::from_le_bytes(self.array()?);
        if number.is_finite() {
            Ok(number)
        } else {
            Err(InvalidCube("number"))
        }
    }

    fn sum(&mut self) -> Loaded<f64> {
        let sum = self.f64()?;
        if sum.abs() <= MAX_SUM {
            Ok(sum)
        } else {
            Err(InvalidCube("sum"))
        }
    }

    fn bool(&mut self) -> Loaded<bool> {
        Ok(self.at_most(1)? == 1)
    }

    /// Memory is taken as the bytes come.
    fn bytes(&mut self, most: usize) -> Loaded<Vec<u8>> {
        let mut left = self.at_most(most)?;
        let mut bytes = Vec::new();
        while left > 0 {
            let (before, more) = (bytes.len(), left.min(PIECE));
            bytes.resize(before + more, 0);
            self.raw(&mut bytes[before..])?;
            left -= more;
        }
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    fn text(&mut self) -> Loaded<String> {
        String::from_utf8(self.bytes(256)?).map_err(|_| InvalidCube("name"))
    }

    fn precision(&mut self) -> Loaded<Option<Precision>> {
        match self.at_most(usize::from(u8::MAX))? {
            0 => Ok(None),
            bits => Precision::new(bits as u8)
                .map(Some)
                .ok_or(InvalidCube("precision")),
        }
    }

    fn required_precision(&mut self) -> Loaded<Precision> {
        self.precision()?.ok_or(InvalidCube("precision"))
    }

    fn several<T>(
        &mut self,
        most: usize,
        mut one: impl FnMut(&mut Self) -> Loaded<T>,
    ) -> Loaded<Vec<T>> {
        let count = self.at_most(most)?;
        (0..count).map(|_| one(self)).collect()
    }

    fn state(&mut self) -> Loaded<State> {
        let schema = self.schema()?;
        schema.check().map_err(|_| InvalidCube("declaration"))?;
        let seed = self.u64()?;
        let newest = if self.bool()? {
            Some(self.i64()?)
        } else {
            None
        };
        if newest.is_some_and(|newest| !Calendar::RANGE.contains(&newest)) {
            return Err(InvalidCube("newest time"));
        }
        let (epoch, owed, late) = (self.u64()?, self.u64()?, self.u64()?);
        let mut expired = Vec::new();
        for _ in &schema.tiers {
            expired.push(self.i64()?);
        }
        let mut dimensions = Vec::new();
        for _ in &schema.dimensions {
            let names = self.several(usize::MAX, |from| {
                Ok((from.u32()?, from.bytes(MAX_VALUE_BYTES)?))
            })?;
            let names = names.iter().map(|(number, name)| (*number, &name[..]));
            dimensions.push(Intern::restore(seed, names).ok_or(InvalidCube("table of values"))?);
        }
        let mut groups = Vec::new();
        for _ in &schema.groups {
            let members = self.several(usize::MAX, |from| {
                let number = from.u32()?;
                Ok((number, [from.u32()?, from.u32()?, from.u32()?, from.u32()?]))
            })?;
            let members = members.iter().map(|(number, member)| (*number, member));
            let members = Members::restore(seed, members);
            groups.push(members.ok_or(InvalidCube("table of combinations"))?);
        }
        let highest = |column| match schema.place(column) {
            Place::Total => TOTAL,
            Place::Dimension(dimension) => dimensions[dimension].highest(),
            Place::Group(group) => groups[group].highest(),
        };
        self.highest = (0..schema.columns()).map(highest).collect();
        let recent = self.several(MAX_PRODUCERS, |from| {
            let producer = u128::from_le_bytes(from.array()?);
            let ids = from.several(MAX_IDS, |from| Ok(u128::from_le_bytes(from.array()?)))?;
            Ok((producer, ids))
        })?;
        let recent = Recent::restore(recent).ok_or(InvalidCube("list of ids"))?;
        let seen = match schema.new {
            None => None,
            Some(precision) => {
                let form = self.u64()?;
                Some(match self.users(form, precision)? {
                    None => Seen::new(precision),
                    Some(users) => Seen::restore(precision, Arc::new(users))
                        .ok_or(InvalidCube("sketch of users seen"))?,
                })
            }
        };
        let open = self.several(2, |from| {
            let range: Range<Millis> = from.i64()?..from.i64()?;
            let open = from.open(&schema, range.start)?;
            Ok((range, open))
        })?;
        let mut tiers = Vec::new();
        for _ in &schema.tiers {
            let slices = self.several(usize::MAX, |from| {
                let start = from.i64()?;
                Ok((start, from.slice(&schema, start)?))
            })?;
            if !slices.is_sorted_by(|a, b| a.0 < b.0) {
                return Err(InvalidCube("order of slices"));
            }
            tiers.push(slices.into_iter().collect::<BTreeMap<Millis, Slice>>());
        }
        let jobs = self.several(usize::MAX, |from| from.job(&schema))?;
        Ok(State {
            schema,
            seed,
            newest,
            dimensions,
            groups,
            open,
            tiers,
            jobs,
            epoch,
            owed,
            expired,
            recent,
            seen,
            late,
        })
    }

    fn schema(&mut self) -> Loaded<Schema> {
        let few = usize::from(u8::MAX);
        let tiers = self.several(few, |from| {
            Ok(Tier {
                slice: from.span()?,
                retention: from.span()?,
                precision: from.precision()?,
            })
        })?;
        let dimensions = self.several(few, |from| {
            Ok(Dimension {
                name: from.text()?,
                precision: from.required_precision()?,
                values: from.u32()?,
                user_level: from.bool()?,
            })
        })?;
        let groups = self.several(few, |from| {
            Ok(Group {
                dimensions: from.several(few, Self::len)?,
                precision: from.required_precision()?,
                values: from.u32()?,
            })
        })?;
        let measures = self.several(few, Self::text)?;
        let precision = self.required_precision()?;
        let new = self.precision()?;
        let name = self.text()?;
        let offset = |from: &mut Self| from.i64()?.try_into().map_err(|_| InvalidCube("zone"));
        let first = offset(self)?;
        let transitions = self.several(1_000, |from| Ok((from.i64()?, offset(from)?)))?;
        let zone = Zone::from_parts(&name, first, transitions).ok_or(InvalidCube("zone"))?;
        let week_start = match self.u64()? {
            0 => WeekStart::Monday,
            1 => WeekStart::Sunday,
            2 => WeekStart::Saturday,
            _ => return Err(InvalidCube("zone")),
        };
        let hash = match self.u64()? {
            0 => HashFamily::Xxh3 { seed: self.u64()? },
            1 => HashFamily::Redis,
            2 => HashFamily::DataSketches,
            _ => return Err(InvalidCube("hash")),
        };
        let max_bytes = Some(self.u64()?).filter(|&most| most > 0);
        let history = self.history()?;
        Ok(Schema {
            tiers,
            dimensions,
            groups,
            measures,
            precision,
            new,
            calendar: Calendar { zone, week_start },
            hash,
            max_bytes,
            history,
        })
    }

    fn history(&mut self) -> Loaded<History> {
        let few = usize::from(u8::MAX);
        let additions = self.several(few, |from| {
            let what = match from.u64()? {
                0 => Added::Dimension,
                1 => Added::Group,
                2 => Added::Measure,
                _ => return Err(InvalidCube("history")),
            };
            let since = from.i64()?;
            Ok(Addition { what, since })
        })?;
        let caps = self.several(usize::MAX, |from| {
            Ok(Cap {
                column: from.len()?,
                until: from.i64()?,
                values: from.u32()?,
            })
        })?;
        let floors = self.several(few, Self::i64)?;
        Ok(History {
            additions,
            caps,
            floors,
        })
    }

    fn span(&mut self) -> Loaded<Span> {
        let kind = self.u64()?;
        let number = self.u64()?;
        let few = || u32::try_from(number).map_err(|_| InvalidCube("span"));
        let span = match kind {
            0 => Span::Millis(i64::try_from(number).map_err(|_| InvalidCube("span"))?),
            1 => Span::Days(few()?),
            2 => Span::Weeks(few()?),
            3 => Span::Months(few()?),
            _ => return Err(InvalidCube("span")),
        };
        // Whatever a user can write, and nothing else.
        let written = Span::parse(span.to_string().as_bytes());
        if written == Some(span) {
            Ok(span)
        } else {
            Err(InvalidCube("span"))
        }
    }

    /// Registers of a form: 0 none, 1 without a running estimate, 2 with one.
    fn users(&mut self, form: u64, precision: Precision) -> Loaded<Option<Dense>> {
        let hip = match form {
            0 => return Ok(None),
            1 => None,
            2 => Some(Hip {
                value: self.f64()?,
                variance: self.f64()?,
            }),
            _ => return Err(InvalidCube("users")),
        };
        let registers = self.bytes(Precision::MAX.registers())?;
        let dense = match hip {
            None => Dense::from_registers(registers, precision, true).ok(),
            Some(hip) => Dense::added(registers, precision, hip).ok().flatten(),
        };
        dense.map(Some).ok_or(InvalidCube("registers"))
    }

    /// Of a slice that begins at this instant.
    fn open(&mut self, schema: &Schema, start: Millis) -> Loaded<Open> {
        let (events, weight) = (self.u64()?, self.f64()?);
        let columns = 0..schema.columns_at(start);
        let columns = columns.map(|column| self.open_column(schema, column, start));
        let columns = columns.collect::<Loaded<Vec<OpenColumn>>>()?;
        Open::restore(columns, events, weight).ok_or(InvalidCube("number of events"))
    }

    fn open_column(&mut self, schema: &Schema, column: usize, start: Millis) -> Loaded<OpenColumn> {
        let precision = schema.precision_of(column);
        let of_each = schema.sums_at(start);
        let mut open = OpenColumn::new(of_each);
        let hand = self.len()?;
        let mut tokens = Vec::new();
        for _ in 0..self.len()? {
            let (number, events) = (self.u32()?, self.u64()?);
            if number > self.highest[column] {
                return Err(InvalidCube("number of a value"));
            }
            let mut sums = Vec::new();
            for _ in 0..of_each {
                sums.push(self.sum()?);
            }
            let users = match self.u64()? {
                0 => return Err(InvalidCube("users")),
                form @ (1 | 2) => {
                    let dense = self.users(form, precision)?.ok_or(InvalidCube("users"))?;
                    OpenUsers::Dense(Arc::new(dense))
                }
                len => {
                    let len = (len - 3) as usize;
                    if len >= precision.max_tokens() {
                        return Err(InvalidCube("users"));
                    }
                    tokens.clear();
                    for _ in 0..len {
                        tokens.push(u32::from_le_bytes(self.array()?));
                    }
                    OpenUsers::from_tokens(&tokens, precision).ok_or(InvalidCube("users"))?
                }
            };
            if !open.restore(number, events, users, &sums) {
                return Err(InvalidCube("cell"));
            }
        }
        if !open.restore_hand(hand) {
            return Err(InvalidCube("place"));
        }
        Ok(open)
    }

    fn sealed(&mut self, schema: &Schema, column: usize, start: Millis) -> Loaded<Arc<Column>> {
        let chunks = self.several(usize::MAX, |from| Ok(from.bytes(MOST_BYTES)?.into()))?;
        let sealed = Column::restore(schema.precision_of(column), schema.sums_at(start), chunks);
        sealed.map(Arc::new).ok_or(InvalidCube("column"))
    }

    fn slice(&mut self, schema: &Schema, start: Millis) -> Loaded<Slice> {
        let end = self.i64()?;
        let rewriting = self.bool()?;
        let body = match self.u64()? {
            0 => Body::Absent,
            1 => Body::Closed(Arc::new(self.open(schema, start)?)),
            2 => Body::Due { epoch: self.u64()? },
            3 => {
                let (events, weight) = (self.u64()?, self.f64()?);
                let mut columns = Vec::new();
                for column in 0..schema.columns_at(start) {
                    let named = self.sealed(schema, column, start)?;
                    let other = match self.bool()? {
                        true => Some(self.sealed(schema, column, start)?),
                        false => None,
                    };
                    columns.push(Sealed { named, other });
                }
                Body::Sealed(Arc::new(SealedSlice::new(columns, events, weight)))
            }
            _ => return Err(InvalidCube("slice")),
        };
        let late = self.several(usize::MAX, |from| {
            Ok(LatePart {
                epoch: from.u64()?,
                open: from.open(schema, start)?,
            })
        })?;
        Ok(Slice {
            end,
            body,
            late,
            rewriting,
        })
    }

    fn job(&mut self, schema: &Schema) -> Loaded<Job> {
        let epoch = self.u64()?;
        let (column, steps) = (self.len()?, self.u64()?);
        let kind = self.u64()?;
        let which = (self.at_most(schema.tiers.len() - 1)?, self.i64()?);
        let mut job = match kind {
            0 if which.0 == 0 => Job::new(Task::Seal(which), epoch),
            1 => Job::new(Task::Compact(which), epoch),
            2 => Job::new(Task::Rewrite(which), epoch),
            3 => Job::new(Task::Expire(which), epoch),
            4 if which.0 == 0 => {
                let mut columns = Vec::new();
                for column in 0..schema.columns_at(which.1) {
                    columns.push(self.several(usize::MAX, |from| {
                        Ok(match from.bool()? {
                            false => Input::Sealed(from.sealed(schema, column, which.1)?),
                            true => Input::Open(from.open_column(schema, column, which.1)?),
                        })
                    })?);
                }
                let inputs = columns.iter().flatten();
                let bytes = inputs.map(Input::memory_bytes).sum();
                Job::release(which.1, columns, bytes)
            }
            _ => return Err(InvalidCube("work")),
        };
        job.epoch = epoch;
        (job.column, job.steps) = (column, steps);
        Ok(job)
    }
}
