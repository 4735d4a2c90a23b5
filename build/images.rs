//! The images of the kernels: where they come from, and how they are written for the library to
//! embed.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::DeflateEncoder};

use super::{compile, nvcc};

/// The variable with the architectures to make machine code for.
pub const ARCHITECTURES: &str = "MECHANISTIC_CUDA_ARCHITECTURES";
/// The variable that asks for the lines of the source.
pub const LINE_INFORMATION: &str = "MECHANISTIC_CUDA_LINEINFO";

/// The variables that decide which compiler runs, and those that nvcc itself reads.
const VARIABLES: [&str; 9] = [
    "NVCC",
    "PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "NVCC_PREPEND_FLAGS",
    "NVCC_APPEND_FLAGS",
    "NVCC_CCBIN",
    ARCHITECTURES,
    LINE_INFORMATION,
];

/// The files that the library includes: the compressed images one after another, the table of where
/// they are, and the architectures.
const FILES: [&str; 3] = ["images.bin", "images.rs", "architectures.rs"];

/// One kernel with what was made of it.
pub struct Kernel {
    /// Name of its module: kernels/team/adjoint.cu is `team_adjoint`.
    pub module: String,
    /// Name of the kernel.
    pub name: String,
    /// Architecture and bytes: PTX for `compute_80` first, then machine code.
    pub images: Vec<(String, Vec<u8>)>,
}

/// Provides the files that the library includes: those of the package, or new ones.
pub fn provide() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=kernels");
    for variable in VARIABLES {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    if let Err(message) = choose(&root, &output) {
        println!("cargo::error={message}");
    }
}

/// Takes the images of the package, or makes others where there are none or others are asked for.
fn choose(root: &Path, output: &Path) -> Result<(), String> {
    // Only the published package, which has no xtask, is sure to have images of its own kernels.
    let shipped = Some(root.join("images"));
    let shipped = shipped.filter(|images| images.is_dir() && !root.join("xtask").is_dir());
    let asked = !compile::native_architectures()?.is_empty() || compile::with_line_information();
    match shipped {
        Some(images) if !asked => copy(&images, output),
        shipped => make(root, output, shipped.as_deref()),
    }
}

/// Copies images that were made before.
fn copy(from: &Path, output: &Path) -> Result<(), String> {
    println!("cargo:rerun-if-changed={}", from.display());
    FILES.iter().try_for_each(|name| {
        fs::copy(from.join(name), output.join(name)).map(drop).map_err(failed("copy the images"))
    })
}

/// Compiles the kernels if there is a compiler, and else copies `shipped`, if there are images.
fn make(root: &Path, output: &Path, shipped: Option<&Path>) -> Result<(), String> {
    let found = nvcc::find(root)?;
    for (path, reason) in &found.unusable {
        println!("cargo:rerun-if-changed={}", path.display());
        println!("cargo:warning={reason}; it is passed over");
    }
    let Some(compiler) = found.compiler else {
        if let Some(images) = shipped {
            println!(
                "cargo:warning=no nvcc that can be used: {ARCHITECTURES} and {LINE_INFORMATION} \
                 have no effect, and the CUDA kernels are the PTX of the package"
            );
            return copy(images, output);
        }
        watch_for_a_toolkit(root);
        println!(
            "cargo:warning=no nvcc that can be used: the CUDA kernels are left out and only the \
             CPU can be used. Put nvcc on PATH or set NVCC or CUDA_HOME (in a checkout: `cargo xtask \
             toolkit` installs it), or build without the feature `cuda`."
        );
        return write(output, &[]);
    };
    println!("cargo:rerun-if-changed={}", compiler.path.display());
    write(output, &compile::all(&compiler, root, output)?)
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

/// Writes the files that the library includes.
fn write(output: &Path, kernels: &[Kernel]) -> Result<(), String> {
    let mut bytes = Vec::new();
    let mut table = String::from("&[\n");
    for Kernel { module, name, images } in kernels {
        let mut places = String::new();
        for (architecture, image) in images {
            let start = bytes.len();
            let mut encoder = DeflateEncoder::new(&mut bytes, Compression::best());
            encoder.write_all(image).and_then(|()| encoder.finish().map(drop)).expect("to memory");
            let (end, length) = (bytes.len(), image.len());
            let _ = write!(
                places,
                "Image {{ architecture: {architecture:?}, place: {start}..{end}, length: {length} }}, "
            );
        }
        let _ = writeln!(
            table,
            "    KernelImages {{ module: {module:?}, name: {name:?}, images: &[{places}] }},"
        );
    }
    table.push_str("]\n");
    let architectures: Vec<&str> = kernels
        .first()
        .map(|kernel| kernel.images.iter().map(|(architecture, _)| architecture.as_str()).collect())
        .unwrap_or_default();
    let architectures = format!("&{architectures:?}\n");
    let contents = [bytes, table.into_bytes(), architectures.into_bytes()];
    FILES.iter().zip(contents).try_for_each(|(name, content)| {
        fs::write(output.join(name), content).map_err(failed("write the images"))
    })
}

/// Makes messages of errors.
pub fn failed<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> String {
    move |error| format!("cannot {doing}: {error}")
}
