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

/// The unknowns of all systems, times P, for which it takes about as long to wake up a thread as to solve.
const WORK_OF_HELPER: usize = 1 << 14;

/// Lets every group do its task, on all threads.
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
    threads::share(groups.iter_mut().zip(tasks), helpers, |(group, task)| {
        if let Some(task) = task.take() {
            V::run(GroupTask { context, group, task });
        }
    });
}
