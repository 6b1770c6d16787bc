//! `HLL.RETENTION COHORTS numkeys key ... PERIODS numkeys key ... [CONFIDENCE c]`: how many of each
//! cohort were there in each period.

use super::asked::{Asked, Given, Prepared, Question};
use super::sets::labels;
use crate::commands::CONFIDENCE;
use crate::commands::between;
use crate::commands::fields::Fields;
use crate::commands::figures;
use crate::server::answers::Steps;
use crate::server::args::ArgList;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{KeyUsage, NumberedKeys, Optional, Required};
use crate::sketch::Bounded;
use crate::sketch::analytics::Retained;
use crate::syntax;

syntax! {
    /// Who is followed and when, and how sure the intervals are to be.
    pub struct Arguments<'a> {
    }
    options {
        cohorts: ArgList<'a> = Required(Optional("COHORTS", KEYS));
        periods: ArgList<'a> = Required(Optional("PERIODS", KEYS));
        confidence: f64 = CONFIDENCE;
    }
}

const KEYS: NumberedKeys = NumberedKeys {
    name: "key",
    usage: KeyUsage::Read,
};

/// Of either: a year of weeks and some.
const MOST_KEYS: usize = 64;

/// See the head of this file.
pub struct Retention;

impl Command for Retention {
    const SPEC: Spec = Spec {
        name: c"HLL.RETENTION",
        access: Access::Read,
        summary: c"Counts how many elements of each cohort are in each period.",
        complexity: c"O(C*P*M) with C cohorts and P periods of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        Self::ask(arguments)?.answer_here(ctx)
    }
}

impl Question for Retention {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        let Arguments {
            cohorts,
            periods,
            confidence,
        } = arguments;
        between("cohorts", cohorts.len(), 1..=MOST_KEYS)?;
        between("periods", periods.len(), 1..=MOST_KEYS)?;
        let (rows, columns) = (labels(cohorts, 1)?, labels(periods, cohorts.len())?);
        let (first_period, width) = (rows.len(), columns.len());
        let cells = rows.len() * width;
        let names = cohorts.iter().chain(periods.iter());
        Ok(Asked::about_sets(names, move |sets| {
            let (expected, bytes) = (
                sets.expected_of_pairs(cells, Retained::INTERVALS),
                sets.bytes(),
            );
            let cell = move |number: usize| {
                let (cohort, period) = (number / width, number % width);
                let size =
                    (period == 0).then(|| sets.sketch(cohort).estimate().bounded(confidence));
                let (cohort, found) = (sets.sketch(cohort), sets.sketch(first_period + period));
                let mut reply = Fields::new();
                reply.field("period", columns[period].clone());
                let retained = Retained::of(cohort, found, confidence)?;
                figures::retained(&mut reply, Some(&retained));
                Ok((size, Reply::from(reply)))
            };
            let table = move |cells: Vec<(Option<Bounded>, Reply)>| {
                let mut cells = cells.into_iter();
                let row = |label: &Vec<u8>| {
                    let cells = cells.by_ref().take(width);
                    let (sizes, periods): (Vec<Option<Bounded>>, Vec<Reply>) = cells.unzip();
                    let mut reply = Fields::new();
                    reply.field("cohort", label.clone());
                    reply.figure("size", sizes.first().copied().flatten());
                    reply.field("periods", Reply::Array(periods));
                    Reply::from(reply)
                };
                Ok(Reply::Array(rows.iter().map(row).collect()))
            };
            Prepared {
                expected,
                bytes,
                work: Box::new(Steps::new(cells, cell, table)),
            }
        }))
    }
}
