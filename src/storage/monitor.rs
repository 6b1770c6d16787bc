//! An accuracy monitor as bytes: all of it, and what it is told.
//!
//! Both are a [`frame`] of a kind of its own, whose body is written with bincode in its standard configuration: whole
//! numbers as in the frame's length, with the sign of signed ones in the lowest bit; floats as eight bytes, low byte
//! first; strings as their length and their bytes; a variant of an enumeration as its number.
//!
//! ```text
//!   monitor      number of contexts, and of each: name, level
//!                number of samples, and of each, the oldest first: place of its context among these, sample
//!                number of alerts, and of each, the oldest first: time, estimate, exact count, level,
//!                    threshold, name of its context
//!   sample       time after that of the sample before it, estimate, exact count, promised error,
//!                precision, 1 if the truth is within bounds or 0
//!   observation  name of the context, sample, warning threshold, critical one, samples to keep
//! ```
//!
//! Contexts are in the order of their first samples, so the same monitor gives the same bytes. Times are Unix
//! milliseconds, levels 0 ok, 1 warning, 2 critical.

use super::DecodeError;
use super::frame::{self, Frame, Kind};
use crate::monitor::{Alert, Level, Monitor, Observation, Sample, Thresholds};
use crate::sketch::Precision;
use bincode::config::Configuration;
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The most bytes of a monitor: [`MAX_SAMPLES`](crate::monitor::MAX_SAMPLES) samples of at most 46, contexts and alerts.
pub const MOST_BYTES: usize = 8 << 20;

const CONFIGURATION: Configuration = bincode::config::standard();

#[derive(Serialize, Deserialize)]
struct StoredSample {
    after: i64,
    estimate: f64,
    exact: u64,
    promised: f64,
    precision: u8,
    within_bounds: bool,
}

impl StoredSample {
    fn of(sample: &Sample, before: i64) -> StoredSample {
        StoredSample {
            after: sample.at.wrapping_sub(before),
            estimate: sample.estimate,
            exact: sample.exact,
            promised: sample.promised,
            precision: sample.precision.bits() as u8,
            within_bounds: sample.within_bounds,
        }
    }

    fn sample(self, before: i64) -> Result<Sample, DecodeError> {
        let sample = Sample {
            at: before.wrapping_add(self.after),
            estimate: self.estimate,
            exact: self.exact,
            promised: self.promised,
            precision: Precision::new(self.precision).ok_or(DecodeError::Invalid("precision"))?,
            within_bounds: self.within_bounds,
        };
        match sample.is_possible() {
            true => Ok(sample),
            false => Err(DecodeError::Invalid("sample")),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredObservation {
    context: Vec<u8>,
    sample: StoredSample,
    warning: f64,
    critical: f64,
    keep: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredAlert {
    at: i64,
    estimate: f64,
    exact: u64,
    level: u8,
    threshold: f64,
    context: Vec<u8>,
}

fn level(number: u8) -> Result<Level, DecodeError> {
    let level = Level::ALL.get(usize::from(number));
    level.copied().ok_or(DecodeError::Invalid("level"))
}

/// What stands in a body, one after the other.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn next<T: for<'d> Deserialize<'d>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let (value, read) = bincode::serde::decode_from_slice(self.0, CONFIGURATION)
            .map_err(|_| DecodeError::Invalid(what))?;
        self.0 = &self.0[read..];
        Ok(value)
    }

    /// As many as a number in front of them says, which is believed only as far as there are bytes.
    fn list<T>(
        &mut self,
        what: &'static str,
        mut one: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<VecDeque<T>, DecodeError> {
        let count: u32 = self.next(what)?;
        (0..count).map(|_| one(self)).collect()
    }

    fn end(&self) -> Result<(), DecodeError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(DecodeError::Invalid("end")),
        }
    }
}

/// A body in the making.
#[derive(Default)]
struct Body(Vec<u8>);

impl Writer for Body {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Body {
    fn put(&mut self, value: impl Serialize) {
        bincode::serde::encode_into_writer(value, self, CONFIGURATION)
            .expect("plain structures always encode");
    }
}

/// The bytes of a monitor.
pub fn encode(monitor: &Monitor) -> Vec<u8> {
    let mut body = Body::default();
    // Places by number: where the contexts stand in the order of their first samples.
    let mut places = vec![None; monitor.contexts.len()];
    let mut contexts = Vec::new();
    for &(number, _) in &monitor.samples {
        let place = &mut places[usize::from(number)];
        if place.is_none() {
            *place = Some(contexts.len() as u16);
            contexts.push(&monitor.contexts[usize::from(number)]);
        }
    }
    body.put(contexts.len() as u32);
    for context in contexts {
        body.put((&context.name, context.level as u8));
    }
    body.put(monitor.samples.len() as u32);
    let mut before = 0;
    for (number, sample) in &monitor.samples {
        let place = places[usize::from(*number)].unwrap_or_default();
        body.put((place, StoredSample::of(sample, before)));
        before = sample.at;
    }
    body.put(monitor.alerts.len() as u32);
    for alert in &monitor.alerts {
        let stored = StoredAlert {
            at: alert.at,
            estimate: alert.estimate,
            exact: alert.exact,
            level: alert.level as u8,
            threshold: alert.threshold,
            context: alert.context.to_vec(),
        };
        body.put(stored);
    }
    frame::encode(Kind::Monitor, &[&body.0])
}

/// The monitor that these bytes are of.
pub fn decode(bytes: &[u8]) -> Result<Monitor, DecodeError> {
    let mut from = Reader(Frame::only(bytes)?.body_of(Kind::Monitor)?);
    let contexts = from.list("context", |from| {
        let (name, number) = from.next::<(Vec<u8>, u8)>("context")?;
        Ok((name, level(number)?))
    })?;
    let mut before = 0;
    let samples = from.list("sample", |from| {
        let (place, stored) = from.next::<(u16, StoredSample)>("sample")?;
        let sample = stored.sample(before)?;
        before = sample.at;
        Ok((place, sample))
    })?;
    let alerts = from.list("alert", |from| {
        let stored: StoredAlert = from.next("alert")?;
        Ok(Alert {
            at: stored.at,
            estimate: stored.estimate,
            exact: stored.exact,
            level: level(stored.level)?,
            threshold: stored.threshold,
            context: stored.context.into(),
        })
    })?;
    from.end()?;
    Monitor::restore(contexts.into(), samples, alerts).ok_or(DecodeError::Invalid("monitor"))
}

/// The bytes of an observation.
pub fn encode_observation(observation: &Observation) -> Vec<u8> {
    let stored = StoredObservation {
        context: observation.context.clone(),
        sample: StoredSample::of(&observation.sample, 0),
        warning: observation.thresholds.warning,
        critical: observation.thresholds.critical,
        keep: u32::try_from(observation.keep).unwrap_or(u32::MAX),
    };
    let mut body = Body::default();
    body.put(stored);
    frame::encode(Kind::Observation, &[&body.0])
}

/// The observation that these bytes are of.
pub fn decode_observation(bytes: &[u8]) -> Result<Observation, DecodeError> {
    let mut from = Reader(Frame::only(bytes)?.body_of(Kind::Observation)?);
    let stored: StoredObservation = from.next("observation")?;
    from.end()?;
    let thresholds = Thresholds {
        warning: stored.warning,
        critical: stored.critical,
    };
    // An alert has its threshold in it, and one that is no number could not be read again.
    if !(thresholds.warning.is_finite() && thresholds.critical.is_finite()) {
        return Err(DecodeError::Invalid("threshold"));
    }
    Ok(Observation {
        context: stored.context,
        sample: stored.sample.sample(0)?,
        thresholds,
        keep: stored.keep as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FrameError;
    use proptest::prelude::*;

    fn observation(context: &str, at: i64, estimate: f64) -> Observation {
        Observation {
            context: context.as_bytes().to_vec(),
            sample: Sample {
                at,
                estimate,
                exact: 1_000,
                promised: 0.0084,
                precision: Precision::DEFAULT,
                within_bounds: estimate > 950.0,
            },
            thresholds: Thresholds {
                warning: 0.05,
                critical: 0.1,
            },
            keep: 50,
        }
    }

    fn filled() -> Monitor {
        let mut monitor = Monitor::new();
        for i in 0..120 {
            let context = ["daily", "weekly", "mobile"][i % 3];
            let estimate = 1_000.0 - (i * 7 % 150) as f64;
            monitor
                .track(&observation(context, i as i64 * 1_000, estimate))
                .unwrap();
        }
        monitor
    }

    #[test]
    fn reading_what_was_written_is_the_identity() {
        for monitor in [Monitor::new(), filled()] {
            let bytes = encode(&monitor);
            let read = decode(&bytes).unwrap();
            assert_eq!(encode(&read), bytes);
            assert_eq!(read.alerts, monitor.alerts);
            for level in Level::ALL {
                assert_eq!(read.standing(level), monitor.standing(level));
            }
            assert_eq!(
                read.report(None, i64::MAX, observation("", 0, 0.0).thresholds),
                monitor.report(None, i64::MAX, observation("", 0, 0.0).thresholds)
            );
        }
        let mut one = observation("daily", -5, 930.5);
        assert_eq!(
            decode_observation(&encode_observation(&one)),
            Ok(one.clone())
        );
        one.thresholds.warning = f64::NEG_INFINITY;
        assert!(decode_observation(&encode_observation(&one)).is_err());
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let bytes = encode_observation(&observation("daily", 7, 930.0));
        for end in 0..bytes.len() {
            assert!(decode_observation(&bytes[..end]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_observation(&flipped).is_err());
        }
        assert_eq!(
            decode(&bytes),
            Err(DecodeError::Frame(FrameError::OtherKind {
                wanted: Kind::Monitor,
                found: Kind::Observation
            }))
        );
    }

    /// Of damage that the checksum does not find, as an attacker would send it.
    fn resealed(mut body: Vec<u8>, at: usize, with: u8) -> Vec<u8> {
        let at = at % body.len();
        body[at] ^= with;
        frame::encode(Kind::Monitor, &[&body])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What is read is a monitor that goes on like any other.
        #[test]
        fn damage_behind_a_right_checksum_is_refused_or_harmless(at: usize, with in 1u8..=255, cut in 0usize..4_000) {
            let whole = encode(&filled());
            let body = Frame::only(&whole).unwrap().body.to_vec();
            let cut = frame::encode(Kind::Monitor, &[&body[..cut % body.len()]]);
            prop_assert!(decode(&cut).is_err());
            if let Ok(mut monitor) = decode(&resealed(body, at, with)) {
                prop_assert_eq!(decode(&encode(&monitor)).map(|read| encode(&read)), Ok(encode(&monitor)));
                let _ = monitor.report(Some(0), i64::MAX, observation("", 0, 0.0).thresholds);
                monitor.track(&observation("one more", 0, 900.0)).unwrap();
                monitor.reset(Some(b"daily"));
                monitor.reset(None);
                prop_assert_eq!(monitor, Monitor::new());
            }
        }
    }
}
