//! `HLL.CREATE key [PRECISION p | ERROR e] [HASH XXH3 | REDIS | DATASKETCHES]`: an empty sketch where there
//! was no key.

use super::new_sketch;
use crate::commands::key_is_taken;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Choice, Integer, Key, KeyUsage, Made, Number, OneOf, Optional};
use crate::sketch::{Precision, Sketch};
use crate::syntax;
use crate::types::settings::{self, HashChoice};

syntax! {
    /// Which sketch to make.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Insert);
    }
    options {
        size: Option<Size> = SIZE;
        hash: Option<HashChoice> = Optional("HASH", Choice::<HashChoice>::new("hash"));
    }
}

/// What the client says of the size.
enum Size {
    Precision(i64),
    Error(f64),
}

const SIZE: OneOf<Size> = OneOf {
    name: "size",
    alternatives: &[
        &Made(
            "PRECISION",
            Integer(
                "precision",
                Precision::MIN.bits() as i64..=Precision::MAX.bits() as i64,
            ),
            Size::Precision,
        ),
        &Made(
            "ERROR",
            Number("error", Precision::LEAST_ERROR..=1.0),
            Size::Error,
        ),
    ],
    conflict: "PRECISION and ERROR both choose the size, give one of them",
};

/// See the head of this file.
pub struct Create;

impl Command for Create {
    const SPEC: Spec = Spec {
        name: c"HLL.CREATE",
        access: Access::WriteFast,
        summary: c"Creates an empty sketch of a chosen precision.",
        complexity: c"O(1)",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let precision = match arguments.size {
            Some(Size::Precision(bits)) => u8::try_from(bits).ok().and_then(Precision::new),
            Some(Size::Error(error)) => Precision::for_error(error),
            None => None,
        };
        let precision = precision.unwrap_or_else(settings::default_precision);
        let hash = arguments.hash.map(HashChoice::family);
        let key = ctx.write::<Sketch>(arguments.key.into());
        if key.exists() {
            return Err(key_is_taken());
        }
        let hash = hash.unwrap_or_else(settings::default_hash);
        let sketch = new_sketch(key.context(), precision, hash)?;
        let propagation = Propagation::whole(&sketch);
        key.replace(sketch, c"hll.create", propagation);
        Ok(Reply::Ok)
    }
}
