//! Compiles kernels/**/*.cu with nvcc and embeds the result.
//!
//! Every file becomes one module: PTX for compute_80, which a driver translates for any later GPU.
//! With `MECHANISTIC_CUDA_ARCHITECTURES` (such as `90,100`) it becomes a fat binary that holds
//! machine code for these architectures beside the PTX, so that nothing is left to translate.
//! Without nvcc there are no modules: the library builds, and its CUDA device says what is missing.

#[path = "build/nvcc.rs"]
mod nvcc;

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs::{self, OpenOptions},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use nvcc::Compiler;

/// The oldest architecture that the kernels run on.
const OLDEST: &str = "80";
const ARCHITECTURES: &str = "MECHANISTIC_CUDA_ARCHITECTURES";
/// The variables that decide which compiler runs, and those that nvcc itself reads.
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

/// Tells Cargo to build again when `cargo xtask toolkit` has installed a compiler. Cargo watches
/// only paths that exist, so an empty directory is made where the compiler will be; the published
/// package has no xtask.
fn watch_for_a_toolkit(root: &Path) {
    let place = nvcc::installation_directory(root);
    if root.join("xtask").is_dir() && fs::create_dir_all(&place).is_ok() {
        println!("cargo:rerun-if-changed={}", place.display());
    }
}

/// Compiles every kernels/**/*.cu, several at a time, and returns the modules' names in order:
/// kernels/team/adjoint.cu becomes the module `team_adjoint`.
fn compile_all(compiler: &Compiler, root: &Path, output: &Path) -> Vec<String> {
    let kernels = root.join("kernels");
    let mut sources = Vec::new();
    find_sources(&kernels, &mut sources);
    sources.sort();

    let name = |source: &Path| {
        let path = source.strip_prefix(&kernels).expect("it lies there").with_extension("");
        path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("_")
    };
    let next = AtomicUsize::new(0);
    let workers = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    thread::scope(|scope| {
        for _ in 0..sources.len().min(workers) {
            scope.spawn(|| {
                while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(message) = provide(compiler, root, source, &name(source), output) {
                        panic!("{message}");
                    }
                }
            });
        }
    });
    sources.iter().map(|source| name(source)).collect()
}

fn find_sources(directory: &Path, sources: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the kernels are part of the package") {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            find_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "cu") {
            sources.push(path);
        }
    }
}

/// Writes the image of one module to `output`. Images are kept in one directory of `target/` under
/// the hash of all that they are made from, so that a kernel is compiled once for its content,
/// whatever the profile and the features of the build. Files appear in it whole, by renaming, so
/// that two builds can work side by side.
fn provide(
    compiler: &Compiler,
    root: &Path,
    source: &Path,
    name: &str,
    output: &Path,
) -> Result<(), String> {
    let native = native_architectures();
    let arguments = arguments(&native);
    let Compiler { path, version } = compiler;
    let flags = ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN"].map(env::var_os);
    let mut hasher = DefaultHasher::new();
    (path, version, flags, &arguments, name).hash(&mut hasher);
    let mut seen = BTreeSet::new();
    hash_with_includes(root, source, &mut seen, &mut hasher);

    let failed = |doing: &str, error: io::Error| format!("cannot {doing}: {error}");
    let store = target_directory(output).join("cuda-kernels");
    fs::create_dir_all(&store).map_err(|error| failed("make a directory for images", error))?;
    let image = store.join(format!("{name}-{:016x}.image", hasher.finish()));
    if !image.exists() {
        compile(path, root, source, &arguments, &image)?;
    }
    fs::copy(&image, output.join(name).with_extension("image"))
        .map(drop)
        .map_err(|error| failed("copy a module", error))
}

/// Returns Cargo's directory for everything that it makes, of which `OUT_DIR` is a part and which
/// has a tag file, or `output` itself if no directory has one.
fn target_directory(output: &Path) -> &Path {
    let tagged = |directory: &&Path| directory.join("CACHEDIR.TAG").exists();
    output.ancestors().find(tagged).unwrap_or(output)
}

/// Hashes a source file and what it includes from kernels/, each file once.
fn hash_with_includes(
    root: &Path,
    file: &Path,
    seen: &mut BTreeSet<PathBuf>,
    hasher: &mut DefaultHasher,
) {
    if !seen.insert(file.to_owned()) {
        return;
    }
    let text = fs::read_to_string(file).unwrap_or_else(|error| {
        panic!("{} is included and cannot be read: {error}", file.display())
    });
    text.hash(hasher);
    let included = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("#include \"")?.split('"').next());
    for name in included {
        hash_with_includes(root, &root.join("kernels").join(name), seen, hasher);
    }
}

/// Returns the arguments of nvcc.
fn arguments(native: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["-O3", "-std=c++17", "-lineinfo", "-Ikernels"].map(str::to_owned).into();
    if native.is_empty() {
        arguments.extend(["-ptx".to_owned(), format!("-arch=compute_{OLDEST}")]);
    } else {
        let code = |architecture: &str, code: &str| {
            ["-gencode".to_owned(), format!("arch=compute_{architecture},code={code}")]
        };
        arguments.push("-fatbin".to_owned());
        arguments.extend(code(OLDEST, &format!("compute_{OLDEST}")));
        for architecture in native {
            arguments.extend(code(architecture, &format!("sm_{architecture}")));
        }
    }
    arguments
}

/// Compiles one file to `image`.
fn compile(
    compiler: &Path,
    root: &Path,
    source: &Path,
    arguments: &[String],
    image: &Path,
) -> Result<(), String> {
    let failed = |doing: &str, error: io::Error| format!("cannot {doing}: {error}");
    let partial = image.with_extension(format!("partial-{}", std::process::id()));
    let run = Command::new(compiler)
        .args(arguments)
        .arg("-o")
        .arg(&partial)
        // The path is relative, so that the line information is the same wherever this is built.
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
    // PTX ends with a zero byte, as the driver wants it; a fat binary knows its length.
    OpenOptions::new()
        .append(true)
        .open(&partial)
        .and_then(|mut file| file.write_all(&[0]))
        .map_err(|error| failed("complete a module", error))?;
    fs::rename(&partial, image).map_err(|error| failed("keep a module", error))
}

/// Returns the architectures to make machine code for: `90,100`, also written `sm_90;sm_100`.
fn native_architectures() -> Vec<String> {
    let list = env::var(ARCHITECTURES).unwrap_or_default();
    list.split([',', ';', ' '])
        .map(|name| name.trim().trim_start_matches("sm_").to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}
