//! `HLL.CUBE.COUNT key [range] [WHERE ...]... [USERS] [CONFIDENCE c]`: everything of a stretch of time in one map.

use super::ask::{About, ConditionClause, RANGE, Range, WHERE, ask, one};
use crate::commands::CONFIDENCE;
use crate::cube::Cube;
use crate::cube::question::{Level, Question};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::Outcome;
use crate::server::syntax::{Flag, Key, KeyUsage};
use crate::syntax;

syntax! {
    /// The time, and what events have to be.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
    options {
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        users: bool = Flag("USERS");
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Count;

impl Command for Count {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.COUNT",
        access: Access::Read,
        summary: c"Counts users, events, new users and measures in a stretch of time.",
        complexity: c"O(N) with N slices that make up the time.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &arguments.conditions,
            confidence: arguments.confidence,
        };
        let more = |_: &Context, _: &Cube, asked: &mut Question| {
            if arguments.users {
                asked.level = Level::Users;
            }
            Ok(())
        };
        ask(ctx, arguments.key, about, more, one)
    }
}
