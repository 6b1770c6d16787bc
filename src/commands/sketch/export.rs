//! `HLL.EXPORT key [FORMAT NATIVE | REDIS | DATASKETCHES] [BASE64]`: a sketch as bytes, for HLL.IMPORT on
//! any server and for other programs.

use super::required;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Choice, Flag, Key, KeyUsage, Optional};
use crate::storage::{Format, text};
use crate::syntax;
use crate::types::settings;

syntax! {
    /// What is wanted, and how.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        format: Option<Format> = Optional("FORMAT", Choice::<Format>::new("format"));
        base64: bool = Flag("BASE64");
    }
}

/// See the head of this file.
pub struct Export;

impl Command for Export {
    const SPEC: Spec = Spec {
        name: c"HLL.EXPORT",
        access: Access::Read,
        summary: c"Returns a sketch as bytes.",
        complexity: c"O(M) with M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let key = ctx.read(arguments.key.into())?;
        let format = arguments.format.unwrap_or(Format::Native);
        let payload = format.write(required(&key)?, settings::RDB_COMPRESSION.get())?;
        Ok(Reply::Bytes(if arguments.base64 {
            text::encode(&payload)
        } else {
            payload
        }))
    }
}
