//! What the commands that compare sets of users have in common: steps as values of a dimension on the way in, rows of
//! findings on the way out.

use super::ask::{About, dimensions, unanswerable};
use super::{dimension, planning};
use crate::commands::fields::Fields;
use crate::cube::Cube;
use crate::cube::calendar::{Millis, Span};
use crate::cube::query::analysis::{Analysis, Finding, Solver};
use crate::cube::query::funnels::StepsQuestion;
use crate::cube::question::{Level, Unanswerable};
use crate::cube::schema::{Schema, is_name};
use crate::server::args::{Arg, ArgList};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{Few, Optional};
use crate::server::workers::Work;
use std::ops::ControlFlow;
use std::sync::Arc;

/// `[BY dimension]`
pub const BY: Optional<Few> = Optional(
    "BY",
    Few {
        name: "dimension",
        most: 1,
        fits: is_name,
    },
);

/// The position of the dimension of `BY`.
pub fn by(cube: &Cube, words: Option<ArgList>) -> Result<Option<usize>, CommandError> {
    let found = words.map(|words| dimensions(cube, words)).transpose()?;
    Ok(found.and_then(|found| found.first().copied()))
}

/// Values of a dimension that are steps.
pub fn steps<'a>(
    ctx: &Context,
    cube: &Cube,
    about: About,
    name: Arg,
    values: impl IntoIterator<Item = Arg<'a>>,
    words: Option<ArgList>,
) -> Result<StepsQuestion, CommandError> {
    let question = about.question(ctx, cube)?;
    let dimension = dimension(cube, name)?;
    let by = by(cube, words)?;
    if by == Some(dimension) {
        return Err(CommandError::invalid(format_args!(
            "the steps are values of dimension {0}, so there are no rows by {0}, name another dimension",
            name.shown()
        )));
    }
    let conditions = question.conditions;
    if conditions.iter().any(|own| own.dimension == dimension) {
        return Err(CommandError::invalid(format_args!(
            "the steps are values of dimension {}, which stands in a condition too, leave that out",
            name.shown()
        )));
    }
    let steps: Vec<Vec<u8>> = values
        .into_iter()
        .map(|value| value.bytes().to_vec())
        .collect();
    if steps.iter().any(Vec::is_empty) {
        return Err(CommandError::invalid(format_args!(
            "a step is empty, and no event has an empty value, name values of dimension {}",
            name.shown()
        )));
    }
    Ok(StepsQuestion {
        time: question.time,
        dimension,
        steps,
        conditions,
        by,
        confidence: question.confidence,
    })
}

/// Why there is no answer: these commands have no USERS and no LIMIT to advise.
fn no_findings(schema: &Schema, why: Unanswerable) -> CommandError {
    match why {
        Unanswerable::NoGroup(dimensions) => {
            let names = dimensions.iter().map(|&at| &schema.dimensions[at].name[..]);
            CommandError::invalid(format_args!(
                "no GROUP holds {}, declare one",
                names.collect::<Vec<&str>>().join(",")
            ))
        }
        Unanswerable::TooManyRows(rows) => CommandError::invalid(format_args!(
            "the answer has {rows} rows or more, ask for a shorter range, or about fewer values with WHERE"
        )),
        why => unanswerable(schema, why),
    }
}

/// Sets on their way to a reply.
struct Comparing<S: Solver, L> {
    analysis: Analysis<S>,
    schema: Arc<Schema>,
    by: Option<usize>,
    lines: L,
}

impl<S: Solver, L> Comparing<S, L>
where
    L: Fn(&dyn Fn() -> Fields, S::Figures) -> Vec<Fields>,
{
    /// The lines of a row.
    fn lines(&self, finding: Finding<S::Figures>) -> impl Iterator<Item = Reply> + use<S, L> {
        let begin = || {
            let mut line = Fields::new();
            if let (Some(by), Some(value)) = (self.by, &finding.value) {
                let name = self.schema.dimensions[by].name.clone();
                line.field(name, value.to_vec());
            }
            line
        };
        let (by, at_least) = (self.by, finding.at_least);
        let lines = (self.lines)(&begin, finding.figures).into_iter();
        lines.map(move |mut line| {
            if by.is_some() {
                line.field("at_least", Reply::Integer(at_least.into()));
            }
            Reply::from(line)
        })
    }
}

impl<S, L> Work for Comparing<S, L>
where
    S: Solver + Send,
    S::Figures: Send,
    L: Fn(&dyn Fn() -> Fields, S::Figures) -> Vec<Fields> + Send,
{
    fn step(&mut self) -> ControlFlow<Outcome> {
        let findings = match self.analysis.step() {
            None => return ControlFlow::Continue(()),
            Some(Err(why)) => return ControlFlow::Break(Err(no_findings(&self.schema, why))),
            Some(Ok(findings)) => findings,
        };
        let mut reply = Fields::new();
        reply.field("from", Reply::Integer(findings.range.start));
        reply.field("to", Reply::Integer(findings.range.end));
        let zone = self.schema.calendar.zone.name().to_owned();
        reply.field("zone", Reply::Text(zone.into()));
        reply.field(
            "method",
            match findings.level {
                Level::Event => "cell",
                Level::Users => "users",
            },
        );
        reply.field("other_events", findings.other_events as f64);
        let rows = findings.rows.into_iter();
        let lines = rows.flat_map(|finding| self.lines(finding));
        reply.field("rows", Reply::Array(lines.collect()));
        ControlFlow::Break(Ok(reply.into()))
    }
}

/// Compares the sets of a question to the cube, and answers when that is done. The figures of a row become lines of the
/// reply, each of which begins with what the first argument makes.
pub fn compare<S>(
    ctx: &mut Context,
    key: Arg,
    plan: impl FnOnce(&Context, &Cube) -> Result<Planned<S>, CommandError>,
    lines: impl Fn(&dyn Fn() -> Fields, S::Figures) -> Vec<Fields> + Send + 'static,
) -> Outcome
where
    S: Solver + Send + 'static,
    S::Figures: Send + 'static,
{
    let plan = {
        let key = ctx.read::<Cube>(key.into())?;
        let cube = super::required(&key)?;
        let Planned {
            by,
            every,
            analysis,
        } = plan(ctx, cube)?;
        // Who came earlier, and in other periods, is asked of all slices.
        let slices = planning::slices(cube, None, every);
        planning::plan(ctx, cube, slices, move |cube| {
            let analysis = analysis(cube).map_err(|why| no_findings(cube.schema(), why))?;
            let (expected, bytes) = (analysis.expected(), analysis.bytes());
            let comparing = Comparing {
                analysis,
                schema: cube.shared_schema(),
                by,
                lines,
            };
            Ok((expected, bytes, comparing))
        })?
    };
    plan.answer(ctx)
}

/// Unix milliseconds, or null.
pub fn instant(at: Option<Millis>) -> Reply {
    at.map_or(Reply::Null, Reply::Integer)
}

/// What [`compare`] is to work on.
pub struct Planned<S: Solver> {
    /// The dimension whose values are rows.
    pub by: Option<usize>,
    /// The length of periods, where there are such.
    pub every: Option<Span>,
    /// Finds the sets, if there are such.
    pub analysis: FindSets<S>,
}

/// See [`Planned`].
type FindSets<S> = Box<dyn FnOnce(&Cube) -> Result<Analysis<S>, Unanswerable> + Send>;
