//! `HLL.REPLAY key content`: what a write came to, as replicas and the append-only file get it. No
//! client needs it, and what it brings is proven like everything from outside.

use super::{check_memory, no_such_key};
use crate::server::call::{Call, Propagation};
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;
use crate::storage::replay::{self, Content};
use crate::storage::{DecodeError, FrameError};

/// See the head of this file.
pub struct Replay;

impl Command for Replay {
    const SPEC: Spec = Spec {
        name: c"HLL.REPLAY",
        arity: 3,
        access: Access::Write,
        summary: c"Repeats a write on a replica. Sent by the module itself.",
        complexity: c"O(N) with N changes or registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::One, KeyUsage::Update)],
        args: &[ArgSpec::key(c"key", 0), ArgSpec::string(c"content")],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let name = call.args.next()?;
        let content = call.args.next()?.bytes();
        call.args.end()?;
        let content = replay::decode(content).map_err(|error| match error {
            DecodeError::Frame(FrameError::Version(_)) => error.into(),
            DecodeError::Frame(_) | DecodeError::Invalid(_) => CommandError::invalid(
                "content is not what this module propagates, send elements by HLL.ADD",
            ),
        })?;
        let mut key = call.write(name);
        let event = match content {
            Content::Changes(tokens) => {
                let sketch = key.sketch_mut()?.ok_or_else(no_such_key)?;
                if sketch.replay(&tokens) == 0 {
                    return Ok(Reply::Ok);
                }
                c"hll.add"
            }
            Content::Sketch(sketch) => {
                check_memory(call, sketch.precision())?;
                key.replace(sketch);
                c"hll.create"
            }
        };
        drop(key);
        call.changed(name, event, Propagation::Verbatim);
        Ok(Reply::Ok)
    }
}
