//! Every kind of solve and derivative on every path, once and small, for compute-sanitizer, under
//! which a kernel takes a hundred times as long.

use std::sync::Arc;

use kernel_figures::workloads::{Precision, Workload};
use mechanistic::cuda::{CudaDevice, CudaPath};
use mechanistic::{Cotangent, Inputs, Problem, Real, Solver, View};

use crate::{
    Failure,
    counted::taylor,
    device_problem::{extra_derivatives, shape_and_options},
    table::Table,
    training,
};

/// Runs everything once.
pub fn run(device: &Arc<CudaDevice>) -> Result<Table, Failure> {
    let mut table = Table::new(&["problem", "path"]);
    for workload in [taylor(5, 20, 1, 2), taylor(5, 20, 2, 2), taylor(3, 20, 5, 1)] {
        for path in [
            CudaPath::Auto,
            CudaPath::Thread,
            CudaPath::Chunk,
            CudaPath::Span,
            CudaPath::Team,
            CudaPath::TeamChunk,
        ] {
            for precision in [Precision::F64, Precision::F32] {
                let workload = Workload { precision, ..workload };
                let path = match precision {
                    Precision::F64 => differentiate::<f64>(device, &workload, path)?,
                    Precision::F32 => differentiate::<f32>(device, &workload, path)?,
                };
                table.push([workload.to_string().into(), path.into()]);
            }
        }
    }
    training::measure(device, true)?;
    table.notes.push("and a training step in f64 and f32".into());
    Ok(table)
}

/// Solves, with all derivatives, residuals and variances, and returns the path that was taken.
fn differentiate<T: Real>(
    device: &Arc<CudaDevice>,
    workload: &Workload,
    path: CudaPath,
) -> Result<String, Failure> {
    let (shape, options) = shape_and_options(workload)?;
    // Values that look irregular: fractional parts of multiples of the golden ratio.
    let array = |axes: &[usize]| -> Vec<T> {
        let count: usize = axes.iter().product();
        (0..count).map(|i| T::of((i as f64 * 0.618_033_988_749_895).fract() - 0.3)).collect()
    };
    let axes = Inputs {
        coefficients: shape.coefficients().to_vec(),
        rhs: shape.rhs().to_vec(),
        initial_values: shape.initial_values().to_vec(),
        steps: shape.steps().to_vec(),
    };
    let arrays = Inputs { steps: vec![T::of(0.1)], ..axes.as_ref().map(|axes| array(axes)) };
    let problem = Problem::builder()
        .batch(workload.batch)
        .points(workload.points)
        .coefficients(View::new(&axes.coefficients, &arrays.coefficients))
        .rhs(View::new(&axes.rhs, &arrays.rhs))
        .initial_values(View::new(&axes.initial_values, &arrays.initial_values))
        .steps(View::new(&axes.steps, &arrays.steps))
        .build()?
        .with_extra_derivatives(extra_derivatives(workload))?;
    let mut solver = Solver::<T>::on_cuda_path(device, &shape, &options, path)?;
    let values = solver.solve(&problem)?.values.clone();
    solver.residuals(&problem)?;
    solver.variances(&problem)?;
    solver.vjp(&problem, &Cotangent { values: &values, epsilon: None })?;
    solver.jvp(&problem, &arrays.as_ref().map(|array| Some(array.as_slice())))?;
    device.synchronize()?;
    Ok(solver.plan().path)
}
