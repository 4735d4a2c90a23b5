//! Ends the program at Ctrl-C or SIGTERM, whatever it is doing: with what was found so far, and
//! without a temporary file.
//!
//! A thread of its own waits for the signal and ends the process, so that no computation needs to
//! look for it.

use std::sync::{Mutex, PoisonError};

/// Prints what a command has found so far.
type LastWords = Box<dyn FnOnce() + Send>;

/// The last words of the command that runs.
static LAST_WORDS: Mutex<Option<LastWords>> = Mutex::new(None);

/// Sets what prints, on standard error, what the command has found so far, should it be
/// interrupted.
pub fn on_interrupt(last_words: impl FnOnce() + Send + 'static) {
    *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(last_words));
}

/// Watches for signals from now on. Elsewhere than on Unix, Ctrl-C ends the program as ever.
#[cfg(unix)]
pub fn watch() {
    unix::watch();
}

/// Does nothing: only Unix has the signals.
#[cfg(not(unix))]
pub fn watch() {}

#[cfg(unix)]
mod unix {
    use std::sync::Arc;
    use std::sync::PoisonError;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use mechanistic::files::atomic;
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::exit;

    use super::LAST_WORDS;

    /// The signals, and what is said of them.
    const SIGNALS: [(i32, &str); 2] = [(SIGINT, "interrupted"), (SIGTERM, "terminated")];
    /// The time that last words may take: who reads standard error may have stopped reading.
    const PATIENCE: Duration = Duration::from_millis(500);

    /// Returns the exit code by which shells know a signal.
    fn exit_code(signal: i32) -> i32 {
        128 + signal
    }

    /// Has a thread wait for a signal and end the process; a second signal ends it at once. All that
    /// the thread needs is made before, so that it takes no memory while others look how much there
    /// is.
    pub fn watch() {
        let ending = Arc::new(AtomicBool::new(false));
        let watched = SIGNALS.iter().try_for_each(|&(signal, _)| {
            let code = exit_code(signal);
            signal_hook::flag::register_conditional_shutdown(signal, code, ending.clone()).map(drop)
        });
        let Ok(mut signals) = watched.and_then(|()| Signals::new(SIGNALS.map(|(it, _)| it))) else {
            return;
        };
        let ended = ending.clone();
        let wait = move || {
            if let Some(signal) = signals.forever().next() {
                ended.store(true, Ordering::Relaxed);
                end(signal);
            }
        };
        // Where no thread can be had, the first signal ends the process at once.
        if std::thread::Builder::new().name("signals".into()).spawn(wait).is_err() {
            ending.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the process. Destructors do not run: other threads may be in the middle of anything.
    fn end(signal: i32) {
        let _no_file_is_begun_or_finished = atomic::discard_unfinished();
        let (done, said) = channel();
        let words = move || {
            let last_words = LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(last_words) = last_words {
                last_words();
            }
            let name = SIGNALS.iter().find(|(it, _)| *it == signal).map_or("", |(_, name)| name);
            crate::tell(format_args!("mnn: {name}"));
            // Nothing that is being printed ends in the middle.
            let _stdout = std::io::stdout().lock();
            let _ = done.send(());
            std::thread::park();
        };
        if std::thread::Builder::new().spawn(words).is_ok() {
            let _ = said.recv_timeout(PATIENCE);
        }
        exit(exit_code(signal));
    }
}
