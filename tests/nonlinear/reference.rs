//! Trajectories to compare with: Dormand and Prince's eighth-order pair at a tight tolerance.

use mechanistic::nonlinear::{Jet, NonlinearOde};
use ode_solvers::{DVector, Dop853, OutputType, System};

const TOLERANCE: f64 = 1e-13;

/// An equation of the form F = u^(m) − f(t, u, …, u^(m−1)) as a system of first order: the states
/// one after another, each with its derivatives below m, and last the time, t' = 1. (`Dop853` of
/// ode_solvers 0.6.2 loses its order where its own time occurs in the system.)
struct FirstOrder<'a, O> {
    ode: &'a O,
    theta: &'a [f64],
}

impl<O: NonlinearOde> System<f64, DVector<f64>> for FirstOrder<'_, O> {
    fn system(&self, _: f64, y: &DVector<f64>, dy: &mut DVector<f64>) {
        let (states, order) = (self.ode.states(), self.ode.order());
        let t = y[states * order];
        let mut jet = vec![0.0; states * (order + 1)];
        for (jet, y) in jet.chunks_exact_mut(order + 1).zip(y.as_slice().chunks_exact(order)) {
            jet[..order].copy_from_slice(y);
        }
        let mut f = vec![0.0; states];
        self.ode.residual(t, Jet::new(&jet, order + 1), self.theta, &mut f);
        for k in 0..states {
            for j in 0..order {
                let highest = j + 1 == order;
                dy[k * order + j] = if highest { -f[k] } else { y[k * order + j + 1] };
            }
        }
        dy[states * order] = 1.0;
    }
}

/// (N, K, m): u, …, u^(m−1) at the given times.
pub fn trajectory(
    ode: &impl NonlinearOde,
    theta: &[f64],
    start: &[f64],
    times: &[f64],
) -> Vec<f64> {
    let mut y = DVector::from_iterator(start.len() + 1, start.iter().chain(&times[..1]).copied());
    let mut values = start.to_vec();
    for pair in times.windows(2) {
        let length = pair[1] - pair[0];
        let system = FirstOrder { ode, theta };
        let mut solver = Dop853::new(system, pair[0], pair[1], length, y, TOLERANCE, TOLERANCE);
        solver.set_output(OutputType::Sparse);
        solver.integrate().unwrap();
        y = solver.y_out().last().unwrap().clone();
        values.extend(y.iter().take(start.len()));
    }
    values
}
