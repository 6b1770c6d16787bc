//! What can be wrong with a command, as the client reads it.

use crate::sketch::{HashFamily, HashMismatch};
use crate::storage::frame::{FrameError, VERSION};
use crate::storage::text::InvalidText;
use crate::storage::{DecodeError, ReadError, WriteError};
use std::ffi::CString;
use std::fmt::Display;

/// An error reply.
#[derive(Debug, PartialEq, Eq)]
pub enum CommandError {
    /// Too few or too many arguments; the server words it.
    Arity,
    /// The key holds another type; the wording every client knows.
    WrongType,
    /// Ours: what is wrong, and after a comma what would be right.
    Invalid(String),
    /// A panic was caught.
    Internal,
}

impl CommandError {
    /// An error of ours, from "what is wrong, what would be right".
    pub fn invalid(text: impl Display) -> CommandError {
        CommandError::Invalid(text.to_string())
    }

    /// The line of the error reply; `None` for the one the server words itself.
    pub fn line(&self) -> Option<CString> {
        let line = match self {
            CommandError::Arity => return None,
            CommandError::WrongType => {
                "WRONGTYPE Operation against a key holding the wrong kind of value".to_owned()
            }
            CommandError::Invalid(text) => format!("ERR HLL: {text}"),
            CommandError::Internal => {
                "ERR HLL: internal error, the server's log has the place; nothing was replied"
                    .to_owned()
            }
        };
        Some(CString::new(printable(line.as_bytes(), usize::MAX)).unwrap_or_default())
    }
}

impl From<HashMismatch> for CommandError {
    fn from(error: HashMismatch) -> Self {
        let advice = match [error.ours, error.theirs] {
            [HashFamily::Xxh3 { .. }, HashFamily::Xxh3 { .. }] => {
                "build them with the same hll.hash-seed"
            }
            [HashFamily::Xxh3 { .. }, HashFamily::Redis]
            | [HashFamily::Redis, HashFamily::Xxh3 { .. }] => {
                "a sketch that goes with PF keys is created with HASH REDIS and given its elements \
                 again"
            }
            [HashFamily::Xxh3 { .. }, HashFamily::DataSketches]
            | [HashFamily::DataSketches, HashFamily::Xxh3 { .. }] => {
                "a sketch that goes with Apache DataSketches is created with HASH DATASKETCHES and \
                 given its elements again"
            }
            _ => "count the elements again in sketches of one family",
        };
        CommandError::invalid(format_args!("{error}, {advice}"))
    }
}

impl From<DecodeError> for CommandError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Frame(FrameError::Version(_)) => {
                CommandError::invalid(format_args!("{error}, this module reads version {VERSION}"))
            }
            DecodeError::Frame(_) | DecodeError::Invalid(_) => CommandError::invalid(format_args!(
                "{error}, give the bytes of HLL.EXPORT unchanged"
            )),
        }
    }
}

impl From<ReadError> for CommandError {
    fn from(error: ReadError) -> Self {
        let advice = match error {
            ReadError::Native(error) => return error.into(),
            ReadError::Redis(_) => "give the bytes of GET unchanged",
            ReadError::DataSketches(_) => "give the bytes its library wrote unchanged",
        };
        CommandError::invalid(format_args!("{error}, {advice}"))
    }
}

impl From<WriteError> for CommandError {
    fn from(error: WriteError) -> Self {
        let option = match error {
            WriteError::Hash { needed, .. } => format!("HASH {}", needed.name().to_uppercase()),
            WriteError::Precision { least, .. } => format!("PRECISION {least}"),
        };
        CommandError::invalid(format_args!(
            "{error}, create it with {option} and add its elements again"
        ))
    }
}

impl From<InvalidText> for CommandError {
    fn from(error: InvalidText) -> Self {
        CommandError::invalid(format_args!(
            "{error}, leave the option BASE64 out if it is bytes"
        ))
    }
}

/// Bytes from a client as they may stand in a one-line reply: at most `limit` of them, with a
/// question mark for whatever is not printable ASCII.
pub fn printable(bytes: &[u8], limit: usize) -> String {
    let shown = bytes.iter().take(limit).map(|&b| match b {
        b' '..=b'~' => char::from(b),
        _ => '?',
    });
    let dots = if bytes.len() > limit { "..." } else { "" };
    shown.chain(dots.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_the_client_sent() {
        let error = CommandError::invalid("unknown option 'a\r\n+OK\0é', give none");
        let line = error.line().unwrap();
        assert_eq!(
            line.to_str().unwrap(),
            "ERR HLL: unknown option 'a??+OK???', give none"
        );
    }

    /// What is wrong comes from below, what would be right is known here.
    #[test]
    fn a_refused_payload_is_answered_with_advice() {
        use crate::sketch::{HashFamily, Precision, Sketch};
        use crate::storage::{Compression, Format, frame, text};
        let line = |error: CommandError| error.line().unwrap().into_string().unwrap();
        let read = |format: Format, payload: &[u8]| line(format.read(payload).unwrap_err().into());
        let sketch = Sketch::new(Precision::DEFAULT, HashFamily::Redis);
        let payload = Format::Native.write(&sketch, Compression::None).unwrap();
        let write =
            |format: Format| line(format.write(&sketch, Compression::None).unwrap_err().into());
        let changes = frame::encode(frame::Kind::Changes, &[&[0; 4]]);
        for (found, expected) in [
            (
                read(Format::Native, &payload[1..]),
                "payload is damaged or not a sketch, give the bytes of HLL.EXPORT unchanged",
            ),
            (
                read(Format::Native, &[&payload[..], &[0]].concat()),
                "payload has a byte behind its end, give the bytes of HLL.EXPORT unchanged",
            ),
            (
                read(Format::Native, &changes),
                "payload is a list of changes, not a sketch, give the bytes of HLL.EXPORT unchanged",
            ),
            (
                read(Format::Native, &frame::encode(frame::Kind::Sketch, &[])),
                "payload has an impossible header, give the bytes of HLL.EXPORT unchanged",
            ),
            (
                line(DecodeError::Frame(FrameError::Version(2)).into()),
                "payload is of format version 2, this module reads version 1",
            ),
            (
                read(Format::Redis, b"HYLL"),
                "payload is not the value of a PF key (its header is cut off), \
                 give the bytes of GET unchanged",
            ),
            (
                read(Format::DataSketches, b""),
                "payload is not an HLL sketch of Apache DataSketches (its preamble is cut off), \
                 give the bytes its library wrote unchanged",
            ),
            (
                write(Format::DataSketches),
                "this format needs a sketch of hash family datasketches and this one is of redis, \
                 create it with HASH DATASKETCHES and add its elements again",
            ),
            (
                write(Format::Redis),
                "this format needs precision 14 or more and the sketch has 13, \
                 create it with PRECISION 14 and add its elements again",
            ),
            (
                line(text::decode(b"?").unwrap_err().into()),
                "payload is not Base64, leave the option BASE64 out if it is bytes",
            ),
        ] {
            assert_eq!(found, format!("ERR HLL: {expected}"));
        }
    }

    #[test]
    fn sketches_of_other_hashes_come_with_advice() {
        let xxh3 = |seed| HashFamily::Xxh3 { seed };
        let (redis, apache) = (HashFamily::Redis, HashFamily::DataSketches);
        for (ours, theirs, text) in [
            (
                xxh3(0),
                xxh3(1),
                "sketches made with different xxh3 seeds cannot be combined, \
                 build them with the same hll.hash-seed",
            ),
            (
                xxh3(0),
                redis,
                "sketches of hash families xxh3 and redis cannot be combined, a sketch that goes \
                 with PF keys is created with HASH REDIS and given its elements again",
            ),
            (
                apache,
                xxh3(0),
                "sketches of hash families datasketches and xxh3 cannot be combined, a sketch that \
                 goes with Apache DataSketches is created with HASH DATASKETCHES and given its \
                 elements again",
            ),
            (
                redis,
                apache,
                "sketches of hash families redis and datasketches cannot be combined, \
                 count the elements again in sketches of one family",
            ),
        ] {
            let error = CommandError::from(HashMismatch { ours, theirs });
            assert_eq!(error, CommandError::Invalid(text.to_owned()));
        }
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(printable(b"abcdef", 3), "abc...");
        assert_eq!(printable(b"abc", 3), "abc");
    }
}
