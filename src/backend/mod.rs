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

/// Plan and workspace of a device for problems of one shape. Only here is it known which backend
/// solves.
pub enum Engine<T: Real> {
    /// The processor.
    Cpu(Box<cpu::Engine<T>>),
    /// A CUDA device.
    #[cfg(feature = "cuda")]
    Cuda(Box<cuda::Engine<T>>),
}

impl<T: Real> Engine<T> {
    /// Allocates everything.
    pub fn new(device: &Device, shape: &ProblemShape, options: &Options) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Engine::Cpu(Box::new(cpu::Engine::new(shape, options)?))),
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => {
                Ok(Engine::Cuda(Box::new(cuda::Engine::new(device, shape, options)?)))
            }
        }
    }

    /// How problems are solved.
    pub fn plan(&self) -> Plan {
        match self {
            Engine::Cpu(engine) => engine.plan(),
            #[cfg(feature = "cuda")]
            Engine::Cuda(engine) => engine.plan(),
        }
    }

    /// Solves every system.
    pub fn solve(&mut self, problem: &Problem<'_, T>, solution: &mut Solution<T>) -> Result<()> {
        match self {
            Engine::Cpu(engine) => {
                engine.solve(problem, solution);
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Engine::Cuda(engine) => engine.solve(problem, solution),
        }
    }

    /// Gradients with respect to every input.
    pub fn vjp(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        status: &[Status],
    ) -> Result<&Gradients<T>> {
        match self {
            Engine::Cpu(engine) => Ok(engine.vjp(problem, cotangent, status)),
            #[cfg(feature = "cuda")]
            Engine::Cuda(engine) => engine.vjp(problem, cotangent),
        }
    }

    /// Directional derivative of the solution.
    pub fn jvp(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        status: &[Status],
    ) -> Result<&Solution<T>> {
        match self {
            Engine::Cpu(engine) => Ok(engine.jvp(problem, tangents, status)),
            #[cfg(feature = "cuda")]
            Engine::Cuda(engine) => engine.jvp(problem, tangents, status),
        }
    }

    /// Defects of every system.
    pub fn residuals(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
    ) -> Result<&[Residuals]> {
        match self {
            Engine::Cpu(engine) => Ok(engine.residuals(problem, status)),
            #[cfg(feature = "cuda")]
            Engine::Cuda(engine) => engine.residuals(problem),
        }
    }
}

/// Values that every backend of this build can hold.
#[cfg(feature = "cuda")]
pub trait Storable: cuda::problem::Stored {}
/// Values that every backend of this build can hold.
#[cfg(not(feature = "cuda"))]
pub trait Storable {}

impl Storable for f32 {}
impl Storable for f64 {}
