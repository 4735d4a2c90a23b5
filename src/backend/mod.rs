//! Where the arithmetic is done. Above this seam nothing knows which backend runs; below it
//! nothing knows about networks or files.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod function;
pub mod layout;
pub mod product;
pub mod tensor;
pub mod update;

#[cfg(feature = "cuda")]
use std::sync::Arc;

use crate::adjoint::{Cotangent, Gradients, Tangents};
use crate::device::Device;
use crate::error::Result;
use crate::options::Options;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solver::{Residuals, Solution, Status};

pub use cpu::Cpu;
pub use tensor::{Backend, Element};

/// Plan and workspace of a device for problems of one shape. `status` is that of the last solve.
pub trait Engine<T: Real>: Send + Sync {
    /// How problems are solved.
    fn plan(&self) -> Plan;

    /// Solves every system.
    fn solve(&mut self, problem: &Problem<'_, T>, solution: &mut Solution<T>) -> Result<()>;

    /// Gradients with respect to every input.
    fn vjp(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        status: &[Status],
    ) -> Result<&Gradients<T>>;

    /// Directional derivative of the solution.
    fn jvp(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        status: &[Status],
    ) -> Result<&Solution<T>>;

    /// Marginal variances of the solution: the diagonal of M⁻¹, in its layout.
    fn variances(&mut self, problem: &Problem<'_, T>, status: &[Status]) -> Result<&[T]>;

    /// Defects of every system.
    fn residuals(&mut self, problem: &Problem<'_, T>, status: &[Status]) -> Result<&[Residuals]>;
}

/// Values that every backend of this build can hold.
#[cfg(feature = "cuda")]
pub trait Stored: cuda::problem::Stored {}
#[cfg(feature = "cuda")]
impl<T: cuda::problem::Stored> Stored for T {}
/// Values that every backend of this build can hold.
#[cfg(not(feature = "cuda"))]
pub trait Stored {}
#[cfg(not(feature = "cuda"))]
impl<T> Stored for T {}

/// The types that problems are solved in. The engines are made here and not where they are used, so
/// that they are compiled once, with the library, and not again in every program.
pub trait Solvable: Stored + Sized {
    /// The engine of a device.
    fn engine(
        device: &Device,
        shape: &ProblemShape,
        options: &Options,
    ) -> Result<Box<dyn Engine<Self>>>
    where
        Self: Real;

    /// That of a CUDA device, with this path.
    #[cfg(feature = "cuda")]
    fn cuda_engine(
        device: &Arc<cuda::CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: cuda::CudaPath,
    ) -> Result<Box<dyn Engine<Self>>>
    where
        Self: Real;
}

macro_rules! solvable {
    ($($real:ty),*) => {$(
        impl Solvable for $real {
            fn engine(
                device: &Device,
                shape: &ProblemShape,
                options: &Options,
            ) -> Result<Box<dyn Engine<Self>>> {
                match device {
                    Device::Cpu => cpu::engine::new(shape, options),
                    #[cfg(feature = "cuda")]
                    Device::Cuda(device) => {
                        Self::cuda_engine(device, shape, options, cuda::CudaPath::Auto)
                    }
                }
            }

            #[cfg(feature = "cuda")]
            fn cuda_engine(
                device: &Arc<cuda::CudaDevice>,
                shape: &ProblemShape,
                options: &Options,
                path: cuda::CudaPath,
            ) -> Result<Box<dyn Engine<Self>>> {
                Ok(Box::new(cuda::Engine::new(device, shape, options, path)?))
            }
        }
    )*};
}
solvable!(f32, f64);
