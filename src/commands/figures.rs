//! The figures of [`crate::sketch::analytics`] as fields of a reply. Whatever they are of, sketches under keys or
//! cells of a cube, they have these names in this order.

use super::fields::Fields;
use crate::sketch::analytics::{Campaign, FunnelStep, Retained};

/// A step of a funnel, behind what names it; nulls where nothing is known of it.
pub fn funnel_step<'s>(reply: &mut Fields, step: impl Into<Option<&'s FunnelStep>>) {
    let step = step.into();
    reply.figure("uniques", step.map(|step| step.uniques));
    reply.estimate("users", step.map(|step| step.users));
    reply.figure("conversion", step.and_then(|step| step.conversion));
    reply.figure("overall", step.and_then(|step| step.overall));
    reply.figure("drop_off", step.and_then(FunnelStep::drop_off));
}

/// A cell of a retention table, behind what names its period; nulls where nothing is known of it.
pub fn retained(reply: &mut Fields, retained: Option<&Retained>) {
    reply.estimate("users", retained.map(|retained| retained.users));
    reply.figure("rate", retained.and_then(|retained| retained.rate));
}

/// A campaign, behind what names it, if anything does; nulls where nothing is known of it.
pub fn campaign<'c>(reply: &mut Fields, campaign: impl Into<Option<&'c Campaign>>) {
    let campaign = campaign.into();
    let names = ["unique_impressions", "unique_clicks", "unique_conversions"];
    for (at, name) in names.into_iter().enumerate() {
        reply.figure(name, campaign.map(|campaign| campaign.uniques[at]));
    }
    reply.figure("ctr", campaign.and_then(|campaign| campaign.ctr));
    reply.figure(
        "conversion_rate",
        campaign.and_then(|campaign| campaign.conversion_rate),
    );
    let costs = [
        ("cpc", campaign.map(Campaign::cost_per_click)),
        ("cpa", campaign.map(Campaign::cost_per_acquisition)),
    ];
    for (name, cost) in costs {
        let parts = cost.map(|cost| [cost.value, cost.lower, cost.upper]);
        reply.figure_of_parts(name, parts.unwrap_or_default());
    }
    reply.figure("roi", campaign.and_then(Campaign::roi));
}
