//! Makes a failing input small.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Target, replay};

/// How long an input is made smaller.
const TIME: Duration = Duration::from_secs(60);

/// Removes parts of the input in `file`, large ones first, as long as the failure stays the same.
///
/// # Errors
/// A process cannot be started, or a file not be written.
pub fn file(
    program: &Path,
    target: &Target,
    file: &Path,
    signature: &str,
    folder: &Path,
) -> io::Result<()> {
    let begin = Instant::now();
    let candidate = folder.join("candidate");
    let fails = |input: &[u8]| -> io::Result<bool> {
        std::fs::write(&candidate, input)?;
        let outcome = replay::apart(program, target, &candidate, folder)?;
        Ok(outcome.is_err_and(|finding| finding.signature == signature))
    };
    let mut input = std::fs::read(file)?;
    let mut size = input.len().div_ceil(2).max(1);
    loop {
        let (mut at, before) = (0, input.len());
        while at < input.len() {
            if begin.elapsed() > TIME {
                return std::fs::write(file, input);
            }
            let mut shorter = input.clone();
            shorter.drain(at..(at + size).min(input.len()));
            if fails(&shorter)? {
                input = shorter;
            } else {
                at += size;
            }
        }
        if size == 1 && input.len() == before {
            return std::fs::write(file, input);
        }
        size = size.div_ceil(2).max(1);
    }
}
