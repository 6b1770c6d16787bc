//! `HLL.IMPORT key FORMAT NATIVE payload [REPLACE | MERGE]`: bytes from HLL.EXPORT as a sketch.
//!
//! The payload is hostile until proven whole: [`storage::decode`] checks every field.

use super::check_memory;
use crate::server::args::Args;
use crate::server::call::{Call, Propagation};
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::storage;

/// See the head of this file.
pub struct Import;

/// `FORMAT NATIVE`
pub const FORMAT: ArgSpec =
    ArgSpec::one_of(c"format", &[ArgSpec::word(c"native", c"NATIVE")]).behind(c"FORMAT");

/// The value of a FORMAT option.
pub fn format(args: &mut Args) -> Result<(), CommandError> {
    args.word("format", &["NATIVE"]).map(drop)
}

/// What to do with a key that is there.
#[derive(Clone, Copy)]
enum Present {
    Replace,
    Merge,
}

impl Command for Import {
    const SPEC: Spec = Spec {
        name: c"HLL.IMPORT",
        arity: -5,
        access: Access::Write,
        summary: c"Makes a sketch from bytes, or merges them into one.",
        complexity: c"O(M) with M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Update)],
        args: &[
            ArgSpec::key(c"key", 0),
            FORMAT,
            ArgSpec::string(c"payload"),
            ArgSpec::one_of(
                c"present",
                &[
                    ArgSpec::word(c"replace", c"REPLACE"),
                    ArgSpec::word(c"merge", c"MERGE"),
                ],
            )
            .optional(),
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        call.args.word("the word before the format", &["FORMAT"])?;
        format(&mut call.args)?;
        let payload = call.args.next()?;
        let present = present(&mut call.args)?;

        let imported = storage::decode(payload.bytes())?;
        let mut key = call.write(name);
        match present {
            None if key.exists() => {
                return Err(CommandError::invalid(
                    "the key is there already, give REPLACE or MERGE",
                ));
            }
            Some(Present::Merge) if key.exists() => {
                let sketch = key.sketch_mut()?.ok_or(CommandError::WrongType)?;
                if !sketch.merge(&imported)? {
                    return Ok(Reply::Ok);
                }
            }
            _ => {
                check_memory(call, imported.precision())?;
                key.replace(imported);
            }
        }
        drop(key);
        call.changed(name, c"hll.import", Propagation::Verbatim);
        Ok(Reply::Ok)
    }
}

fn present(args: &mut Args) -> Result<Option<Present>, CommandError> {
    const OPTIONS: [&str; 2] = ["REPLACE", "MERGE"];
    let mut present = None;
    while let Some(found) = args.option(&OPTIONS)? {
        if present.is_some() {
            return Err(CommandError::invalid(
                "REPLACE and MERGE exclude each other, give one of them once",
            ));
        }
        present = Some([Present::Replace, Present::Merge][found]);
    }
    Ok(present)
}
