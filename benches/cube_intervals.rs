//! How far a cube's answers lie from the truth, and how often its intervals hold it.
//!
//! `cargo bench -p benches --bench cube_intervals -- [--trials N] [--seed S] [--quick]`
//!
//! A trial is a cube with users of its own (`truth/mod.rs`), asked about them. Each figure stands beside the bound it is held
//! to: an error that of its precision, 4.5 % more than theory gives; `new` 2.5 %; a cover 92 to 98 %. It misses if it is
//! beyond by more than four of its own standard errors, and the program then ends with status 1. A run of 300 trials or more,
//! the default, writes the table into docs/accuracy.md. A fixed seed gives the same figures on every machine.

mod page;
mod truth;

use redis_hll::sketch::Precision;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use truth::Answer;

const THREADS: usize = 2;

/// Standard errors by which a figure may break its bound and still be no miss.
const CHANCE: f64 = 4.0;

/// More than theory gives that an error may be.
const MORE: f64 = 1.045;

/// The largest share of new users that `new` may be off by, with 200,000 known at p = 16.
const MOST_OF_NEW: f64 = 0.025;

const KNOWN: u64 = 200_000;
const NEW_EACH_DAY: u64 = 4_200;
const DAYS: u64 = 5;

fn precision(bits: u8) -> Precision {
    Precision::new(bits).expect("a precision")
}

/// All trials of one kind, on [`THREADS`] threads; the result does not depend on how many those are.
fn simulate(trials: u64, seed: u64, one: impl Fn(u64) -> Vec<Answer> + Sync) -> Vec<Vec<Answer>> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let trial = next.fetch_add(1, Ordering::Relaxed);
            if trial >= trials {
                break done;
            }
            done.push((trial, one(seed << 32 | trial)));
        }
    };
    let mut all: Vec<(u64, Vec<Answer>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        results.flatten().collect()
    });
    all.sort_unstable_by_key(|&(trial, _)| trial);
    all.into_iter().map(|(_, answers)| answers).collect()
}

/// The lines of the table, and how many figures miss.
struct Table {
    text: String,
    missed: usize,
}

impl Table {
    fn verdict(&mut self, beyond: f64, noise: f64) -> &'static str {
        if beyond <= 0.0 {
            "PASS"
        } else if beyond <= CHANCE * noise {
            "unclear"
        } else {
            self.missed += 1;
            "miss"
        }
    }

    fn line(&mut self, answers: &[Answer], p: u8, bound: Option<f64>) {
        let trials = answers.len() as f64;
        let mean = |of: &dyn Fn(&Answer) -> f64| answers.iter().map(of).sum::<f64>() / trials;
        let bias = mean(&Answer::error);
        let square = mean(&|answer| answer.error().powi(2));
        let fourth = mean(&|answer| answer.error().powi(4));
        let rmse = square.sqrt();
        let noise = ((fourth - square.powi(2)).max(0.0) / trials).sqrt() / (2.0 * rmse);
        let cover = mean(&|answer| f64::from(answer.is_covered()));
        let cover_noise = (truth::CONFIDENCE * (1.0 - truth::CONFIDENCE) / trials).sqrt();
        let error = match bound {
            None => String::from("| "),
            Some(bound) => {
                let verdict = self.verdict(rmse - bound, noise);
                format!("| ≤ {:.2}: {verdict} ", 100.0 * bound)
            }
        };
        let verdict = self.verdict((0.92 - cover).max(cover - 0.98), cover_noise);
        let line = format!(
            "| {} | {p} | {:.0} | {:.2} ± {:.2} {error}| {:+.2} | {:.1} ± {:.1} | {verdict} |",
            answers[0].about,
            mean(&|answer| answer.truth),
            100.0 * rmse,
            100.0 * noise,
            100.0 * bias,
            100.0 * cover,
            100.0 * cover_noise,
        );
        println!("{line}");
        let _ = writeln!(self.text, "{line}");
    }
}

const BEGIN: &str = "<!-- cubes: begin; written by benches/cube_intervals.rs -->\n";
const END: &str = "<!-- cubes: end -->\n";

fn main() -> ExitCode {
    let (mut trials, mut seed) = (300, 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let read = match word.as_str() {
            "--trials" => page::number(&word, &mut words).map(|number| trials = number.max(2)),
            "--seed" => page::number(&word, &mut words).map(|number| seed = number),
            "--quick" => {
                trials = 40;
                Ok(())
            }
            // Cargo says that it is a benchmark.
            "--bench" => Ok(()),
            _ => Err(format!("unknown argument '{word}'")),
        };
        if let Err(complaint) = read {
            eprintln!("{complaint}\nusage: cubes [--trials N] [--seed S] [--quick]");
            return ExitCode::from(2);
        }
    }
    let mut table = Table {
        text: format!(
            "{trials} trials, seed {seed}\n\n\
             | question | p | truth | RMSE, % | bound | bias, % | cover, % | 92 to 98 |\n\
             |---|---:|---:|---:|---|---:|---:|---|\n"
        ),
        missed: 0,
    };
    print!("{}", table.text);
    for p in [14, 12, 10] {
        let worlds = simulate(trials, seed, |world| truth::counts(precision(p), world));
        let bounds = [
            Some(precision(p).added_error()),
            Some(precision(p).merged_error()),
            Some(precision(p).merged_error()),
            None,
            None,
        ];
        for (place, bound) in bounds.into_iter().enumerate() {
            let answers: Vec<Answer> = worlds.iter().map(|world| world[place]).collect();
            table.line(&answers, p, bound.map(|bound| MORE * bound));
        }
    }
    // One day of each world: the days of one world are not independent.
    let worlds = simulate(trials, seed, |world| {
        truth::newcomers(precision(16), KNOWN, NEW_EACH_DAY, DAYS, world)
    });
    for (place, bound) in [(0, Some(MOST_OF_NEW)), (1, None)] {
        let first: Vec<Answer> = worlds.iter().map(|world| world[place]).collect();
        table.line(&first, 16, bound);
    }
    for p in [14, 12, 10] {
        let worlds = simulate(trials, seed, |world| {
            vec![truth::intersection(precision(p), world)]
        });
        let answers: Vec<Answer> = worlds.into_iter().flatten().collect();
        table.line(&answers, p, None);
    }
    if trials >= 300
        && let Err(complaint) =
            page::rewrite(&page::docs().join("accuracy.md"), BEGIN, END, &table.text)
    {
        eprintln!("{complaint}");
        return ExitCode::from(2);
    }
    match table.missed {
        0 => ExitCode::SUCCESS,
        missed => {
            println!("{missed} missed");
            ExitCode::FAILURE
        }
    }
}
