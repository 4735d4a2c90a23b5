//! An ordinary cudarc program: it knows nothing of the simulator.
//!
//! `saxpy <file.ptx>` computes y = a x + y on the first CUDA device with the kernel `saxpy` of that
//! file, checks the result and prints the device's name. It runs wherever the dynamic loader finds
//! a `libcuda.so`, which may be a link to `libcuda_sim.so`.

use std::error::Error;

use cudarc::{
    driver::{CudaContext, LaunchConfig, PushKernelArg, sys},
    nvrtc::Ptx,
};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: saxpy <file.ptx>")?;
    // SAFETY: libraries named libcuda are what they say.
    if !unsafe { sys::is_culib_present() } {
        return Err("no CUDA driver".into());
    }
    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    let saxpy = context.load_module(Ptx::from_file(file))?.load_function("saxpy")?;

    let n = 1000;
    let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
    let x_on_device = stream.clone_htod(&x)?;
    let mut y = stream.clone_htod(&vec![1f32; n])?;
    let mut launch = stream.launch_builder(&saxpy);
    let (count, a) = (n as i32, 2f32);
    launch.arg(&count).arg(&a).arg(&x_on_device).arg(&mut y);
    // SAFETY: the kernel's parameters are these, and it does not go beyond n.
    unsafe { launch.launch(LaunchConfig::for_num_elems(n as u32)) }?;
    let result = stream.clone_dtoh(&y)?;
    if result.iter().zip(&x).any(|(y, x)| *y != 2.0 * x + 1.0) {
        return Err("the result is wrong".into());
    }
    if std::env::args().nth(2).as_deref() == Some("leak") {
        // What a destructor never sees is never freed.
        std::mem::forget(y);
    }
    println!("{}: {n} values are right", context.name()?);
    Ok(())
}
