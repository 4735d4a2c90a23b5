//! What the tests of this backend share: the simulated driver, and the comparison of structures with
//! the kernels' headers.

use std::process::Command;
use std::sync::Arc;

use cuda_sim::simulator::Simulator;

use super::device::CudaDevice;

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

/// (C expression, its value here) for the size of a structure and the offsets of all its fields.
macro_rules! layout {
    ($name:ident: $($field:ident),* $(,)?) => {{
        // All fields are listed.
        let _ = |$name { $($field: _),* }: $name| ();
        vec![
            (format!("sizeof({})", stringify!($name)), size_of::<$name>()),
            $((format!("offsetof({}, {})", stringify!($name), stringify!($field)),
               std::mem::offset_of!($name, $field))),*
        ]
    }};
}
pub(crate) use layout;

/// Compiles `kernels/<header>` as C and compares what the expressions are there.
pub fn assert_layout(header: &str, expected: &[(String, usize)]) {
    let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels");
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("layout.c"), directory.path().join("layout"));
    let print = |(expression, _): &(String, usize)| {
        format!("    printf(\"%zu\\n\", (size_t)({expression}));\n")
    };
    let prints: String = expected.iter().map(print).collect();
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
    let printed = Command::new(&program).output().unwrap().stdout;
    let actual: Vec<usize> =
        String::from_utf8(printed).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(actual.len(), expected.len());
    for ((expression, here), there) in expected.iter().zip(actual) {
        assert_eq!(*here, there, "{expression}");
    }
}
