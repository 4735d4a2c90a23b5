//! Times of solves and gradients with data on the device, by the device's clock.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use kernel_figures::workloads::{Precision, WORKLOADS, Workload};
use mechanistic::cuda::{CudaDevice, CudaPath};
use mechanistic::{Real, Result};
use serde_json::Value;

use crate::{
    Failure,
    counted::taylor,
    device_problem::{DeviceProblem, bytes_of_arrays},
    estimates, median,
    table::Table,
};

/// The batches of the sweep: 32 to 131 072.
const BATCHES: [usize; 7] = [32, 128, 512, 2048, 8192, 32_768, 131_072];
/// The points of the sweep of long systems.
const POINTS: [usize; 7] = [1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
/// The systems of these.
const LONG_BATCHES: [usize; 2] = [1, 32];
/// Paths with their names.
const PATHS: [(&str, CudaPath); 6] = [
    ("auto", CudaPath::Auto),
    ("thread", CudaPath::Thread),
    ("chunk", CudaPath::Chunk),
    ("span", CudaPath::Span),
    ("team", CudaPath::Team),
    ("team-chunk", CudaPath::TeamChunk),
];
/// Of the free memory, arrays may take one part in so many, because the workspace takes about as much,
/// and at most so many bytes, because they take long to copy.
const PART_OF_MEMORY: usize = 3;
const MOST_BYTES: usize = 8 << 30;
/// The least number of measurements, and the time after which there are enough.
const RUNS: usize = 5;
const ENOUGH: Duration = Duration::from_millis(50);
/// Short work is repeated within a measurement until that takes so many seconds.
const SECONDS_OF_A_RUN: f64 = 2e-3;

/// A row of the table before it is measured: a workload and the place of its path in [`PATHS`].
type Row = (Workload, usize);

/// Returns the rows in the order in which they are measured: the workloads of docs/kernels.md on each
/// path, then all batches and all lengths on the path that the plan chooses, then these on each path.
fn rows() -> Vec<Row> {
    let mut shapes: Vec<Workload> = Vec::new();
    for workload in WORKLOADS.iter().filter(|workload| workload.points <= 100) {
        let shape = Workload { batch: 1, simulated: 1, tested: false, ..*workload };
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    let in_both = |workload: Workload| {
        [Precision::F64, Precision::F32].map(|precision| Workload { precision, ..workload })
    };
    let batches = BATCHES.iter().flat_map(|&batch| {
        shapes.iter().map(move |shape| Workload { batch, simulated: batch, ..*shape })
    });
    let lengths = POINTS.iter().flat_map(|&points| {
        let of = move |batch| [taylor(batch, points, 1, 2), taylor(batch, points, 3, 1)];
        LONG_BATCHES.into_iter().flat_map(of)
    });
    let swept: Vec<Workload> = batches.chain(lengths).flat_map(in_both).collect();
    let documented = WORKLOADS.map(|w| Workload { tested: false, simulated: w.batch, ..w });
    let mut rows: Vec<Row> = Vec::new();
    for workloads in [&documented[..], &swept] {
        for path in 0..PATHS.len() {
            for workload in workloads {
                if !rows.contains(&(*workload, path)) {
                    rows.push((*workload, path));
                }
            }
        }
    }
    rows
}

/// Returns a few small rows, one for each path.
fn tiny_rows() -> Vec<Row> {
    (0..PATHS.len()).map(|path| (taylor(4, 40, 1, 2), path)).collect()
}

/// Measures all rows that begin within so many seconds.
pub fn measure(
    device: &Arc<CudaDevice>,
    document: Option<&Path>,
    seconds: f64,
    tiny: bool,
) -> std::result::Result<Table, Failure> {
    let document = document
        .map(|path| {
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        })
        .transpose()?;
    let card = device.name()?;
    let mut table = Table::new(&[
        "B × N × K × order",
        "path",
        "solve, µs",
        "gradient, µs",
        "estimates of the solve, µs",
        "estimates of the gradient, µs",
        "not solved",
        "plan",
    ]);
    let begin = Instant::now();
    let rows = if tiny { tiny_rows() } else { rows() };
    let (all, mut done, mut large) = (rows.len(), 0, 0);
    // A path that has no kernels for a shape takes another path's plan, which is measured once.
    let mut plans: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (workload, path) in rows {
        if begin.elapsed().as_secs_f64() > seconds {
            break;
        }
        done += 1;
        if bytes_of_arrays::<f64>(&workload)
            > MOST_BYTES.min(device.free_memory()? / PART_OF_MEMORY)
        {
            large += 1;
            continue;
        }
        let name = workload.to_string();
        let known = plans.entry(name.clone()).or_default();
        let path = PATHS[path];
        let measured = match workload.precision {
            Precision::F64 => measure_row::<f64>(device, &workload, path.1, known),
            Precision::F32 => measure_row::<f32>(device, &workload, path.1, known),
        };
        let estimates = |direction: &str| -> Value {
            let of_path = document.as_deref().filter(|_| path.1 == CudaPath::Auto);
            let found = of_path.map(|text| estimates::of(text, direction, &name, &card));
            let texts: Vec<String> = found
                .unwrap_or_default()
                .into_iter()
                .map(|(column, time)| format!("{column} {time}"))
                .collect();
            texts.join(", ").into()
        };
        let (solve, gradient) = (estimates("solve"), estimates("gradient"));
        match measured {
            Ok(Some(Times { solve: forward, gradient: backward, unsolved, plan })) => table.push([
                name.into(),
                path.0.into(),
                forward.into(),
                backward.into(),
                solve,
                gradient,
                unsolved.into(),
                plan.into(),
            ]),
            Ok(None) => {}
            Err(error) => {
                table.failed = true;
                table.push([
                    name.into(),
                    path.0.into(),
                    Value::Null,
                    Value::Null,
                    solve,
                    gradient,
                    Value::Null,
                    error.to_string().into(),
                ]);
            }
        }
    }
    table.notes.push(format!(
        "{done} of {all} rows begun within {seconds} s; {large} left out because their arrays are too \
         large for the memory; a path that falls back to another is not measured again"
    ));
    if tiny {
        table.notes.push("tiny sizes: the times say nothing about a card".into());
    }
    Ok(table)
}

/// What is measured of one row: microseconds, systems that were not solved, and the plan.
struct Times {
    solve: f64,
    gradient: f64,
    unsolved: usize,
    plan: String,
}

/// Measures one row, or nothing if its plan is known already.
fn measure_row<T: Real>(
    device: &Arc<CudaDevice>,
    workload: &Workload,
    path: CudaPath,
    known: &mut Vec<String>,
) -> Result<Option<Times>> {
    let mut problem = DeviceProblem::<T>::new(device, workload, path)?;
    let plan = problem.solver.plan();
    let plan = match plan.parts {
        1 => plan.path,
        parts => format!("{}, the batch in {parts} parts", plan.path),
    };
    if known.contains(&plan) {
        return Ok(None);
    }
    known.push(plan.clone());
    let solve = microseconds(device, || problem.solve())?;
    let unsolved = problem.solver.status()?.iter().filter(|status| !status.is_ok()).count();
    let gradient = microseconds(device, || problem.differentiate())?;
    Ok(Some(Times { solve, gradient, unsolved, plan }))
}

/// Returns the median time of the work on the device in microseconds, after a first run.
fn microseconds(device: &Arc<CudaDevice>, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let once = device.time(&mut work)?.as_secs_f64();
    let repeated = (SECONDS_OF_A_RUN / once.max(1e-6)).clamp(1.0, 64.0) as usize;
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < RUNS || (begin.elapsed() < ENOUGH && times.len() < 10 * RUNS) {
        let time = device.time(|| (0..repeated).try_for_each(|_| work()))?;
        times.push(time.as_secs_f64() * 1e6 / repeated as f64);
    }
    Ok(median(times).expect("there are some"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_covers_all_sizes_precisions_and_paths() {
        let rows = rows();
        for path in 0..PATHS.len() {
            for batch in BATCHES {
                for precision in [Precision::F64, Precision::F32] {
                    let shape = Workload { precision, ..taylor(batch, 64, 8, 2) };
                    assert!(rows.contains(&(shape, path)), "{shape}, {}", PATHS[path].0);
                }
            }
            assert!(rows.contains(&(taylor(1, 1_000_000, 1, 2), path)));
        }
        for workload in &WORKLOADS {
            let first = &rows[..WORKLOADS.len()];
            assert!(
                first
                    .iter()
                    .any(|(row, path)| row.to_string() == workload.to_string() && *path == 0)
            );
        }
    }
}
