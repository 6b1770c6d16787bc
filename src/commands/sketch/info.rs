//! `HLL.INFO key`: what a sketch is and what it takes.

use super::{required, rounded};
use crate::commands::fields::Fields;
use crate::commands::statistics::estimated;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::datatype::DataType;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage};
use crate::sketch::Sketch;
use crate::sketch::token::Token;
use crate::storage::{self, Compression};
use crate::syntax;
use crate::types::settings::RDB_COMPRESSION;

syntax! {
    /// Which sketch.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
}

/// See the head of this file.
pub struct Info;

impl Command for Info {
    const SPEC: Spec = Spec {
        name: c"HLL.INFO",
        access: Access::Read,
        summary: c"Describes a sketch: precision, form, estimator, error, memory and stored size.",
        complexity: c"O(M) with M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let key = ctx.read(arguments.key.into())?;
        let sketch = required(&key)?;
        let estimate = estimated(sketch.estimate());
        let pf = key.string_bytes();
        let stored = pf.unwrap_or_else(|| storage::encode(sketch, RDB_COMPRESSION.get()).len());
        let registers = sketch.precision().registers();
        let (encoding, compression, content) = match sketch.tokens() {
            _ if pf.is_some() => ("dense", "pf", registers),
            Some(tokens) => ("sparse", "rice", tokens.len() * size_of::<Token>()),
            // What does not become smaller is stored as it is.
            None if stored > registers => ("dense", Compression::None.name(), registers),
            None => ("dense", RDB_COMPRESSION.get().name(), registers),
        };
        let kind = match pf {
            Some(_) => "string",
            None => Sketch::NAME.to_str().unwrap_or_default(),
        };
        let history = if sketch.history() { "yes" } else { "no" };
        let mut reply = Fields::new();
        reply.field("type", kind);
        reply.field("precision", sketch.precision().bits() as usize);
        reply.field("registers", registers);
        reply.field("encoding", encoding);
        reply.field("hash", sketch.hash_family().name());
        reply.field("history", history);
        reply.field("estimator", estimate.method.name());
        reply.field("count", Reply::Integer(rounded(estimate)));
        reply.field("standard_error", estimate.relative_error());
        reply.field("memory_bytes", pf.unwrap_or(sketch.memory_bytes()));
        reply.field("serialized_bytes", stored);
        reply.field("compression", compression);
        reply.field("compression_ratio", content as f64 / stored as f64);
        Ok(reply.into())
    }
}
