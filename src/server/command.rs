//! Commands: what the server is told about one, and the way in from C.

use super::args::Args;
use super::context::Context;
use super::error::CommandError;
use super::guard::guarded;
use super::info::Counter;
use super::is_ok;
use super::reply::{self, Outcome, Reply};
use super::syntax::{ArgDoc, ArgKind, Description, KeyCount, KeySpec, KeyUsage, Place, Syntax};
use redis_module::raw::{
    self, RedisModuleCommandArg, RedisModuleCommandInfo, RedisModuleCommandInfoVersion,
    RedisModuleCommandKeySpec, RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_2 as KeyWord,
    RedisModuleCtx, RedisModuleString,
};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// A command of the module.
pub trait Command {
    /// What the server and its clients are told about it, beside its syntax.
    const SPEC: Spec;

    /// Its syntax: `Arguments<'static>` of a [`syntax!`](crate::syntax).
    type Arguments: Syntax;

    /// Does its work, and answers. On an error nothing has changed.
    fn run(ctx: &mut Context, arguments: <Self::Arguments as Syntax>::Value<'_>) -> Outcome;
}

/// What a command does to keys, and how long it takes: the flags of COMMAND INFO and the ACL
/// categories, which are always the two sides of one fact.
#[derive(Clone, Copy)]
pub enum Access {
    /// Changes one key in a time that does not grow with it.
    WriteFast,
    /// Changes one key, reading others or all of it.
    Write,
    /// Reads one key in a time that does not grow with it.
    ReadFast,
    /// Reads several keys, or all of one.
    Read,
    /// Looks at no key, and is called by the module itself, often.
    Probe,
}

impl Access {
    fn flags(self) -> &'static str {
        match self {
            Access::WriteFast => "write deny-oom fast",
            Access::Write => "write deny-oom",
            Access::ReadFast => "readonly fast",
            Access::Read => "readonly",
            Access::Probe => "readonly fast no-monitor no-slowlog",
        }
    }

    /// With the module's own category where the server knows it, and without.
    fn acl_categories(self) -> [&'static CStr; 2] {
        match self {
            Access::WriteFast => [c"hll write fast", c"write fast"],
            Access::Write => [c"hll write slow", c"write slow"],
            Access::ReadFast | Access::Probe => [c"hll read fast", c"read fast"],
            Access::Read => [c"hll read slow", c"read slow"],
        }
    }
}

/// What a command is told about beside its syntax.
pub struct Spec {
    /// In upper case, with the module's prefix. A subcommand's is `command|subcommand`, and these are in lower case: clients
    /// compare them so with what the server tells.
    pub name: &'static CStr,
    /// See [`Access`].
    pub access: Access,
    /// One line.
    pub summary: &'static CStr,
    /// In Redis' own style: O(N) where N is ...
    pub complexity: &'static CStr,
    /// The version of the module it came with.
    pub since: &'static CStr,
}

impl Spec {
    /// The command that this is a subcommand of, and its own name.
    fn parent(&self) -> Option<(CString, CString)> {
        let (parent, own) = self.name.to_str().ok()?.split_once('|')?;
        Some((CString::new(parent).ok()?, CString::new(own).ok()?))
    }

    /// Words of its name.
    const fn words(&self) -> usize {
        let name = self.name.to_bytes();
        let mut at = 0;
        while at < name.len() {
            if name[at] == b'|' {
                return 2;
            }
            at += 1;
        }
        1
    }
}

/// A command that is only its subcommands, which stand behind it in the module's table.
pub trait Container {
    /// What the server and its clients are told about it.
    const SPEC: Spec;
}

/// A command in the module's table.
pub struct CommandEntry {
    pub(super) register: unsafe fn(*mut RedisModuleCtx) -> bool,
}

impl CommandEntry {
    /// Of this command.
    pub const fn of<C: Command>() -> CommandEntry {
        CommandEntry {
            register: register::<C>,
        }
    }

    /// Of this container.
    pub const fn container<C: Container>() -> CommandEntry {
        CommandEntry {
            register: register_container::<C>,
        }
    }
}

impl KeySpec {
    fn to_raw(self, arena: &mut Arena) -> RedisModuleCommandKeySpec {
        let range = |spec: &mut RedisModuleCommandKeySpec, last| {
            spec.fk.range.lastkey = last;
            spec.fk.range.keystep = 1;
            raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE
        };
        // SAFETY: integers and pointers, for which zeros are valid.
        let mut spec: RedisModuleCommandKeySpec = unsafe { std::mem::zeroed() };
        spec.flags = self.usage.flags().into();
        match self.place {
            Place::Behind(word, from) => {
                spec.flags |= u64::from(raw::REDISMODULE_CMD_KEY_INCOMPLETE);
                spec.begin_search_type =
                    raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_KEYWORD;
                spec.bs.keyword = KeyWord {
                    keyword: arena.text(word),
                    startfrom: from as c_int,
                };
            }
            Place::At(at) => {
                spec.begin_search_type =
                    raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
                spec.bs.index.pos = at as c_int;
            }
        }
        spec.find_keys_type = match self.count {
            KeyCount::Fixed(number) => range(&mut spec, number as c_int - 1),
            KeyCount::ToTheEnd => range(&mut spec, -1),
            KeyCount::Numbered => {
                spec.fk.keynum.firstkey = 1;
                spec.fk.keynum.keystep = 1;
                raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM
            }
        };
        spec
    }
}

/// Keeps what the server is shown by pointers until it has copied it.
#[derive(Default)]
struct Arena {
    texts: Vec<CString>,
    arrays: Vec<Box<[RedisModuleCommandArg]>>,
}

impl Arena {
    fn text(&mut self, text: &str) -> *const c_char {
        let text = CString::new(text).unwrap_or_default();
        let start = text.as_ptr();
        self.texts.push(text);
        start
    }

    /// The arguments as the array with an empty last element that the server reads.
    fn args(&mut self, docs: &[ArgDoc]) -> *mut RedisModuleCommandArg {
        let mut array: Vec<RedisModuleCommandArg> = docs.iter().map(|doc| self.arg(doc)).collect();
        // SAFETY: integers and pointers, for which zeros are valid.
        array.push(unsafe { std::mem::zeroed() });
        let mut array = array.into_boxed_slice();
        let start = array.as_mut_ptr();
        self.arrays.push(array);
        start
    }

    fn arg(&mut self, doc: &ArgDoc) -> RedisModuleCommandArg {
        // SAFETY: as above.
        let mut arg: RedisModuleCommandArg = unsafe { std::mem::zeroed() };
        arg.name = self.text(&doc.name);
        arg.token = doc.token.map_or(ptr::null(), |token| self.text(token));
        if doc.optional {
            arg.flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL as c_int;
        }
        if doc.multiple {
            arg.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE as c_int;
        }
        if doc.repeated {
            arg.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN as c_int;
        }
        arg.key_spec_index = -1;
        arg.type_ = match &doc.kind {
            ArgKind::Key(spec) => {
                arg.key_spec_index = *spec as c_int;
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY
            }
            ArgKind::String => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
            ArgKind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
            ArgKind::Double => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_DOUBLE,
            ArgKind::Word => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
            ArgKind::OneOf(choices) => {
                arg.subargs = self.args(choices);
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF
            }
            ArgKind::Block(parts) => {
                arg.subargs = self.args(parts);
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK
            }
        };
        arg
    }
}

/// The layout of the structures in this program, for servers that know other ones.
static INFO_VERSION: RedisModuleCommandInfoVersion = RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<RedisModuleCommandArg>(),
};

/// Registers a command with everything the server wants to know; false if it refuses.
///
/// # Safety
/// `ctx` is the context of the load function.
unsafe fn register<C: Command>(ctx: *mut RedisModuleCtx) -> bool {
    let spec = &C::SPEC;
    let syntax = C::Arguments::describe();
    let mut flags = spec.access.flags().to_owned();
    let mut call: raw::RedisModuleCmdFunc = Some(entry::<C>);
    if syntax.needs_asking() {
        flags += " getkeys-api";
        call = Some(entry_or_keys::<C>);
    }
    let Ok(flags) = CString::new(flags) else {
        return false;
    };
    // SAFETY: by the caller; the server copies what it is given. A call that a server may not have is made
    // only where it has it.
    unsafe {
        let (name, flags) = (spec.name.as_ptr(), flags.as_ptr());
        let created = match spec.parent() {
            None => api!(RedisModule_CreateCommand(ctx, name, call, flags, 0, 0, 0)),
            Some((parent, own)) => {
                let parent = api!(RedisModule_GetCommand(ctx, parent.as_ptr()));
                let own = own.as_ptr();
                api!(RedisModule_CreateSubcommand(
                    parent, own, call, flags, 0, 0, 0
                ))
            }
        };
        is_ok(created) && describe(ctx, spec, &syntax)
    }
}

/// The same of a container.
///
/// # Safety
/// `ctx` is the context of the load function.
unsafe fn register_container<C: Container>(ctx: *mut RedisModuleCtx) -> bool {
    let spec = &C::SPEC;
    let flags = CString::new(spec.access.flags()).unwrap_or_default();
    // SAFETY: by the caller; the server copies what it is given.
    unsafe {
        let (name, flags) = (spec.name.as_ptr(), flags.as_ptr());
        is_ok(api!(RedisModule_CreateCommand(
            ctx, name, None, flags, 0, 0, 0
        ))) && describe(ctx, spec, &Description::of_container())
    }
}

/// Tells the server what it wants to know about a command that has just been created; false if it refuses.
///
/// # Safety
/// `ctx` is the context of the load function.
unsafe fn describe(ctx: *mut RedisModuleCtx, spec: &Spec, syntax: &Description) -> bool {
    // SAFETY: by the caller. A call that a server may not have is made only where it has it.
    unsafe {
        let command = api!(RedisModule_GetCommand(ctx, spec.name.as_ptr()));
        if !is_ok(set_info(command, spec, syntax)) {
            return false;
        }
        raw::RedisModule_SetCommandACLCategories.is_none_or(|set_categories| {
            spec.access
                .acl_categories()
                .iter()
                .any(|categories| is_ok(set_categories(command, categories.as_ptr())))
        })
    }
}

/// Tells the server what COMMAND DOCS and COMMAND INFO are to say.
///
/// # Safety
/// `command` is one that is being registered.
unsafe fn set_info(
    command: *mut raw::RedisModuleCommand,
    spec: &Spec,
    syntax: &Description,
) -> c_int {
    let mut arena = Arena::default();
    let mut keys: Vec<_> = syntax
        .keys
        .iter()
        .map(|keys| keys.to_raw(&mut arena))
        .collect();
    // SAFETY: by the caller. Zeros are a valid end of the array; everything that is pointed to lives until
    // the end of this function, and the server copies it.
    unsafe {
        keys.push(std::mem::zeroed());
        let info = RedisModuleCommandInfo {
            version: &INFO_VERSION,
            summary: spec.summary.as_ptr(),
            complexity: spec.complexity.as_ptr(),
            since: spec.since.as_ptr(),
            history: ptr::null_mut(),
            tips: ptr::null(),
            arity: syntax.arity(),
            key_specs: keys.as_mut_ptr(),
            args: arena.args(&syntax.args),
        };
        api!(RedisModule_SetCommandInfo(command, &info))
    }
}

/// Calls of all commands, those that came to an error included.
pub static CALLS: Counter = Counter::new();

/// The way in from C.
unsafe extern "C" fn entry<C: Command>(
    ctx: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> c_int {
    CALLS.add_one();
    let outcome = guarded(Err(CommandError::Internal), || {
        // SAFETY: the three are what the server calls us with, and live as long as the call.
        let (mut context, mut args) =
            unsafe { (Context::new(ctx), Args::new(argv, argc, C::SPEC.words())) };
        let outcome =
            C::Arguments::read(&mut args).and_then(|arguments| C::run(&mut context, arguments));
        outcome.map_err(with_form::<C>)
    });
    guarded(raw::Status::Err as c_int, || {
        // SAFETY: `ctx` is live and nothing was replied yet.
        unsafe { reply::send(ctx, &outcome) }
    })
}

#[cold]
fn with_form<C: Command>(error: CommandError) -> CommandError {
    let name = C::SPEC
        .name
        .to_string_lossy()
        .replace('|', " ")
        .to_uppercase();
    error.with_form(|| C::Arguments::describe().form(&name))
}

/// The same for commands that the server also asks where their keys are.
unsafe extern "C" fn entry_or_keys<C: Command>(
    ctx: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: as in `entry`; and keys are told only where the server has just asked for them.
    unsafe {
        if api!(RedisModule_IsKeysPositionRequest(ctx)) == 0 {
            return entry::<C>(ctx, argv, argc);
        }
        guarded((), || {
            let mut args = Args::new(argv, argc, C::SPEC.words());
            args.note_keys();
            // Arguments that make no sense name no keys; the command itself will say what is wrong.
            if C::Arguments::read(&mut args).is_ok() {
                for (key, usage) in args.noted_keys() {
                    tell_key(ctx, key.position(), usage);
                }
            }
        });
    }
    // The server looks at the keys alone.
    unsafe { reply::send(ctx, &Ok(Reply::None)) }
}

/// # Safety
/// The server has just asked for the keys of a command with this context.
unsafe fn tell_key(ctx: *mut RedisModuleCtx, position: i32, usage: KeyUsage) {
    // SAFETY: by the caller.
    unsafe {
        api!(RedisModule_KeyAtPosWithFlags(
            ctx,
            position,
            usage.flags() as c_int
        ));
    }
}
