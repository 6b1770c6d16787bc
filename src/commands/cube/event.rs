//! What ADD and MADD have in common: an event's words, and what is asked before it is counted.

use super::At;
use crate::cube::calendar::Millis;
use crate::cube::schema::{
    Field, MAX_DIMENSIONS, MAX_MEASURE, MAX_MEASURES, MAX_VALUE_BYTES, OTHER_NAME,
};
use crate::cube::{Cube, Event, TooLate};
use crate::server::args::{Arg, ArgList};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::key::Propagation;
use crate::server::syntax::{Block, Bytes, Choice, Optional, Word};
use crate::syntax;
use crate::types::settings::CUBE_MAX_AHEAD;
use std::ffi::CStr;

syntax! {
    /// Who sends something, and its name, by which it is known when it comes again.
    pub struct Idempotent<'a> {
        producer: Arg<'a> = Bytes("producer");
        id: Arg<'a> = Bytes("id");
    }
}

/// `[IDMP producer id]`
pub const IDEMPOTENT: Optional<Block<Idempotent<'static>>> = Optional("IDMP", Block::new());

/// `[LATE ERROR | DROP]`
pub const LATE: Optional<Choice<Late>> = Optional("LATE", Choice::new("late"));

/// A command as it came, with the time that was meant wherever a timestamp is `*`.
pub fn propagation(
    name: &'static CStr,
    all: ArgList,
    is_timestamp: impl Fn(usize) -> bool,
    now: Millis,
) -> Propagation {
    let is_now = |word: usize, argument: Arg| is_timestamp(word) && argument.bytes() == b"*";
    let mut words = all.iter().enumerate();
    if !words.any(|(word, argument)| is_now(word, argument)) {
        return Propagation::Verbatim;
    }
    let words = all.iter().enumerate();
    let words = words.map(|(word, argument)| match is_now(word, argument) {
        true => now.to_string().into_bytes(),
        false => argument.bytes().to_vec(),
    });
    Propagation::Arguments {
        name,
        arguments: words.collect(),
    }
}

impl Idempotent<'_> {
    /// Whether the cube has counted it before.
    pub fn is_repeated(&self, cube: &Cube) -> bool {
        cube.is_repeated(self.producer.bytes(), self.id.bytes())
    }

    /// Remembers that it has.
    pub fn remember(&self, cube: &mut Cube) {
        cube.remember(self.producer.bytes(), self.id.bytes());
    }
}

/// What becomes of an event that comes too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The command is an error.
    Error,
    /// It is left out.
    Drop,
}

impl Word for Late {
    const ALL: &'static [(&'static str, Late)] = &[("ERROR", Late::Error), ("DROP", Late::Drop)];
}

/// Whether a client may write. What a primary or a file has to say was accepted before.
pub struct Gate {
    now: Millis,
    is_replayed: bool,
}

impl Gate {
    /// For the command that runs.
    pub fn new(ctx: &Context) -> Gate {
        Gate {
            now: ctx.now(),
            is_replayed: ctx.is_replayed(),
        }
    }

    /// The time of the command.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Whether it comes from another server or from a file, where it was allowed already.
    pub fn is_replayed(&self) -> bool {
        self.is_replayed
    }

    /// Refuses writes to a full cube.
    pub fn check_size(&self, cube: &Cube) -> Result<(), CommandError> {
        match cube.schema().max_bytes {
            Some(most) if cube.memory_bytes() as u64 >= most && !self.is_replayed => {
                Err(CommandError::invalid(format_args!(
                    "the cube has reached its MAXBYTES of {most}, delete it or make one with shorter \
                     retention or fewer values"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The time of an event, which may be ahead of the clock by little.
    pub fn time(&self, cube: &Cube, at: At) -> Result<Millis, CommandError> {
        let At::Millis(at) = at else {
            return Ok(self.now);
        };
        if at <= self.now || self.is_replayed {
            return Ok(at);
        }
        let slice = cube.finest_slice_at(self.now);
        let most = CUBE_MAX_AHEAD.get().min(slice.end - slice.start);
        if at - self.now > most {
            return Err(CommandError::invalid(format_args!(
                "timestamp {at} is {} ms ahead of the server's clock, at most {most} are allowed, send \
                 Unix milliseconds or set the clock",
                at - self.now
            )));
        }
        Ok(at)
    }
}

/// Why an event was not counted.
pub fn too_late(at: Millis, TooLate { oldest }: TooLate) -> CommandError {
    CommandError::invalid(format_args!(
        "timestamp {at} is before everything that the cube keeps, which begins after {oldest}, keep more \
         or leave such events out with LATE DROP"
    ))
}

/// The values of an event, in place.
pub struct Values<'a> {
    values: [(usize, &'a [u8]); MAX_DIMENSIONS],
    measures: [(usize, f64); MAX_MEASURES],
    lens: (usize, usize),
    /// A bit for each dimension, and for each measure behind them.
    seen: u64,
}

impl<'a> Values<'a> {
    /// None yet.
    pub fn new() -> Values<'a> {
        Values {
            values: [(0, &[]); MAX_DIMENSIONS],
            measures: [(0, 0.0); MAX_MEASURES],
            lens: (0, 0),
            seen: 0,
        }
    }

    /// A field has a value; an empty one is none.
    pub fn put(&mut self, cube: &Cube, field: Field, value: Arg<'a>) -> Result<(), CommandError> {
        let bit = match field {
            Field::Dimension(at) => at,
            Field::Measure(at) => MAX_DIMENSIONS + at,
        };
        if self.seen >> bit & 1 == 1 {
            return Err(CommandError::invalid(format_args!(
                "field '{}' is given twice, give it once",
                name(cube, field)
            )));
        }
        self.seen |= 1 << bit;
        let bytes = value.bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        match field {
            Field::Dimension(at) => {
                check_value(cube, field, bytes)?;
                self.values[self.lens.0] = (at, bytes);
                self.lens.0 += 1;
            }
            Field::Measure(at) => {
                let number = std::str::from_utf8(bytes)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let number = number.filter(|number: &f64| number.abs() <= MAX_MEASURE);
                let number = number.ok_or_else(|| {
                    CommandError::invalid(format_args!(
                        "measure {} must be a number of at most {MAX_MEASURE:e}, got '{}'",
                        name(cube, field),
                        value.shown()
                    ))
                })?;
                self.measures[self.lens.1] = (at, number);
                self.lens.1 += 1;
            }
        }
        Ok(())
    }

    /// The event that has them.
    pub fn event(&self, at: Millis, element: &'a [u8]) -> Event<'_> {
        Event {
            at,
            element,
            values: &self.values[..self.lens.0],
            measures: &self.measures[..self.lens.1],
        }
    }
}

fn check_value(cube: &Cube, field: Field, value: &[u8]) -> Result<(), CommandError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(CommandError::invalid(format_args!(
            "the value of {} has {} bytes, at most {MAX_VALUE_BYTES} are allowed",
            name(cube, field),
            value.len()
        )));
    }
    if value == OTHER_NAME {
        return Err(CommandError::invalid(format_args!(
            "the value (other) of {} is taken, it stands for values that have no place of their own, \
             choose another one",
            name(cube, field)
        )));
    }
    Ok(())
}

fn name(cube: &Cube, field: Field) -> &str {
    match field {
        Field::Dimension(at) => &cube.schema().dimensions[at].name,
        Field::Measure(at) => &cube.schema().measures[at],
    }
}

/// What a client's word is the name of.
pub fn field(cube: &Cube, word: Arg) -> Result<Field, CommandError> {
    cube.schema().field(word.bytes()).ok_or_else(|| {
        let names: Vec<&str> = cube.schema().names().collect();
        let known = match names.is_empty() {
            true => "it has none".to_owned(),
            false => format!("declared are: {}", names.join(", ")),
        };
        CommandError::invalid(format_args!(
            "'{}' is no dimension or measure of this cube, {known}",
            word.shown()
        ))
    })
}
