//! Order between blocks: a block that reads an atomic variable which another block updated after a
//! device-wide fence sees what that block wrote before. (The last block of a reduction relies on
//! this.) Only kernels whose blocks run one after the other can learn anything from an atomic, so
//! only there is it followed.

use super::block::Worker;
use std::collections::HashMap;

/// Which blocks have released their writes through which atomic variable.
#[derive(Default)]
pub(crate) struct BlockOrder {
    /// For every address: the blocks whose writes its readers may rely on.
    released: HashMap<u64, Vec<u32>>,
    /// Has the block at hand executed a fence?
    fenced: bool,
    /// How much of each list the block at hand has acquired.
    acquired: HashMap<u64, usize>,
    /// The blocks it has acquired.
    sources: Vec<u32>,
}

impl BlockOrder {
    /// Forgets what the last block did, but not what it released.
    pub(crate) fn start_block(&mut self) {
        self.fenced = false;
        self.acquired.clear();
        self.sources.clear();
    }
}

impl Worker<'_> {
    /// `membar` or `fence`; only a device-wide one orders blocks.
    pub(crate) fn fence(&mut self, device: bool) {
        self.order.fenced |= device;
    }

    /// The block at hand performs an atomic operation on a global address.
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
