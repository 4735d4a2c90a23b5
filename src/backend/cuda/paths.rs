//! Which path solves a problem.

use std::sync::Arc;

use super::device::CudaDevice;
use super::path::Path;
use super::team::TeamPath;
use super::thread::ThreadPath;
use super::thread::plan::Plan;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::real::Real;
use crate::shape::ProblemShape;

/// The environment variable that takes the choice over, to compare paths: `team`, `thread` or `chunk`
/// (the latter two where there are kernels for the shape).
const VARIABLE: &str = "MECHANISTIC_CUDA_PATH";

// A system a thread, or a chunk of its time points a thread (Plan::best chooses), wherever there are
// kernels for that. What bounds these solves is the issue of
// instructions: a scheduler issues one a clock, so that the time is the instructions of a warp times
// the warps that share a scheduler, ⌈warps / schedulers⌉. Instructions of a warp for each time point,
// solve + gradient, as the simulator counts them:
//
//     (K, Q), precision    a system a thread     a team a system
//     (1, 3), f64          1409 + 1943           3184 + 2915
//     (2, 3), f64          3680 + 4532           5535 + 4290
//     (3, 2), f64          4192 + 5518           5155 + 3908
//     (1, 3), f32          3416 + 3503           7589 + 5764
//     (2, 3), f32          9020 + 8578           13856 + 8437
//     (3, 2), f32          9954 + 10032          13526 + 7668
//
// A warp of threads has 32 systems, a warp of teams 3 or 4, so that teams never make fewer warps;
// and the warp of threads has at most 1.07 times the instructions. Whatever the batch, teams win
// nothing.

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
        "" => Plan::best::<T>(shape, options, limits),
        "thread" => Plan::new::<T>(shape, options),
        "chunk" => Plan::best_of_chunks::<T>(shape, options, limits),
        "team" => None,
        other => {
            let message = format!("expected team, thread or chunk, got `{other}`");
            return Err(Error::argument(VARIABLE, message));
        }
    };
    Ok(match plan {
        Some(plan) => Box::new(ThreadPath::new(device, plan)?),
        None => Box::new(TeamPath::new(device, shape, options)?),
    })
}
