//! The queues of streams. Work that is ordered into a stream waits there until something waits for
//! it: a synchronization, an event, a copy to memory that the host may read at once. That is the
//! latest moment that the driver API allows, so a program that does not wait where it must finds
//! old bytes, whereas a GPU would let it pass now and then.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use super::{
    Driver, Outcome,
    contexts::{Context, current},
    handles::Handle,
    lock,
    streams::{Stream, Target, target},
    work::{Work, admit, run},
};

/// The most pieces of work that wait in a stream; the oldest is done when there are more, as the
/// queues of a GPU are finite, too.
const DEPTH: usize = 1024;

/// The work that was ordered into a stream and is still to be done, in order.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Arc<Context>, Work)>,
    /// Number of pieces of work that were ordered so far.
    ordered: u64,
    /// Number of pieces of work that are done.
    done: u64,
    /// Whether a thread is at the piece after those that are done.
    busy: bool,
}

impl Queue {
    fn push(&self, context: Arc<Context>, work: Work) -> (u64, usize) {
        let mut state = lock(&self.state);
        state.waiting.push_back((context, work));
        state.ordered += 1;
        (state.ordered, state.waiting.len())
    }

    fn ordered(&self) -> u64 {
        lock(&self.state).ordered
    }

    /// Does the first `count` pieces of work that were ever ordered, as far as they are not done.
    /// Several threads may do so at once: one works and the others wait for it.
    fn advance(&self, driver: &Driver, count: u64) {
        let mut state = lock(&self.state);
        while state.done < count {
            if state.busy {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (context, work) = state.waiting.pop_front().expect("ordered and not done");
            state.busy = true;
            drop(state);
            let turn = Turn(self);
            if let Err(error) = run(driver, &context, &work) {
                // The call that ordered the work has returned: a later one that waits returns it.
                context.fail(error);
            }
            drop(work);
            drop(turn);
            state = lock(&self.state);
        }
    }
}

/// A thread's turn to do a piece of work of a queue. It also ends when the work panics, so that no
/// other thread waits for ever.
struct Turn<'a>(&'a Queue);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.busy = false;
        state.done += 1;
        self.0.changed.notify_all();
    }
}

/// A place in a stream, or in none: everything before it may be waited for.
#[derive(Clone)]
pub(super) struct Mark {
    /// Stream and the number of pieces of work before the place; `None` if all was done already.
    place: Option<(Arc<Stream>, u64)>,
    reached: Arc<OnceLock<Instant>>,
}

impl Mark {
    /// Does the work before the place, and returns the time at which it was done.
    pub(super) fn wait(&self, driver: &Driver) -> Instant {
        if let Some((stream, count)) = &self.place {
            stream.queue.advance(driver, *count);
        }
        *self.reached.get_or_init(Instant::now)
    }
}

/// Marks the present end of `stream`, or this moment where the work is done at once.
pub(super) fn mark(driver: &Driver, context: &Arc<Context>, stream: Option<Arc<Stream>>) -> Mark {
    let reached = Arc::<OnceLock<Instant>>::default();
    let stamp = Work::Stamp(reached.clone());
    let place = match stream {
        Some(stream) => {
            let (count, _) = stream.queue.push(context.clone(), stamp);
            Some((stream, count))
        }
        None => {
            reached.get_or_init(Instant::now);
            None
        }
    };
    let mark = Mark { place, reached };
    if driver.configuration.launch_blocking {
        mark.wait(driver);
    }
    mark
}

/// Orders work into a stream of the current context.
pub(super) fn submit(stream: Handle, work: Work) -> Outcome {
    let (driver, context) = current()?;
    match target(driver, &context, stream)? {
        Target::Capture(capture) => capture.record(stream, work),
        Target::Stream(stream) => order(driver, &context, &stream, work),
        Target::Now => {
            admit(driver, &context, &work)?;
            run(driver, &context, &work)
        }
    }
}

/// Orders work into a stream.
pub(super) fn order(
    driver: &Driver,
    context: &Arc<Context>,
    stream: &Arc<Stream>,
    work: Work,
) -> Outcome {
    admit(driver, context, &work)?;
    if driver.configuration.launch_blocking {
        stream.queue.advance(driver, stream.queue.ordered());
        run(driver, context, &work)?;
        return match context.has_failed() {
            true => context.wait(),
            false => Ok(()),
        };
    }
    let (ordered, waiting) = stream.queue.push(context.clone(), work.delayed(driver));
    if waiting > DEPTH {
        stream.queue.advance(driver, ordered - DEPTH as u64);
    }
    Ok(())
}

/// Does all that was ordered into a stream.
pub(super) fn finish(driver: &Driver, stream: &Stream) {
    stream.queue.advance(driver, stream.queue.ordered());
}

/// Does all that was ordered into any stream of which `wanted` holds.
pub(super) fn finish_all(driver: &Driver, wanted: impl Fn(&Stream) -> bool) {
    for stream in driver.streams.all() {
        if wanted(&stream) {
            finish(driver, &stream);
        }
    }
}
