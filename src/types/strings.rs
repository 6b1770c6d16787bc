//! `HLLstrngs`: a list of byte strings, for tests only. It is what a sketch is not, a value of many
//! allocations and of any size: saved, loaded and rewritten in many pieces, and defragmented in several
//! visits.

use crate::server::datatype::{DataType, LoadError, TypeHandle};
use crate::server::defrag::{Defragmenter, Progress};
use crate::server::info::Counter;
use crate::server::stream::{Loader, Saver};
use std::ffi::{CStr, c_int};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// The command by which replicas are told of a whole list.
pub const REPLAY: &CStr = c"HLL.TEST.REPLAY";

/// Whether saving such a list panics.
pub static FAILS_TO_SAVE: AtomicBool = AtomicBool::new(false);

/// Visits of the defragmentation that did not begin with the first string.
pub static RESUMED: Counter = Counter::new();

/// See the head of this file.
#[derive(Default)]
pub struct Strings {
    strings: Vec<Vec<u8>>,
    /// The running sum of their allocations.
    bytes: usize,
}

impl Strings {
    /// Appends one.
    pub fn push(&mut self, string: Vec<u8>) {
        self.bytes += string.capacity();
        self.strings.push(string);
    }

    /// How many there are.
    pub fn number(&self) -> usize {
        self.strings.len()
    }

    /// Number of strings, then for each its length and its bytes. Lengths are four bytes, low byte first.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&(self.strings.len() as u32).to_le_bytes())?;
        for string in &self.strings {
            out.write_all(&(string.len() as u32).to_le_bytes())?;
            out.write_all(string)?;
        }
        Ok(())
    }
}

fn read_length(from: &mut Loader) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

impl DataType for Strings {
    const NAME: &'static CStr = c"HLLstrngs";
    const ENCODING: c_int = 1;
    const MOST_BYTES: usize = 1 << 30;

    fn handle() -> &'static TypeHandle<Strings> {
        static HANDLE: TypeHandle<Strings> = TypeHandle::new();
        &HANDLE
    }

    fn save(&self, out: &mut Saver) -> io::Result<()> {
        if FAILS_TO_SAVE.load(Ordering::Relaxed) {
            panic!("on purpose, while saving");
        }
        self.write(out)
    }

    fn load(from: &mut Loader, _: c_int) -> Result<Strings, LoadError> {
        let mut strings = Strings::default();
        for _ in 0..read_length(from)? {
            let length = read_length(from)?;
            let mut string = Vec::new();
            from.take(length.into()).read_to_end(&mut string)?;
            if string.len() < length as usize {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            string.shrink_to_fit();
            strings.push(string);
        }
        Ok(strings)
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Strings>() + self.strings.capacity() * size_of::<Vec<u8>>() + self.bytes
    }

    fn free_effort(&self) -> usize {
        self.strings.len()
    }

    fn defrag(&mut self, mover: &mut Defragmenter) -> Progress {
        let begin = mover.cursor() as usize;
        if begin > 0 {
            RESUMED.add_one();
        }
        for (number, string) in self.strings.iter_mut().enumerate().skip(begin) {
            if number > begin && mover.should_stop() {
                return Progress::Resume(number as u64);
            }
            *string = mover.array(std::mem::take(string));
        }
        Progress::Done
    }

    fn copy(&self) -> Strings {
        Strings {
            strings: self.strings.clone(),
            bytes: self.strings.iter().map(Vec::len).sum(),
        }
    }

    fn digest(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes).expect("a vector takes everything");
        bytes
    }

    fn replay(&self) -> (&'static CStr, Vec<u8>) {
        (REPLAY, self.digest())
    }
}
