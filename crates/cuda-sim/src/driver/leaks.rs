//! The leak report: memory that nobody freed when its context ends, or when the process does.

use std::{ffi::c_int, sync::Once};

use super::{DRIVER, Driver, handles::Handle, queues::finish_all};

/// The most allocations that are listed one by one.
const LISTED: usize = 20;

/// Reports the memory that is still allocated in one context, or in all.
///
/// A context that failed cannot free anything: what it holds is not a leak of the program.
pub(super) fn report(driver: &Driver, context: Option<Handle>) {
    let failed = |handle| {
        let context = driver.contexts.find(handle);
        context.is_some_and(|context| context.has_failed())
    };
    let device: Vec<String> = driver
        .allocations
        .leaks(context)
        .into_iter()
        .filter(|(_, record)| !failed(record.context))
        .map(|(address, record)| {
            format!(
                "{} bytes at {address:#x}, allocation number {} ({})",
                record.bytes, record.number, record.origin
            )
        })
        .collect();
    let host = driver.host_memory.leaks(context).into_iter();
    let host = host.map(|(start, bytes)| format!("{bytes} bytes of host memory at {start:#x}"));
    let leaks: Vec<String> = device.into_iter().chain(host).collect();
    if leaks.is_empty() {
        return;
    }
    let mut message = format!("leak: {} allocations were never freed", leaks.len());
    for leak in leaks.iter().take(LISTED) {
        message.push_str("\n    ");
        message.push_str(leak);
    }
    if leaks.len() > LISTED {
        message.push_str("\n    …");
    }
    driver.records.report(message);
}

unsafe extern "C" {
    fn atexit(function: extern "C" fn()) -> c_int;
}

/// Registers the report, and the writing of the counters, for the end of the process.
pub(super) fn report_at_exit() {
    extern "C" fn at_exit() {
        if let Some(Ok(driver)) = DRIVER.get() {
            finish_all(driver, |_| true);
            report(driver, None);
            driver.records.save(driver);
        }
    }
    static REGISTER: Once = Once::new();
    // SAFETY: `at_exit` needs only statics, which have no destructors.
    REGISTER.call_once(|| unsafe {
        atexit(at_exit);
    });
}
