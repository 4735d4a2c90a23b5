//! Loads the simulated driver into a process, and asks it what it recorded.
//!
//! ```no_run
//! let simulator = cuda_sim::simulator::Simulator::preload()?;
//! // From here on, everything that looks for a CUDA driver in this process finds the simulator.
//! # Ok::<(), String>(())
//! ```

use std::{
    collections::BTreeMap,
    env,
    ffi::c_void,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY, RTLD_NOW, Symbol};

use crate::{
    counters::LaunchCounters,
    driver::{
        CuResult,
        control::{VisitLaunch, VisitLine, VisitText},
    },
    exec::LaunchConfig,
    faults::Operation,
};

/// The name of the file that cargo builds.
const FILE: &str = "libcuda_sim.so";
/// The name under which programs look for a CUDA driver.
const SONAME: &str = "libcuda.so";
/// The name under which programs look for cuBLAS.
const CUBLAS: &str = "libcublas.so";
/// The path of an empty library with cuBLAS's name which needs the simulator, made by build.rs.
const CUBLAS_FILE: &str = env!("CUDA_SIM_CUBLAS");
/// The name of a symbol that only the simulator has.
const MARK: &[u8] = b"cudaSimLaunches\0";
/// The flag `RTLD_NOLOAD` of glibc, with which only a library that is loaded already is found.
const RTLD_NOLOAD: i32 = 4;

/// A launch, as the simulated driver recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchRecord {
    /// Name of the kernel.
    pub kernel: String,
    /// Shape of the launch.
    pub config: LaunchConfig,
    /// Counters of what the launch did.
    pub counters: LaunchCounters,
}

/// The simulated driver, loaded into this process.
#[derive(Clone, Copy)]
pub struct Simulator {
    library: &'static Library,
}

impl Simulator {
    /// Loads `libcuda_sim.so` by its absolute path and makes it the CUDA driver of this process,
    /// and its matrix products this process's cuBLAS.
    ///
    /// # Errors
    /// The library is not where cargo puts it, cannot be loaded, or this process has already loaded
    /// another CUDA driver.
    pub fn preload() -> Result<Self, String> {
        static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| {
            if let Some(loaded) = loaded_driver()
                && !is_simulator(&loaded)
            {
                return Err("this process has already loaded a real CUDA driver".to_owned());
            }
            let path = library_path()?;
            // SAFETY: the library's initializers do nothing.
            let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
            let library = library.map_err(|error| format!("{}: {error}", path.display()))?;
            match loaded_driver() {
                Some(loaded) if is_simulator(&loaded) => {}
                _ => return Err(format!("{} is not known as {SONAME}", path.display())),
            }
            // SAFETY: the library is empty. It stays loaded as long as the process.
            let cublas = unsafe { Library::open(Some(CUBLAS_FILE), RTLD_NOW | RTLD_GLOBAL) };
            std::mem::forget(cublas.map_err(|error| format!("{CUBLAS_FILE}: {error}"))?);
            Ok(library)
        });
        let library = library.as_ref().map_err(Clone::clone)?;
        Ok(Self { library })
    }

    /// Makes the `nth` operation of a kind from now on (1 is the next) fail with `error`.
    ///
    /// # Errors
    /// [`CuResult::InvalidValue`] if `nth` is 0 or `error` is none; otherwise the error of the
    /// initialization.
    pub fn inject(self, operation: Operation, nth: u64, error: CuResult) -> Result<(), CuResult> {
        type Inject = unsafe extern "C" fn(u32, u64, u32) -> u32;
        // SAFETY: the function's type is as the library exports it.
        outcome(unsafe {
            self.function::<Inject>(b"cudaSimInject\0")(operation as u32, nth, error as u32)
        })
    }

    /// Cancels the failures that were injected and are still to come.
    ///
    /// # Errors
    /// The error of the initialization.
    pub fn clear_faults(self) -> Result<(), CuResult> {
        // SAFETY: the function's type is as the library exports it.
        outcome(unsafe {
            self.function::<unsafe extern "C" fn() -> u32>(b"cudaSimClearFaults\0")()
        })
    }

    /// Chooses the `ptxas` that is asked for registers, which occupancy and the counters need;
    /// otherwise it is looked for beside the compiler of `NVCC`, on `PATH`, and in `CUDA_HOME` or
    /// `CUDA_PATH`. Only the first call has an effect.
    pub fn use_ptxas(self, path: &Path) {
        type Use = unsafe extern "C" fn(*const u8, usize) -> u32;
        let path = path.as_os_str().as_bytes();
        // SAFETY: the function's type is as the library exports it; it copies the path.
        unsafe { self.function::<Use>(b"cudaSimUsePtxas\0")(path.as_ptr(), path.len()) };
    }

    /// Returns every report of the driver, in order.
    ///
    /// # Errors
    /// The error of the initialization.
    pub fn reports(self) -> Result<Vec<String>, CuResult> {
        self.texts(b"cudaSimReports\0")
    }

    /// Returns the counters as JSON, as `CUDA_SIM_COUNTERS` has them written.
    ///
    /// # Errors
    /// The error of the initialization.
    pub fn counters_json(self) -> Result<String, CuResult> {
        self.texts(b"cudaSimCounters\0").map(|texts| texts.concat())
    }

    /// Returns every launch that ran to its end, in order.
    ///
    /// # Errors
    /// The error of the initialization.
    pub fn launches(self) -> Result<Vec<LaunchRecord>, CuResult> {
        unsafe extern "C" fn push(
            records: *mut c_void,
            name: *const u8,
            name_bytes: usize,
            shape: *const [u32; 7],
            counters: *const LaunchCounters,
            counters_bytes: usize,
        ) {
            assert_eq!(
                counters_bytes,
                size_of::<LaunchCounters>(),
                "{FILE} was built from another version"
            );
            // SAFETY: `records` is the vector below; the rest is valid during the call.
            unsafe {
                let name = std::slice::from_raw_parts(name, name_bytes);
                let [gx, gy, gz, bx, by, bz, dynamic_shared] = *shape;
                (*records.cast::<Vec<LaunchRecord>>()).push(LaunchRecord {
                    kernel: String::from_utf8_lossy(name).into_owned(),
                    config: LaunchConfig {
                        grid: [gx, gy, gz],
                        block: [bx, by, bz],
                        dynamic_shared,
                    },
                    counters: (*counters).clone(),
                });
            }
        }
        type Visit = unsafe extern "C" fn(VisitLaunch, *mut c_void) -> u32;
        let mut records: Vec<LaunchRecord> = Vec::new();
        // SAFETY: the function's type is as the library exports it; `push` gets the vector.
        outcome(unsafe { self.function::<Visit>(MARK)(push, (&raw mut records).cast()) })?;
        Ok(records)
    }

    /// Returns how often each line of a kernel's PTX was executed by that warp of a block which
    /// executes it most often, summed over all blocks and launches of kernels of this name. Lines
    /// are numbered from 1; those that never ran are left out.
    ///
    /// # Errors
    /// The error of the initialization.
    pub fn profile(self, kernel: &str) -> Result<BTreeMap<u32, u64>, CuResult> {
        unsafe extern "C" fn insert(lines: *mut c_void, line: u32, executions: u64) {
            // SAFETY: `lines` is the map below.
            unsafe { (*lines.cast::<BTreeMap<u32, u64>>()).insert(line, executions) };
        }
        type Profile = unsafe extern "C" fn(*const u8, usize, VisitLine, *mut c_void) -> u32;
        let mut lines: BTreeMap<u32, u64> = BTreeMap::new();
        // SAFETY: the function's type is as the library exports it; `insert` gets the map.
        outcome(unsafe {
            let profile = self.function::<Profile>(b"cudaSimProfile\0");
            profile(kernel.as_ptr(), kernel.len(), insert, (&raw mut lines).cast())
        })?;
        Ok(lines)
    }

    /// Forgets all launches, profiles and reports.
    ///
    /// # Errors
    /// The error of the initialization.
    pub fn clear_records(self) -> Result<(), CuResult> {
        // SAFETY: the function's type is as the library exports it.
        outcome(unsafe {
            self.function::<unsafe extern "C" fn() -> u32>(b"cudaSimClearRecords\0")()
        })
    }

    fn texts(self, visitor: &[u8]) -> Result<Vec<String>, CuResult> {
        unsafe extern "C" fn push(texts: *mut c_void, text: *const u8, bytes: usize) {
            // SAFETY: `texts` is the vector below; the text is valid during the call.
            unsafe {
                let text = String::from_utf8_lossy(std::slice::from_raw_parts(text, bytes));
                (*texts.cast::<Vec<String>>()).push(text.into_owned());
            }
        }
        type Visit = unsafe extern "C" fn(VisitText, *mut c_void) -> u32;
        let mut texts: Vec<String> = Vec::new();
        // SAFETY: the function's type is as the library exports it; `push` gets the vector.
        outcome(unsafe { self.function::<Visit>(visitor)(push, (&raw mut texts).cast()) })?;
        Ok(texts)
    }

    /// # Safety
    /// `F` is the type of the exported function.
    unsafe fn function<F>(self, name: &[u8]) -> Symbol<F> {
        // SAFETY: the caller's contract.
        let symbol = unsafe { self.library.get(name) };
        symbol.expect("the library is the simulator, so it has the simulator's functions")
    }
}

fn outcome(value: u32) -> Result<(), CuResult> {
    match CuResult::from_value(value) {
        Some(CuResult::Success) => Ok(()),
        Some(error) => Err(error),
        None => Err(CuResult::Unknown),
    }
}

/// Returns the CUDA driver that this process has loaded, whichever it is.
fn loaded_driver() -> Option<Library> {
    [SONAME, "libcuda.so.1"].into_iter().find_map(|name| {
        // SAFETY: nothing is loaded that is not loaded already.
        unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_NOLOAD) }.ok()
    })
}

fn is_simulator(library: &Library) -> bool {
    // SAFETY: the symbol is only looked for.
    unsafe { library.get::<unsafe extern "C" fn()>(MARK) }.is_ok()
}

/// Returns the absolute path of `libcuda_sim.so`: the file named by `CUDA_SIM_LIBRARY`, or where
/// cargo puts it, beside this program or one directory up.
///
/// # Errors
/// The file is in none of these places; the message lists them.
pub fn library_path() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("CUDA_SIM_LIBRARY") {
        let path = PathBuf::from(path);
        let absolute = path.canonicalize();
        return absolute.map_err(|error| format!("CUDA_SIM_LIBRARY: {}: {error}", path.display()));
    }
    let program = env::current_exe().map_err(|error| format!("path of this program: {error}"))?;
    let directory = program.parent().unwrap_or(Path::new("/"));
    let candidates = [
        directory.join(FILE),
        directory.join("deps").join(FILE),
        directory.join("..").join("deps").join(FILE),
        directory.join("..").join(FILE),
    ];
    candidates.iter().find_map(|path| path.canonicalize().ok()).ok_or_else(|| {
        let places: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
        format!("no {FILE} at {}; build it, or set CUDA_SIM_LIBRARY", places.join(", "))
    })
}

/// Makes `directory/libcuda.so` and `directory/libcublas.so` links to the simulator and returns
/// `directory`, for the `LD_LIBRARY_PATH` of a child process.
///
/// # Errors
/// Those of [`library_path`]; the directory or a link cannot be made.
pub fn link_into(directory: &Path) -> Result<&Path, String> {
    let library = library_path()?;
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(failed)?;
    for name in [SONAME, CUBLAS] {
        let link = directory.join(name);
        match fs::read_link(&link) {
            Ok(target) if target == library => continue,
            Ok(_) => fs::remove_file(&link).map_err(failed)?,
            Err(_) => {}
        }
        std::os::unix::fs::symlink(&library, &link).map_err(failed)?;
    }
    Ok(directory)
}
