//! The program `mnn` from outside: arguments in; files, messages and exit codes out.

#[cfg(feature = "cuda")]
mod device;
mod discover;
mod expressions;
mod help;
#[cfg(unix)]
mod interrupt;
mod malformed_tables;
#[cfg(target_os = "linux")]
mod memory;
mod outputs;
mod predict;
mod report;
mod simulate;
mod solve;
mod table_forms;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Exit codes.
const DONE: i32 = 0;
const NUMERICAL_FAILURE: i32 = 1;
const MISUSE: i32 = 2;

/// What a run left.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code();
        Run {
            code: code.unwrap_or_else(|| panic!("{}: {stderr}", output.status)),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr,
        }
    }
}

impl Run {
    /// Panics with all that was printed unless the exit code is `code`.
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A folder of its own in which the program runs.
struct Workspace(TempDir);

impl Workspace {
    fn new() -> Self {
        Workspace(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path(name), contents).unwrap();
        self
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mnn"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    /// Names of the files in the folder, sorted.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A file of the repository.
fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}
