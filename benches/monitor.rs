//! What an accuracy monitor costs: tracking a sample, a report over all that it keeps, and its bytes.
//!
//! `cargo bench -p benches --bench monitor`
//!
//! The monitor keeps 10,000 samples, as is the default, or the most that may be set; of twenty contexts, or of as many as
//! there may be. Times are medians, microseconds, without the server's part.

use redis_hll::monitor::{MAX_CONTEXTS, MAX_SAMPLES, Monitor, Observation, Sample, Thresholds};
use redis_hll::sketch::Precision;
use redis_hll::storage::monitor;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 201;

const THRESHOLDS: Thresholds = Thresholds {
    warning: 0.05,
    critical: 0.1,
};

/// The i-th observation; some of them are bad, and rise from good ones.
fn observation(i: usize, contexts: usize, keep: usize) -> Observation {
    Observation {
        context: format!("context {}", i % contexts).into_bytes(),
        sample: Sample {
            at: 1_764_000_000_000 + i as i64 * 1_000,
            estimate: 10_000.0 + (i * 7_919 % 2_000) as f64,
            exact: 10_500,
            promised: 0.0072,
            precision: Precision::DEFAULT,
            within_bounds: !i.is_multiple_of(20),
        },
        thresholds: THRESHOLDS,
        keep,
    }
}

fn median_micros(mut work: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let begin = Instant::now();
            work(round);
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn main() {
    println!("| samples | contexts | track | report | write | read | bytes | memory |");
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (samples, contexts) in [
        (10_000, 20),
        (10_000, MAX_CONTEXTS),
        (MAX_SAMPLES, MAX_CONTEXTS),
    ] {
        let mut kept = Monitor::new();
        let track = |monitor: &mut Monitor, i: usize| {
            let tracked = monitor.track(&observation(i, contexts, samples));
            black_box(tracked.expect("a context that may be"));
        };
        for i in 0..samples {
            track(&mut kept, i);
        }
        let report = median_micros(|_| {
            black_box(kept.report(None, i64::MAX, THRESHOLDS));
        });
        let write = median_micros(|_| {
            black_box(monitor::encode(&kept));
        });
        let bytes = monitor::encode(&kept);
        let read = median_micros(|_| {
            black_box(monitor::decode(&bytes).expect("what was written"));
        });
        let mut going_on = kept.clone();
        let tracking = median_micros(|round| track(&mut going_on, samples + round));
        println!(
            "| {samples} | {contexts} | {tracking:.2} | {report:.0} | {write:.0} | {read:.0} | {} | {} |",
            bytes.len(),
            kept.memory_bytes()
        );
    }
}
