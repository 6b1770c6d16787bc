//! `HLL.ADD key element [element ...]`: 1 if the sketch changed, else 0.

use super::default_sketch;
use crate::commands::statistics::ELEMENTS_ADDED;
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::key::{Propagation, Written};
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{BytesToTheEnd, Key, KeyUsage};
use crate::sketch::{Sketch, Token};
use crate::storage::replay::encode_changes;
use crate::syntax;
use crate::types::sketch::REPLAY;

syntax! {
    /// What joins which set.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Insert);
        elements: ArgList<'a> = BytesToTheEnd("element");
    }
}

/// See the head of this file.
pub struct Add;

/// How many elements are hashed at a time, before the registers are looked at: enough that the two
/// do not get in each other's way, few enough for the stack.
const BATCH: usize = 64;

/// One element of up to so many bytes goes to replicas as it came: what stands for it would be little
/// shorter and takes more work to send.
const SHORT: usize = 32;

/// What has changed a sketch.
enum Change {
    /// The command's only element.
    ShortElement,
    /// The elements that have these tokens. A few bytes for each of them, and none for the others,
    /// which are most.
    Tokens(Vec<Token>),
}

impl From<Change> for Propagation {
    fn from(change: Change) -> Self {
        match change {
            Change::ShortElement => Propagation::Verbatim,
            Change::Tokens(tokens) => Propagation::Command {
                name: REPLAY,
                content: encode_changes(&tokens),
            },
        }
    }
}

impl Command for Add {
    const SPEC: Spec = Spec {
        name: c"HLL.ADD",
        access: Access::WriteFast,
        summary: c"Adds elements to a sketch, creating the key where it is missing.",
        complexity: c"O(1) for each element added.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        ELEMENTS_ADDED.add(arguments.elements.len() as u64);
        let alone = arguments.elements.only().map(Arg::bytes);
        let short = alone.filter(|element| element.len() <= SHORT);
        let key = ctx.write(arguments.key.into());
        let written = key.upsert(c"hll.add", default_sketch, |sketch| {
            Ok(match short {
                Some(element) => sketch.add(element).then_some(Change::ShortElement),
                None => add_all(sketch, arguments.elements),
            })
        })?;
        Ok(Reply::Integer((written != Written::Unchanged).into()))
    }
}

/// Adds these elements.
fn add_all(sketch: &mut Sketch, elements: ArgList) -> Option<Change> {
    let hash = sketch.hash_family();
    let mut elements = elements.iter().map(Arg::bytes);
    let mut changes = Vec::new();
    let mut batch = [0; BATCH];
    loop {
        let hashed = hash.hash_batch(&mut elements, &mut batch);
        sketch.add_hashes(&batch[..hashed], &mut changes);
        if hashed < BATCH {
            return (!changes.is_empty()).then_some(Change::Tokens(changes));
        }
    }
}
