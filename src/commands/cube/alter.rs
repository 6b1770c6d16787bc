//! `HLL.CUBE.ALTER key ADD DIMENSION | GROUP | MEASURE ... | RETENTION slice retention | VALUES dimensions n`: a cube is
//! changed while it is in use.

use super::create::{DimensionClause, GivenDimension, GivenGroup, GroupClause, cannot_be, text};
use super::{no_cube, span};
use crate::cube::Cube;
use crate::cube::alter::{AlterError, Change};
use crate::cube::calendar::Span;
use crate::cube::schema::{MAX_VALUES, Schema, default_precision};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::{CommandError, printable};
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{
    Bytes, Integer, Key, KeyUsage, MadeOfBlock, Nothing, OneOf, OneRequired,
};
use crate::syntax;
use std::marker::PhantomData;

/// What a client asks for. Whether the cube has what it names is not known yet.
enum Asked {
    AddDimension(GivenDimension),
    AddGroup(GivenGroup),
    AddMeasure(String),
    Retention { slice: Span, retention: Span },
    Values { names: String, values: u32 },
}

syntax! {
    /// A measure.
    pub struct MeasureClause<'a> {
        name: Arg<'a> = Bytes("measure");
    }
}

syntax! {
    /// What is added.
    pub struct AddClause<'a> {
        nothing: PhantomData<&'a ()> = Nothing;
    }
    options {
        asked: Asked = OneRequired(OneOf {
            name: "column",
            alternatives: &[
                &MadeOfBlock::<DimensionClause, Asked>("DIMENSION", |clause| {
                    Asked::AddDimension(clause.given())
                }),
                &MadeOfBlock::<GroupClause, Asked>("GROUP", |clause| Asked::AddGroup(clause.given())),
                &MadeOfBlock::<MeasureClause, Asked>("MEASURE", |clause| {
                    Asked::AddMeasure(text(clause.name))
                }),
            ],
            conflict: "DIMENSION, GROUP and MEASURE are added one at a time, give one of them",
        });
    }
}

syntax! {
    /// A tier, and how long it keeps its slices.
    pub struct RetentionClause<'a> {
        nothing: PhantomData<&'a ()> = Nothing;
        slice: Span = span("slice");
        retention: Span = span("retention");
    }
}

syntax! {
    /// A dimension or a group, and how many values it keeps apart.
    pub struct ValuesClause<'a> {
        names: Arg<'a> = Bytes("dimensions");
        values: i64 = Integer("values", 1..=MAX_VALUES as i64);
    }
}

fn added(clause: AddClause) -> Asked {
    let AddClause {
        nothing: PhantomData,
        asked,
    } = clause;
    asked
}

fn retention(clause: RetentionClause) -> Asked {
    let RetentionClause {
        nothing: PhantomData,
        slice,
        retention,
    } = clause;
    Asked::Retention { slice, retention }
}

fn values(clause: ValuesClause) -> Asked {
    Asked::Values {
        names: text(clause.names),
        values: clause.values as u32,
    }
}

syntax! {
    /// Which cube, and what is changed.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Update);
    }
    options {
        asked: Asked = OneRequired(OneOf {
            name: "change",
            alternatives: &[
                &MadeOfBlock::<AddClause, Asked>("ADD", added),
                &MadeOfBlock::<RetentionClause, Asked>("RETENTION", retention),
                &MadeOfBlock::<ValuesClause, Asked>("VALUES", values),
            ],
            conflict: "ADD, RETENTION and VALUES are changes of their own, give one of them",
        });
    }
}

/// See the head of this file.
pub struct Alter;

impl Command for Alter {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.ALTER",
        access: Access::WriteFast,
        summary: c"Adds a dimension, group or measure to a cube, or changes a retention or a number of values.",
        complexity: c"O(N) with N columns of the cube.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let asked = arguments.asked;
        let key = ctx.write::<Cube>(arguments.key.into());
        let written = key.update(c"hll.cube.alter", |cube| {
            let change = change(cube.schema(), asked)?;
            let is_other = cube.alter(change).map_err(|error| refused(cube, error))?;
            Ok(is_other.then_some(Propagation::Verbatim))
        })?;
        written.ok_or_else(no_cube)?;
        Ok(Reply::Ok)
    }
}

/// What it comes to in a cube of this schema.
fn change(schema: &Schema, asked: Asked) -> Result<Change, CommandError> {
    // A cube whose total is coarse on purpose has no finer columns unless they are asked for.
    let of_values = |values: u32| default_precision(values).min(schema.precision);
    Ok(match asked {
        Asked::AddDimension(dimension) => Change::AddDimension(dimension.declared(of_values)),
        Asked::AddGroup(group) => Change::AddGroup(group.declared(&schema.dimensions, of_values)?),
        Asked::AddMeasure(name) => Change::AddMeasure(name),
        Asked::Retention { slice, retention } => Change::Retention { slice, retention },
        Asked::Values { names, values } => Change::Values {
            column: column(schema, &names)?,
            values,
        },
    })
}

/// The column of a dimension, or of a group of several.
fn column(schema: &Schema, names: &str) -> Result<usize, CommandError> {
    let none = || {
        CommandError::invalid(format_args!(
            "'{}' is no dimension or group of this cube, name one as HLL.CUBE.INFO does",
            printable(names.as_bytes(), 64)
        ))
    };
    let position = |name| {
        let mut dimensions = schema.dimensions.iter();
        dimensions.position(|dimension| dimension.name == name)
    };
    let dimensions: Option<Vec<usize>> = names.split(',').map(position).collect();
    match &dimensions.ok_or_else(none)?[..] {
        [dimension] => Ok(schema.dimension_column(*dimension)),
        several => {
            let group = schema.group_of(several).ok_or_else(none)?;
            Ok(schema.group_column(group))
        }
    }
}

/// Why it is not changed, in words of the client's.
fn refused(cube: &Cube, error: AlterError) -> CommandError {
    match error {
        AlterError::Schema(error) => cannot_be(error),
        AlterError::NoTier(slice) => {
            let tiers = cube.schema().tiers.iter();
            let slices: Vec<String> = tiers.map(|tier| tier.slice.to_string()).collect();
            CommandError::invalid(format_args!(
                "no tier has slices of {slice}, name one of: {}",
                slices.join(", ")
            ))
        }
        AlterError::NoValues => CommandError::Internal,
    }
}
