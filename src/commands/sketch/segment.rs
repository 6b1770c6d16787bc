//! `HLL.SEGMENT [ALL numkeys key ...] [ANY numkeys key ...] [NONE numkeys key ...] [CONFIDENCE c]`:
//! elements in every ALL set, in at least one ANY set, and in no NONE set.
//!
//! New users are ALL this month NONE the months before; churned ones ALL last month NONE this month.
//! The ANY sets, and the NONE sets, only ever occur as their union, so they are united first and may
//! be many.

use super::asked::{Asked, Given, Prepared, Question};
use super::sets::{Sets, distinct};
use super::union::Operands;
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::server::answers::{OneStep, is_short};
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::{KeyUsage, NumberedKeys, Optional};
use crate::sketch::Sketch;
use crate::sketch::joint::{MAX_SETS, Segment as Elements, SetMask};
use crate::syntax;
use std::collections::HashSet;
use std::time::Duration;

syntax! {
    /// The sets, and how sure the interval is to be.
    pub struct Arguments<'a> {
    }
    options {
        all: Option<ArgList<'a>> = Optional("ALL", KEYS);
        any: Option<ArgList<'a>> = Optional("ANY", KEYS);
        none: Option<ArgList<'a>> = Optional("NONE", KEYS);
        confidence: f64 = CONFIDENCE;
    }
}

const KEYS: NumberedKeys = NumberedKeys {
    name: "key",
    usage: KeyUsage::Read,
};

/// Of the segment, its base and its share of that.
const INTERVALS: usize = 3;

/// See the head of this file.
pub struct Segment;

impl Command for Segment {
    const SPEC: Spec = Spec {
        name: c"HLL.SEGMENT",
        access: Access::Read,
        summary:
            c"Counts the elements in all of some sketches, any of others and none of the rest.",
        complexity: c"O(N*M+3^K) with N keys of M registers that make K sets.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        Self::ask(arguments)?.answer_here(ctx)
    }
}

impl Question for Segment {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        if arguments.all.is_none() && arguments.any.is_none() {
            return Err(CommandError::form(
                "a segment without ALL and ANY has no end, give at least one of them",
            ));
        }
        let confidence = arguments.confidence;
        let [all, any, none] = [arguments.all, arguments.any, arguments.none]
            .map(|names| distinct(names.unwrap_or_default().iter()).0);
        let size = all.len() + usize::from(!any.is_empty()) + usize::from(!none.is_empty());
        if size > MAX_SETS {
            return Err(CommandError::invalid(format_args!(
                "a segment takes at most {MAX_SETS} sets, the ANY keys and the NONE keys being one \
                 each, got {size}"
            )));
        }
        let nobody = contradict(&all, &any, &none);
        let (has_any, has_none) = (!any.is_empty(), !none.is_empty());
        Ok(Asked {
            sets: all,
            unions: [any, none]
                .into_iter()
                .filter(|names| !names.is_empty())
                .collect(),
            answer: Box::new(move |all, unions| {
                let mut unions = unions.into_iter();
                let lists = Lists {
                    nobody,
                    all,
                    any: has_any.then(|| unions.next()).flatten(),
                    none: has_none.then(|| unions.next()).flatten(),
                };
                lists.prepare(confidence)
            }),
        })
    }
}

/// Whether some ALL set, or every ANY set, is a NONE set too.
fn contradict(all: &[Arg], any: &[Arg], none: &[Arg]) -> bool {
    let none: HashSet<&[u8]> = none.iter().map(|name| name.bytes()).collect();
    let excluded = |name: &Arg| none.contains(name.bytes());
    all.iter().any(excluded) || !any.is_empty() && any.iter().all(excluded)
}

/// The sketches of each list.
struct Lists {
    /// Whether the question contradicts itself.
    nobody: bool,
    /// `None` for a missing key.
    all: Vec<Option<Sketch>>,
    any: Option<Operands>,
    none: Option<Operands>,
}

impl Lists {
    fn united(&self) -> impl Iterator<Item = &Operands> {
        [&self.any, &self.none].into_iter().flatten()
    }

    fn union_cost(&self) -> Duration {
        self.united().map(Operands::expected).sum()
    }

    fn bytes(&self) -> usize {
        let all = self.all.iter().flatten().map(Sketch::clone_bytes);
        all.chain(self.united().map(Operands::bytes)).sum()
    }

    /// How long the solution takes is known once the unions are there.
    fn prepare(self, confidence: f64) -> Result<Prepared, CommandError> {
        let (expected, bytes) = (self.union_cost(), self.bytes());
        if is_short(expected) {
            let united = self.unite()?;
            return Ok(Prepared {
                expected: united.sets.expected(INTERVALS),
                bytes,
                work: Box::new(OneStep::new(move || united.answer(confidence))),
            });
        }
        let work = move || self.unite()?.answer(confidence);
        Ok(Prepared {
            expected,
            bytes,
            work: Box::new(OneStep::new(work)),
        })
    }

    fn unite(self) -> Result<United, CommandError> {
        let mut sketches = self.all;
        let all = SetMask::first(sketches.len());
        let any = push_union(&mut sketches, self.any)?;
        let none = push_union(&mut sketches, self.none)?;
        Ok(United {
            sets: Sets::of_sketches(sketches),
            segment: Elements { all, any, none },
            nobody: self.nobody,
        })
    }
}

/// Appends the union of these as one set and says which it is; where no keys were named there is none.
fn push_union(
    sketches: &mut Vec<Option<Sketch>>,
    operands: Option<Operands>,
) -> Result<SetMask, CommandError> {
    let Some(operands) = operands else {
        return Ok(SetMask::NONE);
    };
    sketches.push(operands.unite()?);
    Ok(SetMask::single(sketches.len() - 1))
}

/// At most [`MAX_SETS`] sets, and which of them are which.
struct United {
    sets: Sets,
    segment: Elements,
    nobody: bool,
}

/// The elements that are in a set and not in it.
const NOBODY: Elements = Elements {
    all: SetMask::FIRST,
    any: SetMask::NONE,
    none: SetMask::FIRST,
};

impl United {
    fn answer(&self, confidence: f64) -> Outcome {
        let joint = self.sets.solve()?;
        let base = Elements {
            none: SetMask::NONE,
            ..self.segment
        };
        // Nothing is in a set and not in it; the question without NONE still has its answer.
        let segment = if self.nobody { NOBODY } else { self.segment };
        let share = joint.ratio(segment, base);
        let mut reply = Fields::new();
        reply.estimate("estimate", joint.estimate(segment).bounded(confidence));
        reply.field("confidence", confidence);
        reply.figure("base", joint.estimate(base).bounded(confidence));
        reply.figure("share", share.map(|share| share.bounded(confidence)));
        Ok(reply.into())
    }
}
