//! Tokens in few bits: ascending, as differences.
//!
//! The indices of c tokens are c uniform numbers below 2^26 in order, so the gaps between them are
//! geometric with mean about 2^26/c, for which a Rice code (Rice 1971; a Golomb code with a
//! power of two) is within a few hundredths of a bit of the entropy. The leading zeros are geometric
//! with ratio 1/2, for which unary is the entropy itself. For each token:
//!
//! ```text
//!   gap >> k  in unary      ones, ended by a zero
//!   gap       low k bits
//!   zeros     in unary
//! ```
//!
//! The gap is the index less the previous token's index (the first one's: less 0). A thousand
//! tokens take about 2.5 bytes each instead of four.

use super::bits::{BitReader, BitWriter};
use super::token::{INDEX_BITS, MAX_ZEROS, Token, TokenSet};

/// The parameter k for these tokens: of the two around ln 2 · mean gap, the shorter code.
pub fn parameter(tokens: &[Token]) -> u8 {
    let Some(&last) = tokens.last() else { return 0 };
    let mean = f64::from(last >> 6) / tokens.len() as f64;
    let near = (mean * std::f64::consts::LN_2).max(1.0).log2() as u8;
    let cost = |k: &u8| -> u64 {
        let quotients: u64 = gaps(tokens).map(|gap| u64::from(gap >> k)).sum();
        quotients + u64::from(*k) * tokens.len() as u64
    };
    [near, near + 1]
        .into_iter()
        .min_by_key(cost)
        .unwrap_or(near)
}

fn gaps(tokens: &[Token]) -> impl Iterator<Item = u32> {
    let mut previous = 0;
    tokens.iter().map(move |token| {
        let index = token >> 6;
        index - std::mem::replace(&mut previous, index)
    })
}

/// The body of these tokens with parameter `k`.
pub fn encode(tokens: &[Token], k: u8) -> Vec<u8> {
    let k = u32::from(k);
    let mut writer = BitWriter::with_capacity(size_of_val(tokens));
    for (token, gap) in tokens.iter().zip(gaps(tokens)) {
        let (quotient, rest, zeros) = (gap >> k, gap & ((1 << k) - 1), token & 63);
        let bits = quotient + 1 + k + zeros + 1;
        if bits <= 32 {
            // All three at once, which is nearly always.
            let ones = |count: u32| (1 << count) - 1;
            let tail = rest | ones(zeros) << k;
            writer.write(ones(quotient) | tail << (quotient + 1), bits);
            continue;
        }
        writer.write_unary(quotient);
        writer.write(rest, k);
        writer.write_unary(zeros);
    }
    writer.finish()
}

/// `count` tokens from a body that holds exactly them; `None` if it does not, or if they do not ascend.
pub fn decode(body: &[u8], k: u8, count: usize) -> Option<TokenSet> {
    // So much memory is asked for only where the body may be as long.
    let least_bits = (usize::from(k) + 2).checked_mul(count)?;
    if least_bits > body.len().checked_mul(8)? {
        return None;
    }
    let mut tokens = Vec::with_capacity(count);
    read(body, k, count, |token| tokens.push(token))?;
    TokenSet::from_ascending(tokens)
}

/// Hands over `count` tokens from a body that holds exactly them, by ascending indices. `None` if it does not, which
/// may turn out after some.
#[inline]
pub fn read(body: &[u8], k: u8, count: usize, mut take: impl FnMut(Token)) -> Option<()> {
    let k = u32::from(k);
    if k > INDEX_BITS {
        return None;
    }
    let mut reader = BitReader::new(body);
    let mut index = 0u32;
    for _ in 0..count {
        let quotient = reader.read_unary(1 << (INDEX_BITS - k))?;
        index += quotient << k | reader.read(k)?;
        if index >> INDEX_BITS != 0 {
            return None;
        }
        take(index << 6 | reader.read_unary(MAX_ZEROS)?);
    }
    reader.is_finished().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::token;
    use proptest::prelude::*;

    fn set(hashes: impl IntoIterator<Item = u64>) -> TokenSet {
        TokenSet::from_unsorted(hashes.into_iter().map(token::from_hash).collect())
    }

    fn round_trip(set: &TokenSet) -> usize {
        let k = parameter(set.as_slice());
        let body = encode(set.as_slice(), k);
        assert_eq!(decode(&body, k, set.len()).as_ref(), Some(set));
        body.len()
    }

    #[test]
    fn random_tokens_take_little_more_than_their_entropy() {
        let mix = |i: u64| crate::sketch::HashFamily::default().hash(&i.to_le_bytes());
        for count in [10, 100, 1_000, 10_000] {
            let bytes = round_trip(&set((0..count).map(mix)));
            // c uniform indices in order: log2(2^26/c) + log2(e) bits each; zeros: 2 bits.
            let entropy = count as f64
                * ((f64::from(1 << 26) / count as f64).log2() + std::f64::consts::LOG2_E + 2.0)
                / 8.0;
            assert!(
                (bytes as f64) < 1.06 * entropy + 4.0,
                "{count}: {bytes} bytes, entropy {entropy}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_set_returns(hashes in prop::collection::vec((any::<u64>(), 0u32..=64), 0..300)) {
            round_trip(&set(hashes.into_iter().map(|(h, shift)| h.checked_shr(shift).unwrap_or(0))));
        }

        #[test]
        fn any_bytes_are_tokens_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), k in any::<u8>(), count in 0usize..2000) {
            if let Some(tokens) = decode(&body, k, count) {
                prop_assert_eq!(tokens.len(), count);
                prop_assert!(tokens.as_slice().iter().all(|&t| token::is_valid(t)));
                prop_assert_eq!(encode(tokens.as_slice(), k), body);
            }
        }
    }
}
