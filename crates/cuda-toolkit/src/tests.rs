//! Compilers that are shell scripts.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::nvcc::{first_usable, named};

/// One test at a time: a script that another thread's new process still holds open cannot be run.
static ALONE: Mutex<()> = Mutex::new(());

/// A program `<directory>/<name>/nvcc`, where directories of this test lie.
fn nvcc(test: &str, name: &str, script: &str) -> PathBuf {
    let place = format!("cuda-toolkit-{}-{test}", std::process::id());
    let directory = std::env::temp_dir().join(place).join(name);
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("nvcc");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn remove(path: &Path) {
    fs::remove_dir_all(path.ancestors().nth(2).unwrap()).unwrap();
}

const TOO_OLD: &str = "echo 'Cuda compilation tools, release 10.2, V10.2.89'";
const NO_NVCC: &str = "exit 3";
/// Tells its version, and compiles nothing.
const BROKEN: &str = "case $1 in --version) echo 'release 12.4, V12.4.131';; \
                      *) echo 'unsupported GNU version!' >&2; exit 1;; esac";
const GOOD: &str = "case $1 in --version) echo 'release 13.0, V13.0.1';; esac";

#[test]
fn what_cannot_be_used_is_passed_over_and_the_search_goes_on() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = |name, script| nvcc("search", name, script);
    let candidates =
        [make("old", TOO_OLD), make("none", NO_NVCC), make("broken", BROKEN), make("good", GOOD)];
    let absent = candidates[0].with_file_name("absent");
    let found = first_usable([absent].into_iter().chain(candidates.clone()));
    let compiler = found.compiler.unwrap();
    assert_eq!(compiler.path, candidates[3]);
    assert_eq!(compiler.version, "release 13.0, V13.0.1\n");
    let expected = [
        "is release 10.2; the kernels need nvcc 11.0 or later",
        "--version` is no answer of nvcc (exit status: 3)",
        "-o - /dev/null` fails: unsupported GNU version!",
    ];
    assert_eq!(found.unusable.len(), 3);
    for ((candidate, expected), (path, reason)) in
        candidates.iter().zip(expected).zip(&found.unusable)
    {
        assert_eq!(path, candidate);
        assert!(reason.contains(expected), "{reason}");
    }

    let none = first_usable(candidates[..3].iter().cloned());
    assert!(none.compiler.is_none() && none.unusable.len() == 3);
    remove(&candidates[0]);
}

#[test]
fn the_one_that_is_named_is_taken_or_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (good, old) = (nvcc("named", "good", GOOD), nvcc("named", "old", TOO_OLD));
    assert_eq!(named(&good, &[]).unwrap().path, good);
    let directories = [&old, &good].map(|path| path.parent().unwrap().to_owned());
    assert_eq!(named(Path::new("nvcc"), &directories[1..]).unwrap().path, good);
    let message = named(Path::new("nvcc"), &directories).unwrap_err();
    assert!(message.contains("is release 10.2") && message.contains("unset it"), "{message}");
    let message = named(Path::new("nvcc-9"), &directories).unwrap_err();
    assert!(message.contains("NVCC is nvcc-9, which is no file and no program"), "{message}");
    remove(&good);
}
