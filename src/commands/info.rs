//! `HLL.INFO key`: what a sketch is and what it takes.

use super::{required, rounded};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::server::{settings, sketch_type};
use crate::sketch::token::Token;
use crate::storage::{self, Compression};

/// See the head of this file.
pub struct Info;

impl Command for Info {
    const SPEC: Spec = Spec {
        name: c"HLL.INFO",
        arity: 2,
        access: Access::Read,
        summary: c"Describes a sketch: precision, form, estimator, error, memory and stored size.",
        complexity: c"O(M) with M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Read)],
        args: &[ArgSpec::key(c"key", 0)],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        call.args.end()?;
        let key = call.read(name);
        let sketch = required(&key)?;
        let estimate = sketch.estimate();
        let stored = key
            .pf_bytes()
            .unwrap_or_else(|| storage::encode(sketch, settings::rdb_compression()).len());
        let registers = sketch.precision().registers();
        let (encoding, compression, content) = match sketch.tokens() {
            _ if key.pf_bytes().is_some() => ("dense", "pf", registers),
            Some(tokens) => ("sparse", "rice", tokens.len() * size_of::<Token>()),
            // What does not become smaller is stored as it is.
            None if stored > registers => ("dense", Compression::None.name(), registers),
            None => ("dense", settings::rdb_compression().name(), registers),
        };
        let kind = match key.pf_bytes() {
            Some(_) => "string",
            None => sketch_type::NAME.to_str().unwrap_or_default(),
        };
        let memory = key.pf_bytes().unwrap_or(sketch.memory_bytes());
        Ok(Reply::Map(vec![
            ("type", kind.into()),
            ("precision", (sketch.precision().bits() as usize).into()),
            ("registers", registers.into()),
            ("encoding", encoding.into()),
            ("hash", sketch.hash_family().name().into()),
            (
                "history",
                if sketch.history() { "yes" } else { "no" }.into(),
            ),
            ("estimator", estimate.method.name().into()),
            ("count", Reply::Integer(rounded(estimate))),
            ("standard_error", estimate.relative_error().into()),
            ("memory_bytes", memory.into()),
            ("serialized_bytes", stored.into()),
            ("compression", compression.into()),
            ("compression_ratio", (content as f64 / stored as f64).into()),
        ]))
    }
}
