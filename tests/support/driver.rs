//! The CUDA driver that tests run on: the simulated one, or the machine's own where
//! `MECHANISTIC_TEST_GPU` is set. The unit tests of the library include this file too.

use std::sync::Once;

use cuda_sim::simulator::Simulator;

/// The variable that asks for the machine's own driver.
const REAL: &str = "MECHANISTIC_TEST_GPU";

/// Makes the simulator this process's CUDA driver, or returns `None` where the tests run on the
/// machine's own. Every test calls this, or what calls it, before it opens a device.
pub fn simulated() -> Option<Simulator> {
    let wanted = std::env::var_os(REAL).is_none();
    wanted.then(|| Simulator::preload().expect("the simulator can be loaded"))
}

/// Makes the simulator this process's CUDA driver, for tests of what only the simulator can do.
pub fn simulator() -> Simulator {
    simulated().unwrap_or_else(|| panic!("only the simulated driver can run this test, not {REAL}"))
}

/// The sanitizers must have found nothing so far: no read of what was never written, no race, no
/// access beyond an array. A real driver has none; then this says once that nothing was looked for.
#[track_caller]
pub fn assert_no_reports() {
    static SAY: Once = Once::new();
    match simulated() {
        Some(simulator) => assert_eq!(simulator.reports().unwrap(), Vec::<String>::new()),
        None => SAY.call_once(|| eprintln!("{REAL}: no sanitizer, reports are not looked for")),
    }
}
