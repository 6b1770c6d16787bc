//! The only floor that touches the server's module API. Above it, commands are plain functions from
//! arguments to replies; below it, sketches know nothing of Redis.
//!
//! What this floor promises the others:
//!
//! * **No panic reaches the server.** Every function that C calls runs inside [`guard`].
//! * **Arguments are read where they lie** ([`args`]): no copy, no reference count, one typed reader.
//! * **A reply is a value** ([`reply`]), written out only once the command has succeeded, so that an
//!   error can never follow half a reply.
//! * **Keys are handles** ([`key`]) that close themselves; a change is signalled, notified and
//!   propagated in one place ([`call`]).
//! * **Anything newer than Redis 7.0 is asked for first**: functions are called through the pointers
//!   the server filled in, and those it did not know stay `None`.

/// Calls a function of the module API that every supported server (Redis 7.0 and later, Valkey) has.
/// To be used inside `unsafe`, with the argument why the pointers passed are good.
macro_rules! api {
    ($function:ident($($argument:expr),* $(,)?)) => {
        (redis_module::raw::$function.expect(concat!(stringify!($function), " is missing")))($($argument),*)
    };
}

use redis_module::raw::RedisModuleCtx;

/// What the server is doing: REDISMODULE_CTX_FLAGS_*. Without a context (null) those of the server are
/// told and those of a client are not.
///
/// # Safety
/// `ctx` is null or a live context.
unsafe fn context_flags(ctx: *mut RedisModuleCtx) -> u32 {
    // SAFETY: by the caller.
    unsafe { api!(RedisModule_GetContextFlags(ctx)) as u32 }
}

pub mod allocator;
pub mod args;
pub mod background;
pub mod call;
pub mod command;
pub mod error;
pub mod guard;
pub mod key;
pub mod log;
pub mod module;
pub mod reply;
pub mod settings;
pub mod sketch_type;
