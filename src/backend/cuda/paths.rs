//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use super::team::{TeamPath, plan::Plan as TeamPlan};
use super::thread::ThreadPath;
use super::thread::plan::Plan;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The environment variable that takes the choice over, to compare paths: `team`, `thread`, `chunk`
/// or `team-chunk` (the latter three where there are kernels for the shape; `team-chunk` from 16
/// points on, with Cholesky's method, where two chunks fit the shared memory).
const VARIABLE: &str = "MECHANISTIC_CUDA_PATH";

// A system a thread, or a chunk of its time points a thread (Plan::best chooses), wherever there are
// kernels for that. What bounds these solves is the issue of instructions: a scheduler issues one a
// clock, so that the time is the instructions of a warp times the warps that share a scheduler. A warp
// of threads issues about as many for a time point as a warp of teams (thread/plan.rs has its counts),
// but has 32 systems instead of 3 or 4. Where a system a thread would be one long sequence of points on
// an idle device, teams share the points of a system (team/plan/chunks.rs).

/// The path for problems of this shape.
///
/// # Errors
/// [`Error::Device`] if its kernels cannot be loaded, [`Error::Argument`] if one system is too
/// large for the device.
pub fn choose<T: Real>(
    device: &Arc<CudaDevice>,
    shape: &ProblemShape,
    options: &Options,
) -> Result<Box<dyn Path<T>>> {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let limits = device.limits();
    let plan = match wanted.as_str() {
        "" => Plan::best(shape, options, limits),
        "thread" => Plan::new(shape, options),
        "chunk" => Plan::best_of_chunks(shape, options, limits),
        "team" | "team-chunk" => None,
        other => {
            let message = format!("expected team, thread, chunk or team-chunk, got `{other}`");
            return Err(Error::argument(VARIABLE, message));
        }
    };
    let team = |plan| Ok(Box::new(TeamPath::new(device, plan)?) as Box<dyn Path<T>>);
    match (plan, wanted.as_str()) {
        (Some(plan), "") if plan.chunks.is_none() => {
            match TeamPlan::new(shape, options, limits)?.chunked(limits) {
                // A system a thread takes at least as long as its points one after another.
                Some(chunked) if chunked.pays(shape.points as f64, limits) => team(chunked),
                _ => Ok(Box::new(ThreadPath::new(device, plan)?)),
            }
        }
        (Some(plan), _) => Ok(Box::new(ThreadPath::new(device, plan)?)),
        (None, "team") => team(TeamPlan::new(shape, options, limits)?),
        (None, "team-chunk") => {
            let whole = TeamPlan::new(shape, options, limits)?;
            team(whole.chunked(limits).unwrap_or(whole))
        }
        (None, _) => team(TeamPlan::best(shape, options, limits)?),
    }
}
