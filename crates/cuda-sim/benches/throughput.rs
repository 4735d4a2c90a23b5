//! Simulated thread-instructions per second and core, all checks on.
//!
//! A launch of one block stays on the calling thread, so its time is that of one core; on Linux the
//! thread's processor time is taken, which other processes do not disturb.

use cuda_sim::device::Device;
use cuda_sim::exec::{LaunchConfig, launch};
use cuda_sim::memory::DeviceMemory;
use cuda_sim::ptx::{LoadedModule, Module};
use std::path::Path;
use std::time::{Duration, Instant};

const SYSTEMS: u32 = 256;

fn main() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/throughput.cu");
    let ptx = match cuda_toolkit::compile_to_ptx(&source, &["-arch=compute_80", "-lineinfo"]) {
        Ok(ptx) => ptx,
        Err(why) => return println!("throughput: no kernels to run: {why}"),
    };
    let memory = DeviceMemory::new(1 << 30);
    let begin = Instant::now();
    let module = Module::parse(&ptx).expect("nvcc emits PTX the simulator knows");
    println!("decoded {} bytes of PTX in {:.1?}", ptx.len(), begin.elapsed());
    let module = module.load(&memory).expect("the module has no variables");
    for (kernel, order) in [("cholesky4", 4), ("cholesky12", 12)] {
        measure(&module, &memory, kernel, order);
    }
}

/// Factorizes diagonally dominant matrices of the given order for about a second.
fn measure(module: &LoadedModule, memory: &DeviceMemory, name: &str, order: u64) {
    let entries = order * (order + 1) / 2;
    let bytes = entries * u64::from(SYSTEMS) * 8;
    let buffer = || memory.allocate(bytes).expect("a gigabyte is enough");
    let (a, l) = (buffer(), buffer());
    for i in 0..order {
        for j in 0..=i {
            let value: f64 = if i == j { 10.0 } else { 0.1 };
            let row = a + (i * (i + 1) / 2 + j) * u64::from(SYSTEMS) * 8;
            memory.fill(row, &value.to_le_bytes(), SYSTEMS.into()).expect("inside the buffer");
        }
    }
    let mut params = Vec::new();
    params.extend(a.to_le_bytes());
    params.extend(l.to_le_bytes());
    params.extend(SYSTEMS.to_le_bytes());
    let config = LaunchConfig { grid: [1; 3], block: [SYSTEMS, 1, 1], dynamic_shared: 0 };
    let kernel = module.kernel(name).expect("the kernel is in the source");
    let device = Device::a100();
    let run = || launch(module, kernel, config, &params, memory, &device).expect("no fault");
    let once = run();
    let (begin, mut instructions) = (processor_time(), 0);
    while processor_time() - begin < Duration::from_secs(1) {
        instructions += run().total_thread_instructions();
    }
    let rate = instructions as f64 / (processor_time() - begin).as_secs_f64();
    println!(
        "{name}: {:.0} million thread-instructions per second and core ({} a thread, {:.0} % in \
         memory)",
        rate / 1e6,
        once.total_thread_instructions() / u64::from(SYSTEMS),
        100.0 * once.thread(cuda_sim::counters::Class::Memory) as f64
            / once.total_thread_instructions() as f64
    );
}

/// Time this thread has spent on a processor; elsewhere than on Linux, time since the first call.
fn processor_time() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let first = FIRST.get_or_init(Instant::now);
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| first.elapsed(), Duration::from_nanos)
}
