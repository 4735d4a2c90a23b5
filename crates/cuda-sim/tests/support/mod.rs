//! What the tests share: the simulator loaded, contexts, kernels compiled.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use cuda_sim::{
    counters::LaunchCounters,
    simulator::{LaunchRecord, Simulator},
};
use cudarc::{
    driver::{CudaContext, CudaFunction, CudaModule},
    nvrtc::Ptx,
};

/// The simulator as this process's CUDA driver, with the toolkit's assembler.
pub fn simulator() -> Simulator {
    let simulator = Simulator::preload().expect("the simulator can be loaded");
    if let Ok(Some(nvcc)) = cuda_toolkit::find_nvcc() {
        simulator.use_ptxas(&nvcc.with_file_name("ptxas"));
    }
    simulator
}

/// A context of its own: an error that sticks to it does not reach other tests.
pub fn context() -> Arc<CudaContext> {
    simulator();
    CudaContext::new_non_primary(0, 0).expect("a context can be made")
}

/// Compiles `tests/kernels/<name>.cu` with nvcc, with source lines; once per file and process.
pub fn ptx_of(name: &str) -> String {
    static COMPILED: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let compile = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels").join(name);
        cuda_toolkit::compile_to_ptx(&source, &["-arch=compute_80", "-lineinfo"])
            .unwrap_or_else(|message| panic!("{message}"))
    };
    compiled.entry(name.to_owned()).or_insert_with(compile).clone()
}

/// Compiles and loads `tests/kernels/<name>.cu`.
pub fn load(context: &Arc<CudaContext>, name: &str) -> Arc<CudaModule> {
    context.load_module(Ptx::from_src(ptx_of(name))).expect("the module can be loaded")
}

/// One kernel of `tests/kernels/<file>.cu`.
pub fn kernel(context: &Arc<CudaContext>, file: &str, name: &str) -> CudaFunction {
    load(context, file).load_function(name).expect("the kernel is in the module")
}

/// The launches of one kernel so far. Tests run side by side: kernels tell them apart.
pub fn launches_of(kernel: &str) -> Vec<LaunchRecord> {
    let launches = simulator().launches().expect("launches can be read");
    launches.into_iter().filter(|launch| launch.kernel == kernel).collect()
}

/// The counters of the only launch of a kernel with this grid.
pub fn counters_of(kernel: &str, grid: [u32; 3]) -> LaunchCounters {
    let mut launches = launches_of(kernel);
    launches.retain(|launch| launch.config.grid == grid);
    assert_eq!(launches.len(), 1, "launches of {kernel} with grid {grid:?}");
    launches.remove(0).counters
}

/// The reports that mention all of these words.
pub fn reports_with(words: &[&str]) -> Vec<String> {
    let reports = simulator().reports().expect("reports can be read");
    let mentions = |report: &String| words.iter().all(|word| report.contains(word));
    reports.into_iter().filter(mentions).collect()
}

/// Numbers that look random and are the same every time, between 0 and 1 (splitmix64).
pub fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    std::iter::repeat_with(next).take(count).collect()
}
