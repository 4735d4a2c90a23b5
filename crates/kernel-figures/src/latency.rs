//! How long instructions take: the constants of the estimates, in cycles unless said otherwise.
//!
//! Nothing here was measured by this project: all of it is to be calibrated once a card has run
//! the measuring program of crates/gpu-bench. The latencies of B200's global memory, of local memory,
//! of barriers and of the FP64 tensor cores are guesses, as their comments say; the others are
//! published. Sources:
//!
//! * \[V\] Jia, Maggioni, Staiger and Scarpazza, "Dissecting the NVIDIA Volta GPU architecture via
//!   microbenchmarking", arXiv:1804.06826: instructions, constant cache.
//! * \[H\] Luo et al., "Benchmarking and dissecting the Nvidia Hopper GPU architecture", arXiv:2402.13499:
//!   shared memory, L1, L2 and global memory of A100 and H100.
//! * \[A\] Abdelkhalik et al., "Demystifying the Nvidia Ampere architecture through microbenchmarking
//!   and instruction-level analysis", arXiv:2208.11174: stores to shared memory.
//! * \[B\] Chips and Cheese, "Nvidia's B200: keeping the CUDA juggernaut rolling" (2025): 150 ns to
//!   the nearer half of L2. Its global memory is taken to be as far behind L2 as that of an H100.
//! * \[G\] CUDA C++ programming guide, throughput of native arithmetic instructions, results per
//!   cycle and multiprocessor.
//! * \[T\] NVIDIA's data sheets of A100, H100 and B200: peak rates of the FP64 tensor cores, twice
//!   those of the other FP64 units on the first two and the same on B200.
//!
//! Latencies that the assembler knows need no constant: they are in the stall counts of the code.

use cuda_sim::device::Device;

use crate::machine_code::Instruction;

/// The unit of a quarter of a multiprocessor that an instruction is sent to, or that of the whole
/// multiprocessor in the case of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Integers, logic, comparisons, selection.
    Integer,
    /// Multiplication and addition in single precision, multiplication of integers.
    Single,
    /// Double precision.
    Double,
    /// Conversions from and to 64 bits, reciprocals, roots.
    Special,
    /// Loads, stores, shuffles.
    Memory,
    /// Everything else: jumps, barriers, what all lanes compute once.
    Other,
}

impl Unit {
    /// The number of units.
    pub const COUNT: usize = 6;

    /// Returns the unit of an instruction.
    pub fn of(instruction: &Instruction) -> Self {
        let is = |operations: &[&str]| instruction.is_any(operations);
        match () {
            () if is(&["DEPBAR", "LDGDEPBAR"]) => Unit::Other,
            () if is(&["D"]) => Unit::Double,
            () if is(&["MUFU", "F2F", "F2I", "I2F", "FRND", "POPC", "FLO", "BREV"]) => {
                Unit::Special
            }
            () if is(&[
                "LDG", "STG", "LDS", "STS", "LDL", "STL", "LD.", "ST.", "SHFL", "ATOM", "RED",
            ]) =>
            {
                Unit::Memory
            }
            () if is(&["FFMA", "FADD", "FMUL", "IMAD", "HFMA", "HADD", "HMUL"]) => Unit::Single,
            () if is(&[
                "U", "BRA", "BSSY", "BSYNC", "BAR", "EXIT", "CALL", "RET", "NOP", "LDC", "S2R",
                "WARPSYNC",
            ]) =>
            {
                Unit::Other
            }
            () => Unit::Integer,
        }
    }
}

/// The constants of a device.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    /// Result of a load from L2 \[H\], \[B\].
    pub l2: f64,
    /// Result of a load from global memory \[H\], \[B\].
    pub global: f64,
    /// Cycles for which a warp's instruction occupies each [`Unit`]; for memory, one of 4 bytes a
    /// lane \[G\].
    pub occupied: [f64; Unit::COUNT],
    /// Cycles for which a product of FP64 tensor cores, 8 × 8 × 4, occupies its unit \[T\].
    pub tensor: f64,
}

/// Result of a load from shared memory \[H\]: 29.0 on A100 and H100.
const SHARED: f64 = 29.0;
/// Result of a load from local memory, which L1 serves \[H\]: 37.9 on A100, 40.7 on H100.
const LOCAL: f64 = 40.0;
/// Until a store has read its operands \[A\], taken for a load's address as well.
pub const OPERANDS: f64 = 19.0;
/// Result of a shuffle, which passes through the unit of shared memory \[V\].
const SHUFFLE: f64 = 22.0;
/// Result of a load from the constant cache with an index \[V\].
const CONSTANT: f64 = 27.0;
/// Result of a conversion, a reciprocal or a root \[V\]; of anything else whose latency varies.
const SPECIAL: f64 = 14.0;
/// Result of a product of FP64 tensor cores, beyond the cycles that it occupies them: as a load from
/// shared memory, for want of a source.
const TENSOR: f64 = 29.0;
/// Between the arrival of a block's last warp at a barrier and the next instruction: as a load from
/// shared memory, for want of a source.
pub const BARRIER: f64 = 29.0;

impl Latencies {
    /// Returns the constants of a device of compute capability 8.0, 9.0 or 10.0.
    pub fn of(device: &Device) -> Self {
        let (l2, global, single, of_tensor) = match device.compute_capability.0 {
            8 => (261.5, 466.3, 64.0, 2.0),
            9 => (263.0, 478.8, 128.0, 2.0),
            _ => (295.0, 295.0 + (478.8 - 263.0), 128.0, 1.0),
        };
        let clock = 1e3 * f64::from(device.clock_khz);
        let double = (device.f64_peak / 2.0 / clock / f64::from(device.multiprocessors)).round();
        // Results per cycle and multiprocessor, of which a scheduler has a quarter, or all of the
        // memory's.
        let quarter = |results: f64| 32.0 / (results / 4.0);
        Latencies {
            l2,
            global,
            occupied: [quarter(64.0), quarter(single), quarter(double), quarter(16.0), 1.0, 1.0],
            // 256 multiply-adds, those of 8 instructions of the other FP64 units.
            tensor: 8.0 * quarter(double) / of_tensor,
        }
    }

    /// Returns the cycles until an instruction's result is there, if the assembler leaves that to a
    /// barrier; `from_global` says whether a load misses L2.
    pub fn result(&self, instruction: &Instruction, from_global: bool) -> f64 {
        let is = |operations: &[&str]| instruction.is_any(operations);
        match () {
            () if is(&["LDGSTS", "LDG", "LD.", "ATOMG", "RED"]) && from_global => self.global,
            () if is(&["LDGSTS", "LDG", "LD.", "ATOMG", "RED"]) => self.l2,
            () if is(&["LDS", "ATOMS"]) => SHARED,
            () if is(&["LDL"]) => LOCAL,
            () if is(&["SHFL"]) => SHUFFLE,
            () if is(&["LDC", "S2R"]) => CONSTANT,
            () if is(&["DMMA"]) => self.tensor + TENSOR,
            () => SPECIAL,
        }
    }
}
