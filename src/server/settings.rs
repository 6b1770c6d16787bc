//! The module's settings: `CONFIG GET/SET hll.<name>`, lines `hll.<name> <value>` in redis.conf, and
//! arguments `<name> <value>` behind the module's path.

use super::args::Args;
use super::error::CommandError;
use crate::sketch::{HashFamily, Precision};
use crate::storage::Compression;
use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};
use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering};

/// A setting and its value now. Numbers as they are, choices by their position.
struct Setting {
    name: &'static CStr,
    kind: Kind,
    flags: u32,
    value: AtomicI64,
}

enum Kind {
    Number { min: i64, max: i64 },
    Choice { names: &'static [&'static CStr] },
}

static DEFAULT_PRECISION: Setting = Setting {
    name: c"default-precision",
    kind: Kind::Number {
        min: Precision::MIN.bits() as i64,
        max: Precision::MAX.bits() as i64,
    },
    flags: raw::REDISMODULE_CONFIG_DEFAULT,
    value: AtomicI64::new(Precision::DEFAULT.bits() as i64),
};

/// In the order of [`HashChoice`].
static DEFAULT_HASH: Setting = Setting {
    name: c"default-hash",
    kind: Kind::Choice {
        names: &[c"xxh3", c"redis", c"datasketches"],
    },
    flags: raw::REDISMODULE_CONFIG_DEFAULT,
    value: AtomicI64::new(0),
};

/// Fixed while the server runs: sketches of different seeds cannot be combined.
static HASH_SEED: Setting = Setting {
    name: c"hash-seed",
    kind: Kind::Number {
        min: 0,
        max: i64::MAX,
    },
    flags: raw::REDISMODULE_CONFIG_IMMUTABLE | raw::REDISMODULE_CONFIG_SENSITIVE,
    value: AtomicI64::new(0),
};

/// In the order of [`Compression::ALL`].
static RDB_COMPRESSION: Setting = Setting {
    name: c"rdb-compression",
    kind: Kind::Choice {
        names: &[c"zstd", c"lz4", c"gzip", c"none"],
    },
    flags: raw::REDISMODULE_CONFIG_DEFAULT,
    value: AtomicI64::new(0),
};

/// Bytes; 0 is no limit.
static MAX_MEMORY_PER_KEY: Setting = Setting {
    name: c"max-memory-per-key",
    kind: Kind::Number {
        min: 0,
        max: i64::MAX,
    },
    flags: raw::REDISMODULE_CONFIG_MEMORY,
    value: AtomicI64::new(0),
};

static ALL: [&Setting; 5] = [
    &DEFAULT_PRECISION,
    &DEFAULT_HASH,
    &HASH_SEED,
    &RDB_COMPRESSION,
    &MAX_MEMORY_PER_KEY,
];

impl Setting {
    fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }

    fn set(&self, value: i64) {
        self.value.store(value, Ordering::Relaxed);
    }
}

/// The precision of new sketches that do not ask for one.
pub fn default_precision() -> Precision {
    u8::try_from(DEFAULT_PRECISION.get())
        .ok()
        .and_then(Precision::new)
        .unwrap_or_default()
}

/// The hash functions one can choose, by their names; the seed is not the client's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashChoice {
    /// [`HashFamily::Xxh3`] with this server's seed.
    Xxh3,
    /// [`HashFamily::Redis`].
    Redis,
    /// [`HashFamily::DataSketches`].
    DataSketches,
}

impl HashChoice {
    /// All of them.
    pub const ALL: [HashChoice; 3] = [
        HashChoice::Xxh3,
        HashChoice::Redis,
        HashChoice::DataSketches,
    ];

    /// The family it means on this server now.
    pub fn family(self) -> HashFamily {
        match self {
            HashChoice::Xxh3 => HashFamily::Xxh3 {
                seed: HASH_SEED.get() as u64,
            },
            HashChoice::Redis => HashFamily::Redis,
            HashChoice::DataSketches => HashFamily::DataSketches,
        }
    }
}

/// The hash of new sketches that do not ask for one.
pub fn default_hash() -> HashFamily {
    HashChoice::ALL[DEFAULT_HASH.get() as usize].family()
}

/// How dense sketches are stored.
pub fn rdb_compression() -> Compression {
    Compression::ALL[RDB_COMPRESSION.get() as usize]
}

/// The most bytes one sketch may come to occupy; `None` for no limit.
pub fn max_memory_per_key() -> Option<usize> {
    match MAX_MEMORY_PER_KEY.get() {
        0 => None,
        bytes => usize::try_from(bytes).ok(),
    }
}

/// Takes the module's arguments as new defaults, registers all settings, and lets the server set
/// those that its configuration file names.
///
/// # Safety
/// `ctx` is the context of the load function.
pub unsafe fn register(ctx: *mut RedisModuleCtx, mut args: Args) -> Result<(), CommandError> {
    let text = |name: &'static CStr| name.to_str().unwrap_or_default();
    let names = ALL.map(|setting| text(setting.name));
    while let Some(found) = args.option(&names)? {
        let mut value = None;
        args.option_value(names[found], &mut value, |args| match ALL[found].kind {
            Kind::Number { min, max } => args.integer(names[found], min..=max),
            Kind::Choice { names: choices } => {
                let choices: Vec<&str> = choices.iter().map(|choice| text(choice)).collect();
                Ok(args.word(names[found], &choices)? as i64)
            }
        })?;
        ALL[found].set(value.unwrap_or_default());
    }
    for setting in ALL {
        // SAFETY: by the caller; names and settings are static.
        if unsafe { register_one(ctx, setting) } != raw::Status::Ok as c_int {
            return Err(CommandError::invalid("a setting could not be registered"));
        }
    }
    // SAFETY: by the caller.
    match unsafe { api!(RedisModule_LoadConfigs(ctx)) } {
        status if status == raw::Status::Ok as c_int => Ok(()),
        _ => Err(CommandError::invalid(
            "the configuration file has a value that is out of range",
        )),
    }
}

unsafe fn register_one(ctx: *mut RedisModuleCtx, setting: &'static Setting) -> c_int {
    let this = ptr::from_ref(setting).cast_mut().cast::<c_void>();
    // SAFETY: by the caller; the server copies names and values and gives `this` back unchanged.
    unsafe {
        match setting.kind {
            Kind::Number { min, max } => api!(RedisModule_RegisterNumericConfig(
                ctx,
                setting.name.as_ptr(),
                setting.get(),
                setting.flags,
                min,
                max,
                Some(get_number),
                Some(set_number),
                None,
                this
            )),
            Kind::Choice { names } => {
                let mut texts: Vec<*const c_char> = names.iter().map(|n| n.as_ptr()).collect();
                let values: Vec<c_int> = (0..names.len() as c_int).collect();
                api!(RedisModule_RegisterEnumConfig(
                    ctx,
                    setting.name.as_ptr(),
                    setting.get() as c_int,
                    setting.flags,
                    texts.as_mut_ptr(),
                    values.as_ptr(),
                    values.len() as c_int,
                    Some(get_choice),
                    Some(set_choice),
                    None,
                    this
                ))
            }
        }
    }
}

/// # Safety
/// `this` is what `register_one` gave the server.
unsafe fn setting(this: *mut c_void) -> &'static Setting {
    // SAFETY: by the caller.
    unsafe { &*this.cast() }
}

unsafe extern "C" fn get_number(_: *const c_char, this: *mut c_void) -> c_longlong {
    // SAFETY: the server gives back our pointer.
    unsafe { setting(this) }.get()
}

unsafe extern "C" fn set_number(
    _: *const c_char,
    value: c_longlong,
    this: *mut c_void,
    _: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: the server gives back our pointer, and has checked the range.
    unsafe { setting(this) }.set(value);
    raw::Status::Ok as c_int
}

unsafe extern "C" fn get_choice(_: *const c_char, this: *mut c_void) -> c_int {
    // SAFETY: the server gives back our pointer.
    unsafe { setting(this) }.get() as c_int
}

unsafe extern "C" fn set_choice(
    _: *const c_char,
    value: c_int,
    this: *mut c_void,
    _: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: the server gives back our pointer, and has checked that the value is one of ours.
    unsafe { setting(this) }.set(value.into());
    raw::Status::Ok as c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(setting: &Setting) -> Vec<&str> {
        let Kind::Choice { names } = setting.kind else {
            panic!("not a choice")
        };
        names.iter().map(|n| n.to_str().unwrap()).collect()
    }

    #[test]
    fn choices_stand_in_the_order_of_what_they_choose() {
        let compressions = Compression::ALL.map(Compression::name);
        assert_eq!(names(&RDB_COMPRESSION), compressions);
        let families = HashChoice::ALL.map(|choice| choice.family().name());
        assert_eq!(names(&DEFAULT_HASH), families);
    }
}
