use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use redis_hll::sketch::joint::{Joint, SetMask};
use redis_hll::sketch::{HashFamily, Precision, Sketch};
use std::time::Instant;

fn funnel(rng: &mut SmallRng, p: u8, sizes: &[usize], keep: f64) -> Vec<Sketch> {
    let p = Precision::new(p).unwrap();
    let mut step: Vec<u64> = (0..sizes[0]).map(|_| rng.random()).collect();
    let mut all = vec![];
    for (k, &n) in sizes.iter().enumerate() {
        if k > 0 {
            let stay = (n as f64 * keep) as usize;
            let mut next: Vec<u64> = step[..stay].to_vec();
            next.extend((stay..n).map(|_| rng.random::<u64>()));
            // shuffle so next prefix is mixed
            for i in (1..next.len()).rev() {
                let j = rng.random_range(0..=i);
                next.swap(i, j);
            }
            step = next;
        }
        let mut s = Sketch::new(p, HashFamily::default());
        for &h in &step {
            s.add_hash(h);
        }
        all.push(s);
    }
    all
}

fn main() {
    let mut rng = SmallRng::seed_from_u64(1);
    for p in [13, 14] {
        for (name, sizes, keep) in [
            (
                "chain",
                &[
                    200_000usize,
                    120_000,
                    80_000,
                    50_000,
                    30_000,
                    20_000,
                    12_000,
                    8_000,
                ][..],
                0.9,
            ),
            (
                "funnel",
                &[1_000_000, 400_000, 100_000, 40_000, 20_000],
                0.8,
            ),
        ] {
            let sketches = funnel(&mut rng, p, sizes, keep);
            for k in [2, 3, 4, 5, 6, 8] {
                if k > sizes.len() {
                    continue;
                }
                let some: Vec<&Sketch> = sketches[..k].iter().collect();
                let mut best = f64::MAX;
                for _ in 0..15 {
                    let t = Instant::now();
                    let j = Joint::solve(&some).unwrap();
                    best = best.min(t.elapsed().as_secs_f64());
                    std::hint::black_box(j.intersection(SetMask::first(k)));
                }
                println!("{name} p{p} K={k}: {:.0} us", best * 1e6);
            }
        }
    }
}
