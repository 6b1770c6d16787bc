//! A cube that is changed while it is written, beside a naive twin that keeps every event: dimensions, groups and
//! measures come and retentions and caps change at any write, events are late and time leaps. Whatever a question says
//! its range is, the figures are those of the events in it; nothing is claimed of a time before a column began or that
//! was given up; and a cube that was saved and loaded at any write goes on as if it had not been.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_hll::cube::alter::{AlterError, Change};
use redis_hll::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use redis_hll::cube::query::{Query, UnionQuery};
use redis_hll::cube::question::*;
use redis_hll::cube::schema::{Dimension, Group, MAX_DIMENSIONS, Schema, SchemaError, Tier};
use redis_hll::cube::{Cube, Event};
use redis_hll::sketch::{HashFamily, Precision, Sketch};
use redis_hll::storage::frame::{self, Frame, Kind};
use redis_hll::storage::{Compression, cube as stored};
use std::collections::BTreeMap;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// More dimensions and measures than any cube here comes to have, so that an event has values of those to come.
const DIMENSIONS: usize = 6;
const MEASURES: usize = 4;

fn precision(bits: u8) -> Precision {
    Precision::new(bits).unwrap()
}

fn span(text: &str) -> Span {
    Span::parse(text.as_bytes()).unwrap()
}

fn dimension(name: String, values: u32) -> Dimension {
    Dimension {
        name,
        precision: precision(5),
        values,
        user_level: false,
    }
}

fn group(dimensions: Vec<usize>, values: u32) -> Group {
    Group {
        dimensions,
        precision: precision(5),
        values,
    }
}

fn schema(zone: &str, new: bool, coarse: bool) -> Schema {
    let tier = |slice, retention, bits: Option<u8>| Tier {
        slice: span(slice),
        retention: span(retention),
        precision: bits.filter(|_| coarse).map(precision),
    };
    Schema {
        tiers: vec![
            tier("1h", "30h", Some(4)),
            tier("1d", "35d", None),
            tier("1w", "20w", Some(4)),
            tier("1mo", "24mo", None),
        ],
        dimensions: vec![dimension("d0".to_owned(), 10)],
        groups: vec![],
        measures: vec!["m0".to_owned()],
        precision: precision(7),
        new: new.then(|| precision(8)),
        calendar: Calendar {
            zone: Zone::named(zone).unwrap(),
            week_start: WeekStart::Monday,
        },
        hash: HashFamily::default(),
        max_bytes: None,
        history: Default::default(),
    }
}

#[derive(Clone, Debug)]
struct Happened {
    at: Millis,
    user: u32,
    values: [Option<u8>; DIMENSIONS],
    measures: [f64; MEASURES],
}

/// What is done next.
#[derive(Clone, Debug)]
enum Step {
    /// An event so much after the newest one.
    On(Millis, Happened),
    /// An event so much before it.
    Back(Millis, Happened),
    Dimension(u32),
    Group(usize, usize, u32),
    Measure,
    Retention(usize, usize),
    Values(usize, u32),
}

fn happened() -> impl Strategy<Value = Happened> {
    let values = prop::array::uniform(prop::option::weighted(0.8, 0u8..7));
    let measures = prop::array::uniform(-9i16..100);
    (0u32..200, values, measures).prop_map(|(user, values, measures)| Happened {
        at: 0,
        user,
        values,
        measures: measures.map(f64::from),
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let on = |most| (0..most, happened()).prop_map(|(on, event)| Step::On(on, event));
    let back = |most| (0..most, happened()).prop_map(|(back, event)| Step::Back(back, event));
    prop_oneof![
        400 => on(HOUR),
        60 => on(6 * HOUR),
        100 => back(6 * HOUR),
        60 => back(40 * DAY),
        10 => back(400 * DAY),
        10 => on(40 * DAY),
        6 => (1u32..9).prop_map(Step::Dimension),
        6 => (0usize..6, 0usize..6, 1u32..9).prop_map(|(a, b, values)| Step::Group(a, b, values)),
        4 => Just(Step::Measure),
        8 => (0usize..5, 0usize..4).prop_map(|(tier, to)| Step::Retention(tier, to)),
        8 => (0usize..9, 1u32..9).prop_map(|(column, values)| Step::Values(column, values)),
    ]
}

/// The change that a step asks for in a cube; `None` where it is an event.
fn change(cube: &Cube, step: &Step) -> Option<Change> {
    let schema = cube.schema();
    Some(match step {
        Step::On(..) | Step::Back(..) => return None,
        Step::Dimension(values) => {
            let name = format!("d{}", schema.dimensions.len());
            Change::AddDimension(dimension(name, *values))
        }
        Step::Group(a, b, values) => Change::AddGroup(group(vec![*a, *b], *values)),
        Step::Measure => Change::AddMeasure(format!("m{}", schema.measures.len())),
        // Some of them too short for the tiers made of them, and one of a tier that there is not.
        Step::Retention(tier, to) => Change::Retention {
            slice: span(["1h", "1d", "1w", "1mo", "2h"][*tier]),
            retention: span(["20h", "26h", "33d", "30w"][*to]),
        },
        Step::Values(column, values) => Change::Values {
            column: column % schema.columns(),
            values: *values,
        },
    })
}

fn add(cube: &mut Cube, event: &Happened) -> bool {
    let named: Vec<(usize, [u8; 2])> = event
        .values
        .iter()
        .take(cube.schema().dimensions.len())
        .enumerate()
        .filter_map(|(at, value)| Some((at, [b'v', (*value)?])))
        .collect();
    let values: Vec<(usize, &[u8])> = named.iter().map(|(at, name)| (*at, &name[..])).collect();
    let measures = event.measures.iter().copied().enumerate();
    let measures: Vec<(usize, f64)> = measures.take(cube.schema().measures.len()).collect();
    let added = cube.add(&Event {
        at: event.at,
        element: &event.user.to_le_bytes(),
        values: &values,
        measures: &measures,
    });
    added.is_ok()
}

fn question(time: Option<Time>) -> Question {
    Question {
        time,
        ..Question::everything(0.95)
    }
}

fn answer(cube: &Cube, question: &Question) -> Answer {
    let mut query = Query::plan(cube, question.clone()).unwrap();
    loop {
        if let Some(answer) = query.step() {
            return answer.unwrap();
        }
    }
}

fn union(cube: &Cube, question: &Question) -> Sketch {
    let mut query = UnionQuery::plan(cube, question.clone()).unwrap();
    loop {
        if let Some(sketch) = query.step() {
            return sketch;
        }
    }
}

fn exact(figure: Option<Figure>) -> Option<f64> {
    match figure {
        Some(Figure::Exact(number)) => Some(number),
        None => None,
        other => panic!("{other:?}"),
    }
}

fn is_near(sum: f64, expected: f64) -> bool {
    (sum - expected).abs() <= 1e-6
}

fn saved(cube: &Cube) -> Vec<u8> {
    let mut bytes = vec![];
    stored::save(cube, &mut bytes, Compression::None).unwrap();
    bytes
}

fn loaded(cube: &Cube) -> Cube {
    let loaded = stored::load(&mut &saved(cube)[..]).expect("what was saved can be loaded");
    assert_eq!(stored::digest(&loaded), stored::digest(cube));
    loaded
}

fn within<'a>(all: &'a [Happened], answer: &Answer) -> Vec<&'a Happened> {
    let events = all.iter();
    events
        .filter(|event| answer.range.contains(&event.at))
        .collect()
}

/// Compares what a cube says of a stretch of time with the events in it.
fn check(cube: &Cube, all: &[Happened], time: Option<Time>) -> Result<(), TestCaseError> {
    let schema = cube.schema();
    // Everything, which no change concerns. Measures are told where they began early enough.
    let mut asked = question(time.clone());
    asked.metrics = vec![Metric::Events];
    let total = answer(cube, &asked);
    let events = within(all, &total);
    let Some(told) = exact(total.rows[0].figures[0]) else {
        // Nothing of it is kept.
        prop_assert!(total.range.is_empty() && cube.kept().is_some());
        return Ok(());
    };
    prop_assert_eq!(told, events.len() as f64);
    let by_default = answer(cube, &question(time.clone()));
    prop_assert_eq!(&by_default.range, &total.range);
    for (metric, figure) in by_default.metrics.iter().zip(&by_default.rows[0].figures) {
        let &Metric::Sum(measure) = metric else {
            continue;
        };
        let sum: f64 = events.iter().map(|event| event.measures[measure]).sum();
        match exact(*figure) {
            None => prop_assert!(total.range.start < schema.measure_since(measure)),
            Some(told) => {
                prop_assert!(total.range.start >= schema.measure_since(measure));
                prop_assert!(is_near(told, sum), "{told}, should be {sum}");
            }
        }
    }
    // A measure that is asked for by name.
    for measure in 0..schema.measures.len() {
        let mut asked = question(time.clone());
        asked.metrics = vec![Metric::Sum(measure)];
        let told = answer(cube, &asked);
        prop_assert!(told.range.start >= schema.measure_since(measure));
        let events = within(all, &told);
        let sum: f64 = events.iter().map(|event| event.measures[measure]).sum();
        match exact(told.rows[0].figures[0]) {
            // It had not begun.
            None => prop_assert!(events.is_empty()),
            Some(told) => prop_assert!(is_near(told, sum), "{told}, should be {sum}"),
        }
    }
    // Values, some of which share a cell: none is lost, and none is more than it was.
    let dimensions = (0..schema.dimensions.len()).map(|at| vec![at]);
    let groups = schema.groups.iter().map(|group| group.dimensions.clone());
    for by in dimensions.chain(groups) {
        let column = match &by[..] {
            [one] => schema.dimension_column(*one),
            several => schema.group_column(schema.group_of(several).unwrap()),
        };
        let mut asked = question(time.clone());
        asked.by = by.clone();
        asked.metrics = vec![Metric::Events, Metric::Unique];
        let told = answer(cube, &asked);
        prop_assert!(told.range.start >= schema.since(column));
        let events = within(all, &told);
        let named = |event: &Happened| -> Option<Vec<Vec<u8>>> {
            let values = by.iter().map(|&at| event.values[at]);
            values
                .map(|value| value.map(|value| vec![b'v', value]))
                .collect()
        };
        let mut expected: BTreeMap<Vec<Vec<u8>>, usize> = BTreeMap::new();
        for event in &events {
            if let Some(name) = named(event) {
                *expected.entry(name).or_default() += 1;
            }
        }
        let of_all: f64 = told
            .rows
            .iter()
            .filter_map(|row| exact(row.figures[0]))
            .sum();
        prop_assert_eq!(of_all, expected.values().sum::<usize>() as f64);
        for row in told.rows.iter().filter(|row| &*row.values[0] != b"(other)") {
            let name: Vec<Vec<u8>> = row.values.iter().map(|value| value.to_vec()).collect();
            let count = expected.get(&name).copied().unwrap_or(0) as f64;
            let events = exact(row.figures[0]).unwrap();
            let holds = match row.at_least {
                true => events <= count,
                false => events == count,
            };
            prop_assert!(holds, "{name:?}: {events} events of {count}");
        }
        // Where nothing is in a cell of others, users are to the last register those of the events.
        if told.other_events == 0
            && by.len() == 1
            && let Some(row) = told.rows.first()
        {
            let mut asked = question(time.clone());
            asked.conditions = vec![Condition {
                dimension: by[0],
                test: Test::In,
                values: vec![row.values[0].to_vec()],
            }];
            let made = union(cube, &asked);
            let mut plain = Sketch::new(made.precision(), HashFamily::default());
            let own = events
                .iter()
                .filter(|event| named(event).is_some_and(|name| name[0] == row.values[0].to_vec()));
            own.for_each(|event| {
                plain.add(&event.user.to_le_bytes());
            });
            prop_assert_eq!(
                made.registers(made.precision()),
                plain.registers(made.precision())
            );
        }
        // In buckets, a time before the column began has nulls, and one after it its events.
        if let Some(Time::Between(range)) = &time
            && range.end - range.start < 20 * DAY
        {
            asked.by = vec![];
            asked.conditions = vec![Condition {
                dimension: by[0],
                test: Test::NotIn,
                values: vec![b"none".to_vec()],
            }];
            if by.len() == 1 {
                asked.bucket = Some(span("1h"));
                asked.gaps = Gaps::Filled;
                let since = schema.since(column);
                for row in answer(cube, &asked).rows {
                    let from = row.bucket.unwrap();
                    let known = exact(row.figures[0]);
                    prop_assert!(known.is_none() || from >= since, "{from} is before {since}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cube_that_changes_knows_what_happened(
        steps in prop::collection::vec(steps(), 1..1_200),
        zone in prop::sample::select(vec!["UTC", "Europe/London", "Asia/Kolkata"]),
        (new, coarse) in any::<(bool, bool)>(),
        start in 1_000_000_000_000i64..1_700_000_000_000,
        ranges in prop::collection::vec((0..100 * DAY, 0..60 * DAY), 3),
        save_at in any::<prop::sample::Index>(),
    ) {
        let mut cube = Cube::new(schema(zone, new, coarse), 7);
        let mut copy: Option<Cube> = None;
        let (mut newest, mut all): (Millis, Vec<Happened>) = (start, vec![]);
        let save_at = save_at.index(steps.len());
        let check_at = steps.len() / 2;
        for (i, step) in steps.iter().enumerate() {
            let at = match step {
                Step::On(on, _) => newest + on,
                Step::Back(back, _) => newest - back,
                _ => newest,
            };
            if let Some(change) = change(&cube, step) {
                let before = stored::digest(&cube);
                let full = matches!(step, Step::Dimension(_)) && cube.schema().dimensions.len() == DIMENSIONS
                    || matches!(step, Step::Measure) && cube.schema().measures.len() == MEASURES;
                if !full {
                    let changed = cube.alter(change.clone());
                    prop_assert_eq!(stored::digest(&cube) != before, changed == Ok(true));
                    if let Some(copy) = &mut copy {
                        prop_assert_eq!(copy.alter(change), changed);
                    }
                    loaded(&cube);
                }
            } else if let Step::On(_, event) | Step::Back(_, event) = step {
                let event = Happened { at, ..event.clone() };
                let counted = add(&mut cube, &event);
                if let Some(copy) = &mut copy {
                    prop_assert_eq!(add(copy, &event), counted);
                }
                if counted {
                    newest = newest.max(at);
                    all.push(event);
                }
            }
            if i == save_at {
                copy = Some(loaded(&cube));
            }
            if i == check_at || i + 1 == steps.len() {
                check(&cube, &all, None)?;
                for (back, len) in &ranges {
                    let from = newest - back;
                    check(&cube, &all, Some(Time::Between(from..from + len + 1)))?;
                    check(&cube, &all, Some(Time::UpTo(from..newest + 1)))?;
                }
            }
        }
        let copy = copy.unwrap();
        prop_assert_eq!(stored::digest(&copy), stored::digest(&cube));
        // Whatever has been done and undone, the account of bytes is that of a cube made afresh, but for room to grow.
        let (kept, fresh) = (cube.memory_bytes() as f64, loaded(&cube).memory_bytes() as f64);
        prop_assert!((0.5..4.0).contains(&(kept / fresh)), "{kept} bytes, afresh {fresh}");
    }
}

// ---------------------------------------------------------------------------------------------------------
// Cases

const START: Millis = 1_600_000_000_000 / DAY * DAY;

fn event(at: Millis, user: u32, value: u8) -> Happened {
    Happened {
        at,
        user,
        values: [Some(value); DIMENSIONS],
        measures: [1.0; MEASURES],
    }
}

fn by(cube: &Cube, dimension: usize, range: std::ops::Range<Millis>) -> Answer {
    let mut asked = question(Some(Time::Between(range)));
    asked.by = vec![dimension];
    asked.metrics = vec![Metric::Events];
    answer(cube, &asked)
}

/// A dimension that is added at half past ten begins at eleven, and with the next day in the tier of days. When the
/// hours between are past their retention, questions begin with that day.
#[test]
fn what_is_added_begins_with_the_next_slice_of_each_tier() {
    let mut cube = Cube::new(schema("UTC", true, false), 7);
    let added = START + 10 * HOUR + HOUR / 2;
    assert!(add(&mut cube, &event(added, 0, 1)));
    assert_eq!(
        cube.alter(Change::AddDimension(dimension("d1".to_owned(), 5))),
        Ok(true)
    );
    let since = START + 11 * HOUR;
    let column = cube.schema().dimension_column(1);
    assert_eq!(cube.schema().since(column), since);
    // In the same hour: counted, but not under the new dimension.
    assert!(add(&mut cube, &event(added + 1, 1, 1)));
    let told = by(&cube, 1, START..since);
    assert_eq!((told.range, told.rows.len()), (since..since, 0));
    for hour in 11..40 {
        assert!(add(&mut cube, &event(START + hour * HOUR, hour as u32, 1)));
    }
    let told = by(&cube, 1, START..START + 40 * HOUR);
    assert_eq!(told.range, since..START + 40 * HOUR);
    assert_eq!(exact(told.rows[0].figures[0]), Some(29.0));
    for hour in 40..80 {
        assert!(add(&mut cube, &event(START + hour * HOUR, hour as u32, 1)));
    }
    let told = by(&cube, 1, START..START + 80 * HOUR);
    assert_eq!(told.range, START + DAY..START + 80 * HOUR);
    assert_eq!(exact(told.rows[0].figures[0]), Some(56.0));
    // What always was there is told from the first day on.
    let told = by(&cube, 0, START..START + 80 * HOUR);
    assert_eq!(told.range.start, START);
    assert_eq!(exact(told.rows[0].figures[0]), Some(71.0));
}

/// While nothing has happened, what is added is there from the beginning.
#[test]
fn what_is_added_to_an_empty_cube_was_always_there() {
    let mut cube = Cube::new(schema("UTC", true, false), 7);
    let changes = [
        Change::AddGroup(group(vec![0, 1], 4)),
        Change::AddMeasure("m1".to_owned()),
    ];
    assert!(cube.alter(Change::AddDimension(dimension("d1".to_owned(), 5))) == Ok(true));
    for change in changes {
        assert_eq!(cube.alter(change), Ok(true));
    }
    let mut declared = schema("UTC", true, false);
    declared.dimensions.push(dimension("d1".to_owned(), 5));
    declared.groups.push(group(vec![0, 1], 4));
    declared.measures.push("m1".to_owned());
    let mut same = Cube::new(declared, 7);
    for hour in 0..50 {
        let event = event(START + hour * HOUR, hour as u32, hour as u8 % 5);
        assert!(add(&mut cube, &event) && add(&mut same, &event));
    }
    assert_eq!(stored::digest(&cube), stored::digest(&same));
}

/// A lower cap leaves slices as they are that were due when it came, and the others keep fewer apart.
#[test]
fn a_lower_cap_acts_on_slices_that_are_not_due() {
    let mut cube = Cube::new(schema("UTC", false, false), 7);
    let fill = |cube: &mut Cube, hours: std::ops::Range<Millis>| {
        for hour in hours {
            for value in 0..8 {
                assert!(add(
                    cube,
                    &event(START + hour * HOUR + 1, value.into(), value)
                ));
            }
        }
    };
    fill(&mut cube, 0..6);
    let cap = |values| Change::Values { column: 1, values };
    assert_eq!(cube.alter(cap(3)), Ok(true));
    assert_eq!(cube.alter(cap(3)), Ok(false));
    fill(&mut cube, 6..12);
    for hour in 0..10 {
        let told = by(&cube, 0, START + hour * HOUR..START + (hour + 1) * HOUR);
        let named = told.rows.iter().filter(|row| &*row.values[0] != b"(other)");
        // The newest two were open when it came: the fifth and the sixth hour.
        let expected = if hour < 4 { 8 } else { 3 };
        assert_eq!(named.count(), expected, "hour {hour}");
        let all: f64 = told
            .rows
            .iter()
            .filter_map(|row| exact(row.figures[0]))
            .sum();
        assert_eq!(all, 8.0);
    }
    // What comes late to a slice from before finds it as it was.
    assert!(add(&mut cube, &event(START + 1, 9, 9)));
    let told = by(&cube, 0, START..START + HOUR);
    assert_eq!(told.rows.len(), 9);
    loaded(&cube);
}

/// A longer retention keeps what there is, and does not bring back what was given up.
#[test]
fn what_was_given_up_does_not_come_back() {
    let mut cube = Cube::new(schema("UTC", false, false), 7);
    let retain = |retention| Change::Retention {
        slice: span("1h"),
        retention: span(retention),
    };
    for hour in 0..60 {
        assert!(add(&mut cube, &event(START + hour * HOUR, hour as u32, 1)));
    }
    let oldest = |cube: &Cube| cube.tier_infos()[0].oldest.unwrap();
    let before = oldest(&cube);
    assert!(before > START);
    assert_eq!(cube.alter(retain("100h")), Ok(true));
    assert_eq!(oldest(&cube), before);
    for hour in 60..120 {
        assert!(add(&mut cube, &event(START + hour * HOUR, hour as u32, 1)));
    }
    // Still there, where it would have gone.
    assert_eq!(oldest(&cube), before);
    // And a shorter one gives up at once.
    assert_eq!(cube.alter(retain("30h")), Ok(true));
    assert!(oldest(&cube) > before);
    let told = by(&loaded(&cube), 0, START..START + 120 * HOUR);
    assert_eq!(exact(told.rows[0].figures[0]), Some(120.0));
}

#[test]
fn what_cannot_be_declared_cannot_be_added() {
    let mut cube = Cube::new(schema("UTC", false, false), 7);
    assert!(add(&mut cube, &event(START, 1, 1)));
    assert_eq!(
        cube.alter(Change::AddDimension(dimension("d1".to_owned(), 5))),
        Ok(true)
    );
    assert_eq!(cube.alter(Change::AddGroup(group(vec![0, 1], 5))), Ok(true));
    let before = saved(&cube);
    let schema = |error| AlterError::Schema(error);
    let twice = schema(SchemaError::NameTwice("m0".to_owned()));
    let reserved = schema(SchemaError::Reserved("Unique".to_owned()));
    let names = vec!["d0".to_owned(), "d1".to_owned()];
    let retention = |slice, retention| Change::Retention {
        slice: span(slice),
        retention: span(retention),
    };
    for (change, error) in [
        (
            Change::AddDimension(dimension("m0".to_owned(), 5)),
            twice.clone(),
        ),
        (Change::AddMeasure("m0".to_owned()), twice),
        (Change::AddMeasure("Unique".to_owned()), reserved),
        (
            Change::AddGroup(group(vec![1, 0], 5)),
            schema(SchemaError::GroupTwice(names)),
        ),
        (
            Change::AddGroup(group(vec![1, 2], 5)),
            schema(SchemaError::GroupOfNothing(2)),
        ),
        (
            Change::AddDimension(dimension("d2".to_owned(), 0)),
            schema(SchemaError::Values(0)),
        ),
        (retention("2h", "3d"), AlterError::NoTier(span("2h"))),
        (
            retention("1h", "20h"),
            schema(SchemaError::Retention {
                slice: span("1h"),
                retention: span("20h"),
                least: span("1d"),
            }),
        ),
        (
            retention("1h", "9999d"),
            schema(SchemaError::TooManySlices(239_976 + 35 + 20 + 24)),
        ),
        (
            Change::Values {
                column: 0,
                values: 4,
            },
            AlterError::NoValues,
        ),
    ] {
        assert_eq!(cube.alter(change.clone()), Err(error), "{change:?}");
        assert_eq!(saved(&cube), before, "{change:?}");
    }
    for more in 2..MAX_DIMENSIONS {
        let change = Change::AddDimension(dimension(format!("d{more}"), 5));
        assert_eq!(cube.alter(change), Ok(true));
    }
    let one_more = Change::AddDimension(dimension("more".to_owned(), 5));
    assert!(matches!(
        cube.alter(one_more),
        Err(AlterError::Schema(SchemaError::TooMany(..)))
    ));
    loaded(&cube);
}

// ---------------------------------------------------------------------------------------------------------
// Hostile bytes

/// A cube that was changed in every way, with slices from before and after, late parts and work that waits.
fn changed(seed: u64) -> Cube {
    let mut random = StdRng::seed_from_u64(seed);
    let mut cube = Cube::new(schema("Europe/London", true, true), seed);
    let mut newest = START;
    for i in 0..200 {
        newest += random.random_range(0..HOUR);
        let back = [0, random.random_range(0..30 * HOUR)][usize::from(i % 9 == 4)];
        add(&mut cube, &event(newest - back, i, (i % 7) as u8));
        let change = match i {
            40 => Change::AddDimension(dimension("d1".to_owned(), 3)),
            60 => Change::AddGroup(group(vec![0, 1], 4)),
            80 => Change::AddMeasure("m1".to_owned()),
            100 => Change::Values {
                column: 1,
                values: 2,
            },
            120 => Change::Retention {
                slice: span("1h"),
                retention: span("40h"),
            },
            _ => continue,
        };
        assert_eq!(cube.alter(change), Ok(true));
    }
    cube
}

/// Streams with bytes changed in what became of a declaration, and anywhere: each is refused, or is a cube that
/// answers, takes events and is stored. `HLL_FUZZ` says how many, `HLL_SEED` repeats a run.
#[test]
fn a_damaged_history_is_refused_or_a_cube_that_works() {
    let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let tries = variable("HLL_FUZZ").unwrap_or(3_000);
    let seed = variable("HLL_SEED").unwrap_or_else(rand::random);
    println!("HLL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let bytes = saved(&changed(seed));
    let mut stream = vec![];
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (frame, after) = Frame::split_first(rest).unwrap();
        // The coding, which is none, and the length.
        stream.extend_from_slice(&frame.body[5..]);
        rest = after;
    }
    let declaration = stream.len().min(3_000);
    let mut accepted = 0;
    for i in 0..tries {
        let mut stream = stream.clone();
        let within = if i % 4 == 0 {
            stream.len()
        } else {
            declaration
        };
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..within);
            match random.random_range(0..3) {
                0 => stream[at] ^= 1 << random.random_range(0..8),
                1 => stream[at] = random.random(),
                _ => stream[at] = stream[at].wrapping_add(1),
            }
        }
        let pieces = stream.chunks(1 << 16).flat_map(|piece| {
            let length = (piece.len() as u32).to_le_bytes();
            frame::encode(Kind::Cube, &[&[0], &length, piece])
        });
        let Ok(mut cube) = stored::load(&mut &pieces.collect::<Vec<u8>>()[..]) else {
            continue;
        };
        accepted += 1;
        loaded(&cube);
        for dimension in 0..cube.schema().dimensions.len() {
            let mut asked = question(None);
            asked.by = vec![dimension];
            if let Ok(mut query) = Query::plan(&cube, asked) {
                while query.step().is_none() {}
            }
        }
        let newest = cube.newest().unwrap_or(START);
        for i in 0..50 {
            let at = newest.saturating_add(i * 4 * HOUR).min(250_000_000_000_000);
            add(&mut cube, &event(at, i as u32, i as u8));
        }
        let _ = cube.alter(Change::AddMeasure("another".to_owned()));
        loaded(&cube);
    }
    println!("{accepted} of {tries} accepted");
}
