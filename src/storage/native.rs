//! The native format, version 1: what RDB files, replicas, DUMP payloads and HLL.EXPORT carry.
//!
//! ```text
//!   +---------------------------+---------------------+--------------------+
//!   | header (serde, bincode)   | body                | checksum, 4 bytes  |
//!   +---------------------------+---------------------+--------------------+
//! ```
//!
//! The header says how the sketch was made and how the body is to be read; the body is the tokens
//! ([`super::tokens`]) or the registers ([`super::registers`]); the checksum is the low half of
//! XXH3-64 over both. docs/format.md draws every byte, so that the format outlives the crates that
//! write it here.

use super::registers::{self, Coding, Compression};
use super::tokens;
use crate::sketch::dense::Origin;
use crate::sketch::estimate::Hip;
use crate::sketch::{Dense, HashFamily, Precision, Sketch};
use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// The version this code writes, and the first byte of everything it writes.
pub const VERSION: u8 = 1;

pub(super) const CHECKSUM_BYTES: usize = 4;

/// The order of fields and variants is the format.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u8,
    precision: u8,
    hash: Hash,
    body: Body,
}

#[derive(Serialize, Deserialize)]
enum Hash {
    Xxh3 { seed: u64 },
    Redis,
    DataSketches,
}

#[derive(Serialize, Deserialize)]
enum Body {
    Tokens { count: u32, rice: u8 },
    Registers { coding: Coding, kept: Kept },
}

/// What is known beside the registers; see [`Memory`].
#[derive(Serialize, Deserialize)]
enum Kept {
    Added { value: f64, variance: f64 },
    Merged,
    Plain,
}

/// Integers take as many bytes as they need, little end first; floats take eight.
fn bincode_config() -> impl bincode::config::Config {
    bincode::config::standard()
}

/// Why bytes are not a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Written by a later version of this program.
    Version(u8),
    /// The checksum does not match: cut off, altered, or never a sketch.
    Checksum,
    /// The checksum matches and the content makes no sense; the text says which part.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Version(found) => write!(
                f,
                "payload is of format version {found}, this module reads version {VERSION}"
            ),
            DecodeError::Checksum => write!(
                f,
                "payload is damaged or not a sketch, give the bytes of HLL.EXPORT unchanged"
            ),
            DecodeError::Invalid(part) => write!(
                f,
                "payload has an impossible {part}, give the bytes of HLL.EXPORT unchanged"
            ),
        }
    }
}

impl std::error::Error for DecodeError {}

/// The bytes of a sketch. The same sketch and compression always give the same bytes.
pub fn encode(sketch: &Sketch, compression: Compression) -> Vec<u8> {
    let (body, bytes) = match (sketch.tokens(), sketch.dense()) {
        (Some(set), _) => {
            let rice = tokens::rice_parameter(set.as_slice());
            let count = set.len() as u32;
            (
                Body::Tokens { count, rice },
                tokens::encode(set.as_slice(), rice),
            )
        }
        (None, Some(dense)) => {
            let (coding, bytes) = registers::encode(dense.registers(), compression);
            let kept = match dense.origin() {
                Origin::Added { hip, .. } => Kept::Added {
                    value: hip.value,
                    variance: hip.variance,
                },
                Origin::Merged(_) => Kept::Merged,
                Origin::Plain(_) => Kept::Plain,
            };
            (Body::Registers { coding, kept }, bytes)
        }
        (None, None) => unreachable!("a sketch is sparse or dense"),
    };
    let header = Header {
        version: VERSION,
        precision: sketch.precision().bits() as u8,
        hash: match sketch.hash_family() {
            HashFamily::Xxh3 { seed } => Hash::Xxh3 { seed },
            HashFamily::Redis => Hash::Redis,
            HashFamily::DataSketches => Hash::DataSketches,
        },
        body,
    };
    let mut payload = bincode::serde::encode_to_vec(header, bincode_config())
        .expect("a header of scalars always encodes");
    payload.reserve_exact(bytes.len() + CHECKSUM_BYTES);
    payload.extend(bytes);
    let checksum = checksum(&payload);
    payload.extend(checksum);
    payload
}

pub(super) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    (xxh3_64(bytes) as u32).to_le_bytes()
}

/// The sketch these bytes are of.
pub fn decode(payload: &[u8]) -> Result<Sketch, DecodeError> {
    let (content, sum) = payload
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(DecodeError::Checksum)?;
    if checksum(content) != *sum {
        return Err(DecodeError::Checksum);
    }
    match content.first() {
        Some(&VERSION) => {}
        Some(&other) => return Err(DecodeError::Version(other)),
        None => return Err(DecodeError::Invalid("header")),
    }
    let (header, read): (Header, usize) =
        bincode::serde::decode_from_slice(content, bincode_config())
            .map_err(|_| DecodeError::Invalid("header"))?;
    let bytes = &content[read..];
    let precision = Precision::new(header.precision).ok_or(DecodeError::Invalid("precision"))?;
    let hash = match header.hash {
        Hash::Xxh3 { seed } => HashFamily::Xxh3 { seed },
        Hash::Redis => HashFamily::Redis,
        Hash::DataSketches => HashFamily::DataSketches,
    };
    match header.body {
        Body::Tokens { count, rice } => {
            let count = count as usize;
            if count >= precision.max_tokens() {
                return Err(DecodeError::Invalid("number of tokens"));
            }
            let tokens =
                tokens::decode(bytes, rice, count).ok_or(DecodeError::Invalid("list of tokens"))?;
            Ok(Sketch::from_tokens(precision, hash, tokens))
        }
        Body::Registers { coding, kept } => {
            let registers = registers::decode(bytes, coding, precision.registers())
                .ok_or(DecodeError::Invalid("register array"))?;
            let dense = match kept {
                Kept::Added { value, variance } => {
                    Dense::added(registers, precision, Hip { value, variance })
                        .map(|dense| dense.ok_or(DecodeError::Invalid("estimate")))
                }
                Kept::Merged => Dense::from_registers(registers, precision, true).map(Ok),
                Kept::Plain => Dense::from_registers(registers, precision, false).map(Ok),
            };
            let dense = dense.map_err(|_| DecodeError::Invalid("register"))??;
            Ok(Sketch::from_dense(hash, dense))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn sketch(p: u8, elements: std::ops::Range<u32>) -> Sketch {
        hashed(p, HashFamily::Xxh3 { seed: 7 }, elements)
    }

    fn hashed(p: u8, hash: HashFamily, elements: std::ops::Range<u32>) -> Sketch {
        let mut sketch = Sketch::new(Precision::new(p).unwrap(), hash);
        for i in elements {
            sketch.add(&i.to_le_bytes());
        }
        sketch
    }

    fn merged(p: u8) -> Sketch {
        let mut a = sketch(p, 0..20_000);
        a.merge(&sketch(p, 10_000..40_000)).unwrap();
        a
    }

    fn plain(p: u8) -> Sketch {
        let full = sketch(p, 0..20_000);
        let registers = full
            .registers(full.precision())
            .iter()
            .map(|r| r & !3)
            .collect();
        let dense = Dense::from_registers(registers, full.precision(), false).unwrap();
        Sketch::from_dense(full.hash_family(), dense)
    }

    fn examples() -> Vec<Sketch> {
        let mut all = vec![sketch(13, 0..0), sketch(13, 0..1), sketch(13, 0..2047)];
        for p in [4, 10, 13, 18] {
            all.extend([sketch(p, 0..100_000), merged(p), plain(p)]);
        }
        for family in [HashFamily::Redis, HashFamily::DataSketches] {
            all.extend([hashed(10, family, 0..100), hashed(10, family, 0..5_000)]);
        }
        all
    }

    #[test]
    fn decoding_what_was_encoded_is_the_identity() {
        for sketch in examples() {
            for compression in Compression::ALL {
                let bytes = encode(&sketch, compression);
                assert_eq!(decode(&bytes).as_ref(), Ok(&sketch), "{compression:?}");
            }
        }
    }

    #[test]
    fn a_dense_default_sketch_takes_at_most_4700_bytes() {
        for n in [100_000, 1_000_000] {
            let bytes = encode(&sketch(13, 0..n), Compression::Zstd);
            assert!(bytes.len() <= 4_650, "{n}: {}", bytes.len());
        }
    }

    /// The bytes drawn in docs/format.md.
    #[test]
    fn the_documented_example() {
        let mut one = Sketch::new(Precision::DEFAULT, HashFamily::default());
        one.add(b"a");
        let bytes = encode(&one, Compression::Zstd);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, EXAMPLE);
    }

    const EXAMPLE: &str = "010d0000000118fb70b20469cd62ff";

    /// Version, precision, family, form, count, rice: families without a seed have no field for one.
    #[test]
    fn a_family_without_a_seed_takes_one_byte() {
        for (family, byte) in [(HashFamily::Redis, 1), (HashFamily::DataSketches, 2)] {
            let bytes = encode(&hashed(14, family, 0..0), Compression::Zstd);
            assert_eq!(
                bytes[..bytes.len() - CHECKSUM_BYTES],
                [1, 14, byte, 0, 0, 0]
            );
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        for sketch in [sketch(13, 0..500), sketch(10, 0..5_000)] {
            for compression in Compression::ALL {
                let bytes = encode(&sketch, compression);
                for end in 0..bytes.len() {
                    assert!(decode(&bytes[..end]).is_err());
                }
                for bit in 0..bytes.len() * 8 {
                    let mut flipped = bytes.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert!(decode(&flipped).is_err());
                }
            }
        }
    }

    /// An attacker computes checksums too: behind a valid one, anything may stand.
    #[test]
    fn forged_payloads_are_sketches_or_refused() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut accepted = 0;
        for sketch in examples().iter().filter(|s| s.memory_bytes() < 20_000) {
            for compression in Compression::ALL {
                let bytes = encode(sketch, compression);
                let content = &bytes[..bytes.len() - CHECKSUM_BYTES];
                for _ in 0..2_000 {
                    let mut forged = content.to_vec();
                    for _ in 0..rng.random_range(1..4) {
                        let header_only = if rng.random() { 24 } else { usize::MAX };
                        let at = rng.random_range(0..forged.len().min(header_only));
                        forged[at] = rng.random();
                    }
                    if rng.random_ratio(1, 4) {
                        forged.truncate(rng.random_range(0..=content.len()));
                    }
                    forged.extend(checksum(&forged));
                    if let Ok(found) = decode(&forged) {
                        let estimate = found.estimate();
                        assert!(estimate.value.is_finite() && estimate.value >= 0.0);
                        assert!(estimate.variance.is_finite() && estimate.variance >= 0.0);
                        assert_eq!(decode(&encode(&found, compression)).as_ref(), Ok(&found));
                        accepted += 1;
                    }
                }
            }
        }
        assert!(accepted > 0, "the forgeries never got past the checksum");
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes = encode(&sketch(13, 0..10), Compression::Zstd);
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        bytes[0] = 2;
        bytes.extend(checksum(&bytes));
        assert_eq!(decode(&bytes), Err(DecodeError::Version(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_a_sketch(mut bytes in prop::collection::vec(any::<u8>(), 0..200), with_checksum: bool) {
            if with_checksum {
                bytes.insert(0, VERSION);
                let sum = checksum(&bytes);
                bytes.extend(sum);
            }
            let _ = decode(&bytes);
        }
    }
}
