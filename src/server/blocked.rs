//! Clients that wait for their answer while the server serves others.
//!
//! A blocked client gets its answer from whoever holds its [`Waiting`], on whichever thread. It may be
//! gone before: it closed the connection, was killed, or its time was up. Then the server calls us on its
//! own thread, and whoever works for the client is told through its [`Departure`]. Either way the server
//! is owed one `UnblockClient` for every client that was blocked, and the drop of `Waiting` sees to it.

use super::context::Context;
use super::error::CommandError;
use super::guard::guarded;
use super::reply::{self, Outcome};
use redis_module::raw::{self, RedisModuleBlockedClient, RedisModuleCtx, RedisModuleString};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Why a client does not wait any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It closed the connection or was killed.
    Gone,
    /// It was told that its time is up.
    TimedOut,
}

/// Called on the server's thread when the client does not wait any more. Says what a client is told
/// whose time is up.
pub trait OnDeparture: Send + Sync {
    /// The client is not there any more. May be called while the answer is being handed over.
    fn departed(&self, how: Departure);

    /// What it is told if its time was up.
    fn timeout_error(&self) -> CommandError;
}

/// Those who are to be told, by the server's pointer for the blocked client.
static LISTENERS: Mutex<Option<HashMap<usize, Arc<dyn OnDeparture>>>> = Mutex::new(None);

fn listeners() -> MutexGuard<'static, Option<HashMap<usize, Arc<dyn OnDeparture>>>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listener(client: *mut RedisModuleBlockedClient) -> Option<Arc<dyn OnDeparture>> {
    listeners().as_ref()?.get(&(client as usize)).cloned()
}

/// A client that waits. Without an answer it gets an error when this is dropped.
pub struct Waiting(*mut RedisModuleBlockedClient);

// SAFETY: the functions called on it (measuring and unblocking) may be called from any thread.
unsafe impl Send for Waiting {}

impl Context {
    /// Blocks the client of the running command, for as long as `timeout` if there is one. Only if
    /// [`Context::may_wait`]. The command's own answer is then [`super::reply::Reply::None`].
    pub fn block(&mut self, timeout: Option<Duration>, listener: Arc<dyn OnDeparture>) -> Waiting {
        debug_assert!(self.may_wait());
        let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
        // SAFETY: the context is live, and the callbacks live as long as the module.
        let client = unsafe {
            let client = api!(RedisModule_BlockClient(
                self.raw(),
                Some(send_outcome),
                Some(send_timeout),
                Some(free_outcome),
                i64::try_from(milliseconds).unwrap_or(i64::MAX)
            ));
            api!(RedisModule_SetDisconnectCallback(
                client,
                Some(disconnected)
            ));
            client
        };
        listeners()
            .get_or_insert_default()
            .insert(client as usize, listener);
        Waiting(client)
    }
}

impl Waiting {
    /// Hands the answer over: the server sends it on its own thread. A client that is gone by then gets
    /// nothing.
    pub fn answer(self, outcome: Outcome) {
        let client = self.0;
        std::mem::forget(self);
        unblock(client, Some(outcome));
    }

    /// Lets a client go that is gone already or was told that its time is up.
    pub fn release(self) {
        let client = self.0;
        std::mem::forget(self);
        unblock(client, None);
    }

    /// Runs a part of the work for the client, whose time counts as that of its command.
    pub fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: the client is blocked until it is unblocked, which takes `self` away.
        unsafe {
            api!(RedisModule_BlockedClientMeasureTimeStart(self.0));
            let result = work();
            api!(RedisModule_BlockedClientMeasureTimeEnd(self.0));
            result
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        unblock(self.0, Some(Err(CommandError::Internal)));
    }
}

fn unblock(client: *mut RedisModuleBlockedClient, outcome: Option<Outcome>) {
    if let Some(listeners) = listeners().as_mut() {
        listeners.remove(&(client as usize));
    }
    let outcome = outcome.map_or(ptr::null_mut(), |outcome| Box::into_raw(Box::new(outcome)));
    // SAFETY: the client is blocked until this call, which any thread may make and which is made once;
    // the outcome belongs to the server until it calls `free_outcome`.
    unsafe {
        api!(RedisModule_UnblockClient(client, outcome.cast()));
    }
}

unsafe extern "C" fn send_outcome(
    ctx: *mut RedisModuleCtx,
    _: *mut *mut RedisModuleString,
    _: c_int,
) -> c_int {
    guarded(raw::Status::Err as c_int, || {
        // SAFETY: the private data is of `unblock`, and is not freed before this returns.
        unsafe {
            let outcome = api!(RedisModule_GetBlockedClientPrivateData(ctx)).cast::<Outcome>();
            match outcome.as_ref() {
                Some(outcome) => reply::send(ctx, outcome),
                None => reply::send(ctx, &Err(CommandError::Internal)),
            }
        }
    })
}

unsafe extern "C" fn send_timeout(
    ctx: *mut RedisModuleCtx,
    _: *mut *mut RedisModuleString,
    _: c_int,
) -> c_int {
    guarded(raw::Status::Err as c_int, || {
        // SAFETY: the context is the server's.
        let listener = listener(unsafe { api!(RedisModule_GetBlockedClientHandle(ctx)) });
        let error = match &listener {
            Some(listener) => {
                listener.departed(Departure::TimedOut);
                listener.timeout_error()
            }
            // The answer was being handed over at this moment.
            None => CommandError::invalid("the time for this answer is up, ask again"),
        };
        // SAFETY: as above, and nothing was replied yet.
        unsafe { reply::send(ctx, &Err(error)) }
    })
}

unsafe extern "C" fn disconnected(_: *mut RedisModuleCtx, client: *mut RedisModuleBlockedClient) {
    guarded((), || {
        if let Some(listener) = listener(client) {
            listener.departed(Departure::Gone);
        }
    });
}

unsafe extern "C" fn free_outcome(_: *mut RedisModuleCtx, outcome: *mut c_void) {
    guarded((), || {
        if !outcome.is_null() {
            // SAFETY: of `unblock`, and given back once.
            drop(unsafe { Box::from_raw(outcome.cast::<Outcome>()) });
        }
    })
}
