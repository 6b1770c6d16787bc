//! The commands on cubes.

pub mod add;
pub mod alter;
pub(super) mod ask;
pub mod campaign;
mod compare;
pub mod count;
pub mod create;
mod event;
pub mod funnel;
pub mod info;
pub mod lifecycle;
pub mod madd;
mod planning;
pub mod query;
pub mod retention;
pub mod series;
pub mod store;
pub mod top;

use crate::cube::Cube;
use crate::cube::calendar::{Calendar, Millis, Span, Zone};
use crate::server::args::Arg;
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::key::ReadKey;
use crate::server::syntax::Parsed;

/// A length of time.
pub(super) const fn span(name: &'static str) -> Parsed<Span> {
    Parsed {
        name,
        read: Span::parse,
        right: "a number and ms, s, m, h, d, w, mo, q or y, up to a thousand years",
    }
}

/// An instant.
pub(super) const fn timestamp(name: &'static str) -> Parsed<At> {
    Parsed {
        name,
        read: At::parse,
        right: "Unix milliseconds up to the year 9999, or *",
    }
}

/// A zone.
const TIMEZONE: Parsed<Zone> = Parsed {
    name: "zone",
    read: |name| Zone::named(std::str::from_utf8(name).ok()?),
    right: "the name of a zone such as UTC or Europe/Berlin",
};

/// An instant as a client says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// `*`
    Now,
    /// Unix milliseconds.
    Millis(Millis),
}

impl At {
    fn parse(word: &[u8]) -> Option<At> {
        if word == b"*" {
            return Some(At::Now);
        }
        if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let millis = std::str::from_utf8(word).ok()?.parse().ok()?;
        Calendar::RANGE
            .contains(&millis)
            .then_some(At::Millis(millis))
    }

    pub(super) fn millis(self, ctx: &Context) -> Millis {
        match self {
            At::Now => ctx.now(),
            At::Millis(millis) => millis,
        }
    }
}

/// There is no cube.
fn no_cube() -> CommandError {
    CommandError::invalid("there is no such key, make a cube with HLL.CUBE.CREATE")
}

/// The cube of a command that reads one.
pub(super) fn required<'k>(key: &'k ReadKey<Cube>) -> Result<&'k Cube, CommandError> {
    key.value().ok_or_else(no_cube)
}

/// The position of a dimension that a client names.
fn dimension(cube: &Cube, name: Arg) -> Result<usize, CommandError> {
    let mut dimensions = cube.schema().dimensions.iter();
    let found = dimensions.position(|dimension| dimension.name.as_bytes() == name.bytes());
    found.ok_or_else(|| {
        let names = cube
            .schema()
            .dimensions
            .iter()
            .map(|dimension| &dimension.name[..]);
        let names: Vec<&str> = names.collect();
        CommandError::invalid(format_args!(
            "'{}' is no dimension of this cube, name one of: {}",
            name.shown(),
            names.join(", ")
        ))
    })
}
