//! Work that threads share, and work that one thread does alone.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

/// Fewer values are looked at sooner than another thread wakes up.
const LEAST_VALUES: usize = 1 << 16;

thread_local! {
    /// Whether no other thread is asked for help with what this one does.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Does work on the calling thread alone: what a [`Solver`](crate::Solver), a
/// [`NonlinearSolver`](crate::nonlinear::NonlinearSolver) and [`discover`](crate::discovery::discover) compute in it, and
/// what a [`Tape`](crate::tape::Tape) and an [`Optimizer`](crate::nn::Optimizer) do on the CPU, ask no other thread for
/// help, and no threads are started for them.
///
/// For callers whose threads all have work of their own, and in a process that was made by `fork`, which has
/// none of its parent's threads. Results do not depend on it.
///
/// ```
/// use mechanistic::{Options, Problem, Solver, View, on_one_thread};
///
/// // u' + u = 0, u(0) = 1, on 11 points 0.1 apart.
/// let problem = Problem::builder()
///     .points(11)
///     .coefficients(View::new(&[1, 1, 1, 1, 2], &[1.0, 1.0]))
///     .rhs(View::new(&[1, 1, 1], &[0.0]))
///     .initial_values(View::new(&[1, 1, 1, 1], &[1.0]))
///     .steps(View::new(&[1, 1], &[0.1]))
///     .build()?;
/// let mut solver = Solver::new(problem.shape(), &Options::default())?;
/// let solution = on_one_thread(|| solver.solve(&problem).cloned())?;
/// assert!((solution.at(0, 10, 0, 0) - (-1.0_f64).exp()).abs() < 1e-3);
/// # Ok::<(), mechanistic::Error>(())
/// ```
pub fn on_one_thread<R>(work: impl FnOnce() -> R) -> R {
    /// What was before is so again even if the work panics.
    struct Restored(bool);
    impl Drop for Restored {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _restored = Restored(ALONE.replace(true));
    work()
}

/// Returns whether no other thread is asked for help with what the calling one does.
pub(crate) fn is_alone() -> bool {
    ALONE.get()
}

/// Returns how many threads work is shared among: those of the pool that the calling one is in.
pub(crate) fn available() -> usize {
    if is_alone() { 1 } else { rayon::current_num_threads() }
}

/// Calls `f` with every item and its number; on all threads if the items, of `values` values each, are enough to
/// be worth waking them.
pub(crate) fn for_each<T: Send>(items: &mut [T], values: usize, f: impl Fn(usize, &mut T) + Sync) {
    let least = LEAST_VALUES.div_ceil(values.max(1));
    share(items.chunks_mut(least).enumerate(), usize::MAX, |(chunk, items)| {
        for (i, item) in items.iter_mut().enumerate() {
            f(chunk * least + i, item);
        }
    });
}

/// Calls `f` with every item, with the help of at most so many threads of the pool: the thread that calls begins at
/// once, and the others help it when they have woken up.
pub(crate) fn share<I>(items: I, helpers: usize, f: impl Fn(I::Item) + Sync)
where
    I: DoubleEndedIterator<Item: Send> + ExactSizeIterator + Send,
{
    share_with(items, helpers, || (), |(), item| f(item));
}

/// Does what [`share`] does, where each thread makes itself what it needs for every item.
pub(crate) fn share_with<I, N>(
    items: I,
    helpers: usize,
    need: impl Fn() -> N + Sync,
    f: impl Fn(&mut N, I::Item) + Sync,
) where
    I: DoubleEndedIterator<Item: Send> + ExactSizeIterator + Send,
{
    // Who needs no help does not ask how many could: the first to ask starts them.
    let helpers = match helpers.min(items.len().saturating_sub(1)) {
        0 => 0,
        helpers => helpers.min(available() - 1),
    };
    if helpers == 0 {
        let mut need = need();
        return items.for_each(|item| f(&mut need, item));
    }
    let left = Mutex::new(items);
    // From both ends, so that two threads have neighbors each: what one computes on, it has asked for before.
    let take = |helps| {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        if helps { left.next_back() } else { left.next() }
    };
    let work = |helps| {
        let mut need = need();
        while let Some(item) = take(helps) {
            f(&mut need, item);
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| work(true));
        }
        work(false);
    });
}

/// Calls both, each on a thread of its own if there are others, and returns what they return.
pub(crate) fn join<A: Send, B: Send>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B + Send,
) -> (A, B) {
    if is_alone() { (first(), second()) } else { rayon::join(first, second) }
}
