//! The module as one table, and what happens between `loadmodule` and the first command.

use super::args::Args;
use super::cluster::{self, MessageEntry};
use super::command::CommandEntry;
use super::context::Context;
use super::datatype::TypeEntry;
use super::error::CommandError;
use super::guard::{guarded, log_panics};
use super::info::{self, InfoField};
use super::is_ok;
use super::log::{Level, log};
use super::rebuild;
use super::saving;
use super::settings::{self, Setting};
use super::shared;
use super::timer::TimerEntry;
use redis_module::raw::{self, ModuleOptions, RedisModuleCtx, RedisModuleString};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// All that a module consists of. Settings, fields, commands and types are called what their own
/// declarations say.
pub struct Module {
    /// The name in MODULE LIST, and the prefix of settings.
    pub name: &'static CStr,
    /// Kinds of values.
    pub types: &'static [TypeEntry],
    /// Commands.
    pub commands: &'static [CommandEntry],
    /// Settings.
    pub settings: &'static [&'static dyn Setting],
    /// What its section of INFO says.
    pub info: &'static [InfoField],
    /// What is called now and then.
    pub timers: &'static [TimerEntry],
    /// Messages of other nodes of a cluster.
    pub messages: &'static [MessageEntry],
}

/// The module's version as one number: 1.2.3 is 10203.
fn version() -> c_int {
    let part = |text: &str| text.parse().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 100
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// Valkey's word that keys of this module may be moved with their slots while they are served (CLUSTER
/// MIGRATESLOTS). A value is saved and loaded there as in full synchronization, and what changes it
/// meanwhile is sent as to a replica.
const HANDLES_ATOMIC_SLOT_MIGRATION: c_int = 1 << 5;

/// Whether the server is a Valkey: it offers its functions under its own name too.
///
/// # Safety
/// The API pointers are filled in.
unsafe fn is_valkey() -> bool {
    let mut function: *mut c_void = ptr::null_mut();
    let name: *const c_char = c"ValkeyModule_Alloc".as_ptr();
    // SAFETY: by the caller; the name ends in NUL, and the place takes a pointer.
    unsafe {
        raw::RedisModule_GetApi
            .is_some_and(|get| is_ok(get(name, ptr::from_mut(&mut function).cast())))
    }
}

impl Module {
    /// Introduces the module to the server that is loading it.
    ///
    /// # Safety
    /// The arguments are those of `RedisModule_OnLoad`.
    pub unsafe fn load(
        &'static self,
        ctx: *mut RedisModuleCtx,
        argv: *mut *mut RedisModuleString,
        argc: c_int,
    ) -> c_int {
        // Before this nothing may be allocated: it fills in the pointers the allocator needs.
        // SAFETY: by the caller.
        let initialised = unsafe {
            raw::Export_RedisModule_Init(
                ctx,
                self.name.as_ptr(),
                version(),
                raw::REDISMODULE_APIVER_1 as c_int,
            )
        };
        if !is_ok(initialised) {
            return raw::Status::Err as c_int;
        }
        let loaded = guarded(Err(CommandError::Internal), || {
            log_panics();
            shared::page();
            // SAFETY: by the caller.
            unsafe { self.register(ctx, argv, argc) }
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

    unsafe fn register(
        &'static self,
        ctx: *mut RedisModuleCtx,
        argv: *mut *mut RedisModuleString,
        argc: c_int,
    ) -> Result<(), CommandError> {
        // HANDLE_IO_ERRORS: a damaged value is refused instead of ending the server.
        // NO_IMPLICIT_SIGNAL_MODIFIED: an ADD that changes nothing does not fail anybody's WATCH.
        // HANDLE_REPL_ASYNC_LOAD: nothing here refers to keys from outside the keyspace, so a replica
        // may load a new data set beside the one it serves.
        let options = ModuleOptions::HANDLE_IO_ERRORS
            | ModuleOptions::NO_IMPLICIT_SIGNAL_MODIFIED
            | ModuleOptions::HANDLE_REPL_ASYNC_LOAD;
        let mut options = options.bits();
        let must = |done: bool, what: &str| {
            let refused = || CommandError::invalid(format_args!("{what} could not be registered"));
            done.then_some(()).ok_or_else(refused)
        };
        // SAFETY: by the caller of `load`. The arguments of a load function are the module's arguments
        // alone, without a name in front.
        unsafe {
            if is_valkey() {
                options |= HANDLES_ATOMIC_SLOT_MIGRATION;
            }
            api!(RedisModule_SetModuleOptions(ctx, options));
            settings::register(ctx, Args::without_name(argv, argc), self.settings)?;
            for entry in self.types {
                must((entry.register)(ctx), "a data type")?;
            }
            if let Some(add_category) = raw::RedisModule_AddACLCategory {
                add_category(ctx, self.name.as_ptr());
            }
            for entry in self.commands {
                must((entry.register)(ctx), "a command")?;
            }
            must(info::register(ctx, self.info), "the section of INFO")?;
            must(saving::register(ctx), "the listener to saves")?;
            must(rebuild::register(ctx), "the listener to loading")?;
            cluster::register(ctx, self.messages);
            let context = Context::new(ctx);
            for entry in self.timers {
                context.after(entry.first, entry.call);
            }
        }
        log(
            Level::Notice,
            concat!("redis-hll ", env!("CARGO_PKG_VERSION"), " loaded"),
        );
        Ok(())
    }
}
