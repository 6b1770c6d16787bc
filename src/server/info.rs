//! The module's section of INFO: `INFO hll`.
//!
//! Fields stand in the module's table, each with a function that reads a counter. Reading them is all that
//! may be done: INFO is asked every few seconds by monitoring, and also by the server's crash report.

use super::is_ok;
use redis_module::raw::{self, RedisModuleCtx, RedisModuleInfoCtx};
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, or grows and shrinks.
pub struct Counter(AtomicU64);

impl Counter {
    /// From 0.
    #[expect(
        clippy::new_without_default,
        reason = "to be used in a static, and nowhere else"
    )]
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    /// One more.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    #[inline]
    pub fn add(&self, more: u64) {
        if more != 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// What somebody else has counted.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    /// One less.
    pub fn take_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A field of the section.
pub struct InfoField {
    /// Without the module's prefix, which the server adds. Ends in its unit where it has one.
    pub name: &'static CStr,
    /// What it says.
    pub value: InfoValue,
}

/// What a field says.
pub enum InfoValue {
    /// A number.
    Number(fn() -> u64),
    /// A text that is always the same.
    Text(&'static CStr),
    /// Numbers that have names, few of them: told one by one, without waiting for anybody.
    Named(Tell),
}

/// Hands names and their numbers to whoever wants them.
pub type Tell = fn(each: &mut dyn FnMut(&CStr, u64));

impl InfoField {
    /// A number.
    pub const fn number(name: &'static CStr, read: fn() -> u64) -> InfoField {
        InfoField {
            name,
            value: InfoValue::Number(read),
        }
    }

    /// A text that is always the same.
    pub const fn text(name: &'static CStr, text: &'static CStr) -> InfoField {
        InfoField {
            name,
            value: InfoValue::Text(text),
        }
    }

    /// Numbers that have names: `name=number,name=number`, or nothing.
    pub const fn named(name: &'static CStr, tell: Tell) -> InfoField {
        InfoField {
            name,
            value: InfoValue::Named(tell),
        }
    }
}

static FIELDS: OnceLock<&'static [InfoField]> = OnceLock::new();

/// All fields of the section, in their order.
pub fn fields() -> &'static [InfoField] {
    FIELDS.get().copied().unwrap_or_default()
}

/// Registers the section; false if the server refuses.
///
/// # Safety
/// `ctx` is the context of the load function.
pub(super) unsafe fn register(ctx: *mut RedisModuleCtx, fields: &'static [InfoField]) -> bool {
    FIELDS.get_or_init(|| fields);
    // SAFETY: by the caller.
    is_ok(unsafe { api!(RedisModule_RegisterInfoFunc(ctx, Some(tell))) })
}

/// Without a guard: it allocates nothing and cannot panic, and may run while the server is dying.
unsafe extern "C" fn tell(ctx: *mut RedisModuleInfoCtx, _for_crash_report: c_int) {
    // SAFETY: the context is the server's; names end in NUL. A null name is that of the module.
    unsafe {
        if raw::RedisModule_InfoAddSection.is_none_or(|add| !is_ok(add(ctx, ptr::null()))) {
            return;
        }
        for field in fields() {
            let name = field.name.as_ptr();
            match field.value {
                InfoValue::Number(read) => {
                    if let Some(add) = raw::RedisModule_InfoAddFieldULongLong {
                        add(ctx, name, read());
                    }
                }
                InfoValue::Text(text) => {
                    if let Some(add) = raw::RedisModule_InfoAddFieldCString {
                        add(ctx, name, text.as_ptr());
                    }
                }
                InfoValue::Named(tell) => {
                    if let (Some(begin), Some(add), Some(end)) = (
                        raw::RedisModule_InfoBeginDictField,
                        raw::RedisModule_InfoAddFieldULongLong,
                        raw::RedisModule_InfoEndDictField,
                    ) {
                        begin(ctx, name);
                        tell(&mut |name, number| {
                            add(ctx, name.as_ptr(), number);
                        });
                        end(ctx);
                    }
                }
            }
        }
    }
}
