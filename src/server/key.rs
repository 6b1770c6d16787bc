//! Keys of the keyspace, opened for one command and closed by themselves.

use super::args::Arg;
use super::error::CommandError;
use super::sketch_type;
use crate::sketch::Sketch;
use redis_module::raw::{self, RedisModuleCtx, RedisModuleKey};
use std::ffi::c_int;
use std::marker::PhantomData;

/// A key opened for reading. It may be missing.
pub struct ReadKey<'a> {
    handle: *mut RedisModuleKey,
    call: PhantomData<&'a ()>,
}

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
            handle,
            call: PhantomData,
        }
    }

    /// The sketch under the key; `None` where there is no key.
    pub fn sketch(&self) -> Result<Option<&Sketch>, CommandError> {
        // SAFETY: the value is our own type (checked in `value`), made by `Box::into_raw`, and stays
        // while this handle is open: a command changes a key only through a `WriteKey` of its own,
        // and none of ours holds a sketch of a key it is about to change.
        Ok(self.value()?.map(|value| unsafe { &*value }))
    }

    fn value(&self) -> Result<Option<*mut Sketch>, CommandError> {
        // SAFETY: the handle is open; a null one (a missing key) has type EMPTY.
        unsafe {
            // Null for whatever is not a module's type, and for a missing key.
            if api!(RedisModule_ModuleTypeGetType(self.handle)) == sketch_type::handle() {
                return Ok(Some(
                    api!(RedisModule_ModuleTypeGetValue(self.handle)).cast(),
                ));
            }
            if api!(RedisModule_KeyType(self.handle)) as isize == raw::REDISMODULE_KEYTYPE_EMPTY {
                return Ok(None);
            }
            Err(CommandError::WrongType)
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
        self.key.sketch()
    }

    /// The sketch under the key, to be changed.
    pub fn sketch_mut(&mut self) -> Result<Option<&mut Sketch>, CommandError> {
        // SAFETY: as in `ReadKey::sketch`, and `self` is borrowed for as long.
        Ok(self.key.value()?.map(|value| unsafe { &mut *value }))
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
