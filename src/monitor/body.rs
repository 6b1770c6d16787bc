//! What a monitor keeps, and how it changes.

use crate::sketch::Precision;
use std::collections::{HashSet, VecDeque};
use std::fmt;

/// Contexts that have samples, at most.
pub const MAX_CONTEXTS: usize = 1_000;

/// Bytes of a context's name, at most.
pub const MAX_CONTEXT_BYTES: usize = 256;

/// Alerts that are kept, at most; the oldest go first.
pub const MAX_ALERTS: usize = 1_000;

/// Samples that are kept, at most, whatever is asked for. A report over so many takes about a millisecond.
pub const MAX_SAMPLES: usize = 100_000;

/// How bad an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Below both thresholds.
    Ok = 0,
    /// At or above the first.
    Warning = 1,
    /// At or above the second.
    Critical = 2,
}

impl Level {
    /// All of them, the mildest first.
    pub const ALL: [Level; 3] = [Level::Ok, Level::Warning, Level::Critical];

    /// Its name for users.
    pub fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Critical => "critical",
        }
    }
}

/// Errors, as fractions of the exact count, from which on there is something to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// From here on [`Level::Warning`].
    pub warning: f64,
    /// From here on [`Level::Critical`]. It is asked first, so where it is the lower of the two nothing is a warning.
    pub critical: f64,
}

impl Thresholds {
    /// The level of an error.
    pub fn level(self, error: f64) -> Level {
        match error {
            error if error >= self.critical => Level::Critical,
            error if error >= self.warning => Level::Warning,
            _ => Level::Ok,
        }
    }
}

/// An estimate beside the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When, Unix milliseconds.
    pub at: i64,
    /// The estimate; finite, not negative.
    pub estimate: f64,
    /// The truth, not 0.
    pub exact: u64,
    /// What the sketch promises: one standard error, as a fraction of the count; 0 where it counts exactly.
    pub promised: f64,
    /// Of the sketch.
    pub precision: Precision,
    /// Whether the truth lies in the estimate's interval of 95 %.
    pub within_bounds: bool,
}

/// `|estimate - exact| / exact`.
fn error(estimate: f64, exact: u64) -> f64 {
    let exact = exact as f64;
    (estimate - exact).abs() / exact
}

impl Sample {
    /// `|estimate - exact| / exact`.
    pub fn error(&self) -> f64 {
        error(self.estimate, self.exact)
    }

    /// Whether it is one that can be: what a reader of bytes has to ask.
    pub fn is_possible(&self) -> bool {
        let fractions = [self.estimate, self.promised];
        self.exact > 0 && fractions.iter().all(|x| x.is_finite() && *x >= 0.0)
    }
}

/// A sample with all that decides what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The context's name.
    pub context: Vec<u8>,
    /// What was seen.
    pub sample: Sample,
    /// That held then.
    pub thresholds: Thresholds,
    /// Samples to be kept; at least one and at most [`MAX_SAMPLES`] are.
    pub keep: usize,
}

impl Observation {
    /// The level of its sample.
    pub fn level(&self) -> Level {
        self.thresholds.level(self.sample.error())
    }
}

/// That a context has come to stand at a higher level than before.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Of the sample that raised it, as are the next two.
    pub at: i64,
    /// The estimate.
    pub estimate: f64,
    /// The truth.
    pub exact: u64,
    /// The level reached: not [`Level::Ok`].
    pub level: Level,
    /// The threshold that was reached.
    pub threshold: f64,
    /// The context's name.
    pub context: Box<[u8]>,
}

impl Alert {
    /// `|estimate - exact| / exact`.
    pub fn error(&self) -> f64 {
        error(self.estimate, self.exact)
    }
}

/// Why an observation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It would be a context too many.
    TooManyContexts,
    /// The context's name is too long, or empty.
    Name,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooManyContexts => write!(
                f,
                "the monitor has samples of {MAX_CONTEXTS} contexts, use fewer names or reset some"
            ),
            Refused::Name => write!(
                f,
                "a context has a name of 1 to {MAX_CONTEXT_BYTES} bytes, give one"
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// A context that has samples, or had some: those have the smallest free numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Context {
    pub(crate) name: Box<[u8]>,
    /// That it has now. A context without any is a free place.
    pub(crate) samples: u32,
    /// Of its last sample.
    pub(crate) level: Level,
}

/// Estimates beside exact counts, the newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Monitor {
    pub(crate) contexts: Vec<Context>,
    /// In the order in which they came, with the number of their context.
    pub(crate) samples: VecDeque<(u16, Sample)>,
    pub(crate) alerts: VecDeque<Alert>,
    /// Bytes of the names in contexts and alerts.
    name_bytes: usize,
    /// How many contexts stand at each level.
    standing: [usize; 3],
}

impl Monitor {
    /// Without samples.
    pub fn new() -> Monitor {
        Monitor::default()
    }

    /// Samples that are kept now.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Contexts that stand at this level.
    pub fn standing(&self, level: Level) -> usize {
        self.standing[level as usize]
    }

    /// The alerts that are kept, the newest first.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().rev()
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Monitor>()
            + self.contexts.capacity() * size_of::<Context>()
            + self.samples.capacity() * size_of::<(u16, Sample)>()
            + self.alerts.capacity() * size_of::<Alert>()
            + self.name_bytes
    }

    /// Takes an observation in, and says which alert it raised, if it did. Of a refused one nothing is taken.
    pub fn track(&mut self, observation: &Observation) -> Result<Option<&Alert>, Refused> {
        let number = self.context(&observation.context)?;
        let (level, sample) = (observation.level(), observation.sample);
        let before = self.contexts[number].level;
        self.stand(number, level);
        self.contexts[number].samples += 1;
        self.samples.push_back((number as u16, sample));
        while self.samples.len() > observation.keep.clamp(1, MAX_SAMPLES) {
            self.forget_oldest();
        }
        if self.samples.capacity() > 4 * self.samples.len() {
            self.samples.shrink_to(2 * self.samples.len());
        }
        if level <= before {
            return Ok(None);
        }
        if self.alerts.len() == MAX_ALERTS
            && let Some(oldest) = self.alerts.pop_front()
        {
            self.name_bytes -= oldest.context.len();
        }
        self.name_bytes += observation.context.len();
        self.alerts.push_back(Alert {
            at: sample.at,
            estimate: sample.estimate,
            exact: sample.exact,
            level,
            threshold: match level {
                Level::Critical => observation.thresholds.critical,
                Level::Warning | Level::Ok => observation.thresholds.warning,
            },
            context: observation.context.clone().into(),
        });
        Ok(self.alerts.back())
    }

    /// Forgets samples, level and alerts of one context, or of all; whether there was anything.
    pub fn reset(&mut self, context: Option<&[u8]>) -> bool {
        let Some(name) = context else {
            let something = !self.samples.is_empty() || !self.alerts.is_empty();
            *self = Monitor::new();
            return something;
        };
        let before = self.alerts.len();
        self.alerts.retain(|alert| &*alert.context != name);
        let gone = before - self.alerts.len();
        self.name_bytes -= gone * name.len();
        let found = self.find(name);
        if let Some(number) = found {
            self.samples.retain(|&(of, _)| usize::from(of) != number);
            self.contexts[number].samples = 0;
            self.vacate(number);
        }
        gone > 0 || found.is_some()
    }

    /// Puts a monitor together again from what was stored of it; `None` if no monitor has such parts. Alerts and samples
    /// are in the order in which they came, and each sample names its context by its place among these.
    pub(crate) fn restore(
        contexts: Vec<(Vec<u8>, Level)>,
        samples: VecDeque<(u16, Sample)>,
        alerts: VecDeque<Alert>,
    ) -> Option<Monitor> {
        let mut monitor = Monitor {
            samples,
            alerts,
            ..Monitor::default()
        };
        if contexts.len() > MAX_CONTEXTS
            || monitor.samples.len() > MAX_SAMPLES
            || monitor.alerts.len() > MAX_ALERTS
        {
            return None;
        }
        let mut names = HashSet::new();
        for (name, level) in contexts {
            if !is_name(&name) || !names.insert(name.clone()) {
                return None;
            }
            monitor.name_bytes += name.len();
            monitor.standing[level as usize] += 1;
            monitor.contexts.push(Context {
                name: name.into(),
                samples: 0,
                level,
            });
        }
        for (of, sample) in &monitor.samples {
            monitor.contexts.get_mut(usize::from(*of))?.samples += 1;
            if !sample.is_possible() {
                return None;
            }
        }
        let is_alert = |alert: &Alert| {
            let finite = alert.estimate.is_finite() && alert.threshold.is_finite();
            is_name(&alert.context) && alert.level > Level::Ok && alert.exact > 0 && finite
        };
        if !monitor.alerts.iter().all(is_alert) || monitor.contexts.iter().any(Context::is_free) {
            return None;
        }
        let names = monitor.alerts.iter().map(|alert| alert.context.len());
        monitor.name_bytes += names.sum::<usize>();
        Some(monitor)
    }

    /// The number of a context that has samples.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let is_it = |context: &Context| context.samples > 0 && &*context.name == name;
        self.contexts.iter().position(is_it)
    }

    /// The number of the context of this name, which gets the smallest free one if it has none.
    fn context(&mut self, name: &[u8]) -> Result<usize, Refused> {
        if !is_name(name) {
            return Err(Refused::Name);
        }
        if let Some(number) = self.find(name) {
            return Ok(number);
        }
        let free = self.contexts.iter().position(Context::is_free);
        if free.is_none() && self.contexts.len() == MAX_CONTEXTS {
            return Err(Refused::TooManyContexts);
        }
        self.standing[Level::Ok as usize] += 1;
        self.name_bytes += name.len();
        let context = Context {
            name: name.into(),
            samples: 0,
            level: Level::Ok,
        };
        match free {
            Some(number) => {
                self.contexts[number] = context;
                Ok(number)
            }
            None => {
                self.contexts.push(context);
                Ok(self.contexts.len() - 1)
            }
        }
    }

    fn stand(&mut self, number: usize, level: Level) {
        let context = &mut self.contexts[number];
        self.standing[context.level as usize] -= 1;
        self.standing[level as usize] += 1;
        context.level = level;
    }

    fn forget_oldest(&mut self) {
        if let Some((number, _)) = self.samples.pop_front() {
            let number = usize::from(number);
            self.contexts[number].samples -= 1;
            if self.contexts[number].samples == 0 {
                self.vacate(number);
            }
        }
    }

    /// A context without samples stands nowhere, and its place is free.
    fn vacate(&mut self, number: usize) {
        let context = &mut self.contexts[number];
        self.standing[context.level as usize] -= 1;
        self.name_bytes -= context.name.len();
        context.name = Box::default();
        context.level = Level::Ok;
    }
}

impl Context {
    fn is_free(&self) -> bool {
        self.samples == 0
    }
}

fn is_name(name: &[u8]) -> bool {
    (1..=MAX_CONTEXT_BYTES).contains(&name.len())
}
