//! How long a union is going to take, for whoever must not wait for it and can have it made elsewhere.
//!
//! The constants are times of one core of an AMD EPYC, rounded up: `cargo bench -p benches --bench joint -- --costs`
//! prints measured times beside these and judges them.

use super::Sketch;
use super::precision::Precision;
use std::time::Duration;

/// Nanoseconds to merge a register, and to fold one away first.
const MERGE: f64 = 0.1;
const FOLD: f64 = 2.5;

/// Nanoseconds to find that registers know a token, and to put one in that they do not know. The latter
/// is at most about once for each register.
const RECOGNIZE: f64 = 4.0;
const INSERT: f64 = 35.0;

/// Nanoseconds for each halving of a list in which a token is looked up, and to copy a token to a longer
/// list.
const HALVING: f64 = 3.0;
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
                own as f64 * HALVING * (union as f64 + 1.0).log2() + union as f64 * COPY
            } else {
                let new = own.min(coarsest.unwrap_or(finest.registers()));
                own as f64 * RECOGNIZE + new as f64 * INSERT
            };
        }
        Duration::from_nanos(nanoseconds as u64)
    }
}
