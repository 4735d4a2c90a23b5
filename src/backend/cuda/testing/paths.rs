//! The paths of the CUDA backend for its unit tests, which choose what a plan otherwise chooses.
//!
//! A path is one way of solving a batch on the device, and its plan says how the work is dealt out
//! to threads (`path/mod.rs`). By itself a plan cuts time into chunks only where that pays; a test
//! wants chunks of small problems too. A variant that is added here passes the suite of `tests.rs`
//! once it is listed there.

use crate::backend::Device;
use crate::backend::cuda::path::Path;
use crate::backend::cuda::solve::engine;
use crate::backend::cuda::team::{TeamPath, plan::Plan as TeamPlan};
use crate::backend::cuda::testing;
use crate::backend::cuda::thread::{self, chunks::Chunks, plan::Plan as ThreadPlan};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solver::Solver;

/// The path that a test is to take, with what its plan would otherwise choose by itself.
#[derive(Clone, Copy, Debug)]
pub enum TestPath {
    /// Two threads solve a system, from both ends.
    Thread,
    /// The time points of a system are cut into 2^`bits` chunks, and a thread solves each.
    ThreadChunks { bits: u32 },
    /// The same, with 2^`span_bits` chunks of a system in a block.
    ThreadSpans { bits: u32, span_bits: u32 },
    /// A team of threads solves a system, or two from both ends. The device is taken to have this much shared memory for a
    /// block, in bytes; `None` is what it has.
    Team { shared_memory: Option<usize> },
    /// The time points of a system are cut into so many `chunks`, a team of threads solves each,
    /// and a block of teams adds up the gradients of `systems` systems, one after another.
    TeamChunks { chunks: usize, systems: usize },
    /// Two teams of a block solve a system from both ends, and add up the gradients of so many
    /// `systems`, one after another.
    TeamHalves { systems: usize },
}

impl TestPath {
    /// Makes the path for problems of this shape. Panics if the path has no kernels for them or
    /// they cannot be cut so.
    pub fn path<T: Real>(self, shape: &ProblemShape, options: &Options) -> Box<dyn Path<T>> {
        let device = testing::device();
        let mut limits = *device.limits();
        let by_threads = |plan: Option<ThreadPlan>| {
            let plan = plan.expect("a size with kernels");
            thread::path(&device, plan).unwrap()
        };
        match self {
            TestPath::Thread => by_threads(ThreadPlan::new(shape, options, limits.shared_memory)),
            TestPath::ThreadChunks { bits } => {
                let chunks = Chunks::together(bits);
                by_threads(ThreadPlan::chunked(shape, options, chunks, limits.shared_memory))
            }
            TestPath::ThreadSpans { bits, span_bits } => {
                let chunks = Chunks { bits, span_bits };
                by_threads(ThreadPlan::chunked(shape, options, chunks, limits.shared_memory))
            }
            TestPath::Team { shared_memory } => {
                limits.shared_memory = shared_memory.unwrap_or(limits.shared_memory);
                let plan = TeamPlan::new(shape, options, &limits).unwrap();
                Box::new(TeamPath::new(&device, plan).unwrap())
            }
            TestPath::TeamChunks { chunks, systems } => {
                let plan = TeamPlan::new(shape, options, &limits).unwrap();
                let mut plan = plan.with_chunks(chunks, &limits).expect("chunks that fit");
                plan.group = systems;
                Box::new(TeamPath::new(&device, plan).unwrap())
            }
            TestPath::TeamHalves { systems } => {
                let plan = TeamPlan::new(shape, options, &limits).unwrap();
                let mut plan = plan.twisted(&limits).expect("halves that fit");
                plan.group = systems;
                Box::new(TeamPath::new(&device, plan).unwrap())
            }
        }
    }

    /// Makes a solver on the device that takes this path.
    pub fn solver<T: Real>(self, shape: &ProblemShape, options: &Options) -> Solver<T> {
        solver(shape, options, self.path(shape, options))
    }
}

/// Makes a solver on the device that takes a path that was made already.
pub fn solver<T: Real>(
    shape: &ProblemShape,
    options: &Options,
    path: Box<dyn Path<T>>,
) -> Solver<T> {
    let device = testing::device();
    Solver::with_engine(&Device::Cuda(device.clone()), shape, options, || {
        engine::with_path(&device, shape, options, path)
    })
    .unwrap()
}
