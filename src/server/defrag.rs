//! Active defragmentation: allocations moved to where they close gaps.
//!
//! The server visits a value and lets it move what it wants. A value with many allocations is visited
//! later, for as long as the server has time, and says where to go on at the next visit
//! ([`Progress::Resume`]).

use super::is_ok;
use redis_module::raw::RedisModuleDefragCtx;
use std::ffi::{c_int, c_ulong, c_void};
use std::mem::ManuallyDrop;

/// How far a value got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything was visited.
    Done,
    /// To be gone on with from this cursor, which is not 0.
    Resume(u64),
}

/// The server's defragmentation of one value.
pub struct Defragmenter {
    ctx: *mut RedisModuleDefragCtx,
    cursor: u64,
}

impl Defragmenter {
    /// # Safety
    /// `ctx` is what the callback was just given, and outlives the result.
    pub(super) unsafe fn new(ctx: *mut RedisModuleDefragCtx) -> Defragmenter {
        let mut cursor: c_ulong = 0;
        // SAFETY: by the caller. Where the server wants all in one go, it keeps no cursor and says so.
        let kept = unsafe { api!(RedisModule_DefragCursorGet(ctx, &mut cursor)) };
        Defragmenter {
            ctx,
            cursor: if is_ok(kept) { cursor } else { 0 },
        }
    }

    pub(super) fn is_beginning(&self) -> bool {
        self.cursor == 0
    }

    /// Where the last visit stopped; 0 at the first.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Whether the time of this visit is over. Never where the server wants all in one go.
    pub fn should_stop(&self) -> bool {
        // SAFETY: the context outlives this, by `new`.
        unsafe { api!(RedisModule_DefragShouldStop(self.ctx)) != 0 }
    }

    /// Tells the server where to go on; what the callback answers.
    pub(super) fn end(&mut self, progress: Progress) -> c_int {
        match progress {
            Progress::Done => 0,
            Progress::Resume(cursor) => {
                // SAFETY: as above.
                let kept =
                    unsafe { api!(RedisModule_DefragCursorSet(self.ctx, cursor as c_ulong)) };
                debug_assert!(is_ok(kept), "only who was told to stop may want to go on");
                1
            }
        }
    }

    /// The place of the allocation after the server has moved it, or has let it be.
    ///
    /// # Safety
    /// `old` is a live allocation of the server's allocator that nobody else refers to.
    pub(super) unsafe fn moved(&mut self, old: *mut c_void) -> *mut c_void {
        // SAFETY: by the caller; the context is live during the callback.
        let new = unsafe { api!(RedisModule_DefragAlloc(self.ctx, old)) };
        if new.is_null() { old } else { new }
    }

    /// The same array, elsewhere or not. Only arrays whose alignment the server's allocator keeps are
    /// moved; see [`super::allocator`].
    pub fn array<T: Copy>(&mut self, array: Vec<T>) -> Vec<T> {
        let mut array = ManuallyDrop::new(array);
        if array.capacity() == 0
            || size_of::<T>() == 0
            || align_of::<T>() > super::allocator::ALIGNMENT
        {
            return ManuallyDrop::into_inner(array);
        }
        // SAFETY: the parts of a vector that is not dropped, whose allocation came from the server (by
        // its alignment) and is now, with the same size and content, at the new place.
        unsafe {
            let place = self.moved(array.as_mut_ptr().cast());
            Vec::from_raw_parts(place.cast(), array.len(), array.capacity())
        }
    }
}
