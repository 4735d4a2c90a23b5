//! cuBLAS as a dynamic library: found by its name, its functions by theirs.
//!
//! cudarc would look for the major version that it is built for, and for older ones. What is called
//! here is the same in cuBLAS 11, 12 and 13.

use std::ffi::{c_int, c_longlong, c_void};
use std::fmt;
use std::sync::OnceLock;

use libloading::Library;

/// What is tried, in this order: the one that the machine is set to, then the version that most
/// drivers take.
const NAMES: &[&str] = if cfg!(windows) {
    &["cublas64_12.dll", "cublas64_13.dll", "cublas64_11.dll"]
} else {
    &["libcublas.so", "libcublas.so.12", "libcublas.so.13", "libcublas.so.11"]
};

/// `cublasHandle_t`.
pub type Handle = *mut c_void;

/// `cublasOperation_t`: the matrix as it is stored.
pub const AS_STORED: c_int = 0;
/// The transpose of what is stored.
pub const TRANSPOSED: c_int = 1;

/// `cublasStatus_t`: a number, as newer versions may have more of them.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(c_int);

impl Status {
    /// Memory of the host or the device ran out.
    pub const ALLOCATION_FAILED: Status = Status(3);

    /// `Err` unless this is a success.
    pub fn result(self) -> Result<(), Status> {
        if self.0 == 0 { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "not initialized",
            3 => "allocation failed",
            7 => "invalid value",
            8 => "arch mismatch",
            11 => "mapping error",
            13 => "execution failed",
            14 => "internal error",
            15 => "not supported",
            16 => "license error",
            _ => "unknown error",
        };
        write!(f, "{name} (cuBLAS {})", self.0)
    }
}

/// `cublasSgemm_v2`, `cublasDgemm_v2`: handle, operations, m, n, k, alpha, A, lda, B, ldb, beta, C,
/// ldc.
type Product<T> = unsafe extern "C" fn(
    Handle,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const T,
    *const T,
    c_int,
    *const T,
    c_int,
    *const T,
    *mut T,
    c_int,
) -> Status;

/// `cublasSgemmStridedBatched`, `cublasDgemmStridedBatched`: as above, with a stride after the
/// leading dimension of every matrix, and the number of products.
type BatchedProduct<T> = unsafe extern "C" fn(
    Handle,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const T,
    *const T,
    c_int,
    c_longlong,
    *const T,
    c_int,
    c_longlong,
    *const T,
    *mut T,
    c_int,
    c_longlong,
    c_int,
) -> Status;

/// All that is called of it.
pub struct Functions {
    /// `cublasCreate_v2`.
    pub create: unsafe extern "C" fn(*mut Handle) -> Status,
    /// `cublasDestroy_v2`.
    pub destroy: unsafe extern "C" fn(Handle) -> Status,
    /// `cublasSetStream_v2`.
    pub set_stream: unsafe extern "C" fn(Handle, *mut c_void) -> Status,
    /// `cublasSgemm_v2`.
    pub product_f32: Product<f32>,
    /// `cublasDgemm_v2`.
    pub product_f64: Product<f64>,
    /// `cublasSgemmStridedBatched`.
    pub batched_f32: BatchedProduct<f32>,
    /// `cublasDgemmStridedBatched`.
    pub batched_f64: BatchedProduct<f64>,
}

impl Functions {
    /// Those of this machine's cuBLAS; `None` where it has none. Looked for once in a process.
    pub fn of_this_machine() -> Option<&'static Self> {
        static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
        FUNCTIONS.get_or_init(|| NAMES.iter().find_map(|name| Functions::load(name))).as_ref()
    }

    /// Those of the library of this name. An old one that lacks a function counts as absent.
    fn load(name: &str) -> Option<Self> {
        // SAFETY: the library's initializers are as harmless as those of any library on this
        // machine. The types of the functions are those of its documentation.
        unsafe {
            let library = Library::new(name).ok()?;
            let functions = Functions {
                create: *library.get("cublasCreate_v2").ok()?,
                destroy: *library.get("cublasDestroy_v2").ok()?,
                set_stream: *library.get("cublasSetStream_v2").ok()?,
                product_f32: *library.get("cublasSgemm_v2").ok()?,
                product_f64: *library.get("cublasDgemm_v2").ok()?,
                batched_f32: *library.get("cublasSgemmStridedBatched").ok()?,
                batched_f64: *library.get("cublasDgemmStridedBatched").ok()?,
            };
            // The functions are called as long as the process lives.
            std::mem::forget(library);
            Some(functions)
        }
    }
}
