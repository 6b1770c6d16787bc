//! Hash families: how an element becomes 64 bits.
//!
//! An element is any string of bytes. A family turns it into a hash `h` of 64 uniform bits, and
//! everything after that (registers, tokens, estimators) is the same for every family. Sketches
//! of different families, or of one family with different seeds, describe different universes:
//! to combine them is an error, never a number.
//!
//! One family is ours, for everything that is made here. The other two are those of programs whose
//! sketches have been collecting for years: an element added here lands in the very register that it
//! would have touched there, at the very level. Both take index and rank from other bits than we
//! do, so their bits are put where ours are:
//!
//! ```text
//!   h               63                     26 25              p p-1         0
//!                  +-------------------------+-----------------+-------------+
//!                  | zeros from the top: level                 | index       |
//!                  +-------------------------+-----------------+-------------+
//!   redis          | bits 14, 15, ... 63 of x, in this order     | bits 13..0 | of one hash x
//!   datasketches   | bits 63..26 of h1        | bits 25..0 of h0              | of two, h0 and h1
//! ```
//!
//! * `redis`: PFADD takes the index from the low 14 bits of x = MurmurHash64A and counts zeros upwards
//!   from bit 14, stopping after 50. Mirrored, these are leading zeros, and at p = 14 the index ends
//!   the run after 50 too.
//! * `datasketches`: Apache's coupon is the low 26 bits of h0 and 1 + the leading zeros of h1. Runs of
//!   38 zeros and more, one in 2^38 elements, go on in h0's bits here and in h1's there.

mod murmur;

use murmur::{murmur_hash_64a, murmur_hash3_x64_128};
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
    /// That of Redis' own HyperLogLog, PFADD.
    Redis,
    /// That of Apache DataSketches' HLL, updated with strings, under its default seed.
    DataSketches,
}

/// In Redis' hyperloglog.c.
const REDIS_SEED: u64 = 0xadc8_3b19;

/// Index bits there: 2^14 registers.
const REDIS_INDEX_BITS: u32 = 14;

/// Apache's default update seed.
const DATASKETCHES_SEED: u64 = 9001;

/// Index bits of an Apache coupon, the most that any of its sketches uses.
const COUPON_INDEX_MASK: u64 = (1 << 26) - 1;

impl HashFamily {
    /// The hash of one element.
    #[inline]
    pub fn hash(self, element: &[u8]) -> u64 {
        match self {
            HashFamily::Xxh3 { seed } => xxh3_64_with_seed(element, seed),
            HashFamily::Redis => redis(element),
            HashFamily::DataSketches => datasketches(element),
        }
    }

    /// Hashes elements for as long as there are more of them and room for their hashes; how many
    /// hashes there are. Elements that the family does not count have none.
    ///
    /// The family is looked at once, so that each has a loop of its own: what stands in one loop with
    /// the others costs a third more.
    #[inline]
    pub fn hash_batch<'a>(
        self,
        elements: &mut impl Iterator<Item = &'a [u8]>,
        hashes: &mut [u64],
    ) -> usize {
        match self {
            HashFamily::Xxh3 { seed } => fill(hashes, elements, |e| xxh3_64_with_seed(e, seed)),
            HashFamily::Redis => fill(hashes, elements, redis),
            HashFamily::DataSketches => {
                let mut counted = elements.filter(|element| self.counts(element));
                fill(hashes, &mut counted, datasketches)
            }
        }
    }

    /// Whether the family counts this element at all. Apache's update leaves the empty string out.
    #[inline]
    pub fn counts(self, element: &[u8]) -> bool {
        !element.is_empty() || self != HashFamily::DataSketches
    }

    /// The name users see and type.
    pub fn name(self) -> &'static str {
        match self {
            HashFamily::Xxh3 { .. } => "xxh3",
            HashFamily::Redis => "redis",
            HashFamily::DataSketches => "datasketches",
        }
    }
}

#[inline]
fn fill<'a>(
    hashes: &mut [u64],
    elements: &mut impl Iterator<Item = &'a [u8]>,
    hash: impl Fn(&[u8]) -> u64,
) -> usize {
    let mut filled = 0;
    for (slot, element) in hashes.iter_mut().zip(elements) {
        *slot = hash(element);
        filled += 1;
    }
    filled
}

/// See [`HashFamily::Redis`].
fn redis(element: &[u8]) -> u64 {
    let x = murmur_hash_64a(element, REDIS_SEED);
    (x >> REDIS_INDEX_BITS).reverse_bits() | x & ((1 << REDIS_INDEX_BITS) - 1)
}

/// See [`HashFamily::DataSketches`].
fn datasketches(element: &[u8]) -> u64 {
    let [h0, h1] = murmur_hash3_x64_128(element, DATASKETCHES_SEED);
    h1 & !COUPON_INDEX_MASK | h0 & COUPON_INDEX_MASK
}

/// A [`HashFamily`] in nine bytes without alignment, so that a structure that keeps one has room for other
/// small fields beside it. The enum takes sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedFamily {
    /// 0 for families without one.
    seed: [u8; 8],
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Xxh3,
    Redis,
    DataSketches,
}

impl From<HashFamily> for PackedFamily {
    fn from(family: HashFamily) -> PackedFamily {
        let (kind, seed) = match family {
            HashFamily::Xxh3 { seed } => (Kind::Xxh3, seed),
            HashFamily::Redis => (Kind::Redis, 0),
            HashFamily::DataSketches => (Kind::DataSketches, 0),
        };
        PackedFamily {
            seed: seed.to_ne_bytes(),
            kind,
        }
    }
}

impl PackedFamily {
    /// The family.
    #[inline]
    pub fn get(self) -> HashFamily {
        match self.kind {
            Kind::Xxh3 => HashFamily::Xxh3 {
                seed: u64::from_ne_bytes(self.seed),
            },
            Kind::Redis => HashFamily::Redis,
            Kind::DataSketches => HashFamily::DataSketches,
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
    use crate::sketch::{Precision, register, token};

    fn check(family: HashFamily, known: &[(&str, u64)]) {
        for &(element, hash) in known {
            assert_eq!(family.hash(element.as_bytes()), hash, "{element}");
        }
    }

    /// Computed by an independent implementation of XXH3-64.
    #[test]
    fn known_hashes() {
        check(
            HashFamily::default(),
            &[
                ("", 0x2d06_8005_38d3_94c2),
                ("a", 0xe6c6_32b6_1e96_4e1f),
                ("user:0", 0x8104_4cdf_b11e_fb2e),
                ("user:1", 0x3b57_7afd_7fed_9501),
                ("user:123456", 0x435d_da6c_5c89_2f55),
            ],
        );
    }

    #[test]
    fn the_seed_changes_the_hash() {
        let other = HashFamily::Xxh3 { seed: 1 };
        assert_ne!(HashFamily::default().hash(b"a"), other.hash(b"a"));
    }

    /// PFADD of one element makes a sparse PF key whose one value opcode names register and rank.
    /// These were read from keys that Redis 7.0.15 made.
    #[test]
    fn redis_puts_an_element_where_pfadd_does() {
        let p = Precision::new(14).unwrap();
        for (element, index, rank) in PFADD {
            let hash = HashFamily::Redis.hash(element.as_bytes());
            assert_eq!(register::index(hash, p), index, "{element}");
            assert_eq!(register::level(hash, p), rank, "{element}");
        }
    }

    /// A DataSketches list of one coupon, as the Python package wrote it.
    #[test]
    fn datasketches_makes_apaches_coupon() {
        for (element, coupon) in COUPONS {
            let token = token::from_hash(HashFamily::DataSketches.hash(element.as_bytes()));
            let (slot, value) = (token >> 6, (token & 63) + 1);
            assert_eq!(value << 26 | slot, coupon, "{element}");
        }
    }

    #[test]
    fn a_packed_family_is_the_family() {
        assert_eq!(
            (size_of::<PackedFamily>(), align_of::<PackedFamily>()),
            (9, 1)
        );
        for family in [
            HashFamily::Xxh3 { seed: u64::MAX - 7 },
            HashFamily::Redis,
            HashFamily::DataSketches,
        ] {
            assert_eq!(PackedFamily::from(family).get(), family);
        }
    }

    #[test]
    fn only_datasketches_leaves_the_empty_string_out() {
        assert!(HashFamily::default().counts(b"") && HashFamily::Redis.counts(b""));
        assert!(!HashFamily::DataSketches.counts(b""));
        assert!(HashFamily::DataSketches.counts(b"\0"));
    }

    #[rustfmt::skip]
    const COUPONS: [(&str, u32); 6] = [
        ("a", 0x043b822f),
        ("user:0", 0x08eb661e),
        ("user:1", 0x10afec65),
        ("user:123456", 0x0af3e735),
        ("an element of more than sixteen bytes", 0x09d24d00),
        ("grüße, exactly 24 bytes!", 0x048c1eb6),
    ];

    const PFADD: [(&str, usize, u32); 7] = [
        ("", 5938, 2),
        ("a", 12711, 2),
        ("user:0", 13397, 1),
        ("user:1", 2131, 4),
        ("user:123456", 3384, 1),
        ("an element of more than sixteen bytes", 3072, 3),
        ("grüße, exactly 24 bytes!", 8816, 1),
    ];
}
