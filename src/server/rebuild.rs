//! Keys rebuilt from the append-only file, piece by piece.
//!
//! The rewrite of the append-only file turns every value into commands, and so does a Valkey that sends the
//! values of a slot to another one. A large value is not one command: `HLL.REBUILD key type offset piece` adds
//! a piece of its stream ([`super::stream`]) to those before. Nothing is visible until the last one, the first
//! starts afresh, and a piece that does not continue the one before it is refused.
//!
//! A file has the pieces of a key together. Several slots that arrive at a time, and clients, may send theirs
//! in between each other's; of theirs, only so many may be unfinished, and those that nobody goes on with are
//! forgotten.

use super::context::Context;
use super::datatype::DataType;
use super::error::CommandError;
use super::guard::guarded;
use super::log::{Level, log};
use super::stream::PIECE;
use super::{is_ok, lock, server_event};
use redis_module::raw::{self, RedisModuleCtx, RedisModuleEvent};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The command that a rewritten file holds.
pub const COMMAND: &CStr = c"HLL.REBUILD";

/// Which value: the number of the database, the key and the type.
type Which = (i32, Vec<u8>, &'static CStr);

/// What has come of a value so far.
struct Unfinished {
    bytes: Vec<u8>,
    /// Whether a file is being loaded, and not a client sends it.
    from_file: bool,
    /// When its last piece came.
    touched: Instant,
}

static UNFINISHED: Mutex<BTreeMap<Which, Unfinished>> = Mutex::new(BTreeMap::new());

fn unfinished() -> MutexGuard<'static, BTreeMap<Which, Unfinished>> {
    lock(&UNFINISHED)
}

/// Bytes that the unfinished values of clients may come to together.
const MOST_FROM_CLIENTS: usize = 64 << 20;

/// An unfinished value of a client that nobody has gone on with for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Takes a piece of a value of type `T` in. The whole stream if this was the last one.
pub fn take_piece<T: DataType>(
    ctx: &Context,
    key: &[u8],
    offset: usize,
    piece: &[u8],
) -> Result<Option<Vec<u8>>, CommandError> {
    let mut unfinished = unfinished();
    let loading = ctx.is_loading();
    let which = (ctx.database(), key.to_vec(), T::NAME);
    let mut value = unfinished.remove(&which).filter(|_| offset > 0);
    if offset == 0 {
        value = Some(Unfinished {
            bytes: Vec::new(),
            from_file: loading,
            touched: Instant::now(),
        });
    }
    let mut value = value
        .filter(|value| value.bytes.len() == offset)
        .ok_or_else(|| {
            let text = "the piece does not continue the one before it, send the pieces of a key in \
                        their order from offset 0 on";
            refused(ctx, CommandError::invalid(text))
        })?;
    if loading && !unfinished.is_empty() {
        let text = "the value before this one is not whole";
        return Err(refused(ctx, CommandError::invalid(text)));
    }
    if piece.len() > PIECE || offset + piece.len() > T::MOST_BYTES {
        let text = format!(
            "a piece has at most {PIECE} bytes and a value of this type at most {}, send the pieces as \
             a file has them",
            T::MOST_BYTES
        );
        return Err(refused(ctx, CommandError::invalid(text)));
    }
    value.bytes.extend_from_slice(piece);
    if piece.len() < PIECE {
        return Ok(Some(value.bytes));
    }
    value.touched = Instant::now();
    unfinished.insert(which, value);
    if !loading {
        unfinished.retain(|_, value| value.touched.elapsed() < FORGET_AFTER);
        let held: usize = unfinished.values().map(|value| value.bytes.len()).sum();
        if held > MOST_FROM_CLIENTS {
            unfinished.clear();
            return Err(CommandError::invalid(format_args!(
                "unfinished values hold more than {} MiB, send fewer at a time",
                MOST_FROM_CLIENTS >> 20
            )));
        }
    }
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
            server_event(raw::REDISMODULE_EVENT_LOADING),
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
        let lost = unfinished()
            .values()
            .find(|value| ended && value.from_file)
            .map(|value| value.bytes.len() / PIECE);
        if let Some(pieces) = lost {
            fail_loading(&format!("only {pieces} of its pieces are there"));
        }
    });
}
