//! Initialization, devices and contexts.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::{c_char, c_int, c_uint, c_void},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    CuResult, Driver, Outcome, attributes, driver, exports,
    handles::{Handle, fresh},
    initialize, leaks, lock,
    queues::finish_all,
    write,
};

/// A context: what is made in it belongs to it and ends with it.
pub(super) struct Context {
    pub(super) handle: Handle,
    device: c_int,
    flags: Mutex<c_uint>,
    cache_config: Mutex<c_int>,
    limits: Mutex<BTreeMap<c_int, usize>>,
    fault: Mutex<Option<Fault>>,
}

/// The fault of a kernel of the context, after which nothing runs in it any more.
#[derive(Clone, Copy)]
struct Fault {
    error: CuResult,
    /// Whether a call has waited for the device since and returned the error: from then on every
    /// call returns it. Until then, calls that only order work do not know of it yet, as on a GPU.
    seen: bool,
}

impl Context {
    fn new(handle: Handle, device: c_int, flags: c_uint) -> Self {
        Self {
            handle,
            device,
            flags: Mutex::new(flags),
            cache_config: Mutex::default(),
            limits: Mutex::new(BTreeMap::from(DEFAULT_LIMITS)),
            fault: Mutex::default(),
        }
    }

    /// Ends all work in this context, because of a kernel.
    pub(super) fn fail(&self, error: CuResult) {
        lock(&self.fault).get_or_insert(Fault { error, seen: false });
    }

    pub(super) fn has_failed(&self) -> bool {
        lock(&self.fault).is_some()
    }

    /// Waits for the device, and finds out whether a kernel failed.
    ///
    /// # Errors
    /// The error of the kernel that failed, for this call and all later ones.
    pub(super) fn wait(&self) -> Outcome {
        match lock(&self.fault).as_mut() {
            Some(fault) => {
                fault.seen = true;
                Err(fault.error)
            }
            None => Ok(()),
        }
    }
}

/// The limits that a context starts with: stack size, printf buffer, heap, and the rest of
/// `CUlimit`.
const DEFAULT_LIMITS: [(c_int, usize); 7] =
    [(0, 1 << 10), (1, 1 << 20), (2, 8 << 20), (3, 2), (4, 2048), (5, 128), (6, 0)];

/// The primary context of a device and the number of times that it is retained.
#[derive(Default)]
pub(super) struct Primary {
    handle: Option<Handle>,
    retained: usize,
    flags: c_uint,
}

thread_local! {
    /// The stack of contexts of the thread; the last one is current.
    static CURRENT: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// Returns the context current to the calling thread, failed or not.
pub(super) fn current_even_if_failed() -> Outcome<Arc<Context>> {
    let driver = driver()?;
    let handle = CURRENT.with_borrow(|stack| stack.last().copied());
    let handle = handle.ok_or(CuResult::InvalidContext)?;
    driver.contexts.find(handle).ok_or(CuResult::ContextIsDestroyed)
}

/// Returns the driver and the current context.
///
/// # Errors
/// There is no context, or a kernel failed in it and a call has seen the error.
pub(super) fn current() -> Outcome<(&'static Driver, Arc<Context>)> {
    let context = current_even_if_failed()?;
    let fault = *lock(&context.fault);
    match fault {
        Some(Fault { error, seen: true }) => Err(error),
        _ => Ok((driver()?, context)),
    }
}

/// Returns the driver and the current context for calls that may wait for the device, which see the
/// error of a kernel that has run.
pub(super) fn current_waited_for() -> Outcome<(&'static Driver, Arc<Context>)> {
    let (driver, context) = current()?;
    context.wait()?;
    Ok((driver, context))
}

/// Returns the driver and the current context after all work in it is done.
pub(super) fn current_finished() -> Outcome<(&'static Driver, Arc<Context>)> {
    let (driver, context) = current()?;
    finish_all(driver, |stream| stream.context == context.handle);
    context.wait()?;
    Ok((driver, context))
}

/// Makes `handle` the thread's current context; 0 leaves the thread without one.
fn set_current(handle: Handle) {
    CURRENT.with_borrow_mut(|stack| {
        stack.pop();
        if handle != 0 {
            stack.push(handle);
        }
    });
}

/// Returns the driver, if it has this device. All its devices are of one kind and share one memory.
pub(super) fn check_device(device: c_int) -> Outcome<&'static Driver> {
    let driver = driver()?;
    let devices = 0..driver.configuration.device_count;
    if devices.contains(&device) { Ok(driver) } else { Err(CuResult::InvalidDevice) }
}

/// Returns the primary context of a device.
fn primary(driver: &Driver, device: c_int) -> MutexGuard<'_, Primary> {
    lock(&driver.primaries[device as usize])
}

/// Returns a number of 16 bytes that identifies the device.
fn uuid(device: c_int) -> Outcome<[u8; 16]> {
    check_device(device)?;
    let mut uuid = *b"cuda-sim device0";
    uuid[15] = b'a' + device as u8;
    Ok(uuid)
}

/// Ends a context: everything in it is destroyed, and memory that nobody freed is reported.
fn destroy(driver: &Driver, handle: Handle) -> Outcome {
    driver.contexts.get(handle)?;
    finish_all(driver, |stream| stream.context == handle);
    leaks::report(driver, Some(handle));
    driver.contexts.remove(handle)?;
    driver.functions.remove_if(|function| function.context == handle);
    for module in driver.modules.remove_if(|module| module.context == handle) {
        module.unload(driver);
    }
    driver.streams.remove_if(|stream| stream.context == handle);
    driver.events.remove_if(|event| event.context == handle);
    driver.executables.remove_if(|graph| graph.context == handle);
    driver.graphs.remove_if(|graph| graph.context == handle);
    driver.cublas.remove_if(|library| library.context == handle);
    driver.allocations.free_all_of(driver, handle);
    driver.host_memory.free_all_of(handle);
    driver.records.save(driver);
    Ok(())
}

fn create(context: *mut Handle, flags: c_uint, device: c_int) -> Outcome {
    let driver = check_device(device)?;
    let handle = fresh();
    driver.contexts.insert_as(handle, Context::new(handle, device, flags));
    CURRENT.with_borrow_mut(|stack| stack.push(handle));
    // SAFETY: the caller of the exported function vouches for `context`.
    unsafe { write(context, handle) }
}

exports! {
    fn cuInit(flags: c_uint) {
        if flags == 0 { initialize() } else { Err(CuResult::InvalidValue) }
    }
    fn cuDeviceGetCount(count: *mut c_int) {
        write(count, driver()?.configuration.device_count)
    }
    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) {
        check_device(ordinal)?;
        write(device, ordinal)
    }
    fn cuDeviceGetName(name: *mut c_char, length: c_int, device: c_int) {
        let full = check_device(device)?.device.name;
        let room = usize::try_from(length).unwrap_or(0).checked_sub(1);
        let room = room.filter(|_| !name.is_null()).ok_or(CuResult::InvalidValue)?;
        let shown = &full.as_bytes()[..room.min(full.len())];
        name.cast::<u8>().copy_from_nonoverlapping(shown.as_ptr(), shown.len());
        write(name.add(shown.len()), 0)
    }
    fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) {
        write(uuid, self::uuid(device)?)
    }
    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) {
        write(uuid, self::uuid(device)?)
    }
    fn cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int) {
        write(bytes, check_device(device)?.device.memory_bytes as usize)
    }
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) {
        let driver = check_device(device)?;
        write(value, attributes::of(&driver.device, attribute)?)
    }
    fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, device: c_int) {
        let capability = check_device(device)?.device.compute_capability;
        write(major, capability.0 as c_int)?;
        write(minor, capability.1 as c_int)
    }

    fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: c_int) {
        let driver = check_device(device)?;
        let mut primary = primary(driver, device);
        // The handle stays the same for the life of the process, as the driver's does.
        let handle = *primary.handle.get_or_insert_with(fresh);
        if primary.retained == 0 {
            driver.contexts.insert_as(handle, Context::new(handle, device, primary.flags));
        }
        primary.retained += 1;
        write(context, handle)
    }
    fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        let driver = check_device(device)?;
        let mut primary = primary(driver, device);
        let (Some(handle), true) = (primary.handle, primary.retained > 0) else {
            return Err(CuResult::InvalidContext);
        };
        primary.retained -= 1;
        if primary.retained == 0 { destroy(driver, handle) } else { Ok(()) }
    }
    fn cuDevicePrimaryCtxReset_v2(device: c_int) {
        let driver = check_device(device)?;
        let primary = primary(driver, device);
        let (Some(handle), true) = (primary.handle, primary.retained > 0) else { return Ok(()) };
        destroy(driver, handle)?;
        driver.contexts.insert_as(handle, Context::new(handle, device, primary.flags));
        Ok(())
    }
    fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint) {
        primary(check_device(device)?, device).flags = flags;
        Ok(())
    }
    fn cuDevicePrimaryCtxGetState(device: c_int, flags: *mut c_uint, active: *mut c_int) {
        let primary = primary(check_device(device)?, device);
        write(flags, primary.flags)?;
        write(active, (primary.retained > 0).into())
    }

    fn cuCtxCreate_v2(context: *mut Handle, flags: c_uint, device: c_int) {
        create(context, flags, device)
    }
    fn cuCtxCreate_v3(
        context: *mut Handle,
        affinities: *const c_void,
        affinity_count: c_int,
        flags: c_uint,
        device: c_int,
    ) {
        if affinity_count != 0 && !affinities.is_null() {
            return Err(CuResult::UnsupportedExecAffinity);
        }
        create(context, flags, device)
    }
    fn cuCtxCreate_v4(
        context: *mut Handle,
        parameters: *const c_void,
        flags: c_uint,
        device: c_int,
    ) {
        if !parameters.is_null() {
            super::say("cuCtxCreate_v4: creation parameters are not supported");
            return Err(CuResult::NotSupported);
        }
        create(context, flags, device)
    }
    fn cuCtxDestroy_v2(context: Handle) {
        let driver = driver()?;
        if driver.primaries.iter().any(|primary| lock(primary).handle == Some(context)) {
            return Err(CuResult::InvalidContext);
        }
        destroy(driver, context).map_err(|_| CuResult::InvalidContext)?;
        CURRENT.with_borrow_mut(|stack| stack.retain(|&entry| entry != context));
        Ok(())
    }
    fn cuCtxSetCurrent(context: Handle) {
        let driver = driver()?;
        if context != 0 && driver.contexts.find(context).is_none() {
            return Err(CuResult::InvalidContext);
        }
        set_current(context);
        Ok(())
    }
    fn cuCtxGetCurrent(context: *mut Handle) {
        driver()?;
        write(context, CURRENT.with_borrow(|stack| stack.last().copied().unwrap_or(0)))
    }
    fn cuCtxPushCurrent_v2(context: Handle) {
        driver()?.contexts.find(context).ok_or(CuResult::InvalidContext)?;
        CURRENT.with_borrow_mut(|stack| stack.push(context));
        Ok(())
    }
    fn cuCtxPopCurrent_v2(context: *mut Handle) {
        driver()?;
        let popped = CURRENT.with_borrow_mut(Vec::pop).ok_or(CuResult::InvalidContext)?;
        if context.is_null() { Ok(()) } else { write(context, popped) }
    }
    fn cuCtxGetDevice(device: *mut c_int) {
        write(device, current_even_if_failed()?.device)
    }
    fn cuCtxGetApiVersion(context: Handle, version: *mut c_uint) {
        let known = context == 0 || driver()?.contexts.find(context).is_some();
        if known { write(version, 3020) } else { Err(CuResult::InvalidContext) }
    }
    fn cuCtxGetId(context: Handle, id: *mut u64) {
        let context = match context {
            0 => current_even_if_failed()?,
            handle => driver()?.contexts.find(handle).ok_or(CuResult::InvalidContext)?,
        };
        write(id, context.handle as u64)
    }
    fn cuCtxGetFlags(flags: *mut c_uint) {
        let (_, context) = current()?;
        write(flags, *lock(&context.flags))
    }
    fn cuCtxSetFlags(flags: c_uint) {
        let (_, context) = current()?;
        *lock(&context.flags) = flags;
        Ok(())
    }
    fn cuCtxGetLimit(value: *mut usize, limit: c_int) {
        let (_, context) = current()?;
        let known = lock(&context.limits).get(&limit).copied();
        write(value, known.ok_or(CuResult::UnsupportedLimit)?)
    }
    fn cuCtxSetLimit(limit: c_int, value: usize) {
        let (_, context) = current()?;
        match lock(&context.limits).get_mut(&limit) {
            Some(known) => *known = value,
            None => return Err(CuResult::UnsupportedLimit),
        }
        Ok(())
    }
    fn cuCtxGetCacheConfig(config: *mut c_int) {
        let (_, context) = current()?;
        write(config, *lock(&context.cache_config))
    }
    fn cuCtxSetCacheConfig(config: c_int) {
        let (_, context) = current()?;
        if !(0..=3).contains(&config) {
            return Err(CuResult::InvalidValue);
        }
        *lock(&context.cache_config) = config;
        Ok(())
    }
    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        current()?;
        if !least.is_null() {
            write(least, super::streams::LEAST_PRIORITY)?;
        }
        if greatest.is_null() { Ok(()) } else { write(greatest, super::streams::GREATEST_PRIORITY) }
    }
    fn cuCtxSynchronize() {
        super::captures::refuse_if_unsafe(current()?.0)?;
        current_finished().map(drop)
    }
    fn cuProfilerStart() {
        current().map(drop)
    }
    fn cuProfilerStop() {
        current().map(drop)
    }
}
