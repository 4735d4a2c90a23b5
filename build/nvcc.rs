//! Where the CUDA compiler is. The library's build script and the workspace's tools look for it in
//! the same places.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Where `cargo xtask toolkit` installs: `target/cuda-toolkit` in the workspace.
pub fn installation_directory(workspace: &Path) -> PathBuf {
    workspace.join("target/cuda-toolkit")
}

/// The compiler within an installation made by `cargo xtask toolkit` in `directory`.
pub fn installed(directory: &Path) -> PathBuf {
    directory.join("nvidia/cu13/bin/nvcc")
}

/// The first nvcc among: the file named by `NVCC`, `PATH`, `CUDA_HOME`, `CUDA_PATH`,
/// `/usr/local/cuda` and [`installation_directory`].
pub fn find(workspace: &Path) -> Option<PathBuf> {
    let in_path = env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .map(|directory| directory.join("nvcc"))
        .collect::<Vec<_>>();
    let in_homes = ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(env::var_os)
        .map(|home| Path::new(&home).join("bin/nvcc"));
    env::var_os("NVCC")
        .map(PathBuf::from)
        .into_iter()
        .chain(in_path)
        .chain(in_homes)
        .chain([PathBuf::from("/usr/local/cuda/bin/nvcc")])
        .chain([installed(&installation_directory(workspace))])
        .find(|candidate| candidate.is_file())
}
