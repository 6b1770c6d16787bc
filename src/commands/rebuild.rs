//! `HLL.REBUILD key type offset piece`: a part of a value, as a rewritten append-only file holds it; see
//! [`crate::server::rebuild`]. No client needs it, and what it brings is proven like everything from
//! outside.

use super::sketch::check_memory;
use crate::cube::Cube;
use crate::monitor::Monitor;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::datatype::{DataType, REJECTED, load_bytes};
use crate::server::error::CommandError;
use crate::server::key::Propagation;
use crate::server::rebuild::{self, COMMAND};
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Bytes, Choice, Integer, Key, KeyUsage, Word};
use crate::sketch::Sketch;
use crate::syntax;
#[cfg(feature = "test-commands")]
use crate::types::strings::Strings;

syntax! {
    /// A piece and where it belongs.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Update);
        kind: Kind = Choice::<Kind>::new("type");
        offset: i64 = Integer("offset", 0..=i64::MAX);
        piece: Arg<'a> = Bytes("piece");
    }
}

/// The types whose values are rebuilt, by their names.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A sketch.
    Sketch,
    /// A cube.
    Cube,
    /// An accuracy monitor.
    Monitor,
    #[cfg(feature = "test-commands")]
    /// A list of strings.
    Strings,
}

impl Word for Kind {
    const ALL: &'static [(&'static str, Kind)] = &[
        ("HLLSKETCH", Kind::Sketch),
        ("HLLCUBEV1", Kind::Cube),
        ("HLLACCRCY", Kind::Monitor),
        #[cfg(feature = "test-commands")]
        ("HLLSTRNGS", Kind::Strings),
    ];
}

/// See the head of this file.
pub struct Rebuild;

impl Command for Rebuild {
    const SPEC: Spec = Spec {
        name: COMMAND,
        access: Access::Write,
        summary: c"Rebuilds a value from the append-only file. Sent by the module itself.",
        complexity: c"O(N) with N bytes.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let Arguments {
            key,
            kind,
            offset,
            piece,
        } = arguments;
        let offset = offset as usize;
        let piece = piece.bytes();
        match kind {
            Kind::Sketch => take_piece(ctx, key, offset, piece, |ctx, sketch: &Sketch| {
                check_memory(ctx, sketch.precision())
            })?,
            Kind::Cube => take_piece(ctx, key, offset, piece, |_, _: &Cube| Ok(()))?,
            Kind::Monitor => take_piece(ctx, key, offset, piece, |_, _: &Monitor| Ok(()))?,
            #[cfg(feature = "test-commands")]
            Kind::Strings => take_piece(ctx, key, offset, piece, |_, _: &Strings| Ok(()))?,
        }
        Ok(Reply::Ok)
    }
}

/// Takes a piece in, and puts the value under the key if it was the last one and may be there. Replicas get
/// the value whole: they have not seen the pieces before it.
fn take_piece<T: DataType>(
    ctx: &mut Context,
    key: Arg,
    offset: usize,
    piece: &[u8],
    check: impl FnOnce(&Context, &T) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let Some(bytes) = rebuild::take_piece::<T>(ctx, key.bytes(), offset, piece)? else {
        return Ok(());
    };
    let value = load_bytes::<T>(&bytes).map_err(|error| {
        REJECTED.add_one();
        let error = CommandError::invalid(format_args!(
            "the pieces are no value of this type ({error}), send them as the file has them"
        ));
        rebuild::refused(ctx, error)
    })?;
    check(ctx, &value)?;
    // While a file is loaded nobody is told.
    let propagation = if ctx.is_loading() {
        Propagation::Verbatim
    } else {
        Propagation::whole(&value)
    };
    ctx.write::<T>(key.into())
        .put(value, c"hll.rebuild", propagation)
}
