//! A cube as questions see it: what is there of a column in each slice, whatever form it is in.

use super::body::{Cube, Reading};
use super::calendar::Millis;
use super::column::{Builder, Column};
use super::cover::{Cover, Piece};
use super::intern::{MembersSnapshot, Names};
use super::merge::{Input, Merge, Sealed, Shape};
use super::open::OpenColumn;
use super::schema::Schema;
use super::source::{OpenCells, Size, Slices, Source, open_content};
use super::users::Cell;
use std::ops::Range;
use std::sync::Arc;

impl OpenCells for OpenColumn {
    fn get(&self, number: u32) -> Option<Cell<'_>> {
        OpenColumn::get(self, number)
    }

    fn scan(&self, from: u32, most: usize, take: &mut dyn FnMut(Cell<'_>)) -> Option<u32> {
        let mut cells = self.iter_from(from);
        cells.by_ref().take(most).for_each(take);
        cells.next().map(|cell| cell.number)
    }

    fn len(&self) -> usize {
        OpenColumn::len(self)
    }

    fn bytes(&self) -> usize {
        self.heap_bytes()
    }
}

/// The weight of a new user is at least 1.
const LEAST_WEIGHT: f64 = 1.0;

impl Reading {
    /// As sources, which share what is large.
    fn into_sources(self) -> Vec<Source> {
        let weight = self.weight.max(LEAST_WEIGHT);
        let ready = self.parts.into_iter().map(|part| match part {
            Input::Sealed(column) => Source::sealed(column, weight),
            Input::Open(column) => Source::open(Arc::new(column), weight),
        });
        let waiting = self.waiting.into_iter().map(|(reading, shape)| {
            let size = reading.size();
            let making = Arc::new(move || made(reading.clone(), shape));
            Source::pending(making, size, weight)
        });
        ready.chain(waiting).collect()
    }

    /// Of all that it consists of.
    fn size(&self) -> Size {
        let parts = self.parts.iter().map(|part| Size {
            cells: part.cells(),
            bytes: part.memory_bytes(),
            content: match part {
                Input::Sealed(column) => column.content(),
                Input::Open(column) => open_content(column.heap_bytes()),
            },
        });
        let waiting = self.waiting.iter().map(|(reading, _)| reading.size());
        let mut all = Size::default();
        parts.chain(waiting).for_each(|size| all += size);
        all
    }
}

/// What a job would make of this, in one column.
fn made(mut reading: Reading, shape: Shape) -> Column {
    reading.settle();
    let Sealed { named, other } = Merge::whole(reading.parts, shape);
    let Some(other) = other else {
        return Arc::unwrap_or_clone(named);
    };
    let mut builder = Builder::of_tokens(shape.sums, shape.index_bits);
    let cells = other.iter_from(0).chain(named.iter_from(0));
    cells.for_each(|cell| builder.push(cell));
    builder.finish()
}

impl Slices for Cube {
    fn schema(&self) -> &Schema {
        Cube::schema(self)
    }

    fn kept(&self) -> Option<Range<Millis>> {
        Cube::kept(self)
    }

    fn remembered(&self, since: Millis) -> Option<Range<Millis>> {
        Cube::remembered(self, since)
    }

    fn due(&self) -> Option<Millis> {
        self.closed()
    }

    fn cover(&self, range: Range<Millis>) -> Cover {
        Cube::cover(self, range, Millis::MIN)
    }

    fn cover_since(&self, range: Range<Millis>, since: Millis) -> Cover {
        Cube::cover(self, range, since)
    }

    fn sources(&self, piece: &Piece, column: usize) -> Vec<Source> {
        self.read(piece, column).into_sources()
    }

    fn names(&self, dimension: usize) -> Names {
        self.numbers.dimensions[dimension].names()
    }

    fn find_value(&self, dimension: usize, value: &[u8]) -> Option<u32> {
        self.numbers.dimensions[dimension].find(value)
    }

    fn members(&self, group: usize) -> MembersSnapshot {
        self.numbers.groups[group].snapshot()
    }

    fn find_member(&self, group: usize, numbers: [u32; 4]) -> Option<u32> {
        self.numbers.groups[group].find(&numbers)
    }
}
