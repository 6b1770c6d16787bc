//! One joint solution, many times over: something for a profiler to look at.
//!
//! `cargo run --release --no-default-features --example solve -- SETS TIMES` solves the first 1 to 5 steps of a funnel
//! of 10^6, 4·10^5, 10^5, 4·10^4 and 2·10^4 users, of whom a fifth skipped the step before, at the default precision.

use redis_hll::sketch::joint::{Joint, SetMask};
use redis_hll::sketch::{HashFamily, Precision, Sketch};
use std::process::ExitCode;

const STEPS: [u64; 5] = [1_000_000, 400_000, 100_000, 40_000, 20_000];

fn step(k: usize) -> Sketch {
    let mut sketch = Sketch::new(Precision::DEFAULT, HashFamily::default());
    let from_the_step_before = (STEPS[k] as f64 * 0.8f64.powi(k as i32)) as u64;
    let strangers = (k as u64 + 1) << 32;
    for user in 0..STEPS[k] {
        let user = if user < from_the_step_before {
            user
        } else {
            strangers + user
        };
        sketch.add(&user.to_le_bytes());
    }
    sketch
}

fn main() -> ExitCode {
    let numbers: Vec<usize> = std::env::args().skip(1).flat_map(|n| n.parse()).collect();
    let [sets @ 1..=5, times] = numbers[..] else {
        eprintln!("usage: solve SETS TIMES, with 1 to 5 sets");
        return ExitCode::from(2);
    };
    let steps: Vec<Sketch> = (0..sets).map(step).collect();
    let steps: Vec<&Sketch> = steps.iter().collect();
    for _ in 0..times {
        let joint = Joint::solve(std::hint::black_box(&steps)).expect("one hash family");
        std::hint::black_box(joint.intersection(SetMask::first(sets)));
    }
    ExitCode::SUCCESS
}
