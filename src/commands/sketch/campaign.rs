//! `HLL.CAMPAIGN impressions clicks conversions [COST amount] [REVENUE amount] [CONFIDENCE c]`: reach,
//! rates and costs of a campaign from the sets of who saw it, who clicked and who bought.
//!
//! Rates come from intersections, so that a click without a recorded impression cannot raise the
//! click-through rate above 1: ctr = |impressions ∩ clicks| / |impressions|, conversion_rate =
//! |clicks ∩ conversions| / |clicks|. Costs are per distinct person: cpc = COST / |clicks|, cpa =
//! COST / |conversions|, roi = (REVENUE - COST) / COST.

use super::asked::{Asked, Given, Prepared, Question};
use crate::commands::CONFIDENCE;
use crate::commands::fields::Fields;
use crate::commands::figures;
use crate::server::answers::OneStep;
use crate::server::args::Arg;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::syntax::{Key, KeyUsage, Number, Optional};
use crate::sketch::analytics::{Campaign as Figures, Money};
use crate::syntax;

syntax! {
    /// Who saw, clicked and bought; what it cost and brought; how sure the intervals are to be.
    pub struct Arguments<'a> {
        impressions: Arg<'a> = Key("impressions", KeyUsage::Read);
        clicks: Arg<'a> = Key("clicks", KeyUsage::Read);
        conversions: Arg<'a> = Key("conversions", KeyUsage::Read);
    }
    options {
        cost: Option<f64> = Optional("COST", Number("cost", 0.0..=MOST));
        revenue: Option<f64> = Optional("REVENUE", Number("revenue", 0.0..=MOST));
        confidence: f64 = CONFIDENCE;
    }
}

/// More money than there is, in any currency.
const MOST: f64 = 1e18;

/// See the head of this file.
pub struct Campaign;

impl Command for Campaign {
    const SPEC: Spec = Spec {
        name: c"HLL.CAMPAIGN",
        access: Access::Read,
        summary: c"Reports reach, click-through rate, conversion rate and costs of a campaign.",
        complexity: c"O(M) with sketches of M registers.",
        since: c"0.1.0",
    };

    type Arguments = Arguments<'static>;

    fn run(ctx: &mut Context, arguments: Arguments) -> Outcome {
        Self::ask(arguments)?.answer_here(ctx)
    }
}

impl Question for Campaign {
    fn ask<'a>(arguments: Given<'a, Self>) -> Result<Asked<'a>, CommandError> {
        let confidence = arguments.confidence;
        let money = Money {
            cost: arguments.cost,
            revenue: arguments.revenue,
        };
        let names = [
            arguments.impressions,
            arguments.clicks,
            arguments.conversions,
        ];
        Ok(Asked::about_sets(names, move |sets| Prepared {
            expected: sets.expected_of_pairs(Figures::PAIRS, 1),
            bytes: sets.bytes(),
            work: Box::new(OneStep::new(move || {
                let sketches = [0, 1, 2].map(|operand| sets.sketch(operand));
                let mut reply = Fields::new();
                figures::campaign(&mut reply, &Figures::of(sketches, money, confidence)?);
                Ok(reply.into())
            })),
        }))
    }
}
