//! `HLL.CUBE.TOP key dimension n [range] [WHERE ...]... [ORDER metric]`: the values with most.

use super::ask::{About, ConditionClause, RANGE, Range, WHERE, ask, table};
use super::dimension;
use super::query::{MOST_ROWS, OrderClause};
use crate::commands::CONFIDENCE;
use crate::cube::Cube;
use crate::cube::question::{Direction, Metric, Order, Question};
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::reply::Outcome;
use crate::server::syntax::{Block, Bytes, Integer, Key, KeyUsage, Optional};
use crate::syntax;

syntax! {
    /// Of which dimension, and how many.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
        dimension: Arg<'a> = Bytes("dimension");
        number: i64 = Integer("number", 1..=MOST_ROWS);
    }
    options {
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        order: Option<OrderClause<'a>> = Optional("ORDER", Block::<OrderClause>::new());
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Top;

impl Command for Top {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.TOP",
        access: Access::Read,
        summary: c"Answers the values of a dimension with most users, events or sums.",
        complexity: c"O(N) with N cells of the dimension in the slices that make up the time.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &arguments.conditions,
            confidence: arguments.confidence,
        };
        let more = |_: &Context, cube: &Cube, asked: &mut Question| {
            asked.by = vec![dimension(cube, arguments.dimension)?];
            asked.order = Some(match &arguments.order {
                Some(order) => order.order(cube)?,
                None => Order {
                    metric: Metric::Unique,
                    direction: Direction::Descending,
                },
            });
            asked.limit = Some(arguments.number as usize);
            Ok(())
        };
        ask(ctx, arguments.key, about, more, table)
    }
}
