//! What the commands that ask have in common: ranges and conditions on the way in, rows on the way out.

use super::{At, dimension, planning, span, timestamp};
use crate::commands::fields::Fields;
use crate::commands::statistics;
use crate::cube::Cube;
use crate::cube::calendar::{Millis, Period, Span};
use crate::cube::query::Query;
use crate::cube::question::{
    Against, Answer, Between, Compared, Comparison, Condition, Figure, Level, Metric, Question,
    Row, Shift, Test, Time, Unanswerable,
};
use crate::cube::schema::{Field, Schema};
use crate::server::answers::is_short;
use crate::server::args::{Arg, ArgList};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{
    Block, Bytes, Choice, MadeOfBlock, OneOf, OneOfThree, OneOrSeveral, Optional, Repeated, Three,
    Word,
};
use crate::server::workers::Work;
use crate::sketch::{Estimate, Precision};
use crate::syntax;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

// ---------------------------------------------------------------------------------------------------------
// Ranges

/// The most values of one condition.
const MOST_VALUES: i64 = 10_000;

const AT: Optional<crate::server::syntax::Parsed<At>> = Optional("AT", timestamp("at"));

syntax! {
    /// The time up to now.
    pub struct LastClause<'a> {
        nothing: PhantomData<&'a ()> = crate::server::syntax::Nothing;
        length: Span = span("duration");
    }
    options {
        at: Option<At> = AT;
    }
}

syntax! {
    /// The time between two instants.
    pub struct FromClause<'a> {
        nothing: PhantomData<&'a ()> = crate::server::syntax::Nothing;
        from: At = timestamp("from");
        to: At = crate::server::syntax::After("TO", timestamp("to"));
    }
}

syntax! {
    /// A period of the calendar.
    pub struct PeriodClause<'a> {
        nothing: PhantomData<&'a ()> = crate::server::syntax::Nothing;
        period: Period = Choice::<Period>::new("period");
    }
    options {
        at: Option<At> = AT;
    }
}

impl Word for Period {
    const ALL: &'static [(&'static str, Period)] = &[
        ("TODAY", Period::Today),
        ("YESTERDAY", Period::Yesterday),
        ("WEEK", Period::Week),
        ("LASTWEEK", Period::LastWeek),
        ("MONTH", Period::Month),
        ("LASTMONTH", Period::LastMonth),
        ("QUARTER", Period::Quarter),
        ("YEAR", Period::Year),
    ];
}

/// The time that a question is about.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// So much up to an instant.
    Last(Span, At),
    /// Between two.
    Between(At, At),
    /// The period that an instant lies in, or the one before.
    Period(Period, At),
}

fn last(clause: LastClause) -> Range {
    let LastClause {
        nothing: PhantomData,
        length,
        at,
    } = clause;
    Range::Last(length, at.unwrap_or(At::Now))
}

fn between(clause: FromClause) -> Range {
    let FromClause {
        nothing: PhantomData,
        from,
        to,
    } = clause;
    Range::Between(from, to)
}

fn period(clause: PeriodClause) -> Range {
    let PeriodClause {
        nothing: PhantomData,
        period,
        at,
    } = clause;
    Range::Period(period, at.unwrap_or(At::Now))
}

/// `[LAST duration [AT at] | FROM from TO to | PERIOD period [AT at]]`
pub const RANGE: OneOf<Range> = OneOf {
    name: "range",
    alternatives: &[
        &MadeOfBlock::<LastClause, Range>("LAST", last),
        &MadeOfBlock::<FromClause, Range>("FROM", between),
        &MadeOfBlock::<PeriodClause, Range>("PERIOD", period),
    ],
    conflict: "LAST, FROM and PERIOD each choose the time, give one of them",
};

impl Range {
    /// How much earlier the same time was before.
    fn shift(self, ctx: &Context, cube: &Cube) -> Shift {
        match self {
            Range::Last(length, _) => Shift::Span(length),
            Range::Between(from, to) => {
                let range = from.millis(ctx)..to.millis(ctx);
                Shift::Local(cube.schema().calendar.local_length(&range))
            }
            Range::Period(period, _) => Shift::Span(match period {
                Period::Today | Period::Yesterday => Span::Days(1),
                Period::Week | Period::LastWeek => Span::Weeks(1),
                Period::Month | Period::LastMonth => Span::Months(1),
                Period::Quarter => Span::Months(3),
                Period::Year => Span::Months(12),
            }),
        }
    }

    /// As the question has it.
    pub fn time(self, ctx: &Context, cube: &Cube) -> Result<Time, CommandError> {
        let calendar = &cube.schema().calendar;
        match self {
            Range::Last(length, at) => {
                let at = at.millis(ctx);
                Ok(Time::UpTo(calendar.minus(at, length)..at.saturating_add(1)))
            }
            Range::Between(from, to) => {
                let (from, to) = (from.millis(ctx), to.millis(ctx));
                if from >= to {
                    return Err(CommandError::invalid(format_args!(
                        "FROM {from} is not before TO {to}, give the earlier one first"
                    )));
                }
                Ok(Time::Between(from..to))
            }
            Range::Period(period, at) => {
                let at = at.millis(ctx);
                let whole = calendar.period(period, at);
                match whole.contains(&at) {
                    true => Ok(Time::UpTo(whole.start..at.saturating_add(1))),
                    false => Ok(Time::Between(whole)),
                }
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// Conditions

syntax! {
    /// What one dimension of an event must be.
    pub struct ConditionClause<'a> {
        dimension: Arg<'a> = Bytes("dimension");
        values: (Option<Test>, ArgList<'a>) = OneOrSeveral("value", 1..=MOST_VALUES, PhantomData::<Test>);
    }
}

impl Word for Test {
    const ALL: &'static [(&'static str, Test)] = &[("IN", Test::In), ("NOT", Test::NotIn)];
}

/// `[WHERE dimension value | IN numvalues value ... | NOT numvalues value ...]...`
pub const WHERE: Repeated<Block<ConditionClause<'static>>> = Repeated("WHERE", Block::new());

/// The conditions, each on a dimension of its own.
pub fn conditions(
    cube: &Cube,
    clauses: &[ConditionClause],
) -> Result<Vec<Condition>, CommandError> {
    let mut conditions: Vec<Condition> = Vec::with_capacity(clauses.len());
    for clause in clauses {
        let (test, values) = clause.values;
        let position = dimension(cube, clause.dimension)?;
        if conditions.iter().any(|other| other.dimension == position) {
            return Err(CommandError::invalid(format_args!(
                "dimension {} stands in two conditions, put its values into one with IN",
                clause.dimension.shown()
            )));
        }
        if values.iter().any(|value| value.bytes().is_empty()) {
            return Err(CommandError::invalid(format_args!(
                "a value of dimension {} is empty, and no event has an empty value, leave it out",
                clause.dimension.shown()
            )));
        }
        conditions.push(Condition {
            dimension: position,
            test: test.unwrap_or(Test::In),
            values: values.iter().map(|value| value.bytes().to_vec()).collect(),
        });
    }
    Ok(conditions)
}

/// What every question has: a time, conditions, and how sure intervals are to be.
pub struct About<'a> {
    /// All that is kept where it is left out.
    pub range: Option<Range>,
    /// Each on a dimension of its own.
    pub conditions: &'a [ConditionClause<'a>],
    /// A fraction.
    pub confidence: f64,
}

impl About<'_> {
    /// The question, of which nothing else is asked yet.
    pub fn question(&self, ctx: &Context, cube: &Cube) -> Result<Question, CommandError> {
        let time = self.range.map(|range| range.time(ctx, cube));
        Ok(Question {
            time: time.transpose()?,
            conditions: conditions(cube, self.conditions)?,
            ..Question::everything(self.confidence)
        })
    }
}

/// `[COMPARE PREVIOUS | FROM from TO to | WHERE dimension ...]`
pub const COMPARE: Optional<
    OneOfThree<Block<FromClause<'static>>, Block<ConditionClause<'static>>>,
> = Optional(
    "COMPARE",
    OneOfThree {
        name: "compare",
        alone: "PREVIOUS",
        second: ("FROM", Block::new()),
        third: ("WHERE", Block::new()),
    },
);

/// What is compared with.
pub type CompareClause<'a> = Three<FromClause<'a>, ConditionClause<'a>>;

/// As the question has it, which is about a range of time.
pub fn against(
    ctx: &Context,
    cube: &Cube,
    range: Option<Range>,
    clause: &CompareClause,
) -> Result<Against, CommandError> {
    let range = || {
        range.ok_or_else(|| {
            CommandError::invalid(
                "COMPARE of times needs the one to be compared, give LAST, FROM or PERIOD",
            )
        })
    };
    match clause {
        Three::Alone => Ok(Against::Before(range()?.shift(ctx, cube))),
        Three::Second(FromClause { from, to, .. }) => {
            range()?;
            match Range::Between(*from, *to).time(ctx, cube)? {
                Time::Between(range) | Time::UpTo(range) => Ok(Against::Between(range)),
            }
        }
        Three::Third(condition) => {
            let mut one = conditions(cube, std::slice::from_ref(condition))?;
            one.pop().map(Against::Other).ok_or(CommandError::Internal)
        }
    }
}

/// What a client's word asks for.
pub fn metric(cube: &Cube, word: Arg) -> Result<Metric, CommandError> {
    let measure = |name: &[u8]| cube.schema().measure(name);
    let bytes = word.bytes();
    let prefixed = |prefix: &str| {
        let (before, name) = bytes.split_at_checked(prefix.len())?;
        before
            .eq_ignore_ascii_case(prefix.as_bytes())
            .then(|| measure(name))
            .flatten()
    };
    let found = match () {
        () if word.is_word("unique") => Some(Metric::Unique),
        () if word.is_word("events") => Some(Metric::Events),
        () if word.is_word("new") => Some(Metric::New),
        () if word.is_word("returning") => Some(Metric::Returning),
        () => measure(bytes)
            .map(Metric::Sum)
            .or_else(|| prefixed("avg:").map(Metric::PerEvent))
            .or_else(|| prefixed("per:").map(Metric::PerUser)),
    };
    found.ok_or_else(|| {
        CommandError::invalid(format_args!(
            "'{}' is no metric of this cube, name unique, events, new, returning, a measure, avg:<measure> \
             or per:<measure>",
            word.shown()
        ))
    })
}

// ---------------------------------------------------------------------------------------------------------
// Answers

/// Why there is no answer, in words of the client's.
pub fn unanswerable(schema: &Schema, why: Unanswerable) -> CommandError {
    let names = |dimensions: &[usize]| {
        let names = dimensions.iter().map(|&at| &schema.dimensions[at].name[..]);
        names.collect::<Vec<&str>>().join(",")
    };
    match why {
        Unanswerable::NoGroup(dimensions) => CommandError::invalid(format_args!(
            "no GROUP holds {}, declare one, or ask with USERS for the intersection of user sets",
            names(&dimensions)
        )),
        Unanswerable::Bucket(length) => CommandError::invalid(format_args!(
            "buckets of {length} cannot be cut from the tiers of this cube, choose a multiple of {}",
            schema.tiers[0].slice
        )),
        Unanswerable::Zone(from) => CommandError::invalid(format_args!(
            "the slices that another zone needs are kept from {from} on, ask from there on or leave \
             TIMEZONE out"
        )),
        Unanswerable::Forgotten(from) => CommandError::invalid(format_args!(
            "nothing is kept of that time, ask for what is from {from} on"
        )),
        Unanswerable::WithinSlice(slice) => CommandError::invalid(format_args!(
            "no whole slice is near enough to that time, the one that it begins in is from {} to {}, ask for \
             all of it",
            slice.start, slice.end
        )),
        Unanswerable::TooManyRows(rows) => CommandError::invalid(format_args!(
            "the answer has {rows} rows or more, ask for fewer with LIMIT, a shorter range or longer \
             buckets"
        )),
        Unanswerable::TooManyBuckets(buckets) => CommandError::invalid(format_args!(
            "the range has {buckets} buckets or more, ask for a shorter range or longer buckets"
        )),
        Unanswerable::TooManySets(sets) => CommandError::invalid(format_args!(
            "the question intersects {sets} sets of users, ask for at most {}",
            crate::sketch::joint::MAX_SETS
        )),
        Unanswerable::OnlyUsers => CommandError::invalid(
            "of intersected sets of users only unique is known, ask for no other metric or declare a GROUP",
        ),
        Unanswerable::NoNew => CommandError::invalid(
            "this cube does not count new users, create one with NEW or ask for no new",
        ),
        Unanswerable::NotCompared(dimension) => CommandError::invalid(format_args!(
            "COMPARE WHERE replaces a condition, and {0} has none or is one of BY, give WHERE {0} too",
            names(&[dimension])
        )),
        Unanswerable::Hashes(mismatch) => mismatch.into(),
    }
}

/// What is to be known of a question when its answer is shown.
pub struct Shown {
    schema: Arc<Schema>,
    zone: String,
    by: Vec<usize>,
    confidence: f64,
    /// The lowest precision that users may have been folded to.
    precision: Precision,
    /// What rows were compared with, where that was asked for.
    comparison: Option<Comparison>,
    /// Whether other events of the same time were.
    side_by_side: bool,
}

/// How an answer becomes a reply.
type Shape = fn(&Shown, &Answer) -> Reply;

/// A question on its way to a reply.
struct Asking {
    query: Query,
    shown: Shown,
    shape: Shape,
}

impl Work for Asking {
    fn step(&mut self) -> ControlFlow<Outcome> {
        match self.query.step() {
            None => ControlFlow::Continue(()),
            Some(Ok(answer)) => {
                self.shown.comparison = self.query.take_comparison();
                ControlFlow::Break(Ok((self.shape)(&self.shown, &answer)))
            }
            Some(Err(why)) => ControlFlow::Break(Err(unanswerable(&self.shown.schema, why))),
        }
    }
}

/// Asks the cube, and answers when it has. `more` is what the command asks beside time and conditions.
pub fn ask(
    ctx: &mut Context,
    key: Arg,
    about: About,
    more: impl FnOnce(&Context, &Cube, &mut Question) -> Result<(), CommandError>,
    shape: Shape,
) -> Outcome {
    let plan = {
        let key = ctx.read::<Cube>(key.into())?;
        let cube = super::required(&key)?;
        let mut question = about.question(ctx, cube)?;
        more(ctx, cube, &mut question)?;
        let calendar = question
            .calendar
            .as_ref()
            .unwrap_or(&cube.schema().calendar);
        let mut shown = Shown {
            schema: cube.shared_schema(),
            zone: calendar.zone.name().to_owned(),
            by: question.by.clone(),
            confidence: question.confidence,
            precision: Precision::default(),
            comparison: None,
            side_by_side: matches!(question.against, Some(Against::Other(_))),
        };
        let slices = planning::slices(cube, question.time.as_ref(), question.bucket);
        planning::plan(ctx, cube, slices, move |cube| {
            let query = Query::plan(cube, question);
            let query = query.map_err(|why| unanswerable(cube.schema(), why))?;
            shown.precision = query.precision();
            let asking = Asking {
                query,
                shown,
                shape,
            };
            Ok((asking.query.expected(), asking.query.bytes(), asking))
        })?
    };
    plan.answer(ctx)
}

/// The users of a question and their precision, at once: for writes, which cannot wait.
pub fn users(
    ctx: &Context,
    cube: &Cube,
    about: &About,
) -> Result<(Estimate, Precision), CommandError> {
    let mut question = about.question(ctx, cube)?;
    question.metrics = vec![Metric::Unique];
    let expected = planning::expected(planning::slices(cube, question.time.as_ref(), None));
    if !is_short(expected) {
        return Err(planning::too_long(expected));
    }
    let refused = |why| unanswerable(cube.schema(), why);
    let mut query = Query::plan(cube, question).map_err(refused)?;
    if !is_short(query.expected()) {
        return Err(planning::too_long(query.expected()));
    }
    let precision = query.precision();
    let answer = loop {
        if let Some(answer) = query.step() {
            break answer.map_err(refused)?;
        }
    };
    let figure = answer.rows.first().and_then(|row| row.figures.first());
    match figure {
        Some(Some(Figure::Estimate(users) | Figure::Common { users, .. })) => {
            Ok((statistics::estimated(*users), precision))
        }
        _ => Err(CommandError::invalid(
            "nothing is kept of this time, ask for one that the cube still keeps",
        )),
    }
}

fn millis(at: Millis) -> Reply {
    Reply::Integer(at)
}

fn head(reply: &mut Fields, shown: &Shown, answer: &Answer) {
    reply.field("from", millis(answer.range.start));
    reply.field("to", millis(answer.range.end));
    reply.field("zone", Reply::Text(shown.zone.clone().into()));
    reply.field(
        "method",
        match answer.level {
            Level::Event => "cell",
            Level::Users => "users",
        },
    );
    reply.field("other_events", answer.other_events as f64);
    reply.field("precision", shown.precision.bits() as usize);
    if let Some(comparison) = &shown.comparison
        && !shown.side_by_side
    {
        let range = comparison.range.as_ref();
        let border = |at: Option<Millis>| at.map_or(Reply::Null, millis);
        reply.field("previous_from", border(range.map(|range| range.start)));
        reply.field("previous_to", border(range.map(|range| range.end)));
    }
    if let Some(comparison) = &shown.comparison {
        reply.field("wide", Reply::Integer(comparison.wide.into()));
    }
}

/// What a metric is called.
fn name(schema: &Schema, metric: Metric) -> String {
    match metric {
        Metric::Unique => "unique".to_owned(),
        Metric::Events => "events".to_owned(),
        Metric::New => "new".to_owned(),
        Metric::Returning => "returning".to_owned(),
        Metric::Sum(at) => schema.measures[at].clone(),
        Metric::PerEvent(at) => format!("avg:{}", schema.measures[at]),
        Metric::PerUser(at) => format!("per:{}", schema.measures[at]),
    }
}

/// What a row is compared with, metric by metric.
fn compared(reply: &mut Fields, shown: &Shown, answer: &Answer, row: &[Option<Compared>]) {
    for (&metric, compared) in answer.metrics.iter().zip(row) {
        let name = name(&shown.schema, metric);
        let previous = compared.map(|compared| match compared.previous {
            Figure::Exact(number) => number,
            Figure::Estimate(users) | Figure::Common { users, .. } => users.value,
            Figure::Ratio { sum, users } => sum / users.value,
        });
        let previous = previous.filter(|number| number.is_finite());
        reply.field(format!("{name}_previous"), previous);
        let mut number = |suffix: &str, number: Option<Between>| {
            reply.field(
                format!("{name}_{suffix}"),
                number.map(|number| number.value),
            );
            let (lower, upper) = (number.map(|one| one.lower), number.map(|one| one.upper));
            reply.field(format!("{name}_{suffix}_lower"), lower);
            reply.field(format!("{name}_{suffix}_upper"), upper);
        };
        number("change", compared.and_then(|compared| compared.change));
        if shown.side_by_side {
            let difference = compared.and_then(|compared| compared.difference);
            number("difference", difference.map(|difference| difference.0));
            let p_value = difference.map(|difference| difference.1);
            reply.field(format!("{name}_p_value"), p_value);
        }
    }
}

/// The figures of a row, each under its name.
fn figures(reply: &mut Fields, shown: &Shown, answer: &Answer, row: &Row) {
    let Shown {
        schema, confidence, ..
    } = shown;
    for (&metric, figure) in answer.metrics.iter().zip(&row.figures) {
        let name = name(schema, metric);
        let estimated = matches!(
            metric,
            Metric::Unique | Metric::New | Metric::Returning | Metric::PerUser(_)
        );
        let (value, interval) = match figure {
            None => (None, None),
            Some(Figure::Exact(number)) => (Some(*number), Some((*number, *number))),
            Some(Figure::Estimate(estimate)) => {
                let estimate = statistics::estimated(*estimate);
                (Some(estimate.value), Some(estimate.interval(*confidence)))
            }
            Some(Figure::Common {
                users,
                lower,
                upper,
            }) => (Some(users.value), Some((*lower, *upper))),
            Some(Figure::Ratio { sum, users }) => {
                let (lower, upper) = users.interval(*confidence);
                let per = |users: f64| if users > 0.0 { sum / users } else { 0.0 };
                let (a, b) = (per(upper), per(lower));
                let value = (users.value > 0.0).then(|| per(users.value));
                (value, value.map(|_| (a.min(b), a.max(b))))
            }
        };
        reply.field(name.clone(), value);
        if estimated {
            reply.field(format!("{name}_lower"), interval.map(|interval| interval.0));
            reply.field(format!("{name}_upper"), interval.map(|interval| interval.1));
        }
    }
}

/// A map with the borders, and a map for each row.
pub fn table(shown: &Shown, answer: &Answer) -> Reply {
    let row = |(at, row): (usize, &Row)| {
        let mut reply = Fields::new();
        if let Some(bucket) = row.bucket {
            reply.field("bucket", millis(bucket));
        }
        for (&at, value) in shown.by.iter().zip(&row.values) {
            let name = shown.schema.dimensions[at].name.clone();
            reply.field(name, value.to_vec());
        }
        figures(&mut reply, shown, answer, row);
        if let Some(comparison) = &shown.comparison {
            compared(&mut reply, shown, answer, &comparison.rows[at]);
        }
        if !row.values.is_empty() {
            reply.field("at_least", Reply::Integer(row.at_least.into()));
        }
        Reply::from(reply)
    };
    let mut reply = Fields::new();
    head(&mut reply, shown, answer);
    reply.field(
        "rows",
        Reply::Array(answer.rows.iter().enumerate().map(row).collect()),
    );
    reply.into()
}

/// One map of everything.
pub fn one(shown: &Shown, answer: &Answer) -> Reply {
    let mut reply = Fields::new();
    if let Some(row) = answer.rows.first() {
        figures(&mut reply, shown, answer, row);
    }
    reply.field("confidence", shown.confidence);
    head(&mut reply, shown, answer);
    reply.into()
}

/// The field that a word names must be a dimension; for BY.
pub fn dimensions(cube: &Cube, words: ArgList) -> Result<Vec<usize>, CommandError> {
    let mut found = Vec::new();
    for word in words.iter() {
        if let Some(Field::Measure(_)) = cube.schema().field(word.bytes()) {
            return Err(CommandError::invalid(format_args!(
                "'{}' is a measure, name a dimension",
                word.shown()
            )));
        }
        let position = dimension(cube, word)?;
        if found.contains(&position) {
            return Err(CommandError::invalid(format_args!(
                "BY names '{}' twice, name it once",
                word.shown()
            )));
        }
        found.push(position);
    }
    Ok(found)
}
