//! `HLL.EXPORT key [FORMAT NATIVE | REDIS | DATASKETCHES] [BASE64]`: a sketch as bytes, for HLL.IMPORT on
//! any server and for other programs.

use super::import::Base64;
use super::required;
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::server::settings;
use crate::storage::{Format, text};

/// See the head of this file.
pub struct Export;

const OPTIONS: [&str; 2] = ["FORMAT", "BASE64"];

impl Command for Export {
    const SPEC: Spec = Spec {
        name: c"HLL.EXPORT",
        arity: -2,
        access: Access::Read,
        summary: c"Returns a sketch as bytes.",
        complexity: c"O(M) with M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Read)],
        args: &[
            ArgSpec::key(c"key", 0),
            super::import::FORMAT.optional(),
            super::import::BASE64,
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let (mut format, mut base64) = (None, None);
        while let Some(found) = call.args.option(&OPTIONS)? {
            let word = OPTIONS[found];
            match word {
                "FORMAT" => call
                    .args
                    .option_value(word, &mut format, super::import::format)?,
                _ => call.args.option_value(word, &mut base64, |_| Ok(Base64))?,
            }
        }
        let key = call.read(name);
        let sketch = required(&key)?;
        let payload = format
            .unwrap_or(Format::Native)
            .write(sketch, settings::rdb_compression())?;
        Ok(Reply::Bytes(match base64 {
            Some(Base64) => text::encode(&payload),
            None => payload,
        }))
    }
}
