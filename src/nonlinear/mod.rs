//! Nonlinear ODEs: Gauss-Newton iterations, each of which is one batched linear solve, in double
//! precision.
//!
//! A system is F(t, u, u', …, u^(m); θ) = 0, K equations for K states, with initial values of
//! u, …, u^(m−1). On a grid, the trajectory z (u and its derivatives at every point) minimizes
//!
//! ```text
//! ½ Σ_t ‖F(t, z_t; θ)‖²  +  ½ ‖initial rows‖²  +  ½ ‖smoothness rows‖²
//! ```
//!
//! with the rows, weights and scaling of the linear solver ([`rows`](crate::rows)); Hermite rows
//! with one extra derivative are the default and of fourth order. Linearized about the current z,
//!
//! ```text
//! ∂F/∂u(z)·u + … + ∂F/∂u^(m)(z)·u^(m)  =  ∂F/∂u(z)·z + … + ∂F/∂u^(m)(z)·z^(m) − F(z),
//! ```
//!
//! it is a batch of linear ODEs (quasi-linearization), which [`Solver`](crate::Solver) solves for
//! all systems and all points at once. Each system then moves towards its solution by the largest
//! of 1, ½, ¼, … of the way that does not raise its own sum of squares. A system is done when an
//! iteration changes it by less than a tolerance; from then on it stays as it is.
//!
//! # Start
//!
//! [`NonlinearSolver::solve`] first goes through the grid window by window (17 points unless told
//! otherwise): every window starts from a trajectory that stands still at the end of the one
//! before, and is iterated as above. This needs no other integrator, is as stable for stiff
//! equations as the rows are, and brings the whole grid so near that a few iterations over all of
//! it remain. Where errors grow more than about a thousandfold from one end of the grid to the
//! other (Lorenz over ten units of time), those last iterations may not converge; such a
//! trajectory is better solved in pieces. [`NonlinearSolver::solve_from`] takes a trajectory instead, e.g. the last one of a
//! training loop, and works on all points at once from the first iteration on.
//!
//! # Gradients
//!
//! [`NonlinearSolver::vjp`] differentiates the discrete solution by the implicit function theorem.
//! The solution is the fixed point z = Φ(z, p) of the undamped iteration, hence
//! dz/dp = (1 − ∂Φ/∂z)⁻¹ ∂Φ/∂p, and with w̄ = z̄ + (∂Φ/∂z)ᵀ w̄ the gradient is (∂Φ/∂p)ᵀ w̄ (B.
//! Christianson, *Reverse accumulation and attractive fixed points*, Optimization Methods and
//! Software 3, 1994). ∂Φ/∂z is the linear solver's adjoint followed by second derivatives of F; it
//! is proportional to F at the solution, which is not zero where the equation and the smoothness
//! rows disagree, but small, so that a sweep or two suffice. Nothing is neglected beyond the
//! rounding and the tolerance to which z is a fixed point.
//!
//! # Example
//!
//! ```
//! use mechanistic::View;
//! use mechanistic::nonlinear::{
//!     Jet, NonlinearOde, NonlinearOptions, NonlinearProblem, NonlinearSolver, Number,
//! };
//!
//! /// Logistic growth u' = r u (1 − u) with θ = (r).
//! struct Logistic;
//!
//! impl NonlinearOde for Logistic {
//!     fn states(&self) -> usize {
//!         1
//!     }
//!     fn order(&self) -> usize {
//!         1
//!     }
//!     fn parameters(&self) -> usize {
//!         1
//!     }
//!     fn residual<S: Number>(&self, _t: S, u: Jet<'_, S>, theta: &[S], f: &mut [S]) {
//!         let x = u[(0, 0)];
//!         f[0] = u[(0, 1)] - theta[0] * x * (S::from(1.0) - x);
//!     }
//! }
//!
//! # fn main() -> mechanistic::Result<()> {
//! // Three growth rates from u(0) = 0.1, on 0 ≤ t ≤ 5.
//! let (batch, points) = (3, 51);
//! let problem = NonlinearProblem::new(
//!     batch,
//!     points,
//!     View::new(&[3, 1], &[0.5, 1.0, 2.0]),
//!     View::new(&[1, 1, 1], &[0.1]),
//!     View::new(&[1, 1], &[0.1]),
//! )?;
//! let mut solver = NonlinearSolver::new(Logistic, problem.shape(), &NonlinearOptions::default())?;
//! let solution = solver.solve(&problem)?;
//! for (b, rate) in [0.5, 1.0, 2.0].into_iter().enumerate() {
//!     assert!(solution.status[b].is_converged());
//!     // (B, N, K, Q) with Q = 3: u, u' and the extra u''.
//!     let end = solution.values[(b * points + points - 1) * 3];
//!     assert!((end - 1.0 / (1.0 + 9.0 * f64::exp(-5.0 * rate))).abs() < 2e-6);
//! }
//!
//! // The gradient of the sum of the three values at t = 5.
//! let mut cotangent = vec![0.0; batch * points * 3];
//! (0..batch).for_each(|b| cotangent[(b * points + points - 1) * 3] = 1.0);
//! let gradients = solver.vjp(&problem, &cotangent)?;
//! assert_eq!(gradients.parameters.len(), 3);
//! # Ok(())
//! # }
//! ```

mod adjoint;
mod defects;
mod dual;
mod newton;
mod ode;
mod problem;
mod solver;
mod sweep;

pub use adjoint::NonlinearGradients;
pub use dual::{Dual, Number};
pub use ode::{Jet, NonlinearOde};
pub use problem::{NonlinearProblem, NonlinearShape};
pub use solver::{Convergence, NonlinearOptions, NonlinearSolution, NonlinearSolver};
