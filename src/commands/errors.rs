//! Errors of the floors below as replies. What is wrong comes from there; what would be right, by which
//! command, option or setting, is known here.

use crate::server::error::CommandError;
use crate::sketch::{HashFamily, HashMismatch};
use crate::storage::frame::{FrameError, VERSION};
use crate::storage::text::InvalidText;
use crate::storage::{DecodeError, ReadError, WriteError};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
