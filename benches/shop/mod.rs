//! The cube that events of a shop are written into where cubes are measured without a server, and the clock.

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

/// Nanoseconds that this thread has had on a processor.
pub fn processor_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value, which is all that the call writes to.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "every Linux has this clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
