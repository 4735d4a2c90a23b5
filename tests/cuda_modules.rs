//! Kernels that are read from files (`MECHANISTIC_CUDA_MODULES`). A binary of its own because the
//! variable belongs to the environment of the process, and a kernel that was loaded stays.

mod support;

use std::path::Path;
use std::{env, fs};

use mechanistic::Result;
use mechanistic::cuda::{Cuda, kernel_images};
use mechanistic::tape::{Array, Tape};
use support::backends::cuda;

/// The PTX that this program embeds, of the kernel of this name.
fn embedded(name: &str) -> String {
    kernel_images().iter().find(|kernel| kernel.name == name).expect("a kernel").ptx()
}

/// The numbers 1.5 and −2.5 negated on the device.
fn negated() -> Result<Vec<f64>> {
    let mut tape = Tape::<f64, Cuda>::on(cuda().clone());
    let x = tape.constant(Array::new([2], vec![1.5, -2.5])?);
    let y = tape.neg(x)?;
    Ok(tape.value(y)?.data().to_vec())
}

/// One test: a kernel is loaded once for a device, when it is first used.
#[test]
fn a_file_takes_the_place_of_a_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let look_in = |path: &Path| {
        // SAFETY: nothing else in this process reads or sets the environment meanwhile.
        unsafe { env::set_var("MECHANISTIC_CUDA_MODULES", path) };
    };
    // Kernels that have no file are the embedded ones; opening the device loads one.
    look_in(directory.path());
    cuda();

    let absent = directory.path().join("absent");
    look_in(&absent);
    let message = negated().unwrap_err().to_string();
    assert!(message.contains(absent.to_str().unwrap()), "{message}");
    assert!(message.contains("it is no directory"), "{message}");

    look_in(directory.path());
    let file = directory.path().join("unary_f64.ptx");
    fs::write(&file, "this is no PTX").unwrap();
    let message = negated().unwrap_err().to_string();
    assert!(message.contains("loading the kernel unary_f64"), "{message}");

    // A negation that forgets the sign.
    let ptx = embedded("unary_f64").replace("neg.f64", "abs.f64");
    fs::write(&file, ptx).unwrap();
    assert_eq!(negated().unwrap(), [1.5, 2.5]);

    // It stays loaded.
    fs::remove_file(&file).unwrap();
    assert_eq!(negated().unwrap(), [1.5, 2.5]);
}
