//! The allocator keeps every alignment, whatever the server's allocator promises.
//!
//! Where the C library cannot tell the size of an allocation, the server puts the size in front of what it gives
//! out, which then lies 8 bytes behind an aligned place. Here is such an allocator.

#![cfg(feature = "module")]

use redis_hll::server::allocator::ServerAllocator;
use redis_module::raw;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;

const PREFIX: usize = 8;

fn with_prefix(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + PREFIX, 16).unwrap()
}

unsafe extern "C" fn prefixing_alloc(bytes: usize) -> *mut c_void {
    unsafe { System.alloc(with_prefix(bytes)).add(PREFIX).cast() }
}

unsafe extern "C" fn prefixing_free(place: *mut c_void) {
    unsafe { System.dealloc(place.cast::<u8>().sub(PREFIX), with_prefix(BYTES)) }
}

const BYTES: usize = 48;

#[test]
fn alignments_are_kept_where_the_server_puts_sizes_in_front() {
    for align in [1, 2, 4, 8, 16, 32, 64] {
        let layout = Layout::from_size_align(BYTES, align).unwrap();
        // SAFETY: the layout is not empty. Nothing else allocates while the server's functions are these: this
        // is the only test of this program.
        let place = unsafe {
            raw::RedisModule_Alloc = Some(prefixing_alloc);
            raw::RedisModule_Free = Some(prefixing_free);
            let place = ServerAllocator.alloc(layout);
            ServerAllocator.dealloc(place, layout);
            raw::RedisModule_Alloc = None;
            raw::RedisModule_Free = None;
            place as usize
        };
        assert_eq!(place % align, 0, "alignment {align}");
    }
}
