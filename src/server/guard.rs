//! The wall between Rust panics and the server.
//!
//! A panic is a bug of ours. It must not become an outage of theirs: unwinding into C is undefined,
//! and aborting takes every other key of the server along. So every function that C calls does its
//! work inside [`guarded`].

use super::info::Counter;
use super::log::{Level, log};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

/// Panics that were caught.
pub static PANICS: Counter = Counter::new();

/// Runs `body`; if it panics, the log has the place and the message (see [`log_panics`]) and the
/// answer is `otherwise`.
///
/// On unwind safety: what a body may leave half-done is its own scratch data, which is dropped, or a
/// sketch between two elements, which is a sketch.
pub fn guarded<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        PANICS.add_one();
        otherwise
    })
}

/// Sends the message and place of every panic to the server's log. The hook belongs to this
/// library's own copy of the standard library and touches no other module.
pub fn log_panics() {
    set_hook(Box::new(|panic| {
        log(
            Level::Warning,
            &format!("internal error, please report it: {panic}"),
        );
    }));
}
