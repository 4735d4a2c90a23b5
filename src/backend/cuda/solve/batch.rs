//! A batch on the device, which is cut into parts whose workspace fits, each of which is given to a
//! path. Whoever has a batch (`engine.rs`, `device_solver.rs`) goes over [`Batch::parts`], and
//! after the gradients of all parts calls [`Batch::sum_gradients`].

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaView, CudaViewMut};

use super::cold::{Cold, Solved};
use crate::backend::cuda::bindings::{Output, Status};
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::ranges::range;
use crate::backend::cuda::path::apart::Apart;
use crate::backend::cuda::path::problem::{ProblemTemplate, Values, WEIGHTS};
use crate::backend::cuda::path::sums::{Columns, SumPartials};
use crate::backend::cuda::path::{CotangentView, Counted, GradientOutputs, Path, SolutionViewMut};
use crate::backend::cuda::solve::paths::{self, CudaPath};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::options::Options;
use crate::plan::Plan;
use crate::real::Real;
use crate::shape::{InputLayout, ProblemShape};

/// Some consecutive systems of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Number of the first system.
    pub first: usize,
    /// Number of systems.
    pub systems: usize,
}

impl Part {
    /// Returns the numbers of the systems.
    pub fn range(self) -> Range<usize> {
        self.first..self.first + self.systems
    }
}

/// The path, the workspace and the partial sums for problems of one shape.
pub(crate) struct Batch<T: Real> {
    pub device: Arc<CudaDevice>,
    pub shape: ProblemShape,
    pub template: ProblemTemplate,
    path: Box<dyn Path<T>>,
    workspace: Buffer<u8>,
    /// Number of systems of a part; the last part may have fewer.
    part_systems: usize,
    partials: Partials,
    /// Gradients of the inputs that are partly shared.
    apart: Inputs<Option<Apart>>,
    /// Solver for everything but solves and gradients, made when it is first needed.
    cold: Option<Box<Cold<T>>>,
}

/// The partial sums of the gradients that all systems of the batch share: the inputs without a
/// batch axis, and the weights. They are kept for the whole batch, however it is cut into parts, so
/// that the order of the additions does not depend on the memory of a device. They take a few per
/// cent of the workspace of the whole batch, because a row is smaller than the factor of one
/// system.
struct Partials {
    /// Number of systems of a group.
    group: usize,
    /// Number of rows, one for each group. A single group writes its sums to the gradients
    /// themselves.
    groups: usize,
    /// Number of columns of each input, which is 0 where the systems have their own. The columns of
    /// the weights follow.
    columns: Inputs<usize>,
    /// Sums, (groups, columns).
    sums: Buffer<f64>,
    kernel: SumPartials,
}

impl<T: Real> Batch<T> {
    /// Chooses a path and allocates its workspace, together with what `staging` allocates for a
    /// part of a given number of systems: for the whole batch if the memory suffices, else for as
    /// large a part as it does.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if not even a single group of systems fits, [`Error::Device`] if the
    /// device fails.
    pub fn new<S>(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: CudaPath,
        staging: impl Fn(usize) -> Result<S>,
    ) -> Result<(Self, S)> {
        let path = paths::choose::<T>(device, &shape.expanded(), options, path)?;
        Self::with_path(device, shape, options, path, staging)
    }

    /// Makes a batch with a path that was chosen already for this shape, [expanded](ProblemShape::expanded).
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn with_path<S>(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
        path: Box<dyn Path<T>>,
        staging: impl Fn(usize) -> Result<S>,
    ) -> Result<(Self, S)> {
        let template = ProblemTemplate::new::<T>(device, shape, options)?;
        let partials = Partials::new(device, shape.batch, path.group(), &template.layouts)?;
        let apart = template.layouts.zip(shape.sums()).zip(template.partly);
        let apart = apart
            .map(|((layout, sums), partly)| partly.then(|| Apart::new(shape.batch, &layout, sums)));
        let mut part_systems = shape.batch;
        let (workspace, staging) = loop {
            let bytes = path.workspace(part_systems);
            let staged = staging(part_systems);
            let allocated = staged.and_then(|staging| {
                Ok((Buffer::unwritten(device, "the solver's workspace", bytes)?, staging))
            });
            match allocated {
                Err(Error::OutOfMemory { .. }) if part_systems > path.group() => {
                    part_systems = (part_systems / 2).next_multiple_of(path.group());
                }
                other => break other?,
            }
        };
        let batch = Batch {
            device: device.clone(),
            shape: shape.clone(),
            template,
            path,
            workspace,
            part_systems,
            partials,
            apart,
            cold: None,
        };
        Ok((batch, staging))
    }

    /// Iterates over the parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<T> {
        let (batch, most) = (self.shape.batch, self.part_systems);
        (0..batch).step_by(most).map(move |first| Part { first, systems: most.min(batch - first) })
    }

    /// Returns whether the workspace keeps the factors of all systems.
    pub fn is_whole(&self) -> bool {
        self.part_systems == self.shape.batch
    }

    /// Returns how problems are solved, for people to read.
    pub fn plan(&self) -> Plan {
        let (forward, adjoint) = self.path.launches();
        let apart = || self.apart.as_ref().into_iter().flatten();
        let sums =
            usize::from(self.partials.groups > 1) + apart().map(Apart::launches).sum::<usize>();
        let parts = self.parts().count();
        // The workspace has the factors of one part: with several, each is solved again before its
        // adjoint.
        Plan {
            device: format!("cuda:{}", self.device.ordinal()),
            path: self.path.to_string(),
            parts,
            forward_launches: forward * parts + usize::from(self.path.has_one_factor()),
            adjoint_launches: (adjoint + if parts > 1 { forward } else { 0 }) * parts + sums,
            workspace_bytes: self.workspace.len()
                + self.partials.sums.len() * size_of::<f64>()
                + apart().map(Apart::bytes).sum::<usize>(),
        }
    }

    /// Returns whether all systems have one factor.
    pub fn has_one_factor(&self) -> bool {
        self.path.has_one_factor()
    }

    /// Makes the factor of all systems, if they have one, before [`Self::solve`] of the first part, with the
    /// same arguments. It stays until it is made anew.
    pub fn factorize(
        &mut self,
        part: Part,
        inputs: Inputs<Values<'_>>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let _range = range("factorize");
        let problem = self.template.problem(inputs, part.range())?;
        self.path.factorize(&problem, &mut self.workspace.view_mut(), solution)
    }

    /// Solves one part. The inputs, and directions below, are those of the batch; all else is that of the
    /// systems of the part only.
    pub fn solve(
        &mut self,
        part: Part,
        inputs: Inputs<Values<'_>>,
        solution: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let _range = range("solve");
        if let Some(cold) = &mut self.cold {
            cold.forget();
        }
        let problem = self.template.problem(inputs, part.range())?;
        self.path.solve(&problem, &mut self.workspace.view_mut(), solution)
    }

    /// Computes the gradients of one part, which must be the part last solved. `targets` are those
    /// of the part for inputs that no systems share and the whole gradient for the others, to which
    /// [`Self::sum_gradients`] writes the sum; a gradient whose target is `None` is not computed.
    pub fn vjp(
        &mut self,
        part: Part,
        inputs: Inputs<Values<'_>>,
        status: &CudaView<'_, Status>,
        cotangent: &CotangentView<'_, T>,
        targets: Inputs<Option<CudaViewMut<'_, T>>>,
        mut weights: CudaViewMut<'_, T>,
    ) -> Result<()> {
        let _range = range("vjp");
        let device = &self.device;
        let partials = &mut self.partials;
        let (row, rows) = (partials.row(), partials.rows_of(part));
        let mut sums = partials.sums.part_mut(rows.start * row, rows.len() * row);
        let in_rows = partials.groups > 1;
        let mut column = 0;
        let columns = self.template.layouts.zip(partials.columns).zip(self.apart.as_mut());
        let outputs = columns.zip(targets).try_map(|(((layout, count), apart), target)| {
            let Some(mut target) = target else {
                column += count;
                return Ok(Counted::<Output>::none(&layout));
            };
            if let Some(apart) = apart {
                return apart.output(device, &layout, part.first, part.systems);
            }
            if !in_rows || count == 0 {
                return Ok(Counted::<Output>::new(device, &mut target, &layout, layout.values));
            }
            let mut sums = sums.slice_mut(column..);
            column += count;
            Ok::<_, Error>(Counted::<Output>::new(device, &mut sums, &layout, row))
        })?;
        let weights = match in_rows {
            true => Counted::<Output>::new(device, &mut sums.slice_mut(column..), &WEIGHTS, row),
            false => Counted::<Output>::new(device, &mut weights, &WEIGHTS, row),
        };
        let gradients = GradientOutputs { inputs: outputs, weights, arrays: PhantomData };
        let problem = self.template.problem(inputs, part.range())?;
        self.path.vjp(&problem, &mut self.workspace.view_mut(), status, cotangent, &gradients)
    }

    /// Adds up what several systems share: the partial sums of all parts, which are those of the inputs
    /// without a batch axis and of the weights (4), and the gradients of what is partly shared.
    pub fn sum_gradients(
        &mut self,
        targets: Inputs<Option<CudaViewMut<'_, T>>>,
        weights: CudaViewMut<'_, T>,
    ) -> Result<()> {
        let _range = range("sum of shared gradients");
        let Partials { groups, columns, sums, kernel, .. } = &self.partials;
        let targets =
            targets.zip(self.apart.as_mut()).try_map(|(target, apart)| match (target, apart) {
                (Some(target), Some(apart)) => {
                    apart.add_up(&self.device, kernel, target)?;
                    Ok(None)
                }
                (target, _) => Ok::<_, Error>(target),
            })?;
        if *groups == 1 {
            return Ok(());
        }
        let [coefficients, rhs, initial_values, steps] = targets
            .zip(*columns)
            .map(|(target, values)| Columns { values, target: target.filter(|_| values > 0) })
            .into();
        let weights = Columns { values: WEIGHTS.values, target: Some(weights) };
        let columns = [coefficients, rhs, initial_values, steps, weights];
        kernel.launch(&self.device, &sums.view(), *groups, columns)
    }

    /// Computes the directional derivative of one part of the problem last solved, with the
    /// statuses of that solve: zero for systems that were not solved. Epsilon is written too, the
    /// status is not.
    pub fn jvp(
        &mut self,
        part: Part,
        inputs: Inputs<Values<'_>>,
        status: &CudaView<'_, Status>,
        tangents: Inputs<Option<Values<'_>>>,
        tangent: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let _range = range("jvp");
        let (cold, template) = self.cold()?;
        cold.tangent(Solved { template, part, inputs, status }, tangents, tangent)
    }

    /// Computes M⁻¹ q of one part of the problem last solved, with the statuses of that solve: zero for
    /// systems that were not solved. The entry of the slack is written too, the status is not.
    pub fn inverse(
        &mut self,
        part: Part,
        inputs: Inputs<Values<'_>>,
        status: &CudaView<'_, Status>,
        q: &CotangentView<'_, T>,
        result: &mut SolutionViewMut<'_, T>,
    ) -> Result<()> {
        let _range = range("inverse");
        let (cold, template) = self.cold()?;
        cold.inverse(Solved { template, part, inputs, status }, q, result)
    }

    /// Computes the squared defects (systems, 4) of one part of the problem last solved, with the
    /// statuses of that solve.
    pub fn squared_defects(
        &mut self,
        part: Part,
        inputs: Inputs<Values<'_>>,
        status: &CudaView<'_, Status>,
        sums: &mut CudaViewMut<'_, f64>,
    ) -> Result<()> {
        let _range = range("residuals");
        let (cold, template) = self.cold()?;
        cold.squared_defects(Solved { template, part, inputs, status }, sums)
    }

    /// Computes the variances (systems, N, K, Q) of one part of the problem last solved, with the
    /// statuses of that solve.
    pub fn variances(
        &mut self,
        part: Part,
        inputs: Inputs<Values<'_>>,
        status: &CudaView<'_, Status>,
        values: &mut CudaViewMut<'_, T>,
    ) -> Result<()> {
        let _range = range("variances");
        let (cold, template) = self.cold()?;
        cold.variances(Solved { template, part, inputs, status }, values)
    }

    /// Returns the solver for everything but solves and gradients; the first call allocates it, for
    /// as many systems as a part has.
    fn cold(&mut self) -> Result<(&mut Cold<T>, &ProblemTemplate)> {
        let Batch { device, shape, template, cold, part_systems, .. } = self;
        let cold = match cold {
            Some(cold) => cold,
            none => {
                let made = Cold::new(device, &shape.expanded(), template.options(), *part_systems)?;
                none.insert(Box::new(made))
            }
        };
        Ok((cold, template))
    }
}

impl Partials {
    fn new(
        device: &Arc<CudaDevice>,
        batch: usize,
        group: usize,
        layouts: &Inputs<InputLayout>,
    ) -> Result<Self> {
        let groups = batch.div_ceil(group);
        let columns = layouts.map(|layout| if layout.shared() { layout.values } else { 0 });
        let row = columns.into_iter().sum::<usize>() + WEIGHTS.values;
        let values = if groups > 1 { groups.saturating_mul(row) } else { 0 };
        let sums = Buffer::unwritten(device, "partial sums of gradients", values)?;
        Ok(Partials { group, groups, columns, sums, kernel: SumPartials::new(device)? })
    }

    /// Returns the number of values of a row, which is 0 if there is only one group, because that
    /// needs no row.
    fn row(&self) -> usize {
        self.sums.len() / self.groups
    }

    /// Returns the range of the groups of a part.
    fn rows_of(&self, part: Part) -> std::ops::Range<usize> {
        let first = part.first / self.group;
        first..first + part.systems.div_ceil(self.group)
    }
}
