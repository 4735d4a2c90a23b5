//! The matrix products of a linear layer, in both precisions: its output, and the gradients of its input
//! and of its weight; the time of the gradients has a copy of the output's in it.
//!
//! `cargo bench --bench products`; `cargo xtask peers --only products` lets NumPy take turns with it.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mechanistic::Real;
use mechanistic::tape::{Array, Tape};
use std::time::{Duration, Instant};

/// The sizes (m, k, n) of a layer: rows, inputs, outputs.
const SIZES: [[usize; 3]; 4] =
    [[512, 1024, 1024], [512, 150, 1024], [8410, 144, 16], [25_600, 10, 3]];

fn products<T: Real>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("products/{}", T::NAME));
    for [m, k, n] in SIZES {
        let array = |rows: usize, columns: usize| {
            let numbers = (0..rows * columns).map(|i| T::of((i % 7) as f64));
            Array::new([rows, columns], numbers.collect()).unwrap()
        };
        let (x, w, gradient) = (array(m, k), array(k, n), array(m, n));
        let mut tape = Tape::<T>::new();
        for (part, products) in [("output", 1), ("gradients", 2)] {
            group.throughput(Throughput::Elements((products * 2 * m * k * n) as u64));
            let id = BenchmarkId::new(part, format!("{m} x {k} x {n}"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|count| {
                    let mut times = [Duration::ZERO; 2];
                    for _ in 0..count {
                        tape.clear();
                        let (x, w) = (tape.leaf(x.clone()), tape.leaf(w.clone()));
                        let begin = Instant::now();
                        let y = tape.matmul(x, w).unwrap();
                        let middle = Instant::now();
                        let gradients = tape.backward_from(y, &gradient).unwrap();
                        times[0] += middle - begin;
                        times[1] += middle.elapsed();
                        tape.recycle(gradients);
                    }
                    times[products - 1]
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = products::<f64>, products::<f32>
}
criterion_main!(benches);
