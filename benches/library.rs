//! The sketch as a plain library, beside other crates that count distinct elements.
//!
//! ```text
//! cargo bench -p benches --bench library [-- --trials N] [--rounds N] [--seed S] [--quick]
//! ```
//!
//! Writes the measured part of docs/library.md, and its plot, in about six minutes. Nothing is asserted:
//! times depend on the machine, ratios less so. `--quick` takes few trials and one round, and only prints.
//!
//! * **Times** are measured by criterion, operation by operation: within one operation all crates follow
//!   one another, each round begins with another one of them, and the ratios are medians over the rounds
//!   of what stood side by side in the same round.
//! * **Memory** is what the heap really holds, counted by this program's own allocator, and the size of
//!   the structure itself.
//! * **Errors** are root mean squares over trials with fresh random elements, hashed by each crate's own
//!   hash function. Half of the bytes at twice the variance is no progress, so sketches are compared by
//!   *variance × bits*, which does not depend on the size that was chosen.

mod page;

use cardinality_estimator::CardinalityEstimator;
use criterion::{Bencher, Criterion, SamplingMode, Throughput};
use datasketches::cpc::{CpcSketch, CpcUnion};
use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use datasketches::theta::{
    CompactThetaSketch, ThetaSketch, ThetaSketchBuilder, ThetaUnion, ThetaUnionBuilder,
};
use hyperloglogplus::{HyperLogLog, HyperLogLogPlus};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis_hll::sketch::{HashFamily, Precision, Sketch};
use redis_hll::storage::{Compression, encode};
use serde::Serialize;
use std::fmt::Write as _;
use std::hash::{BuildHasher, DefaultHasher};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wyhash::WyHash;

// ---------------------------------------------------------------------------------------------
// The heap

/// Counts the bytes that each thread holds, as they were asked for: what an allocator adds to that
/// is its own affair.
mod heap {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        static HELD: Cell<isize> = const { Cell::new(0) };
    }

    /// Bytes this thread has asked for and not given back.
    pub fn held() -> isize {
        HELD.get()
    }

    fn add(bytes: isize) {
        HELD.set(HELD.get() + bytes);
    }

    pub struct Counting;

    // SAFETY: everything is passed on to the system's allocator as it came. The counter is initialised
    // at compile time and needs no destructor, so that to touch it allocates nothing.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            add(layout.size() as isize);
            // SAFETY: by the caller.
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            add(layout.size() as isize);
            // SAFETY: by the caller.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            add(size as isize - layout.size() as isize);
            // SAFETY: by the caller.
            unsafe { System.realloc(place, layout, size) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            add(-(layout.size() as isize));
            // SAFETY: by the caller.
            unsafe { System.dealloc(place, layout) }
        }
    }
}

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

// ---------------------------------------------------------------------------------------------
// The crates

/// What can be asked of the result of adding or merging.
trait Count {
    /// Distinct elements. (One of the crates wants to be changed by the question.)
    fn count(&mut self) -> f64;

    /// The form in which it is stored.
    fn stored(&self) -> Vec<u8>;

    /// How many bytes an ideal entropy coder would need, where that can be said.
    fn ideal(&self) -> Option<f64> {
        None
    }
}

/// A sketch, and what becomes of it in a union. Some crates merge into a sketch, others into an object
/// made for the purpose.
trait Counter: Count + Sized {
    type Union;
    type Merged: Count;

    fn new() -> Self;
    fn add(&mut self, element: &[u8]);
    /// A union that has taken this sketch in.
    fn union(&self) -> Self::Union;
    fn merge(union: &mut Self::Union, other: &Self);
    fn merged(union: Self::Union) -> Self::Merged;

    /// This many equal sketches, apart in memory.
    fn copies(elements: &Elements, count: usize) -> Vec<Self>;
}

fn filled<C: Counter>(elements: &Elements) -> C {
    let mut counter = C::new();
    for element in elements.iter() {
        counter.add(element);
    }
    counter
}

fn clones<C: Counter + Clone>(elements: &Elements, count: usize) -> Vec<C> {
    let one: C = filled(elements);
    (0..count).map(|_| one.clone()).collect()
}

/// serde's form in bincode, integers in full width: registers packed in words do not become shorter
/// by a variable one.
fn serde_bytes(value: &impl Serialize) -> Vec<u8> {
    let config = bincode::config::standard().with_fixed_int_encoding();
    bincode::serde::encode_to_vec(value, config).expect("sketches of plain fields")
}

/// This crate.
#[derive(Clone)]
struct Ours<const P: u8>(Sketch);

impl<const P: u8> Count for Ours<P> {
    fn count(&mut self) -> f64 {
        self.0.estimate().value
    }

    fn stored(&self) -> Vec<u8> {
        encode(&self.0, Compression::Zstd)
    }

    /// The entropy of the registers, each by itself, as neighbours know nothing of each other.
    fn ideal(&self) -> Option<f64> {
        let registers = self.0.registers(self.0.precision());
        let mut counts = [0u32; 256];
        for &r in registers.iter() {
            counts[usize::from(r)] += 1;
        }
        let m = registers.len() as f64;
        let used = counts.iter().map(|&n| f64::from(n)).filter(|&n| n > 0.0);
        Some(used.map(|n| n * (m / n).log2()).sum::<f64>() / 8.0)
    }
}

impl<const P: u8> Counter for Ours<P> {
    type Union = Self;
    type Merged = Self;

    fn new() -> Self {
        let p = Precision::new(P).expect("4 to 18");
        Ours(Sketch::new(p, HashFamily::default()))
    }

    #[inline]
    fn add(&mut self, element: &[u8]) {
        self.0.add(element);
    }

    fn union(&self) -> Self {
        self.clone()
    }

    fn merge(union: &mut Self, other: &Self) {
        union.0.merge(&other.0).expect("one hash family");
    }

    fn merged(union: Self) -> Self {
        union
    }

    fn copies(elements: &Elements, count: usize) -> Vec<Self> {
        clones(elements, count)
    }
}

/// `cardinality-estimator`, six bits a register.
type Estimator<const P: usize> = CardinalityEstimator<[u8], WyHash, P, 6>;

impl<const P: usize> Count for Estimator<P> {
    fn count(&mut self) -> f64 {
        self.estimate() as f64
    }

    fn stored(&self) -> Vec<u8> {
        serde_bytes(self)
    }
}

impl<const P: usize> Counter for Estimator<P> {
    type Union = Self;
    type Merged = Self;

    fn new() -> Self {
        CardinalityEstimator::new()
    }

    #[inline]
    fn add(&mut self, element: &[u8]) {
        self.insert(element);
    }

    fn union(&self) -> Self {
        self.clone()
    }

    fn merge(union: &mut Self, other: &Self) {
        CardinalityEstimator::merge(union, other);
    }

    fn merged(union: Self) -> Self {
        union
    }

    fn copies(elements: &Elements, count: usize) -> Vec<Self> {
        clones(elements, count)
    }
}

/// The hash function of the documentation of `hyperloglogplus`, that of the standard library's maps,
/// with fixed keys: sketches of different keys cannot be merged.
#[derive(Clone, Serialize)]
struct SipHash;

impl BuildHasher for SipHash {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }
}

/// `hyperloglogplus`.
#[derive(Clone)]
struct Plus<const P: u8>(HyperLogLogPlus<Vec<u8>, SipHash>);

impl<const P: u8> Count for Plus<P> {
    fn count(&mut self) -> f64 {
        HyperLogLog::count(&mut self.0)
    }

    fn stored(&self) -> Vec<u8> {
        serde_bytes(&self.0)
    }
}

impl<const P: u8> Counter for Plus<P> {
    type Union = Self;
    type Merged = Self;

    fn new() -> Self {
        Plus(HyperLogLogPlus::new(P, SipHash).expect("4 to 18"))
    }

    #[inline]
    fn add(&mut self, element: &[u8]) {
        self.0.insert(element);
    }

    fn union(&self) -> Self {
        self.clone()
    }

    fn merge(union: &mut Self, other: &Self) {
        union.0.merge(&other.0).expect("one precision");
    }

    fn merged(union: Self) -> Self {
        union
    }

    fn copies(elements: &Elements, count: usize) -> Vec<Self> {
        clones(elements, count)
    }
}

/// HLL of `datasketches`, with registers of 4, 6 or 8 bits.
#[derive(Clone)]
struct Hll<const LG_K: u8, const BITS: u8>(HllSketch);

impl<const LG_K: u8, const BITS: u8> Hll<LG_K, BITS> {
    const KIND: HllType = match BITS {
        4 => HllType::Hll4,
        6 => HllType::Hll6,
        _ => HllType::Hll8,
    };
}

impl<const LG_K: u8, const BITS: u8> Count for Hll<LG_K, BITS> {
    fn count(&mut self) -> f64 {
        self.0.estimate()
    }

    fn stored(&self) -> Vec<u8> {
        self.0.serialize()
    }
}

impl<const LG_K: u8, const BITS: u8> Counter for Hll<LG_K, BITS> {
    type Union = HllUnion;
    type Merged = Self;

    fn new() -> Self {
        Hll(HllSketch::new(LG_K, Self::KIND).expect("4 to 21"))
    }

    #[inline]
    fn add(&mut self, element: &[u8]) {
        self.0.update(raw_bytes::from_slice(element));
    }

    fn union(&self) -> HllUnion {
        let mut union = HllUnion::new(LG_K).expect("4 to 21");
        union.update(&self.0);
        union
    }

    fn merge(union: &mut HllUnion, other: &Self) {
        union.update(&other.0);
    }

    fn merged(union: HllUnion) -> Self {
        Hll(union.to_sketch(Self::KIND))
    }

    fn copies(elements: &Elements, count: usize) -> Vec<Self> {
        clones(elements, count)
    }
}

/// CPC of `datasketches`.
#[derive(Clone)]
struct Cpc<const LG_K: u8>(CpcSketch);

impl<const LG_K: u8> Count for Cpc<LG_K> {
    fn count(&mut self) -> f64 {
        self.0.estimate()
    }

    fn stored(&self) -> Vec<u8> {
        self.0.serialize()
    }
}

impl<const LG_K: u8> Counter for Cpc<LG_K> {
    type Union = CpcUnion;
    type Merged = Self;

    fn new() -> Self {
        Cpc(CpcSketch::new(LG_K).expect("4 to 26"))
    }

    #[inline]
    fn add(&mut self, element: &[u8]) {
        self.0.update(raw_bytes::from_slice(element));
    }

    fn union(&self) -> CpcUnion {
        let mut union = CpcUnion::new(LG_K).expect("4 to 26");
        union.update(&self.0).expect("one seed");
        union
    }

    fn merge(union: &mut CpcUnion, other: &Self) {
        union.update(&other.0).expect("one seed");
    }

    fn merged(union: CpcUnion) -> Self {
        Cpc(union.to_sketch())
    }

    fn copies(elements: &Elements, count: usize) -> Vec<Self> {
        clones(elements, count)
    }
}

/// Theta of `datasketches`.
struct Theta<const LG_K: u8>(ThetaSketch);

impl<const LG_K: u8> Count for Theta<LG_K> {
    fn count(&mut self) -> f64 {
        self.0.estimate()
    }

    fn stored(&self) -> Vec<u8> {
        self.0.compact(true).serialize_compressed()
    }
}

impl Count for CompactThetaSketch {
    fn count(&mut self) -> f64 {
        self.estimate()
    }

    fn stored(&self) -> Vec<u8> {
        self.serialize_compressed()
    }
}

impl<const LG_K: u8> Counter for Theta<LG_K> {
    type Union = ThetaUnion;
    type Merged = CompactThetaSketch;

    fn new() -> Self {
        let builder = ThetaSketchBuilder::default().lg_k(LG_K);
        Theta(builder.build().expect("5 to 26"))
    }

    #[inline]
    fn add(&mut self, element: &[u8]) {
        self.0.update(raw_bytes::from_slice(element));
    }

    fn union(&self) -> ThetaUnion {
        let builder = ThetaUnionBuilder::default().lg_k(LG_K);
        let mut union = builder.build().expect("5 to 26");
        union.update(&self.0).expect("one seed");
        union
    }

    fn merge(union: &mut ThetaUnion, other: &Self) {
        union.update(&other.0).expect("one seed");
    }

    fn merged(union: ThetaUnion) -> CompactThetaSketch {
        union.to_sketch(true)
    }

    /// It cannot be cloned.
    fn copies(elements: &Elements, count: usize) -> Vec<Self> {
        (0..count).map(|_| filled(elements)).collect()
    }
}

/// A crate's sketch in one size, and how it is measured.
struct Entry {
    name: &'static str,
    size: &'static str,
    hash: &'static str,
    /// Whether its speed is measured too. The sizes that are make errors of .6 to .9 %.
    timed: bool,
    time: fn(Operation, &Inputs, &mut Meter) -> f64,
    trial: fn(&mut SmallRng) -> Trial,
}

impl Entry {
    const fn new<C: Counter>(
        name: &'static str,
        size: &'static str,
        hash: &'static str,
        timed: bool,
    ) -> Entry {
        Entry {
            name,
            size,
            hash,
            timed,
            time: time::<C>,
            trial: trial::<C>,
        }
    }

    fn is_ours(&self) -> bool {
        self.name == OURS
    }

    fn label(&self) -> String {
        format!("{}, {}", self.name, self.size)
    }
}

const OURS: &str = "redis-hll";
const XXH3: &str = "XXH3-64";
const MURMUR: &str = "MurmurHash3, 128 bits";
const WY: &str = "WyHash";
const SIP: &str = "SipHash-1-3";

/// The first one is what the others are compared with.
const ENTRIES: [Entry; 12] = [
    Entry::new::<Ours<13>>(OURS, "p = 13", XXH3, true),
    Entry::new::<Ours<12>>(OURS, "p = 12", XXH3, false),
    Entry::new::<Ours<14>>(OURS, "p = 14", XXH3, true),
    Entry::new::<Estimator<14>>("cardinality-estimator", "P = 14", WY, true),
    Entry::new::<Plus<14>>("hyperloglogplus", "p = 14", SIP, true),
    Entry::new::<Hll<13, 4>>("datasketches HLL_4", "lg k = 13", MURMUR, false),
    Entry::new::<Hll<14, 4>>("datasketches HLL_4", "lg k = 14", MURMUR, true),
    Entry::new::<Hll<14, 6>>("datasketches HLL_6", "lg k = 14", MURMUR, true),
    Entry::new::<Hll<14, 8>>("datasketches HLL_8", "lg k = 14", MURMUR, true),
    Entry::new::<Cpc<12>>("datasketches CPC", "lg k = 12", MURMUR, false),
    Entry::new::<Cpc<13>>("datasketches CPC", "lg k = 13", MURMUR, true),
    Entry::new::<Theta<14>>("datasketches Theta", "lg k = 14", MURMUR, true),
];

// ---------------------------------------------------------------------------------------------
// Times

/// Strings one after the other in memory, as a program that reads them would have them.
struct Elements {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Elements {
    fn new(strings: impl Iterator<Item = String>) -> Elements {
        let mut elements = Elements {
            bytes: Vec::new(),
            ends: vec![0],
        };
        for string in strings {
            elements.bytes.extend(string.bytes());
            elements.ends.push(elements.bytes.len());
        }
        elements
    }

    fn users(range: std::ops::Range<u64>) -> Elements {
        Elements::new(range.map(|i| format!("user:{i}")))
    }

    fn uuids(rng: &mut SmallRng, count: usize) -> Elements {
        Elements::new((0..count).map(|_| {
            let (a, b) = (rng.next_u64(), rng.next_u64());
            format!(
                "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                a >> 32,
                a >> 16 & 0xffff,
                a & 0xfff,
                b >> 48 & 0x3fff | 0x8000,
                b & 0xffff_ffff_ffff,
            )
        }))
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.ends
            .windows(2)
            .map(|ends| &self.bytes[ends[0]..ends[1]])
    }
}

/// As many elements as a warm sketch has met, and as a growing one grows to.
const GROWN: u64 = 1_000_000;
/// Distinct elements that are added to a warm one over and over: too many for a branch predictor to
/// learn by heart.
const WARM: usize = 1 << 16;
/// Elements in each of the cold sketches.
const COLD_ELEMENTS: u64 = 100_000;
/// Cold sketches: as many as fill this many bytes, several times the largest cache of most machines,
const COLD_BYTES: usize = 512 << 20;
/// but not more of them than this.
const COLD_MOST: usize = 1 << 13;

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Warm,
    WarmUuid,
    Cold,
    Growing,
    Merge,
    Count,
    CountMerged,
}

const OPERATIONS: [Operation; 7] = [
    Operation::Warm,
    Operation::WarmUuid,
    Operation::Cold,
    Operation::Growing,
    Operation::Merge,
    Operation::Count,
    Operation::CountMerged,
];

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Warm => "insert, warm",
            Operation::WarmUuid => "insert, warm, UUIDs",
            Operation::Cold => "insert, cold",
            Operation::Growing => "insert, growing",
            Operation::Merge => "merge",
            Operation::Count => "estimate, added",
            Operation::CountMerged => "estimate, merged",
        }
    }

    /// The most that ours may take of the fastest crate's time, where there is an aim.
    fn aim(self) -> Option<f64> {
        match self {
            Operation::Merge => Some(1.0),
            Operation::Count | Operation::CountMerged => None,
            _ => Some(1.2),
        }
    }
}

struct Inputs {
    users: Elements,
    warm: Elements,
    uuids: Elements,
    cold: Elements,
    /// Shares half of its elements with `cold`.
    other: Elements,
    /// In which order cold sketches are visited: none that a processor could guess.
    order: Vec<usize>,
}

impl Inputs {
    fn new(rng: &mut SmallRng) -> Inputs {
        let mut order: Vec<usize> = (0..COLD_MOST).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
        }
        Inputs {
            users: Elements::users(0..GROWN),
            warm: Elements::users(GROWN / 2..GROWN / 2 + WARM as u64),
            uuids: Elements::uuids(rng, WARM),
            cold: Elements::users(0..COLD_ELEMENTS),
            other: Elements::users(COLD_ELEMENTS / 2..COLD_ELEMENTS / 2 * 3),
            order,
        }
    }
}

/// Samples that criterion takes of one operation of one crate in one round.
const SAMPLES: usize = 15;

/// Criterion, and a name for what comes next.
struct Meter {
    criterion: Criterion,
    group: &'static str,
    id: String,
}

impl Meter {
    /// Nanoseconds of one of the `items` of an iteration: the median of criterion's samples. `work`
    /// returns how long this many iterations took.
    fn measure(&mut self, items: usize, mut work: impl FnMut(u64) -> Duration) -> f64 {
        let mut samples = Vec::new();
        let mut group = self.criterion.benchmark_group(self.group);
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements(items as u64));
        group.bench_function(&self.id, |bencher: &mut Bencher<'_>| {
            bencher.iter_custom(|iterations| {
                let time = work(iterations);
                samples.push(time.as_secs_f64() * 1e9 / (iterations as f64 * items as f64));
                time
            });
        });
        group.finish();
        // What comes before was to warm up.
        let last = samples.len().saturating_sub(SAMPLES);
        median(samples.split_off(last))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

fn stopwatch(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Things that are prepared at a time, so that reading the clock is a small part of what is measured.
const BATCH: u64 = 16;

fn time<C: Counter>(operation: Operation, inputs: &Inputs, meter: &mut Meter) -> f64 {
    match operation {
        Operation::Warm => time_warm::<C>(inputs, &inputs.warm, meter),
        Operation::WarmUuid => time_warm::<C>(inputs, &inputs.uuids, meter),
        Operation::Cold => {
            let before = heap::held();
            let one: C = filled(&inputs.cold);
            let bytes = size_of::<C>() + (heap::held() - before) as usize;
            drop(one);
            let count = (COLD_BYTES / bytes).min(COLD_MOST);
            let mut sketches: Vec<C> = C::copies(&inputs.cold, count);
            let mut users = inputs.users.iter().cycle();
            let order = inputs.order.iter().copied().filter(|&i| i < count);
            let order: Vec<usize> = order.collect();
            meter.measure(count, |iterations| {
                stopwatch(|| {
                    for _ in 0..iterations {
                        for (&i, user) in order.iter().zip(&mut users) {
                            sketches[i].add(black_box(user));
                        }
                    }
                })
            })
        }
        Operation::Growing => meter.measure(inputs.users.len(), |iterations| {
            stopwatch(|| {
                for _ in 0..iterations {
                    black_box(filled::<C>(black_box(&inputs.users)));
                }
            })
        }),
        Operation::Merge => {
            let (one, other): (C, C) = (filled(&inputs.cold), filled(&inputs.other));
            meter.measure(1, |iterations| {
                in_batches(
                    iterations,
                    || one.union(),
                    |union| C::merge(union, black_box(&other)),
                )
            })
        }
        Operation::Count => time_count(filled::<C>(&inputs.cold), meter),
        Operation::CountMerged => {
            let (one, other): (C, C) = (filled(&inputs.cold), filled(&inputs.other));
            // The first estimate of each: a crate may keep what it has worked out, as ours does.
            meter.measure(1, |iterations| {
                in_batches(
                    iterations,
                    || {
                        let mut union = one.union();
                        C::merge(&mut union, &other);
                        C::merged(union)
                    },
                    |merged| {
                        black_box(merged.count());
                    },
                )
            })
        }
    }
}

/// How long the work on so many things takes, without their preparation.
fn in_batches<T>(
    iterations: u64,
    mut prepare: impl FnMut() -> T,
    mut work: impl FnMut(&mut T),
) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let batch = left.min(BATCH);
        let mut things: Vec<T> = (0..batch).map(|_| prepare()).collect();
        total += stopwatch(|| things.iter_mut().for_each(&mut work));
        black_box(things);
        left -= batch;
    }
    total
}

fn time_warm<C: Counter>(inputs: &Inputs, elements: &Elements, meter: &mut Meter) -> f64 {
    let mut sketch: C = filled(&inputs.users);
    meter.measure(elements.len(), |iterations| {
        stopwatch(|| {
            for _ in 0..iterations {
                for element in elements.iter() {
                    sketch.add(black_box(element));
                }
            }
        })
    })
}

fn time_count(mut sketch: impl Count, meter: &mut Meter) -> f64 {
    meter.measure(1, |iterations| {
        stopwatch(|| {
            for _ in 0..iterations {
                black_box(black_box(&mut sketch).count());
            }
        })
    })
}

/// Nanoseconds by operation, then by timed entry, then by round.
type Times = Vec<Vec<Vec<f64>>>;

fn measure_times(options: &Options) -> Times {
    let mut rng = SmallRng::seed_from_u64(options.seed);
    let inputs = Inputs::new(&mut rng);
    let criterion = Criterion::default()
        .sample_size(SAMPLES)
        .nresamples(1_000)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .without_plots();
    let mut meter = Meter {
        criterion,
        group: "",
        id: String::new(),
    };
    let timed: Vec<&Entry> = ENTRIES.iter().filter(|entry| entry.timed).collect();
    let mut times: Times = vec![vec![Vec::new(); timed.len()]; OPERATIONS.len()];
    for round in 0..options.rounds {
        for (operation, times) in OPERATIONS.into_iter().zip(&mut times) {
            eprintln!(
                "round {} of {}: {}",
                round + 1,
                options.rounds,
                operation.name()
            );
            meter.group = operation.name();
            for i in 0..timed.len() {
                let which = (i + round * 2) % timed.len();
                meter.id = format!("{} ({})", timed[which].label(), round + 1);
                times[which].push((timed[which].time)(operation, &inputs, &mut meter));
            }
        }
    }
    times
}

// ---------------------------------------------------------------------------------------------
// Errors and bytes

/// Elements of a trial: with at least 24 to a register everywhere, errors are what they come to in the
/// end.
const TRIAL_ELEMENTS: usize = 400_000;

/// One way to a sketch in one trial.
#[derive(Clone, Copy, Default)]
struct Sample {
    error: f64,
    memory: f64,
    stored: f64,
    ideal: Option<f64>,
}

/// Only added to; merged from two halves.
type Trial = [Sample; 2];

const ADDED: usize = 0;
const MERGED: usize = 1;

fn sample<T: Count>(make: impl FnOnce() -> T) -> Sample {
    let before = heap::held();
    let mut sketch = make();
    let memory = size_of::<T>() as f64 + (heap::held() - before) as f64;
    Sample {
        error: sketch.count() / TRIAL_ELEMENTS as f64 - 1.0,
        memory,
        stored: sketch.stored().len() as f64,
        ideal: sketch.ideal(),
    }
}

fn trial<C: Counter>(rng: &mut SmallRng) -> Trial {
    let mut all = rng.clone();
    let fill = |rng: &mut SmallRng, count: usize| {
        let mut sketch = C::new();
        for _ in 0..count {
            sketch.add(&rng.next_u64().to_le_bytes());
        }
        sketch
    };
    let added = sample(|| fill(&mut all, TRIAL_ELEMENTS));
    let merged = sample(|| {
        let mut union = fill(rng, TRIAL_ELEMENTS / 2).union();
        C::merge(&mut union, &fill(rng, TRIAL_ELEMENTS / 2));
        C::merged(union)
    });
    [added, merged]
}

/// Means over the trials of one entry and one way.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// Relative mean squared error.
    variance: f64,
    memory: f64,
    stored: f64,
    ideal: Option<f64>,
}

impl Figures {
    fn of(samples: impl Iterator<Item = Sample> + Clone) -> Figures {
        let n = samples.clone().count() as f64;
        let mean = |f: fn(&Sample) -> f64| samples.clone().map(|s| f(&s)).sum::<f64>() / n;
        Figures {
            variance: mean(|s| s.error * s.error),
            memory: mean(|s| s.memory),
            stored: mean(|s| s.stored),
            ideal: samples
                .clone()
                .map(|s| s.ideal)
                .sum::<Option<f64>>()
                .map(|sum| sum / n),
        }
    }

    fn in_memory(&self) -> f64 {
        self.variance * 8.0 * self.memory
    }

    fn in_store(&self) -> f64 {
        self.variance * 8.0 * self.stored
    }
}

const THREADS: usize = 2;

/// By entry: added, merged.
fn measure_errors(options: &Options) -> Vec<[Figures; 2]> {
    ENTRIES
        .iter()
        .enumerate()
        .map(|(number, entry)| {
            eprintln!("{} trials of {}", options.trials, entry.label());
            let trials: Vec<Trial> = std::thread::scope(|scope| {
                let work = |thread: usize| {
                    let own = (thread..options.trials).step_by(THREADS);
                    own.map(|t| {
                        let seed = options.seed ^ (number as u64) << 56 ^ (t as u64) << 32;
                        (entry.trial)(&mut SmallRng::seed_from_u64(seed))
                    })
                    .collect::<Vec<Trial>>()
                };
                let threads: Vec<_> = (0..THREADS)
                    .map(|thread| scope.spawn(move || work(thread)))
                    .collect();
                let results = threads.into_iter().map(|t| t.join().expect("no panic"));
                results.flatten().collect()
            });
            [ADDED, MERGED].map(|way| Figures::of(trials.iter().map(move |trial| trial[way])))
        })
        .collect()
}

// ---------------------------------------------------------------------------------------------
// The page

fn thousands(n: f64) -> String {
    let digits = format!("{n:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

fn nanoseconds(n: f64) -> String {
    if n < 100.0 {
        format!("{n:.1}")
    } else {
        thousands(n)
    }
}

fn kept(kept: bool) -> &'static str {
    if kept { "kept" } else { "missed" }
}

fn times_table(times: &Times) -> String {
    let timed: Vec<&Entry> = ENTRIES.iter().filter(|entry| entry.timed).collect();
    let mut table = String::from("| nanoseconds (times ours) |");
    for operation in OPERATIONS {
        let _ = write!(table, " {} |", operation.name());
    }
    let _ = writeln!(table, "\n|---|{}", "---:|".repeat(OPERATIONS.len()));
    for (i, entry) in timed.iter().enumerate() {
        let _ = write!(table, "| {} |", entry.label());
        for operation in times {
            let ratio = match ratio(&operation[i], &operation[0]) {
                tiny if tiny < 0.005 => "< 0.01".to_string(),
                ratio => format!("{ratio:.2}"),
            };
            let own = nanoseconds(median(operation[i].clone()));
            let _ = write!(table, " {own} ({ratio}) |");
        }
        table.push('\n');
    }
    table
}

/// The median over the rounds.
fn ratio(times: &[f64], ours: &[f64]) -> f64 {
    median(times.iter().zip(ours).map(|(a, b)| a / b).collect())
}

fn errors_table(figures: &[[Figures; 2]]) -> String {
    let mut table = String::from(
        "| | hash | way | RMSE % | bytes in memory | stored | variance × bits in memory | stored |\n\
         |---|---|---|---:|---:|---:|---:|---:|\n",
    );
    for (entry, ways) in ENTRIES.iter().zip(figures) {
        for (way, f) in ["added", "merged"].into_iter().zip(ways) {
            let _ = writeln!(
                table,
                "| {} | {} | {way} | {:.3} | {} | {} | {:.2} | {:.2} |",
                entry.label(),
                entry.hash,
                100.0 * f.variance.sqrt(),
                thousands(f.memory),
                thousands(f.stored),
                f.in_memory(),
                f.in_store(),
            );
        }
    }
    table
}

/// What an ideal coder would make of ours.
fn ideal_table(figures: &[[Figures; 2]]) -> String {
    let mut table = String::from(
        "| | way | bits a register, stored | by an ideal coder | variance × bits, stored | by an ideal \
         coder |\n|---|---|---:|---:|---:|---:|\n",
    );
    for (entry, ways) in ENTRIES.iter().zip(figures) {
        for (way, f) in ["added", "merged"].into_iter().zip(ways) {
            let Some(ideal) = f.ideal else { continue };
            let registers = entry.size.rsplit(' ').next().and_then(|p| p.parse().ok());
            let registers = 2f64.powi(registers.expect("p = 4 to 18"));
            let _ = writeln!(
                table,
                "| {} | {way} | {:.2} | {:.2} | {:.2} | {:.2} |",
                entry.label(),
                8.0 * f.stored / registers,
                8.0 * ideal / registers,
                f.in_store(),
                8.0 * ideal * f.variance,
            );
        }
    }
    table
}

type Product = fn(&Figures) -> f64;

const MEMORY: Product = Figures::in_memory;
const STORED: Product = Figures::in_store;

/// A measured product and its relative variance.
struct Known {
    product: f64,
    variance: f64,
}

/// The mean over the sizes of one crate: it hardly depends on them, and several are known better than
/// one. A mean of squared normal errors over n trials has the relative variance 2/n.
fn mean_product(
    figures: &[[Figures; 2]],
    trials: usize,
    name: &str,
    way: usize,
    product: Product,
) -> Known {
    let same = ENTRIES.iter().zip(figures).filter(|(e, _)| e.name == name);
    let products: Vec<f64> = same.map(|(_, ways)| product(&ways[way])).collect();
    let sizes = products.len() as f64;
    Known {
        product: products.iter().sum::<f64>() / sizes,
        variance: 2.0 / (trials as f64 * sizes),
    }
}

/// Whether ours is least; within two standard errors of the difference nobody can say.
fn least(ours: &Known, theirs: &Known) -> &'static str {
    let noise = 2.0 * (ours.variance + theirs.variance).sqrt();
    if (ours.product / theirs.product - 1.0).abs() <= noise {
        "too close to tell"
    } else {
        kept(ours.product < theirs.product)
    }
}

fn aims_table(times: &Times, figures: &[[Figures; 2]], trials: usize) -> String {
    let mut table = String::from("| aim | ours | best of the others | |\n|---|---:|---|---|\n");
    for (way, name) in [(ADDED, "added"), (MERGED, "merged")] {
        for (place, product) in [("in memory", MEMORY), ("stored", STORED)] {
            let of = |name| mean_product(figures, trials, name, way, product);
            let ours = of(OURS);
            let others = ENTRIES.iter().filter(|entry| !entry.is_ours());
            let (best, theirs) = others
                .map(|entry| (entry.name, of(entry.name)))
                .min_by(|a, b| a.1.product.total_cmp(&b.1.product))
                .expect("there are others");
            let _ = writeln!(
                table,
                "| least variance × bits {place}, {name} | {:.2} | {best}: {:.2} | {} |",
                ours.product,
                theirs.product,
                least(&ours, &theirs),
            );
        }
    }
    let timed: Vec<&Entry> = ENTRIES.iter().filter(|entry| entry.timed).collect();
    for (operation, times) in OPERATIONS.into_iter().zip(times) {
        let Some(aim) = operation.aim() else { continue };
        let others = timed.iter().zip(times).filter(|(e, _)| !e.is_ours());
        let (best, least) = others
            .map(|(entry, theirs)| (entry, ratio(theirs, &times[0])))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("there are others");
        let _ = writeln!(
            table,
            "| {}: at most {aim:.1} × the fastest | {:.2} × | {}: {} ns | {} |",
            operation.name(),
            1.0 / least,
            best.label(),
            nanoseconds(least * median(times[0].clone())),
            kept(1.0 / least <= aim),
        );
    }
    table
}

/// Two panels of bars, memory and stored form; a dark bar for sketches only added to, a light one for
/// merged ones. What is longer than a panel is cut: the number stands beside it.
fn product_plot(figures: &[[Figures; 2]]) -> String {
    const LONGEST: f64 = 8.0;
    const WIDTH: f64 = 200.0;
    const ROW: f64 = 38.0;
    const TOP: f64 = 64.0;
    let panels = [
        (190.0, "bits in memory", MEMORY),
        (460.0, "bits stored", STORED),
    ];
    let rows: Vec<_> = ENTRIES
        .iter()
        .zip(figures)
        .filter(|(e, _)| e.timed)
        .collect();
    let height = TOP + ROW * rows.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"14\">Variance × bits: less is better. Dark: only added \
         to; light: merged.</text>\n"
    );
    for (x, title, _) in panels {
        let y = TOP - 14.0;
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{title}</text>");
    }
    for (i, (entry, ways)) in rows.into_iter().enumerate() {
        let y = TOP + ROW * i as f64;
        let colours = if entry.is_ours() {
            ["#1f5fa8", "#8fb4dc"]
        } else {
            ["#7a7a7a", "#c4c4c4"]
        };
        let _ = writeln!(
            svg,
            "<text x=\"180\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <text x=\"180\" y=\"{}\" text-anchor=\"end\" font-size=\"10\">{}</text>",
            y + 12.0,
            entry.name,
            y + 24.0,
            entry.size,
        );
        for (x, _, product) in panels {
            for (way, colour) in colours.into_iter().enumerate() {
                let value = product(&ways[way]);
                let length = WIDTH * value.min(LONGEST) / LONGEST;
                let top = y + 14.0 * way as f64;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{top}\" width=\"{length:.1}\" height=\"12\" \
                     fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\" font-size=\"10\">{value:.2}</text>",
                    x + length + 4.0,
                    top + 10.0,
                );
            }
        }
    }
    svg + "</svg>\n"
}

const BEGIN: &str = "<!-- measured: begin; written by benches/library.rs -->\n";
const END: &str = "<!-- measured: end -->\n";

/// What this was measured on, as far as the system tells.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(std::env::consts::ARCH, |(_, model)| model);
    format!("{model}, {cpus} cores")
}

fn publish(measured: &str, figures: &[[Figures; 2]]) -> Result<(), String> {
    let plot = page::docs().join("library").join("product.svg");
    std::fs::write(&plot, product_plot(figures)).map_err(|e| format!("{}: {e}", plot.display()))?;
    page::rewrite(&page::docs().join("library.md"), BEGIN, END, measured)
}

struct Options {
    trials: usize,
    rounds: usize,
    seed: u64,
    quick: bool,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            trials: 1_000,
            rounds: 3,
            seed: 1,
            quick: false,
        };
        while let Some(word) = words.next() {
            let mut number = || page::number(&word, &mut words);
            match word.as_str() {
                "--trials" => options.trials = (number()? as usize).max(2),
                "--rounds" => options.rounds = (number()? as usize).max(1),
                "--seed" => options.seed = number()?,
                "--quick" => (options.trials, options.rounds, options.quick) = (40, 1, true),
                // Cargo passes it on.
                "--bench" => {}
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            eprintln!("{complaint}");
            eprintln!("usage: library [--trials N] [--rounds N] [--seed S] [--quick]");
            return ExitCode::from(2);
        }
    };
    let times = measure_times(&options);
    let figures = measure_errors(&options);
    let measured = format!(
        "### Aims\n\n{}\n### Times\n\n{}\n### Error and bytes\n\n{}\n### Our stored form\n\n{}\n\
         {} rounds; {} trials of {} elements, seed {}, which know a product to {:.1} % (one standard \
         error); {}\n",
        aims_table(&times, &figures, options.trials),
        times_table(&times),
        errors_table(&figures),
        ideal_table(&figures),
        options.rounds,
        thousands(options.trials as f64),
        thousands(TRIAL_ELEMENTS as f64),
        options.seed,
        100.0 * (2.0 / options.trials as f64).sqrt(),
        machine(),
    );
    println!("{measured}");
    if !options.quick
        && let Err(complaint) = publish(&measured, &figures)
    {
        eprintln!("{complaint}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
