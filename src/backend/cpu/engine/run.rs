//! The groups of a batch on threads.

use super::{Group, GroupTask, MOST_GROUPS, Task};
use crate::backend::cpu::lanes::Vector;
use crate::backend::cpu::layout::{Context, Layout};
use crate::backend::cpu::staging::Source;
use crate::backend::cpu::tile::leader::SharedFactor;
use crate::options::Options;
use crate::problem::Problem;
use crate::real::Real;
use crate::threads;
use smallvec::SmallVec;
use std::sync::{Mutex, PoisonError};

/// The unknowns of all systems, times P, for which it takes about as long to wake up a thread as to solve.
const WORK_OF_HELPER: usize = 1 << 14;

/// Lets every group do its task, on all threads: the one that calls begins at once, and the others help it when
/// they have woken up.
pub fn run<'a, V: Vector, R: Real>(
    (options, layout, shared): (&Options, &Layout, Option<&SharedFactor>),
    groups: &mut [Group<V>],
    problem: &Problem<'_, R>,
    tasks: impl Iterator<Item = Task<'a>>,
) {
    let inputs = Source::of(problem.inputs, &problem.places);
    let context = &Context { inputs, options, layout, shared };
    // Gathered first: threads that share an iterator of the tasks would be compiled anew, with all that
    // they call, for each kind of task and each kind of array.
    let mut tasks: SmallVec<[Option<Task<'a>>; MOST_GROUPS]> = tasks.map(Some).collect();
    assert_eq!(tasks.len(), groups.len());
    if groups.iter().any(Group::has_work_for_two) && !threads::is_alone() {
        // Two sets of chunks wait for each other many times: a thread outside of the pool would have to be
        // waited for at every one of them.
        return rayon::scope(|_| for_each_group(context, groups, &mut tasks, usize::MAX));
    }
    let unknowns = problem.shape().batch.saturating_mul(layout.unknowns());
    let helpers = unknowns.saturating_mul(layout.block) / WORK_OF_HELPER;
    for_each_group(context, groups, &mut tasks, helpers);
}

/// Lets every group do its task, with the help of at most so many threads of the pool.
fn for_each_group<V: Vector>(
    context: &Context<'_>,
    groups: &mut [Group<V>],
    tasks: &mut [Option<Task<'_>>],
    helpers: usize,
) {
    // Who needs no help does not ask how many could: the first to ask starts them.
    let helpers = match helpers.min(groups.len() - 1) {
        0 => 0,
        helpers => helpers.min(threads::available() - 1),
    };
    let left = Mutex::new(groups.iter_mut().zip(tasks));
    // From both ends, so that two threads have neighbors each: what one computes on, it has asked for before.
    let take = |helps| {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        if helps { left.next_back() } else { left.next() }
    };
    let work = |helps| {
        while let Some((group, task)) = take(helps) {
            if let Some(task) = task.take() {
                V::run(GroupTask { context, group, task });
            }
        }
    };
    if helpers == 0 {
        return work(false);
    }
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| work(true));
        }
        work(false);
    });
}
