//! The simulated devices: their limits and their peak rates.

/// A device: what it allows and how fast it is at best. The limits decide which launches are
/// accepted; the rates only feed the model of [`crate::roofline`].
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Name, as `cuDeviceGetName` reports it.
    pub name: &'static str,
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    /// Number of streaming multiprocessors.
    pub multiprocessors: u32,
    /// Device memory in bytes.
    pub memory_bytes: u64,
    /// Most threads in a block.
    pub threads_per_block: u32,
    /// Largest extents of a block.
    pub block_extent: [u32; 3],
    /// Largest extents of the grid.
    pub grid_extent: [u32; 3],
    /// Shared memory of a block without opting in, in bytes.
    pub shared_per_block: u32,
    /// Shared memory of a block after opting in, in bytes.
    pub shared_per_block_optin: u32,
    /// Shared memory of a multiprocessor, in bytes.
    pub shared_per_multiprocessor: u32,
    /// Shared memory that the driver reserves in every block, in bytes.
    pub shared_reserved_per_block: u32,
    /// Constant memory in bytes.
    pub constant_bytes: u32,
    /// Most 32-bit registers of a block.
    pub registers_per_block: u32,
    /// Number of 32-bit registers of a multiprocessor.
    pub registers_per_multiprocessor: u32,
    /// Most threads resident on a multiprocessor.
    pub threads_per_multiprocessor: u32,
    /// Most blocks resident on a multiprocessor.
    pub blocks_per_multiprocessor: u32,
    /// Size of the second-level cache, in bytes.
    pub l2_bytes: u32,
    /// Core clock (boost), in kHz.
    pub clock_khz: u32,
    /// Memory clock, in kHz.
    pub memory_clock_khz: u32,
    /// Width of the memory bus, in bits.
    pub memory_bus_bits: u32,
    /// Peak memory bandwidth, in bytes per second.
    pub memory_bandwidth: f64,
    /// Peak f32 rate outside the matrix units, in operations per second (an fma counts two).
    pub f32_peak: f64,
    /// Peak f64 rate outside the matrix units, in operations per second (an fma counts two).
    pub f64_peak: f64,
    /// Peak f64 rate of the matrix units, in operations per second (a multiply-add counts two).
    pub matrix_f64_peak: f64,
    /// Peak f16 and bf16 rate of the matrix units with f32 sums, without sparsity.
    pub matrix_f16_peak: f64,
    /// Most instructions that one warp may execute in a launch before it is stopped as a runaway
    /// loop.
    pub watchdog_instructions: u64,
}

/// The properties that all devices of this file share.
const COMMON: Device = Device {
    name: "",
    compute_capability: (0, 0),
    multiprocessors: 0,
    memory_bytes: 0,
    threads_per_block: 1024,
    block_extent: [1024, 1024, 64],
    grid_extent: [i32::MAX as u32, 65535, 65535],
    shared_per_block: 48 << 10,
    shared_per_block_optin: 0,
    shared_per_multiprocessor: 0,
    shared_reserved_per_block: 1 << 10,
    constant_bytes: 64 << 10,
    registers_per_block: 65536,
    registers_per_multiprocessor: 65536,
    threads_per_multiprocessor: 2048,
    blocks_per_multiprocessor: 32,
    l2_bytes: 0,
    clock_khz: 0,
    memory_clock_khz: 0,
    memory_bus_bits: 0,
    memory_bandwidth: 0.0,
    f32_peak: 0.0,
    f64_peak: 0.0,
    matrix_f64_peak: 0.0,
    matrix_f16_peak: 0.0,
    watchdog_instructions: 500_000_000,
};

impl Device {
    /// Returns the NVIDIA A100 SXM4 40 GB (figures: NVIDIA A100 architecture white paper; CUDA
    /// programming guide, technical specifications of compute capability 8.0).
    pub fn a100() -> Self {
        Self {
            name: "Simulated A100",
            compute_capability: (8, 0),
            multiprocessors: 108,
            memory_bytes: 40 << 30,
            shared_per_block_optin: 163 << 10,
            shared_per_multiprocessor: 164 << 10,
            l2_bytes: 40 << 20,
            clock_khz: 1_410_000,
            memory_clock_khz: 1_215_000,
            memory_bus_bits: 5120,
            memory_bandwidth: 1.555e12,
            f32_peak: 19.5e12,
            f64_peak: 9.7e12,
            matrix_f64_peak: 19.5e12,
            matrix_f16_peak: 312e12,
            ..COMMON
        }
    }

    /// Returns the NVIDIA H100 SXM5 80 GB (figures: NVIDIA H100 architecture white paper; CUDA
    /// programming guide, technical specifications of compute capability 9.0).
    pub fn h100() -> Self {
        Self {
            name: "Simulated H100",
            compute_capability: (9, 0),
            multiprocessors: 132,
            memory_bytes: 80 << 30,
            shared_per_block_optin: 227 << 10,
            shared_per_multiprocessor: 228 << 10,
            l2_bytes: 50 << 20,
            clock_khz: 1_980_000,
            memory_clock_khz: 2_619_000,
            memory_bus_bits: 5120,
            memory_bandwidth: 3.35e12,
            f32_peak: 66.9e12,
            f64_peak: 33.5e12,
            matrix_f64_peak: 66.9e12,
            matrix_f16_peak: 989.4e12,
            ..COMMON
        }
    }

    /// Returns the NVIDIA B200 SXM 180 GB (figures: NVIDIA HGX B200 data sheet; CUDA programming
    /// guide, technical specifications of compute capability 10.0).
    pub fn b200() -> Self {
        Self {
            name: "Simulated B200",
            compute_capability: (10, 0),
            multiprocessors: 148,
            memory_bytes: 180 << 30,
            shared_per_block_optin: 227 << 10,
            shared_per_multiprocessor: 228 << 10,
            l2_bytes: 126 << 20,
            clock_khz: 1_965_000,
            memory_clock_khz: 3_996_000,
            memory_bus_bits: 8192,
            memory_bandwidth: 8e12,
            f32_peak: 75e12,
            f64_peak: 37e12,
            matrix_f64_peak: 37e12,
            matrix_f16_peak: 2250e12,
            ..COMMON
        }
    }

    /// Returns the NVIDIA GeForce RTX 4090 (figures: NVIDIA Ada architecture white paper; CUDA
    /// programming guide, technical specifications of compute capability 8.9).
    pub fn rtx4090() -> Self {
        Self {
            name: "Simulated RTX 4090",
            compute_capability: (8, 9),
            multiprocessors: 128,
            memory_bytes: 24 << 30,
            shared_per_block_optin: 99 << 10,
            shared_per_multiprocessor: 100 << 10,
            threads_per_multiprocessor: 1536,
            blocks_per_multiprocessor: 24,
            l2_bytes: 72 << 20,
            clock_khz: 2_520_000,
            memory_clock_khz: 10_501_000,
            memory_bus_bits: 384,
            memory_bandwidth: 1.008e12,
            f32_peak: 82.6e12,
            f64_peak: 1.29e12,
            matrix_f64_peak: 1.29e12,
            matrix_f16_peak: 165.2e12,
            ..COMMON
        }
    }
}
