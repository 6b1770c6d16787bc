//! Apache DataSketches: its HLL sketch as bytes.
//!
//! What Spark, Druid, Snowflake, BigQuery and the libraries in Java, C++, Python, Go and Rust hand to each
//! other. All numbers have their low byte first. K = 2^lgK registers, lgK from 4 to 21, and three forms,
//! by how many elements there are:
//!
//! ```text
//!   byte   0      1         2        3     4        5       6        7       8
//!        +------+---------+--------+-----+--------+-------+--------+------+------------------------+
//!   LIST | 2    | version | family | lgK | lgArr  | flags | count  | mode | coupons, 4 bytes each  |
//!   SET  | 3    | 1       | 7, HLL | lgK | lgArr  | flags | 0      | mode | count, 4; coupons      |
//!   HLL  | 10   |         |        | lgK | lgArr  | flags | curMin | mode | derived, 28; count of  |
//!        | ints |         |        |     |        |       |        |      | exceptions, 4;         |
//!        |      |         |        |     |        |       |        |      | registers; exceptions  |
//!        +------+---------+--------+-----+--------+-------+--------+------+------------------------+
//!
//!   flags   bit 2  empty                          mode   bits 0-1  0 LIST, 1 SET, 2 HLL
//!           bit 3  compact                               bits 2-3  0 HLL_4, 1 HLL_6, 2 HLL_8
//!           bit 4  out of order
//! ```
//!
//! A **coupon** is an element, nearly: its slot in the low 26 bits (low bits of the one hash) and its value,
//! 1 to 63, in the high 6 (one more than the leading zeros of the other). That is our token with the fields
//! the other way round, so small sketches travel without any loss. *Compact* arrays hold `count` coupons;
//! the others are hash tables of 2^lgArr places, the empty ones 0. The list of the one string `a`, at lgK 13,
//! is `02 01 07 0d 03 08 01 08` and the coupon `2f 82 3b 04`: slot 0x3b822f, value 1.
//!
//! **Registers** hold the highest value of the coupons whose slots agree in the low lgK bits:
//!
//! ```text
//!   HLL_8   a byte each
//!   HLL_6   six bits each, from the low end of the first byte on, and one byte more than that takes
//!   HLL_4   four bits each, the even ones low: value - curMin; 15 says: look among the exceptions, which are
//!           (register, value) packed like coupons; a hash table of them unless compact
//! ```
//!
//! **Derived**, and not believed here: the running estimate (HIP, bytes 8 to 15), the sums of 2^-value
//! over the registers up to 31 and from 32 on (KxQ, 16 to 23 and 24 to 31), the number of registers at
//! curMin (32 to 35). All of them follow from the registers, except HIP, which follows from an
//! order of elements that nobody can check. What is written here has the right sums and number, 0 for HIP,
//! and declares itself *out of order*, which to every Apache library means: estimate from the registers.
//!
//! lgK 19 to 21 is folded to 18, our finest. Values above our highest level, 65 - p, become that; no more
//! than one element in 2^46 has one.

use super::WriteError;
use crate::sketch::token::{MAX_ZEROS, Token, TokenSet};
use crate::sketch::{Dense, HashFamily, Precision, Sketch, register};
use std::fmt;

const VERSION: u8 = 1;
const FAMILY: u8 = 7;

const LIST_INTS: u8 = 2;
const SET_INTS: u8 = 3;
const HLL_INTS: u8 = 10;

/// HIP, the two KxQ, and the number of registers at curMin.
const DERIVED_BYTES: usize = 28;

const EMPTY: u8 = 1 << 2;
const COMPACT: u8 = 1 << 3;
const OUT_OF_ORDER: u8 = 1 << 4;

const LIST: u8 = 0;
const SET: u8 = 1;
const HLL: u8 = 2;
const HLL_8: u8 = 2 << 2;

const MAX_LG_K: u8 = 21;

/// Places of a list, and the smallest table of a set, as powers of two.
const LG_LIST: u8 = 3;
const LG_SET: u8 = 5;
/// From this lgK on there is a set between list and registers. Its largest table has 2^(lgK - 3) places,
/// and no table is filled to more than three quarters.
const SET_FROM_LG_K: u8 = 8;
const LG_K_TO_LG_SET: u8 = 3;

const SLOT_BITS: u32 = 26;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

/// In HLL_4: the value is among the exceptions.
const EXCEPTION: u8 = 15;

/// What is wrong with bytes that are to be an HLL sketch of Apache DataSketches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHll(&'static str);

impl fmt::Display for InvalidHll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "payload is not an HLL sketch of Apache DataSketches ({})",
            self.0
        )
    }
}

impl std::error::Error for InvalidHll {}

const CUT_OFF: InvalidHll = InvalidHll("its preamble is cut off");
const LENGTH: InvalidHll = InvalidHll("its length is not that of its content");
const COUPON: InvalidHll = InvalidHll("it has an impossible coupon");
const COUNT: InvalidHll = InvalidHll("its coupons are not as many as it says");
const EXCEPTIONS: InvalidHll = InvalidHll("its exceptions do not fit its registers");

/// The part of the preamble that all forms share.
struct Preamble {
    lg_k: u8,
    lg_array: u8,
    empty: bool,
    compact: bool,
    /// The count of a list, curMin of registers.
    byte_6: u8,
    form: u8,
    width: Width,
}

/// How registers are stored.
#[derive(Clone, Copy)]
enum Width {
    Four,
    Six,
    Eight,
}

/// The sketch that these bytes are of.
pub fn decode(bytes: &[u8]) -> Result<Sketch, InvalidHll> {
    let (preamble, rest) = preamble(bytes)?;
    let precision = Precision::new(preamble.lg_k).unwrap_or(Precision::MAX);
    if preamble.form == HLL {
        return registers(&preamble, precision, rest);
    }
    let (count, array) = if preamble.form == LIST {
        (u32::from(preamble.byte_6), rest)
    } else {
        int(rest).ok_or(CUT_OFF)?
    };
    let coupons = coupons(&preamble, count, array)?;
    if preamble.empty && !coupons.is_empty() {
        return Err(InvalidHll("it is marked empty and has coupons"));
    }
    let tokens = coupons.into_iter().map(token_of).collect();
    Ok(Sketch::from_tokens(
        precision,
        HashFamily::DataSketches,
        TokenSet::from_unsorted(tokens),
    ))
}

fn preamble(bytes: &[u8]) -> Result<(Preamble, &[u8]), InvalidHll> {
    let (&[ints, version, family, lg_k, lg_array, flags, byte_6, mode], rest) =
        bytes.split_first_chunk().ok_or(CUT_OFF)?;
    if version != VERSION {
        return Err(InvalidHll("its serial version is not 1"));
    }
    if family != FAMILY {
        return Err(InvalidHll("it is of another family of sketches"));
    }
    if !(Precision::MIN.bits() as u8..=MAX_LG_K).contains(&lg_k) {
        return Err(InvalidHll("its lgK is not 4 to 21"));
    }
    let form = mode & 3;
    let width = match mode >> 2 {
        0 => Width::Four,
        1 => Width::Six,
        2 => Width::Eight,
        _ => return Err(InvalidHll("its type is not HLL_4, HLL_6 or HLL_8")),
    };
    if [LIST_INTS, SET_INTS, HLL_INTS].get(usize::from(form)) != Some(&ints) {
        return Err(InvalidHll("its preamble is not that of its mode"));
    }
    let preamble = Preamble {
        lg_k,
        lg_array,
        empty: flags & EMPTY != 0,
        compact: flags & COMPACT != 0,
        byte_6,
        form,
        width,
    };
    Ok((preamble, rest))
}

/// The next number of four bytes.
fn int(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (four, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*four), rest))
}

/// The coupons of a list or set.
fn coupons(preamble: &Preamble, count: u32, array: &[u8]) -> Result<Vec<u32>, InvalidHll> {
    let places = if preamble.compact {
        Some(u64::from(count))
    } else {
        1u64.checked_shl(preamble.lg_array.into())
    };
    if places.and_then(|places| places.checked_mul(4)) != Some(array.len() as u64) {
        return Err(LENGTH);
    }
    packed(array, preamble.compact, count, COUNT)
}

/// The `count` coupons in an array, which if it is not compact has empty places too; `otherwise` if they
/// are not so many.
fn packed(
    array: &[u8],
    compact: bool,
    count: u32,
    otherwise: InvalidHll,
) -> Result<Vec<u32>, InvalidHll> {
    let (fours, _) = array.as_chunks::<4>();
    let places = fours.iter().map(|four| u32::from_le_bytes(*four));
    let coupons: Vec<u32> = places.filter(|&c| compact || c != 0).collect();
    if coupons.len() as u64 != u64::from(count) {
        return Err(otherwise);
    }
    if coupons.iter().any(|coupon| coupon >> SLOT_BITS == 0) {
        return Err(COUPON);
    }
    Ok(coupons)
}

/// The token of a coupon.
fn token_of(coupon: u32) -> Token {
    let zeros = (coupon >> SLOT_BITS) - 1;
    (coupon & SLOT_MASK) << 6 | zeros.min(MAX_ZEROS)
}

/// The coupon of a token.
fn coupon_of(token: Token) -> u32 {
    ((token & 63) + 1) << SLOT_BITS | token >> 6
}

/// A sketch in the form of registers. `rest` is what follows the first eight bytes.
fn registers(preamble: &Preamble, precision: Precision, rest: &[u8]) -> Result<Sketch, InvalidHll> {
    let (_, rest) = rest.split_at_checked(DERIVED_BYTES).ok_or(CUT_OFF)?;
    let (exceptions, rest) = int(rest).ok_or(CUT_OFF)?;
    let k = 1usize << preamble.lg_k;
    let len = match preamble.width {
        Width::Four => k / 2,
        Width::Six => k * 3 / 4 + 1,
        Width::Eight => k,
    };
    let (body, tail) = rest.split_at_checked(len).ok_or(LENGTH)?;
    let mut values = vec![0; precision.registers()];
    let mut put = |i: usize, value: u8| {
        let highest = &mut values[i & (precision.registers() - 1)];
        *highest = value.max(*highest);
    };
    if !matches!(preamble.width, Width::Four) && (exceptions != 0 || !tail.is_empty()) {
        return Err(LENGTH);
    }
    match preamble.width {
        Width::Eight => {
            if body.iter().any(|&value| value > 63) {
                return Err(InvalidHll("a register is above 63"));
            }
            (0..k).zip(body).for_each(|(i, &value)| put(i, value));
        }
        Width::Six => {
            let (threes, _) = body.as_chunks::<3>();
            for (at, &[low, middle, high]) in (0..).step_by(4).zip(threes) {
                let four = u32::from_le_bytes([low, middle, high, 0]);
                (0..4).for_each(|i| put(at + i, (four >> (6 * i) & 63) as u8));
            }
        }
        Width::Four => {
            let found = self::exceptions(preamble, exceptions, tail)?;
            let mut found = found.into_iter().peekable();
            let nibbles = body.iter().flat_map(|&byte| [byte & 15, byte >> 4]);
            for (i, nibble) in (0..).zip(nibbles) {
                let value = match nibble {
                    EXCEPTION => found
                        .next_if(|&(register, _)| register == i)
                        .map(|(_, value)| value),
                    _ => Some(nibble.saturating_add(preamble.byte_6)),
                };
                put(i, value.filter(|&value| value <= 63).ok_or(EXCEPTIONS)?);
            }
            if found.next().is_some() {
                return Err(EXCEPTIONS);
            }
        }
    }
    if values.iter().all(|&value| value == 0) {
        return Ok(Sketch::new(precision, HashFamily::DataSketches));
    }
    let highest = register::max_level(precision) as u8;
    for value in &mut values {
        *value = (*value).min(highest) << 2;
    }
    let dense = Dense::from_registers(values, precision, false)
        .map_err(|_| InvalidHll("it has an impossible register"))?;
    Ok(Sketch::from_dense(HashFamily::DataSketches, dense))
}

/// The exceptions of HLL_4, (register, value), by register. Without any, a table of them may be there or
/// not.
fn exceptions(
    preamble: &Preamble,
    count: u32,
    tail: &[u8],
) -> Result<Vec<(usize, u8)>, InvalidHll> {
    let places = tail.len() / 4;
    let length_fits = tail.len() == places * 4
        && if preamble.compact {
            places as u64 == u64::from(count)
        } else {
            count == 0 && places == 0 || places.is_power_of_two()
        };
    if !length_fits {
        return Err(LENGTH);
    }
    let pairs = packed(tail, preamble.compact, count, EXCEPTIONS)?;
    let mut found: Vec<(usize, u8)> = pairs
        .into_iter()
        .map(|pair| ((pair & SLOT_MASK) as usize, (pair >> SLOT_BITS) as u8))
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The bytes of a sketch of the family `datasketches`: as list or set while it has tokens and Apache would
/// keep coupons, otherwise as HLL_8; compact, out of order.
pub fn encode(sketch: &Sketch) -> Result<Vec<u8>, WriteError> {
    WriteError::check_hash(sketch, HashFamily::DataSketches)?;
    let lg_k = sketch.precision().bits() as u8;
    let coupons = sketch.tokens().and_then(|tokens| {
        let coupons = tokens.as_slice().iter().map(|&token| coupon_of(token));
        coupon_bytes(lg_k, &coupons.collect::<Vec<_>>())
    });
    Ok(coupons.unwrap_or_else(|| {
        let registers = sketch.registers(sketch.precision());
        register_bytes(lg_k, registers.iter().map(|r| r >> 2).collect())
    }))
}

/// `None` where Apache would use registers.
fn coupon_bytes(lg_k: u8, coupons: &[u32]) -> Option<Vec<u8>> {
    let count = coupons.len();
    let fits = |lg: u8| count * 4 <= 3 << lg;
    let empty = if count == 0 { EMPTY } else { 0 };
    let mut bytes = if count < 1 << LG_LIST {
        let flags = COMPACT | empty;
        vec![
            LIST_INTS,
            VERSION,
            FAMILY,
            lg_k,
            LG_LIST,
            flags,
            count as u8,
            LIST | HLL_8,
        ]
    } else {
        if lg_k < SET_FROM_LG_K {
            return None;
        }
        let lg_table = (LG_SET..=lg_k - LG_K_TO_LG_SET).find(|&lg| fits(lg))?;
        let mut head = vec![
            SET_INTS,
            VERSION,
            FAMILY,
            lg_k,
            lg_table,
            COMPACT,
            0,
            SET | HLL_8,
        ];
        head.extend((count as u32).to_le_bytes());
        head
    };
    bytes.extend(coupons.iter().flat_map(|coupon| coupon.to_le_bytes()));
    Some(bytes)
}

fn register_bytes(lg_k: u8, values: Vec<u8>) -> Vec<u8> {
    let sum = |low: bool| -> f64 {
        let values = values.iter().filter(|&&value| (value < 32) == low);
        values.fold(0.0, |sum, &value| sum + (-f64::from(value)).exp2())
    };
    let zeros = values.iter().filter(|&&value| value == 0).count();
    let flags = COMPACT | OUT_OF_ORDER;
    let mut bytes = vec![HLL_INTS, VERSION, FAMILY, lg_k, 0, flags, 0, HLL | HLL_8];
    let hip = 0.0f64;
    for derived in [hip, sum(true), sum(false)] {
        bytes.extend(derived.to_le_bytes());
    }
    let (at_minimum, exceptions) = (zeros as u32, 0u32);
    bytes.extend(at_minimum.to_le_bytes());
    bytes.extend(exceptions.to_le_bytes());
    bytes.extend(values);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::datasketches::common::NumStdDev;
    use ::datasketches::hash::value::raw_bytes;
    use ::datasketches::hll::{HllSketch, HllType};
    use proptest::prelude::*;

    const TYPES: [HllType; 3] = [HllType::Hll4, HllType::Hll6, HllType::Hll8];

    fn elements(n: u32) -> impl Iterator<Item = String> {
        (0..n).map(|i| format!("user:{i}"))
    }

    fn ours(lg_k: u8, n: u32) -> Sketch {
        let mut sketch = Sketch::new(Precision::new(lg_k).unwrap(), HashFamily::DataSketches);
        for element in elements(n) {
            sketch.add(element.as_bytes());
        }
        sketch
    }

    fn apaches(lg_k: u8, n: u32, kind: HllType) -> HllSketch {
        let mut sketch = HllSketch::new(lg_k, kind).unwrap();
        elements(n).for_each(|e| sketch.update(raw_bytes::from_str(&e)));
        sketch
    }

    fn values(sketch: &Sketch) -> Vec<u8> {
        let registers = sketch.registers(sketch.precision());
        registers.iter().map(|r| r >> 2).collect()
    }

    #[test]
    fn what_apache_writes_is_read_as_our_own_registers() {
        for lg_k in [4, 7, 8, 12, 14] {
            for n in [0, 1, 7, 8, 25, 100, 1_000, 60_000] {
                let expected = ours(lg_k, n);
                for kind in TYPES {
                    let read = decode(&apaches(lg_k, n, kind).serialize()).unwrap();
                    assert_eq!(values(&read), values(&expected), "{lg_k} {n} {kind:?}");
                    if let (Some(read), Some(expected)) = (read.tokens(), expected.tokens()) {
                        assert_eq!(read, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn finer_sketches_than_ours_are_folded() {
        for n in [5, 1_000, 200_000] {
            let expected = values(&ours(18, n));
            for lg_k in 19..=21 {
                for kind in TYPES {
                    let read = decode(&apaches(lg_k, n, kind).serialize()).unwrap();
                    assert_eq!(values(&read), expected, "{lg_k} {n} {kind:?}");
                }
            }
        }
    }

    #[test]
    fn what_we_write_is_estimated_by_apache_from_the_registers() {
        for lg_k in [4, 7, 8, 12, 14, 18] {
            for n in [0, 1, 7, 8, 25, 100, 1_000, 60_000, 500_000] {
                let written = encode(&ours(lg_k, n)).unwrap();
                let read = HllSketch::deserialize(&written).unwrap();
                let theirs = apaches(lg_k, n, HllType::Hll8);
                let form = |bytes: &[u8]| bytes[7] & 3;
                if form(&written) == form(&theirs.serialize()) {
                    let expected = match form(&written) {
                        HLL => theirs.composite_estimate(),
                        _ => theirs.estimate(),
                    };
                    assert_eq!(read.estimate(), expected, "{lg_k} {n}");
                } else {
                    // Our smallest sketches turn dense before Apache's do.
                    assert!(lg_k < SET_FROM_LG_K && n == 7);
                }
                assert_eq!(read.is_empty(), n == 0);
                let bounds = [
                    read.lower_bound(NumStdDev::Two),
                    read.upper_bound(NumStdDev::Two),
                ];
                assert!(bounds[0] <= read.estimate() && read.estimate() <= bounds[1]);
            }
        }
    }

    #[test]
    fn what_we_write_we_read() {
        for lg_k in [4, 7, 8, 12, 18] {
            for n in [0, 1, 7, 8, 24, 25, 96, 97, 1_000, 200_000] {
                let sketch = ours(lg_k, n);
                let read = decode(&encode(&sketch).unwrap()).unwrap();
                assert_eq!(values(&read), values(&sketch));
                let limit = if lg_k < SET_FROM_LG_K {
                    7
                } else {
                    3 << lg_k >> 5
                };
                let exact = n < sketch.precision().max_tokens() as u32 && n <= limit;
                assert_eq!(
                    read.tokens().filter(|t| !t.is_empty()).is_some(),
                    exact && n > 0
                );
                if exact {
                    assert_eq!(read.tokens(), sketch.tokens());
                }
            }
        }
        let error = encode(&Sketch::new(Precision::DEFAULT, HashFamily::Redis)).unwrap_err();
        assert!(matches!(error, WriteError::Hash { .. }));
    }

    /// A value that no register of ours can hold becomes the highest that one can.
    #[test]
    fn values_above_our_levels_are_clamped() {
        let highest = register_bytes(18, vec![63; 1 << 18]);
        let read = decode(&highest).unwrap();
        assert!(values(&read).iter().all(|&value| value == 47));
        assert!(read.estimate().value.is_finite());
        assert!(decode(&register_bytes(4, vec![64; 16])).is_err());
        let coupon = 63u32 << SLOT_BITS | 5;
        let read = decode(&coupon_bytes(12, &[coupon]).unwrap()).unwrap();
        assert_eq!(read.tokens().unwrap().as_slice(), [5 << 6 | MAX_ZEROS]);
    }

    #[test]
    fn every_cut_is_refused() {
        for (lg_k, n) in [(8, 0), (8, 5), (8, 20), (8, 1_000)] {
            for kind in TYPES {
                let bytes = apaches(lg_k, n, kind).serialize();
                for end in 0..bytes.len() {
                    assert!(decode(&bytes[..end]).is_err(), "{n} {end}");
                }
                assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_sketch_or_refused(ints in 0u8..12, lg_k in 3u8..23, lg_array in any::<u8>(), flags in any::<u8>(), at in any::<u8>(), mode in 0u8..16, rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&[ints, VERSION, FAMILY, lg_k, lg_array, flags, at, mode], &rest[..]].concat();
            let _ = decode(&bytes);
        }
    }
}
