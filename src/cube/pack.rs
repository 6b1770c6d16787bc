//! The packed form of users: what cells of coarse slices hold, of which there are many and which are read seldom.
//!
//! # Tokens
//!
//! Registers of precision p ask a token for p bits of its index and for its zeros. The other bits of the index only tell
//! elements apart, and four of them do that well enough: of c tokens *cut* to p + 4 bits about c²/(6·2^(p+4)) share one
//! with another, which at m/4 tokens, where registers begin, is one in 384, with a standard deviation of a tenth of that
//! of the registers. Cut tokens ascend and lie in the [Rice code](crate::sketch::rice), whose parameter follows from how
//! many there are. A token takes 10 to 20 bits instead of 32.
//!
//! # Registers
//!
//! A register has about four bits of information in its eight: few values are frequent. Each register is a *symbol* of two
//! or four bits, a place in a list of the most frequent values. The last symbol stands for all other values, which follow
//! behind, a byte each:
//!
//! ```text
//!   +-------+------------------------+--------------------------+----------------------+
//!   | width | 2^width - 1 values,    | a symbol for each        | the values that are  |
//!   | 1     | the most frequent ones | register, low bits first | not among the values |
//!   +-------+------------------------+--------------------------+----------------------+
//! ```
//!
//! That comes to 2.6 bits a register where users are a quarter of the registers, and to 4.8 where they are many, within
//! a fifth of the entropy; a symbol is read by one look into a table. Where it would not be shorter, the width is 8 and
//! registers are as they are. Unused places of the list are 255, which no register is.

use crate::sketch::register::Register;
use crate::sketch::rice;
use crate::sketch::token::{self, Token};
use crate::sketch::{Precision, TokenSet, kernels};

/// Bits of an index beyond those that registers ask about.
const SPARE_BITS: u32 = 4;

/// Widths of a symbol, in bits.
const WIDTHS: [u32; 2] = [2, 4];

/// The width of a register that is as it is.
const PLAIN: u32 = Register::BITS;

/// No register: at the least precision there is, the highest is below.
const NO_VALUE: Register = Register::MAX;

/// Index bits of cut tokens in cells of this precision.
pub fn index_bits(precision: Precision) -> u32 {
    precision.bits() + SPARE_BITS
}

/// The highest precision of registers that are made of tokens with so many index bits; `None` if it is any.
pub fn precision_of(index_bits: u32) -> Option<Precision> {
    Precision::new(index_bits.checked_sub(SPARE_BITS)?.try_into().ok()?)
}

/// The parameter of the Rice code for so many of these tokens: log2 of ln 2 times the mean gap.
fn rice_parameter(count: usize, index_bits: u32) -> u8 {
    let gap = f64::from(1u32 << index_bits) / count.max(1) as f64;
    (gap * std::f64::consts::LN_2).max(1.0).log2() as u8
}

/// Appends the code of tokens that ascend and have so many index bits.
pub fn pack_tokens(tokens: &[Token], index_bits: u32, to: &mut Vec<u8>) {
    to.extend(rice::encode(
        tokens,
        rice_parameter(tokens.len(), index_bits),
    ));
}

/// Hands over the tokens of a code, as many as there are in it; `None` if there are not.
#[inline]
pub fn unpack_tokens(
    code: &[u8],
    count: usize,
    index_bits: u32,
    take: impl FnMut(Token),
) -> Option<()> {
    rice::read(code, rice_parameter(count, index_bits), count, take)
}

/// The tokens of a code that somebody else wrote: `None` unless they are so many, ascend and have so many index bits.
pub fn check_tokens(code: &[u8], count: usize, index_bits: u32) -> Option<TokenSet> {
    let tokens = rice::decode(code, rice_parameter(count, index_bits), count)?;
    let last = tokens.as_slice().last();
    let is_cut = last.is_none_or(|&last| token::cut(last, index_bits) == last);
    is_cut.then_some(tokens)
}

/// Appends the packed form of registers.
pub fn pack_registers(registers: &[Register], to: &mut Vec<u8>) {
    let counts = kernels::histogram(registers);
    let mut frequent: Vec<Register> = (0..NO_VALUE)
        .filter(|&r| counts[usize::from(r)] > 0)
        .collect();
    // Of equally frequent ones the lower first.
    frequent.sort_by_key(|&register| std::cmp::Reverse(counts[usize::from(register)]));
    let listed = |width: u32| (1usize << width) - 1;
    let bytes = |&width: &u32| {
        let others = frequent.iter().skip(listed(width));
        let others = others.map(|&register| counts[usize::from(register)] as usize);
        listed(width) + registers.len() * width as usize / 8 + others.sum::<usize>()
    };
    let shortest = WIDTHS.into_iter().min_by_key(bytes);
    let Some(width) = shortest.filter(|width| bytes(width) < registers.len()) else {
        to.push(PLAIN as u8);
        to.extend_from_slice(registers);
        return;
    };
    to.push(width as u8);
    let escape = listed(width) as u8;
    let mut symbols = [escape; 256];
    for (symbol, &value) in (0..escape).zip(&frequent) {
        symbols[usize::from(value)] = symbol;
    }
    let listed = frequent.iter().copied().chain(std::iter::repeat(NO_VALUE));
    to.extend(listed.take(escape.into()));
    let symbol = |register: Register, shift: u32| symbols[usize::from(register)] << shift;
    match width {
        2 => {
            let fours = registers.as_chunks().0.iter();
            to.extend(
                fours
                    .map(|&[a, b, c, d]| symbol(a, 0) | symbol(b, 2) | symbol(c, 4) | symbol(d, 6)),
            );
        }
        _ => {
            let pairs = registers.as_chunks().0.iter();
            to.extend(pairs.map(|&[a, b]| symbol(a, 0) | symbol(b, 4)));
        }
    }
    let is_other = |register: &&Register| symbols[usize::from(**register)] == escape;
    to.extend(registers.iter().filter(is_other));
}

/// Puts the registers of a packed form in the place of what is there; `None` if it is not that of so many.
pub fn unpack_registers(code: &[u8], precision: Precision, to: &mut Vec<Register>) -> Option<()> {
    let count = precision.registers();
    to.clear();
    let (&width, code) = code.split_first()?;
    let width = u32::from(width);
    if width == PLAIN {
        to.extend_from_slice(code);
        return (code.len() == count).then_some(());
    }
    if !WIDTHS.contains(&width) {
        return None;
    }
    let (values, code) = code.split_at_checked((1 << width) - 1)?;
    let (symbols, others) = code.split_at_checked(count * width as usize / 8)?;
    to.reserve(count);
    match width {
        2 => expand(symbols, values, to, |byte, value| {
            [0, 2, 4, 6].map(|shift| value[usize::from(byte >> shift & 3)])
        }),
        _ => expand(symbols, values, to, |byte, value| {
            [0, 4].map(|shift| value[usize::from(byte >> shift & 15)])
        }),
    }
    let mut others = others.iter();
    for register in to.iter_mut().filter(|register| **register == NO_VALUE) {
        *register = *others.next()?;
    }
    others.as_slice().is_empty().then_some(())
}

/// The registers of each byte of symbols, by a table of all bytes; [`NO_VALUE`] where they are not listed.
fn expand<const N: usize>(
    symbols: &[u8],
    listed: &[Register],
    to: &mut Vec<Register>,
    registers_of: impl Fn(u8, &[Register; 16]) -> [Register; N],
) {
    let mut values = [NO_VALUE; 16];
    values[..listed.len()].copy_from_slice(listed);
    let table: [[Register; N]; 256] = std::array::from_fn(|byte| registers_of(byte as u8, &values));
    to.extend(symbols.iter().flat_map(|&byte| table[usize::from(byte)]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{HashFamily, Sketch};
    use proptest::prelude::*;

    fn precision(p: u8) -> Precision {
        Precision::new(p).unwrap()
    }

    fn sketch(users: u64, p: u8) -> Sketch {
        let mut sketch = Sketch::new(precision(p), HashFamily::default());
        (0..users).for_each(|user| {
            sketch.add(&user.to_le_bytes());
        });
        sketch
    }

    fn packed(registers: &[Register]) -> Vec<u8> {
        let mut code = Vec::new();
        pack_registers(registers, &mut code);
        code
    }

    proptest! {
        #[test]
        fn any_registers_return(p in 4u8..=10, seed in prop::collection::vec(prop_oneof![9 => 0u8..20, 1 => 0u8..248], 1 << 10)) {
            let registers = &seed[..1 << p];
            let mut again = vec![7];
            prop_assert_eq!(unpack_registers(&packed(registers), precision(p), &mut again), Some(()));
            prop_assert_eq!(&again[..], registers);
        }

        #[test]
        fn registers_of_users_return(p in 4u8..=14, load in 0u64..40) {
            let registers = sketch(load << p >> 2, p).registers(precision(p)).to_vec();
            let code = packed(&registers);
            prop_assert!(code.len() <= registers.len() + 1);
            let mut again = Vec::new();
            prop_assert_eq!(unpack_registers(&code, precision(p), &mut again), Some(()));
            prop_assert_eq!(again, registers);
        }

        #[test]
        fn any_bytes_are_registers_or_refused(code in prop::collection::vec(any::<u8>(), 0..100), width in 0u8..9, p in 4u8..=7) {
            let mut registers = Vec::new();
            for code in [code.clone(), [vec![width], code].concat()] {
                if unpack_registers(&code, precision(p), &mut registers).is_some() {
                    prop_assert_eq!(registers.len(), 1 << p);
                }
            }
        }

        #[test]
        fn cut_tokens_return_and_make_the_same_registers(users in 0u64..1_000, p in 4u8..=16) {
            let p = precision(p);
            let hashes = (0..users).map(|user| HashFamily::default().hash(&user.to_le_bytes()));
            let bits = index_bits(p);
            let tokens = TokenSet::from_unsorted(hashes.map(|hash| token::cut(token::from_hash(hash), bits)).collect());
            let mut code = Vec::new();
            pack_tokens(tokens.as_slice(), bits, &mut code);
            prop_assert!(check_tokens(&code, tokens.len(), bits).as_ref() == Some(&tokens));
            let mut list = Vec::new();
            prop_assert_eq!(unpack_tokens(&code, tokens.len(), bits, |token| list.push(token)), Some(()));
            prop_assert_eq!(&list[..], tokens.as_slice());
            prop_assert_eq!(tokens.registers(p), sketch(users, p.bits() as u8).registers(p).to_vec());
        }

        #[test]
        fn any_bytes_are_tokens_or_refused(code in prop::collection::vec(any::<u8>(), 0..100), count in 0usize..400, p in 4u8..=16) {
            let bits = index_bits(precision(p));
            if let Some(tokens) = check_tokens(&code, count, bits) {
                prop_assert_eq!(tokens.len(), count);
                prop_assert!(tokens.as_slice().iter().all(|&token| token::cut(token, bits) == token));
            }
        }
    }

    #[test]
    fn packed_forms_are_as_short_as_they_are_said_to_be() {
        let p = precision(12);
        for (users, bits) in [(1_024, 2.6), (4_096, 4.2), (16_384, 4.9), (400_000, 4.9)] {
            let registers = sketch(users, 12).registers(p).to_vec();
            let of_each = packed(&registers).len() as f64 * 8.0 / p.registers() as f64;
            assert!(of_each < bits, "{users}: {of_each}");
        }
        for (users, bits) in [(1, 24.0), (10, 18.0), (100, 14.5), (1_000, 10.5)] {
            let Some(tokens) = sketch(users, 12).tokens().cloned() else {
                panic!("dense")
            };
            let cut = tokens
                .as_slice()
                .iter()
                .map(|&token| token::cut(token, 16))
                .collect();
            let mut code = Vec::new();
            pack_tokens(TokenSet::from_unsorted(cut).as_slice(), 16, &mut code);
            let of_each = code.len() as f64 * 8.0 / users as f64;
            assert!(of_each <= bits, "{users}: {of_each}");
        }
    }
}
