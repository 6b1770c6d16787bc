//! Replies as values.

use super::error::CommandError;
use redis_module::raw::RedisModuleCtx;
use std::borrow::Cow;
use std::ffi::{c_char, c_int, c_long};

/// What a command comes to.
pub type Outcome = Result<Reply, CommandError>;

/// What a command answers. Fields keep their order: a map in RESP3, and in RESP2 the flat array
/// field, value, field, value, ...
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// +OK
    Ok,
    /// A whole number.
    Integer(i64),
    /// A number; a bulk string in RESP2.
    Double(f64),
    /// A short text.
    Text(Cow<'static, str>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// No value.
    Null,
    /// Values in this order.
    Array(Vec<Reply>),
    /// Named values in this order.
    Map(Vec<(Cow<'static, str>, Reply)>),
    /// Nothing: the client waits for an answer that comes later ([`super::answers`]), or the server only
    /// asked where the keys are.
    None,
}

impl From<&'static str> for Reply {
    fn from(text: &'static str) -> Self {
        Reply::Text(text.into())
    }
}

impl From<f64> for Reply {
    fn from(number: f64) -> Self {
        Reply::Double(number)
    }
}

impl From<usize> for Reply {
    fn from(number: usize) -> Self {
        Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Option<f64>> for Reply {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Reply::Null, Reply::Double)
    }
}

impl From<Vec<u8>> for Reply {
    fn from(bytes: Vec<u8>) -> Self {
        Reply::Bytes(bytes)
    }
}

impl Reply {
    /// Writes the reply to the client.
    ///
    /// # Safety
    /// `ctx` is the context the command was called with, and nothing was replied yet.
    pub unsafe fn send(&self, ctx: *mut RedisModuleCtx) -> c_int {
        // SAFETY: by the caller; lengths are those of the slices, and the server copies.
        unsafe {
            match self {
                Reply::Ok => api!(RedisModule_ReplyWithSimpleString(ctx, c"OK".as_ptr())),
                Reply::Integer(n) => api!(RedisModule_ReplyWithLongLong(ctx, *n)),
                Reply::Double(x) => api!(RedisModule_ReplyWithDouble(ctx, *x)),
                Reply::Text(text) => send_bytes(ctx, text.as_bytes()),
                Reply::Bytes(bytes) => send_bytes(ctx, bytes),
                Reply::Null => api!(RedisModule_ReplyWithNull(ctx)),
                Reply::Array(values) => {
                    api!(RedisModule_ReplyWithArray(ctx, values.len() as c_long));
                    for value in values {
                        value.send(ctx);
                    }
                    redis_module::raw::Status::Ok as c_int
                }
                Reply::None => redis_module::raw::Status::Ok as c_int,
                Reply::Map(fields) => {
                    api!(RedisModule_ReplyWithMap(ctx, fields.len() as c_long));
                    for (name, value) in fields {
                        send_bytes(ctx, name.as_bytes());
                        value.send(ctx);
                    }
                    redis_module::raw::Status::Ok as c_int
                }
            }
        }
    }
}

/// Writes what a command came to.
///
/// # Safety
/// As for [`Reply::send`].
pub unsafe fn send(ctx: *mut RedisModuleCtx, outcome: &Outcome) -> c_int {
    // SAFETY: by the caller; the line ends in NUL and is copied.
    unsafe {
        match outcome {
            Ok(reply) => reply.send(ctx),
            Err(error) => match error.line() {
                Some(line) => api!(RedisModule_ReplyWithError(ctx, line.as_ptr())),
                None => api!(RedisModule_WrongArity(ctx)),
            },
        }
    }
}

unsafe fn send_bytes(ctx: *mut RedisModuleCtx, bytes: &[u8]) -> c_int {
    // SAFETY: as for `send`.
    unsafe {
        api!(RedisModule_ReplyWithStringBuffer(
            ctx,
            bytes.as_ptr().cast::<c_char>(),
            bytes.len()
        ))
    }
}
