//! How accurate solutions of nonlinear ODEs are with the default options, and how many iterations
//! they take, measured against the integrator of `reference.rs` on known systems (`odes.rs`).
//!
//! A system is added in the list of the first test alone. The README reports what the tests print
//! (`cargo test --test nonlinear -- --nocapture`).

use mechanistic::View;
use mechanistic::nonlinear::{
    NonlinearOde, NonlinearOptions, NonlinearProblem, NonlinearSolution, NonlinearSolver,
};

use crate::odes::{Duffing, Logistic, Lorenz, LotkaVolterra, Pendulum, VanDerPol};
use crate::reference;

/// The data of one system on a uniform grid.
struct System<'a> {
    /// Parameters θ, (L).
    theta: &'a [f64],
    /// Initial values, (K, m).
    start: &'a [f64],
    points: usize,
    step: f64,
}

impl System<'_> {
    fn solve<O: NonlinearOde + Copy>(&self, ode: O) -> NonlinearSolution {
        let parameters = [1, self.theta.len()];
        let initial_values = [1, ode.states(), ode.order()];
        let problem = NonlinearProblem::new(
            1,
            self.points,
            View::new(&parameters, self.theta),
            View::new(&initial_values, self.start),
            View::new(&[1, 1], std::slice::from_ref(&self.step)),
        )
        .unwrap();
        let options = NonlinearOptions::default();
        let mut solver = NonlinearSolver::new(ode, problem.shape(), &options).unwrap();
        solver.solve(&problem).unwrap().clone()
    }

    /// Returns the largest error of u. Prints it with the numbers of iterations, and checks that
    /// the solver converged in at most two over the whole grid.
    fn error_within_two_iterations<O: NonlinearOde + Copy>(&self, name: &str, ode: O) -> f64 {
        let solution = self.solve(ode);
        let found = solution.status[0];
        assert!(found.is_converged(), "{name}: {found:?}");
        let grid = Grid { points: self.points, step: self.step };
        let error = grid.error(&ode, self.theta, self.start, &solution.values);
        println!(
            "{name}: {} points, step {}: error {error:.1e}, {} iterations after {} over windows",
            self.points, self.step, solution.iterations[0], solution.window_iterations[0],
        );
        assert!(solution.iterations[0] <= 2, "{name}");
        error
    }
}

/// A uniform grid, which begins at t = 0.
struct Grid {
    points: usize,
    step: f64,
}

impl Grid {
    /// Returns the largest error of u in one trajectory (N, K, m + 2), which carries the
    /// derivatives up to the m-th and one more.
    fn error(&self, ode: &impl NonlinearOde, theta: &[f64], start: &[f64], values: &[f64]) -> f64 {
        let times: Vec<f64> = (0..self.points).map(|t| self.step * t as f64).collect();
        let exact = reference::trajectory(ode, theta, start, &times);
        let (states, order) = (ode.states(), ode.order());
        assert_eq!(values.len(), self.points * states * (order + 2));
        let pairs = values.chunks_exact(order + 2).zip(exact.chunks_exact(order));
        pairs.map(|(value, exact)| (value[0] - exact[0]).abs()).fold(0.0, f64::max)
    }
}

#[test]
fn known_systems_are_solved_to_one_millionth() {
    let case = |theta, start, points, step| System { theta, start, points, step };
    let logistic = case(&[1.0, 1.0], &[0.1], 101, 0.1);
    let mild = case(&[1.0], &[2.0, 0.0], 401, 0.025);
    let stiff = case(&[5.0], &[2.0, 0.0], 2001, 0.005);
    let pendulum = case(&[1.0, 0.1], &[3.0, 0.0], 401, 0.025);
    let prey = case(&[1.5, 1.0, 1.0, 3.0], &[1.0, 1.0], 1001, 0.01);
    let short = case(&[10.0, 28.0, 8.0 / 3.0], &[-8.0, 7.0, 27.0], 51, 0.002);
    let long = case(&[10.0, 28.0, 8.0 / 3.0], &[-8.0, 7.0, 27.0], 1001, 0.001);
    let forced = case(&[0.2, -1.0, 1.0, 0.3, 1.2], &[0.5, 0.0], 801, 0.025);
    for error in [
        logistic.error_within_two_iterations("logistic", Logistic),
        mild.error_within_two_iterations("Van der Pol, μ = 1", VanDerPol),
        stiff.error_within_two_iterations("Van der Pol, μ = 5", VanDerPol),
        pendulum.error_within_two_iterations("pendulum", Pendulum),
        prey.error_within_two_iterations("Lotka-Volterra", LotkaVolterra),
        short.error_within_two_iterations("Lorenz, 50 steps", Lorenz),
        long.error_within_two_iterations("Lorenz, 1000 steps", Lorenz),
        forced.error_within_two_iterations("Duffing", Duffing),
    ] {
        assert!(error <= 1e-6, "{error}");
    }
}

#[test]
fn the_error_falls_with_the_fourth_power_of_the_step() {
    let error = |points: usize| {
        let case =
            System { theta: &[1.0], start: &[2.0, 0.0], points, step: 10.0 / (points - 1) as f64 };
        case.error_within_two_iterations("Van der Pol", VanDerPol)
    };
    let errors = [201, 401, 801].map(error);
    for pair in errors.windows(2) {
        let order = (pair[0] / pair[1]).log2();
        assert!(order >= 3.8, "{order}");
    }
}

/// Returns numbers between 0 and 1 that look random and are the same in every run: multiples of the
/// golden ratio without their whole part.
fn scattered(i: usize) -> f64 {
    (1.0 + i as f64 * 0.618_033_988_749_894_9).fract()
}

#[test]
fn a_thousand_parameter_sets_at_once() {
    let (batch, points, step) = (1000, 201, [0.01]);
    let (theta_axes, start_axes) = ([batch, 4], [batch, 2, 1]);
    let theta: Vec<f64> = (0..batch * 4).map(|i| 0.5 + 1.5 * scattered(i)).collect();
    let start: Vec<f64> = (0..batch * 2).map(|i| 0.5 + scattered(7 * i + 3)).collect();
    let problem = NonlinearProblem::new(
        batch,
        points,
        View::new(&theta_axes, &theta),
        View::new(&start_axes, &start),
        View::new(&[1, 1], &step),
    )
    .unwrap();
    let options = NonlinearOptions::default();
    let mut solver = NonlinearSolver::new(LotkaVolterra, problem.shape(), &options).unwrap();
    let solution = solver.solve(&problem).unwrap();
    assert!(solution.status.iter().all(|status| status.is_converged()));

    let grid = Grid { points, step: step[0] };
    let mut worst = 0.0_f64;
    for (b, values) in solution.values.chunks_exact(points * 2 * 3).enumerate() {
        let (theta, start) = (&theta[b * 4..][..4], &start[b * 2..][..2]);
        worst = worst.max(grid.error(&LotkaVolterra, theta, start, values));
    }
    let most = |iterations: &[usize]| *iterations.iter().max().unwrap();
    println!(
        "1000 Lotka-Volterra systems: error {worst:.1e}, at most {} iterations after {} over windows",
        most(&solution.iterations),
        most(&solution.window_iterations),
    );
    assert!(worst <= 1e-6, "{worst}");
}
