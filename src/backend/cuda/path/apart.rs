//! The gradients of inputs that share some axes of the batch and not others: computed for every system, and
//! added up.

use std::sync::Arc;

use cudarc::driver::CudaViewMut;

use crate::backend::cuda::bindings::{Output, STORAGE_F64, SumTarget};
use crate::backend::cuda::driver::kernel::{Address, check_length};
use crate::backend::cuda::driver::{Buffer, CudaDevice};
use crate::backend::cuda::path::Counted;
use crate::backend::cuda::path::problem::storage_code;
use crate::backend::cuda::path::sums::SumPartials;
use crate::error::Result;
use crate::real::Real;
use crate::shape::{InputLayout, Sum};

/// The gradient of one input for every system of a batch, and the sums that are to be made of it.
pub struct Apart {
    /// Numbers of values of the gradient, (B, values), and of the sums that further ones are made of.
    sizes: [usize; 2],
    /// Memory of both, allocated when the gradient is first asked for.
    memory: Option<[Buffer<f64>; 2]>,
    sums: Vec<Sum>,
}

impl Apart {
    /// Plans the gradient of an input with this layout.
    pub fn new(batch: usize, layout: &InputLayout, sums: Vec<Sum>) -> Self {
        let (_, between) = sums.split_last().expect("a partly shared input has sums");
        let between = between.first().map_or(0, |sum| sum.sets * sum.values);
        Apart { sizes: [layout.total(batch), between], memory: None, sums }
    }

    /// Returns the number of launches that add up the gradient.
    pub fn launches(&self) -> usize {
        self.sums.len()
    }

    /// Returns the bytes of the memory on the device that the gradient takes.
    pub fn bytes(&self) -> usize {
        self.sizes.iter().sum::<usize>() * size_of::<f64>()
    }

    /// Returns the place of the gradient of these systems.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) when the gradient is first asked for.
    pub fn output(
        &mut self,
        device: &Arc<CudaDevice>,
        layout: &InputLayout,
        first: usize,
        systems: usize,
    ) -> Result<Counted<Output>> {
        let [values, _] = match &mut self.memory {
            Some(memory) => memory,
            none => {
                let allocate =
                    |values| Buffer::unwritten(device, "gradient of a shared input", values);
                let [values, between] = self.sizes;
                none.insert([allocate(values)?, allocate(between)?])
            }
        };
        let mut part = values.part_mut(first * layout.values, systems * layout.values);
        Ok(Counted::<Output>::new(device, &mut part, layout, layout.values))
    }

    /// Adds up the gradient of all systems, whose places were asked for before.
    pub fn add_up<T: Real>(
        &mut self,
        device: &CudaDevice,
        kernel: &SumPartials,
        mut target: CudaViewMut<'_, T>,
    ) -> Result<()> {
        let last = self.sums.len() - 1;
        let [values, between] = self.memory.as_mut().expect("the gradient was computed");
        let mut from = device.address(&values.view());
        let mut to = device.address_mut(&mut between.view_mut());
        for (number, &Sum { sets, groups, values }) in self.sums.iter().enumerate() {
            let (data, storage) = match number == last {
                true => {
                    check_length("gradient of a shared input", sets * values, target.len())?;
                    (device.address_mut(&mut target), storage_code(T::STORAGE))
                }
                false => (to, STORAGE_F64),
            };
            let column = |data: Address, values: usize| SumTarget {
                data: data.pointer(),
                values: values as i64,
                set: values as i64,
                storage,
                reserved: 0,
            };
            let none = column(Address::NONE, 0);
            let targets = [column(data, values), none, none, none, none];
            kernel.launch_sets(device, from, sets, groups, targets)?;
            std::mem::swap(&mut from, &mut to);
        }
        Ok(())
    }
}
