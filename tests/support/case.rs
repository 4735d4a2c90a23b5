//! A problem with its arrays. The unit tests of the library include this file too.

use mechanistic::{Inputs, Options, Problem, Real, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Arrays that a [`Problem`] borrows, and what is solved.
#[derive(Clone, Debug)]
pub struct Case<T = f64> {
    pub batch: usize,
    pub points: usize,
    /// Derivatives of the solution beyond the coefficients' columns.
    pub extra_derivatives: usize,
    pub inputs: Inputs<Owned<T>>,
    pub options: Options,
}

/// A dense array.
#[derive(Clone, Debug)]
pub struct Owned<T = f64> {
    pub shape: Vec<usize>,
    pub data: Vec<T>,
}

/// Sizes of a case.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// B.
    pub batch: usize,
    /// N.
    pub points: usize,
    /// K.
    pub states: usize,
    /// The highest derivative in an equation.
    pub order: usize,
    /// Derivatives of the solution beyond it.
    pub extra: usize,
    /// E.
    pub equations: usize,
    /// I, J.
    pub initial: (usize, usize),
    /// Bits: shared axes of coefficients (batch, time), rhs (batch, time), initial values (batch),
    /// steps (batch, time, state); with one more bit, shared steps have no axis of states.
    pub shared: u32,
}

impl Sizes {
    /// Three small systems of two equations of second order, which share nothing.
    pub const SMALL: Sizes = Sizes {
        batch: 3,
        points: 5,
        states: 2,
        order: 2,
        extra: 0,
        equations: 2,
        initial: (1, 2),
        shared: 0,
    };
}

/// Numbers between −1 and 1 that look random and are the same every time.
pub fn noise<T: Real>(seed: u64, count: usize) -> Vec<T> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| T::of(random.random_range(-1.0..1.0))).collect()
}

impl<T: Real> Owned<T> {
    fn random(
        shape: &[usize],
        random: &mut StdRng,
        mut value: impl FnMut(&mut StdRng) -> f64,
    ) -> Self {
        let count = shape.iter().product();
        Owned { shape: shape.to_vec(), data: (0..count).map(|_| T::of(value(random))).collect() }
    }

    pub fn view(&self) -> View<'_, T> {
        View::new(&self.shape, &self.data)
    }

    /// Offset of an index; an axis of length 1 is shared.
    pub fn at(&self, index: &[usize]) -> usize {
        self.shape
            .iter()
            .zip(index)
            .fold(0, |offset, (&axis, &index)| offset * axis + if axis == 1 { 0 } else { index })
    }

    pub fn get(&self, index: &[usize]) -> T {
        self.data[self.at(index)]
    }

    fn map<U>(&self, value: impl Fn(T) -> U) -> Owned<U> {
        Owned { shape: self.shape.clone(), data: self.data.iter().map(|&x| value(x)).collect() }
    }

    /// The array with what all systems share repeated for each of so many.
    fn repeated(&self, batch: usize) -> Self {
        assert_eq!(self.shape[0], 1);
        let shape = [&[batch], &self.shape[1..]].concat();
        Owned { shape, data: self.data.repeat(batch) }
    }

    /// The part of one system of the batch.
    fn of_system(&self, system: usize) -> Self {
        let mut shape = self.shape.clone();
        let count = self.data.len() / shape[0];
        let first = if shape[0] == 1 { 0 } else { system * count };
        shape[0] = 1;
        Owned { shape, data: self.data[first..][..count].to_vec() }
    }
}

impl<T: Real> Case<T> {
    /// A case of these sizes with random numbers.
    pub fn new(sizes: Sizes, options: Options, seed: u64) -> Self {
        let Sizes { batch, points, states, order, extra, equations, initial, shared } = sizes;
        let mut random = StdRng::seed_from_u64(seed);
        let axis = |bit: u32, full: usize| if shared >> bit & 1 == 1 { 1 } else { full };
        let mut steps = vec![axis(5, batch), axis(6, points - 1), axis(7, states)];
        if shared >> 7 & 1 == 1 && shared >> 8 & 1 == 1 {
            steps.pop();
        }
        let (initial_points, given) = initial;
        let signed = |random: &mut StdRng| random.random_range(-1.0..1.0);
        let inputs = Inputs {
            coefficients: Owned::random(
                &[axis(0, batch), axis(1, points), equations, states, order + 1],
                &mut random,
                |random| 2.0 * signed(random),
            ),
            rhs: Owned::random(&[axis(2, batch), axis(3, points), equations], &mut random, signed),
            initial_values: Owned::random(
                &[axis(4, batch), initial_points, states, given],
                &mut random,
                signed,
            ),
            steps: Owned::random(&steps, &mut random, |random| random.random_range(0.3..0.9)),
        };
        Case { batch, points, extra_derivatives: extra, inputs, options }
    }

    pub fn problem(&self) -> Problem<'_, T> {
        let views = self.inputs.as_ref().map(Owned::view);
        Problem::builder()
            .batch(self.batch)
            .points(self.points)
            .coefficients(views.coefficients)
            .rhs(views.rhs)
            .initial_values(views.initial_values)
            .steps(views.steps)
            .build()
            .unwrap()
            .with_extra_derivatives(self.extra_derivatives)
            .unwrap()
    }

    /// The values of the inputs.
    pub fn arrays(&self) -> Inputs<&[T]> {
        self.inputs.as_ref().map(|array| array.data.as_slice())
    }

    /// A direction in which every input is moved.
    pub fn directions(&self, seed: u64) -> Inputs<Vec<T>> {
        let mut seed = seed;
        self.arrays().map(|array| {
            seed += 1;
            noise(seed, array.len())
        })
    }

    /// The case with every value of the inputs mapped.
    pub fn map<U>(&self, value: impl Fn(T) -> U) -> Case<U> {
        Case {
            batch: self.batch,
            points: self.points,
            extra_derivatives: self.extra_derivatives,
            inputs: self.inputs.as_ref().map(|array| array.map(&value)),
            options: self.options,
        }
    }

    /// The case, whose systems share coefficients and steps, in which each has its own copy of them.
    pub fn with_own_matrices(&self) -> Self {
        let Inputs { coefficients, rhs, initial_values, steps } = &self.inputs;
        let inputs = Inputs {
            coefficients: coefficients.repeated(self.batch),
            rhs: rhs.clone(),
            initial_values: initial_values.clone(),
            steps: steps.repeated(self.batch),
        };
        Case { inputs, ..self.clone() }
    }

    /// One system of the batch alone.
    pub fn system(&self, system: usize) -> Self {
        let inputs = self.inputs.as_ref().map(|array| array.of_system(system));
        Case { batch: 1, inputs, ..self.clone() }
    }
}
