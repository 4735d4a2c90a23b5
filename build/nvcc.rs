//! Finds the CUDA compiler, for the library's build script and for the workspace's tools, which so
//! look for it in the same places.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest release of nvcc that compiles the kernels: C++17, and compute_80.
const OLDEST_RELEASE: (u32, u32) = (11, 0);

/// Returns the directory that `cargo xtask toolkit` installs into: `target/cuda-toolkit` in the
/// workspace.
pub fn installation_directory(workspace: &Path) -> PathBuf {
    workspace.join("target/cuda-toolkit")
}

/// Returns the compiler within an installation made by `cargo xtask toolkit` in `directory`.
pub fn installed(directory: &Path) -> PathBuf {
    directory.join("nvidia/cu13/bin/nvcc")
}

/// A compiler that is new enough and compiles.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// Path of the compiler.
    pub path: PathBuf,
    /// Version that the compiler gives of itself.
    #[allow(dead_code, reason = "for the build script only")]
    pub version: String,
}

/// The result of a search for compilers.
#[derive(Debug, Default)]
pub struct Found {
    /// First compiler that can be used, if any.
    pub compiler: Option<Compiler>,
    /// Candidates before it, and why they were passed over.
    pub unusable: Vec<(PathBuf, String)>,
}

/// Finds the nvcc that `NVCC` names or, without that variable, the first usable one among `PATH`,
/// `CUDA_HOME`, `CUDA_PATH`, `/usr/local/cuda` and [`installation_directory`].
///
/// # Errors
/// The compiler that `NVCC` names cannot be used; the message says what to do about it.
pub fn find(workspace: &Path) -> Result<Found, String> {
    let directories: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    if let Some(name) = env::var_os("NVCC").filter(|name| !name.is_empty()) {
        let compiler = Some(named(Path::new(&name), &directories)?);
        return Ok(Found { compiler, ..Found::default() });
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os).map(PathBuf::from);
    let homes = homes.chain([PathBuf::from("/usr/local/cuda")]).map(|home| home.join("bin"));
    let candidates = directories.into_iter().chain(homes).map(|directory| directory.join("nvcc"));
    Ok(first_usable(candidates.chain([installed(&installation_directory(workspace))])))
}

/// Finds the compiler of this name: a file, or a program to look for in these directories.
///
/// # Errors
/// There is no such compiler, or it cannot be used; the message says what to do about it.
pub fn named(name: &Path, directories: &[PathBuf]) -> Result<Compiler, String> {
    let on_path = directories.iter().map(|directory| directory.join(name));
    let found = [name.to_owned()].into_iter().chain(on_path).find(|candidate| candidate.is_file());
    let path = found.ok_or_else(|| {
        let name = name.display();
        format!("NVCC is {name}, which is no file and no program on PATH; correct or unset it")
    })?;
    check(&path).map_err(|reason| {
        format!("{reason}; let NVCC name another, unset it, or build without the feature `cuda`")
    })
}

/// Returns the first of the candidates that exists and can be used, and those that were passed
/// over.
pub fn first_usable(candidates: impl IntoIterator<Item = PathBuf>) -> Found {
    let mut found = Found::default();
    for path in candidates.into_iter().filter(|candidate| candidate.is_file()) {
        match check(&path) {
            Ok(compiler) => return Found { compiler: Some(compiler), ..found },
            Err(reason) => found.unusable.push((path, reason)),
        }
    }
    found
}

/// Checks a candidate: asks it for its version, and lets it compile an empty file, which takes all
/// of its own parts and a host compiler that it accepts.
fn check(path: &Path) -> Result<Compiler, String> {
    let shown = path.display();
    let run = |arguments: &[&str]| {
        let output = Command::new(path).args(arguments).output();
        output.map_err(|error| format!("{shown} cannot be started: {error}"))
    };
    let said = run(&["--version"])?;
    let version = String::from_utf8_lossy(&said.stdout).into_owned();
    let release = release(&version)
        .filter(|_| said.status.success())
        .ok_or_else(|| format!("`{shown} --version` is no answer of nvcc ({})", said.status))?;
    if release < OLDEST_RELEASE {
        let ((major, minor), (oldest, _)) = (release, OLDEST_RELEASE);
        return Err(format!(
            "{shown} is release {major}.{minor}; the kernels need nvcc {oldest}.0 or later (C++17, \
             compute_80)"
        ));
    }
    let trial = ["-x", "cu", "-ptx", "-arch=compute_80", "-std=c++17", "-o", "-", "/dev/null"];
    let said = run(&trial)?;
    if !said.status.success() {
        let (command, said) = (trial.join(" "), [said.stdout, said.stderr].concat());
        let said = String::from_utf8_lossy(&said);
        let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        return Err(format!("`{shown} {command}` fails: {first}"));
    }
    Ok(Compiler { path: path.to_owned(), version })
}

/// Returns the release, such as 13.5 of `Cuda compilation tools, release 13.5, V13.5.37`.
fn release(version: &str) -> Option<(u32, u32)> {
    let (_, rest) = version.split_once("release ")?;
    let (major, rest) = rest.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
