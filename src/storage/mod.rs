//! Sketches as bytes: stored, sent, in other hands, and as other programs write and read them.
//!
//! Everything of our own stands in a [`frame`], which says what it is and finds damage. Every reader
//! here is total: any bytes whatever give a value or an error, and nothing is allocated on the word
//! of a length that has not been checked against the bytes at hand.

pub mod cube;
pub mod datasketches;
pub mod frame;
pub mod monitor;
pub mod native;
pub mod redis;
mod registers;
pub mod replay;
pub mod text;

pub use frame::FrameError;
pub use native::{decode, encode};
pub use registers::Compression;

use crate::sketch::{HashFamily, Precision, Sketch};
use datasketches::InvalidHll;
use redis::InvalidPf;
use std::fmt;

/// A form in which a sketch travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`native`]: all that is known.
    Native,
    /// [`redis`]: the string under a PF key.
    Redis,
    /// [`datasketches`]: an HLL sketch of Apache DataSketches.
    DataSketches,
}

/// Why bytes of our own are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They are not a frame, or not the one that is wanted.
    Frame(FrameError),
    /// The frame is whole and its body makes no sense; the text says which part.
    Invalid(&'static str),
}

impl From<FrameError> for DecodeError {
    fn from(error: FrameError) -> DecodeError {
        DecodeError::Frame(error)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What never was a frame has no right checksum either.
            DecodeError::Frame(FrameError::Damaged) => {
                f.write_str("payload is damaged or not a sketch")
            }
            DecodeError::Frame(error) => error.fmt(f),
            DecodeError::Invalid(part) => write!(f, "payload has an impossible {part}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a payload of a format is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// See [`native`].
    Native(DecodeError),
    /// See [`redis`].
    Redis(InvalidPf),
    /// See [`datasketches`].
    DataSketches(InvalidHll),
}

/// Why a sketch cannot be had in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// Its elements were hashed in another way than that format's programs hash.
    Hash {
        /// That of the format.
        needed: HashFamily,
        /// That of the sketch.
        found: HashFamily,
    },
    /// It has too few registers.
    Precision {
        /// That of the format.
        least: Precision,
        /// That of the sketch.
        found: Precision,
    },
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 3] = [Format::Native, Format::Redis, Format::DataSketches];

    /// The sketch that a payload is of.
    pub fn read(self, payload: &[u8]) -> Result<Sketch, ReadError> {
        match self {
            Format::Native => native::decode(payload).map_err(ReadError::Native),
            Format::Redis => redis::decode(payload).map_err(ReadError::Redis),
            Format::DataSketches => datasketches::decode(payload).map_err(ReadError::DataSketches),
        }
    }

    /// The payload of a sketch; the compression is for the native format.
    pub fn write(self, sketch: &Sketch, compression: Compression) -> Result<Vec<u8>, WriteError> {
        match self {
            Format::Native => Ok(native::encode(sketch, compression)),
            Format::Redis => redis::encode(sketch),
            Format::DataSketches => datasketches::encode(sketch),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Native(error) => error.fmt(f),
            ReadError::Redis(error) => error.fmt(f),
            ReadError::DataSketches(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl WriteError {
    /// Only sketches of this family have the format's form.
    fn check_hash(sketch: &Sketch, needed: HashFamily) -> Result<(), WriteError> {
        let found = sketch.hash_family();
        if found == needed {
            return Ok(());
        }
        Err(WriteError::Hash { needed, found })
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Hash { needed, found } => write!(
                f,
                "this format needs a sketch of hash family {} and this one is of {}",
                needed.name(),
                found.name()
            ),
            WriteError::Precision { least, found } => write!(
                f,
                "this format needs precision {least} or more and the sketch has {found}"
            ),
        }
    }
}

impl std::error::Error for WriteError {}
