//! Messages between nodes, as bytes.
//!
//! A message is a head of 56 bytes and a body of at most [`MOST_BODY`]. Numbers are little end first.
//!
//! ```text
//!    0        4     5      6       8               16              24              32        36       40
//!   +--------+-----+------+-------+---------------+---------------+---------------+---------+--------+
//!   | "HLLc" | ver | kind | 0, 0  | cookie        | checksum      | request       | attempt | part   |
//!   +--------+-----+------+-------+---------------+---------------+---------------+---------+--------+
//!   | whole, 4 | fingerprint, 4 | 0, 8            | body ...                                         |
//!   +----------+----------------+-----------------+--------------------------------------------------+
//!    40         44               48                56
//! ```
//!
//! * **cookie**: a number that the receiver has given the sender and nobody else. The bus itself knows no secrets: whoever
//!   reaches its port can write any node's name into a message. The cookie was sent over the receiver's own connection to
//!   the real node, so who only writes its name does not have it, and is heard no further than this head.
//! * **checksum**: XXH3 of the whole message with zeros in its place.
//! * **request, attempt**: which question this belongs to. Random and counted, by the asker.
//! * **part, whole**: a payload is cut into pieces of [`MOST_BODY`] bytes, the last one shorter; *whole* is its length.
//! * **fingerprint**: of the seed that elements are hashed with. Sketches of different seeds cannot be united.
//!
//! The first six bytes and all of HELLO stay as they are in every version: nodes of different versions must be able to
//! tell each other so.

use std::ops::RangeInclusive;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Of the head.
pub const HEAD: usize = 56;

/// The most bytes of a message.
pub const MOST_MESSAGE: usize = 64 << 10;

/// The most bytes of a body: of every part of a payload but the last.
pub const MOST_BODY: usize = MOST_MESSAGE - HEAD;

/// The most bytes of a payload.
pub const MOST_PAYLOAD: usize = 16 << 20;

/// Versions that this program speaks.
pub const VERSIONS: RangeInclusive<u8> = 1..=1;

const MAGIC: [u8; 4] = *b"HLLc";

/// Who has asked what, for all messages about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// From the system's source of random numbers.
    pub request: u64,
    /// Counted within the request: each question to a node has its own.
    pub attempt: u32,
}

/// The two payloads of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the asker.
    Question,
    /// To the asker.
    Answer,
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Different after every start.
    pub incarnation: u64,
    /// To be put into messages to the node that says this.
    pub cookie: u64,
    /// Lowest and highest version that it speaks.
    pub versions: (u8, u8),
    /// Whether it has no cookie yet that it can be sure of, and wants one.
    pub wants_cookie: bool,
}

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Introduces a node.
    Hello(Hello),
    /// A piece of a payload.
    Part {
        /// Of which request.
        id: RequestId,
        /// Of which of its payloads.
        direction: Direction,
        /// Counted from 0.
        part: u32,
        /// Bytes of the payload.
        whole: u32,
        /// The bytes of this piece.
        body: &'a [u8],
    },
    /// A piece has arrived.
    Acknowledge {
        /// See [`Message::Part`].
        id: RequestId,
        /// See [`Message::Part`].
        direction: Direction,
        /// See [`Message::Part`].
        part: u32,
    },
    /// The asker wants no answer any more.
    Cancel(RequestId),
}

/// What stands in every message beside what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// See the head of this file; 0 where the receiver has given none yet.
    pub cookie: u64,
    /// See the head of this file.
    pub fingerprint: u32,
}

/// Why bytes are no message for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They are somebody else's, damaged or impossible.
    Invalid,
    /// They are of a version that is not spoken here.
    Version,
}

const HELLO: u8 = 1;
const QUESTION: u8 = 2;
const ANSWER: u8 = 3;
const QUESTION_ARRIVED: u8 = 4;
const ANSWER_ARRIVED: u8 = 5;
const CANCEL: u8 = 6;

const CHECKSUM: std::ops::Range<usize> = 16..24;
const HELLO_BODY: usize = 19;

/// The bytes of a message.
pub fn encode(envelope: Envelope, message: &Message) -> Vec<u8> {
    let nobody = RequestId {
        request: 0,
        attempt: 0,
    };
    let mut hello_body = [0; HELLO_BODY];
    let (kind, id, part, whole, body) = match message {
        Message::Hello(hello) => {
            hello_body[..8].copy_from_slice(&hello.incarnation.to_le_bytes());
            hello_body[8..16].copy_from_slice(&hello.cookie.to_le_bytes());
            hello_body[16] = hello.versions.0;
            hello_body[17] = hello.versions.1;
            hello_body[18] = hello.wants_cookie.into();
            (HELLO, nobody, 0, 0, &hello_body[..])
        }
        Message::Part {
            id,
            direction,
            part,
            whole,
            body,
        } => {
            let kind = match direction {
                Direction::Question => QUESTION,
                Direction::Answer => ANSWER,
            };
            (kind, *id, *part, *whole, *body)
        }
        Message::Acknowledge {
            id,
            direction,
            part,
        } => {
            let kind = match direction {
                Direction::Question => QUESTION_ARRIVED,
                Direction::Answer => ANSWER_ARRIVED,
            };
            (kind, *id, *part, 0, &[][..])
        }
        Message::Cancel(id) => (CANCEL, *id, 0, 0, &[][..]),
    };
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend(MAGIC);
    bytes.extend([*VERSIONS.end(), kind, 0, 0]);
    bytes.extend(envelope.cookie.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(id.request.to_le_bytes());
    bytes.extend(id.attempt.to_le_bytes());
    bytes.extend(part.to_le_bytes());
    bytes.extend(whole.to_le_bytes());
    bytes.extend(envelope.fingerprint.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    let checksum = xxh3_64(&bytes);
    bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// How many parts a payload of so many bytes has; an empty one has one.
pub fn parts(whole: usize) -> usize {
    whole.div_ceil(MOST_BODY).max(1)
}

/// Where a part lies in its payload.
pub fn part_range(whole: usize, part: usize) -> std::ops::Range<usize> {
    let begin = (part * MOST_BODY).min(whole);
    begin..(begin + MOST_BODY).min(whole)
}

/// Reads a message. A piece has the length that its place asks for.
pub fn decode(bytes: &[u8]) -> Result<(Envelope, Message<'_>), Refused> {
    if bytes.len() > MOST_MESSAGE || bytes.get(..4) != Some(&MAGIC) {
        return Err(Refused::Invalid);
    }
    let &[version, kind] = bytes
        .get(4..6)
        .and_then(|two| two.first_chunk())
        .ok_or(Refused::Invalid)?;
    if kind != HELLO && !VERSIONS.contains(&version) {
        return Err(Refused::Version);
    }
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(Refused::Invalid)?;
    let number_8 = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
    let number_4 = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap_or_default());
    let mut hasher = Xxh3::new();
    hasher.update(&bytes[..CHECKSUM.start]);
    hasher.update(&[0; 8]);
    hasher.update(&bytes[CHECKSUM.end..]);
    if hasher.digest() != number_8(CHECKSUM.start) {
        return Err(Refused::Invalid);
    }
    let envelope = Envelope {
        cookie: number_8(8),
        fingerprint: number_4(44),
    };
    let id = RequestId {
        request: number_8(24),
        attempt: number_4(32),
    };
    let (part, whole) = (number_4(36), number_4(40));
    let piece = |direction| {
        let length = whole as usize;
        let fits = length <= MOST_PAYLOAD
            && (part as usize) < parts(length)
            && part_range(length, part as usize).len() == body.len();
        fits.then_some(Message::Part {
            id,
            direction,
            part,
            whole,
            body,
        })
    };
    let arrived = |direction| {
        body.is_empty().then_some(Message::Acknowledge {
            id,
            direction,
            part,
        })
    };
    let message = match kind {
        HELLO => hello(body).map(Message::Hello),
        QUESTION => piece(Direction::Question),
        ANSWER => piece(Direction::Answer),
        QUESTION_ARRIVED => arrived(Direction::Question),
        ANSWER_ARRIVED => arrived(Direction::Answer),
        CANCEL => body.is_empty().then_some(Message::Cancel(id)),
        _ => None,
    };
    Ok((envelope, message.ok_or(Refused::Invalid)?))
}

/// What follows what is known here is of a later version.
fn hello(body: &[u8]) -> Option<Hello> {
    let body: &[u8; HELLO_BODY] = body.first_chunk()?;
    let number = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().unwrap_or_default());
    Some(Hello {
        incarnation: number(0),
        cookie: number(8),
        versions: (body[16], body[17]),
        wants_cookie: body[18] != 0,
    })
}

// ---------------------------------------------------------------------------------------------------------
// Payloads
// ---------------------------------------------------------------------------------------------------------

/// Bytes of a payload in the making.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A byte.
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A number.
    pub fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    /// A length or a count.
    pub fn length(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0.extend(length.to_le_bytes());
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend(bytes);
    }

    /// The payload.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes of a payload on their way in. `None` wherever they end too early.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// See [`Writer::byte`].
    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|one| one[0])
    }

    /// See [`Writer::number`].
    pub fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// See [`Writer::length`].
    pub fn length(&mut self) -> Option<usize> {
        let bytes = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    }

    /// A count of things that take at least so many bytes each, which must still be there.
    pub fn count(&mut self, each: usize) -> Option<usize> {
        let count = self.length()?;
        (count.checked_mul(each)? <= self.0.len()).then_some(count)
    }

    /// See [`Writer::bytes`].
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// Only if nothing is left.
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn messages() -> impl Strategy<Value = (u8, u64, u32, u32, Vec<u8>)> {
        let body = prop::collection::vec(any::<u8>(), 0..300);
        (0u8..6, any::<u64>(), any::<u32>(), 0u32..4, body)
    }

    fn build<'a>(kind: u8, request: u64, attempt: u32, part: u32, body: &'a [u8]) -> Message<'a> {
        let id = RequestId { request, attempt };
        let direction = [Direction::Question, Direction::Answer][usize::from(kind % 2)];
        match kind {
            0 => Message::Hello(Hello {
                incarnation: request,
                cookie: request.rotate_left(7),
                versions: (1, attempt as u8),
                wants_cookie: part == 1,
            }),
            1 => Message::Cancel(id),
            2 | 3 => Message::Part {
                id,
                direction,
                part,
                whole: (part as usize * MOST_BODY + body.len()) as u32,
                body,
            },
            _ => Message::Acknowledge {
                id,
                direction,
                part,
            },
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read((kind, request, attempt, part, body) in messages(), cookie: u64, fingerprint: u32) {
            // Only the first part may be empty.
            prop_assume!(part == 0 || !body.is_empty());
            let envelope = Envelope { cookie, fingerprint };
            let message = build(kind, request, attempt, part, &body);
            let bytes = encode(envelope, &message);
            prop_assert_eq!(decode(&bytes), Ok((envelope, message)));
        }

        #[test]
        fn every_change_of_a_byte_is_found((kind, request, attempt, part, body) in messages(), at: prop::sample::Index, by in 1u8..) {
            let envelope = Envelope { cookie: 1, fingerprint: 2 };
            let mut bytes = encode(envelope, &build(kind, request, attempt, part, &body));
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert!(decode(&bytes).is_err());
            bytes[at] ^= by;
            bytes.truncate(at);
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_refused_or_a_message(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..9, sealed: bool) {
            let mut bytes = bytes;
            if sealed && bytes.len() >= HEAD {
                bytes[..4].copy_from_slice(&MAGIC);
                bytes[4..6].copy_from_slice(&[1, kind]);
                bytes[CHECKSUM].fill(0);
                let checksum = xxh3_64(&bytes);
                bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
            }
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_piece_has_the_length_of_its_place() {
        let envelope = Envelope {
            cookie: 0,
            fingerprint: 0,
        };
        let id = RequestId {
            request: 1,
            attempt: 0,
        };
        fn piece(id: RequestId, part: u32, whole: u32, body: &[u8]) -> Message<'_> {
            Message::Part {
                id,
                direction: Direction::Answer,
                part,
                whole,
                body,
            }
        }
        for (part, whole, length) in [
            (0, 10, 9),
            (0, 10, 11),
            (1, 10, 0),
            (1, MOST_BODY as u32 + 5, 4),
            (0, MOST_PAYLOAD as u32 + 1, MOST_BODY),
        ] {
            let body = vec![7; length];
            let bytes = encode(envelope, &piece(id, part, whole, &body));
            assert_eq!(
                decode(&bytes),
                Err(Refused::Invalid),
                "{part} of {whole}: {length}"
            );
        }
        let body = vec![7; MOST_BODY];
        assert_eq!(
            encode(envelope, &piece(id, 0, MOST_PAYLOAD as u32, &body)).len(),
            MOST_MESSAGE
        );
        let covered: usize = (0..parts(MOST_PAYLOAD))
            .map(|part| part_range(MOST_PAYLOAD, part).len())
            .sum();
        assert_eq!(covered, MOST_PAYLOAD);
    }

    /// A later program's HELLO may be longer and say another version in front.
    #[test]
    fn a_later_hello_is_understood_and_nothing_else_of_it() {
        let seal = |bytes: &mut Vec<u8>| {
            bytes[4] = 9;
            bytes[CHECKSUM].fill(0);
            let checksum = xxh3_64(bytes);
            bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        };
        let envelope = Envelope {
            cookie: 3,
            fingerprint: 4,
        };
        let hello = Hello {
            incarnation: 1,
            cookie: 2,
            versions: (8, 9),
            wants_cookie: true,
        };
        let mut bytes = encode(envelope, &Message::Hello(hello));
        bytes.extend([1, 2, 3]);
        seal(&mut bytes);
        assert_eq!(decode(&bytes), Ok((envelope, Message::Hello(hello))));
        let id = RequestId {
            request: 1,
            attempt: 0,
        };
        let mut bytes = encode(envelope, &Message::Cancel(id));
        seal(&mut bytes);
        assert_eq!(decode(&bytes), Err(Refused::Version));
    }
}
