//! `HLL.ADD key element [element ...]`: 1 if the sketch changed, else 0.

use crate::server::call::{Call, Propagation};
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;

/// See the head of this file.
pub struct Add;

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
        let elements = call.args.rest()?;
        let mut key = call.write(name);
        if let Some(sketch) = key.sketch_mut()? {
            let changed = elements.fold(false, |changed, e| sketch.add(e.bytes()) | changed);
            drop(key);
            if changed {
                call.changed(name, c"hll.add", Propagation::Verbatim);
            }
            return Ok(Reply::Integer(changed.into()));
        }
        let mut sketch = super::default_sketch(call)?;
        for element in elements {
            sketch.add(element.bytes());
        }
        call.create(name, key, sketch, c"hll.add");
        Ok(Reply::Integer(1))
    }
}
