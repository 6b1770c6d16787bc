//! `HLLaccrcy`: a key that holds an accuracy monitor.

use super::sketch::REPLAY;
use crate::monitor::{Level, Monitor};
use crate::server::datatype::{DataType, LoadError, TypeHandle};
use crate::server::defrag::{Defragmenter, Progress};
use crate::server::stream::{Loader, Saver};
use crate::storage::monitor as stored;
use std::ffi::{CStr, c_int};
use std::io::{self, Read, Write};

impl DataType for Monitor {
    const NAME: &'static CStr = c"HLLaccrcy";

    /// The version of what stands around [`storage::monitor`](stored)'s frame, which has its own: nothing.
    const ENCODING: c_int = 1;

    const MOST_BYTES: usize = stored::MOST_BYTES;

    fn handle() -> &'static TypeHandle<Monitor> {
        static HANDLE: TypeHandle<Monitor> = TypeHandle::new();
        &HANDLE
    }

    fn save(&self, out: &mut Saver) -> io::Result<()> {
        out.write_all(&stored::encode(self))
    }

    fn load(from: &mut Loader, _: c_int) -> Result<Monitor, LoadError> {
        let mut bytes = Vec::new();
        let most = Self::MOST_BYTES as u64 + 1;
        from.take(most).read_to_end(&mut bytes)?;
        stored::decode(&bytes).map_err(|error| LoadError(error.to_string()))
    }

    fn memory_bytes(&self) -> usize {
        Monitor::memory_bytes(self)
    }

    /// Contexts that stand at a warning, and at critical.
    fn tallies(&self) -> [usize; 2] {
        [Level::Warning, Level::Critical].map(|level| self.standing(level))
    }

    /// Small, and written anew as samples come and go.
    fn defrag(&mut self, _: &mut Defragmenter) -> Progress {
        Progress::Done
    }

    fn copy(&self) -> Monitor {
        self.clone()
    }

    fn digest(&self) -> Vec<u8> {
        stored::encode(self)
    }

    fn replay(&self) -> (&'static CStr, Vec<u8>) {
        (REPLAY, stored::encode(self))
    }
}
