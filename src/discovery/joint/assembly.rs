//! The rows of the joint estimate.

use std::ops::Range;

use super::evaluator::Evaluator;
use super::rows::{Rows, Step};
use crate::discovery::candidates::{Parameter, Slot};
use crate::discovery::estimate::Estimate;
use crate::discovery::grid::Grid;
use crate::discovery::linearized::Linearized;
use crate::discovery::simulate::Integrator;
use crate::rows::hermite_coefficients;
use crate::threads;

/// The number of points whose part of a sum is computed by one thread. It does not depend on the number of
/// threads, and neither do the results.
const PIECE: usize = 256;

/// The weights of the rows, which are reciprocal standard deviations.
#[derive(Clone)]
pub(super) struct Weights {
    /// Weight 1/σ of each state's measured values (K), to be divided by the spread of each.
    pub observation: Vec<f64>,
    /// Weight √(w · interval)/σ of each component's defect (D), to be divided by √h.
    pub defect: Vec<f64>,
    /// Weight of each free coefficient's distance from zero (c).
    pub prior: Vec<f64>,
}

/// The rows (observations, defects and priors) of one set of free coefficients.
pub(super) struct Assembly<'a> {
    grid: &'a Grid,
    /// Length of the step from each grid point to the next, zero at the end of a trajectory (M).
    steps: Vec<f64>,
    /// The places of the free coefficients, sorted by equation.
    places: Vec<Parameter>,
    /// The places again, with the coefficients (c) that stand there.
    pub slots: Vec<Slot>,
    /// Coefficients a_1 and a_2 of the Hermite row of u with two derivatives, where a_0 = 1.
    hermite: [f64; 2],
}

impl<'a> Assembly<'a> {
    pub fn new(grid: &'a Grid, slots: Vec<Slot>) -> Self {
        let hermite = hermite_coefficients(2);
        Assembly {
            hermite: [hermite[1], hermite[2]],
            steps: grid.steps(),
            grid,
            places: slots.iter().map(|slot| slot.place).collect(),
            slots,
        }
    }

    /// Returns the number of grid points.
    pub fn points(&self) -> usize {
        self.steps.len()
    }

    /// Returns the sum of squares, which is infinite if the right-hand side has a pole on the
    /// trajectory.
    pub fn cost(&self, estimate: &Estimate<'_>, weights: &Weights) -> f64 {
        let leading = self.slots.iter().filter(|slot| slot.leads);
        let of_prior: f64 = leading
            .map(|slot| (weights.prior[slot.column] * slot.place.value(&estimate.rhs)).powi(2))
            .sum();
        let mut costs = vec![0.0; self.points().div_ceil(PIECE)];
        threads::share(costs.iter_mut().enumerate(), usize::MAX, |(piece, cost)| {
            let first = piece * PIECE;
            *cost = self.cost_of(first..self.points().min(first + PIECE), estimate, weights);
        });
        // Another piece may have no number at all.
        match costs.contains(&f64::INFINITY) {
            true => f64::INFINITY,
            false => of_prior + costs.iter().sum::<f64>(),
        }
    }

    /// Returns the part of these points and of the steps from them.
    fn cost_of(&self, points: Range<usize>, estimate: &Estimate<'_>, weights: &Weights) -> f64 {
        let (k, d) = (weights.observation.len(), weights.defect.len());
        let mut evaluator = Evaluator::new(&estimate.rhs, &[]);
        let mut cost = 0.0;
        // The point before the step whose end was evaluated last.
        let mut last = None;
        for t in points {
            let state = &estimate.trajectory[t * d..][..d];
            for (j, x) in self.grid.observed[t * k..][..k].iter().enumerate() {
                if !x.is_nan() {
                    let weight = weights.observation[j] / self.grid.spread[t * k + j];
                    cost += self.grid.loss.cost(weight * (state[j] - x));
                }
            }
            let h = self.steps[t];
            if h == 0.0 {
                continue;
            }
            let after = &estimate.trajectory[(t + 1) * d..][..d];
            evaluator.find_inputs(self.grid, t, h, &estimate.rhs);
            if evaluator.is_new(last, t) {
                evaluator.evaluate_flow(0, &estimate.rhs, state);
            }
            evaluator.evaluate_flow(1, &estimate.rhs, after);
            let [now, next] = &evaluator.ends;
            if now.pole_before(next) {
                return f64::INFINITY;
            }
            let coefficients = at_step(self.hermite, h);
            for i in 0..d {
                let error = estimate.discretization.get(t * d + i).unwrap_or(&0.0);
                let defect = defect(state, after, now, next, coefficients, i) - error;
                cost += (weights.defect[i] * defect).powi(2) / h;
            }
            evaluator.ends.swap(0, 1);
            last = Some(t);
        }
        cost
    }

    /// Returns what the defects of each step are for an exact solution that begins at the present
    /// state, (M, D): the error of the discretization.
    pub fn discretization(&self, estimate: &Estimate<'_>) -> Vec<f64> {
        let d = estimate.rhs.library.variables().len();
        let mut errors = vec![0.0; estimate.trajectory.len()];
        threads::share(errors.chunks_mut(PIECE * d).enumerate(), usize::MAX, |(piece, errors)| {
            self.find_discretization(piece * PIECE, estimate, errors);
        });
        errors
    }

    /// Finds it for the steps from some points on, (m, D).
    fn find_discretization(&self, first: usize, estimate: &Estimate<'_>, errors: &mut [f64]) {
        let d = estimate.rhs.library.variables().len();
        let mut evaluator = Evaluator::new(&estimate.rhs, &[]);
        let mut integrator = Integrator::new(&estimate.rhs, &estimate.trajectory[..d], &[]);
        for (t, errors) in (first..).zip(errors.chunks_exact_mut(d)) {
            let state = &estimate.trajectory[t * d..][..d];
            let h = self.steps[t];
            if h == 0.0 {
                continue;
            }
            evaluator.find_inputs(self.grid, t, h, &estimate.rhs);
            for (inputs, found) in integrator.inputs().into_iter().zip(&evaluator.inputs) {
                inputs.copy_from_slice(found);
            }
            let after = integrator.over(state, h);
            evaluator.evaluate_flow(0, &estimate.rhs, state);
            evaluator.evaluate_flow(1, &estimate.rhs, after);
            let [now, next] = &evaluator.ends;
            let coefficients = at_step(self.hermite, h);
            for (i, error) in errors.iter_mut().enumerate() {
                *error = defect(state, after, now, next, coefficients, i);
            }
            // Where the equations explode within a step, nothing is known about the error.
            if errors.iter().any(|error| !error.is_finite()) {
                errors.fill(0.0);
            }
        }
    }

    /// Writes the rows of some points and of these steps from or to them, for their squares to be minimized
    /// about the estimate.
    pub fn write(
        &self,
        points: Range<usize>,
        step: Step,
        estimate: &Estimate<'_>,
        weights: &Weights,
        rows: &mut [Rows],
    ) {
        let (k, d) = (weights.observation.len(), weights.defect.len());
        let mut evaluator = Evaluator::new(&estimate.rhs, &self.places);
        // The point before the step whose end was evaluated last.
        let mut last = None;
        for (t, rows) in points.zip(rows) {
            rows.begin();
            for (j, x) in self.grid.observed[t * k..][..k].iter().enumerate() {
                if !x.is_nan() {
                    let weight = weights.observation[j] / self.grid.spread[t * k + j];
                    let distance = estimate.trajectory[t * d + j] - x;
                    let root = weight * self.grid.loss.weight(weight * distance).sqrt();
                    rows.observe(j, root, root * distance);
                }
            }
            let from = step.start(t).filter(|&from| self.steps[from] > 0.0);
            let Some(from) = from else { continue };
            evaluator.find_inputs(self.grid, from, self.steps[from], &estimate.rhs);
            let states = &estimate.trajectory[from * d..][..2 * d];
            if evaluator.is_new(last, from) {
                evaluator.evaluate(0, &estimate.rhs, &self.places, &states[..d]);
            }
            evaluator.evaluate(1, &estimate.rhs, &self.places, &states[d..]);
            self.write_defects(from, step, estimate, weights, &evaluator.ends, rows);
            evaluator.ends.swap(0, 1);
            last = Some(from);
        }
    }

    /// Writes the weighted defects of the step from t, which belongs to the rows of one of its ends, and their
    /// derivatives with respect to u_t, u_{t+1}, ξ.
    fn write_defects(
        &self,
        t: usize,
        step: Step,
        estimate: &Estimate<'_>,
        weights: &Weights,
        [now, next]: &[Linearized; 2],
        rows: &mut Rows,
    ) {
        let (d, h) = (weights.defect.len(), self.steps[t]);
        let before = &estimate.trajectory[t * d..][..d];
        let after = &estimate.trajectory[(t + 1) * d..][..d];
        let [of_before, of_after] = if step == Step::Before { [d, 0] } else { [0, d] };
        let arguments = estimate.rhs.library.arguments();
        let coefficients = at_step(self.hermite, h);
        let [half, twelfth] = coefficients;
        let first_dynamic = d - estimate.rhs.states();
        for (i, (along, across)) in rows.defects().enumerate() {
            let weight = weights.defect[i] / h.sqrt();
            let error = estimate.discretization.get(t * d + i).unwrap_or(&0.0);
            along[2 * d] = weight * (defect(before, after, now, next, coefficients, i) - error);
            for m in 0..d {
                let unit = f64::from(u8::from(i == m));
                let (of_flow, of_rate) = (i * arguments + m, i * d + m);
                along[of_before + m] = -weight
                    * (unit + half * now.jacobian[of_flow] + twelfth * now.rate_jacobian[of_rate]);
                along[of_after + m] = weight
                    * (unit - half * next.jacobian[of_flow]
                        + twelfth * next.rate_jacobian[of_rate]);
            }
            across.fill(0.0);
            let mut first = 0;
            for slots in self.slots.chunk_by(|a, b| a.place.equation == b.place.equation) {
                let own = first_dynamic + slots[0].place.equation;
                let all = first..first + slots.len();
                first = all.end;
                let of_flow = i * arguments + own;
                let through_now = weight * twelfth * now.jacobian[of_flow];
                let through_next = weight * twelfth * next.jacobian[of_flow];
                if own != i && through_now == 0.0 && through_next == 0.0 {
                    continue;
                }
                let ends =
                    now.by_parameter[all.clone()].iter().zip(&next.by_parameter[all.clone()]);
                for (slot, (now, next)) in slots.iter().zip(ends) {
                    let value = through_now * now - through_next * next;
                    across[slot.column] -= slot.factor * value;
                }
                if own == i {
                    for (s, slot) in all.zip(slots) {
                        let value = half * (now.by_parameter[s] + next.by_parameter[s])
                            + twelfth * (now.rate_by_parameter[s] - next.rate_by_parameter[s]);
                        across[slot.column] -= slot.factor * weight * value;
                    }
                }
            }
        }
    }
}

/// Returns a_1 h and a_2 h².
fn at_step([a1, a2]: [f64; 2], h: f64) -> [f64; 2] {
    [a1 * h, a2 * h * h]
}

/// Returns component i of the Hermite row u_{t+1} − u_t − a_1 h (F_t + F_{t+1}) − a_2 h² (F'_t −
/// F'_{t+1}), given the coefficients a_1 h and a_2 h².
fn defect(
    before: &[f64],
    after: &[f64],
    now: &Linearized,
    next: &Linearized,
    [half, twelfth]: [f64; 2],
    i: usize,
) -> f64 {
    after[i]
        - before[i]
        - half * (now.flow[i] + next.flow[i])
        - twelfth * (now.rate[i] - next.rate[i])
}
