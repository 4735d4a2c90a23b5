//! Imports go one way: what lies below knows nothing of what lies above (docs/architecture.md).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the library from the ground floor up. A room may import those of lower levels, and
/// of its own level only itself.
const LEVELS: [&[&str]; 10] = [
    &["error"],
    &["inputs", "memory", "real"],
    &["shape", "options"],
    &["rows", "problem", "adjoint", "plan", "solution"],
    &["banded", "tensor"],
    &["backend", "files"],
    &["solver", "cuda"],
    &["nonlinear", "tape"],
    &["nn"],
    &["discovery"],
];

fn level(room: &str) -> usize {
    let level = LEVELS.iter().position(|rooms| rooms.contains(&room));
    level.unwrap_or_else(|| panic!("src/{room} is not among the rooms of docs/architecture.md"))
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

/// The first words of the paths after `crate::` in the text of a file without its tests.
fn imported(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut words = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap(),
            None => rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap(),
        };
        let first = |path: &str| path.trim().split("::").next().unwrap().to_owned();
        words.extend(list.split(',').map(first).filter(|word| !word.is_empty()));
    }
    words
}

#[test]
fn imports_go_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = rooms_of_names(&fs::read_to_string(src.join("lib.rs")).unwrap());
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 100);
    let mut wrong = BTreeSet::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap();
        if path == Path::new("lib.rs") || path.components().any(|c| c.as_os_str() == "tests") {
            continue;
        }
        let room = path.with_extension("");
        let room = room.iter().next().unwrap().to_str().unwrap();
        for word in imported(&fs::read_to_string(&file).unwrap()) {
            let name = names.iter().find(|(name, _)| *name == word);
            let target = name.map_or(word.as_str(), |(_, room)| room.as_str());
            if room != target && level(target) >= level(room) {
                wrong.insert(format!("src/{} imports {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
