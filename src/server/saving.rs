//! What happens when a save meets a bug of ours.
//!
//! A file that lacks a value, or that cannot be loaded, in the place of the last good one is the worst
//! outcome of a panic while saving. The API gives a type's callback no way to say that it failed, so:
//!
//! * **A child process** that saves ends at once, without the handlers that the server has set for an
//!   ordinary end. The server reports that the save failed and keeps its last good file. The end is by
//!   signal: of a child that merely exits with an error the server expects that it has removed its
//!   unfinished file itself, and failing saves would fill the disk.
//! * **The server itself** (SAVE, SHUTDOWN, DEBUG RELOAD) must not end. Its file is made to fail instead:
//!   until the server has given up the save, the process may not write files (RLIMIT_FSIZE of 0, the same
//!   as a full disk), so the server sees its write fail, removes the unfinished file, answers with an
//!   error, and stays. The limit is lifted by the event with which it tells that the save failed, before
//!   it does anything else. (Until then its own line in a log file is lost too.)
//! * **DUMP** saves into memory. Its payload is cut short, and RESTORE refuses it.

use super::context_flags;
use super::guard::guarded as guard;
use super::log::{Level, log};
use super::{is_ok, lock, server_event};
use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Whether the server's own process is writing a file.
static IN_FOREGROUND: AtomicBool = AtomicBool::new(false);

/// The limit on the size of files as it was, and what was done when it was met, while it is 0.
static LIMIT: Mutex<Option<(libc::rlimit, libc::sighandler_t)>> = Mutex::new(None);

fn limit() -> MutexGuard<'static, Option<(libc::rlimit, libc::sighandler_t)>> {
    lock(&LIMIT)
}

/// Asks the server to tell when it saves; false if it refuses.
///
/// # Safety
/// `ctx` is the context of the load function.
pub unsafe fn register(ctx: *mut RedisModuleCtx) -> bool {
    // SAFETY: by the caller; the callback lives as long as the module, which is never unloaded.
    is_ok(unsafe {
        api!(RedisModule_SubscribeToServerEvent(
            ctx,
            server_event(raw::REDISMODULE_EVENT_PERSISTENCE),
            Some(on_persistence)
        ))
    })
}

unsafe extern "C" fn on_persistence(
    _: *mut RedisModuleCtx,
    _: RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    guard((), || {
        let begins = subevent == raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_RDB_START
            || subevent == raw::REDISMODULE_SUBEVENT_PERSISTENCE_SYNC_AOF_START;
        IN_FOREGROUND.store(begins, Ordering::Relaxed);
        if !begins {
            allow_files();
        }
    });
}

/// Runs the part of a save that is ours.
pub fn guarded(body: impl FnOnce()) {
    let saved = guard(false, || {
        body();
        true
    });
    if saved {
        return;
    }
    log(
        Level::Warning,
        "giving up this save because of an internal error",
    );
    if is_child() {
        // SAFETY: ends this process and nothing else, the second call if the first one could not.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
            libc::_exit(1)
        }
    }
    if IN_FOREGROUND.load(Ordering::Relaxed) {
        forbid_files();
    }
}

fn is_child() -> bool {
    // SAFETY: a null context is allowed.
    let flags = unsafe { context_flags(ptr::null_mut()) };
    flags & raw::REDISMODULE_CTX_FLAGS_IS_CHILD != 0
}

/// Makes every write into a file fail.
fn forbid_files() {
    let mut kept = limit();
    if kept.is_some() {
        return;
    }
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: plain calls with live arguments. The signal, whose default is to end the process, is
    // ignored: the write then answers that the file is too large.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) == 0 {
            *kept = Some((limit, libc::signal(libc::SIGXFSZ, libc::SIG_IGN)));
            limit.rlim_cur = 0;
            libc::setrlimit(libc::RLIMIT_FSIZE, &limit);
        }
    }
}

/// Lifts that.
fn allow_files() {
    if let Some((limit, handler)) = limit().take() {
        // SAFETY: plain calls with live arguments.
        unsafe {
            libc::setrlimit(libc::RLIMIT_FSIZE, &limit);
            libc::signal(libc::SIGXFSZ, handler);
        }
    }
}
