//! The arguments of a command, read in order and in place.
//!
//! A command's syntax is the sequence of calls it makes here: the next key, the next number in a
//! range, then option words until none are left. The reader owns all the wording for what can go wrong.

use super::error::{CommandError, printable};
use redis_module::raw::RedisModuleString;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::slice;

/// Of the intervals, where the client asks for no other.
pub const DEFAULT_CONFIDENCE: f64 = 0.95;

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
        let mut len = 0;
        // SAFETY: the string lives as long as the call ('a), and the server gives its true length.
        unsafe {
            let start = api!(RedisModule_StringPtrLen(self.string, &mut len));
            slice::from_raw_parts(start.cast(), len)
        }
    }

    /// Its place among the words of the command, the name being 0.
    pub fn position(self) -> i32 {
        self.position
    }

    /// The server's own handle.
    pub fn string(self) -> *mut RedisModuleString {
        self.string
    }

    /// For error messages.
    pub fn shown(self) -> String {
        printable(self.bytes(), 64)
    }

    fn is_word(self, word: &str) -> bool {
        self.bytes().eq_ignore_ascii_case(word.as_bytes())
    }

    fn parse<T: std::str::FromStr>(self) -> Option<T> {
        std::str::from_utf8(self.bytes()).ok()?.parse().ok()
    }
}

/// The arguments that have not been read yet.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    rest: &'a [*mut RedisModuleString],
    /// The first of them, counted from the command's name.
    position: i32,
}

impl<'a> Args<'a> {
    /// All arguments behind the command's name.
    ///
    /// # Safety
    /// `argv` and `argc` are what the server called the command with, and 'a ends with the call.
    pub unsafe fn new(argv: *mut *mut RedisModuleString, argc: i32) -> Args<'a> {
        // SAFETY: by the caller; a command's name is always there.
        unsafe { Self::without_name(argv.add(1), argc - 1) }
    }

    /// All arguments, where no command's name stands before them.
    ///
    /// # Safety
    /// As for [`Args::new`]. `argv` may be null where `argc` is 0.
    pub unsafe fn without_name(argv: *mut *mut RedisModuleString, argc: i32) -> Args<'a> {
        let rest = if argc > 0 {
            // SAFETY: by the caller.
            unsafe { slice::from_raw_parts(argv, argc as usize) }
        } else {
            &[]
        };
        Args { rest, position: 1 }
    }

    /// The next argument, whatever it is.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error at the end, not None"
    )]
    pub fn next(&mut self) -> Result<Arg<'a>, CommandError> {
        let (&string, rest) = self.rest.split_first().ok_or(CommandError::Arity)?;
        let position = self.position;
        self.rest = rest;
        self.position += 1;
        Ok(Arg {
            string,
            position,
            call: PhantomData,
        })
    }

    /// How many are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The one that is left, if it is only one.
    pub fn only(mut self) -> Option<Arg<'a>> {
        (self.remaining() == 1).then(|| self.next().ok()).flatten()
    }

    /// All that are left; at least one.
    pub fn rest(&mut self) -> Result<impl Iterator<Item = Arg<'a>> + use<'a>, CommandError> {
        if self.rest.is_empty() {
            return Err(CommandError::Arity);
        }
        let first = self.position;
        let rest = std::mem::take(&mut self.rest);
        Ok((first..).zip(rest).map(|(position, &string)| Arg {
            string,
            position,
            call: PhantomData,
        }))
    }

    /// The end of the command.
    pub fn end(&self) -> Result<(), CommandError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CommandError::Arity)
        }
    }

    /// `numkeys key [key ...]`.
    pub fn numbered_keys(&mut self) -> Result<Vec<Arg<'a>>, CommandError> {
        let count = self.next()?;
        let number = count.parse::<usize>().filter(|&n| n > 0).ok_or_else(|| {
            CommandError::invalid(format_args!(
                "numkeys must be a whole number from 1 on, got '{}'",
                count.shown()
            ))
        })?;
        if number > self.rest.len() {
            return Err(CommandError::invalid(format_args!(
                "numkeys is {number} and {} arguments follow, give that many keys",
                self.rest.len()
            )));
        }
        (0..number).map(|_| self.next()).collect()
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Result<i64, CommandError> {
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

    /// A number; NaN is in no range, and minus zero is zero.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Result<f64, CommandError> {
        let arg = self.next()?;
        let number = arg.parse().filter(|n| range.contains(n));
        number.map(|n: f64| n + 0.0).ok_or_else(|| {
            CommandError::invalid(format_args!(
                "{name} must be {} to {}, got {}",
                range.start(),
                range.end(),
                arg.shown()
            ))
        })
    }

    /// One of some words, in any case. Answers the position of the one that was given.
    pub fn word(&mut self, name: &str, words: &[&str]) -> Result<usize, CommandError> {
        let arg = self.next()?;
        words
            .iter()
            .position(|word| arg.is_word(word))
            .ok_or_else(|| {
                CommandError::invalid(format_args!(
                    "{name} must be {}, got '{}'",
                    words.join(" or "),
                    arg.shown()
                ))
            })
    }

    /// The next option, as its position in `words`; `None` at the end.
    pub fn option(&mut self, words: &[&str]) -> Result<Option<usize>, CommandError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let arg = self.next()?;
        match words.iter().position(|word| arg.is_word(word)) {
            Some(found) => Ok(Some(found)),
            None => Err(CommandError::invalid(format_args!(
                "unknown option '{}', known here: {}",
                arg.shown(),
                words.join(", ")
            ))),
        }
    }

    /// Reads an option's value into its place, which must still be empty.
    pub fn option_value<T>(
        &mut self,
        word: &str,
        place: &mut Option<T>,
        read: impl FnOnce(&mut Self) -> Result<T, CommandError>,
    ) -> Result<(), CommandError> {
        if place.is_some() {
            return Err(CommandError::invalid(format_args!(
                "option {word} is given twice, give it once"
            )));
        }
        let value = read(self).map_err(|error| match error {
            CommandError::Arity => {
                CommandError::invalid(format_args!("option {word} is without its value, give one"))
            }
            other => other,
        })?;
        *place = Some(value);
        Ok(())
    }

    /// The only option of commands that answer with an interval, and the end of the command:
    /// `[CONFIDENCE c]`.
    pub fn confidence(&mut self) -> Result<f64, CommandError> {
        const WORDS: [&str; 1] = ["CONFIDENCE"];
        let mut confidence = None;
        while self.option(&WORDS)?.is_some() {
            self.option_value(WORDS[0], &mut confidence, Args::confidence_value)?;
        }
        Ok(confidence.unwrap_or(DEFAULT_CONFIDENCE))
    }

    /// The value of a CONFIDENCE option, a fraction.
    pub fn confidence_value(&mut self) -> Result<f64, CommandError> {
        self.number("confidence", 0.5..=0.9999)
    }
}
