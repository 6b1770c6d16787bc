//! A key rebuilt from the append-only file, piece by piece.
//!
//! The rewrite of the append-only file turns every value into commands. A large one is not one command:
//! `HLL.REBUILD key type offset piece` adds a piece of its stream ([`super::stream`]) to those before.
//! Nothing is visible until the last one, the first starts afresh, and a piece that does not continue the
//! one before is refused. The pieces of a key stand together in the file, so one value is being rebuilt at
//! a time and a second one waiting is a file that was damaged.

use super::context::Context;
use super::error::CommandError;
use super::guard::guarded;
use super::log::{Level, log};
use super::stream::PIECE;
use super::{event, is_ok};
use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent};
use std::ffi::{CStr, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The command that a rewritten file holds.
pub const COMMAND: &CStr = c"HLL.REBUILD";

/// What has come of a value so far.
struct Unfinished {
    database: i32,
    key: Vec<u8>,
    type_name: &'static CStr,
    bytes: Vec<u8>,
    /// Whether a file is being loaded, and not a client sends it.
    from_file: bool,
}

static UNFINISHED: Mutex<Option<Unfinished>> = Mutex::new(None);

fn unfinished() -> MutexGuard<'static, Option<Unfinished>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that an unfinished value may come to where a client sends the pieces. A file may hold more.
const MOST_FROM_A_CLIENT: usize = 256 << 20;

/// Takes a piece in. The whole stream if this was the last one.
pub fn take_piece(
    ctx: &Context,
    key: &[u8],
    type_name: &'static CStr,
    offset: usize,
    piece: &[u8],
) -> Result<Option<Vec<u8>>, CommandError> {
    let mut unfinished = unfinished();
    let before = unfinished.take();
    if before.as_ref().is_some_and(|value| value.from_file) && offset == 0 {
        return Err(refused(
            ctx,
            CommandError::invalid("the value before this one is not whole"),
        ));
    }
    let mut value = if offset == 0 {
        Unfinished {
            database: ctx.database(),
            key: key.to_vec(),
            type_name,
            bytes: Vec::new(),
            from_file: ctx.is_loading(),
        }
    } else {
        let continues = before.filter(|value| {
            let place = (value.database, &*value.key, value.type_name);
            place == (ctx.database(), key, type_name) && value.bytes.len() == offset
        });
        continues.ok_or_else(|| {
            let text = "the piece does not continue the one before it, send the pieces of a key in \
                        their order from offset 0 on";
            refused(ctx, CommandError::invalid(text))
        })?
    };
    let most = if value.from_file {
        usize::MAX
    } else {
        MOST_FROM_A_CLIENT
    };
    if piece.len() > PIECE || value.bytes.len() + piece.len() > most {
        return Err(refused(
            ctx,
            CommandError::invalid(format_args!(
                "a piece has at most {PIECE} bytes and what a client sends at most \
                 {MOST_FROM_A_CLIENT}, load more from a file"
            )),
        ));
    }
    value.bytes.extend_from_slice(piece);
    if piece.len() < PIECE {
        return Ok(Some(value.bytes));
    }
    *unfinished = Some(value);
    Ok(None)
}

/// A value that cannot be rebuilt: an error to a client, and the end of loading a file. The server ends as
/// it does itself when it finds such a file damaged, since to go on would be to lose the key without a
/// word.
pub fn refused(ctx: &Context, error: CommandError) -> CommandError {
    if ctx.is_loading() {
        fail_loading(&error.text());
    }
    error
}

fn fail_loading(why: &str) -> ! {
    let text = "the append-only file is damaged: a value cannot be rebuilt from it";
    log(Level::Warning, &format!("{text} ({why})"));
    // SAFETY: ends this process and nothing else.
    unsafe { libc::_exit(1) }
}

/// Asks the server to tell when a file has been loaded; false if it refuses.
///
/// # Safety
/// `ctx` is the context of the load function.
pub(super) unsafe fn register(ctx: *mut RedisModuleCtx) -> bool {
    // SAFETY: by the caller; the callback lives as long as the module, which is never unloaded.
    is_ok(unsafe {
        api!(RedisModule_SubscribeToServerEvent(
            ctx,
            event(raw::REDISMODULE_EVENT_LOADING),
            Some(on_loading)
        ))
    })
}

unsafe extern "C" fn on_loading(
    _: *mut RedisModuleCtx,
    _: RedisModuleEvent,
    subevent: u64,
    _: *mut c_void,
) {
    guarded((), || {
        let ended = subevent == raw::REDISMODULE_SUBEVENT_LOADING_ENDED;
        let lost = unfinished().take_if(|value| ended && value.from_file);
        if let Some(value) = lost {
            let pieces = value.bytes.len() / PIECE;
            fail_loading(&format!("only {pieces} of its pieces are there"));
        }
    });
}
