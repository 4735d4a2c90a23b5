//! Imports go one way: what lies below knows nothing of what lies above (docs/architecture.md).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the library from the ground floor up. A room may import those of lower levels, and
/// of its own level only itself.
const LEVELS: [&[&str]; 10] = [
    &["error"],
    &["inputs", "memory", "real", "threads"],
    &["shape", "options", "gemm"],
    &["rows", "problem", "plan", "solution"],
    &["adjoint", "banded", "tensor"],
    &["backend", "files"],
    &["solver", "cuda"],
    &["nonlinear", "tape"],
    &["nn"],
    &["discovery"],
];

/// The folders of the CUDA backend, in the same way.
const CUDA_LEVELS: [&[&str]; 6] = [
    &["bindings"],
    &["arguments", "driver"],
    &["path"],
    &["team", "thread"],
    &["solve"],
    &["tensor"],
];

fn level(levels: &[&[&str]], room: &str) -> usize {
    let level = levels.iter().position(|rooms| rooms.contains(&room));
    level.unwrap_or_else(|| panic!("{room} is not among the rooms of docs/architecture.md"))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Where the names that the crate's root gives away are defined.
fn rooms_of_names(root: &str) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for statement in root.split(';') {
        let Some(path) = statement.trim().strip_prefix("pub use ") else { continue };
        let (room, list) = path.split_once("::").unwrap();
        let list = list.trim_matches(['{', '}']);
        names.extend(list.split(',').map(|name| (name.trim().to_owned(), room.to_owned())));
    }
    names
}

/// The first words of the paths after `prefix` in the text of a file without its tests.
fn imported(text: &str, prefix: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut words = BTreeSet::new();
    for (start, _) in code.match_indices(prefix) {
        let rest = &code[start + prefix.len()..];
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap(),
            None => rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap(),
        };
        let first = |path: &str| path.trim().split("::").next().unwrap().to_owned();
        words.extend(list.split(',').map(first).filter(|word| !word.is_empty()));
    }
    words
}

/// What imports something of its own level or of a higher one: the files below `folder`, whose rooms
/// are imported as `prefix` and a name, which may be one of `names` with the room that defines it.
fn wrong_imports(
    folder: &str,
    prefix: &str,
    levels: &[&[&str]],
    names: &[(String, String)],
) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let mut wrong = BTreeSet::new();
    for file in files {
        let path = file.strip_prefix(&folder).unwrap();
        let of_tests = |part: &OsStr| part == "tests" || part == "tests.rs" || part == "testing";
        if path == Path::new("lib.rs") || path == Path::new("mod.rs") || path.iter().any(of_tests) {
            continue;
        }
        let room = path.with_extension("");
        let room = room.iter().next().unwrap().to_str().unwrap();
        for word in imported(&fs::read_to_string(&file).unwrap(), prefix) {
            let name = names.iter().find(|(name, _)| *name == word);
            let target = name.map_or(word.as_str(), |(_, room)| room.as_str());
            if room != target && level(levels, target) >= level(levels, room) {
                wrong.insert(format!("{} imports {target}", path.display()));
            }
        }
    }
    wrong
}

#[test]
fn imports_go_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let names = rooms_of_names(&fs::read_to_string(root).unwrap());
    let wrong = wrong_imports("src", "crate::", &LEVELS, &names);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn imports_of_the_cuda_backend_go_one_way() {
    let wrong = wrong_imports("src/backend/cuda", "crate::backend::cuda::", &CUDA_LEVELS, &[]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_import_upwards_is_seen() {
    // Of the two that the text has, the one that is not commented out.
    let text = "// use crate::tape::Tape;\nuse crate::{error::Error, solver};\n";
    assert_eq!(imported(text, "crate::"), BTreeSet::from(["error".into(), "solver".into()]));
    assert!(level(&LEVELS, "solver") > level(&LEVELS, "shape"));
}
