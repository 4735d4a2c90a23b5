//! The damping μ of a Van der Pol oscillator from samples of its trajectory, from a hundred first
//! guesses at once: `cargo run --release --example nonlinear`.

use mechanistic::nonlinear::{
    Jet, NonlinearOde, NonlinearOptions, NonlinearProblem, NonlinearSolver, Number,
};
use mechanistic::{Result, View};

/// u'' − μ (1 − u²) u' + u = 0 with θ = (μ).
#[derive(Clone, Copy)]
struct VanDerPol;

impl NonlinearOde for VanDerPol {
    fn states(&self) -> usize {
        1
    }
    fn order(&self) -> usize {
        2
    }
    fn parameters(&self) -> usize {
        1
    }
    fn residual<S: Number>(&self, _t: S, u: Jet<'_, S>, theta: &[S], f: &mut [S]) {
        let (x, velocity, acceleration) = (u[(0, 0)], u[(0, 1)], u[(0, 2)]);
        f[0] = acceleration - theta[0] * (S::from(1.0) - x * x) * velocity + x;
    }
}

const POINTS: usize = 201;
/// Values of a point: u, u', u'' and one derivative more.
const Q: usize = 4;

/// Oscillators from u = 2 at rest, on 0 ≤ t ≤ 5.
fn oscillators<'a>(axes: &'a [usize; 2], mu: &'a [f64]) -> Result<NonlinearProblem<'a>> {
    NonlinearProblem::new(
        mu.len(),
        POINTS,
        View::new(axes, mu),
        View::new(&[1, 1, 2], &[2.0, 0.0]),
        View::new(&[1, 1], &[0.025]),
    )
}

fn main() -> Result<()> {
    let options = NonlinearOptions::default();
    let truth = oscillators(&[1, 1], &[1.5])?;
    let mut solver = NonlinearSolver::new(VanDerPol, truth.shape(), &options)?;
    let data = solver.solve(&truth)?.values.clone();

    let axes = [100, 1];
    let mut mu: Vec<f64> = (0..axes[0]).map(|b| 0.5 + 0.03 * b as f64).collect();
    let mut solver = NonlinearSolver::new(VanDerPol, oscillators(&axes, &mu)?.shape(), &options)?;
    let mut trajectories = solver.solve(&oscillators(&axes, &mu)?)?.values.clone();
    for iteration in 0..=20 {
        let problem = oscillators(&axes, &mu)?;
        // The last trajectories are a good start for the next ones.
        let solution = solver.solve_from(&problem, &trajectories)?;
        trajectories.copy_from_slice(&solution.values);
        let linear_solves: usize = solution.iterations.iter().sum();

        // ℓ = mean (u − data)², and ∂ℓ/∂u.
        let mut cotangent = vec![0.0; trajectories.len()];
        let mut loss = 0.0;
        for (i, slope) in cotangent.iter_mut().enumerate().step_by(Q) {
            let misfit = trajectories[i] - data[i % data.len()];
            loss += misfit * misfit / POINTS as f64;
            *slope = 2.0 * misfit / POINTS as f64;
        }
        let gradient = &solver.vjp(&problem, &cotangent)?.parameters;
        if iteration % 5 == 0 {
            let worst = mu.iter().map(|mu| (mu - 1.5).abs()).fold(0.0, f64::max);
            println!(
                "{iteration:3}  mean loss {:.1e}  largest error of μ {worst:.1e}  iterations {}",
                loss / mu.len() as f64,
                linear_solves as f64 / mu.len() as f64,
            );
        }
        mu.iter_mut().zip(gradient).for_each(|(mu, gradient)| *mu -= 0.5 * gradient);
    }
    Ok(())
}
