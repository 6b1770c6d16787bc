//! `HLL.CUBE.MADD key [IDMP producer id] [LATE ERROR | DROP] FIELDS numfields field ... ROWS timestamp element value ...`:
//! many events with the same fields, all of them or none. An empty value is none.

use super::event::{
    Gate, IDEMPOTENT, Idempotent, LATE, Late, Values, field, propagation, too_late,
};
use super::{At, no_cube};
use crate::commands::fields::Fields;
use crate::commands::statistics;
use crate::cube::calendar::Millis;
use crate::cube::schema::{Field, MAX_DIMENSIONS, MAX_MEASURES};
use crate::cube::{Cube, Verdict};
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::{After, AllArguments, Counted, Key, KeyUsage, Rows};
use crate::syntax;

syntax! {
    /// What happened.
    pub struct Arguments<'a> {
        all: ArgList<'a> = AllArguments;
        key: Arg<'a> = Key("key", KeyUsage::Update);
    }
    options {
        idempotent: Option<Idempotent<'a>> = IDEMPOTENT;
        late: Option<Late> = LATE;
    }
    then {
        fields: ArgList<'a> =
            After("FIELDS", Counted("field", 0..=(MAX_DIMENSIONS + MAX_MEASURES) as i64));
        rows: ArgList<'a> = After("ROWS", Rows(&["timestamp", "element", "value"]));
    }
}

/// The most rows of one command, so that nobody waits long for it.
const MOST_ROWS: usize = 3_000;

/// The most cells in which the rows of one command may be counted, for the same reason: a cell takes some 300 ns. A row in
/// time has one in each column, and one that comes late one in each column of every tier, and some of the work it makes.
const MOST_CELLS: usize = 10_000;

/// A row that begins a slice is like so many others: the slice before is closed by it, and coarser ones are made.
const ROWS_OF_A_SLICE: usize = 60;

/// See the head of this file.
pub struct MAdd;

/// What became of the rows.
#[derive(Default)]
struct Outcomes {
    counted: usize,
    duplicate: usize,
    late: usize,
}

impl Command for MAdd {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.MADD",
        access: Access::Write,
        summary: c"Counts many events in every column of a cube.",
        complexity: c"O(N*M) with N events and M columns of the cube.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let gate = Gate::new(ctx);
        let width = 2 + arguments.fields.len();
        let number = arguments.rows.len() / width;
        if !arguments.rows.len().is_multiple_of(width) {
            return Err(CommandError::form(format_args!(
                "a row has {width} words and {} words follow ROWS",
                arguments.rows.len()
            )));
        }
        if number > MOST_ROWS {
            return Err(CommandError::invalid(format_args!(
                "at most {MOST_ROWS} rows may be given, got {number}, send them in several commands"
            )));
        }
        let mut outcomes = Outcomes::default();
        let key = ctx.write::<Cube>(arguments.key.into());
        let count = |cube: &mut Cube| {
            outcomes = Outcomes::default();
            if let Some(idempotent) = &arguments.idempotent
                && idempotent.is_repeated(cube)
            {
                cube.tally.duplicates += number as u64;
                outcomes.duplicate = number;
                return Ok(None);
            }
            gate.check_size(cube)?;
            let fields = arguments.fields.iter().map(|name| field(cube, name));
            let fields: Vec<Field> = fields.collect::<Result<_, _>>()?;
            let times = check_rows(cube, &gate, &arguments, &fields, width)?;
            cube.begin_rows(number);
            for (row, at) in arguments.rows.rows(width).zip(times) {
                let (values, element) = read_row(cube, &fields, row)?;
                match cube.add_row(&values.event(at, element.bytes())) {
                    Ok(()) => outcomes.counted += 1,
                    Err(_) => {
                        cube.tally.too_late += 1;
                        outcomes.late += 1;
                    }
                }
            }
            if outcomes.counted == 0 {
                return Ok(None);
            }
            if let Some(idempotent) = &arguments.idempotent {
                idempotent.remember(cube);
            }
            let first = arguments.all.len() - arguments.rows.len();
            let is_timestamp = |word: usize| word >= first && (word - first).is_multiple_of(width);
            let name = Self::SPEC.name;
            Ok(Some(propagation(
                name,
                arguments.all,
                is_timestamp,
                gate.now(),
            )))
        };
        let written = key.update(c"hll.cube.madd", |cube| statistics::written(cube, count))?;
        written.ok_or_else(no_cube)?;
        let mut reply = Fields::new();
        reply.field("counted", outcomes.counted);
        reply.field("duplicate", outcomes.duplicate);
        reply.field("late", outcomes.late);
        Ok(reply.into())
    }
}

/// Refuses rows of which one is wrong, before anything has changed; the time of each.
fn check_rows(
    cube: &mut Cube,
    gate: &Gate,
    arguments: &Arguments,
    fields: &[Field],
    width: usize,
) -> Result<Vec<Millis>, CommandError> {
    let mut times = Vec::with_capacity(arguments.rows.len() / width);
    let columns = cube.schema().columns();
    let of_late = columns * (1 + cube.schema().tiers.len());
    let mut cells = 0;
    let mut watch = cube.watch();
    let mut refused = None;
    for (number, row) in arguments.rows.rows(width).enumerate() {
        let in_row = |error: CommandError| {
            CommandError::invalid(format_args!("row {}: {}", number + 1, error.text()))
        };
        let given = row.iter().next().ok_or(CommandError::Arity)?;
        let at = At::parse(given.bytes()).ok_or_else(|| {
            in_row(CommandError::invalid(format_args!(
                "timestamp must be Unix milliseconds up to the year 9999, or *, got '{}'",
                given.shown()
            )))
        })?;
        let at = gate.time(cube, at).map_err(in_row)?;
        read_row(cube, fields, row).map_err(in_row)?;
        let begins_slice = watch.begins_slice(at);
        match watch.judge(at) {
            Verdict::InTime if begins_slice => cells += columns * ROWS_OF_A_SLICE,
            Verdict::InTime => cells += columns,
            Verdict::Late => cells += of_late,
            Verdict::TooLate(error) => {
                if arguments.late.unwrap_or(Late::Error) == Late::Error {
                    refused = Some(in_row(too_late(at, error)));
                    break;
                }
            }
        }
        if cells > MOST_CELLS && !gate.is_replayed() {
            return Err(CommandError::invalid(format_args!(
                "the rows from {} on would be counted in more than {MOST_CELLS} cells ({columns} for a row, {of_late} for a \
                 late one, {} for one that begins a slice), send them in several commands",
                number + 1,
                columns * ROWS_OF_A_SLICE
            )));
        }
        times.push(at);
    }
    match refused {
        Some(error) => {
            cube.tally.too_late += 1;
            Err(error)
        }
        None => Ok(times),
    }
}

/// The values and the element of a row.
fn read_row<'a>(
    cube: &Cube,
    fields: &[Field],
    row: ArgList<'a>,
) -> Result<(Values<'a>, Arg<'a>), CommandError> {
    let mut words = row.iter().skip(1);
    let element = words.next().ok_or(CommandError::Arity)?;
    let mut values = Values::new();
    for (&field, value) in fields.iter().zip(words) {
        values.put(cube, field, value)?;
    }
    Ok((values, element))
}
