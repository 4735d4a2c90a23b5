//! A problem as kernels take it: the places of its arrays on the device and their layout.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::CudaViewMut;

use crate::backend::cpu::growth::point_scales;
use crate::backend::cuda::bindings::{self as parameters, Input, Output, RowTable};
use crate::backend::cuda::driver::Buffer;
use crate::backend::cuda::driver::CudaDevice;
use crate::backend::cuda::driver::kernel::{Address, check_at_least};
use crate::backend::cuda::path::{Counted, PartProblem, TangentInputs};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::options::{Formulation, Options};
use crate::problem::Problem;
use crate::real::{Real, Storage, Stored};
use crate::rows::{RowFamily, pair_rows, triple_rows};
use crate::shape::{InputLayout, ProblemShape};

/// Returns the number by which kernels know a storage.
pub fn storage_code(storage: Storage) -> i32 {
    match storage {
        Storage::F32 => parameters::STORAGE_F32,
        Storage::F64 => parameters::STORAGE_F64,
        Storage::F16 => parameters::STORAGE_F16,
        Storage::Bf16 => parameters::STORAGE_BF16,
    }
}

/// A read-only view of an array on a device, with elements in any storage.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    address: Address,
    len: usize,
    storage: i32,
    value_bytes: usize,
    device: usize,
    array: PhantomData<&'a ()>,
}

impl<'a, V: Stored> From<&'a Buffer<V>> for Values<'a> {
    fn from(buffer: &'a Buffer<V>) -> Self {
        Values {
            address: buffer.device().address(&buffer.view()),
            len: buffer.len(),
            storage: storage_code(V::STORAGE),
            value_bytes: size_of::<V>(),
            device: buffer.device().ordinal(),
            array: PhantomData,
        }
    }
}

impl Values<'_> {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the view has no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of the device that the array lies on.
    pub fn device(&self) -> usize {
        self.device
    }

    /// Returns the values of `systems` systems from `first` on, where `layout` is the layout of
    /// this array.
    pub(crate) fn systems(self, layout: &InputLayout, first: usize, systems: usize) -> Self {
        self.part(first * layout.system, layout.total(systems))
    }

    /// Returns `count` values from `start` on.
    pub(crate) fn part(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.len, "a part lies within its array");
        Values { address: self.address.offset(start * self.value_bytes), len: count, ..self }
    }
}

/// The layout of the gradient of the weights: 4 values, shared by all systems.
pub(crate) const WEIGHTS: InputLayout = InputLayout { values: 4, system: 0, inner: [0; 3] };

impl Counted<Input> {
    fn new(values: Values<'_>, layout: &InputLayout) -> Self {
        let array = Input {
            data: values.address.pointer(),
            system: layout.system as i64,
            time: layout.inner[0] as i64,
            state: layout.inner[1] as i32,
            storage: values.storage,
        };
        Counted { array, len: values.len }
    }

    /// Makes the direction of an input that does not move.
    pub fn none() -> Self {
        let array = Input { data: std::ptr::null(), system: 0, time: 0, state: 0, storage: 0 };
        Counted { array, len: 0 }
    }
}

impl Counted<Output> {
    /// Makes the place of a gradient; `system` is the distance between systems, or between the
    /// groups' sums ([`GradientOutputs`](crate::backend::cuda::path::GradientOutputs)).
    pub fn new<T: Real>(
        device: &CudaDevice,
        target: &mut CudaViewMut<'_, T>,
        layout: &InputLayout,
        system: usize,
    ) -> Self {
        let array = Output {
            data: device.address_mut(target).pointer(),
            system: system as i64,
            time: layout.inner[0] as i64,
            state: layout.inner[1] as i32,
            storage: storage_code(T::STORAGE),
        };
        Counted { array, len: target.len() }
    }

    /// Makes the place of a gradient that is not wanted.
    pub fn none(layout: &InputLayout) -> Self {
        let array = Output {
            data: std::ptr::null_mut(),
            system: 0,
            time: layout.inner[0] as i64,
            state: layout.inner[1] as i32,
            storage: parameters::STORAGE_F64,
        };
        Counted { array, len: 0 }
    }
}

/// The part of a problem that is the same for all parts of a batch: sizes, options, and row tables
/// on the device.
pub(crate) struct ProblemTemplate {
    shape: ProblemShape,
    options: Options,
    results: i32,
    refinement: i32,
    pair: (RowFamily, Buffer<f64>),
    triple: Option<(RowFamily, Buffer<f64>)>,
    /// Factors (B, N) of the rows that begin at each point, where they follow growth.
    point_scales: Option<Buffer<f64>>,
    /// Layouts of the inputs.
    pub layouts: Inputs<InputLayout>,
}

impl ProblemTemplate {
    /// Makes the template for problems of this shape, whose results are stored as `T`.
    pub fn new<T: Real>(
        device: &Arc<CudaDevice>,
        shape: &ProblemShape,
        options: &Options,
    ) -> Result<Self> {
        let upload = |family: RowFamily| -> Result<_> {
            let table = Buffer::from_host(device, "table of smoothness rows", &family.table())?;
            Ok((family, table))
        };
        options.check_on_device()?;
        // The kernels count within a system with 32 bits, the batch with 64.
        let unknowns = shape.points.saturating_mul(shape.block()).saturating_add(1);
        for (argument, count) in [
            ("states", shape.states()),
            ("derivatives", shape.derivatives()),
            ("equations", shape.equations()),
            ("initial points", shape.initial_points()),
            ("unknowns of a system", unknowns),
        ] {
            if i32::try_from(count).is_err() {
                return Err(Error::argument(
                    argument,
                    format!("{count} are too many for a device"),
                ));
            }
        }
        let refinement = options.refinement();
        Ok(ProblemTemplate {
            shape: shape.clone(),
            options: *options,
            results: storage_code(T::STORAGE),
            refinement: i32::try_from(refinement).unwrap_or(i32::MAX),
            pair: upload(pair_rows(options, shape.order()))?,
            triple: triple_rows(options, shape.order()).map(upload).transpose()?,
            point_scales: options
                .follow_growth
                .then(|| {
                    let count = shape.batch.saturating_mul(shape.points);
                    Buffer::unwritten(device, "growth", count)
                })
                .transpose()?,
            layouts: shape.layouts(),
        })
    }

    /// Returns the options of the solve.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Computes the factors of the rows of a problem whose growth is to be followed, and brings them
    /// to the device.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], and [`Error::Device`] if the device fails.
    pub fn follow_growth<T: Real>(&mut self, problem: &Problem<'_, T>) -> Result<()> {
        match &mut self.point_scales {
            Some(scales) => scales.copy_from_host("growth", &point_scales(problem, &self.options)?),
            None => Ok(()),
        }
    }

    /// Returns the problem of these systems of the batch, of which `inputs` holds the inputs.
    ///
    /// # Errors
    /// [`Error::Argument`] if an input has fewer values than these systems need.
    pub fn problem<'a>(
        &'a self,
        inputs: Inputs<Values<'a>>,
        systems: Range<usize>,
    ) -> Result<PartProblem<'a>> {
        let ProblemTemplate { shape, options, .. } = self;
        let Range { start: first, .. } = systems;
        let systems = systems.len();
        for (name, (values, layout)) in Inputs::NAMES.zip(inputs.zip(self.layouts)) {
            check_at_least(name, layout.total(systems), values.len())?;
        }
        let Inputs { coefficients, rhs, initial_values, steps } = inputs
            .zip(self.layouts)
            .map(|(values, layout)| Counted::<Input>::new(values, &layout).array);
        let weights = &options.weights;
        let slack_cost = match options.formulation {
            Formulation::LeastSquares => 0.0,
            Formulation::SharedSlack { gamma, alpha } => gamma * alpha,
        };
        let slack = matches!(options.formulation, Formulation::SharedSlack { .. });
        let none = RowTable { table: std::ptr::null(), rows: 0, shift: 0 };
        let parameters = parameters::Problem {
            batch: systems as i64,
            points: shape.points as i64,
            states: shape.states() as i32,
            derivatives: shape.derivatives() as i32,
            equation_derivatives: shape.equation_derivatives() as i32,
            equations: shape.equations() as i32,
            initial_points: shape.initial_points() as i32,
            initial_derivatives: shape.initial_derivatives() as i32,
            periodic: i32::from(options.periodic),
            slack: i32::from(slack),
            balanced: i32::from(options.balanced()),
            results: self.results,
            refinement: self.refinement,
            reserved: 0,
            slack_cost,
            weight_equation: weights.equation,
            weight_initial: weights.initial,
            weight_smoothness: weights.smoothness,
            weight_periodic: weights.periodic,
            pair: row_table(&self.pair),
            triple: self.triple.as_ref().map_or(none, row_table),
            point_scales: self.point_scales.as_ref().map_or(std::ptr::null(), |scales| {
                let part = Values::from(scales).part(first * shape.points, systems * shape.points);
                part.address.pointer()
            }),
            coefficients,
            rhs,
            initial_values,
            steps,
        };
        Ok(PartProblem { parameters, layouts: self.layouts, arrays: PhantomData })
    }

    /// Returns the directions of the inputs of a part.
    pub fn tangents<'a>(&self, tangents: Inputs<Option<Values<'a>>>) -> TangentInputs<'a> {
        let inputs = tangents.zip(self.layouts).map(|(values, layout)| match values {
            Some(values) => Counted::<Input>::new(values, &layout),
            None => Counted::<Input>::none(),
        });
        TangentInputs { inputs, arrays: PhantomData }
    }
}

fn row_table((family, table): &(RowFamily, Buffer<f64>)) -> RowTable {
    RowTable {
        table: Values::from(table).address.pointer(),
        rows: family.rows as i32,
        shift: family.shift,
    }
}
