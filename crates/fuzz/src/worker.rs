//! A worker process: it runs inputs one after the other and says at all times which one.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Target, input, replay};

/// The inputs of a worker: `first`, `first + step`, … until `count` are done or `time` is over.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Number of the first input.
    pub first: u64,
    /// Distance to the next one: the number of workers.
    pub step: u64,
    /// The most inputs.
    pub count: u64,
    /// The time after which no new input is begun.
    pub time: Duration,
}

/// What a worker has done, in a file that it shares with the process that watches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Number of the input that is being run.
    pub number: u64,
    /// How many inputs are done.
    pub done: u64,
    /// How many of them were accepted.
    pub accepted: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Whether the worker has come to its end by itself.
    pub ended: bool,
}

impl State {
    /// The file of a worker that works in this folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("state")
    }

    /// Reads the state of the worker in a folder; `None` before it has begun.
    pub fn read(folder: &Path) -> Option<State> {
        let bytes = std::fs::read(Self::path(folder)).ok()?;
        let (words, _) = bytes.as_chunks();
        let words: [[u8; 8]; 5] = words.try_into().ok()?;
        let [number, done, accepted, failed, ended] = words.map(u64::from_le_bytes);
        Some(State { number, done, accepted, failed, ended: ended == 1 })
    }

    fn write(self, file: &File) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let State { number, done, accepted, failed, ended } = self;
        let words = [number, done, accepted, failed, u64::from(ended)].map(u64::to_le_bytes);
        file.write_all_at(words.as_flattened(), 0)
    }
}

/// The folder of the reports of what failed: one file for each kind of failure, which the number of
/// its first input names.
pub fn reports(folder: &Path) -> PathBuf {
    folder.join("reports")
}

/// Runs a worker's inputs in `folder`.
///
/// # Errors
/// The folder cannot be written to.
pub fn run(target: &Target, share: &Share, folder: &Path) -> io::Result<()> {
    limit_memory()?;
    let scratch = folder.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    std::fs::create_dir_all(reports(folder))?;
    let file = File::create(State::path(folder))?;
    let begin = Instant::now();
    let mut known = HashSet::new();
    let mut state = State { number: share.first, ..State::default() };
    while state.done < share.count && begin.elapsed() < share.time {
        state.write(&file)?;
        let input = input::make(target, state.number);
        match replay::here(target, &input, &scratch) {
            Ok(accepted) => state.accepted += u64::from(accepted),
            Err(finding) => {
                state.failed += 1;
                if known.insert(finding.signature.clone()) {
                    replay::report(&reports(folder).join(state.number.to_string()), &finding)?;
                }
            }
        }
        state.done += 1;
        state.number = state.number.wrapping_add(share.step);
    }
    state.ended = true;
    state.write(&file)
}

/// The address space of a process that runs inputs: what asks for more must say so and not abort.
const MOST_MEMORY: u64 = 4 << 30;

/// Limits the address space of this process, and has it leave no core dump.
///
/// # Errors
/// The operating system refuses.
pub fn limit_memory() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, limit(0))?;
    Ok(setrlimit(Resource::As, limit(MOST_MEMORY))?)
}
