//! Clients that wait for their answer while the server serves others.
//!
//! A blocked client gets its answer from whoever comes first with one, on whichever thread: there is one
//! [`Blocked`] for it, out of which the first one takes the server's handle. It may be gone before, having
//! closed the connection or been killed, or its time may be up; then whoever works for it is told on the
//! server's thread. Either way the server is owed exactly one `UnblockClient` for every client that was
//! blocked, and the one who takes the handle pays it.
//!
//! The answer is put into words by whoever gives it, in a context that the server offers for other threads:
//! a table of thousands of numbers takes longer to print than to send.
//!
//! An answer that is a write is made on the server's thread, in a context of the client's command, once it is let go
//! ([`Blocked::conclude`]): what it changes is propagated like what a command changes, and if the client is gone by then it
//! is not made at all.
//!
//! The time is kept by a timer of our own. The server offers to keep it, but a Redis before 7.4 whose
//! limit falls between our answer and its delivery lets the client go without either. For the same reason
//! CLIENT UNBLOCK has no effect on these clients; CLIENT KILL has.

use super::context::Context;
use super::error::CommandError;
use super::guard::guarded;
use super::lock;
use super::reply::{self, Outcome};
use redis_module::raw::{self, RedisModuleBlockedClient, RedisModuleCtx, RedisModuleString};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Why a client does not wait any more, though nobody has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It closed the connection or was killed, or the server sent it away.
    Gone,
    /// It was told that its time is up.
    TimedOut,
}

/// How long a client waits, and what it is told then.
pub struct Limit {
    /// From now on.
    pub time: Duration,
    /// The reply.
    pub error: CommandError,
}

/// The server's handle of a blocked client, and a context to answer in.
struct Handle {
    client: *mut RedisModuleBlockedClient,
    answer: *mut RedisModuleCtx,
}

// SAFETY: the functions called on them (measuring, replying and unblocking) may be called from any thread,
// the context having been made on the server's.
unsafe impl Send for Handle {}

/// A client that waits, or has waited, for an answer.
pub struct Blocked {
    /// Gone with the first answer or departure.
    handle: Mutex<Option<Handle>>,
    deadline: Option<(Instant, CommandError)>,
    on_departure: Box<dyn Fn(Departure) + Send + Sync>,
}

/// What makes an answer; taken out when it does.
type Conclusion = Option<Box<dyn FnOnce(&mut Context) -> Outcome + Send>>;

/// Clients that wait, by the server's pointer for them.
static BLOCKED: Mutex<Option<HashMap<usize, Arc<Blocked>>>> = Mutex::new(None);

/// When the next look at the deadlines is due.
static NEXT_LOOK: Mutex<Option<Instant>> = Mutex::new(None);

impl Context {
    /// Blocks the client of the running command, and has this called on the server's thread if it departs.
    /// Only if [`Context::may_wait`]. The command's own answer is then [`super::reply::Reply::None`].
    pub fn block(
        &mut self,
        limit: Option<Limit>,
        on_departure: impl Fn(Departure) + Send + Sync + 'static,
    ) -> Arc<Blocked> {
        debug_assert!(self.may_wait());
        // SAFETY: the context is live, and the callback lives as long as the module.
        let handle = unsafe {
            let client = api!(RedisModule_BlockClient(
                self.raw(),
                Some(conclude),
                None,
                Some(free_conclusion),
                0
            ));
            api!(RedisModule_SetDisconnectCallback(
                client,
                Some(disconnected)
            ));
            Handle {
                client,
                answer: api!(RedisModule_GetThreadSafeContext(client)),
            }
        };
        let key = handle.client as usize;
        let deadline = limit.map(|limit| (Instant::now() + limit.time, limit.error));
        if let Some((deadline, _)) = &deadline {
            look_at(self, *deadline);
        }
        let blocked = Arc::new(Blocked {
            handle: Mutex::new(Some(handle)),
            deadline,
            on_departure: Box::new(on_departure),
        });
        lock(&BLOCKED)
            .get_or_insert_default()
            .insert(key, blocked.clone());
        blocked
    }
}

impl Blocked {
    /// Answers; whether the client was still waiting. The server sends the answer on its own thread.
    pub fn answer(&self, outcome: Outcome) -> bool {
        self.unblock(Some(outcome), ptr::null_mut())
    }

    /// Has the answer made by this on the server's thread, in a context of the client's command; whether the client was
    /// still waiting. If it is gone by then, nothing is called.
    pub fn conclude(
        &self,
        conclusion: impl FnOnce(&mut Context) -> Outcome + Send + 'static,
    ) -> bool {
        let conclusion: Box<Conclusion> = Box::new(Some(Box::new(conclusion)));
        let conclusion = Box::into_raw(conclusion);
        let was_waiting = self.unblock(None, conclusion.cast());
        if !was_waiting {
            // SAFETY: it was made just now and nobody else has it.
            drop(unsafe { Box::from_raw(conclusion) });
        }
        was_waiting
    }

    /// Whether it waits for an answer.
    pub fn waits(&self) -> bool {
        lock(&self.handle).is_some()
    }

    /// Runs a part of the work for the client, whose time counts as that of its command.
    pub fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: a handle that has not been taken is good, and nobody takes it during these calls.
        if let Some(handle) = &*lock(&self.handle) {
            unsafe { api!(RedisModule_BlockedClientMeasureTimeStart(handle.client)) };
        }
        let result = work();
        if let Some(handle) = &*lock(&self.handle) {
            // SAFETY: as above.
            unsafe { api!(RedisModule_BlockedClientMeasureTimeEnd(handle.client)) };
        }
        result
    }

    /// Lets the client go, with this answer or conclusion, if any; false if somebody else has done so.
    fn unblock(&self, outcome: Option<Outcome>, conclusion: *mut c_void) -> bool {
        let Some(Handle { client, answer }) = lock(&self.handle).take() else {
            return false;
        };
        // Before the server may use the place of this client for another one.
        if let Some(blocked) = lock(&BLOCKED).as_mut() {
            blocked.remove(&(client as usize));
        }
        // SAFETY: client and context are good until these calls, which any thread may make and which are
        // made once.
        unsafe {
            if let Some(outcome) = outcome {
                reply::send(answer, &outcome);
            }
            api!(RedisModule_FreeThreadSafeContext(answer));
            api!(RedisModule_UnblockClient(client, conclusion));
        }
        true
    }
}

/// Sees to it that somebody looks at the deadlines at this time.
fn look_at(ctx: &Context, time: Instant) {
    let mut next = lock(&NEXT_LOOK);
    if next.is_some_and(|next| next <= time) {
        return;
    }
    *next = Some(time);
    drop(next);
    let delay = time.saturating_duration_since(Instant::now());
    // Timers count whole milliseconds.
    ctx.after(delay + Duration::from_millis(1), |ctx| {
        *lock(&NEXT_LOOK) = None;
        let now = Instant::now();
        let waiting: Vec<_> = lock(&BLOCKED)
            .iter()
            .flat_map(|blocked| blocked.values().cloned())
            .collect();
        let mut earliest: Option<Instant> = None;
        for blocked in waiting {
            let Some((deadline, error)) = &blocked.deadline else {
                continue;
            };
            if *deadline > now {
                earliest = Some(earliest.map_or(*deadline, |e| e.min(*deadline)));
            } else if blocked.answer(Err(error.clone())) {
                (blocked.on_departure)(Departure::TimedOut);
            }
        }
        if let Some(earliest) = earliest {
            look_at(ctx.context(), earliest);
        }
    });
}

unsafe extern "C" fn disconnected(_: *mut RedisModuleCtx, client: *mut RedisModuleBlockedClient) {
    guarded((), || {
        let blocked = lock(&BLOCKED)
            .as_ref()
            .and_then(|blocked| blocked.get(&(client as usize)).cloned());
        if let Some(blocked) = blocked
            && blocked.unblock(None, ptr::null_mut())
        {
            (blocked.on_departure)(Departure::Gone);
        }
    });
}

/// The server has let a client go that is still there.
unsafe extern "C" fn conclude(
    ctx: *mut RedisModuleCtx,
    _: *mut *mut RedisModuleString,
    _: c_int,
) -> c_int {
    // SAFETY: the context is that of a client that was blocked with these callbacks, so what it was let go with is null or a
    // conclusion, which the server frees later.
    let conclusion = unsafe {
        let conclusion = api!(RedisModule_GetBlockedClientPrivateData(ctx));
        conclusion
            .cast::<Conclusion>()
            .as_mut()
            .and_then(Option::take)
    };
    let Some(conclusion) = conclusion else {
        // It has its answer.
        return raw::Status::Ok as c_int;
    };
    let outcome = guarded(Err(CommandError::Internal), || {
        // SAFETY: the context is live as long as this call.
        conclusion(&mut unsafe { Context::new(ctx) })
    });
    guarded(raw::Status::Err as c_int, || {
        // SAFETY: the context is live and nothing was replied yet.
        unsafe { reply::send(ctx, &outcome) }
    })
}

unsafe extern "C" fn free_conclusion(_: *mut RedisModuleCtx, conclusion: *mut c_void) {
    guarded((), || {
        // SAFETY: it was made by `Blocked::conclude`, and the server gives it back once.
        drop(unsafe { Box::from_raw(conclusion.cast::<Conclusion>()) });
    });
}
