//! Damaged and forged payloads, many of them: each is refused, or is a sketch that works.
//!
//! A corpus of sound payloads of each format is mutated: bits, bytes, numbers, pieces cut out, put in,
//! repeated, moved. Half of the changes fall into the first bytes, where the fields are. Native payloads get
//! a right checksum afterwards, since an attacker computes one too. PF values are also made up from
//! random runs, so that most of them miss the 16,384 registers narrowly, on either side.
//!
//! `cargo test` tries 10,000 of each format. The environment variable HLL_FUZZ asks for more, HLL_SEED
//! repeats a run; `scripts/fuzz` sets both.

use super::{Compression, Format, native};
use crate::sketch::joint::Joint;
use crate::sketch::{Dense, HashFamily, Precision, Sketch};
use ::datasketches::hash::value::raw_bytes;
use ::datasketches::hll::{HllSketch, HllType};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use std::time::Instant;

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

/// One of each kind of native payload, without its checksum.
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
        for compression in Compression::ALL {
            let mut payload = native::encode(sketch, compression);
            payload.truncate(payload.len() - native::CHECKSUM_BYTES);
            corpus.push(payload);
        }
    }
    corpus
}

/// PF values dense and sparse, and the shapes of CVE-2025-32023: runs that go beyond the registers by one,
/// by many, in the middle, at the end, and round an index of 32 bits.
fn redis_corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [0, 1, 5, 50, 700, 5_000, 200_000]
        .map(|n| super::redis::encode(&filled(14, HashFamily::Redis, n)).unwrap())
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
        corpus.push(super::datasketches::encode(&ours).unwrap());
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
    let stored = native::encode(sketch, Compression::None);
    assert_eq!(native::decode(&stored).as_ref(), Ok(sketch));
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
        let common = joint.intersection(crate::sketch::joint::SetMask::first(2));
        assert!(common.value.is_finite() && common.value >= 0.0);
        let mut merged = other;
        merged.merge(sketch).unwrap();
        merged.add(b"one more");
        sound(&merged);
    }
}

fn run(format: Format, corpus: &[Vec<u8>], make: impl Fn(&mut StdRng) -> Option<Vec<u8>>) {
    let seed = number("HLL_SEED").unwrap_or_else(rand::random);
    let trials = number("HLL_FUZZ").unwrap_or(10_000);
    println!("{format:?}: {trials} trials, HLL_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut accepted = 0u64;
    let begin = Instant::now();
    let trial = |payload: &[u8], accepted: &mut u64| {
        if let Ok(sketch) = format.read(payload) {
            *accepted += 1;
            assert_works(&sketch, format, accepted.is_multiple_of(200));
        }
    };
    let seal = |mut payload: Vec<u8>| {
        if format == Format::Native {
            payload.extend(native::checksum(&payload));
        }
        payload
    };
    for sound in corpus {
        trial(&seal(sound.clone()), &mut accepted);
    }
    for _ in 0..trials {
        let payload = make(&mut rng).unwrap_or_else(|| {
            let mut payload = corpus.choose(&mut rng).unwrap().clone();
            mutate(&mut payload, &mut rng);
            payload
        });
        trial(&seal(payload), &mut accepted);
    }
    println!(
        "{format:?}: {accepted} were sketches, {} refused, {:.0} s",
        trials + corpus.len() as u64 - accepted,
        begin.elapsed().as_secs_f64()
    );
    assert!(accepted > 0 && accepted < trials);
}

#[test]
fn native_payloads() {
    run(Format::Native, &native_corpus(), |_| None);
}

#[test]
fn redis_payloads() {
    // The value that goes round 32 bits is half a megabyte: tried as it is, and mutated rarely.
    let (long, corpus): (Vec<_>, Vec<_>) =
        redis_corpus().into_iter().partition(|v| v.len() > 20_000);
    run(Format::Redis, &corpus, |rng| {
        match rng.random_range(0..1000) {
            0 => {
                let mut payload = long.choose(rng).unwrap().clone();
                mutate(&mut payload, rng);
                Some(payload)
            }
            1..=250 => Some(random_runs(rng)),
            _ => None,
        }
    });
    for value in &long {
        assert!(Format::Redis.read(value).is_err());
    }
}

#[test]
fn datasketches_payloads() {
    run(Format::DataSketches, &datasketches_corpus(), |_| None);
}
