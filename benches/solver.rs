//! Forward solve, adjoint and one training step over the shapes of the README's table.
//!
//! `cargo bench --bench solver`; the same shapes are timed with `mnn bench`, next to LAPACK, by
//! benches/peers/lapack.py.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mechanistic::{Cotangent, Options, Problem, Real, Solver, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::hint::black_box;
use std::time::Duration;

/// (B, N, K, order).
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
        Problem::new(batch, points, view(0), view(1), view(2), view(3)).unwrap()
    }
}

fn solver<T: Real>(criterion: &mut Criterion) {
    for shape in SHAPES {
        let (b, n, k, order) = shape;
        let arrays = Arrays::<T>::new(shape);
        let problem = arrays.problem(b, n);
        let mut solver = Solver::new(problem.shape(), &Options::default()).unwrap();
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
                bencher.iter(|| black_box(solver.vjp(&problem, &cotangent).unwrap().rhs[0]));
            },
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = solver::<f64>, solver::<f32>
}
criterion_main!(benches);
