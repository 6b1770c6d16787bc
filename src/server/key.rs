//! Keys of the keyspace, opened for one command and closed by themselves.
//!
//! Besides our own type, a key may hold a PF key's string. It is read as the sketch it is, once for each
//! handle, and never written.

use super::args::Arg;
use super::error::CommandError;
use super::sketch_type;
use crate::sketch::Sketch;
use crate::storage::redis;
use redis_module::raw::{self, RedisModuleCtx, RedisModuleKey};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::c_int;
use std::slice;

/// A key opened for reading. It may be missing.
pub struct ReadKey<'a> {
    ctx: *mut RedisModuleCtx,
    name: Arg<'a>,
    handle: *mut RedisModuleKey,
    /// What a PF key's string says, once it was asked.
    pf: OnceCell<Box<Sketch>>,
}

/// What is under a key.
enum Content {
    Missing,
    /// Made by `Box::into_raw`.
    Sketch(*mut Sketch),
    String,
}

/// Shorter strings may be stored in a way that direct access would change (the server rewrites numbers and
/// strings that are embedded in their object, 44 bytes today), and are copied instead.
const EMBEDDED: usize = 256;

/// A key opened for writing. It may be missing.
pub struct WriteKey<'a> {
    key: ReadKey<'a>,
}

impl<'a> ReadKey<'a> {
    /// Opens it.
    ///
    /// # Safety
    /// `ctx` is the context of the running command and 'a does not outlive it.
    pub unsafe fn open(ctx: *mut RedisModuleCtx, name: Arg<'a>) -> ReadKey<'a> {
        // SAFETY: by the caller.
        unsafe { Self::open_for(ctx, name, raw::REDISMODULE_READ) }
    }

    unsafe fn open_for(ctx: *mut RedisModuleCtx, name: Arg<'a>, mode: u32) -> ReadKey<'a> {
        // SAFETY: by the caller; the name is a live string of this call.
        let handle = unsafe { api!(RedisModule_OpenKey(ctx, name.string(), mode as c_int)) };
        ReadKey {
            ctx,
            name,
            handle,
            pf: OnceCell::new(),
        }
    }

    /// The sketch under the key; `None` where there is no key.
    pub fn sketch(&self) -> Result<Option<&Sketch>, CommandError> {
        match self.content()? {
            Content::Missing => Ok(None),
            // SAFETY: the value is our own type (checked in `content`) and stays while this handle is
            // open: a command changes a key only through a `WriteKey` of its own, and none of ours holds
            // a sketch of a key it is about to change.
            Content::Sketch(value) => Ok(Some(unsafe { &*value })),
            Content::String => self.pf().map(Some),
        }
    }

    /// The bytes of a PF key's string; `None` for everything else.
    pub fn pf_bytes(&self) -> Option<usize> {
        self.pf.get()?;
        // SAFETY: the handle is open.
        Some(unsafe { api!(RedisModule_ValueLength(self.handle)) })
    }

    /// The sketch of a PF key.
    fn pf(&self) -> Result<&Sketch, CommandError> {
        if let Some(sketch) = self.pf.get() {
            return Ok(sketch);
        }
        let string = self.string();
        if !redis::is_pf(&string) {
            return Err(CommandError::WrongType);
        }
        let sketch = redis::decode(&string).map_err(|error| {
            CommandError::invalid(format_args!(
                "PF key '{}' is damaged ({}), delete it or restore it from a copy",
                self.name.shown(),
                error.0
            ))
        })?;
        Ok(self.pf.get_or_init(|| Box::new(sketch)))
    }

    /// The string under the key.
    fn string(&self) -> Cow<'_, [u8]> {
        // SAFETY: the handle is open and holds a string.
        let len = unsafe { api!(RedisModule_ValueLength(self.handle)) };
        if len < EMBEDDED
            && let Some(copy) = self.copied()
        {
            return Cow::Owned(copy);
        }
        let mut len = 0;
        // SAFETY: as above. A string of this length is left as it is, and its bytes stay while the handle
        // is open and nothing writes the key.
        unsafe {
            let mode = raw::REDISMODULE_READ as c_int;
            let start = api!(RedisModule_StringDMA(self.handle, &mut len, mode));
            Cow::Borrowed(slice::from_raw_parts(start.cast(), len))
        }
    }

    /// The string under the key as GET tells it; `None` where the server has no GET (it can be renamed).
    fn copied(&self) -> Option<Vec<u8>> {
        // SAFETY: the context and the name live as long as the call. The reply is ours to free, and its
        // bytes are copied before.
        unsafe {
            let name = self.name.string();
            let reply = api!(RedisModule_Call(
                self.ctx,
                c"GET".as_ptr(),
                c"s".as_ptr(),
                name
            ));
            if reply.is_null() {
                return None;
            }
            let mut len = 0;
            let start = api!(RedisModule_CallReplyStringPtr(reply, &mut len));
            let copy =
                (!start.is_null()).then(|| slice::from_raw_parts(start.cast::<u8>(), len).to_vec());
            api!(RedisModule_FreeCallReply(reply));
            copy
        }
    }

    fn content(&self) -> Result<Content, CommandError> {
        // SAFETY: the handle is open; a null one (a missing key) has type EMPTY.
        unsafe {
            // Null for whatever is not a module's type, and for a missing key.
            if api!(RedisModule_ModuleTypeGetType(self.handle)) == sketch_type::handle() {
                let value = api!(RedisModule_ModuleTypeGetValue(self.handle));
                return Ok(Content::Sketch(value.cast()));
            }
            match api!(RedisModule_KeyType(self.handle)) as isize {
                raw::REDISMODULE_KEYTYPE_EMPTY => Ok(Content::Missing),
                raw::REDISMODULE_KEYTYPE_STRING => Ok(Content::String),
                _ => Err(CommandError::WrongType),
            }
        }
    }
}

impl Drop for ReadKey<'_> {
    fn drop(&mut self) {
        // SAFETY: opened by us, closed once; null is allowed.
        unsafe { api!(RedisModule_CloseKey(self.handle)) }
    }
}

impl<'a> WriteKey<'a> {
    /// Opens it.
    ///
    /// # Safety
    /// `ctx` is the context of the running command and 'a does not outlive it.
    pub unsafe fn open(ctx: *mut RedisModuleCtx, name: Arg<'a>) -> WriteKey<'a> {
        // SAFETY: by the caller.
        let key =
            unsafe { ReadKey::open_for(ctx, name, raw::REDISMODULE_READ | raw::REDISMODULE_WRITE) };
        WriteKey { key }
    }

    /// Whether the key is there, with whatever type.
    pub fn exists(&self) -> bool {
        // SAFETY: the handle is open.
        let kind = unsafe { api!(RedisModule_KeyType(self.key.handle)) } as isize;
        kind != raw::REDISMODULE_KEYTYPE_EMPTY
    }

    /// The sketch under the key; `None` where there is no key.
    pub fn sketch(&self) -> Result<Option<&Sketch>, CommandError> {
        // SAFETY: as in `ReadKey::sketch`.
        Ok(self.value()?.map(|value| unsafe { &*value }))
    }

    /// The sketch under the key, to be changed.
    pub fn sketch_mut(&mut self) -> Result<Option<&mut Sketch>, CommandError> {
        // SAFETY: as in `ReadKey::sketch`, and `self` is borrowed for as long.
        Ok(self.value()?.map(|value| unsafe { &mut *value }))
    }

    fn value(&self) -> Result<Option<*mut Sketch>, CommandError> {
        match self.key.content()? {
            Content::Missing => Ok(None),
            Content::Sketch(value) => Ok(Some(value)),
            Content::String => {
                self.key.pf()?;
                let name = self.key.name.shown();
                Err(CommandError::invalid(format_args!(
                    "'{name}' is a PF key and only read here, \
                     make a sketch of it with HLL.MERGE newkey {name} and write to that"
                )))
            }
        }
    }

    /// Puts a sketch under the key. A sketch that is there is changed in place and keeps its time to
    /// live; a key of another type is replaced.
    pub fn put(&mut self, sketch: Sketch) {
        if let Ok(Some(present)) = self.sketch_mut() {
            *present = sketch;
        } else {
            self.replace(sketch);
        }
    }

    /// Puts a sketch under the key as a new value without time to live.
    pub fn replace(&mut self, sketch: Sketch) {
        let value = Box::into_raw(Box::new(sketch));
        // SAFETY: the key is open for writing; the server owns the value from here on and returns
        // it through the type's free callback.
        unsafe {
            api!(RedisModule_ModuleTypeSetValue(
                self.key.handle,
                sketch_type::handle(),
                value.cast()
            ));
        }
    }
}
