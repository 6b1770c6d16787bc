//! Maximizing the likelihood.
//!
//! Fisher scoring in θ = ln λ: with the gradient g and the information I in units of λ, a step
//! solves (I + damping) Δθ = g. The damping falls while the likelihood rises and grows when it does
//! not (Levenberg and Marquardt). Three sets and more are grown one at a time: the regions of the
//! first k-1 sets are solved, each is split by the next set in proportion to its size, and the
//! regions that turn out to be empty are left out until the end, where each gets a second hearing.

use super::cells::Cells;
use super::likelihood::{Evaluation, Evidence, Mask, Model};
use super::linear::Cholesky;

/// The least λ of a region, as a fraction of the smallest set it lies in. Not zero, because θ must
/// stay finite, and because every observation must stay possible.
const FLOOR: f64 = 1e-7;

/// The most λ may be: no universe of 64-bit hashes has more elements.
const CEILING: f64 = 18_446_744_073_709_551_616.0;

/// A region this many floors small is left out while sets are still being added.
const NEGLIGIBLE: f64 = 50.0;

/// A region with next to nothing in it is judged by what this fraction of the union would mean.
const TRACE: f64 = 1e-4;

/// Bounds the work on registers that no set ever made; real ones take 5 to 20 rounds.
const MAX_ROUNDS: usize = 60;

/// How well a maximum must be met: the largest gradient, in standard deviations.
#[derive(Clone, Copy)]
struct Tolerance(f64);

const PAIR: Tolerance = Tolerance(1e-3);
const MANY: Tolerance = Tolerance(2e-2);

/// A gain of log L below this ends the search too.
const NO_GAIN: f64 = 1e-3;

/// The maximum.
pub(super) struct Solution {
    /// λ by region mask; place 0 is unused.
    pub lam: Vec<f64>,
    /// For the variances: regions, the unit each one's information is in, its Cholesky factor.
    pub regions: Vec<Mask>,
    pub scale: Vec<f64>,
    pub factor: Cholesky,
    /// Rounds of scoring, for whoever watches the cost.
    pub rounds: usize,
}

/// λ of all regions and what bounds them.
struct State {
    lam: Vec<f64>,
    floor: Vec<f64>,
    /// The smallest set of each region.
    room: Vec<f64>,
    rounds: usize,
}

impl State {
    fn new(sizes: &[f64]) -> State {
        let room: Vec<f64> = (0..1 << sizes.len())
            .map(|t: Mask| {
                let members = sizes.iter().enumerate().filter(|(s, _)| t >> s & 1 == 1);
                members.map(|(_, &size)| size).fold(CEILING, f64::min)
            })
            .collect();
        let mut floor: Vec<f64> = room.iter().map(|room| FLOOR * room).collect();
        floor[0] = 0.0;
        State {
            lam: floor.clone(),
            floor,
            room,
            rounds: 0,
        }
    }

    fn union(&self) -> f64 {
        self.lam.iter().sum()
    }

    /// The unit of a region's information where its own λ would be too small a one.
    fn scale(&self, region: Mask) -> f64 {
        (TRACE * self.union())
            .min(self.room[region])
            .max(self.lam[region])
    }
}

/// The most likely regions of sets of about these sizes (positive, finite).
pub(super) fn solve(cells: Cells, sizes: &[f64]) -> Solution {
    let sets = sizes.len();
    let mut prefixes = vec![cells];
    while prefixes[prefixes.len() - 1].sets > 2 {
        let last = &prefixes[prefixes.len() - 1];
        prefixes.push(last.without_last());
    }
    let mut state = State::new(&sizes[..1]);
    state.lam[1] = sizes[0];
    let mut active = vec![1];
    let mut evidence = Evidence::new(&prefixes[prefixes.len() - 1]);
    for n in evidence.sets.min(2)..=sets {
        if n > 1 {
            state = add_set(&state, &mut active, &sizes[..n]);
        }
        let cells = prefixes.pop().expect("one per size");
        evidence = Evidence::new(&cells);
        let tolerance = if sets == 2 { PAIR } else { MANY };
        fit(&evidence, &sizes[..n], &mut state, &active, tolerance);
        if n < sets || sets > 2 {
            active.retain(|&t| {
                state.lam[t] > NEGLIGIBLE * state.floor[t] || is_single(t) || is_prefix(t)
            });
            for t in 1..state.lam.len() {
                if !active.contains(&t) {
                    state.lam[t] = state.floor[t];
                }
            }
        }
    }
    if sets > 2 {
        readmit(&evidence, sizes, &mut state, &mut active);
    }
    finish(&evidence, sizes, state, active)
}

fn is_single(region: Mask) -> bool {
    region.is_power_of_two()
}

/// The first n sets, for some n.
fn is_prefix(region: Mask) -> bool {
    (region + 1).is_power_of_two()
}

/// Splits every region by a new last set.
fn add_set(before: &State, active: &mut Vec<Mask>, sizes: &[f64]) -> State {
    let mut state = State::new(sizes);
    state.rounds = before.rounds;
    let new = 1 << (sizes.len() - 1);
    let size = sizes[sizes.len() - 1];
    let inside = (size / before.union()).min(0.9) / 2.0;
    for i in 0..active.len() {
        let t = active[i];
        state.lam[t] = (before.lam[t] * (1.0 - inside)).max(state.floor[t]);
        state.lam[t | new] = (before.lam[t] * inside).max(state.floor[t | new]);
        active.push(t | new);
    }
    state.lam[new] = size / 2.0;
    active.push(new);
    active.sort_unstable();
    state
}

/// Lets the regions that were left out have elements again, if the likelihood wants them to.
fn readmit(evidence: &Evidence, sizes: &[f64], state: &mut State, active: &mut Vec<Mask>) {
    for _ in 0..3 {
        let left_out: Vec<Mask> = (1..state.lam.len())
            .filter(|t| !active.contains(t))
            .collect();
        if left_out.is_empty() {
            return;
        }
        let scale: Vec<f64> = left_out.iter().map(|&t| state.scale(t)).collect();
        let mut model = Model::new(evidence, sizes, left_out.clone());
        let gradient = model.evaluate(&state.lam, &state.floor, &scale).gradient;
        let mut wanted = false;
        for (i, &t) in left_out.iter().enumerate() {
            if gradient[i] > 0.05 {
                wanted = true;
                state.lam[t] = 0.01 * scale[i];
                active.push(t);
            }
        }
        if !wanted {
            return;
        }
        active.sort_unstable();
        fit(evidence, sizes, state, active, MANY);
    }
}

/// Fisher scoring over the active regions; the others stay what they are.
fn fit(
    evidence: &Evidence,
    sizes: &[f64],
    state: &mut State,
    active: &[Mask],
    tolerance: Tolerance,
) {
    let mut model = Model::new(evidence, sizes, active.to_vec());
    let mut evaluate = |lam: &[f64]| {
        let scale: Vec<f64> = active.iter().map(|&t| lam[t]).collect();
        model.evaluate(lam, &state.floor, &scale)
    };
    let mut at = evaluate(&state.lam);
    let env = |n: &str, d: f64| {
        std::env::var(n)
            .ok()
            .and_then(|x| x.parse().ok())
            .unwrap_or(d)
    };
    let mut damping = env("START", 1e-3);
    let (abs, down, up, hi, lo) = (
        env("ABS", 0.1),
        env("DOWN", 0.3),
        env("UP", 8.0),
        env("HI", 1.5),
        env("LO", -4.0),
    );
    for _ in 0..MAX_ROUNDS {
        let Evaluation {
            log_likelihood,
            gradient,
            information,
        } = &at;
        let free: Vec<usize> = (0..active.len())
            .filter(|&i| state.lam[active[i]] > state.floor[active[i]] || gradient[i] > 0.0)
            .collect();
        let off = |&i: &usize| gradient[i].abs() / (1.0 + information.diagonal(i)).sqrt();
        if free.iter().map(off).fold(0.0, f64::max) < tolerance.0 {
            return;
        }
        state.rounds += 1;
        let mut damped = information.part(&free);
        for i in 0..free.len() {
            *damped.at(i, i) = damped.diagonal(i) * (1.0 + damping) + abs * damping;
        }
        let mut step: Vec<f64> = free.iter().map(|&i| gradient[i]).collect();
        damped.factor().solve(&mut step);
        if step.iter().any(|step| step.is_nan()) {
            return;
        }
        let mut moved = state.lam.clone();
        for (&i, step) in free.iter().zip(&step) {
            let t = active[i];
            let factor = step.clamp(lo, hi).exp();
            moved[t] = (moved[t] * factor).clamp(state.floor[t], CEILING);
        }
        let there = evaluate(&moved);
        let gain = there.log_likelihood - log_likelihood;
        if gain >= -1e-9 * log_likelihood.abs() {
            state.lam = moved;
            at = there;
            damping *= down;
            if gain < NO_GAIN {
                return;
            }
        } else {
            damping *= up;
        }
    }
}

/// Rounds what is as good as nothing down to nothing, and measures how sure the rest is.
fn finish(evidence: &Evidence, sizes: &[f64], state: State, active: Vec<Mask>) -> Solution {
    let regions: Vec<Mask> = if sizes.len() <= 5 {
        (1..state.lam.len()).collect()
    } else {
        (1..state.lam.len())
            .filter(|t| active.contains(t) || is_single(*t) || is_prefix(*t))
            .collect()
    };
    let scale: Vec<f64> = regions.iter().map(|&t| state.scale(t)).collect();
    let mut model = Model::new(evidence, sizes, regions.clone());
    let mut at = model.evaluate(&state.lam, &state.floor, &scale);
    let mut lam = vec![0.0; state.lam.len()];
    for (i, &t) in regions.iter().enumerate() {
        *at.information.at(i, i) += 1e-3;
        let deviations = state.lam[t] / scale[i] * at.information.diagonal(i).sqrt();
        let negligible = deviations < 1e-2 && at.gradient[i] <= 0.0;
        lam[t] = if negligible { 0.0 } else { state.lam[t] };
    }
    let factor = at.information.factor();
    Solution {
        lam,
        regions,
        scale,
        factor,
        rounds: state.rounds,
    }
}
