//! The users of a cell as they lie in memory, wherever that is: what columns hand out and unions take in.

use super::pack;
use super::paged::Paged;
use crate::sketch::Estimate;
use crate::sketch::token::{INDEX_BITS, Token};
use crate::sketch::{Precision, register::Register};
use std::ops::AddAssign;

/// A set of users.
#[derive(Clone, Copy, Debug)]
pub enum Users<'a> {
    /// Few: their tokens, each once.
    Tokens(Tokens<'a>),
    /// Many.
    Registers {
        /// 2^p of them.
        registers: Registers<'a>,
        /// How many users they stand for, by the running estimate where the cell was only ever added to, and
        /// else by maximum likelihood.
        estimate: Estimate,
    },
}

/// Registers in one of the forms that they are kept in.
#[derive(Clone, Copy, Debug)]
pub enum Registers<'a> {
    /// As they are, 2^p of them.
    Plain(&'a [Register]),
    /// Packed; see [`pack`].
    Packed(Precision, &'a [u8]),
}

impl<'a> Registers<'a> {
    /// Of how many they are. The number of plain ones must be that of a precision.
    pub fn precision(&self) -> Option<Precision> {
        match self {
            Registers::Plain(registers) => Precision::new(registers.len().ilog2() as u8),
            Registers::Packed(precision, _) => Some(*precision),
        }
    }

    /// One after the other, unpacked into the buffer if they are packed. Bytes that are no registers, which no column
    /// has, come out as none.
    pub fn plain<'b>(&self, buffer: &'b mut Vec<Register>) -> &'b [Register]
    where
        'a: 'b,
    {
        match *self {
            Registers::Plain(registers) => registers,
            Registers::Packed(precision, code) => {
                if pack::unpack_registers(code, precision, buffer).is_none() {
                    buffer.clear();
                    buffer.resize(precision.registers(), 0);
                }
                buffer
            }
        }
    }
}

/// Distinct tokens in one of the forms that they are kept in.
#[derive(Clone, Copy, Debug)]
pub enum Tokens<'a> {
    /// One after the other, in any order.
    List(&'a [Token]),
    /// The same as bytes, four each, low byte first.
    Bytes(&'a [u8]),
    /// The slots of a hash table: 0 where there is none, else one more than the token.
    Slots {
        /// A power of two of them.
        slots: &'a [u32],
        /// Those that are taken.
        len: usize,
    },
    /// Cut to so many index bits, one after the other, ascending.
    Cut(&'a [Token], u32),
    /// The same packed; see [`pack`].
    Packed {
        /// Their code.
        code: &'a [u8],
        /// How many there are.
        len: usize,
        /// Of each.
        index_bits: u32,
    },
}

impl Tokens<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match *self {
            Tokens::List(tokens) | Tokens::Cut(tokens, _) => tokens.len(),
            Tokens::Bytes(bytes) => bytes.len() / size_of::<Token>(),
            Tokens::Slots { len, .. } | Tokens::Packed { len, .. } => len,
        }
    }

    /// How many bits of their indices are there.
    pub fn index_bits(&self) -> u32 {
        match *self {
            Tokens::Cut(_, index_bits) | Tokens::Packed { index_bits, .. } => index_bits,
            _ => INDEX_BITS,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands each of them over.
    #[inline]
    pub fn for_each(&self, mut take: impl FnMut(Token)) {
        match *self {
            Tokens::List(tokens) | Tokens::Cut(tokens, _) => {
                tokens.iter().for_each(|&token| take(token));
            }
            Tokens::Bytes(bytes) => {
                let fours = bytes.as_chunks().0.iter();
                fours.for_each(|&four| take(u32::from_le_bytes(four)));
            }
            Tokens::Slots { slots, .. } => {
                let taken = slots.iter().filter(|&&slot| slot != 0);
                taken.for_each(|slot| take(slot - 1));
            }
            // Columns have been checked to hold them all.
            Tokens::Packed {
                code,
                len,
                index_bits,
            } => pack::unpack_tokens(code, len, index_bits, take).unwrap_or(()),
        }
    }

    /// One after the other.
    pub fn to_vec(&self) -> Vec<Token> {
        let mut list = Vec::with_capacity(self.len());
        self.for_each(|token| list.push(token));
        list
    }
}

impl Users<'_> {
    /// Nobody.
    pub const NOBODY: Users<'static> = Users::Tokens(Tokens::List(&[]));

    /// How many, by themselves.
    pub fn estimate(&self) -> Estimate {
        match self {
            Users::Tokens(tokens) => Estimate::from_cut_tokens(tokens.len(), tokens.index_bits()),
            Users::Registers { estimate, .. } => *estimate,
        }
    }

    /// The precision of registers; tokens make registers of any.
    pub fn precision(&self) -> Option<Precision> {
        match self {
            Users::Tokens(_) => None,
            Users::Registers { registers, .. } => registers.precision(),
        }
    }

    /// How many tokens; `None` of registers.
    pub fn token_count(&self) -> Option<usize> {
        match self {
            Users::Tokens(tokens) => Some(tokens.len()),
            Users::Registers { .. } => None,
        }
    }

    /// How many tokens and registers they are.
    pub fn content(&self) -> Content {
        let mut content = Content::default();
        match self {
            Users::Tokens(tokens @ Tokens::Packed { .. }) => content.packed_tokens = tokens.len(),
            Users::Tokens(tokens) => content.tokens = tokens.len(),
            Users::Registers { registers, .. } => {
                let count = registers.precision().map_or(0, Precision::registers);
                match registers {
                    Registers::Plain(_) => content.registers = count,
                    Registers::Packed(..) => content.packed_registers = count,
                }
            }
        }
        content
    }

    /// What it takes to unite them with others, in bytes of tokens: those of tokens are put in order one by one, while
    /// registers are united by the vector.
    pub fn effort(&self) -> usize {
        const REGISTERS: usize = 16;
        match self {
            Users::Tokens(tokens) => size_of::<Token>() * tokens.len(),
            Users::Registers { registers, .. } => registers
                .precision()
                .map_or(0, |p| p.registers() / REGISTERS),
        }
    }

    /// What it takes to make them of others, in the same unit: registers are counted, to estimate, and packed.
    pub fn effort_to_make(&self) -> usize {
        const REGISTERS: usize = 2;
        match self {
            Users::Tokens(_) => 0,
            Users::Registers { .. } => self.precision().map_or(0, |p| p.registers() / REGISTERS),
        }
    }
}

/// How much there is to be read of the users of some cells, by its form: for whoever wants to know beforehand how long that
/// takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Tokens that are as they are.
    pub tokens: usize,
    /// Tokens that are packed.
    pub packed_tokens: usize,
    /// Registers that are as they are.
    pub registers: usize,
    /// Registers that are packed.
    pub packed_registers: usize,
}

impl Content {
    /// The same packed.
    pub fn packed(self) -> Content {
        Content {
            tokens: 0,
            packed_tokens: self.tokens + self.packed_tokens,
            registers: 0,
            packed_registers: self.registers + self.packed_registers,
        }
    }
}

impl AddAssign for Content {
    fn add_assign(&mut self, other: Content) {
        self.tokens += other.tokens;
        self.packed_tokens += other.packed_tokens;
        self.registers += other.registers;
        self.packed_registers += other.packed_registers;
    }
}

/// Sums of a cell: the measures, and last, where they are counted, the new users.
#[derive(Clone, Copy, Debug)]
pub enum Sums<'a> {
    /// All of them nought.
    Zero,
    /// As numbers.
    Numbers(&'a [f64]),
    /// An array for each sum, as long as the cells that have had one, and which cell it is.
    Arrays(&'a [Paged<f64>], usize),
    /// As bytes, eight each, low byte first.
    Bytes(&'a [u8]),
}

impl Sums<'_> {
    /// The sum at this place.
    pub fn get(&self, at: usize) -> f64 {
        match *self {
            Sums::Zero => 0.0,
            Sums::Numbers(numbers) => numbers[at],
            Sums::Arrays(arrays, cell) => {
                let sum = arrays.get(at).and_then(|array| array.get(cell));
                sum.copied().unwrap_or(0.0)
            }
            Sums::Bytes(bytes) => f64::from_le_bytes(bytes.as_chunks().0[at]),
        }
    }
}

/// A cell of a column.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    /// The number of its value.
    pub number: u32,
    /// Events.
    pub events: u64,
    /// See [`Sums`].
    pub sums: Sums<'a>,
    /// Who they were of.
    pub users: Users<'a>,
}
