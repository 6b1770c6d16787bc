//! `HLL.CAMPAIGN impressions clicks conversions [COST amount] [REVENUE amount] [CONFIDENCE c]`: reach,
//! rates and costs of a campaign from the sets of who saw it, who clicked and who bought.
//!
//! Rates come from intersections, so that a click without a recorded impression cannot raise the
//! click-through rate above 1: ctr = |impressions ∩ clicks| / |impressions|, conversion_rate =
//! |clicks ∩ conversions| / |clicks|. Costs are per distinct person: cpc = COST / |clicks|, cpa =
//! COST / |conversions|, roi = (REVENUE - COST) / COST.

use super::Labelled;
use super::sets::Sets;
use crate::server::args::DEFAULT_CONFIDENCE;
use crate::server::call::Call;
use crate::server::command::{Access, ArgSpec, Command, KeyCount, KeyUsage, Keys, Spec};
use crate::server::error::CommandError;
use crate::server::reply::Reply;

/// See the head of this file.
pub struct Campaign;

const OPTIONS: [&str; 3] = ["COST", "REVENUE", "CONFIDENCE"];

/// More money than there is, in any currency.
const MOST: f64 = 1e18;

impl Command for Campaign {
    const SPEC: Spec = Spec {
        name: c"HLL.CAMPAIGN",
        arity: -4,
        access: Access::Read,
        summary: c"Reports reach, click-through rate, conversion rate and costs of a campaign.",
        complexity: c"O(M) with sketches of M registers.",
        since: c"0.1.0",
        keys: &[Keys::new(1, KeyCount::Three, KeyUsage::Read)],
        args: &[
            ArgSpec::key(c"impressions", 0),
            ArgSpec::key(c"clicks", 0),
            ArgSpec::key(c"conversions", 0),
            ArgSpec::double(c"cost").behind(c"COST").optional(),
            ArgSpec::double(c"revenue").behind(c"REVENUE").optional(),
            ArgSpec::CONFIDENCE,
        ],
    };

    fn run(call: &mut Call) -> Result<Reply, CommandError> {
        let names = [call.args.next()?, call.args.next()?, call.args.next()?];
        let (mut cost, mut revenue, mut confidence) = (None, None, None);
        while let Some(found) = call.args.option(&OPTIONS)? {
            let word = OPTIONS[found];
            match word {
                "COST" => call
                    .args
                    .option_value(word, &mut cost, |args| args.number("cost", 0.0..=MOST))?,
                "REVENUE" => call.args.option_value(word, &mut revenue, |args| {
                    args.number("revenue", 0.0..=MOST)
                })?,
                _ => call
                    .args
                    .option_value(word, &mut confidence, |args| args.confidence_value())?,
            }
        }
        let confidence = confidence.unwrap_or(DEFAULT_CONFIDENCE);
        let keys = call.read_all(names);
        let sets = Sets::of_keys(&names, &keys)?;
        sets.answer(call, 2, 2, move |sets| {
            let uniques = [0, 1, 2].map(|set| sets.alone(set).value);
            let [_, clicks, conversions] = uniques;
            let rate = |part: usize, of: usize| {
                let solution = sets.solve(&[of, part])?;
                let (of, part) = (solution.place(0), solution.place(1));
                Ok::<_, CommandError>(solution.joint.containment(of, part))
            };
            let per = |divisor: f64| cost.filter(|_| divisor > 0.0).map(|cost| cost / divisor);
            let roi = match (cost, revenue) {
                (Some(cost), Some(revenue)) if cost > 0.0 => Some((revenue - cost) / cost),
                _ => None,
            }
            .filter(|roi| roi.is_finite());
            let mut reply = Labelled::new();
            for (name, count) in ["unique_impressions", "unique_clicks", "unique_conversions"]
                .into_iter()
                .zip(uniques)
            {
                reply.number(name, count);
            }
            reply.rate(["ctr", "ctr_lower", "ctr_upper"], rate(1, 0)?, confidence);
            reply.rate(
                [
                    "conversion_rate",
                    "conversion_rate_lower",
                    "conversion_rate_upper",
                ],
                rate(2, 1)?,
                confidence,
            );
            reply.field("cpc", per(clicks));
            reply.field("cpa", per(conversions));
            reply.field("roi", roi);
            Ok(reply.into())
        })
    }
}
