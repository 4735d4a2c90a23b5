//! What only `mechanistic::cuda` offers: problems whose arrays stay on the device, in memory of the
//! library or of the caller, and inputs in half precision.
//!
//! What the CUDA backend shares with the CPU is tested in tests/conformance. Tests that change the
//! environment, inject faults or count launches are in binaries of their own beside this folder:
//! cuda_devices.rs, cuda_faults.rs, cuda_graphs.rs, cuda_launches.rs, cuda_modules.rs, cuda_parts.rs and
//! tape_faults.rs.

mod caller;
mod device_arrays;
mod one_matrix;
mod storage;
mod strides;
#[path = "../support/mod.rs"]
mod support;
