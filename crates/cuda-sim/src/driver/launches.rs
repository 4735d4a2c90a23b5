//! Kernel launches, which are checked against the limits and run, and whose failures are reported
//! as a GPU reports them.

use std::{
    ffi::{c_int, c_uint, c_void},
    sync::Arc,
};

use super::{
    CuResult, Driver, Outcome,
    contexts::{Context, current},
    exports,
    functions::Function,
    handles::Handle,
    queues::submit,
    say,
    work::Work,
};
use crate::{
    assembler::Usage,
    exec::{self, FaultKind, LaunchConfig},
    faults::Operation,
    roofline::Resources,
};

/// A launch with everything it needs, parameters included.
#[derive(Clone)]
pub(super) struct Launch {
    function: Arc<Function>,
    config: LaunchConfig,
    parameters: Vec<u8>,
}

impl Launch {
    /// Counts the launch when it is ordered.
    pub(super) fn admit(&self, driver: &Driver, context: &Context) -> Outcome {
        driver.faults.check(Operation::Launch).inspect_err(|&error| {
            if is_sticky(error) {
                context.fail(error);
                let _ = context.wait();
            }
        })
    }

    pub(super) fn run(&self, driver: &Driver, context: &Context) -> Outcome {
        let outcome = exec::launch_profiled(
            &self.function.module,
            self.function.kernel(),
            self.config,
            &self.parameters,
            &driver.memory,
            &driver.device,
        );
        let fault = match outcome {
            Ok((counters, lines)) => {
                driver.records.add_launch(&self.function, self.config, counters, lines);
                return Ok(());
            }
            Err(fault) => fault,
        };
        driver.records.report(fault.report);
        let error = error_of(fault.kind);
        if !is_sticky(error) {
            return Err(error);
        }
        // A launch only starts a kernel: the kernel's error is returned by a later call that waits.
        context.fail(error);
        if driver.configuration.launch_blocking {
            context.wait()?;
        }
        Ok(())
    }
}

/// Returns the error that a GPU gives for a fault. A GPU does not notice races and reads of memory
/// that was never written, and hangs where a barrier is not reached by all: those faults get the
/// nearest error there is.
fn error_of(kind: FaultKind) -> CuResult {
    match kind {
        FaultKind::InvalidConfiguration => CuResult::InvalidValue,
        FaultKind::IllegalAddress | FaultKind::OutOfBounds => CuResult::IllegalAddress,
        FaultKind::MisalignedAddress => CuResult::MisalignedAddress,
        FaultKind::Assert => CuResult::Assert,
        FaultKind::Trap | FaultKind::Race | FaultKind::Uninitialized => CuResult::LaunchFailed,
        FaultKind::BarrierDivergence | FaultKind::Timeout => CuResult::LaunchTimeout,
        FaultKind::Unsupported => CuResult::NotSupported,
    }
}

/// Returns whether a context that has met this error can do nothing any more, as after errors of a
/// running kernel.
fn is_sticky(error: CuResult) -> bool {
    matches!(
        error,
        CuResult::IllegalAddress
            | CuResult::LaunchTimeout
            | CuResult::Assert
            | CuResult::HardwareStackError
            | CuResult::IllegalInstruction
            | CuResult::MisalignedAddress
            | CuResult::InvalidAddressSpace
            | CuResult::InvalidPc
            | CuResult::LaunchFailed
            | CuResult::EccUncorrectable
    )
}

/// The most registers of a thread, rounded up to the unit in which warps get them.
const MOST_REGISTERS: u32 = 256;

/// Checks a launch against the limits of device and function.
///
/// # Errors
/// [`CuResult::InvalidValue`] for a shape that the device does not allow,
/// [`CuResult::NotSupported`] for one that the simulator does not,
/// [`CuResult::LaunchOutOfResources`] for one that the kernel was not compiled for.
fn check_limits(driver: &Driver, function: &Function, config: &LaunchConfig) -> Outcome {
    let device = &driver.device;
    let kernel = function.kernel();
    let refuse = |error, message: String| {
        driver.records.report(format!("launch of {} refused: {message}", kernel.name));
        Err(error)
    };
    let axes = ['x', 'y', 'z'];
    let sides =
        [("grid", config.grid, device.grid_extent), ("block", config.block, device.block_extent)];
    for (what, extent, limit) in sides {
        for axis in 0..3 {
            if extent[axis] == 0 || extent[axis] > limit[axis] {
                let message = format!(
                    "{what}.{} is {}, possible are 1 to {}",
                    axes[axis], extent[axis], limit[axis]
                );
                return refuse(CuResult::InvalidValue, message);
            }
        }
    }
    if let Err(message) = config.check_blocks() {
        return refuse(CuResult::NotSupported, message);
    }
    let threads: u64 = config.block.iter().map(|&extent| u64::from(extent)).product();
    if threads > device.threads_per_block.into() {
        let message =
            format!("a block has {threads} threads, at most {} fit", device.threads_per_block);
        return refuse(CuResult::InvalidValue, message);
    }
    if kernel.required_threads.is_some_and(|required| required != config.block) {
        let message =
            format!("the block is {:?}, .reqntid is {:?}", config.block, kernel.required_threads);
        return refuse(CuResult::InvalidValue, message);
    }
    let compiled_for = function.max_threads(device);
    if threads > compiled_for.into() {
        let message = format!("a block has {threads} threads, compiled for {compiled_for}");
        return refuse(CuResult::LaunchOutOfResources, message);
    }
    // Smaller blocks always have enough registers, so that their number need not be known.
    if threads > u64::from(device.registers_per_block / MOST_REGISTERS)
        && let Some(Usage { registers, .. }) = function.usage_if_known()
    {
        let resources = Resources {
            threads_per_block: threads as u32,
            registers_per_thread: registers,
            shared_per_block: 0,
        };
        if resources.blocks_per_multiprocessor(device) == 0 {
            let message = format!("{threads} threads of {registers} registers are too many");
            return refuse(CuResult::LaunchOutOfResources, message);
        }
    }
    let dynamic = function.max_dynamic_shared(device);
    if config.dynamic_shared > dynamic {
        let message = format!(
            "{} bytes of dynamic shared memory, allowed are {dynamic} \
             (MAX_DYNAMIC_SHARED_SIZE_BYTES raises that up to {} less the static {})",
            config.dynamic_shared, device.shared_per_block_optin, kernel.static_shared
        );
        return refuse(CuResult::InvalidValue, message);
    }
    Ok(())
}

/// The keys `CU_LAUNCH_PARAM_*` of the `extra` array.
const PARAM_BUFFER_POINTER: usize = 1;
const PARAM_BUFFER_SIZE: usize = 2;

/// Packs the parameters of a launch; sizes and offsets are those of the kernel's declaration.
///
/// # Safety
/// `parameters` has a pointer for every parameter of the kernel, or `extra` is such an array as
/// `cuLaunchKernel` takes.
unsafe fn pack(
    function: &Function,
    parameters: *const *const c_void,
    extra: *const *const c_void,
) -> Outcome<Vec<u8>> {
    let kernel = function.kernel();
    let mut packed = vec![0; kernel.param_bytes];
    if !extra.is_null() {
        if !parameters.is_null() {
            return Err(CuResult::InvalidValue);
        }
        let (mut buffer, mut bytes) = (std::ptr::null::<u8>(), 0);
        // SAFETY: the array has pairs of key and value up to a key 0; the size is behind a pointer.
        unsafe {
            let mut entry = extra;
            loop {
                match (*entry) as usize {
                    0 => break,
                    PARAM_BUFFER_POINTER => buffer = (*entry.add(1)).cast(),
                    PARAM_BUFFER_SIZE => bytes = (*entry.add(1)).cast::<usize>().read(),
                    _ => return Err(CuResult::InvalidValue),
                }
                entry = entry.add(2);
            }
        }
        if buffer.is_null() || bytes != packed.len() {
            say(&format!(
                "launch of {}: a buffer of {bytes} bytes for {} bytes of parameters",
                kernel.name,
                packed.len()
            ));
            return Err(CuResult::InvalidValue);
        }
        // SAFETY: the buffer has as many bytes as are packed, as just checked.
        packed.copy_from_slice(unsafe { std::slice::from_raw_parts(buffer, bytes) });
        return Ok(packed);
    }
    if parameters.is_null() && !kernel.params.is_empty() {
        return Err(CuResult::InvalidValue);
    }
    for (i, declared) in kernel.params.iter().enumerate() {
        // SAFETY: one pointer per parameter, to as many bytes as the kernel declares.
        let value = unsafe {
            let value = *parameters.add(i);
            if value.is_null() {
                return Err(CuResult::InvalidValue);
            }
            std::slice::from_raw_parts(value.cast::<u8>(), declared.size)
        };
        packed[declared.offset..][..declared.size].copy_from_slice(value);
    }
    Ok(packed)
}

/// Launches a kernel.
///
/// # Safety
/// As [`pack`].
unsafe fn launch(
    function: Handle,
    config: LaunchConfig,
    cooperative: bool,
    stream: Handle,
    parameters: *const *const c_void,
    extra: *const *const c_void,
) -> Outcome {
    let (driver, context) = current()?;
    let function = driver.functions.get(function)?;
    if function.context != context.handle {
        return Err(CuResult::InvalidContext);
    }
    check_limits(driver, &function, &config)?;
    // Blocks that wait for one another would wait for ever, because they need not run at the same
    // time.
    if cooperative && config.grid != [1; 3] {
        let (kernel, grid) = (&function.kernel().name, config.grid);
        say(&format!("cooperative launch of {kernel}: {grid:?} blocks; one block is supported"));
        return Err(CuResult::NotSupported);
    }
    // SAFETY: the caller's contract.
    let parameters = unsafe { pack(&function, parameters, extra)? };
    submit(stream, Work::Launch(Launch { function, config, parameters }))
}

/// The structure `CUlaunchConfig` of the driver API.
#[repr(C)]
pub struct ExtendedConfig {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    dynamic_shared: c_uint,
    stream: Handle,
    attributes: *const ExtendedAttribute,
    attribute_count: c_uint,
}

/// The structure `CUlaunchAttribute`: an identifier, padding, and a union of 64 bytes.
#[repr(C, align(8))]
struct ExtendedAttribute {
    id: c_int,
    _padding: c_int,
    value: c_int,
    _rest: [c_int; 15],
}

/// Values of `CUlaunchAttributeID`; of all others only those that change nothing in the simulation
/// are accepted.
const IGNORE: c_int = 0;
const COOPERATIVE: c_int = 2;
const PRIORITY: c_int = 8;

exports! {
    fn cuLaunchKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared: c_uint,
        stream: Handle,
        parameters: *const *const c_void,
        extra: *const *const c_void,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let config = LaunchConfig { grid, block, dynamic_shared };
        launch(function, config, false, stream, parameters, extra)
    }
    fn cuLaunchCooperativeKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared: c_uint,
        stream: Handle,
        parameters: *const *const c_void,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let config = LaunchConfig { grid, block, dynamic_shared };
        launch(function, config, true, stream, parameters, std::ptr::null())
    }
    fn cuLaunchKernelEx(
        config: *const ExtendedConfig,
        function: Handle,
        parameters: *const *const c_void,
        extra: *const *const c_void,
    ) {
        let config = config.as_ref().ok_or(CuResult::InvalidValue)?;
        let mut cooperative = false;
        for i in 0..config.attribute_count as usize {
            let attribute = &*config.attributes.add(i);
            match attribute.id {
                IGNORE | PRIORITY => {}
                COOPERATIVE => cooperative = attribute.value != 0,
                other => {
                    say(&format!("cuLaunchKernelEx: launch attribute {other} is not supported"));
                    return Err(CuResult::NotSupported);
                }
            }
        }
        let shape = LaunchConfig {
            grid: config.grid,
            block: config.block,
            dynamic_shared: config.dynamic_shared,
        };
        launch(function, shape, cooperative, config.stream, parameters, extra)
    }
}
