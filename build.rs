//! Compiles kernels/*.cu with nvcc and embeds the result.
//!
//! Every file becomes one module: PTX for compute_80, which a driver translates for any later GPU.
//! With `MECHANISTIC_CUDA_ARCHITECTURES` (such as `90,100`) it becomes a fat binary that holds
//! machine code for these architectures beside the PTX, so that nothing is left to translate.
//! Without nvcc there are no modules: the library builds, and its CUDA device says what is missing.

#[path = "build/nvcc.rs"]
mod nvcc;

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use nvcc::Compiler;

/// The oldest architecture that the kernels run on.
const OLDEST: &str = "80";
const ARCHITECTURES: &str = "MECHANISTIC_CUDA_ARCHITECTURES";
/// What decides which compiler runs, and what nvcc itself reads.
const VARIABLES: [&str; 8] = [
    "NVCC",
    "PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "NVCC_PREPEND_FLAGS",
    "NVCC_APPEND_FLAGS",
    "NVCC_CCBIN",
    ARCHITECTURES,
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed=kernels");
    for variable in VARIABLES {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut architectures = Vec::new();
    let found = match nvcc::find(&root) {
        Ok(found) => found,
        Err(message) => {
            println!("cargo::error={message}");
            return;
        }
    };
    for (path, reason) in &found.unusable {
        println!("cargo:rerun-if-changed={}", path.display());
        println!("cargo:warning={reason}; it is passed over");
    }
    let modules = match found.compiler {
        Some(compiler) => {
            println!("cargo:rerun-if-changed={}", compiler.path.display());
            architectures.push(format!("compute_{OLDEST}"));
            architectures.extend(native_architectures().iter().map(|name| format!("sm_{name}")));
            compile_all(&compiler, &root, &output)
        }
        None => {
            watch_for_a_toolkit(&root);
            println!(
                "cargo:warning=no nvcc that can be used: the CUDA kernels are left out and only the \
                 CPU can be used. Put nvcc on PATH or set NVCC or CUDA_HOME (in a checkout: `cargo xtask \
                 toolkit` installs it), or build without the feature `cuda`."
            );
            Vec::new()
        }
    };
    let mut table = String::from("&[\n");
    for module in modules {
        writeln!(
            table,
            "    ({module:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{module}.image\"))),"
        )
        .expect("a string takes everything");
    }
    table.push_str("]\n");
    for (name, text) in [("modules", table), ("architectures", format!("&{architectures:?}"))] {
        fs::write(output.join(name).with_extension("rs"), text).expect("OUT_DIR can be written to");
    }
}

/// Builds again when `cargo xtask toolkit` has installed a compiler. Cargo watches only what
/// exists, so an empty directory stands where it will be; the published package has no xtask.
fn watch_for_a_toolkit(root: &Path) {
    let place = nvcc::installation_directory(root);
    if root.join("xtask").is_dir() && fs::create_dir_all(&place).is_ok() {
        println!("cargo:rerun-if-changed={}", place.display());
    }
}

/// Compiles every kernels/*.cu, several at a time, and returns the modules' names in order.
fn compile_all(compiler: &Compiler, root: &Path, output: &Path) -> Vec<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("kernels"))
        .expect("the kernels are part of the package")
        .map(|entry| entry.expect("the directory can be read").path())
        .collect();
    files.sort();
    let with = |extension| move |file: &&PathBuf| file.extension().is_some_and(|e| e == extension);
    let text = |file: &PathBuf| fs::read_to_string(file).expect("a source file can be read");
    let sources: Vec<&PathBuf> = files.iter().filter(with("cu")).collect();
    let headers: String =
        files.iter().filter(with("h")).chain(files.iter().filter(with("cuh"))).map(text).collect();

    let name = |file: &Path| file.file_stem().expect("it has one").to_string_lossy().into_owned();
    let next = AtomicUsize::new(0);
    let workers = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    thread::scope(|scope| {
        for _ in 0..sources.len().min(workers) {
            scope.spawn(|| {
                while let Some(&source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let target = output.join(name(source)).with_extension("image");
                    let key = format!("{}\n{headers}", text(source));
                    if let Err(message) = compile(compiler, root, source, &target, &key) {
                        panic!("{message}");
                    }
                }
            });
        }
    });
    sources.iter().map(|source| name(source)).collect()
}

/// Compiles one file, unless `target` was made by the same command from the same text.
fn compile(
    compiler: &Compiler,
    root: &Path,
    source: &Path,
    target: &Path,
    text: &str,
) -> Result<(), String> {
    let mut arguments = vec!["-O3".to_owned(), "-std=c++17".to_owned(), "-lineinfo".to_owned()];
    let native = native_architectures();
    if native.is_empty() {
        arguments.extend(["-ptx".to_owned(), format!("-arch=compute_{OLDEST}")]);
    } else {
        let code = |architecture: &str, code: &str| {
            ["-gencode".to_owned(), format!("arch=compute_{architecture},code={code}")]
        };
        arguments.push("-fatbin".to_owned());
        arguments.extend(code(OLDEST, &format!("compute_{OLDEST}")));
        for architecture in &native {
            arguments.extend(code(architecture, &format!("sm_{architecture}")));
        }
    }
    let Compiler { path: compiler, version } = compiler;
    let flags = ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN"].map(env::var_os);
    let key = format!("{} {version} {flags:?} {arguments:?}\n{text}", compiler.display());
    let key_file = target.with_extension("key");
    if target.exists() && fs::read_to_string(&key_file).is_ok_and(|made_from| made_from == key) {
        return Ok(());
    }

    let failed = |doing: &str, error: io::Error| format!("cannot {doing}: {error}");
    let compiled = target.with_extension("compiled");
    let run = Command::new(compiler)
        .args(&arguments)
        .arg("-o")
        .arg(&compiled)
        // Relative, so that the line information is the same wherever this is built.
        .arg(source.strip_prefix(root).expect("it lies there"))
        .current_dir(root)
        .output()
        .map_err(|error| failed(&format!("start {}", compiler.display()), error))?;
    let said = [run.stdout, run.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !run.status.success() {
        return Err(format!(
            "{} {} {}: {}\n{said}",
            compiler.display(),
            arguments.join(" "),
            source.display(),
            run.status
        ));
    }
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        println!("cargo:warning={line}");
    }
    let mut image = fs::read(&compiled).map_err(|error| failed("read what nvcc wrote", error))?;
    // PTX ends with a zero, as the driver wants it; a fat binary knows its length.
    image.push(0);
    fs::write(target, image).map_err(|error| failed("write the module", error))?;
    fs::write(&key_file, key).map_err(|error| failed("write the module's key", error))
}

/// The architectures to make machine code for: `90,100`, also written `sm_90;sm_100`.
fn native_architectures() -> Vec<String> {
    let list = env::var(ARCHITECTURES).unwrap_or_default();
    list.split([',', ';', ' '])
        .map(|name| name.trim().trim_start_matches("sm_").to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}
