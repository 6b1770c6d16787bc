//! Loading: what happens between `loadmodule` and the first command.

use super::args::Args;
use super::error::CommandError;
use super::guard::{guarded, log_panics};
use super::log::{Level, log};
use super::{settings, sketch_type};
use redis_module::raw::{self, ModuleOptions, RedisModuleCtx, RedisModuleString};
use std::ffi::{CStr, c_int};

/// The name in MODULE LIST and the prefix of settings.
pub const NAME: &CStr = c"hll";

/// The registration of one command: [`super::command::register`] of its type.
pub type RegisterCommand = unsafe fn(*mut RedisModuleCtx) -> bool;

/// The module's version as one number: 1.2.3 is 10203.
fn version() -> c_int {
    let part = |text: &str| text.parse().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 100
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// Introduces the module to the server that is loading it.
///
/// # Safety
/// The arguments are those of `RedisModule_OnLoad`.
pub unsafe fn load(
    ctx: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    commands: &[RegisterCommand],
) -> c_int {
    // Before this nothing may be allocated: it fills in the pointers the allocator needs.
    // SAFETY: by the caller.
    let initialised = unsafe {
        raw::Export_RedisModule_Init(
            ctx,
            NAME.as_ptr(),
            version(),
            raw::REDISMODULE_APIVER_1 as c_int,
        )
    };
    if initialised != raw::Status::Ok as c_int {
        return raw::Status::Err as c_int;
    }
    let loaded = guarded(Err(CommandError::Internal), || {
        log_panics();
        // SAFETY: by the caller.
        unsafe { register_all(ctx, argv, argc, commands) }
    });
    match loaded {
        Ok(()) => raw::Status::Ok as c_int,
        Err(error) => {
            let line = error
                .line()
                .unwrap_or_else(|| c"settings come in pairs".into());
            log(
                Level::Warning,
                &format!("module not loaded: {}", line.to_string_lossy()),
            );
            raw::Status::Err as c_int
        }
    }
}

unsafe fn register_all(
    ctx: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
    commands: &[RegisterCommand],
) -> Result<(), CommandError> {
    // HANDLE_IO_ERRORS: a damaged value is refused instead of ending the server.
    // NO_IMPLICIT_SIGNAL_MODIFIED: an ADD that changes nothing does not fail anybody's WATCH.
    // HANDLE_REPL_ASYNC_LOAD: nothing here refers to keys from outside the keyspace, so a replica
    // may load a new data set beside the one it serves.
    let options = ModuleOptions::HANDLE_IO_ERRORS
        | ModuleOptions::NO_IMPLICIT_SIGNAL_MODIFIED
        | ModuleOptions::HANDLE_REPL_ASYNC_LOAD;
    // SAFETY: by the caller of `load`. The arguments of a load function are the module's arguments
    // alone, without a name in front.
    unsafe {
        api!(RedisModule_SetModuleOptions(ctx, options.bits()));
        settings::register(ctx, Args::without_name(argv, argc))?;
        if !sketch_type::register(ctx) {
            return Err(CommandError::invalid(
                "the data type could not be registered",
            ));
        }
        if let Some(add_category) = raw::RedisModule_AddACLCategory {
            add_category(ctx, NAME.as_ptr());
        }
        if !commands.iter().all(|register| register(ctx)) {
            return Err(CommandError::invalid("a command could not be registered"));
        }
    }
    log(
        Level::Notice,
        concat!("redis-hll ", env!("CARGO_PKG_VERSION"), " loaded"),
    );
    Ok(())
}
