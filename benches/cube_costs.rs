//! What parts of an answer of a cube take, and whole answers beside what they were expected to take: where the constants of
//! src/cube/query/cost.rs come from.
//!
//! ```text
//! cargo bench -p benches --bench cube_costs [-- --events N] [--seed S]
//! ```
//!
//! First the time for each token and register that comes into a union, in each of the forms that columns have, for each
//! cell that is looked for, and for each that is told at the end. Then how long questions about many slices are planned. Then
//! questions to a cube of a million events of a shop
//! ([`stream`]) if nothing else is said: how many microseconds each was expected to take before it was begun, how many it
//! took, and in how many steps. Each time is the best of several, and the one that the thread had on a processor.

#[allow(dead_code, reason = "it writes no page, and only reads numbers")]
mod page;
mod shop;
#[allow(dead_code, reason = "it wants one order of events")]
mod stream;

use redis_hll::cube::calendar::{Millis, Span};
use redis_hll::cube::cell::Union;
use redis_hll::cube::column::{Builder, Column};
use redis_hll::cube::pack;
use redis_hll::cube::query::Query;
use redis_hll::cube::question::{
    Condition, Direction, Gaps, Level, Metric, Order, Question, Test, Time,
};
use redis_hll::cube::users::{Cell, Registers, Sums, Tokens, Users};
use redis_hll::cube::{Cube, Event};
use redis_hll::sketch::token::{self, INDEX_BITS, Token};
use redis_hll::sketch::{HashFamily, Precision, Sketch};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;
use stream::{HOUR, MOST_DIMENSIONS, Plan, Stream, name_user};

/// Of which the best counts.
const TRIALS: usize = 9;

/// Columns whose cells of one number are united: days of a month and a half.
const PARTS: usize = 48;

/// Cells of each column.
const CELLS: u32 = 64;

/// How long a call took, and what it returned.
fn timed<T>(call: impl FnOnce() -> T) -> (Duration, T) {
    let begin = shop::processor_nanos();
    let result = black_box(call());
    (
        Duration::from_nanos(shop::processor_nanos() - begin),
        result,
    )
}

/// The shortest time that a call took.
fn best<T>(mut call: impl FnMut() -> T) -> Duration {
    let times = (0..TRIALS).map(|_| timed(&mut call).0);
    times.min().unwrap_or_default()
}

fn each(time: Duration, count: usize) -> f64 {
    time.as_nanos() as f64 / count.max(1) as f64
}

fn hashes(from: u64, count: usize) -> impl Iterator<Item = u64> {
    let family = HashFamily::default();
    (from..from + count as u64).map(move |user| family.hash(&user.to_le_bytes()))
}

/// Cells of so many users each, as they are or packed.
fn column(part: usize, users: usize, precision: Precision, is_packed: bool) -> Column {
    let index_bits = match is_packed {
        true => pack::index_bits(precision),
        false => INDEX_BITS,
    };
    let mut builder = Builder::of_tokens(0, index_bits);
    for number in 1..=CELLS {
        let from = (part as u64) << 32 | u64::from(number) << 20;
        let mut sketch = Sketch::new(precision, HashFamily::default());
        for hash in hashes(from, users) {
            sketch.add_hash(hash);
        }
        let mut tokens: Vec<Token> = hashes(from, users)
            .map(|hash| token::cut(token::from_hash(hash), index_bits))
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        builder.push(Cell {
            number,
            events: users as u64,
            sums: Sums::Zero,
            users: match sketch.dense() {
                Some(dense) => Users::Registers {
                    registers: Registers::Plain(dense.registers()),
                    estimate: dense.estimate(),
                },
                None if is_packed => Users::Tokens(Tokens::Cut(&tokens, index_bits)),
                None => Users::Tokens(Tokens::List(&tokens)),
            },
        });
    }
    builder.finish()
}

/// What it takes to find cells, to take them in and to tell how many users there are, nanoseconds each.
fn units() {
    println!(
        "| p | users of a cell | form | find a cell, ns | unite, ns each | tell, ns each | tell, µs |"
    );
    println!("|--:|--:|---|--:|--:|--:|--:|");
    for (bits, users) in [
        (12, 3),
        (12, 20),
        (12, 500),
        (12, 5_000),
        (14, 3_000),
        (14, 60_000),
    ] {
        let precision = Precision::new(bits).expect("a precision");
        for is_packed in [false, true] {
            let columns: Vec<Column> = (0..PARTS)
                .map(|part| column(part, users, precision, is_packed))
                .collect();
            let content = columns[0].content();
            let all = content.packed();
            let is_dense = all.packed_registers > 0;
            let of_a_cell = (all.packed_tokens + all.packed_registers) / CELLS as usize;
            let seeks = PARTS * CELLS as usize;
            let mut unions: Vec<Union> = vec![Union::new(); CELLS as usize];
            let cells: Vec<Vec<Cell>> = columns
                .iter()
                .map(|column| column.iter_from(0).collect())
                .collect();
            let found = best(|| {
                let cursors = columns.iter().map(Column::cursor);
                for mut cursor in cursors {
                    for number in 1..=CELLS {
                        black_box(cursor.seek(number));
                    }
                }
            });
            let united = best(|| {
                for (at, union) in unions.iter_mut().enumerate() {
                    union.begin(precision);
                    cells.iter().for_each(|column| union.add(column[at].users));
                }
            });
            let made = unions.clone();
            let cloned = best(|| made.clone());
            let told = best(|| {
                let mut made = made.clone();
                made.iter_mut().for_each(|union| {
                    black_box(union.estimate());
                });
            });
            let told = told.saturating_sub(cloned);
            println!(
                "| {bits} | {users} | {}{} | {:.0} | {:.2} | {:.2} | {:.1} |",
                if is_packed { "packed " } else { "" },
                if is_dense { "registers" } else { "tokens" },
                each(found, seeks),
                each(united, seeks * of_a_cell),
                each(
                    told,
                    if is_dense {
                        CELLS as usize * precision.registers()
                    } else {
                        seeks * of_a_cell
                    }
                ),
                each(told, CELLS as usize) / 1e3,
            );
        }
    }
}

fn fill(events: u64, seed: u64) -> Cube {
    let mut stream = Stream::new(Plan {
        events,
        order: stream::Order::Time,
        pages: false,
        steps: false,
        seed,
    });
    let mut cube = Cube::new(shop::schema(&stream), seed);
    let mut user = String::new();
    for _ in 0..events {
        let drawn = stream.draw();
        name_user(drawn.user, &mut user);
        let mut values: [(usize, &[u8]); MOST_DIMENSIONS] = [(0, b""); MOST_DIMENSIONS];
        let dimensions = stream.dimensions.iter().zip(drawn.values);
        for (position, (value, (dimension, number))) in
            values.iter_mut().zip(dimensions).enumerate()
        {
            *value = (position, dimension.values[number as usize].as_bytes());
        }
        cube.add(&Event {
            at: drawn.at,
            element: user.as_bytes(),
            values: &values[..stream.dimensions.len()],
            measures: &[],
        })
        .expect("everything is kept for longer than the events last");
    }
    cube
}

/// Questions by what they are called.
fn questions(newest: Millis) -> Vec<(&'static str, Question)> {
    let last = |hours: i64| Question {
        time: Some(Time::UpTo(newest - hours * HOUR..newest + 1)),
        ..Question::everything(0.95)
    };
    let (day, month) = (24, 30 * 24);
    let by = |dimension: usize, hours: i64| Question {
        by: vec![dimension],
        ..last(hours)
    };
    let top = |hours: i64| Question {
        order: Some(Order {
            metric: Metric::Unique,
            direction: Direction::Descending,
        }),
        limit: Some(10),
        ..by(4, hours)
    };
    let bucket = |unit: Span, question: Question| Question {
        bucket: Some(unit),
        gaps: Gaps::Filled,
        ..question
    };
    let hourly = Span::Millis(HOUR);
    let values = |dimension: usize, count: usize| Condition {
        dimension,
        test: Test::In,
        values: (0..count)
            .map(|i| format!("value-{i}").into_bytes())
            .collect(),
    };
    let some = |count: usize| Question {
        conditions: vec![values(4, count)],
        ..bucket(hourly, by(4, 47))
    };
    let events = |question: Question| Question {
        metrics: vec![Metric::Events],
        ..question
    };
    vec![
        ("COUNT LAST 24h", last(day)),
        ("COUNT LAST 30d", last(month)),
        ("SERIES BUCKET 1d, 30 d", bucket(Span::Days(1), last(month))),
        ("SERIES BUCKET 1h, 48 h", bucket(hourly, last(47))),
        ("BY device, 30 d", by(0, month)),
        ("BY country, 24 h", by(2, day)),
        ("BY country, 30 d", by(2, month)),
        ("BY campaign, 30 d", by(3, month)),
        ("BY category, 30 d", by(4, month)),
        ("BY category, 30 d, events", events(by(4, month))),
        ("TOP 10 category, 24 h", top(day)),
        ("TOP 10 category, 30 d", top(month)),
        ("BY country BUCKET 1h, 48 h", bucket(hourly, by(2, 47))),
        ("BY 100 categories BUCKET 1h, 48 h", some(100)),
        (
            "BY 200 categories BUCKET 1h, 48 h, events",
            events(some(200)),
        ),
        (
            "BY country BUCKET 1d, 30 d",
            bucket(Span::Days(1), by(2, month)),
        ),
    ]
}

/// What whole answers were expected to take, and took.
fn answers(cube: &Cube) -> Result<(), String> {
    println!("| question | rows | planned, µs | expected, µs | took, µs | steps |");
    println!("|---|--:|--:|--:|--:|--:|");
    let newest = cube.newest().ok_or("there are no events")?;
    for (name, question) in questions(newest) {
        let plan = || Query::plan(cube, question.clone()).map_err(|why| format!("{name}: {why:?}"));
        let expected = plan()?.expected();
        let planned = best(plan);
        let (mut steps, mut rows) = (0, 0);
        let took = (0..TRIALS).map(|_| {
            let mut query = plan()?;
            steps = 0;
            let (time, answer) = timed(|| {
                loop {
                    steps += 1;
                    if let Some(answer) = query.step() {
                        return answer;
                    }
                }
            });
            rows = answer.map_err(|why| format!("{name}: {why:?}"))?.rows.len();
            Ok(time)
        });
        let took = took.collect::<Result<Vec<Duration>, String>>()?;
        let took = took.into_iter().min().unwrap_or_default();
        println!(
            "| {name} | {rows} | {} | {} | {} | {steps} |",
            planned.as_micros(),
            expected.as_micros(),
            took.as_micros()
        );
    }
    Ok(())
}

/// How long questions about many slices are planned, in a cube of hours that are kept for more than a year: with an event
/// in each of so many hours, or two events at the ends of as many.
fn plans(seed: u64) -> Result<(), String> {
    println!("| hours | with events | question | planned, µs | expected, µs |");
    println!("|--:|--:|---|--:|--:|");
    for (hours, step) in [(499usize, 1), (499, 498), (9_500, 9_499)] {
        let stream = Stream::new(Plan {
            events: 1,
            order: stream::Order::Time,
            pages: false,
            steps: false,
            seed,
        });
        let mut schema = shop::schema(&stream);
        schema.tiers.truncate(1);
        schema.tiers[0].retention = Span::Days(400);
        let mut cube = Cube::new(schema, seed);
        for hour in (0..hours).step_by(step) {
            cube.add(&Event {
                at: stream::START + hour as i64 * HOUR,
                element: b"user",
                values: &[(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")],
                measures: &[],
            })
            .expect("it is kept for longer");
        }
        let with_events = hours.div_ceil(step);
        let of_five = Question {
            conditions: (0..5)
                .map(|dimension| Condition {
                    dimension,
                    test: Test::NotIn,
                    values: vec![b"none".to_vec()],
                })
                .collect(),
            level: Level::Users,
            ..Question::everything(0.95)
        };
        let hourly = Question {
            bucket: Some(Span::Millis(HOUR)),
            gaps: Gaps::Filled,
            ..Question::everything(0.95)
        };
        let everything = Question::everything(0.95);
        for (name, question) in [
            ("COUNT", everything),
            ("COUNT of five columns", of_five),
            ("SERIES BUCKET 1h", hourly),
        ] {
            let plan =
                || Query::plan(&cube, question.clone()).map_err(|why| format!("{name}: {why:?}"));
            let expected = plan()?.expected();
            let planned = best(plan);
            println!(
                "| {hours} | {with_events} | {name} | {} | {} |",
                planned.as_micros(),
                expected.as_micros()
            );
        }
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let (mut events, mut seed) = (1_000_000, 1);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--events" => events = page::number("--events", &mut words)?.max(1),
            "--seed" => seed = page::number("--seed", &mut words)?,
            // What `cargo bench` adds.
            "--bench" => {}
            _ => {
                return Err(format!(
                    "no option {word}, the head of benches/cube_costs.rs has them"
                ));
            }
        }
    }
    units();
    println!();
    plans(seed)?;
    println!();
    answers(&fill(events, seed))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cube_costs: {error}");
            ExitCode::FAILURE
        }
    }
}
