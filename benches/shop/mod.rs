//! The cube that events of a shop are written into where cubes are measured without a server.

use crate::stream::{HOUR, Stream};
use redis_hll::cube::calendar::{Calendar, Span, WeekStart, Zone};
use redis_hll::cube::history::History;
use redis_hll::cube::schema::{Dimension, Schema, Tier, default_precision};
use redis_hll::sketch::HashFamily;

/// Slices and how long they are kept: what HLL.CUBE.CREATE makes where nothing is said.
const TIERS: [(Span, Span); 4] = [
    (Span::Millis(HOUR), Span::Millis(48 * HOUR)),
    (Span::Days(1), Span::Days(90)),
    (Span::Weeks(1), Span::Weeks(53)),
    (Span::Months(1), Span::Months(36)),
];

/// With the dimensions of these events.
pub fn schema(stream: &Stream) -> Schema {
    let tiers = TIERS.map(|(slice, retention)| Tier {
        slice,
        retention,
        precision: None,
    });
    let dimensions = stream.dimensions.iter().map(|dimension| {
        let values = dimension.values.len() as u32;
        Dimension {
            name: dimension.name.to_string(),
            precision: default_precision(values),
            values,
            user_level: false,
        }
    });
    Schema {
        tiers: tiers.to_vec(),
        dimensions: dimensions.collect(),
        groups: Vec::new(),
        measures: Vec::new(),
        precision: default_precision(1),
        new: None,
        calendar: Calendar {
            zone: Zone::named("UTC").expect("there is always UTC"),
            week_start: WeekStart::Monday,
        },
        hash: HashFamily::default(),
        max_bytes: None,
        history: History::default(),
    }
}
