//! The allocator of the program: that of the system, but where a small piece of memory cannot be had, the
//! program says so and ends.
//!
//! What takes much memory asks for all of it before it begins, and a refusal is an error like others. What
//! is small is taken without a look, and Rust would abort where there is none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Up to so many bytes a piece is small.
const SMALL: usize = 1 << 16;

/// Whether the program is about to end.
static ENDS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread ends it.
    static ENDS_IT: Cell<bool> = const { Cell::new(false) };
}

/// The allocator, for the `global_allocator` of a program.
pub struct Allocator;

// SAFETY: every call is passed on to the allocator of the system as it comes.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, here and below.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.realloc(address, layout, size) }, size)
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(address, layout) }
    }
}

/// Returns the address of so many bytes, which are had; ends the program if they are few and are not.
fn had(address: *mut u8, bytes: usize) -> *mut u8 {
    if address.is_null() && bytes <= SMALL {
        if !ENDS.swap(true, Ordering::Relaxed) {
            ENDS_IT.set(true);
            crate::tell(format_args!("mnn: {bytes} bytes of memory cannot be had"));
            std::process::exit(2);
        }
        // Without memory too, another thread would abort the program before this one has said why.
        while !ENDS_IT.get() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    address
}
