//! Gives the shared library the name under which programs look for a CUDA driver, and makes the
//! library that leads from the name of cuBLAS to it.
//!
//! The file keeps its own name, `libcuda_sim.so`: nothing that searches for `libcuda.so` finds it.
//! Once a program has loaded it on purpose, a later `dlopen("libcuda.so")` resolves to it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so");

    // An empty library of the name libcublas.so that needs libcuda.so: what is looked for in it is
    // found there. The linker wants to see a libcuda.so, and an empty one will do.
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let (driver, cublas) = (output.join("driver_stub.so"), output.join("libcublas_sim.so"));
    link_empty(&driver, "libcuda.so", None);
    link_empty(&cublas, "libcublas.so", Some(&driver));
    println!("cargo:rustc-env=CUDA_SIM_CUBLAS={}", cublas.display());
}

/// Links an empty shared library of this name.
fn link_empty(file: &Path, soname: &str, needed: Option<&Path>) {
    let linker = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&linker);
    command.args(["-shared", "-nostdlib", "-Wl,--no-as-needed"]);
    command.arg(format!("-Wl,-soname,{soname}")).arg("-o").arg(file);
    command.args(["-x", "c", "/dev/null", "-x", "none"]).args(needed);
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "{} cannot link {}: {status:?}",
        linker.display(),
        file.display()
    );
}
