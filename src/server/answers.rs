//! Answers that take long.
//!
//! A server runs commands on one thread; an answer that takes ten milliseconds costs every other client ten
//! milliseconds. So an answer that is expected to take longer than [`LONGEST_IN_PLACE`], or turns out to after
//! some of its steps, is computed by other threads while its client waits ([`super::workers`]). Where a client
//! cannot wait, inside a transaction or a script, an answer that is expected to take longer is refused.

use super::blocked::Limit;
use super::context::Context;
use super::error::CommandError;
use super::reply::Outcome;
use super::settings::Number;
use super::workers::{self, Work};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// The longest that an answer may hold the server's thread.
pub const LONGEST_IN_PLACE: Duration = Duration::from_millis(5);

/// The setting `query-timeout`: milliseconds after which a long answer ends with an error; 0 is never.
pub static QUERY_TIMEOUT: Number = Number::new(c"query-timeout", 0..=86_400_000, 60_000);

/// Whether what is expected to take so long may be done here and now.
pub fn is_short(expected: Duration) -> bool {
    expected <= LONGEST_IN_PLACE
}

impl Context {
    /// Answers with the result of this work, which is expected to take so long and keeps so many bytes
    /// alive: at once if it is short, and otherwise from another thread.
    pub fn answer(
        &mut self,
        expected: Duration,
        bytes: usize,
        mut work: impl Work + 'static,
    ) -> Outcome {
        if is_short(expected) {
            // Most answers are one step, which needs no clock.
            if let ControlFlow::Break(outcome) = work.step() {
                return outcome;
            }
            let start = Instant::now();
            while start.elapsed() <= LONGEST_IN_PLACE || !self.may_wait() {
                if let ControlFlow::Break(outcome) = work.step() {
                    return outcome;
                }
            }
        } else if !self.may_wait() {
            return Err(CommandError::invalid(format_args!(
                "this answer may take {} ms and cannot wait inside a transaction or a script, ask \
                 for it outside",
                expected.as_millis()
            )));
        }
        let limit = match QUERY_TIMEOUT.get() {
            0 => None,
            milliseconds => Some(Limit {
                time: Duration::from_millis(milliseconds as u64),
                error: CommandError::invalid(format_args!(
                    "the answer took longer than hll.query-timeout allows ({milliseconds} ms), ask for \
                     less at once or raise it"
                )),
            }),
        };
        workers::enqueue(self, limit, bytes, Box::new(work))
    }
}

/// Work that is one step.
pub struct OneStep<F>(Option<F>);

impl<F: FnOnce() -> Outcome + Send> OneStep<F> {
    /// That calls this.
    pub fn new(call: F) -> OneStep<F> {
        OneStep(Some(call))
    }
}

impl<F: FnOnce() -> Outcome + Send> Work for OneStep<F> {
    fn step(&mut self) -> ControlFlow<Outcome> {
        match self.0.take() {
            Some(call) => ControlFlow::Break(call()),
            None => ControlFlow::Break(Err(CommandError::Internal)),
        }
    }
}

/// Work that is a row of values, each a step, of which an answer is made at the end.
pub struct Steps<V, F, E> {
    done: Vec<V>,
    number: usize,
    step: F,
    end: E,
}

impl<V, F, E> Steps<V, F, E>
where
    V: Send,
    F: FnMut(usize) -> Result<V, CommandError> + Send,
    E: FnMut(Vec<V>) -> Outcome + Send,
{
    /// Values 0 to `number` - 1, and what is made of them.
    pub fn new(number: usize, step: F, end: E) -> Steps<V, F, E> {
        Steps {
            done: Vec::with_capacity(number),
            number,
            step,
            end,
        }
    }
}

impl<V, F, E> Work for Steps<V, F, E>
where
    V: Send,
    F: FnMut(usize) -> Result<V, CommandError> + Send,
    E: FnMut(Vec<V>) -> Outcome + Send,
{
    fn step(&mut self) -> ControlFlow<Outcome> {
        if self.done.len() < self.number {
            match (self.step)(self.done.len()) {
                Ok(value) => self.done.push(value),
                Err(error) => return ControlFlow::Break(Err(error)),
            }
        }
        if self.done.len() < self.number {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break((self.end)(std::mem::take(&mut self.done)))
    }
}
