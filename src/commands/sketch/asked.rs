//! A question about sketches apart from where they are: which keys it reads, and what it makes of what is under them.
//!
//! A command reads its keys and answers; [`crate::commands::cluster`] has them read by the nodes of a cluster. Both come to
//! the same function from sketches to a reply.

use super::sets::{Sets, copies, distinct};
use super::union::Operands;
use crate::server::args::Arg;
use crate::server::command::Command;
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::Syntax;
use crate::server::workers::Work;
use crate::sketch::Sketch;
use std::time::Duration;

/// A command that is a question about sketches.
pub trait Question: Command {
    /// What is asked, from the command's arguments.
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError>;
}

/// The arguments of a command.
pub type Given<'a, C> = <<C as Command>::Arguments as Syntax>::Value<'a>;

/// What is made of the sketches: those of the sets, `None` for a missing key, and those to be united.
pub type Answer =
    Box<dyn FnOnce(Vec<Option<Sketch>>, Vec<Operands>) -> Result<Prepared, CommandError> + Send>;

/// What is asked.
pub struct Asked<'a> {
    /// Keys whose sketches are wanted each for itself; every one once.
    pub sets: Vec<Arg<'a>>,
    /// Keys of whose sketches only the union is wanted.
    pub unions: Vec<Vec<Arg<'a>>>,
    /// What is made of them.
    pub answer: Answer,
}

/// An answer that is to be computed.
pub struct Prepared {
    /// About how long that takes.
    pub expected: Duration,
    /// How many bytes it keeps alive meanwhile.
    pub bytes: usize,
    /// What does it.
    pub work: Box<dyn Work>,
}

impl<'a> Asked<'a> {
    /// About some sets, in this order, of which some may be the same.
    pub fn about_sets(
        names: impl IntoIterator<Item = Arg<'a>>,
        answer: impl FnOnce(Sets) -> Prepared + Send + 'static,
    ) -> Asked<'a> {
        let (sets, places) = distinct(names);
        Asked {
            sets,
            unions: Vec::new(),
            answer: Box::new(move |sketches, _| Ok(answer(Sets::placed(sketches, places)))),
        }
    }

    /// Answers it from the keys of this server.
    pub fn answer_here(self, ctx: &mut Context) -> Outcome {
        let sets = copies(ctx, self.sets)?;
        let unions = self.unions.into_iter();
        let unions = unions.map(|names| Operands::of_keys(ctx, names));
        let unions = unions.collect::<Result<Vec<_>, _>>()?;
        let prepared = (self.answer)(sets, unions)?;
        ctx.answer(prepared.expected, prepared.bytes, prepared.work)
    }
}
