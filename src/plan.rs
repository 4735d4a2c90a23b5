//! The description of how a solver works, for people to read.

use std::fmt;

/// The way in which problems of one shape are solved ([`Solver::plan`](crate::Solver::plan)); its
/// `Display` is a table for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// Name of the device: `cpu`, `cuda:0`.
    pub device: String,
    /// Name of the algorithm and how it is spread over threads.
    pub path: String,
    /// Number of parts that the batch is cut into because the memory does not hold the workspace of
    /// all systems; if there are several, the adjoint solves every part again.
    pub parts: usize,
    /// Number of kernel launches in a solve; 0 on the CPU.
    pub forward_launches: usize,
    /// Number of kernel launches in a vector-Jacobian product; 0 on the CPU.
    pub adjoint_launches: usize,
    /// Memory in bytes that stays allocated between solves, without inputs and results.
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
