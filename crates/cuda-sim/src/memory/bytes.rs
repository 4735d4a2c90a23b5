//! Zeroed, aligned host memory behind device allocations.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// A block of zeroed host memory, 256-byte aligned as device allocations are. Large blocks come
/// straight from the system, so that pages nobody touches cost nothing.
pub(crate) struct ZeroedBytes {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: the struct only owns the memory. Whoever dereferences `start` is responsible for the
// accesses; see `Buffer`.
unsafe impl Send for ZeroedBytes {}
// SAFETY: the struct only owns the memory, as for `Send`.
unsafe impl Sync for ZeroedBytes {}

impl ZeroedBytes {
    /// Allocates `bytes` zero bytes, or returns `None` if the host has not enough memory.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.max(256), 256).ok()?;
        // SAFETY: the layout has a size of at least 256.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(Self { start, layout })
    }

    /// Returns the first byte.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }
}

impl Drop for ZeroedBytes {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated in `new` with this layout.
        unsafe { dealloc(self.start, self.layout) };
    }
}
