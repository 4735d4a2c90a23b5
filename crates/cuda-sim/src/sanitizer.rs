//! Shadow memory: races and reads of bytes that were never written.

/// The last launch stamp the shadow entries can hold.
pub(crate) const LAST_STAMP: u32 = (1 << 9) - 1;
