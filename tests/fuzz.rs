//! Damaged and forged payloads, many of them: each is refused, or is a sketch or a monitor that works.
//!
//! A corpus of sound payloads of each format is mutated: bits, bytes, numbers, pieces cut out, put in,
//! repeated, moved. Half of the changes fall into the first bytes, where the fields are. Of what stands in a
//! frame, the body is mutated and framed anew, or the frame is mutated and gets a right checksum
//! afterwards, since an attacker makes frames too. PF values are also made up from random runs, so that
//! most of them miss the 16,384 registers narrowly, on either side.
//!
//! `cargo test` tries 10,000 of each format. The environment variable HLL_FUZZ asks for more, HLL_SEED
//! repeats a run; `scripts/fuzz` sets both.

use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use redis_hll::monitor::{Monitor, Observation, Sample, Thresholds};
use redis_hll::sketch::joint::{Joint, SetMask};
use redis_hll::sketch::{Dense, HashFamily, Precision, Sketch, token};
use redis_hll::storage::frame::{self, Frame};
use redis_hll::storage::replay::{self, Content};
use redis_hll::storage::{self, Compression, Format, monitor};
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// The last bytes of a frame.
const CHECKSUM_BYTES: usize = 4;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn filled(p: u8, hash: HashFamily, n: u32) -> Sketch {
    let mut sketch = Sketch::new(Precision::new(p).unwrap(), hash);
    for i in 0..n {
        sketch.add(format!("user:{i}").as_bytes());
    }
    sketch
}

/// One of each kind of native payload.
fn native_corpus() -> Vec<Vec<u8>> {
    let mut sketches = vec![];
    for p in [4, 8, 11] {
        let hash = HashFamily::default();
        for n in [0, 3, 60, 3_000] {
            sketches.push(filled(p, hash, n));
        }
        let mut merged = filled(p, hash, 2_000);
        merged.merge(&filled(p, hash, 6_000)).unwrap();
        let levels = merged.registers(merged.precision());
        let levels = levels.iter().map(|r| r & !3).collect();
        let plain = Dense::from_registers(levels, merged.precision(), false).unwrap();
        sketches.push(Sketch::from_dense(HashFamily::Redis, plain));
        sketches.push(merged);
        sketches.push(filled(p, HashFamily::DataSketches, 30));
    }
    let mut corpus = vec![];
    for sketch in &sketches {
        corpus.extend(Compression::ALL.map(|compression| storage::encode(sketch, compression)));
    }
    corpus
}

/// Changes of few and of many elements.
fn changes_corpus() -> Vec<Vec<u8>> {
    [1, 2, 60, 70, 1_000]
        .map(|n: u64| {
            let hash = |i: u64| HashFamily::default().hash(&i.to_le_bytes());
            let tokens: Vec<_> = (0..n).map(|i| token::from_hash(hash(i))).collect();
            replay::encode_changes(&tokens)
        })
        .into()
}

/// A frame with a right checksum, which is not what it was.
fn forged_frame(corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let sound = corpus.choose(rng).unwrap();
    if rng.random_ratio(3, 4) {
        let Frame { kind, body } = Frame::only(sound).unwrap();
        let mut body = body.to_vec();
        mutate(&mut body, rng);
        return frame::encode(kind, &[&body]);
    }
    let mut forged = sound[..sound.len() - CHECKSUM_BYTES].to_vec();
    mutate(&mut forged, rng);
    let checksum = xxh3_64(&forged) as u32;
    forged.extend(checksum.to_le_bytes());
    forged
}

/// A payload that is not what it was.
fn mutated(corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut payload = corpus.choose(rng).unwrap().clone();
    mutate(&mut payload, rng);
    payload
}

/// PF values dense and sparse, and the shapes of CVE-2025-32023: runs that go beyond the registers by one,
/// by many, in the middle, at the end, and round an index of 32 bits.
fn redis_corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [0, 1, 5, 50, 700, 5_000, 200_000]
        .map(|n| storage::redis::encode(&filled(14, HashFamily::Redis, n)).unwrap())
        .into();
    let header = &corpus[0][..16].to_vec();
    let all = [0x7f, 0xff];
    let beyond: [&[&[u8]]; 8] = [
        &[&all, &[0x00]],
        &[&all, &[0xff]],
        &[&[0x80], &all],
        &[&all, &all],
        &[&[0x7f, 0xfe], &[0x81]],
        &[&[0x5f, 0xff], &[0x84], &[0x5f, 0xff]],
        &[&all.repeat(16), &[0xff; 4]],
        &[&all.repeat((1 << 32) / 16_384), &[0x88]],
    ];
    corpus.extend(beyond.map(|runs| [header, &runs.concat()[..]].concat()));
    corpus.push([header, &[0xff; 16_384 / 4][..]].concat());
    corpus.push([header, &[0x80; 16_384][..]].concat());
    corpus
}

/// Random runs that end with the 16,384th register, or near it.
fn random_runs(rng: &mut StdRng) -> Vec<u8> {
    let mut value = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
    let exact = rng.random();
    let mut left = 16_384i32;
    while left > 0 {
        let most = if exact { left } else { 16_384 };
        let longest = [4, 4, 64, 64, 256, 16_384][rng.random_range(0..6)];
        let run = rng.random_range(1..=most.min(longest));
        match longest {
            4 => value.push(0x80 | rng.random_range(0..32) << 2 | (run - 1) as u8),
            64 => value.push((run - 1) as u8),
            _ => value.extend((0x4000 | (run - 1) as u16).to_be_bytes()),
        }
        left -= run;
    }
    if rng.random_ratio(1, 4) {
        value.pop();
    }
    value
}

/// What the Rust library writes, and the same as hash tables with empty places, as others write it.
fn datasketches_corpus() -> Vec<Vec<u8>> {
    let mut corpus = vec![];
    for lg_k in [4, 8, 12] {
        for kind in [HllType::Hll4, HllType::Hll6, HllType::Hll8] {
            for n in [0, 1, 7, 20, 300, 50_000] {
                let mut sketch = HllSketch::new(lg_k, kind).unwrap();
                for i in 0..n {
                    sketch.update(raw_bytes::from_string(format!("user:{i}")));
                }
                let compact = sketch.serialize();
                corpus.push(updatable(&compact));
                corpus.push(compact);
            }
        }
        let ours = filled(lg_k, HashFamily::DataSketches, 5_000);
        corpus.push(storage::datasketches::encode(&ours).unwrap());
    }
    corpus
}

/// Without the flag "compact", and with tables filled up to their number of places.
fn updatable(compact: &[u8]) -> Vec<u8> {
    let mut bytes = compact.to_vec();
    bytes[5] &= !(1 << 3);
    let (start, lg_places) = match bytes[7] {
        mode if mode & 3 == 0 => (8, 3),
        mode if mode & 3 == 1 => (12, bytes[4]),
        2 if bytes[36] != 0 => {
            let places = usize::from(bytes[36]).next_power_of_two();
            bytes[4] = places.ilog2() as u8;
            (40 + (1 << bytes[3]) / 2, bytes[4])
        }
        _ => return bytes,
    };
    bytes.resize(start + (4 << lg_places), 0);
    bytes
}

/// One to three changes.
fn mutate(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..=3) {
        if bytes.is_empty() {
            return;
        }
        let reach = if rng.random() { 44 } else { usize::MAX };
        let at = rng.random_range(0..bytes.len().min(reach));
        let piece = rng.random_range(1..=32).min(bytes.len() - at);
        match rng.random_range(0..10) {
            0 | 1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes[at] = rng.random(),
            3 => bytes[at] = *[0, 1, 0x3f, 0x7f, 0x80, 0xfe, 0xff].choose(rng).unwrap(),
            4 => {
                let fill = rng.random();
                bytes[at..at + piece].fill(fill);
            }
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..at + piece)),
            7 => {
                let mut new = vec![0; piece];
                rng.fill_bytes(&mut new);
                bytes.splice(at..at, new);
            }
            8 => {
                let copy = bytes[at..at + piece].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let edges = [0, 1, u32::MAX, 1 << 31, 1 << 26, bytes.len() as u32];
                let number = edges.choose(rng).unwrap().to_le_bytes();
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
        }
    }
}

/// It counts, it is stored and read back, it takes elements and other sketches in, and it meets others.
fn assert_works(sketch: &Sketch, format: Format, thoroughly: bool) {
    let sound = |sketch: &Sketch| {
        let estimate = sketch.estimate();
        assert!(
            estimate.value.is_finite() && estimate.value >= 0.0,
            "{estimate:?}"
        );
        assert!(
            estimate.variance.is_finite() && estimate.variance >= 0.0,
            "{estimate:?}"
        );
    };
    sound(sketch);
    let stored = storage::encode(sketch, Compression::None);
    assert_eq!(storage::decode(&stored).as_ref(), Ok(sketch));
    if let Ok(payload) = format.write(sketch, Compression::None) {
        let again = format.read(&payload).unwrap();
        let p = again.precision();
        assert!(
            again
                .registers(p)
                .iter()
                .zip(sketch.registers(p).iter())
                .all(|(a, b)| a >> 2 == b >> 2)
        );
    }
    if thoroughly {
        let other = filled(12, sketch.hash_family(), 5_000);
        let joint = Joint::solve(&[sketch, &other]).unwrap();
        let common = joint.intersection(SetMask::first(2));
        assert!(common.value.is_finite() && common.value >= 0.0);
        let mut merged = other;
        merged.merge(sketch).unwrap();
        merged.add(b"one more");
        sound(&merged);
    }
}

/// Hands sound payloads and then forged ones to `accepts`, which says whether one was taken, and is told
/// to look thoroughly from time to time.
fn run(
    name: &str,
    corpus: &[Vec<u8>],
    forge: impl Fn(&mut StdRng) -> Vec<u8>,
    accepts: impl Fn(&[u8], bool) -> bool,
) {
    let seed = number("HLL_SEED").unwrap_or_else(rand::random);
    let trials = number("HLL_FUZZ").unwrap_or(10_000);
    println!("{name}: {trials} trials, HLL_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut accepted = 0u64;
    let begin = Instant::now();
    let forged = (0..trials).map(|_| forge(&mut rng));
    for payload in corpus.iter().cloned().chain(forged) {
        let thoroughly = (accepted + 1).is_multiple_of(200);
        accepted += u64::from(accepts(&payload, thoroughly));
    }
    println!(
        "{name}: {accepted} accepted, {} refused, {:.0} s",
        trials + corpus.len() as u64 - accepted,
        begin.elapsed().as_secs_f64()
    );
    assert!(accepted > 0 && accepted < trials);
}

/// Whether it is a sketch of the format, which then has to work.
fn accepts(format: Format) -> impl Fn(&[u8], bool) -> bool {
    move |payload, thoroughly| {
        let read = format.read(payload);
        if let Ok(sketch) = &read {
            assert_works(sketch, format, thoroughly);
        }
        read.is_ok()
    }
}

#[test]
fn native_payloads() {
    let corpus = native_corpus();
    let forge = |rng: &mut StdRng| forged_frame(&corpus, rng);
    run("native", &corpus, forge, accepts(Format::Native));
}

#[test]
fn changes() {
    let corpus = changes_corpus();
    let forge = |rng: &mut StdRng| forged_frame(&corpus, rng);
    run(
        "changes",
        &corpus,
        forge,
        |payload, thoroughly| match replay::decode(payload) {
            Ok(Content::Changes(tokens)) => {
                let mut sketch = filled(6, HashFamily::default(), 10);
                let changed = sketch.replay(&tokens);
                assert!(changed <= tokens.len());
                assert_works(&sketch, Format::Native, thoroughly);
                assert_eq!(replay::encode_changes(&tokens), payload);
                true
            }
            Ok(Content::Sketch(sketch)) => {
                assert_works(&sketch, Format::Native, thoroughly);
                true
            }
            Err(_) => false,
        },
    );
}

fn observation(i: u32) -> Observation {
    Observation {
        context: ["daily", "weekly", "mobile"][i as usize % 3].into(),
        sample: Sample {
            at: i64::from(i) * 1_000,
            estimate: f64::from(900 + i * 37 % 200),
            exact: 1_000,
            promised: 0.01,
            precision: Precision::DEFAULT,
            within_bounds: i.is_multiple_of(2),
        },
        thresholds: Thresholds {
            warning: 0.05,
            critical: 0.09,
        },
        keep: 200,
    }
}

/// Monitors and what they are told, whose readers each refuse the other's frames.
#[test]
fn monitors() {
    let mut corpus = vec![];
    for samples in [0, 1, 40, 300] {
        let mut filled = Monitor::new();
        for i in 0..samples {
            filled.track(&observation(i)).unwrap();
        }
        corpus.push(monitor::encode(&filled));
        corpus.push(monitor::encode_observation(&observation(samples)));
    }
    let forge = |rng: &mut StdRng| forged_frame(&corpus, rng);
    run("monitors", &corpus, forge, |payload, _| {
        let works = |mut monitor: Monitor| {
            let bytes = monitor::encode(&monitor);
            let again = monitor::decode(&bytes).map(|again| monitor::encode(&again));
            assert_eq!(again, Ok(bytes));
            monitor.report(Some(0), i64::MAX, observation(0).thresholds);
            monitor.track(&observation(1)).unwrap();
            monitor.reset(Some(b"daily"));
            monitor.reset(None);
            assert_eq!(monitor, Monitor::new());
            true
        };
        if let Ok(observed) = monitor::decode_observation(payload) {
            let mut told = Monitor::new();
            let taken = told.track(&observed).is_ok();
            return taken && works(told);
        }
        monitor::decode(payload).is_ok_and(works)
    });
}

#[test]
fn redis_payloads() {
    // The value that goes round 32 bits is half a megabyte: tried as it is, and mutated rarely.
    let (long, corpus): (Vec<_>, Vec<_>) =
        redis_corpus().into_iter().partition(|v| v.len() > 20_000);
    let forge = |rng: &mut StdRng| match rng.random_range(0..1000) {
        0 => mutated(&long, rng),
        1..=250 => random_runs(rng),
        _ => mutated(&corpus, rng),
    };
    run("redis", &corpus, forge, accepts(Format::Redis));
    for value in &long {
        assert!(Format::Redis.read(value).is_err());
    }
}

#[test]
fn datasketches_payloads() {
    let corpus = datasketches_corpus();
    let forge = |rng: &mut StdRng| mutated(&corpus, rng);
    run(
        "datasketches",
        &corpus,
        forge,
        accepts(Format::DataSketches),
    );
}
