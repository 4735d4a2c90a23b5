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

/// A compiler that is new enough and compiles.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The file.
    pub path: PathBuf,
    /// What it says of its version.
    #[allow(dead_code, reason = "for the build script only")]
    pub version: String,
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Found {
    /// The first that can be used.
    pub compiler: Option<Compiler>,
    /// Those before it, and why they were passed over.
    pub unusable: Vec<(PathBuf, String)>,
}

/// The nvcc that `NVCC` names; without it, the first that can be used among `PATH`, `CUDA_HOME`,
/// `CUDA_PATH`, `/usr/local/cuda` and [`installation_directory`].
///
/// # Errors
/// With what to do about it: the one that `NVCC` names cannot be used.
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

/// The one of this name: a file, or a program to look for in these directories.
///
/// # Errors
/// There is none, or it cannot be used: what to do about it.
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

/// The first of the candidates that exists and can be used.
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

/// Asks it for its version, and lets it compile a file with nothing in it: that takes its own parts
/// and a host compiler that it accepts.
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

/// 13.5 of `Cuda compilation tools, release 13.5, V13.5.37`.
fn release(version: &str) -> Option<(u32, u32)> {
    let (_, rest) = version.split_once("release ")?;
    let (major, rest) = rest.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
