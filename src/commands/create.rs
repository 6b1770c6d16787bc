//! `HLL.CREATE key [PRECISION p | ERROR e] [HASH XXH3 | REDIS | DATASKETCHES]`: an empty sketch where there was no key.

use super::new_sketch;
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::server::settings::{self, HashChoice};
use crate::sketch::Precision;

/// See the head of this file.
pub struct Create;

const OPTIONS: [&str; 3] = ["PRECISION", "ERROR", "HASH"];

impl Command for Create {
    const SPEC: Spec = Spec {
        name: c"HLL.CREATE",
        arity: -2,
        access: Access::WriteFast,
        summary: c"Creates an empty sketch of a chosen precision.",
        complexity: c"O(1)",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Insert)],
        args: &[
            ArgSpec::key(c"key", 0),
            ArgSpec::one_of(
                c"size",
                &[
                    ArgSpec::integer(c"precision").behind(c"PRECISION"),
                    ArgSpec::double(c"error").behind(c"ERROR"),
                ],
            )
            .optional(),
            ArgSpec::one_of(
                c"hash",
                &[
                    ArgSpec::word(c"xxh3", c"XXH3"),
                    ArgSpec::word(c"redis", c"REDIS"),
                    ArgSpec::word(c"datasketches", c"DATASKETCHES"),
                ],
            )
            .behind(c"HASH")
            .optional(),
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let (mut by_number, mut by_error, mut hash) = (None, None, None);
        while let Some(found) = call.args.option(&OPTIONS)? {
            let word = OPTIONS[found];
            match word {
                "PRECISION" => call.args.option_value(word, &mut by_number, |args| {
                    let range = Precision::MIN.bits().into()..=Precision::MAX.bits().into();
                    args.integer("precision", range)
                })?,
                "ERROR" => call.args.option_value(word, &mut by_error, |args| {
                    args.number("error", Precision::MAX.merged_error()..=1.0)
                })?,
                _ => call.args.option_value(word, &mut hash, |args| {
                    let chosen = args.word("hash", &["XXH3", "REDIS", "DATASKETCHES"])?;
                    Ok(HashChoice::ALL[chosen].family())
                })?,
            }
        }
        let precision = match (by_number, by_error) {
            (Some(_), Some(_)) => {
                return Err(CommandError::invalid(
                    "PRECISION and ERROR both choose the size, give one of them",
                ));
            }
            (Some(p), None) => u8::try_from(p).ok().and_then(Precision::new),
            (None, Some(error)) => Precision::for_error(error),
            (None, None) => None,
        }
        .unwrap_or_else(settings::default_precision);

        let key = call.write(name);
        if key.exists() {
            return Err(CommandError::invalid(
                "the key is there already, delete it first or choose another one",
            ));
        }
        let hash = hash.unwrap_or_else(settings::default_hash);
        let sketch = new_sketch(call, precision, hash)?;
        call.create(name, key, sketch, c"hll.create");
        Ok(Reply::Ok)
    }
}
