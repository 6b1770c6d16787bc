//! How long each family takes to hash one element.
//!
//! `cargo bench -p benches --bench hash` prints nanoseconds for elements of 8 to 64 bytes, the best of many rounds,
//! since others use the machine too. docs/interop.md tells the figures.

use redis_hll::sketch::HashFamily;
use std::hint::black_box;
use std::time::Instant;

/// Hashes in one round: a tenth of a millisecond to a few.
const CALLS: u32 = 100_000;

const ROUNDS: usize = 200;

fn main() {
    for len in [8, 16, 32, 64] {
        let element = vec![b'x'; len];
        for family in [
            HashFamily::default(),
            HashFamily::Redis,
            HashFamily::DataSketches,
        ] {
            let round = || {
                let begin = Instant::now();
                for _ in 0..CALLS {
                    black_box(black_box(family).hash(black_box(&element)));
                }
                begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
            };
            let best = (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min);
            println!("{len} bytes, {}: {best:.1} ns", family.name());
        }
    }
}
