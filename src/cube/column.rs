//! A sealed column: cells that do not change any more, in the order of their numbers, close together.
//!
//! Cells lie in blocks of up to 128:
//!
//! ```text
//!   +---------+-------+--------+--------+--------+--------+-------+-------+
//!   | first   | cells | number | events | users  | length | sums  | index |
//!   | number  | less  | width  | width  | width  | width  | flag  | bits  |
//!   | 4 bytes | 1     | 1      | 1      | 1      | 1      | 1     | 1     |
//!   +---------+-------+--+-----+--+-----+-------++-------++------+-------+---+
//!   | numbers | events | users       | lengths  | sums   | users            |
//!   | packed  | packed | descriptors | packed   | if any | one after        |
//!   |         |        | packed      |          |        | the other        |
//!   +---------+--------+-------------+----------+--------+------------------+
//! ```
//!
//! * numbers are stored less the first, events less 1, each with as many bits as the largest of the block needs, low
//!   bit first, filled up to whole bytes;
//! * a descriptor says what users are: 0 registers with the most likely estimate, 1 registers with a running one, and
//!   n + 2 for n tokens;
//! * sums: a bit for each cell, whether it has any but noughts, then eight bytes for each sum of those that have;
//! * users: tokens ascending, four bytes each; before registers their precision, the estimate and its variance, so
//!   that who asks for one cell does not have to count registers;
//! * or users are [packed](super::pack): then tokens have fewer index bits than a hash gives them, and the length
//!   of each cell's users is stored, in bytes.
//!
//! So whoever looks for the heaviest of many values reads numbers, events and descriptors, and nobody's tokens; and a
//! cell of a value that occurs once takes ten bytes. Numbers are ascending and can be searched where they lie.
//!
//! Blocks lie in chunks of at most 64 KiB, each an allocation of its own, so that a large column is made and freed by
//! steps. Which block a number would be in is found in an index. The same cells give the same bytes.

use super::pack;
use super::paged::{ARC_COUNTS, allocated_bytes};
use super::schema::MAX_SUM;
use super::users::{Cell, Content, Registers, Sums, Tokens, Users};
use crate::sketch::register::Register;
use crate::sketch::token::{self, INDEX_BITS, Token};
use crate::sketch::{Dense, Estimate, Method, Precision, Relocate};
use std::sync::Arc;

/// The most cells of a block.
const CELLS: usize = 128;

/// Bytes of users with which a block ends.
const FULL_BLOCK: usize = 16 << 10;

/// Bytes of blocks in a chunk, unless a single block has more.
const CHUNK: usize = 64 << 10;

/// Bytes before the packed numbers.
const HEADER: usize = 11;

/// Descriptors of registers; tokens follow.
const LIKELY: u64 = 0;
const RUNNING: u64 = 1;
const TOKENS: u64 = 2;

/// Bytes before registers.
const BEFORE_REGISTERS: usize = 17;

/// The widest packed number that is read by one access at any bit.
const MAX_ODD_WIDTH: u32 = 56;

/// What is known of a cell's users without looking at them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So many tokens.
    Tokens(usize),
    /// Registers with this estimate.
    Estimate(f64),
}

/// A cell as a scan sees it.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    /// Of its value.
    pub number: u32,
    /// Events.
    pub events: u64,
    /// Its users.
    pub users: Bound,
    /// Its sums.
    pub sums: Sums<'a>,
}

/// Bits that the largest of these numbers needs.
fn width_of(numbers: impl Iterator<Item = u64>) -> u32 {
    match 64 - numbers.fold(0, |all, number| all | number).leading_zeros() {
        wide if wide > MAX_ODD_WIDTH => 64,
        width => width,
    }
}

/// Bytes of so many packed numbers.
fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

fn pack(numbers: impl Iterator<Item = u64>, width: u32, to: &mut Vec<u8>) {
    let (mut pending, mut used) = (0u128, 0);
    for number in numbers {
        pending |= u128::from(number) << used;
        used += width;
        while used >= 8 {
            to.push(pending as u8);
            pending >>= 8;
            used -= 8;
        }
    }
    if used > 0 {
        to.push(pending as u8);
    }
}

/// The packed number at this place.
#[inline]
fn unpack(bytes: &[u8], width: u32, at: usize) -> u64 {
    let bit = at * width as usize;
    let tail = bytes.get(bit / 8..).unwrap_or(&[]);
    let word = match tail.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..tail.len()].copy_from_slice(tail);
            u64::from_le_bytes(eight)
        }
    };
    match width {
        64 => word,
        _ => word >> (bit % 8) & ((1 << width) - 1),
    }
}

/// All packed numbers of a block, for whoever wants every one of them: without asking for each whether eight bytes
/// are left to read.
fn unpack_all(bytes: &[u8], width: u32, padded: &mut [u8; PADDED], to: &mut [u64]) {
    if width == 0 {
        to.fill(0);
        return;
    }
    let (Some(copy), Some(after)) = (
        padded.get_mut(..bytes.len()),
        bytes.len().checked_add(size_of::<u64>()),
    ) else {
        return;
    };
    copy.copy_from_slice(bytes);
    let Some(padded) = padded.get(..after) else {
        return;
    };
    let mask = u64::MAX >> (64 - width.min(64));
    let word_at = |byte: usize| {
        let word = padded.get(byte..).and_then(|tail| tail.first_chunk());
        word.map_or(0, |eight| u64::from_le_bytes(*eight))
    };
    if width <= NARROW {
        // Eight numbers are as many bytes as each has bits, and in one word.
        for (at, eight) in to.chunks_mut(8).enumerate() {
            let word = word_at(at * width as usize);
            for (at, number) in eight.iter_mut().enumerate() {
                *number = word >> (at * width as usize) & mask;
            }
        }
        return;
    }
    for (at, number) in to.iter_mut().enumerate() {
        let bit = at * width as usize;
        *number = word_at(bit / 8) >> (bit % 8) & mask;
    }
}

/// The widest packed number of which eight are in a word.
const NARROW: u32 = 8;

/// Bytes of the packed numbers of a block at most, and eight more that may be read with the last of them.
const PADDED: usize = (CELLS + 1) * size_of::<u64>();

/// Where the packed numbers of one block after the other are unpacked.
struct Unpacked {
    padded: [u8; PADDED],
    numbers: [u64; CELLS],
    events: [u64; CELLS],
    descriptors: [u64; CELLS],
    lengths: [u64; CELLS],
}

/// Makes a column of cells with ascending numbers.
#[derive(Clone, Debug)]
pub struct Builder {
    sums: usize,
    /// Of tokens; users are packed if it is fewer than all.
    index_bits: u32,
    chunks: Vec<Arc<Box<[u8]>>>,
    chunk: Vec<u8>,
    index: Vec<BlockPlace>,
    cells: usize,
    content: Content,
    chunk_bytes: usize,
    numbers: Vec<u32>,
    events: Vec<u64>,
    descriptors: Vec<u64>,
    /// Of packed users, in bytes.
    lengths: Vec<u64>,
    has_sums: Vec<bool>,
    block_sums: Vec<u8>,
    users: Vec<u8>,
    tokens: Vec<Token>,
    registers: Vec<Register>,
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct BlockPlace {
    first: u32,
    chunk: u32,
    offset: u32,
}

impl Builder {
    /// Of cells with so many sums and whole tokens.
    pub fn new(sums: usize) -> Builder {
        Builder::of_tokens(sums, INDEX_BITS)
    }

    /// Of cells with so many sums, whose tokens have so many index bits: with fewer than all of them, users are packed.
    pub fn of_tokens(sums: usize, index_bits: u32) -> Builder {
        Builder {
            sums,
            index_bits,
            chunks: Vec::new(),
            chunk: Vec::new(),
            index: Vec::new(),
            cells: 0,
            content: Content::default(),
            chunk_bytes: 0,
            numbers: Vec::new(),
            events: Vec::new(),
            descriptors: Vec::new(),
            lengths: Vec::new(),
            has_sums: Vec::new(),
            block_sums: Vec::new(),
            users: Vec::new(),
            tokens: Vec::new(),
            registers: Vec::new(),
        }
    }

    /// Adds a cell, whose number is higher than those before and which has had at least one event. Its tokens must have
    /// as many index bits as the column's.
    pub fn push(&mut self, cell: Cell) {
        self.numbers.push(cell.number);
        self.events.push(cell.events.max(1));
        let sums = (0..self.sums).map(|at| cell.sums.get(at));
        let any = sums.clone().any(|sum| sum != 0.0);
        self.has_sums.push(any);
        if any {
            self.block_sums.extend(sums.flat_map(f64::to_le_bytes));
        }
        let before = self.users.len();
        match cell.users {
            Users::Tokens(tokens) => {
                debug_assert!(tokens.is_empty() || tokens.index_bits() == self.index_bits);
                self.descriptors.push(TOKENS + tokens.len() as u64);
                self.put_tokens(tokens);
            }
            Users::Registers {
                registers,
                estimate,
            } => {
                let running = estimate.method == Method::Hip;
                self.descriptors
                    .push(if running { RUNNING } else { LIKELY });
                let precision = registers.precision().unwrap_or_default();
                self.users.push(precision.bits() as u8);
                self.users.extend(estimate.value.to_le_bytes());
                self.users.extend(estimate.variance.to_le_bytes());
                self.put_registers(registers);
            }
        }
        self.lengths.push(match self.is_packed() {
            true => (self.users.len() - before) as u64,
            false => 0,
        });
        self.cells += 1;
        self.content += cell.users.content();
        if self.numbers.len() == CELLS || self.users.len() >= FULL_BLOCK {
            self.end_block();
        }
    }

    fn is_packed(&self) -> bool {
        self.index_bits < INDEX_BITS
    }

    fn put_tokens(&mut self, tokens: Tokens) {
        if let Tokens::Packed { code, .. } = tokens {
            self.users.extend_from_slice(code);
            return;
        }
        self.tokens.clear();
        tokens.for_each(|token| self.tokens.push(token));
        self.tokens.sort_unstable();
        if self.is_packed() {
            pack::pack_tokens(&self.tokens, self.index_bits, &mut self.users);
        } else {
            let bytes = self.tokens.iter().flat_map(|token| token.to_le_bytes());
            self.users.extend(bytes);
        }
    }

    fn put_registers(&mut self, registers: Registers) {
        match registers {
            Registers::Packed(_, code) if self.is_packed() => self.users.extend_from_slice(code),
            Registers::Plain(registers) if self.is_packed() => {
                pack::pack_registers(registers, &mut self.users);
            }
            registers => {
                let plain = registers.plain(&mut self.registers);
                self.users.extend_from_slice(plain);
            }
        }
    }

    fn end_block(&mut self) {
        let Some(&first) = self.numbers.first() else {
            return;
        };
        let numbers = self.numbers.iter().map(|&number| u64::from(number - first));
        let events = self.events.iter().map(|&events| events - 1);
        let descriptors = self.descriptors.iter().copied();
        let lengths = self.lengths.iter().copied();
        let any_sums = self.has_sums.contains(&true);
        let widths = [
            width_of(numbers.clone()),
            width_of(events.clone()),
            width_of(descriptors.clone()),
            width_of(lengths.clone()),
        ];
        let mut block = Vec::with_capacity(HEADER + self.users.len() + self.block_sums.len());
        block.extend(first.to_le_bytes());
        block.push(self.numbers.len() as u8 - 1);
        block.extend(widths.map(|width| width as u8));
        block.push(any_sums.into());
        block.push(self.index_bits as u8);
        pack(numbers, widths[0], &mut block);
        pack(events, widths[1], &mut block);
        pack(descriptors, widths[2], &mut block);
        pack(lengths, widths[3], &mut block);
        if any_sums {
            pack(self.has_sums.iter().map(|&has| has.into()), 1, &mut block);
            block.append(&mut self.block_sums);
        }
        block.append(&mut self.users);
        if !self.chunk.is_empty() && self.chunk.len() + block.len() > CHUNK {
            self.end_chunk();
        }
        self.index.push(BlockPlace {
            first,
            chunk: self.chunks.len() as u32,
            offset: self.chunk.len() as u32,
        });
        self.chunk.append(&mut block);
        self.numbers.clear();
        self.events.clear();
        self.descriptors.clear();
        self.lengths.clear();
        self.has_sums.clear();
    }

    fn end_chunk(&mut self) {
        if !self.chunk.is_empty() {
            let chunk = std::mem::take(&mut self.chunk).into_boxed_slice();
            self.chunk_bytes += bytes_of_chunk(&chunk);
            self.chunks.push(Arc::new(chunk));
        }
    }

    /// Bytes that it occupies.
    pub fn bytes(&self) -> usize {
        self.chunk_bytes + self.chunk.capacity() + self.index.capacity() * size_of::<BlockPlace>()
    }

    /// The column.
    pub fn finish(mut self) -> Column {
        self.end_block();
        self.end_chunk();
        self.chunks.shrink_to_fit();
        self.index.shrink_to_fit();
        let content = match self.is_packed() {
            true => self.content.packed(),
            false => self.content,
        };
        Column {
            sums: self.sums,
            cells: self.cells,
            content,
            bytes: bytes_of(self.chunk_bytes, self.chunks.len(), self.index.len()),
            chunks: self.chunks,
            index: self.index,
        }
    }
}

fn bytes_of_chunk(chunk: &[u8]) -> usize {
    allocated_bytes(chunk.len()) + allocated_bytes(ARC_COUNTS + size_of::<Box<[u8]>>())
}

fn bytes_of(chunk_bytes: usize, chunks: usize, blocks: usize) -> usize {
    let pointers = allocated_bytes(chunks * size_of::<Arc<Box<[u8]>>>());
    // The column itself is behind an `Arc`.
    let column = allocated_bytes(ARC_COUNTS + size_of::<Column>());
    chunk_bytes + pointers + allocated_bytes(blocks * size_of::<BlockPlace>()) + column
}

/// See the head of this file. A clone shares the chunks.
#[derive(Clone, Debug)]
pub struct Column {
    sums: usize,
    cells: usize,
    /// Of all cells.
    content: Content,
    bytes: usize,
    chunks: Vec<Arc<Box<[u8]>>>,
    index: Vec<BlockPlace>,
}

/// A block, its parts found.
#[derive(Clone, Copy)]
struct Block<'a> {
    first: u32,
    cells: usize,
    widths: [u32; 4],
    /// Of tokens.
    index_bits: u32,
    numbers: &'a [u8],
    events: &'a [u8],
    descriptors: &'a [u8],
    /// Of packed users.
    lengths: &'a [u8],
    /// A bit for each cell; empty where no cell has sums.
    has_sums: &'a [u8],
    /// Sums of cells that have them, then users.
    rest: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block at the beginning of these bytes; `None` if its packed parts do not fit.
    fn read(bytes: &'a [u8]) -> Option<Block<'a>> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let (first, header) = header.split_first_chunk()?;
        let &[
            less,
            numbers,
            events,
            descriptors,
            lengths,
            any_sums,
            index_bits,
        ] = header
        else {
            return None;
        };
        let cells = usize::from(less) + 1;
        let widths = [numbers, events, descriptors, lengths].map(u32::from);
        let (numbers, rest) = rest.split_at_checked(packed_bytes(cells, widths[0]))?;
        let (events, rest) = rest.split_at_checked(packed_bytes(cells, widths[1]))?;
        let (descriptors, rest) = rest.split_at_checked(packed_bytes(cells, widths[2]))?;
        let (lengths, rest) = rest.split_at_checked(packed_bytes(cells, widths[3]))?;
        let sums = if any_sums == 0 {
            0
        } else {
            packed_bytes(cells, 1)
        };
        let (has_sums, rest) = rest.split_at_checked(sums)?;
        Some(Block {
            first: u32::from_le_bytes(*first),
            cells,
            widths,
            index_bits: index_bits.into(),
            numbers,
            events,
            descriptors,
            lengths,
            has_sums,
            rest,
        })
    }

    fn is_packed(&self) -> bool {
        self.index_bits < INDEX_BITS
    }

    fn number(&self, at: usize) -> u32 {
        self.first
            .wrapping_add(unpack(self.numbers, self.widths[0], at) as u32)
    }

    fn events(&self, at: usize) -> u64 {
        unpack(self.events, self.widths[1], at).saturating_add(1)
    }

    fn descriptor(&self, at: usize) -> u64 {
        unpack(self.descriptors, self.widths[2], at)
    }

    fn length(&self, at: usize) -> usize {
        usize::try_from(unpack(self.lengths, self.widths[3], at)).unwrap_or(usize::MAX)
    }

    fn has_sums(&self, at: usize) -> bool {
        !self.has_sums.is_empty() && self.has_sums[at / 8] >> (at % 8) & 1 == 1
    }

    /// How many cells before this one have sums.
    fn with_sums(&self, before: usize) -> usize {
        if self.has_sums.is_empty() {
            return 0;
        }
        let whole = self.has_sums.iter().take(before / 8);
        let whole: usize = whole.map(|bits| bits.count_ones() as usize).sum();
        whole
            + (before / 8 * 8..before)
                .filter(|&at| self.has_sums(at))
                .count()
    }
}

/// A place in a block, from which cells can be read one after the other.
#[derive(Clone, Copy)]
struct Reading<'a> {
    block: Block<'a>,
    sums: usize,
    at: usize,
    /// Where the sums and the users of the cell at hand begin in the rest.
    sums_at: usize,
    users_at: usize,
}

impl<'a> Reading<'a> {
    fn begin(block: Block<'a>, sums: usize) -> Reading<'a> {
        let with_sums = block.with_sums(if block.has_sums.is_empty() {
            0
        } else {
            block.cells
        });
        Reading {
            block,
            sums,
            at: 0,
            sums_at: 0,
            users_at: with_sums * sums * size_of::<f64>(),
        }
    }

    fn sums_bytes(&self) -> usize {
        match self.block.has_sums(self.at) {
            true => self.sums * size_of::<f64>(),
            false => 0,
        }
    }

    fn cell_sums(&self) -> Option<Sums<'a>> {
        match self.sums_bytes() {
            0 => Some(Sums::Zero),
            len => Some(Sums::Bytes(
                self.block.rest.get(self.sums_at..self.sums_at + len)?,
            )),
        }
    }

    /// The users of the cell at hand, and how many bytes they are.
    fn users(&self) -> Option<(Users<'a>, usize)> {
        let block = &self.block;
        let tail = block.rest.get(self.users_at..)?;
        let tail = match block.is_packed() {
            true => tail.get(..block.length(self.at))?,
            false => tail,
        };
        match block.descriptor(self.at) {
            descriptor @ (LIKELY | RUNNING) => {
                let length = tail.len();
                let (&[precision], tail) = tail.split_first_chunk()?;
                let precision = Precision::new(precision)?;
                let (value, tail) = tail.split_first_chunk()?;
                let (variance, tail) = tail.split_first_chunk()?;
                let estimate = Estimate {
                    value: f64::from_le_bytes(*value),
                    variance: f64::from_le_bytes(*variance),
                    method: match descriptor {
                        RUNNING => Method::Hip,
                        _ => Method::Ml,
                    },
                };
                let (registers, length) = match block.is_packed() {
                    true => (Registers::Packed(precision, tail), length),
                    false => {
                        let registers = tail.get(..precision.registers())?;
                        let length = BEFORE_REGISTERS + registers.len();
                        (Registers::Plain(registers), length)
                    }
                };
                let users = Users::Registers {
                    registers,
                    estimate,
                };
                Some((users, length))
            }
            tokens => {
                let len = usize::try_from(tokens - TOKENS).ok()?;
                let (tokens, length) = match block.is_packed() {
                    true => {
                        let packed = Tokens::Packed {
                            code: tail,
                            len,
                            index_bits: block.index_bits,
                        };
                        (packed, tail.len())
                    }
                    false => {
                        let length = len.checked_mul(size_of::<Token>())?;
                        (Tokens::Bytes(tail.get(..length)?), length)
                    }
                };
                Some((Users::Tokens(tokens), length))
            }
        }
    }

    /// The cell at hand, and on to the next.
    fn next(&mut self) -> Option<Cell<'a>> {
        if self.at == self.block.cells {
            return None;
        }
        let (users, len) = self.users()?;
        let cell = Cell {
            number: self.block.number(self.at),
            events: self.block.events(self.at),
            sums: self.cell_sums()?,
            users,
        };
        self.sums_at += self.sums_bytes();
        self.users_at += len;
        self.at += 1;
        Some(cell)
    }

    /// On to the cell at this place, without a look at the tokens of those before.
    fn skip_to(&mut self, at: usize) {
        while self.at < at {
            let users = match self.block.descriptor(self.at) {
                _ if self.block.is_packed() => self.block.length(self.at),
                LIKELY | RUNNING => self.users().map_or(0, |(_, len)| len),
                tokens => (tokens - TOKENS) as usize * size_of::<Token>(),
            };
            self.sums_at += self.sums_bytes();
            self.users_at += users;
            self.at += 1;
        }
    }

    /// Hands over up to `most` cells from this number on: how many, and the number of the next one in this block.
    #[inline]
    fn scan(
        mut self,
        from: u32,
        most: usize,
        unpacked: &mut Unpacked,
        take: &mut impl FnMut(Scanned<'a>),
    ) -> Option<(usize, Option<u32>)> {
        let block = self.block;
        self.skip_to(self.find(from));
        let begin = self.at;
        let end = block.cells.min(begin.saturating_add(most));
        let Unpacked {
            padded,
            numbers,
            events,
            descriptors,
            lengths,
        } = unpacked;
        let [number_width, event_width, descriptor_width, length_width] = block.widths;
        let cells = ..block.cells;
        unpack_all(block.numbers, number_width, padded, numbers.get_mut(cells)?);
        unpack_all(block.events, event_width, padded, events.get_mut(cells)?);
        unpack_all(
            block.descriptors,
            descriptor_width,
            padded,
            descriptors.get_mut(cells)?,
        );
        if block.is_packed() {
            unpack_all(block.lengths, length_width, padded, lengths.get_mut(cells)?);
        }
        let cells = numbers.iter().zip(&*events).zip(&*descriptors);
        for (((&number, &events), &descriptor), &length) in
            cells.zip(&*lengths).take(end).skip(begin)
        {
            let (users, len) = match descriptor {
                LIKELY | RUNNING => {
                    let (users, len) = self.users()?;
                    (Bound::Estimate(users.estimate().value), len)
                }
                tokens => {
                    let count = (tokens - TOKENS) as usize;
                    let length = match block.is_packed() {
                        true => length as usize,
                        false => count * size_of::<Token>(),
                    };
                    (Bound::Tokens(count), length)
                }
            };
            let sums_bytes = self.sums_bytes();
            take(Scanned {
                number: block.first.wrapping_add(number as u32),
                events: events.saturating_add(1),
                users,
                sums: match sums_bytes {
                    0 => Sums::Zero,
                    len => Sums::Bytes(block.rest.get(self.sums_at..self.sums_at + len)?),
                },
            });
            self.sums_at += sums_bytes;
            self.users_at += len;
            self.at += 1;
        }
        let next = (end < block.cells).then(|| block.number(end));
        Some((end - begin, next))
    }

    /// The place of the first cell from here on whose number is at least this.
    fn find(&self, number: u32) -> usize {
        let (mut low, mut high) = (self.at, self.block.cells);
        while low < high {
            let middle = (low + high) / 2;
            match self.block.number(middle) < number {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

impl Column {
    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.cells
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// What there is to be read of the users of all cells.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Bytes that it occupies, with what holds it. What clones share counts in each.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes that it consists of.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &chunk[..])
    }

    fn reading(&self, block: usize) -> Option<Reading<'_>> {
        let place = self.index.get(block)?;
        let chunk = self.chunks.get(place.chunk as usize)?;
        let block = Block::read(chunk.get(place.offset as usize..)?)?;
        Some(Reading::begin(block, self.sums))
    }

    /// The block that a number would be in.
    fn block_of(&self, number: u32) -> usize {
        let after = self.index.partition_point(|place| place.first <= number);
        after.saturating_sub(1)
    }

    /// The cell of a number.
    pub fn get(&self, number: u32) -> Option<Cell<'_>> {
        self.cursor().seek(number)
    }

    /// The cells from this number on, ascending.
    pub fn iter_from(&self, number: u32) -> Iter<'_> {
        let block = self.block_of(number);
        let mut reading = self.reading(block);
        if let Some(reading) = &mut reading {
            reading.skip_to(reading.find(number));
        }
        Iter {
            column: self,
            block,
            reading,
        }
    }

    /// Hands over up to `most` cells from this number on, ascending, without a look at their tokens. Where to go on,
    /// or `None` at the end.
    pub fn scan_from(
        &self,
        from: u32,
        most: usize,
        mut take: impl FnMut(Scanned<'_>),
    ) -> Option<u32> {
        let mut left = most;
        let mut from = from;
        let mut unpacked = Unpacked {
            padded: [0; PADDED],
            numbers: [0; CELLS],
            events: [0; CELLS],
            descriptors: [0; CELLS],
            lengths: [0; CELLS],
        };
        for block in self.block_of(from)..self.index.len() {
            if left == 0 {
                return Some(self.index[block].first.max(from));
            }
            let reading = self.reading(block)?;
            let (done, next) = reading.scan(from, left, &mut unpacked, &mut take)?;
            if next.is_some() {
                return next;
            }
            left -= done;
            from = 0;
        }
        None
    }

    /// Reads cells by ascending numbers.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor {
            column: self,
            block: usize::MAX,
            reading: None,
        }
    }

    /// Moves the chunks that nobody shares.
    pub fn relocate(&mut self, mover: &mut impl Relocate) {
        for chunk in self.chunks.iter_mut().filter_map(Arc::get_mut) {
            let bytes = std::mem::take(chunk).into_vec();
            *chunk = mover.array(bytes).into_boxed_slice();
        }
    }

    /// A column of these bytes, with so many sums and cells of at most this precision; `None` if they are not what a
    /// [`Builder`] makes.
    pub fn restore(precision: Precision, sums: usize, chunks: Vec<Box<[u8]>>) -> Option<Column> {
        let (mut index, mut cells, mut last) = (Vec::new(), 0, None);
        let mut index_bits = None;
        for (chunk, bytes) in chunks.iter().enumerate() {
            let mut offset = 0;
            while offset < bytes.len() {
                let block = Block::read(&bytes[offset..])?;
                if block
                    .widths
                    .iter()
                    .any(|&width| width > MAX_ODD_WIDTH && width != 64)
                {
                    return None;
                }
                let possible = match block.is_packed() {
                    true => (pack::precision_of(block.index_bits)?) <= precision,
                    false => block.index_bits == INDEX_BITS,
                };
                if !possible || *index_bits.get_or_insert(block.index_bits) != block.index_bits {
                    return None;
                }
                index.push(BlockPlace {
                    first: block.first,
                    chunk: u32::try_from(chunk).ok()?,
                    offset: u32::try_from(offset).ok()?,
                });
                let mut reading = Reading::begin(block, sums);
                for at in 0..block.cells {
                    let beyond = unpack(block.numbers, block.widths[0], at);
                    let number = u64::from(block.first).checked_add(beyond)?;
                    let number = u32::try_from(number).ok()?;
                    if last.is_some_and(|last| last >= number) || (at == 0 && beyond != 0) {
                        return None;
                    }
                    last = Some(number);
                    is_sound(&reading.next()?, precision, sums).then_some(())?;
                }
                cells += block.cells;
                let behind = block.rest.get(reading.users_at..)?.len();
                offset = bytes.len() - behind;
            }
        }
        // What could be said in several ways is said in one.
        let mut builder = Builder::of_tokens(sums, index_bits.unwrap_or(INDEX_BITS));
        let chunk_bytes = chunks.iter().map(|chunk| bytes_of_chunk(chunk)).sum();
        let mut column = Column {
            sums,
            cells,
            content: Content::default(),
            bytes: bytes_of(chunk_bytes, chunks.len(), index.len()),
            chunks: chunks.into_iter().map(Arc::new).collect(),
            index,
        };
        let (mut tokens, mut registers) = (Vec::new(), Vec::new());
        for cell in column.iter_from(0) {
            let users = unpacked(cell.users, &mut tokens, &mut registers);
            builder.push(Cell { users, ..cell });
        }
        let again = builder.finish();
        column.content = again.content;
        again.chunks().eq(column.chunks()).then_some(column)
    }
}

/// Users as they are, in these buffers if they are packed.
fn unpacked<'a>(
    users: Users<'a>,
    tokens: &'a mut Vec<Token>,
    registers: &'a mut Vec<Register>,
) -> Users<'a> {
    match users {
        Users::Tokens(packed @ Tokens::Packed { index_bits, .. }) => {
            tokens.clear();
            packed.for_each(|token| tokens.push(token));
            Users::Tokens(Tokens::Cut(tokens, index_bits))
        }
        Users::Registers {
            registers: packed,
            estimate,
        } => Users::Registers {
            registers: Registers::Plain(packed.plain(registers)),
            estimate,
        },
        users => users,
    }
}

/// Whether a cell can have come about.
fn is_sound(cell: &Cell, precision: Precision, sums: usize) -> bool {
    let possible = (0..sums).all(|at| cell.sums.get(at).abs() <= MAX_SUM);
    possible
        && match cell.users {
            Users::Tokens(Tokens::Packed {
                code,
                len,
                index_bits,
            }) => {
                len < precision.max_tokens() && pack::check_tokens(code, len, index_bits).is_some()
            }
            Users::Tokens(tokens) => {
                let (mut last, mut sound) = (None, tokens.len() < precision.max_tokens());
                tokens.for_each(|token| {
                    sound &= token::is_valid(token) && last.is_none_or(|last| last < token);
                    last = Some(token);
                });
                sound
            }
            Users::Registers {
                registers,
                estimate,
            } => {
                let own = registers.precision().filter(|&own| own <= precision);
                let possible = own.is_some_and(|own| {
                    let plain = match registers {
                        Registers::Plain(registers) => Some(registers.to_vec()),
                        Registers::Packed(_, code) => {
                            let mut plain = Vec::new();
                            pack::unpack_registers(code, own, &mut plain).map(|()| plain)
                        }
                    };
                    plain.is_some_and(|plain| Dense::from_registers(plain, own, true).is_ok())
                });
                let finite = |number: f64| (0.0..=f64::MAX).contains(&number);
                possible && finite(estimate.value) && finite(estimate.variance)
            }
        }
}

/// The cells of a column, ascending.
pub struct Iter<'a> {
    column: &'a Column,
    block: usize,
    reading: Option<Reading<'a>>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        loop {
            if let Some(cell) = self.reading.as_mut()?.next() {
                return Some(cell);
            }
            self.block += 1;
            self.reading = self.column.reading(self.block);
        }
    }
}

/// Reads cells of a column by their numbers, which must ascend.
pub struct Cursor<'a> {
    column: &'a Column,
    block: usize,
    reading: Option<Reading<'a>>,
}

impl<'a> Cursor<'a> {
    /// The cell of this number, which is not lower than the one before.
    pub fn seek(&mut self, number: u32) -> Option<Cell<'a>> {
        let block = self.column.block_of(number);
        if block != self.block {
            self.block = block;
            self.reading = self.column.reading(block);
        }
        let reading = self.reading.as_mut()?;
        reading.skip_to(reading.find(number));
        // Left at the cell, which may be asked for again.
        let cell = { *reading }.next()?;
        (cell.number == number).then_some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cube::cell::{OpenUsers, Union};
    use crate::sketch::HashFamily;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    struct Own {
        events: u64,
        sums: Vec<f64>,
        users: OpenUsers,
    }

    fn precision(p: u8) -> Precision {
        Precision::new(p).unwrap()
    }

    fn cells(sums: usize, p: u8) -> impl Strategy<Value = BTreeMap<u32, Own>> {
        let number = prop_oneof![0u32..2_000, any::<u32>()];
        let events = prop_oneof![1u64..10, any::<u64>().prop_map(|events| events.max(1))];
        let sum = prop_oneof![Just(0.0), -1e15..1e15];
        let users = prop_oneof![8 => 0u64..6, 1 => 0u64..400];
        let cell = (
            events,
            prop::collection::vec(sum, sums),
            users,
            any::<u64>(),
        );
        let cell = cell.prop_map(move |(events, sums, users, seed)| {
            let mut own = OpenUsers::NOBODY;
            for user in 0..users {
                let bytes = (seed ^ user).to_le_bytes();
                own.add_hash(HashFamily::default().hash(&bytes), precision(p));
            }
            Own {
                events,
                sums,
                users: own,
            }
        });
        prop::collection::btree_map(number, cell, 0..600)
    }

    fn build(cells: &BTreeMap<u32, Own>, sums: usize) -> Column {
        let mut builder = Builder::new(sums);
        for (&number, own) in cells {
            builder.push(Cell {
                number,
                events: own.events,
                sums: Sums::Numbers(&own.sums),
                users: own.users.users(),
            });
        }
        builder.finish()
    }

    fn is_like(cell: &Cell, own: &Own) -> bool {
        let sums = own
            .sums
            .iter()
            .enumerate()
            .all(|(at, &sum)| cell.sums.get(at) == sum);
        let users = match (cell.users, own.users.users()) {
            (Users::Tokens(a), Users::Tokens(b)) => {
                let list = |tokens: Tokens| {
                    let mut list = tokens.to_vec();
                    list.sort_unstable();
                    list
                };
                list(a) == list(b)
            }
            (
                Users::Registers {
                    registers: a,
                    estimate: x,
                },
                Users::Registers {
                    registers: b,
                    estimate: y,
                },
            ) => a.plain(&mut vec![]) == b.plain(&mut vec![]) && x == y,
            _ => false,
        };
        cell.events == own.events && sums && users
    }

    fn chunks(column: &Column) -> Vec<Box<[u8]>> {
        column.chunks().map(Box::from).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_column_holds_what_was_put_in(cells in cells(2, 7), wanted in prop::collection::vec(0u32..2_100, 0..50)) {
            let column = build(&cells, 2);
            prop_assert_eq!(column.len(), cells.len());
            let mut twin = cells.iter();
            for cell in column.iter_from(0) {
                let (&number, own) = twin.next().unwrap();
                prop_assert_eq!(cell.number, number);
                prop_assert!(is_like(&cell, own));
            }
            prop_assert!(twin.next().is_none());
            let mut wanted = wanted;
            wanted.sort_unstable();
            let mut cursor = column.cursor();
            for number in wanted {
                for cell in [column.get(number), cursor.seek(number)] {
                    prop_assert_eq!(cell.is_some(), cells.contains_key(&number));
                    prop_assert!(cell.is_none_or(|cell| is_like(&cell, &cells[&number])));
                }
                let after = column.iter_from(number).map(|cell| cell.number);
                prop_assert!(after.eq(cells.range(number..).map(|(&number, _)| number)));
            }
        }

        #[test]
        fn a_scan_in_pieces_sees_every_cell_once(cells in cells(1, 6), most in 1usize..300) {
            let column = build(&cells, 1);
            let (mut seen, mut from) = (vec![], Some(0));
            while let Some(number) = from {
                from = column.scan_from(number, most, |cell| {
                    let bound = match cells[&cell.number].users.users() {
                        Users::Tokens(tokens) => Bound::Tokens(tokens.len()),
                        Users::Registers { estimate, .. } => Bound::Estimate(estimate.value),
                    };
                    assert_eq!(cell.users, bound);
                    assert_eq!(cell.sums.get(0), cells[&cell.number].sums[0]);
                    seen.push((cell.number, cell.events));
                });
            }
            let all: Vec<_> = cells.iter().map(|(&number, own)| (number, own.events)).collect();
            prop_assert_eq!(seen, all);
        }

        #[test]
        fn a_column_is_read_back_from_its_bytes_and_from_no_others(cells in cells(1, 6), at in any::<prop::sample::Index>(), with in 1u8..) {
            let column = build(&cells, 1);
            let again = Column::restore(precision(6), 1, chunks(&column)).unwrap();
            prop_assert!(again.chunks().eq(column.chunks()));
            prop_assert_eq!(again.memory_bytes(), column.memory_bytes());
            prop_assert_eq!(&again.index, &column.index);
            let mut damaged = chunks(&column);
            if let Some(chunk) = damaged.first_mut() {
                let at = at.index(chunk.len());
                chunk[at] ^= with;
                // Another column, or none; but never one that is read in another way than it was checked.
                if let Some(other) = Column::restore(precision(6), 1, damaged) {
                    prop_assert_eq!(other.iter_from(0).count(), other.len());
                }
            }
        }

        #[test]
        fn a_packed_column_holds_the_same_users_with_cut_tokens(cells in cells(1, 8), most in 1usize..300, at in any::<prop::sample::Index>(), with in 1u8..) {
            let (p, bits) = (precision(8), pack::index_bits(precision(8)));
            let (mut builder, mut union) = (Builder::of_tokens(1, bits), Union::new());
            let mut expected = vec![];
            for (&number, own) in &cells {
                union.begin(p);
                union.add(own.users.users());
                let users = match own.users.users() {
                    Users::Tokens(_) => union.to_users_of(bits),
                    registers => registers,
                };
                expected.push(match users {
                    Users::Tokens(tokens) => (tokens.to_vec(), vec![]),
                    Users::Registers { registers, .. } => (vec![], registers.plain(&mut vec![]).to_vec()),
                });
                builder.push(Cell { number, events: own.events, sums: Sums::Numbers(&own.sums), users });
            }
            let column = builder.finish();
            for (cell, expected) in column.iter_from(0).zip(&expected) {
                let users = match cell.users {
                    Users::Tokens(tokens) => (tokens.to_vec(), vec![]),
                    Users::Registers { registers, estimate } => {
                        prop_assert_eq!(estimate, cells[&cell.number].users.users().estimate());
                        (vec![], registers.plain(&mut vec![]).to_vec())
                    }
                };
                prop_assert_eq!(&users, expected);
                let found = column.get(cell.number).map(|cell| (cell.events, cell.sums.get(0)));
                prop_assert_eq!(found, Some((cells[&cell.number].events, cells[&cell.number].sums[0])));
            }
            let (mut seen, mut from) = (0, Some(0));
            while let Some(number) = from {
                from = column.scan_from(number, most, |cell| {
                    seen += 1;
                    let counted = match cell.users {
                        Bound::Tokens(count) => count == expected[seen - 1].0.len(),
                        Bound::Estimate(_) => expected[seen - 1].0.is_empty(),
                    };
                    assert!(counted && cell.sums.get(0) == cells[&cell.number].sums[0]);
                });
            }
            prop_assert_eq!(seen, cells.len());
            let again = Column::restore(p, 1, chunks(&column)).unwrap();
            prop_assert!(again.chunks().eq(column.chunks()));
            prop_assert!(cells.is_empty() || Column::restore(precision(7), 1, chunks(&column)).is_none());
            let mut damaged = chunks(&column);
            if let Some(chunk) = damaged.first_mut() {
                let at = at.index(chunk.len());
                chunk[at] ^= with;
                if let Some(other) = Column::restore(p, 1, damaged) {
                    prop_assert_eq!(other.iter_from(0).count(), other.len());
                }
            }
        }

        #[test]
        fn any_bytes_are_a_column_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Some(column) = Column::restore(precision(10), 1, vec![bytes.into()]) {
                prop_assert_eq!(column.iter_from(0).count(), column.len());
            }
        }
    }

    #[test]
    fn large_cells_lie_in_chunks_of_their_own() {
        let p = precision(16);
        let registers = vec![4u8; p.registers()];
        let estimate = Estimate {
            value: 5.0,
            variance: 1.0,
            method: Method::Ml,
        };
        let mut builder = Builder::new(0);
        for number in 1..=3 {
            let users = Users::Registers {
                registers: Registers::Plain(&registers),
                estimate,
            };
            builder.push(Cell {
                number,
                events: 9,
                sums: Sums::Zero,
                users,
            });
        }
        let column = builder.finish();
        assert_eq!(column.chunks().len(), 3);
        assert_eq!(column.iter_from(2).count(), 2);
        assert!(Column::restore(p, 0, chunks(&column)).is_some());
        assert!(Column::restore(precision(15), 0, chunks(&column)).is_none());
    }
}
