//! The backends of the tape that tests run on.

/// One test for each backend from a function that takes a backend.
macro_rules! on_every_backend {
    ($($test:ident),* $(,)?) => {
        mod cpu {
            $(#[test] fn $test() { super::$test(&mechanistic::Cpu); })*
        }
        #[cfg(feature = "cuda")]
        mod cuda {
            $(#[test] fn $test() { super::$test($crate::support::backends::cuda()); })*
        }
    };
}
pub(crate) use on_every_backend;

/// The first CUDA device: a simulated one, or the machine's own where `MECHANISTIC_TEST_GPU` is set.
#[cfg(feature = "cuda")]
pub fn cuda() -> &'static mechanistic::cuda::Cuda {
    use std::sync::OnceLock;
    static DEVICE: OnceLock<mechanistic::cuda::Cuda> = OnceLock::new();
    DEVICE.get_or_init(|| {
        if std::env::var_os("MECHANISTIC_TEST_GPU").is_none() {
            simulator();
        }
        mechanistic::cuda::Cuda::on(
            mechanistic::Device::cuda(0)
                .expect("the device can be opened; its kernels need nvcc")
                .gpu()
                .unwrap(),
        )
        .unwrap()
    })
}

/// The simulator as this process's CUDA driver.
#[cfg(feature = "cuda")]
pub fn simulator() -> cuda_sim::simulator::Simulator {
    cuda_sim::simulator::Simulator::preload().expect("the simulator can be loaded")
}
