//! What the samples of a window come to.
//!
//! **Errors** are averages and maxima of `|estimate - exact| / exact`; the *score* is 100 less a hundred times the
//! average, and not below 0.
//!
//! **The trend** compares the samples in the later half of the window's time with those in the earlier half. It has a
//! direction where the two averages are further apart than chance explains: by more than [`SIGNIFICANT`] standard
//! errors of their difference (Welch), which says so of errors that do not change at all in one case of a hundred,
//! about.
//!
//! **A recommendation** is made for each context whose average error has reached a threshold. It tells two causes
//! apart, since the remedies have nothing in common:
//!
//! * *precision*: the average error is what such a sketch promises, or not more than [`EXPLAINED`] times that. Then
//!   a higher precision helps, and it is named: the lowest at which 95 % of estimates are below the warning
//!   threshold.
//! * *data*: the error is far more than that, so the sketch counts something else than the exact count does. No
//!   precision mends it.

use super::body::{Level, Monitor, Sample, Thresholds};
use crate::sketch::Precision;

/// Standard errors by which two averages have to differ to be told apart: exceeded by chance with a probability of 1 %
/// on both sides together.
pub const SIGNIFICANT: f64 = 2.576;

/// How often an average error may exceed one standard error of the sketch and still be laid at its door. The average of
/// normal errors is 0.8 standard errors; that of a single sample exceeds three with a probability of 0.3 %.
pub const EXPLAINED: f64 = 3.0;

/// Standard errors on both sides within which 95 % of estimates are.
const WIDTH_95: f64 = 1.96;

/// What some samples come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many.
    pub samples: usize,
    /// The average of their errors, fractions.
    pub average_error: f64,
    /// The largest.
    pub max_error: f64,
    /// The share of samples in whose interval of 95 % the truth lies.
    pub within_bounds: f64,
    /// Average of what their sketches promised, one standard error.
    pub promised: f64,
    /// The precision of the sample with the latest time.
    pub precision: Precision,
}

impl Summary {
    /// 100 for no error at all, 0 for an average error of 100 % and more.
    pub fn score(&self) -> f64 {
        (100.0 - 100.0 * self.average_error).max(0.0)
    }
}

/// Where errors are going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They have become smaller.
    Falling,
    /// As far as one can tell they are what they were.
    Steady,
    /// They have become larger.
    Rising,
}

impl Direction {
    /// Its name for users.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Falling => "falling",
            Direction::Steady => "steady",
            Direction::Rising => "rising",
        }
    }
}

/// The later half of a window's time beside the earlier one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Average error of the earlier half; `None` if it has no samples.
    pub earlier: Option<f64>,
    /// Of the later half.
    pub later: Option<f64>,
    /// Whether they differ; [`Direction::Steady`] where either has fewer than two samples.
    pub direction: Direction,
}

/// Why errors are as large as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Such sketches err as much.
    Precision,
    /// The sketch counts something else than the exact count does.
    Data,
}

impl Cause {
    /// Its name for users.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Precision => "precision",
            Cause::Data => "data",
        }
    }
}

/// What to do about a context.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// [`Level::Critical`] comes before [`Level::Warning`].
    pub level: Level,
    /// Why.
    pub cause: Cause,
    /// To use from now on: that in use, where no other one would help.
    pub precision: Precision,
}

/// A context in a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Where it stands, whatever the window.
    pub level: Level,
    /// What its samples come to.
    pub summary: Summary,
    /// Where its errors are going.
    pub trend: Trend,
    /// What to do, if anything.
    pub recommendation: Option<Recommendation>,
}

/// What the samples of a window come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Report<'a> {
    /// All of them; `None` if there are none.
    pub summary: Option<Summary>,
    /// Where errors are going.
    pub trend: Trend,
    /// Contexts with samples in the window, by their names.
    pub sections: Vec<Section<'a>>,
}

/// Sums of errors in one half of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    samples: f64,
    sum: f64,
    squares: f64,
}

impl Half {
    fn add(&mut self, error: f64) {
        self.samples += 1.0;
        self.sum += error;
        self.squares += error * error;
    }

    fn mean(&self) -> Option<f64> {
        (self.samples > 0.0).then(|| self.sum / self.samples)
    }

    /// Of the mean; `None` of fewer than two samples.
    fn variance(&self) -> Option<f64> {
        let mean = self.mean().filter(|_| self.samples > 1.0)?;
        let squares = (self.squares - self.samples * mean * mean).max(0.0);
        Some(squares / (self.samples - 1.0) / self.samples)
    }
}

/// What is summed of some samples.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    halves: [Half; 2],
    max: f64,
    within: usize,
    promised: f64,
    /// Time and precision of the latest.
    latest: Option<(i64, Precision)>,
}

impl Sums {
    fn add(&mut self, sample: &Sample, later: bool) {
        let error = sample.error();
        self.halves[usize::from(later)].add(error);
        self.max = self.max.max(error);
        self.within += usize::from(sample.within_bounds);
        self.promised += sample.promised;
        if self.latest.is_none_or(|(at, _)| at <= sample.at) {
            self.latest = Some((sample.at, sample.precision));
        }
    }

    fn summary(&self) -> Option<Summary> {
        let (_, precision) = self.latest?;
        let [earlier, later] = self.halves;
        let samples = earlier.samples + later.samples;
        Some(Summary {
            samples: samples as usize,
            average_error: (earlier.sum + later.sum) / samples,
            max_error: self.max,
            within_bounds: self.within as f64 / samples,
            promised: self.promised / samples,
            precision,
        })
    }

    fn trend(&self) -> Trend {
        let [earlier, later] = self.halves;
        let direction = || {
            let apart = later.mean()? - earlier.mean()?;
            let error = (earlier.variance()? + later.variance()?).sqrt();
            Some(match apart {
                apart if apart > SIGNIFICANT * error => Direction::Rising,
                apart if -apart > SIGNIFICANT * error => Direction::Falling,
                _ => Direction::Steady,
            })
        };
        Trend {
            earlier: earlier.mean(),
            later: later.mean(),
            direction: direction().unwrap_or(Direction::Steady),
        }
    }
}

impl Monitor {
    /// What the samples with times after `from` and not after `to` come to; all of them where there is no `from`.
    pub fn report(&self, from: Option<i64>, to: i64, thresholds: Thresholds) -> Report<'_> {
        let is_in = |at: i64| at <= to && from.is_none_or(|from| at > from);
        let inside = || self.samples.iter().filter(|(_, sample)| is_in(sample.at));
        let (first, last) = inside().fold((i64::MAX, i64::MIN), |(first, last), (_, sample)| {
            (first.min(sample.at), last.max(sample.at))
        });
        let start = from.unwrap_or(first);
        let end = if from.is_some() { to } else { last };
        let middle = i64::midpoint(start, end);
        let mut all = Sums::default();
        let mut by_context = vec![Sums::default(); self.contexts.len()];
        for (number, sample) in inside() {
            let later = sample.at > middle;
            all.add(sample, later);
            by_context[usize::from(*number)].add(sample, later);
        }
        let sections = self.contexts.iter().zip(&by_context);
        let mut sections: Vec<Section> = sections
            .filter_map(|(context, sums)| {
                let summary = sums.summary()?;
                Some(Section {
                    name: &context.name,
                    level: context.level,
                    summary,
                    trend: sums.trend(),
                    recommendation: recommend(&summary, thresholds),
                })
            })
            .collect();
        sections.sort_unstable_by_key(|section| section.name);
        Report {
            summary: all.summary(),
            trend: all.trend(),
            sections,
        }
    }
}

/// What to do about samples that come to this, if anything.
fn recommend(summary: &Summary, thresholds: Thresholds) -> Option<Recommendation> {
    let level = thresholds.level(summary.average_error);
    if level == Level::Ok {
        return None;
    }
    let least = thresholds.warning.min(thresholds.critical);
    let finer = Precision::for_error(least / WIDTH_95);
    let finer = finer.filter(|finer| *finer > summary.precision);
    let explained = summary.average_error <= EXPLAINED * summary.promised;
    let (cause, precision) = match finer {
        Some(finer) if explained => (Cause::Precision, finer),
        _ => (Cause::Data, summary.precision),
    };
    Some(Recommendation {
        level,
        cause,
        precision,
    })
}
