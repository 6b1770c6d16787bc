//! How long a union is going to take, for whoever must not wait for it and can have it made elsewhere.
//!
//! The constants are times of one core of an AMD EPYC, rounded up: `cargo bench --bench joint -- --costs`
//! prints measured times beside these and judges them.

use super::Sketch;
use super::precision::Precision;
use std::time::Duration;

/// Nanoseconds to merge a register, and to fold one away first.
const MERGE: f64 = 0.2;
const FOLD: f64 = 0.5;

/// Nanoseconds to merge a token into registers.
const REPLAY: f64 = 8.0;

/// Nanoseconds to look a token up in a list, and to copy one to a longer list.
const LOOK_UP: f64 = 60.0;
const COPY: f64 = 3.0;

impl Sketch {
    /// The expected time of [`Sketch::union`] of these.
    pub fn union_cost<'a>(sketches: impl IntoIterator<Item = &'a Sketch>) -> Duration {
        let (mut tokens, mut registers) = (Vec::new(), Vec::new());
        let mut finest = Precision::MIN;
        for sketch in sketches {
            finest = finest.max(sketch.precision());
            match sketch.tokens() {
                Some(list) => tokens.push(list.len()),
                None => registers.push(sketch.precision().registers()),
            }
        }
        let coarsest = registers.iter().copied().min();
        let mut nanoseconds = 0.0;
        for own in registers {
            let equal = Some(own) == coarsest;
            nanoseconds += own as f64 * if equal { MERGE } else { FOLD };
        }
        // Lists without registers stay a list, which is made anew for each of them, until it is too long.
        let mut union = 0;
        for own in tokens {
            union += own;
            nanoseconds += if coarsest.is_none() && union < finest.max_tokens() {
                own as f64 * LOOK_UP + union as f64 * COPY
            } else {
                own as f64 * REPLAY
            };
        }
        if coarsest.is_none() && union >= finest.max_tokens() {
            let all = finest.registers() as f64;
            nanoseconds += all * FOLD + finest.max_tokens() as f64 * REPLAY;
        }
        Duration::from_nanos(nanoseconds as u64)
    }
}
