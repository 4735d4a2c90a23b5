//! The order between blocks. A block that reads an atomic variable which another block updated
//! after a device-wide fence sees what that block wrote before. (The last block of a reduction
//! relies on this.) Only kernels whose blocks run one after the other can learn anything from an
//! atomic, so that the order is tracked for them only.

use super::block::Worker;
use std::collections::HashMap;

/// A record of the blocks that have released their writes through each atomic variable.
#[derive(Default)]
pub(crate) struct BlockOrder {
    /// Blocks whose writes the readers of each address may rely on.
    released: HashMap<u64, Vec<u32>>,
    /// Whether the running block has executed a fence.
    fenced: bool,
    /// Number of entries of each list that the running block has acquired.
    acquired: HashMap<u64, usize>,
    /// Blocks that the running block has acquired.
    sources: Vec<u32>,
}

impl BlockOrder {
    /// Forgets what the block before did, but not what it released.
    pub(crate) fn start_block(&mut self) {
        self.fenced = false;
        self.acquired.clear();
        self.sources.clear();
    }
}

impl Worker<'_> {
    /// Records a `membar` or `fence`; only a device-wide one orders blocks.
    pub(crate) fn fence(&mut self, device: bool) {
        self.order.fenced |= device;
    }

    /// Records that the running block performs an atomic operation on a global address.
    pub(crate) fn synchronize_through(&mut self, address: u64) {
        if self.launch.is_parallel {
            return;
        }
        let block = self.place.linear_block as u32;
        let order = &mut self.order;
        let list = order.released.entry(address).or_default();
        let seen = order.acquired.entry(address).or_default();
        for &source in &list[*seen..] {
            if source != block {
                if self.acquired.len() <= source as usize {
                    self.acquired.resize(source as usize + 1, false);
                }
                self.acquired[source as usize] = true;
                order.sources.push(source);
            }
        }
        if order.fenced && !list.contains(&block) {
            list.push(block);
            let known = order.sources.iter().copied().filter(|s| !list.contains(s));
            let known: Vec<u32> = known.collect();
            list.extend(known);
        }
        *seen = list.len();
    }
}
