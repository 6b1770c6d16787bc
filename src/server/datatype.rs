//! A kind of value: what the server asks of it, and how it is asked.
//!
//! The server knows a module's values as pointers and asks about them through a table of functions. One
//! set of such functions serves every type here: each goes through the guard, finds the value behind the
//! pointer, and asks the trait. A type says what is different about it, which is its lifecycle: how it is
//! saved, loaded, rebuilt, measured, copied, moved and compared. What one can *do* with it is the business
//! of its commands.

use super::allocator;
use super::defrag::{Defragmenter, Progress};
use super::error::CommandError;
use super::guard::guarded;
use super::info::Counter;
use super::log::log_io_error;
use super::saving;
use super::shared::SharedCounter;
use super::stream::{Loader, Saver};
use redis_module::raw::{
    RedisModuleCtx, RedisModuleDefragCtx, RedisModuleDigest, RedisModuleIO, RedisModuleKeyOptCtx,
    RedisModuleString, RedisModuleType, RedisModuleTypeMethods,
};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

/// Why a value could not be loaded, for the log.
#[derive(Debug)]
pub struct LoadError(pub String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        LoadError(format!("its bytes end early or are damaged ({error})"))
    }
}

/// A kind of value that a key can hold.
pub trait DataType: Sized + Send + 'static {
    /// Nine characters, for ever: the server writes them into its files. `TYPE key` answers them.
    const NAME: &'static CStr;

    /// The version of what [`save`](Self::save) writes; later ones than this are refused.
    const ENCODING: c_int;

    /// The most bytes that [`save`](Self::save) writes of a value.
    const MOST_BYTES: usize;

    /// The fewest bytes of a string that may be read as such a value; `None` if strings are none.
    const SHORTEST_STRING: Option<usize> = None;

    /// The server's handle of the type: one static for each implementation.
    fn handle() -> &'static TypeHandle<Self>;

    /// Writes the value. The same value gives the same bytes.
    fn save(&self, out: &mut Saver) -> io::Result<()>;

    /// Reads what [`save`](Self::save) wrote with the encoding of this number. Whatever the bytes are,
    /// this gives a value or says why not, and allocates nothing on the word of an unchecked length.
    fn load(from: &mut Loader, encoding: c_int) -> Result<Self, LoadError>;

    /// Bytes that it occupies. Asked at every write and by MEMORY USAGE: O(1), by a running sum where
    /// there are many parts.
    fn memory_bytes(&self) -> usize;

    /// Told once, before there are values: whether the server's allocator rounds up to classes of sizes.
    fn allocator_has_classes(_has_classes: bool) {}

    /// Numbers whose sums over all values of the type INFO tells, whatever they count; asked as often. O(1).
    fn tallies(&self) -> [usize; 2] {
        [0; 2]
    }

    /// Allocations to return when it is freed; the server frees what has more than 64 in the
    /// background. Pages count as allocations, since returning them takes time as well.
    fn free_effort(&self) -> usize {
        self.memory_bytes().div_ceil(PAGE)
    }

    /// Moves its allocations, but for the one of `Self`, to where they close gaps.
    fn defrag(&mut self, mover: &mut Defragmenter) -> Progress;

    /// A value of its own with the same content.
    fn copy(&self) -> Self;

    /// Everything that replicas must have alike, in a form that depends on no setting: for
    /// DEBUG DIGEST.
    fn digest(&self) -> Vec<u8>;

    /// How a new value travels to replicas: as a command of this name with the key and this content.
    fn replay(&self) -> (&'static CStr, Vec<u8>);

    /// The value that a string under a key is (of another program, in its format); `key` is for the
    /// error.
    fn from_string(_bytes: &[u8], _key: &str) -> Result<Self, CommandError> {
        Err(CommandError::WrongType)
    }

    /// Why such a string is not written to.
    fn string_is_read_only(_key: &str) -> CommandError {
        CommandError::WrongType
    }
}

/// Bytes that saved values took in memory, ...
pub static SAVED_MEMORY: SharedCounter = SharedCounter::new(0);
/// ... and as they were saved: into database files, append-only files, payloads of DUMP and to replicas.
pub static SAVED: SharedCounter = SharedCounter::new(1);

/// Values that were not what they should be: of files, payloads and replicated writes.
pub static REJECTED: Counter = Counter::new();

/// What a value adds to the account of its type.
#[derive(Clone, Copy, Default)]
pub(super) struct Share([usize; 3]);

impl Share {
    /// Of a value as it is now.
    pub(super) fn of(value: &impl DataType) -> Share {
        let [first, second] = value.tallies();
        Share([value.memory_bytes(), first, second])
    }
}

/// Bytes that are returned at the cost of one small object.
const PAGE: usize = 4096;

/// The version of the table of callbacks below. Five would add `aux_save2`, which Redis 7.0 does
/// not know and no type here needs.
const METHODS_VERSION: u64 = 4;

/// What the server calls the type `T` by, and an account of its values.
pub struct TypeHandle<T> {
    raw: AtomicPtr<RedisModuleType>,
    values: AtomicI64,
    /// Bytes, and the tallies.
    sums: [AtomicI64; 3],
    kind: PhantomData<fn() -> T>,
}

impl<T: DataType> TypeHandle<T> {
    /// Of a type that is not registered yet.
    #[expect(
        clippy::new_without_default,
        reason = "to be used in a static, and nowhere else"
    )]
    pub const fn new() -> TypeHandle<T> {
        TypeHandle {
            raw: AtomicPtr::new(ptr::null_mut()),
            values: AtomicI64::new(0),
            sums: [const { AtomicI64::new(0) }; 3],
            kind: PhantomData,
        }
    }

    pub(super) fn raw(&self) -> *mut RedisModuleType {
        self.raw.load(Ordering::Relaxed)
    }

    /// Values that exist, those included that the server has not freed yet.
    pub fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed).max(0) as u64
    }

    /// Bytes that they occupy together.
    pub fn bytes(&self) -> u64 {
        self.sum(0)
    }

    /// The sums of [`DataType::tallies`].
    pub fn tallies(&self) -> [u64; 2] {
        [self.sum(1), self.sum(2)]
    }

    fn sum(&self, which: usize) -> u64 {
        self.sums[which].load(Ordering::Relaxed).max(0) as u64
    }

    /// A value has come to have this share in the account instead of that.
    pub(super) fn settle(&self, before: Share, after: Share) {
        for (sum, (before, after)) in self.sums.iter().zip(before.0.into_iter().zip(after.0)) {
            if before != after {
                let more = after as i64 - before as i64;
                sum.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// Turns a value into the pointer that the server knows it by.
    pub(super) fn hand_over(&self, value: T) -> *mut c_void {
        self.values.fetch_add(1, Ordering::Relaxed);
        self.settle(Share::default(), Share::of(&value));
        Box::into_raw(Box::new(value)).cast()
    }

    /// Takes a value back.
    ///
    /// # Safety
    /// `value` is of [`hand_over`](Self::hand_over) and given back once.
    unsafe fn take_back(&self, value: *mut c_void) -> T {
        // SAFETY: by the caller.
        let value = unsafe { Box::from_raw(value.cast::<T>()) };
        self.values.fetch_sub(1, Ordering::Relaxed);
        self.settle(Share::of(&*value), Share::default());
        *value
    }
}

/// A type in the module's table.
pub struct TypeEntry {
    /// [`DataType::NAME`].
    pub name: &'static CStr,
    pub(super) register: unsafe fn(*mut RedisModuleCtx) -> bool,
}

impl TypeEntry {
    /// Of this type.
    pub const fn of<T: DataType>() -> TypeEntry {
        TypeEntry {
            name: T::NAME,
            register: register::<T>,
        }
    }
}

/// Reads a value from the whole of a stream that was rebuilt.
pub fn load_bytes<T: DataType>(bytes: &[u8]) -> Result<T, LoadError> {
    load_whole(&mut Loader::from_bytes(bytes), T::ENCODING)
}

fn load_whole<T: DataType>(from: &mut Loader, encoding: c_int) -> Result<T, LoadError> {
    if encoding > T::ENCODING {
        return Err(LoadError(
            "it was written by a later version of this module".to_owned(),
        ));
    }
    let value = T::load(from, encoding)?;
    if !from.is_at_end() {
        return Err(LoadError("it is followed by bytes too many".to_owned()));
    }
    Ok(value)
}

/// Registers the type; false if the server refuses.
///
/// # Safety
/// `ctx` is the context of the load function.
unsafe fn register<T: DataType>(ctx: *mut RedisModuleCtx) -> bool {
    T::allocator_has_classes(allocator::has_classes());
    let mut methods = RedisModuleTypeMethods {
        version: METHODS_VERSION,
        rdb_load: Some(rdb_load::<T>),
        rdb_save: Some(rdb_save::<T>),
        aof_rewrite: Some(aof_rewrite::<T>),
        mem_usage: None,
        digest: Some(digest::<T>),
        free: Some(free::<T>),
        aux_load: None,
        aux_save: None,
        aux_save_triggers: 0,
        free_effort: None,
        // The key is gone and its value will be freed later, perhaps by another thread: nothing here
        // holds anything but its own memory, so there is nothing to let go of earlier.
        unlink: None,
        copy: None,
        defrag: Some(defrag::<T>),
        mem_usage2: Some(mem_usage::<T>),
        free_effort2: Some(free_effort::<T>),
        unlink2: None,
        copy2: Some(copy::<T>),
        aux_save2: None,
    };
    // SAFETY: by the caller; the server copies the table.
    let handle = unsafe {
        api!(RedisModule_CreateDataType(
            ctx,
            T::NAME.as_ptr(),
            T::ENCODING,
            &mut methods
        ))
    };
    T::handle().raw.store(handle, Ordering::Relaxed);
    !handle.is_null()
}

/// The value behind a pointer of the server's.
///
/// # Safety
/// `value` came from the server as a value of type `T`, and is not changed while 'a lasts.
unsafe fn value<'a, T: DataType>(value: *const c_void) -> &'a T {
    // SAFETY: every value of the type is a `Box<T>` turned into a pointer.
    unsafe { &*value.cast() }
}

/// Null where the bytes are not a value: the server then refuses the file or the payload, and
/// says so, instead of ending (the option HANDLE_IO_ERRORS is set).
unsafe extern "C" fn rdb_load<T: DataType>(io: *mut RedisModuleIO, encoding: c_int) -> *mut c_void {
    guarded(ptr::null_mut(), || {
        // SAFETY: `io` is the server's.
        let loaded = unsafe { load_whole::<T>(&mut Loader::from_file(io), encoding) };
        match loaded {
            Ok(value) => T::handle().hand_over(value),
            Err(error) => {
                REJECTED.add_one();
                let name = T::NAME.to_string_lossy();
                // SAFETY: as above.
                unsafe { log_io_error(io, &format!("value of type {name} not loaded: {error}")) };
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn rdb_save<T: DataType>(io: *mut RedisModuleIO, this: *mut c_void) {
    saving::guarded(|| {
        // SAFETY: the arguments are the server's, and nobody changes a value during a save.
        let (saver, value) = unsafe { (Saver::to_file(io), value::<T>(this)) };
        save_whole(value, saver);
    });
}

unsafe extern "C" fn aof_rewrite<T: DataType>(
    io: *mut RedisModuleIO,
    key: *mut RedisModuleString,
    this: *mut c_void,
) {
    saving::guarded(|| {
        // SAFETY: as in `rdb_save`.
        let (saver, value) = unsafe { (Saver::to_commands(io, key, T::NAME), value::<T>(this)) };
        save_whole(value, saver);
    });
}

/// A stream into the server's hands takes all it is given; that it is lost later is the server's to see.
fn save_whole<T: DataType>(value: &T, mut saver: Saver) {
    value
        .save(&mut saver)
        .and_then(|()| saver.flush())
        .expect("the server takes everything");
    SAVED_MEMORY.add(value.memory_bytes());
    SAVED.add(saver.finish());
}

unsafe extern "C" fn free<T: DataType>(this: *mut c_void) {
    guarded((), || {
        // SAFETY: the server gives back what `hand_over` made, once.
        drop(unsafe { T::handle().take_back(this) });
    })
}

unsafe extern "C" fn mem_usage<T: DataType>(
    _: *mut RedisModuleKeyOptCtx,
    this: *const c_void,
    _samples: usize,
) -> usize {
    // SAFETY: the value is the server's.
    guarded(0, || unsafe { value::<T>(this) }.memory_bytes())
}

unsafe extern "C" fn digest<T: DataType>(digest: *mut RedisModuleDigest, this: *mut c_void) {
    guarded((), || {
        // SAFETY: both are the server's and live; the bytes are read before the call returns.
        unsafe {
            let content = value::<T>(this).digest();
            api!(RedisModule_DigestAddStringBuffer(
                digest,
                content.as_ptr().cast::<c_char>(),
                content.len()
            ));
            api!(RedisModule_DigestEndSequence(digest));
        }
    })
}

unsafe extern "C" fn free_effort<T: DataType>(
    _: *mut RedisModuleKeyOptCtx,
    this: *const c_void,
) -> usize {
    // SAFETY: the value is the server's.
    guarded(1, || unsafe { value::<T>(this) }.free_effort())
}

unsafe extern "C" fn copy<T: DataType>(
    _: *mut RedisModuleKeyOptCtx,
    this: *const c_void,
) -> *mut c_void {
    guarded(ptr::null_mut(), || {
        // SAFETY: the value is the server's.
        T::handle().hand_over(unsafe { value::<T>(this) }.copy())
    })
}

/// Moves the value's own allocation, and has it move the others. 1 asks the server to come again.
unsafe extern "C" fn defrag<T: DataType>(
    ctx: *mut RedisModuleDefragCtx,
    _: *mut RedisModuleString,
    this: *mut *mut c_void,
) -> c_int {
    guarded(0, || {
        // SAFETY: the server runs nothing else on this value meanwhile; what is at `this` is the only
        // pointer to a `Box<T>`.
        unsafe {
            let mut mover = Defragmenter::new(ctx);
            if mover.is_beginning() {
                *this = mover.moved(*this);
            }
            let progress = (*(*this).cast::<T>()).defrag(&mut mover);
            mover.end(progress)
        }
    })
}
