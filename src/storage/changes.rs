//! What an ADD has changed, as it goes to replicas and into the append-only file: the tokens of the
//! elements that changed the sketch, in the order in which they did, four bytes each, little end
//! first.
//!
//! A token is all that registers of any precision and the sparse form can ask about an element, so
//! a copy of the sketch as it was that takes these in ends as the sketch is now, to the last bit of
//! the running estimate. Elements that changed nothing are left out: they change nothing there
//! either.

use crate::sketch::token::{self, Token};

/// The bytes of these tokens.
pub fn encode(tokens: &[Token]) -> Vec<u8> {
    tokens
        .iter()
        .flat_map(|token| token.to_le_bytes())
        .collect()
}

/// The tokens in these bytes; `None` unless it is a whole number of them, not zero, and each is one
/// that some element has.
pub fn decode(bytes: &[u8]) -> Option<Vec<Token>> {
    let (tokens, rest) = bytes.as_chunks();
    if tokens.is_empty() || !rest.is_empty() {
        return None;
    }
    tokens
        .iter()
        .map(|&bytes| Some(Token::from_le_bytes(bytes)).filter(|&token| token::is_valid(token)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{HashFamily, Precision, Sketch};
    use proptest::prelude::*;

    #[test]
    fn only_whole_lists_of_possible_tokens_are_read() {
        let last = token::from_hash(u64::MAX);
        assert_eq!(decode(&encode(&[0, last])), Some(vec![0, last]));
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0, 0, 0]), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0]), None);
        assert_eq!(decode(&encode(&[0, token::MAX_ZEROS + 1])), None);
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
                    let sent = decode(&encode(&changes)).unwrap();
                    prop_assert_eq!(copy.replay(&sent), sent.len());
                }
                prop_assert_eq!(&copy, &sketch);
                prop_assert_eq!(&plain, &sketch);
            }
        }
    }
}
