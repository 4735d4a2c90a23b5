//! Guards on page-locked memory of which a copy is still waiting in a stream. The pages are made
//! inaccessible (a copy will write them) or read-only (a copy will read them), so that a host that
//! does not wait is caught in the act: the access is let through, and reported with the copy.
//!
//! Protection works by pages. The first access to a guarded page opens all of it; it is reported if
//! it lies in the bytes that are copied, and in any case the page is not guarded any more by the
//! copies that wait.

use std::{
    ffi::{c_int, c_void},
    ptr,
    sync::{
        Mutex, Once, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use super::{driver, host_memory::PAGE, lock};

/// The most guards at a time; copies beyond are not guarded.
const MOST: usize = 256;

/// A guard as the signal handler sees it, which may not take locks.
struct Slot {
    armed: AtomicBool,
    /// First byte and the byte after the last one that will be copied.
    start: AtomicUsize,
    end: AtomicUsize,
    /// Protection of the pages while the guard is armed.
    protection: AtomicU8,
    /// Address of the host's access to the guarded bytes, or 0.
    touched: AtomicUsize,
}

static SLOTS: [Slot; MOST] = [const {
    Slot {
        armed: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        protection: AtomicU8::new(0),
        touched: AtomicUsize::new(0),
    }
}; MOST];

/// Lock for everything but the signal handler: which slots are taken.
static TAKEN: Mutex<[bool; MOST]> = Mutex::new([false; MOST]);

/// What the waiting copy will do to the guarded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It writes them: the host may neither read nor write them before.
    Write,
    /// It reads them: the host may not write them before.
    Read,
}

/// A guard on the bytes of one waiting copy; it ends when dropped, and what it saw is reported.
pub(super) struct Guard {
    slot: usize,
    purpose: Purpose,
}

impl Guard {
    /// Guards bytes of page-locked memory whose pages hold nothing else. Returns `None` if there
    /// are too many guards.
    pub(super) fn new(start: usize, bytes: usize, purpose: Purpose) -> Option<Self> {
        install_handler();
        let mut taken = lock(&TAKEN);
        let index = taken.iter().position(|taken| !taken)?;
        let slot = &SLOTS[index];
        let protection = match purpose {
            Purpose::Write => libc::PROT_NONE,
            Purpose::Read => libc::PROT_READ,
        };
        slot.start.store(start, Ordering::Relaxed);
        slot.end.store(start + bytes, Ordering::Relaxed);
        slot.protection.store(protection as u8, Ordering::Relaxed);
        slot.touched.store(0, Ordering::Relaxed);
        slot.armed.store(true, Ordering::Release);
        taken[index] = true;
        protect(slot.pages());
        Some(Self { slot: index, purpose })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let slot = &SLOTS[self.slot];
        let mut taken = lock(&TAKEN);
        slot.armed.store(false, Ordering::Release);
        protect(slot.pages());
        taken[self.slot] = false;
        let touched = slot.touched.load(Ordering::Acquire);
        let (start, end) = (slot.start.load(Ordering::Relaxed), slot.end.load(Ordering::Relaxed));
        drop(taken);
        if touched == 0 {
            return;
        }
        let (act, will) = match self.purpose {
            Purpose::Write => ("uses", "writes"),
            Purpose::Read => ("writes to", "reads"),
        };
        if let Ok(driver) = driver() {
            driver.records.report(format!(
                "race with the host: it {act} page-locked memory at {touched:#x} before the copy \
                 that {will} {} bytes at {start:#x} is done; wait for the stream, or for an event \
                 after the copy",
                end - start
            ));
        }
    }
}

impl Slot {
    /// Addresses of the pages that the bytes lie in.
    fn pages(&self) -> (usize, usize) {
        let (start, end) = (self.start.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed));
        (start / PAGE * PAGE, end.next_multiple_of(PAGE))
    }
}

/// Lets `copy` use the pages of page-locked memory that copies guard, this one among them.
pub(super) fn with_access<R>(starts: &[usize], bytes: usize, copy: impl FnOnce() -> R) -> R {
    let _taken = lock(&TAKEN);
    let pages = |start: usize| (start / PAGE * PAGE, (start + bytes).next_multiple_of(PAGE));
    for &start in starts {
        open(pages(start));
    }
    let result = copy();
    starts.iter().for_each(|&start| protect(pages(start)));
    result
}

/// Protects pages as the armed guards on them ask for, or opens them where there is none.
fn protect((start, end): (usize, usize)) {
    for page in (start..end).step_by(PAGE) {
        let on_page = |slot: &&Slot| {
            let armed = slot.armed.load(Ordering::Acquire);
            let (first, last) = slot.pages();
            armed && first <= page && page < last
        };
        let guards = SLOTS.iter().filter(on_page);
        let strictest = guards.map(|slot| slot.protection.load(Ordering::Relaxed)).min();
        let open = (libc::PROT_READ | libc::PROT_WRITE) as u8;
        set_protection(page, PAGE, c_int::from(strictest.unwrap_or(open)));
    }
}

fn open((start, end): (usize, usize)) {
    set_protection(start, end - start, libc::PROT_READ | libc::PROT_WRITE);
}

fn set_protection(start: usize, bytes: usize, protection: c_int) {
    // SAFETY: the pages belong to one block of page-locked memory, which lives as long as a copy of
    // it waits, and hold nothing else.
    unsafe { libc::mprotect(start as *mut c_void, bytes, protection) };
}

/// The handler that was installed before this one.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

fn install_handler() {
    static INSTALL: Once = Once::new();
    // SAFETY: the structures are valid; the handler does only what signal handlers may do.
    INSTALL.call_once(|| unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGSEGV, ptr::null(), &mut before);
        let _ = BEFORE.set(before);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut());
    });
}

/// Opens guarded pages to the host and notes the access; all other faults go to the handler before.
/// A guard may have ended since the access failed: an access is repeated once before it goes there.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes a valid structure.
    let address = unsafe { (*info).si_addr() } as usize;
    static REPEATED: AtomicUsize = AtomicUsize::new(0);
    let mut guarded = false;
    for slot in &SLOTS {
        let armed = slot.armed.load(Ordering::Acquire);
        let (first, last) = slot.pages();
        if armed && first <= address && address < last {
            guarded = true;
            open((first, last));
            let start = slot.start.load(Ordering::Relaxed);
            let end = slot.end.load(Ordering::Relaxed);
            if start <= address && address < end {
                slot.touched.store(address, Ordering::Release);
            }
        }
    }
    if guarded || REPEATED.swap(address, Ordering::Relaxed) != address {
        return;
    }
    // SAFETY: the handler before is called as the system would have called it; without one, the
    // access is repeated and ends the process.
    unsafe {
        match BEFORE.get() {
            Some(before) if before.sa_sigaction > libc::SIG_IGN => {
                if before.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                        std::mem::transmute(before.sa_sigaction);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(c_int) = std::mem::transmute(before.sa_sigaction);
                    handler(signal);
                }
            }
            _ => {
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            }
        }
    }
}
