//! The arguments of a command, in place and in order.

use super::error::{CommandError, printable};
use super::string_bytes;
use super::syntax::{Description, KeyUsage, unknown_option};
use redis_module::raw::RedisModuleString;
use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::slice;
use std::str::FromStr;

/// One argument, borrowed from the server for the length of the call.
#[derive(Clone, Copy)]
pub struct Arg<'a> {
    string: *mut RedisModuleString,
    position: i32,
    call: PhantomData<&'a ()>,
}

impl<'a> Arg<'a> {
    /// Its bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        // SAFETY: the string lives as long as the call ('a), and nobody changes it.
        unsafe { string_bytes(self.string) }
    }

    /// Its place among the words of the command, the name being 0.
    pub(super) fn position(self) -> i32 {
        self.position
    }

    /// The server's own handle.
    pub(super) fn string(self) -> *mut RedisModuleString {
        self.string
    }

    /// For error messages.
    pub fn shown(self) -> String {
        printable(self.bytes(), 64)
    }

    /// Whether it is this word, in any case.
    pub fn is_word(self, word: &str) -> bool {
        self.bytes().eq_ignore_ascii_case(word.as_bytes())
    }

    fn parse<T: FromStr>(self) -> Option<T> {
        std::str::from_utf8(self.bytes()).ok()?.parse().ok()
    }
}

/// Some arguments that stand together.
#[derive(Clone, Copy, Default)]
pub struct ArgList<'a> {
    strings: &'a [*mut RedisModuleString],
    /// The place of the first of them; see [`Arg::position`].
    position: i32,
}

impl<'a> ArgList<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.strings.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.strings.is_empty()
    }

    /// In their order.
    pub fn iter(self) -> impl Iterator<Item = Arg<'a>> + use<'a> {
        (self.position..)
            .zip(self.strings)
            .map(|(position, &string)| Arg {
                string,
                position,
                call: PhantomData,
            })
    }

    /// Rows of so many, in their order; the last may be shorter.
    pub fn rows(self, width: usize) -> impl Iterator<Item = ArgList<'a>> {
        let positions = (self.position..).step_by(width);
        positions
            .zip(self.strings.chunks(width))
            .map(|(position, strings)| ArgList { strings, position })
    }

    /// The one that there is, if there is only one.
    pub fn only(self) -> Option<Arg<'a>> {
        self.iter().next().filter(|_| self.len() == 1)
    }
}

/// The arguments that have not been read yet.
pub struct Args<'a> {
    rest: ArgList<'a>,
    /// The keys among those that have been read, where the server only wants to know these.
    keys: Option<Vec<(Arg<'a>, KeyUsage)>>,
    /// Those that a number in front of them said were keys.
    counted: ArgList<'a>,
}

impl<'a> Args<'a> {
    /// All arguments behind the command's name, which is so many words.
    ///
    /// # Safety
    /// `argv` and `argc` are what the server called the command with, and 'a ends with the call.
    pub(super) unsafe fn new(
        argv: *mut *mut RedisModuleString,
        argc: i32,
        words: usize,
    ) -> Args<'a> {
        // SAFETY: by the caller; a command's name is always there.
        let mut args = unsafe { Self::without_name(argv.add(words), argc - words as i32) };
        args.rest.position = words as i32;
        args
    }

    /// All arguments, where no command's name stands before them.
    ///
    /// # Safety
    /// As for [`Args::new`]. `argv` may be null where `argc` is 0.
    pub(super) unsafe fn without_name(argv: *mut *mut RedisModuleString, argc: i32) -> Args<'a> {
        let strings = if argc > 0 {
            // SAFETY: by the caller.
            unsafe { slice::from_raw_parts(argv, argc as usize) }
        } else {
            &[]
        };
        Args {
            rest: ArgList {
                strings,
                position: 1,
            },
            keys: None,
            counted: ArgList::default(),
        }
    }

    /// From here on notes which arguments are keys.
    pub(super) fn note_keys(&mut self) {
        self.keys = Some(Vec::new());
    }

    /// The keys that were noted.
    pub(super) fn noted_keys(self) -> Vec<(Arg<'a>, KeyUsage)> {
        self.keys.unwrap_or_default()
    }

    pub(super) fn note(&mut self, found: ArgList<'a>, usage: KeyUsage) {
        if let Some(keys) = &mut self.keys {
            keys.extend(found.iter().map(|key| (key, usage)));
        }
    }

    /// These are keys because a number in front of them said so.
    pub(super) fn counted(&mut self, found: ArgList<'a>) {
        self.counted = found;
    }

    /// What is wrong with a word that is none of an option's. Where keys are counted, perhaps the number
    /// was too large and an option was taken for a key, or it was forgotten: the form tells.
    pub fn unknown_option(
        &self,
        word: Arg,
        known: &[&str],
        description: &Description,
    ) -> CommandError {
        let taken = |key: &Arg| known.iter().any(|option| key.is_word(option));
        match self.counted.iter().find(taken) {
            Some(key) => CommandError::form(format_args!(
                "numkeys is {}, so '{}' was read as a key and '{}' as an option",
                self.counted.len(),
                key.shown(),
                word.shown()
            )),
            None if description.needs_asking() => {
                CommandError::form(unknown_option(word, known).text())
            }
            None => unknown_option(word, known),
        }
    }

    /// All that are left; at least one.
    pub fn rest(&mut self) -> Result<ArgList<'a>, CommandError> {
        match self.take(self.remaining()) {
            Some(rest) if !rest.is_empty() => Ok(rest),
            _ => Err(CommandError::Arity),
        }
    }

    /// All that are left, without reading them.
    pub fn left(&self) -> ArgList<'a> {
        self.rest
    }

    /// All that are left; none where there are none.
    pub fn take_all(&mut self) -> ArgList<'a> {
        let end = self.rest.position + self.rest.len() as i32;
        let none = ArgList {
            strings: &[],
            position: end,
        };
        std::mem::replace(&mut self.rest, none)
    }

    /// The next argument, if there is one, without reading it.
    #[inline]
    pub fn peek(&self) -> Option<Arg<'a>> {
        self.rest.iter().next()
    }

    /// Reads the next argument if it is this word, in any case; whether it was.
    #[inline]
    pub fn skip_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|next| next.is_word(word));
        if found {
            self.next_word();
        }
        found
    }

    /// How many are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next argument, whatever it is.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error at the end, not None"
    )]
    pub fn next(&mut self) -> Result<Arg<'a>, CommandError> {
        self.next_word().ok_or(CommandError::Arity)
    }

    /// The next argument, if there is one.
    pub fn next_word(&mut self) -> Option<Arg<'a>> {
        let (&string, strings) = self.rest.strings.split_first()?;
        let position = self.rest.position;
        self.rest = ArgList {
            strings,
            position: position + 1,
        };
        Some(Arg {
            string,
            position,
            call: PhantomData,
        })
    }

    /// The next so many; `None` if there are fewer.
    pub fn take(&mut self, number: usize) -> Option<ArgList<'a>> {
        let (taken, strings) = self.rest.strings.split_at_checked(number)?;
        let position = self.rest.position;
        self.rest = ArgList {
            strings,
            position: position + number as i32,
        };
        Some(ArgList {
            strings: taken,
            position,
        })
    }

    /// The next argument as a number in a range. NaN is in no range, and minus zero is zero.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Result<f64, CommandError> {
        Ok(self.in_range(name, range)? + 0.0)
    }

    /// The next argument as a whole number in a range.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Result<i64, CommandError> {
        self.in_range(name, range)
    }

    fn in_range<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<T, CommandError> {
        let arg = self.next()?;
        arg.parse().filter(|n| range.contains(n)).ok_or_else(|| {
            CommandError::invalid(format_args!(
                "{name} must be {} to {}, got {}",
                range.start(),
                range.end(),
                arg.shown()
            ))
        })
    }

    /// The next argument as a whole number from 1 on.
    pub(super) fn count(&mut self) -> Result<Result<usize, Arg<'a>>, CommandError> {
        let arg = self.next()?;
        Ok(arg.parse().filter(|&n| n > 0).ok_or(arg))
    }
}
