//! A simulated CUDA driver: it runs, checks and measures PTX on machines without a GPU.
//!
//! [`ptx`] reads PTX text into kernels ready to run, [`exec`] runs them warp by warp over the
//! device memory of [`memory`], [`sanitizer`] watches every access, and [`counters`] and
//! [`roofline`] say what a launch did and what it could cost on a [`device`]. The driver API on top
//! of these is what `libcuda_sim.so` exports.

pub mod assembler;
pub mod counters;
pub mod device;
pub mod driver;
pub mod exec;
pub mod faults;
pub mod memory;
pub mod ptx;
pub mod roofline;
pub mod sanitizer;
pub mod simulator;
