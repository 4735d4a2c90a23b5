//! An unmodified cudarc program in a process of its own, with the simulator as `libcuda.so` on the
//! library path; and everything that the environment decides.

mod support;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use cuda_sim::simulator::link_into;

/// A directory for the files of one test, under cargo's directory for such files.
fn directory(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The example program `saxpy`, which cargo builds beside the tests.
fn saxpy_program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join("saxpy")
}

/// Runs `saxpy` with these variables and further arguments, the simulator on its library path.
fn saxpy(test: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let directory = directory(test);
    let ptx = directory.join("saxpy.ptx");
    fs::write(&ptx, support::ptx_of("saxpy.cu")).unwrap();
    Command::new(saxpy_program())
        .arg(&ptx)
        .args(arguments)
        .env("LD_LIBRARY_PATH", link_into(&directory.join("lib")).unwrap())
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_unmodified_program_runs() {
    let output = saxpy("unmodified", &[], &[]);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out, "Simulated H100: 1000 values are right\n");
    assert_eq!(err, "");
}

#[test]
fn without_the_link_there_is_no_driver() {
    // The library lies on the library path under its own name, as cargo puts it: nobody finds it.
    let library = cuda_sim::simulator::library_path().unwrap();
    let output = Command::new(saxpy_program())
        .arg("unread.ptx")
        .env("LD_LIBRARY_PATH", library.parent().unwrap())
        .output()
        .unwrap();
    let (_, err) = texts(&output);
    let real = err.contains("unread.ptx") || err.contains("DriverError");
    assert!(!output.status.success() && (real || err.contains("no CUDA driver")), "{err}");
    assert!(!err.contains("cuda-sim"), "the simulator was loaded: {err}");
}

#[test]
fn the_device_is_chosen() {
    for (device, name) in
        [("a100", "Simulated A100"), ("h100", "Simulated H100"), ("rtx4090", "Simulated RTX 4090")]
    {
        let output = saxpy("device", &[("CUDA_SIM_DEVICE", device)], &[]);
        let (out, err) = texts(&output);
        assert_eq!(out, format!("{name}: 1000 values are right\n"), "{err}");
    }
    let (_, err) = texts(&saxpy("device", &[("CUDA_SIM_DEVICE", "none")], &[]));
    assert!(err.contains("CUDA_ERROR_NO_DEVICE"), "{err}");
    let (_, err) = texts(&saxpy("device", &[("CUDA_SIM_DEVICE", "gpu")], &[]));
    assert!(err.contains("\"gpu\", not a100, h100, b200, rtx4090 or none"), "{err}");
}

#[test]
fn memory_can_be_short() {
    let (_, err) = texts(&saxpy("memory", &[("CUDA_SIM_MEMORY", "7999")], &[]));
    assert!(err.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{err}");
    let output = saxpy("memory", &[("CUDA_SIM_MEMORY", "8000")], &[]);
    assert!(output.status.success(), "{}", texts(&output).1);
}

#[test]
fn faults_come_from_the_environment() {
    let faults = "allocation:2:OUT_OF_MEMORY";
    let (_, err) = texts(&saxpy("faults", &[("CUDA_SIM_FAULTS", faults)], &[]));
    assert!(err.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{err}");
    let (_, err) = texts(&saxpy("faults", &[("CUDA_SIM_FAULTS", "dance:1:2")], &[]));
    assert!(err.contains("CUDA_SIM_FAULTS has \"dance:1:2\""), "{err}");
}

#[test]
fn calls_are_traced() {
    let (_, err) = texts(&saxpy("trace", &[("CUDA_SIM_TRACE", "1")], &[]));
    assert!(err.contains("[cuda-sim] cuLaunchKernel -> CUDA_SUCCESS"), "{err}");
}

#[test]
fn leaks_are_reported_at_exit() {
    let output = saxpy("leaks", &[], &["leak"]);
    let (_, err) = texts(&output);
    assert!(output.status.success(), "{err}");
    assert!(err.contains("leak: 1 allocations were never freed"), "{err}");
    assert!(err.contains("4000 bytes at") && err.contains("number 2 (cuMemAllocAsync)"), "{err}");
}

#[test]
fn counters_are_written() {
    let directory = directory("counters");
    fs::remove_dir_all(&directory).unwrap();
    let file = directory.join("counters-%p.json");
    let nvcc = cuda_toolkit::require_nvcc().unwrap();
    let variables =
        [("CUDA_SIM_COUNTERS", file.to_str().unwrap()), ("NVCC", nvcc.to_str().unwrap())];
    let output = saxpy("counters", &variables, &[]);
    assert!(output.status.success(), "{}", texts(&output).1);
    let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        entries.filter(|path| path.to_string_lossy().contains("counters-")).collect();
    let [file] = &files[..] else { panic!("files: {files:?}") };
    let json = fs::read_to_string(file).unwrap();
    // 1000 threads in one block: 32 warps load x and y, 125 sectors each, and store y.
    for expected in [
        "\"device\":\"Simulated H100\"",
        "\"kernel\":\"saxpy\"",
        "\"f32_fma\":1000,",
        "\"global_load_sectors\":250,",
        "\"global_store_sectors\":125,",
        "\"distinct_bytes_read\":8000,",
        "\"roofline_model\":{",
        "\"registers\":",
        "\"spill_store_bytes\":0,",
        "\"theoretical_occupancy\":1.0000",
    ] {
        assert!(json.contains(expected), "{expected} is not in {json}");
    }
}
