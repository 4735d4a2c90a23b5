//! Modules: PTX text that is made ready to run.

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    sync::{Arc, Mutex},
};

use super::{
    CuResult, Driver, Outcome, captures,
    contexts::{Context, current, current_finished, current_waited_for},
    driver, exports,
    functions::Function,
    handles::Handle,
    lock,
    registers::Resources,
    say,
    targets::Target,
    write,
};
use crate::{
    faults::Operation,
    ptx::{self, LoadedModule},
};

/// The first bytes of images that are not PTX: ELF (cubin) and fatbinary, compressed or not.
const ELF: &[u8] = b"\x7fELF";
const FATBINARY: &[u8] = &[0x50, 0xed, 0x55, 0xba];
const FATBINARY_WRAPPER: &[u8] = &[0xb1, 0x43, 0x62, 0x46];

/// The values of `CUjit_option` that are more than tuning: buffers for the compiler's messages.
const JIT_INFO_LOG_BUFFER_SIZE: c_int = 4;
const JIT_ERROR_LOG_BUFFER: c_int = 5;
const JIT_ERROR_LOG_BUFFER_SIZE: c_int = 6;

/// A module in a context.
pub(super) struct Module {
    pub(super) context: Handle,
    pub(super) loaded: Arc<LoadedModule>,
    /// Resources of its kernels, as `ptxas` reports them.
    pub(super) resources: Arc<Resources>,
    /// Handles that were given out, so that a function has only one.
    functions: Mutex<BTreeMap<String, Handle>>,
}

impl Module {
    /// Frees the module's variables.
    pub(super) fn unload(&self, driver: &Driver) {
        for (_, function) in std::mem::take(&mut *lock(&self.functions)) {
            // The function is already gone if the whole context is.
            let _ = driver.functions.remove(function);
        }
        if let Err(error) = self.loaded.unload(&driver.memory) {
            driver.records.report(format!("unloading a module: {error}"));
        }
    }

    /// Returns the handle of a kernel, which is the same one every time, so that its attributes
    /// stay.
    fn function(&self, driver: &Driver, name: &str) -> Outcome<Handle> {
        let mut functions = lock(&self.functions);
        if let Some(&handle) = functions.get(name) {
            return Ok(handle);
        }
        let mut kernels = self.loaded.kernels().iter();
        let index = kernels.position(|kernel| kernel.name == name).ok_or(CuResult::NotFound)?;
        let function =
            Function::new(self.context, self.loaded.clone(), index, self.resources.clone());
        let handle = driver.functions.insert(function);
        functions.insert(name.to_owned(), handle);
        Ok(handle)
    }
}

/// Loads PTX text.
///
/// # Errors
/// The message says what is wrong, for the caller's log, if the text is at fault.
fn load(driver: &Driver, context: &Context, image: &[u8]) -> Result<Handle, (CuResult, String)> {
    driver.faults.check(Operation::ModuleLoad).map_err(|error| (error, String::new()))?;
    let binary = [ELF, FATBINARY, FATBINARY_WRAPPER].iter().any(|magic| image.starts_with(magic));
    if binary {
        let message = "the image is machine code; the simulator runs PTX text".to_owned();
        return Err((CuResult::NoBinaryForGpu, message));
    }
    let text = std::str::from_utf8(image)
        .map_err(|_| (CuResult::InvalidImage, "the image is neither PTX nor text".to_owned()))?;
    if let Some(target) = Target::of(text)
        && !target.runs_on(&driver.device)
    {
        let message =
            format!("compiled for {}, which the {} does not run", target.name, driver.device.name);
        return Err((CuResult::InvalidPtx, message));
    }
    let module =
        ptx::Module::parse(text).map_err(|error| (CuResult::InvalidPtx, error.to_string()))?;
    let loaded = module
        .load(&driver.memory)
        .map_err(|error| (CuResult::OutOfMemory, format!("the module's variables: {error}")))?;
    Ok(driver.modules.insert(Module {
        context: context.handle,
        loaded: Arc::new(loaded),
        resources: Arc::new(Resources::new(text.to_owned(), &driver.device)),
        functions: Mutex::default(),
    }))
}

/// Loads a module, reports what is wrong, and passes the message on to the caller's log.
fn load_and_report(module: *mut Handle, image: &[u8], mut log: Log) -> Outcome {
    let (driver, context) = current_waited_for()?;
    captures::refuse_if_unsafe(driver)?;
    let loaded = load(driver, &context, image).map_err(|(error, message)| {
        if !message.is_empty() {
            driver.records.report(format!("module load: {message}"));
        }
        log.put(&message);
        error
    })?;
    // SAFETY: the caller of the exported function vouches for `module`.
    unsafe { write(module, loaded) }
}

/// Returns the text of an image up to its NUL, or only its first bytes for machine code, which has
/// a length of its own.
///
/// # Safety
/// As `cuModuleLoadData`: NUL-terminated text, or machine code.
unsafe fn image_bytes<'a>(image: *const c_void) -> Outcome<&'a [u8]> {
    if image.is_null() {
        return Err(CuResult::InvalidValue);
    }
    // Machine code has NULs before its end; the bytes before the first one are enough to recognize
    // it.
    Ok(unsafe { CStr::from_ptr(image.cast()) }.to_bytes())
}

/// Returns the text of a C string.
///
/// # Safety
/// `name` is null or a NUL-terminated string.
unsafe fn string<'a>(name: *const c_char) -> Outcome<&'a str> {
    if name.is_null() {
        return Err(CuResult::InvalidValue);
    }
    // SAFETY: not null, and NUL-terminated by contract.
    unsafe { CStr::from_ptr(name) }.to_str().map_err(|_| CuResult::InvalidValue)
}

/// The caller's buffer for error messages, if it gave one.
struct Log {
    buffer: *mut u8,
    bytes: usize,
    /// Place for the number of bytes used, which is the option's value itself.
    used: *mut usize,
}

impl Log {
    const NONE: Self = Self { buffer: std::ptr::null_mut(), bytes: 0, used: std::ptr::null_mut() };

    /// Finds the error log among the options; sets the length of the information log to 0.
    ///
    /// # Safety
    /// `count` options and as many values, as `cuModuleLoadDataEx` takes them.
    unsafe fn from_options(count: c_uint, options: *const c_int, values: *mut *mut c_void) -> Self {
        let mut log = Self::NONE;
        if options.is_null() || values.is_null() {
            return log;
        }
        for i in 0..count as usize {
            // SAFETY: the caller's contract; a value that is a number is stored in the pointer.
            unsafe {
                let value = values.add(i);
                match *options.add(i) {
                    JIT_INFO_LOG_BUFFER_SIZE => *value = std::ptr::null_mut(),
                    JIT_ERROR_LOG_BUFFER => log.buffer = (*value).cast(),
                    JIT_ERROR_LOG_BUFFER_SIZE => {
                        log.bytes = *value as usize;
                        log.used = value.cast();
                        *log.used = 0;
                    }
                    _ => {}
                }
            }
        }
        log
    }

    fn put(&mut self, message: &str) {
        if self.buffer.is_null() || self.bytes == 0 {
            return;
        }
        let shown = &message.as_bytes()[..message.len().min(self.bytes - 1)];
        // SAFETY: the buffer has `bytes` bytes, one more than is shown at least.
        unsafe {
            self.buffer.copy_from_nonoverlapping(shown.as_ptr(), shown.len());
            *self.buffer.add(shown.len()) = 0;
            *self.used = shown.len() + 1;
        }
    }
}

exports! {
    fn cuModuleLoad(module: *mut Handle, path: *const c_char) {
        let path = string(path)?;
        let image = std::fs::read(path).map_err(|error| {
            say(&format!("cuModuleLoad: {path}: {error}"));
            CuResult::FileNotFound
        })?;
        load_and_report(module, &image, Log::NONE)
    }
    fn cuModuleLoadData(module: *mut Handle, image: *const c_void) {
        load_and_report(module, image_bytes(image)?, Log::NONE)
    }
    fn cuModuleLoadDataEx(
        module: *mut Handle,
        image: *const c_void,
        count: c_uint,
        options: *const c_int,
        values: *mut *mut c_void,
    ) {
        let log = Log::from_options(count, options, values);
        load_and_report(module, image_bytes(image)?, log)
    }
    fn cuModuleLoadFatBinary(module: *mut Handle, image: *const c_void) {
        load_and_report(module, image_bytes(image)?, Log::NONE)
    }
    fn cuModuleUnload(module: Handle) {
        let (driver, context) = current_finished()?;
        let found = driver.modules.get(module)?;
        if found.context != context.handle {
            return Err(CuResult::InvalidHandle);
        }
        driver.modules.remove(module)?.unload(driver);
        Ok(())
    }
    fn cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const c_char) {
        let (driver, _) = current()?;
        let module = driver.modules.get(module)?;
        write(function, module.function(driver, string(name)?)?)
    }
    fn cuModuleGetFunctionCount(count: *mut c_uint, module: Handle) {
        let module = driver()?.modules.get(module)?;
        write(count, module.loaded.kernels().len() as c_uint)
    }
    fn cuModuleEnumerateFunctions(functions: *mut Handle, room: c_uint, module: Handle) {
        let driver = driver()?;
        let module = driver.modules.get(module)?;
        for (i, kernel) in module.loaded.kernels().iter().take(room as usize).enumerate() {
            write(functions.add(i), module.function(driver, &kernel.name)?)?;
        }
        Ok(())
    }
    fn cuModuleGetGlobal_v2(
        address: *mut u64,
        bytes: *mut usize,
        module: Handle,
        name: *const c_char,
    ) {
        let (driver, _) = current()?;
        let module = driver.modules.get(module)?;
        let (start, size) = module.loaded.global(string(name)?).ok_or(CuResult::NotFound)?;
        if !address.is_null() {
            write(address, start)?;
        }
        if bytes.is_null() { Ok(()) } else { write(bytes, size as usize) }
    }
    fn cuModuleGetLoadingMode(mode: *mut c_int) {
        driver()?;
        // The value is CU_MODULE_EAGER_LOADING.
        write(mode, 1)
    }
}
