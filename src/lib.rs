//! **redis-hll**: HyperLogLog analytics computed inside Redis and Valkey.
//!
//! This file is the module's face: one table of its types, commands, settings and INFO fields. The floors
//! below it, from the ground; each knows only those under it:
//!
//! * [`sketch`]: the mathematics, usable as a plain library.
//! * [`cube`]: dimensions and time, made of cells.
//! * [`monitor`]: estimates held against exact counts.
//! * [`storage`]: sketches and cubes as bytes.
//! * [`cluster`]: questions about keys on several nodes, without a network.
//! * [`server`]: the only place that touches the module API. It knows no sketch.
//! * [`types`]: what the server asks of each kind of value.
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

pub mod cluster;
#[cfg(feature = "module")]
pub mod commands;
pub mod cube;
pub mod monitor;
#[cfg(feature = "module")]
pub mod server;
pub mod sketch;
pub mod storage;
#[cfg(feature = "module")]
pub mod types;

#[cfg(feature = "module")]
mod face {
    use crate::commands::cluster::{self as clusters, AnySlots, coordinator, timeouts};
    use crate::commands::{cube as cubes, monitor as monitors, rebuild, replay, sketch::*};
    use crate::commands::{statistics, stats};
    use crate::cube::Cube;
    use crate::monitor::Monitor;
    use crate::server::allocator::ServerAllocator;
    use crate::server::command::CommandEntry;
    use crate::server::datatype::{DataType, TypeEntry};
    use crate::server::info::InfoField;
    use crate::server::module::Module;
    use crate::server::{answers, command, datatype, guard, key, workers};
    use crate::sketch::{Sketch, joint};
    use crate::types::settings;
    use redis_module::raw::{RedisModuleCtx, RedisModuleString};
    use std::ffi::c_int;

    #[cfg(feature = "test-commands")]
    use crate::{
        commands::test,
        types::strings::{self, Strings},
    };

    #[global_allocator]
    static ALLOCATOR: ServerAllocator = ServerAllocator;

    static MODULE: Module = Module {
        name: c"hll",
        types: &[
            TypeEntry::of::<Sketch>(),
            TypeEntry::of::<Cube>(),
            TypeEntry::of::<Monitor>(),
            #[cfg(feature = "test-commands")]
            TypeEntry::of::<Strings>(),
        ],
        commands: &[
            CommandEntry::of::<create::Create>(),
            CommandEntry::of::<add::Add>(),
            CommandEntry::of::<replay::Replay>(),
            CommandEntry::of::<rebuild::Rebuild>(),
            CommandEntry::of::<count::Count>(),
            CommandEntry::of::<merge::Merge>(),
            CommandEntry::of::<estimate::Estimate>(),
            CommandEntry::of::<info::Info>(),
            CommandEntry::of::<export::Export>(),
            CommandEntry::of::<import::Import>(),
            CommandEntry::of::<intersect::Intersect>(),
            CommandEntry::of::<segment::Segment>(),
            CommandEntry::of::<overlap::Overlap>(),
            CommandEntry::of::<funnel::Funnel>(),
            CommandEntry::of::<retention::Retention>(),
            CommandEntry::of::<campaign::Campaign>(),
            CommandEntry::of::<accuracy::Accuracy>(),
            CommandEntry::of::<cubes::create::Create>(),
            CommandEntry::of::<cubes::alter::Alter>(),
            CommandEntry::of::<cubes::add::Add>(),
            CommandEntry::of::<cubes::madd::MAdd>(),
            CommandEntry::of::<cubes::count::Count>(),
            CommandEntry::of::<cubes::query::Query>(),
            CommandEntry::of::<cubes::top::Top>(),
            CommandEntry::of::<cubes::series::Series>(),
            CommandEntry::of::<cubes::funnel::Funnel>(),
            CommandEntry::of::<cubes::retention::Retention>(),
            CommandEntry::of::<cubes::lifecycle::Lifecycle>(),
            CommandEntry::of::<cubes::campaign::Campaign>(),
            CommandEntry::of::<cubes::store::Store>(),
            CommandEntry::of::<cubes::info::Info>(),
            CommandEntry::of::<monitors::track::Track>(),
            CommandEntry::of::<monitors::report::Report>(),
            CommandEntry::of::<monitors::alerts::Alerts>(),
            CommandEntry::of::<monitors::reset::Reset>(),
            CommandEntry::of::<stats::Stats>(),
            CommandEntry::of::<clusters::probe::Probe>(),
            CommandEntry::container::<clusters::Cluster>(),
            CommandEntry::of::<AnySlots<count::Count>>(),
            CommandEntry::of::<AnySlots<estimate::Estimate>>(),
            CommandEntry::of::<AnySlots<intersect::Intersect>>(),
            CommandEntry::of::<AnySlots<segment::Segment>>(),
            CommandEntry::of::<AnySlots<overlap::Overlap>>(),
            CommandEntry::of::<AnySlots<funnel::Funnel>>(),
            CommandEntry::of::<AnySlots<retention::Retention>>(),
            CommandEntry::of::<AnySlots<campaign::Campaign>>(),
            CommandEntry::of::<clusters::merge::Merge>(),
            #[cfg(feature = "test-commands")]
            CommandEntry::of::<test::Panic>(),
            #[cfg(feature = "test-commands")]
            CommandEntry::of::<test::Push>(),
            #[cfg(feature = "test-commands")]
            CommandEntry::of::<test::Replay>(),
            #[cfg(feature = "test-commands")]
            CommandEntry::of::<test::Length>(),
            #[cfg(feature = "test-commands")]
            CommandEntry::of::<test::Later>(),
            #[cfg(feature = "test-commands")]
            CommandEntry::of::<test::FailSaves>(),
            #[cfg(feature = "test-commands")]
            CommandEntry::of::<test::Yield>(),
        ],
        settings: &[
            &settings::DEFAULT_PRECISION,
            &settings::DEFAULT_HASH,
            &settings::HASH_SEED,
            &settings::RDB_COMPRESSION,
            &settings::MAX_MEMORY_PER_KEY,
            &settings::CUBE_MAX_AHEAD,
            &settings::ACCURACY_WARNING,
            &settings::ACCURACY_CRITICAL,
            &settings::ACCURACY_SAMPLES,
            &answers::QUERY_TIMEOUT,
            &coordinator::TIMEOUT,
            &coordinator::NODELAY,
            #[cfg(feature = "test-commands")]
            &clusters::faults::CLUSTER_FAULT,
            #[cfg(feature = "test-commands")]
            &clusters::faults::CLUSTER_HOLD,
            #[cfg(feature = "test-commands")]
            &test::TEST_FRACTION,
            #[cfg(feature = "test-commands")]
            &test::TEST_TEXT,
        ],
        info: &[
            InfoField::text(c"version", VERSION),
            InfoField::number(c"sketch_keys", || Sketch::handle().values()),
            InfoField::number(c"sketch_bytes", || Sketch::handle().bytes()),
            InfoField::number(c"cube_keys", || Cube::handle().values()),
            InfoField::number(c"cube_bytes", || Cube::handle().bytes()),
            InfoField::number(c"monitor_keys", || Monitor::handle().values()),
            InfoField::number(c"monitor_bytes", || Monitor::handle().bytes()),
            InfoField::number(c"calls", || command::CALLS.get()),
            InfoField::number(c"changes", || key::CHANGES.get()),
            InfoField::number(c"elements_added", || statistics::ELEMENTS_ADDED.get()),
            InfoField::number(c"estimates_exact", || statistics::ESTIMATES_EXACT.get()),
            InfoField::number(c"estimates_tokens", || statistics::ESTIMATES_TOKENS.get()),
            InfoField::number(c"estimates_hip", || statistics::ESTIMATES_HIP.get()),
            InfoField::number(c"estimates_ml", || statistics::ESTIMATES_ML.get()),
            InfoField::number(c"joint_solutions", joint::solutions),
            InfoField::number(c"joint_microseconds", joint::microseconds),
            InfoField::number(c"cube_events", || statistics::CUBE_EVENTS.get()),
            InfoField::number(c"cube_late_events", || statistics::CUBE_LATE_EVENTS.get()),
            InfoField::number(c"cube_too_late_events", || {
                statistics::CUBE_TOO_LATE_EVENTS.get()
            }),
            InfoField::number(c"cube_duplicate_events", || {
                statistics::CUBE_DUPLICATE_EVENTS.get()
            }),
            InfoField::number(c"cube_other_events", || statistics::CUBE_OTHER_EVENTS.get()),
            InfoField::number(c"cube_sealing_steps", || {
                statistics::CUBE_SEALING_STEPS.get()
            }),
            InfoField::number(c"cube_compaction_steps", || {
                statistics::CUBE_COMPACTION_STEPS.get()
            }),
            InfoField::number(c"cube_backlog_jobs", || Cube::handle().tallies()[0]),
            InfoField::number(c"saved_memory_bytes", || datatype::SAVED_MEMORY.get()),
            InfoField::number(c"saved_bytes", || datatype::SAVED.get()),
            InfoField::number(c"accuracy_samples", || statistics::ACCURACY_SAMPLES.get()),
            InfoField::number(c"accuracy_alerts_warning", || {
                statistics::ALERTS_WARNING.get()
            }),
            InfoField::number(c"accuracy_alerts_critical", || {
                statistics::ALERTS_CRITICAL.get()
            }),
            InfoField::number(c"accuracy_warning_now", || Monitor::handle().tallies()[0]),
            InfoField::number(c"accuracy_critical_now", || Monitor::handle().tallies()[1]),
            InfoField::number(c"rejected_payloads", || datatype::REJECTED.get()),
            InfoField::number(c"panics", || guard::PANICS.get()),
            InfoField::number(c"long_answers_running", || workers::RUNNING.get()),
            InfoField::number(c"long_answers_waiting", || workers::WAITING.get()),
            InfoField::number(c"long_answers_done", || workers::DONE.get()),
            InfoField::number(c"long_answers_refused", || workers::REFUSED.get()),
            InfoField::number(c"long_answers_dropped", || workers::DROPPED.get()),
            InfoField::number(c"long_answers_timed_out", || workers::TIMED_OUT.get()),
            InfoField::number(c"cluster_queries", || coordinator::QUERIES.get()),
            InfoField::number(c"cluster_queries_timed_out", || {
                coordinator::TIMED_OUT.get()
            }),
            InfoField::named(c"cluster_timeouts_by_node", timeouts::tell),
            InfoField::number(c"cluster_rounds", || coordinator::ROUNDS.get()),
            InfoField::number(c"cluster_answers_not_mine", || coordinator::NOT_MINE.get()),
            InfoField::number(c"cluster_gathers", || coordinator::GATHERS.get()),
            InfoField::number(c"cluster_gathers_refused", || coordinator::BUSY.get()),
            InfoField::number(c"cluster_links_at_once", || coordinator::LINKS.get()),
            InfoField::number(c"cluster_messages_sent", || {
                coordinator::MESSAGES_SENT.get()
            }),
            InfoField::number(c"cluster_messages_sent_bytes", || {
                coordinator::BYTES_SENT.get()
            }),
            InfoField::number(c"cluster_messages_resent", || coordinator::RESENT.get()),
            InfoField::number(c"cluster_messages_received", || {
                coordinator::MESSAGES_RECEIVED.get()
            }),
            InfoField::number(c"cluster_messages_received_bytes", || {
                coordinator::BYTES_RECEIVED.get()
            }),
            InfoField::number(c"cluster_messages_refused", || coordinator::REFUSED.get()),
            #[cfg(feature = "test-commands")]
            InfoField::number(c"test_setting_changes", || test::CHANGES.get()),
            #[cfg(feature = "test-commands")]
            InfoField::number(c"test_departures", || test::DEPARTURES.get()),
            #[cfg(feature = "test-commands")]
            InfoField::number(c"test_defrag_resumed", || strings::RESUMED.get()),
        ],
        timers: &[coordinator::CARETAKER],
        messages: &[coordinator::MESSAGES],
    };

    const VERSION: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
        concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
    ) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL in it"),
    };

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
        unsafe { MODULE.load(ctx, argv, argc) }
    }
}
