//! Tangents, M⁻¹ q, defects and variances, which are needed only now and then and are therefore
//! computed in one way, whichever path solves.
//!
//! These operations take factor and iterate as the team kernels keep them, whichever path the
//! solver itself takes. They therefore have a team solver with a workspace of its own, which solves
//! a problem once more when the first of them is called.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use crate::backend::cuda::bindings::Status;
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::problem::{ProblemTemplate, Values};
use crate::backend::cuda::path::results::{SolutionBuffers, values_of_system};
use crate::backend::cuda::path::{CotangentView, PartProblem, SolutionViewMut};
use crate::backend::cuda::solve::batch::Part;
use crate::backend::cuda::team::plan::Plan;
use crate::backend::cuda::team::{ColdTeams, RightHandSide, Statuses};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The kernels, the workspace and the solution of the operations, for a part of a batch.
pub(super) struct Cold<T: Real> {
    teams: ColdTeams<T>,
    workspace: Buffer<u8>,
    solution: SolutionBuffers<T>,
    /// Number of values of a system.
    size: usize,
    /// Most systems that the workspace has room for.
    most_systems: usize,
    /// Systems whose factor lies in the workspace.
    held: Option<Part>,
}

/// A part of a batch that was solved, with the inputs of the batch and the statuses of the solve.
#[derive(Clone, Copy)]
pub(super) struct Solved<'a> {
    pub template: &'a ProblemTemplate,
    pub part: Part,
    pub inputs: Inputs<Values<'a>>,
    pub status: &'a CudaView<'a, Status>,
}

impl<T: Real> Cold<T> {
    /// Allocates for `systems` systems if the memory suffices, otherwise for as many as fit.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if not even a single system fits, [`Error::Argument`] if one system
    /// has more values than the kernels can count, [`Error::Device`] if the device fails.
    pub fn new(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        systems: usize,
    ) -> Result<Self> {
        Self::with_plan(device, shape, Plan::cold(shape, options, device.limits())?, systems)
    }

    /// Allocates according to a plan that was made already.
    pub fn with_plan(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        plan: Plan,
        systems: usize,
    ) -> Result<Self> {
        let teams = ColdTeams::new(device, plan)?;
        let allocate = |systems: usize| -> Result<_> {
            let what = "the workspace of tangents, M⁻¹ q, residuals and variances";
            let solution = SolutionBuffers::new(device, shape, systems)?;
            Ok((Buffer::unwritten(device, what, teams.workspace(systems))?, solution))
        };
        let mut most_systems = systems;
        let (workspace, solution) = loop {
            match allocate(most_systems) {
                Err(Error::OutOfMemory { .. }) if most_systems > 1 => most_systems /= 2,
                other => break other?,
            }
        };
        let size = values_of_system(shape);
        Ok(Cold { teams, workspace, solution, size, most_systems, held: None })
    }

    /// Notes that the problem has changed, so that the factor in the workspace no longer belongs to
    /// it.
    pub fn forget(&mut self) {
        self.held = None;
    }

    /// Computes the directional derivative of the solution, as [`ColdTeams::response`] does.
    pub fn tangent(
        &mut self,
        solved: Solved<'_>,
        directions: Inputs<Option<Values<'_>>>,
        tangent: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let Solved { template, .. } = solved;
        let rhs = |problem: &PartProblem<'_>, _: &Range<usize>| {
            Ok(RightHandSide::OfTangent(template.tangents(problem, directions)?))
        };
        self.response(solved, rhs, tangent)
    }

    /// Computes M⁻¹ q, as [`ColdTeams::response`] does.
    pub fn inverse(
        &mut self,
        solved: Solved<'_>,
        q: &CotangentView<'_, T>,
        result: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let size = self.size;
        let rhs = |_: &PartProblem<'_>, range: &Range<usize>| {
            Ok(RightHandSide::Given(CotangentView {
                values: q.values.slice(range.start * size..range.end * size),
                epsilon: q.epsilon.as_ref().map(|epsilon| epsilon.slice(range.clone())),
            }))
        };
        self.response(solved, rhs, result)
    }

    /// Solves for the right-hand sides that `rhs` returns of some systems within the part.
    fn response<'a>(
        &mut self,
        solved: Solved<'_>,
        rhs: impl Fn(&PartProblem<'_>, &Range<usize>) -> Result<RightHandSide<'a, T>>,
        result: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        self.each(solved, |teams, size, problem, workspace, statuses, range| {
            let rhs = rhs(problem, &range)?;
            let values = range.start * size..range.end * size;
            let mut result = SolutionViewMut {
                values: result.values.slice_mut(values),
                epsilon: result.epsilon.slice_mut(range.clone()),
                status: result.status.slice_mut(range),
            };
            teams.response(problem, workspace, statuses, &rhs, &mut result)
        })
    }

    /// Computes the squared defects (systems, 4), as [`ColdTeams::squared_defects`] does.
    pub fn squared_defects(
        &mut self,
        solved: Solved<'_>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        self.each(solved, |teams, _, problem, workspace, statuses, range| {
            let mut sums = sums.slice_mut(range.start * 4..range.end * 4);
            teams.squared_defects(problem, workspace, statuses, &mut sums)
        })
    }

    /// Computes the variances (systems, N, K, Q), as [`ColdTeams::variances`] does.
    pub fn variances(&mut self, solved: Solved<'_>, values: &mut CudaViewMut<'_, T>) -> Result<()> {
        self.each(solved, |teams, size, problem, workspace, statuses, range| {
            let mut values = values.slice_mut(range.start * size..range.end * size);
            teams.variances(problem, workspace, statuses, &mut values)
        })
    }

    /// Calls `work` for the systems of the part, as many at once as the workspace holds, after
    /// making sure that it has their factors; `work` also gets the range of the systems within the
    /// part.
    fn each(
        &mut self,
        solved: Solved<'_>,
        mut work: impl FnMut(
            &ColdTeams<T>,
            usize,
            &PartProblem<'_>,
            &mut CudaViewMut<'_, u8>,
            &Statuses<'_>,
            Range<usize>,
        ) -> Result<()>,
    ) -> Result<()> {
        let Solved { template, part, inputs, status } = solved;
        for first in (0..part.systems).step_by(self.most_systems) {
            let systems = self.most_systems.min(part.systems - first);
            let these = Part { first: part.first + first, systems };
            let problem = template.problem(inputs, these.range())?;
            let mut workspace = self.workspace.view_mut();
            if self.held != Some(these) {
                self.held = None;
                let mut solution = self.solution.view_mut(systems);
                self.teams.solve(&problem, &mut workspace, &mut solution)?;
                self.held = Some(these);
            }
            let statuses = Statuses {
                known: status.slice(first..first + systems),
                own: self.solution.details.status.part(0, systems),
            };
            let range = first..first + systems;
            work(&self.teams, self.size, &problem, &mut workspace, &statuses, range)?;
        }
        Ok(())
    }
}
