//! The control flow of a function: its basic blocks, and the points where diverged lanes meet
//! again.

use crate::exec::operation::{EXIT, Instruction, Op};

/// The basic blocks of a function.
pub(super) struct ControlFlow {
    /// First instruction of every block, ascending, with the code's length at the end.
    pub(super) starts: Vec<usize>,
    /// Blocks that can follow a block.
    pub(super) successors: Vec<Vec<usize>>,
}

impl ControlFlow {
    pub(super) fn new(code: &[Instruction]) -> Self {
        let mut is_start = vec![false; code.len() + 1];
        is_start[0] = true;
        is_start[code.len()] = true;
        for (pc, instruction) in code.iter().enumerate() {
            let (targets, _) = leaves(instruction);
            let ends_block = !targets.is_empty() || ends_path(instruction);
            if ends_block {
                is_start[pc + 1] = true;
            }
            for target in targets {
                is_start[target] = true;
            }
        }
        let starts: Vec<_> = (0..=code.len()).filter(|&pc| is_start[pc]).collect();
        let block_of = |pc: usize| starts.partition_point(|&start| start <= pc) - 1;
        let mut successors = Vec::with_capacity(starts.len() - 1);
        for block in 0..starts.len() - 1 {
            let last = starts[block + 1] - 1;
            let (targets, falls_through) = leaves(&code[last]);
            let mut next: Vec<_> = targets.into_iter().filter(|&pc| pc < code.len()).collect();
            if falls_through && last + 1 < code.len() {
                next.push(last + 1);
            }
            let mut next: Vec<_> = next.into_iter().map(block_of).collect();
            next.sort_unstable();
            next.dedup();
            successors.push(next);
        }
        Self { starts, successors }
    }

    /// Returns the first instruction of the immediate post-dominator of every block, or [`EXIT`].
    ///
    /// The algorithm is that of Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm"
    /// (2001), on the reversed graph with one virtual exit that follows every block without a
    /// successor.
    pub(super) fn reconvergence_points(&self) -> Vec<u32> {
        let blocks = self.successors.len();
        let exit = blocks;
        let mut predecessors = vec![Vec::new(); blocks + 1];
        for (block, next) in self.successors.iter().enumerate() {
            for &successor in next {
                predecessors[successor].push(block);
            }
            if next.is_empty() {
                predecessors[exit].push(block);
            }
        }
        // This is the post-order of the reversed graph from the virtual exit.
        let mut order = vec![usize::MAX; blocks + 1];
        let mut by_order = Vec::with_capacity(blocks + 1);
        let mut visited = vec![false; blocks + 1];
        let mut stack = vec![(exit, 0)];
        visited[exit] = true;
        while let Some((block, next)) = stack.pop() {
            if let Some(&predecessor) = predecessors[block].get(next) {
                stack.push((block, next + 1));
                if !visited[predecessor] {
                    visited[predecessor] = true;
                    stack.push((predecessor, 0));
                }
            } else {
                order[block] = by_order.len();
                by_order.push(block);
            }
        }
        let mut dominator = vec![usize::MAX; blocks + 1];
        dominator[exit] = exit;
        let mut changed = true;
        while changed {
            changed = false;
            for &block in by_order.iter().rev().filter(|&&block| block != exit) {
                let followers: &[usize] = match self.successors[block].as_slice() {
                    [] => &[exit],
                    next => next,
                };
                let mut meet = usize::MAX;
                for &follower in followers {
                    if dominator[follower] == usize::MAX {
                        continue;
                    }
                    meet = if meet == usize::MAX {
                        follower
                    } else {
                        intersect(&dominator, &order, meet, follower)
                    };
                }
                if dominator[block] != meet {
                    dominator[block] = meet;
                    changed = true;
                }
            }
        }
        (0..blocks)
            .map(|block| match dominator[block] {
                // A block that never reaches the exit (an endless loop) never reconverges.
                meet if meet >= exit => EXIT,
                meet => self.starts[meet] as u32,
            })
            .collect()
    }
}

fn intersect(dominator: &[usize], order: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        while order[a] < order[b] {
            a = dominator[a];
        }
        while order[b] < order[a] {
            b = dominator[b];
        }
    }
    a
}

/// Returns the instructions that an instruction may jump to, and whether the next one may follow
/// it.
fn leaves(instruction: &Instruction) -> (Vec<usize>, bool) {
    let guarded = instruction.guard != crate::exec::operation::TRUE;
    match &instruction.op {
        Op::Branch { target, .. } => (vec![*target as usize], guarded),
        Op::BranchIndexed { targets, .. } => {
            (targets.iter().map(|&target| target as usize).collect(), guarded)
        }
        _ => (Vec::new(), !ends_path(instruction) || guarded),
    }
}

fn ends_path(instruction: &Instruction) -> bool {
    matches!(instruction.op, Op::Return | Op::Exit | Op::Trap)
}
