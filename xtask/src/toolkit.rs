//! The command `cargo xtask toolkit`, which finds or installs a CUDA compiler.

use std::path::PathBuf;

use crate::packages;

/// The packages of the compiler on PyPI, pinned together. They hold no driver and need no GPU.
const PACKAGES: [&str; 7] = [
    "nvidia-cuda-nvcc==13.5.37",
    "nvidia-cuda-crt==13.5.37",
    "nvidia-cuda-runtime==13.5.37",
    "nvidia-nvvm==13.5.37",
    "nvidia-cuda-cccl==13.3.5.0.6",
    "nvidia-cuda-cuobjdump==13.5.37",
    "nvidia-cuda-nvdisasm==13.5.37",
];

/// Returns the path of nvcc, after installing it from PyPI into `target/cuda-toolkit` if the
/// machine has none.
pub fn ensure() -> Result<PathBuf, String> {
    if let Some(nvcc) = cuda_toolkit::find_nvcc()? {
        return Ok(nvcc);
    }
    packages::ensure("the CUDA compiler", &PACKAGES, &cuda_toolkit::installation_directory())?;
    cuda_toolkit::require_nvcc()
}
