//! What one thread does alone starts no other, and comes out the same. A binary of its own, with one test,
//! because the threads that are counted are the process's.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "nonlinear/odes.rs"]
mod odes;
mod support;

use mechanistic::discovery::{Dataset, Method, Settings, Trajectory, discover};
use mechanistic::nn::{Optimizer, Parameters, Rule};
use mechanistic::nonlinear::{NonlinearOptions, NonlinearProblem, NonlinearSolver};
use mechanistic::tape::{Array, Tape};
use mechanistic::{Cotangent, Options, Solver, View, on_one_thread};
use odes::Logistic;
use std::fs;
use std::ops::ControlFlow;
use support::case::{Case, Sizes, noise};

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Solutions and gradients of the coefficients.
fn results(case: &Case<f64>) -> (Vec<f64>, Vec<f64>) {
    let problem = case.problem();
    let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
    let values = solver.solve(&problem).unwrap().values.clone();
    let cotangent = noise(1, values.len());
    let cotangent = Cotangent { values: &cotangent, epsilon: None };
    let gradients = solver.vjp(&problem, &cotangent).unwrap();
    (values, gradients.inputs.coefficients.to_vec())
}

/// A matrix of weights after a step of training, large enough for several threads.
fn trained() -> Vec<f64> {
    let array = |seed| Array::new([160, 160], noise(seed, 160 * 160)).unwrap();
    let mut parameters = Parameters::new();
    let weights = parameters.insert("weights", array(1)).unwrap();
    let mut optimizer = Optimizer::new(Rule::adam(), 0.1).with_clip(1.0);
    let mut tape = Tape::new();
    let (x, w) = (tape.leaf(array(2)), tape.parameter(&parameters, weights).unwrap());
    let y = tape.matmul(x, w).and_then(|y| tape.tanh(y)).unwrap();
    let loss = tape.sum_all(y).unwrap();
    let gradients = tape.backward(loss).unwrap();
    optimizer.step(&mut parameters, &gradients).unwrap();
    parameters.get(weights).unwrap().data().to_vec()
}

/// Logistic growth in eight systems, and the gradient of the parameters.
fn grown() -> (Vec<f64>, Vec<f64>) {
    let theta: Vec<f64> = (0..8).flat_map(|b| [1.0 + 0.1 * f64::from(b), 2.0]).collect();
    let problem = NonlinearProblem::new(
        8,
        21,
        View::new(&[8, 2], &theta),
        View::new(&[1, 1, 1], &[0.5]),
        View::new(&[1, 1], &[0.1]),
    )
    .unwrap();
    let options = NonlinearOptions::default();
    let mut solver = NonlinearSolver::new(Logistic, problem.shape(), &options).unwrap();
    let values = solver.solve(&problem).unwrap().values.clone();
    let gradients = solver.vjp(&problem, &noise(3, values.len())).unwrap();
    (values, gradients.parameters.clone())
}

/// What a method finds in two series that decay, by itself with the choice of all models or of one.
fn discovered(method: Method, automatic: bool) -> Vec<String> {
    let time: Vec<f64> = (0..60).map(|t| 0.1 * f64::from(t)).collect();
    let noise: Vec<f64> = noise(4, 2 * time.len());
    let clean = time.iter().flat_map(|t| [(-0.5 * t).exp(), 2.0 * (-0.3 * t).exp()]);
    let values = clean.zip(noise).map(|(value, noise)| value + 0.01 * noise).collect();
    let data = Dataset {
        states: vec!["x".into(), "y".into()],
        trajectories: vec![Trajectory { time, values, inputs: vec![] }],
        ..Dataset::default()
    };
    let settings = Settings { method, automatic, degree: 1, ..Settings::default() };
    let found = discover(&data, &settings, &mut |_| ControlFlow::Continue(())).unwrap();
    found.equations.iter().map(|equation| format!("{equation:?}")).collect()
}

#[test]
fn one_thread_starts_no_other() {
    let case = |batch, points, options| {
        Case::<f64>::new(Sizes { batch, points, ..Sizes::SMALL }, options, 1)
    };
    let plain = Options::default();
    let growth = Options { follow_growth: true, ..plain };
    // One matrix, many groups; two sets of chunks; the growth of many systems.
    let cases = [case(1000, 60, plain), case(1, 2050, plain), case(100, 30, growth)];
    let before = threads();
    let alone = cases.each_ref().map(|case| on_one_thread(|| results(case)));
    let trained_alone = on_one_thread(trained);
    let grown_alone = on_one_thread(grown);
    let searches = [(Method::Joint, false), (Method::Joint, true), (Method::Network, false)];
    let found = |(method, automatic)| discovered(method, automatic);
    let found_alone = on_one_thread(|| searches.map(found));
    let small = case(4, 20, plain);
    let of_small = results(&small);
    assert_eq!(threads(), before, "a thread was started");

    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let together = pool.install(|| cases.each_ref().map(results));
    assert!(threads() > before, "the threads of the pool are counted");
    assert!(alone == together);
    assert!(trained_alone == pool.install(trained));
    assert!(grown_alone == pool.install(grown));
    assert_eq!(found_alone, pool.install(|| searches.map(found)));
    assert!(of_small == pool.install(|| results(&small)));
}
