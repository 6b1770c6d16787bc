//! Tokens: what a small sketch keeps instead of registers.
//!
//! A token is the part of a hash that registers of any precision up to 26 could ever ask about,
//! in 32 bits: the low 26 bits (the index, of whichever width) and the number of leading zeros.
//!
//! ```text
//!      31                                6 5             0
//!    +------------------------------------+---------------+
//!    |  low 26 bits of the hash           | leading zeros |
//!    +------------------------------------+---------------+
//! ```
//!
//! The leading zeros are those of `h | (2^26 - 1)`, so 0 to 38: where the bits above the index are
//! all zero, the index bits themselves are there to continue the run.
//!
//! A set of tokens is an all but exact set of elements: two elements share a token with probability
//! 2^-26 / 3, so c distinct tokens stand for about c + c²/(6·2^26) elements. Unions, intersections
//! and differences of sketches in this form are plain set algebra.

use super::allocation::{ARC_COUNTS, Relocate, allocation_class};
use super::precision::Precision;
use super::register::{self, Register};
use std::sync::Arc;

/// Index bits in a token.
pub const INDEX_BITS: u32 = 26;

const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// The most leading zeros a token can state.
pub const MAX_ZEROS: u32 = 64 - INDEX_BITS;

/// See the head of this file. Ordered by index first.
pub type Token = u32;

/// The token of a hash.
#[inline]
pub fn from_hash(hash: u64) -> Token {
    let zeros = (hash | INDEX_MASK).leading_zeros();
    ((hash & INDEX_MASK) as u32) << 6 | zeros
}

/// A hash that has this token: it lands in the same register at the same level, for every precision.
#[inline]
pub fn to_hash(token: Token) -> u64 {
    let ones_below_the_zeros = u64::MAX >> (token & 63);
    u64::from(token >> 6) | (ones_below_the_zeros & !INDEX_MASK)
}

/// Where a token belongs among so many registers, a power of two: which one, and the level that it reaches there.
#[inline]
pub fn place(token: Token, registers: usize) -> (usize, u32) {
    let (index, zeros) = ((token >> 6) as usize, token & 63);
    let mask = registers - 1;
    // Only where nothing but zeros lies above the index do its own bits continue the run.
    let level = match zeros < MAX_ZEROS {
        true => zeros + 1,
        false => (to_hash(token) | mask as u64).leading_zeros() + 1,
    };
    (index & mask, level)
}

/// Whether some hash has this token. Readers of foreign bytes must ask.
#[inline]
pub fn is_valid(token: Token) -> bool {
    token & 63 <= MAX_ZEROS
}

/// The token with only so many low bits of its index, at most [`INDEX_BITS`]: all that registers of a precision up to so
/// many ask about. Where the run of zeros goes down to the index (one hash in 2^38) it is taken to go on to the bits that
/// are left.
#[inline]
pub fn cut(token: Token, index_bits: u32) -> Token {
    token & (Token::MAX >> (INDEX_BITS - index_bits))
}

/// Distinct tokens in ascending order.
///
/// One sorted array: the smallest form that is still read in place, merged by walking, and saved
/// as it lies. At its largest (m/4 tokens) an insertion moves a few kilobytes. A long array is shared by
/// the clones of its set until one of them is changed.
#[derive(Clone, Debug)]
pub struct TokenSet(Array);

#[derive(Clone, Debug)]
enum Array {
    Own(Vec<Token>),
    Shared(Arc<Vec<Token>>),
}

/// The most tokens that every clone copies. What makes an array shareable takes 40 bytes, and up to here
/// a copy takes less than a microsecond.
const MAX_COPIED: usize = 1_024;

impl TokenSet {
    /// Of tokens that ascend strictly.
    fn new(tokens: Vec<Token>) -> TokenSet {
        TokenSet(if tokens.len() > MAX_COPIED {
            Array::Shared(Arc::new(tokens))
        } else {
            Array::Own(tokens)
        })
    }

    /// From tokens in any order, repeated or not.
    pub fn from_unsorted(mut tokens: Vec<Token>) -> TokenSet {
        tokens.sort_unstable();
        tokens.dedup();
        tokens.shrink_to_fit();
        TokenSet::new(tokens)
    }

    /// From tokens that already ascend strictly; `None` if they do not.
    pub fn from_ascending(tokens: Vec<Token>) -> Option<TokenSet> {
        tokens
            .is_sorted_by(|a, b| a < b)
            .then(|| TokenSet::new(tokens))
    }

    fn array(&self) -> &Vec<Token> {
        match &self.0 {
            Array::Own(tokens) => tokens,
            Array::Shared(tokens) => tokens,
        }
    }

    /// The tokens, ascending.
    pub fn as_slice(&self) -> &[Token] {
        self.array()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.array().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.array().is_empty()
    }

    /// Puts a token in; whether it was new.
    pub fn insert(&mut self, token: Token) -> bool {
        match &mut self.0 {
            Array::Own(tokens) => {
                let Err(place) = tokens.binary_search(&token) else {
                    return false;
                };
                insert_at(tokens, place, token);
                if tokens.len() > MAX_COPIED {
                    *self = TokenSet::new(std::mem::take(tokens));
                }
            }
            Array::Shared(tokens) => {
                let Err(place) = tokens.binary_search(&token) else {
                    return false;
                };
                insert_at(Arc::make_mut(tokens), place, token);
            }
        }
        true
    }

    /// Puts all tokens of another set in; whether any was new.
    pub fn union_with(&mut self, other: &TokenSet) -> bool {
        let (ours, theirs) = (self.as_slice(), other.as_slice());
        let news = theirs.iter().filter(|t| ours.binary_search(t).is_err());
        let news: Vec<Token> = news.copied().collect();
        if news.is_empty() {
            return false;
        }
        let bytes = allocation_class((ours.len() + news.len()) * size_of::<Token>());
        let mut merged = Vec::with_capacity(bytes / size_of::<Token>());
        let (mut ours, mut theirs) = (ours.iter().peekable(), news.iter().peekable());
        while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
            merged.extend(if a < b { ours.next() } else { theirs.next() });
        }
        merged.extend(ours);
        merged.extend(theirs);
        *self = TokenSet::new(merged);
        true
    }

    /// Bytes the array occupies, growing room included. One that is shared counts in every set: the
    /// first change of any makes it a copy of its own.
    pub fn memory_bytes(&self) -> usize {
        let sharing = match &self.0 {
            Array::Own(_) => 0,
            Array::Shared(_) => ARC_COUNTS + size_of::<Vec<Token>>(),
        };
        sharing + self.array().capacity() * size_of::<Token>()
    }

    /// Bytes of the array of a clone, before one of the two is changed.
    pub fn clone_bytes(&self) -> usize {
        match &self.0 {
            Array::Own(tokens) => tokens.len() * size_of::<Token>(),
            Array::Shared(_) => 0,
        }
    }

    /// The registers that the tokens' elements make.
    pub fn registers(&self, precision: Precision) -> Vec<Register> {
        let hashes = self.array().iter().map(|&token| to_hash(token));
        register::from_hashes(hashes, precision)
    }

    /// Moves the array, unless others share it.
    pub(super) fn relocate(&mut self, mover: &mut impl Relocate) {
        let tokens = match &mut self.0 {
            Array::Own(tokens) => Some(tokens),
            Array::Shared(tokens) => Arc::get_mut(tokens),
        };
        if let Some(tokens) = tokens {
            *tokens = mover.array(std::mem::take(tokens));
        }
    }
}

impl Default for TokenSet {
    fn default() -> TokenSet {
        TokenSet(Array::Own(Vec::new()))
    }
}

impl PartialEq for TokenSet {
    fn eq(&self, other: &TokenSet) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for TokenSet {}

fn insert_at(tokens: &mut Vec<Token>, place: usize, token: Token) {
    if tokens.len() == tokens.capacity() {
        let wanted = allocation_class((tokens.len() + 1) * size_of::<Token>());
        tokens.reserve_exact(wanted / size_of::<Token>() - tokens.len());
    }
    tokens.insert(place, token);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_replays_to_the_same_register_at_every_precision(hash in any::<u64>(), shift in 0u32..=64) {
            let hash = hash.checked_shr(shift).unwrap_or(0);
            let token = from_hash(hash);
            prop_assert!(is_valid(token));
            let replayed = to_hash(token);
            prop_assert_eq!(from_hash(replayed), token);
            for p in 4..=18 {
                let p = Precision::new(p).unwrap();
                prop_assert_eq!(register::index(replayed, p), register::index(hash, p));
                prop_assert_eq!(register::level(replayed, p), register::level(hash, p));
            }
        }

        #[test]
        fn the_set_is_a_set(tokens in prop::collection::vec(0u32..200, 0..300), others in prop::collection::vec(0u32..200, 0..300)) {
            let mut set = TokenSet::default();
            let mut model = std::collections::BTreeSet::new();
            for &t in &tokens {
                prop_assert_eq!(set.insert(t), model.insert(t));
            }
            let other = TokenSet::from_unsorted(others.clone());
            let grew = set.union_with(&other);
            let before = model.len();
            model.extend(others);
            prop_assert_eq!(grew, model.len() > before);
            prop_assert!(set.as_slice().iter().eq(model.iter()));
            prop_assert!(set.memory_bytes() < 16 + 5 * set.len().max(4));
        }
    }
}
