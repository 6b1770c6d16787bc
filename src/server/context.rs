//! What commands, timers and finished answers have in common: a context of the server, through which
//! keys are opened.
//!
//! The borrow checker keeps the keyspace in order. [`Context::read`] borrows the context and
//! [`Context::write`] borrows it mutably, so as long as a value is looked at, nothing can change it:
//!
//! ```compile_fail,E0499
//! # use redis_hll::server::{context::Context, datatype::DataType};
//! fn two_mutable_views_of_one_key<T: DataType>(ctx: &mut Context) {
//!     let first = ctx.write::<T>(b"key".into());
//!     let second = ctx.write::<T>(b"key".into());
//!     let _ = (first.exists(), second.exists());
//! }
//! ```
//!
//! ```compile_fail,E0502
//! # use redis_hll::server::{context::Context, datatype::DataType, key::Propagation};
//! fn a_reader_beside_a_replaced_value<T: DataType>(ctx: &mut Context, value: T) {
//!     let reader = ctx.read::<T>(b"key".into()).unwrap();
//!     ctx.write::<T>(b"key".into()).replace(value, c"event", Propagation::Verbatim);
//!     let _ = reader.value();
//! }
//! ```
//!
//! A change is announced by the call that ends the write, which takes the handle away:
//!
//! ```compile_fail,E0382
//! # use redis_hll::server::{context::Context, datatype::DataType, key::Propagation};
//! fn an_announcement_with_an_open_handle<T: DataType>(ctx: &mut Context, value: T) {
//!     let key = ctx.write::<T>(b"key".into());
//!     key.replace(value, c"event", Propagation::Verbatim);
//!     let _ = key.exists();
//! }
//! ```
//!
//! What is left is allowed:
//!
//! ```
//! # use redis_hll::server::{context::Context, datatype::DataType, key::Propagation};
//! fn one_after_the_other<T: DataType>(ctx: &mut Context) {
//!     let copy = ctx.read::<T>(b"from".into()).ok().and_then(|key| key.value().map(T::copy));
//!     if let Some(copy) = copy {
//!         ctx.write::<T>(b"to".into()).replace(copy, c"event", Propagation::Verbatim);
//!     }
//! }
//! ```

use super::args::Arg;
use super::context_flags;
use super::datatype::DataType;
use super::error::CommandError;
use super::key::{Copied, KeyName, ReadKey, WriteKey, members_of_set};
use redis_module::raw::{self, RedisModuleCtx};
use std::ffi::{CStr, c_char};

/// A context of the server, live for as long as somebody holds a reference to this.
pub struct Context {
    raw: *mut RedisModuleCtx,
}

#[cfg(feature = "test-commands")]
impl Context {
    /// Lets the server look at its connections in the middle of a command, those of clients too.
    pub fn let_events_happen(&self) {
        let flags = raw::REDISMODULE_YIELD_FLAG_CLIENTS as std::ffi::c_int;
        // SAFETY: the context is that of a command that runs; without a text the server says what it always says.
        unsafe { api!(RedisModule_Yield(self.raw, flags, std::ptr::null())) };
    }
}

impl Context {
    /// # Safety
    /// `raw` is a live context that was handed to the callback that is running, and what is returned
    /// does not outlive the callback.
    pub(super) unsafe fn new(raw: *mut RedisModuleCtx) -> Context {
        Context { raw }
    }

    pub(super) fn raw(&self) -> *mut RedisModuleCtx {
        self.raw
    }

    /// Opens a key for reading.
    pub fn read<T: DataType>(&self, name: KeyName) -> Result<ReadKey<'_, T>, CommandError> {
        ReadKey::open(self, name)
    }

    /// Copies what is under a key; `None` where there is no key.
    pub fn copy<T: DataType>(&self, name: KeyName) -> Result<Option<Copied<T>>, CommandError> {
        Copied::of(self, name)
    }

    /// Opens a key for writing.
    pub fn write<'c, T: DataType>(&'c mut self, name: KeyName<'c>) -> WriteKey<'c, T> {
        WriteKey::open(self, name)
    }

    /// How many members the server's own set under a key has; 0 where there is no key.
    pub fn members_of_set(&self, name: KeyName) -> Result<usize, CommandError> {
        members_of_set(self, name)
    }

    /// Sends a message to all who have subscribed to a channel: here, on replicas, and on the other nodes of a cluster.
    pub fn publish(&self, channel: &CStr, message: &str) {
        // SAFETY: the context is live; the format names the arguments that follow. The `!` has the server send the
        // command to replicas where that is how they hear of it, which is not so in a cluster; the `A` keeps it out
        // of the append-only file.
        unsafe {
            let reply = raw::RedisModule_Call.map(|call| {
                call(
                    self.raw,
                    c"PUBLISH".as_ptr(),
                    c"!Acb".as_ptr(),
                    channel.as_ptr(),
                    message.as_ptr().cast::<c_char>(),
                    message.len(),
                )
            });
            if let Some(reply) = reply.filter(|reply| !reply.is_null()) {
                api!(RedisModule_FreeCallReply(reply));
            }
        }
    }

    /// Tells subscribers to keyspace events of one more event that concerns the key.
    pub fn notify(&self, event: &CStr, key: Arg) {
        // SAFETY: context and key are live, the name ends in NUL.
        unsafe {
            api!(RedisModule_NotifyKeyspaceEvent(
                self.raw,
                raw::REDISMODULE_NOTIFY_MODULE,
                event.as_ptr(),
                key.string()
            ));
        }
    }

    /// Whether the change comes from a primary or a file, where it has been accepted before: limits
    /// that keep clients in bounds do not apply to it.
    pub fn is_replayed(&self) -> bool {
        let accepted_before =
            raw::REDISMODULE_CTX_FLAGS_REPLICATED | raw::REDISMODULE_CTX_FLAGS_LOADING;
        self.flags() & accepted_before != 0
    }

    /// Whether a file or a primary's copy is being loaded.
    pub fn is_loading(&self) -> bool {
        self.flags() & raw::REDISMODULE_CTX_FLAGS_LOADING != 0
    }

    /// Whether the client may be made to wait while others are served. Not inside a transaction or a
    /// script, nor when another module calls.
    pub fn may_wait(&self) -> bool {
        let in_one_go = raw::REDISMODULE_CTX_FLAGS_MULTI
            | raw::REDISMODULE_CTX_FLAGS_LUA
            | raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
        self.flags() & in_one_go == 0
    }

    /// Unix milliseconds. One time for the whole of a command, a script or a transaction, where the server has one.
    pub fn now(&self) -> i64 {
        // SAFETY: the calls take nothing, and the first is made only where the server has it (not Redis 7.0).
        unsafe {
            match raw::RedisModule_CachedMicroseconds {
                Some(microseconds) => microseconds() / 1_000,
                None => api!(RedisModule_Milliseconds()),
            }
        }
    }

    /// The number of the database that keys are opened in.
    pub fn database(&self) -> i32 {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_GetSelectedDb(self.raw)) }
    }

    fn flags(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { context_flags(self.raw) }
    }
}
