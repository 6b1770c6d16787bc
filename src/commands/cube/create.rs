//! `HLL.CUBE.CREATE key ...`: an empty cube where there was no key. An inner word belongs to the clause just before it:
//! PRECISION behind TIER or DIMENSION is of that tier or dimension, and anywhere else of the cube.

use super::{TIMEZONE, span};
use crate::commands::key_is_taken;
use crate::cube::Cube;
use crate::cube::calendar::{Calendar, Span, WeekStart, Zone};
use crate::cube::history::History;
use crate::cube::schema::{
    self, DEFAULT_VALUES, Dimension, Group, MAX_VALUES, NEW_PRECISIONS, PRECISIONS, Schema,
    SchemaError, Tier,
};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::key::Propagation;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{
    Block, Bytes, Choice, Defaulted, Flag, Integer, Key, KeyUsage, Nothing, Optional, Repeated,
    Word,
};
use crate::sketch::Precision;
use crate::syntax;
use crate::types::settings::{self, HashChoice};
use std::marker::PhantomData;
use std::ops::RangeInclusive;

const fn bits(range: RangeInclusive<u8>) -> RangeInclusive<i64> {
    *range.start() as i64..=*range.end() as i64
}

const PRECISION: Optional<Integer> = Optional("PRECISION", Integer("precision", bits(PRECISIONS)));

/// How many values are kept apart.
const VALUES: Defaulted<Integer, i64> = Defaulted(
    Optional("VALUES", Integer("values", 1..=MAX_VALUES as i64)),
    DEFAULT_VALUES as i64,
);

syntax! {
    /// Slices of one length.
    pub struct TierClause<'a> {
        nothing: PhantomData<&'a ()> = Nothing;
        slice: Span = span("slice");
        retention: Span = span("retention");
    }
    options {
        precision: Option<i64> = PRECISION;
    }
}

syntax! {
    /// A dimension.
    pub struct DimensionClause<'a> {
        name: Arg<'a> = Bytes("name");
    }
    options {
        precision: Option<i64> = PRECISION;
        values: i64 = VALUES;
        user_level: bool = Flag("USERLEVEL");
    }
}

syntax! {
    /// Dimensions whose combinations are counted.
    pub struct GroupClause<'a> {
        names: Arg<'a> = Bytes("dimensions");
    }
    options {
        values: i64 = VALUES;
    }
}

syntax! {
    /// What the cube is for.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Insert);
    }
    options {
        tiers: Vec<TierClause<'a>> = Repeated("TIER", Block::<TierClause>::new());
        precision: Option<i64> = PRECISION;
        dimensions: Vec<DimensionClause<'a>> =
            Repeated("DIMENSION", Block::<DimensionClause>::new());
        groups: Vec<GroupClause<'a>> = Repeated("GROUP", Block::<GroupClause>::new());
        measures: Vec<Arg<'a>> = Repeated("MEASURE", Bytes("measure"));
        new: Option<i64> = Optional("NEW", Integer("new", bits(NEW_PRECISIONS)));
        zone: Option<Zone> = Optional("TIMEZONE", TIMEZONE);
        week_start: Option<WeekStart> =
            Optional("WEEKSTART", Choice::<WeekStart>::new("weekstart"));
        max_bytes: Option<i64> = Optional("MAXBYTES", Integer("maxbytes", 1..=i64::MAX));
        hash: Option<HashChoice> = Optional("HASH", Choice::<HashChoice>::new("hash"));
    }
}

impl Word for WeekStart {
    const ALL: &'static [(&'static str, WeekStart)] = &[
        ("MON", WeekStart::Monday),
        ("SUN", WeekStart::Sunday),
        ("SAT", WeekStart::Saturday),
    ];
}

/// Tiers where none are asked for.
const DEFAULT_TIERS: [(Span, Span); 4] = [
    (Span::Millis(3_600_000), Span::Millis(48 * 3_600_000)),
    (Span::Days(1), Span::Days(90)),
    (Span::Weeks(1), Span::Weeks(53)),
    (Span::Months(1), Span::Months(36)),
];

/// See the head of this file.
pub struct Create;

impl Command for Create {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.CREATE",
        access: Access::WriteFast,
        summary: c"Creates an empty cube with tiers of time, dimensions, groups and measures.",
        complexity: c"O(N) with N tiers, dimensions, groups and measures.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let key = arguments.key;
        let schema = schema(arguments)?;
        schema.check().map_err(cannot_be)?;
        let key = ctx.write::<Cube>(key.into());
        if key.exists() {
            return Err(key_is_taken());
        }
        // The tables of values are seeded like sketches: by a number that outsiders do not know if it is set.
        let seed = settings::HASH_SEED.get() as u64;
        let cube = Cube::new(schema, seed);
        let propagation = Propagation::whole(&cube);
        key.replace(cube, c"hll.cube.create", propagation);
        Ok(Reply::Ok)
    }
}

fn precision(bits: i64) -> Precision {
    u8::try_from(bits)
        .ok()
        .and_then(Precision::new)
        .unwrap_or_default()
}

/// A name as it was given; what is no text is no name either.
pub fn text(word: Arg) -> String {
    String::from_utf8_lossy(word.bytes()).into_owned()
}

/// Why a cube cannot be declared like this.
pub fn cannot_be(error: SchemaError) -> CommandError {
    CommandError::invalid(format_args!(
        "{error}, docs/cubes.md says what goes together"
    ))
}

/// A dimension as it was given.
#[derive(Clone, Debug)]
pub struct GivenDimension {
    name: String,
    precision: Option<Precision>,
    values: u32,
    user_level: bool,
}

impl DimensionClause<'_> {
    /// As given.
    pub fn given(&self) -> GivenDimension {
        GivenDimension {
            name: text(self.name),
            precision: self.precision.map(precision),
            values: self.values as u32,
            user_level: self.user_level,
        }
    }
}

impl GivenDimension {
    /// As declared; its precision follows from how many values it keeps apart where nothing is said.
    pub fn declared(self, of_values: impl Fn(u32) -> Precision) -> Dimension {
        Dimension {
            name: self.name,
            precision: self.precision.unwrap_or_else(|| of_values(self.values)),
            values: self.values,
            user_level: self.user_level,
        }
    }
}

/// The names of a group's dimensions, and how many combinations it keeps apart.
#[derive(Clone, Debug)]
pub struct GivenGroup {
    names: String,
    values: u32,
}

impl GroupClause<'_> {
    /// As given.
    pub fn given(&self) -> GivenGroup {
        GivenGroup {
            names: text(self.names),
            values: self.values as u32,
        }
    }
}

impl GivenGroup {
    /// As declared, of these dimensions.
    pub fn declared(
        &self,
        dimensions: &[Dimension],
        of_values: impl Fn(u32) -> Precision,
    ) -> Result<Group, CommandError> {
        let position = |name: &str| {
            let mut dimensions = dimensions.iter();
            let found = dimensions.position(|dimension| dimension.name == name);
            found.ok_or_else(|| {
                CommandError::invalid(format_args!(
                    "GROUP names '{}', which is no dimension, declare it with DIMENSION",
                    crate::server::error::printable(name.as_bytes(), 64)
                ))
            })
        };
        let positions = self.names.split(',').map(position);
        Ok(Group {
            dimensions: positions.collect::<Result<_, _>>()?,
            precision: of_values(self.values),
            values: self.values,
        })
    }
}

fn schema(arguments: Arguments) -> Result<Schema, CommandError> {
    let overall = arguments.precision.map(precision);
    let of_values = |values: u32| overall.unwrap_or_else(|| schema::default_precision(values));
    let tiers = arguments.tiers.iter().map(|tier| Tier {
        slice: tier.slice,
        retention: tier.retention,
        precision: tier.precision.map(precision),
    });
    let mut tiers: Vec<Tier> = tiers.collect();
    if tiers.is_empty() {
        let default = DEFAULT_TIERS.iter().map(|&(slice, retention)| Tier {
            slice,
            retention,
            precision: None,
        });
        tiers.extend(default);
    }
    schema::sort_tiers(&mut tiers);
    let dimensions = arguments.dimensions.iter();
    let dimensions: Vec<Dimension> = dimensions
        .map(|dimension| dimension.given().declared(of_values))
        .collect();
    let groups = arguments.groups.iter();
    let groups: Vec<Group> = groups
        .map(|group| group.given().declared(&dimensions, of_values))
        .collect::<Result<_, _>>()?;
    let zone = arguments.zone.or_else(|| Zone::named("UTC"));
    Ok(Schema {
        tiers,
        dimensions,
        groups,
        measures: arguments.measures.iter().copied().map(text).collect(),
        precision: of_values(1),
        new: arguments.new.map(precision),
        calendar: Calendar {
            zone: zone.ok_or(CommandError::Internal)?,
            week_start: arguments.week_start.unwrap_or(WeekStart::Monday),
        },
        hash: arguments
            .hash
            .map_or_else(settings::default_hash, HashChoice::family),
        max_bytes: arguments.max_bytes.map(|bytes| bytes as u64),
        history: History::default(),
    })
}
