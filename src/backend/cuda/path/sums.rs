//! The gradients of what the batch shares: partial sums of groups of systems, added up. Where the
//! points of a system are spread over blocks, the gradients of what they share, alike.

use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use crate::backend::cuda::bindings::{SumTarget, SumTargets};
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Address, Kernel, LaunchShape, check_length};
use crate::backend::cuda::path::problem::storage_code;
use crate::error::Result;
use crate::real::Real;

/// The kernel `kernels/common/reduce.cu`, which computes target\[s\]\[v\] = Σ_g partials\[s\]\[g\]\[v\].
pub struct SumPartials {
    kernel: Kernel<(Address, i64, i64, SumTargets)>,
}

/// Some columns of the partial sums, and the array that their sums are written to.
pub struct Columns<'a, T> {
    /// Number of columns.
    pub values: usize,
    /// Array of as many values that the sums are written to, if they are wanted.
    pub target: Option<CudaViewMut<'a, T>>,
}

impl SumPartials {
    /// The columns of a block, and the rows that it adds side by side, as in the kernel.
    const BLOCK: (u32, u32) = (32, 16);

    /// Looks the kernel up on a device.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        Ok(SumPartials { kernel: device.kernel("sum_partials")? })
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
        for Columns { values, target } in &columns {
            if let Some(target) = target {
                check_length("sums", *values, target.len())?;
            }
        }
        let targets = columns.map(|Columns { values, target }| SumTarget {
            data: target
                .map_or(Address::NONE, |mut target| device.address_mut(&mut target))
                .pointer(),
            values: values as i64,
            set: 0,
            storage: storage_code(T::STORAGE),
            reserved: 0,
        });
        self.launch_sets(device, device.address(partials), 1, groups, targets)
    }

    /// Adds up `sets` sets of partial sums (sets, groups, V). The caller has checked the lengths of
    /// all arrays.
    pub fn launch_sets(
        &self,
        device: &CudaDevice,
        partials: Address,
        sets: usize,
        groups: usize,
        targets: [SumTarget; 5],
    ) -> Result<()> {
        let values: i64 = targets.iter().map(|target| target.values).sum();
        if values == 0 {
            return Ok(());
        }
        let blocks = sets as u64 * (values as u64).div_ceil(u64::from(Self::BLOCK.0));
        let shape = LaunchShape { blocks, threads: Self::BLOCK, dynamic_shared: 0 };
        let arguments = (partials, groups as i64, values, SumTargets { targets });
        self.kernel.launch(device, shape, &arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::driver::Buffer;
    use crate::backend::cuda::testing;
    use crate::real::Stored;

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
        testing::driver::assert_no_reports();
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
        testing::driver::assert_no_reports();
    }

    #[test]
    fn every_set_has_its_own_sums() {
        let device = testing::device();
        let (sets, groups, values) = (3, 5, 40);
        let partials: Vec<f64> = (0..sets * groups * values).map(|i| (i % 89) as f64).collect();
        let on_device = Buffer::from_host(&device, "partials", &partials).unwrap();
        // The last column goes elsewhere, in another precision.
        let (mut wide, mut narrow) = (
            Buffer::<f64>::zeros(&device, "sums", sets * 50).unwrap(),
            Buffer::<f32>::zeros(&device, "sums", sets).unwrap(),
        );
        let target = |data: Address, values: i64, set: i64, storage| SumTarget {
            data: data.pointer(),
            values,
            set,
            storage: storage_code(storage),
            reserved: 0,
        };
        let none = target(Address::NONE, 0, 0, f64::STORAGE);
        let targets = [
            target(device.address_mut(&mut wide.view_mut()), 39, 50, f64::STORAGE),
            target(device.address_mut(&mut narrow.view_mut()), 1, 1, f32::STORAGE),
            none,
            none,
            none,
        ];
        let partials_address = device.address(&on_device.view());
        let kernel = SumPartials::new(&device).unwrap();
        kernel.launch_sets(&device, partials_address, sets, groups, targets).unwrap();
        let (mut sums, mut last) = (vec![0.0; sets * 50], vec![0.0; sets]);
        wide.copy_to_host("sums", &mut sums).unwrap();
        narrow.copy_to_host("sums", &mut last).unwrap();
        for set in 0..sets {
            for v in 0..values {
                let rows = (0..groups).map(|g| partials[(set * groups + g) * values + v]);
                let actual = if v < 39 { sums[set * 50 + v] } else { f64::from(last[set]) };
                assert_eq!(actual, rows.sum::<f64>(), "set {set}, column {v}");
            }
        }
        testing::driver::assert_no_reports();
    }

    #[test]
    fn arrays_of_another_length_are_refused() {
        let device = testing::device();
        let values = Buffer::<f64>::zeros(&device, "values", 6).unwrap();
        let mut out = Buffer::<f64>::zeros(&device, "out", 4).unwrap();
        let sum = SumPartials::new(&device).unwrap();
        let error = sum.launch(&device, &values.view(), 2, to_one(out.view_mut())).unwrap_err();
        assert!(error.to_string().contains("expected 8 values on the device, got 6"), "{error}");
    }
}
