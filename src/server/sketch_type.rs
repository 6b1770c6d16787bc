//! The data type `HLLsketch`: what the server asks of a value that is a sketch.

use super::guard::guarded;
use super::log::{Level, log, log_io_error};
use super::{context_flags, settings};
use crate::sketch::{Relocate, Sketch};
use crate::storage::{self, Compression};
use redis_module::raw::{
    self, RedisModuleCtx, RedisModuleDefragCtx, RedisModuleDigest, RedisModuleIO,
    RedisModuleKeyOptCtx, RedisModuleString, RedisModuleType, RedisModuleTypeMethods,
};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Nine characters, for ever: the server writes them into RDB files. `TYPE key` answers them.
pub const NAME: &CStr = c"HLLsketch";

/// The version of what `rdb_save` writes around [`storage`]'s payload, which has its own: nothing.
const ENCODING_VERSION: c_int = 1;

/// The version of the table of callbacks below. Five would add `aux_save2`, which Redis 7.0 does
/// not know and this type does not need.
const METHODS_VERSION: u64 = 4;

/// Bytes that the server frees in the foreground at the cost of one small object.
const PAGE: usize = 4096;

static HANDLE: AtomicPtr<RedisModuleType> = AtomicPtr::new(ptr::null_mut());

/// The server's handle of this type.
pub fn handle() -> *mut RedisModuleType {
    HANDLE.load(Ordering::Relaxed)
}

/// Registers the type; false if the server refuses.
///
/// # Safety
/// `ctx` is the context of the load function.
pub unsafe fn register(ctx: *mut RedisModuleCtx) -> bool {
    let mut methods = RedisModuleTypeMethods {
        version: METHODS_VERSION,
        rdb_load: Some(rdb_load),
        rdb_save: Some(rdb_save),
        aof_rewrite: Some(aof_rewrite),
        mem_usage: None,
        digest: Some(digest),
        free: Some(free),
        aux_load: None,
        aux_save: None,
        aux_save_triggers: 0,
        free_effort: None,
        unlink: None,
        copy: None,
        defrag: Some(defrag),
        mem_usage2: Some(mem_usage),
        free_effort2: Some(free_effort),
        unlink2: Some(unlink),
        copy2: Some(copy),
        aux_save2: None,
    };
    // SAFETY: by the caller; the server copies the table.
    let handle = unsafe {
        api!(RedisModule_CreateDataType(
            ctx,
            NAME.as_ptr(),
            ENCODING_VERSION,
            &mut methods
        ))
    };
    HANDLE.store(handle, Ordering::Relaxed);
    !handle.is_null()
}

/// The sketch behind a value of this type.
///
/// # Safety
/// `value` came from the server as a value of this type, and is not changed while 'a lasts.
unsafe fn sketch<'a>(value: *const c_void) -> &'a Sketch {
    // SAFETY: every value of this type is a `Box<Sketch>` turned into a pointer.
    unsafe { &*value.cast() }
}

fn into_value(sketch: Sketch) -> *mut c_void {
    Box::into_raw(Box::new(sketch)).cast()
}

/// Null where the bytes are not a sketch: the server then refuses the file or the payload, and
/// says so, instead of ending (the option HANDLE_IO_ERRORS is set).
unsafe extern "C" fn rdb_load(io: *mut RedisModuleIO, version: c_int) -> *mut c_void {
    guarded(ptr::null_mut(), || {
        // SAFETY: `io` is the server's; the buffer is ours to free once it is read.
        unsafe {
            if version > ENCODING_VERSION {
                log_io_error(io, "sketch written by a later version of this module");
                return ptr::null_mut();
            }
            let mut len = 0;
            let buffer = api!(RedisModule_LoadStringBuffer(io, &mut len));
            if buffer.is_null() || raw::is_io_error(io) {
                return ptr::null_mut();
            }
            let decoded = storage::decode(slice::from_raw_parts(buffer.cast(), len));
            api!(RedisModule_Free(buffer.cast()));
            match decoded {
                Ok(sketch) => into_value(sketch),
                Err(error) => {
                    log_io_error(io, &format!("sketch not loaded: {error}"));
                    ptr::null_mut()
                }
            }
        }
    })
}

unsafe extern "C" fn rdb_save(io: *mut RedisModuleIO, value: *mut c_void) {
    guarded_save(|| {
        // SAFETY: `value` is ours and nobody changes it during a save; the server copies the bytes.
        unsafe {
            let payload = storage::encode(sketch(value), settings::rdb_compression());
            api!(RedisModule_SaveStringBuffer(
                io,
                payload.as_ptr().cast::<c_char>(),
                payload.len()
            ));
        }
    })
}

unsafe extern "C" fn aof_rewrite(
    io: *mut RedisModuleIO,
    key: *mut RedisModuleString,
    value: *mut c_void,
) {
    guarded_save(|| {
        // SAFETY: as in `rdb_save`; the format names the arguments that follow.
        unsafe {
            let payload = storage::encode(sketch(value), settings::rdb_compression());
            api!(RedisModule_EmitAOF(
                io,
                c"HLL.IMPORT".as_ptr(),
                c"sccb".as_ptr(),
                key,
                c"FORMAT".as_ptr(),
                c"NATIVE".as_ptr(),
                payload.as_ptr(),
                payload.len()
            ));
        }
    })
}

/// A file that silently lacks a value is the worst outcome of a panic while saving. A child process
/// that saves ends instead: the server reports that the save failed and keeps its last good file.
fn guarded_save(body: impl FnOnce()) {
    let saved = guarded(false, || {
        body();
        true
    });
    if !saved && is_child() {
        log(
            Level::Warning,
            "giving up this save because of an internal error",
        );
        std::process::exit(1);
    }
}

fn is_child() -> bool {
    // SAFETY: a null context is allowed.
    let flags = unsafe { context_flags(ptr::null_mut()) };
    flags & raw::REDISMODULE_CTX_FLAGS_IS_CHILD != 0
}

unsafe extern "C" fn free(value: *mut c_void) {
    guarded((), || {
        // SAFETY: the server gives back what `into_value` made, once.
        drop(unsafe { Box::from_raw(value.cast::<Sketch>()) });
    })
}

unsafe extern "C" fn mem_usage(
    _: *mut RedisModuleKeyOptCtx,
    value: *const c_void,
    _samples: usize,
) -> usize {
    // SAFETY: `value` is ours.
    guarded(0, || unsafe { sketch(value) }.memory_bytes())
}

/// For `DEBUG DIGEST`: everything a replica must have alike, in the uncompressed stored form.
unsafe extern "C" fn digest(digest: *mut RedisModuleDigest, value: *mut c_void) {
    guarded((), || {
        // SAFETY: both are the server's and live; the bytes are read before the call returns.
        unsafe {
            let content = storage::encode(sketch(value), Compression::None);
            api!(RedisModule_DigestAddStringBuffer(
                digest,
                content.as_ptr().cast::<c_char>(),
                content.len()
            ));
            api!(RedisModule_DigestEndSequence(digest));
        }
    })
}

/// Pages to return: what is larger than 64 of them is freed in the background.
unsafe extern "C" fn free_effort(_: *mut RedisModuleKeyOptCtx, value: *const c_void) -> usize {
    // SAFETY: `value` is ours.
    guarded(1, || unsafe { sketch(value) }.memory_bytes().div_ceil(PAGE))
}

/// The key is gone from the keyspace, its value will be freed later, perhaps by another thread. A
/// sketch holds nothing but its own memory, so there is nothing to let go of earlier.
unsafe extern "C" fn unlink(_: *mut RedisModuleKeyOptCtx, _: *const c_void) {}

unsafe extern "C" fn copy(_: *mut RedisModuleKeyOptCtx, value: *const c_void) -> *mut c_void {
    // SAFETY: `value` is ours.
    guarded(ptr::null_mut(), || {
        into_value(unsafe { sketch(value) }.clone())
    })
}

/// Moves the structure and its arrays to where they close gaps. Three allocations: never so long
/// that it would have to be split.
unsafe extern "C" fn defrag(
    ctx: *mut RedisModuleDefragCtx,
    _: *mut RedisModuleString,
    value: *mut *mut c_void,
) -> c_int {
    guarded(0, || {
        let mut mover = Defragmenter(ctx);
        // SAFETY: the server runs nothing else on this value meanwhile; what is at `value` is ours.
        unsafe {
            *value = mover.moved(*value);
            (*(*value).cast::<Sketch>()).relocate(&mut mover);
        }
        0
    })
}

struct Defragmenter(*mut RedisModuleDefragCtx);

impl Defragmenter {
    /// The place of the allocation after the server has moved it, or has let it be.
    ///
    /// # Safety
    /// `old` is a live allocation of the server's allocator that nobody else refers to.
    unsafe fn moved(&mut self, old: *mut c_void) -> *mut c_void {
        // SAFETY: by the caller; the context is live during the callback.
        let new = unsafe { api!(RedisModule_DefragAlloc(self.0, old)) };
        if new.is_null() { old } else { new }
    }
}

impl Relocate for Defragmenter {
    fn array<T: Copy>(&mut self, array: Vec<T>) -> Vec<T> {
        let mut array = std::mem::ManuallyDrop::new(array);
        if array.capacity() == 0 {
            return Vec::new();
        }
        // SAFETY: the parts of a vector that is not dropped, whose allocation (of alignment at most
        // 16) came from the server and is now, with the same size and content, at the new place.
        unsafe {
            let place = self.moved(array.as_mut_ptr().cast());
            Vec::from_raw_parts(place.cast(), array.len(), array.capacity())
        }
    }
}
