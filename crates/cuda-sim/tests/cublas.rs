//! Matrix products by the name of cuBLAS, called as any program calls it.

mod support;

use std::sync::Arc;

use cudarc::cublas::sys::{self, cublasOperation_t as Operation, cublasStatus_t as Status};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut};
use support::{context, numbers, simulator};

const AS_STORED: Operation = Operation::CUBLAS_OP_N;
const TRANSPOSED: Operation = Operation::CUBLAS_OP_T;

/// A handle on a stream of its own.
struct Blas {
    handle: sys::cublasHandle_t,
    stream: Arc<CudaStream>,
}

impl Blas {
    fn new() -> Self {
        let stream = context().new_stream().unwrap();
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle is written to; the stream lives as long as it.
        unsafe {
            assert_eq!(sys::cublasCreate_v2(&mut handle), Status::CUBLAS_STATUS_SUCCESS);
            let outcome = sys::cublasSetStream_v2(handle, stream.cu_stream() as _);
            assert_eq!(outcome, Status::CUBLAS_STATUS_SUCCESS);
        }
        Blas { handle, stream }
    }

    /// C = 2·op(A)·op(B) + β·C, all three with gaps between columns and matrices.
    #[allow(clippy::too_many_arguments, reason = "those of the function called")]
    fn multiply(
        &self,
        operations: [Operation; 2],
        sizes: [i32; 3],
        [a, b]: [&CudaSlice<f64>; 2],
        beta: f64,
        c: &mut CudaSlice<f64>,
        leading: [i32; 3],
        batch: i32,
    ) -> Status {
        let strides = STRIDES.map(|stride| stride as i64);
        let [m, n, k] = sizes;
        // SAFETY: the simulator checks every address.
        unsafe {
            sys::cublasDgemmStridedBatched(
                self.handle,
                operations[0],
                operations[1],
                m,
                n,
                k,
                &2.0,
                a.device_ptr(&self.stream).0 as _,
                leading[0],
                strides[0],
                b.device_ptr(&self.stream).0 as _,
                leading[1],
                strides[1],
                &beta,
                c.device_ptr_mut(&self.stream).0 as _,
                leading[2],
                strides[2],
                batch,
            )
        }
    }
}

/// From one matrix to the next.
const STRIDES: [usize; 3] = [70, 80, 90];
const BATCH: usize = 3;

#[test]
fn products_are_those_of_the_documentation() {
    let blas = Blas::new();
    let (m, n, k) = (5, 4, 6);
    let leading = [8, 9, 7];
    let upload = |values: &[f64]| blas.stream.clone_htod(values).unwrap();
    let [a, b, c] = [0, 1, 2].map(|index| numbers(index as u64 + 1, STRIDES[index] * BATCH));
    for (of_a, of_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let operation = |transposed| if transposed { TRANSPOSED } else { AS_STORED };
        for beta in [0.0, 1.0, -0.5] {
            let mut target = upload(&c);
            let outcome = blas.multiply(
                [operation(of_a), operation(of_b)],
                [m, n, k].map(|size| size as i32),
                [&upload(&a), &upload(&b)],
                beta,
                &mut target,
                leading,
                BATCH as i32,
            );
            assert_eq!(outcome, Status::CUBLAS_STATUS_SUCCESS);
            let mut expected = c.clone();
            for batch in 0..BATCH {
                let element =
                    |matrix: &[f64], index: usize, transposed, row: usize, column: usize| {
                        let (row, column) = if transposed { (column, row) } else { (row, column) };
                        matrix[batch * STRIDES[index] + column * leading[index] as usize + row]
                    };
                for row in 0..m {
                    for column in 0..n {
                        let sum: f64 = (0..k)
                            .map(|i| element(&a, 0, of_a, row, i) * element(&b, 1, of_b, i, column))
                            .sum();
                        let place = batch * STRIDES[2] + column * leading[2] as usize + row;
                        expected[place] = 2.0 * sum + beta * c[place];
                    }
                }
            }
            // Gaps included, which nobody may touch.
            let actual = blas.stream.clone_dtoh(&target).unwrap();
            for (actual, expected) in actual.iter().zip(&expected) {
                assert!((actual - expected).abs() < 1e-12, "{of_a} {of_b} {beta}");
            }
        }
    }
}

#[test]
fn arguments_are_checked() {
    let blas = Blas::new();
    let values = blas.stream.clone_htod(&[1.0; 300]).unwrap();
    let mut target = blas.stream.clone_htod(&[1.0; 300]).unwrap();
    let mut outcome = |operations, sizes, leading, batch| {
        blas.multiply(operations, sizes, [&values, &values], 0.0, &mut target, leading, batch)
    };
    let both = [AS_STORED, AS_STORED];
    assert_eq!(outcome(both, [5, 4, 6], [5, 6, 5], 3), Status::CUBLAS_STATUS_SUCCESS);
    for (operations, sizes, leading, batch) in [
        (both, [5, 4, 6], [4, 6, 5], 3),
        (both, [5, 4, 6], [5, 5, 5], 3),
        (both, [5, 4, 6], [5, 6, 4], 3),
        ([TRANSPOSED, AS_STORED], [5, 4, 6], [5, 6, 5], 3),
        ([AS_STORED, TRANSPOSED], [5, 7, 6], [5, 6, 5], 3),
        (both, [0, 4, 6], [0, 6, 5], 3),
        (both, [-1, 4, 6], [5, 6, 5], 3),
        (both, [5, 4, 6], [5, 6, 5], -1),
    ] {
        let status = outcome(operations, sizes, leading, batch);
        assert_eq!(status, Status::CUBLAS_STATUS_INVALID_VALUE, "{sizes:?} {leading:?} {batch}");
    }
    // The kernel's own errors come with the next call that waits.
    assert_eq!(outcome(both, [5, 4, 6], [70, 6, 5], 1), Status::CUBLAS_STATUS_SUCCESS);
    assert!(blas.stream.synchronize().is_err());
    let reports = simulator().reports().unwrap();
    assert!(reports.iter().any(|report| report.contains("out of bounds")), "{reports:?}");
}

#[test]
fn unwritten_operands_are_found() {
    let blas = Blas::new();
    // SAFETY: that nobody wrote to it is what is tested.
    let unwritten = unsafe { blas.stream.alloc::<f64>(300) }.unwrap();
    let values = blas.stream.clone_htod(&[1.0; 300]).unwrap();
    // C is not read where it is not added to.
    // SAFETY: as above.
    let mut target = unsafe { blas.stream.alloc::<f64>(300) }.unwrap();
    let both = [AS_STORED, AS_STORED];
    let mut outcome = |a, b, beta| {
        let outcome = blas.multiply(both, [5, 4, 6], [a, b], beta, &mut target, [5, 6, 5], 2);
        assert_eq!(outcome, Status::CUBLAS_STATUS_SUCCESS);
        blas.stream.synchronize()
    };
    assert!(outcome(&values, &values, 0.0).is_ok());
    assert!(outcome(&values, &unwritten, 0.0).is_err());
}
