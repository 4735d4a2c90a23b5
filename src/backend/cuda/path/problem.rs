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
use crate::backend::cuda::path::places::{Axes, Reading, reading};
use crate::backend::cuda::path::{Counted, PartProblem, TangentInputs};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::options::{Formulation, Options};
use crate::problem::Problem;
use crate::real::{Real, Storage, Stored};
use crate::rows::{RowFamily, pair_rows, triple_rows};
use crate::shape::{FIRST_INNER, InputLayout, Places, ProblemShape};

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
    /// Places of an input that does not lie row-major.
    places: Option<&'a Places>,
    /// Number of the system that the array begins with, if it has not those of the whole batch.
    first: usize,
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
            places: None,
            first: 0,
            array: PhantomData,
        }
    }
}

impl<'a> Values<'a> {
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

    /// Returns the values of an input that lie at these places.
    pub(crate) fn at(self, places: &'a Places) -> Self {
        Values { places: Some(places), ..self }
    }

    /// Returns the values of an input that are those of the systems from this one on.
    pub(crate) fn beginning_with(self, first: usize) -> Self {
        Values { first, ..self }
    }

    /// Returns the places of an input, if it does not lie row-major.
    pub(crate) fn places(&self) -> Option<&'a Places> {
        self.places
    }

    /// Returns `count` values from `start` on.
    pub(crate) fn part(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.len, "a part lies within its array");
        Values { address: self.address.offset(start * self.value_bytes), len: count, ..self }
    }
}

/// The layout of the gradient of the weights: 4 values, shared by all systems.
pub(crate) const WEIGHTS: InputLayout = InputLayout { values: 4, system: 0, inner: [0; 3] };

impl Input {
    /// Makes the direction of an input that does not move.
    pub fn none() -> Self {
        Input {
            data: std::ptr::null(),
            system: 0,
            outer: [0; 2],
            time: 0,
            state: 0,
            each: 0,
            shared: 0,
            dense: 1,
            storage: 0,
            reserved: 0,
        }
    }

    /// Returns the input of these systems of a batch with these axes. `places` are its places if it has none of
    /// its own, and `points` is the number of its axis of points.
    fn new(
        name: &str,
        values: Values<'_>,
        layout: &InputLayout,
        (places, points): (&Places, usize),
        axes: &Axes,
        systems: &Range<usize>,
    ) -> Result<Self> {
        let places = values.places.unwrap_or(places);
        let input =
            |first: usize, [system, outer @ ..]: [usize; 3], time: usize, dense: bool| Input {
                data: values.address.offset(first * values.value_bytes).pointer(),
                system: system as i64,
                outer: outer.map(|outer| outer as i64),
                time: time as i64,
                state: layout.inner[1] as i32,
                each: layout.inner[0] as i32,
                shared: i32::from(layout.shared()),
                dense: i32::from(dense),
                storage: values.storage,
                reserved: 0,
            };
        match reading(places, points) {
            Reading::Dense => {
                let first = (systems.start - values.first) * layout.system;
                check_at_least(name, first + layout.total(systems.len()), values.len)?;
                Ok(input(first, [layout.system, 0, 0], layout.inner[0], true))
            }
            Reading::Strided => {
                check_at_least(name, places.reach(), values.len)?;
                // Kernels count the systems of a launch along one axis, and those of the batch along several.
                let first = if axes.are_several() { 0 } else { places.of(systems.start) };
                Ok(input(first, axes.distances(places), places.inner()[points].stride, false))
            }
            Reading::No => {
                let message = "the values of a point do not lie side by side, or places of the array exceed \
                               2³¹: a row-major copy is needed, with values for every system";
                Err(Error::argument(name, message))
            }
        }
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
    /// Layouts of the gradients, in which every system has values of its own unless all share them.
    pub layouts: Inputs<InputLayout>,
    /// Which inputs share some axes of the batch and not others.
    pub partly: Inputs<bool>,
    /// Places of the inputs in row-major arrays of their own shapes.
    pub places: Inputs<Places>,
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
            layouts: shape.expanded().layouts(),
            partly: shape.partly_shared(),
            places: shape.places(),
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
        let axes = self.axes(inputs)?;
        let arrays = inputs.zip(self.layouts).zip(self.places.as_ref().zip(FIRST_INNER));
        let Inputs { coefficients, rhs, initial_values, steps } =
            Inputs::NAMES.zip(arrays).try_map(|(name, ((values, layout), places))| {
                Input::new(name, values, &layout, places, &axes, &systems)
            })?;
        let range = systems;
        let Range { start: first, .. } = range;
        let systems = range.len();
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
            axes: axes.for_launch(first),
            coefficients,
            rhs,
            initial_values,
            steps,
        };
        Ok(PartProblem { parameters, layouts: self.layouts, axes, range, arrays: PhantomData })
    }

    /// Returns the directions of the inputs of a part of a problem.
    ///
    /// # Errors
    /// [`Error::Argument`] if one has fewer values than the systems of the part need.
    pub fn tangents<'a>(
        &self,
        problem: &PartProblem<'_>,
        tangents: Inputs<Option<Values<'a>>>,
    ) -> Result<TangentInputs<'a>> {
        let arrays = tangents.zip(self.layouts).zip(self.places.as_ref().zip(FIRST_INNER));
        let inputs = Inputs::NAMES.zip(arrays).try_map(|(name, ((values, layout), places))| {
            let name = format!("direction of {name}");
            let PartProblem { axes, range, .. } = problem;
            let input = |values| Input::new(&name, values, &layout, places, axes, range);
            values.map_or(Ok(Input::none()), input)
        })?;
        Ok(TangentInputs { inputs, arrays: PhantomData })
    }

    /// Returns the axes of the batch in inputs, and in arrays of their shapes where kernels can follow these.
    fn axes(&self, inputs: Inputs<Values<'_>>) -> Result<Axes> {
        let given =
            inputs.zip(self.places.as_ref()).map(|(values, own)| values.places.unwrap_or(own));
        self.axes_of(given).or_else(|| Axes::of(strided(given))).ok_or_else(|| {
            let message = "the inputs lie along more than three axes of the batch, or 2³¹ systems and more: \
                           copies are needed that are row-major, with values for every system";
            Error::argument("batch", message)
        })
    }

    /// Returns the axes of the batch in inputs at these places, and in arrays of their shapes, if kernels can
    /// follow them.
    pub fn axes_of(&self, places: Inputs<&Places>) -> Option<Axes> {
        Axes::of(strided(places).chain(strided(self.places.as_ref())))
    }
}

/// Iterates over the places of the inputs that are not dense.
fn strided<'a>(places: Inputs<&'a Places>) -> impl Iterator<Item = &'a Places> {
    let strided =
        |(places, points): &(&'a Places, usize)| reading(places, *points) != Reading::Dense;
    places.zip(FIRST_INNER).into_iter().filter(strided).map(|(places, _)| places)
}

fn row_table((family, table): &(RowFamily, Buffer<f64>)) -> RowTable {
    RowTable {
        table: Values::from(table).address.pointer(),
        rows: family.rows as i32,
        shift: family.shift,
    }
}
