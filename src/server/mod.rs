//! The only floor that touches the server's module API. It knows commands, values, settings and
//! clients in general, and none of ours in particular: what a sketch is, it has never heard.
//!
//! What this floor promises the others:
//!
//! * **No panic reaches the server.** Every function that C calls and that may panic runs inside [`guard`].
//! * **Arguments are read where they lie** ([`args`]): no copy, no reference count. A command's syntax
//!   is written once ([`syntax`]): its documentation, its reader and the typed result are one text.
//! * **A reply is a value** ([`reply`]), written out only once the command has succeeded, so that an
//!   error can never follow half a reply.
//! * **Keys are borrowed** ([`context`], [`key`]). Readers borrow the context and a writer borrows it
//!   mutably, so the compiler refuses two writers of one key, a reader beside a value that is
//!   replaced, and a change announced while something is still open. The announcement is the end of
//!   the write itself: none can be forgotten.
//! * **A kind of value is a trait** ([`datatype`]): what the server asks of it, on about a page.
//! * **Nobody waits for anybody's long answer** ([`answers`], [`workers`], [`blocked`]).
//! * **Anything newer than Redis 7.0 is asked for first**: functions are called through the pointers
//!   the server filled in, and those it did not know stay `None`.

/// Calls a function of the module API that every supported server (Redis 7.0 and later, Valkey) has.
/// To be used inside `unsafe`, with the argument why the pointers passed are good.
macro_rules! api {
    ($function:ident($($argument:expr),* $(,)?)) => {
        (redis_module::raw::$function.expect(concat!(stringify!($function), " is missing")))($($argument),*)
    };
}

use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent, RedisModuleString};
use std::ffi::c_int;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the server is doing: REDISMODULE_CTX_FLAGS_*. Without a context (null) those of the server are
/// told and those of a client are not.
///
/// # Safety
/// `ctx` is null or a live context.
unsafe fn context_flags(ctx: *mut RedisModuleCtx) -> u32 {
    // SAFETY: by the caller.
    unsafe { api!(RedisModule_GetContextFlags(ctx)) as u32 }
}

/// The bytes of a string of the server's.
///
/// # Safety
/// It lives as long as 'a and is not changed meanwhile.
#[inline]
unsafe fn string_bytes<'a>(string: *const RedisModuleString) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: by the caller; the server gives the true length.
    unsafe {
        let start = api!(RedisModule_StringPtrLen(string, &mut len));
        slice::from_raw_parts(start.cast(), len)
    }
}

/// Locks, whatever a panic elsewhere has left behind: what is kept under these locks is whole between any two
/// of its changes.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a call of the module API succeeded.
fn is_ok(status: c_int) -> bool {
    status == raw::Status::Ok as c_int
}

/// An event of the server's that can be listened to, by its number REDISMODULE_EVENT_*.
fn server_event(id: u64) -> RedisModuleEvent {
    RedisModuleEvent { id, dataver: 1 }
}

pub mod allocator;
pub mod answers;
pub mod args;
pub mod blocked;
pub mod cluster;
pub mod command;
pub mod context;
pub mod datatype;
pub mod defrag;
pub mod error;
pub mod guard;
pub mod info;
pub mod key;
pub mod log;
pub mod module;
pub mod rebuild;
pub mod reply;
mod saving;
pub mod settings;
pub mod shared;
pub mod sockets;
pub mod stream;
pub mod syntax;
pub mod timer;
pub mod workers;
