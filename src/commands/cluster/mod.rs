//! `HLL.CLUSTER <question> ...`: the answers of the plain commands, for keys in any slots of a cluster.
//!
//! A question is taken apart where it is asked ([`AnySlots`]): its keys go to the nodes that have them, and what it makes of
//! their sketches is the plain command's own (`Question`). In between is the protocol of [`crate::cluster`]; the
//! [`coordinator`] gives it time, messages and the server's word on who has which key, and `gather` reads keys for it.
//!
//! Where a client cannot wait, in transactions and scripts, keys are read at once, and only those of one slot can be.
//! Outside a cluster all of them are here.

pub mod coordinator;
pub mod faults;
mod gather;
pub mod merge;
pub mod probe;
pub mod timeouts;

use super::sketch::asked::{Given, Question};
use crate::cluster::slot;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Container, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax;
use coordinator::{Finish, Wanted};
use std::marker::PhantomData;

/// `HLL.CLUSTER`.
pub struct Cluster;

impl Container for Cluster {
    const SPEC: Spec = Spec {
        name: c"hll.cluster",
        access: Access::Read,
        summary: c"Answers questions about keys in any slots of a cluster.",
        complexity: c"Depends on subcommand.",
        since: c"0.1.0",
    };
}

/// A question that can be asked of the whole cluster.
pub trait ClusterQuestion: Question {
    /// What the server is told about it as a subcommand.
    const IN_CLUSTER: Spec;
}

macro_rules! cluster_questions {
    ($($question:ty: $name:literal, $summary:literal;)*) => {
        $(
            impl ClusterQuestion for $question {
                const IN_CLUSTER: Spec = Spec {
                    name: $name,
                    summary: $summary,
                    ..<$question as Command>::SPEC
                };
            }
        )*
    };
}

cluster_questions! {
    super::sketch::count::Count: c"hll.cluster|count",
        c"Counts the distinct elements in the union of sketches in any slots.";
    super::sketch::estimate::Estimate: c"hll.cluster|estimate",
        c"Counts the union of sketches in any slots and says how sure that is.";
    super::sketch::intersect::Intersect: c"hll.cluster|intersect",
        c"Counts the elements that sketches in any slots have in common.";
    super::sketch::segment::Segment: c"hll.cluster|segment",
        c"Counts the elements in all, any and none of sketches in any slots.";
    super::sketch::overlap::Overlap: c"hll.cluster|overlap",
        c"Counts what every pair of sketches in any slots has in common.";
    super::sketch::funnel::Funnel: c"hll.cluster|funnel",
        c"Counts who did each step and every one before it, with steps in any slots.";
    super::sketch::retention::Retention: c"hll.cluster|retention",
        c"Counts how many of each cohort are in each period, with both in any slots.";
    super::sketch::campaign::Campaign: c"hll.cluster|campaign",
        c"Reports reach, rates and costs of a campaign whose sketches are in any slots.";
}

/// A question as a subcommand of HLL.CLUSTER.
pub struct AnySlots<Q>(PhantomData<fn() -> Q>);

impl<Q: ClusterQuestion> Command for AnySlots<Q> {
    const SPEC: Spec = Q::IN_CLUSTER;

    type Arguments = syntax::AnySlots<Q::Arguments>;

    fn run(ctx: &mut Context, (words, arguments): Given<Self>) -> Outcome {
        // The server has looked at the first key only.
        ctx.check_rights(Q::SPEC.name, words)?;
        if !ctx.is_cluster_node() {
            return Q::run(ctx, arguments);
        }
        let asked = Q::ask(arguments)?;
        if !ctx.may_wait() {
            check_one_slot(ctx, asked.sets.iter().chain(asked.unions.iter().flatten()))?;
            return asked.answer_here(ctx);
        }
        let mut wanted = Wanted::default();
        for name in asked.sets {
            wanted.set(name.bytes());
        }
        for (number, names) in asked.unions.iter().enumerate() {
            for name in names {
                wanted.union(number, name.bytes());
            }
        }
        coordinator::ask(ctx, wanted, Finish::Answer(asked.answer))
    }
}

/// Refuses keys that cannot be read at once: those of different slots, and those of a slot that is on its way.
fn check_one_slot<'k, 'a: 'k>(
    ctx: &Context,
    names: impl IntoIterator<Item = &'k Arg<'a>>,
) -> Result<(), CommandError> {
    let mut first = None;
    for name in names {
        let slot = slot::of(name.bytes());
        if *first.get_or_insert(slot) != slot {
            return Err(CommandError::Marked(
                "CROSSSLOT",
                "in a transaction or a script nobody can wait for other nodes, name keys of one slot or ask outside".to_owned(),
            ));
        }
        if !ctx.serves(probe::NAME, name.bytes()) {
            return Err(moving(name.bytes()));
        }
    }
    Ok(())
}

/// A key that no node would serve while it was asked for.
fn moving(name: &[u8]) -> CommandError {
    CommandError::Marked(
        "TRYAGAIN",
        format!(
            "the slot of key '{}' is being moved, ask again",
            crate::server::error::printable(name, 64)
        ),
    )
}
