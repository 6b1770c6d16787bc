//! A cube beside a naive twin that keeps every event: whatever the order, however late, repeated by those who are not
//! sure that they were heard, across silences and changes of the clock, with more values than are kept apart. Counters
//! are equal, registers are those of a plain sketch of the same users, covers are disjoint, and a cube that was saved
//! and loaded at any write, or copied, goes on as if it had not been.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_hll::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use redis_hll::cube::history::History;
use redis_hll::cube::query::{Query, UnionQuery};
use redis_hll::cube::question::*;
use redis_hll::cube::recent::{MAX_IDS, MAX_PRODUCERS};
use redis_hll::cube::schema::{Dimension, Group, Schema, Tier};
use redis_hll::cube::{Cube, Event};
use redis_hll::sketch::{HashFamily, Precision, Sketch};
use redis_hll::storage::frame::{self, Frame, Kind};
use redis_hll::storage::{Compression, cube as stored};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

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
        history: History::default(),
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

/// More values than may stay apart, and more than are told apart while a slice is open.
fn drawn() -> impl Strategy<Value = Drawn> {
    let value = |most: u8| prop::option::weighted(0.9, 0..most);
    (steps(), 0u32..200, value(4), value(16), any::<i16>())
}

/// What a producer sends.
#[derive(Clone, Debug)]
enum Sent {
    /// Rows without an id.
    Rows(Vec<Drawn>),
    /// Rows, and an id that covers them all.
    Once(u32, Vec<Drawn>),
    /// Everything that was sent with an id, once more.
    Again(prop::sample::Index),
    /// One row of that, with the same id.
    RowAgain(prop::sample::Index, prop::sample::Index),
    /// So many rows of one producer, each with an id of its own: older ids are forgotten.
    Flood(u32, u32),
    /// A row of each of so many producers: others are forgotten.
    Crowd(u32),
}

fn sent() -> impl Strategy<Value = Sent> {
    let rows = || prop_oneof![4 => prop::collection::vec(drawn(), 1), 1 => prop::collection::vec(drawn(), 2..9)];
    prop_oneof![
        300 => rows().prop_map(Sent::Rows),
        120 => (0u32..4, rows()).prop_map(|(producer, rows)| Sent::Once(producer, rows)),
        50 => any::<prop::sample::Index>().prop_map(Sent::Again),
        20 => any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(sent, row)| Sent::RowAgain(sent, row)),
        1 => (0u32..4, 1u32..1_200).prop_map(|(producer, rows)| Sent::Flood(producer, rows)),
        1 => (1u32..300).prop_map(Sent::Crowd),
    ]
}

/// Which ids are remembered: the last of each of the producers used last, those at the end.
#[derive(Clone, Default)]
struct Known(VecDeque<(u32, VecDeque<u32>)>);

impl Known {
    fn contains(&self, producer: u32, id: u32) -> bool {
        self.0
            .iter()
            .any(|(name, ids)| *name == producer && ids.contains(&id))
    }

    fn remember(&mut self, producer: u32, id: u32) {
        let place = self.0.iter().position(|(name, _)| *name == producer);
        let (_, mut ids) = place
            .and_then(|place| self.0.remove(place))
            .unwrap_or_default();
        ids.push_back(id);
        if ids.len() > MAX_IDS {
            ids.pop_front();
        }
        self.0.push_back((producer, ids));
        if self.0.len() > MAX_PRODUCERS {
            self.0.pop_front();
        }
    }
}

/// Rows of one command, those too late left out, as `LATE DROP` has it: which were counted, or `None` of a repetition.
fn send(cube: &mut Cube, id: Option<(u32, u32)>, rows: &[Happened]) -> Option<Vec<bool>> {
    let id = id.map(|(producer, id)| (producer.to_le_bytes(), id.to_le_bytes()));
    if let Some((producer, id)) = &id
        && cube.is_repeated(producer, id)
    {
        return None;
    }
    let counted: Vec<bool> = rows.iter().map(|row| add(cube, row)).collect();
    if let Some((producer, id)) = &id
        && counted.contains(&true)
    {
        cube.remember(producer, id);
    }
    Some(counted)
}

fn add(cube: &mut Cube, event: &Happened) -> bool {
    cube.begin_rows(1);
    add_row(cube, event)
}

/// The same for a row of a write that has begun.
fn add_row(cube: &mut Cube, event: &Happened) -> bool {
    let (a, b) = (event.a.map(|a| [b'a', a]), event.b.map(|b| [b'b', b]));
    let both = [(0, &a), (1, &b)];
    let values = both
        .iter()
        .filter_map(|&(at, value)| Some((at, &value.as_ref()?[..])));
    let values: Vec<(usize, &[u8])> = values.collect();
    let added = cube.add_row(&Event {
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
    // Slices side by side, of which no two share an instant, unless nothing is kept of that time.
    let kept = cube.kept().unwrap_or(0..0);
    if range.start < kept.end && kept.start < range.end {
        let cover = cube.cover(range.clone(), Millis::MIN);
        prop_assert!(cover.is_exact(&range), "{:?}, asked {:?}", cover, range);
        let mut end = range.start;
        for piece in &cover.pieces {
            prop_assert!(piece.start == end && piece.end > end, "{:?}", cover);
            end = piece.end;
        }
        prop_assert_eq!(end, range.end);
    }
    let (events, measure) = sums(&within);
    let row = &total.rows[0];
    if row.figures[1].is_none() {
        prop_assert!(row.figures.iter().all(Option::is_none) && range.is_empty());
        let refused = UnionQuery::plan(cube, question(time)).err();
        prop_assert!(matches!(
            refused,
            Some(Unanswerable::Forgotten(_) | Unanswerable::WithinSlice(_))
        ));
        return Ok(());
    }
    prop_assert_eq!(figure(row, 1), events);
    prop_assert!(is_near(figure(row, 3), measure));
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

/// A cube, what it was told, and others that are to stay like it.
struct Twin {
    cube: Cube,
    others: Vec<Cube>,
    known: Known,
    /// Everything that was counted.
    all: Vec<Happened>,
    newest: Millis,
    writes: usize,
}

impl Twin {
    fn rows(&mut self, drawn: &[Drawn]) -> Vec<Happened> {
        let mut newest = self.newest;
        let row = |&(ref step, user, a, b, measure): &Drawn| {
            let at = match step {
                Step::On(on) => newest + on,
                Step::Back(back) => newest - back,
            };
            newest = newest.max(at);
            let measure = f64::from(measure);
            Happened {
                at,
                user,
                a,
                b,
                measure,
            }
        };
        drawn.iter().map(row).collect()
    }

    fn send(&mut self, id: Option<(u32, u32)>, rows: &[Happened]) -> Result<(), TestCaseError> {
        let counted = send(&mut self.cube, id, rows);
        for other in &mut self.others {
            prop_assert_eq!(&send(other, id, rows), &counted);
        }
        let is_known = id.is_some_and(|(producer, id)| self.known.contains(producer, id));
        prop_assert_eq!(counted.is_none(), is_known);
        let counted = counted.unwrap_or_default();
        if let Some((producer, id)) = id
            && counted.contains(&true)
        {
            self.known.remember(producer, id);
        }
        for (row, _) in rows.iter().zip(&counted).filter(|(_, counted)| **counted) {
            self.newest = self.newest.max(row.at);
            self.all.push(row.clone());
        }
        self.writes += 1;
        if self.writes.is_multiple_of(100) {
            self.compare()?;
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let digest = stored::digest(&self.cube);
        for other in &self.others {
            prop_assert_eq!(
                stored::digest(other),
                digest,
                "after {} writes",
                self.writes
            );
        }
        Ok(())
    }

    /// As a replica gets it, or a file.
    fn loaded(&self, compression: Compression) -> Result<Cube, TestCaseError> {
        let bytes = saved(&self.cube, compression);
        let loaded = stored::load(&mut &bytes[..]);
        let loaded = loaded.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(stored::digest(&loaded), stored::digest(&self.cube));
        Ok(loaded)
    }
}

/// Some time, or shortly before the clock changes in London in spring or in autumn.
fn starts() -> impl Strategy<Value = Millis> {
    let before = |change: Millis| (0..4 * 24 * HOUR).prop_map(move |earlier| change - earlier);
    prop_oneof![
        1_000_000_000_000i64..1_700_000_000_000,
        before(1_616_893_200_000),
        before(1_635_642_000_000),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cube_knows_what_happened(
        sent in prop::collection::vec(sent(), 1..1_200),
        zone in prop::sample::select(vec!["UTC", "Europe/London", "Asia/Kolkata", "America/Sao_Paulo"]),
        coarse in prop::option::of(Just(4u8)),
        start in starts(),
        ranges in prop::collection::vec((0..200 * 24 * HOUR, 0..60 * 24 * HOUR), 3),
        save_at in any::<prop::sample::Index>(),
        copy_at in any::<prop::sample::Index>(),
    ) {
        let mut twin = Twin {
            cube: Cube::new(schema(zone, coarse), 7),
            others: vec![],
            known: Known::default(),
            all: vec![],
            newest: start,
            writes: 0,
        };
        let (save_at, copy_at) = (save_at.index(sent.len()), copy_at.index(sent.len()));
        let check_at = sent.len() / 2;
        let mut kept: Option<(Cube, [u8; 16])> = None;
        // With their ids.
        let mut past: Vec<((u32, u32), Vec<Happened>)> = vec![];
        let mut next_id = 0;
        for (i, one) in sent.iter().enumerate() {
            match one {
                Sent::Rows(rows) => {
                    let rows = twin.rows(rows);
                    twin.send(None, &rows)?;
                }
                Sent::Once(producer, rows) => {
                    let rows = twin.rows(rows);
                    next_id += 1;
                    twin.send(Some((*producer, next_id)), &rows)?;
                    past.push(((*producer, next_id), rows));
                }
                Sent::Again(which) => if !past.is_empty() {
                    let (id, rows) = which.get(&past);
                    twin.send(Some(*id), rows)?;
                }
                Sent::RowAgain(which, row) => if !past.is_empty() {
                    let (id, rows) = which.get(&past);
                    twin.send(Some(*id), std::slice::from_ref(row.get(rows)))?;
                }
                Sent::Flood(..) | Sent::Crowd(_) => {
                    let (producer, number) = match *one {
                        Sent::Flood(producer, rows) => (Some(producer), rows),
                        Sent::Crowd(producers) => (None, producers),
                        _ => (None, 0),
                    };
                    let row = Happened { at: twin.newest, user: 1, a: Some(1), b: None, measure: 1.0 };
                    for at in 0..number {
                        next_id += 1;
                        let id = (producer.unwrap_or(1_000 + at), next_id);
                        twin.send(Some(id), std::slice::from_ref(&row))?;
                    }
                }
            }
            if i % 97 == 13 {
                twin.loaded(Compression::Lz4)?;
            }
            // A replica that joins in the middle of it, and a copy; another copy that is left alone.
            if i == save_at {
                let loaded = twin.loaded(Compression::Zstd)?;
                twin.others.push(loaded);
            }
            if i == copy_at {
                twin.others.push(twin.cube.clone());
                kept = Some((twin.cube.clone(), stored::digest(&twin.cube)));
            }
            if i == check_at || i + 1 == sent.len() {
                let Twin { cube, all, newest, .. } = &twin;
                check(cube, all, None)?;
                for (back, len) in &ranges {
                    let from = newest - back;
                    check(cube, all, Some(Time::Between(from..from + len + 1)))?;
                    check(cube, all, Some(Time::UpTo(from..newest + 1)))?;
                }
            }
        }
        twin.compare()?;
        let (kept, digest) = kept.unwrap();
        prop_assert_eq!(stored::digest(&kept), digest);
        // Whatever has been done and undone, the account of bytes is that of a cube made afresh, but for room to grow.
        let fresh = twin.loaded(Compression::None)?;
        let (kept, fresh) = (twin.cube.memory_bytes() as f64, fresh.memory_bytes() as f64);
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

/// One to three changes: bits, bytes and numbers, pieces cut out, put in and moved.
fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..8) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes[at] = bytes[at].wrapping_add(1),
            3 => {
                let end = (at + random.random_range(1..9)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => bytes.insert(at, random.random()),
            5 => {
                let to = random.random_range(0..bytes.len());
                bytes.swap(at, to);
            }
            6 => {
                // As much as a number can say, or half of it.
                let last = random.random_range(0..2);
                let number = [[0xff; 9].as_slice(), &[last]].concat();
                let end = if random.random() {
                    at
                } else {
                    (at + 1).min(bytes.len())
                };
                bytes.splice(at..end, number[usize::from(last == 0)..].iter().copied());
            }
            _ => {
                let end = (at + random.random_range(1..64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}

/// Frames of which one is changed and has a right checksum, or is gone, there twice, or elsewhere; or bytes changed
/// without regard to frames.
fn damaged(sound: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut frames = vec![];
    let mut rest = sound;
    while !rest.is_empty() {
        let (frame, behind) = Frame::split_first(rest).unwrap();
        frames.push((frame.kind, frame.body.to_vec()));
        rest = behind;
    }
    let at = random.random_range(0..frames.len());
    match random.random_range(0..8) {
        0 => {
            let mut bytes = sound.to_vec();
            mutate(&mut bytes, random);
            return bytes;
        }
        1 => drop(frames.remove(at)),
        2 => frames.insert(at, frames[at].clone()),
        3 => {
            let to = random.random_range(0..frames.len());
            frames.swap(at, to);
        }
        4 => frames[at].0 = Kind::Sketch,
        5 => {
            // Coding and length stand in front.
            let mut head = frames[at].1[..5].to_vec();
            mutate(&mut head, random);
            frames[at].1.splice(..5, head);
        }
        _ => mutate(&mut frames[at].1, random),
    }
    let frames = frames
        .iter()
        .map(|(kind, body)| frame::encode(*kind, &[body]));
    frames.collect::<Vec<_>>().concat()
}

/// What is written of it is read as the same; looked at thoroughly, also after it has answered and taken events.
fn assert_works(mut cube: Cube, thoroughly: bool) {
    let assert_same_when_read = |cube: &Cube| {
        // A nought with a sign, or tokens out of order, are written as they should be.
        let again = saved(cube, Compression::None);
        let again = stored::load(&mut &again[..]).expect("what is written can be read");
        assert_eq!(stored::digest(&again), stored::digest(cube));
    };
    assert_same_when_read(&cube);
    if !thoroughly {
        return;
    }
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
    assert_same_when_read(&cube);
}

/// Streams changed, and the frames they are cut into: each is refused, or is a cube that works. `HLL_FUZZ` says how
/// many, `HLL_SEED` repeats a run.
#[test]
fn a_damaged_stream_is_refused_or_a_cube_that_works() {
    const THREADS: u64 = 2;
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let trials = variable("HLL_FUZZ").unwrap_or(3_000).max(2 * THREADS);
    let seed = variable("HLL_SEED").unwrap_or_else(rand::random);
    println!("cube: {trials} trials, HLL_SEED={seed}");
    let begin = Instant::now();
    let cubes = [0, 1, 4, 9, 20, 45, 100, 250].map(|events| busy(seed, events));
    let streams = cubes.each_ref();
    let streams = streams.map(|cube| stream(&saved(cube, Compression::None)));
    let files = cubes.each_ref();
    let files = files.map(|cube| Compression::ALL.map(|compression| saved(cube, compression)));
    let sound = streams.iter().map(|sound| framed(sound));
    for sound in sound.chain(files.iter().flatten().cloned()) {
        assert!(stored::load(&mut &sound[..]).is_ok());
    }
    // Small ones more often: they take less time, and what is changed matters more often.
    let any = |random: &mut StdRng| {
        random
            .random_range(0..cubes.len())
            .min(random.random_range(0..cubes.len()))
    };
    let try_some = |thread: u64| {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(thread));
        let mut accepted = 0;
        for _ in (thread..trials).step_by(THREADS as usize) {
            let which = any(&mut random);
            let payload = if random.random_ratio(3, 4) {
                let mut bytes = streams[which].clone();
                mutate(&mut bytes, &mut random);
                framed(&bytes)
            } else {
                let coding = random.random_range(0..files[which].len());
                damaged(&files[which][coding], &mut random)
            };
            if let Ok(cube) = stored::load(&mut &payload[..]) {
                accepted += 1;
                assert_works(cube, accepted % 4 == 0);
            }
        }
        accepted
    };
    let accepted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let try_some = &try_some;
                    move || try_some(thread)
                })
            })
            .collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results.map(|accepted| accepted.expect("no panic")).sum()
    });
    println!(
        "cube: {accepted} accepted, {} refused, {:.0} s",
        trials - accepted,
        begin.elapsed().as_secs_f64()
    );
    assert!(accepted > 0 && accepted < trials);
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

/// A write of many rows does no more of such work than a few batches, and those that follow do the rest.
#[test]
fn a_write_of_many_rows_does_a_bounded_part_of_the_work() {
    let write = |cube: &mut Cube, first: u32, rows: u32| {
        cube.begin_rows(rows as usize);
        let at = cube.newest().unwrap();
        for i in first..first + rows {
            let happened = Happened {
                at: at + 1,
                user: i,
                a: Some(1),
                b: None,
                measure: 0.0,
            };
            assert!(add_row(cube, &happened));
        }
    };
    // A day of many values, and an event of the next one.
    let full = || {
        let mut wide = schema("UTC", None);
        wide.dimensions[1].values = 300;
        wide.groups[0].values = 2_000;
        let mut cube = Cube::new(wide, 7);
        for i in 0..48_000_u32 {
            let event = Happened {
                at: 1_600_041_600_000 + Millis::from(i) * 24 * HOUR / 48_000,
                user: i * 7 % 9_973,
                a: Some((i % 5) as u8),
                b: Some((i % 251) as u8),
                measure: 0.0,
            };
            assert!(add(&mut cube, &event));
        }
        let event = Happened {
            at: cube.newest().unwrap() + 3 * HOUR,
            user: 0,
            a: Some(1),
            b: None,
            measure: 0.0,
        };
        assert!(add(&mut cube, &event));
        cube
    };
    // Rows that are writes of their own have done it all by then.
    let mut one_by_one = full();
    for i in 0..3_000 {
        write(&mut one_by_one, i, 1);
    }
    assert_eq!(one_by_one.waiting(), 0);
    let mut at_once = full();
    write(&mut at_once, 0, 3_000);
    assert!(at_once.waiting() > 0);
    let mut writes = 0;
    while at_once.waiting() > 0 {
        write(&mut at_once, 3_000 + writes * 50, 50);
        writes += 1;
        assert!(writes < 200, "{} jobs still wait", at_once.waiting());
    }
    println!("{writes} writes of 50 rows did the rest");
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

/// Time that is forgotten is not silence: of it nothing is known, and the borders say where something is. Time that is
/// kept, and in which nothing happened, has no events.
#[test]
fn forgotten_time_is_not_silence() {
    const DAY: Millis = 24 * HOUR;
    let mut own = schema("UTC", None);
    own.tiers.truncate(2);
    own.tiers[1].retention = Span::Days(40);
    let empty = Cube::new(own, 7);
    let begin = 20_000 * DAY;
    let asked = |from: Millis, to: Millis| question(Some(Time::Between(from..to)));
    let events = |cube: &Cube, question: &Question| -> Vec<Option<f64>> {
        let rows = answer(cube, question).rows;
        let known = |row: &Row| row.figures[1].is_some().then(|| figure(row, 1));
        let all_or_none = |row: &Row| row.figures.iter().all(Option::is_some);
        for row in &rows {
            assert_eq!(all_or_none(row), row.figures.iter().any(Option::is_some));
        }
        rows.iter().map(known).collect()
    };
    assert_eq!(events(&empty, &asked(begin, begin + DAY)), [Some(0.0)]);
    let by_day = |from: Millis, to: Millis| Question {
        bucket: Some(Span::Days(1)),
        gaps: Gaps::Filled,
        ..asked(from, to)
    };
    assert_eq!(events(&empty, &by_day(begin, begin + DAY)), [Some(0.0)]);

    let mut cube = empty;
    for at in [begin, begin + 100 * DAY] {
        let event = Happened {
            at,
            user: 0,
            a: Some(1),
            b: None,
            measure: 1.0,
        };
        assert!(add(&mut cube, &event));
    }
    // The day before the two open hours is the last that is closed, and forty days before it are kept.
    let kept = begin + 59 * DAY;
    let gone = asked(begin, begin + 2 * DAY);
    assert_eq!(events(&cube, &gone), [None]);
    assert_eq!(answer(&cube, &gone).range, kept..kept);
    let mut by_value = gone.clone();
    by_value.by = vec![0];
    assert_eq!(answer(&cube, &by_value).rows, []);
    let refused = |question: Question| UnionQuery::plan(&cube, question).err();
    assert_eq!(refused(gone), Some(Unanswerable::Forgotten(kept)));
    // Silence, before and after what happened.
    for day in [70, 101] {
        let quiet = asked(begin + day * DAY, begin + (day + 5) * DAY);
        assert_eq!(events(&cube, &quiet), [Some(0.0)]);
        assert_eq!(
            answer(&cube, &quiet).range,
            begin + day * DAY..begin + (day + 5) * DAY
        );
        assert_eq!(union(&cube, &quiet).estimate().value, 0.0);
    }
    // A part of it is kept.
    let both = asked(begin, begin + 101 * DAY);
    assert_eq!(events(&cube, &both), [Some(1.0)]);
    assert_eq!(answer(&cube, &both).range, kept..begin + 100 * DAY + HOUR);
    let days = events(&cube, &by_day(kept - 2 * DAY, kept + 3 * DAY));
    assert_eq!(days, [None, None, Some(0.0), Some(0.0), Some(0.0)]);
    let days = by_day(kept - 2 * DAY, kept + 3 * DAY);
    assert_eq!(answer(&cube, &days).range, kept..kept + 3 * DAY);
    // An hour of a day of which only the day is kept.
    let hour = asked(begin + 70 * DAY + HOUR, begin + 70 * DAY + 2 * HOUR);
    assert_eq!(events(&cube, &hour), [None]);
    let day = begin + 70 * DAY..begin + 71 * DAY;
    assert_eq!(refused(hour), Some(Unanswerable::WithinSlice(day)));
}
