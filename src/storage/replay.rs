//! A write as bytes, for whoever has a copy to keep in step: how a sketch has changed, or all of it.
//!
//! A [`frame`] of one of two kinds. That of changes has tokens for its body:
//!
//! ```text
//!   +------+---------+--------+----------+----------+-- --+----------+
//!   |  2   | version | length | token, 4 | token, 4 | ... | checksum |
//!   +------+---------+--------+----------+----------+-- --+----------+
//! ```
//!
//! The elements `b` and `c`, one after the other added to a sketch that had neither:
//!
//! ```text
//!   02 01 08   c1 0f 21 36   c0 06 7e ae   4f 5a 39 b1
//! ```
//!
//! **Changes** are the tokens of the elements that changed the sketch, in the order in which they
//! did, low byte first. A token is all that registers of any precision and the sparse form can ask
//! about an element, so a copy of the sketch as it was that takes these in ends as the sketch is
//! now, to the last bit of the running estimate. Elements that changed nothing are left out: they
//! would change nothing there either.
//!
//! **All of it**, a frame of [`super::native`], is what a new sketch needs: whoever keeps the copy cannot
//! know its precision and its hash.

use super::frame::{self, Frame, FrameError, Kind};
use super::{DecodeError, native};
use crate::sketch::token;
use crate::sketch::{Sketch, Token};

/// What a write came to.
#[derive(Debug, PartialEq)]
pub enum Content {
    /// These tokens, in this order, have changed the sketch.
    Changes(Vec<Token>),
    /// The sketch is now this one.
    Sketch(Sketch),
}

/// The bytes of changes. Those of a sketch are [`native::encode`]'s.
pub fn encode_changes(tokens: &[Token]) -> Vec<u8> {
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token.to_le_bytes())
        .collect();
    frame::encode(Kind::Changes, &[&bytes])
}

/// The content of these bytes. Changes are a whole number of tokens, not zero, and each one that
/// some element has.
pub fn decode(bytes: &[u8]) -> Result<Content, DecodeError> {
    let frame = Frame::only(bytes)?;
    match frame.kind {
        Kind::Changes => decode_changes(frame.body).map(Content::Changes),
        Kind::Sketch => native::decode_body(frame.body).map(Content::Sketch),
        found @ (Kind::Cube | Kind::Monitor | Kind::Observation) => {
            let wanted = Kind::Changes;
            Err(FrameError::OtherKind { wanted, found }.into())
        }
    }
}

fn decode_changes(body: &[u8]) -> Result<Vec<Token>, DecodeError> {
    let (tokens, rest) = body.as_chunks();
    let tokens: Vec<Token> = tokens.iter().copied().map(Token::from_le_bytes).collect();
    if tokens.is_empty() || !rest.is_empty() || !tokens.iter().all(|&token| token::is_valid(token))
    {
        return Err(DecodeError::Invalid("list of changes"));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{HashFamily, Precision};
    use crate::storage::Compression;
    use proptest::prelude::*;

    /// The bytes at the head of this file.
    #[test]
    fn the_documented_example() {
        let hashes = ["b", "c"].map(|element| HashFamily::default().hash(element.as_bytes()));
        let bytes = encode_changes(&hashes.map(token::from_hash));
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "020108c10f2136c0067eae4f5a39b1");
    }

    #[test]
    fn only_whole_lists_of_possible_tokens_are_read() {
        let tokens = vec![0, token::from_hash(u64::MAX)];
        let bytes = encode_changes(&tokens);
        assert_eq!(decode(&bytes), Ok(Content::Changes(tokens)));
        let body = Frame::only(&bytes).unwrap().body;
        let invalid = Err(DecodeError::Invalid("list of changes"));
        for end in 0..body.len() {
            let cut = decode(&frame::encode(Kind::Changes, &[&body[..end]]));
            match end {
                4 => assert_eq!(cut, Ok(Content::Changes(vec![0]))),
                _ => assert_eq!(cut, invalid, "{end}"),
            }
        }
        assert_eq!(decode(&encode_changes(&[0, token::MAX_ZEROS + 1])), invalid);
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let bytes = encode_changes(&[5 << 6, 6 << 6 | 1, 7 << 6 | 2]);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err());
        }
    }

    #[test]
    fn a_whole_sketch_is_content_too() {
        let sketch = Sketch::new(Precision::DEFAULT, HashFamily::Redis);
        let payload = native::encode(&sketch, Compression::Zstd);
        assert_eq!(decode(&payload), Ok(Content::Sketch(sketch)));
    }

    proptest! {
        /// Also across the turn from tokens to registers, and with elements that come again.
        #[test]
        fn a_copy_that_replays_the_changes_is_the_same(batches in prop::collection::vec(prop::collection::vec(0u32..3_000, 1..400), 1..20), p in 4u8..=12) {
            let mut sketch = Sketch::new(Precision::new(p).unwrap(), HashFamily::default());
            let mut copy = sketch.clone();
            let mut plain = sketch.clone();
            for batch in batches {
                let hash = sketch.hash_family();
                let hashes: Vec<u64> = batch.iter().map(|i| hash.hash(&i.to_le_bytes())).collect();
                let mut changes = Vec::new();
                sketch.add_hashes(&hashes, &mut changes);
                let changed = hashes.iter().filter(|&&hash| plain.add_hash(hash)).count();
                prop_assert_eq!(changes.len(), changed);
                if !changes.is_empty() {
                    let Ok(Content::Changes(sent)) = decode(&encode_changes(&changes)) else {
                        return Err(TestCaseError::fail("changes were sent"));
                    };
                    prop_assert_eq!(copy.replay(&sent), sent.len());
                }
                prop_assert_eq!(&copy, &sketch);
                prop_assert_eq!(&plain, &sketch);
            }
        }
    }
}
