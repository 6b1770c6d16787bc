//! `HLL.REPLAY key content`: what a write came to, as replicas and the append-only file get it. No
//! client needs it, and what it brings is proven like everything from outside.

use super::sketch::check_memory;
use crate::cube::Cube;
use crate::monitor::Monitor;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::datatype::REJECTED;
use crate::server::error::CommandError;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Bytes, Key, KeyUsage};
use crate::sketch::Sketch;
use crate::storage::DecodeError;
use crate::storage::frame::{FrameError, Kind};
use crate::storage::replay::{self, Content};
use crate::storage::{cube, monitor};
use crate::syntax;
use crate::types::sketch::REPLAY;

syntax! {
    /// What a write to which key came to.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Update);
        content: Arg<'a> = Bytes("content");
    }
}

/// See the head of this file.
pub struct Replay;

impl Command for Replay {
    const SPEC: Spec = Spec {
        name: REPLAY,
        access: Access::Write,
        summary: c"Repeats a write on a replica. Sent by the module itself.",
        complexity: c"O(N) with N changes or registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let (key, bytes) = (arguments.key, arguments.content.bytes());
        match Kind::begun_by(bytes) {
            Some(Kind::Cube) => replay_cube(ctx, key, bytes)?,
            Some(Kind::Monitor) => replay_monitor(ctx, key, bytes)?,
            Some(Kind::Observation) => replay_observation(ctx, key, bytes)?,
            Some(Kind::Sketch | Kind::Changes) | None => replay_sketch(ctx, key, bytes)?,
        }
        Ok(Reply::Ok)
    }
}

fn replay_cube(ctx: &mut Context, key: Arg, bytes: &[u8]) -> Result<(), CommandError> {
    let cube = cube::load(&mut &bytes[..]).map_err(|error| {
        REJECTED.add_one();
        CommandError::invalid(format_args!(
            "content is {error}, make a cube with HLL.CUBE.CREATE"
        ))
    })?;
    let key = ctx.write::<Cube>(key.into());
    key.put(cube, c"hll.cube.create", Propagation::Verbatim)?;
    Ok(())
}

fn replay_monitor(ctx: &mut Context, key: Arg, bytes: &[u8]) -> Result<(), CommandError> {
    let monitor = monitor::decode(bytes).map_err(refused)?;
    let key = ctx.write::<Monitor>(key.into());
    key.put(monitor, c"hll.accuracy.track", Propagation::Verbatim)?;
    Ok(())
}

fn replay_observation(ctx: &mut Context, key: Arg, bytes: &[u8]) -> Result<(), CommandError> {
    let observation = monitor::decode_observation(bytes).map_err(refused)?;
    let key = ctx.write::<Monitor>(key.into());
    let new = |_: &Context| Ok(Monitor::new());
    key.upsert(c"hll.accuracy.track", new, |monitor| {
        monitor.track(&observation).map_err(CommandError::invalid)?;
        Ok(Some(Propagation::Verbatim))
    })?;
    Ok(())
}

fn replay_sketch(ctx: &mut Context, key: Arg, bytes: &[u8]) -> Result<(), CommandError> {
    let content = replay::decode(bytes).map_err(refused)?;
    let key = ctx.write::<Sketch>(key.into());
    match content {
        Content::Changes(tokens) => {
            let changed = |sketch: &mut Sketch| {
                Ok((sketch.replay(&tokens) > 0).then_some(Propagation::Verbatim))
            };
            let written = key.update(c"hll.add", changed)?;
            written.ok_or_else(|| {
                CommandError::invalid("there is no such key, create it with HLL.ADD")
            })?;
        }
        Content::Sketch(sketch) => {
            check_memory(key.context(), sketch.precision())?;
            key.put(sketch, c"hll.create", Propagation::Verbatim)?;
        }
    }
    Ok(())
}

fn refused(error: DecodeError) -> CommandError {
    REJECTED.add_one();
    match error {
        DecodeError::Frame(FrameError::Version(_)) => error.into(),
        _ => CommandError::invalid(
            "content is not what this module propagates, send elements by HLL.ADD",
        ),
    }
}
