//! Kernels and their launches. The only `unsafe` launch of the library is in this file.

use std::ffi::c_void;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::OnceLock;

use cudarc::driver::{
    CudaFunction, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DeviceRepr, LaunchArgs,
    LaunchConfig, PushKernelArg,
};

use super::device::{CudaDevice, while_doing};
use crate::error::{Error, Result};

/// The most blocks of a grid along x, where the batch lies.
const MOST_BLOCKS: u64 = i32::MAX as u64;

/// A kernel that takes the arguments `A`, found in its module and ready to launch.
pub struct Kernel<A> {
    /// Name of the kernel, as in its source.
    pub name: String,
    /// Most threads of a block.
    pub most_threads: usize,
    /// Bytes of static shared memory of a block.
    pub static_shared: usize,
    pub(super) function: CudaFunction,
    pub(super) arguments: PhantomData<fn(A)>,
}

/// A kernel that is loaded when it is first launched.
pub struct Lazy<A> {
    name: String,
    loaded: OnceLock<Kernel<A>>,
}

impl<A: Arguments> Lazy<A> {
    /// Makes a kernel of this name, without loading it.
    pub fn new(name: impl Into<String>) -> Self {
        Lazy { name: name.into(), loaded: OnceLock::new() }
    }

    /// Launches the kernel as [`Kernel::launch`] does, always on the same device.
    ///
    /// # Errors
    /// Those of [`Kernel::launch`], and [`Error::Device`] if the kernel cannot be loaded.
    pub fn launch(&self, device: &CudaDevice, shape: LaunchShape, arguments: &A) -> Result<()> {
        let kernel = match self.loaded.get() {
            Some(kernel) => kernel,
            None => {
                let kernel = device.kernel(&self.name)?;
                self.loaded.get_or_init(|| kernel)
            }
        };
        kernel.launch(device, shape, arguments)
    }
}

/// The shape of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchShape {
    /// Number of blocks along grid.x.
    pub blocks: u64,
    /// Threads of a block, (x, y).
    pub threads: (u32, u32),
    /// Bytes of shared memory of a block beyond the kernel's static ones.
    pub dynamic_shared: usize,
}

/// A tuple of the arguments that a kernel takes by value, in the order of its parameters.
pub trait Arguments {
    /// Adds the arguments to a launch.
    fn add<'a>(&'a self, launch: &mut LaunchArgs<'a>);
}

macro_rules! tuples_are_arguments {
    ($(($($name:ident),+))+) => {
        $(
            impl<$($name: DeviceRepr),+> Arguments for ($($name,)+) {
                #[allow(non_snake_case, reason = "a value is named as its type")]
                fn add<'a>(&'a self, launch: &mut LaunchArgs<'a>) {
                    let ($($name,)+) = self;
                    $(launch.arg($name);)+
                }
            }
        )+
    };
}

tuples_are_arguments! {
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
    (A, B, C, D, E, F, G)
    (A, B, C, D, E, F, G, H)
    (A, B, C, D, E, F, G, H, I)
    (A, B, C, D, E, F, G, H, I, J)
}

/// The address of an array on the device, as a kernel's parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Address(u64);

// SAFETY: a kernel takes a pointer as 64 bits.
unsafe impl DeviceRepr for Address {}

impl Address {
    /// Address that stands for an absent array.
    pub const NONE: Self = Address(0);

    /// Returns the address `bytes` bytes further.
    pub fn offset(self, bytes: usize) -> Self {
        Address(self.0 + bytes as u64)
    }

    /// Returns the address as a field of a parameter structure.
    pub fn pointer<T>(self) -> *mut T {
        (self.0 as *mut c_void).cast()
    }
}

impl CudaDevice {
    /// Returns the address of an array that is only read. Without event tracking the guard that
    /// comes with a pointer does nothing, because the stream orders everything.
    pub(crate) fn address<T>(&self, view: &CudaView<'_, T>) -> Address {
        Address(view.device_ptr(self.stream()).0)
    }

    /// Returns the address of an array that is written.
    pub(crate) fn address_mut<T>(&self, view: &mut CudaViewMut<'_, T>) -> Address {
        Address(view.device_ptr_mut(self.stream()).0)
    }
}

impl<A: Arguments> Kernel<A> {
    /// Launches the kernel on the device's stream. Whatever the arguments point to must reach as
    /// far as the kernel's header says; the caller must have checked the lengths.
    ///
    /// # Errors
    /// [`Error::Device`] if the device or the kernel does not allow this shape, or the driver fails.
    pub fn launch(&self, device: &CudaDevice, shape: LaunchShape, arguments: &A) -> Result<()> {
        let config = self.checked(device, shape)?;
        let mut launch = device.stream().launch_builder(&self.function);
        arguments.add(&mut launch);
        // SAFETY: the kernel was resolved as one that takes these arguments, and the caller has
        // checked the lengths of the arrays that they point to.
        unsafe { launch.launch(config) }
            .map_err(|error| while_doing(&format!("launching {}", self.name))(error))?;
        Ok(())
    }

    fn checked(&self, device: &CudaDevice, shape: LaunchShape) -> Result<LaunchConfig> {
        let LaunchShape { blocks, threads: (x, y), dynamic_shared } = shape;
        let beyond = |what: &str, asked: u64, most: u64| {
            let message = format!("{asked} {what}, at most {most} are possible");
            Err(Error::Device { doing: format!("launching {}", self.name), message })
        };
        let threads = u64::from(x) * u64::from(y);
        if blocks == 0 || blocks > MOST_BLOCKS {
            return beyond("blocks", blocks, MOST_BLOCKS);
        }
        if threads == 0 || threads > self.most_threads as u64 {
            return beyond("threads a block", threads, self.most_threads as u64);
        }
        let shared = self.static_shared.saturating_add(dynamic_shared) as u64;
        if shared > device.limits().shared_memory as u64 {
            let most = device.limits().shared_memory as u64;
            return beyond("bytes of shared memory", shared, most);
        }
        Ok(LaunchConfig {
            grid_dim: (blocks as u32, 1, 1),
            block_dim: (x, y, 1),
            shared_mem_bytes: dynamic_shared as u32,
        })
    }
}

/// Checks that an array has as many values as the kernel that takes it will touch.
pub fn check_length(what: impl Display, expected: usize, actual: usize) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    let message = format!("expected {expected} values on the device, got {actual}");
    Err(Error::argument(what.to_string(), message))
}

/// Checks that an array has at least as many values as a kernel will touch: arrays have room for
/// the largest part of a batch, and hold more than the last, smaller one needs.
pub fn check_at_least(what: impl Display, expected: usize, len: usize) -> Result<()> {
    check_length(what, expected, len.min(expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::testing;

    #[test]
    fn impossible_launches_are_refused() {
        let device = testing::device();
        let kernel = device.kernel::<(i32,)>("sum_partials").unwrap();
        let shape = LaunchShape { blocks: 1, threads: (32, 16), dynamic_shared: 0 };
        assert!(kernel.checked(&device, shape).is_ok());
        for (wrong, word) in [
            (LaunchShape { blocks: 0, ..shape }, "blocks"),
            (LaunchShape { blocks: 1 << 31, ..shape }, "2147483648 blocks"),
            (LaunchShape { threads: (32, 17), ..shape }, "544 threads a block"),
            (LaunchShape { dynamic_shared: 1 << 20, ..shape }, "bytes of shared memory"),
        ] {
            let message = kernel.checked(&device, wrong).err().unwrap().to_string();
            assert!(message.contains(word) && message.contains("sum_partials"), "{message}");
        }
    }
}
