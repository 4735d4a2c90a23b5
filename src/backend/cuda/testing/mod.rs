//! The driver, the device and the paths that the tests of this backend run on.

use std::sync::Arc;

use crate::backend::cuda::driver::CudaDevice;

pub mod agreement;
// Shared with the integration tests.
#[allow(dead_code, reason = "the integration tests use the rest")]
#[path = "../../../../tests/support/case.rs"]
pub mod case;
#[allow(dead_code, reason = "the integration tests use the rest")]
#[path = "../../../../tests/support/close.rs"]
pub mod close;
#[allow(dead_code, reason = "the integration tests use the rest")]
#[path = "../../../../tests/support/driver.rs"]
pub mod driver;
pub mod paths;

/// Returns the first device of the driver that tests run on.
pub fn device() -> Arc<CudaDevice> {
    driver::simulated();
    CudaDevice::get(0).expect("the device can be opened; its kernels need nvcc")
}
