//! Every launch of a kernel: one typed function for each, which checks lengths and limits. The
//! only `unsafe` launches of the library are here and in the files below.

pub mod cublas;
pub mod tape;
pub mod team;
pub mod thread;

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{
    CudaView, CudaViewMut, DevicePtrMut, LaunchArgs, LaunchConfig, PushKernelArg,
};

use super::bindings::{SumTarget, SumTargets};
use super::device::{CudaDevice, Kernel, while_doing};
use super::problem::storage_code;
use crate::error::{Error, Result};
use crate::real::Real;

/// Most blocks of a grid along x, where the batch lies.
const MOST_BLOCKS: u64 = i32::MAX as u64;

/// Shape of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Along grid.x.
    pub blocks: u64,
    /// Threads of a block, (x, y).
    pub threads: (u32, u32),
    /// Bytes of shared memory of a block beyond the kernel's static ones.
    pub dynamic_shared: usize,
}

/// A launch of `kernel` on the device's stream, to which the arguments are to be added, and its
/// checked shape.
///
/// # Errors
/// [`Error::Device`] if the device or the kernel does not allow this shape.
pub(super) fn prepare<'a>(
    device: &'a CudaDevice,
    kernel: &'a Kernel,
    configuration: Configuration,
) -> Result<(LaunchArgs<'a>, LaunchConfig)> {
    let Configuration { blocks, threads: (x, y), dynamic_shared } = configuration;
    let beyond = |what: &str, asked: u64, most: u64| {
        let message = format!("{asked} {what}, at most {most} are possible");
        Err(Error::Device { doing: format!("launching {}", kernel.name), message })
    };
    let threads = u64::from(x) * u64::from(y);
    if blocks == 0 || blocks > MOST_BLOCKS {
        return beyond("blocks", blocks, MOST_BLOCKS);
    }
    if threads == 0 || threads > kernel.most_threads as u64 {
        return beyond("threads a block", threads, kernel.most_threads as u64);
    }
    let shared = kernel.static_shared.saturating_add(dynamic_shared) as u64;
    if shared > device.limits().shared_memory as u64 {
        return beyond("bytes of shared memory", shared, device.limits().shared_memory as u64);
    }
    let config = LaunchConfig {
        grid_dim: (blocks as u32, 1, 1),
        block_dim: (x, y, 1),
        shared_mem_bytes: dynamic_shared as u32,
    };
    Ok((device.stream().launch_builder(&kernel.function), config))
}

/// An array that a kernel takes must have as many values as it will touch.
pub(super) fn check_length(what: &str, expected: usize, actual: usize) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::argument(what, format!("expected {expected} values on the device, got {actual}")))
}

/// Arrays on the device have room for the largest part; of the last, a smaller one, they hold more.
pub(super) fn check_at_least(what: &str, expected: usize, len: usize) -> Result<()> {
    check_length(what, expected, len.min(expected))
}

/// Address of an array's first value, for a parameter structure. Without event tracking the guard
/// that comes with it does nothing: the stream orders everything.
pub(super) fn address_mut<T>(device: &CudaDevice, view: &mut CudaViewMut<'_, T>) -> *mut c_void {
    view.device_ptr_mut(device.stream()).0 as *mut c_void
}

/// `kernels/common/reduce.cu`: target\[v\] = Σ_g partials\[g\]\[v\].
pub struct SumPartials {
    kernel: Kernel,
}

/// Some columns of the partial sums.
pub struct Columns<'a, T> {
    /// How many.
    pub values: usize,
    /// Where their sums go, if they are wanted; of as many values.
    pub target: Option<CudaViewMut<'a, T>>,
}

impl SumPartials {
    /// Columns of a block, and rows that are added side by side: as in the kernel.
    const BLOCK: (u32, u32) = (32, 16);

    /// Resolves the kernel.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        Ok(SumPartials { kernel: device.kernel("common_reduce", "sum_partials")? })
    }

    /// Adds up the rows of `partials` (groups, V), where V are the `columns` of all arrays one
    /// after another. The order of the additions depends on the number of groups alone.
    pub fn launch<T: Real>(
        &self,
        device: &Arc<CudaDevice>,
        partials: &CudaView<'_, f64>,
        groups: usize,
        columns: [Columns<'_, T>; 5],
    ) -> Result<()> {
        let values: usize = columns.iter().map(|columns| columns.values).sum();
        check_length("partial sums", groups.saturating_mul(values), partials.len())?;
        if values == 0 {
            return Ok(());
        }
        for Columns { values, target } in &columns {
            if let Some(target) = target {
                check_length("sums", *values, target.len())?;
            }
        }
        let targets = columns.map(|Columns { values, target }| SumTarget {
            data: target
                .map_or(std::ptr::null_mut(), |mut target| address_mut(device, &mut target)),
            values: values as i64,
        });
        let targets = SumTargets { targets, storage: storage_code(T::STORAGE), reserved: 0 };
        let blocks = values.div_ceil(Self::BLOCK.0 as usize) as u64;
        let shape = Configuration { blocks, threads: Self::BLOCK, dynamic_shared: 0 };
        let (mut launch, config) = prepare(device, &self.kernel, shape)?;
        let (groups, values) = (groups as i64, values as i64);
        launch.arg(partials).arg(&groups).arg(&values).arg(&targets);
        // SAFETY: the arguments are those of the kernel, the lengths were checked.
        unsafe { launch.launch(config) }
            .map_err(while_doing("launching the sum of partial gradients"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Buffer;
    use super::super::testing;
    use super::*;

    /// All columns go to one array.
    fn to_one<T>(target: CudaViewMut<'_, T>) -> [Columns<'_, T>; 5] {
        let none = || Columns { values: 0, target: None };
        [Columns { values: target.len(), target: Some(target) }, none(), none(), none(), none()]
    }

    fn sums<T: Real>(groups: usize, values: usize) {
        let device = testing::device();
        let partials: Vec<f64> = (0..groups * values).map(|i| (i % 97) as f64 - 40.0).collect();
        let sum = |v: usize| (0..groups).map(|g| partials[g * values + v]).sum();
        let expected: Vec<T> = (0..values).map(|v| T::of(sum(v))).collect();
        let on_device = Buffer::from_host(&device, "partials", &partials).unwrap();
        let mut sums = Buffer::<T>::unwritten(&device, "sums", values).unwrap();
        let kernel = SumPartials::new(&device).unwrap();
        kernel.launch(&device, &on_device.view(), groups, to_one(sums.view_mut())).unwrap();
        let mut actual = vec![T::zero(); values];
        sums.copy_to_host("sums", &mut actual).unwrap();
        // Small integers: exact in any order.
        assert_eq!(actual, expected, "{groups} groups of {values} values");
    }

    #[test]
    fn partial_sums_are_added_up() {
        for (groups, values) in [(1, 1), (1, 70), (3, 5), (16, 32), (17, 33), (100, 2), (0, 4)] {
            sums::<f64>(groups, values);
            sums::<f32>(groups, values);
        }
        sums::<f64>(5, 0);
        assert_eq!(testing::reports(), Vec::<String>::new());
    }

    #[test]
    fn every_column_goes_to_its_array() {
        let device = testing::device();
        let lengths = [33, 0, 2, 40, 4];
        let values: usize = lengths.iter().sum();
        let partials: Vec<f64> = (0..3 * values).map(|i| i as f64).collect();
        let on_device = Buffer::from_host(&device, "partials", &partials).unwrap();
        let mut sums = lengths.map(|len| Buffer::<f64>::unwritten(&device, "sums", len).unwrap());
        // The third is not wanted.
        let mut columns =
            sums.each_mut().map(|sum| Columns { values: sum.len(), target: Some(sum.view_mut()) });
        columns[2].target = None;
        let kernel = SumPartials::new(&device).unwrap();
        kernel.launch(&device, &on_device.view(), 3, columns).unwrap();
        let mut first = 0;
        for (index, sum) in sums.iter().enumerate() {
            if index != 2 {
                let mut actual = vec![0.0; sum.len()];
                sum.copy_to_host("sums", &mut actual).unwrap();
                let expected: Vec<f64> =
                    (first..first + sum.len()).map(|v| (3 * v + 3 * values) as f64).collect();
                assert_eq!(actual, expected, "array {index}");
            }
            first += sum.len();
        }
        assert_eq!(testing::reports(), Vec::<String>::new());
    }

    #[test]
    fn impossible_launches_are_refused() {
        let device = testing::device();
        let kernel = device.kernel("common_reduce", "sum_partials").unwrap();
        let shape = Configuration { blocks: 1, threads: (32, 16), dynamic_shared: 0 };
        assert!(prepare(&device, &kernel, shape).is_ok());
        for (wrong, word) in [
            (Configuration { blocks: 0, ..shape }, "blocks"),
            (Configuration { blocks: 1 << 31, ..shape }, "2147483648 blocks"),
            (Configuration { threads: (32, 17), ..shape }, "544 threads a block"),
            (Configuration { dynamic_shared: 1 << 20, ..shape }, "bytes of shared memory"),
        ] {
            let message = prepare(&device, &kernel, wrong).err().unwrap().to_string();
            assert!(message.contains(word) && message.contains("sum_partials"), "{message}");
        }
        let values = Buffer::<f64>::zeros(&device, "values", 6).unwrap();
        let mut out = Buffer::<f64>::zeros(&device, "out", 4).unwrap();
        let sum = SumPartials::new(&device).unwrap();
        let error = sum.launch(&device, &values.view(), 2, to_one(out.view_mut())).unwrap_err();
        assert!(error.to_string().contains("expected 8 values on the device, got 6"), "{error}");
    }
}
