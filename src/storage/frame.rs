//! The frame: what stands around everything that is stored or sent.
//!
//! ```text
//!   byte  0      1         2
//!       +------+---------+-----------------------+----------------------+---------------------+
//!       | kind | version | length, 1 to 9 bytes  | body, length bytes   | checksum, 4 bytes   |
//!       +------+---------+-----------------------+----------------------+---------------------+
//! ```
//!
//! * **kind** says what the body is: 1 a sketch ([`super::native`]), 2 changes of one
//!   ([`super::replay`]), 3 a piece of a cube ([`super::cube`]), 4 an accuracy monitor, 5 an observation of one
//!   ([`super::monitor`]).
//! * **version** is that of the body's layout, so far 1. Whatever the version, the other four parts keep
//!   their places and their meaning. A reader therefore knows a frame of a later version from a damaged
//!   one, and can say so.
//! * **length** takes as few bytes as it can:
//!
//!   ```text
//!     0 ... 250           the first byte itself
//!     251  n n            251 ... 2^16 - 1      low byte first
//!     252  n n n n        2^16 ... 2^32 - 1
//!     253  n n n n n n n n      from 2^32 on
//!   ```
//!
//!   A longer form than the shortest is refused, as is a first byte of 254 or 255. The header of a
//!   sketch has its numbers in the same form.
//! * **checksum** is the low half of XXH3-64, seed 0, over all that stands before it, low byte first. It
//!   finds accidents, not attackers: a body behind a right checksum is still to be proven whole.
//!
//! Changes of one token, index 0 and no zeros, are a body of four zero bytes:
//!
//! ```text
//!   02 01 04  00 00 00 00  c3 b4 0d ae
//! ```
//!
//! The length lets frames stand one after another: a value too large for one buffer is a row of them,
//! and [`Frame::split_first`] takes them off one by one. It costs one byte where it matters, as the
//! sketch of one element has a body of ten. The length is believed only as far as there are bytes, and
//! then the checksum covers it too: too long is cut off, too short puts the checksum where it is not.

use std::fmt;
use std::io::{self, Read};
use xxhash_rust::xxh3::xxh3_64;

/// The version of each kind's body that is written and read here.
pub const VERSION: u8 = 1;

const CHECKSUM_BYTES: usize = 4;

/// First bytes of a length that does not fit into one.
const TWO_BYTES: u8 = 251;
const FOUR_BYTES: u8 = 252;
const EIGHT_BYTES: u8 = 253;

/// What the body of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A sketch: all that is known of it.
    Sketch = 1,
    /// Changes of a sketch.
    Changes = 2,
    /// A piece of a cube's stream.
    Cube = 3,
    /// An accuracy monitor: all that is known of it.
    Monitor = 4,
    /// What such a monitor is to take in.
    Observation = 5,
}

impl Kind {
    const ALL: [Kind; 5] = [
        Kind::Sketch,
        Kind::Changes,
        Kind::Cube,
        Kind::Monitor,
        Kind::Observation,
    ];

    /// What a frame that begins with these bytes has for its body, if that is something.
    pub fn begun_by(bytes: &[u8]) -> Option<Kind> {
        let first = *bytes.first()?;
        Kind::ALL.into_iter().find(|&kind| kind as u8 == first)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Sketch => "a sketch",
            Kind::Changes => "a list of changes",
            Kind::Cube => "a piece of a cube",
            Kind::Monitor => "an accuracy monitor",
            Kind::Observation => "an observation of a monitor",
        })
    }
}

/// A whole frame of a known kind and version, at the place where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the body is.
    pub kind: Kind,
    /// Not proven to be that.
    pub body: &'a [u8],
}

/// Why bytes are not the frame that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The checksum does not match, or there is no place for it: cut off, altered, or never a frame.
    Damaged,
    /// Whole, and of a kind that is not known here: written by a later version of this program.
    UnknownKind(u8),
    /// Whole, and of a version of its kind that is not known here.
    Version(u8),
    /// Whole and known, and not what is to be read.
    OtherKind {
        /// What is to be read.
        wanted: Kind,
        /// What it is.
        found: Kind,
    },
    /// A whole frame, and so many bytes more where it should be all.
    Trailing(usize),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Damaged => f.write_str("payload is damaged"),
            FrameError::UnknownKind(found) => write!(f, "payload is of the unknown kind {found}"),
            FrameError::Version(found) => write!(f, "payload is of format version {found}"),
            FrameError::OtherKind { wanted, found } => {
                write!(f, "payload is {found}, not {wanted}")
            }
            FrameError::Trailing(1) => f.write_str("payload has a byte behind its end"),
            FrameError::Trailing(bytes) => write!(f, "payload has {bytes} bytes behind its end"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A frame whose body is these parts, one behind the other.
pub fn encode(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(2 + 9 + length + CHECKSUM_BYTES);
    frame.extend([kind as u8, VERSION]);
    put_length(length as u64, &mut frame);
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame.extend_from_slice(&checksum(&frame));
    frame
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of these bytes, and what follows it.
    pub fn split_first(bytes: &'a [u8]) -> Result<(Frame<'a>, &'a [u8]), FrameError> {
        let (&[kind, version], rest) = bytes.split_first_chunk().ok_or(FrameError::Damaged)?;
        let (length, rest) = take_length(rest).ok_or(FrameError::Damaged)?;
        let length = usize::try_from(length).map_err(|_| FrameError::Damaged)?;
        let (body, rest) = rest.split_at_checked(length).ok_or(FrameError::Damaged)?;
        let content = &bytes[..bytes.len() - rest.len()];
        let (sum, rest) = rest.split_first_chunk().ok_or(FrameError::Damaged)?;
        if checksum(content) != *sum {
            return Err(FrameError::Damaged);
        }
        let kind = Kind::begun_by(bytes).ok_or(FrameError::UnknownKind(kind))?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        Ok((Frame { kind, body }, rest))
    }

    /// The bytes of the next frame of a stream, which has a body of at most so many; `None` at the end.
    pub fn take_bytes(from: &mut impl Read, most: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        // Kind, version, and the first byte of the length.
        from.by_ref().take(3).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let width = match bytes.get(2) {
            Some(&TWO_BYTES) => 2,
            Some(&FOUR_BYTES) => 4,
            Some(&EIGHT_BYTES) => 8,
            _ => 0,
        };
        from.by_ref().take(width).read_to_end(&mut bytes)?;
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        let (length, _) = take_length(bytes.get(2..).unwrap_or(&[])).ok_or_else(damaged)?;
        if length > most as u64 {
            return Err(damaged());
        }
        let rest = length + CHECKSUM_BYTES as u64;
        from.take(rest).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The frame that these bytes are, from the first to the last.
    pub fn only(bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        match Frame::split_first(bytes)? {
            (frame, []) => Ok(frame),
            (_, rest) => Err(FrameError::Trailing(rest.len())),
        }
    }

    /// The body, if it is of this kind.
    pub fn body_of(self, wanted: Kind) -> Result<&'a [u8], FrameError> {
        match self.kind {
            found if found == wanted => Ok(self.body),
            found => Err(FrameError::OtherKind { wanted, found }),
        }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    (xxh3_64(bytes) as u32).to_le_bytes()
}

fn put_length(length: u64, bytes: &mut Vec<u8>) {
    let (first, width) = match length {
        0..=250 => return bytes.push(length as u8),
        251..=0xffff => (TWO_BYTES, 2),
        0x1_0000..=0xffff_ffff => (FOUR_BYTES, 4),
        _ => (EIGHT_BYTES, 8),
    };
    bytes.push(first);
    bytes.extend_from_slice(&length.to_le_bytes()[..width]);
}

/// A length in its shortest form, and what follows it.
fn take_length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (width, least) = match first {
        ..TWO_BYTES => return Some((first.into(), rest)),
        TWO_BYTES => (2, 251),
        FOUR_BYTES => (4, 0x1_0000),
        EIGHT_BYTES => (8, 0x1_0000_0000),
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(width)?;
    let mut eight = [0; 8];
    eight[..width].copy_from_slice(number);
    let length = u64::from_le_bytes(eight);
    (length >= least).then_some((length, rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any content with a right checksum: an attacker computes one too.
    pub fn sealed(content: &[u8]) -> Vec<u8> {
        [content, &checksum(content)].concat()
    }

    /// The bytes at the head of this file.
    #[test]
    fn the_documented_example() {
        let frame = encode(Kind::Changes, &[&[0; 4]]);
        assert_eq!(
            frame,
            [2, 1, 4, 0, 0, 0, 0, 0xc3, 0xb4, 0x0d, 0xae],
            "{frame:02x?}"
        );
    }

    #[test]
    fn a_length_has_one_form_and_it_is_the_shortest() {
        for (length, bytes) in [
            (0, &[0][..]),
            (250, &[250]),
            (251, &[251, 251, 0]),
            (0xffff, &[251, 0xff, 0xff]),
            (0x1_0000, &[252, 0, 0, 1, 0]),
            (0xffff_ffff, &[252, 0xff, 0xff, 0xff, 0xff]),
            (0x1_0000_0000, &[253, 0, 0, 0, 0, 1, 0, 0, 0]),
            (u64::MAX, &[253, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            let mut put = vec![];
            put_length(length, &mut put);
            assert_eq!(put, bytes);
            assert_eq!(take_length(bytes), Some((length, &[][..])));
            for end in 0..bytes.len() {
                assert_eq!(take_length(&bytes[..end]), None);
            }
        }
        for longer in [
            &[251, 250, 0][..],
            &[252, 0xff, 0xff, 0, 0],
            &[253, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
            &[254, 1, 1, 1, 1, 1, 1, 1, 1],
            &[255, 1, 1, 1, 1, 1, 1, 1, 1],
        ] {
            assert_eq!(take_length(longer), None, "{longer:?}");
        }
    }

    #[test]
    fn frames_stand_one_after_another() {
        let bodies: [&[u8]; 4] = [b"", b"one", &[7; 251], &[8; 70_000]];
        let kinds = [Kind::Changes, Kind::Sketch, Kind::Sketch, Kind::Changes];
        let frames = kinds.iter().zip(bodies);
        let row: Vec<u8> = frames
            .flat_map(|(&kind, body)| encode(kind, &[body]))
            .collect();
        let mut rest = &row[..];
        for (kind, body) in kinds.into_iter().zip(bodies) {
            let read = Frame::split_first(rest).unwrap();
            assert_eq!(read.0, Frame { kind, body });
            rest = read.1;
        }
        assert!(rest.is_empty());
        assert_eq!(Frame::split_first(rest), Err(FrameError::Damaged));
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_damage() {
        for body in [&b""[..], b"body", &[5; 300]] {
            let frame = encode(Kind::Sketch, &[body]);
            for end in 0..frame.len() {
                assert_eq!(Frame::split_first(&frame[..end]), Err(FrameError::Damaged));
            }
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Frame::split_first(&flipped), Err(FrameError::Damaged));
            }
        }
    }

    /// Behind a right checksum and with bytes to spare on either side.
    #[test]
    fn a_length_that_lies_is_damage() {
        let body = [9; 40];
        for lie in [0, 1, 39, 41, 44, 250] {
            let content = [&[Kind::Sketch as u8, VERSION, lie][..], &body].concat();
            let frame = sealed(&content);
            assert_eq!(Frame::only(&frame), Err(FrameError::Damaged), "{lie}");
            let followed = [&frame[..], &frame, &[0; 300]].concat();
            assert_eq!(
                Frame::split_first(&followed),
                Err(FrameError::Damaged),
                "{lie}"
            );
        }
        for absurd in [
            &[251, 0xff, 0xff][..],
            &[252, 0xff, 0xff, 0xff, 0xff],
            &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            let content = [&[Kind::Sketch as u8, VERSION], absurd, &body].concat();
            assert_eq!(Frame::only(&sealed(&content)), Err(FrameError::Damaged));
        }
    }

    #[test]
    fn what_is_whole_and_not_wanted_is_named() {
        let of = |kind, version| sealed(&[kind, version, 1, 0]);
        assert_eq!(Frame::only(&of(1, 2)), Err(FrameError::Version(2)));
        assert_eq!(Frame::only(&of(1, 0)), Err(FrameError::Version(0)));
        assert_eq!(Frame::only(&of(0, 1)), Err(FrameError::UnknownKind(0)));
        // The version is that of the kind: of a kind that is not known it says nothing.
        assert_eq!(Frame::only(&of(77, 2)), Err(FrameError::UnknownKind(77)));
        let frame = of(2, 1);
        let changes = Frame::only(&frame).unwrap();
        assert_eq!(changes.body_of(Kind::Changes), Ok(&[0][..]));
        let (wanted, found) = (Kind::Sketch, Kind::Changes);
        assert_eq!(
            changes.body_of(wanted),
            Err(FrameError::OtherKind { wanted, found })
        );
        for more in [1, 11] {
            let longer = [&frame[..], &vec![0; more]].concat();
            assert_eq!(Frame::only(&longer), Err(FrameError::Trailing(more)));
        }
    }

    proptest! {
        #[test]
        fn a_frame_is_read_back(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4), after in prop::collection::vec(any::<u8>(), 0..20)) {
            let slices: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
            let bytes = [encode(Kind::Sketch, &slices), after.clone()].concat();
            let (frame, rest) = Frame::split_first(&bytes).unwrap();
            prop_assert_eq!(frame.body, parts.concat());
            prop_assert_eq!(rest, after);
        }

        #[test]
        fn any_bytes_are_a_frame_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for bytes in [&bytes, &sealed(&bytes)] {
                if let Ok((frame, rest)) = Frame::split_first(bytes) {
                    let again = encode(frame.kind, &[frame.body]);
                    prop_assert_eq!([&again[..], rest].concat(), &bytes[..]);
                }
            }
        }
    }
}
