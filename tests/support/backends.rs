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

/// The first CUDA device of the driver that tests run on.
#[cfg(feature = "cuda")]
pub fn cuda() -> &'static mechanistic::cuda::Cuda {
    use std::sync::OnceLock;
    static DEVICE: OnceLock<mechanistic::cuda::Cuda> = OnceLock::new();
    DEVICE.get_or_init(|| {
        super::driver::simulated();
        mechanistic::cuda::Cuda::on(
            mechanistic::Device::cuda(0)
                .expect("the device can be opened; its kernels need nvcc")
                .gpu()
                .unwrap(),
        )
        .unwrap()
    })
}
