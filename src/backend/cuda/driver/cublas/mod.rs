//! Matrix products by NVIDIA's cuBLAS, where this machine has it.

mod library;

use cudarc::driver::{CudaView, CudaViewMut, DevicePtr, DevicePtrMut};

use super::device::{CudaDevice, while_doing};
use crate::Real;
use crate::error::{Error, Result};
use library::{AS_STORED, Functions, Handle, Status, TRANSPOSED};

/// The cuBLAS library with a handle on the stream of one device, in the default math mode: f32 is
/// multiplied and added up in f32, without TF32.
pub struct Cublas {
    functions: &'static Functions,
    handle: Handle,
}

// SAFETY: "The library is thread safe and its functions can be called from multiple host threads,
// even with the same handle" (cuBLAS documentation, 2.1.3); the handle's settings never change.
unsafe impl Send for Cublas {}
// SAFETY: as above.
unsafe impl Sync for Cublas {}

/// The batched product C (m, n) = or += op(A) (m, k) · op(B) (k, n). Matrices are stored column by
/// column, as cuBLAS has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemm {
    /// Sizes m, n, k.
    pub sizes: [i32; 3],
    /// Whether A and B are stored transposed.
    pub transposed: [bool; 2],
    /// Numbers of elements from one column of A, B, C to the next.
    pub leading: [i32; 3],
    /// Numbers of elements from one A, B, C to the next.
    pub strides: [i64; 3],
    /// Number of products.
    pub batch: i32,
    /// Whether the product is added to C.
    pub add: bool,
}

impl Gemm {
    /// Returns the index after the furthest element of A, B, C.
    fn reach(&self) -> [usize; 3] {
        let [m, n, k] = self.sizes;
        let stored = |transposed, (rows, columns)| {
            if transposed { (columns, rows) } else { (rows, columns) }
        };
        let stored =
            [stored(self.transposed[0], (m, k)), stored(self.transposed[1], (k, n)), (m, n)];
        [0, 1, 2].map(|index| {
            let (rows, columns) = stored[index];
            let last = i64::from(columns - 1) * i64::from(self.leading[index]);
            let batch = i64::from(self.batch - 1) * self.strides[index];
            (batch + last + i64::from(rows)) as usize
        })
    }
}

impl Cublas {
    /// Opens cuBLAS for the device; returns `None` where this machine has none.
    ///
    /// # Errors
    /// [`Error::Device`] if there is a cuBLAS and it cannot be used with this device.
    pub fn open(device: &CudaDevice) -> Result<Option<Self>> {
        let Some(functions) = Functions::of_this_machine() else { return Ok(None) };
        bind(device)?;
        let create = || {
            let mut handle = std::ptr::null_mut();
            // SAFETY: the handle is written where it is successful.
            unsafe { (functions.create)(&mut handle) }.result().map(|()| handle)
        };
        let mut handle = create();
        if handle == Err(Status::ALLOCATION_FAILED) {
            // It allocates a workspace, beside the pool that keeps freed memory.
            device.trim()?;
            handle = create();
        }
        let handle = handle.map_err(|error| failed("opening cuBLAS", error))?;
        let cublas = Cublas { functions, handle };
        // SAFETY: both are alive, and the device keeps its stream as long as this handle.
        unsafe { (functions.set_stream)(handle, device.stream().cu_stream().cast()) }
            .result()
            .map_err(|error| failed("giving cuBLAS the device's stream", error))?;
        Ok(Some(cublas))
    }

    /// Multiplies the matrices, in the order of the device's stream.
    ///
    /// # Errors
    /// [`Error::Argument`] if an array is too short, [`Error::Device`] if cuBLAS fails.
    pub fn multiply<T: Real>(
        &self,
        device: &CudaDevice,
        gemm: &Gemm,
        a: &CudaView<'_, T>,
        b: &CudaView<'_, T>,
        c: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let Gemm { sizes: [m, n, k], leading: [lda, ldb, ldc], batch, .. } = *gemm;
        debug_assert!(gemm.sizes.iter().all(|size| *size > 0) && batch > 0);
        let lengths = [a.len(), b.len(), c.len()];
        for (what, (reach, len)) in
            ["a", "b", "c"].iter().zip(gemm.reach().into_iter().zip(lengths))
        {
            if reach > len {
                let message = format!("expected at least {reach} values on the device, got {len}");
                return Err(Error::argument(*what, message));
            }
        }
        bind(device)?;
        let [op_a, op_b] = gemm.transposed.map(|transposed| match transposed {
            true => TRANSPOSED,
            false => AS_STORED,
        });
        let [stride_a, stride_b, stride_c] = gemm.strides;
        let stream = device.stream();
        // Without event tracking the guards do nothing: the stream orders everything.
        let (a, b, c) =
            (a.device_ptr(stream).0, b.device_ptr(stream).0, c.device_ptr_mut(stream).0);
        macro_rules! call {
            ($single:ident, $batched:ident, $type:ty) => {{
                let (alpha, beta) = (1.0 as $type, if gemm.add { 1.0 } else { 0.0 as $type });
                let (a, b, c) = (a as *const $type, b as *const $type, c as *mut $type);
                let Cublas { functions, handle } = *self;
                // SAFETY: the arrays are on this device and reach as far as was checked; the
                // scalars are read before the call returns.
                unsafe {
                    match batch {
                        1 => (functions.$single)(
                            handle, op_a, op_b, m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc,
                        ),
                        _ => (functions.$batched)(
                            handle, op_a, op_b, m, n, k, &alpha, a, lda, stride_a, b, ldb,
                            stride_b, &beta, c, ldc, stride_c, batch,
                        ),
                    }
                }
            }};
        }
        let outcome = match T::NAME {
            "f32" => call!(product_f32, batched_f32, f32),
            _ => call!(product_f64, batched_f64, f64),
        };
        outcome.result().map_err(|error| {
            failed("multiplying matrices with cuBLAS (MECHANISTIC_CUBLAS=off does without)", error)
        })
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        // SAFETY: the handle is not used any more. There is nobody to tell of an error.
        let _ = unsafe { (self.functions.destroy)(self.handle) };
    }
}

/// Makes the device's context current, in which cuBLAS works; it may have been made current on
/// another thread only.
fn bind(device: &CudaDevice) -> Result<()> {
    let bound = device.stream().context().bind_to_thread();
    bound.map_err(while_doing("preparing the device for cuBLAS"))
}

/// Wraps an error of cuBLAS with what the library was doing.
fn failed(doing: &str, status: Status) -> Error {
    Error::Device { doing: doing.into(), message: status.to_string() }
}
