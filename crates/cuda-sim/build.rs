//! Gives the shared library the name under which programs look for a CUDA driver.
//!
//! The file keeps its own name, `libcuda_sim.so`: nothing that searches for `libcuda.so` finds it.
//! Once a program has loaded it on purpose, a later `dlopen("libcuda.so")` resolves to it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so");
}
