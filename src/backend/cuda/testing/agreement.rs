//! Random problems, whose results on the device are compared with those of the processor.

use crate::adjoint::Cotangent;
use crate::backend::Device;
use crate::backend::Engine as _;
use crate::backend::cuda::{solve::engine::Engine, testing};
use crate::inputs::Inputs;
use crate::options::{Options, Weights};
use crate::problem::{Problem, View};
use crate::real::Real;
use crate::solution::{Solution, Status};

/// Numbers that look random and are the same every time, between −1 and 1 (splitmix64).
pub fn noise(seed: u64, count: usize) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    })
    .take(count)
}

/// Arrays that a [`Problem`] borrows, and what is solved.
#[derive(Clone)]
pub struct Case<T> {
    pub batch: usize,
    pub points: usize,
    pub extra: usize,
    pub shapes: Inputs<Vec<usize>>,
    pub arrays: Inputs<Vec<T>>,
    pub options: Options,
}

/// Sizes of a case.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub points: usize,
    pub states: usize,
    pub order: usize,
    pub extra: usize,
    pub equations: usize,
    /// I, J.
    pub initial: (usize, usize),
    /// Bits: shared axes of coefficients (batch, time), rhs (batch, time), initial values (batch),
    /// steps (batch, time, state).
    pub shared: u32,
}

impl<T: Real> Case<T> {
    pub fn new(sizes: Sizes, options: Options, seed: u64) -> Self {
        let Sizes { batch, points, states, order, extra, equations, initial, shared } = sizes;
        let axis = |bit: u32, full: usize| if shared >> bit & 1 == 1 { 1 } else { full };
        let shapes = Inputs {
            coefficients: vec![axis(0, batch), axis(1, points), equations, states, order + 1],
            rhs: vec![axis(2, batch), axis(3, points), equations],
            initial_values: vec![axis(4, batch), initial.0, states, initial.1],
            steps: vec![axis(5, batch), axis(6, points - 1), axis(7, states)],
        };
        // Scale and center of the values of each input.
        let ranges = Inputs {
            coefficients: (2.0, 0.0),
            rhs: (1.0, 0.0),
            initial_values: (1.0, 0.0),
            steps: (0.3, 0.6),
        };
        let seeds = Inputs::from([0, 1, 2, 3]).map(|index| seed * 4 + index);
        let arrays =
            shapes.as_ref().zip(ranges.zip(seeds)).map(|(shape, ((scale, center), seed))| {
                let values = noise(seed, shape.iter().product());
                values.map(|value| T::of(center + scale * value)).collect()
            });
        Case { batch, points, extra, shapes, arrays, options }
    }

    pub fn problem(&self) -> Problem<'_, T> {
        let views = self
            .shapes
            .as_ref()
            .zip(self.arrays.as_ref())
            .map(|(shape, array)| View::new(shape, array));
        let problem = Problem::builder()
            .batch(self.batch)
            .points(self.points)
            .coefficients(views.coefficients)
            .rhs(views.rhs)
            .initial_values(views.initial_values)
            .steps(views.steps)
            .build()
            .unwrap();
        problem.with_extra_derivatives(self.extra).unwrap()
    }
}

/// Number of the systems that could not be solved; all others must be bit for bit as in `sound`.
pub fn count_faulty<T: Real>(sound: &Solution<T>, broken: &Solution<T>) -> usize {
    let size = sound.values.len() / sound.status.len();
    let bits = |values: &[T]| values.iter().map(|v| v.to_double().to_bits()).collect::<Vec<_>>();
    let mut faulty = 0;
    for (system, status) in broken.status.iter().enumerate() {
        if status.is_ok() {
            let range = system * size..(system + 1) * size;
            let (sound, broken) = (&sound.values[range.clone()], &broken.values[range]);
            assert_eq!(bits(sound), bits(broken), "system {system}");
        } else {
            faulty += 1;
        }
    }
    faulty
}

/// Largest difference relative to the largest value.
fn difference<T: Real>(actual: &[T], expected: &[T]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let mut largest = f64::MIN_POSITIVE;
    let mut difference = 0.0_f64;
    for (&actual, &expected) in actual.iter().zip(expected) {
        let (actual, expected) = (actual.to_double(), expected.to_double());
        assert_eq!(actual.is_nan(), expected.is_nan());
        if !expected.is_nan() {
            largest = largest.max(expected.abs());
            difference = difference.max((actual - expected).abs());
        }
    }
    difference / largest
}

/// Solution, gradients, directional derivative and residuals on the device and on the processor,
/// where all values of an array may differ by so much of the largest.
pub fn compare<T: Real>(
    device: Engine<T>,
    case: &Case<T>,
    tolerance: f64,
    what: &str,
) -> Solution<T> {
    compare_in_part(device, case, tolerance, what, |status| status)
}

/// The same where of a status only what `part` leaves of it must agree.
pub fn compare_in_part<T: Real>(
    mut device: Engine<T>,
    case: &Case<T>,
    tolerance: f64,
    what: &str,
    part: fn(Status) -> Status,
) -> Solution<T> {
    let problem = case.problem();
    let (shape, options) = (problem.shape(), &case.options);
    let values: usize = shape.solution().iter().product();
    let mut processor = crate::backend::engine::<T>(&Device::Cpu, shape, options).unwrap();
    let empty = || Solution::allocate(shape).unwrap();
    let check = |name: &str, actual: &[T], expected: &[T]| {
        let difference = difference(actual, expected);
        assert!(difference <= tolerance, "{what}: {name} differs by {difference:e}");
    };

    let (mut actual, mut expected) = (empty(), empty());
    device.solve(&problem, &mut actual).unwrap();
    processor.solve(&problem, &mut expected).unwrap();
    for (&actual, &expected) in actual.status.iter().zip(&expected.status) {
        assert_eq!(part(actual), part(expected), "{what}");
    }
    check("solution", &actual.values, &expected.values);
    check("epsilon", &actual.epsilon, &expected.epsilon);

    let cotangent: Vec<T> = noise(11, values).map(T::of).collect();
    let epsilon: Vec<T> = noise(10, case.batch).map(T::of).collect();
    let cotangent = Cotangent { values: &cotangent, epsilon: Some(&epsilon) };
    let mine = device.vjp(&problem, &cotangent, &actual.status).unwrap();
    let theirs = processor.vjp(&problem, &cotangent, &expected.status).unwrap();
    for (name, (mine, theirs)) in
        Inputs::NAMES.zip(mine.inputs.as_ref().zip(theirs.inputs.as_ref()))
    {
        check(&format!("gradient of {name}"), mine, theirs);
    }
    let families = |weights: &Weights| {
        [weights.equation, weights.initial, weights.smoothness, weights.periodic].map(T::of)
    };
    check("gradient of weights", &families(&mine.weights), &families(&theirs.weights));

    let directions = Inputs::from([12, 13, 14, 15])
        .zip(case.arrays.as_ref())
        .map(|(seed, values)| noise(seed, values.len()).map(T::of).collect::<Vec<T>>());
    let all = directions.as_ref().map(|direction| Some(direction.as_slice()));
    for (name, tangents) in
        [("tangent", all), ("tangent along rhs", Inputs { rhs: all.rhs, ..Inputs::default() })]
    {
        let mine = device.jvp(&problem, &tangents, &expected.status).unwrap();
        let theirs = processor.jvp(&problem, &tangents, &expected.status).unwrap();
        check(name, &mine.values, &theirs.values);
        check("tangent of epsilon", &mine.epsilon, &theirs.epsilon);
    }

    let mine = device.residuals(&problem, &actual.status).unwrap();
    for (mine, theirs) in mine.iter().zip(processor.residuals(&problem, &expected.status).unwrap())
    {
        for (mine, theirs) in [
            (mine.equation, theirs.equation),
            (mine.initial, theirs.initial),
            (mine.smoothness, theirs.smoothness),
            (mine.periodic, theirs.periodic),
        ] {
            let close = (mine - theirs).abs() <= tolerance * theirs.abs().max(1.0);
            let same = mine == theirs || mine.is_nan() && theirs.is_nan();
            assert!(close || same, "{what}: {mine} and {theirs}");
        }
    }
    assert_eq!(testing::reports(), Vec::<String>::new());
    actual
}
