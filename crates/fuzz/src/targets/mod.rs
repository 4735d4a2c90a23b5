//! What is fuzzed: each file makes the inputs of one reader and says what must hold of each.

mod checkpoint;
mod csv;
mod expressions;
mod flags;
mod problem;
mod program;
mod ptx;
mod safetensors_file;
mod saved;
mod solver;

use std::path::Path;

use arbitrary::Unstructured;

/// Something that reads inputs, which must keep its promises whatever the input.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of the target, and of its folder in the corpus.
    pub name: &'static str,
    /// Makes an input, most of the time one that is nearly right.
    pub generate: fn(&mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>>,
    /// Runs an input, in a folder for files, and says whether it was accepted, or which promise is
    /// broken. A panic, an abort, a hang and memory beyond the limit are found by those who call it.
    pub run: fn(&[u8], &Path) -> Outcome,
    /// Inputs that are right, to be mutated.
    pub samples: &'static [&'static [u8]],
    /// Words that mutations put in.
    pub words: &'static [&'static str],
    /// How many inputs the tests run.
    pub tested: u64,
}

/// Whether an input was accepted and not refused, or the promise that is broken.
pub type Outcome = Result<bool, String>;

/// All targets.
pub const ALL: [Target; 9] = [
    csv::TARGET,
    problem::TARGET,
    solver::TARGET,
    saved::TARGET,
    expressions::TARGET,
    checkpoint::TARGET,
    ptx::TARGET,
    flags::TARGET,
    program::TARGET,
];

/// Returns an error unless a promise holds.
fn ensure(holds: bool, promise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(promise()) }
}

/// Returns the message of a failure that can only be the machine's, such as a full disk.
fn machine(error: std::io::Error) -> String {
    format!("the machine: {error}")
}
