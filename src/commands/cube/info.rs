//! `HLL.CUBE.INFO key`: what a cube is made for, what it holds and what it takes.

use super::planning;
use crate::commands::fields::Fields;
use crate::cube::Cube;
use crate::cube::body::{ColumnInfo, TierInfo};
use crate::cube::calendar::Millis;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Key, KeyUsage};
use crate::server::workers::Work;
use crate::syntax;
use std::ops::ControlFlow;
use std::time::Duration;

syntax! {
    /// Which cube.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
}

/// See the head of this file.
pub struct Info;

impl Command for Info {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.INFO",
        access: Access::Read,
        summary: c"Describes a cube: tiers, columns, lateness, memory.",
        complexity: c"O(N) with N slices and columns.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let plan = {
            let key = ctx.read::<Cube>(arguments.key.into())?;
            let cube = super::required(&key)?;
            let memory_bytes = cube.memory_bytes();
            let looked_at = planning::slices(cube, None, None) * cube.schema().columns();
            // Slices that are due and not made yet are made to be described.
            let to_make = match cube.waiting() {
                0 => 0,
                _ => planning::FEW,
            };
            planning::plan(
                ctx,
                cube,
                looked_at / CELLS_OF_A_SLICE + to_make,
                move |cube| {
                    let reply = describe(cube, memory_bytes);
                    Ok((Duration::ZERO, 0, Description(Some(reply))))
                },
            )?
        };
        plan.answer(ctx)
    }
}

/// Cells that are looked at in the time in which a question is planned for a slice.
const CELLS_OF_A_SLICE: usize = 4;

/// What is said of a cube.
struct Description(Option<Reply>);

impl Work for Description {
    fn step(&mut self) -> ControlFlow<Outcome> {
        ControlFlow::Break(Ok(self.0.take().unwrap_or(Reply::Null)))
    }
}

fn describe(cube: &Cube, memory_bytes: usize) -> Reply {
    let schema = cube.schema();
    let mut reply = Fields::new();
    let tiers = cube.tier_infos().into_iter().map(tier).collect();
    reply.field("tiers", Reply::Array(tiers));
    let columns = cube.column_infos().into_iter().map(column).collect();
    reply.field("columns", Reply::Array(columns));
    let measures = schema
        .measures
        .iter()
        .map(|name| Reply::Text(name.clone().into()));
    reply.field("measures", Reply::Array(measures.collect()));
    let since = (0..schema.measures.len()).map(|at| schema.measure_since(at));
    let since = since.map(|since| optional(Some(since).filter(|&since| since > Millis::MIN)));
    reply.field("measures_since", Reply::Array(since.collect()));
    reply.field(
        "new_precision",
        optional(schema.new.map(|precision| i64::from(precision.bits()))),
    );
    reply.field(
        "zone",
        Reply::Text(schema.calendar.zone.name().to_owned().into()),
    );
    reply.field("hash", schema.hash.name());
    reply.field("newest", optional(cube.newest()));
    reply.field("late", integer(cube.late()));
    reply.field("too_late", integer(cube.tally.too_late));
    reply.field("duplicates", integer(cube.tally.duplicates));
    reply.field("waiting", cube.waiting());
    reply.field(
        "max_bytes",
        optional(schema.max_bytes.map(|bytes| bytes as i64)),
    );
    reply.field("memory_bytes", memory_bytes);
    reply.into()
}

fn integer(number: u64) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn optional(number: Option<i64>) -> Reply {
    number.map_or(Reply::Null, Reply::Integer)
}

fn tier(info: TierInfo) -> Reply {
    let mut reply = Fields::new();
    reply.field("slice", Reply::Text(info.slice.to_string().into()));
    reply.field("retention", Reply::Text(info.retention.to_string().into()));
    reply.field("slices", info.slices);
    reply.field("bytes", info.bytes);
    reply.field("oldest", optional(info.oldest));
    reply.field("newest", optional(info.newest));
    reply.into()
}

fn column(info: ColumnInfo) -> Reply {
    let mut reply = Fields::new();
    reply.field("name", Reply::Text(info.name.into()));
    reply.field("values", info.values);
    reply.field("cap", optional(info.cap.map(i64::from)));
    reply.field("precision", info.precision.bits() as usize);
    reply.field("since", optional(info.since));
    reply.field("other_events", integer(info.other_events));
    reply.field("bytes", info.bytes);
    reply.into()
}
