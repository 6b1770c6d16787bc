//! `HLL.CUBE.CAMPAIGN key dimension IMPRESSION value CLICK value CONVERSION value [COST measure] [REVENUE measure]
//! [BY dimension] [range] [WHERE ...]... [CONFIDENCE c]`: reach, rates and costs from the events of a cube.
//!
//! The three sets are who had events of each of the three values; cost and revenue are sums over all events of these
//! values, so that it does not matter which of them carries the cost. What is made of them is what HLL.CAMPAIGN makes.

use super::ask::{About, ConditionClause, RANGE, Range, WHERE};
use super::compare::{BY, Planned, compare, steps};
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::commands::figures;
use crate::cube::Cube;
use crate::cube::query::funnels::CampaignQuery;
use crate::server::args::{Arg, ArgList};
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::{Bytes, Key, KeyUsage, Optional, Required};
use crate::sketch::analytics::Campaign as Figures;
use crate::syntax;

syntax! {
    /// Which events say that somebody saw, clicked and bought, and which measures what that cost and brought.
    pub struct Arguments<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
        dimension: Arg<'a> = Bytes("dimension");
    }
    options {
        impression: Arg<'a> = Required(Optional("IMPRESSION", Bytes("value")));
        click: Arg<'a> = Required(Optional("CLICK", Bytes("value")));
        conversion: Arg<'a> = Required(Optional("CONVERSION", Bytes("value")));
        cost: Option<Arg<'a>> = Optional("COST", Bytes("measure"));
        revenue: Option<Arg<'a>> = Optional("REVENUE", Bytes("measure"));
        by: Option<ArgList<'a>> = BY;
        range: Option<Range> = RANGE;
        conditions: Vec<ConditionClause<'a>> = WHERE;
        confidence: f64 = CONFIDENCE;
    }
}

/// See the head of this file.
pub struct Campaign;

impl Command for Campaign {
    const SPEC: Spec = Spec {
        name: c"HLL.CUBE.CAMPAIGN",
        access: Access::Read,
        summary: c"Reports reach, click-through rate, conversion rate and costs from events.",
        complexity: c"O(R*N) with R rows of N cells.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        let about = About {
            range: arguments.range,
            conditions: &arguments.conditions,
            confidence: arguments.confidence,
        };
        let plan = |ctx: &Context, cube: &Cube| {
            let values = [arguments.impression, arguments.click, arguments.conversion];
            let question = steps(ctx, cube, about, arguments.dimension, values, arguments.by)?;
            let [cost, revenue] = [arguments.cost, arguments.revenue]
                .map(|name| name.map(|name| measure(cube, name)).transpose());
            let (cost, revenue) = (cost?, revenue?);
            Ok(Planned {
                by: question.by,
                every: None,
                analysis: Box::new(move |cube| CampaignQuery::plan(cube, &question, cost, revenue)),
            })
        };
        let lines = |begin: &dyn Fn() -> Fields, campaign: Option<Figures>| {
            let mut row = begin();
            figures::campaign(&mut row, campaign.as_ref());
            vec![row]
        };
        compare(ctx, arguments.key, plan, lines)
    }
}

/// The position of a measure that a client names.
fn measure(cube: &Cube, name: Arg) -> Result<usize, CommandError> {
    let schema = cube.schema();
    schema.measure(name.bytes()).ok_or_else(|| {
        let names: Vec<&str> = schema.measures.iter().map(String::as_str).collect();
        match names.as_slice() {
            [] => CommandError::invalid(format_args!(
                "'{}' is no measure, and this cube has none, leave it out",
                name.shown()
            )),
            names => CommandError::invalid(format_args!(
                "'{}' is no measure of this cube, name one of: {}",
                name.shown(),
                names.join(", ")
            )),
        }
    })
}
