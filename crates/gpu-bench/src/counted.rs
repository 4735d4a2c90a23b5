//! Ten kernels, once each, for Nsight Compute and for the counters of the simulated driver.

use std::sync::Arc;

use kernel_figures::workloads::{Precision, Workload};
use mechanistic::Smoothness;
use mechanistic::cuda::{CudaDevice, CudaPath};

use crate::{Failure, device_problem::DeviceProblem, table::Table};

/// Returns a workload in double precision with these sizes (B, N, K, order), refined once.
pub fn taylor(batch: usize, points: usize, states: usize, order: usize) -> Workload {
    Workload {
        batch,
        simulated: batch,
        points,
        states,
        order,
        smoothness: Smoothness::TaylorHold,
        precision: Precision::F64,
        refinement: None,
        tested: false,
    }
}

/// Solves and differentiates one problem for each pair of kernels. The batches are small, because the
/// simulated driver counts the same ones; nothing that is counted depends on the batch but the
/// total.
pub fn run(device: &Arc<CudaDevice>, tiny: bool) -> Result<Table, Failure> {
    let batch = |systems: usize| if tiny { systems.div_ceil(32) } else { systems };
    let cases = [
        (taylor(batch(1024), 50, 1, 2), CudaPath::Thread),
        (taylor(batch(512), 64, 2, 2), CudaPath::Thread),
        (taylor(batch(64), 200, 1, 2), CudaPath::Chunk),
        (taylor(batch(32), 64, 8, 2), CudaPath::Team),
        (taylor(1, if tiny { 64 } else { 1000 }, 3, 1), CudaPath::TeamChunk),
    ];
    let mut table = Table::new(&["problem", "path"]);
    for (workload, path) in cases {
        let mut problem = DeviceProblem::<f64>::new(device, &workload, path)?;
        problem.solve()?;
        problem.differentiate()?;
        device.synchronize()?;
        table.push([workload.to_string().into(), problem.solver.plan().path.into()]);
    }
    Ok(table)
}
