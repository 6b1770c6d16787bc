//! One call of a command: its arguments, the keyspace, and the announcement of what changed.

use super::args::{Arg, Args};
use super::background::Outcome;
use super::key::{ReadKey, WriteKey};
use super::{background, context_flags, log, settings};
use crate::sketch::{Sketch, Token};
use crate::storage;
use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};
use std::ffi::{CStr, c_int};

/// How a change travels to replicas and into the append-only file.
pub enum Propagation {
    /// As the client sent it. For commands whose effect depends only on their arguments and on the
    /// keys they name.
    Verbatim,
    /// As what it came to: `HLL.REPLAY key content`, the content being of [`storage::replay`].
    Replay(Vec<u8>),
}

impl Propagation {
    /// As the elements that changed the sketch. A few bytes for each of them, and none for the
    /// others, which are most.
    pub fn changes(tokens: &[Token]) -> Propagation {
        Propagation::Replay(storage::replay::encode_changes(tokens))
    }

    /// As the bytes of the sketch. For whatever depends on this server's settings, such as the
    /// precision of a new key, so that replicas end with the same bytes whatever theirs are.
    pub fn value_of(sketch: &Sketch) -> Propagation {
        Propagation::Replay(storage::encode(sketch, settings::rdb_compression()))
    }
}

/// See the head of this file.
pub struct Call<'a> {
    ctx: *mut RedisModuleCtx,
    /// What the client sent behind the command's name.
    pub args: Args<'a>,
}

impl<'a> Call<'a> {
    /// # Safety
    /// The three are what the server called the command with, and 'a ends with the call.
    pub unsafe fn new(
        ctx: *mut RedisModuleCtx,
        argv: *mut *mut RedisModuleString,
        argc: c_int,
    ) -> Call<'a> {
        Call {
            ctx,
            // SAFETY: by the caller.
            args: unsafe { Args::new(argv, argc) },
        }
    }

    /// Opens a key for reading.
    pub fn read(&self, name: Arg<'a>) -> ReadKey<'a> {
        // SAFETY: `ctx` is live for 'a.
        unsafe { ReadKey::open(self.ctx, name) }
    }

    /// Opens keys for reading.
    pub fn read_all(&self, names: impl IntoIterator<Item = Arg<'a>>) -> Vec<ReadKey<'a>> {
        names.into_iter().map(|name| self.read(name)).collect()
    }

    /// Opens a key for writing.
    pub fn write(&self, name: Arg<'a>) -> WriteKey<'a> {
        // SAFETY: `ctx` is live for 'a.
        unsafe { WriteKey::open(self.ctx, name) }
    }

    /// Whether the change comes from a primary or a file, where it has been accepted before: limits
    /// that keep clients in bounds do not apply to it.
    pub fn is_replayed(&self) -> bool {
        let accepted_before =
            raw::REDISMODULE_CTX_FLAGS_REPLICATED | raw::REDISMODULE_CTX_FLAGS_LOADING;
        self.flags() & accepted_before != 0
    }

    /// Whether the server only wants to know where the keys stand.
    pub fn asks_for_keys(&self) -> bool {
        // SAFETY: `ctx` is live.
        unsafe { api!(RedisModule_IsKeysPositionRequest(self.ctx)) != 0 }
    }

    /// Answers that.
    pub fn tell_keys(&self, keys: &[Arg<'a>], flags: u32) {
        for key in keys {
            // SAFETY: `ctx` is live, and the server has just asked.
            unsafe {
                api!(RedisModule_KeyAtPosWithFlags(
                    self.ctx,
                    key.position(),
                    flags as c_int
                ));
            }
        }
    }

    /// Whether the client may be made to wait while others are served. Not inside a transaction or a
    /// script, nor when another module calls.
    pub fn may_wait(&self) -> bool {
        let in_one_go = raw::REDISMODULE_CTX_FLAGS_MULTI
            | raw::REDISMODULE_CTX_FLAGS_LUA
            | raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING;
        self.flags() & in_one_go == 0
    }

    /// Has long work done by another thread; see [`background`]. Only if [`Call::may_wait`].
    /// The work holds copies of so many bytes.
    pub fn in_background(
        &self,
        bytes: usize,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Outcome {
        debug_assert!(self.may_wait());
        // SAFETY: `ctx` is live.
        unsafe { background::run(self.ctx, bytes, Box::new(work)) }
    }

    fn flags(&self) -> u32 {
        // SAFETY: `ctx` is live.
        unsafe { context_flags(self.ctx) }
    }

    /// Puts a sketch under a missing key and announces it as the bytes it has here.
    pub fn create(&self, name: Arg<'a>, mut key: WriteKey, sketch: Sketch, event: &CStr) {
        let propagation = Propagation::value_of(&sketch);
        key.put(sketch);
        drop(key);
        self.changed(name, event, propagation);
    }

    /// Announces that this command changed `key`: to replicas and the append-only file, to clients
    /// that watch or cache it, and to subscribers of keyspace events. To be called once, after the
    /// change, with the key's handle closed.
    pub fn changed(&self, key: Arg<'a>, event: &CStr, propagation: Propagation) {
        // SAFETY: `ctx` and the key's name are live; the formats name the arguments that follow.
        unsafe {
            let status = match propagation {
                Propagation::Verbatim => api!(RedisModule_ReplicateVerbatim(self.ctx)),
                Propagation::Replay(content) => api!(RedisModule_Replicate(
                    self.ctx,
                    c"HLL.REPLAY".as_ptr(),
                    c"sb".as_ptr(),
                    key.string(),
                    content.as_ptr(),
                    content.len()
                )),
            };
            if status != raw::Status::Ok as c_int {
                log::log(log::Level::Warning, "a change could not be propagated");
            }
            api!(RedisModule_SignalModifiedKey(self.ctx, key.string()));
            api!(RedisModule_NotifyKeyspaceEvent(
                self.ctx,
                raw::REDISMODULE_NOTIFY_MODULE,
                event.as_ptr(),
                key.string()
            ));
        }
    }
}
