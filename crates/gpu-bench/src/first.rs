//! The time from opening the device to the first solution.

use std::time::Instant;

use mechanistic::cuda::CudaPath;

use crate::{Failure, counted, device, device_problem::DeviceProblem, table::Table};

/// Measures what a program waits for before its first solution and its first gradient, most of which
/// the driver spends on translating kernels unless its cache has them. Only the first call in a
/// process tells this.
pub fn measure() -> Result<Table, Failure> {
    let mut table = Table::new(&["until", "ms"]);
    let begin = Instant::now();
    let mut passed =
        |what: &str| table.push([what.into(), (begin.elapsed().as_secs_f64() * 1e3).into()]);
    let device = device()?;
    passed("device opened");
    let workload = counted::taylor(32, 50, 1, 2);
    let mut problem = DeviceProblem::<f64>::new(&device, &workload, CudaPath::Auto)?;
    passed("solver made");
    problem.solve()?;
    device.synchronize()?;
    passed("first solution");
    problem.differentiate()?;
    device.synchronize()?;
    passed("first gradient");
    Ok(table)
}
