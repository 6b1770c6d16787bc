//! `HLL.ADD key element [element ...]`: 1 if the sketch changed, else 0.

use crate::server::args::Arg;
use crate::server::call::{Call, Propagation};
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::sketch::{Sketch, Token};

/// See the head of this file.
pub struct Add;

/// How many elements are hashed at a time, before the registers are looked at: enough that the two
/// do not get in each other's way, few enough for the stack.
const BATCH: usize = 64;

/// One element of up to so many bytes goes to replicas as it came: what stands for it would be little
/// shorter and takes more work to send.
const SHORT: usize = 32;

impl Command for Add {
    const SPEC: Spec = Spec {
        name: c"HLL.ADD",
        arity: -3,
        access: Access::WriteFast,
        summary: c"Adds elements to a sketch, creating the key where it is missing.",
        complexity: c"O(1) for each element added.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Insert)],
        args: &[
            ArgSpec::key(c"key", 0),
            ArgSpec::string(c"element").multiple(),
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let alone = call.args.only().map(Arg::bytes);
        let elements = call.args.rest()?;
        let mut key = call.write(name);
        let Some(sketch) = key.sketch_mut()? else {
            let mut sketch = super::default_sketch(call)?;
            add_all(&mut sketch, elements);
            call.create(name, key, sketch, c"hll.add");
            return Ok(Reply::Integer(1));
        };
        let propagation = match alone.filter(|element| element.len() <= SHORT) {
            Some(element) => sketch.add(element).then_some(Propagation::Verbatim),
            None => {
                let changes = add_all(sketch, elements);
                (!changes.is_empty()).then(|| Propagation::changes(&changes))
            }
        };
        drop(key);
        let changed = propagation.is_some();
        if let Some(propagation) = propagation {
            call.changed(name, c"hll.add", propagation);
        }
        Ok(Reply::Integer(changed.into()))
    }
}

/// Adds these elements; what has changed the sketch.
fn add_all<'a>(sketch: &mut Sketch, elements: impl Iterator<Item = Arg<'a>>) -> Vec<Token> {
    let hash = sketch.hash_family();
    let mut elements = elements.map(Arg::bytes);
    let mut changes = Vec::new();
    let mut batch = [0; BATCH];
    loop {
        let hashed = hash.hash_batch(&mut elements, &mut batch);
        sketch.add_hashes(&batch[..hashed], &mut changes);
        if hashed < BATCH {
            return changes;
        }
    }
}
