//! Several searches at a time, in threads, whose progress one observer sees.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::progress::{Progress, Reporter};
use crate::Result;
use crate::threads::on_one_thread;

/// Runs `search` for each of these names, at most so many `at_a_time`, and returns the results in the
/// order of the names: they do not depend on the number of threads.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) if the observer breaks while there are several;
/// a single search tells itself.
pub(super) fn run<T: Send>(
    names: &[String],
    at_a_time: usize,
    search: impl Fn(usize, &mut Reporter<'_, '_>) -> T + Sync,
    progress: &mut Reporter<'_, '_>,
) -> Result<Vec<T>> {
    if names.len() == 1 {
        return Ok(vec![search(0, progress)]);
    }
    if at_a_time == 1 {
        return in_turn(names, search, progress);
    }
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut results: Vec<Option<T>> = names.iter().map(|_| None).collect();
    let mut reached = vec![0.0; names.len()];
    let (sender, receiver) = mpsc::channel();
    let spawned = std::thread::scope(|scope| {
        let (next, stopped, search) = (&next, &stopped, &search);
        let work = |sender: mpsc::Sender<(usize, Message<T>)>| {
            move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= names.len() || stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut observer = |seen: &Progress<'_>| {
                        let text = format!("{}: {}", names[index], seen.stage);
                        let sent = sender.send((index, Message::Progress(seen.fraction, text)));
                        if sent.is_err() || stopped.load(Ordering::Relaxed) {
                            return ControlFlow::Break(());
                        }
                        ControlFlow::Continue(())
                    };
                    // On this thread alone: others would not be the caller's, and a process may have
                    // lost them by `fork`.
                    let search = || search(index, &mut Reporter::new(&mut observer));
                    let result = on_one_thread(search);
                    if sender.send((index, Message::Result(result))).is_err() {
                        return;
                    }
                }
            }
        };
        // Where there is no memory for another thread, those that there are do the work.
        let threads = (0..at_a_time.min(names.len()))
            .map(|_| std::thread::Builder::new().spawn_scoped(scope, work(sender.clone())).is_ok());
        if threads.take_while(|spawned| *spawned).count() == 0 {
            return Ok(false);
        }
        drop(sender);
        let mut outcome = Ok(());
        for (index, message) in receiver {
            match message {
                Message::Result(result) => {
                    results[index] = Some(result);
                    reached[index] = 1.0;
                }
                Message::Progress(fraction, text) if outcome.is_ok() => {
                    reached[index] = fraction;
                    let mean = reached.iter().sum::<f64>() / reached.len() as f64;
                    outcome = progress.relay(mean, &text);
                    stopped.fetch_or(outcome.is_err(), Ordering::Relaxed);
                }
                Message::Progress(..) => {}
            }
        }
        outcome.map(|()| true)
    })?;
    if spawned {
        return Ok(results.into_iter().flatten().collect());
    }
    in_turn(names, search, progress)
}

/// Runs one search after the other on this thread.
fn in_turn<T>(
    names: &[String],
    search: impl Fn(usize, &mut Reporter<'_, '_>) -> T,
    progress: &mut Reporter<'_, '_>,
) -> Result<Vec<T>> {
    let mut results = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let mut outcome = Ok(());
        let mut observer = |seen: &Progress<'_>| {
            let fraction = (index as f64 + seen.fraction) / names.len() as f64;
            outcome = progress.relay(fraction, &format!("{name}: {}", seen.stage));
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        results.push(search(index, &mut Reporter::new(&mut observer)));
        outcome?;
    }
    Ok(results)
}

enum Message<T> {
    /// The fraction of a search that is done, and what it does.
    Progress(f64, String),
    Result(T),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("model {i}")).collect()
    }

    #[test]
    fn results_come_in_order_and_failures_stay_apart() {
        let mut stages = Vec::new();
        let mut observer = |seen: &Progress<'_>| {
            stages.push(seen.stage.to_owned());
            ControlFlow::Continue(())
        };
        let search = |index: usize, progress: &mut Reporter<'_, '_>| {
            progress.stage(0.5, "working")?;
            if index == 3 { Err(Error::Data("three".into())) } else { Ok(index) }
        };
        let mut progress = Reporter::new(&mut observer);
        let results = run(&names(20), 3, search, &mut progress).unwrap();
        let in_turn = run(&names(20), 1, search, &mut progress).unwrap();
        let shown = |results: &[Result<usize>]| format!("{results:?}");
        assert_eq!(shown(&in_turn), shown(&results));
        assert_eq!(results.len(), 20);
        for (index, result) in results.iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(*value, index),
                Err(error) => assert_eq!((index, error.to_string()), (3, "three".to_owned())),
            }
        }
        assert!(stages.contains(&"model 7: working".to_owned()), "{stages:?}");
    }

    #[test]
    fn a_break_stops_all_searches() {
        let mut observer = |_: &Progress<'_>| ControlFlow::Break(());
        let search = |_: usize, progress: &mut Reporter<'_, '_>| -> Result<()> {
            loop {
                progress.stage(0.1, "endless")?;
                std::thread::yield_now();
            }
        };
        for at_a_time in [1, 2] {
            let outcome = run(&names(4), at_a_time, search, &mut Reporter::new(&mut observer));
            assert!(matches!(outcome, Err(Error::Interrupted)));
        }
    }
}
