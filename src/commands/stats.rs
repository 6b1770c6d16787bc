//! `HLL.STATS`: what INFO says of the module, for clients that may not run INFO.

use crate::commands::fields::Fields;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::info::{InfoValue, fields};
use crate::server::reply::{Outcome, Reply};
use crate::server::syntax::Nothing;
use crate::syntax;
use std::marker::PhantomData;

syntax! {
    /// Nothing.
    pub struct Arguments<'a> {
        nothing: PhantomData<&'a ()> = Nothing;
    }
}

/// See the head of this file.
pub struct Stats;

impl Command for Stats {
    const SPEC: Spec = Spec {
        name: c"HLL.STATS",
        access: Access::ReadFast,
        summary: c"Returns the module's counters, as INFO does.",
        complexity: c"O(1)",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(
        _: &mut Context,
        Arguments {
            nothing: PhantomData,
        }: Arguments,
    ) -> Outcome {
        let mut reply = Fields::new();
        for field in fields() {
            let value = match field.value {
                InfoValue::Number(read) => {
                    Reply::Integer(i64::try_from(read()).unwrap_or(i64::MAX))
                }
                InfoValue::Text(text) => Reply::Text(text.to_string_lossy()),
                InfoValue::Named(tell) => {
                    let mut numbers = Vec::new();
                    tell(&mut |name, number| {
                        numbers.push(format!("{}={number}", name.to_string_lossy()));
                    });
                    Reply::Text(numbers.join(",").into())
                }
            };
            reply.field(field.name.to_string_lossy(), value);
        }
        Ok(reply.into())
    }
}
