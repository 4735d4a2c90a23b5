//! Functions: the kernels of a module, with their attributes.

use std::{
    ffi::c_int,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    CuResult, Outcome, contexts::current, driver, exports, handles::Handle, registers::Resources,
    say, write,
};
use crate::{
    assembler::Usage,
    device::Device,
    ptx::{Kernel, LoadedModule},
};

/// The values of `CUfunction_attribute`.
const MAX_THREADS_PER_BLOCK: c_int = 0;
const SHARED_SIZE_BYTES: c_int = 1;
const CONST_SIZE_BYTES: c_int = 2;
const LOCAL_SIZE_BYTES: c_int = 3;
const NUM_REGS: c_int = 4;
const PTX_VERSION: c_int = 5;
const BINARY_VERSION: c_int = 6;
const CACHE_MODE_CA: c_int = 7;
const MAX_DYNAMIC_SHARED_SIZE_BYTES: c_int = 8;
const PREFERRED_SHARED_MEMORY_CARVEOUT: c_int = 9;
/// The attributes of clusters; there are no clusters.
const CLUSTERS: std::ops::RangeInclusive<c_int> = 10..=15;

/// A kernel of a loaded module.
pub(super) struct Function {
    pub(super) context: Handle,
    pub(super) module: Arc<LoadedModule>,
    index: usize,
    resources: Arc<Resources>,
    max_dynamic_shared: AtomicU32,
    carveout: AtomicU32,
}

impl Function {
    pub(super) fn new(
        context: Handle,
        module: Arc<LoadedModule>,
        index: usize,
        resources: Arc<Resources>,
    ) -> Self {
        Self {
            context,
            module,
            index,
            resources,
            max_dynamic_shared: AtomicU32::new(0),
            // The value -1 stands for no preference.
            carveout: AtomicU32::new(u32::MAX),
        }
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.module.kernels()[self.index]
    }

    /// Returns the most threads that a block may have: the device's limit or what the kernel was
    /// compiled for.
    pub(super) fn max_threads(&self, device: &Device) -> u32 {
        let kernel = self.kernel();
        let compiled_for = kernel.required_threads.or(kernel.max_threads);
        let compiled_for = compiled_for.map(|[x, y, z]| x.saturating_mul(y).saturating_mul(z));
        compiled_for.unwrap_or(u32::MAX).min(device.threads_per_block)
    }

    /// Returns the most dynamic shared memory that a launch may ask for: without opting in, what is
    /// left of the device's limit.
    pub(super) fn max_dynamic_shared(&self, device: &Device) -> u32 {
        let without = device.shared_per_block.saturating_sub(self.kernel().static_shared);
        self.max_dynamic_shared.load(Ordering::Relaxed).max(without)
    }

    /// Returns the registers of a thread, as `ptxas` allots them.
    ///
    /// # Errors
    /// [`CuResult::NotSupported`] where there is no `ptxas` to ask.
    pub(super) fn registers(&self) -> Outcome<u32> {
        self.resources.registers(&self.kernel().name)
    }

    /// Returns what `ptxas` says of the kernel, if it can be asked.
    pub(super) fn usage_if_known(&self) -> Option<Usage> {
        self.resources.usage_if_known(&self.kernel().name)
    }

    fn attribute(&self, device: &Device, attribute: c_int) -> Outcome<c_int> {
        let kernel = self.kernel();
        let capability = device.compute_capability;
        let value = match attribute {
            MAX_THREADS_PER_BLOCK => self.max_threads(device),
            SHARED_SIZE_BYTES => kernel.static_shared,
            // Constant memory that users allocate belongs to the module.
            CONST_SIZE_BYTES | CACHE_MODE_CA => 0,
            LOCAL_SIZE_BYTES => kernel.local_bytes,
            NUM_REGS => self.registers()?,
            PTX_VERSION | BINARY_VERSION => 10 * capability.0 + capability.1,
            MAX_DYNAMIC_SHARED_SIZE_BYTES => self.max_dynamic_shared(device),
            PREFERRED_SHARED_MEMORY_CARVEOUT => self.carveout.load(Ordering::Relaxed),
            known if CLUSTERS.contains(&known) => 0,
            _ => return Err(CuResult::InvalidValue),
        };
        Ok(value as c_int)
    }

    fn set_attribute(&self, device: &Device, attribute: c_int, value: c_int) -> Outcome {
        match (attribute, u32::try_from(value)) {
            (MAX_DYNAMIC_SHARED_SIZE_BYTES, Ok(bytes)) => {
                let room =
                    device.shared_per_block_optin.saturating_sub(self.kernel().static_shared);
                if bytes > room {
                    say(&format!(
                        "{}: {bytes} bytes of dynamic shared memory asked for, {room} possible",
                        self.kernel().name
                    ));
                    return Err(CuResult::InvalidValue);
                }
                self.max_dynamic_shared.store(bytes, Ordering::Relaxed);
            }
            (PREFERRED_SHARED_MEMORY_CARVEOUT, _) if (-1..=100).contains(&value) => {
                self.carveout.store(value as u32, Ordering::Relaxed);
            }
            (known, _) if CLUSTERS.contains(&known) => {
                say("cuFuncSetAttribute: clusters are not supported");
                return Err(CuResult::NotSupported);
            }
            _ => return Err(CuResult::InvalidValue),
        }
        Ok(())
    }
}

exports! {
    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: Handle) {
        let (driver, _) = current()?;
        let function = driver.functions.get(function)?;
        write(value, function.attribute(&driver.device, attribute)?)
    }
    fn cuFuncSetAttribute(function: Handle, attribute: c_int, value: c_int) {
        let (driver, _) = current()?;
        driver.functions.get(function)?.set_attribute(&driver.device, attribute, value)
    }
    fn cuFuncSetCacheConfig(function: Handle, config: c_int) {
        current()?.0.functions.get(function)?;
        if (0..=3).contains(&config) { Ok(()) } else { Err(CuResult::InvalidValue) }
    }
    fn cuFuncGetParamInfo(
        function: Handle,
        index: usize,
        offset: *mut usize,
        size: *mut usize,
    ) {
        let function = driver()?.functions.get(function)?;
        let parameter = function.kernel().params.get(index).ok_or(CuResult::InvalidValue)?;
        write(offset, parameter.offset)?;
        if size.is_null() { Ok(()) } else { write(size, parameter.size) }
    }
}
