//! Injects faults: the n-th operation of a kind fails with a chosen error.
//!
//! The environment variable `CUDA_SIM_FAULTS` holds a comma-separated list of
//! `operation:n:error`, for example `allocation:3:OUT_OF_MEMORY,launch:1:719`. Operations are
//! `allocation`, `copy`, `memset`, `launch` and `module_load`; n counts from 1; the error is a
//! number or a name of cuda.h, with or without `CUDA_ERROR_`. A process that has loaded the
//! simulator asks for the same through [`crate::simulator::Simulator::inject`].

use std::sync::{Mutex, PoisonError};

use crate::driver::CuResult;

/// A kind of operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// An allocation of device memory, of any kind, or of page-locked host memory.
    Allocation = 0,
    /// A copy, synchronous or not, also as a node of a graph.
    Copy = 1,
    /// A memset, synchronous or not, also as a node of a graph.
    Memset = 2,
    /// A kernel launch, also as a node of a graph.
    Launch = 3,
    /// The loading of a module.
    ModuleLoad = 4,
}

impl Operation {
    const ALL: [(Self, &str); 5] = [
        (Self::Allocation, "allocation"),
        (Self::Copy, "copy"),
        (Self::Memset, "memset"),
        (Self::Launch, "launch"),
        (Self::ModuleLoad, "module_load"),
    ];

    /// Returns the operation of this number, by which it crosses the library's boundary.
    pub(crate) fn from_value(value: u32) -> Option<Self> {
        let mut all = Self::ALL.iter().map(|&(operation, _)| operation);
        all.find(|&operation| operation as u32 == value)
    }
}

/// A failure that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Kind of the operation that will fail.
    pub operation: Operation,
    /// Number of the operation among those of its kind, counted from now: 1 is the next.
    pub nth: u64,
    /// Error that the operation returns.
    pub error: CuResult,
}

impl Injection {
    /// Reads a list of failures in the syntax of `CUDA_SIM_FAULTS`.
    ///
    /// # Errors
    /// The message has the entry that is not understood, and what would be.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.trim().split(':').collect();
        if let [operation, nth, error] = fields[..] {
            let named = |(_, name): &&(Operation, &str)| *name == operation;
            let operation = Operation::ALL.iter().find(named).map(|entry| entry.0);
            let nth = nth.parse().ok().filter(|&nth| nth > 0);
            let error = CuResult::parse(error).filter(|&error| error != CuResult::Success);
            if let (Some(operation), Some(nth), Some(error)) = (operation, nth, error) {
                return Ok(Self { operation, nth, error });
            }
        }
        Err(format!(
            "CUDA_SIM_FAULTS has {text:?}, not operation:n:error such as \
             allocation:3:OUT_OF_MEMORY (operations: allocation, copy, memset, launch, module_load)"
        ))
    }
}

/// A counter of operations which makes the chosen ones fail.
pub(crate) struct Injector(Mutex<Vec<Injection>>);

impl Injector {
    pub(crate) fn new(injections: Vec<Injection>) -> Self {
        Self(Mutex::new(injections))
    }

    /// Adds a failure, counted from now.
    pub(crate) fn inject(&self, injection: Injection) {
        self.pending().push(injection);
    }

    /// Forgets all failures to come.
    pub(crate) fn clear(&self) {
        self.pending().clear();
    }

    /// Counts one operation.
    ///
    /// # Errors
    /// The error of a failure that was injected for this operation.
    pub(crate) fn check(&self, operation: Operation) -> Result<(), CuResult> {
        let mut pending = self.pending();
        for injection in pending.iter_mut().filter(|i| i.operation == operation) {
            injection.nth -= 1;
        }
        let due = pending.iter().find(|i| i.nth == 0).map(|i| i.error);
        pending.retain(|injection| injection.nth > 0);
        due.map_or(Ok(()), Err)
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Vec<Injection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_operation_fails_once() {
        let list = "copy:2:CUDA_ERROR_LAUNCH_FAILED, allocation:1:2";
        let injector = Injector::new(Injection::parse_list(list).unwrap());
        assert_eq!(injector.check(Operation::Copy), Ok(()));
        assert_eq!(injector.check(Operation::Allocation), Err(CuResult::OutOfMemory));
        assert_eq!(injector.check(Operation::Copy), Err(CuResult::LaunchFailed));
        assert_eq!(injector.check(Operation::Copy), Ok(()));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in
            ["", "copy", "copy:0:2", "copy:1:0", "copy:1:NONSENSE", "dance:1:2", "copy:1:2:3"]
        {
            assert!(Injection::parse_list(wrong).is_err(), "{wrong:?}");
        }
    }
}
