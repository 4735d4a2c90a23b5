//! Forward solve, adjoint and one training step over the shapes of the README's table.
//!
//! `cargo bench --bench solver`; the same shapes are timed with `mnn bench`, next to LAPACK, by
//! `cargo xtask peers --only lapack`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mechanistic::nn::{Activation, Mlp, Optimizer, Parameters, Rng, Rule};
use mechanistic::tape::{Array, Ode, Tape};
use mechanistic::{Cotangent, Inputs, Options, Problem, Real, Smoothness, Solver, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::hint::black_box;
use std::time::Duration;

/// The shapes (B, N, K, order) of the problems that are timed.
const SHAPES: [(usize, usize, usize, usize); 9] = [
    (1, 1000, 1, 2),
    (1, 10_000, 1, 2),
    (100, 1000, 1, 2),
    (1536, 50, 1, 2),
    (3000, 50, 1, 2),
    (512, 50, 3, 1),
    (4096, 64, 2, 2),
    (256, 64, 8, 2),
    (30, 50, 10, 2),
];

/// Arrays of a random problem with its own coefficients at every point of every system.
struct Arrays<T> {
    shapes: [Vec<usize>; 4],
    data: [Vec<T>; 4],
    cotangent: Vec<T>,
}

impl<T: Real> Arrays<T> {
    fn new((b, n, k, order): (usize, usize, usize, usize)) -> Self {
        let mut random = StdRng::seed_from_u64(0);
        let q = order + 1;
        let shapes = [vec![b, n, k, k, q], vec![b, n, k], vec![b, 1, k, order], vec![b, n - 1]];
        let mut values = |count: usize, from: f64, to: f64| -> Vec<T> {
            (0..count).map(|_| T::of(random.random_range(from..to))).collect()
        };
        let count = |shape: &Vec<usize>| shape.iter().product();
        let data = [
            values(count(&shapes[0]), -1.0, 1.0),
            values(count(&shapes[1]), -1.0, 1.0),
            values(count(&shapes[2]), -1.0, 1.0),
            values(count(&shapes[3]), 0.05, 0.15),
        ];
        Arrays { shapes, data, cotangent: values(b * n * k * q, -1.0, 1.0) }
    }

    fn problem(&self, batch: usize, points: usize) -> Problem<'_, T> {
        let view = |index: usize| View::new(&self.shapes[index], &self.data[index]);
        Problem::builder()
            .batch(batch)
            .points(points)
            .coefficients(view(0))
            .rhs(view(1))
            .initial_values(view(2))
            .steps(view(3))
            .build()
            .unwrap()
    }
}

/// Returns the options with which the published solver computes.
fn published() -> Options {
    Options { smoothness: Smoothness::TaylorHold, refinement_steps: Some(0), ..Options::default() }
}

fn solver<T: Real>(criterion: &mut Criterion) {
    for shape in SHAPES {
        let (b, n, k, order) = shape;
        let arrays = Arrays::<T>::new(shape);
        let problem = arrays.problem(b, n);
        let mut solver = Solver::new(problem.shape(), &published()).unwrap();
        let cotangent = Cotangent { values: &arrays.cotangent, epsilon: None };
        let name = format!("B{b} N{n} K{k} order{order}");
        criterion.benchmark_group(format!("solve {}", T::NAME)).bench_function(
            BenchmarkId::from_parameter(&name),
            |bencher| {
                bencher.iter(|| black_box(solver.solve(&problem).unwrap().values[0]));
            },
        );
        criterion.benchmark_group(format!("adjoint {}", T::NAME)).bench_function(
            BenchmarkId::from_parameter(&name),
            |bencher| {
                bencher.iter(|| black_box(solver.vjp(&problem, &cotangent).unwrap().inputs.rhs[0]));
            },
        );
    }
}

/// One Adam step of a small network: example → MLP → time-varying coefficients of a second-order
/// equation → solve → mean squared error, B = 512, N = 50.
fn training_step(criterion: &mut Criterion) {
    let (batch, points) = (512, 50);
    let mut parameters = Parameters::<f64>::new();
    let mut rng = Rng::new(0);
    let sizes = [8, 64, 64, 3 * points];
    let net = Mlp::new(&mut parameters, "net", &sizes, Activation::Tanh, &mut rng).unwrap();
    let mut optimizer = Optimizer::new(Rule::adam(), 1e-4);
    let mut random = StdRng::seed_from_u64(0);
    let mut array = |shape: &[usize]| {
        let count = shape.iter().product();
        let values = (0..count).map(|_| random.random_range(-1.0..1.0)).collect();
        Array::new(shape, values).unwrap()
    };
    let (input, target) = (array(&[batch, 8]), array(&[batch, points, 1, 1]));
    let initial = array(&[batch, 1, 1, 2]);
    let constant = |shape: &[usize], value: f64| Array::new(shape, vec![value]).unwrap();
    let mut tape = Tape::new();
    let mut step = || -> mechanistic::Result<f64> {
        tape.clear();
        let x = tape.constant(input.clone());
        let flat = net.forward(&mut tape, &parameters, x)?;
        let ode = Ode {
            batch,
            points,
            inputs: Inputs {
                coefficients: tape.reshape(flat, [batch, points, 1, 1, 3])?,
                rhs: tape.constant(constant(&[1, 1, 1], 0.0)),
                initial_values: tape.constant(initial.clone()),
                steps: tape.constant(constant(&[1, 1], 0.1)),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let values = tape.slice(solution, 3, 0..1)?;
        let target = tape.constant(target.clone());
        let loss = tape.mse(values, target)?;
        let gradients = tape.backward(loss)?;
        optimizer.step(&mut parameters, &gradients)?;
        tape.scalar(loss)
    };
    criterion.bench_function("training step f64/B512 N50 K1 order2", |bencher| {
        bencher.iter(|| black_box(step().unwrap()));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = solver::<f64>, solver::<f32>, training_step
}
criterion_main!(benches);
