//! The counters of what a launch did, which are exact: the same launch always gives the same
//! figures.

use std::fmt::Write;

/// A class of instructions, as the roofline model tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// f32 fused multiply-add.
    F32Fma,
    /// f32 addition or subtraction.
    F32Add,
    /// f32 multiplication.
    F32Mul,
    /// Other f32 arithmetic: minimum, negation, division, square root …
    F32Other,
    /// f64 fused multiply-add.
    F64Fma,
    /// f64 addition or subtraction.
    F64Add,
    /// f64 multiplication.
    F64Mul,
    /// Other f64 arithmetic.
    F64Other,
    /// f16 and bf16 arithmetic.
    Half,
    /// Integer, logic and address arithmetic, moves and selects.
    Integer,
    /// Comparisons that set a predicate.
    Compare,
    /// Conversions between types.
    Convert,
    /// Approximate special functions: rcp, rsqrt, sin, cos, ex2, lg2, tanh.
    Special,
    /// Loads, stores and asynchronous copies.
    Memory,
    /// Atomic operations and reductions in memory.
    Atomic,
    /// Warp shuffles, votes, matches and reductions.
    Collective,
    /// Matrix multiply-accumulate.
    Matrix,
    /// Barriers and memory fences.
    Barrier,
    /// Branches, calls and returns.
    Control,
}

impl Class {
    /// The number of classes.
    pub const COUNT: usize = 19;

    /// Lists all classes with the names that JSON has for them.
    pub const ALL: [(Class, &'static str); Self::COUNT] = [
        (Class::F32Fma, "f32_fma"),
        (Class::F32Add, "f32_add"),
        (Class::F32Mul, "f32_mul"),
        (Class::F32Other, "f32_other"),
        (Class::F64Fma, "f64_fma"),
        (Class::F64Add, "f64_add"),
        (Class::F64Mul, "f64_mul"),
        (Class::F64Other, "f64_other"),
        (Class::Half, "half"),
        (Class::Integer, "integer"),
        (Class::Compare, "compare"),
        (Class::Convert, "convert"),
        (Class::Special, "special"),
        (Class::Memory, "memory"),
        (Class::Atomic, "atomic"),
        (Class::Collective, "collective"),
        (Class::Matrix, "matrix"),
        (Class::Barrier, "barrier"),
        (Class::Control, "control"),
    ];
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The sums of the counters over one launch, or over several launches of a kernel.
        #[repr(C)]
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct LaunchCounters {
            /// Instructions executed by threads, per [`Class`]: guarded-off lanes do not count.
            pub thread_instructions: [u64; Class::COUNT],
            /// Instructions executed by warps, per [`Class`].
            pub warp_instructions: [u64; Class::COUNT],
            $($(#[$doc])* pub $name: u64,)*
        }

        impl LaunchCounters {
            /// Adds the figures of another launch.
            pub fn add(&mut self, other: &Self) {
                for i in 0..Class::COUNT {
                    self.thread_instructions[i] += other.thread_instructions[i];
                    self.warp_instructions[i] += other.warp_instructions[i];
                }
                $(self.$name += other.$name;)*
            }

            fn scalars(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

counters! {
    /// Launches that were summed.
    launches,
    /// Thread blocks executed.
    blocks,
    /// Threads executed.
    threads,
    /// Warps executed.
    warps,
    /// Floating-point operations of `mma` instructions, in f64 (a multiply-add counts two).
    matrix_f64_flops,
    /// Floating-point operations of `mma` instructions, in narrower types.
    matrix_other_flops,
    /// Warp requests for global loads (accesses of at least one lane).
    global_load_requests,
    /// 32-byte sectors that global loads touch, request by request.
    global_load_sectors,
    /// The fewest sectors that hold the distinct bytes of global loads, request by request.
    global_load_ideal_sectors,
    /// Bytes that global loads ask for.
    global_load_bytes,
    /// Warp requests for global stores.
    global_store_requests,
    /// 32-byte sectors that global stores touch, request by request.
    global_store_sectors,
    /// The fewest sectors that hold the distinct bytes of global stores, request by request.
    global_store_ideal_sectors,
    /// Bytes that global stores write.
    global_store_bytes,
    /// Distinct bytes of global memory read by the launch (atomics excluded).
    distinct_bytes_read,
    /// Distinct bytes of global memory written by the launch, atomics included.
    distinct_bytes_written,
    /// Warp requests for shared-memory loads.
    shared_load_requests,
    /// Warp requests for shared-memory stores.
    shared_store_requests,
    /// Bytes loaded from shared memory.
    shared_load_bytes,
    /// Bytes stored to shared memory.
    shared_store_bytes,
    /// Passes over the banks that shared-memory requests needed.
    shared_wavefronts,
    /// Passes over the banks beyond those that accesses without conflicts would have needed.
    bank_conflicts,
    /// Bytes loaded from local memory (spills and local arrays).
    local_load_bytes,
    /// Bytes stored to local memory.
    local_store_bytes,
    /// Warp requests to local memory.
    local_requests,
    /// Bytes read from constant memory and kernel parameters.
    constant_load_bytes,
    /// Atomic operations on global memory, per thread.
    global_atomics,
    /// Atomic operations on shared memory, per thread.
    shared_atomics,
    /// Bytes copied by `cp.async`.
    async_copy_bytes,
    /// Barriers, counted once per warp that arrives.
    barriers,
    /// Branches on which the lanes of a warp disagreed.
    divergent_branches,
    /// Branches executed by warps.
    branches,
}

impl LaunchCounters {
    /// Returns the thread-instructions of one class.
    pub fn thread(&self, class: Class) -> u64 {
        self.thread_instructions[class as usize]
    }

    /// Returns the warp-instructions of one class.
    pub fn warp(&self, class: Class) -> u64 {
        self.warp_instructions[class as usize]
    }

    /// Returns the thread-instructions of all classes.
    pub fn total_thread_instructions(&self) -> u64 {
        self.thread_instructions.iter().sum()
    }

    /// Returns the warp-instructions of all classes.
    pub fn total_warp_instructions(&self) -> u64 {
        self.warp_instructions.iter().sum()
    }

    /// Returns the mean share of the 32 lanes that executed an instruction, 0 to 1.
    pub fn active_lane_efficiency(&self) -> f64 {
        ratio(self.total_thread_instructions(), 32 * self.total_warp_instructions())
    }

    /// Returns the sectors per global request, loads and stores together.
    pub fn sectors_per_request(&self) -> f64 {
        ratio(
            self.global_load_sectors + self.global_store_sectors,
            self.global_load_requests + self.global_store_requests,
        )
    }

    /// Returns the ratio of sectors to the fewest that could hold the same bytes, loads and stores
    /// together, which is 1 where every request is coalesced and aligned.
    pub fn sectors_over_ideal(&self) -> f64 {
        ratio(
            self.global_load_sectors + self.global_store_sectors,
            self.global_load_ideal_sectors + self.global_store_ideal_sectors,
        )
    }

    /// Returns the passes over the banks beyond the least, for each shared-memory request.
    pub fn bank_conflicts_per_request(&self) -> f64 {
        ratio(self.bank_conflicts, self.shared_load_requests + self.shared_store_requests)
    }

    /// Returns the f32 operations outside `mma`, where an fma counts two, everything else one.
    pub fn f32_flops(&self) -> u64 {
        2 * self.thread(Class::F32Fma) + self.thread(Class::F32Add) + self.thread(Class::F32Mul)
    }

    /// Returns the f64 operations outside `mma`, where an fma counts two, everything else one.
    pub fn f64_flops(&self) -> u64 {
        2 * self.thread(Class::F64Fma) + self.thread(Class::F64Add) + self.thread(Class::F64Mul)
    }

    /// Returns the compulsory global traffic in bytes: every distinct byte read once and written
    /// once.
    pub fn compulsory_bytes(&self) -> u64 {
        self.distinct_bytes_read + self.distinct_bytes_written
    }

    /// Returns all figures as one JSON object on one line.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (label, values) in [
            ("thread_instructions", &self.thread_instructions),
            ("warp_instructions", &self.warp_instructions),
        ] {
            let _ = write!(out, "\"{label}\":{{");
            for (class, name) in Class::ALL {
                let _ = write!(out, "\"{name}\":{},", values[class as usize]);
            }
            let _ = write!(out, "\"total\":{}}},", values.iter().sum::<u64>());
        }
        for (name, value) in self.scalars() {
            let _ = write!(out, "\"{name}\":{value},");
        }
        let _ = write!(
            out,
            "\"active_lane_efficiency\":{:.6},\"sectors_per_request\":{:.6}}}",
            self.active_lane_efficiency(),
            self.sectors_per_request()
        );
        out
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_are_in_order() {
        for (i, (class, _)) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, i);
        }
    }

    #[test]
    fn sums_and_json() {
        let mut a = LaunchCounters { launches: 1, bank_conflicts: 3, ..Default::default() };
        a.thread_instructions[Class::F64Fma as usize] = 64;
        a.warp_instructions[Class::F64Fma as usize] = 4;
        let b = a.clone();
        a.add(&b);
        assert_eq!((a.launches, a.bank_conflicts, a.f64_flops()), (2, 6, 256));
        assert_eq!(a.active_lane_efficiency(), 0.5);
        let json = a.to_json();
        assert!(json.contains("\"bank_conflicts\":6,") && json.contains("\"f64_fma\":128,"));
        assert!(json.starts_with('{') && json.ends_with('}'));
    }
}
