//! How long sketches take to become bytes and to be read again, in every format, and how many bytes they are.
//!
//! ```text
//! cargo bench -p benches --bench formats
//! ```
//!
//! Prints the size, and the least time of writing and of reading, of sketches of 1 to 100,000 elements at
//! precision 14. The registers of the native format are compressed by zstd. Nothing is judged and no file
//! is written; docs/interop.md tells what reading a PF value costs.

use redis_hll::sketch::{HashFamily, Precision, Sketch};
use redis_hll::storage::{Compression, Format};
use std::hint::black_box;
use std::time::Instant;

const ELEMENTS: [u32; 5] = [1, 10, 100, 1_000, 100_000];
/// PF keys have this one, and the other formats any.
const PRECISION: Precision = Precision::new(14).unwrap();
/// Times that each is done; the fastest counts.
const ROUNDS: u32 = 2_000;

fn main() {
    println!(
        "{:<14}{:>10}{:>10}{:>12}{:>12}",
        "format", "elements", "bytes", "write, µs", "read, µs"
    );
    for (format, hash) in [
        (Format::Native, HashFamily::default()),
        (Format::Redis, HashFamily::Redis),
        (Format::DataSketches, HashFamily::DataSketches),
    ] {
        for elements in ELEMENTS {
            let mut sketch = Sketch::new(PRECISION, hash);
            for i in 0..elements {
                sketch.add(format!("user:{i}").as_bytes());
            }
            let write = || {
                format
                    .write(black_box(&sketch), Compression::Zstd)
                    .expect("of its family")
            };
            let payload = write();
            let read = || format.read(black_box(&payload)).expect("just written");
            println!(
                "{:<14}{elements:>10}{:>10}{:>12.2}{:>12.2}",
                format!("{format:?}"),
                payload.len(),
                least_micros(write),
                least_micros(read)
            );
        }
    }
}

/// The least time of one call.
fn least_micros<T>(call: impl Fn() -> T) -> f64 {
    let round = || {
        let begin = Instant::now();
        black_box(call());
        begin.elapsed().as_secs_f64() * 1e6
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}
