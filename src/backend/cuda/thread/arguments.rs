//! What all kernels of the path are launched with, according to the plan.

use cudarc::driver::CudaViewMut;

use super::plan::{Plan, Staging};
use crate::backend::cuda::bindings::{
    Problem, STORAGE_F64, ThreadChunks, ThreadProblem, ThreadRing,
};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{LaunchShape, check_length};
use crate::backend::cuda::path::PartProblem;
use crate::error::Result;
use crate::inputs::Inputs;

impl Plan {
    /// Checks an array with the values (N, K, Q) of each system of a part.
    pub fn check_values(&self, problem: &PartProblem<'_>, what: &str, len: usize) -> Result<()> {
        check_length(what, problem.systems() * self.points * self.block(), len)
    }

    /// Returns the shape in which a kernel with this staging is launched for a part.
    pub fn shape(&self, problem: &PartProblem<'_>, staging: &Staging) -> LaunchShape {
        LaunchShape {
            blocks: self.blocks(problem.systems()) as u64,
            threads: (self.block_threads() as u32, 1),
            dynamic_shared: self.block_bytes(staging.bytes),
        }
    }

    /// Returns the argument that all kernels take, with the workspace divided into its arrays.
    pub fn arguments(
        &self,
        device: &CudaDevice,
        staging: &Staging,
        problem: &PartProblem<'_>,
        workspace: &mut CudaViewMut<'_, u8>,
    ) -> Result<ThreadProblem> {
        let arrays = self.workspace(problem.systems());
        let enough = workspace.len().min(arrays.bytes);
        check_length("workspace", arrays.bytes, enough)?;
        let base = device.address_mut(workspace).pointer::<u8>();
        let vector = |offset: usize| base.wrapping_add(offset).cast::<f64>();
        let none = std::ptr::null_mut();
        let parameters = &problem.parameters;
        let inputs =
            [parameters.coefficients, parameters.rhs, parameters.initial_values, parameters.steps];
        let wide = parameters.results == STORAGE_F64
            || inputs.iter().any(|input| input.storage == STORAGE_F64);
        let wide = i32::from(wide);
        let Inputs { coefficients, rhs, initial_values, steps } =
            staging.inputs.map(|ring| in_slots(ring, wide));
        Ok(ThreadProblem {
            problem: Problem {
                refinement: i32::try_from(self.refinement).unwrap_or(i32::MAX),
                ..problem.parameters
            },
            rows: self.rows,
            coefficients,
            rhs,
            initial_values,
            steps,
            unknowns: in_slots(staging.unknowns, wide),
            wide,
            reserved: 0,
            factor: vector(arrays.factor),
            solution: vector(arrays.solution),
            vector: vector(arrays.vector),
            given: arrays.given.map_or(none, vector),
            direction: arrays.direction.map_or(none, vector),
            chunks: ThreadChunks {
                bits: self.chunks.map_or(0, |chunks| chunks.bits as i32),
                span_bits: self.chunks.map_or(0, |chunks| chunks.span_bits as i32),
                warp_values: (staging.bytes / 8) as i32,
                scratch: staging.scratch as i32,
                spikes: arrays.spikes.map_or(none, vector),
                separators: arrays.separators.map_or(none, vector),
                findings: arrays.findings.map_or(none, vector).cast(),
            },
        })
    }
}

/// Returns a ring of the plan, whose capacity is in bytes, with slots of 8 bytes or of 4.
fn in_slots(ring: ThreadRing, wide: i32) -> ThreadRing {
    ThreadRing { capacity: ring.capacity / if wide != 0 { 8 } else { 4 }, ..ring }
}
