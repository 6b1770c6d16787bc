//! Work that would hold the server up, done by threads of our own while the client waits.
//!
//! A server runs commands on one thread; an answer that takes ten milliseconds costs every other
//! client ten milliseconds. Such work is done on copies taken at the call, by a few threads that share
//! one queue, and the client is blocked (RedisModule_BlockClient) until its answer is there.
//!
//! Nothing is leaked when a client goes away: its work is finished, the server drops the answer
//! through [`free_outcome`]. The copies die with the work. The queue is bounded, since every
//! place in it holds copies.

use super::error::CommandError;
use super::guard::guarded;
use super::reply::{self, Reply};
use redis_module::raw::{self, RedisModuleBlockedClient, RedisModuleCtx, RedisModuleString};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;

/// What a command comes to.
pub type Outcome = Result<Reply, CommandError>;

type Work = Box<dyn FnOnce() -> Outcome + Send>;

struct Job {
    client: Waiting,
    /// Of the copies that the work holds.
    bytes: usize,
    work: Work,
}

/// A client that waits for its answer.
struct Waiting(*mut RedisModuleBlockedClient);

// SAFETY: the functions called on it (measuring and unblocking) may be called from any thread.
unsafe impl Send for Waiting {}

/// Answers that may be outstanding at a time.
const MOST_WAITING: usize = 256;

/// Bytes of copies that outstanding answers may hold together; one is let in whatever its size.
const MOST_BYTES: usize = 256 << 20;

static WAITING: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Takes a place in the queue; false if it is full.
fn enter(bytes: usize) -> bool {
    let others = WAITING.fetch_add(1, Ordering::Relaxed);
    let held = BYTES.fetch_add(bytes, Ordering::Relaxed);
    let room = others < MOST_WAITING && (others == 0 || held + bytes <= MOST_BYTES);
    if !room {
        leave(bytes);
    }
    room
}

/// Gives the place up.
fn leave(bytes: usize) {
    BYTES.fetch_sub(bytes, Ordering::Relaxed);
    WAITING.fetch_sub(1, Ordering::Relaxed);
}

/// Blocks the client and has the work, which holds copies of so many bytes, done elsewhere. Where that
/// cannot be, it is done here.
///
/// # Safety
/// `ctx` is the context of a running command whose client may be blocked.
pub unsafe fn run(ctx: *mut RedisModuleCtx, bytes: usize, work: Work) -> Outcome {
    let Some(queue) = queue() else { return work() };
    if !enter(bytes) {
        return Err(CommandError::invalid(format_args!(
            "{MOST_WAITING} long answers or {} MiB of copies for them are being worked on, try again \
             later",
            MOST_BYTES >> 20
        )));
    }
    // SAFETY: by the caller; without a timeout there is no timeout callback.
    let client = unsafe {
        api!(RedisModule_BlockClient(
            ctx,
            Some(send_outcome),
            None,
            Some(free_outcome),
            0
        ))
    };
    let client = Waiting(client);
    match queue.send(Job {
        client,
        bytes,
        work,
    }) {
        Ok(()) => Ok(Reply::None),
        Err(mpsc::SendError(job)) => {
            // Every worker is gone: answer at once, through the same callbacks.
            finish(job);
            Ok(Reply::None)
        }
    }
}

/// The way to the workers, which are started at the first use; `None` if there can be none.
fn queue() -> Option<&'static mpsc::Sender<Job>> {
    static QUEUE: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    static JOBS: OnceLock<Mutex<mpsc::Receiver<Job>>> = OnceLock::new();
    QUEUE
        .get_or_init(|| {
            let (sender, receiver) = mpsc::channel();
            let jobs = JOBS.get_or_init(|| Mutex::new(receiver));
            let cores = thread::available_parallelism().map_or(1, usize::from);
            let wanted = cores.saturating_sub(1).clamp(1, 4);
            let started = (0..wanted).filter(|_| start_worker(jobs)).count();
            (started > 0).then_some(sender)
        })
        .as_ref()
}

fn start_worker(jobs: &'static Mutex<mpsc::Receiver<Job>>) -> bool {
    let worker = move || {
        loop {
            let next = jobs.lock().map(|jobs| jobs.recv());
            match next {
                Ok(Ok(job)) => finish(job),
                _ => return,
            }
        }
    };
    thread::Builder::new()
        .name("hll-worker".to_owned())
        .spawn(worker)
        .is_ok()
}

/// Does the work and hands the outcome to the server.
fn finish(job: Job) {
    let Job {
        client,
        bytes,
        work,
    } = job;
    // SAFETY: the client is blocked until the last of these calls, all of which any thread may make;
    // the outcome belongs to the server until it calls `free_outcome`.
    unsafe {
        api!(RedisModule_BlockedClientMeasureTimeStart(client.0));
        let outcome = guarded(Err(CommandError::Internal), work);
        api!(RedisModule_BlockedClientMeasureTimeEnd(client.0));
        let outcome = Box::into_raw(Box::new(outcome));
        leave(bytes);
        api!(RedisModule_UnblockClient(client.0, outcome.cast()));
    }
}

unsafe extern "C" fn send_outcome(
    ctx: *mut RedisModuleCtx,
    _: *mut *mut RedisModuleString,
    _: c_int,
) -> c_int {
    guarded(raw::Status::Err as c_int, || {
        // SAFETY: the private data is what `finish` handed over, and is not freed before this returns.
        unsafe {
            let outcome = api!(RedisModule_GetBlockedClientPrivateData(ctx)).cast::<Outcome>();
            reply::send(ctx, &*outcome)
        }
    })
}

unsafe extern "C" fn free_outcome(_: *mut RedisModuleCtx, outcome: *mut c_void) {
    guarded((), || {
        // SAFETY: handed over by `finish` and given back once.
        drop(unsafe { Box::from_raw(outcome.cast::<Outcome>()) });
    })
}
