//! The HyperLogLog of Redis and Valkey: the string under a PF key.
//!
//! PFADD keeps 2^14 classical registers, each the highest rank it has seen, in a string with a header:
//!
//! ```text
//!     0        4         5           8                              16
//!   +--------+---------+-----------+------------------------------+----------------+
//!   | "HYLL" | coding  | unused    | cardinality, low byte first  | registers      |
//!   |        | 0 dense |           | top bit of the last byte:    |                |
//!   |        | 1 sparse|           | out of date                  |                |
//!   +--------+---------+-----------+------------------------------+----------------+
//! ```
//!
//! The cardinality is what the last PFCOUNT worked out. It is not believed here, and what is written
//! here declares it out of date, so that the next PFCOUNT works it out by itself.
//!
//! **Dense**: 12,288 bytes, six bits for each register, the first one in the low bits of the first byte:
//!
//! ```text
//!    byte 0     byte 1     byte 2
//!   +--------+ +--------+ +--------+
//!   |11000000| |22221111| |33333322|      four registers 0, 1, 2, 3 in three bytes
//!   +--------+ +--------+ +--------+
//! ```
//!
//! **Sparse**: runs of equal registers, which together are exactly 16,384 of them:
//!
//! ```text
//!   00nnnnnn             ZERO   n + 1 registers are 0
//!   01nnnnnn nnnnnnnn    XZERO  n + 1 registers are 0, the high bits of n first
//!   1vvvvvnn             VAL    n + 1 registers are v + 1
//! ```
//!
//! A key without elements is one XZERO: `7f ff`. One whose only element has put rank 3 into register
//! 1,000 is `43 e7`, `88`, `7c 16`: 1,000 zeros, one 3, 15,383 zeros.
//!
//! A sparse reader that trusts the runs writes past its 16,384 registers (CVE-2025-32023). This one
//! looks at every run before it takes it: the registers so far and the run must fit, and at the end be
//! all there. It accepts what a server can have made and nothing else. A rank is at most 51, since a
//! hash has 50 bits beside the index.
//!
//! Index and rank are bits of the hash family `redis` ([`crate::sketch::hash`]) at precision 14. Ranks
//! below the highest were never kept, so a sketch made of a PF key is without history.

use super::WriteError;
use crate::sketch::register::Register;
use crate::sketch::{Dense, HashFamily, Precision, Sketch};
use std::fmt;

/// A PF key has 2^14 registers, always.
pub const PRECISION: Precision = Precision::new(14).unwrap();

const MAGIC: &[u8] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const HEADER_BYTES: usize = 16;

/// What is shorter than the header is no value of this format, whatever it begins with.
pub const SHORTEST: usize = HEADER_BYTES;
const CARDINALITY: std::ops::Range<usize> = 8..16;
const OUT_OF_DATE: u8 = 0x80;

const REGISTERS: usize = PRECISION.registers();
const REGISTER_BITS: u32 = 6;
const DENSE_BYTES: usize = REGISTERS * REGISTER_BITS as usize / 8;

/// The longest run of each kind.
const ZERO_RUN: usize = 64;
const VALUE_RUN: usize = 4;
/// The highest rank a VAL run can state.
const SPARSE_RANK: u8 = 32;
/// The server's default of hll-sparse-max-bytes: a longer sparse value would be dense there.
const SPARSE_BYTES: usize = 3000;

/// What is wrong with a string that is to be a PF key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPf(pub &'static str);

impl fmt::Display for InvalidPf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload is not the value of a PF key ({})", self.0)
    }
}

impl std::error::Error for InvalidPf {}

/// Whether a string claims to be a PF key's.
pub fn is_pf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The sketch of a PF key's string. One without elements is a sketch like any other empty one.
pub fn decode(bytes: &[u8]) -> Result<Sketch, InvalidPf> {
    if !is_pf(bytes) {
        return Err(InvalidPf("it does not begin with HYLL"));
    }
    let body = bytes
        .get(HEADER_BYTES..)
        .ok_or(InvalidPf("its header is cut off"))?;
    let registers = match bytes[MAGIC.len()] {
        DENSE => dense_registers(body)?,
        SPARSE => sparse_registers(body)?,
        _ => return Err(InvalidPf("its encoding is neither dense nor sparse")),
    };
    if registers.iter().fold(0, |all, r| all | r) == 0 {
        return Ok(Sketch::new(PRECISION, HashFamily::Redis));
    }
    let dense = Dense::from_registers(registers, PRECISION, false)
        .map_err(|_| InvalidPf("a register is above 51"))?;
    Ok(Sketch::from_dense(HashFamily::Redis, dense))
}

fn dense_registers(body: &[u8]) -> Result<Vec<Register>, InvalidPf> {
    if body.len() != DENSE_BYTES {
        return Err(InvalidPf("its dense registers are not 12288 bytes"));
    }
    let mut registers = vec![0; REGISTERS];
    let ((fours, _), (threes, _)) = (registers.as_chunks_mut(), body.as_chunks());
    for (four, &[low, middle, high]) in fours.iter_mut().zip(threes) {
        let packed = u32::from_le_bytes([low, middle, high, 0]);
        // Six bits into each byte, all four at once.
        let apart = packed & 0x3f
            | (packed & 0xfc0) << 2
            | (packed & 0x3_f000) << 4
            | (packed & 0xfc_0000) << 6;
        *four = (apart << 2).to_le_bytes();
    }
    Ok(registers)
}

fn sparse_registers(mut body: &[u8]) -> Result<Vec<Register>, InvalidPf> {
    let mut registers = Vec::with_capacity(REGISTERS);
    while let Some((&first, rest)) = body.split_first() {
        body = rest;
        let (rank, run) = match first >> 6 {
            0b00 => (0, usize::from(first) + 1),
            0b01 => {
                let (&second, rest) = rest
                    .split_first()
                    .ok_or(InvalidPf("its last run is cut off"))?;
                body = rest;
                let high = usize::from(first & 0x3f);
                (0, (high << 8 | usize::from(second)) + 1)
            }
            _ => ((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1),
        };
        if run > REGISTERS - registers.len() {
            return Err(InvalidPf("its runs go beyond 16384 registers"));
        }
        registers.resize(registers.len() + run, rank << 2);
    }
    if registers.len() != REGISTERS {
        return Err(InvalidPf("its runs end before 16384 registers"));
    }
    Ok(registers)
}

/// The string of a PF key with the elements of this sketch, which must be of the family `redis` and of
/// precision 14 or more: sparse where the server would keep it sparse, else dense.
pub fn encode(sketch: &Sketch) -> Result<Vec<u8>, WriteError> {
    WriteError::check_hash(sketch, HashFamily::Redis)?;
    if sketch.precision() < PRECISION {
        return Err(WriteError::Precision {
            least: PRECISION,
            found: sketch.precision(),
        });
    }
    let ranks: Vec<u8> = sketch.registers(PRECISION).iter().map(|r| r >> 2).collect();
    let (coding, body) = match sparse_body(&ranks) {
        Some(body) => (SPARSE, body),
        None => (DENSE, dense_body(&ranks)),
    };
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[MAGIC.len()] = coding;
    bytes[CARDINALITY.end - 1] = OUT_OF_DATE;
    bytes.extend(body);
    Ok(bytes)
}

fn dense_body(ranks: &[u8]) -> Vec<u8> {
    let (fours, _) = ranks.as_chunks::<4>();
    let packed = fours.iter().flat_map(|four| {
        let bits = (0u32..).zip(four);
        let four = bits.fold(0, |all, (i, &rank)| {
            all | u32::from(rank) << (i * REGISTER_BITS)
        });
        let [low, middle, high, _] = four.to_le_bytes();
        [low, middle, high]
    });
    packed.collect()
}

/// Each run in its shortest form; `None` where a rank is too high for one or the server would not keep
/// them.
fn sparse_body(ranks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for run in ranks.chunk_by(|a, b| a == b) {
        match (run[0], run.len()) {
            (0, len @ ..=ZERO_RUN) => body.push((len - 1) as u8),
            (0, len) => body.extend((0x4000 | (len - 1) as u16).to_be_bytes()),
            (1..=SPARSE_RANK, _) => body.extend(
                run.chunks(VALUE_RUN)
                    .map(|part| 0x80 | (part[0] - 1) << 2 | (part.len() - 1) as u8),
            ),
            _ => return None,
        }
        if HEADER_BYTES + body.len() > SPARSE_BYTES {
            return None;
        }
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sketch(p: u8, elements: u32) -> Sketch {
        let mut sketch = Sketch::new(Precision::new(p).unwrap(), HashFamily::Redis);
        for i in 0..elements {
            sketch.add(format!("user:{i}").as_bytes());
        }
        sketch
    }

    fn header(coding: u8) -> Vec<u8> {
        [MAGIC, &[coding, 0, 0, 0], &[0; 8]].concat()
    }

    fn sparse(body: &[u8]) -> Result<Sketch, InvalidPf> {
        decode(&[&header(SPARSE), body].concat())
    }

    fn ranks(sketch: &Sketch) -> Vec<u8> {
        let registers = sketch.registers(PRECISION);
        registers.iter().map(|r| r >> 2).collect()
    }

    #[test]
    fn the_documented_examples() {
        assert!(sparse(&[0x7f, 0xff]).unwrap().is_empty());
        let one = ranks(&sparse(&[0x43, 0xe7, 0x88, 0x7c, 0x16]).unwrap());
        assert_eq!(one[1000], 3);
        assert_eq!(one.iter().filter(|&&rank| rank != 0).count(), 1);
        assert_eq!(sparse_body(&one).unwrap(), [0x43, 0xe7, 0x88, 0x7c, 0x16]);
    }

    #[test]
    fn an_export_is_read_as_the_same_registers() {
        for p in [14, 15, 18] {
            for n in [0, 1, 100, 1_000, 5_000, 100_000] {
                let made = sketch(p, n);
                let bytes = encode(&made).unwrap();
                assert_eq!(bytes[4] == SPARSE, n <= 1_000, "{n}");
                assert!(bytes[4] == DENSE || bytes.len() <= SPARSE_BYTES);
                let read = decode(&bytes).unwrap();
                assert_eq!(ranks(&read), ranks(&made));
                assert_eq!(read.history(), n == 0);
            }
        }
    }

    #[test]
    fn other_families_and_lower_precisions_have_no_pf_form() {
        let error = encode(&Sketch::new(PRECISION, HashFamily::default())).unwrap_err();
        assert!(matches!(error, WriteError::Hash { .. }));
        let error = encode(&sketch(13, 0)).unwrap_err();
        assert!(matches!(error, WriteError::Precision { .. }));
    }

    /// CVE-2025-32023: runs that go beyond the registers, one by one and in sum, and as many of the longest
    /// runs as bring an index of 32 bits round to where it has to end.
    #[test]
    fn runs_beyond_the_registers_are_refused() {
        let full = [0x7f, 0xff];
        let beyond = Err(InvalidPf("its runs go beyond 16384 registers"));
        for run in [&[0x00][..], &[0x3f], &[0x40, 0x00], &full, &[0x80], &[0xff]] {
            assert_eq!(sparse(&[&full, run].concat()), beyond);
            assert_eq!(sparse(&[run, &full].concat()), beyond);
        }
        let around = full.repeat((1 << 32) / REGISTERS + 1);
        assert_eq!(sparse(&around), beyond);
        assert_eq!(sparse(&[0xff; 5_000]), beyond);
    }

    #[test]
    fn what_is_missing_or_left_over_is_refused() {
        assert!(sparse(&[]).is_err());
        assert!(sparse(&[0x7f]).is_err());
        assert!(sparse(&[0x7f, 0xfe]).is_err());
        for len in [0, DENSE_BYTES - 1, DENSE_BYTES + 1] {
            assert!(decode(&[header(DENSE), vec![0; len]].concat()).is_err());
        }
        assert!(decode(&[header(DENSE), vec![0; DENSE_BYTES]].concat()).is_ok());
        for coding in 2..=255 {
            assert!(decode(&[header(coding), vec![0; DENSE_BYTES]].concat()).is_err());
        }
        let mut high = [header(DENSE), vec![0; DENSE_BYTES]].concat();
        high[HEADER_BYTES] = 51;
        assert!(decode(&high).is_ok());
        high[HEADER_BYTES] = 52;
        assert!(decode(&high).is_err());
        for end in 0..HEADER_BYTES {
            assert!(decode(&header(DENSE)[..end]).is_err());
        }
    }

    /// What is kept of a PF key's elements is enough for joint questions, only less than registers with
    /// history have: the errors are those of classical registers in the design's study (pairs with a Jaccard
    /// similarity of .05: 5.5 %; the fifth step of a funnel: 5.9 %).
    mod statistics {
        use super::*;
        use crate::sketch::joint::{Joint, Segment};
        use rand::rngs::SmallRng;
        use rand::{Rng, SeedableRng};

        /// Standard errors that the measured may be away from the stated one: exceeded by chance once in some
        /// 30,000 runs, each way and for each of the four figures.
        const CHANCE: f64 = 4.0;
        /// The least cover of 95 % intervals that was measured for the design.
        const COVER: f64 = 0.92;

        /// Through the bytes of a PF key.
        fn as_pf(sketch: &Sketch) -> Sketch {
            decode(&encode(sketch).unwrap()).unwrap()
        }

        /// Sketches of random sets; a part (n, sets) is n elements that are in these sets.
        fn sketches(parts: &[(u32, &[usize])], k: usize, rng: &mut SmallRng) -> Vec<Sketch> {
            let mut made = vec![Sketch::new(PRECISION, HashFamily::Redis); k];
            for &(n, sets) in parts {
                for _ in 0..n {
                    let hash = rng.next_u64();
                    for &set in sets {
                        made[set].add_hash(hash);
                    }
                }
            }
            made.iter().map(as_pf).collect()
        }

        fn check(parts: &[(u32, &[usize])], k: usize, trials: u32, error: f64) {
            let seed = rand::random();
            let mut rng = SmallRng::seed_from_u64(seed);
            let in_all = parts.iter().filter(|(_, sets)| sets.len() == k);
            let truth = f64::from(in_all.map(|(n, _)| n).sum::<u32>());
            let (mut squares, mut held) = (0.0, 0);
            for _ in 0..trials {
                let sketches = sketches(parts, k, &mut rng);
                let joint = Joint::solve(&sketches.iter().collect::<Vec<_>>()).unwrap();
                let found = joint.estimate(Segment::all((0..k).collect()));
                let (lower, upper) = found.interval(0.95);
                squares += (found.value / truth - 1.0).powi(2);
                held += u32::from(lower <= truth && truth <= upper);
            }
            let trials = f64::from(trials);
            let rmse = (squares / trials).sqrt();
            let cover = f64::from(held) / trials;
            println!("{k} sets, {trials} trials, seed {seed}: RMSE {rmse:.4}, cover {cover:.3}");
            assert!(
                rmse < error * (1.0 + CHANCE / (2.0 * trials).sqrt()),
                "seed {seed}"
            );
            assert!(
                cover > COVER - CHANCE * (COVER * (1.0 - COVER) / trials).sqrt(),
                "seed {seed}"
            );
        }

        #[test]
        fn intersections_of_pf_keys() {
            // The union is 1,000,000, the sets are of equal size.
            let parts: [(u32, &[usize]); 3] = [(475_000, &[0]), (475_000, &[1]), (50_000, &[0, 1])];
            check(&parts, 2, 100, 0.055);
        }

        #[test]
        fn funnels_of_pf_keys() {
            // 1,000,000, 400,000, 100,000, 40,000 and 20,000, four fifths of each drawn from the step before.
            let parts: [(u32, &[usize]); 15] = [
                (680_000, &[0]),
                (256_000, &[0, 1]),
                (43_520, &[0, 1, 2]),
                (12_288, &[0, 1, 2, 3]),
                (8_192, &[0, 1, 2, 3, 4]),
                (64_000, &[1]),
                (10_880, &[1, 2]),
                (3_072, &[1, 2, 3]),
                (2_048, &[1, 2, 3, 4]),
                (13_600, &[2]),
                (3_840, &[2, 3]),
                (2_560, &[2, 3, 4]),
                (4_800, &[3]),
                (3_200, &[3, 4]),
                (4_000, &[4]),
            ];
            check(&parts, 5, 100, 0.059);
        }
    }

    proptest! {
        #[test]
        fn any_ranks_return(runs in prop::collection::vec((0u8..=51, 1usize..3000), 1..400)) {
            let mut all: Vec<u8> = runs.iter().flat_map(|&(rank, len)| vec![rank; len]).collect();
            all.resize(REGISTERS, 0);
            let bytes = [header(DENSE), dense_body(&all)].concat();
            prop_assert_eq!(ranks(&decode(&bytes).unwrap()), all.clone());
            if let Some(body) = sparse_body(&all) {
                prop_assert_eq!(ranks(&sparse(&body).unwrap()), all);
            }
        }

        #[test]
        fn any_runs_are_a_sketch_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = sparse(&body);
        }
    }
}
