//! The command `cargo xtask python`, which makes the wheel of the Python package and runs its tests:
//! all of them in an environment with PyTorch and JAX, and those that need NumPy only in one that has
//! nothing else.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{commands::workspace, toolkit};

/// The installer. It takes a quarter of the time of pip, which matters with PyTorch's 6 GB.
const UV: &str = "uv==0.13.9";

/// The arguments of maturin for a wheel that runs on every Linux from glibc 2.28 on: zig links against
/// that, and maturin checks it. Without them, the wheel is for the system that it is made on.
const PORTABLE: [&str; 3] = ["--zig", "--compatibility", "manylinux_2_28"];

/// The packages that make that wheel.
const BUILDER: [&str; 2] = ["maturin", "ziglang"];

/// The tests that need NumPy only.
const ALONE: [&str; 2] = ["tests/test_numpy.py", "tests/test_discovery.py"];

/// The tests of JAX.
const JAX: &str = "tests/test_jax.py";

/// Prints the version of the package, and the median time of an import in milliseconds.
const IMPORT: &str = "
import statistics, subprocess, sys
code = 'import time, numpy; t = time.perf_counter(); import mechanistic, mechanistic.numpy; \
print(time.perf_counter() - t)'
runs = [float(subprocess.check_output([sys.executable, '-c', code])) for _ in range(5)]
import mechanistic
print(f'mechanistic {mechanistic.__version__}: imported in {1e3 * statistics.median(runs):.0f} ms \
after NumPy')
";

/// Runs the command: with `--wheel`, makes the optimized wheel and tests that it needs NumPy only.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let begin = Instant::now();
    match arguments {
        [] => {}
        [flag] if flag == "--wheel" => {
            let builder = Environment::new("python-builder", &requirements(&BUILDER)?)?;
            return test_alone(&builder.wheel("release", &PORTABLE)?);
        }
        _ => return Err("usage: cargo xtask python [--wheel]".into()),
    }
    let environment = Environment::shared()?;
    // Not the profile of the tests of Rust, for which the library is compiled already: `cargo rustc
    // --profile test`, as maturin calls it, makes a program that runs the library's tests.
    let wheel = environment.install_wheel("dev")?;
    let package = package();
    environment.run(&package, &["-m", "mypy"])?;
    // JAX has threads, beside which the tests of forked processes are not sure to end.
    let tests = ["-m", "pytest", "--quiet", "--durations=10"];
    // The tests of CUDA tensors load the simulated driver.
    let driver = simulated_driver()?;
    let mut torch = environment.python();
    torch.args([&tests[..], &["--ignore", JAX]].concat()).env("CUDA_SIM_LIBRARY", driver);
    status(torch.current_dir(&package))?;
    environment.run(&package, &[&tests[..], &[JAX]].concat())?;
    environment.run(
        &package,
        &["-m", "pytest", "--quiet", "--doctest-modules", "--pyargs", "mechanistic"],
    )?;
    test_alone(&wheel)?;
    println!("the Python package took {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Installs a wheel where there is NumPy only, runs the tests that need no more, and prints its size
/// and how long an import takes.
fn test_alone(wheel: &Path) -> Result<(), String> {
    let alone = Environment::new("python-alone", &["pytest".into()])?;
    alone.install(&["--reinstall".as_ref(), wheel.as_os_str()])?;
    let tests = [&["-m", "pytest", "--quiet"][..], &ALONE].concat();
    alone.run_without_tools(&package(), &tests)?;
    report(wheel)?;
    alone.run_without_tools(&package(), &["-c", IMPORT])
}

/// Makes the simulated CUDA driver, and returns its path.
fn simulated_driver() -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--quiet", "--locked", "--package", "cuda-sim"];
    status(Command::new(cargo).args(build).current_dir(workspace()))?;
    Ok(target().join("debug/libcuda_sim.so"))
}

/// Returns the folder of the package.
fn package() -> PathBuf {
    workspace().join("crates/python")
}

/// Returns the packages of tests/requirements.txt with these names, or all without names.
fn requirements(names: &[&str]) -> Result<Vec<String>, String> {
    let path = package().join("tests/requirements.txt");
    let text = fs::read_to_string(&path).map_err(|error| failed("read", &path, &error))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let named = |line: &str| names.iter().any(|name| line.split("==").next() == Some(name));
    let wanted = lines.filter(|line| names.is_empty() || named(line));
    Ok(wanted.map(str::to_owned).collect())
}

/// A virtual environment in `target/`.
pub struct Environment(PathBuf);

impl Environment {
    /// Makes the environment of the tests, which has PyTorch and JAX.
    pub fn shared() -> Result<Self, String> {
        Environment::new("python", &requirements(&[])?)
    }

    /// Makes the environment and installs the packages, unless it has them.
    fn new(name: &str, packages: &[String]) -> Result<Self, String> {
        let environment = Environment(target().join(name));
        let (folder, stamp) = (&environment.0, environment.0.join("packages.txt"));
        let wanted = packages.join("\n");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(environment);
        }
        println!("installing {} from PyPI into {}", packages.join(", "), folder.display());
        let _ = fs::remove_dir_all(folder);
        status(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        status(environment.python().args(["-m", "pip", "install", "--quiet", UV]))?;
        let packages: Vec<&OsStr> = packages.iter().map(AsRef::as_ref).collect();
        environment.install(&packages)?;
        fs::write(&stamp, wanted).map_err(|error| failed("write", &stamp, &error))?;
        Ok(environment)
    }

    /// Returns a command that runs Python.
    pub fn python(&self) -> Command {
        let mut command = Command::new(self.0.join("bin/python"));
        // The package as it is installed, and not a folder that happens to be there.
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }

    /// Installs more packages.
    pub fn install(&self, packages: &[&OsStr]) -> Result<(), String> {
        let mut install = self.python();
        // The cache would double the space that PyTorch takes.
        install.args(["-m", "uv", "pip", "install", "--quiet", "--no-cache", "--python"]);
        status(install.arg(self.0.join("bin/python")).args(packages))
    }

    fn run(&self, folder: &Path, arguments: &[&str]) -> Result<(), String> {
        status(self.python().args(arguments).current_dir(folder))
    }

    /// Runs Python where there is neither Rust nor CUDA.
    fn run_without_tools(&self, folder: &Path, arguments: &[&str]) -> Result<(), String> {
        let mut python = self.python();
        python.env_clear().env("PATH", self.0.join("bin")).env("HOME", &self.0);
        status(python.args(arguments).current_dir(folder))
    }

    /// Makes the wheel for this machine with a profile of cargo, installs it and returns its path.
    pub fn install_wheel(&self, profile: &str) -> Result<PathBuf, String> {
        let wheel = self.wheel(profile, &[])?;
        self.install(&["--no-deps".as_ref(), "--reinstall".as_ref(), wheel.as_os_str()])?;
        Ok(wheel)
    }

    /// Makes the wheel with a profile of cargo and more arguments of maturin, and returns its path.
    fn wheel(&self, profile: &str, more: &[&str]) -> Result<PathBuf, String> {
        let wheels = target().join("wheels").join(profile);
        let _ = fs::remove_dir_all(&wheels);
        let mut build = Command::new(self.0.join("bin/maturin"));
        build.args(["build", "--quiet", "--locked", "--profile", profile, "--out"]).arg(&wheels);
        build.args(more).env("NVCC", toolkit::ensure()?).current_dir(package());
        // Where maturin finds zig.
        let path = env::var_os("PATH").unwrap_or_default();
        let own = [self.0.join("bin")].into_iter().chain(env::split_paths(&path));
        build.env("PATH", env::join_paths(own).map_err(|error| error.to_string())?);
        status(&mut build)?;
        let mut files = fs::read_dir(&wheels).map_err(|error| failed("list", &wheels, &error))?;
        let wheel = files.find_map(|file| Some(file.ok()?.path()));
        wheel.ok_or_else(|| format!("maturin has made no wheel in {}", wheels.display()))
    }
}

fn report(wheel: &Path) -> Result<(), String> {
    let bytes = fs::metadata(wheel).map_err(|error| failed("read", wheel, &error))?.len();
    println!("{} ({:.1} MB)", wheel.display(), bytes as f64 / 1e6);
    Ok(())
}

fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| workspace().join("target"))
}

fn status(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {doing} {}: {error}", path.display())
}
