//! How a solver works, for people to read.

use std::fmt;

/// How problems of one shape are solved ([`Solver::plan`](crate::Solver::plan)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Where: `cpu`, `cuda:0`.
    pub device: String,
    /// The algorithm and how it is spread over threads.
    pub path: String,
    /// Parts that the batch is cut into because the memory does not hold the workspace of all; the
    /// adjoint then solves every part again.
    pub parts: usize,
    /// Launches of kernels in a solve; 0 where there are none.
    pub forward_launches: usize,
    /// Launches of kernels in a vjp.
    pub adjoint_launches: usize,
    /// Memory that stays allocated between solves, without inputs and results.
    pub workspace_bytes: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { device, path, parts, forward_launches, adjoint_launches, workspace_bytes } =
            self;
        writeln!(f, "device:    {device}")?;
        writeln!(f, "path:      {path}")?;
        writeln!(f, "parts:     {parts}")?;
        writeln!(f, "launches:  {forward_launches} forward, {adjoint_launches} adjoint")?;
        write!(f, "workspace: {workspace_bytes} bytes")
    }
}
