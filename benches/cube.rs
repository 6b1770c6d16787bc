//! How long a cube takes for each single event, without a server: what of a server's slow commands is the cube's own.
//!
//! ```text
//! cargo bench -p benches --bench cube [-- --events N] [--seed S]
//! ```
//!
//! Each call of `Cube::add` is timed, ten million of them if nothing else is said: in order of time, as a backfill of a
//! year in random order, and with forty days of silence in the middle, without and with a dimension of 100,000 pages
//! ([`stream`]). The tables that are printed are part of docs/cubes.md.
//!
//! A call that took longer than [`SUSPECT`] is told by the time that its thread had on a processor, if that is less:
//! what other programs took away from it is not the cube's.
//!
//! *Upkeep* is what events do besides being counted: they seal, compact and free slices that time has made due. What it
//! costs is told from the calls before and after which nothing waited to be done: it is by how much the mean of all
//! calls is above theirs. Where there are too few of them, the mean of the run in order of time takes their place.

#[allow(dead_code, reason = "it writes no page, and only reads numbers")]
mod page;
mod shop;
mod stream;

use redis_hll::cube::{Cube, Event};
use std::process::ExitCode;
use std::time::Instant;
use stream::{MOST_DIMENSIONS, Order, Plan, Stream, name_user};

/// One in so many calls has to find nothing waiting, so that the mean of such calls means something.
const IDLE_SHARE: usize = 100;

/// Nanoseconds above which a call may have been interrupted.
const SUSPECT: u32 = 20_000;

/// What one run came to. Times in nanoseconds.
struct Run {
    name: String,
    /// Of each call, ascending.
    times: Vec<u32>,
    /// Mean of calls before and after which nothing waited; `None` if they were too few.
    idle: Option<f64>,
    /// The longest stretch of calls after each of which something waited.
    stretch: u64,
    /// The most jobs that waited after a call.
    waiting: usize,
    /// Of the cube in the end.
    memory_bytes: usize,
    /// Events that came late.
    late: u64,
}

impl Run {
    fn new(name: &str, plan: Plan) -> Run {
        let mut stream = Stream::new(plan);
        let mut cube = Cube::new(shop::schema(&stream), plan.seed);
        let mut run = Run {
            name: format!("{name}{}", if plan.pages { ", pages" } else { "" }),
            times: Vec::with_capacity(plan.events as usize),
            idle: None,
            stretch: 0,
            waiting: 0,
            memory_bytes: 0,
            late: 0,
        };
        let mut user = String::new();
        let (mut idle, mut idle_calls) = (0, 0);
        let mut stretch = 0;
        let mut waited = 0;
        for _ in 0..plan.events {
            let drawn = stream.draw();
            name_user(drawn.user, &mut user);
            let mut values: [(usize, &[u8]); MOST_DIMENSIONS] = [(0, b""); MOST_DIMENSIONS];
            let dimensions = stream.dimensions.iter().zip(drawn.values);
            for (position, (value, (dimension, number))) in
                values.iter_mut().zip(dimensions).enumerate()
            {
                *value = (position, dimension.values[number as usize].as_bytes());
            }
            let event = Event {
                at: drawn.at,
                element: user.as_bytes(),
                values: &values[..stream.dimensions.len()],
                measures: &[],
            };
            let on_processor = shop::processor_nanos();
            let begin = Instant::now();
            let added = cube.add(&event);
            let mut took = begin.elapsed().as_nanos() as u32;
            if took > SUSPECT {
                took = took.min((shop::processor_nanos() - on_processor) as u32);
            }
            added.expect("everything is kept for longer than the events last");
            run.times.push(took);
            let waits = cube.waiting();
            if waited == 0 && waits == 0 {
                idle += u64::from(took);
                idle_calls += 1;
            }
            stretch = if waits > 0 { stretch + 1 } else { 0 };
            run.stretch = run.stretch.max(stretch);
            run.waiting = run.waiting.max(waits);
            waited = waits;
        }
        if idle_calls * IDLE_SHARE >= run.times.len() {
            run.idle = Some(idle as f64 / idle_calls as f64);
        }
        run.memory_bytes = cube.memory_bytes();
        run.late = cube.late();
        run.times.sort_unstable();
        run
    }

    fn mean(&self) -> f64 {
        let sum: u64 = self.times.iter().map(|&time| u64::from(time)).sum();
        sum as f64 / self.times.len().max(1) as f64
    }

    /// The time that this share of the calls did not exceed.
    fn quantile(&self, share: f64) -> u32 {
        let place = (self.times.len() as f64 * share).ceil() as usize;
        self.times[place.clamp(1, self.times.len()) - 1]
    }

    fn above(&self, nanos: u32) -> usize {
        self.times.len() - self.times.partition_point(|&time| time <= nanos)
    }
}

/// Nanoseconds that two readings of the clock take by themselves.
fn clock_nanos() -> f64 {
    const READINGS: u32 = 1_000_000;
    let sum: u128 = (0..READINGS)
        .map(|_| Instant::now().elapsed().as_nanos())
        .sum();
    sum as f64 / f64::from(READINGS)
}

fn print(runs: &[Run]) {
    let row = |name: &str, figure: &dyn Fn(&Run) -> String| {
        let cells: Vec<String> = runs.iter().map(figure).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    row("", &|run| run.name.clone());
    println!("|---|{}", "--:|".repeat(runs.len()));
    let micros = |nanos: f64| format!("{:.2}", nanos / 1e3);
    row("mean, µs", &|run| micros(run.mean()));
    for share in [0.5, 0.99, 0.999, 0.9999] {
        let name = format!("{} % take at most, µs", share * 100.0);
        row(&name, &|run| micros(f64::from(run.quantile(share))));
    }
    row("longest, µs", &|run| micros(f64::from(run.quantile(1.0))));
    row("above 100 µs", &|run| run.above(100_000).to_string());
    row("above 1 ms", &|run| run.above(1_000_000).to_string());
    let in_order = |run: &Run| {
        let pages = run.name.ends_with(", pages");
        let same = runs
            .iter()
            .filter(|other| other.name.ends_with(", pages") == pages);
        same.filter_map(|other| other.idle).next()
    };
    row(
        "of the mean upkeep, µs",
        &|run| match run.idle.or_else(|| in_order(run)) {
            Some(idle) => micros(run.mean() - idle),
            None => "not known".to_string(),
        },
    );
    row("most jobs waiting", &|run| run.waiting.to_string());
    row("most events until none waits", &|run| {
        run.stretch.to_string()
    });
    row("late events", &|run| run.late.to_string());
    row("memory, MB", &|run| {
        format!("{:.1}", run.memory_bytes as f64 / 1e6)
    });
}

fn run() -> Result<(), String> {
    let (mut events, mut seed) = (10_000_000, 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--events" => events = page::number("--events", &mut words)?.max(1),
            "--seed" => seed = page::number("--seed", &mut words)?,
            // What `cargo bench` adds.
            "--bench" => {}
            _ => {
                return Err(format!(
                    "no option {word}, the head of benches/cube.rs has them"
                ));
            }
        }
    }
    let mut runs = Vec::new();
    for pages in [false, true] {
        for (name, order) in [
            ("in order", Order::Time),
            ("backfill", Order::Backfill),
            ("silence", Order::Silence),
        ] {
            eprintln!("      {name}{}", if pages { ", pages" } else { "" });
            runs.push(Run::new(
                name,
                Plan {
                    events,
                    order,
                    pages,
                    steps: false,
                    seed,
                },
            ));
        }
    }
    println!(
        "{events} events, of each time {:.0} ns are the clock's\n",
        clock_nanos()
    );
    print(&runs);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cube: {error}");
            ExitCode::FAILURE
        }
    }
}
