//! The residuals of the rows: the normal residual that iterative refinement needs, and the defects
//! by family.

use super::assembly::{Row, RowVisitor};
use crate::banded::lanes::Packed;

/// The right-hand sides β of the rows in a normal residual.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RightHandSide {
    /// The right-hand sides are those of the problem.
    Data,
    /// The right-hand sides are zero: the system solved is M x = given, as for adjoint and tangent.
    Zero,
}

/// A visitor that computes sum += AᵀW²(β − Az).
pub struct NormalResidual<'a, S> {
    /// Unknowns z.
    pub z: &'a [S],
    /// Right-hand sides β.
    pub rhs: RightHandSide,
    /// Sum, in the layout of the unknowns.
    pub sum: &'a mut [S],
}

impl<S: Packed> RowVisitor<S> for NormalResidual<'_, S> {
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, S>) {
        let target = if self.rhs == RightHandSide::Data { row.rhs } else { S::default() };
        let squared = row.factor() * row.factor();
        row.scatter(squared * (target - row.dot(self.z)), self.sum);
    }
}

/// A visitor that adds up the squared weighted defects w(a·z − β), by row family.
pub struct SquaredDefects<'a, S> {
    /// Unknowns z.
    pub z: &'a [S],
    /// Sums of the families: equation, initial, smoothness, periodic.
    pub sums: [S; 4],
}

impl<S: Packed> RowVisitor<S> for SquaredDefects<'_, S> {
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, S>) {
        let defect = row.factor() * (row.rhs - row.dot(self.z));
        self.sums[row.source.family()] += defect * defect;
    }
}
