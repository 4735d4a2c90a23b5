//! Compiles kernels/**/*.cu with nvcc and embeds the result.
//!
//! Every kernel becomes one image: PTX for compute_80, which a driver translates for any later GPU
//! when the kernel is first used. With `MECHANISTIC_CUDA_ARCHITECTURES` (such as `90,100`) there is
//! machine code for these architectures beside the PTX, so that nothing is left to translate. With
//! `MECHANISTIC_CUDA_LINEINFO=1` the images name the lines of their source, for profiling.
//! The published package has the images in `images/`. Without them and without nvcc there are no
//! kernels: the library builds, and its CUDA device says what is missing.

#[cfg(feature = "cuda")]
#[path = "build/compile.rs"]
mod compile;
#[cfg(feature = "cuda")]
#[path = "build/images.rs"]
mod images;
#[cfg(feature = "cuda")]
#[path = "build/nvcc.rs"]
mod nvcc;
#[cfg(feature = "cuda")]
#[path = "build/ptx.rs"]
mod ptx;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    #[cfg(feature = "cuda")]
    images::provide();
}
