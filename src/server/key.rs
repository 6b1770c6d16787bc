//! Keys of the keyspace, opened and closed by themselves; see [`super::context`] for the rules of
//! borrowing.
//!
//! A reader finds nothing, a value of its type, or a string that its type can be read from (as a value
//! of another program's making; [`DataType::from_string`]). A writer changes a value or puts one there,
//! and announces it in the same call: to replicas and the append-only file, to clients that watch or
//! cache the key, and to subscribers of keyspace events.

use super::args::Arg;
use super::context::Context;
use super::datatype::{DataType, Share};
use super::error::{CommandError, printable};
use super::info::Counter;
use super::log::{Level, log};
use super::{is_ok, string_bytes};
use redis_module::raw::{self, RedisModuleCtx, RedisModuleKey, RedisModuleString};
use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

/// Writes that changed a key.
pub static CHANGES: Counter = Counter::new();

/// What a key is called: by an argument of the client, or by bytes of our own (a timer, a message and a
/// finished answer have no arguments).
#[derive(Clone, Copy)]
pub enum KeyName<'a> {
    /// As the client named it.
    Argument(Arg<'a>),
    /// By these bytes.
    Bytes(&'a [u8]),
}

impl<'a> From<Arg<'a>> for KeyName<'a> {
    fn from(argument: Arg<'a>) -> Self {
        KeyName::Argument(argument)
    }
}

impl<'a> From<&'a [u8]> for KeyName<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        KeyName::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for KeyName<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        KeyName::Bytes(bytes)
    }
}

/// A key that is open. Closes itself. Whoever holds one keeps the context borrowed.
struct OpenKey {
    ctx: *mut RedisModuleCtx,
    key: *mut RedisModuleKey,
    /// The server's string of the name. An argument's lives as long as the call; who opens a key keeps
    /// the [`KeyName`] borrowed for as long as the name is asked for.
    name: *mut RedisModuleString,
    /// Whether the name was made here and is to be returned.
    name_is_ours: bool,
}

/// What is under a key.
enum Content<T> {
    Missing,
    /// Made by `Box::into_raw`.
    Value(NonNull<T>),
    String,
    Other,
}

impl OpenKey {
    fn open(ctx: &Context, name: KeyName, mode: u32) -> OpenKey {
        let ctx = ctx.raw();
        // SAFETY: the context is live, and so is the name: an argument for as long as the call, and a
        // string made here until `drop`.
        unsafe {
            let (name, name_is_ours) = match name {
                KeyName::Argument(argument) => (argument.string(), false),
                KeyName::Bytes(bytes) => {
                    let start = bytes.as_ptr().cast();
                    (
                        api!(RedisModule_CreateString(ctx, start, bytes.len())),
                        true,
                    )
                }
            };
            OpenKey {
                ctx,
                key: api!(RedisModule_OpenKey(ctx, name, mode as c_int)),
                name,
                name_is_ours,
            }
        }
    }

    fn content<T: DataType>(&self) -> Content<T> {
        // SAFETY: the key is open; a null one (a missing key) has type EMPTY. The type of a module's
        // value is null for all others.
        unsafe {
            if api!(RedisModule_ModuleTypeGetType(self.key)) == T::handle().raw() {
                let value = api!(RedisModule_ModuleTypeGetValue(self.key));
                return NonNull::new(value.cast()).map_or(Content::Missing, Content::Value);
            }
            match api!(RedisModule_KeyType(self.key)) as isize {
                raw::REDISMODULE_KEYTYPE_EMPTY => Content::Missing,
                raw::REDISMODULE_KEYTYPE_STRING => Content::String,
                _ => Content::Other,
            }
        }
    }

    /// The string under the key, if it may be a value of this type.
    ///
    /// Shorter strings than the type can be read from are not touched: the server gives access to a
    /// number's digits, or to a string that it keeps inside its object (44 bytes today), only by
    /// rewriting it as a string of its own. That changes no content, and nothing that is a value of `T`
    /// can be a number.
    fn string<T: DataType>(&self) -> Result<&[u8], CommandError> {
        let mut len = 0;
        // SAFETY: the key is open and holds a string, whose bytes stay where they are until it is written,
        // or opened again and found in need of being rewritten, or closed: none of which happens while the
        // result is looked at, which is inside the functions below.
        unsafe {
            let least = T::SHORTEST_STRING.ok_or(CommandError::WrongType)?;
            if api!(RedisModule_ValueLength(self.key)) < least {
                return Err(CommandError::WrongType);
            }
            let mode = raw::REDISMODULE_READ as c_int;
            let start = api!(RedisModule_StringDMA(self.key, &mut len, mode));
            if start.is_null() {
                return Err(CommandError::WrongType);
            }
            Ok(slice::from_raw_parts(start.cast(), len))
        }
    }

    /// The string under the key as a value, and its length.
    fn string_value<T: DataType>(&self) -> Result<(T, usize), CommandError> {
        let bytes = self.string::<T>()?;
        Ok((T::from_string(bytes, &self.shown())?, bytes.len()))
    }

    /// The name for error messages.
    fn shown(&self) -> String {
        // SAFETY: the name is live.
        printable(unsafe { string_bytes(self.name) }, 64)
    }

    /// Closes the key, counts the change and tells everybody who is to know that it has changed.
    fn announce(mut self, event: &CStr, propagation: Propagation) {
        CHANGES.add_one();
        // SAFETY: context and name are live until `self` is dropped at the end; the format names the
        // arguments that follow; a null key may be closed again.
        unsafe {
            api!(RedisModule_CloseKey(self.key));
            self.key = ptr::null_mut();
            let status = match propagation {
                Propagation::Verbatim => api!(RedisModule_ReplicateVerbatim(self.ctx)),
                Propagation::Command { name, content } => api!(RedisModule_Replicate(
                    self.ctx,
                    name.as_ptr(),
                    c"sb".as_ptr(),
                    self.name,
                    content.as_ptr(),
                    content.len()
                )),
                Propagation::Arguments { name, arguments } => {
                    let string = |argument: &Vec<u8>| {
                        let start = argument.as_ptr().cast();
                        api!(RedisModule_CreateString(self.ctx, start, argument.len()))
                    };
                    let strings: Vec<_> = arguments.iter().map(string).collect();
                    let status = api!(RedisModule_Replicate(
                        self.ctx,
                        name.as_ptr(),
                        c"v".as_ptr(),
                        strings.as_ptr(),
                        strings.len()
                    ));
                    for string in strings {
                        api!(RedisModule_FreeString(self.ctx, string));
                    }
                    status
                }
            };
            if !is_ok(status) {
                log(Level::Warning, "a change could not be propagated");
            }
            api!(RedisModule_SignalModifiedKey(self.ctx, self.name));
            api!(RedisModule_NotifyKeyspaceEvent(
                self.ctx,
                raw::REDISMODULE_NOTIFY_MODULE,
                event.as_ptr(),
                self.name
            ));
        }
    }
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        // SAFETY: opened by us, closed once; null is allowed. The name is returned if it was made here.
        unsafe {
            api!(RedisModule_CloseKey(self.key));
            if self.name_is_ours {
                api!(RedisModule_FreeString(self.ctx, self.name));
            }
        }
    }
}

/// A key opened for reading. It may be missing.
pub struct ReadKey<'c, T> {
    found: Found<'c, T>,
    /// Keeps the value where it is.
    _open: OpenKey,
}

enum Found<'c, T> {
    Missing,
    Value(&'c T),
    /// Read from a string of so many bytes.
    String(Box<T>, usize),
}

impl<'c, T: DataType> ReadKey<'c, T> {
    pub(super) fn open(ctx: &'c Context, name: KeyName) -> Result<ReadKey<'c, T>, CommandError> {
        let open = OpenKey::open(ctx, name, raw::REDISMODULE_READ);
        let found = match open.content() {
            Content::Missing => Found::Missing,
            // SAFETY: the value is a `T` (checked in `content`), and only a writer changes or frees it,
            // who would need the context that is borrowed here until this handle is gone.
            Content::Value(value) => Found::Value(unsafe { value.as_ref() }),
            Content::String => {
                let (value, len) = open.string_value()?;
                Found::String(Box::new(value), len)
            }
            Content::Other => return Err(CommandError::WrongType),
        };
        Ok(ReadKey { found, _open: open })
    }

    /// The value under the key; `None` where there is no key.
    pub fn value(&self) -> Option<&T> {
        match &self.found {
            Found::Missing => None,
            Found::Value(value) => Some(value),
            Found::String(value, _) => Some(value),
        }
    }

    /// The bytes of the string that the value was read from; `None` for a value of the type itself.
    pub fn string_bytes(&self) -> Option<usize> {
        match self.found {
            Found::String(_, len) => Some(len),
            _ => None,
        }
    }

    /// The value itself, for whoever outlives the handle.
    pub fn into_copy(self) -> Option<T> {
        match self.found {
            Found::Missing => None,
            Found::Value(value) => Some(value.copy()),
            Found::String(value, _) => Some(*value),
        }
    }
}

/// A copy of what is under a key, for whoever works with it later: a value, which shares what it can with
/// the one under the key, or the bytes of a string that has not been read as a value yet.
pub enum Copied<T> {
    /// A value of the type.
    Value(T),
    /// A string.
    String {
        /// Its bytes.
        bytes: Vec<u8>,
        /// The key's name, for errors.
        key: String,
    },
}

impl<T: DataType> Copied<T> {
    pub(super) fn of(ctx: &Context, name: KeyName) -> Result<Option<Copied<T>>, CommandError> {
        let open = OpenKey::open(ctx, name, raw::REDISMODULE_READ);
        match open.content::<T>() {
            Content::Missing => Ok(None),
            // SAFETY: the value is a `T` (checked in `content`), and nothing changes it during this call.
            Content::Value(value) => Ok(Some(Copied::Value(unsafe { value.as_ref() }.copy()))),
            Content::String => Ok(Some(Copied::String {
                bytes: open.string::<T>()?.to_vec(),
                key: open.shown(),
            })),
            Content::Other => Err(CommandError::WrongType),
        }
    }

    /// The value, read from the string where it is one.
    pub fn into_value(self) -> Result<T, CommandError> {
        match self {
            Copied::Value(value) => Ok(value),
            Copied::String { bytes, key } => T::from_string(&bytes, &key),
        }
    }
}

/// How many members the server's own set under a key has; 0 where there is no key.
pub(super) fn members_of_set(ctx: &Context, name: KeyName) -> Result<usize, CommandError> {
    let open = OpenKey::open(ctx, name, raw::REDISMODULE_READ);
    // SAFETY: the key is open; a null one (a missing key) has type EMPTY.
    unsafe {
        match api!(RedisModule_KeyType(open.key)) as isize {
            raw::REDISMODULE_KEYTYPE_EMPTY => Ok(0),
            raw::REDISMODULE_KEYTYPE_SET => Ok(api!(RedisModule_ValueLength(open.key))),
            _ => Err(CommandError::WrongType),
        }
    }
}

/// How a change travels to replicas and into the append-only file.
pub enum Propagation {
    /// As the client sent it. For commands whose effect depends only on their arguments and on the
    /// keys they name.
    Verbatim,
    /// As what it came to: a command of this name with the key and this content.
    Command {
        /// The command.
        name: &'static CStr,
        /// Its second argument.
        content: Vec<u8>,
    },
    /// As a command of this name with these arguments, the key among them.
    Arguments {
        /// The command.
        name: &'static CStr,
        /// All of its arguments.
        arguments: Vec<Vec<u8>>,
    },
}

impl Propagation {
    /// As all of the value.
    pub fn whole(value: &impl DataType) -> Propagation {
        let (name, content) = value.replay();
        Propagation::Command { name, content }
    }
}

/// What became of a write that makes the key where it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There was no key.
    Created,
    /// There was, and the value is another now.
    Changed,
    /// There was, and the value is what it was.
    Unchanged,
}

/// A key opened for writing. It may be missing.
pub struct WriteKey<'c, T> {
    ctx: &'c Context,
    open: OpenKey,
    borrowed: PhantomData<(KeyName<'c>, T)>,
}

impl<'c, T: DataType> WriteKey<'c, T> {
    pub(super) fn open(ctx: &'c mut Context, name: KeyName<'c>) -> WriteKey<'c, T> {
        WriteKey {
            open: OpenKey::open(ctx, name, raw::REDISMODULE_READ | raw::REDISMODULE_WRITE),
            ctx,
            borrowed: PhantomData,
        }
    }

    /// Whether the key is there, with whatever type.
    pub fn exists(&self) -> bool {
        !matches!(self.open.content::<T>(), Content::Missing)
    }

    /// The value under the key, to be changed; `None` where there is no key.
    fn value_mut(&mut self) -> Result<Option<&mut T>, CommandError> {
        match self.open.content() {
            Content::Missing => Ok(None),
            // SAFETY: the value is a `T` (checked in `content`); this handle has borrowed the context
            // mutably, so it is the only one that is open, and it is borrowed itself.
            Content::Value(mut value) => Ok(Some(unsafe { value.as_mut() })),
            Content::String => {
                self.open.string_value::<T>()?;
                Err(T::string_is_read_only(&self.open.shown()))
            }
            Content::Other => Err(CommandError::WrongType),
        }
    }

    /// The context, for questions that do not concern the key.
    pub fn context(&self) -> &Context {
        self.ctx
    }

    /// Changes the value under the key. The change says how it is to be propagated, or `None` if there
    /// was none: then nothing is announced. `None` also where there is no key, and nothing is done.
    pub fn update<P: Into<Propagation>>(
        mut self,
        event: &CStr,
        change: impl FnOnce(&mut T) -> Result<Option<P>, CommandError>,
    ) -> Result<Option<Written>, CommandError> {
        let Some(propagation) = self.change(change)? else {
            return Ok(None);
        };
        Ok(Some(self.end_change(event, propagation)))
    }

    /// The same, where a missing key is to be made: by `create`, of whose result the same change is
    /// made. A new value is propagated as [`DataType::replay`] says, since what a command would make of it
    /// elsewhere depends on the settings there.
    pub fn upsert<P: Into<Propagation>>(
        mut self,
        event: &CStr,
        create: impl FnOnce(&Context) -> Result<T, CommandError>,
        mut change: impl FnMut(&mut T) -> Result<Option<P>, CommandError>,
    ) -> Result<Written, CommandError> {
        if let Some(propagation) = self.change(&mut change)? {
            return Ok(self.end_change(event, propagation));
        }
        let mut value = create(self.ctx)?;
        change(&mut value)?;
        let propagation = Propagation::whole(&value);
        self.replace(value, event, propagation);
        Ok(Written::Created)
    }

    /// Changes the value and keeps account of its size; `None` where there is no key.
    fn change<P>(
        &mut self,
        change: impl FnOnce(&mut T) -> Result<Option<P>, CommandError>,
    ) -> Result<Option<Option<P>>, CommandError> {
        let Some(value) = self.value_mut()? else {
            return Ok(None);
        };
        let before = Share::of(value);
        let propagation = change(value)?;
        if propagation.is_some() {
            T::handle().settle(before, Share::of(value));
        }
        Ok(Some(propagation))
    }

    fn end_change(self, event: &CStr, propagation: Option<impl Into<Propagation>>) -> Written {
        match propagation {
            Some(propagation) => {
                self.open.announce(event, propagation.into());
                Written::Changed
            }
            None => Written::Unchanged,
        }
    }

    /// Puts a value under the key. One that is there is changed in place and keeps its time to live; a
    /// key of another type is refused.
    pub fn put(
        mut self,
        value: T,
        event: &CStr,
        propagation: Propagation,
    ) -> Result<(), CommandError> {
        if let Some(present) = self.value_mut()? {
            T::handle().settle(Share::of(present), Share::of(&value));
            *present = value;
            self.open.announce(event, propagation);
        } else {
            self.replace(value, event, propagation);
        }
        Ok(())
    }

    /// Puts a value under the key as a new one without time to live, whatever is there.
    pub fn replace(self, value: T, event: &CStr, propagation: Propagation) {
        let value = T::handle().hand_over(value);
        // SAFETY: the key is open for writing; the server owns the value from here on and returns
        // it through the type's free callback.
        unsafe {
            api!(RedisModule_ModuleTypeSetValue(
                self.open.key,
                T::handle().raw(),
                value
            ));
        }
        self.open.announce(event, propagation);
    }
}
