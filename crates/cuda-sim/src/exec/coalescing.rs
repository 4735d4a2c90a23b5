//! The cost of a memory request: sectors of global memory, passes over the banks of shared memory.

use super::access::Addresses;
use super::block::Worker;
use super::lanes::{ALL, LANES, lanes_of};

impl Worker<'_> {
    pub(super) fn count_global(
        &mut self,
        addresses: &Addresses,
        mask: u32,
        bytes: u32,
        is_load: bool,
    ) {
        let (sectors, ideal) = sectors(addresses, mask, bytes);
        let moved = u64::from(bytes) * u64::from(mask.count_ones());
        let counters = &mut self.counters;
        if is_load {
            counters.global_load_requests += 1;
            counters.global_load_sectors += sectors;
            counters.global_load_ideal_sectors += ideal;
            counters.global_load_bytes += moved;
        } else {
            counters.global_store_requests += 1;
            counters.global_store_sectors += sectors;
            counters.global_store_ideal_sectors += ideal;
            counters.global_store_bytes += moved;
        }
    }

    pub(super) fn count_shared(
        &mut self,
        addresses: &Addresses,
        mask: u32,
        bytes: u32,
        is_load: bool,
    ) {
        let (wavefronts, conflicts) = bank_passes(addresses, mask, bytes);
        let moved = u64::from(bytes) * u64::from(mask.count_ones());
        let counters = &mut self.counters;
        counters.shared_wavefronts += wavefronts;
        counters.bank_conflicts += conflicts;
        if is_load {
            counters.shared_load_requests += 1;
            counters.shared_load_bytes += moved;
        } else {
            counters.shared_store_requests += 1;
            counters.shared_store_bytes += moved;
        }
    }
}

/// Returns whether the lanes access memory side by side.
pub(super) fn is_contiguous(addresses: &Addresses, bytes: u32) -> bool {
    let first = addresses[0];
    let mut different = 0;
    for (lane, &address) in addresses.iter().enumerate() {
        different |= address ^ first.wrapping_add(lane as u64 * u64::from(bytes));
    }
    different == 0
}

/// Returns the number of distinct 32-byte sectors of a request, and the fewest that could hold its
/// distinct bytes. No access crosses a sector, and different ones do not overlap: they are aligned
/// and have at most 16 bytes.
pub(crate) fn sectors(addresses: &Addresses, mask: u32, bytes: u32) -> (u64, u64) {
    if mask == ALL && is_contiguous(addresses, bytes) {
        let end = addresses[LANES - 1] + u64::from(bytes) - 1;
        return ((end >> 5) - (addresses[0] >> 5) + 1, u64::from(bytes));
    }
    let (mut found, mut count) = ([0; LANES], 0);
    for lane in lanes_of(mask) {
        found[count] = addresses[lane];
        count += 1;
    }
    let found = &mut found[..count];
    found.sort_unstable();
    let (mut sectors, mut distinct) = (1, 1);
    for pair in found.windows(2) {
        sectors += u64::from(pair[0] >> 5 != pair[1] >> 5);
        distinct += u64::from(pair[0] != pair[1]);
    }
    (sectors, (distinct * u64::from(bytes)).div_ceil(32))
}

/// Returns the passes over the 32 four-byte banks that a shared-memory request takes, and how many
/// of them are due to conflicts. Accesses of 8 and 16 bytes go in groups of 16 and 8 lanes; lanes
/// that want the same word share it.
pub(crate) fn bank_passes(addresses: &Addresses, mask: u32, bytes: u32) -> (u64, u64) {
    let words = bytes.div_ceil(4) as usize;
    let group_lanes = LANES / words;
    if mask == ALL && bytes >= 4 && is_contiguous(addresses, bytes) {
        return (words as u64, 0);
    }
    let (mut passes, mut conflicts) = (0, 0);
    for group in 0..words {
        let lanes = mask >> (group * group_lanes) & (u32::MAX >> (LANES - group_lanes));
        if lanes == 0 {
            continue;
        }
        let (mut wanted, mut count) = ([0; LANES], 0);
        for lane in lanes_of(lanes) {
            let first = addresses[group * group_lanes + lane] >> 2;
            for word in 0..words as u64 {
                wanted[count] = first + word;
                count += 1;
            }
        }
        let wanted = &mut wanted[..count];
        wanted.sort_unstable();
        let mut by_bank = [0u8; LANES];
        let mut previous = u64::MAX;
        for &word in wanted.iter() {
            by_bank[word as usize % LANES] += u8::from(word != previous);
            previous = word;
        }
        let most = u64::from(by_bank.into_iter().max().unwrap_or(1));
        passes += most;
        conflicts += most - 1;
    }
    (passes, conflicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strided(bytes: u64) -> Addresses {
        std::array::from_fn(|lane| 0x1000 + lane as u64 * bytes)
    }

    #[test]
    fn sectors_of_strided_requests() {
        assert_eq!(sectors(&strided(4), ALL, 4), (4, 4));
        assert_eq!(sectors(&strided(8), ALL, 8), (8, 8));
        assert_eq!(sectors(&strided(32), ALL, 4), (32, 4));
        assert_eq!(sectors(&strided(0), ALL, 4), (1, 1));
        assert_eq!(sectors(&strided(4), 0xFF, 4), (1, 1));
        assert_eq!(sectors(&strided(16), 0xF, 8), (2, 1));
        // Side by side, but not from the beginning of a sector.
        let shifted = strided(8).map(|address| address + 8);
        assert_eq!(sectors(&shifted, ALL, 8), (9, 8));
        assert_eq!(sectors(&shifted, 0b1111, 8), (2, 1));
    }

    #[test]
    fn bank_conflicts_of_strided_requests() {
        assert_eq!(bank_passes(&strided(4), ALL, 4), (1, 0));
        assert_eq!(bank_passes(&strided(8), ALL, 4), (2, 1));
        assert_eq!(bank_passes(&strided(128), ALL, 4), (32, 31));
        assert_eq!(bank_passes(&strided(132), ALL, 4), (1, 0));
        assert_eq!(bank_passes(&strided(0), ALL, 4), (1, 0));
        assert_eq!(bank_passes(&strided(8), ALL, 8), (2, 0));
        assert_eq!(bank_passes(&strided(256), ALL, 8), (32, 30));
        assert_eq!(bank_passes(&strided(1), ALL, 1), (1, 0));
    }
}
