//! The few functions of cuBLAS that the library calls, on the simulated device's memory: matrix
//! products in f32 and f64, single and strided batched, as the [documentation] defines them.
//!
//! `libcuda_sim.so` exports them beside the driver API. A program finds them where the name
//! `libcublas.so` leads to them: [`preload`](crate::simulator::Simulator::preload) and
//! [`link_into`](crate::simulator::link_into) arrange that, so that NVIDIA's own cuBLAS, which
//! needs a real driver, never meets the simulated one. Scalars lie on the host (the default pointer
//! mode).
//!
//! [documentation]: https://docs.nvidia.com/cuda/cublas/#cublas-t-gemm

use std::{
    ffi::{c_int, c_longlong},
    ops::{Add, Mul},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use super::{
    CuResult, Driver,
    contexts::{Context, current},
    handles::Handle,
    lock,
    queues::submit,
    say,
    streams::{Target, target},
    work::Work,
};
use crate::faults::Operation;

/// The results `cublasStatus_t` of cuBLAS functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Status {
    NotInitialized = 1,
    AllocationFailed = 3,
    InvalidValue = 7,
    ExecutionFailed = 13,
    InternalError = 14,
    NotSupported = 15,
}

/// The library handle that `cublasCreate` makes, which is bound to a context.
pub(super) struct Library {
    pub(super) context: Handle,
    stream: Mutex<Handle>,
}

/// The values of `cublasOperation_t`: as stored, or transposed; conjugation changes nothing for
/// real numbers.
const AS_STORED: c_int = 0;
const OPERATIONS: std::ops::RangeInclusive<c_int> = 0..=2;

/// A matrix of each element of the batch, stored column by column.
struct Matrix {
    address: u64,
    /// Number of rows of the matrix as it is stored.
    rows: usize,
    columns: usize,
    /// Distance from one column to the next, in elements.
    leading: usize,
    /// Distance from one element of the batch to the next, in elements.
    stride: i64,
}

/// The product C = α·op(A)·op(B) + β·C for every element of the batch.
struct Product<T> {
    a: Matrix,
    b: Matrix,
    c: Matrix,
    transposed: [bool; 2],
    depth: usize,
    alpha: T,
    beta: T,
    batch: i64,
}

/// A fault of a kernel: the error that a later call returns when it waits, and the report.
struct Fault(CuResult, String);

/// A product of matrices of any type, as work of a stream.
pub(super) trait Multiply: Send + Sync {
    /// Computes the product; as for every kernel, its error is returned by a later call that waits.
    fn run(&self, driver: &Driver, context: &Context);
}

impl<T: Element> Multiply for Product<T> {
    fn run(&self, driver: &Driver, context: &Context) {
        if let Err(Fault(error, message)) = self.compute(driver) {
            driver.records.report(format!("cuBLAS product: {message}"));
            context.fail(error);
        }
    }
}

/// A type of elements; its bytes are those of the device.
trait Element:
    Copy + Default + PartialEq + Send + Sync + 'static + Add<Output = Self> + Mul<Output = Self>
{
}
impl Element for f32 {}
impl Element for f64 {}

impl Matrix {
    /// Reads the columns of one element of the batch, one after another.
    fn read<T: Element>(&self, driver: &Driver, batch: i64) -> Result<Vec<T>, Fault> {
        let mut values = vec![T::default(); self.rows * self.columns];
        for (column, values) in values.chunks_exact_mut(self.rows.max(1)).enumerate() {
            let address = self.address_of::<T>(batch, column);
            let bytes = size_of_val(values);
            // SAFETY: the range is that of the values' own bytes; every bit pattern is a number.
            let into =
                unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), bytes) };
            let read = driver.memory.read(address, into);
            read.map_err(|error| Fault(CuResult::IllegalAddress, error.to_string()))?;
            if !driver.memory.is_initialized(address, bytes as u64) {
                let message = format!("{bytes} bytes at {address:#x} were not all written before");
                return Err(Fault(CuResult::LaunchFailed, message));
            }
        }
        Ok(values)
    }

    fn write<T: Element>(&self, driver: &Driver, batch: i64, values: &[T]) -> Result<(), Fault> {
        for (column, values) in values.chunks_exact(self.rows.max(1)).enumerate() {
            // SAFETY: the range is that of the values' own bytes, none of which is padding.
            let from = unsafe {
                std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
            };
            let written = driver.memory.write(self.address_of::<T>(batch, column), from);
            written.map_err(|error| Fault(CuResult::IllegalAddress, error.to_string()))?;
        }
        Ok(())
    }

    fn address_of<T>(&self, batch: i64, column: usize) -> u64 {
        let elements = batch * self.stride + (column * self.leading) as i64;
        self.address.wrapping_add_signed(elements * size_of::<T>() as i64)
    }
}

impl<T: Element> Product<T> {
    fn compute(&self, driver: &Driver) -> Result<(), Fault> {
        let (m, n) = (self.c.rows, self.c.columns);
        let own = (n.max(1) - 1) * self.c.leading + m;
        if self.batch > 1 && self.c.stride.unsigned_abs() < own as u64 {
            let message = format!("matrices of {own} elements lie {} apart", self.c.stride);
            return Err(Fault(CuResult::LaunchFailed, format!("race in C: {message}")));
        }
        for batch in 0..self.batch {
            let [a, b] = [&self.a, &self.b].map(|operand| operand.read::<T>(driver, batch));
            let (a, b) = (a?, b?);
            // C may hold anything where it is not added to.
            let mut c = match self.beta == T::default() {
                true => vec![T::default(); m * n],
                false => self.c.read(driver, batch)?,
            };
            for column in 0..n {
                for row in 0..m {
                    let sum = (0..self.depth).fold(T::default(), |sum, i| {
                        let a = match self.transposed[0] {
                            false => a[i * m + row],
                            true => a[row * self.depth + i],
                        };
                        let b = match self.transposed[1] {
                            false => b[column * self.depth + i],
                            true => b[i * n + column],
                        };
                        sum + a * b
                    });
                    let c = &mut c[column * m + row];
                    *c = self.alpha * sum + self.beta * *c;
                }
            }
            self.c.write(driver, batch, &c)?;
        }
        Ok(())
    }
}

/// Returns the library handle's object, the driver and the context, which must be the one that the
/// handle was made in.
fn library(
    handle: Handle,
) -> Result<(&'static Driver, std::sync::Arc<Context>, std::sync::Arc<Library>), Status> {
    let (driver, context) = current().map_err(|_| Status::ExecutionFailed)?;
    let library = driver.cublas.find(handle).ok_or(Status::NotInitialized)?;
    if library.context != context.handle {
        driver.records.report("cuBLAS: the current context is not the handle's".to_owned());
        return Err(Status::ExecutionFailed);
    }
    Ok((driver, context, library))
}

fn create(handle: *mut Handle) -> Result<(), Status> {
    let (driver, context) = current().map_err(|_| Status::NotInitialized)?;
    if handle.is_null() {
        return Err(Status::InvalidValue);
    }
    // Making a handle allocates a workspace on the device.
    driver.faults.check(Operation::Allocation).map_err(|_| Status::AllocationFailed)?;
    let library = Library { context: context.handle, stream: Mutex::new(0) };
    // SAFETY: the pointer is not null, and the caller vouches for it.
    unsafe { handle.write(driver.cublas.insert(library)) };
    Ok(())
}

fn set_stream(handle: Handle, stream: Handle) -> Result<(), Status> {
    let (driver, context, library) = library(handle)?;
    target(driver, &context, stream).map_err(|_| Status::InvalidValue)?;
    *lock(&library.stream) = stream;
    Ok(())
}

/// The sizes and matrices of a product as they cross the API.
struct Arguments<T> {
    operations: [c_int; 2],
    /// Sizes m, n, k.
    sizes: [c_int; 3],
    alpha: *const T,
    beta: *const T,
    /// Addresses of A, B and C.
    addresses: [u64; 3],
    leading: [c_int; 3],
    strides: [c_longlong; 3],
    batch: c_int,
}

/// Carries out a product.
///
/// # Safety
/// `alpha` and `beta` are null or valid.
unsafe fn multiply<T: Element>(handle: Handle, arguments: &Arguments<T>) -> Result<(), Status> {
    let Arguments { operations, sizes, addresses, leading, strides, batch, .. } = arguments;
    let (driver, context, library) = library(handle)?;
    let invalid = |message: String| {
        driver.records.report(format!("cuBLAS refuses: {message}"));
        Status::InvalidValue
    };
    if let Some(other) = operations.iter().find(|operation| !OPERATIONS.contains(operation)) {
        return Err(invalid(format!("there is no operation {other}")));
    }
    if *batch < 0 || sizes.iter().any(|size| *size < 0) {
        return Err(invalid(format!("m, n, k are {sizes:?}, the batch is {batch}")));
    }
    let [m, n, k] = sizes.map(|size| size as usize);
    let transposed = operations.map(|operation| operation != AS_STORED);
    let stored = [
        if transposed[0] { (k, m) } else { (m, k) },
        if transposed[1] { (n, k) } else { (k, n) },
        (m, n),
    ];
    for ((name, (rows, _)), leading) in ["A", "B", "C"].iter().zip(stored).zip(leading) {
        if (*leading as i64) < rows.max(1) as i64 {
            return Err(invalid(format!("{name} has {rows} rows and leading dimension {leading}")));
        }
    }
    // SAFETY: the caller's contract.
    let (Some(alpha), Some(beta)) =
        (unsafe { (arguments.alpha.as_ref(), arguments.beta.as_ref()) })
    else {
        return Err(invalid("alpha or beta is null".to_owned()));
    };
    let [a, b, c] = [0, 1, 2].map(|index| Matrix {
        address: addresses[index],
        rows: stored[index].0,
        columns: stored[index].1,
        leading: leading[index] as usize,
        stride: strides[index],
    });
    let (alpha, beta, batch) = (*alpha, *beta, i64::from(*batch));
    let product = Product { a, b, c, transposed, depth: k, alpha, beta, batch };
    let stream = *lock(&library.stream);
    match target(driver, &context, stream) {
        Ok(Target::Now | Target::Stream(_)) => {}
        Ok(Target::Capture(_)) => {
            say("cuBLAS: stream capture is not supported");
            return Err(Status::NotSupported);
        }
        Err(_) => return Err(Status::ExecutionFailed),
    }
    submit(stream, Work::Product(Arc::new(product))).map_err(|_| Status::ExecutionFailed)
}

/// Runs one exported function; panics do not cross into C.
fn call(body: impl FnOnce() -> Result<(), Status>) -> u32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(status)) => status as u32,
        Err(_) => {
            say("cuBLAS panicked: this is a bug of the simulator");
            Status::InternalError as u32
        }
    }
}

/// Makes a handle of the library, as `cublasCreate` does.
///
/// # Safety
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasCreate_v2(handle: *mut Handle) -> u32 {
    call(|| create(handle))
}

/// Destroys a handle of the library, as `cublasDestroy` does.
#[unsafe(no_mangle)]
pub extern "C" fn cublasDestroy_v2(handle: Handle) -> u32 {
    call(|| {
        let (driver, ..) = library(handle)?;
        driver.cublas.remove(handle).map(drop).map_err(|_| Status::NotInitialized)
    })
}

/// Sets the stream that products are ordered into, as `cublasSetStream` does.
#[unsafe(no_mangle)]
pub extern "C" fn cublasSetStream_v2(handle: Handle, stream: Handle) -> u32 {
    call(|| set_stream(handle, stream))
}

/// Defines the products of one type of numbers.
macro_rules! products {
    ($($single:ident, $batched:ident: $type:ty;)*) => {$(
        #[doc = concat!("`", stringify!($single), "` of cuBLAS.")]
        ///
        /// # Safety
        /// As NVIDIA documents it; scalars lie on the host.
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments)]
        pub unsafe extern "C" fn $single(
            handle: Handle,
            operation_a: c_int,
            operation_b: c_int,
            m: c_int,
            n: c_int,
            k: c_int,
            alpha: *const $type,
            a: u64,
            leading_a: c_int,
            b: u64,
            leading_b: c_int,
            beta: *const $type,
            c: u64,
            leading_c: c_int,
        ) -> u32 {
            // A batch of one. SAFETY: the caller's contract.
            unsafe {
                $batched(
                    handle, operation_a, operation_b, m, n, k, alpha, a, leading_a, 0, b,
                    leading_b, 0, beta, c, leading_c, 0, 1,
                )
            }
        }

        #[doc = concat!("`", stringify!($batched), "` of cuBLAS.")]
        ///
        /// # Safety
        /// As NVIDIA documents it; scalars lie on the host.
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments, non_snake_case)]
        pub unsafe extern "C" fn $batched(
            handle: Handle,
            operation_a: c_int,
            operation_b: c_int,
            m: c_int,
            n: c_int,
            k: c_int,
            alpha: *const $type,
            a: u64,
            leading_a: c_int,
            stride_a: c_longlong,
            b: u64,
            leading_b: c_int,
            stride_b: c_longlong,
            beta: *const $type,
            c: u64,
            leading_c: c_int,
            stride_c: c_longlong,
            batch: c_int,
        ) -> u32 {
            let arguments = Arguments {
                operations: [operation_a, operation_b],
                sizes: [m, n, k],
                alpha,
                beta,
                addresses: [a, b, c],
                leading: [leading_a, leading_b, leading_c],
                strides: [stride_a, stride_b, stride_c],
                batch,
            };
            // SAFETY: the caller's contract.
            call(|| unsafe { multiply(handle, &arguments) })
        }
    )*};
}

products! {
    cublasSgemm_v2, cublasSgemmStridedBatched: f32;
    cublasDgemm_v2, cublasDgemmStridedBatched: f64;
}
