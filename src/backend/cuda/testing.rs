//! The simulated driver, for the tests of this backend.

use std::process::Command;
use std::sync::Arc;

use cuda_sim::simulator::Simulator;

use super::device::CudaDevice;

pub mod agreement;

/// The simulator as this process's CUDA driver.
pub fn simulator() -> Simulator {
    Simulator::preload().expect("the simulator can be loaded")
}

/// The simulated device.
pub fn device() -> Arc<CudaDevice> {
    simulator();
    CudaDevice::get(0).expect("the simulated device can be opened; its kernels need nvcc")
}

/// Everything that the simulator's sanitizers found so far in this process.
pub fn reports() -> Vec<String> {
    simulator().reports().expect("reports can be read")
}

/// What a C compiler gives for these expressions of size type, with a header of `kernels/` included.
pub fn c_values(header: &str, expressions: &[&str]) -> Vec<usize> {
    let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels");
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("values.c"), directory.path().join("values"));
    let print = |expression: &&str| format!("    printf(\"%zu\\n\", (size_t)({expression}));\n");
    let prints: String = expressions.iter().map(print).collect();
    let text = format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include \"{header}\"\n\
         int main(void) {{\n{prints}    return 0;\n}}\n"
    );
    std::fs::write(&source, text).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let compiled = Command::new(&compiler)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I", kernels, "-o"])
        .args([&program, &source])
        .output()
        .unwrap_or_else(|error| panic!("{compiler} compiles the kernels' header: {error}"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let printed = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    let values: Vec<usize> = printed.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(values.len(), expressions.len());
    values
}
