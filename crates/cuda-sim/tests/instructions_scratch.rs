use cuda_sim::{
    device::Device,
    exec::{LaunchConfig, launch},
    memory::DeviceMemory,
    ptx::Module,
};
#[test]
fn scratch() {
    let ptx = std::fs::read_to_string("/tmp/ptx/k.ptx").unwrap();
    let t = std::time::Instant::now();
    let module = Module::parse(&ptx).unwrap();
    println!("parsed in {:?}", t.elapsed());
    let memory = DeviceMemory::new(1 << 30);
    let module = module.load(&memory).unwrap();
    for k in module.kernels() {
        println!(
            "{} params {:?} shared {} local {}",
            k.name,
            k.params.len(),
            k.static_shared,
            k.local_bytes
        );
    }
    let n = 4096usize;
    let host: Vec<f64> = (0..36 * n)
        .map(|i| {
            let (k, _) = (i / n, i % n);
            if k % 7 == 0 {
                10.0
            } else {
                1.0 + (i % 13) as f64 * 0.01
            }
        })
        .collect();
    let bytes: Vec<u8> = host.iter().flat_map(|x| x.to_le_bytes()).collect();
    let a = memory.allocate(bytes.len() as u64).unwrap();
    let b = memory.allocate(bytes.len() as u64).unwrap();
    memory.write(a, &bytes).unwrap();
    let mut params = Vec::new();
    params.extend(a.to_le_bytes());
    params.extend(b.to_le_bytes());
    params.extend((n as u32).to_le_bytes());
    let config = LaunchConfig {
        grid: [n as u32 / 128, 1, 1],
        block: [128, 1, 1],
        dynamic_shared: 0,
    };
    let t = std::time::Instant::now();
    let mut c = None;
    for _ in 0..10 {
        c = Some(
            launch(
                &module,
                module.kernel("chol6").unwrap(),
                config,
                &params,
                &memory,
                &Device::a100(),
            )
            .unwrap(),
        );
    }
    let s = t.elapsed().as_secs_f64() / 10.0;
    let c = c.unwrap();
    println!(
        "{:.1} M thread-instructions/s\n{}",
        c.total_thread_instructions() as f64 / s / 1e6,
        c.to_json()
    );
}
