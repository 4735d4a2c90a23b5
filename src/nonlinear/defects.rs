//! The sum of squares that the iterations lower: the squared defects of all rows of a system at a
//! trajectory.

use super::ode::{Evaluator, NonlinearOde};
use crate::rows::{RowFamily, RowScale, pair_rows, triple_rows};
use crate::{Options, Weights};

/// The inputs of one system on a grid of n points.
#[derive(Clone, Copy)]
pub(super) struct System<'a> {
    /// Times, (n).
    pub times: &'a [f64],
    /// Steps, (n − 1 or 1).
    pub steps: &'a [f64],
    /// Parameters θ, (L).
    pub theta: &'a [f64],
    /// Initial values, (K, m).
    pub initial_values: &'a [f64],
}

impl System<'_> {
    fn step(&self, t: usize) -> f64 {
        self.steps[if self.steps.len() == 1 { 0 } else { t }]
    }
}

/// The rows of the linear solve, with F itself in place of its linearization.
pub(super) struct Defects {
    options: Options,
    pair: RowFamily,
    triple: Option<RowFamily>,
    states: usize,
    /// Order m of the equation.
    order: usize,
    /// Q, the values of a state at a point.
    derivatives: usize,
}

impl Defects {
    pub fn new(options: &Options, states: usize, order: usize, derivatives: usize) -> Self {
        Defects {
            options: *options,
            pair: pair_rows(options, derivatives - 1),
            triple: triple_rows(options, derivatives - 1),
            states,
            order,
            derivatives,
        }
    }

    /// Returns the sum of the squared weighted defects of the trajectory `z` (n, K, Q).
    pub fn sum<O: NonlinearOde>(
        &self,
        evaluator: &mut Evaluator<'_, O>,
        system: &System<'_>,
        z: &[f64],
    ) -> f64 {
        let Weights { equation, initial, smoothness, .. } = self.options.weights;
        let block = self.states * self.derivatives;
        let points = z.len() / block;
        let scale = |t: usize, derivative: usize| {
            let RowScale { step, power } = RowScale::new(&self.options, points, t, derivative);
            system.step(step).powi(power)
        };
        let mut sum = 0.0;
        for (t, z) in z.chunks_exact(block).enumerate() {
            let factor = equation * scale(t, self.order);
            let f = evaluator.at(system.times[t], z, system.theta).residual();
            sum += f.iter().map(|f| (factor * f).powi(2)).sum::<f64>();
        }
        for (k, values) in system.initial_values.chunks_exact(self.order).enumerate() {
            for (j, value) in values.iter().enumerate() {
                let defect = z[k * self.derivatives + j] - value;
                sum += (initial * scale(0, j) * defect).powi(2);
            }
        }
        for t in 0..points - 1 {
            sum += smoothness.powi(2) * self.family(&self.pair, system.step(t), &z[t * block..]);
        }
        if let Some(triple) = &self.triple {
            for t in 1..points - 1 {
                let length = system.step(t - 1) + system.step(t);
                sum += smoothness.powi(2) * self.family(triple, length, &z[(t - 1) * block..]);
            }
        }
        sum
    }

    /// Returns the sum of the squared defects of one row family at the first points of `z`.
    fn family(&self, family: &RowFamily, length: f64, z: &[f64]) -> f64 {
        let block = self.states * self.derivatives;
        let mut sum = 0.0;
        for k in 0..self.states {
            // The entries of a row are neighbors in the list.
            for row in family.entries.chunk_by(|a, b| a.row == b.row) {
                let defect: f64 = row
                    .iter()
                    .map(|entry| {
                        let place = entry.point * block + k * self.derivatives + entry.derivative;
                        entry.coefficient * length.powi(entry.power) * z[place]
                    })
                    .sum();
                sum += defect * defect;
            }
        }
        sum
    }
}
