//! A sketch as bytes, whole: registers or tokens, and all that is known beside them.
//!
//! The body of a [`frame`] of the kind `Sketch`:
//!
//! ```text
//!   +-----------------+-----------------------+----------------------------------+-----------------+
//!   | precision, 1    | hash family           | form                             | tokens or       |
//!   |                 |   0  seed, 1 to 9     |   0  tokens: count, rice         | registers,      |
//!   |                 |   1  redis            |   1  registers: coding, origin,  | to the end      |
//!   |                 |   2  datasketches     |      estimate if only added to   |                 |
//!   +-----------------+-----------------------+----------------------------------+-----------------+
//!    <---------------- header: bincode, standard configuration ------------------>
//! ```
//!
//! The header says how the sketch was made and how the rest is to be read: [`rice`] or
//! `registers`. docs/format.md draws every byte, so that the format outlives the crates that
//! write it here.
//!
//! The sketch of the one element `a`, at the default precision:
//!
//! ```text
//!   01 01 0a   0d   00 00   00 01 18   fb 70 b2 04   ec 05 02 97
//!   frame      p    xxh3,   1 token,   the token     checksum
//!              13   seed 0  rice 24
//! ```

use super::DecodeError;
use super::frame::{self, Frame, Kind};
use super::registers::{self, Coding, Compression};
use crate::sketch::dense::Origin;
use crate::sketch::estimate::Hip;
use crate::sketch::rice;
use crate::sketch::{Dense, HashFamily, Precision, Sketch, TokenSet};
use serde::{Deserialize, Serialize};

/// The order of fields and variants is the format.
#[derive(Serialize, Deserialize)]
struct Header {
    precision: u8,
    hash: Hash,
    form: Form,
}

#[derive(Serialize, Deserialize)]
enum Hash {
    Xxh3 { seed: u64 },
    Redis,
    DataSketches,
}

#[derive(Serialize, Deserialize)]
enum Form {
    Tokens {
        count: u32,
        rice: u8,
    },
    Registers {
        coding: Coding,
        origin: StoredOrigin,
    },
}

/// Where the registers came from: what is stored of a [`Origin`].
#[derive(Serialize, Deserialize)]
enum StoredOrigin {
    Added { value: f64, variance: f64 },
    Merged,
    Plain,
}

/// Integers take as many bytes as they need, little end first; floats take eight.
fn bincode_config() -> impl bincode::config::Config {
    bincode::config::standard()
}

/// The bytes of a sketch. The same sketch and compression always give the same bytes.
pub fn encode(sketch: &Sketch, compression: Compression) -> Vec<u8> {
    let (form, bytes) = match sketch.dense() {
        Some(dense) => {
            let (coding, bytes) = registers::encode(dense.registers(), compression);
            let origin = match dense.origin() {
                Origin::Added { hip, .. } => StoredOrigin::Added {
                    value: hip.value,
                    variance: hip.variance,
                },
                Origin::Merged(_) => StoredOrigin::Merged,
                Origin::Plain(_) => StoredOrigin::Plain,
            };
            (Form::Registers { coding, origin }, bytes)
        }
        None => {
            let tokens = sketch.tokens().map_or(&[][..], TokenSet::as_slice);
            let rice = rice::parameter(tokens);
            let count = tokens.len() as u32;
            (Form::Tokens { count, rice }, rice::encode(tokens, rice))
        }
    };
    let header = Header {
        precision: sketch.precision().bits() as u8,
        hash: match sketch.hash_family() {
            HashFamily::Xxh3 { seed } => Hash::Xxh3 { seed },
            HashFamily::Redis => Hash::Redis,
            HashFamily::DataSketches => Hash::DataSketches,
        },
        form,
    };
    let header = bincode::serde::encode_to_vec(header, bincode_config())
        .expect("a header of scalars always encodes");
    frame::encode(Kind::Sketch, &[&header, &bytes])
}

/// The sketch that these bytes are of.
pub fn decode(payload: &[u8]) -> Result<Sketch, DecodeError> {
    decode_body(Frame::only(payload)?.body_of(Kind::Sketch)?)
}

/// The sketch in a frame of its kind.
pub(super) fn decode_body(body: &[u8]) -> Result<Sketch, DecodeError> {
    let (header, read): (Header, usize) = bincode::serde::decode_from_slice(body, bincode_config())
        .map_err(|_| DecodeError::Invalid("header"))?;
    let bytes = &body[read..];
    let precision = Precision::new(header.precision).ok_or(DecodeError::Invalid("precision"))?;
    let hash = match header.hash {
        Hash::Xxh3 { seed } => HashFamily::Xxh3 { seed },
        Hash::Redis => HashFamily::Redis,
        Hash::DataSketches => HashFamily::DataSketches,
    };
    match header.form {
        Form::Tokens { count, rice } => {
            let count = count as usize;
            if count >= precision.max_tokens() {
                return Err(DecodeError::Invalid("number of tokens"));
            }
            let tokens =
                rice::decode(bytes, rice, count).ok_or(DecodeError::Invalid("list of tokens"))?;
            Ok(Sketch::from_tokens(precision, hash, tokens))
        }
        Form::Registers { coding, origin } => {
            let registers = registers::decode(bytes, coding, precision.registers())
                .ok_or(DecodeError::Invalid("register array"))?;
            let dense = match origin {
                StoredOrigin::Added { value, variance } => {
                    Dense::added(registers, precision, Hip { value, variance })
                        .map(|dense| dense.ok_or(DecodeError::Invalid("estimate")))
                }
                StoredOrigin::Merged => Dense::from_registers(registers, precision, true).map(Ok),
                StoredOrigin::Plain => Dense::from_registers(registers, precision, false).map(Ok),
            };
            let dense = dense.map_err(|_| DecodeError::Invalid("register"))??;
            Ok(Sketch::from_dense(hash, dense))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frame::tests::sealed;
    use crate::storage::frame::{FrameError, VERSION};
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

    const EXAMPLE: &str = "01010a0d0000000118fb70b204ec050297";

    /// Precision, family, form, count, rice: families without a seed have no field for one.
    #[test]
    fn a_family_without_a_seed_takes_one_byte() {
        for (family, byte) in [(HashFamily::Redis, 1), (HashFamily::DataSketches, 2)] {
            let bytes = encode(&hashed(14, family, 0..0), Compression::Zstd);
            let body = Frame::only(&bytes).unwrap().body;
            assert_eq!(body, [14, byte, 0, 0, 0]);
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

    /// An attacker makes frames too: in a sound one, anything may stand.
    #[test]
    fn forged_payloads_are_sketches_or_refused() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut accepted = 0;
        for sketch in examples().iter().filter(|s| s.memory_bytes() < 20_000) {
            for compression in Compression::ALL {
                let bytes = encode(sketch, compression);
                let body = Frame::only(&bytes).unwrap().body;
                for _ in 0..2_000 {
                    let mut forged = body.to_vec();
                    for _ in 0..rng.random_range(1..4) {
                        let header_only = if rng.random() { 24 } else { usize::MAX };
                        let at = rng.random_range(0..forged.len().min(header_only));
                        forged[at] = rng.random();
                    }
                    if rng.random_ratio(1, 4) {
                        forged.truncate(rng.random_range(0..=body.len()));
                    }
                    if let Ok(found) = decode(&frame::encode(Kind::Sketch, &[&forged])) {
                        let estimate = found.estimate();
                        assert!(estimate.value.is_finite() && estimate.value >= 0.0);
                        assert!(estimate.variance.is_finite() && estimate.variance >= 0.0);
                        assert_eq!(decode(&encode(&found, compression)).as_ref(), Ok(&found));
                        accepted += 1;
                    }
                }
            }
        }
        assert!(accepted > 0, "the forgeries never got past the frame");
    }

    #[test]
    fn what_is_not_a_sketch_of_this_version_is_named() {
        let bytes = encode(&sketch(13, 0..10), Compression::Zstd);
        let body = Frame::only(&bytes).unwrap().body;
        let error = |bytes: &[u8]| match decode(bytes) {
            Err(DecodeError::Frame(error)) => error,
            other => panic!("{other:?}"),
        };
        let later = [&[Kind::Sketch as u8, VERSION + 1, body.len() as u8], body].concat();
        assert_eq!(error(&sealed(&later)), FrameError::Version(2));
        let (wanted, found) = (Kind::Sketch, Kind::Changes);
        let other = frame::encode(found, &[body]);
        assert_eq!(error(&other), FrameError::OtherKind { wanted, found });
        assert_eq!(
            error(&[&bytes[..], &bytes].concat()),
            FrameError::Trailing(bytes.len())
        );
        assert_eq!(error(&[]), FrameError::Damaged);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_a_sketch(bytes in prop::collection::vec(any::<u8>(), 0..200), framed: bool) {
            let _ = match framed {
                true => decode(&frame::encode(Kind::Sketch, &[&bytes])),
                false => decode(&bytes),
            };
        }
    }
}
