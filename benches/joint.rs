//! How well sketches answer questions about several sets at once, and how fast.
//!
//! `cargo bench -p benches --bench joint -- [--trials N] [--seed S] [--quick | --costs | --widths | --figures |
//! --scan [--precision P]]`
//!
//! Every trial draws new random sets, so what is measured is the error over hash functions. Each
//! figure stands beside the limit it must keep; the program ends with status 1 if one does not. 300
//! trials (the default) know a root mean square error to 4 % of itself; `--quick` takes 40 and widens the
//! limits by what that costs, at three standard deviations. A fixed seed gives the same figures on every
//! machine, but for the timings, which are printed and never judged. A run of 300 trials or more also writes
//! the tables into docs/accuracy.md and draws docs/accuracy/funnel.svg.
//!
//! `--costs` only compares how long solutions and unions take with what `sketch::joint::cost` and
//! `Sketch::union_cost` expect of them.
//!
//! `--scan` only measures the cover of 95 % intervals, at every point of a scan over precisions from 4 to 16
//! (or `--precision P` alone), over sizes and overlaps from none to all, for two, three and five sets; the
//! normal interval of the same estimates stands beside. Trials at p = 12 are half of N, and so on down to a
//! hundred.
//!
//! `--figures` does the same for the figures that stand beside an answer: what a set or a union counts in a joint
//! solution, and the shares of one set in another and of a funnel's first step. It judges how often the intervals
//! of each figure hold the truth, and writes that into docs/accuracy.md.
//!
//! `--widths` measures how wide 95 % intervals are, and writes the tables of docs/funnels.md.
//!
//! The rows of a table:
//!
//! * **joint**: `sketch::joint`, the way the server answers.
//! * **joint, classical**: the same from the levels alone, as a PF key has them. Not judged.
//! * **counts**: inclusion and exclusion of counts of unions, on the same sketches. Not judged.
//! * **theta**: theta sketches with k = 2048 (crate `datasketches`), which take as many bytes as registers at
//!   p = 14. Not judged.
//! * **each step alone**: conversion as the quotient of two steps' own counts, which counts those
//!   who skipped the earlier steps. Not judged.

mod page;

use datasketches::theta::{ThetaIntersection, ThetaSketch, ThetaSketchBuilder};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use redis_hll::sketch::analytics::FunnelStep;
use redis_hll::sketch::estimate::normal_quantile;
use redis_hll::sketch::joint::{Joint, Segment, SetMask, cost};
use redis_hll::sketch::register::HISTORY;
use redis_hll::sketch::{Bounded, Dense, HashFamily, Precision, Sketch};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const THREADS: usize = 2;

/// What has been printed, for the page.
static PRINTED: Mutex<String> = Mutex::new(String::new());

/// Prints, and keeps what was printed.
macro_rules! say_on {
    ($($format:tt)*) => {{
        let text = format!($($format)*);
        print!("{text}");
        PRINTED.lock().expect("nobody panics while printing").push_str(&text);
    }};
}

/// The same with the end of the line.
macro_rules! say {
    () => { say_on!("\n") };
    ($($format:tt)*) => {{
        say_on!($($format)*);
        say_on!("\n");
    }};
}

/// The confidence of every interval here.
const CONFIDENCE: f64 = 0.95;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            eprintln!(
                "{complaint}\nusage: joint [--trials N] [--seed S] [--quick | --costs | --widths | --figures | --scan [--precision P]]"
            );
            return ExitCode::from(2);
        }
    };
    match options.mode {
        Mode::Errors => errors_of_everything(&options),
        Mode::Costs => costs(&options),
        Mode::Scan => scan(&options),
        Mode::Figures => written(figures(&options)),
        Mode::Widths => written(widths(&options).map(|()| ExitCode::SUCCESS)),
    }
}

/// What a measurement ends with that also writes a page.
fn written(outcome: Result<ExitCode, String>) -> ExitCode {
    outcome.unwrap_or_else(|complaint| {
        eprintln!("{complaint}");
        ExitCode::from(2)
    })
}

/// The errors of pairs and funnels, beside the limits they must keep.
fn errors_of_everything(options: &Options) -> ExitCode {
    say!("{} trials, seed {}", options.trials, options.seed);
    let mut verdict = Verdict {
        trials: options.trials,
        missed: 0,
    };
    pairs(options, &mut verdict);
    edges(options, &mut verdict);
    let lines: Vec<Line> = [FUNNEL_14, FUNNEL_13]
        .iter()
        .flat_map(|funnel| funnels(options, &mut verdict, funnel))
        .collect();
    timings(options);
    if options.trials >= 300
        && let Err(complaint) = publish(&lines)
    {
        eprintln!("{complaint}");
        return ExitCode::from(2);
    }
    match verdict.missed {
        0 => {
            say!("\nPASS");
            ExitCode::SUCCESS
        }
        n => {
            say!("\n{n} missed");
            ExitCode::FAILURE
        }
    }
}

/// What is measured.
#[derive(Clone, Copy)]
enum Mode {
    Errors,
    Costs,
    Scan,
    Figures,
    Widths,
}

struct Options {
    trials: usize,
    seed: u64,
    mode: Mode,
    precision: Option<u8>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            trials: 300,
            seed: 1,
            mode: Mode::Errors,
            precision: None,
        };
        while let Some(word) = words.next() {
            let mut number = || page::number(&word, &mut words);
            match word.as_str() {
                "--trials" => options.trials = (number()? as usize).max(2),
                "--seed" => options.seed = number()?,
                "--quick" => options.trials = 40,
                "--costs" => options.mode = Mode::Costs,
                "--scan" => options.mode = Mode::Scan,
                "--figures" => options.mode = Mode::Figures,
                "--widths" => options.mode = Mode::Widths,
                "--precision" => options.precision = Some(number()? as u8),
                // Cargo passes it on.
                "--bench" => {}
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(options)
    }

    /// What every trial yields, in order. A trial's random numbers depend on the seed, the
    /// experiment and its number only, not on how the threads share the work.
    fn run<T: Send>(&self, experiment: u64, trial: impl Fn(&mut SmallRng) -> T + Sync) -> Vec<T> {
        let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..THREADS)
                .map(|worker| {
                    let trial = &trial;
                    scope.spawn(move || {
                        (worker..self.trials)
                            .step_by(THREADS)
                            .map(|i| {
                                let own = self.seed ^ experiment << 32 ^ (i as u64) << 40;
                                (i, trial(&mut SmallRng::seed_from_u64(own)))
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("a trial panicked"))
                .collect()
        });
        results.sort_by_key(|&(i, _)| i);
        results.into_iter().map(|(_, result)| result).collect()
    }
}

/// Counts what missed its limit.
struct Verdict {
    trials: usize,
    missed: usize,
}

impl Verdict {
    fn judge(&mut self, good: bool) -> &'static str {
        if good {
            "PASS"
        } else {
            self.missed += 1;
            "miss"
        }
    }

    /// A limit in % that is meant for 300 trials or more.
    fn widened(&self, limit: f64) -> f64 {
        let noise = |trials: f64| 3.0 / (2.0 * trials).sqrt();
        limit * (1.0 + (noise(self.trials as f64) - noise(300.0)).max(0.0))
    }

    fn rmse(&mut self, errors: &Errors, limit: f64) -> &'static str {
        self.judge(100.0 * errors.rmse() <= self.widened(limit))
    }

    /// Intervals at 95 % are to cover the truth in 92 to 98 % of all trials: this many of them did, as
    /// far as they can tell (three standard deviations, 0.3 % false alarms). Where the truth lies on the
    /// edge of what is possible, more is allowed.
    fn cover(&mut self, share: f64, trials: usize, edge: Edge) -> &'static str {
        let noise = |share: f64| 3.0 * (share * (1.0 - share) / trials as f64).sqrt();
        let most = match edge {
            Edge::Inside => 0.98 + noise(0.98),
            Edge::Boundary => 1.0,
        };
        self.judge(share >= 0.92 - noise(0.92) && share <= most)
    }
}

enum Edge {
    Inside,
    Boundary,
}

/// Relative errors of one estimate over the trials.
#[derive(Default)]
struct Errors(Vec<f64>);

impl Errors {
    fn rmse(&self) -> f64 {
        (self.0.iter().map(|e| e * e).sum::<f64>() / self.0.len() as f64).sqrt()
    }

    fn bias(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn cell(&self) -> String {
        format!("{:.2} ({:+.2})", 100.0 * self.rmse(), 100.0 * self.bias())
    }
}

fn errors<T>(trials: &[T], error: impl Fn(&T) -> f64) -> Errors {
    Errors(trials.iter().map(error).collect())
}

fn share<T>(trials: &[T], covered: impl Fn(&T) -> bool) -> f64 {
    trials.iter().filter(|trial| covered(trial)).count() as f64 / trials.len() as f64
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// One line of a table.
fn row(label: &str, cells: impl IntoIterator<Item = String>) {
    say_on!("{label:<22}");
    for cell in cells {
        say_on!("{cell:>17}");
    }
    say!();
}

fn sketch(p: u8) -> Sketch {
    let p = Precision::new(p).expect("4 to 18");
    Sketch::new(p, HashFamily::default())
}

/// Adds `n` new elements to all of these.
fn add(rng: &mut SmallRng, n: usize, sketches: &mut [&mut Sketch]) {
    for _ in 0..n {
        let hash = rng.random();
        for sketch in sketches.iter_mut() {
            sketch.add_hash(hash);
        }
    }
}

/// The same registers without their past, as if they had been merged, and of each only the bits in
/// `mask`.
fn copy_of(sketch: &Sketch, mask: u8, history: bool) -> Sketch {
    let registers = sketch.registers(sketch.precision());
    let registers = registers.iter().map(|r| r & mask).collect();
    let dense = Dense::from_registers(registers, sketch.precision(), history);
    Sketch::from_dense(sketch.hash_family(), dense.expect("registers of a sketch"))
}

/// What a classical HyperLogLog of the same precision would have kept.
fn classical(sketch: &Sketch) -> Sketch {
    copy_of(sketch, !HISTORY, false)
}

fn solve(sketches: &[&Sketch]) -> Joint {
    Joint::solve(sketches).expect("one hash family")
}

/// The number of elements in all sets, from the counts of all unions. All counts by maximum
/// likelihood: their errors cancel in part, which those of a martingale estimate would not do.
fn inclusion_exclusion(sketches: &[&Sketch]) -> f64 {
    let merged: Vec<Sketch> = sketches.iter().map(|s| copy_of(s, !0, true)).collect();
    (1..1usize << merged.len())
        .map(|chosen| {
            let members = (0..merged.len()).filter(|s| chosen >> s & 1 == 1);
            let union = Sketch::union(members.map(|s| &merged[s])).expect("one hash family");
            let count = union.expect("not empty").estimate().value;
            if chosen.count_ones() % 2 == 1 {
                count
            } else {
                -count
            }
        })
        .sum()
}

// ---------------------------------------------------------------------------------------------------

/// How two sets lie to each other.
struct PairCase {
    name: &'static str,
    /// Jaccard similarity, and the limit of the intersection's error in %.
    limits: &'static [(f64, f64)],
    /// |B| given |A∩B| and |A∪B|.
    second: fn(f64, f64) -> f64,
}

const UNION: f64 = 1e6;

fn pairs(options: &Options, verdict: &mut Verdict) {
    let cases = [
        PairCase {
            name: "sets of equal size",
            limits: &[
                (0.5, 0.8),
                (0.2, 1.65),
                (0.1, 3.0),
                (0.05, 5.3),
                (0.02, 12.0),
                (0.01, 22.0),
            ],
            second: |common, union| (union + common) / 2.0,
        },
        PairCase {
            name: "half of B inside A",
            limits: &[(0.05, 3.0), (0.02, 4.8)],
            second: |common, _| 2.0 * common,
        },
    ];
    for (number, case) in (1..).zip(&cases) {
        say!(
            "\nIntersection of two sets, {}, |A∪B| = 10^6, p = 14: RMSE (bias) in %",
            case.name
        );
        row(
            "Jaccard",
            case.limits.iter().map(|(jaccard, _)| jaccard.to_string()),
        );
        struct Trial {
            joint: f64,
            covered: bool,
            jaccard_covered: bool,
            classical: f64,
            counts: f64,
        }
        let columns: Vec<Vec<Trial>> = (1..)
            .zip(case.limits)
            .map(|(column, &(jaccard, _))| {
                let common = jaccard * UNION;
                let second = (case.second)(common, UNION);
                options.run(number * 16 + column, |rng| {
                    let (mut a, mut b) = (sketch(14), sketch(14));
                    add(rng, common as usize, &mut [&mut a, &mut b]);
                    add(rng, (UNION - second) as usize, &mut [&mut a]);
                    add(rng, (second - common) as usize, &mut [&mut b]);
                    let joint = solve(&[&a, &b]);
                    let both = joint.intersection(SetMask::first(2));
                    let (lower, upper) = both.interval(CONFIDENCE);
                    let similarity = joint.jaccard(0, 1).expect("not empty");
                    let (least, most) = similarity.interval(CONFIDENCE);
                    let plain = solve(&[&classical(&a), &classical(&b)]);
                    Trial {
                        joint: both.value / common - 1.0,
                        covered: lower <= common && common <= upper,
                        jaccard_covered: least <= jaccard && jaccard <= most,
                        classical: plain.intersection(SetMask::first(2)).value / common - 1.0,
                        counts: inclusion_exclusion(&[&a, &b]) / common - 1.0,
                    }
                })
            })
            .collect();
        let joint: Vec<Errors> = columns.iter().map(|c| errors(c, |t| t.joint)).collect();
        row("joint", joint.iter().map(Errors::cell));
        let limits = joint.iter().zip(case.limits);
        row(
            "  limit",
            limits
                .map(|(errors, &(_, limit))| format!("{limit:.2} {}", verdict.rmse(errors, limit))),
        );
        row(
            "joint, classical",
            columns.iter().map(|c| errors(c, |t| t.classical).cell()),
        );
        row(
            "counts",
            columns.iter().map(|c| errors(c, |t| t.counts).cell()),
        );
        let shares = columns.iter().map(|c| share(c, |t| t.covered));
        cover_row(verdict, "95 % interval covers", shares);
        let shares = columns.iter().map(|c| share(c, |t| t.jaccard_covered));
        cover_row(verdict, "  that of Jaccard", shares);
    }
}

/// A line of shares of intervals that cover the truth, each judged.
fn cover_row(verdict: &mut Verdict, label: &str, shares: impl IntoIterator<Item = f64>) {
    row(
        label,
        shares.into_iter().map(|share| {
            let judged = verdict.cover(share, verdict.trials, Edge::Inside);
            format!("{} {judged}", percent(share))
        }),
    );
}

// ---------------------------------------------------------------------------------------------------

/// Elements that two disjoint sets of 10^5 may seem to share on average.
const DISJOINT_LIMIT: f64 = 200.0;

/// Pairs whose intersection is as small or as large as it can be.
fn edges(options: &Options, verdict: &mut Verdict) {
    /// An estimate, its interval and the truth.
    struct Trial {
        value: f64,
        interval: (f64, f64),
        truth: f64,
    }
    say!("\nAt the edge, p = 14: error in elements (of Jaccard: in itself)");
    row(
        "",
        ["mean", "RMSE", "mean upper bound", "covers"].map(String::from),
    );
    let mut judge = |label: &str, trials: &[Trial], good: fn(&Trial) -> bool| {
        let error = errors(trials, |t| t.value - t.truth);
        let upper = trials.iter().map(|t| t.interval.1).sum::<f64>() / trials.len() as f64;
        let share = share(trials, good);
        let judged = verdict.cover(share, trials.len(), Edge::Boundary);
        let digits = if trials[0].truth == 1.0 { 5 } else { 1 };
        row(
            label,
            [
                format!("{:.digits$}", error.bias()),
                format!("{:.digits$}", error.rmse()),
                format!("{upper:.digits$}"),
                format!("{} {judged}", percent(share)),
            ],
        );
        error.bias()
    };
    let covers: fn(&Trial) -> bool = |t| t.interval.0 <= t.truth && t.truth <= t.interval.1;

    let intersection = |only_a: usize, only_b: usize, both: usize| {
        move |rng: &mut SmallRng| {
            let (mut a, mut b) = (sketch(14), sketch(14));
            add(rng, both, &mut [&mut a, &mut b]);
            add(rng, only_a, &mut [&mut a]);
            add(rng, only_b, &mut [&mut b]);
            let common = solve(&[&a, &b]).intersection(SetMask::first(2));
            Trial {
                value: common.value,
                interval: common.interval(CONFIDENCE),
                truth: both as f64,
            }
        }
    };
    let disjoint = options.run(33, intersection(100_000, 100_000, 0));
    let mean = judge("disjoint 10^5, 10^5", &disjoint, covers);
    judge(
        "disjoint 10^5, 10^3",
        &options.run(34, intersection(100_000, 1_000, 0)),
        covers,
    );
    judge(
        "nested 10^5, 10^4",
        &options.run(35, intersection(90_000, 0, 10_000)),
        covers,
    );
    judge(
        "nested 10^5, 10^3",
        &options.run(36, intersection(99_000, 0, 1_000)),
        covers,
    );
    let identical = options.run(37, |rng| {
        let (mut a, mut b) = (sketch(14), sketch(14));
        add(rng, 100_000, &mut [&mut a, &mut b]);
        let jaccard = solve(&[&a, &b]).jaccard(0, 1).expect("not empty");
        Trial {
            value: jaccard.value,
            interval: jaccard.interval(CONFIDENCE),
            truth: 1.0,
        }
    });
    judge("identical, Jaccard", &identical, covers);
    say!(
        "mean of the first at most {DISJOINT_LIMIT}: {}",
        verdict.judge(mean <= DISJOINT_LIMIT)
    );
}

// ---------------------------------------------------------------------------------------------------

/// A funnel of five steps of 10^6, 4·10^5, 10^5, 4·10^4, 2·10^4 users. Four fifths of each step come
/// from the step before, the others are new: they skipped it.
///
/// Users by the step they first appear in, and how many of them are in each step from there on.
const USERS: [&[usize]; 5] = [
    &[1_000_000, 320_000, 64_090, 20_466, 8_265],
    &[80_000, 16_000, 5_000, 2_000],
    &[19_910, 6_534, 3_000],
    &[8_000, 2_735],
    &[4_000],
];

const STEPS: usize = USERS.len();

struct FunnelCase {
    p: u8,
    /// Of the users of each step that were in all steps before, in %.
    limits: [f64; STEPS],
    /// Of the conversion from step to step.
    conversion_limits: Option<[f64; STEPS - 1]>,
}

const FUNNEL_14: FunnelCase = FunnelCase {
    p: 14,
    limits: [0.62, 0.82, 1.75, 3.2, 5.2],
    conversion_limits: Some([0.82, 1.7, 2.8, 4.1]),
};

const FUNNEL_13: FunnelCase = FunnelCase {
    p: 13,
    limits: [0.9, 1.2, 2.5, 4.6, 7.4],
    conversion_limits: None,
};

fn draw_funnel(rng: &mut SmallRng, p: u8) -> (Vec<Sketch>, Vec<ThetaSketch>) {
    let mut steps: Vec<Sketch> = (0..STEPS).map(|_| sketch(p)).collect();
    let theta = || ThetaSketchBuilder::default().lg_k(THETA_LG_K).build();
    let mut thetas: Vec<ThetaSketch> = (0..STEPS)
        .map(|_| theta().expect("lg_k is legal"))
        .collect();
    for (first, counts) in USERS.iter().enumerate() {
        // The users that go as far as step `last`, and no further.
        for (i, &count) in counts.iter().enumerate() {
            let further = counts.get(i + 1).copied().unwrap_or(0);
            for _ in further..count {
                let hash: u64 = rng.random();
                for step in &mut steps[first..=first + i] {
                    step.add_hash(hash);
                }
                for step in &mut thetas[first..=first + i] {
                    step.update(hash);
                }
            }
        }
    }
    (steps, thetas)
}

/// k = 2048: as many bytes (8 each) as registers at p = 14.
const THETA_LG_K: u8 = 11;

/// The number of elements in all of these, by theta sketches.
fn theta_intersection(sketches: &[ThetaSketch]) -> f64 {
    let mut common = ThetaIntersection::default();
    for sketch in sketches {
        common.update(sketch).expect("one seed");
    }
    common.to_sketch(false).expect("not none").estimate()
}

/// One line of the plot: the error of the users of each step in %.
struct Line {
    label: String,
    values: [f64; STEPS],
}

fn funnels(options: &Options, verdict: &mut Verdict, case: &FunnelCase) -> Vec<Line> {
    struct Trial {
        users: [f64; STEPS],
        users_covered: [bool; STEPS],
        conversions: [f64; STEPS],
        conversions_covered: [bool; STEPS],
        classical: [f64; STEPS],
        counts: [f64; STEPS],
        theta: [f64; STEPS],
        alone: [f64; STEPS],
    }
    let truth = USERS[0].to_vec();
    let truth = |k: usize| truth[k] as f64;
    let trials = options.run(64 + u64::from(case.p), |rng| {
        let (steps, thetas) = draw_funnel(rng, case.p);
        let steps: Vec<&Sketch> = steps.iter().collect();
        let plain: Vec<Sketch> = steps.iter().map(|step| classical(step)).collect();
        let plain = solve(&plain.iter().collect::<Vec<_>>());
        let joint = solve(&steps);
        let upto = |k: usize| Segment::all(SetMask::first(k + 1));
        let users = |joint: &Joint, k: usize| joint.estimate(upto(k));
        let covers = |(lower, upper): (f64, f64), truth: f64| lower <= truth && truth <= upper;
        let each = |f: &dyn Fn(usize) -> f64| std::array::from_fn(f);
        let conversion = |k: usize| joint.ratio(upto(k), upto(k - 1)).expect("not empty");
        let rate = |k: usize| truth(k) / truth(k - 1);
        Trial {
            users: each(&|k| users(&joint, k).value / truth(k) - 1.0),
            users_covered: std::array::from_fn(|k| {
                covers(users(&joint, k).interval(CONFIDENCE), truth(k))
            }),
            conversions: each(&|k| match k {
                0 => 0.0,
                _ => conversion(k).value / rate(k) - 1.0,
            }),
            conversions_covered: std::array::from_fn(|k| {
                k == 0 || covers(conversion(k).interval(CONFIDENCE), rate(k))
            }),
            classical: each(&|k| users(&plain, k).value / truth(k) - 1.0),
            counts: each(&|k| inclusion_exclusion(&steps[..=k]) / truth(k) - 1.0),
            theta: each(&|k| theta_intersection(&thetas[..=k]) / truth(k) - 1.0),
            alone: each(&|k| match k {
                0 => 0.0,
                _ => {
                    let counts = [k, k - 1].map(|k| joint.members()[k].value);
                    counts[0] / counts[1] / rate(k) - 1.0
                }
            }),
        }
    });

    let column = |f: fn(&Trial) -> &[f64; STEPS], k: usize| errors(&trials, |t| f(t)[k]);
    say!(
        "\nFunnel of five steps, 10^6 4·10^5 10^5 4·10^4 2·10^4, a fifth of each step skipped the one \
         before, p = {}: users who did all steps so far, RMSE (bias) in %",
        case.p
    );
    row("step", (0..STEPS).map(|k| (k + 1).to_string()));
    row("truth", (0..STEPS).map(|k| truth(k).to_string()));
    row("joint", (0..STEPS).map(|k| column(|t| &t.users, k).cell()));
    row(
        "  limit",
        (0..STEPS).map(|k| {
            let judged = verdict.rmse(&column(|t| &t.users, k), case.limits[k]);
            format!("{:.2} {judged}", case.limits[k])
        }),
    );
    row(
        "joint, classical",
        (0..STEPS).map(|k| column(|t| &t.classical, k).cell()),
    );
    row(
        "counts",
        (0..STEPS).map(|k| column(|t| &t.counts, k).cell()),
    );
    row(
        "theta, k = 2048",
        (0..STEPS).map(|k| column(|t| &t.theta, k).cell()),
    );
    let shares = (0..STEPS).map(|k| share(&trials, |t| t.users_covered[k]));
    cover_row(verdict, "95 % interval covers", shares);

    say!("Conversion from the step before, RMSE (bias) in %");
    let blank = || std::iter::once(String::new());
    row(
        "joint",
        blank().chain((1..STEPS).map(|k| column(|t| &t.conversions, k).cell())),
    );
    if let Some(limits) = case.conversion_limits {
        let judged = (1..STEPS).map(|k| {
            let judged = verdict.rmse(&column(|t| &t.conversions, k), limits[k - 1]);
            format!("{:.2} {judged}", limits[k - 1])
        });
        row("  limit", blank().chain(judged));
    }
    row(
        "each step alone",
        blank().chain((1..STEPS).map(|k| column(|t| &t.alone, k).cell())),
    );
    row(
        "95 % interval covers",
        blank().chain((1..STEPS).map(|k| {
            let share = share(&trials, |t| t.conversions_covered[k]);
            let judged = verdict.cover(share, trials.len(), Edge::Inside);
            format!("{} {judged}", percent(share))
        })),
    );

    let line = |label: &str, of: fn(&Trial) -> &[f64; STEPS]| Line {
        label: label.to_owned(),
        values: std::array::from_fn(|k| 100.0 * column(of, k).rmse()),
    };
    let mut lines = vec![line(&format!("joint, p = {}", case.p), |t| &t.users)];
    if case.p == FUNNEL_14.p {
        lines.push(line("counts, p = 14", |t| &t.counts));
        lines.push(line("theta, k = 2048", |t| &t.theta));
    }
    lines
}

// ---------------------------------------------------------------------------------------------------

/// Eight sets, each of which has nine tenths of its elements from the one before.
const CHAIN: [usize; 8] = [
    200_000, 120_000, 80_000, 50_000, 30_000, 20_000, 12_000, 8_000,
];

fn timings(options: &Options) {
    say!("\nTime of one solution, the fastest of many (sets of {CHAIN:?} elements)");
    let sizes = [2, 3, 5, 6, 8];
    row("sets", sizes.map(|k| k.to_string()));
    for p in [13, 14] {
        let mut rng = SmallRng::seed_from_u64(options.seed);
        let mut previous: Vec<u64> = Vec::new();
        let sets: Vec<Sketch> = CHAIN
            .iter()
            .map(|&n| {
                let kept = (n * 9 / 10).min(previous.len());
                // Which ones are kept is left to chance: hashes sort at random.
                let mut elements: Vec<u64> = previous.drain(..kept).collect();
                elements.extend((kept..n).map(|_| rng.random::<u64>()));
                elements.sort_unstable();
                let mut set = sketch(p);
                add_all(&mut set, &elements);
                previous = elements;
                set
            })
            .collect();
        let sets: Vec<&Sketch> = sets.iter().collect();
        row(
            &format!("p = {p}"),
            sizes.map(|k| {
                let fastest = fastest(|| {
                    let joint = solve(std::hint::black_box(&sets[..k]));
                    joint.intersection(SetMask::first(k)).value
                });
                format!("{:.0} µs", fastest.as_secs_f64() * 1e6)
            }),
        );
    }
}

fn add_all(set: &mut Sketch, hashes: &[u64]) {
    for &hash in hashes {
        set.add_hash(hash);
    }
}

/// The fastest of at least five runs, for half a second.
fn fastest<T>(work: impl Fn() -> T) -> Duration {
    let start = Instant::now();
    let mut best = Duration::MAX;
    let mut runs = 0;
    while runs < 5 || start.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        std::hint::black_box(work());
        best = best.min(start.elapsed());
        runs += 1;
    }
    best
}

/// Sets of one shape: how many there are, their precision, and the elements of each, of which half are
/// those of the one before.
type Shape = (usize, u8, usize);

/// Shapes that are solved or united together.
const SHAPES: [&[Shape]; 22] = [
    &[(2, 13, 1_000)],
    &[(2, 18, 65_000)],
    &[(8, 18, 65_000)],
    &[(2, 16, 16_000)],
    &[(2, 13, 100_000)],
    &[(2, 14, 1_000_000)],
    &[(2, 18, 100_000)],
    &[(2, 18, 1_000_000)],
    &[(3, 13, 100_000)],
    &[(3, 18, 1_000_000)],
    &[(4, 13, 100_000)],
    &[(5, 13, 100_000)],
    &[(6, 13, 100_000)],
    &[(7, 13, 100_000)],
    &[(8, 13, 100_000)],
    &[(8, 18, 300_000)],
    &[(1, 4, 1_000), (1, 18, 65_000)],
    &[(1, 4, 1_000), (7, 18, 65_000)],
    &[(1, 10, 1_000), (1, 18, 1_000_000)],
    &[(64, 18, 1_000)],
    &[(64, 18, 65_000)],
    &[(1, 10, 1_000), (63, 18, 300_000)],
];

/// Measured times beside expected ones. Too short an expectation lets somebody wait, too long a one
/// only takes a detour: so the measured time may be up to 1.5 times the expected, and down to a seventh.
fn costs(options: &Options) -> ExitCode {
    let mut missed = 0;
    let mut compare = |what: String, expected: Duration, measured: Duration| {
        let ratio = measured.as_secs_f64() / expected.as_secs_f64().max(1e-6);
        let good = ratio <= 1.5 && (ratio >= 0.15 || expected < Duration::from_micros(100));
        missed += usize::from(!good);
        println!(
            "{what:<60} expected {:>9.0} µs, measured {:>9.1} µs, {ratio:.2} of it {}",
            expected.as_secs_f64() * 1e6,
            measured.as_secs_f64() * 1e6,
            if good { "PASS" } else { "miss" }
        );
    };
    for shapes in SHAPES {
        let mut rng = SmallRng::seed_from_u64(options.seed);
        let mut previous: Vec<u64> = Vec::new();
        let mut sets = Vec::new();
        for &(count, p, elements) in shapes {
            for _ in 0..count {
                let mut own: Vec<u64> = previous.iter().copied().take(elements / 2).collect();
                own.extend((own.len()..elements).map(|_| rng.random::<u64>()));
                let mut set = sketch(p);
                add_all(&mut set, &own);
                sets.push(set);
                own.reverse();
                previous = own;
            }
        }
        let members: Vec<&Sketch> = sets.iter().collect();
        if members.len() <= 8 {
            let measured = fastest(|| {
                let joint = solve(std::hint::black_box(&members));
                for k in 1..=members.len() {
                    let common = joint.intersection(SetMask::first(k));
                    std::hint::black_box(common.interval(CONFIDENCE));
                }
            });
            let expected = cost::solution(members.iter().copied());
            compare(format!("solution {shapes:?}"), expected, measured);
            let steps: Vec<SetMask> = (0..members.len()).map(SetMask::single).collect();
            let measured = fastest(|| {
                let joint = solve(std::hint::black_box(&members));
                for step in 0..members.len() {
                    std::hint::black_box(FunnelStep::of(&joint, &steps, step, CONFIDENCE));
                }
            });
            let intervals = FunnelStep::INTERVALS * members.len();
            let expected = cost::answer(members.iter().copied(), intervals);
            compare(format!("funnel {shapes:?}"), expected, measured);
        }
        let measured = fastest(|| Sketch::union(members.iter().copied()).is_ok());
        let expected = Sketch::union_cost(members.iter().copied());
        compare(format!("union {shapes:?}"), expected, measured);
    }
    match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

// ---------------------------------------------------------------------------------------------------

/// A question of the scan: elements of a segment, or their share of another segment that they are in.
#[derive(Clone)]
struct Ask {
    label: &'static str,
    part: Segment,
    of: Option<Segment>,
}

/// Sets given by how many elements lie in exactly which of them.
struct Constellation {
    label: String,
    regions: Vec<(usize, usize)>,
    /// What is asked in the first place.
    asks: Vec<Ask>,
    /// The figures that stand beside the answers.
    figures: Vec<Ask>,
}

/// How the intervals of one question did over the trials.
struct Cover {
    /// The question, and the sets it was asked about.
    question: &'static str,
    label: String,
    /// Shares of the intervals that hold the truth: of those of the answers, and of estimate ± z standard
    /// deviations.
    share: f64,
    normal_share: f64,
    /// Share of the intervals that begin or end where the answer has its border.
    border: f64,
    /// Their mean width by that of the normal ones.
    relative_width: f64,
}

impl Cover {
    /// Whether next to none of the answers is near its border.
    fn is_ordinary(&self) -> bool {
        self.border < 0.05
    }

    fn line(&self) -> String {
        format!(
            "{:<92} {:>6.1} {:>6.1} {:>6.2}",
            self.label,
            100.0 * self.normal_share,
            100.0 * self.share,
            self.relative_width
        )
    }
}

fn segment(all: &[usize], any: &[usize], none: &[usize]) -> Segment {
    let mask = |sets: &[usize]| sets.iter().copied().collect();
    Segment {
        all: mask(all),
        any: mask(any),
        none: mask(none),
    }
}

fn count(label: &'static str, part: Segment) -> Ask {
    let of = None;
    Ask { label, part, of }
}

fn rate(label: &'static str, part: Segment, of: Segment) -> Ask {
    let of = Some(of);
    Ask { label, part, of }
}

/// Two sets of `a` and `b` elements, `common` of them in both.
fn pair(a: usize, b: usize, common: usize) -> Constellation {
    Constellation {
        label: format!("{a} and {b}, {common} in both"),
        regions: vec![(1, a - common), (2, b - common), (3, common)],
        asks: vec![
            count("A and B", segment(&[0, 1], &[], &[])),
            count("A, not B", segment(&[0], &[], &[1])),
            rate(
                "B in A",
                segment(&[0, 1], &[], &[]),
                segment(&[1], &[], &[]),
            ),
            rate(
                "Jaccard",
                segment(&[0, 1], &[], &[]),
                segment(&[], &[0, 1], &[]),
            ),
        ],
        figures: vec![
            count(COUNTED, segment(&[0], &[], &[])),
            count(UNITED, segment(&[], &[0, 1], &[])),
            rate(
                CONTAINED,
                segment(&[0, 1], &[], &[]),
                segment(&[0], &[], &[]),
            ),
            rate(
                CONTAINED,
                segment(&[0, 1], &[], &[]),
                segment(&[1], &[], &[]),
            ),
            rate(LACKING, segment(&[0], &[], &[1]), segment(&[0], &[], &[])),
        ],
    }
}

/// The figures of `--figures`.
const COUNTED: &str = "one set, in a joint solution";
const UNITED: &str = "union";
const CONTAINED: &str = "share of one set in another";
const LACKING: &str = "share of one set not in another";
const OVERALL: &str = "step of a funnel, share of the first";

/// Steps of these sizes. Of each, `kept` were in all steps before, the others in none.
fn steps(sizes: &[usize], kept: f64) -> Constellation {
    let mut regions = Vec::new();
    let mut through = sizes[0];
    for (i, &size) in sizes.iter().enumerate().skip(1) {
        let next = ((size as f64 * kept).round() as usize).min(through);
        regions.push(((1 << i) - 1, through - next));
        regions.push((1 << i, size - next));
        through = next;
    }
    let last = sizes.len() - 1;
    regions.push(((1 << (last + 1)) - 1, through));
    let upto = |k: usize| Segment::all(SetMask::first(k));
    let mut asks = vec![
        count("all", upto(last + 1)),
        rate("all of all but the last", upto(last + 1), upto(last)),
        count("the first without the others", {
            let others: Vec<usize> = (1..=last).collect();
            segment(&[0], &[], &others)
        }),
        count("the last without the first", segment(&[last], &[], &[0])),
    ];
    if last > 2 {
        asks.push(count("the first three", upto(3)));
        asks.push(rate("all of the first", upto(last + 1), upto(1)));
    } else {
        asks.push(count(
            "the first and any other",
            segment(&[0], &[1, 2], &[]),
        ));
    }
    let mut figures = Vec::new();
    for k in 1..=last {
        figures.push(count(COUNTED, segment(&[k], &[], &[])));
        figures.push(rate(OVERALL, upto(k + 1), upto(1)));
    }
    let first = segment(&[0], &[], &[]);
    figures.push(rate(LACKING, segment(&[0], &[], &[1]), first));
    figures.push(count(UNITED, segment(&[], &[0, 1, 2], &[])));
    Constellation {
        label: format!("steps of {sizes:?}, {} % kept", 100.0 * kept),
        regions,
        asks,
        figures,
    }
}

fn constellations(m: usize) -> Vec<Constellation> {
    let mut all = Vec::new();
    for (a, b) in [(6 * m / 5, 6 * m / 5), (10 * m, 10 * m), (10 * m, m)] {
        for overlap in [0.0, 0.005, 0.02, 0.1, 0.5, 0.9, 1.0] {
            all.push(pair(a, b, (b as f64 * overlap).round() as usize));
        }
    }
    for kept in [0.0, 0.02, 0.2, 0.8, 1.0] {
        all.push(steps(&[10 * m, 4 * m, m], kept));
    }
    for kept in [0.02, 0.3, 0.8, 1.0] {
        all.push(steps(
            &[10 * m, 5 * m, 5 * m / 2, 5 * m / 4, 5 * m / 8],
            kept,
        ));
    }
    all
}

/// Where intervals missed before they came from the likelihood.
const KNOWN_WORST: [(u8, usize, usize); 5] = [
    (8, 300, 6),
    (10, 1_000, 12),
    (11, 2_000, 22),
    (12, 4_000, 48),
    (13, 10_000, 80),
];

const SCANNED: [u8; 10] = [4, 5, 6, 7, 8, 10, 12, 13, 14, 16];

/// Trials of 2^16 registers are few.
fn trials_at(options: &Options, p: u8) -> usize {
    (options.trials >> p.saturating_sub(11)).max(options.trials.min(100))
}

/// The answer to one question.
struct Answer {
    value: f64,
    interval: (f64, f64),
    /// The estimate ± z standard deviations, between 0 and what is possible.
    normal: (f64, f64),
}

impl Answer {
    fn new(value: f64, variance: f64, interval: (f64, f64), most: f64) -> Answer {
        let half = normal_quantile(CONFIDENCE) * variance.sqrt();
        Answer {
            value,
            interval,
            normal: ((value - half).max(0.0), (value + half).min(most)),
        }
    }
}

fn scan_one(
    options: &Options,
    experiment: u64,
    p: u8,
    case: &Constellation,
    asks: &[Ask],
) -> Vec<Cover> {
    let own = Options {
        trials: trials_at(options, p),
        ..*options
    };
    let includes = |s: Segment, region: usize| {
        let of = |mask: SetMask| (0..8).filter(move |&i| mask.contains(i));
        of(s.all).all(|i| region >> i & 1 == 1)
            && (s.any == SetMask::NONE || of(s.any).any(|i| region >> i & 1 == 1))
            && of(s.none).all(|i| region >> i & 1 == 0)
    };
    let sum = |s: Segment| -> f64 {
        let inside = case
            .regions
            .iter()
            .filter(|(region, _)| includes(s, *region));
        inside.map(|&(_, n)| n as f64).sum()
    };
    let exists = |ask: &&Ask| ask.of.is_none_or(|of| sum(of) > 0.0);
    let asks: Vec<Ask> = asks.iter().filter(exists).cloned().collect();
    let truths: Vec<f64> = asks
        .iter()
        .map(|ask| ask.of.map_or(sum(ask.part), |of| sum(ask.part) / sum(of)))
        .collect();
    let sets = 1 + case
        .regions
        .iter()
        .fold(0, |all, (region, _)| all | region)
        .ilog2() as usize;
    let trials = own.run(experiment, |rng| {
        let mut sketches: Vec<Sketch> = (0..sets).map(|_| sketch(p)).collect();
        for &(region, n) in &case.regions {
            for _ in 0..n {
                let hash = rng.random();
                for (_, sketch) in sketches
                    .iter_mut()
                    .enumerate()
                    .filter(|(i, _)| region >> i & 1 == 1)
                {
                    sketch.add_hash(hash);
                }
            }
        }
        let joint = solve(&sketches.iter().collect::<Vec<_>>());
        let answer = |ask: &Ask| match ask.of {
            None => {
                let found = joint.estimate(ask.part);
                let interval = found.interval(CONFIDENCE);
                Answer::new(found.value, found.variance, interval, f64::INFINITY)
            }
            Some(of) => match joint.ratio(ask.part, of) {
                Some(rate) => {
                    Answer::new(rate.value, rate.variance, rate.interval(CONFIDENCE), 1.0)
                }
                // Of nothing no share is known.
                None => Answer::new(0.0, 0.0, (0.0, 1.0), 1.0),
            },
        };
        asks.iter().map(answer).collect::<Vec<_>>()
    });
    asks.iter()
        .zip(truths)
        .enumerate()
        .map(|(i, (ask, truth))| {
            // An answer that is right but for rounding is right.
            let slack = 1e-6 * truth.max(1e-3);
            let holds =
                |(lower, upper): (f64, f64)| lower - slack <= truth && truth <= upper + slack;
            let border = |answer: &Answer| {
                let (lower, upper) = answer.interval;
                let value = answer.value;
                lower <= 0.0 || value <= 0.0 || upper <= value || ask.of.is_some() && upper >= 1.0
            };
            let width = |interval: fn(&Answer) -> (f64, f64)| {
                let widths = trials.iter().map(|t| interval(&t[i]));
                widths.map(|(lower, upper)| upper - lower).sum::<f64>()
            };
            Cover {
                question: ask.label,
                label: format!("p = {p}, {}: {}", case.label, ask.label),
                share: share(&trials, |t| holds(t[i].interval)),
                normal_share: share(&trials, |t| holds(t[i].normal)),
                border: share(&trials, |t| border(&t[i])),
                relative_width: width(|a| a.interval) / width(|a| a.normal).max(f64::MIN_POSITIVE),
            }
        })
        .collect()
}

/// Cover of intervals over everything two, three and five sets can be to each other.
fn scan(options: &Options) -> ExitCode {
    println!("{} trials, seed {}", options.trials, options.seed);
    let mut experiment = 1_000;
    let mut covers = Vec::new();
    for p in SCANNED
        .into_iter()
        .filter(|&p| options.precision.is_none_or(|only| p == only))
    {
        for case in constellations(1 << p) {
            experiment += 1;
            covers.extend(scan_one(options, experiment, p, &case, &case.asks));
        }
    }
    let mut known = Vec::new();
    for (p, size, common) in KNOWN_WORST {
        experiment += 1;
        if options.precision.is_none_or(|only| p == only) {
            let case = pair(size, size, common);
            let of_pair = scan_one(options, experiment, p, &case, &case.asks);
            known.extend(of_pair.into_iter().take(1));
        }
    }
    report(&covers, &known)
}

/// The lowest cover that is promised, and the highest where the answer is not on its border.
const LOWEST: f64 = 0.92;
const HIGHEST: f64 = 0.985;

/// Points shown of each kind.
const SHOWN: usize = 12;

fn report(covers: &[Cover], known: &[Cover]) -> ExitCode {
    let line = |cover: &Cover| println!("{}", cover.line());
    let ordinary: Vec<&Cover> = covers.iter().filter(|cover| cover.is_ordinary()).collect();
    let below = |share: fn(&Cover) -> f64| covers.iter().filter(|c| share(c) < LOWEST).count();
    let above = |share: fn(&Cover) -> f64| ordinary.iter().filter(|c| share(c) > HIGHEST).count();
    let wider = ordinary.iter().map(|cover| cover.relative_width);
    println!(
        "{} points, {} of them ordinary\n\
         below 92 %: {} normal, {} from the likelihood\n\
         above 98.5 % where ordinary: {} normal, {} from the likelihood\n\
         mean width where ordinary: {:.3} of the normal",
        covers.len(),
        ordinary.len(),
        below(|c| c.normal_share),
        below(|c| c.share),
        above(|c| c.normal_share),
        above(|c| c.share),
        wider.sum::<f64>() / ordinary.len().max(1) as f64
    );
    let mut sorted: Vec<&Cover> = covers.iter().collect();
    println!(
        "\n{:<92} normal  cover  width",
        "worst of the normal intervals"
    );
    sorted.sort_by(|a, b| a.normal_share.total_cmp(&b.normal_share));
    sorted.iter().take(SHOWN).for_each(|cover| line(cover));
    println!(
        "\n{:<92} normal  cover  width",
        "worst of those from the likelihood"
    );
    sorted.sort_by(|a, b| a.share.total_cmp(&b.share));
    sorted.iter().take(SHOWN).for_each(|cover| line(cover));
    println!(
        "\n{:<92} normal  cover  width",
        "where intervals missed before"
    );
    known.iter().for_each(line);
    ExitCode::SUCCESS
}

// ---------------------------------------------------------------------------------------------------

/// Precisions at which the figures are asked for.
const FIGURES_AT: [u8; 5] = [8, 10, 12, 13, 14];

/// The least mean cover of a figure over its points, and the least at any of them but for chance: what
/// docs/accuracy.md says of the intervals in general.
const LEAST_MEAN: f64 = 0.93;
const LEAST_ANYWHERE: f64 = 0.89;

/// Cover of the intervals of figures, over the constellations of the scan: per figure and precision the mean
/// over its points, and the lowest.
fn figures(options: &Options) -> Result<ExitCode, String> {
    println!("{} trials, seed {}", options.trials, options.seed);
    let mut experiment = 5_000;
    let mut of_precision: Vec<(u8, Vec<Cover>)> = Vec::new();
    for p in FIGURES_AT {
        let mut covers = Vec::new();
        for case in constellations(1 << p) {
            experiment += 1;
            covers.extend(scan_one(options, experiment, p, &case, &case.figures));
        }
        of_precision.push((p, covers));
    }
    let mut missed = 0;
    let mut page = format!(
        "Made by `cargo bench -p benches --bench joint -- --figures --trials {} --seed {}`.\n\n| figure | points |",
        options.trials, options.seed
    );
    for p in FIGURES_AT {
        page += &format!(" p = {p} |");
    }
    page += &format!("\n|---|---:|{}\n", "---:|".repeat(FIGURES_AT.len()));
    for question in [COUNTED, UNITED, CONTAINED, LACKING, OVERALL] {
        let mut cells = String::new();
        let mut points = 0;
        for (p, covers) in &of_precision {
            let own: Vec<&Cover> = covers.iter().filter(|c| c.question == question).collect();
            points += own.len();
            let mean = own.iter().map(|c| c.share).sum::<f64>() / own.len() as f64;
            let lowest = own.iter().map(|c| c.share).fold(1.0, f64::min);
            println!(
                "p = {p}, {question}: normal intervals would cover {:.1} ({:.1}), {:.2} as wide",
                100.0 * own.iter().map(|c| c.normal_share).sum::<f64>() / own.len() as f64,
                100.0 * own.iter().map(|c| c.normal_share).fold(1.0, f64::min),
                own.len() as f64 / own.iter().map(|c| c.relative_width).sum::<f64>()
            );
            cells += &format!(" {:.1} ({:.1}) |", 100.0 * mean, 100.0 * lowest);
            // Four standard errors: of a point, and of a mean as if its points had shared all their trials.
            let trials = trials_at(options, *p) as f64;
            let noise = |share: f64| 4.0 * (share * (1.0 - share) / trials).sqrt();
            missed += usize::from(mean < LEAST_MEAN - noise(LEAST_MEAN) / 2.0);
            missed += usize::from(lowest < LEAST_ANYWHERE - noise(LEAST_ANYWHERE));
        }
        page += &format!("| {question} | {points} |{cells}\n");
    }
    print!("{page}");
    let mut sorted: Vec<&Cover> = of_precision.iter().flat_map(|(_, covers)| covers).collect();
    sorted.sort_by(|a, b| a.share.total_cmp(&b.share));
    println!("\n{:<92} normal  cover  width", "the lowest");
    for cover in sorted.iter().take(SHOWN) {
        println!("{}", cover.line());
    }
    if options.trials >= PAGE_TRIALS {
        page::rewrite(
            &page::docs().join("accuracy.md"),
            FIGURES_BEGIN,
            FIGURES_END,
            &page,
        )?;
    }
    Ok(match missed {
        0 => ExitCode::SUCCESS,
        n => {
            println!("{n} missed");
            ExitCode::FAILURE
        }
    })
}

const FIGURES_BEGIN: &str = "<!-- figures: begin; written by benches/joint.rs -->\n";
const FIGURES_END: &str = "<!-- figures: end -->\n";

// ---------------------------------------------------------------------------------------------------

/// Two sets whose intersection is asked for: elements of each, and of both.
type Shared = (usize, usize, usize);

const EQUAL: [Shared; 7] = [
    (100_000, 100_000, 50_000),
    (100_000, 100_000, 10_000),
    (100_000, 100_000, 5_000),
    (100_000, 100_000, 2_000),
    (100_000, 100_000, 1_000),
    (100_000, 100_000, 500),
    (100_000, 100_000, 0),
];

const UNEQUAL: [Shared; 5] = [
    (500_000, 10_000, 10_000),
    (500_000, 10_000, 5_000),
    (500_000, 10_000, 1_000),
    (500_000, 10_000, 200),
    (500_000, 10_000, 0),
];

/// Those who come to each step of a funnel through all before.
const THROUGH: [usize; 5] = [100_000, 30_000, 9_900, 3_000, 990];

/// The strangers of a funnel's later steps, who did that step alone, as a share of all who did it.
const STRANGERS: [(f64, &str); 3] = [
    (0.0, "nobody is in a step who is not in all before"),
    (0.1, "a tenth of every later step are strangers"),
    (0.5, "half of every later step are strangers"),
];

/// Half the width of an interval.
fn half((lower, upper): (f64, f64)) -> f64 {
    (upper - lower) / 2.0
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// How wide intervals are.
fn widths(options: &Options) -> Result<(), String> {
    let mut page = format!(
        "Made by `cargo bench -p benches --bench joint -- --widths --trials {} --seed {}`.\n\n",
        options.trials, options.seed
    );
    let mut experiment = 9_000;
    page += "Two sets of the same size, 100,000 elements each:\n\n";
    page += &widths_of_pairs(options, &mut experiment, &EQUAL, &[12, 13, 14, 16]);
    page += "\nA large set and a small one, 500,000 and 10,000 elements:\n\n";
    page += &widths_of_pairs(options, &mut experiment, &UNEQUAL, &[12, 13, 14, 16]);
    for (strangers, told) in STRANGERS {
        page += &format!("\nA funnel of five steps, in which {told}:\n\n");
        page += &widths_of_funnels(options, &mut experiment, strangers, &[12, 13, 14, 16]);
    }
    print!("{page}");
    // They know a mean width to some percent of itself.
    if options.trials >= PAGE_TRIALS {
        page::rewrite(
            &page::docs().join("funnels.md"),
            WIDTHS_BEGIN,
            WIDTHS_END,
            &page,
        )?;
    }
    Ok(())
}

/// The fewest trials that write a page of covers or widths.
const PAGE_TRIALS: usize = 60;

const WIDTHS_BEGIN: &str = "<!-- widths: begin; written by benches/joint.rs -->\n";
const WIDTHS_END: &str = "<!-- widths: end -->\n";

/// The head of a table with a column for each precision.
fn table(first: &str, precisions: &[u8]) -> String {
    let columns: String = precisions.iter().map(|p| format!(" p = {p} |")).collect();
    format!(
        "| {first} |{columns}\n|{}\n",
        "---|".repeat(1 + precisions.len())
    )
}

/// Thousands are set apart.
fn number(n: usize) -> String {
    match n {
        0..1_000 => n.to_string(),
        _ => format!("{},{:03}", n / 1_000, n % 1_000),
    }
}

/// A share in percent, to two digits or so.
fn rough(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        ..10.0 => format!("±{percent:.1} %"),
        _ => format!("±{percent:.0} %"),
    }
}

fn widths_of_pairs(
    options: &Options,
    experiment: &mut u64,
    pairs: &[Shared],
    precisions: &[u8],
) -> String {
    let mut page = table("in common", precisions);
    for &(a, b, common) in pairs {
        page += &match common {
            0 => "| 0: mean upper end of the interval |".to_owned(),
            _ => format!("| {} |", number(common)),
        };
        for &p in precisions {
            *experiment += 1;
            let intervals = options.run(*experiment, |rng| {
                let (mut first, mut second) = (sketch(p), sketch(p));
                add(rng, common, &mut [&mut first, &mut second]);
                add(rng, a - common, &mut [&mut first]);
                add(rng, b - common, &mut [&mut second]);
                let both = solve(&[&first, &second]).intersection(SetMask::first(2));
                both.interval(CONFIDENCE)
            });
            page += &match common {
                0 => {
                    let upper = mean(intervals.iter().map(|interval| interval.1));
                    format!(" {} |", number(upper.round() as usize))
                }
                _ => {
                    let wide = mean(intervals.iter().map(|&interval| half(interval)));
                    format!(" {} |", rough(wide / common as f64))
                }
            };
        }
        page += "\n";
    }
    page
}

fn widths_of_funnels(
    options: &Options,
    experiment: &mut u64,
    strangers: f64,
    precisions: &[u8],
) -> String {
    /// Of each step, half the widths of the intervals, as parts of the truth.
    struct Widths {
        users: f64,
        conversion: f64,
        overall: f64,
    }
    let columns: Vec<Vec<[Widths; 5]>> = precisions
        .iter()
        .map(|&p| {
            *experiment += 1;
            options.run(*experiment, |rng| {
                let mut steps: Vec<Sketch> = THROUGH.iter().map(|_| sketch(p)).collect();
                for (k, &through) in THROUGH.iter().enumerate() {
                    let further = THROUGH.get(k + 1).copied().unwrap_or(0);
                    let mut all: Vec<&mut Sketch> = steps[..=k].iter_mut().collect();
                    add(rng, through - further, &mut all);
                    if k > 0 {
                        let alone = through as f64 * strangers / (1.0 - strangers);
                        add(rng, alone.round() as usize, &mut [&mut steps[k]]);
                    }
                }
                let joint = solve(&steps.iter().collect::<Vec<_>>());
                let places: Vec<SetMask> = (0..steps.len()).map(SetMask::single).collect();
                std::array::from_fn(|k| {
                    let step = FunnelStep::of(&joint, &places, k, CONFIDENCE);
                    let truth = THROUGH[k] as f64;
                    let part = |figure: Option<Bounded>, truth: f64| {
                        figure.map_or(0.0, |figure| half((figure.lower, figure.upper)) / truth)
                    };
                    Widths {
                        users: part(Some(step.users), truth),
                        conversion: part(
                            step.conversion,
                            truth / THROUGH[k.saturating_sub(1)] as f64,
                        ),
                        overall: part(step.overall, truth / THROUGH[0] as f64),
                    }
                })
            })
        })
        .collect();
    let mut page = table("step, and figure", precisions);
    type Width = fn(&Widths) -> f64;
    let figures: [(&str, Width); 3] = [
        ("`users`", |widths| widths.users),
        ("`conversion`", |widths| widths.conversion),
        ("`overall`", |widths| widths.overall),
    ];
    // The first step is a count like any other.
    for (k, &through) in THROUGH.iter().enumerate().skip(1) {
        for (name, figure) in figures {
            // The second step has one rate, to the first.
            if k == 1 && name == "`overall`" {
                continue;
            }
            page += &match name {
                "`users`" => format!("| {}: {} {name} |", k + 1, number(through)),
                _ => format!("| {}: {name} |", k + 1),
            };
            for trials in &columns {
                let wide = mean(trials.iter().map(|steps| figure(&steps[k])));
                page += &format!(" {} |", rough(wide));
            }
            page += "\n";
        }
    }
    page
}

// ---------------------------------------------------------------------------------------------------

const BEGIN: &str = "<!-- several sets: begin; written by benches/joint.rs -->\n";
const END: &str = "<!-- several sets: end -->\n";

/// Writes what was printed into the page, and the plot beside it.
fn publish(lines: &[Line]) -> Result<(), String> {
    let docs = page::docs();
    let plot = docs.join("accuracy").join("funnel.svg");
    std::fs::write(&plot, funnel_plot(lines)).map_err(|e| format!("{}: {e}", plot.display()))?;
    let printed = PRINTED.lock().expect("nobody panics while printing");
    let measured = format!("```text\n{}\n```\n", printed.trim());
    page::rewrite(&docs.join("accuracy.md"), BEGIN, END, &measured)
}

/// The error of each step by method, on a logarithmic scale from 0.3 to 30 %.
fn funnel_plot(lines: &[Line]) -> String {
    const COLOURS: [&str; 4] = ["#1f5fa8", "#b3541e", "#7a7a7a", "#58a0d8"];
    let x = |step: usize| 70.0 + 110.0 * step as f64;
    let y = |percent: f64| 300.0 - 130.0 * (percent / 0.3).log10();
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 350\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"700\" height=\"350\" fill=\"#fff\"/>\n\
         <text x=\"70\" y=\"20\" font-size=\"14\">Users who did all steps so far: RMSE in %, funnel of \
         five steps</text>\n",
    );
    for percent in [0.3, 1.0, 3.0, 10.0, 30.0] {
        let at = y(percent);
        svg += &format!(
            "<line x1=\"70\" x2=\"510\" y1=\"{at:.0}\" y2=\"{at:.0}\" stroke=\"#ddd\"/>\
             <text x=\"62\" y=\"{:.0}\" text-anchor=\"end\">{percent}</text>\n",
            at + 4.0
        );
    }
    for (step, users) in USERS[0].iter().enumerate() {
        svg += &format!(
            "<text x=\"{:.0}\" y=\"325\" text-anchor=\"middle\">step {}: {users}</text>\n",
            x(step),
            step + 1
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS) {
        let points = line.values.iter().enumerate();
        let points: Vec<String> = points
            .map(|(step, &percent)| format!("{:.1},{:.1}", x(step), y(percent)))
            .collect();
        svg += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"520\" y=\"{:.0}\" fill=\"{colour}\">{}</text>\n",
            points.join(" "),
            y(line.values[STEPS - 1]) + 4.0,
            line.label
        );
    }
    svg + "</svg>\n"
}
