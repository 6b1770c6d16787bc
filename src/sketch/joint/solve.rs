//! Maximizing the likelihood.
//!
//! Fisher scoring in θ = ln λ: with the gradient g and the information I by θ, a step solves
//! (I + damping) Δθ = g, and the damping falls while the likelihood rises and grows when it does not
//! (Levenberg and Marquardt). Three sets and more are grown one at a time: the regions of the first k
//! sets are solved roughly, each is split by the next set in proportion to its size, and regions that
//! turn out to be empty are left out until the end, where each gets a second hearing. That is what
//! keeps five sets at 20 rounds of some twenty unknowns: all 31 regions from a blind start
//! would take more and dearer ones.

use super::cells::Cells;
use super::likelihood::{Evidence, Mask, Model};
use super::linear::Cholesky;
use super::profile::Peak;

/// The least λ of a region, as a fraction of the smallest set it lies in. Not zero, because θ must
/// stay finite and every observation possible.
const FLOOR: f64 = 1e-7;

/// The most λ may be: no universe of 64-bit hashes has more elements.
const CEILING: f64 = 18_446_744_073_709_551_616.0;

/// A region with next to nothing in it is judged in units of this fraction of the union.
const TRACE: f64 = 1e-4;

/// A region with less than this part of a trace in it is left out of what follows.
const NEGLIGIBLE: f64 = 0.05;

/// A region that was left out is taken in again if this is what log L gains from a trace in it.
const READMISSION: f64 = 0.05;

/// With this variance (in squares of its unit, inverse) every region is known beforehand: nothing to
/// what registers tell, except of regions they tell nothing of.
const PRIOR: f64 = 1e-3;

/// A region that wants to be smaller and has fewer elements than this many standard deviations is empty:
/// the search stops short of it, so that it has to be said.
const NOTHING: f64 = 0.02;

/// Up to this many sets the variances take all regions into account, above it only those that were
/// not left out: 31 unknowns are free, 255 are not.
const ALL_REGIONS: usize = 5;

/// Rounds one solution may take. Real registers take 5 for two sets, 20 for five and 45 for eight; it is
/// those that no set ever made which need a bound.
const MAX_ROUNDS: usize = 100;

/// A region grows by this factor in one round at most, and shrinks to this one.
const GROWTH: f64 = 4.5;
const SHRINKAGE: f64 = 0.1;

/// When a maximum is met: the largest gradient, in standard deviations, or what log L still gains.
#[derive(Clone, Copy)]
struct Tolerance {
    gradient: f64,
    gain: f64,
}

/// Two sets cost next to nothing.
const PAIR: Tolerance = Tolerance {
    gradient: 1e-3,
    gain: 1e-5,
};

/// A gain of 0.001 is a shift by a twentieth of a standard deviation.
const FINAL: Tolerance = Tolerance {
    gradient: 2e-2,
    gain: 1e-3,
};

/// For a start that another set will change anyway.
const ROUGH: Tolerance = Tolerance {
    gradient: 0.5,
    gain: 0.1,
};

/// The maximum, and what its variances are made of.
pub(super) struct Solution {
    /// λ by region mask; place 0 is unused.
    pub lam: Vec<f64>,
    /// The regions of the information, the unit of each, and its Cholesky factor.
    pub regions: Vec<Mask>,
    pub scale: Vec<f64>,
    pub factor: Cholesky,
    /// Where the slopes of the likelihood begin.
    pub peak: Peak,
}

/// λ of all regions of some sets, by mask, and what bounds them.
struct State {
    lam: Vec<f64>,
    floor: Vec<f64>,
    smallest_set: Vec<f64>,
    rounds_left: usize,
}

impl State {
    fn new(sizes: &[f64]) -> State {
        let smallest_set: Vec<f64> = (0..1 << sizes.len())
            .map(|t: Mask| {
                let members = sizes.iter().enumerate().filter(|(s, _)| t >> s & 1 == 1);
                members.map(|(_, &size)| size).fold(CEILING, f64::min)
            })
            .collect();
        let mut floor: Vec<f64> = smallest_set.iter().map(|size| FLOOR * size).collect();
        floor[0] = 0.0;
        State {
            lam: floor.clone(),
            floor,
            smallest_set,
            rounds_left: MAX_ROUNDS,
        }
    }

    fn union(&self) -> f64 {
        self.lam.iter().sum()
    }

    /// What would be next to nothing in this region: a small part of the union, and not more than
    /// the smallest set could give.
    fn trace(&self, region: Mask) -> f64 {
        (TRACE * self.union()).min(self.smallest_set[region])
    }

    /// The unit for a region.
    fn unit(&self, region: Mask) -> f64 {
        self.lam[region].max(self.trace(region))
    }
}

/// The most likely regions of 1 to 8 sets of about these sizes (positive and finite).
pub(super) fn solve(cells: Cells, sizes: &[f64]) -> Solution {
    let sets = sizes.len();
    // The cells as fewer and fewer sets know them, down to two.
    let mut prefixes = vec![cells];
    while let Some(last) = prefixes.last().filter(|cells| cells.sets > 2) {
        prefixes.push(last.without_last());
    }
    let mut state = State::new(&sizes[..1]);
    state.lam[1] = sizes[0];
    let mut active = vec![1];
    for cells in prefixes[1..].iter().rev() {
        grow(&mut state, &mut active, &sizes[..cells.sets]);
        fit(&Evidence::new(cells), sizes, &mut state, &active, ROUGH);
        drop_negligible(&mut state, &mut active);
    }
    let evidence = Evidence::new(&prefixes[0]);
    if sets > 1 {
        grow(&mut state, &mut active, sizes);
    }
    if sets <= 2 {
        fit(&evidence, sizes, &mut state, &active, PAIR);
    } else {
        fit(&evidence, sizes, &mut state, &active, FINAL);
        drop_negligible(&mut state, &mut active);
        readmit(&evidence, sizes, &mut state, &mut active);
    }
    finish(evidence, sizes, state, &active)
}

/// Splits every region by one more set.
fn grow(state: &mut State, active: &mut Vec<Mask>, sizes: &[f64]) {
    let before = std::mem::replace(state, State::new(sizes));
    state.rounds_left = before.rounds_left;
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
}

/// Single sets, and the first n sets for some n, are never left out: they are what is asked for.
fn is_always_active(region: Mask) -> bool {
    region.is_power_of_two() || (region + 1).is_power_of_two()
}

fn drop_negligible(state: &mut State, active: &mut Vec<Mask>) {
    active.retain(|&t| {
        let stays = is_always_active(t) || state.lam[t] > NEGLIGIBLE * state.trace(t);
        if !stays {
            state.lam[t] = state.floor[t];
        }
        stays
    });
}

/// Takes the regions that were left out in again, if the likelihood asks for it.
fn readmit(evidence: &Evidence, sizes: &[f64], state: &mut State, active: &mut Vec<Mask>) {
    for _ in 0..3 {
        let left_out: Vec<Mask> = (1..state.lam.len())
            .filter(|t| !active.contains(t))
            .collect();
        let traces: Vec<f64> = left_out.iter().map(|&t| state.trace(t)).collect();
        let mut model = Model::new(evidence, sizes, left_out.clone());
        model.log_likelihood(&state.lam, &state.floor);
        let gradient = model.gradient(&traces);
        let before = active.len();
        for ((&t, trace), gradient) in left_out.iter().zip(traces).zip(gradient) {
            if gradient > READMISSION {
                state.lam[t] = 0.1 * trace;
                active.push(t);
            }
        }
        if active.len() == before {
            return;
        }
        active.sort_unstable();
        fit(evidence, sizes, state, active, FINAL);
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
    let units = |lam: &[f64]| -> Vec<f64> { active.iter().map(|&t| lam[t]).collect() };
    let mut scale = units(&state.lam);
    let mut log_likelihood = model.log_likelihood(&state.lam, &state.floor);
    let mut gradient = model.gradient(&scale);
    let mut information = model.information(&scale);
    let mut damping = 0.1;
    while state.rounds_left > 0 {
        state.rounds_left -= 1;
        // A region on its floor that wants to be lower stays there.
        let free: Vec<usize> = (0..active.len())
            .filter(|&i| state.lam[active[i]] > state.floor[active[i]] || gradient[i] > 0.0)
            .collect();
        let deviations = |&i: &usize| gradient[i].abs() / (1.0 + information.diagonal(i)).sqrt();
        if free.iter().map(deviations).fold(0.0, f64::max) < tolerance.gradient {
            return;
        }
        let mut damped = information.part(&free);
        for i in 0..free.len() {
            *damped.at(i, i) = damped.diagonal(i) * (1.0 + damping) + damping;
        }
        let mut step: Vec<f64> = free.iter().map(|&i| gradient[i]).collect();
        damped.factor().solve(&mut step);
        if step.iter().any(|step| step.is_nan()) {
            return;
        }
        let expected: f64 = free
            .iter()
            .zip(&step)
            .map(|(&i, step)| 0.5 * gradient[i] * step)
            .sum();
        let mut moved = state.lam.clone();
        for (&i, &step) in free.iter().zip(&step) {
            let t = active[i];
            // Upwards in θ. Downwards in λ itself: towards zero, θ would take forever.
            let factor = if step > 0.0 {
                step.exp().min(GROWTH)
            } else {
                (1.0 + step).max(SHRINKAGE)
            };
            moved[t] = (moved[t] * factor).clamp(state.floor[t], CEILING);
        }
        if expected < tolerance.gain {
            state.lam = moved;
            return;
        }
        let there = model.log_likelihood(&moved, &state.floor);
        let gain = there - log_likelihood;
        if gain >= -1e-9 * log_likelihood.abs() {
            state.lam = moved;
            if gain < tolerance.gain {
                return;
            }
            scale = units(&state.lam);
            log_likelihood = there;
            gradient = model.gradient(&scale);
            information = model.information(&scale);
            damping *= 0.3;
        } else {
            damping *= 8.0;
        }
    }
}

/// Takes what cannot be told from nothing for nothing, and measures how sure the rest is.
fn finish(evidence: Evidence, sizes: &[f64], state: State, active: &[Mask]) -> Solution {
    let regions: Vec<Mask> = (1..state.lam.len())
        .filter(|t| sizes.len() <= ALL_REGIONS || is_always_active(*t) || active.contains(t))
        .collect();
    let scale: Vec<f64> = regions.iter().map(|&t| state.unit(t)).collect();
    let mut model = Model::new(&evidence, sizes, regions.clone());
    let log_likelihood = model.log_likelihood(&state.lam, &state.floor);
    let gradient = model.gradient(&scale);
    let mut information = model.information(&scale);
    let mut lam = vec![0.0; state.lam.len()];
    for (i, &t) in regions.iter().enumerate() {
        *information.at(i, i) += PRIOR;
        let deviation = scale[i] / information.diagonal(i).sqrt();
        // No estimate of a whole number is better than to a half.
        let nothing = NOTHING * deviation.max(0.5);
        if state.lam[t] > nothing || gradient[i] > 0.0 {
            lam[t] = state.lam[t];
        }
    }
    Solution {
        lam,
        regions: regions.clone(),
        scale,
        factor: information.factor(),
        peak: Peak {
            evidence,
            sizes: sizes.to_vec(),
            regions,
            lam: state.lam,
            floor: state.floor,
            smallest_set: state.smallest_set,
            log_likelihood,
        },
    }
}
