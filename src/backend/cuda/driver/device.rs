//! A GPU with its context, its stream and its kernels.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cudarc::driver::sys::{
    self, CUdevice_attribute, CUevent_flags, CUfunction_attribute, CUresult,
};
use cudarc::driver::{CudaContext, CudaModule, CudaSlice, CudaStream, DeviceRepr, DriverError};
use cudarc::nvrtc::Ptx;

use super::caller::Current;
use super::cublas::Cublas;
use super::images::kernel_images;
use super::kernel::Kernel;
use super::pool::Pool;
use crate::error::{Error, Result};

/// A GPU that was opened. There is one object for each device of the machine, shared by everything
/// that uses it.
pub struct CudaDevice {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// The pool that arrays come from, where the driver has pools.
    pool: Option<Pool>,
    ordinal: usize,
    limits: Limits,
    /// Modules of one kernel each, by its name; they are loaded when a kernel is first used.
    modules: Mutex<BTreeMap<&'static str, Arc<CudaModule>>>,
    /// Handle of cuBLAS, which is opened when it is first needed, if it can be.
    cublas: OnceLock<Option<Cublas>>,
}

/// The limits of a device.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Compute capability, (major, minor).
    pub compute_capability: (i32, i32),
    /// Number of multiprocessors.
    pub multiprocessors: usize,
    /// Most bytes of shared memory that a block may ask for.
    pub shared_memory: usize,
    /// Bytes of shared memory of a multiprocessor.
    pub shared_memory_per_multiprocessor: usize,
    /// Bytes of device memory.
    pub memory: usize,
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{}", self.ordinal)
    }
}

/// Wraps an error of the driver with what the library was doing.
pub(crate) fn while_doing(doing: &str) -> impl Fn(DriverError) -> Error + '_ {
    move |DriverError(code)| {
        let name = format!("{code:?}");
        let name = name.trim_start_matches("CUDA_ERROR_").to_lowercase().replace('_', " ");
        let hint = match code {
            CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
                ": the kernels need a driver of CUDA 12.3 or later (545); update the driver, or build \
                 with an older CUDA toolkit"
            }
            CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => {
                ": the kernels need compute capability 8.0 or later"
            }
            CUresult::CUDA_ERROR_INVALID_PTX => ": the kernels were compiled by a broken toolkit",
            _ => "",
        };
        Error::Device {
            doing: doing.into(),
            message: format!("{name} (CUDA {}){hint}", code as u32),
        }
    }
}

/// Returns the number of CUDA devices of this machine, which is 0 where there is no driver.
///
/// # Errors
/// [`Error::Device`] if there is a driver and it fails.
pub fn count() -> Result<usize> {
    if !driver_is_present() {
        return Ok(0);
    }
    match CudaContext::device_count() {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        Err(error) => Err(while_doing("counting the CUDA devices")(error)),
    }
}

fn driver_is_present() -> bool {
    // SAFETY: the driver's initializers are as harmless as those of any library on this machine.
    unsafe { sys::is_culib_present() }
}

impl CudaDevice {
    /// Returns the device of this number, counted from 0, and opens it the first time.
    ///
    /// # Errors
    /// [`Error::Device`] says what is missing: the kernels, the driver, the device.
    pub(crate) fn get(ordinal: usize) -> Result<Arc<Self>> {
        static DEVICES: Mutex<BTreeMap<usize, Arc<CudaDevice>>> = Mutex::new(BTreeMap::new());
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = devices.get(&ordinal) {
            return Ok(device.clone());
        }
        let device = Arc::new(Self::open(ordinal)?);
        devices.insert(ordinal, device.clone());
        Ok(device)
    }

    fn open(ordinal: usize) -> Result<Self> {
        let doing = format!("opening CUDA device {ordinal}");
        let missing = |message: String| Error::Device { doing: doing.clone(), message };
        if kernel_images().is_empty() {
            return Err(missing(
                "this program was built without CUDA kernels, because no nvcc was found then; put \
                 nvcc on PATH or set NVCC or CUDA_HOME (in a checkout, `cargo xtask toolkit` \
                 installs it), and build again"
                    .into(),
            ));
        }
        if !driver_is_present() {
            return Err(missing(
                "no CUDA driver was found: is NVIDIA's installed, and libcuda.so where libraries \
                 are looked for?"
                    .into(),
            ));
        }
        match count()? {
            0 => return Err(missing("no CUDA device was found, but a driver".into())),
            found if ordinal >= found => {
                let message = match found {
                    1 => "this machine has device 0 only".to_owned(),
                    _ => format!("this machine has devices 0 to {}", found - 1),
                };
                return Err(missing(message));
            }
            _ => {}
        }
        let failed = while_doing(&doing);
        let _current = Current::saved();
        let context = CudaContext::new(ordinal).map_err(&failed)?;
        // SAFETY: everything on this context goes through the one stream below, in order, so there
        // is nothing for events to order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(&failed)?;
        let pool = Pool::new(&context).map_err(&failed)?;
        let limits = Limits::of(&context).map_err(&failed)?;
        Ok(CudaDevice {
            context,
            stream,
            pool,
            ordinal,
            limits,
            modules: Mutex::default(),
            cublas: OnceLock::new(),
        })
    }

    /// Returns the number of the device.
    pub fn ordinal(&self) -> usize {
        self.ordinal
    }

    /// Returns the name that the device gives itself.
    pub fn name(&self) -> Result<String> {
        self.context.name().map_err(while_doing("asking for the device's name"))
    }

    /// Returns the limits of the device.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the bytes of memory that could be allocated now.
    pub fn free_memory(&self) -> Result<usize> {
        let info = self.context.mem_get_info();
        Ok(info.map_err(while_doing("asking for the device's free memory"))?.0)
    }

    /// Returns the primary context of the device.
    pub(super) fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Returns the stream that all work goes through.
    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Waits until everything that was asked of the device so far is done.
    ///
    /// # Errors
    /// [`Error::Device`] if a kernel failed; the device cannot be used any more in this process.
    pub fn synchronize(&self) -> Result<()> {
        let failed = while_doing("waiting for the device");
        self.stream.synchronize().map_err(&failed)?;
        self.context.check_err().map_err(&failed)
    }

    /// Returns the time that the device takes for what `work` asks of it, by the device's own clock
    /// (CUDA events), which ticks about every half microsecond. The time between two launches counts
    /// too, so where the device is done before the program asks for more, the program is what is
    /// measured. Waits for the device.
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Device`] if the device fails.
    pub fn time(&self, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
        let failed = while_doing("timing the device");
        let now = || self.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let start = now().map_err(&failed)?;
        work()?;
        let milliseconds = start.elapsed_ms(&now().map_err(&failed)?).map_err(&failed)?;
        self.synchronize()?;
        Ok(Duration::from_secs_f64(f64::from(milliseconds.max(0.0)) / 1e3))
    }

    /// Returns cuBLAS on the device's stream, or `None` where this machine has none, or one that
    /// cannot be opened on this device. The latter is reported as a warning, once, and stays so.
    pub(crate) fn cublas(&self) -> Option<&Cublas> {
        let open = || {
            Cublas::open(self).unwrap_or_else(|error| {
                tracing::warn!(
                    "no cuBLAS on {self:?}: {error} (MECHANISTIC_CUBLAS=off does not try)"
                );
                None
            })
        };
        self.cublas.get_or_init(open).as_ref()
    }

    /// Allocates space for `len` values, which must be written before they are read.
    pub(super) fn allocate<T: DeviceRepr>(
        &self,
        len: usize,
    ) -> std::result::Result<CudaSlice<T>, DriverError> {
        match &self.pool {
            Some(pool) => pool.allocate(&self.stream, len),
            // SAFETY: a device representation has no invalid bit patterns, and kernels write before
            // they read.
            None => unsafe { self.stream.alloc(len) },
        }
    }

    /// Returns the memory that was freed, and that the library keeps for what it allocates next, to the
    /// system. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn trim(&self) -> Result<()> {
        let failed = while_doing("freeing memory");
        self.stream.synchronize().map_err(&failed)?;
        self.pool.as_ref().map_or(Ok(()), Pool::trim).map_err(&failed)
    }

    /// The kernel of this name, which takes `A`. A kernel is loaded once for a device, which may take
    /// the driver seconds if it has to translate it; look kernels up when planning, not when solving.
    pub(crate) fn kernel<A>(&self, name: &str) -> Result<Kernel<A>> {
        let doing = format!("loading the kernel {name}");
        let failed = |error| while_doing(&doing)(error);
        let module = self.module(name, &doing)?;
        // The context may have been made on another thread.
        self.context.bind_to_thread().map_err(failed)?;
        let function = module.load_function(name).map_err(failed)?;
        let attribute = |attribute| -> Result<usize> {
            Ok(function.get_attribute(attribute).map_err(failed)?.max(0) as usize)
        };
        use CUfunction_attribute as Attribute;
        let most_threads = attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?;
        let static_shared = attribute(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?;
        // More than the 48 KiB that every kernel may have must be asked for.
        let dynamic = self.limits.shared_memory.saturating_sub(static_shared);
        function
            .set_attribute(
                Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                i32::try_from(dynamic).unwrap_or(i32::MAX),
            )
            .map_err(failed)?;
        let arguments = PhantomData;
        Ok(Kernel { name: name.into(), most_threads, static_shared, function, arguments })
    }

    /// Checks that the kernels run on this device, by loading the smallest of them, which every
    /// solve needs.
    ///
    /// # Errors
    /// [`Error::Device`] if they do not run: the device or its driver is too old for them.
    pub fn check_kernels(&self) -> Result<()> {
        self.module("sum_partials", "loading the smallest kernel").map(drop)
    }

    fn module(&self, name: &str, doing: &str) -> Result<Arc<CudaModule>> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(name) {
            return Ok(module.clone());
        }
        let kernel = kernel_images().iter().find(|kernel| kernel.name == name);
        let kernel = kernel.ok_or_else(|| Error::Device {
            doing: doing.to_owned(),
            message: format!("the kernel {name} is not in this program"),
        })?;
        let image = Ptx::from_binary(kernel.for_device(self.limits.compute_capability)?);
        let module = self.context.load_module(image).map_err(while_doing(doing))?;
        modules.insert(kernel.name, module.clone());
        Ok(module)
    }
}

impl Limits {
    fn of(context: &Arc<CudaContext>) -> std::result::Result<Self, DriverError> {
        use CUdevice_attribute as Attribute;
        let attribute = |attribute| -> std::result::Result<usize, DriverError> {
            Ok(context.attribute(attribute)?.max(0) as usize)
        };
        Ok(Limits {
            compute_capability: context.compute_capability()?,
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_memory: attribute(
                Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )?,
            shared_memory_per_multiprocessor: attribute(
                Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
            )?,
            memory: context.total_mem()?,
        })
    }
}
