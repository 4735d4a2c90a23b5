//! `cargo xtask toolkit`: a CUDA compiler, found or installed.

use std::{fs, path::PathBuf, process::Command};

/// The compiler's parts on PyPI, pinned together. They hold no driver and need no GPU.
const PACKAGES: [&str; 7] = [
    "nvidia-cuda-nvcc==13.5.37",
    "nvidia-cuda-crt==13.5.37",
    "nvidia-cuda-runtime==13.5.37",
    "nvidia-nvvm==13.5.37",
    "nvidia-cuda-cccl==13.3.5.0.6",
    "nvidia-cuda-cuobjdump==13.5.37",
    "nvidia-cuda-nvdisasm==13.5.37",
];

/// The path of nvcc, after installing it from PyPI into `target/cuda-toolkit` if the machine has
/// none.
pub fn ensure() -> Result<PathBuf, String> {
    match cuda_toolkit::find_nvcc()? {
        Some(nvcc) => Ok(nvcc),
        None => install(),
    }
}

/// Installs beside the final directory and renames, so that an interrupted download leaves nothing
/// that looks complete.
fn install() -> Result<PathBuf, String> {
    let directory = cuda_toolkit::installation_directory();
    let partial = directory.with_extension(format!("partial-{}", std::process::id()));
    eprintln!("xtask: installing the CUDA compiler from PyPI into {}", directory.display());
    let status = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--root-user-action=ignore",
            "--no-deps",
            "--only-binary=:all:",
            "--target",
        ])
        .arg(&partial)
        .args(PACKAGES)
        .status()
        .map_err(|error| format!("cannot start python3, which fetches the compiler: {error}"))?;
    if !status.success() {
        let _ = fs::remove_dir_all(&partial);
        return Err(format!("`python3 -m pip install` of the CUDA compiler failed: {status}"));
    }
    if let Err(error) = fs::rename(&partial, &directory) {
        let _ = fs::remove_dir_all(&partial);
        // Another process may have installed it meanwhile: then its compiler serves.
        if cuda_toolkit::find_nvcc()?.is_none() {
            return Err(format!("cannot rename to {}: {error}", directory.display()));
        }
    }
    cuda_toolkit::require_nvcc()
}
