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
//! The time is kept by a timer of our own. The server offers to keep it, but a Redis before 7.4 whose
//! limit falls between our answer and its delivery lets the client go without either. For the same reason
//! CLIENT UNBLOCK has no effect on these clients; CLIENT KILL has.

use super::context::Context;
use super::error::CommandError;
use super::guard::guarded;
use super::lock;
use super::reply::{self, Outcome};
use redis_module::raw::{RedisModuleBlockedClient, RedisModuleCtx};
use std::collections::HashMap;
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
            let client = api!(RedisModule_BlockClient(self.raw(), None, None, None, 0));
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
        self.unblock(Some(outcome))
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

    /// Lets the client go, with this answer; false if somebody else has done so.
    fn unblock(&self, outcome: Option<Outcome>) -> bool {
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
            api!(RedisModule_UnblockClient(client, ptr::null_mut()));
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
            && blocked.unblock(None)
        {
            (blocked.on_departure)(Departure::Gone);
        }
    });
}
