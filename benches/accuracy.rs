//! How far counts lie from the truth, measured.
//!
//! ```text
//! cargo bench -p benches --bench accuracy [-- --trials N] [--seed S] [--quick]
//! ```
//!
//! Simulates streams of distinct elements, compares the counts with the truth at grid points from
//! 10 to 10 million elements, judges the result against what the project promises, and rewrites
//! the measured part of docs/accuracy.md with its plots and its CSV. The hand-written part of that
//! page says what the figures mean.
//!
//! A *trial* is one growing stream. Each element goes to one sketch that is only ever added to,
//! and to one or two of four parts whose union is taken afresh at every grid point. So both ways
//! of counting see the same elements, and their registers must be the same.
//!
//! A line is a *miss*, and the program ends with 1, when the measurement is beyond its bound by more
//! than four of its own standard errors. Beyond it by less is *unclear*: more trials would tell.
//! Trials are independent, but the points of one stream are not, so every standard error of a
//! figure over several points is computed from the trials' means.

mod page;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis_hll::sketch::{Estimate, HashFamily, Method, Precision, Sketch};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const THREADS: usize = 2;
const PRECISIONS: [u8; 5] = [10, 12, 13, 14, 16];
const GRID: [u64; 18] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000, 2_000_000, 10_000_000,
];
/// Only every fifth stream goes on after this many elements: what comes there takes four fifths of
/// the time of a stream.
const MOST_END_AT: u64 = 2_000_000;
const QUICK_LIMIT: u64 = 200_000;
/// From here on a count is called large,
const LARGE: u64 = 100_000;
/// if there are also this many elements to a register. The error is then within 5 % of what it
/// comes to in the end; with fewer, it is smaller.
const LARGE_PER_REGISTER: u64 = 20;
const PARTS: usize = 4;
const CONFIDENCE: f64 = 0.95;

// ---------------------------------------------------------------------------------------------
// The simulation

/// The two ways to come to a sketch.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Added,
    Merged,
}

const WAYS: [Way; 2] = [Way::Added, Way::Merged];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Added => "added",
            Way::Merged => "merged",
        }
    }

    /// The estimator that counts dense sketches made this way.
    fn method(self) -> Method {
        match self {
            Way::Added => Method::Hip,
            Way::Merged => Method::Ml,
        }
    }

    /// The relative standard error that theory gives a large count.
    fn theory(self, p: Precision) -> f64 {
        match self {
            Way::Added => p.added_error(),
            Way::Merged => p.merged_error(),
        }
    }
}

/// One estimate beside the truth.
#[derive(Clone, Copy)]
struct Answer {
    /// estimate / truth - 1
    error: f64,
    covered: bool,
    method: Method,
    bytes: usize,
}

impl Answer {
    fn new(sketch: &Sketch, truth: u64) -> Answer {
        let estimate: Estimate = sketch.estimate();
        let truth = truth as f64;
        let (lower, upper) = estimate.interval(CONFIDENCE);
        Answer {
            error: estimate.value / truth - 1.0,
            covered: (lower..=upper).contains(&truth),
            method: estimate.method,
            bytes: sketch.memory_bytes(),
        }
    }
}

/// The answers of one stream by grid point, then by way. Some streams end early.
type Trial = Vec<[Answer; 2]>;

fn trial(p: Precision, grid: &[u64], mut hash_of: impl FnMut(u64) -> u64) -> Trial {
    let empty = Sketch::new(p, HashFamily::default());
    let mut parts: [Sketch; PARTS] = std::array::from_fn(|_| empty.clone());
    let mut added = empty;
    let mut elements = 0;
    let mut answers = Vec::with_capacity(grid.len());
    for &n in grid {
        for i in elements..n {
            let hash = hash_of(i);
            added.add_hash(hash);
            let part = i as usize % PARTS;
            parts[part].add_hash(hash);
            // A quarter of each part is also in the next one.
            if (i as usize / PARTS).is_multiple_of(4) {
                parts[(part + 1) % PARTS].add_hash(hash);
            }
        }
        elements = n;
        let union = Sketch::union(&parts).expect("one hash family");
        let union = union.expect("more than none");
        assert_eq!(union.registers(p), added.registers(p), "p {p} n {n}");
        answers.push([Answer::new(&added, n), Answer::new(&union, n)]);
    }
    answers
}

/// Runs `trials` of them on [`THREADS`] threads; the result does not depend on how many those are.
fn simulate(trials: usize, one: impl Fn(usize) -> Trial + Sync) -> Vec<Trial> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let t = next.fetch_add(1, Ordering::Relaxed);
            if t >= trials {
                break done;
            }
            done.push((t, one(t)));
        }
    };
    let mut all: Vec<(usize, Trial)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let results = threads.into_iter().map(|t| t.join().expect("no panic"));
        results.flatten().collect()
    });
    all.sort_unstable_by_key(|&(t, _)| t);
    all.into_iter().map(|(_, trial)| trial).collect()
}

/// Elements as random 64-bit hashes: what a good hash function makes of any elements.
fn random_stream(p: Precision, grid: &[u64], seed: u64, t: usize) -> Trial {
    let stream = seed ^ u64::from(p.bits()) << 48 ^ (t as u64) << 16;
    let mut rng = SmallRng::seed_from_u64(stream);
    let points = if t.is_multiple_of(5) {
        grid.len()
    } else {
        grid.partition_point(|&n| n <= MOST_END_AT)
    };
    trial(p, &grid[..points], |_| rng.next_u64())
}

/// Real strings, hashed as `HLL.ADD` hashes them.
struct Shape {
    name: &'static str,
    write: fn(&mut Vec<u8>, u64),
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "`user:<i>`",
        write: |bytes, i| write_text(bytes, format_args!("user:{i}")),
    },
    Shape {
        name: "`i` as 8 bytes, lowest first",
        write: |bytes, i| bytes.extend_from_slice(&i.to_le_bytes()),
    },
    Shape {
        name: "IPv4 addresses `10.a.b.c` and up",
        write: |bytes, i| {
            let [a, b, c, d] = (i as u32).wrapping_add(10 << 24).to_be_bytes();
            write_text(bytes, format_args!("{a}.{b}.{c}.{d}"));
        },
    },
    Shape {
        name: "`https://shop.example/item/<i>?from=newsletter`",
        write: |bytes, i| {
            write_text(
                bytes,
                format_args!("https://shop.example/item/{i}?from=newsletter"),
            );
        },
    },
];

fn write_text(bytes: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    std::io::Write::write_fmt(bytes, text).expect("writing to memory");
}

const STRING_GRID: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Every trial takes the next block of consecutive numbers.
fn string_stream(shape: &Shape, grid: &[u64], t: usize) -> Trial {
    let first = t as u64 * STRING_GRID[STRING_GRID.len() - 1];
    let mut element = Vec::new();
    trial(Precision::DEFAULT, grid, |i| {
        element.clear();
        (shape.write)(&mut element, first + i);
        HashFamily::default().hash(&element)
    })
}

// ---------------------------------------------------------------------------------------------
// Figures

/// A measured figure and its standard error.
#[derive(Clone, Copy)]
struct Figure {
    value: f64,
    noise: f64,
}

impl Figure {
    /// The mean over trials.
    fn mean(values: impl Iterator<Item = f64> + Clone) -> Figure {
        let trials = values.clone().count() as f64;
        let value = values.clone().sum::<f64>() / trials;
        let variance = values.map(|v| (v - value).powi(2)).sum::<f64>() / (trials - 1.0).max(1.0);
        Figure {
            value,
            noise: (variance / trials).sqrt(),
        }
    }

    fn root(self) -> Figure {
        let value = self.value.sqrt();
        Figure {
            value,
            noise: if value > 0.0 {
                self.noise / (2.0 * value)
            } else {
                0.0
            },
        }
    }
}

/// The trials of one precision.
struct Run {
    p: Precision,
    grid: Vec<u64>,
    trials: Vec<Trial>,
}

impl Run {
    fn answers(&self, point: usize, way: Way) -> impl Iterator<Item = Answer> + Clone {
        let there = self.trials.iter().filter_map(move |t| t.get(point));
        there.map(move |answers| answers[way as usize])
    }

    /// Whether all trials counted this point by the estimator of dense sketches, not by tokens.
    fn dense(&self, point: usize, way: Way) -> bool {
        self.answers(point, way).all(|a| a.method == way.method())
    }

    /// The mean over trials of the mean of `f` over those of these points that the trial reached.
    fn pool(&self, points: &[usize], way: Way, f: impl Fn(f64) -> f64 + Copy) -> Figure {
        Figure::mean(self.trials.iter().filter_map(move |trial| {
            let reached = points.iter().filter_map(|&i| trial.get(i));
            let values: Vec<f64> = reached.map(|a| f(a[way as usize].error)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        }))
    }

    fn rmse(&self, points: &[usize], way: Way) -> Figure {
        self.pool(points, way, |e| e * e).root()
    }

    fn bias(&self, points: &[usize], way: Way) -> Figure {
        self.pool(points, way, |e| e)
    }

    /// The share of intervals that hold the truth. Its noise is that of a true share of 95 %.
    fn cover(&self, point: usize, way: Way) -> Figure {
        let covered = self.answers(point, way).map(|a| f64::from(a.covered));
        let trials = covered.clone().count() as f64;
        Figure {
            value: Figure::mean(covered).value,
            noise: (CONFIDENCE * (1.0 - CONFIDENCE) / trials).sqrt(),
        }
    }

    fn bytes(&self, point: usize) -> f64 {
        Figure::mean(self.answers(point, Way::Added).map(|a| a.bytes as f64)).value
    }

    /// The error that a share `q` of the trials stays below.
    fn quantile(&self, point: usize, way: Way, q: f64) -> f64 {
        let mut errors: Vec<f64> = self.answers(point, way).map(|a| a.error).collect();
        errors.sort_unstable_by(f64::total_cmp);
        errors[((errors.len() - 1) as f64 * q).round() as usize]
    }

    fn points(&self, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.grid.len()).filter(|&i| wanted(i)).collect()
    }

    fn sparse_points(&self) -> Vec<usize> {
        self.points(|i| self.grid[i] < self.p.max_tokens() as u64)
    }

    fn large_points(&self) -> Vec<usize> {
        let per_register = LARGE_PER_REGISTER * self.p.registers() as u64;
        self.points(|i| self.grid[i] >= LARGE.max(per_register))
    }

    /// Dense, but not yet large.
    fn rising_points(&self, way: Way) -> Vec<usize> {
        let large = self.large_points();
        self.points(|i| self.dense(i, way) && !large.contains(&i))
    }
}

// ---------------------------------------------------------------------------------------------
// The verdict

/// Standard errors by which a figure may break its bound and still be no miss. There are 55 lines, and
/// those about cover are extremes of up to thirteen rows: three standard errors would happen by chance.
const CHANCE: f64 = 4.0;

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Pass,
    Unclear,
    Miss,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Unclear => "unclear",
            Verdict::Miss => "miss",
        }
    }

    fn of(figure: Figure, lowest: f64, highest: f64) -> Verdict {
        let beyond = (figure.value - highest).max(lowest - figure.value);
        if beyond <= 0.0 {
            Verdict::Pass
        } else if beyond <= CHANCE * figure.noise {
            Verdict::Unclear
        } else {
            Verdict::Miss
        }
    }
}

/// One line of the verdict. All numbers in percent.
struct Line {
    promise: String,
    figure: Figure,
    bound: String,
    verdict: Verdict,
}

/// The largest RMSE in percent that is accepted for large counts. Where no figure is promised, 4.5 %
/// more than theory gives.
fn largest_rmse(p: Precision, way: Way) -> f64 {
    match (p.bits(), way) {
        (13, Way::Added) => 0.76,
        (13, Way::Merged) => 0.88,
        (14, Way::Added) => 0.54,
        (14, Way::Merged) => 0.62,
        _ => 104.5 * way.theory(p),
    }
}

fn percent(figure: Figure) -> Figure {
    Figure {
        value: 100.0 * figure.value,
        noise: 100.0 * figure.noise,
    }
}

fn judge(run: &Run) -> Vec<Line> {
    let p = run.p;
    let mut lines = Vec::new();
    let large = run.large_points();
    for way in WAYS {
        let name = way.name();
        if !large.is_empty() {
            let highest = largest_rmse(p, way);
            let figure = percent(run.rmse(&large, way));
            lines.push(Line {
                promise: format!("p = {p}, {name}: RMSE of large counts"),
                figure,
                bound: format!("≤ {highest:.2}"),
                verdict: Verdict::of(figure, 0.0, highest),
            });
        }
        let ranges = [
            ("of large counts", large.clone()),
            ("before", run.rising_points(way)),
        ];
        for (range, points) in ranges {
            if points.is_empty() {
                continue;
            }
            let figure = percent(run.bias(&points, way));
            lines.push(Line {
                promise: format!("p = {p}, {name}: bias {range}"),
                figure,
                bound: "-0.1 to 0.1".to_string(),
                verdict: Verdict::of(figure, -0.1, 0.1),
            });
        }
        let dense = run.points(|i| run.dense(i, way));
        let mut covers: Vec<Figure> = dense.iter().map(|&i| percent(run.cover(i, way))).collect();
        covers.sort_unstable_by(|a, b| a.value.total_cmp(&b.value));
        for (end, figure) in [("lowest", covers.first()), ("highest", covers.last())] {
            if let Some(&figure) = figure {
                lines.push(Line {
                    promise: format!("p = {p}, {name}: {end} cover of a 95 % interval"),
                    figure,
                    bound: "92 to 98".to_string(),
                    verdict: Verdict::of(figure, 92.0, 98.0),
                });
            }
        }
    }
    let sparse = run.sparse_points();
    let figure = WAYS
        .map(|way| percent(run.pool(&sparse, way, f64::abs)))
        .into_iter()
        .max_by(|a, b| a.value.total_cmp(&b.value))
        .expect("two ways");
    lines.push(Line {
        promise: format!("p = {p}, both: mean error below m/4 elements"),
        figure,
        bound: "≤ 0.01".to_string(),
        verdict: Verdict::of(figure, 0.0, 0.01),
    });
    lines
}

// ---------------------------------------------------------------------------------------------
// Tables

/// 1234567 as 1,234,567.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn verdict_table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| what, in percent | measured | ± noise | bound | |\n|---|---:|---:|---:|---|\n",
    );
    for line in lines {
        let Line {
            promise,
            figure,
            bound,
            verdict,
        } = line;
        let digits = if promise.contains("cover") { 1 } else { 4 };
        writeln!(
            text,
            "| {promise} | {:.digits$} | {:.digits$} | {bound} | {} |",
            figure.value,
            figure.noise,
            verdict.name()
        )
        .expect("writing to a string");
    }
    text
}

fn precision_table(run: &Run) -> String {
    let mut text = String::from(
        "| n | bytes in memory | added: RMSE % | bias % | cover % | by | merged: RMSE % | bias % | cover % | by |\n\
         |---:|---:|---:|---:|---:|---|---:|---:|---:|---|\n",
    );
    for (i, &n) in run.grid.iter().enumerate() {
        write!(
            text,
            "| {} | {} |",
            grouped(n),
            grouped(run.bytes(i) as u64)
        )
        .expect("writing to a string");
        text += &figures(run, i);
        text.push('\n');
    }
    text
}

/// RMSE, bias, cover and method for both ways.
fn figures(run: &Run, point: usize) -> String {
    let mut text = String::new();
    for way in WAYS {
        let method = if run.dense(point, way) {
            way.method().name()
        } else {
            "tokens"
        };
        write!(
            text,
            " {:.3} | {:+.3} | {:.1} | {method} |",
            100.0 * run.rmse(&[point], way).value,
            100.0 * run.bias(&[point], way).value,
            100.0 * run.cover(point, way).value,
        )
        .expect("writing to a string");
    }
    text
}

fn summary_table(runs: &[Run]) -> String {
    let mut text = String::from(
        "| p | bytes of registers | exact below | added: RMSE % | theory | merged: RMSE % | theory |\n\
         |---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for run in runs {
        let p = run.p;
        write!(
            text,
            "| {p} | {} | {} |",
            grouped(p.registers() as u64),
            grouped(p.max_tokens() as u64)
        )
        .expect("writing to a string");
        for way in WAYS {
            let large = run.large_points();
            if large.is_empty() {
                text.push_str(" | |");
                continue;
            }
            let figure = percent(run.rmse(&large, way));
            let theory = 100.0 * way.theory(p);
            write!(
                text,
                " {:.3} ± {:.3} | {theory:.3} |",
                figure.value, figure.noise
            )
            .expect("writing to a string");
        }
        text.push('\n');
    }
    text
}

fn string_table(runs: &[(&Shape, Run)]) -> String {
    let mut text = String::from(
        "| elements | n | added: RMSE % | bias % | cover % | by | merged: RMSE % | bias % | cover % | by |\n\
         |---|---:|---:|---:|---:|---|---:|---:|---:|---|\n",
    );
    for (shape, run) in runs {
        for (i, &n) in run.grid.iter().enumerate() {
            writeln!(
                text,
                "| {} | {} |{}",
                shape.name,
                grouped(n),
                figures(run, i)
            )
            .expect("writing to a string");
        }
    }
    text
}

fn csv(runs: &[Run]) -> String {
    let mut text =
        String::from("p,way,n,trials,rmse,rmse_noise,bias,bias_noise,cover,q025,q975,bytes,by\n");
    for run in runs {
        for way in WAYS {
            for (i, &n) in run.grid.iter().enumerate() {
                let rmse = run.rmse(&[i], way);
                let bias = run.bias(&[i], way);
                let method = if run.dense(i, way) {
                    way.method().name()
                } else {
                    "tokens"
                };
                writeln!(
                    text,
                    "{},{},{n},{},{:.7},{:.7},{:.7},{:.7},{:.4},{:.7},{:.7},{:.0},{method}",
                    run.p,
                    way.name(),
                    run.answers(i, way).count(),
                    rmse.value,
                    rmse.noise,
                    bias.value,
                    bias.noise,
                    run.cover(i, way).value,
                    run.quantile(i, way, 0.025),
                    run.quantile(i, way, 0.975),
                    run.bytes(i),
                )
                .expect("writing to a string");
            }
        }
    }
    text
}

// ---------------------------------------------------------------------------------------------
// Plots

mod plot {
    //! Line plots as SVG, by hand.

    use std::fmt::Write as _;

    const WIDTH: f64 = 760.0;
    const HEIGHT: f64 = 400.0;
    const LEFT: f64 = 66.0;
    const RIGHT: f64 = 600.0;
    const TOP: f64 = 44.0;
    const BOTTOM: f64 = 346.0;

    pub enum Scale {
        Linear,
        Log,
    }

    pub struct Axis {
        pub name: &'static str,
        pub scale: Scale,
        pub from: f64,
        pub to: f64,
        pub ticks: Vec<(f64, String)>,
    }

    impl Axis {
        /// 0 at `from`, 1 at `to`.
        fn fraction(&self, value: f64) -> f64 {
            match self.scale {
                Scale::Linear => (value - self.from) / (self.to - self.from),
                Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
            }
        }
    }

    pub struct Plot {
        x: Axis,
        y: Axis,
        body: String,
        legend: Vec<String>,
    }

    impl Plot {
        pub fn new(title: &str, x: Axis, y: Axis) -> Plot {
            let mut plot = Plot {
                x,
                y,
                body: String::new(),
                legend: Vec::new(),
            };
            let middle = (TOP + BOTTOM) / 2.0;
            let centre = (LEFT + RIGHT) / 2.0;
            plot.text(LEFT, 24.0, "start", 15, title);
            plot.text(centre, BOTTOM + 40.0, "middle", 12, plot.x.name);
            let _ = writeln!(
                plot.body,
                "<text x=\"18\" y=\"{middle}\" font-size=\"12\" text-anchor=\"middle\" \
                 transform=\"rotate(-90 18 {middle})\">{}</text>",
                plot.y.name
            );
            for (value, label) in plot.x.ticks.clone() {
                let x = plot.place(value, plot.y.from).0;
                plot.grid_line((x, TOP), (x, BOTTOM));
                plot.text(x, BOTTOM + 18.0, "middle", 11, &label);
            }
            for (value, label) in plot.y.ticks.clone() {
                let y = plot.place(plot.x.from, value).1;
                plot.grid_line((LEFT, y), (RIGHT, y));
                plot.text(LEFT - 8.0, y + 4.0, "end", 11, &label);
            }
            plot
        }

        fn place(&self, x: f64, y: f64) -> (f64, f64) {
            (
                LEFT + self.x.fraction(x).clamp(0.0, 1.0) * (RIGHT - LEFT),
                BOTTOM - self.y.fraction(y).clamp(0.0, 1.0) * (BOTTOM - TOP),
            )
        }

        fn text(&mut self, x: f64, y: f64, anchor: &str, size: u32, text: &str) {
            let _ = writeln!(
                self.body,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\">{text}</text>"
            );
        }

        fn grid_line(&mut self, a: (f64, f64), b: (f64, f64)) {
            let _ = writeln!(
                self.body,
                "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#ddd\"/>",
                a.0, a.1, b.0, b.1
            );
        }

        /// The path through these points, `M` first and `L` after.
        fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
            let mut path = String::new();
            for (i, (x, y)) in points.enumerate() {
                let (x, y) = self.place(x, y);
                let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
            }
            path
        }

        pub fn line(&mut self, points: &[(f64, f64)], style: &str) {
            let path = self.path(points.iter().copied());
            let _ = writeln!(self.body, "<path d=\"{path}\" fill=\"none\" {style}/>");
        }

        /// The area between two lines over the same x.
        pub fn area(&mut self, low: &[(f64, f64)], high: &[(f64, f64)], style: &str) {
            let path = self.path(low.iter().chain(high.iter().rev()).copied());
            let _ = writeln!(self.body, "<path d=\"{path}Z\" stroke=\"none\" {style}/>");
        }

        pub fn legend(&mut self, style: &str, name: &str) {
            let y = TOP + 8.0 + 20.0 * self.legend.len() as f64;
            let x = RIGHT + 16.0;
            self.legend.push(format!(
                "<path d=\"M{x} {y}h24\" fill=\"none\" {style}/>\n\
                 <text x=\"{}\" y=\"{}\" font-size=\"12\">{name}</text>\n",
                x + 32.0,
                y + 4.0
            ));
        }

        pub fn svg(&self) -> String {
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
                 font-family=\"sans-serif\" fill=\"#222\">\n\
                 <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
                 {}{}</svg>\n",
                self.body,
                self.legend.concat()
            )
        }
    }
}

use plot::{Axis, Plot, Scale};

/// Colours that people with any kind of colour vision can tell apart (Okabe and Ito).
const COLOURS: [&str; 5] = ["#D55E00", "#E69F00", "#009E73", "#0072B2", "#CC79A7"];

fn stroke(colour: &str, way: Way) -> String {
    let dash = match way {
        Way::Added => "",
        Way::Merged => " stroke-dasharray=\"6 3\"",
    };
    format!("stroke=\"{colour}\" stroke-width=\"2\"{dash}")
}

fn elements_axis(grid: &[u64]) -> Axis {
    let labels = [
        (1e1, "10"),
        (1e2, "100"),
        (1e3, "1,000"),
        (1e4, "10,000"),
        (1e5, "100,000"),
        (1e6, "1 million"),
        (1e7, "10 million"),
    ];
    let to = grid[grid.len() - 1] as f64;
    let ticks = labels.into_iter().filter(|&(n, _)| n <= to);
    Axis {
        name: "distinct elements",
        scale: Scale::Log,
        from: grid[0] as f64,
        to,
        ticks: ticks.map(|(n, label)| (n, label.to_string())).collect(),
    }
}

/// The points of one line: those that `wanted`, at the height `value` gives.
fn series(
    run: &Run,
    wanted: impl Fn(usize) -> bool,
    value: impl Fn(usize) -> f64,
) -> Vec<(f64, f64)> {
    let points = run.points(wanted).into_iter();
    points.map(|i| (run.grid[i] as f64, value(i))).collect()
}

fn legend_of_precisions(plot: &mut Plot, runs: &[Run]) {
    for (run, colour) in runs.iter().zip(COLOURS) {
        plot.legend(&stroke(colour, Way::Added), &format!("p = {}", run.p));
    }
}

fn legend_of_ways(plot: &mut Plot) {
    plot.legend(&stroke("#222", Way::Added), "only added to");
    plot.legend(&stroke("#222", Way::Merged), "merged");
}

fn error_plot(runs: &[Run]) -> String {
    let ticks = [0.1, 0.2, 0.5, 1.0, 2.0, 4.0];
    let y = Axis {
        name: "RMSE, %",
        scale: Scale::Log,
        from: 0.1,
        to: 4.0,
        ticks: ticks.map(|t| (t, t.to_string())).to_vec(),
    };
    let title = "Error of dense sketches";
    let mut plot = Plot::new(title, elements_axis(&runs[0].grid), y);
    for (run, colour) in runs.iter().zip(COLOURS) {
        for way in WAYS {
            let line = series(
                run,
                |i| run.dense(i, way),
                |i| 100.0 * run.rmse(&[i], way).value,
            );
            plot.line(&line, &stroke(colour, way));
        }
    }
    legend_of_precisions(&mut plot, runs);
    legend_of_ways(&mut plot);
    plot.svg()
}

/// Where 95 of 100 counts lie, at the default precision.
fn spread_plot(run: &Run) -> String {
    let ticks = [
        (-2.0, "-2"),
        (-1.0, "-1"),
        (0.0, "0"),
        (1.0, "+1"),
        (2.0, "+2"),
    ];
    let y = Axis {
        name: "distance from the truth, %",
        scale: Scale::Linear,
        from: -2.5,
        to: 2.5,
        ticks: ticks.map(|(t, label)| (t, label.to_string())).to_vec(),
    };
    let title = format!("Where 95 of 100 counts lie, p = {}", run.p);
    let mut plot = Plot::new(&title, elements_axis(&run.grid), y);
    let line = |way, q| series(run, |_| true, |i| 100.0 * run.quantile(i, way, q));
    let (added, merged) = (COLOURS[3], COLOURS[1]);
    for (way, colour) in [(Way::Merged, merged), (Way::Added, added)] {
        let (low, high) = (line(way, 0.025), line(way, 0.975));
        plot.area(
            &low,
            &high,
            &format!("fill=\"{colour}\" fill-opacity=\"0.25\""),
        );
        plot.line(&low, &stroke(colour, way));
        plot.line(&high, &stroke(colour, way));
    }
    plot.legend(&stroke(added, Way::Added), "only added to");
    plot.legend(&stroke(merged, Way::Merged), "merged");
    plot.svg()
}

fn cover_plot(runs: &[Run]) -> String {
    let ticks = [90.0, 92.0, 94.0, 95.0, 96.0, 98.0, 100.0];
    let y = Axis {
        name: "intervals that hold the truth, %",
        scale: Scale::Linear,
        from: 90.0,
        to: 100.0,
        ticks: ticks.map(|t| (t, t.to_string())).to_vec(),
    };
    let title = "Cover of the 95 % interval, dense sketches";
    let mut plot = Plot::new(title, elements_axis(&runs[0].grid), y);
    for (run, colour) in runs.iter().zip(COLOURS) {
        for way in WAYS {
            let line = series(
                run,
                |i| run.dense(i, way),
                |i| 100.0 * run.cover(i, way).value,
            );
            plot.line(&line, &stroke(colour, way));
        }
    }
    legend_of_precisions(&mut plot, runs);
    legend_of_ways(&mut plot);
    plot.svg()
}

fn memory_plot(runs: &[Run]) -> String {
    let ticks = [
        (64.0, "64"),
        (256.0, "256"),
        (1024.0, "1 Ki"),
        (4096.0, "4 Ki"),
        (16384.0, "16 Ki"),
        (65536.0, "64 Ki"),
    ];
    let y = Axis {
        name: "bytes in memory",
        scale: Scale::Log,
        from: 64.0,
        to: 131_072.0,
        ticks: ticks.map(|(t, label)| (t, label.to_string())).to_vec(),
    };
    let mut plot = Plot::new("Memory of one sketch", elements_axis(&runs[0].grid), y);
    for (run, colour) in runs.iter().zip(COLOURS) {
        let line = series(run, |_| true, |i| run.bytes(i));
        plot.line(&line, &stroke(colour, Way::Added));
    }
    legend_of_precisions(&mut plot, runs);
    plot.svg()
}

// ---------------------------------------------------------------------------------------------
// The program

struct Options {
    trials: usize,
    seed: u64,
    quick: bool,
}

const USAGE: &str =
    "usage: cargo bench -p benches --bench accuracy [-- [--trials N] [--seed S] [--quick]]

  --trials N   streams per precision; default 300, with --quick 60
  --seed S     of the random hashes; default 1
  --quick      up to 200,000 elements only, and no file is written";

fn options() -> Result<Options, String> {
    let mut trials = None;
    let mut options = Options {
        trials: 0,
        seed: 1,
        quick: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse::<u64>()
                .map_err(|_| format!("{argument} needs a whole number"))
        };
        match argument.as_str() {
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--trials" => trials = Some(number()?.max(2) as usize),
            "--seed" => options.seed = number()?,
            "--quick" => options.quick = true,
            _ => return Err(USAGE.to_string()),
        }
    }
    options.trials = trials.unwrap_or(if options.quick { 60 } else { 300 });
    Ok(options)
}

const BEGIN: &str = "<!-- measured: begin; written by benches/accuracy.rs -->\n";
const END: &str = "<!-- measured: end -->\n";

fn publish(runs: &[Run], measured: &str) -> Result<(), String> {
    let docs = page::docs();
    let folder = docs.join("accuracy");
    let at_default = runs.iter().find(|run| run.p == Precision::DEFAULT);
    let at_default = at_default.expect("the default precision is measured");
    let files = [
        ("accuracy.csv", csv(runs)),
        ("error.svg", error_plot(runs)),
        ("spread.svg", spread_plot(at_default)),
        ("cover.svg", cover_plot(runs)),
        ("memory.svg", memory_plot(runs)),
    ];
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    for (name, content) in files {
        std::fs::write(folder.join(name), content).map_err(|e| format!("{name}: {e}"))?;
    }
    page::rewrite(&docs.join("accuracy.md"), BEGIN, END, measured)
}

fn run(options: &Options) -> Result<Vec<Line>, String> {
    let start = Instant::now();
    let limit = if options.quick { QUICK_LIMIT } else { u64::MAX };
    let up_to_limit = |grid: &[u64]| -> Vec<u64> {
        let grid = grid.iter().copied();
        grid.filter(|&n| n <= limit).collect()
    };
    let grid = up_to_limit(&GRID);
    let mut runs = Vec::new();
    for p in PRECISIONS {
        let p = Precision::new(p).expect("4 to 18");
        let trials = simulate(options.trials, |t| random_stream(p, &grid, options.seed, t));
        eprintln!("p = {p}: {:.0} s", start.elapsed().as_secs_f64());
        runs.push(Run {
            p,
            grid: grid.clone(),
            trials,
        });
    }
    let grid = up_to_limit(&STRING_GRID);
    let mut strings = Vec::new();
    for shape in &SHAPES {
        let trials = simulate(options.trials.min(300), |t| string_stream(shape, &grid, t));
        let run = Run {
            p: Precision::DEFAULT,
            grid: grid.clone(),
            trials,
        };
        strings.push((shape, run));
    }
    eprintln!("strings: {:.0} s", start.elapsed().as_secs_f64());

    let lines: Vec<Line> = runs.iter().flat_map(judge).collect();
    let mut measured = format!(
        "\nMade by `cargo bench -p benches --bench accuracy -- --trials {} --seed {}`.\n\n\
         ### Large counts\n\n{}\n### Promises\n\n{}\n",
        options.trials,
        options.seed,
        summary_table(&runs),
        verdict_table(&lines)
    );
    for run in &runs {
        let heading = format!(
            "### p = {}: {} registers",
            run.p,
            grouped(run.p.registers() as u64)
        );
        measured += &format!("{heading}\n\n{}\n", precision_table(run));
    }
    measured += &format!(
        "### Real strings, p = {}\n\n{} trials for each kind of element, each with its own block of consecutive `i`.\n\n{}\n",
        Precision::DEFAULT,
        options.trials.min(300),
        string_table(&strings)
    );
    println!("{measured}");
    if !options.quick {
        publish(&runs, &measured)?;
    }
    Ok(lines)
}

fn main() -> ExitCode {
    let result = options().and_then(|options| run(&options));
    match result {
        Ok(lines) => {
            let count = |verdict| lines.iter().filter(|l| l.verdict == verdict).count();
            let missed = count(Verdict::Miss);
            println!(
                "{} PASS, {} unclear, {missed} miss",
                count(Verdict::Pass),
                count(Verdict::Unclear)
            );
            ExitCode::from(u8::from(missed > 0))
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}
