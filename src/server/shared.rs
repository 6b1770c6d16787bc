//! Counters that go on counting in a child process.
//!
//! The server saves from a forked child, whose memory is a copy: what an ordinary counter counts there is lost with
//! the child. These lie in a page that parent and children share.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters in the page.
const SLOTS: usize = 2;

type Page = [AtomicU64; SLOTS];

static PAGE: OnceLock<&'static Page> = OnceLock::new();

/// The page where the system gives none: counts as ordinary counters do.
static OWN_PAGE: Page = [const { AtomicU64::new(0) }; SLOTS];

/// A number that only grows, for the server and all its children together.
pub struct SharedCounter(usize);

impl SharedCounter {
    /// The one with this number.
    pub(super) const fn new(slot: usize) -> SharedCounter {
        assert!(slot < SLOTS);
        SharedCounter(slot)
    }

    /// So many more.
    pub fn add(&self, more: usize) {
        page()[self.0].fetch_add(more as u64, Ordering::Relaxed);
    }

    /// How many now.
    pub fn get(&self) -> u64 {
        page()[self.0].load(Ordering::Relaxed)
    }
}

/// To be called before there are children: those that make the page anew have one of their own.
pub(super) fn page() -> &'static Page {
    PAGE.get_or_init(|| {
        // SAFETY: a new mapping of the kernel's choice, never returned; its zeros are counters, and a page is
        // large enough and aligned for them.
        unsafe {
            let page = libc::mmap(
                ptr::null_mut(),
                size_of::<Page>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            match page {
                libc::MAP_FAILED => &OWN_PAGE,
                page => &*page.cast::<Page>(),
            }
        }
    })
}
