//! The functions that the simulator exports beyond the driver API, for
//! [`crate::simulator::Simulator`]. They are exported because the library's state lies in the
//! library, not in a program that links this crate as well.

use std::{
    ffi::{OsStr, c_void},
    os::unix::ffi::OsStrExt,
};

use super::{CuResult, driver, exports, initialize, queues::finish_all, registers};
use crate::{
    counters::LaunchCounters,
    exec::LaunchConfig,
    faults::{Injection, Operation},
};

/// A function that receives a text, which is valid during the call.
pub(crate) type VisitText =
    unsafe extern "C" fn(context: *mut c_void, text: *const u8, bytes: usize);

/// A function that receives one launch: the kernel's name, the shape and the counters, valid during
/// the call.
pub(crate) type VisitLaunch = unsafe extern "C" fn(
    context: *mut c_void,
    name: *const u8,
    name_bytes: usize,
    shape: *const [u32; 7],
    counters: *const LaunchCounters,
    counters_bytes: usize,
);

/// A function that receives a line of a kernel's PTX and the number of its executions.
pub(crate) type VisitLine = unsafe extern "C" fn(context: *mut c_void, line: u32, executions: u64);

exports! {
    fn cudaSimInject(operation: u32, nth: u64, error: u32) {
        initialize()?;
        let operation = Operation::from_value(operation).ok_or(CuResult::InvalidValue)?;
        let error = CuResult::from_value(error).filter(|&error| error != CuResult::Success);
        let error = error.filter(|_| nth > 0).ok_or(CuResult::InvalidValue)?;
        driver()?.faults.inject(Injection { operation, nth, error });
        Ok(())
    }
    fn cudaSimClearFaults() {
        initialize()?;
        driver()?.faults.clear();
        Ok(())
    }
    fn cudaSimUsePtxas(path: *const u8, bytes: usize) {
        let path = std::slice::from_raw_parts(path, bytes);
        registers::use_ptxas(OsStr::from_bytes(path).into());
        Ok(())
    }
    fn cudaSimReports(visit: VisitText, context: *mut c_void) {
        initialize()?;
        let driver = driver()?;
        finish_all(driver, |_| true);
        for report in driver.records.reports() {
            visit(context, report.as_ptr(), report.len());
        }
        Ok(())
    }
    fn cudaSimCounters(visit: VisitText, context: *mut c_void) {
        initialize()?;
        let driver = driver()?;
        finish_all(driver, |_| true);
        let json = driver.records.to_json(driver);
        visit(context, json.as_ptr(), json.len());
        Ok(())
    }
    fn cudaSimLaunches(visit: VisitLaunch, context: *mut c_void) {
        initialize()?;
        let driver = driver()?;
        finish_all(driver, |_| true);
        driver.records.for_each_launch(|name, config, counters| {
            let LaunchConfig { grid: [gx, gy, gz], block: [bx, by, bz], dynamic_shared } = *config;
            let shape = [gx, gy, gz, bx, by, bz, dynamic_shared];
            visit(context, name.as_ptr(), name.len(), &shape, counters, size_of_val(counters));
        });
        Ok(())
    }
    fn cudaSimProfile(
        kernel: *const u8,
        bytes: usize,
        visit: VisitLine,
        context: *mut c_void,
    ) {
        initialize()?;
        let driver = driver()?;
        finish_all(driver, |_| true);
        let kernel = String::from_utf8_lossy(std::slice::from_raw_parts(kernel, bytes));
        driver.records.for_each_line(&kernel, |line, executions| visit(context, line, executions));
        Ok(())
    }
    fn cudaSimClearRecords() {
        initialize()?;
        let driver = driver()?;
        finish_all(driver, |_| true);
        driver.records.clear();
        Ok(())
    }
}
