//! The command `mnn bench`, which times one forward and one backward solve.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
#[cfg(feature = "cuda")]
use mechanistic::cuda::CudaPath;
use mechanistic::{
    Cotangent, Device, DeviceName, Error, Inputs, Options, Problem, ProblemShape, Real, Result,
    Smoothness, Solver, View, ensure_memory,
};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use tracing::subscriber::NoSubscriber;

use crate::interrupt;

/// Time the forward and the backward solve of a random batch
///
/// What the published solver computes: least squares with Taylor rows, not refined; all coefficients
/// differ by system and by point, one equation a state, initial values below the highest derivative.
/// Medians, after a warm-up, in milliseconds. With `--default-options`, what this library does unless
/// something else is asked for: Hermite rows, refined once.
#[derive(clap::Args)]
pub struct Arguments {
    /// B: systems
    #[arg(long, value_name = "B")]
    batch: usize,
    /// N: time points
    #[arg(long, value_name = "N")]
    points: usize,
    /// K: states
    #[arg(long, value_name = "K")]
    states: usize,
    /// Highest derivative
    #[arg(long, value_name = "D")]
    order: usize,
    /// Type of the numbers
    #[arg(long, value_enum, default_value_t = Dtype::F64)]
    dtype: Dtype,
    /// Solve with the library's default options
    #[arg(long)]
    default_options: bool,
    /// Where to compute: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceName,
    /// Which kernels of a CUDA device solve: auto, thread, chunk, span, team or team-chunk
    #[cfg(feature = "cuda")]
    #[arg(long, value_name = "PATH", default_value = "auto", hide = true)]
    cuda_path: CudaPath,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dtype {
    F64,
    F32,
}

/// The least time and the least number of measurements.
const TIME: Duration = Duration::from_secs(1);
const RUNS: usize = 5;

/// Measures the solves and prints the times.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let medians = match arguments.dtype {
        Dtype::F64 => measure::<f64>(arguments)?,
        Dtype::F32 => measure::<f32>(arguments)?,
    };
    let text = match arguments.json {
        true => {
            let [forward, backward, total] = medians;
            let medians = serde_json::json!({
                "forward_ms": forward,
                "backward_ms": backward,
                "total_ms": total,
            });
            format!("{medians}\n")
        }
        false => in_words(medians) + "\n",
    };
    crate::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn in_words([forward, backward, total]: [f64; 3]) -> String {
    format!("forward {forward:.3} ms, backward {backward:.3} ms, total {total:.3} ms")
}

/// Returns the medians in milliseconds: forward, backward, both together.
fn measure<T: Real>(arguments: &Arguments) -> Result<[f64; 3]> {
    let Arguments { batch: b, points: n, states: k, order, .. } = *arguments;
    for (name, value, least) in
        [("--batch", b, 1), ("--points", n, 2), ("--states", k, 1), ("--order", order, 1)]
    {
        if value < least {
            let message = format!("must be at least {least}, got {value}");
            return Err(Error::Argument { argument: name.into(), message });
        }
    }
    let device = arguments.device.open()?;
    let q = order.saturating_add(1);
    let steps = [T::of(0.1)];
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let shapes = [&[b, n, k, k, q][..], &[b, n, k], &[b, 1, k, order], &[1, 1]];
    let [coefficients, rhs, initial_values, steps_shape] = shapes;
    let inputs = Inputs { coefficients, rhs, initial_values, steps: steps_shape };
    let shape = ProblemShape::new(b, n, inputs)?;
    // The solver comes first, because it needs more than its inputs and says how much.
    let smoothness = Smoothness::TaylorHold;
    let options = match arguments.default_options {
        true => Options::default(),
        false => Options { smoothness, refinement_steps: Some(0), ..Options::default() },
    };
    let mut solver = solver::<T>(arguments, &device, &shape, &options)?;
    let count =
        |axes: &[usize]| axes.iter().fold(size_of::<T>(), |n, &axis| n.saturating_mul(axis));
    let solution = [b, n, k, q];
    let bytes = shapes.iter().map(|axes| count(axes)).fold(count(&solution), usize::saturating_add);
    ensure_memory("the problem", &[(bytes, 1)])?;
    let mut array = |axes: &[usize]| -> Vec<T> {
        let next = || T::of(StandardNormal.sample(&mut random));
        std::iter::repeat_with(next).take(axes.iter().product()).collect()
    };
    let [coefficients, rhs, initial_values] = [shapes[0], shapes[1], shapes[2]].map(&mut array);
    let cotangent = array(&solution);
    let problem = Problem::builder()
        .batch(b)
        .points(n)
        .coefficients(View::new(shapes[0], &coefficients))
        .rhs(View::new(shapes[1], &rhs))
        .initial_values(View::new(shapes[2], &initial_values))
        .steps(View::new(shapes[3], &steps))
        .build()?;
    let cotangent = Cotangent { values: &cotangent, epsilon: None };

    let times: Arc<Mutex<[Vec<f64>; 3]>> = Arc::default();
    let measured = times.clone();
    interrupt::on_interrupt(move || {
        let times = measured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let runs = times[0].len();
        if runs > 0 {
            crate::tell(format_args!("of {runs} runs: {}", in_words(times.map(median))));
        }
    });
    let times = || times.lock().unwrap_or_else(PoisonError::into_inner);
    // A random problem may grow beyond what least squares keep. That is no news to the user, and the
    // solver says it once at most.
    tracing::subscriber::with_default(NoSubscriber::new(), || solver.solve(&problem).map(drop))?;
    let begin = Instant::now();
    let mut warm = false;
    while times()[0].len() < RUNS || begin.elapsed() < TIME {
        let start = Instant::now();
        solver.solve(&problem)?;
        let middle = Instant::now();
        solver.vjp(&problem, &cotangent)?;
        let end = Instant::now();
        if warm {
            for (times, time) in times().iter_mut().zip([middle - start, end - middle, end - start])
            {
                times.push(time.as_secs_f64() * 1e3);
            }
        }
        warm = true;
    }
    let times = times().clone();
    Ok(times.map(median))
}

/// Makes the solver on the device, with the path that the arguments name.
#[cfg(feature = "cuda")]
fn solver<T: Real>(
    arguments: &Arguments,
    device: &Device,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Solver<T>> {
    match device {
        Device::Cuda(device) => Solver::on_cuda_path(device, shape, options, arguments.cuda_path),
        other => Solver::on(other, shape, options),
    }
}

/// Makes the solver on the device.
#[cfg(not(feature = "cuda"))]
fn solver<T: Real>(
    _arguments: &Arguments,
    device: &Device,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Solver<T>> {
    Solver::on(device, shape, options)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
