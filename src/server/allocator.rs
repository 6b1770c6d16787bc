//! Memory from the server's allocator, so that it shows in the server's own accounting
//! (`INFO memory`, `maxmemory`) and takes part in active defragmentation.
//!
//! Until a server has loaded the module there is no such allocator: tests, benchmarks and other
//! programs that link this crate use the system's. Nothing is allocated before the API pointers are
//! filled in (it is the first thing the load function does) and they never change again, so memory is
//! always returned where it came from.

use redis_module::raw;
use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator of the whole module.
pub struct ServerAllocator;

/// The alignment that the server's allocator keeps in every build. jemalloc keeps 16, but where the C
/// library's malloc cannot tell the size of an allocation, the server puts the size in front and gives
/// out what follows, 8 bytes behind an aligned place. Stricter layouts, of which this module has next to
/// none, go to the system's allocator, on allocation and release alike.
pub const ALIGNMENT: usize = 8;

// SAFETY: each method forwards to malloc, calloc, realloc or free of the server with a layout that
// those honour, or to `System`; which of the two depends only on the layout and on a pointer that
// is set once before the first allocation.
unsafe impl GlobalAlloc for ServerAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe {
            match raw::RedisModule_Alloc {
                Some(alloc) if layout.align() <= ALIGNMENT => alloc(layout.size()).cast(),
                _ => System.alloc(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe {
            match raw::RedisModule_Calloc {
                Some(calloc) if layout.align() <= ALIGNMENT => calloc(1, layout.size()).cast(),
                _ => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            match raw::RedisModule_Realloc {
                Some(realloc) if layout.align() <= ALIGNMENT => realloc(old.cast(), size).cast(),
                _ => System.realloc(old, layout, size),
            }
        }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        unsafe {
            match raw::RedisModule_Free {
                Some(free) if layout.align() <= ALIGNMENT => free(old.cast()),
                _ => System.dealloc(old, layout),
            }
        }
    }
}

/// Whether the server's allocator rounds up to classes of sizes, as jemalloc does; found out by what it gives for a size that
/// is far from one. The C library's gives what it is asked for.
pub fn has_classes() -> bool {
    const ASKED: usize = 33_000;
    const NEXT_CLASS: usize = 40_960;
    let block: Vec<u8> = Vec::with_capacity(ASKED);
    // SAFETY: the block comes from the server's allocator, as the pointer of this function is set.
    let given =
        unsafe { raw::RedisModule_MallocSize.map(|size| size(block.as_ptr().cast_mut().cast())) };
    given.is_none_or(|given| given >= NEXT_CLASS)
}
