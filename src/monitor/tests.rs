//! The monitor beside a naive twin that keeps everything, and what a report says of errors whose cause is known.

use super::*;
use crate::sketch::Precision;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const THRESHOLDS: Thresholds = Thresholds {
    warning: 0.05,
    critical: 0.10,
};

fn observation(context: &str, at: i64, error: f64) -> Observation {
    Observation {
        context: context.as_bytes().to_vec(),
        sample: Sample {
            at,
            estimate: 1_000.0 * (1.0 + error),
            exact: 1_000,
            promised: Precision::DEFAULT.added_error(),
            precision: Precision::DEFAULT,
            within_bounds: error.abs() < 0.017,
        },
        thresholds: THRESHOLDS,
        keep: 10_000,
    }
}

fn track(monitor: &mut Monitor, context: &str, error: f64) -> Option<Level> {
    let at = monitor.samples() as i64;
    let raised = monitor.track(&observation(context, at, error)).unwrap();
    raised.map(|alert| alert.level)
}

#[test]
fn an_alert_is_raised_once_for_each_rise() {
    let mut monitor = Monitor::new();
    let errors = [
        (0.01, None),
        (0.07, Some(Level::Warning)),
        (-0.07, None),
        (0.12, Some(Level::Critical)),
        (0.13, None),
        (0.06, None),
        (0.12, Some(Level::Critical)),
        (0.0, None),
        (0.2, Some(Level::Critical)),
    ];
    for (error, raised) in errors {
        assert_eq!(track(&mut monitor, "daily", error), raised, "{error}");
    }
    assert_eq!(track(&mut monitor, "weekly", 0.06), Some(Level::Warning));
    let levels: Vec<Level> = monitor.alerts().map(|alert| alert.level).collect();
    assert_eq!(
        levels,
        [
            Level::Warning,
            Level::Critical,
            Level::Critical,
            Level::Critical,
            Level::Warning
        ]
    );
    let standing = Level::ALL.map(|level| monitor.standing(level));
    assert_eq!(standing, [0, 1, 1]);
    assert!(monitor.reset(Some(b"daily")));
    assert!(!monitor.reset(Some(b"daily")));
    assert_eq!(Level::ALL.map(|level| monitor.standing(level)), [0, 1, 0]);
    assert_eq!(monitor.alerts().count(), 1);
    assert_eq!(track(&mut monitor, "daily", 0.07), Some(Level::Warning));
}

#[test]
fn the_critical_threshold_is_asked_first() {
    let level = |error| THRESHOLDS.level(error);
    assert_eq!(level(0.049_999), Level::Ok);
    assert_eq!(level(0.05), Level::Warning);
    assert_eq!(level(0.1), Level::Critical);
    let crossed = Thresholds {
        warning: 0.2,
        critical: 0.1,
    };
    assert_eq!(crossed.level(0.15), Level::Critical);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut monitor = Monitor::new();
    for i in 0..MAX_CONTEXTS {
        track(&mut monitor, &format!("c{i}"), 0.2);
    }
    let more = monitor.track(&observation("more", 0, 0.0));
    assert_eq!(more, Err(Refused::TooManyContexts));
    assert_eq!(monitor.samples(), MAX_CONTEXTS);
    let long = "x".repeat(MAX_CONTEXT_BYTES + 1);
    for name in ["", &long] {
        let refused = monitor.track(&observation(name, 0, 0.0));
        assert_eq!(refused, Err(Refused::Name));
    }
    // The oldest sample makes room, and with it its context.
    let mut few = observation("c999", 0, 0.0);
    few.keep = MAX_CONTEXTS;
    monitor.track(&few).unwrap();
    assert_eq!(monitor.samples(), MAX_CONTEXTS);
    track(&mut monitor, "more", 0.2);
    assert_eq!(monitor.alerts().count(), MAX_ALERTS);
    few.keep = 1;
    monitor.track(&few).unwrap();
    assert_eq!((monitor.samples(), monitor.standing(Level::Ok)), (1, 1));
    assert!(monitor.reset(None));
    assert_eq!(monitor, Monitor::new());
}

#[test]
fn recommendations_tell_causes_apart() {
    let coarse = Precision::new(6).unwrap();
    let mut monitor = Monitor::new();
    for at in 0..100 {
        // 6 % on average at p = 6, whose standard error is 8.2 %: as good as such a sketch gets.
        let error = if at % 2 == 0 { 0.06 } else { -0.06 };
        let mut observation = observation("coarse", at, error);
        observation.sample.precision = coarse;
        observation.sample.promised = coarse.added_error();
        monitor.track(&observation).unwrap();
        track(&mut monitor, "spelled twice", 0.12);
        track(&mut monitor, "good", 0.004);
    }
    let report = monitor.report(None, i64::MAX, THRESHOLDS);
    let of = |name: &str| {
        let sections = &report.sections;
        let found = sections.iter().find(|one| one.name == name.as_bytes());
        found.unwrap().recommendation
    };
    assert_eq!(of("good"), None);
    assert_eq!(
        of("coarse"),
        Some(Recommendation {
            level: Level::Warning,
            cause: Cause::Precision,
            // 1.96 times 0.7609 / 2^(p / 2) is below 5 % from p = 10 on.
            precision: Precision::new(10).unwrap(),
        })
    );
    assert_eq!(
        of("spelled twice"),
        Some(Recommendation {
            level: Level::Critical,
            cause: Cause::Data,
            precision: Precision::DEFAULT,
        })
    );
}

/// With errors that do not change, a direction is seen in one of a hundred cases: of 2,000 in 12 to 30 with a probability
/// of 99.9 % if that is true; of small halves a little more often, as their variances are estimated. 50 are allowed.
#[test]
fn a_trend_is_no_chance() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = 0;
    for _ in 0..2_000 {
        let mut monitor = Monitor::new();
        for _ in 0..200 {
            track(&mut monitor, "c", random.random_range(-0.02..0.02));
        }
        let trend = monitor.report(None, i64::MAX, THRESHOLDS).trend;
        seen += usize::from(trend.direction != Direction::Steady);
    }
    assert!((1..50).contains(&seen), "{seen} of 2,000");
}

#[test]
fn a_trend_is_seen() {
    for (first, second, direction) in [
        (0.01, 0.03, Direction::Rising),
        (0.03, 0.01, Direction::Falling),
    ] {
        let mut monitor = Monitor::new();
        for at in 0..100 {
            let size = if at < 50 { first } else { second };
            let jitter = 0.002 * f64::from(at % 5);
            track(&mut monitor, "c", size + jitter);
        }
        let trend = monitor.report(None, i64::MAX, THRESHOLDS).trend;
        assert_eq!(trend.direction, direction);
        assert!((trend.later.unwrap() - trend.earlier.unwrap() - (second - first)).abs() < 1e-9);
    }
    let trend = Monitor::new().report(None, 0, THRESHOLDS).trend;
    assert_eq!((trend.earlier, trend.direction), (None, Direction::Steady));
}

proptest! {
    /// Counts, averages and levels equal those of somebody who keeps a list.
    #[test]
    fn a_report_is_that_of_a_naive_twin(
        tracked in prop::collection::vec((0usize..4, -0.3f64..0.3, 0i64..1_000, 1usize..40), 1..120),
        window in prop::option::of(0i64..1_000),
        end in 0i64..1_200,
    ) {
        let names = ["a", "b", "c", "d"];
        let mut monitor = Monitor::new();
        let mut twin: Vec<(usize, Sample)> = Vec::new();
        let mut levels = [Level::Ok; 4];
        let mut alerts = Vec::new();
        for &(context, error, at, keep) in &tracked {
            let mut one = observation(names[context], at, error);
            one.keep = keep;
            let level = one.level();
            let raised = monitor.track(&one).unwrap().map(|alert| alert.level);
            prop_assert_eq!(raised, (level > levels[context]).then_some(level));
            alerts.extend(raised);
            levels[context] = level;
            twin.push((context, one.sample));
            twin.drain(..twin.len().saturating_sub(keep));
            for (at, level) in levels.iter_mut().enumerate() {
                if !twin.iter().any(|&(of, _)| of == at) {
                    *level = Level::Ok;
                }
            }
        }
        let from = window.map(|length| end - length);
        let inside = |sample: &Sample| sample.at <= end && from.is_none_or(|from| sample.at > from);
        let report = monitor.report(from, end, THRESHOLDS);
        let kept: Vec<&(usize, Sample)> = twin.iter().filter(|(_, sample)| inside(sample)).collect();
        prop_assert_eq!(report.summary.map_or(0, |summary| summary.samples), kept.len());
        prop_assert_eq!(monitor.alerts().count(), alerts.len());
        for (at, name) in names.iter().enumerate() {
            let errors: Vec<f64> = kept.iter().filter(|(of, _)| *of == at).map(|(_, sample)| sample.error()).collect();
            let section = report.sections.iter().find(|section| section.name == name.as_bytes());
            prop_assert_eq!(section.is_some(), !errors.is_empty());
            if let Some(section) = section {
                let average = errors.iter().sum::<f64>() / errors.len() as f64;
                prop_assert!((section.summary.average_error - average).abs() < 1e-12);
                prop_assert_eq!(section.summary.max_error, errors.iter().copied().fold(0.0, f64::max));
                prop_assert_eq!(section.level, levels[at]);
            }
        }
        let standing = Level::ALL.map(|level| monitor.standing(level));
        let present = |level: Level| (0..4).filter(|&at| twin.iter().any(|&(of, _)| of == at) && levels[at] == level).count();
        prop_assert_eq!(standing, Level::ALL.map(present));
    }
}
