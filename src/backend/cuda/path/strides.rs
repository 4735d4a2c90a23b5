//! The strides of inputs on the device.

use crate::backend::cuda::path::problem::Values;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::problem::strided_inputs;
use crate::shape::{Places, ProblemShape};

/// How the inputs of a [`DeviceSolver`](crate::cuda::DeviceSolver) lie that are not all row-major: step first, or with
/// the axes of the batch in another order, or with gaps. They are read where they lie.
///
/// The values of a point must lie side by side, row-major: its (E, K, Qc) coefficients, (E) right-hand sides,
/// (K, J) initial values and (K) steps. The inputs together must have no more than three axes of the batch, after
/// those that every one of them goes through like a single axis are taken for one. An array with strides reaches
/// over less than 2³¹ values. What is otherwise must be copied.
///
/// ```no_run
/// use mechanistic::cuda::{DeviceArray, DeviceSolver, Strides, Values};
/// use mechanistic::{Device, Inputs, Options};
///
/// // u' + c u = 0 for 100 systems on 50 points, whose coefficients lie step first: (N, B, 1, 1, Qc).
/// let device = Device::cuda(0)?;
/// let gpu = device.gpu()?;
/// let axes = Inputs {
///     coefficients: &[100, 50, 1, 1, 2][..],
///     rhs: &[1, 1, 1],
///     initial_values: &[1, 1, 1, 1],
///     steps: &[1, 1],
/// };
/// let strides = Inputs { coefficients: Some(&[2, 200, 2, 2, 1][..]), ..Inputs::default() };
/// let strides = Strides::new(100, 50, axes, strides)?;
/// let mut solver = DeviceSolver::<f64>::new(gpu, strides.shape(), &Options::default())?;
/// let array = |len: usize| DeviceArray::from_host(gpu, "input", &vec![0.1; len]);
/// let inputs = strides.reach().try_map(array)?;
/// let mut solution = DeviceArray::unwritten(gpu, "solution", 100 * 50 * 2)?;
/// solver.solve(strides.of(inputs.as_ref().map(Values::from)), &mut solution)?;
/// # Ok::<(), mechanistic::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Strides {
    shape: ProblemShape,
    places: Inputs<Places>,
}

impl Strides {
    /// Makes those of B = `batch` systems on N = `points` time points, from the shapes of the arrays, as
    /// [`ProblemShape::new`] takes them, and the distances from one value to the next along each axis, in values;
    /// `None` for an array that lies row-major. Along an axis of the batch, of the points or of the states of steps,
    /// a stride of 0 shares the values, as an axis of length 1 does.
    ///
    /// # Errors
    /// Those of [`ProblemBuilder::build`](crate::ProblemBuilder::build).
    pub fn new(
        batch: usize,
        points: usize,
        axes: Inputs<&[usize]>,
        strides: Inputs<Option<&[isize]>>,
    ) -> Result<Self> {
        let (shape, places) = strided_inputs(batch, points, axes, strides)?;
        Ok(Strides { shape, places })
    }

    /// Returns the shape of the problem, without extra derivatives.
    pub fn shape(&self) -> &ProblemShape {
        &self.shape
    }

    /// Returns how many values each array has, from the first one to the last one.
    pub fn reach(&self) -> Inputs<usize> {
        self.places.as_ref().map(Places::reach)
    }

    /// Returns the inputs in arrays that have these strides.
    pub fn of<'a>(&'a self, inputs: Inputs<Values<'a>>) -> Inputs<Values<'a>> {
        inputs.zip(self.places.as_ref()).map(|(values, places)| values.at(places))
    }
}
