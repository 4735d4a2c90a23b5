//! The simulator does not take the place of another driver that a process has loaded.

use std::{fs, path::PathBuf, process::Command};

use cuda_sim::simulator::Simulator;
use libloading::Library;

#[test]
fn a_loaded_driver_is_not_hidden() {
    // Stands for NVIDIA's library: a shared library of that name without the simulator's mark.
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("other_driver");
    fs::create_dir_all(&directory).unwrap();
    let (source, library) = (directory.join("driver.c"), directory.join("libcuda.so.1"));
    fs::write(&source, "int cuInit(unsigned flags) { return 100; }\n").unwrap();
    // The host compiler that nvcc needs as well.
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"])
        .args([&library, &source])
        .status()
        .expect("the host's C compiler");
    assert!(compiled.success());
    // SAFETY: the library has no initializers.
    let _other = unsafe { Library::new(&library) }.unwrap();
    let refused = Simulator::preload().err().expect("a driver is loaded already");
    assert!(refused.contains("already loaded a real CUDA driver"), "{refused}");
}
