//! Comparisons, and users who had been seen before: beside two questions asked one after the other, beside sets of users
//! that are known, and by simulation.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_hll::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use redis_hll::cube::query::Query;
use redis_hll::cube::question::*;
use redis_hll::cube::schema::{Dimension, Group, Schema, Tier};
use redis_hll::cube::{Cube, Event};
use redis_hll::sketch::{HashFamily, Precision};
use std::collections::BTreeSet;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// A Monday in UTC.
const START: Millis = 1_600_041_600_000;

fn span(text: &str) -> Span {
    Span::parse(text.as_bytes()).unwrap()
}

fn schema(zone: &str, bits: u8) -> Schema {
    let precision = Precision::new(bits).unwrap();
    let tier = |slice, retention| Tier {
        slice: span(slice),
        retention: span(retention),
        precision: None,
    };
    let dimension = |name: &str| Dimension {
        name: name.to_owned(),
        precision,
        values: 20,
        user_level: false,
    };
    Schema {
        tiers: vec![tier("1h", "5d"), tier("1d", "60d"), tier("1w", "20w")],
        dimensions: vec![dimension("variant"), dimension("step")],
        groups: vec![Group {
            dimensions: vec![0, 1],
            precision,
            values: 100,
        }],
        measures: vec!["revenue".to_owned()],
        precision,
        new: Some(Precision::new(12).unwrap()),
        calendar: Calendar {
            zone: Zone::named(zone).unwrap(),
            week_start: WeekStart::Monday,
        },
        hash: HashFamily::default(),
        max_bytes: None,
        history: Default::default(),
    }
}

fn add(cube: &mut Cube, at: Millis, user: u32, variant: u8, step: u8, revenue: f64) {
    let added = cube.add(&Event {
        at,
        element: &user.to_le_bytes(),
        values: &[(0, &[b'v', variant]), (1, &[b's', step])],
        measures: &[(0, revenue)],
    });
    assert!(added.is_ok());
}

/// The answer and the comparison.
fn ask(cube: &Cube, question: &Question) -> (Answer, Option<Comparison>) {
    let mut query = Query::plan(cube, question.clone()).unwrap();
    loop {
        if let Some(answer) = query.step() {
            return (answer.unwrap(), query.take_comparison());
        }
    }
}

fn between(range: std::ops::Range<Millis>) -> Question {
    Question {
        time: Some(Time::Between(range)),
        ..Question::everything(0.9)
    }
}

fn value(figure: Figure) -> f64 {
    match figure {
        Figure::Exact(number) => number,
        Figure::Estimate(users) | Figure::Common { users, .. } => users.value,
        Figure::Ratio { sum, users } => sum / users.value,
    }
}

fn is(dimension: usize, value: [u8; 2]) -> Condition {
    Condition {
        dimension,
        test: Test::In,
        values: vec![value.to_vec()],
    }
}

/// What is the same in both sides of every row, whatever is compared.
fn check_rows(
    answer: &Answer,
    comparison: &Comparison,
    other: &Answer,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(answer.rows.len(), comparison.rows.len());
    for (row, compared) in answer.rows.iter().zip(&comparison.rows) {
        let before = other.rows.iter().find(|one| one.values == row.values);
        for (at, metric) in answer.metrics.iter().enumerate() {
            let previous = before
                .and_then(|before| before.figures[at])
                .map_or(0.0, value);
            let Some(compared) = compared[at] else {
                prop_assert!(
                    matches!(metric, Metric::PerUser(_) | Metric::PerEvent(_)),
                    "{metric:?}"
                );
                continue;
            };
            prop_assert_eq!(value(compared.previous), previous, "{:?}", metric);
            let now = value(row.figures[at].unwrap());
            if matches!(metric, Metric::Events | Metric::Sum(_)) {
                let expected = (previous != 0.0).then(|| (now - previous) / previous.abs());
                let change = compared.change;
                prop_assert_eq!(change.map(|change| change.value), expected);
                prop_assert_eq!(change.map(|change| change.lower), expected);
                prop_assert_eq!(change.map(|change| change.upper), expected);
            }
            if let Some(change) = compared.change {
                prop_assert!(change.lower <= change.value && change.value <= change.upper);
            }
            if let Some((difference, p_value)) = compared.difference {
                prop_assert!(
                    difference.lower <= difference.value && difference.value <= difference.upper
                );
                prop_assert!((0.0..=1.0).contains(&p_value));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A comparison says what two questions say that are asked one after the other.
    #[test]
    fn a_comparison_is_two_questions(
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kolkata"]),
        events in prop::collection::vec((0..20 * DAY, 0u32..60, 0u8..3, 0u8..4, -5i8..9), 50..600),
        hours in (1i64..60, 0i64..70),
        by in prop::sample::select(vec![vec![], vec![0], vec![1], vec![0, 1]]),
        limit in prop::option::of(1usize..4),
    ) {
        let mut cube = Cube::new(schema(zone, 7), 3);
        let mut events = events;
        events.sort_unstable();
        for &(at, user, variant, step, revenue) in &events {
            add(&mut cube, START + at, user, variant, step, revenue.into());
        }
        let (length, back) = hours;
        let newest = cube.kept().unwrap().end;
        let asked = newest - (back + length) * HOUR..newest - back * HOUR;
        let length = cube.schema().calendar.local_length(&asked);
        let mut question = between(asked.clone());
        question.by = by.clone();
        question.metrics = vec![Metric::Unique, Metric::Events, Metric::New, Metric::Returning, Metric::Sum(0), Metric::PerEvent(0)];
        question.order = limit.map(|_| Order { metric: Metric::Sum(0), direction: Direction::Descending });
        question.limit = limit;
        question.against = Some(Against::Before(Shift::Local(length)));
        let (answer, comparison) = ask(&cube, &question);
        let comparison = comparison.unwrap();
        match comparison.range.clone() {
            // Not so long ago, or not so finely.
            None => prop_assert!(comparison.rows.iter().flatten().all(Option::is_none)),
            Some(then) => {
                let calendar = &cube.schema().calendar;
                prop_assert_eq!(then.start, calendar.minus_local(answer.range.start, length));
                prop_assert!(then.end == calendar.minus_local(answer.range.end, length) || then.end == answer.range.start);
                let mut before = question.clone();
                (before.against, before.limit, before.order) = (None, None, None);
                before.time = Some(Time::Between(then.clone()));
                let (other, none) = ask(&cube, &before);
                prop_assert!(none.is_none());
                prop_assert_eq!(&other.range, &then);
                check_rows(&answer, &comparison, &other)?;
            }
        }
        // Two variants side by side.
        question.by.retain(|&by| by != 0);
        question.conditions = vec![is(0, [b'v', 0])];
        question.against = Some(Against::Other(is(0, [b'v', 1])));
        let (answer, comparison) = ask(&cube, &question);
        let comparison = comparison.unwrap();
        let mut before = question.clone();
        (before.against, before.limit, before.order) = (None, None, None);
        before.conditions = vec![is(0, [b'v', 1])];
        let (other, _) = ask(&cube, &before);
        check_rows(&answer, &comparison, &other)?;
    }

    /// As long as sets are small, users are counted: those who had been seen before are exact too.
    #[test]
    fn returning_users_are_those_that_were_seen_before(
        events in prop::collection::vec((0..3 * DAY, 0u32..40), 1..300),
    ) {
        let mut cube = Cube::new(schema("UTC", 12), 3);
        let mut events = events;
        events.sort_unstable();
        events.iter().for_each(|&(at, user)| add(&mut cube, START + at, user, 0, 0, 0.0));
        for day in 0..3 {
            let range = day * DAY..(day + 1) * DAY;
            let users = |keep: &dyn Fn(Millis) -> bool| -> BTreeSet<u32> {
                events.iter().filter(|event| keep(event.0)).map(|event| event.1).collect()
            };
            let (before, within) = (users(&|at| at < range.start), users(&|at| range.contains(&at)));
            let mut question = between(START + range.start..START + range.end);
            question.metrics = vec![Metric::Unique, Metric::New, Metric::Returning];
            let (answer, _) = ask(&cube, &question);
            if answer.range != (START + range.start..START + range.end) {
                continue;
            }
            let Some(Figure::Estimate(returning)) = answer.rows[0].figures[2] else {
                panic!("{:?}", answer.rows[0]);
            };
            // Of forty users in 4,096 registers two fall together in every fifth sample, which makes one of them known.
            let expected = before.intersection(&within).count() as f64;
            prop_assert!((returning.value - expected).abs() < 3.0, "{returning:?}, should be {expected}");
            let (lower, upper) = returning.interval(0.9);
            prop_assert!(0.0 <= lower && lower <= returning.value && returning.value <= upper);
        }
    }
}

fn seed() -> u64 {
    let given = std::env::var("HLL_SEED").ok();
    let seed = given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("HLL_SEED={seed}");
    seed
}

/// Users of two days, so many in both; each comes once a day.
fn two_days(random: &mut StdRng, bits: u8, only: [u32; 2], both: u32) -> Cube {
    let mut cube = Cube::new(schema("UTC", bits), 3);
    let base: u32 = random.random_range(0..1 << 30);
    for (day, only) in [0, 1].into_iter().zip(only) {
        let own = base + (1 << 20) * (day as u32 + 1);
        for (i, user) in (base..base + both).chain(own..own + only).enumerate() {
            let at = START + day * DAY + i as Millis % 23 * HOUR;
            // In any order within the day, so that no running estimate answers alone.
            let at = at.max(cube.newest().map_or(0, |newest| newest - HOUR));
            add(&mut cube, at, user, (user % 2) as u8, 0, 0.0);
        }
    }
    add(&mut cube, START + 2 * DAY + 2 * HOUR, base, 0, 0, 0.0);
    cube
}

fn change_of_day_two(cube: &Cube) -> (Between, bool) {
    let mut question = between(START + DAY..START + 2 * DAY);
    question.metrics = vec![Metric::Unique];
    question.against = Some(Against::Before(Shift::Span(span("1d"))));
    let (_, comparison) = ask(cube, &question);
    let comparison = comparison.unwrap();
    (
        comparison.rows[0][0].unwrap().change.unwrap(),
        comparison.wide,
    )
}

/// Intervals of 90 % hold the truth in 90 % of samples, whatever both days have in common. Of 300 samples more than
/// 60 or fewer than 8 misses come by chance less than once in a million runs each.
#[test]
fn the_interval_of_a_change_holds_the_truth_as_often_as_it_says() {
    let mut random = StdRng::seed_from_u64(seed());
    for (only, both) in [
        ([600, 500], 5_400),
        ([3_000, 3_300], 300),
        ([2_000, 2_000], 2_000),
    ] {
        let truth = f64::from(only[1] + both) / f64::from(only[0] + both) - 1.0;
        let mut missed = 0;
        for _ in 0..300 {
            let (change, wide) = change_of_day_two(&two_days(&mut random, 9, only, both));
            assert!(!wide);
            missed += u32::from(!(change.lower..=change.upper).contains(&truth));
        }
        println!("{only:?} and {both} in common: {missed} of 300 missed");
        assert!((8..=60).contains(&missed), "{missed} of 300 missed");
    }
}

/// Nine in ten users of both days: the interval is less than half of that of independent sets.
#[test]
fn what_is_shared_makes_the_interval_narrow() {
    let mut random = StdRng::seed_from_u64(seed());
    let precision = Precision::new(9).unwrap();
    let independent = 2.0 * 1.645 * 2f64.sqrt() * precision.merged_error();
    let widths = (0..40).map(|_| {
        let (change, _) = change_of_day_two(&two_days(&mut random, 9, [600, 600], 5_400));
        change.upper - change.lower
    });
    let mean = widths.sum::<f64>() / 40.0;
    println!("{mean} instead of {independent}");
    assert!(mean < 0.55 * independent);
}

/// Two variants of a kind, and a few users who have most of the events: chances below a tenth come in a tenth of samples. Of
/// 300 samples more than 60 or fewer than 8 come by chance less than once in a million runs each. Of events and sums, which
/// those few decide, no chance is told.
#[test]
fn a_difference_by_chance_is_told_as_one() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut rare = 0;
    for _ in 0..300 {
        let mut cube = Cube::new(schema("UTC", 9), 3);
        let base: u32 = random.random();
        for i in 0..3_000u32 {
            let at = START + Millis::from(i) * 20 * HOUR / 3_000;
            let variant = random.random_range(0..2);
            let events = if i % 50 == 0 { 40 } else { 1 };
            for _ in 0..events {
                add(&mut cube, at, base.wrapping_add(i), variant, 0, 1.0);
            }
        }
        let mut question = between(START..START + DAY);
        question.conditions = vec![is(0, [b'v', 0])];
        question.metrics = vec![Metric::Unique, Metric::Events, Metric::Sum(0)];
        question.against = Some(Against::Other(is(0, [b'v', 1])));
        let (_, comparison) = ask(&cube, &question);
        let row = &comparison.unwrap().rows[0];
        let (difference, p_value) = row[0].unwrap().difference.unwrap();
        rare += u32::from(p_value < 0.1);
        // The interval of 90 % says the same.
        let holds = (difference.lower..=difference.upper).contains(&0.0);
        assert_eq!(holds, p_value >= 0.1, "{difference:?} {p_value}");
        assert_eq!(row[1].unwrap().difference, None);
        assert_eq!(row[2].unwrap().difference, None);
    }
    println!("{rare} of 300");
    assert!((8..=60).contains(&rare), "{rare}");
}

/// More rows than are solved for are told by themselves, and the answer says so. Whoever must not wait knows before how
/// long it takes to solve for a hundred.
#[test]
fn many_rows_are_compared_as_if_independent() {
    let mut cube = Cube::new(
        Schema {
            dimensions: vec![Dimension {
                values: 500,
                ..schema("UTC", 9).dimensions[0].clone()
            }],
            groups: vec![],
            ..schema("UTC", 9)
        },
        3,
    );
    for day in 0..3 {
        for i in 0..6_000u32 {
            let value = (i % 150).to_le_bytes();
            let added = cube.add(&Event {
                at: START + day * DAY + Millis::from(i) * 20 * HOUR / 6_000,
                element: &(i + day as u32 * 600).to_le_bytes(),
                values: &[(0, &value)],
                measures: &[],
            });
            assert!(added.is_ok());
        }
    }
    let mut question = between(START + DAY..START + 2 * DAY);
    question.by = vec![0];
    question.metrics = vec![Metric::Unique, Metric::Events];
    question.against = Some(Against::Before(Shift::Span(span("1d"))));
    let expected = |question: &Question| Query::plan(&cube, question.clone()).unwrap().expected();
    let (answer, comparison) = ask(&cube, &question);
    let comparison = comparison.unwrap();
    assert_eq!((answer.rows.len(), comparison.wide), (150, true));
    question.limit = Some(100);
    let alone = Question {
        against: None,
        ..question.clone()
    };
    assert!(expected(&question) > 2 * expected(&alone));
    let (answer, comparison) = ask(&cube, &question);
    let comparison = comparison.unwrap();
    assert_eq!((answer.rows.len(), comparison.wide), (100, false));
    // The same number of users of each value on both days, told by tokens, some of them cut: next to no change, and
    // surer than registers would be of it. These users are fixed.
    let changes = comparison.rows.iter();
    let changes: Vec<Between> = changes.map(|row| row[0].unwrap().change.unwrap()).collect();
    let held = changes
        .iter()
        .filter(|change| change.lower <= 0.0 && 0.0 <= change.upper);
    assert!(held.count() >= 90, "{changes:?}");
    let narrow = |change: &Between| change.upper - change.lower < 0.03;
    assert!(changes.iter().all(narrow), "{changes:?}");
}

/// Buckets are compared with buckets so much earlier; of a time that is not kept nothing is known.
#[test]
fn buckets_are_compared_with_earlier_ones() {
    let mut cube = Cube::new(schema("Europe/Berlin", 9), 3);
    let midnight = cube.schema().calendar.slice(span("1d"), START).start;
    for hour in 0..20 * 24 {
        add(
            &mut cube,
            midnight + hour * HOUR,
            hour as u32 % 50,
            0,
            0,
            hour as f64,
        );
    }
    let mut question = between(midnight + 14 * DAY..midnight + 20 * DAY);
    question.bucket = Some(span("1d"));
    question.metrics = vec![Metric::Events, Metric::Sum(0)];
    question.against = Some(Against::Before(Shift::Span(span("1w"))));
    let (answer, comparison) = ask(&cube, &question);
    let comparison = comparison.unwrap();
    assert_eq!(
        comparison.range,
        Some(midnight + 7 * DAY..midnight + 13 * DAY)
    );
    for (row, compared) in answer.rows.iter().zip(&comparison.rows) {
        let sum = compared[1].unwrap();
        assert_eq!(value(compared[0].unwrap().previous), 24.0);
        let day = (row.bucket.unwrap() - midnight) / DAY;
        let expected: Millis = ((day - 7) * 24..(day - 6) * 24).sum();
        assert_eq!(value(sum.previous), expected as f64);
    }
    question.against = Some(Against::Before(Shift::Span(span("30d"))));
    let (_, comparison) = ask(&cube, &question);
    let comparison = comparison.unwrap();
    assert_eq!(comparison.range, None);
    assert!(comparison.rows.iter().flatten().all(Option::is_none));
    // Of a period whose hours are gone, both sides are cut to days.
    let mut question = between(midnight + 13 * DAY + 6 * HOUR..midnight + 19 * DAY + 9 * HOUR);
    question.metrics = vec![Metric::Events];
    question.against = Some(Against::Before(Shift::Span(span("1w"))));
    let (answer, comparison) = ask(&cube, &question);
    assert_eq!(answer.range, midnight + 13 * DAY..midnight + 19 * DAY);
    assert_eq!(
        comparison.unwrap().range,
        Some(midnight + 6 * DAY..midnight + 12 * DAY)
    );
    // A condition must be there to be replaced.
    for (by, conditions) in [(vec![], vec![]), (vec![0], vec![is(0, *b"v\0")])] {
        let question = Question {
            by,
            conditions,
            against: Some(Against::Other(is(0, *b"v\x01"))),
            ..Question::everything(0.9)
        };
        let refused = Query::plan(&cube, question).err();
        assert_eq!(refused, Some(Unanswerable::NotCompared(0)));
    }
}
