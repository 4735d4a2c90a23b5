//! The solvers that are idle: each has a plan and a workspace, and serves the next problem of its
//! shape and options.

use mechanistic::{Options, ProblemShape, Real, Result, Solver};
use pyo3::prelude::*;

use crate::process::PerProcess;

/// A solver that holds the factor of one solve, or of none.
pub struct Held<T: Real> {
    pub solver: Solver<T>,
    pub options: Options,
    /// Memory in bytes that it takes, with its results.
    bytes: usize,
}

/// The idle solvers of one precision, those used last at the end.
pub type Pool<T> = PerProcess<Vec<Held<T>>>;

/// The most memory in bytes that idle solvers of one precision keep, except for a single one.
const MOST_IDLE_BYTES: usize = 1 << 30;
/// The most idle solvers of one precision.
const MOST_IDLE: usize = 64;

/// A precision, whose solvers have a pool.
pub trait Pooled: Real {
    fn pool() -> &'static Pool<Self>;
}

impl Pooled for f64 {
    fn pool() -> &'static Pool<f64> {
        static POOL: Pool<f64> = Pool::new();
        &POOL
    }
}

impl Pooled for f32 {
    fn pool() -> &'static Pool<f32> {
        static POOL: Pool<f32> = Pool::new();
        &POOL
    }
}

impl<T: Pooled> Held<T> {
    /// Takes an idle solver for problems of this shape, or makes one.
    pub fn take(shape: &ProblemShape, options: &Options) -> Result<Self> {
        let suits = |held: &Held<T>| held.solver.shape() == shape && held.options == *options;
        {
            let mut idle = T::pool().lock();
            if let Some(place) = idle.iter().rposition(suits) {
                return Ok(idle.remove(place));
            }
        }
        let solver = Solver::new(shape, options)?;
        let numbers: usize = shape.solution().iter().product();
        let inputs: usize =
            shape.inputs().into_iter().map(|axes| axes.iter().product::<usize>()).sum();
        let results = (2 * numbers).saturating_add(inputs).saturating_mul(size_of::<T>());
        let bytes = solver.plan().workspace_bytes.saturating_add(results);
        Ok(Held { solver, options: *options, bytes })
    }

    /// Gives the solver back; those that were idle longest go where there are too many.
    pub fn give_back(self) {
        let mut idle = T::pool().lock();
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

fn bytes<T: Real>(idle: &[Held<T>]) -> usize {
    idle.iter().fold(0, |sum, held| sum.saturating_add(held.bytes))
}

/// Returns how many solvers are idle, and the memory in bytes that they take.
#[pyfunction]
pub fn cache_info() -> (usize, usize) {
    fn of<T: Pooled>() -> (usize, usize) {
        let idle = T::pool().lock();
        (idle.len(), bytes(&idle))
    }
    let (double, single) = (of::<f64>(), of::<f32>());
    (double.0 + single.0, double.1.saturating_add(single.1))
}

/// Drops all idle solvers.
#[pyfunction]
pub fn clear_cache() {
    fn of<T: Pooled>() {
        let gone = std::mem::take(&mut *T::pool().lock());
        drop(gone);
    }
    of::<f64>();
    of::<f32>();
}
