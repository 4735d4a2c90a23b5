//! The solvers that are idle: each has a plan and a workspace, and serves the next problem of its
//! shape and options.

use std::collections::BTreeSet;

use mechanistic::cuda::DeviceSolver;
use mechanistic::{Device, Options, ProblemShape, Real, Result, Solver};
use pyo3::prelude::*;

use crate::errors::exception;
use crate::process::PerProcess;

/// A solver that holds the factor of one solve, or of none.
pub struct Held<S> {
    pub solver: S,
    pub options: Options,
    /// Number of the CUDA device; 0 on the CPU.
    pub device: usize,
    /// Memory in bytes that it takes.
    bytes: usize,
}

/// The idle solvers of one kind, those used last at the end. They are some kilobytes, and stay where they are.
pub type Pool<S> = PerProcess<Vec<Box<Held<S>>>>;

/// The most memory in bytes that idle solvers of one kind keep, except for a single one.
const MOST_IDLE_BYTES: usize = 1 << 30;
/// The most idle solvers of one kind.
const MOST_IDLE: usize = 64;

/// A kind of solver, which has a pool.
pub trait Pooled: Sized + Send + 'static {
    fn pool() -> &'static Pool<Self>;
    fn make(device: usize, shape: &ProblemShape, options: &Options) -> Result<Self>;
    fn shape(&self) -> &ProblemShape;
    /// Returns the bytes of the workspace.
    fn workspace(&self) -> usize;
}

/// Implements the trait for a kind of solver of either precision.
macro_rules! pooled {
    ($solver:ident, $number:ty, $make:expr) => {
        impl Pooled for $solver<$number> {
            fn pool() -> &'static Pool<Self> {
                static POOL: Pool<$solver<$number>> = Pool::new();
                &POOL
            }

            fn make(device: usize, shape: &ProblemShape, options: &Options) -> Result<Self> {
                $make(device, shape, options)
            }

            fn shape(&self) -> &ProblemShape {
                self.shape()
            }

            fn workspace(&self) -> usize {
                self.plan().workspace_bytes
            }
        }
    };
}

pooled!(Solver, f64, |_, shape, options| Solver::new(shape, options));
pooled!(Solver, f32, |_, shape, options| Solver::new(shape, options));
pooled!(DeviceSolver, f64, on_device);
pooled!(DeviceSolver, f32, on_device);

fn on_device<T: Real>(
    device: usize,
    shape: &ProblemShape,
    options: &Options,
) -> Result<DeviceSolver<T>> {
    DeviceSolver::new(Device::cuda(device)?.gpu()?, shape, options)
}

impl<S: Pooled> Held<S> {
    /// Takes an idle solver for problems of this shape on this device, if there is one.
    pub fn idle(device: usize, shape: &ProblemShape, options: &Options) -> Option<Box<Self>> {
        let suits = |held: &Held<S>| {
            held.device == device && held.solver.shape() == shape && held.options == *options
        };
        let mut idle = S::pool().lock();
        let place = idle.iter().rposition(|held| suits(held))?;
        Some(idle.remove(place))
    }

    /// Takes an idle solver for problems of this shape on this device, or makes one.
    pub fn take(device: usize, shape: &ProblemShape, options: &Options) -> Result<Box<Self>> {
        if let Some(held) = Held::idle(device, shape, options) {
            return Ok(held);
        }
        let solver = S::make(device, shape, options)?;
        let bytes = solver.workspace();
        Ok(Box::new(Held { solver, options: *options, device, bytes }))
    }

    /// Gives the solver back; those that were idle longest go where there are too many.
    pub fn give_back(self: Box<Self>) {
        let mut idle = S::pool().lock();
        idle.push(self);
        let mut bytes = bytes(&idle);
        let mut dropped = 0;
        while idle.len() - dropped > 1
            && (bytes > MOST_IDLE_BYTES || idle.len() - dropped > MOST_IDLE)
        {
            bytes -= idle[dropped].bytes;
            dropped += 1;
        }
        let gone: Vec<_> = idle.drain(..dropped).collect();
        drop(idle);
        drop(gone);
    }
}

fn bytes<S>(idle: &[Box<Held<S>>]) -> usize {
    idle.iter().fold(0, |sum, held| sum.saturating_add(held.bytes))
}

/// Returns how many solvers are idle, and the memory in bytes that they take.
#[pyfunction]
pub fn cache_info() -> (usize, usize) {
    fn of<S: Pooled>() -> (usize, usize) {
        let idle = S::pool().lock();
        (idle.len(), bytes(&idle))
    }
    let kinds = [
        of::<Solver<f64>>(),
        of::<Solver<f32>>(),
        of::<DeviceSolver<f64>>(),
        of::<DeviceSolver<f32>>(),
    ];
    kinds.iter().fold((0, 0), |sum, kind| (sum.0 + kind.0, sum.1.saturating_add(kind.1)))
}

/// Drops all idle solvers; their memory on CUDA devices goes back to the system.
#[pyfunction]
pub fn clear_cache(py: Python<'_>) -> PyResult<()> {
    /// Returns the devices of the solvers that went.
    fn of<S: Pooled>() -> BTreeSet<usize> {
        let gone = std::mem::take(&mut *S::pool().lock());
        gone.iter().map(|held| held.device).collect()
    }
    py.detach(|| {
        of::<Solver<f64>>();
        of::<Solver<f32>>();
        let mut devices = of::<DeviceSolver<f64>>();
        devices.append(&mut of::<DeviceSolver<f32>>());
        devices.into_iter().try_for_each(|device| {
            let device = Device::cuda(device)?;
            let gpu = device.gpu()?;
            gpu.in_context(|| gpu.trim())
        })
    })
    .map_err(exception)
}
