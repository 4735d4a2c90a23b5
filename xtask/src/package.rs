//! The command `cargo xtask package`, which makes the package as it is published, with the kernels'
//! images, and tries it as somebody who has no nvcc.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    commands::{cargo, cargo_messages, failed, status, target, workspace},
    toolkit,
};

/// The program that tries the package: it solves on the CPU and on a CUDA device, and compares.
const TRIAL: &str = r#"use mechanistic::{Device, Options, Problem, Solver, View};

fn main() -> mechanistic::Result<()> {
    assert_eq!(mechanistic::cuda::kernel_architectures(), ["compute_80"]);
    let problem = Problem::builder()
        .coefficients(View::new(&[1, 1, 1, 1, 3], &[1.0, 0.0, 1.0]))
        .rhs(View::new(&[1, 1, 1], &[0.0]))
        .initial_values(View::new(&[1, 1, 1, 2], &[1.0, 0.0]))
        .steps(View::new(&[1, 1], &[0.02]))
        .points(101)
        .build()?;
    let solve = |device: &Device| -> mechanistic::Result<Vec<f64>> {
        let mut solver = Solver::<f64>::on(device, problem.shape(), &Options::default())?;
        Ok(solver.solve(&problem)?.values.clone())
    };
    let (cpu, gpu) = (solve(&Device::Cpu)?, solve(&Device::cuda(0)?)?);
    let largest = cpu.iter().zip(&gpu).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(largest < 1e-10, "{largest}");
    println!("the package solves on a CUDA device, {largest:.1e} from the CPU");
    Ok(())
}
"#;

/// Makes the package, tries it on the simulated device, and prints its path.
pub fn run() -> Result<(), String> {
    let nvcc = toolkit::ensure()?;
    let images = build_images(&nvcc)?;
    let package = {
        let _shipped = Shipped::new(&images)?;
        cargo(&["package", "--package=mechanistic", "--allow-dirty", "--no-verify"])?;
        find_package()?
    };
    try_out(&package)?;
    let bytes = fs::metadata(&package).map_err(|error| failed("read", &package, &error))?.len();
    println!("{} ({:.1} MB)", package.display(), bytes as f64 / 1e6);
    Ok(())
}

/// The images in the root of the workspace, where the package takes them from; they go when this is
/// dropped.
struct Shipped(PathBuf);

impl Shipped {
    fn new(from: &Path) -> Result<Self, String> {
        let shipped = Shipped(workspace().join("images"));
        // A run that was killed has left them; only this makes the directory.
        let _ = fs::remove_dir_all(&shipped.0);
        fs::create_dir(&shipped.0).map_err(|error| failed("make", &shipped.0, &error))?;
        for name in ["images.bin", "images.rs", "architectures.rs"] {
            let file = from.join(name);
            fs::copy(&file, shipped.0.join(name)).map_err(|error| failed("copy", &file, &error))?;
        }
        Ok(shipped)
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Builds the library and returns the directory in which its build script has put the images.
fn build_images(nvcc: &Path) -> Result<PathBuf, String> {
    let messages = cargo_messages(&["build", "--package=mechanistic"], nvcc)?;
    let out_dir = messages.iter().rev().find_map(|message| {
        let directory = Path::new(message.get("out_dir")?.as_str()?);
        directory.join("images.bin").is_file().then(|| directory.to_owned())
    });
    out_dir.ok_or_else(|| "the build script of mechanistic has made no images".to_owned())
}

fn find_package() -> Result<PathBuf, String> {
    let name = format!("mechanistic-{}.crate", env!("CARGO_PKG_VERSION"));
    let path = target().join("package").join(name);
    if path.is_file() { Ok(path) } else { Err(format!("no {}", path.display())) }
}

/// Unpacks the package and runs [`TRIAL`] against it, without nvcc, on the simulated driver.
fn try_out(package: &Path) -> Result<(), String> {
    cargo(&["build", "--package=cuda-sim"])?;
    let place = target().join("package-trial");
    let _ = fs::remove_dir_all(&place);
    let write = |path: &Path, text: &str| {
        let directory = path.parent().expect("it lies in a directory");
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(path, text))
            .map_err(|error| failed("write", path, &error))
    };
    let name = package.file_stem().expect("it is a file").to_string_lossy().into_owned();
    let manifest = format!(
        "[package]\nname = \"trial\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nmechanistic = {{ path = \"../{name}\" }}\n\n[workspace]\n"
    );
    let trial = place.join("trial");
    write(&trial.join("Cargo.toml"), &manifest)?;
    write(&trial.join("src/main.rs"), TRIAL)?;
    // The versions that the workspace is tested with, which are there already.
    let lock = workspace().join("Cargo.lock");
    fs::copy(&lock, trial.join("Cargo.lock")).map_err(|error| failed("copy", &lock, &error))?;
    status(Command::new("tar").arg("xzf").arg(package).arg("-C").arg(&place))?;
    let driver = place.join("driver");
    fs::create_dir(&driver).map_err(|error| failed("make", &driver, &error))?;
    let simulator = target().join("debug/libcuda_sim.so");
    std::os::unix::fs::symlink(&simulator, driver.join("libcuda.so"))
        .map_err(|error| failed("link to", &simulator, &error))?;
    let mut run = Command::new(env!("CARGO"));
    run.args(["run", "--quiet"]).current_dir(&trial);
    run.env("CARGO_TARGET_DIR", target()).env("LD_LIBRARY_PATH", &driver);
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        run.env_remove(variable);
    }
    run.env("PATH", path_without_nvcc(&place)?);
    status(&mut run)
}

/// Returns the search path of programs without nvcc: a directory that has it, which may have much
/// else, is replaced by one of links to the rest, in `place`.
fn path_without_nvcc(place: &Path) -> Result<OsString, String> {
    let directories = env::var_os("PATH").unwrap_or_default();
    let mut without = Vec::new();
    for (index, directory) in env::split_paths(&directories).enumerate() {
        if !directory.join("nvcc").exists() {
            without.push(directory);
            continue;
        }
        let links = place.join(format!("programs-{index}"));
        fs::create_dir(&links).map_err(|error| failed("make", &links, &error))?;
        let read = |error| failed("read", &directory, &error);
        for entry in fs::read_dir(&directory).map_err(read)? {
            let entry = entry.map_err(read)?;
            if entry.file_name() != "nvcc" {
                let link = links.join(entry.file_name());
                std::os::unix::fs::symlink(entry.path(), &link)
                    .map_err(|error| failed("make", &link, &error))?;
            }
        }
        without.push(links);
    }
    env::join_paths(without).map_err(|error| error.to_string())
}
