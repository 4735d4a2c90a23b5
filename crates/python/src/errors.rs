//! The exceptions that errors of the library become.

use mechanistic::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyRuntimeError, PyValueError};

/// Returns the exception for an error: `MemoryError`, `RuntimeError` for devices,
/// `KeyboardInterrupt` for what was broken off, and otherwise `ValueError`.
pub fn exception(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::OutOfMemory { .. } => PyMemoryError::new_err(message),
        Error::Device { .. } => PyRuntimeError::new_err(message),
        Error::Interrupted => PyKeyboardInterrupt::new_err(message),
        _ => PyValueError::new_err(message),
    }
}
