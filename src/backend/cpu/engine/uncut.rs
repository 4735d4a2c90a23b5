//! Long systems that are factorized once more, whole.

use super::Batch;
use crate::backend::cpu::lanes::Vector;
use crate::backend::engine::Engine;
use crate::error::Result;
use crate::memory::{grow, zeros};
use crate::problem::Problem;
use crate::real::Real;
use crate::solution::{SolutionMut, Status};

/// A batch of few long systems that is not cut into chunks.
pub(super) struct Uncut<V, R> {
    pub batch: Batch<V, R>,
    /// Statuses of the systems, (B).
    pub status: Vec<Status>,
    /// Whether the factor is that of the last solve.
    pub current: bool,
}

impl<V: Vector, R: Real> Batch<V, R> {
    /// Returns the same batch uncut, and factorized; `room` is that for a solution, if the caller has it.
    pub(super) fn uncut(
        &mut self,
        problem: &Problem<'_, R>,
        room: Option<&mut [R]>,
    ) -> Result<&mut Uncut<V, R>> {
        let uncut = match &mut self.uncut {
            Some(uncut) => uncut,
            none => none.insert(Box::new(Uncut {
                batch: Batch::new(problem.shape(), &self.options, false)?,
                status: zeros("status", problem.shape().batch)?,
                current: false,
            })),
        };
        if !uncut.current {
            let mut own = Vec::new();
            let room = match room {
                Some(room) => room,
                None => {
                    grow("solution", problem.shape().solution().iter().product(), &mut own)?;
                    &mut own
                }
            };
            let solution = SolutionMut { values: room, epsilon: None };
            uncut.batch.solve(problem, solution, &mut uncut.status)?;
            uncut.current = true;
        }
        Ok(uncut)
    }
}
