//! Every row's share of the right-hand side of M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az).

use super::assembly::{Layout, Row, RowVisitor, ScaleSlope, Source};
use super::inputs::TileSystems;
use crate::adjoint::Tangents;
use crate::banded::lanes::Packed;
use crate::real::Real;
use crate::shape::InputLayout;

/// Adds the rows' shares, given the solution z and the tangents of the inputs.
pub struct TangentPass<'a, S: Packed, T> {
    /// The unknowns.
    pub z: &'a [S],
    /// Of the inputs.
    pub tangents: &'a Tangents<'a, T>,
    /// Systems in the lanes.
    pub systems: TileSystems,
    /// Where the inputs stand.
    pub layout: &'a Layout,
    /// In the layout of the unknowns.
    pub sum: &'a mut [S],
}

impl<S: Packed, T: Real> RowVisitor<S> for TangentPass<'_, S, T> {
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, S>) {
        let TangentPass { z, tangents, systems, layout, .. } = *self;
        let inputs = &layout.inputs;
        let factor = row.factor();
        let squared = factor * factor;
        let defect = row.rhs - row.dot(z);
        let residual = squared * defect;
        let mut d_defect = S::default();
        match row.source {
            Source::Equation { t, e } => {
                d_defect += gather(&inputs.rhs, tangents.rhs, systems, [t, e, 0]);
                for (i, &unknown) in row.unknowns.iter().enumerate() {
                    let index = [t, e, i];
                    let value: S =
                        gather(&inputs.coefficients, tangents.coefficients, systems, index);
                    d_defect -= value * z[unknown];
                    self.sum[unknown] += value * residual;
                }
            }
            Source::Initial { i, k, j } => {
                let (array, index) = (&inputs.initial_values, [i, k, j]);
                d_defect += gather(array, tangents.initial_values, systems, index);
            }
            Source::Smoothness { t, k, steps } => {
                let mut d_length = S::default();
                for t in t..t + steps {
                    d_length += gather(&inputs.steps, tangents.steps, systems, [t, k, 0]);
                }
                for (&unknown, &slope) in row.unknowns.iter().zip(row.slopes) {
                    let value = slope * d_length;
                    d_defect -= value * z[unknown];
                    self.sum[unknown] += value * residual;
                }
            }
            Source::Periodic => {}
        }
        let mut along_row = squared * d_defect;
        if let (Some(ScaleSlope { step, slope }), Some(tangent)) = (row.scale_slope, tangents.steps)
        {
            let d_factor = S::splat(row.weight) * slope * layout.mean_step(tangent, systems, step);
            along_row += (factor + factor) * d_factor * defect;
        }
        row.scatter(along_row, self.sum);
    }
}

/// The tangent at `index` of each lane's system; zero where the input stands still.
#[inline(always)]
fn gather<S: Packed, T: Real>(
    array: &InputLayout,
    tangent: Option<&[T]>,
    systems: TileSystems,
    index: [usize; 3],
) -> S {
    tangent.map_or(S::default(), |tangent| array.gather(tangent, systems, index))
}
