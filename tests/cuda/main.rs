//! Arrays that stay on a CUDA device, and inputs in half precision.

mod device_arrays;
mod storage;
#[path = "../support/mod.rs"]
mod support;
