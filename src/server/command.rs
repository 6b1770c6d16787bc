//! Commands: what the server is told about one, and the way in from C.

use super::args::{Arg, Args};
use super::call::Call;
use super::error::CommandError;
use super::guard::guarded;
use super::reply::{self, Reply};
use redis_module::raw::{
    self, RedisModuleCommandArg, RedisModuleCommandInfo, RedisModuleCommandInfoVersion,
    RedisModuleCommandKeySpec, RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_2 as KeyWord,
    RedisModuleCtx, RedisModuleString,
};
use std::ffi::{CStr, CString, c_int};
use std::ptr;

/// A command of the module.
pub trait Command {
    /// What the server and its clients are told about it.
    const SPEC: Spec;

    /// Reads its arguments, does its work, and answers. On an error nothing has changed.
    fn run(call: &mut Call) -> Result<Reply, CommandError>;

    /// The keys among these arguments, for commands that the server has to ask: those with
    /// [`KeyCount::Numbered`] keys, for which this is the answer, and [`KeyCount::BehindWord`] ones.
    fn keys<'a>(args: &mut Args<'a>) -> Result<Vec<Arg<'a>>, CommandError> {
        args.numbered_keys()
    }
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
}

impl Access {
    fn flags(self) -> &'static str {
        match self {
            Access::WriteFast => "write deny-oom fast",
            Access::Write => "write deny-oom",
            Access::ReadFast => "readonly fast",
            Access::Read => "readonly",
        }
    }

    /// With the module's own category where the server knows it, and without.
    fn acl_categories(self) -> [&'static CStr; 2] {
        match self {
            Access::WriteFast => [c"hll write fast", c"write fast"],
            Access::Write => [c"hll write slow", c"write slow"],
            Access::ReadFast => [c"hll read fast", c"read fast"],
            Access::Read => [c"hll read slow", c"read slow"],
        }
    }
}

/// COMMAND INFO and COMMAND DOCS of one command.
pub struct Spec {
    /// In upper case, with the module's prefix.
    pub name: &'static CStr,
    /// Number of words, the name included; negative for "at least".
    pub arity: c_int,
    /// See [`Access`].
    pub access: Access,
    /// One line.
    pub summary: &'static CStr,
    /// In Redis' own style: O(N) where N is ...
    pub complexity: &'static CStr,
    /// The version of the module it came with.
    pub since: &'static CStr,
    /// Where the keys stand.
    pub keys: &'static [Keys],
    /// The syntax.
    pub args: &'static [ArgSpec],
}

/// Some keys among the arguments: where, and what happens to them.
pub struct Keys {
    at: c_int,
    count: KeyCount,
    usage: KeyUsage,
}

/// How many keys stand at a place.
#[derive(Clone, Copy)]
pub enum KeyCount {
    /// One.
    One,
    /// Three.
    Three,
    /// All arguments to the end.
    ToTheEnd,
    /// The place holds the number; the keys follow.
    Numbered,
    /// The number stands behind this word, somewhere from the place on. A key may have the word for
    /// its name, so the server is told that this is not the whole truth, and asks [`Command::keys`].
    BehindWord(&'static CStr),
}

impl KeyCount {
    /// Servers check ACL rules by the key specifications, but find the slots of a cluster by ranges of
    /// positions alone. A command whose keys are not one is asked where they are.
    const fn needs_asking(self) -> bool {
        matches!(self, KeyCount::Numbered | KeyCount::BehindWord(_))
    }
}

impl Spec {
    /// Whether some of its keys do; see [`KeyCount::needs_asking`].
    const fn needs_asking(&self) -> bool {
        let mut at = 0;
        while at < self.keys.len() {
            if self.keys[at].count.needs_asking() {
                return true;
            }
            at += 1;
        }
        false
    }
}

/// What happens to a key, in the terms of ACL key permissions.
#[derive(Clone, Copy)]
pub enum KeyUsage {
    /// Its content is read.
    Read,
    /// Elements are put in.
    Insert,
    /// Its content is read, changed and kept.
    Update,
}

impl KeyUsage {
    fn flags(self) -> u32 {
        match self {
            KeyUsage::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
            KeyUsage::Insert => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_INSERT,
            KeyUsage::Update => {
                raw::REDISMODULE_CMD_KEY_RW
                    | raw::REDISMODULE_CMD_KEY_ACCESS
                    | raw::REDISMODULE_CMD_KEY_UPDATE
            }
        }
    }
}

impl Keys {
    /// `at`: the position of the first one, or of the number of keys; the command's name is 0.
    pub const fn new(at: c_int, count: KeyCount, usage: KeyUsage) -> Keys {
        Keys { at, count, usage }
    }

    fn to_raw(&self) -> RedisModuleCommandKeySpec {
        let range = |spec: &mut RedisModuleCommandKeySpec, last| {
            spec.fk.range.lastkey = last;
            spec.fk.range.keystep = 1;
            raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE
        };
        // SAFETY: integers and pointers, for which zeros are valid.
        let mut spec: RedisModuleCommandKeySpec = unsafe { std::mem::zeroed() };
        spec.flags = self.usage.flags().into();
        if let KeyCount::BehindWord(word) = self.count {
            spec.flags |= u64::from(raw::REDISMODULE_CMD_KEY_INCOMPLETE);
            spec.begin_search_type =
                raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_KEYWORD;
            spec.bs.keyword = KeyWord {
                keyword: word.as_ptr(),
                startfrom: self.at,
            };
        } else {
            spec.begin_search_type =
                raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
            spec.bs.index.pos = self.at;
        }
        spec.find_keys_type = match self.count {
            KeyCount::One => range(&mut spec, 0),
            KeyCount::Three => range(&mut spec, 2),
            KeyCount::ToTheEnd => range(&mut spec, -1),
            KeyCount::Numbered | KeyCount::BehindWord(_) => {
                spec.fk.keynum.firstkey = 1;
                spec.fk.keynum.keystep = 1;
                raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM
            }
        };
        spec
    }
}

/// One argument as COMMAND DOCS describes it.
#[derive(Clone, Copy)]
pub struct ArgSpec {
    name: &'static CStr,
    kind: ArgKind,
    token: Option<&'static CStr>,
    flags: u32,
}

#[derive(Clone, Copy)]
enum ArgKind {
    Key { spec: c_int },
    String,
    Integer,
    Double,
    Word,
    OneOf(&'static [ArgSpec]),
    Block(&'static [ArgSpec]),
}

impl ArgSpec {
    const fn new(name: &'static CStr, kind: ArgKind) -> ArgSpec {
        ArgSpec {
            name,
            kind,
            token: None,
            flags: raw::REDISMODULE_CMD_ARG_NONE,
        }
    }

    /// A key, described by the key specification of that number.
    pub const fn key(name: &'static CStr, spec: c_int) -> ArgSpec {
        Self::new(name, ArgKind::Key { spec })
    }

    /// Any bytes.
    pub const fn string(name: &'static CStr) -> ArgSpec {
        Self::new(name, ArgKind::String)
    }

    /// A whole number.
    pub const fn integer(name: &'static CStr) -> ArgSpec {
        Self::new(name, ArgKind::Integer)
    }

    /// A number.
    pub const fn double(name: &'static CStr) -> ArgSpec {
        Self::new(name, ArgKind::Double)
    }

    /// The word itself.
    pub const fn word(name: &'static CStr, word: &'static CStr) -> ArgSpec {
        let mut spec = Self::new(name, ArgKind::Word);
        spec.token = Some(word);
        spec
    }

    /// One of these.
    pub const fn one_of(name: &'static CStr, choices: &'static [ArgSpec]) -> ArgSpec {
        Self::new(name, ArgKind::OneOf(choices))
    }

    /// `WORD numkeys key [key ...]`, of which `parts` is what follows the word.
    pub const fn keys_behind(
        word: &'static CStr,
        name: &'static CStr,
        parts: &'static [ArgSpec; 2],
    ) -> ArgSpec {
        Self::new(name, ArgKind::Block(parts)).behind(word)
    }

    /// `numkeys key [key ...]`, the keys described by the key specification of that number.
    pub const fn numbered_keys(spec: c_int) -> [ArgSpec; 2] {
        [
            ArgSpec::integer(c"numkeys"),
            ArgSpec::key(c"key", spec).multiple(),
        ]
    }

    /// Behind this word.
    pub const fn behind(mut self, word: &'static CStr) -> ArgSpec {
        self.token = Some(word);
        self
    }

    /// May be left out.
    pub const fn optional(mut self) -> ArgSpec {
        self.flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        self
    }

    /// May be repeated.
    pub const fn multiple(mut self) -> ArgSpec {
        self.flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
        self
    }

    /// `[CONFIDENCE c]`
    pub const CONFIDENCE: ArgSpec = ArgSpec::double(c"confidence")
        .behind(c"CONFIDENCE")
        .optional();
}

/// The arguments as the array with an empty last element that the server reads. Nested arrays are
/// kept in `arena`, which must live as long as the result.
fn raw_args(
    specs: &[ArgSpec],
    arena: &mut Vec<Box<[RedisModuleCommandArg]>>,
) -> *mut RedisModuleCommandArg {
    let mut array: Vec<RedisModuleCommandArg> = Vec::with_capacity(specs.len() + 1);
    for spec in specs {
        // SAFETY: integers and pointers, for which zeros are valid.
        let mut arg: RedisModuleCommandArg = unsafe { std::mem::zeroed() };
        arg.name = spec.name.as_ptr();
        arg.token = spec.token.map_or(ptr::null(), CStr::as_ptr);
        arg.flags = spec.flags as c_int;
        arg.key_spec_index = -1;
        arg.type_ = match spec.kind {
            ArgKind::Key { spec } => {
                arg.key_spec_index = spec;
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY
            }
            ArgKind::String => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
            ArgKind::Integer => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER,
            ArgKind::Double => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_DOUBLE,
            ArgKind::Word => raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN,
            ArgKind::OneOf(choices) => {
                arg.subargs = raw_args(choices, arena);
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF
            }
            ArgKind::Block(parts) => {
                arg.subargs = raw_args(parts, arena);
                raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK
            }
        };
        array.push(arg);
    }
    // SAFETY: as above.
    array.push(unsafe { std::mem::zeroed() });
    let mut array = array.into_boxed_slice();
    let start = array.as_mut_ptr();
    arena.push(array);
    start
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
pub unsafe fn register<C: Command>(ctx: *mut RedisModuleCtx) -> bool {
    let spec = &C::SPEC;
    let ok = raw::Status::Ok as c_int;
    let mut flags = spec.access.flags().to_owned();
    if spec.needs_asking() {
        flags += " getkeys-api";
    }
    let Ok(flags) = CString::new(flags) else {
        return false;
    };
    // SAFETY: by the caller; the server copies all it is given, and everything lives until the end
    // of this function. Calls that a server may not have are made only where it has them.
    unsafe {
        let created = api!(RedisModule_CreateCommand(
            ctx,
            spec.name.as_ptr(),
            Some(entry::<C>),
            flags.as_ptr(),
            0,
            0,
            0
        ));
        if created != ok {
            return false;
        }
        let command = api!(RedisModule_GetCommand(ctx, spec.name.as_ptr()));
        if let Some(set_info) = raw::RedisModule_SetCommandInfo {
            let mut keys: Vec<_> = spec.keys.iter().map(Keys::to_raw).collect();
            keys.push(std::mem::zeroed());
            let mut arena = Vec::new();
            let info = RedisModuleCommandInfo {
                version: &INFO_VERSION,
                summary: spec.summary.as_ptr(),
                complexity: spec.complexity.as_ptr(),
                since: spec.since.as_ptr(),
                history: ptr::null_mut(),
                tips: ptr::null(),
                arity: spec.arity,
                key_specs: keys.as_mut_ptr(),
                args: raw_args(spec.args, &mut arena),
            };
            if set_info(command, &info) != ok {
                return false;
            }
        }
        if let Some(set_categories) = raw::RedisModule_SetCommandACLCategories {
            return spec
                .access
                .acl_categories()
                .iter()
                .any(|categories| set_categories(command, categories.as_ptr()) == ok);
        }
        true
    }
}

/// The way in from C.
unsafe extern "C" fn entry<C: Command>(
    ctx: *mut RedisModuleCtx,
    argv: *mut *mut RedisModuleString,
    argc: c_int,
) -> c_int {
    let result = guarded(Err(CommandError::Internal), || {
        // SAFETY: the three are what the server calls us with.
        let mut call = unsafe { Call::new(ctx, argv, argc) };
        if const { C::SPEC.needs_asking() } && call.asks_for_keys() {
            // Arguments that make no sense name no keys; the command itself will say what is wrong.
            let keys = C::keys(&mut call.args).unwrap_or_default();
            call.tell_keys(&keys, KeyUsage::Read.flags());
            return Ok(Reply::None);
        }
        C::run(&mut call)
    });
    guarded(raw::Status::Err as c_int, || {
        // SAFETY: `ctx` is live and nothing was replied yet.
        unsafe { reply::send(ctx, &result) }
    })
}
