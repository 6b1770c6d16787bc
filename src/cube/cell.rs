//! The users of a cell that is being written, and the union of the users of many.
//!
//! A cell begins as up to four tokens in place, which is all that most cells of a large dimension ever have. Then it
//! is a hash table of tokens, and at m/4 tokens registers with a running estimate: the moment at which a
//! [`Sketch`] of the same precision does the same, so that from then on both hold the same, bit for bit. What is large
//! is shared by clones until one of them is changed.

use super::pack;
use super::paged::ARC_COUNTS;
use super::users::{Registers, Tokens, Users};
use crate::sketch::estimate::Occupancy;
use crate::sketch::register::{self, Register};
use crate::sketch::token::{self, INDEX_BITS, Token};
use crate::sketch::{Dense, Estimate, HashFamily, Precision, Sketch, TokenSet, kernels};
use std::sync::Arc;

/// Tokens in place.
const FEW: usize = 4;

/// Slots of the first table.
const FIRST_SLOTS: usize = 16;

/// Tokens in a hash table: open addressing with steps of one, at most three quarters full.
#[derive(Clone, Debug)]
pub struct Slots {
    /// A power of two: 0 where there is no token, else one more than it.
    slots: Box<[u32]>,
    len: u32,
}

impl Slots {
    fn with_slots(slots: usize) -> Slots {
        Slots {
            slots: vec![0; slots].into_boxed_slice(),
            len: 0,
        }
    }

    /// Whether the token was new.
    #[inline]
    fn insert(&mut self, token: Token) -> bool {
        let mask = self.slots.len() - 1;
        let slot = token + 1;
        let mut at = (token.wrapping_mul(0x9e37_79b1) >> 7) as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                taken if taken == slot => return false,
                _ => at = (at + 1) & mask,
            }
        }
        self.slots[at] = slot;
        self.len += 1;
        if self.len as usize * 4 > self.slots.len() * 3 {
            let mut larger = Slots::with_slots(self.slots.len() * 2);
            let taken = self.slots.iter().filter(|&&slot| slot != 0);
            for slot in taken {
                larger.insert(slot - 1);
            }
            *self = larger;
        }
        true
    }

    fn heap_bytes(&self) -> usize {
        ARC_COUNTS + size_of::<Slots>() + size_of_val::<[u32]>(&self.slots)
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub enum OpenUsers {
    /// So many tokens, in place.
    Few(u8, [Token; FEW]),
    /// Tokens.
    Table(Arc<Slots>),
    /// Registers.
    Dense(Arc<Dense>),
}

impl OpenUsers {
    /// Without users.
    pub const NOBODY: OpenUsers = OpenUsers::Few(0, [0; FEW]);

    /// Adds a user by his hash; by how many bytes the heap has grown.
    #[inline]
    pub fn add_hash(&mut self, hash: u64, precision: Precision) -> isize {
        match self {
            OpenUsers::Dense(dense) => {
                Dense::add_hash(dense, hash);
                0
            }
            _ => self.add_token(token::from_hash(hash), precision),
        }
    }

    fn add_token(&mut self, token: Token, precision: Precision) -> isize {
        let before = self.heap_bytes();
        if !self.insert(token) {
            return 0;
        }
        self.turn_dense_if_full(precision);
        self.heap_bytes() as isize - before as isize
    }

    /// Puts a token in; whether it was new.
    fn insert(&mut self, token: Token) -> bool {
        match self {
            OpenUsers::Few(len, tokens) => {
                let present = &tokens[..usize::from(*len)];
                if present.contains(&token) {
                    return false;
                }
                if let Some(place) = tokens.get_mut(usize::from(*len)) {
                    *place = token;
                    *len += 1;
                } else {
                    let mut slots = Slots::with_slots(FIRST_SLOTS);
                    tokens.iter().for_each(|&token| {
                        slots.insert(token);
                    });
                    slots.insert(token);
                    *self = OpenUsers::Table(Arc::new(slots));
                }
                true
            }
            OpenUsers::Table(slots) => Arc::make_mut(slots).insert(token),
            OpenUsers::Dense(dense) => Dense::add_hash(dense, token::to_hash(token)),
        }
    }

    fn turn_dense_if_full(&mut self, precision: Precision) {
        if let Some(tokens) = self.tokens()
            && tokens.len() >= precision.max_tokens()
        {
            let set = TokenSet::from_unsorted(tokens.to_vec());
            *self = OpenUsers::Dense(Arc::new(Dense::from_tokens(&set, precision)));
        }
    }

    /// Takes in the users of another cell of the same precision, and has no running estimate from then on. By how many
    /// bytes the heap has grown.
    pub fn absorb(&mut self, other: Users, precision: Precision) -> isize {
        let before = self.heap_bytes();
        if let OpenUsers::Dense(dense) = self {
            Arc::make_mut(dense).end_running_estimate();
        }
        match other {
            Users::Tokens(tokens) => tokens.for_each(|token| {
                self.insert(token);
            }),
            Users::Registers { registers, .. } => {
                self.absorb_registers(registers.plain(&mut Vec::new()), precision);
            }
        }
        if let Some(tokens) = self.tokens()
            && tokens.len() >= precision.max_tokens()
        {
            self.absorb_registers(&vec![0; precision.registers()], precision);
        }
        self.heap_bytes() as isize - before as isize
    }

    /// The same of registers.
    fn absorb_registers(&mut self, registers: &[Register], precision: Precision) {
        let Ok(mut dense) = Dense::from_registers(registers.to_vec(), precision, true) else {
            // Of another precision, which no cell of the column has.
            return;
        };
        if let OpenUsers::Dense(own) = self {
            Arc::make_mut(own).merge(&dense, &[]);
            return;
        }
        if let Some(tokens) = self.tokens() {
            dense.merge_tokens(&tokens.to_vec());
        }
        *self = OpenUsers::Dense(Arc::new(dense));
    }

    /// Of these tokens, which must be fewer than a sketch of the precision holds; `None` if they are not, or no hash
    /// has one of them.
    pub fn from_tokens(tokens: &[Token], precision: Precision) -> Option<OpenUsers> {
        if tokens.len() >= precision.max_tokens() {
            return None;
        }
        let mut users = OpenUsers::NOBODY;
        for &token in tokens {
            if !token::is_valid(token) {
                return None;
            }
            users.add_token(token, precision);
        }
        (users.users().token_count() == Some(tokens.len())).then_some(users)
    }

    /// Their tokens, as long as there are no registers.
    fn tokens(&self) -> Option<Tokens<'_>> {
        match self {
            OpenUsers::Few(len, tokens) => Some(Tokens::List(&tokens[..usize::from(*len)])),
            OpenUsers::Table(slots) => Some(Tokens::Slots {
                slots: &slots.slots,
                len: slots.len as usize,
            }),
            OpenUsers::Dense(_) => None,
        }
    }

    /// Who they are.
    pub fn users(&self) -> Users<'_> {
        match (self, self.tokens()) {
            (OpenUsers::Dense(dense), _) => Users::Registers {
                registers: Registers::Plain(dense.registers()),
                estimate: dense.estimate(),
            },
            (_, tokens) => tokens.map_or(Users::NOBODY, Users::Tokens),
        }
    }

    /// Bytes beside itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            OpenUsers::Few(..) => 0,
            OpenUsers::Table(slots) => slots.heap_bytes(),
            OpenUsers::Dense(dense) => ARC_COUNTS + dense.memory_bytes(),
        }
    }
}

/// Tokens may repeat in the buffer of a union up to so many times as many as registers are made of; then they are
/// sorted, and what is there twice goes.
const REPETITIONS: usize = 2;

/// The union of the users of any number of cells. Its buffers are used again for the next one.
#[derive(Clone, Debug)]
pub struct Union {
    precision: Precision,
    tokens: Vec<Token>,
    /// Of the tokens: the fewest of all that came in. Those of the others are cut when they are put in order.
    index_bits: u32,
    /// Empty as long as there are tokens only.
    registers: Vec<Register>,
    /// Where registers are unpacked.
    unpacked: Vec<Register>,
    parts: usize,
    /// The estimate of the only part.
    only: Option<Estimate>,
}

impl Default for Union {
    fn default() -> Union {
        Union::new()
    }
}

impl Union {
    /// Of nothing.
    pub fn new() -> Union {
        Union {
            precision: Precision::DEFAULT,
            tokens: Vec::new(),
            index_bits: INDEX_BITS,
            registers: Vec::new(),
            unpacked: Vec::new(),
            parts: 0,
            only: None,
        }
    }

    /// Begins anew, with cells of this precision.
    pub fn begin(&mut self, precision: Precision) {
        self.precision = precision;
        self.tokens.clear();
        self.index_bits = INDEX_BITS;
        self.registers.clear();
        self.parts = 0;
        self.only = None;
    }

    /// The lowest of what it began with and of all cells' that came in, unless these have whole tokens.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// How many cells with users came in.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Takes the users of a cell in.
    pub fn add(&mut self, users: Users) {
        match users {
            Users::Tokens(tokens) if tokens.is_empty() => return,
            Users::Tokens(tokens) => self.add_tokens(&tokens),
            Users::Registers { registers, .. } => {
                let mut unpacked = std::mem::take(&mut self.unpacked);
                self.add_registers(registers.plain(&mut unpacked), users.precision());
                self.unpacked = unpacked;
            }
        }
        self.only = (self.parts == 0).then(|| users.estimate());
        self.parts += 1;
    }

    fn add_tokens(&mut self, tokens: &Tokens) {
        let index_bits = tokens.index_bits();
        if index_bits < self.index_bits {
            self.index_bits = index_bits;
            if let Some(most) = pack::precision_of(index_bits) {
                self.lower_to(most);
            }
        }
        if !self.registers.is_empty() {
            let registers = &mut self.registers;
            tokens.for_each(|token| put(registers, token));
            return;
        }
        tokens.for_each(|token| self.tokens.push(token));
        if self.tokens.len() >= REPETITIONS * self.precision.max_tokens() {
            self.settle();
        }
    }

    /// Goes on with this precision, if it is lower.
    fn lower_to(&mut self, precision: Precision) {
        if precision < self.precision {
            if !self.registers.is_empty() {
                self.registers = register::fold(&self.registers, self.precision, precision);
            }
            self.precision = precision;
        }
    }

    fn add_registers(&mut self, registers: &[Register], precision: Option<Precision>) {
        let Some(theirs) = precision else { return };
        self.lower_to(theirs);
        let folded;
        let registers = match theirs > self.precision {
            true => {
                folded = register::fold(registers, theirs, self.precision);
                &folded
            }
            false => registers,
        };
        if self.registers.is_empty() {
            self.registers.extend_from_slice(registers);
            let tokens = std::mem::take(&mut self.tokens);
            for &token in &tokens {
                put(&mut self.registers, token);
            }
            self.tokens = tokens;
            self.tokens.clear();
        } else {
            kernels::merge_into(&mut self.registers, registers, &[]);
        }
    }

    /// Each token once, or registers if they are too many.
    fn settle(&mut self) {
        if !self.registers.is_empty() || self.have_become_many() {
            return;
        }
        if self.index_bits < INDEX_BITS {
            for token in &mut self.tokens {
                *token = token::cut(*token, self.index_bits);
            }
        }
        self.tokens.sort_unstable();
        self.tokens.dedup();
        if self.tokens.len() >= self.precision.max_tokens() {
            self.turn_into_registers();
        }
    }

    /// Whether there are so many different tokens that their registers alone show it: then these take their place. To
    /// find out takes a tenth of the time of putting them in order.
    fn have_become_many(&mut self) -> bool {
        if self.tokens.len() < self.precision.max_tokens() {
            return false;
        }
        self.put_tokens();
        let taken = self.registers.iter().filter(|&&register| register != 0);
        let are_many = taken.count() >= self.precision.max_tokens();
        match are_many {
            true => self.tokens.clear(),
            false => self.registers.clear(),
        }
        are_many
    }

    fn turn_into_registers(&mut self) {
        self.put_tokens();
        self.tokens.clear();
    }

    /// Makes registers of the tokens, which stay.
    fn put_tokens(&mut self) {
        self.registers.resize(self.precision.registers(), 0);
        for &token in &self.tokens {
            put(&mut self.registers, token);
        }
    }

    /// How many users: of one cell its own estimate, else their number, or the most likely one.
    pub fn estimate(&mut self) -> Estimate {
        if let Some(only) = self.only {
            return only;
        }
        self.to_users().estimate()
    }

    /// Who they are: ascending tokens, or registers with the most likely number.
    pub fn to_users(&mut self) -> Users<'_> {
        self.settle();
        if self.registers.is_empty() {
            return Users::Tokens(match self.index_bits {
                INDEX_BITS => Tokens::List(&self.tokens),
                index_bits => Tokens::Cut(&self.tokens, index_bits),
            });
        }
        let histogram = kernels::histogram(&self.registers);
        Users::Registers {
            estimate: Occupancy::new(&histogram, self.precision, true).estimate(),
            registers: Registers::Plain(&self.registers),
        }
    }

    /// The same where tokens have exactly so many index bits: they are cut, or if some have fewer they are registers.
    pub fn to_users_of(&mut self, index_bits: u32) -> Users<'_> {
        if self.index_bits >= index_bits {
            self.index_bits = index_bits;
        } else {
            self.settle();
            if !self.tokens.is_empty() {
                self.turn_into_registers();
            }
        }
        self.to_users()
    }

    /// A sketch of them, without a running estimate, whose tokens may be cut: to so many index bits.
    pub fn cut_sketch(&mut self, hash: HashFamily) -> (Sketch, u32) {
        self.settle();
        match self.registers.is_empty() {
            true => {
                let tokens = TokenSet::from_unsorted(std::mem::take(&mut self.tokens));
                let sketch = Sketch::from_tokens(self.precision, hash, tokens);
                (sketch, self.index_bits)
            }
            false => (self.sketch(hash), INDEX_BITS),
        }
    }

    /// A sketch of them, without a running estimate. Cut tokens, which a sketch has none of, have become registers.
    pub fn sketch(&mut self, hash: HashFamily) -> Sketch {
        self.settle();
        if self.index_bits < INDEX_BITS && !self.tokens.is_empty() {
            self.turn_into_registers();
        }
        let registers = std::mem::take(&mut self.registers);
        if !registers.is_empty()
            && let Ok(dense) = Dense::from_registers(registers, self.precision, true)
        {
            return Sketch::from_dense(hash, dense);
        }
        let tokens = TokenSet::from_unsorted(std::mem::take(&mut self.tokens));
        Sketch::from_tokens(self.precision, hash, tokens)
    }
}

/// Puts the hash of a token into registers, of which there are 2^p. Without a question whether it is new: a processor
/// cannot guess the answer, and a wrong guess takes longer than to write.
#[inline]
fn put(registers: &mut [Register], token: Token) {
    let (index, level) = token::place(token, registers.len());
    let register = &mut registers[index];
    *register = register::after(*register, level);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(i: u64) -> u64 {
        HashFamily::default().hash(&i.to_le_bytes())
    }

    fn precision(p: u8) -> Precision {
        Precision::new(p).unwrap()
    }

    proptest! {
        #[test]
        fn a_cell_is_what_a_sketch_of_the_same_users_is(users in prop::collection::vec(0u64..3_000, 0..4_000), p in 4u8..=13) {
            let p = precision(p);
            let mut cell = OpenUsers::NOBODY;
            let mut sketch = Sketch::new(p, HashFamily::default());
            let mut bytes = 0isize;
            for user in users {
                bytes += cell.add_hash(hash(user), p);
                sketch.add_hash(hash(user));
            }
            prop_assert_eq!(bytes, cell.heap_bytes() as isize);
            prop_assert_eq!(cell.users().estimate(), sketch.estimate());
            match (cell.users(), sketch.dense()) {
                (Users::Registers { registers, .. }, Some(dense)) => prop_assert!(registers.plain(&mut vec![]) == dense.registers()),
                (Users::Tokens(tokens), None) => {
                    let mut list = tokens.to_vec();
                    list.sort_unstable();
                    prop_assert_eq!(&list[..], sketch.tokens().unwrap().as_slice());
                }
                _ => prop_assert!(false, "one is dense and the other is not"),
            }
        }

        #[test]
        fn a_union_of_cells_is_the_merge_of_sketches(parts in prop::collection::vec((0u64..5_000, 0u64..3_000, 4u8..=12), 1..8), p in 4u8..=12) {
            let p = precision(p);
            let (mut union, mut cells, mut sketches) = (Union::new(), vec![], vec![]);
            for (from, len, own) in parts {
                let own = precision(own);
                let mut cell = OpenUsers::NOBODY;
                let mut sketch = Sketch::new(own, HashFamily::default());
                for user in from..from + len {
                    cell.add_hash(hash(user), own);
                    sketch.add_hash(hash(user));
                }
                cells.push(cell);
                sketches.push(sketch);
            }
            union.begin(p);
            cells.iter().for_each(|cell| union.add(cell.users()));
            let mut expected = Sketch::new(p, HashFamily::default());
            expected.merge_all(&sketches.iter().collect::<Vec<_>>()).unwrap();
            let made = union.clone().sketch(HashFamily::default());
            let lowest = expected.precision().min(made.precision());
            prop_assert_eq!(made.registers(lowest), expected.registers(lowest));
            if sketches.iter().filter(|sketch| !sketch.is_empty()).count() > 1 {
                prop_assert_eq!(union.estimate().value, made.estimate().value);
            }
        }

        #[test]
        fn a_union_with_cut_tokens_counts_nobody_twice(whole in 0u64..300, cut in 0u64..300, p in 6u8..=12) {
            let p = precision(p);
            let bits = pack::index_bits(p);
            let tokens = |users: std::ops::Range<u64>| users.map(|user| token::from_hash(hash(user))).collect::<Vec<_>>();
            let mut few = tokens(0..cut);
            few.iter_mut().for_each(|token| *token = token::cut(*token, bits));
            few.sort_unstable();
            few.dedup();
            let (mut union, mut alone) = (Union::new(), Union::new());
            union.begin(p);
            alone.begin(p);
            let all = tokens(0..whole);
            union.add(Users::Tokens(Tokens::List(&all)));
            union.add(Users::Tokens(Tokens::Cut(&few, bits)));
            alone.add(Users::Tokens(Tokens::List(&tokens(0..whole.max(cut)))));
            let sketch = union.clone().sketch(HashFamily::default());
            let expected = alone.clone().sketch(HashFamily::default());
            prop_assert_eq!(sketch.registers(p), expected.registers(p));
            match (cut > 0, union.to_users(), alone.to_users_of(bits)) {
                (true, Users::Tokens(ours), Users::Tokens(theirs)) => prop_assert_eq!(ours.to_vec(), theirs.to_vec()),
                (_, ours, theirs) => prop_assert_eq!(ours.token_count().is_some(), theirs.token_count().is_some() ),
            }
        }

        #[test]
        fn what_a_cell_absorbs_is_in_it(ours in 0u64..2_000, theirs in 0u64..2_000, p in 4u8..=11) {
            let p = precision(p);
            let fill = |users: std::ops::Range<u64>| {
                let mut cell = OpenUsers::NOBODY;
                users.for_each(|user| { cell.add_hash(hash(user), p); });
                cell
            };
            let mut cell = fill(0..ours);
            let before = cell.heap_bytes() as isize;
            let grown = cell.absorb(fill(1_000..1_000 + theirs).users(), p);
            prop_assert_eq!(before + grown, cell.heap_bytes() as isize);
            let mut union = Union::new();
            union.begin(p);
            union.add(cell.users());
            let mut sketch = Sketch::new(p, HashFamily::default());
            (0..ours).chain(1_000..1_000 + theirs).for_each(|user| { sketch.add_hash(hash(user)); });
            let made = union.sketch(HashFamily::default());
            prop_assert_eq!(made.registers(p), sketch.registers(p));
        }
    }
}
