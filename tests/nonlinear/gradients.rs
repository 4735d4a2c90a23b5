//! Gradients of a trajectory loss against central differences of the discrete solution.

#[cfg(feature = "cuda")]
use mechanistic::Device;
use mechanistic::nonlinear::{
    NonlinearGradients, NonlinearOde, NonlinearOptions, NonlinearProblem, NonlinearSolver,
};
use mechanistic::{Options, Smoothness, View};

use crate::odes::{Duffing, Implicit, Lorenz, LotkaVolterra, Pendulum};

/// Inputs with their shapes: parameters, initial values, steps.
#[derive(Clone)]
struct Inputs {
    batch: usize,
    points: usize,
    arrays: [(Vec<usize>, Vec<f64>); 3],
}

impl Inputs {
    /// Two systems; `shared` of the three inputs have one set of values for both, the others get
    /// a second set a little apart. Steps vary by a factor of two.
    fn new(points: usize, theta: &[f64], start: &[&[f64]], step: f64, shared: [bool; 3]) -> Self {
        let steps: Vec<f64> =
            (0..points - 1).map(|t| step * (1.0 + 0.3 * (t as f64).sin())).collect();
        let axes = [vec![theta.len()], vec![start.len(), start[0].len()], vec![points - 1]];
        let values = [theta.to_vec(), start.concat(), steps];
        let mut sets = axes.into_iter().zip(values).zip(shared);
        let arrays = std::array::from_fn(|_| {
            let ((mut axes, mut values), shared) = sets.next().unwrap();
            if !shared {
                values.extend(values.clone().iter().map(|value| 1.05 * value));
            }
            axes.insert(0, if shared { 1 } else { 2 });
            (axes, values)
        });
        Inputs { batch: 2, points, arrays }
    }

    fn problem(&self) -> NonlinearProblem<'_> {
        let [theta, start, steps] =
            self.arrays.each_ref().map(|(axes, values)| View::new(axes, values));
        NonlinearProblem::new(self.batch, self.points, theta, start, steps)
            .unwrap()
            .starting_at(0.3)
    }
}

/// Σ (u_k^(j) − target)² over all points and derivatives up to m, and its slope.
fn loss(values: &[f64], derivatives: usize) -> (f64, Vec<f64>) {
    let target = |i: usize| (0.37 * i as f64).cos();
    let counted = |i: usize| i % derivatives + 1 < derivatives;
    let difference = |(i, value): (usize, &f64)| if counted(i) { value - target(i) } else { 0.0 };
    let differences: Vec<f64> = values.iter().enumerate().map(difference).collect();
    let sum = differences.iter().map(|d| d * d).sum();
    (sum, differences.iter().map(|d| 2.0 * d).collect())
}

/// Compares every gradient with central differences of fourth order.
fn check<O: NonlinearOde + Copy>(name: &str, ode: O, inputs: &Inputs, linear: Options) {
    let options = NonlinearOptions { linear, tolerance: 1e-11, ..NonlinearOptions::default() };
    let mut solver = NonlinearSolver::new(ode, inputs.problem().shape(), &options).unwrap();
    let derivatives = solver.trajectory_shape()[3];
    let value = |solver: &mut NonlinearSolver<O>, inputs: &Inputs| {
        let solution = solver.solve(&inputs.problem()).unwrap();
        assert!(solution.status.iter().all(|s| s.is_converged()), "{name}: {:?}", solution.status);
        loss(&solution.values, derivatives)
    };
    let (sum, cotangent) = value(&mut solver, inputs);
    let NonlinearGradients { parameters, initial_values, steps, remainder, .. } =
        solver.vjp(&inputs.problem(), &cotangent).unwrap().clone();
    assert!(remainder.iter().all(|&remainder| remainder <= 1e-13), "{name}: {remainder:?}");
    for (a, gradient) in [parameters, initial_values, steps].iter().enumerate() {
        assert_eq!(gradient.len(), inputs.arrays[a].1.len());
        let largest = gradient.iter().fold(0.0_f64, |max, g| max.max(g.abs()));
        for (i, exact) in gradient.iter().enumerate() {
            let delta = 1e-3 * inputs.arrays[a].1[i].abs().max(0.1);
            let mut moved = |change: f64| {
                let mut inputs = inputs.clone();
                inputs.arrays[a].1[i] += change;
                value(&mut solver, &inputs).0
            };
            let near = moved(delta) - moved(-delta);
            let far = moved(2.0 * delta) - moved(-2.0 * delta);
            let difference = (8.0 * near - far) / (12.0 * delta);
            assert!(
                (exact - difference).abs() <= 1e-7 * (largest + 1e-2 * sum),
                "{name}, input {a}, element {i}: {exact} {difference}"
            );
        }
    }
}

fn hermite() -> Options {
    NonlinearOptions::default().linear
}

#[test]
fn a_chaotic_system_with_inputs_of_each_system() {
    let start: [&[f64]; 3] = [&[-8.0], &[7.0], &[27.0]];
    let inputs = Inputs::new(25, &[10.0, 28.0, 8.0 / 3.0], &start, 0.01, [false; 3]);
    check("Lorenz", Lorenz, &inputs, hermite());
}

#[test]
fn shared_inputs_have_the_sum_of_the_gradients() {
    let start: [&[f64]; 1] = [&[2.0, 0.1]];
    for shared in [[true, false, false], [false, true, true]] {
        let inputs = Inputs::new(20, &[1.5, 0.2], &start, 0.1, shared);
        check("pendulum", Pendulum, &inputs, hermite());
    }
}

#[test]
fn a_step_moves_the_times_of_all_later_points() {
    let start: [&[f64]; 1] = [&[0.5, 0.2]];
    let inputs = Inputs::new(20, &[0.2, -1.0, 1.0, 0.8, 1.2], &start, 0.1, [false, true, false]);
    check("Duffing", Duffing, &inputs, hermite());
}

#[test]
fn an_equation_that_is_not_solved_for_the_highest_derivative() {
    let inputs = Inputs::new(20, &[2.0], &[&[1.0]], 0.1, [false; 3]);
    check("implicit", Implicit, &inputs, hermite());
}

/// Taylor rows compete with the equation, so that F is far from zero at the solution and its
/// second derivatives matter.
#[test]
fn an_equation_that_is_not_satisfied_exactly() {
    let start: [&[f64]; 2] = [&[1.0], &[0.7]];
    let inputs = Inputs::new(12, &[1.5, 1.0, 1.0, 3.0], &start, 0.1, [false; 3]);
    for smoothness in [Smoothness::Taylor, Smoothness::TaylorHold, Smoothness::TaylorCentral] {
        let linear = Options { smoothness, ..Options::default() };
        check(smoothness.name(), LotkaVolterra, &inputs, linear);
    }
}

/// The linear solves of every iteration and of the adjoint run on a GPU.
#[cfg(feature = "cuda")]
#[test]
fn a_gpu_finds_the_same_trajectories_and_gradients() {
    crate::driver::simulated();
    let inputs =
        Inputs::new(41, &[1.5, 1.0, 1.0, 3.0], &[&[1.0], &[1.0]], 0.02, [false, true, true]);
    let problem = inputs.problem();
    let options = NonlinearOptions::default();
    let run = |device: &Device| {
        let mut solver =
            NonlinearSolver::on(device, LotkaVolterra, problem.shape(), &options).unwrap();
        let solution = solver.solve(&problem).unwrap().clone();
        assert!(solution.status.iter().all(|status| status.is_converged()));
        let (_, cotangent) = loss(&solution.values, 3);
        (solution.values, solver.vjp(&problem, &cotangent).unwrap().parameters.clone())
    };
    let (expected, expected_gradient) = run(&Device::Cpu);
    let (values, gradient) = run(&Device::cuda(0).unwrap());
    for (actual, expected) in [(values, expected), (gradient, expected_gradient)] {
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        approx::assert_abs_diff_eq!(actual[..], expected[..], epsilon = 1e-9 * largest);
    }
    crate::driver::assert_no_reports();
}
