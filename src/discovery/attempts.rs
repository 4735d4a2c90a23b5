//! Several searches at a time, in threads, whose progress one observer sees.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::progress::{Progress, Reporter};
use crate::Result;

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
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut results: Vec<Option<T>> = names.iter().map(|_| None).collect();
    let mut reached = vec![0.0; names.len()];
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..at_a_time.min(names.len()) {
            let (sender, next, stopped, search) = (sender.clone(), &next, &stopped, &search);
            scope.spawn(move || {
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
                    let result = search(index, &mut Reporter::new(&mut observer));
                    if sender.send((index, Message::Result(result))).is_err() {
                        return;
                    }
                }
            });
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
        outcome
    })?;
    Ok(results.into_iter().flatten().collect())
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
        let results = run(&names(20), 3, search, &mut Reporter::new(&mut observer)).unwrap();
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
        let outcome = run(&names(4), 2, search, &mut Reporter::new(&mut observer));
        assert!(matches!(outcome, Err(Error::Interrupted)));
    }
}
