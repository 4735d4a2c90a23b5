//! The faults for which a launch fails.

use std::fmt;

/// A kind of fault; each has the CUDA error that a GPU would give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The launch itself is not allowed: block, grid or shared memory too large.
    InvalidConfiguration,
    /// An access outside every allocation, after a free, or to a read-only space.
    IllegalAddress,
    /// An address that is not a multiple of the access size.
    MisalignedAddress,
    /// An access outside the shared or local memory of the thread.
    OutOfBounds,
    /// A failed `assert`.
    Assert,
    /// `trap` or `brkpt`.
    Trap,
    /// Two conflicting accesses without synchronization.
    Race,
    /// A read of memory that was never written.
    Uninitialized,
    /// A barrier or warp collective that not all its threads reach.
    BarrierDivergence,
    /// A warp that executes more instructions than the watchdog allows.
    Timeout,
    /// An instruction that PTX allows and this simulator does not carry out; it never guesses.
    Unsupported,
}

/// A fault of a running kernel, with everything known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Kind of the fault.
    pub kind: FaultKind,
    /// Text of the whole report: what happened, kernel, block, thread, PTX line, source line.
    pub report: String,
    /// Linear index of the block.
    pub block: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report)
    }
}

impl std::error::Error for Fault {}

/// A fault as an instruction finds it, before its place is known.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
    /// Lane that has the fault, if there is one.
    pub(crate) lane: Option<u32>,
}

impl Violation {
    pub(crate) fn new(kind: FaultKind, lane: Option<u32>, message: String) -> Box<Self> {
        Box::new(Self { kind, message, lane })
    }
}
