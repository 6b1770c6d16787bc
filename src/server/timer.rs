//! Work on the server's thread at a later time: the deadlines of waiting clients ([`super::blocked`]), and keys that other
//! nodes of a cluster ask for ([`super::cluster`]).
//!
//! A timer runs when no command, script or loading is under way. What it may do with keys is less than
//! what a command may:
//!
//! * A key may run out of its time to live between two looks at it (a command stops the clock, a timer on
//!   Redis 7.0 does not), so values are copied and not borrowed.
//! * A write would be replicated, which ends a server that is just handing its role over; so there is none.
//!
//! Keys are those of database 0, unless another one is chosen.

use super::context::Context;
use super::datatype::DataType;
use super::error::CommandError;
use super::guard::guarded;
use super::key::{Copied, KeyName};
use redis_module::raw::RedisModuleCtx;
use std::ffi::c_void;
use std::time::Duration;

/// What a timer may do.
pub struct TimerContext(Context);

impl TimerContext {
    /// Copies what is under a key; `None` where there is no key.
    pub fn copy<T: DataType>(&self, name: KeyName) -> Result<Option<Copied<T>>, CommandError> {
        self.0.copy(name)
    }

    #[cfg(feature = "test-commands")]
    pub(super) fn new(ctx: Context) -> TimerContext {
        TimerContext(ctx)
    }

    pub(super) fn context(&self) -> &Context {
        &self.0
    }
}

/// Something that is called once, some time after the module was loaded, and may have itself called again.
pub struct TimerEntry {
    /// Time after loading.
    pub first: Duration,
    /// What is called.
    pub call: fn(&TimerContext),
}

type Call = Box<dyn FnOnce(&TimerContext)>;

impl Context {
    /// Has this called once, when so much time has gone by.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&TimerContext) + 'static) {
        let call: Box<Call> = Box::new(Box::new(call));
        let milliseconds = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        // SAFETY: the context is live; the server gives the pointer back once.
        unsafe {
            api!(RedisModule_CreateTimer(
                self.raw(),
                milliseconds,
                Some(run),
                Box::into_raw(call).cast()
            ));
        }
    }
}

unsafe extern "C" fn run(ctx: *mut RedisModuleCtx, call: *mut c_void) {
    guarded((), || {
        // SAFETY: the pointer is of `after`, the context lives as long as this call.
        let (call, ctx) = unsafe { (Box::from_raw(call.cast::<Call>()), Context::new(ctx)) };
        call(&TimerContext(ctx));
    });
}
