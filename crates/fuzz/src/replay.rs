//! Runs one input, here or in a process of its own.

use std::fs::File;
use std::io::{self, Read as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use crate::Target;

/// The time after which an input hangs.
pub const HANG: Duration = Duration::from_secs(20);

/// The report on an input that breaks no promise.
pub const KEPT: &str = "kept";

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What distinguishes this fault from others, without the numbers of one input.
    pub signature: String,
    /// What happened.
    pub message: String,
}

/// The panics of this process since it last asked.
static PANICS: Mutex<Vec<Finding>> = Mutex::new(Vec::new());

/// Runs an input in this process and returns whether it was accepted, or what is wrong; files that it
/// needs lie in `folder`.
pub fn here(target: &Target, input: &[u8], folder: &Path) -> Result<bool, Finding> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| panic::set_hook(Box::new(|panic| record(&panic.to_string()))));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input, folder)));
    // A panic of a thread that nobody waits for is a fault, too.
    if let Some(panic) = PANICS.lock().unwrap_or_else(|lock| lock.into_inner()).drain(..).next() {
        return Err(panic);
    }
    match outcome {
        Ok(Ok(accepted)) => Ok(accepted),
        Ok(Err(message)) => Err(Finding { signature: without_numbers(&message), message }),
        Err(_) => {
            let message = "a panic that was not reported".to_owned();
            Err(Finding { signature: message.clone(), message })
        }
    }
}

fn record(panic: &str) {
    let place = panic.lines().next().unwrap_or_default().trim_end_matches(':');
    let finding = Finding { signature: place.to_owned(), message: panic.to_owned() };
    PANICS.lock().unwrap_or_else(|lock| lock.into_inner()).push(finding);
}

/// Returns the beginning of a message without its digits.
fn without_numbers(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit()).take(80).collect()
}

/// Runs the input in a file in a process of its own, so that an abort, a hang or memory beyond the
/// limit is a finding like any other. `program` is this crate's.
///
/// # Errors
/// The process cannot be started or watched.
pub fn apart(
    program: &Path,
    target: &Target,
    file: &Path,
    folder: &Path,
) -> io::Result<Result<(), Finding>> {
    let (report, errors) = (folder.join("report"), folder.join("errors"));
    let _ = std::fs::remove_file(&report);
    let mut child = Command::new(program)
        .args(["replay", target.name])
        .arg(file)
        .arg("--report")
        .arg(&report)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors)?)
        .spawn()?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if begin.elapsed() > HANG => break None,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let mut said = Vec::new();
    File::open(&errors)?.take(1 << 16).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    Ok(match (status, std::fs::read_to_string(&report)) {
        // An input that ends the process with this exit code leaves no report.
        (Some(status), Ok(report)) if status.success() && report == KEPT => Ok(()),
        (_, Ok(report)) => {
            let (signature, message) = report.split_once('\n').unwrap_or((&report, ""));
            Err(Finding { signature: signature.to_owned(), message: message.to_owned() })
        }
        (status, Err(_)) => Err(abnormal(status, &said)),
    })
}

/// Returns the finding of a process that ended without a report, or of one that did not end.
pub fn abnormal(status: Option<ExitStatus>, said: &str) -> Finding {
    let Some(status) = status else {
        let message = format!("no end after {} s", HANG.as_secs());
        return Finding { signature: "hang".to_owned(), message };
    };
    let last = said.trim_end().lines().last().unwrap_or_default();
    Finding {
        signature: format!("{status}: {}", without_numbers(last)),
        message: format!("ended with {status}: {last}"),
    }
}

/// Writes a finding for the process that asked for it.
///
/// # Errors
/// The file cannot be written.
pub fn report(file: &Path, finding: &Finding) -> io::Result<()> {
    let signature = finding.signature.replace('\n', " ");
    std::fs::write(file, format!("{signature}\n{}", finding.message))
}
