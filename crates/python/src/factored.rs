//! What a solve leaves behind: a solver with its factor, among arrays at addresses.

use mechanistic::{Inputs, Plan, ProblemShape, Result, Status};

/// The sizes of a problem: B, N, the number of extra derivatives, and the axes of coefficients,
/// right-hand side, initial values and steps, with one or more leading axes for the batch.
pub type Sizes = (usize, usize, usize, Vec<usize>, Vec<usize>, Vec<usize>, Vec<usize>);

/// The addresses of coefficients, right-hand side, initial values and steps, or of an array for each
/// of them; 0 for one that is not there.
pub type Addresses = [usize; 4];

/// The strides of coefficients, right-hand side, initial values and steps, in numbers.
pub type Strides = [Vec<isize>; 4];

/// The inputs of a problem.
#[derive(Clone, Copy)]
pub struct Arrays<'a> {
    pub sizes: &'a Sizes,
    pub addresses: Addresses,
    /// How they lie, unless all lie row-major and without gaps.
    pub strides: Option<&'a Strides>,
}

impl<'a> Arrays<'a> {
    /// Returns the axes of each input.
    pub fn axes(self) -> Inputs<&'a [usize]> {
        let (_, _, _, c, b, v, s) = self.sizes;
        Inputs { coefficients: c, rhs: b, initial_values: v, steps: s }
    }
}

/// The addresses of arrays in the layouts of the solution (B, N, K, Q) and of ε (B); 0 for one that
/// is not there.
pub type Pair = [usize; 2];

/// The addresses of the solution (B, N, K, Q), ε (B) and the statuses (B, int32); 0 on the CPU for one that
/// is not wanted.
pub type Results = [usize; 3];

/// A solver that holds the factor of one solve. `stream` is the CUDA stream of the caller, and
/// means nothing on the CPU.
pub trait Factored: Send {
    /// Computes the gradients of the inputs whose targets are given, from `count` cotangents, one after the other.
    fn vjp(
        &mut self,
        stream: usize,
        inputs: Arrays<'_>,
        count: usize,
        cotangents: Pair,
        targets: Addresses,
    ) -> Result<()>;

    /// Computes the directional derivatives of the solution and of ε along `count` tangents, one after the other.
    fn jvp(
        &mut self,
        stream: usize,
        inputs: Arrays<'_>,
        count: usize,
        tangents: Addresses,
        results: Pair,
    ) -> Result<()>;

    /// Computes M⁻¹ q.
    fn inverse(&mut self, stream: usize, inputs: Arrays<'_>, q: Pair, results: Pair) -> Result<()>;

    /// Returns how each system ended; of a solve on a device whose statuses nobody asked for, nothing.
    fn statuses(&self) -> &[Status];

    /// Returns the plan of the solve, for people to read.
    fn plan(&self) -> Plan;

    /// Gives the solver back to the idle ones.
    fn give_back(self: Box<Self>);
}

/// Returns the shape of a problem of these sizes.
pub fn problem_shape((batch, points, extra, c, b, v, s): &Sizes) -> Result<ProblemShape> {
    let axes = Inputs { coefficients: &c[..], rhs: b, initial_values: v, steps: s };
    ProblemShape::new(*batch, *points, axes)?.with_extra_derivatives(*extra)
}

/// Returns the number that stands for a status in Python (`mechanistic.Status`).
pub fn code(status: Status) -> i32 {
    match status {
        Status::Ok => 0,
        Status::NonFiniteInput { .. } => 1,
        Status::InvalidStep { .. } => 2,
        Status::Breakdown { .. } => 3,
        Status::Overflow => 4,
        _ => 5,
    }
}

/// The number of failed systems that a message describes.
const DESCRIBED: usize = 5;

/// Returns what is wrong with the systems that were not solved, for people to read.
pub fn describe_failures(statuses: &[Status]) -> String {
    let failed: Vec<_> =
        statuses.iter().enumerate().filter(|(_, status)| !status.is_ok()).collect();
    let describe = |&(system, status): &(usize, &Status)| format!("system {system}: {status}");
    let mut described: Vec<_> = failed.iter().take(DESCRIBED).map(describe).collect();
    if failed.len() > DESCRIBED {
        described.push("…".into());
    }
    let (failed, total) = (failed.len(), statuses.len());
    format!("{failed} of {total} systems were not solved ({})", described.join("; "))
}
