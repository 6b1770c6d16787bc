//! Work on the server's thread at a later time.
//!
//! A timer is the place for work on keys that no command asks for: it runs when no command, script or
//! loading is under way. Its context is in database 0.

use super::context::Context;
use super::guard::guarded;
use redis_module::raw::RedisModuleCtx;
use std::ffi::c_void;
use std::time::Duration;

type Call = Box<dyn FnOnce(&mut Context)>;

impl Context {
    /// Has this called once, when so much time has gone by.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&mut Context) + 'static) {
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
        let (call, mut ctx) = unsafe { (Box::from_raw(call.cast::<Call>()), Context::new(ctx)) };
        call(&mut ctx);
    });
}
