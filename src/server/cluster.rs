//! The cluster that this server is a node of, and messages to its other nodes.
//!
//! The bus between nodes also carries messages of modules. What it promises is little: a message that was taken may be lost,
//! a node that has no such module swallows it, and whoever reaches the port may send one under any node's name. Receivers
//! are called in the middle of anything, inside a busy script and while a file is being loaded, where keys look absent. So a
//! receiver gets a context with which it can do nothing but have something called later ([`MessageContext`]).
//!
//! The bus tells modules apart by a number made of a name of nine characters; one with a name of another length, as this,
//! gets 0, and shares it. A message of ours therefore has a number of its own and says at its beginning what it is.
//!
//! Keys: opening one does not ask whether this node has it. A node that has given a slot away, or is getting it, finds
//! nothing or half, so whoever reads keys outside a command asks first ([`TimerContext::serves`]).

use super::args::ArgList;
use super::context::Context;
use super::error::CommandError;
use super::guard::guarded;
use super::timer::TimerContext;
use super::{context_flags, is_ok};
use redis_module::raw::{self, RedisModuleCallReply, RedisModuleCtx, RedisModuleString};
use std::ffi::{CStr, c_char, c_int, c_uchar};
use std::mem;
use std::slice;
use std::sync::OnceLock;
use std::time::Duration;

/// Bytes of a node's name, which has no end mark.
pub const NODE_ID: usize = 40;

/// A kind of message that the module takes.
pub struct MessageEntry {
    /// Its number on the bus.
    pub kind: u8,
    /// Takes one: the name of the node it says it is from, and its bytes.
    pub receive: fn(&MessageContext, &[u8; NODE_ID], &[u8]),
}

/// What the receiver of a message may do.
pub struct MessageContext(Context);

impl MessageContext {
    /// Has this called once, when so much time has gone by.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&TimerContext) + 'static) {
        self.0.after(delay, call);
    }

    /// Has it called now, which is wrong: for tests of what then goes wrong.
    #[cfg(feature = "test-commands")]
    pub fn at_once(&self, call: impl FnOnce(&TimerContext)) {
        // SAFETY: the context lives as long as this call.
        call(&TimerContext::new(unsafe { Context::new(self.0.raw()) }));
    }
}

static MESSAGES: OnceLock<&'static [MessageEntry]> = OnceLock::new();

/// Registers the receivers. On a server that is no node of a cluster this does nothing.
///
/// # Safety
/// `ctx` is the context of the load function.
pub(super) unsafe fn register(ctx: *mut RedisModuleCtx, messages: &'static [MessageEntry]) {
    for entry in MESSAGES.get_or_init(|| messages).iter() {
        // SAFETY: by the caller; the callback lives as long as the module.
        unsafe {
            api!(RedisModule_RegisterClusterMessageReceiver(
                ctx,
                entry.kind,
                Some(receive)
            ));
        }
    }
}

unsafe extern "C" fn receive(
    ctx: *mut RedisModuleCtx,
    sender: *const c_char,
    kind: u8,
    payload: *const c_uchar,
    length: u32,
) {
    guarded((), || {
        let entries = MESSAGES.get().copied().unwrap_or_default();
        let Some(entry) = entries.iter().find(|entry| entry.kind == kind) else {
            return;
        };
        // SAFETY: the server gives forty bytes, and the length of the payload; both live as long as this call, as
        // does the context.
        let (ctx, sender, payload) = unsafe {
            let payload = match length {
                0 => &[],
                _ => slice::from_raw_parts(payload, length as usize),
            };
            (
                MessageContext(Context::new(ctx)),
                &*sender.cast::<[u8; NODE_ID]>(),
                payload,
            )
        };
        (entry.receive)(&ctx, sender, payload);
    });
}

/// A reply of a command that was called, freed at the end.
struct CallReply(*mut RedisModuleCallReply);

impl CallReply {
    fn is_error(&self) -> bool {
        // SAFETY: the reply is live; null is no reply, which is an error too.
        self.0.is_null()
            || unsafe { api!(RedisModule_CallReplyType(self.0)) }
                == raw::REDISMODULE_REPLY_ERROR as c_int
    }

    fn text(&self) -> Option<String> {
        if self.0.is_null() {
            return None;
        }
        let mut length = 0;
        // SAFETY: the reply is live, and its text as long as it is.
        unsafe {
            let start = api!(RedisModule_CallReplyStringPtr(self.0, &mut length));
            if start.is_null() {
                return None;
            }
            let bytes = slice::from_raw_parts(start.cast(), length);
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the reply is ours and is freed once.
            unsafe { api!(RedisModule_FreeCallReply(self.0)) };
        }
    }
}

/// What may be asked of the server without opening a key.
impl Context {
    /// Whether the server is a node of a cluster.
    pub fn is_cluster_node(&self) -> bool {
        // SAFETY: the context is live.
        let flags = unsafe { context_flags(self.raw()) };
        flags & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0
    }

    fn cluster(&self, subcommand: &CStr) -> Option<String> {
        // SAFETY: the context is live; the format says that one C string follows and that errors are replies.
        let reply = CallReply(unsafe {
            api!(RedisModule_Call(
                self.raw(),
                c"CLUSTER".as_ptr(),
                c"cE".as_ptr(),
                subcommand.as_ptr()
            ))
        });
        if reply.is_error() {
            return None;
        }
        reply.text()
    }

    /// The text of CLUSTER NODES.
    pub fn cluster_nodes(&self) -> Option<String> {
        self.cluster(c"NODES")
    }

    /// The epoch under which this node owns its slots.
    pub fn cluster_epoch(&self) -> Option<u64> {
        let text = self.cluster(c"INFO")?;
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix("cluster_my_epoch:")?.trim().parse().ok())
    }

    /// A setting of the server's that is a number.
    pub fn config_number(&self, name: &CStr) -> Option<i64> {
        // SAFETY: the context is live; the format says that two C strings follow and that errors are replies. An element
        // lives as long as its reply.
        unsafe {
            let reply = CallReply(api!(RedisModule_Call(
                self.raw(),
                c"CONFIG".as_ptr(),
                c"ccE".as_ptr(),
                c"GET".as_ptr(),
                name.as_ptr()
            )));
            if reply.is_error() {
                return None;
            }
            let value = CallReply(api!(RedisModule_CallReplyArrayElement(reply.0, 1)));
            let number = value.text().and_then(|text| text.parse().ok());
            // It is freed with the whole.
            mem::forget(value);
            number
        }
    }

    /// Whether the server would run a command that reads this key, judged by this one, which does nothing else.
    pub fn serves(&self, probe: &CStr, key: &[u8]) -> bool {
        // SAFETY: the context is live; the format says that one buffer with its length follows.
        let reply = CallReply(unsafe {
            api!(RedisModule_Call(
                self.raw(),
                probe.as_ptr(),
                c"bE".as_ptr(),
                key.as_ptr().cast::<c_char>(),
                key.len()
            ))
        });
        !reply.is_error()
    }

    /// Whether a write outside a command may be replicated now. While the server is paused or hands its role over, it ends
    /// with one that is.
    pub fn may_replicate(&self) -> bool {
        // SAFETY: the call takes nothing.
        unsafe { api!(RedisModule_AvoidReplicaTraffic()) == 0 }
    }

    /// Whether more memory is in use than is allowed.
    pub fn is_out_of_memory(&self) -> bool {
        // SAFETY: the context is live.
        let flags = unsafe { context_flags(self.raw()) };
        flags & raw::REDISMODULE_CTX_FLAGS_OOM != 0
    }

    /// Whether the client's user may run this command with these arguments: its words and all its keys.
    pub fn check_rights(&self, command: &CStr, arguments: ArgList) -> Result<(), CommandError> {
        // What a primary or a file says has been allowed before, and has no user.
        if self.is_replayed() {
            return Ok(());
        }
        let ctx = self.raw();
        // SAFETY: the context is live, and so are the arguments; what is made here is freed here.
        let is_allowed = unsafe {
            let name = command.to_bytes();
            let name = api!(RedisModule_CreateString(
                ctx,
                name.as_ptr().cast(),
                name.len()
            ));
            let words =
                std::iter::once(name).chain(arguments.iter().map(|argument| argument.string()));
            let mut words: Vec<*mut RedisModuleString> = words.collect();
            let user_name = api!(RedisModule_GetCurrentUserName(ctx));
            let user = api!(RedisModule_GetModuleUserFromUserName(user_name));
            let is_allowed = !user.is_null()
                && is_ok(api!(RedisModule_ACLCheckCommandPermissions(
                    user,
                    words.as_mut_ptr(),
                    words.len() as c_int
                )));
            if !user.is_null() {
                api!(RedisModule_FreeModuleUser(user));
            }
            api!(RedisModule_FreeString(ctx, user_name));
            api!(RedisModule_FreeString(ctx, name));
            is_allowed
        };
        if is_allowed {
            return Ok(());
        }
        Err(CommandError::Marked(
            "NOPERM",
            format!(
                "this user may not run {} with these keys, which HLL.CLUSTER would do for it",
                command.to_string_lossy()
            ),
        ))
    }
}

impl TimerContext {
    /// Has this called once, when so much time has gone by.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&TimerContext) + 'static) {
        self.context().after(delay, call);
    }

    /// See [`Context::is_cluster_node`].
    pub fn is_cluster_node(&self) -> bool {
        self.context().is_cluster_node()
    }

    /// See [`Context::is_loading`].
    pub fn is_loading(&self) -> bool {
        self.context().is_loading()
    }

    /// See [`Context::cluster_nodes`].
    pub fn cluster_nodes(&self) -> Option<String> {
        self.context().cluster_nodes()
    }

    /// See [`Context::cluster_epoch`].
    pub fn cluster_epoch(&self) -> Option<u64> {
        self.context().cluster_epoch()
    }

    /// See [`Context::config_number`].
    pub fn config_number(&self, name: &CStr) -> Option<i64> {
        self.context().config_number(name)
    }

    /// See [`Context::serves`].
    pub fn serves(&self, probe: &CStr, key: &[u8]) -> bool {
        self.context().serves(probe, key)
    }

    /// Chooses the database that keys are opened in; false if there is none of that number.
    pub fn select(&self, database: u32) -> bool {
        let Ok(database) = c_int::try_from(database) else {
            return false;
        };
        // SAFETY: the context is live.
        is_ok(unsafe { api!(RedisModule_SelectDb(self.context().raw(), database)) })
    }

    /// Sends a message to a node; whether there is a connection to it. That it arrives is not said.
    pub fn send(&self, node: &[u8; NODE_ID], kind: u8, message: &[u8]) -> bool {
        let mut name = [0; NODE_ID + 1];
        name[..NODE_ID].copy_from_slice(node);
        let Ok(length) = u32::try_from(message.len()) else {
            return false;
        };
        // SAFETY: the context is live, the name ends in NUL, and the server copies the message.
        is_ok(unsafe {
            api!(RedisModule_SendClusterMessage(
                self.context().raw(),
                name.as_ptr().cast(),
                kind,
                message.as_ptr().cast(),
                length
            ))
        })
    }
}
