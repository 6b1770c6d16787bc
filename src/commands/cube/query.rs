//! `HLL.CUBE.QUERY key [range] [WHERE ...]... [BY dimension [dimension]] [BUCKET unit] [METRICS ...] [ORDER ...]
//! [LIMIT n [OFFSET k]] [FILL ZERO] [TIMEZONE zone] [COMPARE ...] [USERS] [CONFIDENCE c]`: a row for each bucket and value.

use super::ask::{
    About, COMPARE, CompareClause, ConditionClause, RANGE, Range, WHERE, against, ask, dimensions,
    metric, table,
};
use super::{TIMEZONE, span};
use crate::commands::CONFIDENCE;
use crate::cube::Cube;
use crate::cube::calendar::{Calendar, Span, Zone};
use crate::cube::question::{Direction, Gaps, Level, Order, Question};
use crate::cube::schema::is_name;
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::{
    Block, Bytes, Choice, Counted, Defaulted, Few, Flag, Integer, Key, KeyUsage, OneWord, Optional,
    Word,
};
use crate::syntax;
use std::marker::PhantomData;

/// The most rows of an answer.
pub const MOST_ROWS: i64 = 10_000;

/// The most metrics of a row: every measure in three ways, and the others.
const MOST_METRICS: i64 = 64;

syntax! {
    /// What decides the order.
    pub struct OrderClause<'a> {
        metric: Arg<'a> = Bytes("metric");
    }
    options {
        direction: Option<Direction> = OneWord {
            name: "direction",
            conflict: "ASC and DESC exclude each other, give one of them",
            words: PhantomData::<Direction>,
        };
    }
}

impl Word for Direction {
    const ALL: &'static [(&'static str, Direction)] = &[
        ("ASC", Direction::Ascending),
        ("DESC", Direction::Descending),
    ];
}

impl OrderClause<'_> {
    /// As the question has it.
    pub fn order(&self, cube: &Cube) -> Result<Order, CommandError> {
        Ok(Order {
            metric: metric(cube, self.metric)?,
            direction: self.direction.unwrap_or(Direction::Descending),
        })
    }
}

impl Word for Gaps {
    const ALL: &'static [(&'static str, Gaps)] = &[("ZERO", Gaps::Filled)];
}

syntax! {
    /// The question.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        by: Option<ArgList<'a>> = Optional("BY", Few { name: "dimension", most: 2, fits: is_name });
        bucket: Option<Span> = Optional("BUCKET", span("unit"));
        metrics: Option<ArgList<'a>> = Optional("METRICS", Counted("metric", 1..=MOST_METRICS));
        order: Option<OrderClause<'a>> = Optional("ORDER", Block::<OrderClause>::new());
        limit: Option<i64> = Optional("LIMIT", Integer("limit", 1..=MOST_ROWS));
        offset: i64 = Defaulted(Optional("OFFSET", Integer("offset", 0..=i64::MAX)), 0);
        fill: Option<Gaps> = Optional("FILL", Choice::<Gaps>::new("fill"));
        zone: Option<Zone> = Optional("TIMEZONE", TIMEZONE);
        compare: Option<CompareClause<'a>> = COMPARE;
        users: bool = Flag("USERS");
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Query;

impl Command for Query {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.QUERY",
        access: Access::Read,
        summary: c"Answers users, events, new users and measures by time and dimensions.",
        complexity: c"O(N) with N cells of the slices and values that are asked for.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &arguments.conditions,
            confidence: arguments.confidence,
        };
        let more = |ctx: &Context, cube: &Cube, asked: &mut Question| {
            if let Some(clause) = &arguments.compare {
                asked.against = Some(against(ctx, cube, arguments.range, clause)?);
            }
            asked.by = arguments
                .by
                .map_or(Ok(Vec::new()), |by| dimensions(cube, by))?;
            if let Some(bucket) = arguments.bucket {
                check_bucket(bucket)?;
            }
            asked.bucket = arguments.bucket;
            for word in arguments.metrics.into_iter().flat_map(ArgList::iter) {
                let metric = metric(cube, word)?;
                if asked.metrics.contains(&metric) {
                    return Err(CommandError::invalid(format_args!(
                        "metric '{}' is given twice, give it once",
                        word.shown()
                    )));
                }
                asked.metrics.push(metric);
            }
            asked.order = arguments
                .order
                .as_ref()
                .map(|order| order.order(cube))
                .transpose()?;
            asked.limit = arguments.limit.map(|limit| limit as usize);
            asked.offset = usize::try_from(arguments.offset).unwrap_or(usize::MAX);
            if asked.offset > 0 && asked.limit.is_none() {
                return Err(CommandError::invalid("OFFSET goes with LIMIT, give both"));
            }
            asked.gaps = arguments.fill.unwrap_or(Gaps::Left);
            if asked.gaps == Gaps::Filled && asked.bucket.is_none() {
                return Err(CommandError::invalid("FILL goes with BUCKET, give both"));
            }
            asked.calendar = arguments.zone.clone().map(|zone| Calendar {
                zone,
                week_start: cube.schema().calendar.week_start,
            });
            if arguments.users {
                asked.level = Level::Users;
            }
            Ok(())
        };
        ask(ctx, arguments.key, about, more, table)
    }
}

/// Refuses what is no length of a bucket.
pub fn check_bucket(bucket: Span) -> Result<(), CommandError> {
    if bucket.is_slice() {
        return Ok(());
    }
    Err(CommandError::invalid(format_args!(
        "a bucket of {bucket} is a day or longer and not of the calendar, write it in d, w, mo, q or y"
    )))
}
