//! A cube beside a naive twin that keeps every event: whatever the order, however late, across silences and changes of
//! the clock, with more values than are kept apart. Counters are equal, registers are those of a plain sketch of the
//! same users, and a cube that was saved and loaded at any write goes on as if it had not been.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_hll::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use redis_hll::cube::query::{Query, UnionQuery};
use redis_hll::cube::question::*;
use redis_hll::cube::schema::{Dimension, Group, Schema, Tier};
use redis_hll::cube::{Cube, Event};
use redis_hll::sketch::{HashFamily, Precision, Sketch};
use redis_hll::storage::frame::{self, Frame, Kind};
use redis_hll::storage::{Compression, cube as stored};
use std::collections::BTreeMap;

const HOUR: Millis = 3_600_000;

fn precision(bits: u8) -> Precision {
    Precision::new(bits).unwrap()
}

fn schema(zone: &str, coarse: Option<u8>) -> Schema {
    let tier = |slice: &str, retention: &str, precision| Tier {
        slice: Span::parse(slice.as_bytes()).unwrap(),
        retention: Span::parse(retention.as_bytes()).unwrap(),
        precision,
    };
    let dimension = |name: &str, values| Dimension {
        name: name.to_owned(),
        precision: precision(5),
        values,
        user_level: false,
    };
    let schema = Schema {
        tiers: vec![
            tier("1h", "30h", coarse.map(precision)),
            tier("1d", "35d", None),
            tier("1w", "20w", coarse.map(precision)),
            tier("1mo", "24mo", None),
        ],
        dimensions: vec![dimension("a", 10), dimension("b", 3)],
        groups: vec![Group {
            dimensions: vec![0, 1],
            precision: precision(5),
            values: 4,
        }],
        measures: vec!["amount".to_owned()],
        precision: precision(7),
        new: Some(precision(8)),
        calendar: Calendar {
            zone: Zone::named(zone).unwrap(),
            week_start: WeekStart::Monday,
        },
        hash: HashFamily::default(),
        max_bytes: None,
        history: Default::default(),
    };
    schema.check().unwrap();
    schema
}

#[derive(Clone, Debug)]
struct Happened {
    at: Millis,
    user: u32,
    a: Option<u8>,
    b: Option<u8>,
    measure: f64,
}

/// How the time of an event follows from the newest before.
#[derive(Clone, Debug)]
enum Step {
    On(Millis),
    Back(Millis),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0..HOUR).prop_map(Step::On),
        6 => (0..5 * HOUR).prop_map(Step::On),
        10 => (0..6 * HOUR).prop_map(Step::Back),
        6 => (0..40 * 24 * HOUR).prop_map(Step::Back),
        1 => (0..400 * 24 * HOUR).prop_map(Step::Back),
        1 => (24 * HOUR..40 * 24 * HOUR).prop_map(Step::On),
    ]
}

type Drawn = (Step, u32, Option<u8>, Option<u8>, i16);

fn drawn() -> impl Strategy<Value = Drawn> {
    let value = |most: u8| prop::option::weighted(0.9, 0..most);
    (steps(), 0u32..200, value(4), value(12), any::<i16>())
}

fn add(cube: &mut Cube, event: &Happened) -> bool {
    let (a, b) = (event.a.map(|a| [b'a', a]), event.b.map(|b| [b'b', b]));
    let both = [(0, &a), (1, &b)];
    let values = both
        .iter()
        .filter_map(|&(at, value)| Some((at, &value.as_ref()?[..])));
    let values: Vec<(usize, &[u8])> = values.collect();
    let added = cube.add(&Event {
        at: event.at,
        element: &event.user.to_le_bytes(),
        values: &values,
        measures: &[(0, event.measure)],
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

fn figure(row: &Row, at: usize) -> f64 {
    match row.figures[at] {
        Some(Figure::Exact(number)) => number,
        Some(Figure::Estimate(estimate)) => estimate.value,
        ref other => panic!("{other:?}"),
    }
}

fn is_near(sum: f64, expected: f64) -> bool {
    (sum - expected).abs() <= 1e-6
}

fn saved(cube: &Cube, compression: Compression) -> Vec<u8> {
    let mut bytes = vec![];
    stored::save(cube, &mut bytes, compression).unwrap();
    bytes
}

/// Compares what a cube says of a stretch of time with the events in it.
fn check(cube: &Cube, all: &[Happened], time: Option<Time>) -> Result<(), TestCaseError> {
    let total = answer(cube, &question(time.clone()));
    let range = total.range.clone();
    let within: Vec<&Happened> = all
        .iter()
        .filter(|event| range.contains(&event.at))
        .collect();
    let sums = |events: &[&Happened]| {
        let measure: f64 = events.iter().map(|event| event.measure).sum();
        (events.len() as f64, measure)
    };
    let (events, measure) = sums(&within);
    if let Some(row) = total.rows.first() {
        prop_assert_eq!(figure(row, 1), events);
        prop_assert!(is_near(figure(row, 3), measure));
    } else {
        prop_assert_eq!(events, 0.0);
    }
    let sketch_of = |events: &[&Happened], p| {
        let mut sketch = Sketch::new(p, HashFamily::default());
        events.iter().for_each(|event| {
            sketch.add(&event.user.to_le_bytes());
        });
        sketch
    };
    let made = union(cube, &question(time.clone()));
    let plain = sketch_of(&within, made.precision());
    prop_assert_eq!(
        made.registers(made.precision()),
        plain.registers(made.precision())
    );
    // By values, of which all stay apart.
    let mut by_a = question(time.clone());
    by_a.by = vec![0];
    let rows = answer(cube, &by_a).rows;
    let mut expected: BTreeMap<Vec<u8>, Vec<&Happened>> = BTreeMap::new();
    for &event in &within {
        if let Some(a) = event.a {
            expected.entry(vec![b'a', a]).or_default().push(event);
        }
    }
    prop_assert_eq!(rows.len(), expected.len());
    for (row, (name, events)) in rows.iter().zip(&expected) {
        prop_assert_eq!(&row.values[0][..], &name[..]);
        let (count, measure) = sums(events);
        prop_assert_eq!(figure(row, 1), count);
        prop_assert!(is_near(figure(row, 3), measure));
        let mut of_value = question(time.clone());
        of_value.conditions = vec![Condition {
            dimension: 0,
            test: Test::In,
            values: vec![name.clone()],
        }];
        let made = union(cube, &of_value);
        let plain = sketch_of(events, made.precision());
        prop_assert_eq!(
            made.registers(made.precision()),
            plain.registers(made.precision())
        );
    }
    // By values, of which some share a cell: none is lost, and none is more than it was.
    for (by, has) in [
        (
            vec![1],
            (|event| event.b.is_some()) as fn(&&&Happened) -> bool,
        ),
        (vec![0, 1], |event| event.a.is_some() && event.b.is_some()),
    ] {
        let mut question = question(time.clone());
        question.by = by.clone();
        let rows = answer(cube, &question).rows;
        let of_all: f64 = rows.iter().map(|row| figure(row, 1)).sum();
        prop_assert_eq!(of_all, within.iter().filter(has).count() as f64);
        for row in rows.iter().filter(|row| row.at_least) {
            let own = within.iter().filter(|event| {
                let own: Vec<Option<[u8; 2]>> = by
                    .iter()
                    .map(|&by| match by {
                        0 => event.a.map(|a| [b'a', a]),
                        _ => event.b.map(|b| [b'b', b]),
                    })
                    .collect();
                own.iter()
                    .zip(&row.values)
                    .all(|(own, value)| own.as_ref().map(|own| &own[..]) == Some(&value[..]))
            });
            prop_assert!(figure(row, 1) <= own.count() as f64);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cube_knows_what_happened(
        events in prop::collection::vec(drawn(), 1..1_500),
        zone in prop::sample::select(vec!["UTC", "Europe/London", "Asia/Kolkata", "America/Sao_Paulo"]),
        coarse in prop::option::of(Just(4u8)),
        start in 1_000_000_000_000i64..1_700_000_000_000,
        ranges in prop::collection::vec((0..200 * 24 * HOUR, 0..60 * 24 * HOUR), 3),
        save_at in any::<prop::sample::Index>(),
    ) {
        let mut cube = Cube::new(schema(zone, coarse), 7);
        let mut copy: Option<Cube> = None;
        let (mut newest, mut all) = (start, vec![]);
        let save_at = save_at.index(events.len());
        let check_at = events.len() / 2;
        for (i, (step, user, a, b, measure)) in events.iter().enumerate() {
            let at = match step {
                Step::On(on) => newest + on,
                Step::Back(back) => newest - back,
            };
            let event = Happened { at, user: *user, a: *a, b: *b, measure: f64::from(*measure) };
            let counted = add(&mut cube, &event);
            if let Some(copy) = &mut copy {
                prop_assert_eq!(add(copy, &event), counted);
            }
            if counted {
                newest = newest.max(at);
                all.push(event);
            }
            if i % 97 == 13 {
                let bytes = saved(&cube, Compression::Lz4);
                let loaded = stored::load(&mut &bytes[..]).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(stored::digest(&loaded), stored::digest(&cube));
            }
            if i == save_at {
                let bytes = saved(&cube, Compression::Zstd);
                let loaded = stored::load(&mut &bytes[..]).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(stored::digest(&loaded), stored::digest(&cube));
                copy = Some(loaded);
            }
            if i == check_at || i + 1 == events.len() {
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
        let bytes = saved(&cube, Compression::None);
        let fresh = stored::load(&mut &bytes[..]).unwrap();
        let (kept, fresh) = (cube.memory_bytes() as f64, fresh.memory_bytes() as f64);
        prop_assert!((0.5..4.0).contains(&(kept / fresh)), "{kept} bytes, afresh {fresh}");
    }
}

// ---------------------------------------------------------------------------------------------------------
// Hostile bytes

/// A cube in the middle of its life: open and sealed slices, late parts, work that waits.
fn busy(seed: u64, events: usize) -> Cube {
    let mut random = StdRng::seed_from_u64(seed);
    let mut cube = Cube::new(schema("Europe/London", Some(4)), seed);
    let mut newest = 1_600_000_000_000;
    for i in 0..events {
        let late = if i % 9 == 4 {
            random.random_range(0..50 * HOUR)
        } else {
            0
        };
        newest += random.random_range(0..HOUR / 2);
        let event = Happened {
            at: newest - late,
            user: random.random_range(0..300),
            a: Some(random.random_range(0..4)),
            b: (i % 5 > 0).then(|| random.random_range(0..12)),
            measure: 1.5,
        };
        add(&mut cube, &event);
        cube.remember(&[i as u8 % 3], &i.to_le_bytes());
    }
    cube
}

/// What the frames hold, one after the other.
fn stream(mut bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![];
    while !bytes.is_empty() {
        let (frame, rest) = Frame::split_first(bytes).unwrap();
        // The coding, which is none, and the length.
        stream.extend_from_slice(&frame.body[5..]);
        bytes = rest;
    }
    stream
}

/// Frames of a stream, with right checksums: an attacker computes them too.
fn framed(stream: &[u8]) -> Vec<u8> {
    let pieces = stream.chunks(1 << 16);
    let frame = |piece: &[u8]| {
        let length = (piece.len() as u32).to_le_bytes();
        frame::encode(Kind::Cube, &[&[0], &length, piece])
    };
    pieces.flat_map(frame).collect()
}

/// Streams with bytes and numbers changed, cut out, put in and moved: each is refused, or is a cube that answers, takes
/// events and is stored. `HLL_FUZZ` says how many, `HLL_SEED` repeats a run.
#[test]
fn a_damaged_stream_is_refused_or_a_cube_that_works() {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let tries = variable("HLL_FUZZ").unwrap_or(3_000);
    let seed = variable("HLL_SEED").unwrap_or_else(rand::random);
    println!("HLL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let corpus: Vec<Vec<u8>> = [0, 1, 40, 150, 400]
        .into_iter()
        .map(|events| stream(&saved(&busy(seed, events), Compression::None)))
        .collect();
    for sound in &corpus {
        assert!(stored::load(&mut &framed(sound)[..]).is_ok());
    }
    let mut accepted = 0;
    for _ in 0..tries {
        let mut bytes = corpus[random.random_range(0..corpus.len())].clone();
        for _ in 0..random.random_range(1..4) {
            if bytes.is_empty() {
                break;
            }
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..6) {
                0 => bytes[at] ^= 1 << random.random_range(0..8),
                1 => bytes[at] = random.random(),
                2 => bytes[at] = bytes[at].wrapping_add(1),
                3 => {
                    let end = (at + random.random_range(1..9)).min(bytes.len());
                    bytes.drain(at..end);
                }
                4 => bytes.insert(at, random.random()),
                _ => {
                    let to = random.random_range(0..bytes.len());
                    bytes.swap(at, to);
                }
            }
        }
        let payload = framed(&bytes);
        let Ok(mut cube) = stored::load(&mut &payload[..]) else {
            continue;
        };
        accepted += 1;
        // A nought with a sign, or tokens out of order, are written as they should be, and read again as the same.
        let again = saved(&cube, Compression::None);
        let again = stored::load(&mut &again[..]).expect("what is written can be read");
        assert_eq!(stored::digest(&again), stored::digest(&cube));
        let mut by = question(None);
        by.by = vec![1];
        if let Ok(mut query) = Query::plan(&cube, by) {
            while query.step().is_none() {}
        }
        let newest = cube.newest().unwrap_or(1_600_000_000_000);
        for i in 0..50 {
            let at = newest
                .saturating_add(i * 40 * HOUR / 10)
                .min(250_000_000_000_000);
            let event = Happened {
                at,
                user: i as u32,
                a: Some(1),
                b: Some(i as u8),
                measure: -1.0,
            };
            add(&mut cube, &event);
        }
        assert!(cube.memory_bytes() < 1 << 26);
    }
    println!("{accepted} of {tries} accepted");
}

/// What forty days of silence make due is done by some hundred writes, and nothing is lost on the way.
#[test]
fn work_that_is_due_is_done_by_a_bounded_number_of_writes() {
    let mut cube = busy(5, 3_000);
    let total = |cube: &Cube| figure(&answer(cube, &question(None)).rows[0], 1);
    let before = total(&cube);
    let at = cube.newest().unwrap() + 40 * 24 * HOUR;
    let event = |i: u32| Happened {
        at: at + Millis::from(i),
        user: i,
        a: Some(1),
        b: None,
        measure: 0.0,
    };
    assert!(add(&mut cube, &event(0)));
    let mut writes = 1;
    while cube.waiting() > 0 {
        assert!(add(&mut cube, &event(writes)));
        writes += 1;
        assert!(writes < 2_000, "{} jobs still wait", cube.waiting());
    }
    assert_eq!(total(&cube), before + f64::from(writes));
    // Hours and days are past their retention, and gone with their bytes.
    let tiers = cube.tier_infos();
    assert!(tiers[0].slices <= 2, "{tiers:?}");
}

/// A late part that grows has its slice rewritten, by steps. What comes late meanwhile is not part of that and stays.
#[test]
fn an_event_that_comes_late_while_its_slice_is_rewritten_is_counted() {
    // So many values that one write does not do it all.
    let mut wide = schema("UTC", None);
    wide.dimensions[1].values = 300;
    wide.groups[0].values = 2_000;
    let mut cube = Cube::new(wide, 7);
    let newest = 1_600_000_000_000;
    let total = |cube: &Cube| figure(&answer(cube, &question(None)).rows[0], 1);
    let first = Happened {
        at: newest,
        user: 0,
        a: None,
        b: None,
        measure: 0.0,
    };
    assert!(add(&mut cube, &first));
    let mut expected = 1.0;
    for i in 0..2_000 {
        let event = Happened {
            at: newest - 20 * HOUR,
            user: i,
            a: Some((i % 5) as u8),
            b: Some((i % 251) as u8),
            measure: 0.0,
        };
        assert!(add(&mut cube, &event));
        expected += 1.0;
        assert_eq!(total(&cube), expected, "after {i}");
    }
}
