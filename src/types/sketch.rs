//! `HLLsketch`: a key that holds a sketch, or a string of the server's own HyperLogLog (a PF key) that is
//! read as one.

use super::settings;
use crate::server::datatype::{DataType, LoadError, REJECTED, TypeHandle};
use crate::server::defrag::{Defragmenter, Progress};
use crate::server::error::CommandError;
use crate::server::stream::{Loader, Saver};
use crate::sketch::{Precision, Relocate, Sketch};
use crate::storage::{self, Compression, redis};
use std::ffi::{CStr, c_int};
use std::io::{self, Read, Write};

/// The command by which replicas and the append-only file are told what a write came to.
pub const REPLAY: &CStr = c"HLL.REPLAY";

impl DataType for Sketch {
    const NAME: &'static CStr = c"HLLsketch";

    /// The version of what stands around [`storage`]'s payload, which has its own: nothing.
    const ENCODING: c_int = 1;

    /// Registers of the finest precision as they are, and some bytes around them.
    const MOST_BYTES: usize = Precision::MAX.registers() + 256;

    const SHORTEST_STRING: Option<usize> = Some(redis::SHORTEST);

    fn handle() -> &'static TypeHandle<Sketch> {
        static HANDLE: TypeHandle<Sketch> = TypeHandle::new();
        &HANDLE
    }

    fn save(&self, out: &mut Saver) -> io::Result<()> {
        out.write_all(&storage::encode(self, settings::RDB_COMPRESSION.get()))
    }

    fn load(from: &mut Loader, _: c_int) -> Result<Sketch, LoadError> {
        let mut payload = Vec::new();
        let most = Self::MOST_BYTES as u64 + 1;
        from.take(most).read_to_end(&mut payload)?;
        storage::decode(&payload).map_err(|error| LoadError(error.to_string()))
    }

    #[inline]
    fn memory_bytes(&self) -> usize {
        Sketch::memory_bytes(self)
    }

    /// A handful of allocations: never so long that it would have to be split.
    fn defrag(&mut self, mover: &mut Defragmenter) -> Progress {
        self.relocate(mover);
        Progress::Done
    }

    fn copy(&self) -> Sketch {
        self.clone()
    }

    fn digest(&self) -> Vec<u8> {
        storage::encode(self, Compression::None)
    }

    fn replay(&self) -> (&'static CStr, Vec<u8>) {
        let content = storage::encode(self, settings::RDB_COMPRESSION.get());
        (REPLAY, content)
    }

    fn from_string(bytes: &[u8], key: &str) -> Result<Sketch, CommandError> {
        if !redis::is_pf(bytes) {
            return Err(CommandError::WrongType);
        }
        redis::decode(bytes).map_err(|error| {
            REJECTED.add_one();
            CommandError::invalid(format_args!(
                "PF key '{key}' is damaged ({}), delete it or restore it from a copy",
                error.0
            ))
        })
    }

    fn string_is_read_only(key: &str) -> CommandError {
        CommandError::invalid(format_args!(
            "'{key}' is a PF key and only read here, \
             make a sketch of it with HLL.MERGE newkey {key} and write to that"
        ))
    }
}

impl Relocate for Defragmenter {
    fn array<T: Copy>(&mut self, array: Vec<T>) -> Vec<T> {
        Defragmenter::array(self, array)
    }
}
