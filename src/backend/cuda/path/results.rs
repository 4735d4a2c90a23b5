//! Solutions on the device, and how their statuses read here.

use std::sync::Arc;

use crate::backend::cuda::bindings::{self as parameters, *};
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::path::SolutionViewMut;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::Status;

/// The solution of some systems.
pub(crate) struct SolutionBuffers<T: Real> {
    /// (systems, N, K, Q).
    pub values: Buffer<T>,
    /// What comes with them.
    pub details: SolutionDetails<T>,
}

/// All of a solution but the values.
pub(crate) struct SolutionDetails<T: Real> {
    /// (systems).
    pub epsilon: Buffer<T>,
    /// (systems).
    pub status: Buffer<parameters::Status>,
}

impl<T: Real> SolutionBuffers<T> {
    /// Of `systems` systems of this shape.
    pub fn new(device: &Arc<CudaDevice>, shape: &ProblemShape, systems: usize) -> Result<Self> {
        let values = systems.saturating_mul(values_of_system(shape));
        Ok(SolutionBuffers {
            values: Buffer::unwritten(device, "solution", values)?,
            details: SolutionDetails::new(device, systems)?,
        })
    }

    /// The first `systems` systems, to be written.
    pub fn view_mut(&mut self, systems: usize) -> SolutionViewMut<'_, T> {
        self.details.view_mut(&mut self.values, 0, systems)
    }
}

impl<T: Real> SolutionDetails<T> {
    /// Of `systems` systems.
    pub fn new(device: &Arc<CudaDevice>, systems: usize) -> Result<Self> {
        Ok(SolutionDetails {
            epsilon: Buffer::unwritten(device, "epsilon", systems)?,
            status: Buffer::unwritten(device, "status", systems)?,
        })
    }

    /// `systems` systems from `first` on, with their `values`, to be written.
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

    /// Reads as many statuses as there is room for, by way of as many `codes`.
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

    /// The opposite, for kernels that ask only whether a system was solved.
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

/// N·K·Q.
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
