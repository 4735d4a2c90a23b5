//! Solutions on the device, and the reading of their statuses.

use std::ops::Range;
use std::sync::Arc;

use crate::adjoint::Cotangent;
use crate::backend::cuda::bindings::{self as parameters, *};
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::{CotangentView, SolutionViewMut};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::{SolutionMut, Status};

/// The solution of some systems on the device.
pub(crate) struct SolutionBuffers<T: Real> {
    /// Values, (systems, N, K, Q).
    pub values: Buffer<T>,
    /// Shared slack and statuses.
    pub details: SolutionDetails<T>,
}

/// The part of a solution that is not its values: shared slack and statuses.
pub(crate) struct SolutionDetails<T: Real> {
    /// Shared slack, (systems).
    pub epsilon: Buffer<T>,
    /// Statuses, (systems).
    pub status: Buffer<parameters::Status>,
}

impl<T: Real> SolutionBuffers<T> {
    /// Allocates the solution of `systems` systems of this shape.
    pub fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, systems: usize) -> Result<Self> {
        let values = systems.saturating_mul(values_of_system(shape));
        Ok(SolutionBuffers {
            values: Buffer::unwritten(device, "solution", values)?,
            details: SolutionDetails::new(device, systems)?,
        })
    }

    /// Copies the cotangent of some systems of a batch here.
    pub fn write_cotangent(
        &mut self,
        cotangent: &Cotangent<'_, T>,
        systems: Range<usize>,
    ) -> Result<()> {
        let size = self.size();
        let values = &cotangent.values[systems.start * size..systems.end * size];
        self.values.copy_from_host("cotangent", values)?;
        match cotangent.epsilon {
            Some(epsilon) => {
                self.details.epsilon.copy_from_host("cotangent of epsilon", &epsilon[systems])
            }
            None => Ok(()),
        }
    }

    /// Returns the cotangent of the first `systems` systems, after [`Self::write_cotangent`] of the
    /// same one.
    pub fn cotangent(&self, of: &Cotangent<'_, T>, systems: usize) -> CotangentView<'_, T> {
        CotangentView {
            values: self.values.part(0, systems * self.size()),
            epsilon: of.epsilon.map(|_| self.details.epsilon.part(0, systems)),
        }
    }

    /// Reads the first systems, which become the `systems` of a batch; errors name values and slack so.
    pub fn copy_to_host(
        &self,
        [values_name, epsilon_name]: [&str; 2],
        to: &mut SolutionMut<'_, T>,
        systems: Range<usize>,
    ) -> Result<()> {
        let size = self.size();
        let values = &mut to.values[systems.start * size..systems.end * size];
        self.values.copy_to_host(values_name, values)?;
        match &mut to.epsilon {
            Some(epsilon) => self.details.epsilon.copy_to_host(epsilon_name, &mut epsilon[systems]),
            None => Ok(()),
        }
    }

    /// Returns the number of values of a system.
    fn size(&self) -> usize {
        self.values.len() / self.details.status.len()
    }

    /// Returns a view of the first `systems` systems, to be written.
    pub fn view_mut(&mut self, systems: usize) -> SolutionViewMut<'_, T> {
        self.details.view_mut(&mut self.values, 0, systems)
    }
}

impl<T: Real> SolutionDetails<T> {
    /// Allocates the shared slack and the statuses of `systems` systems.
    pub fn new(device: &Arc<CudaDevice>, systems: usize) -> Result<Self> {
        Ok(SolutionDetails {
            epsilon: Buffer::unwritten(device, "epsilon", systems)?,
            status: Buffer::unwritten(device, "status", systems)?,
        })
    }

    /// Returns a view of `systems` systems from `first` on, with their `values`, to be written.
    pub fn view_mut<'a>(
        &'a mut self,
        values: &'a mut Buffer<T>,
        first: usize,
        systems: usize,
    ) -> SolutionViewMut<'a, T> {
        let size = values.len() / self.status.len();
        SolutionViewMut {
            values: values.part_mut(first * size, systems * size),
            epsilon: self.epsilon.part_mut(first, systems),
            status: self.status.part_mut(first, systems),
        }
    }

    /// Reads as many statuses as `status` has room for, by way of as many `codes`.
    pub fn read_status(
        &self,
        codes: &mut [parameters::Status],
        status: &mut [Status],
    ) -> Result<()> {
        self.status.copy_to_host("status", codes)?;
        for (status, code) in status.iter_mut().zip(codes) {
            *status = decoded(*code)?;
        }
        Ok(())
    }

    /// Writes statuses to the device, for kernels that ask only whether a system was solved.
    pub fn write_status(
        &mut self,
        status: &[Status],
        codes: &mut [parameters::Status],
    ) -> Result<()> {
        let codes = &mut codes[..status.len()];
        for (code, status) in codes.iter_mut().zip(status) {
            let kind = if status.is_ok() { STATUS_OK } else { STATUS_OVERFLOW };
            *code = parameters::Status { kind, ..Default::default() };
        }
        self.status.copy_from_host("status", codes)
    }
}

/// Returns N·K·Q, the number of values of one system.
pub(crate) fn values_of_system(shape: &ProblemShape) -> usize {
    shape.points * shape.block()
}

fn decoded(code: parameters::Status) -> Result<Status> {
    let index = |number: i32| usize::try_from(number).unwrap_or(0);
    Ok(match code.kind {
        STATUS_OK => Status::Ok,
        STATUS_NON_FINITE_INPUT => {
            let names = <[_; 4]>::from(Inputs::NAMES);
            Status::NonFiniteInput { argument: names[index(code.first).min(names.len() - 1)] }
        }
        STATUS_INVALID_STEP => Status::InvalidStep { step: index(code.first) },
        STATUS_BREAKDOWN => {
            Status::Breakdown { point: index(code.first), pivot: index(code.second) }
        }
        STATUS_OVERFLOW => Status::Overflow,
        other => {
            let message = format!("a kernel gave the unknown status {other}");
            return Err(Error::Device { doing: "reading the statuses".into(), message });
        }
    })
}
