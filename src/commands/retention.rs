//! `HLL.RETENTION COHORTS numkeys key ... PERIODS numkeys key ... [CONFIDENCE c]`: how many of each
//! cohort were there in each period.

use super::sets::{Sets, labels};
use super::{Labelled, between};
use crate::server::args::{Arg, Args, DEFAULT_CONFIDENCE};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;

/// See the head of this file.
pub struct Retention;

const OPTIONS: [&str; 3] = ["COHORTS", "PERIODS", "CONFIDENCE"];

/// Of either: a year of weeks and some.
const MOST_KEYS: usize = 64;

struct Query<'a> {
    cohorts: Vec<Arg<'a>>,
    periods: Vec<Arg<'a>>,
    confidence: f64,
}

impl<'a> Query<'a> {
    fn read(args: &mut Args<'a>) -> Result<Query<'a>, CommandError> {
        let (mut cohorts, mut periods, mut confidence) = (None, None, None);
        while let Some(found) = args.option(&OPTIONS)? {
            let word = OPTIONS[found];
            match word {
                "COHORTS" => args.option_value(word, &mut cohorts, Args::numbered_keys)?,
                "PERIODS" => args.option_value(word, &mut periods, Args::numbered_keys)?,
                _ => args.option_value(word, &mut confidence, Args::confidence_value)?,
            }
        }
        let missing = |word: &str| {
            CommandError::invalid(format_args!(
                "{word} is missing, give {word} numkeys key ..."
            ))
        };
        Ok(Query {
            cohorts: cohorts.ok_or_else(|| missing("COHORTS"))?,
            periods: periods.ok_or_else(|| missing("PERIODS"))?,
            confidence: confidence.unwrap_or(DEFAULT_CONFIDENCE),
        })
    }
}

impl Command for Retention {
    const SPEC: Spec = Spec {
        name: c"HLL.RETENTION",
        arity: -7,
        access: Access::Read,
        summary: c"Counts how many elements of each cohort are in each period.",
        complexity: c"O(C*P*M) with C cohorts and P periods of M registers.",
        since: c"0.1.0",
        keys: &[
            Keys::new(1, KeyCount::BehindWord(c"COHORTS"), KeyUsage::Read),
            Keys::new(1, KeyCount::BehindWord(c"PERIODS"), KeyUsage::Read),
        ],
        args: &[
            ArgSpec::keys_behind(c"COHORTS", c"cohorts", &ArgSpec::numbered_keys(0)),
            ArgSpec::keys_behind(c"PERIODS", c"periods", &ArgSpec::numbered_keys(1)),
            ArgSpec::CONFIDENCE,
        ],
    };

    fn keys<'a>(args: &mut Args<'a>) -> Result<Vec<Arg<'a>>, CommandError> {
        let query = Query::read(args)?;
        Ok([query.cohorts, query.periods].concat())
    }

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let query = Query::read(&mut call.args)?;
        between("cohorts", query.cohorts.len(), 1..=MOST_KEYS)?;
        between("periods", query.periods.len(), 1..=MOST_KEYS)?;
        let confidence = query.confidence;
        let cohorts = query.cohorts.len();
        let names = [query.cohorts, query.periods].concat();
        let keys = call.read_all(names.iter().copied());
        let sets = Sets::of_keys(&names, &keys)?;
        let labels = labels(&names);
        let solutions = cohorts * (labels.len() - cohorts);
        sets.answer(call, solutions, 2, move |sets| {
            let cell = |cohort: usize, period: usize| {
                let solution = sets.solve(&[cohort, period])?;
                let (joint, both) = (&solution.joint, solution.sets([0, 1]));
                let users = joint.intersection(both);
                let rate = joint.containment(solution.place(0), solution.place(1));
                let mut reply = Labelled::new();
                reply.field("period", labels[period].clone());
                reply.estimate("users", users.value, users.interval(confidence));
                reply.share("rate", rate);
                Ok::<_, CommandError>(Reply::from(reply))
            };
            let row = |cohort: usize| {
                let cells = (cohorts..labels.len()).map(|period| cell(cohort, period));
                let mut reply = Labelled::new();
                reply.field("cohort", labels[cohort].clone());
                reply.number("size", sets.alone(cohort).value);
                reply.field("periods", Reply::Array(cells.collect::<Result<_, _>>()?));
                Ok(Reply::from(reply))
            };
            (0..cohorts)
                .map(row)
                .collect::<Result<_, _>>()
                .map(Reply::Array)
        })
    }
}
