//! Lines in the server's log. The text is passed as an argument of a fixed "%s", never as the
//! format, and stripped of NUL.

use super::context_flags;
use redis_module::raw::{self, RedisModuleIO};
use std::ffi::{CStr, CString};
use std::ptr;

/// How urgent a line is.
#[derive(Clone, Copy)]
pub enum Level {
    /// Something for whoever looks for it.
    Debug,
    /// Something an operator may like to know.
    Notice,
    /// Something an operator has to know.
    Warning,
}

impl Level {
    fn name(self) -> &'static CStr {
        match self {
            Level::Debug => c"debug",
            Level::Notice => c"notice",
            Level::Warning => c"warning",
        }
    }
}

fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "?")).unwrap_or_default()
}

/// One line. Does nothing where no server has loaded the module.
pub fn log(level: Level, text: &str) {
    let text = c_text(text);
    // SAFETY: a null context is allowed; both strings end in NUL and outlive the call.
    unsafe {
        if let Some(log) = raw::RedisModule_Log {
            log(
                ptr::null_mut(),
                level.name().as_ptr(),
                c"<hll> %s".as_ptr(),
                text.as_ptr(),
            );
        }
    }
}

/// One line about the value being loaded from `io`: a warning where a file or a primary is loaded, and
/// next to nothing where a client sent it, who is told anyway and must not be able to fill the log.
///
/// # Safety
/// `io` is the one a data type callback was just given.
pub unsafe fn log_io_error(io: *mut RedisModuleIO, text: &str) {
    let text = c_text(text);
    // SAFETY: by the caller, and a null context is allowed; both strings end in NUL and outlive the call.
    unsafe {
        let flags = context_flags(ptr::null_mut());
        let level = if flags & raw::REDISMODULE_CTX_FLAGS_LOADING != 0 {
            Level::Warning
        } else {
            Level::Debug
        };
        api!(RedisModule_LogIOError(
            io,
            level.name().as_ptr(),
            c"%s".as_ptr(),
            text.as_ptr()
        ));
    }
}
