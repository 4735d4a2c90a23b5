//! The share of every row in the gradients of its inputs, by the formulas of the module
//! [`adjoint`](crate::adjoint).

use super::assembly::{Layout, Row, RowVisitor, ScaleSlope, Source};
use super::inputs::TileSystems;
use crate::banded::lanes::Packed;
use crate::inputs::Inputs;
use crate::real::Real;

/// The place where the gradients of some consecutive systems are added up, the first being
/// `origin`.
pub struct GradientSink<'a, T> {
    /// Number of the first system of the arrays that vary over the batch.
    pub origin: usize,
    /// Gradients of the inputs.
    pub inputs: Inputs<&'a mut [T]>,
    /// Gradient of the weights: equation, initial, smoothness, periodic.
    pub weights: &'a mut [T],
}

impl<T: Real> GradientSink<'_, T> {
    /// Sets all gradients to zero.
    pub fn clear(&mut self) {
        for sums in self.inputs.as_mut() {
            sums.fill(T::zero());
        }
        self.weights.fill(T::zero());
    }

    /// Sets the gradients that systems share to zero.
    pub fn clear_shared(&mut self, layout: &Layout) {
        for (sums, input) in self.inputs.as_mut().zip(layout.inputs) {
            if input.shared() {
                sums.fill(T::zero());
            }
        }
        self.weights.fill(T::zero());
    }

    /// Returns whether the gradients that systems share are finite once they are stored as `O`.
    pub fn shared_are_finite<O: Real>(&self, layout: &Layout) -> bool {
        let finite = |sum: &T| O::of(sum.to_double()).is_finite();
        let mut inputs = self.inputs.as_ref().zip(layout.inputs).into_iter();
        inputs.all(|(sums, input)| !input.shared() || sums.iter().all(finite))
            && self.weights.iter().all(|sum| sum.is_finite())
    }
}

/// A visitor that adds the rows' shares to the gradients, given the solution z and the adjoint g.
pub struct GradientPass<'a, 'b, S: Packed> {
    /// Solution z, the unknowns.
    pub z: &'a [S],
    /// Adjoint g, with M g = z̄.
    pub g: &'a [S],
    /// Systems in the lanes.
    pub systems: TileSystems,
    /// Which lanes hold a solved system.
    pub live: &'a [bool],
    /// Layout of the inputs.
    pub layout: &'a Layout,
    /// Place where the gradients are added up.
    pub sink: &'a mut GradientSink<'b, S::Real>,
    /// Sums of the gradients of the weights: equation, initial, smoothness, periodic.
    pub weights: [S; 4],
}

impl<S: Packed> RowVisitor<S> for GradientPass<'_, '_, S> {
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, S>) {
        let GradientPass { z, g, systems, live, layout, .. } = *self;
        let inputs = &layout.inputs;
        let factor = row.factor();
        let defect = row.rhs - row.dot(z);
        let along = row.dot(g);
        let residual = factor * factor * defect;
        let d_rhs = factor * factor * along;
        let d_factor = (factor + factor) * along * defect;
        self.weights[row.source.family()] += d_factor * row.scale;

        let origin = self.sink.origin;
        let sink = &mut self.sink.inputs;
        if let Some(ScaleSlope { step, slope }) = row.scale_slope {
            let count = S::splat(S::Real::of(layout.step_states as f64));
            let d_step = d_factor * S::splat(row.weight) * slope / count;
            for k in 0..layout.step_states {
                let (sum, index) = (&mut *sink.steps, [step, k, 0]);
                inputs.steps.scatter_add(sum, origin, systems, live, index, d_step);
            }
        }
        match row.source {
            Source::Equation { t, e } => {
                inputs.rhs.scatter_add(sink.rhs, origin, systems, live, [t, e, 0], d_rhs);
                for (i, &unknown) in row.unknowns.iter().enumerate() {
                    let (sum, index) = (&mut *sink.coefficients, [t, e, i]);
                    let value = residual * g[unknown] - d_rhs * z[unknown];
                    inputs.coefficients.scatter_add(sum, origin, systems, live, index, value);
                }
            }
            Source::Initial { i, k, j } => {
                let (sum, index) = (&mut *sink.initial_values, [i, k, j]);
                inputs.initial_values.scatter_add(sum, origin, systems, live, index, d_rhs);
            }
            Source::Smoothness { t, k, steps } => {
                let mut d_length = S::default();
                for (&unknown, &slope) in row.unknowns.iter().zip(row.slopes) {
                    d_length += slope * (residual * g[unknown] - d_rhs * z[unknown]);
                }
                for t in t..t + steps {
                    let sum = &mut *sink.steps;
                    inputs.steps.scatter_add(sum, origin, systems, live, [t, k, 0], d_length);
                }
            }
            Source::Periodic => {}
        }
    }
}
