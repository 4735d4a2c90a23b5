//! Where the CUDA compiler is. The library's build script and the workspace's tools look for it in
//! the same places.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest release of nvcc that compiles the kernels: C++17, and compute_80.
const OLDEST_RELEASE: (u32, u32) = (11, 0);

/// Where `cargo xtask toolkit` installs: `target/cuda-toolkit` in the workspace.
pub fn installation_directory(workspace: &Path) -> PathBuf {
    workspace.join("target/cuda-toolkit")
}

/// The compiler within an installation made by `cargo xtask toolkit` in `directory`.
pub fn installed(directory: &Path) -> PathBuf {
    directory.join("nvidia/cu13/bin/nvcc")
}

/// A compiler that can be started and is new enough.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The file.
    pub path: PathBuf,
    /// What it says of its version.
    #[allow(dead_code, reason = "for the build script only")]
    pub version: String,
}

/// The first nvcc among: the one that `NVCC` names, `PATH`, `CUDA_HOME`, `CUDA_PATH`,
/// `/usr/local/cuda` and [`installation_directory`]. `None` if none of these exists.
///
/// # Errors
/// With what to do about it: the one found, or the one that `NVCC` names, cannot be used.
pub fn find(workspace: &Path) -> Result<Option<Compiler>, String> {
    let in_path = env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .map(|directory| directory.join("nvcc"))
        .collect::<Vec<_>>();
    if let Some(named) = env::var_os("NVCC").filter(|name| !name.is_empty()) {
        // A file, or a program's name to look for on PATH.
        let on_path = in_path.iter().map(|path| path.with_file_name(&named));
        let mut candidates = [PathBuf::from(&named)].into_iter().chain(on_path);
        let found = candidates.find(|candidate| candidate.is_file());
        let path = found.ok_or_else(|| {
            let named = Path::new(&named).display();
            format!("NVCC is {named}, which is no file and no program on PATH; correct or unset it")
        })?;
        return check(path).map(Some);
    }
    let in_homes = ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(env::var_os)
        .map(|home| Path::new(&home).join("bin/nvcc"));
    in_path
        .into_iter()
        .chain(in_homes)
        .chain([PathBuf::from("/usr/local/cuda/bin/nvcc")])
        .chain([installed(&installation_directory(workspace))])
        .find(|candidate| candidate.is_file())
        .map(check)
        .transpose()
}

/// Asks it for its version.
fn check(path: PathBuf) -> Result<Compiler, String> {
    let shown = path.display();
    let instead = "put a CUDA toolkit's nvcc on PATH, name it in NVCC, or build without the \
                   feature `cuda`";
    let said = Command::new(&path).arg("--version").output();
    let said = said.map_err(|error| format!("{shown} cannot be started: {error}; {instead}"))?;
    let version = String::from_utf8_lossy(&said.stdout).into_owned();
    let release = release(&version).filter(|_| said.status.success()).ok_or_else(|| {
        format!("`{shown} --version` is no answer of nvcc ({}); {instead}", said.status)
    })?;
    if release < OLDEST_RELEASE {
        let ((major, minor), (oldest, _)) = (release, OLDEST_RELEASE);
        return Err(format!(
            "{shown} is release {major}.{minor}; the kernels need nvcc {oldest}.0 or later (C++17, \
             compute_80); {instead}"
        ));
    }
    Ok(Compiler { path, version })
}

/// 13.5 of `Cuda compilation tools, release 13.5, V13.5.37`.
fn release(version: &str) -> Option<(u32, u32)> {
    let (_, rest) = version.split_once("release ")?;
    let (major, rest) = rest.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
