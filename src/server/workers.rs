//! A queue of long work, and the threads that do it.
//!
//! **Fair**: work is done in steps, and a thread that has spent `SLICE` on one piece of work looks who has
//! had the least so far and goes on with that. So a new client waits for a step or two, however many long
//! tables are being computed, and who has had much lets the others go first. (In the literature: least
//! attained service; Nuyens and Wierman 2008.) A table that never gets its turn because shorter work keeps
//! coming ends with its time limit.
//!
//! **Bounded**: in places and in the bytes that the work keeps alive.
//!
//! **For those who are there**: when a client leaves or its time is up, its work is taken out of the queue at
//! once, or stopped after the step that is being made.

use super::blocked::{Blocked, Departure, Limit};
use super::context::Context;
use super::error::CommandError;
use super::guard::guarded;
use super::info::Counter;
use super::lock;
use super::reply::{Outcome, Reply};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Something that takes long, in steps of a few milliseconds at the most wherever that is possible.
pub trait Work: Send {
    /// Does the next step. Breaks with the outcome when there is nothing left to do.
    fn step(&mut self) -> ControlFlow<Outcome>;
}

impl<W: Work + ?Sized> Work for Box<W> {
    fn step(&mut self) -> ControlFlow<Outcome> {
        (**self).step()
    }
}

/// A thread goes on with other work, if there is some, after so long.
const SLICE: Duration = Duration::from_millis(5);

/// Pieces of work that may be outstanding at a time.
const MOST_PLACES: usize = 256;

/// Bytes that outstanding work may keep alive together; one piece is let in whatever its size.
const MOST_BYTES: usize = 256 << 20;

/// Pieces of work that a thread is at.
pub static RUNNING: Counter = Counter::new();
/// Pieces of work in the queue, those begun included that wait for their next slice.
pub static WAITING: Counter = Counter::new();
/// Pieces of work that were done.
pub static DONE: Counter = Counter::new();
/// Pieces of work that were refused because the queue was full.
pub static REFUSED: Counter = Counter::new();
/// Pieces of work given up because the client had left.
pub static DROPPED: Counter = Counter::new();
/// Pieces of work given up because their time was up.
pub static TIMED_OUT: Counter = Counter::new();

struct Job {
    /// In order of arrival.
    number: u64,
    client: Arc<Blocked>,
    work: Box<dyn Work>,
    bytes: usize,
    /// What it has had so far.
    spent: Duration,
}

/// Least attained service first, then order of arrival.
type Place = (Duration, u64);

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<Place, Job>,
    /// Of all work that is outstanding.
    places: usize,
    bytes: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: BTreeMap::new(),
    places: 0,
    bytes: 0,
});

/// Told when there is work.
static ARRIVED: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, Queue> {
    lock(&QUEUE)
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        self.places < MOST_PLACES && (self.places == 0 || self.bytes + bytes <= MOST_BYTES)
    }

    fn push(&mut self, job: Job) {
        WAITING.add_one();
        self.waiting.insert((job.spent, job.number), job);
        ARRIVED.notify_one();
    }

    fn pop(&mut self) -> Option<Job> {
        let (_, job) = self.waiting.pop_first()?;
        WAITING.take_one();
        Some(job)
    }

    /// Takes a job out that waits.
    fn take(&mut self, number: u64) -> Option<Job> {
        let place = *self.waiting.keys().find(|place| place.1 == number)?;
        WAITING.take_one();
        self.waiting.remove(&place)
    }

    fn leave(&mut self, bytes: usize) {
        self.places -= 1;
        self.bytes -= bytes;
    }
}

/// What is to be done when the client of this job departs.
pub fn depart(number: u64, how: Departure) {
    match how {
        Departure::Gone => DROPPED.add_one(),
        Departure::TimedOut => TIMED_OUT.add_one(),
    }
    // What is not here is with a thread, which looks for the client before it comes back here.
    let waiting = queue().take(number);
    if let Some(job) = waiting {
        job.give_up();
    }
}

impl Job {
    fn give_up(self) {
        queue().leave(self.bytes);
    }

    fn finish(self, outcome: Outcome) {
        queue().leave(self.bytes);
        drop(self.work);
        if self.client.answer(outcome) {
            DONE.add_one();
        }
    }

    /// Works until it is done, a slice is over, or nobody waits any more.
    fn run_slice(&mut self) -> ControlFlow<Outcome> {
        let Job {
            client,
            work,
            spent,
            ..
        } = self;
        let start = Instant::now();
        let result = client.measured(|| {
            guarded(ControlFlow::Break(Err(CommandError::Internal)), || {
                loop {
                    work.step()?;
                    if start.elapsed() >= SLICE || !client.waits() {
                        return ControlFlow::Continue(());
                    }
                }
            })
        });
        *spent += start.elapsed();
        result
    }
}

/// Has the work done for the client of the running command, which waits for it, but not beyond the limit.
/// The work keeps so many bytes alive. Only if [`Context::may_wait`].
pub fn enqueue(
    ctx: &mut Context,
    limit: Option<Limit>,
    bytes: usize,
    mut work: Box<dyn Work>,
) -> Outcome {
    if !start_workers() {
        return run_to_the_end(&mut *work);
    }
    reserve(bytes)?;
    let number = new_number();
    let client = ctx.block(limit, move |how| depart(number, how));
    queue().push(Job {
        number,
        client,
        work,
        bytes,
        spent: Duration::ZERO,
    });
    Ok(Reply::None)
}

/// The same for a client that waits already, and who departs with [`depart`] of this number. Whatever comes of it, it is
/// answered.
pub fn enqueue_for(client: Arc<Blocked>, number: u64, bytes: usize, mut work: Box<dyn Work>) {
    if !start_workers() {
        client.answer(run_to_the_end(&mut *work));
        return;
    }
    if let Err(error) = reserve(bytes) {
        client.answer(Err(error));
        return;
    }
    let job = Job {
        number,
        client,
        work,
        bytes,
        spent: Duration::ZERO,
    };
    queue().push(job);
}

/// A number for a piece of work, in order of arrival.
pub fn new_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// Takes a place in the queue.
fn reserve(bytes: usize) -> Result<(), CommandError> {
    let mut queue = queue();
    if !queue.has_room(bytes) {
        REFUSED.add_one();
        return Err(CommandError::invalid(format_args!(
            "{MOST_PLACES} long answers or {} MiB of copies for them are being worked on, try again \
             later",
            MOST_BYTES >> 20
        )));
    }
    queue.places += 1;
    queue.bytes += bytes;
    Ok(())
}

/// Does work here and now.
fn run_to_the_end(work: &mut dyn Work) -> Outcome {
    loop {
        if let ControlFlow::Break(outcome) = work.step() {
            return outcome;
        }
    }
}

/// Starts the threads at the first use: one core is the server's. False if there can be none.
fn start_workers() -> bool {
    static STARTED: OnceLock<bool> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let wanted = cores.saturating_sub(1).clamp(1, 4);
        let start = |_: &usize| {
            let thread = thread::Builder::new().name("hll-worker".to_owned());
            thread.spawn(work_for_ever).is_ok()
        };
        (0..wanted).filter(start).count() > 0
    })
}

fn work_for_ever() {
    loop {
        let job = next_job();
        RUNNING.add_one();
        guarded((), || work_on(job));
        RUNNING.take_one();
    }
}

fn work_on(mut job: Job) {
    if !job.client.waits() {
        return job.give_up();
    }
    match job.run_slice() {
        ControlFlow::Break(outcome) => job.finish(outcome),
        ControlFlow::Continue(()) => go_on_later(job),
    }
}

fn next_job() -> Job {
    let mut queue = queue();
    loop {
        if let Some(job) = queue.pop() {
            return job;
        }
        queue = ARRIVED.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

fn go_on_later(job: Job) {
    let mut queue = queue();
    // Under the lock: who departs after this finds it in the queue.
    if job.client.waits() {
        queue.push(job);
        return;
    }
    drop(queue);
    job.give_up();
}
