//! `HLL.IMPORT key FORMAT NATIVE | REDIS | DATASKETCHES payload [BASE64] [REPLACE | MERGE]`: bytes from
//! HLL.EXPORT or from another program as a sketch.
//!
//! The payload is hostile until proven whole: [`Format::read`] checks every field.

use super::check_memory;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::datatype::REJECTED;
use crate::server::error::CommandError;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{After, Bytes, Choice, Flag, Key, KeyUsage, OneWord, Word};
use crate::sketch::Sketch;
use crate::storage::{Format, text};
use crate::syntax;
use std::borrow::Cow;
use std::marker::PhantomData;

syntax! {
    /// What is brought, where to, and what for.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Update);
        format: Format = After("FORMAT", Choice::<Format>::new("format"));
        payload: Arg<'a> = Bytes("payload");
    }
    options {
        base64: bool = Flag("BASE64");
        present: Option<Present> = OneWord {
            name: "present",
            conflict: "REPLACE and MERGE exclude each other, give one of them once",
            words: PhantomData::<Present>,
        };
    }
}

impl Word for Format {
    const ALL: &'static [(&'static str, Format)] = &[
        ("NATIVE", Format::Native),
        ("REDIS", Format::Redis),
        ("DATASKETCHES", Format::DataSketches),
    ];
}

/// What to do with a key that is there.
#[derive(Clone, Copy)]
enum Present {
    Replace,
    Merge,
}

impl Word for Present {
    const ALL: &'static [(&'static str, Present)] =
        &[("REPLACE", Present::Replace), ("MERGE", Present::Merge)];
}

/// See the head of this file.
pub struct Import;

impl Command for Import {
    const SPEC: Spec = Spec {
        name: c"HLL.IMPORT",
        access: Access::Write,
        summary: c"Makes a sketch from bytes, or merges them into one.",
        complexity: c"O(M) with M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let mut payload = Cow::Borrowed(arguments.payload.bytes());
        if arguments.base64 {
            payload = Cow::Owned(text::decode(&payload).inspect_err(|_| REJECTED.add_one())?);
        }
        let imported = arguments.format.read(&payload);
        let imported = imported.inspect_err(|_| REJECTED.add_one())?;
        let key = ctx.write::<Sketch>(arguments.key.into());
        match arguments.present {
            None if key.exists() => {
                return Err(CommandError::invalid(
                    "the key is there already, give REPLACE or MERGE",
                ));
            }
            Some(Present::Merge) if key.exists() => {
                key.update(c"hll.import", |sketch| {
                    Ok(sketch.merge(&imported)?.then_some(Propagation::Verbatim))
                })?;
            }
            None | Some(Present::Replace | Present::Merge) => {
                check_memory(key.context(), imported.precision())?;
                key.replace(imported, c"hll.import", Propagation::Verbatim);
            }
        }
        Ok(Reply::Ok)
    }
}
