//! `HLL.CUBE.ADD key [IDMP producer id] [LATE ERROR | DROP] timestamp element [field value ...]`: 1 if the event was
//! counted, 0 if its id was counted before or it came too late and is to be dropped.

use super::event::{
    Gate, IDEMPOTENT, Idempotent, LATE, Late, Values, field, propagation, too_late,
};
use super::{At, no_cube, timestamp};
use crate::commands::statistics;
use crate::cube::Cube;
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::key::Written;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{AllArguments, Bytes, Key, KeyUsage, Pairs};
use crate::syntax;

syntax! {
    /// What happened, when, and to whom.
    pub struct Arguments<'a> {
        all: ArgList<'a> = AllArguments;
        key: Arg<'a> = Key("key", KeyUsage::Update);
    }
    options {
        idempotent: Option<Idempotent<'a>> = IDEMPOTENT;
        late: Option<Late> = LATE;
    }
    then {
        at: At = timestamp("timestamp");
        element: Arg<'a> = Bytes("element");
        fields: ArgList<'a> = Pairs("field", "value");
    }
}

/// See the head of this file.
pub struct Add;

impl Command for Add {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.ADD",
        access: Access::WriteFast,
        summary: c"Counts an event in every column of a cube.",
        complexity: c"O(N) with N columns of the cube.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let gate = Gate::new(ctx);
        let key = ctx.write::<Cube>(arguments.key.into());
        let count = |cube: &mut Cube| {
            if let Some(idempotent) = &arguments.idempotent
                && idempotent.is_repeated(cube)
            {
                cube.tally.duplicates += 1;
                return Ok(None);
            }
            gate.check_size(cube)?;
            let at = gate.time(cube, arguments.at)?;
            let mut values = Values::new();
            let mut fields = arguments.fields.iter();
            while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                let field = field(cube, name)?;
                values.put(cube, field, value)?;
            }
            if let Err(error) = cube.add(&values.event(at, arguments.element.bytes())) {
                cube.tally.too_late += 1;
                return match arguments.late.unwrap_or(Late::Error) {
                    Late::Error => Err(too_late(at, error)),
                    Late::Drop => Ok(None),
                };
            }
            if let Some(idempotent) = &arguments.idempotent {
                idempotent.remember(cube);
            }
            // The timestamp stands before the element and the fields.
            let timestamp = arguments.all.len() - arguments.fields.len() - 2;
            let is_timestamp = |word| word == timestamp;
            let name = Self::SPEC.name;
            Ok(Some(propagation(name, arguments.all, is_timestamp, at)))
        };
        let written = key.update(c"hll.cube.add", |cube| statistics::written(cube, count))?;
        let written = written.ok_or_else(no_cube)?;
        Ok(Reply::Integer((written == Written::Changed).into()))
    }
}
