//! **redis-hll**: HyperLogLog analytics computed inside Redis and Valkey.
//!
//! This file is the module's face: which commands it registers. The floors below it, from the ground:
//!
//! * [`sketch`]: the mathematics, usable as a plain library.
//! * [`storage`]: sketches as bytes.
//! * [`server`]: the only place that touches the module API.
//! * [`commands`]: a file each.
//!
//! As a library, without the server (`default-features = false`):
//!
//! ```
//! use redis_hll::sketch::{HashFamily, Precision, Sketch};
//!
//! let mut monday = Sketch::new(Precision::DEFAULT, HashFamily::default());
//! let mut tuesday = monday.clone();
//! for user in ["ada", "grace", "ada"] {
//!     monday.add(user.as_bytes());
//! }
//! tuesday.add(b"barbara");
//! monday.merge(&tuesday)?;
//! assert_eq!(monday.estimate().value, 3.0);
//! # Ok::<(), redis_hll::sketch::HashMismatch>(())
//! ```

#[cfg(feature = "module")]
pub mod commands;
#[cfg(feature = "module")]
pub mod server;
pub mod sketch;
pub mod storage;

#[cfg(feature = "module")]
mod face {
    use crate::commands::*;
    use crate::server::allocator::ServerAllocator;
    use crate::server::command::register;
    use crate::server::module::{RegisterCommand, load};
    use redis_module::raw::{RedisModuleCtx, RedisModuleString};
    use std::ffi::c_int;

    #[global_allocator]
    static ALLOCATOR: ServerAllocator = ServerAllocator;

    const COMMANDS: &[RegisterCommand] = &[
        register::<create::Create>,
        register::<add::Add>,
        register::<replay::Replay>,
        register::<count::Count>,
        register::<merge::Merge>,
        register::<estimate::Estimate>,
        register::<info::Info>,
        register::<export::Export>,
        register::<import::Import>,
        register::<intersect::Intersect>,
        register::<segment::Segment>,
        register::<overlap::Overlap>,
        register::<funnel::Funnel>,
        register::<retention::Retention>,
        register::<campaign::Campaign>,
        register::<accuracy::Accuracy>,
        #[cfg(feature = "panic-command")]
        register::<panic::Panic>,
    ];

    /// What the server calls first.
    ///
    /// # Safety
    /// Only a server may call it.
    #[unsafe(no_mangle)]
    #[allow(non_snake_case)]
    pub unsafe extern "C" fn RedisModule_OnLoad(
        ctx: *mut RedisModuleCtx,
        argv: *mut *mut RedisModuleString,
        argc: c_int,
    ) -> c_int {
        // SAFETY: by the caller.
        unsafe { load(ctx, argv, argc, COMMANDS) }
    }
}
