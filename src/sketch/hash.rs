//! Hash families: how an element becomes 64 bits.
//!
//! An element is any string of bytes. A family turns it into a hash `h` of 64 uniform bits, and
//! everything after that (registers, tokens, estimators) is the same for every family. Sketches
//! of different families, or of one family with different seeds, describe different universes:
//! to combine them is an error, never a number.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The function from elements to hashes, with everything it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFamily {
    /// XXH3-64 (Collet). The seed is part of the identity: a secret one keeps outsiders from
    /// choosing elements that inflate a count or hide in it.
    Xxh3 {
        /// Any 64 bits; 0 is the default.
        seed: u64,
    },
}

impl HashFamily {
    /// The hash of one element.
    #[inline]
    pub fn hash(self, element: &[u8]) -> u64 {
        match self {
            HashFamily::Xxh3 { seed } => xxh3_64_with_seed(element, seed),
        }
    }

    /// The name users see and type.
    pub fn name(self) -> &'static str {
        match self {
            HashFamily::Xxh3 { .. } => "xxh3",
        }
    }
}

impl Default for HashFamily {
    fn default() -> Self {
        HashFamily::Xxh3 { seed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by an independent implementation of XXH3-64.
    #[test]
    fn known_hashes() {
        let family = HashFamily::default();
        for (element, hash) in [
            ("", 0x2d06_8005_38d3_94c2),
            ("a", 0xe6c6_32b6_1e96_4e1f),
            ("user:0", 0x8104_4cdf_b11e_fb2e),
            ("user:1", 0x3b57_7afd_7fed_9501),
            ("user:123456", 0x435d_da6c_5c89_2f55u64),
        ] {
            assert_eq!(family.hash(element.as_bytes()), hash, "{element}");
        }
    }

    #[test]
    fn the_seed_changes_the_hash() {
        let other = HashFamily::Xxh3 { seed: 1 };
        assert_ne!(HashFamily::default().hash(b"a"), other.hash(b"a"));
    }
}
