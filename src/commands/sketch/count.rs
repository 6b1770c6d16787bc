//! `HLL.COUNT key [key ...]`: distinct elements in the union, to the nearest whole number.

use super::asked::{Asked, Given, Question};
use super::{rounded, union};
use crate::commands::statistics::estimated;
use crate::server::args::ArgList;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::{KeyUsage, Keys};
use crate::sketch::{Estimate, Sketch};
use crate::syntax;

syntax! {
    /// The sets to be united.
    pub struct Arguments<'a> {
        names: ArgList<'a> = Keys("key", KeyUsage::Read);
    }
}

/// See the head of this file.
pub struct Count;

impl Command for Count {
    const SPEC: Spec = Spec {
        name: c"HLL.COUNT",
        access: Access::Read,
        summary: c"Counts the distinct elements in the union of sketches.",
        complexity:
            c"O(1) for one key that was only added to, otherwise O(N*M) with N keys of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let Some(name) = arguments.names.only() else {
            return union::answer(ctx, arguments.names, reply);
        };
        let key = ctx.read(name.into())?;
        let count = key.value().map(Sketch::estimate).map(estimated);
        Ok(Reply::Integer(count.map_or(0, rounded)))
    }
}

impl Question for Count {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        Ok(union::ask(arguments.names, reply))
    }
}

fn reply(count: Estimate) -> Reply {
    Reply::Integer(rounded(count))
}
