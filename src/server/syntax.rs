//! A command's syntax, written once.
//!
//! [`syntax!`](crate::syntax) declares what a command takes: first its parameters, in their order, then
//! its options, which stand behind words and come in any order, and then, where there are any, parameters
//! that stand behind the options. From the one declaration come
//!
//! * the arguments and key specifications of COMMAND DOCS and COMMAND INFO, and the number of words
//!   (`arity`), for the server and its clients;
//! * the reader, with the wording of everything that can go wrong;
//! * the typed result that the command works with;
//! * the form of the command, `HLL.ESTIMATE numkeys key [key ...] [CONFIDENCE confidence]`, for errors
//!   that are best answered with it.
//!
//! ```
//! use redis_hll::server::args::ArgList;
//! use redis_hll::server::syntax::{Defaulted, KeyUsage, Number, NumberedKeys, Optional, Syntax};
//! use redis_hll::syntax;
//!
//! syntax! {
//!     /// What the command is asked.
//!     pub struct Question<'a> {
//!         names: ArgList<'a> = NumberedKeys { name: "key", usage: KeyUsage::Read };
//!     }
//!     options {
//!         confidence: f64 =
//!             Defaulted(Optional("CONFIDENCE", Number("confidence", 0.5..=0.9999)), 0.95);
//!     }
//! }
//!
//! let described = Question::describe();
//! assert_eq!(described.form("HLL.COUNTS"), "HLL.COUNTS numkeys key [key ...] [CONFIDENCE confidence]");
//! assert_eq!(described.arity(), -2);
//! ```
//!
//! **An option may have options of its own**, and may be given several times. What belongs to one is a syntax
//! like that of a command ([`Block`]), and takes each word that is its own: a word goes to the clause just before
//! it if it can, and otherwise to the command.
//!
//! ```
//! use redis_hll::server::args::Arg;
//! use redis_hll::server::syntax::{Block, Bytes, Integer, Optional, Repeated, Syntax};
//! use redis_hll::syntax;
//!
//! syntax! {
//!     /// A column of a table.
//!     pub struct Column<'a> {
//!         name: Arg<'a> = Bytes("name");
//!     }
//!     options {
//!         width: Option<i64> = Optional("WIDTH", Integer("width", 1..=100));
//!     }
//! }
//!
//! syntax! {
//!     /// A table, and one thing more.
//!     pub struct Table<'a> {
//!     }
//!     options {
//!         columns: Vec<Column<'a>> = Repeated("COLUMN", Block::<Column>::new());
//!         width: Option<i64> = Optional("WIDTH", Integer("width", 1..=1000));
//!     }
//!     then {
//!         title: Arg<'a> = Bytes("title");
//!     }
//! }
//!
//! assert_eq!(
//!     Table::describe().form("PRINT"),
//!     "PRINT [COLUMN name [WIDTH width]]... [WIDTH width] title"
//! );
//! ```
//!
//! **A word that nobody handles does not compile.** An option is a private field of the result, and a field
//! that is never read is an error among the commands of this module, which deny unused code
//! (`#![deny(dead_code)]` in commands/mod.rs). A choice is an enumeration, of which a `match` has to name all:
//!
//! ```compile_fail,E0004
//! use redis_hll::server::syntax::Word;
//!
//! #[derive(Clone, Copy)]
//! enum Present {
//!     Replace,
//!     Merge,
//! }
//!
//! impl Word for Present {
//!     const ALL: &'static [(&'static str, Present)] =
//!         &[("REPLACE", Present::Replace), ("MERGE", Present::Merge)];
//! }
//!
//! fn run(present: Present) -> bool {
//!     match present {
//!         Present::Replace => true,
//!     }
//! }
//! ```

use super::args::{Arg, ArgList, Args};
use super::error::CommandError;
use redis_module::raw;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

/// What a command, or a part of one, takes. Implemented by [`syntax!`](crate::syntax).
pub trait Syntax {
    /// The arguments, read.
    type Value<'a>;

    /// For the server, for clients and for errors.
    fn describe() -> Description;

    /// The words that options begin with.
    fn words() -> Vec<&'static str>;

    /// Reads as far as the syntax goes. What `end` says of the arguments behind it comes before what the options
    /// have to say of themselves.
    fn read_part<'a>(args: &mut Args<'a>, end: End<'a>) -> Result<Self::Value<'a>, CommandError>;

    /// Reads all arguments.
    fn read<'a>(args: &mut Args<'a>) -> Result<Self::Value<'a>, CommandError> {
        Self::read_part(args, Self::end)
    }

    /// Refuses what is left.
    fn end(args: &Args) -> Result<(), CommandError> {
        match args.peek() {
            None => Ok(()),
            Some(word) => match &Self::words()[..] {
                [] => Err(CommandError::Arity),
                known => Err(args.unknown_option(word, known, &Self::describe())),
            },
        }
    }
}

/// What is to be said of the arguments behind a syntax.
pub type End<'a> = fn(&Args<'a>) -> Result<(), CommandError>;

/// Declares a command's syntax; see [`server::syntax`](crate::server::syntax).
#[macro_export]
macro_rules! syntax {
    (
        $(#[$about:meta])*
        $vis:vis struct $name:ident<$a:lifetime> {
            $($field:ident: $type:ty = $parameter:expr;)*
        }
        $(options {
            $($option:ident: $option_type:ty = $clause:expr;)*
        })?
        $(then {
            $($last:ident: $last_type:ty = $last_parameter:expr;)*
        })?
    ) => {
        $(#[$about])*
        $vis struct $name<$a> {
            $($field: $type,)*
            $($($option: $option_type,)*)?
            $($($last: $last_type,)*)?
        }

        impl $crate::server::syntax::Syntax for $name<'static> {
            type Value<$a> = $name<$a>;

            fn describe() -> $crate::server::syntax::Description {
                #[allow(unused_mut, reason = "a command may take nothing")]
                let mut description = $crate::server::syntax::Description::default();
                $(description.parameter(&$parameter);)*
                $($(description.clause(&$clause);)*)?
                $($(description.parameter(&$last_parameter);)*)?
                description
            }

            fn words() -> Vec<&'static str> {
                #[allow(unused_mut, reason = "a command may have no options")]
                let mut words = Vec::new();
                $($(words.extend($crate::server::syntax::Clause::words(&$clause));)*)?
                words
            }

            #[inline]
            fn read_part<$a>(
                args: &mut $crate::server::args::Args<$a>,
                end: $crate::server::syntax::End<$a>,
            ) -> Result<$name<$a>, $crate::server::error::CommandError> {
                $(let $field = $crate::server::syntax::Parameter::read(&$parameter, args)?;)*
                $(
                    $(let mut $option = Default::default();)*
                    loop {
                        $(
                            if $crate::server::syntax::Clause::take(&$clause, args, &mut $option)? {
                                continue;
                            }
                        )*
                        break;
                    }
                )?
                $($(let $last = $crate::server::syntax::Parameter::read(&$last_parameter, args)?;)*)?
                end(args)?;
                $($(let $option = $crate::server::syntax::Clause::finish(&$clause, $option)?;)*)?
                Ok($name {
                    $($field,)*
                    $($($option,)*)?
                    $($($last,)*)?
                })
            }
        }
    };
}

// ---------------------------------------------------------------------------------------------------------
// Descriptions
// ---------------------------------------------------------------------------------------------------------

/// What happens to a key, in the terms of ACL key permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsage {
    /// Its content is read.
    Read,
    /// Elements are put in.
    Insert,
    /// Its content is read, changed and kept.
    Update,
    /// Whatever it holds is replaced.
    Overwrite,
}

impl KeyUsage {
    pub(super) fn flags(self) -> u32 {
        match self {
            KeyUsage::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
            KeyUsage::Overwrite => raw::REDISMODULE_CMD_KEY_OW | raw::REDISMODULE_CMD_KEY_UPDATE,
            KeyUsage::Insert => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_INSERT,
            KeyUsage::Update => {
                raw::REDISMODULE_CMD_KEY_RW
                    | raw::REDISMODULE_CMD_KEY_ACCESS
                    | raw::REDISMODULE_CMD_KEY_UPDATE
            }
        }
    }
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this position, the command's name being 0.
    At(usize),
    /// Behind this word, which stands at or behind the position. A key may have the word for its name, so
    /// where keys are concerned the server is told that this is not the whole truth, and asks us.
    Behind(&'static str, usize),
}

/// How the keys of a specification are found from its place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCount {
    /// So many.
    Fixed(usize),
    /// All arguments to the end.
    ToTheEnd,
    /// The place holds the number; the keys follow.
    Numbered,
}

/// Some keys among the arguments: where they are and what happens to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeySpec {
    pub(super) place: Place,
    pub(super) count: KeyCount,
    pub(super) usage: KeyUsage,
}

/// One argument as COMMAND DOCS describes it.
#[derive(Clone, Debug)]
pub struct ArgDoc {
    pub(super) name: String,
    pub(super) kind: ArgKind,
    pub(super) token: Option<&'static str>,
    pub(super) optional: bool,
    pub(super) multiple: bool,
    /// Whether the word comes again with each of several.
    pub(super) repeated: bool,
}

#[derive(Clone, Debug)]
pub(super) enum ArgKind {
    /// Described by the key specification of that number.
    Key(usize),
    String,
    Integer,
    Double,
    Word,
    OneOf(Vec<ArgDoc>),
    Block(Vec<ArgDoc>),
}

impl ArgDoc {
    fn new(name: &str, kind: ArgKind) -> ArgDoc {
        ArgDoc {
            name: name.to_lowercase(),
            kind,
            token: None,
            optional: false,
            multiple: false,
            repeated: false,
        }
    }

    fn word(word: &'static str) -> ArgDoc {
        ArgDoc::new(word, ArgKind::Word).behind(word)
    }

    fn behind(mut self, word: &'static str) -> ArgDoc {
        self.token = Some(word);
        self
    }

    fn multiple(mut self) -> ArgDoc {
        self.multiple = true;
        self
    }

    fn optional(mut self) -> ArgDoc {
        self.optional = true;
        self
    }

    fn repeated(mut self) -> ArgDoc {
        self.multiple = true;
        self.repeated = true;
        self
    }

    /// These behind a word; as one block if they are several.
    fn all_behind(word: &'static str, mut docs: Vec<ArgDoc>) -> ArgDoc {
        match docs.pop() {
            Some(only) if docs.is_empty() => only.behind(word),
            Some(last) => {
                docs.push(last);
                ArgDoc::new(word, ArgKind::Block(docs)).behind(word)
            }
            None => ArgDoc::word(word),
        }
    }

    /// As a person writes it.
    fn form(&self) -> String {
        let joined = |parts: &[ArgDoc], by| {
            let parts: Vec<String> = parts.iter().map(ArgDoc::form).collect();
            parts.join(by)
        };
        let value = match &self.kind {
            ArgKind::Word => String::new(),
            ArgKind::OneOf(choices) => joined(choices, " | "),
            ArgKind::Block(parts) => joined(parts, " "),
            _ => self.name.clone(),
        };
        let mut form = match self.token {
            Some(token) if value.is_empty() => token.to_owned(),
            Some(token) => format!("{token} {value}"),
            None => value,
        };
        if self.repeated {
            return format!("[{form}]...");
        }
        if self.multiple {
            form = format!("{form} [{form} ...]");
        }
        if self.optional {
            form = format!("[{form}]");
        }
        form
    }
}

/// A syntax as the server, its clients and its users are told.
#[derive(Debug, Default)]
pub struct Description {
    pub(super) args: Vec<ArgDoc>,
    pub(super) keys: Vec<KeySpec>,
    /// Words that have to be there, the name not included.
    least: usize,
    /// Whether more may follow.
    open: bool,
}

impl Description {
    /// Adds the next parameter.
    pub fn parameter(&mut self, parameter: &impl Parameter) {
        let at = Place::At(self.least + 1);
        let docs = parameter.describe(at, self);
        self.args.extend(docs);
        let width = parameter.width();
        self.least += width.least;
        self.open |= width.open;
    }

    /// Adds an option.
    pub fn clause(&mut self, clause: &impl Clause) {
        let from = self.least + 1;
        let doc = clause.describe(from, self);
        self.args.push(doc);
        self.open = true;
    }

    /// Adds a key specification, or makes the last one longer by one key; its number.
    fn key(&mut self, place: Place, count: KeyCount, usage: KeyUsage) -> usize {
        if let (Some(last), Place::At(at), KeyCount::Fixed(1)) =
            (self.keys.last_mut(), place, count)
            && let (Place::At(first), KeyCount::Fixed(n)) = (last.place, last.count)
            && last.usage == usage
            && first + n == at
        {
            last.count = KeyCount::Fixed(n + 1);
        } else {
            self.keys.push(KeySpec {
                place,
                count,
                usage,
            });
        }
        self.keys.len() - 1
    }

    /// Of a command that is nothing without a subcommand behind it.
    pub(super) fn of_container() -> Description {
        Description {
            least: 1,
            open: true,
            ..Description::default()
        }
    }

    /// Number of words, the name included; negative for "at least".
    pub fn arity(&self) -> i32 {
        let words = self.least as i32 + 1;
        if self.open { -words } else { words }
    }

    /// Servers check ACL rules by the key specifications, but find the slots of a cluster by ranges of
    /// positions alone. A command whose keys are not one is asked where they are.
    pub(super) fn needs_asking(&self) -> bool {
        self.keys
            .iter()
            .any(|spec| spec.count == KeyCount::Numbered || matches!(spec.place, Place::Behind(..)))
    }

    /// The same behind one more word, of whose keys only the first is told.
    fn any_slots(mut self) -> Description {
        fn to_first(docs: &mut [ArgDoc]) {
            for doc in docs {
                match &mut doc.kind {
                    ArgKind::Key(spec) => *spec = 0,
                    ArgKind::OneOf(parts) | ArgKind::Block(parts) => to_first(parts),
                    _ => {}
                }
            }
        }
        to_first(&mut self.args);
        self.keys.truncate(1);
        for spec in &mut self.keys {
            let number = usize::from(spec.count == KeyCount::Numbered);
            let at = match spec.place {
                Place::At(at) => at,
                Place::Behind(_, from) => from + 1,
            };
            spec.place = Place::At(at + number + 1);
            spec.count = KeyCount::Fixed(1);
        }
        self.least += 1;
        self
    }

    /// The options that name keys, where no key stands before them.
    fn leading_options(&self) -> Vec<&'static str> {
        let words = self.keys.iter().map_while(|spec| match spec.place {
            Place::Behind(word, _) => Some(word),
            Place::At(_) => None,
        });
        words.collect()
    }

    /// As a person writes it.
    pub fn form(&self, command: &str) -> String {
        let words = self.args.iter().map(ArgDoc::form);
        std::iter::once(command.to_owned())
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// How many words a parameter is.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    least: usize,
    open: bool,
}

impl Width {
    const NONE: Width = Width {
        least: 0,
        open: false,
    };

    const ONE: Width = Width {
        least: 1,
        open: false,
    };

    /// One or more. Of `numkeys key ...` it is the number that has to be there: that the keys are
    /// missing is told in our own words.
    const SOME: Width = Width {
        least: 1,
        open: true,
    };
}

// ---------------------------------------------------------------------------------------------------------
// Parameters: what stands in a fixed order
// ---------------------------------------------------------------------------------------------------------

/// A value among the arguments.
pub trait Parameter {
    /// What is read.
    type Value<'a>;

    /// How many words it is.
    fn width(&self) -> Width {
        Width::ONE
    }

    /// Its documentation; keys are added to `to`.
    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc>;

    /// Reads it.
    fn read<'a>(&self, args: &mut Args<'a>) -> Result<Self::Value<'a>, CommandError>;
}

/// One key.
pub struct Key(pub &'static str, pub KeyUsage);

impl Parameter for Key {
    type Value<'a> = Arg<'a>;

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        let spec = to.key(place, KeyCount::Fixed(1), self.1);
        vec![ArgDoc::new(self.0, ArgKind::Key(spec))]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<Arg<'a>, CommandError> {
        let found = args.take(1).ok_or(CommandError::Arity)?;
        args.note(found, self.1);
        found.only().ok_or(CommandError::Arity)
    }
}

/// One key, whose name is kept: for an [`Alternative`], of which nothing lasts as long as the arguments do.
pub struct OwnedKey(pub Key);

impl Parameter for OwnedKey {
    type Value<'a> = Vec<u8>;

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        self.0.describe(place, to)
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<Vec<u8>, CommandError> {
        self.0.read(args).map(|key| key.bytes().to_vec())
    }
}

/// One or more keys, to the end.
pub struct Keys(pub &'static str, pub KeyUsage);

impl Parameter for Keys {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width::SOME
    }

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        let spec = to.key(place, KeyCount::ToTheEnd, self.1);
        vec![ArgDoc::new(self.0, ArgKind::Key(spec)).multiple()]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        let found = args.rest()?;
        args.note(found, self.1);
        Ok(found)
    }
}

/// `numkeys key [key ...]`.
pub struct NumberedKeys {
    /// Of a key in the documentation.
    pub name: &'static str,
    /// What happens to them.
    pub usage: KeyUsage,
}

impl Parameter for NumberedKeys {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width::SOME
    }

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        let spec = to.key(place, KeyCount::Numbered, self.usage);
        vec![
            ArgDoc::new("numkeys", ArgKind::Integer),
            ArgDoc::new(self.name, ArgKind::Key(spec)).multiple(),
        ]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        let missing = |_| CommandError::form("numkeys is missing");
        let number = args.count().map_err(missing)?.map_err(|given| {
            CommandError::form(format_args!(
                "numkeys must be a whole number from 1 on, got '{}'",
                given.shown()
            ))
        })?;
        let left = args.remaining();
        let found = args.take(number).ok_or_else(|| {
            CommandError::form(format_args!(
                "numkeys is {number} and {left} arguments follow, give that many keys"
            ))
        })?;
        args.note(found, self.usage);
        args.counted(found);
        Ok(found)
    }
}

/// `key | WORD key`: a key of one kind, or of another kind behind a word.
pub struct KeyOrBehind {
    /// Of the key without a word, in the documentation.
    pub name: &'static str,
    /// What stands before a key of the other kind.
    pub word: &'static str,
    /// Of that one, in the documentation.
    pub other: &'static str,
    /// What happens to either.
    pub usage: KeyUsage,
}

/// Which of the two it was.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// The key alone.
    Key(Arg<'a>),
    /// The key behind the word.
    Behind(Arg<'a>),
}

impl Parameter for KeyOrBehind {
    type Value<'a> = Subject<'a>;

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        let from = match place {
            Place::At(at) | Place::Behind(_, at) => at,
        };
        let alone = Key(self.name, self.usage).describe(place, to);
        let behind = Key(self.other, self.usage).describe(Place::Behind(self.word, from), to);
        let mut choices = alone;
        choices.push(ArgDoc::all_behind(self.word, behind));
        vec![ArgDoc::new(self.name, ArgKind::OneOf(choices))]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<Subject<'a>, CommandError> {
        let behind = args.skip_word(self.word);
        let key = Key(self.other, self.usage).read(args)?;
        Ok(if behind {
            Subject::Behind(key)
        } else {
            Subject::Key(key)
        })
    }
}

/// No word at all, for a syntax of which nothing lasts as long as the arguments do.
pub struct Nothing;

impl Parameter for Nothing {
    type Value<'a> = PhantomData<&'a ()>;

    fn width(&self) -> Width {
        Width::NONE
    }

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        Vec::new()
    }

    fn read<'a>(&self, _: &mut Args<'a>) -> Result<PhantomData<&'a ()>, CommandError> {
        Ok(PhantomData)
    }
}

/// Any bytes.
pub struct Bytes(pub &'static str);

impl Parameter for Bytes {
    type Value<'a> = Arg<'a>;

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        vec![ArgDoc::new(self.0, ArgKind::String)]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<Arg<'a>, CommandError> {
        args.next()
    }
}

/// One or more of any bytes, to the end.
pub struct BytesToTheEnd(pub &'static str);

impl Parameter for BytesToTheEnd {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width::SOME
    }

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        vec![ArgDoc::new(self.0, ArgKind::String).multiple()]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        args.rest()
    }
}

/// A whole number in a range.
pub struct Integer(pub &'static str, pub RangeInclusive<i64>);

impl Parameter for Integer {
    type Value<'a> = i64;

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        vec![ArgDoc::new(self.0, ArgKind::Integer)]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<i64, CommandError> {
        args.integer(self.0, self.1.clone())
    }
}

/// A number in a range.
pub struct Number(pub &'static str, pub RangeInclusive<f64>);

impl Parameter for Number {
    type Value<'a> = f64;

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        vec![ArgDoc::new(self.0, ArgKind::Double)]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<f64, CommandError> {
        args.number(self.0, self.1.clone())
    }
}

/// Something that is one of some words.
pub trait Word: Copy + 'static {
    /// All of them, in upper case.
    const ALL: &'static [(&'static str, Self)];
}

/// Which of the words an argument is, in any case.
pub(super) fn find_word<W: Word>(arg: Arg) -> Option<usize> {
    W::ALL.iter().position(|(word, _)| arg.is_word(word))
}

fn words<W: Word>() -> Vec<&'static str> {
    W::ALL.iter().map(|&(word, _)| word).collect()
}

fn word_docs<W: Word>(name: &str) -> ArgDoc {
    let choices = words::<W>().into_iter().map(ArgDoc::word).collect();
    ArgDoc::new(name, ArgKind::OneOf(choices))
}

/// One of some words.
pub struct Choice<W>(pub &'static str, pub PhantomData<W>);

impl<W: Word> Choice<W> {
    /// Called so in the documentation and in errors.
    pub const fn new(name: &'static str) -> Choice<W> {
        Choice(name, PhantomData)
    }
}

impl<W: Word> Parameter for Choice<W> {
    type Value<'a> = W;

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        vec![word_docs::<W>(self.0)]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<W, CommandError> {
        let given = args.next()?;
        find_word::<W>(given)
            .map(|found| W::ALL[found].1)
            .ok_or_else(|| {
                CommandError::invalid(format_args!(
                    "{} must be {}, got '{}'",
                    self.0,
                    words::<W>().join(" or "),
                    given.shown()
                ))
            })
    }
}

/// Something that a function reads from one argument.
pub struct Parsed<T> {
    /// In the documentation and in errors.
    pub name: &'static str,
    /// `None` for what it is not.
    pub read: fn(&[u8]) -> Option<T>,
    /// What it has to be, for errors.
    pub right: &'static str,
}

impl<T> Parameter for Parsed<T> {
    type Value<'a> = T;

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        vec![ArgDoc::new(self.name, ArgKind::String)]
    }

    #[inline]
    fn read<'a>(&self, args: &mut Args<'a>) -> Result<T, CommandError> {
        let given = args.next()?;
        (self.read)(given.bytes()).ok_or_else(|| {
            CommandError::invalid(format_args!(
                "{} must be {}, got '{}'",
                self.name,
                self.right,
                given.shown()
            ))
        })
    }
}

/// A syntax as a part of another one: its parameters and its options. It names no keys.
pub struct Block<S>(PhantomData<fn() -> S>);

impl<S> Block<S> {
    /// Of this syntax.
    #[expect(clippy::new_without_default, reason = "to be used in a constant")]
    pub const fn new() -> Block<S> {
        Block(PhantomData)
    }
}

impl<S: Syntax> Parameter for Block<S> {
    type Value<'a> = S::Value<'a>;

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        S::describe().args
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<S::Value<'a>, CommandError> {
        S::read_part(args, |_| Ok(()))
    }
}

/// The syntax of a command as that of a subcommand whose keys may lie in any slots of a cluster. Servers and clients are told
/// of the first key only: by it the command finds its way, and no server refuses it for the others. Read, it is all
/// arguments and what they say.
pub struct AnySlots<S>(PhantomData<fn() -> S>);

impl<S: Syntax> Syntax for AnySlots<S> {
    type Value<'a> = (ArgList<'a>, S::Value<'a>);

    fn describe() -> Description {
        S::describe().any_slots()
    }

    fn words() -> Vec<&'static str> {
        S::words()
    }

    fn read_part<'a>(args: &mut Args<'a>, end: End<'a>) -> Result<Self::Value<'a>, CommandError> {
        let all = args.left();
        let leading = S::describe().leading_options();
        // The place of the first key has been told.
        if let Some(first) = args.peek()
            && !leading.is_empty()
            && !leading.iter().any(|word| first.is_word(word))
            && S::words().iter().any(|word| first.is_word(word))
        {
            return Err(CommandError::invalid(format_args!(
                "the first option must be one that names keys, begin with {}",
                leading.join(" or ")
            )));
        }
        Ok((all, S::read_part(args, end)?))
    }
}

/// All arguments of the command, those included that others read; no word of its own. To be declared first.
pub struct AllArguments;

impl Parameter for AllArguments {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width::NONE
    }

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        Vec::new()
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        Ok(args.left())
    }
}

/// `numnames name [name ...]`: so many of any bytes, as a number in front of them says.
pub struct Counted(pub &'static str, pub RangeInclusive<i64>);

impl Parameter for Counted {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width::SOME
    }

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        let some = ArgDoc::new(self.0, ArgKind::String).multiple();
        let some = if *self.1.start() == 0 {
            some.optional()
        } else {
            some
        };
        vec![ArgDoc::new(&self.number(), ArgKind::Integer), some]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        let number = args.integer(&self.number(), self.1.clone())?;
        let left = args.remaining();
        args.take(number as usize).ok_or_else(|| {
            CommandError::invalid(format_args!(
                "{} is {number} and {left} arguments follow, give that many",
                self.number()
            ))
        })
    }
}

impl Counted {
    fn number(&self) -> String {
        format!("num{}s", self.0)
    }
}

/// `name [name ...]`: one, and more as long as a function takes them for one and there are not too many.
pub struct Few {
    /// In the documentation.
    pub name: &'static str,
    /// How many at most.
    pub most: usize,
    /// Whether a word may be one, and not the beginning of what comes next.
    pub fits: fn(&[u8]) -> bool,
}

impl Parameter for Few {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width::SOME
    }

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        vec![ArgDoc::new(self.name, ArgKind::String).multiple()]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        let more = args.left().iter().skip(1).take(self.most - 1);
        let more = more.take_while(|word| (self.fits)(word.bytes())).count();
        args.take(1 + more).ok_or(CommandError::Arity)
    }
}

/// `value | WORD numvalues value [value ...]`: a value, or several behind one of some words.
pub struct OneOrSeveral<W>(
    pub &'static str,
    pub RangeInclusive<i64>,
    pub PhantomData<W>,
);

impl<W: Word> Parameter for OneOrSeveral<W> {
    type Value<'a> = (Option<W>, ArgList<'a>);

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        let mut choices = vec![ArgDoc::new(self.0, ArgKind::String)];
        for (word, _) in W::ALL {
            let several = Counted(self.0, self.1.clone()).describe(place, to);
            choices.push(ArgDoc::all_behind(word, several));
        }
        vec![ArgDoc::new(self.0, ArgKind::OneOf(choices))]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<Self::Value<'a>, CommandError> {
        let Some(word) = args.peek().and_then(find_word::<W>) else {
            let alone = args.take(1).ok_or(CommandError::Arity)?;
            return Ok((None, alone));
        };
        args.next()?;
        let several = Counted(self.0, self.1.clone()).read(args);
        let (word, which) = W::ALL[word];
        let several = several.map_err(|error| without_value(word, error))?;
        Ok((Some(which), several))
    }
}

/// `[name value ...]`: pairs, to the end.
pub struct Pairs(pub &'static str, pub &'static str);

impl Parameter for Pairs {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width {
            least: 0,
            open: true,
        }
    }

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        let docs = [self.0, self.1].map(|name| ArgDoc::new(name, ArgKind::String));
        let pair = ArgDoc::new(self.0, ArgKind::Block(docs.to_vec()));
        vec![pair.multiple().optional()]
    }

    #[inline]
    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        let found = args.take_all();
        if found.len().is_multiple_of(2) {
            return Ok(found);
        }
        Err(CommandError::form(format_args!(
            "the last {} is without its {}",
            self.0, self.1
        )))
    }
}

/// Rows, to the end; of each row these words, the last any number of times.
pub struct Rows(pub &'static [&'static str]);

impl Parameter for Rows {
    type Value<'a> = ArgList<'a>;

    fn width(&self) -> Width {
        Width {
            least: self.0.len() - 1,
            open: true,
        }
    }

    fn describe(&self, _: Place, _: &mut Description) -> Vec<ArgDoc> {
        let docs = self.0.iter().map(|name| ArgDoc::new(name, ArgKind::String));
        let mut docs: Vec<ArgDoc> = docs.collect();
        if let Some(last) = docs.pop() {
            docs.push(last.multiple().optional());
        }
        vec![ArgDoc::new("row", ArgKind::Block(docs)).multiple()]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<ArgList<'a>, CommandError> {
        args.rest()
    }
}

/// A word that has to be there, and a value.
pub struct After<P>(pub &'static str, pub P);

impl<P: Parameter> Parameter for After<P> {
    type Value<'a> = P::Value<'a>;

    fn width(&self) -> Width {
        let width = self.1.width();
        Width {
            least: width.least + 1,
            ..width
        }
    }

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        let place = match place {
            Place::At(at) => Place::At(at + 1),
            Place::Behind(..) => place,
        };
        let docs = self.1.describe(place, to);
        vec![ArgDoc::all_behind(self.0, docs)]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<P::Value<'a>, CommandError> {
        let given = args.next()?;
        if given.is_word(self.0) {
            return self.1.read(args);
        }
        let docs = self.1.describe(Place::At(0), &mut Description::default());
        let value = docs.first().map_or("value", |doc| &doc.name);
        Err(CommandError::invalid(format_args!(
            "the word before the {value} must be {}, got '{}'",
            self.0,
            given.shown()
        )))
    }
}

/// `WORD | WORD value | WORD value`: a word alone, or one of two that values stand behind.
pub struct OneOfThree<P, Q> {
    /// In the documentation.
    pub name: &'static str,
    /// The word alone.
    pub alone: &'static str,
    /// Another one and its value.
    pub second: (&'static str, P),
    /// See `second`.
    pub third: (&'static str, Q),
}

/// Which of three it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Three<A, B> {
    /// The word alone.
    Alone,
    /// The value of the second.
    Second(A),
    /// That of the third.
    Third(B),
}

impl<P: Parameter, Q: Parameter> Parameter for OneOfThree<P, Q> {
    type Value<'a> = Three<P::Value<'a>, Q::Value<'a>>;

    fn width(&self) -> Width {
        Width::SOME
    }

    fn describe(&self, place: Place, to: &mut Description) -> Vec<ArgDoc> {
        let second = self.second.1.describe(place, to);
        let third = self.third.1.describe(place, to);
        let choices = vec![
            ArgDoc::word(self.alone),
            ArgDoc::all_behind(self.second.0, second),
            ArgDoc::all_behind(self.third.0, third),
        ];
        vec![ArgDoc::new(self.name, ArgKind::OneOf(choices))]
    }

    fn read<'a>(&self, args: &mut Args<'a>) -> Result<Self::Value<'a>, CommandError> {
        let given = args.next()?;
        match () {
            () if given.is_word(self.alone) => Ok(Three::Alone),
            () if given.is_word(self.second.0) => self.second.1.read(args).map(Three::Second),
            () if given.is_word(self.third.0) => self.third.1.read(args).map(Three::Third),
            () => Err(CommandError::invalid(format_args!(
                "{} must be {}, {} or {}, got '{}'",
                self.name,
                self.alone,
                self.second.0,
                self.third.0,
                given.shown()
            ))),
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// Clauses: what stands behind words, in any order
// ---------------------------------------------------------------------------------------------------------

/// An option of a command.
pub trait Clause {
    /// What has been read of it.
    type Slot<'a>: Default;
    /// What it comes to.
    type Value<'a>;

    /// The words that it begins with.
    fn words(&self) -> Vec<&'static str>;

    /// Its documentation; keys are added to `to`. Options stand from this position on.
    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc;

    /// Reads it if the next word is one of its own; whether it was.
    fn take<'a>(
        &self,
        args: &mut Args<'a>,
        slot: &mut Self::Slot<'a>,
    ) -> Result<bool, CommandError>;

    /// The value when everything was read.
    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError>;
}

pub(super) fn given_twice(word: &str) -> CommandError {
    CommandError::invalid(format_args!("option {word} is given twice, give it once"))
}

pub(super) fn without_value(word: &str, error: CommandError) -> CommandError {
    match error {
        CommandError::Arity => {
            CommandError::invalid(format_args!("option {word} is without its value, give one"))
        }
        other => other,
    }
}

pub(super) fn unknown_option(word: Arg, known: &[&str]) -> CommandError {
    CommandError::invalid(format_args!(
        "unknown option '{}', known here: {}",
        word.shown(),
        known.join(", ")
    ))
}

/// `[WORD value]`
pub struct Optional<P>(pub &'static str, pub P);

impl<P: Parameter> Clause for Optional<P> {
    type Slot<'a> = Option<P::Value<'a>>;
    type Value<'a> = Option<P::Value<'a>>;

    fn words(&self) -> Vec<&'static str> {
        vec![self.0]
    }

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        let docs = self.1.describe(Place::Behind(self.0, from), to);
        ArgDoc::all_behind(self.0, docs).optional()
    }

    fn take<'a>(
        &self,
        args: &mut Args<'a>,
        slot: &mut Self::Slot<'a>,
    ) -> Result<bool, CommandError> {
        if !args.skip_word(self.0) {
            return Ok(false);
        }
        if slot.is_some() {
            return Err(given_twice(self.0));
        }
        let value = self.1.read(args);
        *slot = Some(value.map_err(|error| without_value(self.0, error))?);
        Ok(true)
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        Ok(slot)
    }
}

/// `[WORD value]...`: any number of them, in the order in which they are given.
pub struct Repeated<P>(pub &'static str, pub P);

impl<P: Parameter> Clause for Repeated<P> {
    type Slot<'a> = Vec<P::Value<'a>>;
    type Value<'a> = Vec<P::Value<'a>>;

    fn words(&self) -> Vec<&'static str> {
        vec![self.0]
    }

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        let docs = self.1.describe(Place::Behind(self.0, from), to);
        ArgDoc::all_behind(self.0, docs).optional().repeated()
    }

    fn take<'a>(
        &self,
        args: &mut Args<'a>,
        slot: &mut Self::Slot<'a>,
    ) -> Result<bool, CommandError> {
        if !args.skip_word(self.0) {
            return Ok(false);
        }
        let value = self.1.read(args);
        slot.push(value.map_err(|error| without_value(self.0, error))?);
        Ok(true)
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        Ok(slot)
    }
}

/// A clause that is another one (its first field) with another end.
macro_rules! like_optional {
    () => {
        fn words(&self) -> Vec<&'static str> {
            self.0.words()
        }

        fn take<'a>(
            &self,
            args: &mut Args<'a>,
            slot: &mut Self::Slot<'a>,
        ) -> Result<bool, CommandError> {
            self.0.take(args, slot)
        }
    };
}

/// `[WORD value]`, with a value for where it is left out.
pub struct Defaulted<P, V>(pub Optional<P>, pub V);

impl<P: Parameter, V: Clone> Clause for Defaulted<P, V>
where
    P: for<'a> Parameter<Value<'a> = V>,
{
    type Slot<'a> = Option<V>;
    type Value<'a> = V;

    like_optional!();

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        self.0.describe(from, to)
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        Ok(slot.unwrap_or_else(|| self.1.clone()))
    }
}

/// `WORD value`, which has to be there, wherever it stands.
pub struct Required<P>(pub Optional<P>);

impl<P: Parameter> Clause for Required<P> {
    type Slot<'a> = Option<P::Value<'a>>;
    type Value<'a> = P::Value<'a>;

    like_optional!();

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        let mut doc = self.0.describe(from, to);
        doc.optional = false;
        doc
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        slot.ok_or_else(|| CommandError::form(format_args!("{} is missing", self.0.0)))
    }
}

/// `[WORD]`
pub struct Flag(pub &'static str);

impl Clause for Flag {
    type Slot<'a> = bool;
    type Value<'a> = bool;

    fn words(&self) -> Vec<&'static str> {
        vec![self.0]
    }

    fn describe(&self, _: usize, _: &mut Description) -> ArgDoc {
        ArgDoc::word(self.0).optional()
    }

    fn take<'a>(&self, args: &mut Args<'a>, slot: &mut bool) -> Result<bool, CommandError> {
        if !args.skip_word(self.0) {
            return Ok(false);
        }
        if std::mem::replace(slot, true) {
            return Err(given_twice(self.0));
        }
        Ok(true)
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        Ok(slot)
    }
}

/// `[WORD value | WORD value]`: one of several, which make the same kind of thing.
pub struct OneOf<T: 'static> {
    /// In the documentation.
    pub name: &'static str,
    /// The several.
    pub alternatives: &'static [&'static dyn Alternative<T>],
    /// Why there can be only one.
    pub conflict: &'static str,
}

/// One of several; see [`OneOf`].
pub trait Alternative<T>: Sync {
    /// The word that it begins with.
    fn word(&self) -> &'static str;

    /// Its documentation.
    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc;

    /// What is made of its value.
    fn read(&self, args: &mut Args) -> Result<T, CommandError>;
}

/// `WORD value`, and what is made of the value.
pub struct Made<P, V, T>(pub &'static str, pub P, pub fn(V) -> T);

impl<P, V, T> Alternative<T> for Made<P, V, T>
where
    P: for<'a> Parameter<Value<'a> = V> + Sync,
{
    fn word(&self) -> &'static str {
        self.0
    }

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        let docs = self.1.describe(Place::Behind(self.0, from), to);
        ArgDoc::all_behind(self.0, docs)
    }

    fn read(&self, args: &mut Args) -> Result<T, CommandError> {
        self.1.read(args).map(self.2)
    }
}

/// `WORD` and a [`Block`], and what is made of it.
pub struct MadeOfBlock<S: Syntax, T>(
    pub &'static str,
    pub for<'a> fn(<S as Syntax>::Value<'a>) -> T,
);

impl<S: Syntax, T> Alternative<T> for MadeOfBlock<S, T> {
    fn word(&self) -> &'static str {
        self.0
    }

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        let docs = Block::<S>::new().describe(Place::Behind(self.0, from), to);
        ArgDoc::all_behind(self.0, docs)
    }

    fn read(&self, args: &mut Args) -> Result<T, CommandError> {
        Block::<S>::new().read(args).map(self.1)
    }
}

impl<T> Clause for OneOf<T> {
    type Slot<'a> = Option<(usize, T)>;
    type Value<'a> = Option<T>;

    fn words(&self) -> Vec<&'static str> {
        self.alternatives.iter().map(|one| one.word()).collect()
    }

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        let docs = self.alternatives.iter().map(|one| one.describe(from, to));
        ArgDoc::new(self.name, ArgKind::OneOf(docs.collect())).optional()
    }

    fn take<'a>(
        &self,
        args: &mut Args<'a>,
        slot: &mut Option<(usize, T)>,
    ) -> Result<bool, CommandError> {
        let found = self
            .alternatives
            .iter()
            .position(|one| args.skip_word(one.word()));
        let Some(found) = found else {
            return Ok(false);
        };
        let one = self.alternatives[found];
        match slot {
            Some((before, _)) if *before == found => return Err(given_twice(one.word())),
            Some(_) => return Err(CommandError::invalid(self.conflict)),
            None => {}
        }
        let value = one.read(args);
        *slot = Some((
            found,
            value.map_err(|error| without_value(one.word(), error))?,
        ));
        Ok(true)
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        Ok(slot.map(|(_, value)| value))
    }
}

/// `WORD value | WORD value`: one of several, one of which has to be there.
pub struct OneRequired<T: 'static>(pub OneOf<T>);

impl<T> Clause for OneRequired<T> {
    type Slot<'a> = Option<(usize, T)>;
    type Value<'a> = T;

    like_optional!();

    fn describe(&self, from: usize, to: &mut Description) -> ArgDoc {
        let mut doc = self.0.describe(from, to);
        doc.optional = false;
        doc
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        let missing = || {
            let words = self.0.words().join(" or ");
            CommandError::form(format_args!("{words} is missing"))
        };
        slot.map(|(_, value)| value).ok_or_else(missing)
    }
}

/// `[WORD | WORD]`: one of several words that exclude each other.
pub struct OneWord<W> {
    /// In the documentation.
    pub name: &'static str,
    /// Why there can be only one.
    pub conflict: &'static str,
    /// The words.
    pub words: PhantomData<W>,
}

impl<W: Word> Clause for OneWord<W> {
    type Slot<'a> = Option<W>;
    type Value<'a> = Option<W>;

    fn words(&self) -> Vec<&'static str> {
        words::<W>()
    }

    fn describe(&self, _: usize, _: &mut Description) -> ArgDoc {
        word_docs::<W>(self.name).optional()
    }

    fn take<'a>(&self, args: &mut Args<'a>, slot: &mut Option<W>) -> Result<bool, CommandError> {
        let Some(found) = args.peek().and_then(find_word::<W>) else {
            return Ok(false);
        };
        args.next()?;
        if slot.replace(W::ALL[found].1).is_some() {
            return Err(CommandError::invalid(self.conflict));
        }
        Ok(true)
    }

    fn finish<'a>(&self, slot: Self::Slot<'a>) -> Result<Self::Value<'a>, CommandError> {
        Ok(slot)
    }
}
