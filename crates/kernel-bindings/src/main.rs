//! `kernel-bindings` writes `src/backend/cuda/bindings.rs` from the headers of `kernels/`;
//! `--check` compares the file with the headers.
//!
//! It is a program of its own since bindgen takes long to compile, and is started by
//! `cargo xtask bindings`, which sets `LIBCLANG_PATH` to the library that parses the headers.
//!
//! A header that is added below `kernels/` is found without a change here. What a structure
//! derives beyond `Copy`, `Clone` and `Debug` is listed in `Conventions`.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use bindgen::{
    Formatter, RustEdition, RustTarget,
    callbacks::{DeriveInfo, EnumVariantValue, IntKind, ParseCallbacks},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The place of the bindings in the workspace.
const BINDINGS: &str = "src/backend/cuda/bindings.rs";

/// The text above the bindings.
const INTRODUCTION: &str = "\
//! The structures that kernels take, and the numbers in them: `kernels/**/*.h`.
//!
//! Written by `cargo xtask bindings`; do not edit. The comments are those of the headers.

";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [] => write(),
        [flag] if flag == "--check" => check(),
        _ => Err("usage: kernel-bindings [--check]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kernel-bindings: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the bindings to their place.
fn write() -> Result<()> {
    Ok(fs::write(workspace().join(BINDINGS), generate()?)?)
}

/// Fails if the bindings in their place are not those of the headers.
fn check() -> Result<()> {
    if fs::read_to_string(workspace().join(BINDINGS))? == generate()? {
        return Ok(());
    }
    Err(format!("{BINDINGS} is not what the kernels' headers give: run `cargo xtask bindings`")
        .into())
}

/// Returns the root of the workspace.
fn workspace() -> &'static Path {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    crates.and_then(Path::parent).expect("this crate lies in crates/")
}

/// Returns the bindings of all headers, formatted as `cargo fmt` would format them.
fn generate() -> Result<String> {
    let kernels = workspace().join("kernels");
    let mut headers = Vec::new();
    collect(&kernels, &mut headers)?;
    headers.sort();
    let mut includes = String::new();
    for header in headers {
        writeln!(includes, "#include \"{}\"", header.display())?;
    }
    let bindings = bindgen::builder()
        .header_contents("kernels.h", &includes)
        // The headers are parsed as C++17, as nvcc reads them, and all their comments are kept, not
        // only those that begin with three slashes.
        .clang_args(["-xc++", "-std=c++17", "-fparse-all-comments"])
        .clang_arg(format!("-I{}", kernels.display()))
        .allowlist_file(".*/kernels/.*")
        .rustified_enum(".*Function")
        .prepend_enum_name(false)
        .use_core()
        .layout_tests(false)
        .rust_edition(RustEdition::Edition2024)
        // The least version of Rust, as in the workspace's Cargo.toml.
        .rust_target(RustTarget::stable(88, 0).map_err(|error| error.to_string())?)
        .disable_header_comment()
        .formatter(Formatter::Prettyplease)
        .parse_callbacks(Box::new(Conventions))
        .generate()?;
    formatted(&format!("{INTRODUCTION}{}", readable(&bindings.to_string())))
}

/// Returns the bindings with comments of several lines in the usual style, and an empty line after
/// every type.
fn readable(bindings: &str) -> String {
    let (mut text, mut within_comment) = (String::new(), false);
    for line in bindings.lines() {
        let line = line.trim();
        let begins = line.strip_prefix("/**");
        within_comment |= begins.is_some();
        let content = begins.unwrap_or(line);
        let ends = content.strip_suffix("*/").filter(|_| within_comment);
        if within_comment {
            text.push_str("/// ");
            text.push_str(ends.unwrap_or(content).trim());
        } else {
            text.push_str(line);
        }
        text.push('\n');
        within_comment &= ends.is_none();
        if line == "}" || line.starts_with("pub type") {
            text.push('\n');
        }
    }
    text
}

/// Adds the headers of a directory and those within it.
fn collect(directory: &Path, headers: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, headers)?;
        } else if path.extension().is_some_and(|extension| extension == "h") {
            headers.push(path);
        }
    }
    Ok(())
}

/// Returns the text formatted by the workspace's `rustfmt.toml`.
fn formatted(text: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition=2024", "--config-path"])
        .arg(workspace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start rustfmt: {error}"))?;
    // rustfmt reads its whole input before it writes, so that neither waits for the other. Its
    // input ends here, as `take` lets go of it.
    rustfmt.stdin.take().ok_or("rustfmt has no input")?.write_all(text.as_bytes())?;
    let output = rustfmt.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("rustfmt failed: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The conventions by which names and types of the headers become those of the library.
#[derive(Debug)]
struct Conventions;

impl ParseCallbacks for Conventions {
    /// Makes every macro that is a whole number a constant of the type `usize`: all of them are
    /// counts, such as lengths of arrays.
    fn int_macro(&self, _name: &str, _value: i64) -> Option<IntKind> {
        Some(IntKind::Custom { name: "usize", is_signed: false })
    }

    /// Renames the variants of an enum: `REDUCE_NOT_HELD` of `ReduceFunction` becomes
    /// `ReduceFunction::NotHeld`.
    fn enum_variant_name(
        &self,
        enumeration: Option<&str>,
        name: &str,
        _value: EnumVariantValue,
    ) -> Option<String> {
        enumeration.filter(|enumeration| enumeration.ends_with("Function"))?;
        let words = name.split('_').skip(1);
        Some(words.map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect())
    }

    /// Derives what the library needs of the structures listed here, beyond what all of them have.
    /// A structure with pointers cannot derive `Default`.
    fn add_derives(&self, info: &DeriveInfo<'_>) -> Vec<String> {
        let derives: &[&str] = match info.name {
            "Walk" | "Update" | "TeamLayout" | "TableLayout" | "RowsLayout" | "BandLayout"
            | "ResidualLayout" => &["Default"],
            "Status" | "ThreadRing" => &["Default", "PartialEq", "Eq"],
            _ => &[],
        };
        derives.iter().map(|&name| name.to_owned()).collect()
    }
}
