//! The command `cargo xtask gpu-bundle`, which makes one archive of all that tries and measures the
//! library on a machine with a GPU, but without Rust, network or the sources: the program, tests, the
//! measuring program, a script, and what they read.

mod glibc;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    commands::{cargo_messages, failed, status, target, workspace},
    toolkit,
};

/// The folder that the archive holds.
const NAME: &str = "mechanistic-gpu";
/// The most bytes of the archive.
const MOST_BYTES: u64 = 60_000_000;

/// The binaries of tests that make sense on a card; the script says why the others do not.
const TESTS: [&str; 7] = [
    "--test=conformance",
    "--test=cuda",
    "--test=cuda_graphs",
    "--test=cuda_launches",
    "--test=cuda_modules",
    "--test=nonlinear",
    "--test=tape",
];

/// The files and folders that the script, the tests and whoever changes kernels read.
const DATA: [&str; 3] = ["docs/kernels.md", "kernels", "tests/golden"];

/// Makes the archive and prints its path and its size.
pub fn run() -> Result<(), String> {
    let nvcc = toolkit::ensure()?;
    let tests = [&["test", "--no-run", "--package=mechanistic", "--lib"][..], &TESTS].concat();
    let tests = cargo_messages(&tests, &nvcc)?;
    let programs = ["build", "--profile=test", "--package=mnn", "--package=gpu-bench"];
    let programs = cargo_messages(&programs, &nvcc)?;

    let place = target().join("gpu-bundle");
    let bundle = place.join(NAME);
    let _ = fs::remove_dir_all(&bundle);
    for program in executables(&programs, "bin") {
        strip(&program, &bundle.join("bin").join(name_without_hash(&program)))?;
    }
    for test in executables(&tests, "test").into_iter().chain(executables(&tests, "lib")) {
        strip(&test, &bundle.join("test-binaries").join(name_without_hash(&test)))?;
    }
    let simulator = file_named(&tests, "libcuda_sim.so")?;
    let simulated = bundle.join("simulated");
    strip(&simulator, &simulated.join("libcuda.so"))?;
    for name in ["libcuda.so.1", "libcublas.so"] {
        std::os::unix::fs::symlink("libcuda.so", simulated.join(name))
            .map_err(|error| failed("make a link in", &simulated, &error))?;
    }
    for path in DATA {
        copy(&workspace().join(path), &bundle.join(path))?;
    }
    let own = workspace().join("xtask/src/gpu_bundle");
    for name in ["run.sh", "pytorch.py"] {
        copy(&own.join(name), &bundle.join(name))?;
    }
    copy(&workspace().join("docs/gpu.md"), &bundle.join("README.md"))?;
    let glibc = glibc::newest_needed(&bundle)?;
    let label = format!("{NAME} {} of {}, glibc {glibc}", env!("CARGO_PKG_VERSION"), commit());
    write(&bundle.join("BUNDLE"), &label)?;

    let archive = place.join(format!("{NAME}.tar.xz"));
    let partial = archive.with_extension("partial");
    let mut tar = Command::new("tar");
    tar.env("XZ_OPT", "-9").arg("-cJf").arg(&partial).arg("-C").arg(&place).arg(NAME);
    status(&mut tar)?;
    fs::rename(&partial, &archive).map_err(|error| failed("rename", &partial, &error))?;
    let bytes = fs::metadata(&archive).map_err(|error| failed("read", &archive, &error))?.len();
    println!("{label}\n{} ({:.1} MB)", archive.display(), bytes as f64 / 1e6);
    if bytes > MOST_BYTES {
        return Err(format!("the archive is larger than {} MB", MOST_BYTES / 1_000_000));
    }
    Ok(())
}

/// Returns the programs of a kind of target among what cargo has built.
fn executables(messages: &[serde_json::Value], kind: &str) -> Vec<PathBuf> {
    let of_kind = |message: &&serde_json::Value| {
        message["target"]["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind))
    };
    let executable = |message: &serde_json::Value| Some(message["executable"].as_str()?.into());
    messages.iter().filter(of_kind).filter_map(executable).collect()
}

/// Returns the file of this name among what cargo has built.
fn file_named(messages: &[serde_json::Value], name: &str) -> Result<PathBuf, String> {
    let files = messages.iter().filter_map(|message| message["filenames"].as_array()).flatten();
    let mut paths = files.filter_map(|file| Some(PathBuf::from(file.as_str()?)));
    let found = paths.find(|path| path.file_name() == Some(OsStr::new(name)));
    found.ok_or_else(|| format!("cargo has built no {name}"))
}

/// Returns the name of a program without what cargo appends to the names of tests:
/// `tape-0123456789abcdef`.
fn name_without_hash(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match name.rsplit_once('-') {
        Some((name, hash)) if is_hash(hash) => name.to_owned(),
        _ => name.into_owned(),
    }
}

/// Copies a program or a library without what only debuggers read.
fn strip(from: &Path, to: &Path) -> Result<(), String> {
    make_parent(to)?;
    status(Command::new("strip").arg("--strip-unneeded").arg("-o").arg(to).arg(from))
}

/// Copies a file or a folder.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make_parent(to)?;
    status(Command::new("cp").arg("-R").arg(from).arg(to))
}

fn make_parent(path: &Path) -> Result<(), String> {
    let parent = path.parent().expect("it lies in the bundle");
    fs::create_dir_all(parent).map_err(|error| failed("make", parent, &error))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, format!("{text}\n")).map_err(|error| failed("write", path, &error))
}

/// Returns the commit that the workspace is at, if git knows it.
fn commit() -> String {
    let describe = ["describe", "--always", "--dirty"];
    let output = Command::new("git").args(describe).current_dir(workspace()).output();
    let known = output.ok().filter(|output| output.status.success());
    let text = known.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "an unknown commit".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_without_hashes() {
        let name = |path: &str| name_without_hash(Path::new(path));
        assert_eq!(name("target/debug/deps/cuda_launches-0123456789abcdef"), "cuda_launches");
        assert_eq!(name("target/debug/gpu-bench"), "gpu-bench");
    }

    #[test]
    fn what_cargo_has_built_is_found() {
        let messages = [
            serde_json::json!({"target": {"kind": ["test"]}, "executable": "/deps/tape-1"}),
            serde_json::json!({"target": {"kind": ["lib"]}, "executable": null}),
            serde_json::json!({
                "target": {"kind": ["cdylib", "rlib"]}, "filenames": ["/a.rlib", "/b/libx.so"]
            }),
        ];
        assert_eq!(executables(&messages, "test"), [PathBuf::from("/deps/tape-1")]);
        assert!(executables(&messages, "lib").is_empty());
        assert_eq!(file_named(&messages, "libx.so").unwrap(), Path::new("/b/libx.so"));
        assert!(file_named(&messages, "liby.so").is_err());
    }
}
