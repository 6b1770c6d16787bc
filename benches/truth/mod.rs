//! Cubes whose users are known, and what they answer about them: for the figures of docs/accuracy.md and for a test.
//!
//! Every world has users of its own, whose hashes have nothing to do with those of any other. Within one world answers
//! about the same events hang together: whoever pools several of them has fewer independent ones than it looks.

use redis_hll::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use redis_hll::cube::history::History;
use redis_hll::cube::query::Query;
use redis_hll::cube::question::{Condition, Figure, Level, Metric, Question, Row, Test, Time};
use redis_hll::cube::schema::{Dimension, Schema, Tier};
use redis_hll::cube::{Cube, Event};
use redis_hll::sketch::{HashFamily, Precision};

/// That of every interval here.
pub const CONFIDENCE: f64 = 0.95;

/// The end of the last day, which is the present of whoever asks.
const NOW: Millis = 20_000 * DAY;
const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// An answer beside the truth.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// What was asked.
    pub about: &'static str,
    /// What is true.
    pub truth: f64,
    /// What was answered.
    pub value: f64,
    /// The interval.
    pub lower: f64,
    /// See `lower`.
    pub upper: f64,
}

impl Answer {
    fn new(about: &'static str, truth: f64, row: &Row, figure: usize) -> Answer {
        let (value, (lower, upper)) = match row.figures[figure] {
            Some(Figure::Estimate(users)) => (users.value, users.interval(CONFIDENCE)),
            Some(Figure::Common {
                users,
                lower,
                upper,
            }) => (users.value, (lower, upper)),
            Some(Figure::Ratio { sum, users }) => {
                let (fewest, most) = users.interval(CONFIDENCE);
                (sum / users.value, (sum / most, sum / fewest))
            }
            ref other => panic!("{about}: {other:?}"),
        };
        Answer {
            about,
            truth,
            value,
            lower,
            upper,
        }
    }

    /// How far from the truth, as a fraction of it.
    pub fn error(&self) -> f64 {
        self.value / self.truth - 1.0
    }

    /// Whether the interval holds the truth.
    pub fn is_covered(&self) -> bool {
        (self.lower..=self.upper).contains(&self.truth)
    }
}

fn schema(precision: Precision, new: Option<Precision>, dimensions: &[&str]) -> Schema {
    let tier = |slice: &str, retention: &str| Tier {
        slice: Span::parse(slice.as_bytes()).expect("a span"),
        retention: Span::parse(retention.as_bytes()).expect("a span"),
        precision: None,
    };
    let dimension = |name: &&str| Dimension {
        name: (*name).to_owned(),
        precision,
        values: 8,
        user_level: false,
    };
    let schema = Schema {
        tiers: vec![tier("1h", "48h"), tier("1d", "90d")],
        dimensions: dimensions.iter().map(dimension).collect(),
        groups: Vec::new(),
        measures: vec!["spent".to_owned()],
        precision,
        new,
        calendar: Calendar {
            zone: Zone::named("UTC").expect("a zone"),
            week_start: WeekStart::Monday,
        },
        hash: HashFamily::default(),
        max_bytes: None,
        history: History::default(),
    };
    schema.check().expect("a schema");
    schema
}

/// Who does something in one world.
struct World {
    cube: Cube,
    world: u64,
}

impl World {
    fn new(schema: Schema, world: u64) -> World {
        World {
            cube: Cube::new(schema, world),
            world,
        }
    }

    fn event(&mut self, at: Millis, user: u64, values: &[(usize, &[u8])]) {
        let element = [self.world.to_le_bytes(), user.to_le_bytes()].concat();
        let added = self.cube.add(&Event {
            at,
            element: &element,
            values,
            measures: &[(0, 2.0)],
        });
        added.expect("nothing is late");
    }

    /// So many users on a day, the first at its beginning and the last at its end.
    fn day(&mut self, begin: Millis, users: std::ops::Range<u64>) {
        let number = (users.end - users.start) as Millis;
        for (place, user) in users.enumerate() {
            self.event(begin + place as Millis * DAY / number, user, &[]);
        }
    }

    fn ask(&self, question: Question) -> Vec<Row> {
        let mut query = Query::plan(&self.cube, question).expect("an answer");
        loop {
            if let Some(answer) = query.step() {
                return answer.expect("an answer").rows;
            }
        }
    }
}

fn since(begin: Millis, metrics: &[Metric]) -> Question {
    Question {
        time: Some(Time::UpTo(begin..NOW)),
        metrics: metrics.to_vec(),
        ..Question::everything(CONFIDENCE)
    }
}

/// About one hour that is still open, a day of hours and thirty days. Each day has two users for each register, of whom
/// half a one for each register is new; the last hour has two more for each that were never there before.
pub fn counts(precision: Precision, world: u64) -> Vec<Answer> {
    let m = precision.registers() as u64;
    let mut world = World::new(schema(precision, None, &[]), world);
    for day in 0..30 {
        let first = day * m / 2;
        world.day(NOW - (30 - day as Millis) * DAY, first..first + 2 * m);
    }
    let burst = 1 << 40..(1 << 40) + 2 * m;
    let end = NOW - 1;
    burst.clone().for_each(|user| world.event(end, user, &[]));
    // Those of the day's last hour are the last of the day.
    let last = 29 * m / 2 + 2 * m;
    let of_hour =
        (0..2 * m).filter(|place| (*place as Millis) * DAY / (2 * m as Millis) >= 23 * HOUR);
    let (hour, day, month) = (of_hour.count() as u64 + 2 * m, 4 * m, last + 2 * m);
    let both = [Metric::Unique, Metric::PerUser(0)];
    let of = |begin: Millis| world.ask(since(begin, &both)).remove(0);
    let days = of(NOW - 30 * DAY);
    let hours = of(NOW - DAY);
    let one = of(NOW - HOUR);
    vec![
        Answer::new("one slice that is open", hour as f64, &one, 0),
        Answer::new("LAST 24h", day as f64, &hours, 0),
        Answer::new("LAST 30d", month as f64, &days, 0),
        // Everybody comes once on a day, and spends 2.
        Answer::new("per: of LAST 24h", 2.0, &hours, 1),
        Answer::new(
            "per: of LAST 30d",
            (30 * 2 * m + 2 * m) as f64 * 2.0 / month as f64,
            &days,
            1,
        ),
    ]
}

/// New users of each of so many days, when so many were known before, and those who return: a day has twice as many of
/// them. Two answers for each day.
pub fn newcomers(
    precision: Precision,
    known: u64,
    each_day: u64,
    days: u64,
    world: u64,
) -> Vec<Answer> {
    let schema = schema(
        Precision::new(10).expect("a precision"),
        Some(precision),
        &[],
    );
    let mut world = World::new(schema, world);
    let first = NOW - (days as Millis + 1) * DAY;
    world.day(first, 0..known);
    for day in 0..days {
        let begin = first + (day as Millis + 1) * DAY;
        let new = known + day * each_day;
        world.day(begin, new - 2 * each_day..new + each_day);
    }
    let mut question = since(first + DAY, &[Metric::New, Metric::Returning]);
    question.bucket = Some(Span::Days(1));
    let rows = world.ask(question);
    assert_eq!(rows.len(), days as usize);
    let answers = rows.iter().flat_map(|row| {
        let returning = 2.0 * each_day as f64;
        [
            Answer::new("new", each_day as f64, row, 0),
            Answer::new("returning", returning, row, 1),
        ]
    });
    answers.collect()
}

/// Users who did two things, in different events: as many each as there are registers, twice, and a fifth of them both.
pub fn intersection(precision: Precision, world: u64) -> Answer {
    let m = precision.registers() as u64;
    let mut world = World::new(schema(precision, None, &["did", "had"]), world);
    for place in 0..2 * m {
        let at = NOW - DAY + place as Millis * DAY / (2 * m as Millis);
        world.event(at, place, &[(0, b"x")]);
        world.event(at, place + 8 * m / 5, &[(1, b"y")]);
    }
    let condition = |dimension, value: &[u8]| Condition {
        dimension,
        test: Test::In,
        values: vec![value.to_vec()],
    };
    let mut question = since(NOW - DAY, &[Metric::Unique]);
    question.conditions = vec![condition(0, b"x"), condition(1, b"y")];
    question.level = Level::Users;
    let truth = 2 * m - 8 * m / 5;
    Answer::new(
        "USERS, both of two",
        truth as f64,
        &world.ask(question)[0],
        0,
    )
}
