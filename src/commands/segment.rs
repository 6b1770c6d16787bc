//! `HLL.SEGMENT [ALL numkeys key ...] [ANY numkeys key ...] [NONE numkeys key ...] [CONFIDENCE c]`:
//! elements in every ALL set, in at least one ANY set, and in no NONE set.
//!
//! New users are ALL this month NONE the months before; churned ones ALL last month NONE this month.
//! The ANY sets, and the NONE sets, only ever occur as their union, so they are united first and may
//! be many.

use super::sets::Sets;
use super::{Labelled, present};
use crate::server::args::{Arg, Args, DEFAULT_CONFIDENCE};
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::key::ReadKey;
use crate::server::reply::Reply;
use crate::sketch::Sketch;
use crate::sketch::joint::{MAX_SETS, Segment as Question, SetMask};
use std::borrow::Cow;

/// See the head of this file.
pub struct Segment;

const OPTIONS: [&str; 4] = ["ALL", "ANY", "NONE", "CONFIDENCE"];

const fn behind(word: &'static std::ffi::CStr) -> Keys {
    Keys::new(1, KeyCount::BehindWord(word), KeyUsage::Read)
}

#[derive(Default)]
struct Query<'a> {
    all: Option<Vec<Arg<'a>>>,
    any: Option<Vec<Arg<'a>>>,
    none: Option<Vec<Arg<'a>>>,
    confidence: Option<f64>,
}

impl<'a> Query<'a> {
    fn read(args: &mut Args<'a>) -> Result<Query<'a>, CommandError> {
        let mut query = Query::default();
        while let Some(found) = args.option(&OPTIONS)? {
            let word = OPTIONS[found];
            match word {
                "ALL" => args.option_value(word, &mut query.all, Args::numbered_keys)?,
                "ANY" => args.option_value(word, &mut query.any, Args::numbered_keys)?,
                "NONE" => args.option_value(word, &mut query.none, Args::numbered_keys)?,
                _ => args.option_value(word, &mut query.confidence, Args::confidence_value)?,
            }
        }
        Ok(query)
    }

    /// Whether some ALL key, or every ANY key, is a NONE key too.
    fn contradicts_itself(&self) -> bool {
        let none = self.none.iter().flatten().map(|name| name.bytes());
        let none: Vec<&[u8]> = none.collect();
        let excluded = |name: &Arg| none.contains(&name.bytes());
        self.all.iter().flatten().any(excluded)
            || self
                .any
                .as_ref()
                .is_some_and(|any| any.iter().all(excluded))
    }
}

impl Command for Segment {
    const SPEC: Spec = Spec {
        name: c"HLL.SEGMENT",
        arity: -4,
        access: Access::Read,
        summary:
            c"Counts the elements in all of some sketches, any of others and none of the rest.",
        complexity: c"O(N*M+3^K) with N keys of M registers that make K sets.",
        since: c"0.1.0",
        keys: &[behind(c"ALL"), behind(c"ANY"), behind(c"NONE")],
        args: &[
            ArgSpec::keys_behind(c"ALL", c"all", &ArgSpec::numbered_keys(0)).optional(),
            ArgSpec::keys_behind(c"ANY", c"any", &ArgSpec::numbered_keys(1)).optional(),
            ArgSpec::keys_behind(c"NONE", c"none", &ArgSpec::numbered_keys(2)).optional(),
            ArgSpec::CONFIDENCE,
        ],
    };

    fn keys<'a>(args: &mut Args<'a>) -> Result<Vec<Arg<'a>>, CommandError> {
        let query = Query::read(args)?;
        Ok([query.all, query.any, query.none]
            .into_iter()
            .flatten()
            .flatten()
            .collect())
    }

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let query = Query::read(&mut call.args)?;
        if query.all.is_none() && query.any.is_none() {
            return Err(CommandError::invalid(
                "a segment without ALL and ANY has no end, give at least one of them",
            ));
        }
        let confidence = query.confidence.unwrap_or(DEFAULT_CONFIDENCE);
        let contradicts_itself = query.contradicts_itself();
        let [all, any, none] = [query.all, query.any, query.none].map(|names| open(call, names));
        let size = all.len() + usize::from(!any.is_empty()) + usize::from(!none.is_empty());
        if size > MAX_SETS {
            return Err(CommandError::invalid(format_args!(
                "a segment takes at most {MAX_SETS} sets, the ANY keys and the NONE keys being one \
                 each, got {size}"
            )));
        }
        let mut sketches = Vec::with_capacity(size);
        for key in &all {
            sketches.push(key.sketch()?.map(Cow::Borrowed));
        }
        let all = SetMask::first(sketches.len());
        let any = push_union(&mut sketches, &any)?;
        let none = push_union(&mut sketches, &none)?;
        Sets::of_sketches(sketches).answer(call, 1, size, move |sets| {
            let joint = sets.solve_all()?.joint;
            let base = Question {
                all,
                any,
                none: SetMask::NONE,
            };
            let segment = Question { all, any, none };
            // Nothing is in a set and not in it; the question without NONE still has its answer.
            let segment = match contradicts_itself {
                true => NOBODY,
                false => segment,
            };
            let found = joint.estimate(segment);
            let mut reply = Labelled::new();
            reply.estimate("estimate", found.value, found.interval(confidence));
            reply.number("confidence", confidence);
            reply.number("base", joint.estimate(base).value);
            reply.share("share", joint.ratio(segment, base));
            Ok(reply.into())
        })
    }
}

/// The elements that are in a set and not in it.
const NOBODY: Question = Question {
    all: SetMask::FIRST,
    any: SetMask::NONE,
    none: SetMask::FIRST,
};

/// Opens the keys of one list, each once.
fn open<'a>(call: &Call<'a>, names: Option<Vec<Arg<'a>>>) -> Vec<ReadKey<'a>> {
    let mut names = names.unwrap_or_default();
    names.sort_by_key(|name| name.bytes());
    names.dedup_by_key(|name| name.bytes());
    call.read_all(names)
}

/// Appends the union of these keys as one set and says which it is; no keys are no set.
fn push_union<'k>(
    sketches: &mut Vec<Option<Cow<'k, Sketch>>>,
    keys: &'k [ReadKey],
) -> Result<SetMask, CommandError> {
    if keys.is_empty() {
        return Ok(SetMask::NONE);
    }
    sketches.push(Sketch::union(present(keys)?)?);
    Ok(SetMask::single(sketches.len() - 1))
}
