//! Runs kernels: warps in lock step, blocks in parallel.

mod access;
mod atomics;
mod barrier;
mod bits;
mod block;
mod coalescing;
mod collectives;
mod compare;
mod convert;
mod cp_async;
mod decode;
mod fault;
mod float;
mod half;
mod integer;
mod interpreter;
mod lanes;
mod launch;
mod load_store;
mod mma;
mod moves;
pub(crate) mod operation;
mod ordering;
mod profile;
mod rounding;
pub(crate) mod special_registers;
mod text;
mod warp;

pub(crate) use decode::decode_instruction;
pub use fault::{Fault, FaultKind};
pub(crate) use launch::launch_profiled;
pub use launch::{LaunchConfig, launch};
