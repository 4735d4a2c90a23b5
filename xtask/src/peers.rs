//! The command `cargo xtask peers`, which times this library and its peers in turns: LAPACK, PyTorch,
//! torchdiffeq, NumPy.

use std::{process::Command, time::Instant};

use crate::{
    commands::{cargo_with, status, workspace},
    python::Environment,
    toolkit,
};

const USAGE: &str = "usage: cargo xtask peers [--only PART] [--seconds S] [--scalable FOLDER]";

/// What `target/python` lacks.
const MORE: [&str; 3] = ["torchdiffeq==0.2.5", "scipy==1.17.1", "threadpoolctl==3.8.0"];

/// A comparison: `benches/peers/NAME.py`.
struct Part {
    name: &'static str,
    /// What it shows.
    title: &'static str,
    /// After so many seconds it begins no more turns.
    seconds: f64,
    /// Whether its turns are taken by the Python package too.
    package: bool,
    /// Whether ScalableMNN can take part.
    scalable: bool,
}

const PARTS: [Part; 5] = [
    Part {
        name: "lapack",
        title: "Solve and gradients, beside LAPACK's banded Cholesky",
        seconds: 200.0,
        package: false,
        scalable: false,
    },
    Part {
        name: "pytorch",
        title: "Solve and gradients from PyTorch, beside what its users have",
        seconds: 150.0,
        package: true,
        scalable: true,
    },
    Part {
        name: "products",
        title: "Matrix products, beside NumPy's",
        seconds: 150.0,
        package: false,
        scalable: false,
    },
    Part {
        name: "sine",
        title: "The paper's Table 3, beside torchdiffeq's RK4 with adjoint",
        seconds: 420.0,
        package: false,
        scalable: false,
    },
    Part {
        name: "lorenz",
        title: "An epoch of the Lorenz network, beside PyTorch",
        seconds: 90.0,
        package: true,
        scalable: true,
    },
];

/// Runs all parts, or with `--only` one of them, and prints their tables. `--seconds` replaces the limit
/// of each part, and `--scalable` is the folder of ScalableMNN's `smnn.py`, which takes part then.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let (mut parts, mut seconds, mut scalable) = (PARTS.iter().collect::<Vec<_>>(), None, None);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--only" => parts.retain(|part| part.name == value),
            "--seconds" => seconds = Some(value.parse::<f64>().map_err(|_| USAGE)?),
            // The comparisons run in the folder of the workspace.
            "--scalable" => {
                let folder = std::fs::canonicalize(value).map_err(|e| format!("{value}: {e}"))?;
                scalable = Some(folder);
            }
            _ => return Err(USAGE.into()),
        }
    }
    if parts.is_empty() {
        let names = PARTS.map(|part| part.name).join(", ");
        return Err(format!("{USAGE}; the parts are {names}"));
    }
    let environment = Environment::shared()?;
    environment.install(&MORE.map(AsRef::as_ref))?;
    let nvcc = toolkit::ensure()?;
    let nvcc = [("NVCC", nvcc.as_os_str())];
    cargo_with(&["build", "--release", "--package=mnn", "--package=peers"], &nvcc)?;
    if parts.iter().any(|part| part.name == "products") {
        cargo_with(&["bench", "--no-run", "--bench=products"], &nvcc)?;
    }
    if parts.iter().any(|part| part.package) {
        environment.install_wheel("release")?;
    }
    let begin = Instant::now();
    for part in parts {
        println!("\n## {}\n", part.title);
        let mut python = environment.python();
        // With another one, the benchmark would be built anew while it is timed.
        python.envs(nvcc.iter().copied());
        python.arg(format!("benches/peers/{}.py", part.name));
        python.arg("--seconds").arg(seconds.unwrap_or(part.seconds).to_string());
        if let (true, Some(folder)) = (part.scalable, &scalable) {
            python.arg("--scalable").arg(folder);
        }
        run_part(&mut python)?;
    }
    println!("\nThe comparisons took {:.0} s.", begin.elapsed().as_secs_f64());
    Ok(())
}

fn run_part(python: &mut Command) -> Result<(), String> {
    status(python.current_dir(workspace()))
}
