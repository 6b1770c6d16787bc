//! `HLL.CLUSTER MERGE destkey sourcekey [sourcekey ...]`: sources from any slots join a destination.
//!
//! The destination brings the client to the node that has it, which gathers the sources like any other question and writes
//! when it lets the client go, in a context of its command. By then much may have changed, so it asks again, in this order:
//! whether a write may be replicated now (a server that is paused or hands its role over would end with it), whether the
//! destination is still its own, whether there is memory; type, hash and precision are those of the destination as it is
//! then. Whatever is not so, nothing is written. No message of another node makes a server write.

use super::coordinator::{self, Finish, Wanted};
use super::faults::{Fault, has};
use super::{check_one_slot, moving, probe};
use crate::commands::sketch::asked::Given;
use crate::commands::sketch::merge::{Merge as Plain, Travels, merge};
use crate::commands::sketch::union::Operands;
use crate::server::command::{Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::AnySlots;
use crate::sketch::Sketch;
use crate::sketch::partial::{Part, resolve};

/// See the head of this file.
pub struct Merge;

impl Command for Merge {
    const SPEC: Spec = Spec {
        name: c"hll.cluster|merge",
        summary: c"Merges sketches of any slots into one.",
        ..Plain::SPEC
    };

    type Arguments = AnySlots<<Plain as Command>::Arguments>;

    fn run(ctx: &mut Context, (words, arguments): Given<Self>) -> Outcome {
        ctx.check_rights(Plain::SPEC.name, words)?;
        let (destination, sources) = arguments.into_parts();
        if ctx.is_cluster_node() && ctx.may_wait() {
            let mut wanted = Wanted::default();
            for source in sources.iter() {
                wanted.union(0, source.bytes());
            }
            let finish = Finish::Merge(destination.bytes().to_vec());
            return coordinator::ask(ctx, wanted, finish);
        }
        if ctx.is_cluster_node() {
            let sources: Vec<_> = sources.iter().collect();
            check_one_slot(ctx, std::iter::once(&destination).chain(&sources))?;
        }
        let sources = Operands::of_keys(ctx, sources.iter())?.into_sketches()?;
        let key = ctx.write::<Sketch>(destination.into());
        merge(key, Travels::AsItsResult, |_| sources)
    }
}

/// Writes what was gathered, when the client is let go.
pub fn conclude(ctx: &mut Context, destination: &[u8], sources: Vec<Part>) -> Outcome {
    if !has(Fault::NoPauseCheck) && !ctx.may_replicate() {
        return Err(CommandError::Marked(
            "TRYAGAIN",
            "the server is paused or hands its role over, nothing was written, ask again"
                .to_owned(),
        ));
    }
    if !ctx.serves(probe::NAME, destination) {
        return Err(moving(destination));
    }
    if ctx.is_out_of_memory() {
        return Err(CommandError::Marked(
            "OOM",
            "more memory is used than 'maxmemory' allows, nothing was written, free some or raise it"
                .to_owned(),
        ));
    }
    let key = ctx.write::<Sketch>(destination.into());
    merge(key, Travels::AsItsResult, |into| resolve(sources, into))
}
