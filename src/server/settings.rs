//! Settings: `CONFIG GET/SET hll.<name>`, lines `hll.<name> <value>` in redis.conf, and arguments
//! `<name> <value>` behind the module's path.
//!
//! A setting is a static that holds its value now, to be read without a lock where that is possible: a
//! [`Number`], a [`Fraction`], a [`Choice`] of words or a [`Text`]. Each can call a function when its value
//! has changed. Those that the module has stand in its table ([`super::module::Module`]).

use super::args::Args;
use super::error::{CommandError, printable};
use super::guard::guarded;
use super::syntax::{self, Word, find_word};
use super::{is_ok, string_bytes};
use redis_module::raw::{self, RedisModuleCtx, RedisModuleString};
use std::ffi::{CStr, CString, c_char, c_int, c_longlong, c_void};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// Who may see and change a setting, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, at any time.
    Open,
    /// The same; the value is bytes and may be written as 4kb, 1gb, ...
    Memory,
    /// Fixed while the server runs, and not shown by CONFIG GET to clients without the right to see
    /// secrets.
    FixedSecret,
}

impl Access {
    fn flags(self) -> u32 {
        match self {
            Access::Open => raw::REDISMODULE_CONFIG_DEFAULT,
            Access::Memory => raw::REDISMODULE_CONFIG_MEMORY,
            Access::FixedSecret => {
                raw::REDISMODULE_CONFIG_IMMUTABLE | raw::REDISMODULE_CONFIG_SENSITIVE
            }
        }
    }
}

/// A setting, whatever its values are.
pub trait Setting: Sync {
    /// Without the module's prefix.
    fn name(&self) -> &'static CStr;

    /// Takes the next argument of the module as the value to start with.
    fn read(&self, args: &mut Args) -> Result<(), CommandError>;

    /// Tells the server of it, which from then on reads and sets it; false if it refuses.
    ///
    /// # Safety
    /// `ctx` is the context of the load function.
    unsafe fn register(&'static self, ctx: *mut RedisModuleCtx) -> bool;
}

/// What to do when a value has changed; nothing for most.
pub type OnChange = Option<fn()>;

/// What is common to all kinds.
struct Core {
    name: &'static CStr,
    access: Access,
    on_change: OnChange,
}

impl Core {
    const fn new(name: &'static CStr) -> Core {
        Core {
            name,
            access: Access::Open,
            on_change: None,
        }
    }

    /// Tells whoever wants to know; what the server's callback answers.
    fn changed(&self) -> c_int {
        if let Some(on_change) = self.on_change {
            guarded((), on_change);
        }
        raw::Status::Ok as c_int
    }

    fn text(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }
}

/// Builders that every kind of setting has.
macro_rules! core_builders {
    () => {
        /// With other rights than everybody's.
        pub const fn access(mut self, access: Access) -> Self {
            self.core.access = access;
            self
        }

        /// With a function that is called after each change.
        pub const fn on_change(mut self, call: fn()) -> Self {
            self.core.on_change = Some(call);
            self
        }
    };
}

/// A whole number in a range.
pub struct Number {
    core: Core,
    min: i64,
    max: i64,
    value: AtomicI64,
}

impl Number {
    /// With this value to start with.
    pub const fn new(name: &'static CStr, range: RangeInclusive<i64>, default: i64) -> Number {
        Number {
            core: Core::new(name),
            min: *range.start(),
            max: *range.end(),
            value: AtomicI64::new(default),
        }
    }

    core_builders!();

    /// The value now.
    pub fn get(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Setting for Number {
    fn name(&self) -> &'static CStr {
        self.core.name
    }

    fn read(&self, args: &mut Args) -> Result<(), CommandError> {
        let value = args.integer(self.core.text(), self.min..=self.max)?;
        self.value.store(value, Ordering::Relaxed);
        Ok(())
    }

    unsafe fn register(&'static self, ctx: *mut RedisModuleCtx) -> bool {
        // SAFETY: by the caller; the server copies the name and gives `self`, a static, back unchanged.
        is_ok(unsafe {
            api!(RedisModule_RegisterNumericConfig(
                ctx,
                self.core.name.as_ptr(),
                self.get(),
                self.core.access.flags(),
                self.min,
                self.max,
                Some(get_number),
                Some(set_number),
                None,
                ptr::from_ref(self).cast_mut().cast()
            ))
        })
    }
}

unsafe extern "C" fn get_number(_: *const c_char, this: *mut c_void) -> c_longlong {
    // SAFETY: the server gives back the pointer to a static.
    unsafe { &*this.cast::<Number>() }.get()
}

unsafe extern "C" fn set_number(
    _: *const c_char,
    value: c_longlong,
    this: *mut c_void,
    _: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: as above; the server has checked the range.
    let setting = unsafe { &*this.cast::<Number>() };
    setting.value.store(value, Ordering::Relaxed);
    setting.core.changed()
}

/// One of some words.
pub struct Choice<W> {
    core: Core,
    /// The position of the word.
    value: AtomicI64,
    words: PhantomData<fn() -> W>,
}

impl<W: Word> Choice<W> {
    /// With the first word to start with.
    pub const fn new(name: &'static CStr) -> Choice<W> {
        Choice {
            core: Core::new(name),
            value: AtomicI64::new(0),
            words: PhantomData,
        }
    }

    core_builders!();

    /// The value now.
    pub fn get(&self) -> W {
        W::ALL[self.position() as usize].1
    }

    /// The words as they are written here, in lower case.
    fn names() -> Vec<String> {
        W::ALL.iter().map(|(word, _)| word.to_lowercase()).collect()
    }

    fn position(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl<W: Word> Setting for Choice<W> {
    fn name(&self) -> &'static CStr {
        self.core.name
    }

    fn read(&self, args: &mut Args) -> Result<(), CommandError> {
        let given = args.next()?;
        let found = find_word::<W>(given).ok_or_else(|| {
            CommandError::invalid(format_args!(
                "{} must be {}, got '{}'",
                self.core.text(),
                Self::names().join(" or "),
                given.shown()
            ))
        })?;
        self.value.store(found as i64, Ordering::Relaxed);
        Ok(())
    }

    unsafe fn register(&'static self, ctx: *mut RedisModuleCtx) -> bool {
        let names: Vec<CString> = Self::names()
            .into_iter()
            .filter_map(|word| CString::new(word).ok())
            .collect();
        let mut texts: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let values: Vec<c_int> = (0..names.len() as c_int).collect();
        // SAFETY: as in `Number::register`; the server copies the words.
        is_ok(unsafe {
            api!(RedisModule_RegisterEnumConfig(
                ctx,
                self.core.name.as_ptr(),
                self.position() as c_int,
                self.core.access.flags(),
                texts.as_mut_ptr(),
                values.as_ptr(),
                values.len() as c_int,
                Some(get_choice::<W>),
                Some(set_choice::<W>),
                None,
                ptr::from_ref(self).cast_mut().cast()
            ))
        })
    }
}

unsafe extern "C" fn get_choice<W: Word>(_: *const c_char, this: *mut c_void) -> c_int {
    // SAFETY: the server gives back the pointer to a static.
    unsafe { &*this.cast::<Choice<W>>() }.position() as c_int
}

unsafe extern "C" fn set_choice<W: Word>(
    _: *const c_char,
    value: c_int,
    this: *mut c_void,
    _: *mut *mut RedisModuleString,
) -> c_int {
    // SAFETY: as above; the server has checked that the value is one of ours.
    let setting = unsafe { &*this.cast::<Choice<W>>() };
    setting.value.store(value.into(), Ordering::Relaxed);
    setting.core.changed()
}

/// A setting whose values are texts to the server: it has no fractions.
///
/// The server asks for a string that stays ours, so the last one that was set is kept.
struct LastText(AtomicPtr<RedisModuleString>);

impl LastText {
    const fn new() -> LastText {
        LastText(AtomicPtr::new(ptr::null_mut()))
    }

    fn set(&self, text: &[u8]) {
        // SAFETY: no context is needed to make and free a string; the one before was made here, and the
        // server, on whose thread this runs, has copied it whenever it asked.
        unsafe {
            let start = text.as_ptr().cast();
            let new = api!(RedisModule_CreateString(ptr::null_mut(), start, text.len()));
            let old = self.0.swap(new, Ordering::Relaxed);
            if !old.is_null() {
                api!(RedisModule_FreeString(ptr::null_mut(), old));
            }
        }
    }

    fn get(&self) -> *mut RedisModuleString {
        self.0.load(Ordering::Relaxed)
    }
}

/// Puts the reason of a refusal where the server looks for it.
///
/// # Safety
/// `place` is what the server's call came with.
unsafe fn refuse(place: *mut *mut RedisModuleString, error: &CommandError) -> c_int {
    let text = error.text();
    // SAFETY: by the caller; the server frees the string.
    unsafe {
        let start = text.as_ptr().cast();
        *place = api!(RedisModule_CreateString(ptr::null_mut(), start, text.len()));
    }
    raw::Status::Err as c_int
}

/// A number in a range of fractions.
pub struct Fraction {
    core: Core,
    min: f64,
    max: f64,
    /// Its bits.
    value: AtomicU64,
    text: LastText,
}

impl Fraction {
    /// With this value to start with.
    pub const fn new(name: &'static CStr, range: RangeInclusive<f64>, default: f64) -> Fraction {
        Fraction {
            core: Core::new(name),
            min: *range.start(),
            max: *range.end(),
            value: AtomicU64::new(default.to_bits()),
            text: LastText::new(),
        }
    }

    core_builders!();

    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.value.load(Ordering::Relaxed))
    }

    fn parse(&self, text: &[u8]) -> Result<(), CommandError> {
        let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
        let value = number
            .filter(|n| (self.min..=self.max).contains(n))
            .ok_or_else(|| {
                CommandError::invalid(format_args!(
                    "{} must be {} to {}, got {}",
                    self.core.text(),
                    self.min,
                    self.max,
                    printable(text, 64)
                ))
            })?;
        self.value.store(value.to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

/// Any text.
pub struct Text {
    core: Core,
    value: RwLock<String>,
    text: LastText,
}

impl Text {
    /// Empty to start with.
    pub const fn new(name: &'static CStr) -> Text {
        Text {
            core: Core::new(name),
            value: RwLock::new(String::new()),
            text: LastText::new(),
        }
    }

    core_builders!();

    /// The value now.
    pub fn get(&self) -> String {
        self.value
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn parse(&self, text: &[u8]) -> Result<(), CommandError> {
        let text = std::str::from_utf8(text).map_err(|_| {
            CommandError::invalid(format_args!("{} must be UTF-8 text", self.core.text()))
        })?;
        text.clone_into(&mut self.value.write().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// What the server calls for settings that are texts to it.
macro_rules! text_setting {
    ($kind:ident) => {
        impl Setting for $kind {
            fn name(&self) -> &'static CStr {
                self.core.name
            }

            fn read(&self, args: &mut Args) -> Result<(), CommandError> {
                self.parse(args.next()?.bytes())
            }

            unsafe fn register(&'static self, ctx: *mut RedisModuleCtx) -> bool {
                let Ok(default) = CString::new(self.get().to_string()) else {
                    return false;
                };
                // SAFETY: as in `Number::register`.
                is_ok(unsafe {
                    api!(RedisModule_RegisterStringConfig(
                        ctx,
                        self.core.name.as_ptr(),
                        default.as_ptr(),
                        self.core.access.flags(),
                        Some($kind::get_text),
                        Some($kind::set_text),
                        None,
                        ptr::from_ref(self).cast_mut().cast()
                    ))
                })
            }
        }

        impl $kind {
            unsafe extern "C" fn get_text(
                _: *const c_char,
                this: *mut c_void,
            ) -> *mut RedisModuleString {
                // SAFETY: the server gives back the pointer to a static.
                unsafe { &*this.cast::<$kind>() }.text.get()
            }

            unsafe extern "C" fn set_text(
                _: *const c_char,
                value: *mut RedisModuleString,
                this: *mut c_void,
                error: *mut *mut RedisModuleString,
            ) -> c_int {
                // SAFETY: as above; the value lives as long as the call.
                let (setting, text) = unsafe { (&*this.cast::<$kind>(), string_bytes(value)) };
                match setting.parse(text) {
                    Ok(()) => {
                        setting.text.set(text);
                        setting.core.changed()
                    }
                    // SAFETY: the place is the server's.
                    Err(refusal) => unsafe { refuse(error, &refusal) },
                }
            }
        }
    };
}

text_setting!(Fraction);
text_setting!(Text);

/// Takes the module's arguments as new defaults, registers all settings, and lets the server set
/// those that its configuration file names.
///
/// # Safety
/// `ctx` is the context of the load function.
pub(super) unsafe fn register(
    ctx: *mut RedisModuleCtx,
    mut args: Args,
    settings: &[&'static dyn Setting],
) -> Result<(), CommandError> {
    let names: Vec<&str> = settings
        .iter()
        .map(|setting| setting.name().to_str().unwrap_or_default())
        .collect();
    let mut given = vec![false; settings.len()];
    while let Some(word) = args.next_word() {
        let found = names.iter().position(|name| word.is_word(name));
        let found = found.ok_or_else(|| syntax::unknown_option(word, &names))?;
        if std::mem::replace(&mut given[found], true) {
            return Err(syntax::given_twice(names[found]));
        }
        settings[found]
            .read(&mut args)
            .map_err(|error| syntax::without_value(names[found], error))?;
    }
    for setting in settings {
        // SAFETY: by the caller.
        if !unsafe { setting.register(ctx) } {
            return Err(CommandError::invalid("a setting could not be registered"));
        }
    }
    // SAFETY: by the caller.
    if is_ok(unsafe { api!(RedisModule_LoadConfigs(ctx)) }) {
        return Ok(());
    }
    Err(CommandError::invalid(
        "the configuration file has a value that is out of range",
    ))
}
