//! Where the cells of a column lie for a piece of time, and what a question may ask of a cube.
//!
//! A cube hands its cells out as [`Source`]s, which share memory with it: what a question reads stays as it was when
//! it was asked, however long the answer takes and on whatever thread it is made. There are three kinds. A slice that
//! is closed has a sealed column. One that is open is read where it is written. And where a slice is due and not made
//! yet, the source knows how to make it: what a question sees must not depend on how far upkeep has come.
//!
//! Questions ask for them through [`Slices`], so that they can be asked of anything that has slices: the cube, or a
//! few numbers in a test.

use super::calendar::Millis;
use super::column::{Bound, Column, Cursor, Scanned};
use super::cover::{Cover, Piece};
use super::intern::{MembersSnapshot, Names};
use super::schema::Schema;
use super::users::{Cell, Content, Users};
use std::ops::{AddAssign, Range};
use std::sync::Arc;

/// What questions are asked of.
pub trait Slices {
    /// What is declared.
    fn schema(&self) -> &Schema;

    /// From the beginning of the oldest slice that there is in any tier to the end of the newest open one; `None` where
    /// nothing ever happened.
    fn kept(&self) -> Option<Range<Millis>>;

    /// The time of which everything that happened in it is still known: from the oldest instant that retention leaves
    /// in any tier, or a later one that slices are to begin at or after, to the end of the newest open slice. There need
    /// not be a slice in all of it, as silence makes none. `None` where nothing ever happened.
    fn remembered(&self, since: Millis) -> Option<Range<Millis>> {
        let kept = self.kept()?;
        Some(kept.start.max(since)..kept.end)
    }

    /// From when on slices are open; `None` where nothing ever happened.
    fn due(&self) -> Option<Millis>;

    /// The slices that make up a range, as far as they can.
    fn cover(&self, range: Range<Millis>) -> Cover;

    /// The same of slices that begin at an instant or later, for columns that have not always been there. Who never
    /// had other columns has no slice that begins before.
    fn cover_since(&self, range: Range<Millis>, since: Millis) -> Cover {
        self.cover(range.start.max(since)..range.end)
    }

    /// Where the cells of a column lie for one of these slices: a handful of sources, none where nothing happened.
    fn sources(&self, piece: &Piece, column: usize) -> Vec<Source>;

    /// The values of a dimension by their numbers, as they are now.
    fn names(&self, dimension: usize) -> Names;

    /// The number of a value.
    fn find_value(&self, dimension: usize, value: &[u8]) -> Option<u32>;

    /// The combinations of a group by their numbers, as they are now. Each has the numbers of its values in the order
    /// of the group's dimensions, and noughts behind them.
    fn members(&self, group: usize) -> MembersSnapshot;

    /// The number of a combination.
    fn find_member(&self, group: usize, numbers: [u32; 4]) -> Option<u32>;
}

/// A column that is being written, as it was at one moment.
pub trait OpenCells: Send + Sync {
    /// The cell of a number.
    fn get(&self, number: u32) -> Option<Cell<'_>>;

    /// Hands over up to `most` cells in the order of their numbers, from this number on. Returns where to go on, or
    /// `None` at the end. It may hand over fewer, even none, and still have somewhere to go on: numbers without cells
    /// take time too.
    fn scan(&self, from: u32, most: usize, take: &mut dyn FnMut(Cell<'_>)) -> Option<u32>;

    /// How many cells there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that live on for its sake.
    fn bytes(&self) -> usize;
}

/// Makes a column that is due.
pub type Making = Arc<dyn Fn() -> Column + Send + Sync>;

/// Cells of one column in one slice, or how to make them.
#[derive(Clone)]
pub struct Source {
    weight: f64,
    state: State,
}

#[derive(Clone)]
enum State {
    Ready(Cells),
    Pending { making: Making, size: Size },
}

/// How much there is in a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Cells.
    pub cells: usize,
    /// Bytes that live on for its sake.
    pub bytes: usize,
    /// What there is to be read of the users of its cells.
    pub content: Content,
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Size) {
        self.cells += other.cells;
        self.bytes += other.bytes;
        self.content += other.content;
    }
}

/// Cells that can be read.
#[derive(Clone)]
pub enum Cells {
    /// Of a closed slice.
    Sealed(Arc<Column>),
    /// Of an open one.
    Open(Arc<dyn OpenCells>),
}

/// A source whose cells can be read.
#[derive(Clone)]
pub struct Settled {
    weight: f64,
    cells: Cells,
}

impl Source {
    /// Of a closed slice. The weight is the largest of any new user in it: for how many new users he stands who was
    /// recognized as one. It is at least 1.
    pub fn sealed(column: Arc<Column>, weight: f64) -> Source {
        let state = State::Ready(Cells::Sealed(column));
        Source { weight, state }
    }

    /// Of an open slice, with the weight as in [`Source::sealed`].
    pub fn open(cells: Arc<dyn OpenCells>, weight: f64) -> Source {
        let state = State::Ready(Cells::Open(cells));
        Source { weight, state }
    }

    /// Of a slice that is due and not made: of what is so large, and is all read to make it.
    pub fn pending(making: Making, size: Size, weight: f64) -> Source {
        let state = State::Pending { making, size };
        Source { weight, state }
    }

    /// How many cells there are at most.
    pub fn len(&self) -> usize {
        match &self.state {
            State::Ready(cells) => cells.len(),
            State::Pending { size, .. } => size.cells,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that live on for its sake.
    pub fn bytes(&self) -> usize {
        match &self.state {
            State::Ready(cells) => cells.bytes(),
            State::Pending { size, .. } => size.bytes,
        }
    }

    /// What there is to be read of the users of all its cells, about.
    pub fn content(&self) -> Content {
        match &self.state {
            State::Ready(Cells::Sealed(column)) => column.content(),
            State::Ready(Cells::Open(cells)) => open_content(cells.bytes()),
            State::Pending { size, .. } => size.content,
        }
    }

    /// Whether the cells have yet to be made.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending { .. })
    }

    /// Makes the cells, where that is yet to be done.
    pub fn settle(self) -> Settled {
        let cells = match self.state {
            State::Ready(cells) => cells,
            State::Pending { making, .. } => Cells::Sealed(Arc::new(making())),
        };
        Settled {
            weight: self.weight,
            cells,
        }
    }
}

/// About how much there is of users in so many bytes of open cells: in a hash table, which is half full, a token takes
/// eight bytes. Registers take one, and as many are taken for fewer tokens, which take longer to unite.
pub fn open_content(bytes: usize) -> Content {
    const BYTES_OF_A_TOKEN: usize = 8;
    Content {
        tokens: bytes / BYTES_OF_A_TOKEN,
        ..Content::default()
    }
}

impl Settled {
    /// See [`Source::sealed`].
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cell of a number.
    pub fn get(&self, number: u32) -> Option<Cell<'_>> {
        match &self.cells {
            Cells::Sealed(column) => column.get(number),
            Cells::Open(cells) => cells.get(number),
        }
    }

    /// Hands over about `most` cells in the order of their numbers, from this number on, without a look at who their
    /// users are. Returns where to go on, or `None` at the end.
    pub fn scan(&self, from: u32, most: usize, mut take: impl FnMut(Scanned<'_>)) -> Option<u32> {
        match &self.cells {
            Cells::Sealed(column) => column.scan_from(from, most, take),
            Cells::Open(cells) => cells.scan(from, most, &mut |cell| take(scanned(cell))),
        }
    }

    /// Reads cells by their numbers.
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            source: self,
            place: Place::Nowhere,
        }
    }
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Cells::Sealed(column) => column.len(),
            Cells::Open(cells) => cells.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Cells::Sealed(column) => column.memory_bytes(),
            Cells::Open(cells) => cells.bytes(),
        }
    }
}

/// What a scan sees of a cell.
pub fn scanned(cell: Cell<'_>) -> Scanned<'_> {
    Scanned {
        number: cell.number,
        events: cell.events,
        users: match cell.users {
            Users::Tokens(tokens) => Bound::Tokens(tokens.len()),
            Users::Registers { estimate, .. } => Bound::Estimate(estimate.value),
        },
        sums: cell.sums,
    }
}

/// Reads the cells of one source by their numbers, fastest where these ascend.
pub struct Reader<'a> {
    source: &'a Settled,
    place: Place<'a>,
}

/// How far it has come. Where nothing was read nothing has been looked up: of many readers few are used.
enum Place<'a> {
    Nowhere,
    At { cursor: Cursor<'a>, number: u32 },
}

impl<'a> Reader<'a> {
    /// The source.
    pub fn source(&self) -> &'a Settled {
        self.source
    }

    /// The cell of a number.
    pub fn seek(&mut self, wanted: u32) -> Option<Cell<'a>> {
        let column = match &self.source.cells {
            Cells::Open(cells) => return cells.get(wanted),
            Cells::Sealed(column) => column,
        };
        match &mut self.place {
            Place::At { cursor, number } if *number <= wanted => {
                *number = wanted;
                cursor.seek(wanted)
            }
            place => {
                let mut cursor = column.cursor();
                let cell = cursor.seek(wanted);
                *place = Place::At {
                    cursor,
                    number: wanted,
                };
                cell
            }
        }
    }
}
