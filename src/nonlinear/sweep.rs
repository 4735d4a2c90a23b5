//! The starting trajectory of the iterations: it is made window by window, each begun where the
//! last one ended.

use super::newton::{Newton, Progress, Sizes};
use super::ode::NonlinearOde;
use super::problem::NonlinearProblem;
use super::{Convergence, NonlinearOptions};
use crate::{Device, Result};

/// The workspace of the windows.
pub(super) struct Sweep {
    newton: Newton,
}

impl Sweep {
    /// Allocates the workspace; returns `None` if the whole grid (`sizes`) fits in one window.
    pub fn new(device: &Device, sizes: &Sizes, options: &NonlinearOptions) -> Result<Option<Self>> {
        if options.window >= sizes.points {
            return Ok(None);
        }
        let points = options.window;
        let own = if sizes.steps[1] == 1 { 1 } else { points - 1 };
        let sizes = Sizes { points, steps: [sizes.steps[0], own], ..*sizes };
        Ok(Some(Sweep { newton: Newton::new(device, sizes, options)? }))
    }

    /// Fills the trajectory of `whole`; the progress of a system that breaks down on the way
    /// records that.
    ///
    /// # Errors
    /// Those of the linear solver.
    pub fn run<O: NonlinearOde>(
        &mut self,
        ode: &O,
        problem: &NonlinearProblem<'_>,
        whole: &mut Newton,
    ) -> Result<()> {
        let (points, window) = (whole.sizes.points, self.newton.sizes.points);
        let mut first = 0;
        loop {
            self.load(first, whole);
            self.newton.run(ode, problem)?;
            self.store(first, whole);
            if first + window == points {
                return Ok(());
            }
            // The last window ends where the grid ends.
            first = (first + window - 1).min(points - window);
        }
    }

    /// Copies the inputs of the window that begins at point `first` into the workspace.
    fn load(&mut self, first: usize, whole: &Newton) {
        let Sizes { batch, points, derivatives, order, .. } = self.newton.sizes;
        let (all, block) = (whole.sizes.points, whole.sizes.block());
        let grid = &mut self.newton.grid;
        for (to, from) in
            grid.times.chunks_exact_mut(points).zip(whole.grid.times.chunks_exact(all))
        {
            to.copy_from_slice(&from[first..first + points]);
        }
        if whole.sizes.steps[1] == 1 {
            grid.steps.copy_from_slice(&whole.grid.steps);
        } else {
            let steps = whole.grid.steps.chunks_exact(all - 1);
            for (to, from) in grid.steps.chunks_exact_mut(points - 1).zip(steps) {
                to.copy_from_slice(&from[first..first + points - 1]);
            }
        }
        if first == 0 {
            grid.initial_values.copy_from_slice(&whole.grid.initial_values);
        } else {
            let states = whole.trajectory.chunks_exact(all * block);
            let states = states.flat_map(|z| z[first * block..][..block].chunks_exact(derivatives));
            for (to, from) in grid.initial_values.chunks_exact_mut(order).zip(states) {
                to.copy_from_slice(&from[..order]);
            }
        }
        for b in 0..batch {
            self.newton.progress[b] =
                Progress { outcome: whole.progress[b].outcome, ..Progress::default() };
        }
        self.newton.hold();
    }

    /// Copies the results of a window into the trajectory of the whole grid, from point `first` on.
    fn store(&self, first: usize, whole: &mut Newton) {
        let block = whole.sizes.block();
        let (all, own) = (whole.sizes.points * block, self.newton.sizes.points * block);
        let pairs =
            whole.trajectory.chunks_exact_mut(all).zip(self.newton.trajectory.chunks_exact(own));
        for (to, from) in pairs {
            to[first * block..][..own].copy_from_slice(from);
        }
        for (to, from) in whole.progress.iter_mut().zip(&self.newton.progress) {
            to.iterations += from.iterations;
            // Only a system that broke down is given up; all others are iterated over the whole
            // grid.
            to.outcome = from.outcome.filter(|outcome| {
                matches!(outcome, Convergence::LinearSolve(_) | Convergence::NonFinite)
            });
        }
    }
}

impl Newton {
    /// Fills the trajectory with constants: u, …, u^(m−1) are the initial values, higher
    /// derivatives zero.
    pub(super) fn hold(&mut self) {
        let Sizes { points, order, derivatives, .. } = self.sizes;
        let (block, given) = (self.sizes.block(), self.sizes.states * order);
        let systems = self.trajectory.chunks_exact_mut(points * block);
        for (z, values) in systems.zip(self.grid.initial_values.chunks_exact(given)) {
            for z in z.chunks_exact_mut(block) {
                let states = z.chunks_exact_mut(derivatives);
                for (z, values) in states.zip(values.chunks_exact(order)) {
                    z[..order].copy_from_slice(values);
                    z[order..].fill(0.0);
                }
            }
        }
    }
}
