//! Watches the workers of a target and gathers what they find.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::replay::{self, Finding, HANG};
use crate::worker::{self, Share, State};
use crate::{Target, corpus, input, minimize};

/// The most workers of a target that are started again after an abort or a hang.
const MOST_RESTARTS: u32 = 30;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of the first input.
    pub seed: u64,
    /// The most inputs.
    pub inputs: u64,
    /// The time after which no new input is begun.
    pub time: Duration,
    /// How many processes run inputs at the same time.
    pub workers: u64,
}

/// What became of a target.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many inputs were run, those of the corpus included.
    pub inputs: u64,
    /// How many new inputs were accepted and not refused.
    pub accepted: u64,
    /// How many inputs failed.
    pub failed: u64,
    /// The different failures.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub time: Duration,
}

/// A kind of failure.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub finding: Finding,
    /// The file of the smallest input that was found to have it.
    pub file: PathBuf,
}

/// A process with the inputs that it has still to run.
struct Worker {
    child: Child,
    share: Share,
    folder: TempDir,
    /// Number of the input that was seen last, and since when.
    seen: (u64, Instant),
}

/// Replays the corpus of a target, runs new inputs, and puts each kind of failure into the corpus
/// with its number, as small as it can be made. `program` is this crate's.
///
/// # Errors
/// A process cannot be started, or a file not be written.
pub fn run(program: &Path, target: &Target, plan: &Plan) -> io::Result<Summary> {
    let begin = Instant::now();
    let scratch = scratch()?;
    let mut summary = Summary::default();
    for file in corpus::files(target)? {
        summary.inputs += 1;
        if let Err(finding) = replay::apart(program, target, &file, scratch.path())? {
            summary.failed += 1;
            summary.failures.push(Failure { finding, file });
        }
    }
    for (number, finding) in work(program, target, plan, &mut summary)? {
        let found = input::make(target, number);
        let file = corpus::keep(target, number, &found)?;
        minimize::file(program, target, &file, &finding.signature, scratch.path())?;
        summary.failures.push(Failure { finding, file });
    }
    summary.time = begin.elapsed();
    Ok(summary)
}

/// Runs the inputs and returns the kinds of failures, with the number of one input of each.
fn work(
    program: &Path,
    target: &Target,
    plan: &Plan,
    summary: &mut Summary,
) -> io::Result<Vec<(u64, Finding)>> {
    let begin = Instant::now();
    let mut found: BTreeMap<String, (u64, Finding)> = BTreeMap::new();
    let mut add = |number: u64, finding: Finding| {
        found.entry(finding.signature.clone()).or_insert((number, finding));
    };
    let mut workers = Vec::new();
    for index in 0..plan.workers {
        let rest = u64::from(index < plan.inputs % plan.workers);
        let count = plan.inputs / plan.workers + rest;
        let first = plan.seed.wrapping_add(index);
        let share = Share { first, step: plan.workers, count, time: plan.time };
        workers.push(start(program, target, share)?);
    }
    let mut restarts = 0;
    while !workers.is_empty() {
        std::thread::sleep(Duration::from_millis(10));
        for mut worker in std::mem::take(&mut workers) {
            let read = || State::read(worker.folder.path());
            let begun = State { number: worker.share.first, ..State::default() };
            let state = read().unwrap_or(begun);
            if state.number != worker.seen.0 {
                worker.seen = (state.number, Instant::now());
            }
            let ended = match worker.child.try_wait()? {
                None if worker.seen.1.elapsed() > HANG => {
                    worker.child.kill()?;
                    worker.child.wait()?;
                    None
                }
                None => {
                    workers.push(worker);
                    continue;
                }
                ended => ended,
            };
            let state = read().unwrap_or(begun);
            summary.inputs += state.done;
            summary.accepted += state.accepted;
            summary.failed += state.failed;
            for report in reports(worker.folder.path())? {
                let number = report
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .parse()
                    .unwrap_or_default();
                let text = std::fs::read_to_string(&report)?;
                let (signature, message) = text.split_once('\n').unwrap_or((&text, ""));
                let (signature, message) = (signature.to_owned(), message.to_owned());
                add(number, Finding { signature, message });
            }
            // Whatever runs an input may end the process, with any exit code.
            if state.ended && ended.is_some_and(|status| status.success()) {
                continue;
            }
            // The input that the worker did not survive; the next ones need a new process.
            let finding = alone(program, target, state.number)?
                .unwrap_or_else(|| replay::abnormal(ended, "only after the inputs before it"));
            summary.inputs += 1;
            summary.failed += 1;
            add(state.number, finding);
            restarts += 1;
            let rest = Share {
                first: state.number.wrapping_add(worker.share.step),
                count: worker.share.count.saturating_sub(state.done + 1),
                time: plan.time.saturating_sub(begin.elapsed()),
                ..worker.share
            };
            if rest.count > 0 && !rest.time.is_zero() && restarts <= MOST_RESTARTS {
                workers.push(start(program, target, rest)?);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Lists the reports of a worker, which may have ended before it could write any.
fn reports(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(worker::reports(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// Runs one input again in a process of its own.
fn alone(program: &Path, target: &Target, number: u64) -> io::Result<Option<Finding>> {
    let folder = scratch()?;
    let file = folder.path().join("input");
    std::fs::write(&file, input::make(target, number))?;
    Ok(replay::apart(program, target, &file, folder.path())?.err())
}

/// Makes a folder for files, in memory where the machine has such folders: most targets write files
/// and read them again.
fn scratch() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

fn start(program: &Path, target: &Target, share: Share) -> io::Result<Worker> {
    let folder = scratch()?;
    let child = Command::new(program)
        .args(["worker", target.name])
        .arg(folder.path())
        .args(["--first", &share.first.to_string()])
        .args(["--step", &share.step.to_string()])
        .args(["--count", &share.count.to_string()])
        .args(["--milliseconds", &share.time.as_millis().to_string()])
        // Every second worker computes in several threads.
        .env("RAYON_NUM_THREADS", (1 + 2 * (share.first % 2)).to_string())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Worker { child, share, folder, seen: (share.first, Instant::now()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets;

    /// The program `true` ends at once, as if an input had called `exit(0)`.
    #[test]
    fn a_process_that_ends_too_early_has_failed_whatever_its_exit_code() {
        let [target, ..] = targets::ALL;
        let plan = Plan { seed: 7, inputs: 1, time: Duration::from_secs(60), workers: 1 };
        let mut summary = Summary::default();
        let found = work(Path::new("true"), &target, &plan, &mut summary).unwrap();
        assert_eq!((summary.inputs, summary.failed), (1, 1));
        let [(number, finding)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*number, 7);
        assert!(finding.message.starts_with("ended with exit status: 0"), "{finding:?}");
    }
}
