//! What replicas and the append-only file are told of a write: how a sketch has changed, or all of it.
//!
//! ```text
//!   +---+-----------+-----------+--        +-------------------------------
//!   | 0 | token     | token     | ...  or  | 1 ... the native payload
//!   +---+-----------+-----------+--        +-------------------------------
//!    1    4 bytes     4 bytes
//! ```
//!
//! **Changes** are the tokens of the elements that changed the sketch, in the order in which they
//! did, little end first. A token is all that registers of any precision and the sparse form can ask
//! about an element, so a copy of the sketch as it was that takes these in ends as the sketch is
//! now, to the last bit of the running estimate. Elements that changed nothing are left out: they
//! would change nothing there either.
//!
//! **All of it** is what a new key needs, whose precision and hash depend on this server's settings:
//! the [native format](super::native), whose first byte is its version and never 0.

use super::native::{self, DecodeError};
use crate::sketch::token;
use crate::sketch::{Sketch, Token};

/// The first byte of changes.
const CHANGES: u8 = 0;

/// What was told.
#[derive(Debug, PartialEq)]
pub enum Told {
    /// These, in this order, have changed the sketch.
    Changes(Vec<Token>),
    /// This is the sketch.
    Sketch(Sketch),
}

/// The bytes of changes.
pub fn encode_changes(tokens: &[Token]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + size_of_val(tokens));
    bytes.push(CHANGES);
    for token in tokens {
        bytes.extend_from_slice(&token.to_le_bytes());
    }
    bytes
}

/// What these bytes tell. Changes are a whole number of tokens, not zero, and each one that some
/// element has.
pub fn decode(bytes: &[u8]) -> Result<Told, DecodeError> {
    let Some((&CHANGES, changes)) = bytes.split_first() else {
        return native::decode(bytes).map(Told::Sketch);
    };
    let (tokens, rest) = changes.as_chunks();
    let tokens: Vec<Token> = tokens
        .iter()
        .map(|&bytes| Token::from_le_bytes(bytes))
        .collect();
    if tokens.is_empty() || !rest.is_empty() || !tokens.iter().all(|&token| token::is_valid(token))
    {
        return Err(DecodeError::Invalid("list of changes"));
    }
    Ok(Told::Changes(tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{HashFamily, Precision};
    use crate::storage::Compression;
    use proptest::prelude::*;

    #[test]
    fn only_whole_lists_of_possible_tokens_are_read() {
        let tokens = vec![0, token::from_hash(u64::MAX)];
        let bytes = encode_changes(&tokens);
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]).is_ok(), end == 5, "{end}");
        }
        assert_eq!(decode(&bytes), Ok(Told::Changes(tokens)));
        assert!(decode(&encode_changes(&[0, token::MAX_ZEROS + 1])).is_err());
    }

    #[test]
    fn a_whole_sketch_is_told_by_its_payload() {
        let sketch = Sketch::new(Precision::DEFAULT, HashFamily::Redis);
        let payload = native::encode(&sketch, Compression::Zstd);
        assert_ne!(payload[0], CHANGES);
        assert_eq!(decode(&payload), Ok(Told::Sketch(sketch)));
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
                    let Ok(Told::Changes(sent)) = decode(&encode_changes(&changes)) else {
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
