//! `HLL.EXPORT key [FORMAT NATIVE]`: a sketch as bytes, for HLL.IMPORT on any server.

use super::required;
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::server::settings;
use crate::storage;

/// See the head of this file.
pub struct Export;

const OPTIONS: [&str; 1] = ["FORMAT"];

impl Command for Export {
    const SPEC: Spec = Spec {
        name: c"HLL.EXPORT",
        arity: -2,
        access: Access::Read,
        summary: c"Returns a sketch as bytes.",
        complexity: c"O(M) with M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Read)],
        args: &[ArgSpec::key(c"key", 0), super::import::FORMAT.optional()],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let mut format = None;
        while call.args.option(&OPTIONS)?.is_some() {
            call.args
                .option_value(OPTIONS[0], &mut format, super::import::format)?;
        }
        let key = call.read(name);
        let sketch = required(&key)?;
        Ok(Reply::Bytes(storage::encode(
            sketch,
            settings::rdb_compression(),
        )))
    }
}
