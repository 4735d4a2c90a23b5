//! Paths with plans that the tests make.

use crate::backend::cuda::path::Path;
use crate::backend::cuda::solve::engine::Engine;
use crate::backend::cuda::team::{TeamPath, plan::Plan as TeamPlan};
use crate::backend::cuda::testing;
use crate::backend::cuda::thread::{ThreadPath, chunks::Chunks, plan::Plan as ThreadPlan};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// A path, with what its plan would choose by itself.
#[derive(Clone, Copy, Debug)]
pub enum TestPath {
    /// A system a thread.
    Thread,
    /// 2^`bits` chunks of a system, each a thread's.
    ThreadChunks { bits: u32 },
    /// A system a team; so many bytes of shared memory a block, or all there are.
    Team { shared_memory: Option<usize> },
    /// So many chunks of a system, each a team's, and so many systems a block.
    TeamChunks { chunks: usize, systems: usize },
}

impl TestPath {
    /// The path for problems of a shape that it has kernels for.
    pub fn path<T: Real>(self, shape: &ProblemShape, options: &Options) -> Box<dyn Path<T>> {
        let device = testing::device();
        let mut limits = *device.limits();
        let by_threads = |plan: Option<ThreadPlan>| {
            let plan = plan.expect("a size with kernels");
            Box::new(ThreadPath::<T>::new(&device, plan).unwrap())
        };
        match self {
            TestPath::Thread => by_threads(ThreadPlan::new(shape, options)),
            TestPath::ThreadChunks { bits } => {
                let chunks = Chunks { bits };
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
        }
    }

    /// A solver of the device that takes this path.
    pub fn engine<T: Real>(self, shape: &ProblemShape, options: &Options) -> Engine<T> {
        Engine::with_path(&testing::device(), shape, options, self.path(shape, options)).unwrap()
    }
}
