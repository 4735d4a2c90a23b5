//! Primitives of the tape: functions on slices and shapes, row-major and contiguous unless strides
//! are given.
//!
//! Callers have checked the shapes (the tape does); nothing here allocates results. The sums are
//! taken in an order that depends on the shapes alone, never on the number of threads.

pub mod elementwise;
pub mod index;
pub mod layout;
pub mod matmul;
pub mod reduce;
pub mod softmax;
pub mod update;
