//! `HLL.REPLAY key changes`: what an HLL.ADD has changed, as replicas and the append-only file get it.
//! No client needs it.

use super::no_such_key;
use crate::server::call::{Call, Propagation};
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::storage::changes;

/// See the head of this file.
pub struct Replay;

impl Command for Replay {
    const SPEC: Spec = Spec {
        name: c"HLL.REPLAY",
        arity: 3,
        access: Access::WriteFast,
        summary: c"Repeats what an HLL.ADD has changed. Sent by the module to replicas.",
        complexity: c"O(1) for each change.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Insert)],
        args: &[ArgSpec::key(c"key", 0), ArgSpec::string(c"changes")],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let changes = call.args.next()?.bytes();
        call.args.end()?;
        let changes = changes::decode(changes).ok_or_else(|| {
            CommandError::invalid(
                "changes are not what HLL.ADD propagates, send elements by HLL.ADD",
            )
        })?;
        let mut key = call.write(name);
        let sketch = key.sketch_mut()?.ok_or_else(no_such_key)?;
        let changed = sketch.replay(&changes);
        drop(key);
        if changed > 0 {
            call.changed(name, c"hll.add", Propagation::Verbatim);
        }
        Ok(Reply::Integer(changed as i64))
    }
}
