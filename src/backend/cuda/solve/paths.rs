//! The choice of the path that solves a problem.

use std::str::FromStr;
use std::sync::Arc;

use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::Path;
use crate::backend::cuda::team::{TeamPath, plan::Plan as TeamPlan};
use crate::backend::cuda::thread::{self, plan::Plan};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The path that is to be taken, for tests and for profiling, which compare paths. A path that has
/// no kernels for a shape leaves it to teams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CudaPath {
    /// The path that promises to be the fastest.
    #[default]
    Auto,
    /// Two threads solve a system, from both ends.
    Thread,
    /// One thread solves a chunk of the time points of a system.
    Chunk,
    /// The same, with the chunks of a system spread over blocks, from 8 points on, where four chunks of every
    /// system give no scheduler more than two warps.
    Span,
    /// A team of threads solves a system, or two from both ends.
    Team,
    /// A team of threads solves a chunk of the time points of a system, from 16 points on, where
    /// two chunks fit the shared memory.
    TeamChunk,
}

impl FromStr for CudaPath {
    type Err = Error;

    /// Reads the name of a path.
    ///
    /// # Errors
    /// [`Error::Argument`] for another name.
    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "auto" => CudaPath::Auto,
            "thread" => CudaPath::Thread,
            "chunk" => CudaPath::Chunk,
            "span" => CudaPath::Span,
            "team" => CudaPath::Team,
            "team-chunk" => CudaPath::TeamChunk,
            other => {
                let message =
                    format!("expected auto, thread, chunk, span, team, team-chunk, got `{other}`");
                return Err(Error::argument("cuda-path", message));
            }
        })
    }
}

// Half of the time points of a system a thread, or a chunk of them (Plan::best chooses), wherever there are
// kernels for that. As a rule a scheduler issues one instruction a clock, so that the time is the instructions
// of a warp times the warps that share a scheduler; where these are few it is longer (docs/kernels.md). A warp
// of threads issues about as many for a time point as a warp of teams (thread/plan.rs has its counts),
// but has 32 systems instead of 3 or 4. Chunks of systems that are long for one multiprocessor are
// spread over all (Plan::best again, by the latency). Where half a system a thread would be one
// long sequence of points on an idle device, teams share the points of a system (team/plan/chunks.rs).

/// Makes the path for problems of this shape.
///
/// # Errors
/// [`Error::Device`] if its kernels cannot be loaded, [`Error::Argument`]
/// if one system is too large for the device.
pub fn choose<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
    wanted: CudaPath,
) -> Result<Box<dyn Path<T>>> {
    let limits = device.limits();
    let threads = match wanted {
        CudaPath::Auto => Plan::best(shape, options, limits),
        CudaPath::Thread => Plan::new(shape, options, limits.shared_memory),
        CudaPath::Chunk => Plan::best_of_chunks(shape, options, limits),
        CudaPath::Span => Plan::spread(shape, options, limits, 2),
        CudaPath::Team | CudaPath::TeamChunk => None,
    };
    let team = |plan| Ok(Box::new(TeamPath::new(device, plan)?) as Box<dyn Path<T>>);
    if let Some(plan) = threads {
        if wanted == CudaPath::Auto && plan.chunks.is_none() {
            let chunked = TeamPlan::new(shape, options, limits)?.chunked(limits);
            // Half a system a thread takes at least as long as its points one after another.
            let half = shape.points as f64 / 2.0;
            if let Some(chunked) = chunked.filter(|c| c.pays(half, limits)) {
                return team(chunked);
            }
        }
        return thread::path(device, plan);
    }
    let whole = || TeamPlan::new(shape, options, limits);
    match wanted {
        CudaPath::Team => team(whole()?),
        CudaPath::TeamChunk => {
            let whole = whole()?;
            team(whole.chunked(limits).unwrap_or(whole))
        }
        CudaPath::Auto | CudaPath::Thread | CudaPath::Chunk | CudaPath::Span => {
            team(TeamPlan::best(shape, options, limits)?)
        }
    }
}
