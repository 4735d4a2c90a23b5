//! Random problems of any shape.

use mechanistic::{
    Factorization, Formulation, Options, Problem, RowScaling, Smoothness, View, Weights,
};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Arrays that a [`Problem`] borrows, and what is solved.
#[derive(Clone, Debug)]
pub struct Case {
    pub batch: usize,
    pub points: usize,
    /// Derivatives of the solution beyond the coefficients' columns.
    pub extra_derivatives: usize,
    pub coefficients: Owned,
    pub rhs: Owned,
    pub initial_values: Owned,
    pub steps: Owned,
    pub options: Options,
}

/// A dense array.
#[derive(Clone, Debug)]
pub struct Owned {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Owned {
    fn random(
        shape: &[usize],
        random: &mut StdRng,
        mut value: impl FnMut(&mut StdRng) -> f64,
    ) -> Self {
        let count = shape.iter().product();
        Owned { shape: shape.to_vec(), data: (0..count).map(|_| value(random)).collect() }
    }

    pub fn view(&self) -> View<'_, f64> {
        View::new(&self.shape, &self.data)
    }

    /// Offset of an index; an axis of length 1 is shared.
    pub fn at(&self, index: &[usize]) -> usize {
        self.shape
            .iter()
            .zip(index)
            .fold(0, |offset, (&axis, &index)| offset * axis + if axis == 1 { 0 } else { index })
    }

    pub fn get(&self, index: &[usize]) -> f64 {
        self.data[self.at(index)]
    }
}

impl Case {
    pub fn problem(&self) -> Problem<'_, f64> {
        Problem::builder()
            .batch(self.batch)
            .points(self.points)
            .coefficients(self.coefficients.view())
            .rhs(self.rhs.view())
            .initial_values(self.initial_values.view())
            .steps(self.steps.view())
            .build()
            .unwrap()
            .with_extra_derivatives(self.extra_derivatives)
            .unwrap()
    }

    /// The inputs by name.
    pub fn inputs(&mut self) -> [(&'static str, &mut Owned); 4] {
        [
            ("coefficients", &mut self.coefficients),
            ("rhs", &mut self.rhs),
            ("initial_values", &mut self.initial_values),
            ("steps", &mut self.steps),
        ]
    }

    /// The inputs in the order of the solver: coefficients, right-hand side, initial values, steps.
    pub fn arrays(&self) -> [&Owned; 4] {
        [&self.coefficients, &self.rhs, &self.initial_values, &self.steps]
    }

    /// Standard normal-ish values in an array as long as `shape` asks for.
    pub fn noise(seed: u64, count: usize) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    /// A case of the given sizes; broadcast axes from the bits of `shared`.
    #[allow(clippy::too_many_arguments, reason = "one argument for each size of the problem")]
    pub fn new(
        batch: usize,
        points: usize,
        states: usize,
        order: usize,
        equations: usize,
        initial: (usize, usize),
        shared: u32,
        options: Options,
        seed: u64,
    ) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let axis = |bit: u32, full: usize| if shared >> bit & 1 == 1 { 1 } else { full };
        let mut steps = vec![axis(5, batch), axis(6, points - 1), axis(7, states)];
        if shared >> 7 & 1 == 1 && shared >> 8 & 1 == 1 {
            steps.pop();
        }
        let (initial_points, given) = initial;
        let signed = |random: &mut StdRng| random.random_range(-1.0..1.0);
        Case {
            batch,
            points,
            extra_derivatives: 0,
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
            options,
        }
    }
}

/// Any options.
pub fn options() -> impl Strategy<Value = Options> {
    let weight = || 0.5..2.0;
    (
        prop::sample::select(&Smoothness::ALL[..]),
        prop::option::of((0.1..1.0, -0.5..0.5)),
        (weight(), weight(), weight(), weight()),
        any::<bool>(),
        0..2usize,
        prop::sample::select(&RowScaling::ALL[..]),
        prop::sample::select(&[0.001, 0.5][..]),
        prop::sample::select(&Factorization::ALL[..]),
    )
        .prop_map(
            |(
                smoothness,
                slack,
                weights,
                periodic,
                refinement,
                scaling,
                roughness,
                factorization,
            )| {
                Options {
                    smoothness,
                    roughness,
                    scaling,
                    formulation: match slack {
                        Some((gamma, alpha)) => Formulation::SharedSlack { gamma, alpha },
                        None => Formulation::LeastSquares,
                    },
                    weights: Weights {
                        equation: weights.0,
                        initial: weights.1,
                        smoothness: weights.2,
                        periodic: weights.3,
                    },
                    periodic,
                    refinement_steps: Some(refinement),
                    factorization,
                }
            },
        )
}

/// Any small problem.
pub fn case() -> impl Strategy<Value = Case> {
    (1..=3usize, 1..=3usize, 0..=2usize, options()).prop_flat_map(
        |(states, order, extra, options)| {
            (
                prop_oneof![1..=2usize, 3..=11usize],
                2..=8usize,
                1..=states + 1,
                (0..=2usize, 0..=order + 1),
                0..512u32,
                any::<u64>(),
            )
                .prop_map(move |(batch, points, equations, initial, shared, seed)| {
                    Case {
                        extra_derivatives: extra,
                        ..Case::new(
                            batch, points, states, order, equations, initial, shared, options, seed,
                        )
                    }
                })
        },
    )
}
