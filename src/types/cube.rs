//! `HLLcubev1`: a key that holds a cube.

use super::settings;
use super::sketch::REPLAY;
use crate::cube::{Cube, paged};
use crate::server::datatype::{DataType, LoadError, TypeHandle};
use crate::server::defrag::{Defragmenter, Progress};
use crate::server::stream::{Loader, Saver};
use crate::storage::{Compression, cube as stored};
use std::ffi::{CStr, c_int};
use std::io;

impl DataType for Cube {
    const NAME: &'static CStr = c"HLLcubev1";

    /// The version of what stands around [`storage::cube`](stored)'s stream, whose frames have their own: nothing.
    const ENCODING: c_int = 1;

    /// So many that no cube has more: what a server can hold.
    const MOST_BYTES: usize = 1 << 40;

    fn handle() -> &'static TypeHandle<Cube> {
        static HANDLE: TypeHandle<Cube> = TypeHandle::new();
        &HANDLE
    }

    fn save(&self, out: &mut Saver) -> io::Result<()> {
        stored::save(self, out, settings::RDB_COMPRESSION.get())
    }

    fn load(from: &mut Loader, _: c_int) -> Result<Cube, LoadError> {
        stored::load(from).map_err(|error| LoadError(error.to_string()))
    }

    fn memory_bytes(&self) -> usize {
        Cube::memory_bytes(self)
    }

    fn allocator_has_classes(has_classes: bool) {
        paged::allocator_has_classes(has_classes);
    }

    /// Pieces of upkeep that wait for writes.
    fn tallies(&self) -> [usize; 2] {
        [self.waiting(), 0]
    }

    /// Moves the chunks of sealed slices, which are nearly all there is. What changes is written anew soon anyway.
    fn defrag(&mut self, mover: &mut Defragmenter) -> Progress {
        let cursor = mover.cursor();
        match self.relocate(mover, cursor, |mover| mover.should_stop()) {
            None => Progress::Done,
            Some(next) => Progress::Resume(next),
        }
    }

    fn copy(&self) -> Cube {
        self.clone()
    }

    fn digest(&self) -> Vec<u8> {
        stored::digest(self).to_vec()
    }

    fn replay(&self) -> (&'static CStr, Vec<u8>) {
        let mut content = Vec::new();
        // A vector takes everything.
        let _ = stored::save(self, &mut content, Compression::None);
        (REPLAY, content)
    }
}
