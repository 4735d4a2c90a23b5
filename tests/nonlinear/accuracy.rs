//! Errors on stated grids, orders of convergence, iterations.

use mechanistic::View;
use mechanistic::nonlinear::{
    NonlinearOde, NonlinearOptions, NonlinearProblem, NonlinearSolution, NonlinearSolver,
};

use crate::odes::{Duffing, Logistic, Lorenz, LotkaVolterra, Pendulum, VanDerPol};
use crate::reference;

/// One system on a uniform grid.
struct Case<'a> {
    theta: &'a [f64],
    /// (K, m)
    start: &'a [f64],
    points: usize,
    step: f64,
}

impl Case<'_> {
    fn times(&self) -> Vec<f64> {
        (0..self.points).map(|t| self.step * t as f64).collect()
    }

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

    /// The largest error of u, and what the iterations took.
    fn error<O: NonlinearOde + Copy>(&self, name: &str, ode: O) -> f64 {
        let solution = self.solve(ode);
        let found = solution.status[0];
        assert!(found.is_converged(), "{name}: {found:?}");
        let exact = reference::trajectory(&ode, self.theta, self.start, &self.times());
        let error = largest_error(&solution.values, &exact, ode.order());
        println!(
            "{name}: {} points, step {}: error {error:.1e}, {} iterations after {} over windows",
            self.points, self.step, solution.iterations[0], solution.window_iterations[0],
        );
        error
    }
}

/// Of u alone: `values` (…, m + 2), `exact` (…, m).
fn largest_error(values: &[f64], exact: &[f64], order: usize) -> f64 {
    let pairs = values.chunks_exact(order + 2).zip(exact.chunks_exact(order));
    pairs.map(|(value, exact)| (value[0] - exact[0]).abs()).fold(0.0, f64::max)
}

#[test]
fn known_systems_are_solved_to_one_millionth() {
    let case = |theta, start, points, step| Case { theta, start, points, step };
    let logistic = case(&[1.0, 1.0], &[0.1], 101, 0.1);
    let mild = case(&[1.0], &[2.0, 0.0], 401, 0.025);
    let stiff = case(&[5.0], &[2.0, 0.0], 2001, 0.005);
    let pendulum = case(&[1.0, 0.1], &[3.0, 0.0], 401, 0.025);
    let prey = case(&[1.5, 1.0, 1.0, 3.0], &[1.0, 1.0], 1001, 0.01);
    let short = case(&[10.0, 28.0, 8.0 / 3.0], &[-8.0, 7.0, 27.0], 51, 0.002);
    let long = case(&[10.0, 28.0, 8.0 / 3.0], &[-8.0, 7.0, 27.0], 1601, 0.00125);
    let forced = case(&[0.2, -1.0, 1.0, 0.3, 1.2], &[0.5, 0.0], 801, 0.025);
    for error in [
        logistic.error("logistic", Logistic),
        mild.error("Van der Pol, μ = 1", VanDerPol),
        stiff.error("Van der Pol, μ = 5", VanDerPol),
        pendulum.error("pendulum", Pendulum),
        prey.error("Lotka-Volterra", LotkaVolterra),
        short.error("Lorenz, 50 steps", Lorenz),
        long.error("Lorenz, two time units", Lorenz),
        forced.error("Duffing", Duffing),
    ] {
        assert!(error <= 1e-6, "{error}");
    }
}
