//! A value's bytes on their way out and in, in pieces.
//!
//! A type writes itself as one stream of bytes ([`Saver`]) and reads itself from one ([`Loader`]). In
//! between, in the database file and in the append-only file, the stream lies in pieces of [`PIECE`]
//! bytes, so that a type that writes and reads bit by bit never holds a large value's bytes besides the
//! value. The last piece is shorter, perhaps empty: that is how the end is known.

use super::rebuild;
use redis_module::raw::{self, RedisModuleIO, RedisModuleString};
use std::ffi::{CStr, c_char};
use std::io::{self, Read, Write};
use std::slice;

/// Bytes in every piece but the last.
pub const PIECE: usize = 64 * 1024;

/// Where the pieces go.
enum Sink<'a> {
    /// Into a database file or a payload of DUMP.
    File(*mut RedisModuleIO),
    /// Into the append-only file, as commands that rebuild the key.
    Commands {
        io: *mut RedisModuleIO,
        key: *mut RedisModuleString,
        type_name: &'a CStr,
    },
}

/// Takes the bytes of a value.
pub struct Saver<'a> {
    sink: Sink<'a>,
    piece: Vec<u8>,
    /// Bytes in the pieces before.
    put: usize,
}

impl<'a> Saver<'a> {
    fn new(sink: Sink<'a>) -> Saver<'a> {
        Saver {
            sink,
            piece: Vec::new(),
            put: 0,
        }
    }

    /// For the database file.
    ///
    /// # Safety
    /// `io` is what the callback was just given.
    pub(super) unsafe fn to_file(io: *mut RedisModuleIO) -> Saver<'a> {
        Saver::new(Sink::File(io))
    }

    /// For the append-only file.
    ///
    /// # Safety
    /// `io` and `key` are what the callback was just given.
    pub(super) unsafe fn to_commands(
        io: *mut RedisModuleIO,
        key: *mut RedisModuleString,
        type_name: &'a CStr,
    ) -> Saver<'a> {
        Saver::new(Sink::Commands { io, key, type_name })
    }

    /// Writes the last piece. Without it the stream has no end and will not be read. The bytes of the stream.
    pub(super) fn finish(mut self) -> usize {
        self.put_piece();
        self.put
    }

    fn put_piece(&mut self) {
        let bytes = self.piece.as_ptr().cast::<c_char>();
        let len = self.piece.len();
        match &mut self.sink {
            // SAFETY: the callback's arguments live as long as it, by the constructors; the server copies
            // the bytes. The format names the arguments that follow.
            Sink::File(io) => unsafe {
                api!(RedisModule_SaveStringBuffer(*io, bytes, len));
            },
            Sink::Commands { io, key, type_name } => unsafe {
                api!(RedisModule_EmitAOF(
                    *io,
                    rebuild::COMMAND.as_ptr(),
                    c"sclb".as_ptr(),
                    *key,
                    type_name.as_ptr(),
                    self.put as i64,
                    bytes,
                    len
                ));
            },
        }
        self.put += len;
        self.piece.clear();
    }
}

impl Write for Saver<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.put_piece();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the pieces come from.
enum Source<'a> {
    File(*mut RedisModuleIO),
    Bytes(&'a [u8]),
}

/// Gives the bytes of a value.
pub struct Loader<'a> {
    source: Source<'a>,
    /// The piece at hand, of which so many bytes have been read.
    piece: Vec<u8>,
    read: usize,
    /// Whether it is the last.
    last: bool,
}

impl<'a> Loader<'a> {
    fn new(source: Source<'a>) -> Loader<'a> {
        Loader {
            source,
            piece: Vec::new(),
            read: 0,
            last: false,
        }
    }

    /// From the database file.
    ///
    /// # Safety
    /// `io` is what the callback was just given.
    pub(super) unsafe fn from_file(io: *mut RedisModuleIO) -> Loader<'a> {
        Loader::new(Source::File(io))
    }

    /// From pieces that have been put together again.
    pub(super) fn from_bytes(bytes: &'a [u8]) -> Loader<'a> {
        Loader::new(Source::Bytes(bytes))
    }

    /// Takes the next piece, at whose beginning the stream then is.
    fn take_piece(&mut self) -> io::Result<()> {
        let Source::File(io) = self.source else {
            return Ok(());
        };
        let mut len = 0;
        // SAFETY: the callback's argument lives as long as it; the buffer is ours to free once its bytes
        // have been copied.
        unsafe {
            let buffer = api!(RedisModule_LoadStringBuffer(io, &mut len));
            if buffer.is_null() || raw::is_io_error(io) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.piece.clear();
            self.piece
                .extend_from_slice(slice::from_raw_parts(buffer.cast(), len));
            api!(RedisModule_Free(buffer.cast()));
        }
        if len > PIECE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.read = 0;
        self.last = len < PIECE;
        Ok(())
    }

    /// Whether everything was read, to the end of the last piece.
    pub(super) fn is_at_end(&mut self) -> bool {
        matches!(self.read(&mut [0]), Ok(0))
    }
}

impl Read for Loader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Source::Bytes(bytes) = &mut self.source {
            return bytes.read(into);
        }
        if self.read == self.piece.len() && !self.last {
            self.take_piece()?;
        }
        let left = &self.piece[self.read..];
        let taken = left.len().min(into.len());
        into[..taken].copy_from_slice(&left[..taken]);
        self.read += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_were_put_together_are_read_to_their_end() {
        for len in [0, 1, PIECE, PIECE + 1] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut loader = Loader::from_bytes(&bytes);
            let mut read = Vec::new();
            loader.read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
            assert!(loader.is_at_end());
        }
    }
}
