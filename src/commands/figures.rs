//! The figures of [`crate::sketch::analytics`] as fields of a reply. Whatever they are of, sketches under keys or
//! cells of a cube, they have these names in this order.

use super::fields::Fields;
use crate::sketch::analytics::{Campaign, FunnelStep, Retained};

/// A step of a funnel, behind what names it.
pub fn funnel_step(reply: &mut Fields, step: &FunnelStep) {
    reply.figure("uniques", step.uniques);
    reply.estimate("users", step.users);
    reply.figure("conversion", step.conversion);
    reply.figure("overall", step.overall);
    reply.figure("drop_off", step.drop_off());
}

/// A cell of a retention table, behind what names its period; nulls where nothing is known of it.
pub fn retained(reply: &mut Fields, retained: Option<&Retained>) {
    reply.estimate("users", retained.map(|retained| retained.users));
    reply.figure("rate", retained.and_then(|retained| retained.rate));
}

/// A campaign, behind what names it, if anything does.
pub fn campaign(reply: &mut Fields, campaign: &Campaign) {
    let names = ["unique_impressions", "unique_clicks", "unique_conversions"];
    for (name, count) in names.into_iter().zip(campaign.uniques) {
        reply.figure(name, count);
    }
    reply.figure("ctr", campaign.ctr);
    reply.figure("conversion_rate", campaign.conversion_rate);
    let costs = [
        ("cpc", campaign.cost_per_click()),
        ("cpa", campaign.cost_per_acquisition()),
    ];
    for (name, cost) in costs {
        reply.figure_of_parts(name, [cost.value, cost.lower, cost.upper]);
    }
    reply.figure("roi", campaign.roi());
}
