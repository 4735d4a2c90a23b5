//! What the rows leave over: the normal residual of iterative refinement, and defects by family.

use super::assembly::{Row, RowVisitor};
use crate::banded::lanes::Packed;

/// β of the rows in a normal residual.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RightHandSide {
    /// The problem's own.
    Data,
    /// Zero: the system solved is M x = given, as for adjoint and tangent.
    Zero,
}

/// sum += AᵀW²(β − Az).
pub struct NormalResidual<'a, S> {
    /// The unknowns.
    pub z: &'a [S],
    /// β.
    pub rhs: RightHandSide,
    /// In the layout of the unknowns.
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

/// Sums of the squared weighted defects w(a·z − β), by row family.
pub struct SquaredDefects<'a, S> {
    /// The unknowns.
    pub z: &'a [S],
    /// Equation, initial, smoothness, periodic.
    pub sums: [S; 4],
}

impl<S: Packed> RowVisitor<S> for SquaredDefects<'_, S> {
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, S>) {
        let defect = row.factor() * (row.rhs - row.dot(self.z));
        self.sums[row.source.family()] += defect * defect;
    }
}
