//! The simulated driver, for the tests of this backend.

use std::sync::Arc;

use cuda_sim::simulator::Simulator;

use crate::backend::cuda::driver::CudaDevice;

pub mod agreement;

/// The simulator as this process's CUDA driver.
pub fn simulator() -> Simulator {
    Simulator::preload().expect("the simulator can be loaded")
}

/// The simulated device.
pub fn device() -> Arc<CudaDevice> {
    simulator();
    CudaDevice::get(0).expect("the simulated device can be opened; its kernels need nvcc")
}

/// Everything that the simulator's sanitizers found so far in this process.
pub fn reports() -> Vec<String> {
    simulator().reports().expect("reports can be read")
}
