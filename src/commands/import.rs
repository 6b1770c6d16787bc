//! `HLL.IMPORT key FORMAT NATIVE|REDIS|DATASKETCHES payload [BASE64] [REPLACE | MERGE]`: bytes from
//! HLL.EXPORT or from another program as a sketch.
//!
//! The payload is hostile until proven whole: [`Format::read`] checks every field.

use super::check_memory;
use crate::server::args::Args;
use crate::server::call::{Call, Propagation};
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::storage::{Format, text};
use std::borrow::Cow;

/// See the head of this file.
pub struct Import;

/// `FORMAT NATIVE|REDIS|DATASKETCHES`
pub const FORMAT: ArgSpec = ArgSpec::one_of(
    c"format",
    &[
        ArgSpec::word(c"native", c"NATIVE"),
        ArgSpec::word(c"redis", c"REDIS"),
        ArgSpec::word(c"datasketches", c"DATASKETCHES"),
    ],
)
.behind(c"FORMAT");

/// `[BASE64]`
pub const BASE64: ArgSpec = ArgSpec::word(c"base64", c"BASE64").optional();

/// The value of a FORMAT option.
pub fn format(args: &mut Args) -> Result<Format, CommandError> {
    let found = args.word("format", &["NATIVE", "REDIS", "DATASKETCHES"])?;
    Ok(Format::ALL[found])
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
            BASE64,
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
        let format = format(&mut call.args)?;
        let payload = call.args.next()?.bytes();
        let options = Options::read(&mut call.args)?;

        let payload = match options.base64 {
            Some(Base64) => Cow::Owned(text::decode(payload)?),
            None => Cow::Borrowed(payload),
        };
        let imported = format.read(&payload)?;
        let mut key = call.write(name);
        match options.present {
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

/// That the payload is, or is to be, text.
pub struct Base64;

/// What may stand behind the payload.
#[derive(Default)]
struct Options {
    present: Option<Present>,
    /// Whether the payload is text.
    base64: Option<Base64>,
}

impl Options {
    fn read(args: &mut Args) -> Result<Options, CommandError> {
        const WORDS: [&str; 3] = ["REPLACE", "MERGE", "BASE64"];
        let mut options = Options::default();
        while let Some(found) = args.option(&WORDS)? {
            let present = match WORDS[found] {
                "REPLACE" => Present::Replace,
                "MERGE" => Present::Merge,
                word => {
                    args.option_value(word, &mut options.base64, |_| Ok(Base64))?;
                    continue;
                }
            };
            if options.present.replace(present).is_some() {
                return Err(CommandError::invalid(
                    "REPLACE and MERGE exclude each other, give one of them once",
                ));
            }
        }
        Ok(options)
    }
}
