//! The CUDA driver API, which `libcuda_sim.so` exports.
//!
//! The work of a stream waits in its queue until something waits for it, so that a program that does
//! not wait where it must sees old bytes. A captured graph keeps its operations and replays them.
//! Functions that are not implemented say so on stderr and return `CUDA_ERROR_NOT_SUPPORTED`.

mod attributes;
mod captures;
mod configuration;
mod contexts;
pub(crate) mod control;
mod copies;
mod cublas;
mod events;
mod functions;
mod graphs;
mod guards;
mod handles;
mod host_memory;
mod launches;
mod leaks;
mod memory;
mod modules;
mod occupancy;
mod pools;
mod queues;
mod records;
mod registers;
mod results;
mod streams;
mod targets;
mod unsupported;
mod work;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

pub use results::CuResult;

use crate::{device::Device, faults::Injector, memory::DeviceMemory};
use configuration::Configuration;
use handles::Table;

/// The result of a driver function, where `Err` is never [`CuResult::Success`].
type Outcome<T = ()> = Result<T, CuResult>;

/// The whole state of the driver in this process: one kind of device and everything made on it.
struct Driver {
    configuration: Configuration,
    device: Device,
    memory: DeviceMemory,
    allocations: memory::Allocations,
    host_memory: host_memory::HostMemory,
    primaries: Vec<Mutex<contexts::Primary>>,
    contexts: Table<contexts::Context>,
    modules: Table<modules::Module>,
    functions: Table<functions::Function>,
    streams: Table<streams::Stream>,
    events: Table<events::Event>,
    graphs: Table<graphs::Graph>,
    executables: Table<graphs::Executable>,
    pools: Table<pools::Pool>,
    device_pools: pools::DevicePools,
    cublas: Table<cublas::Library>,
    records: records::Records,
    faults: Injector,
    /// Lock that is held while an operation works on the device: operations happen one after the
    /// other.
    work: Mutex<()>,
}

static DRIVER: OnceLock<Result<Driver, CuResult>> = OnceLock::new();

impl Driver {
    fn new() -> Outcome<Self> {
        let configuration = Configuration::from_environment().map_err(|message| {
            say(&message);
            CuResult::InvalidValue
        })?;
        let device = configuration.device.clone().ok_or(CuResult::NoDevice)?;
        let pools = Table::new();
        let primaries = (0..configuration.device_count).map(|_| Mutex::default()).collect();
        Ok(Self {
            memory: DeviceMemory::new(device.memory_bytes),
            faults: Injector::new(configuration.faults.clone()),
            device,
            configuration,
            allocations: memory::Allocations::default(),
            host_memory: host_memory::HostMemory::default(),
            primaries,
            contexts: Table::new(),
            modules: Table::new(),
            functions: Table::new(),
            streams: Table::new(),
            events: Table::new(),
            graphs: Table::new(),
            executables: Table::new(),
            device_pools: pools::DevicePools::new(&pools),
            pools,
            cublas: Table::new(),
            records: records::Records::default(),
            work: Mutex::new(()),
        })
    }
}

/// Initializes the driver, as `cuInit` does.
fn initialize() -> Outcome {
    match DRIVER.get_or_init(Driver::new) {
        Ok(_) => {
            leaks::report_at_exit();
            Ok(())
        }
        Err(error) => Err(*error),
    }
}

/// Returns the driver, once `cuInit` has succeeded.
fn driver() -> Outcome<&'static Driver> {
    match DRIVER.get() {
        Some(Ok(driver)) => Ok(driver),
        _ => Err(CuResult::NotInitialized),
    }
}

/// Prints one message of the simulator.
fn say(message: &str) {
    eprintln!("[cuda-sim] {message}");
}

/// Locks a mutex; a panic elsewhere does not matter, because every update is complete before it can
/// panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores a result at the caller's address.
///
/// # Safety
/// `target` is null or valid for writes.
unsafe fn write<T>(target: *mut T, value: T) -> Outcome {
    if target.is_null() {
        return Err(CuResult::InvalidValue);
    }
    // SAFETY: the pointer is not null, and valid by contract.
    unsafe { target.write(value) };
    Ok(())
}

/// Runs one exported function: traces it if asked to, and keeps panics from crossing into C.
fn call(name: &str, body: impl FnOnce() -> Outcome) -> u32 {
    let result = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CuResult::Success,
        Ok(Err(error)) => error,
        Err(_) => {
            say(&format!("{name} panicked: this is a bug of the simulator"));
            CuResult::Unknown
        }
    };
    if configuration::trace() {
        say(&format!("{name} -> {}", result.name().to_string_lossy()));
    }
    result as u32
}

/// Defines functions of the driver API. The body is an [`Outcome`]; it may dereference the
/// arguments, which the caller guarantees as the API's documentation says.
macro_rules! exports {
    ($(fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of the CUDA driver API.")]
        ///
        /// # Safety
        /// As NVIDIA documents it: pointers are valid, arrays are long enough.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, unused_unsafe, clippy::too_many_arguments)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> u32 {
            $crate::driver::call(stringify!($name), move || -> $crate::driver::Outcome {
                // SAFETY: the caller's contract.
                unsafe { $body }
            })
        }
    )*};
}
use exports;
