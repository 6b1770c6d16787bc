//! Sketches as bytes: in the server's database file, in its append-only file, on the way to a
//! replica, and in the hands of a client.
//!
//! Every reader here is total: any bytes whatever give a sketch or an error, and nothing is
//! allocated on the word of a length that has not been checked against the bytes at hand.

mod bits;
pub mod changes;
pub mod native;
mod registers;
mod tokens;

pub use native::{DecodeError, decode, encode};
pub use registers::Compression;
