//! The equation F(t, u, u', …, u^(m); θ) = 0 at one point, as the user writes it, and its
//! derivatives.

use std::ops::Index;

use super::dual::{Dual, Number};

/// A system of K equations F(t, u, u', …, u^(m); θ) = 0 for K states.
///
/// F is written once, for any [`Number`]; all its derivatives follow by dual numbers.
///
/// ```
/// use mechanistic::nonlinear::{Jet, NonlinearOde, Number};
///
/// /// u'' − μ (1 − u²) u' + u = 0 with θ = (μ).
/// struct VanDerPol;
///
/// impl NonlinearOde for VanDerPol {
///     fn states(&self) -> usize {
///         1
///     }
///     fn order(&self) -> usize {
///         2
///     }
///     fn parameters(&self) -> usize {
///         1
///     }
///     fn residual<S: Number>(&self, _t: S, u: Jet<'_, S>, theta: &[S], f: &mut [S]) {
///         let (x, velocity, acceleration) = (u[(0, 0)], u[(0, 1)], u[(0, 2)]);
///         f[0] = acceleration - theta[0] * (S::from(1.0) - x * x) * velocity + x;
///     }
/// }
/// ```
pub trait NonlinearOde: Sync {
    /// Returns K, the number of states and of equations.
    fn states(&self) -> usize;
    /// Returns m ≥ 1, the order of the highest derivative that occurs.
    fn order(&self) -> usize;
    /// Returns L, the number of parameters of a system.
    fn parameters(&self) -> usize;
    /// Writes the K values of F at the time t to `f`; F must be twice differentiable.
    fn residual<S: Number>(&self, t: S, u: Jet<'_, S>, theta: &[S], f: &mut [S]);
}

/// The states and their derivatives at one point: `u[(k, j)]` is u_k^(j), k < K, j ≤ m.
#[derive(Clone, Copy, Debug)]
pub struct Jet<'a, S> {
    /// Values, (K, m + 1).
    values: &'a [S],
    derivatives: usize,
}

impl<'a, S> Jet<'a, S> {
    /// Makes a jet of `values` (K, m + 1), row-major, with m + 1 = `derivatives`.
    ///
    /// # Panics
    /// When the number of values is not a multiple of `derivatives`.
    pub fn new(values: &'a [S], derivatives: usize) -> Self {
        assert!(values.len().is_multiple_of(derivatives), "(K, m + 1) values");
        Jet { values, derivatives }
    }
}

impl<S> Index<(usize, usize)> for Jet<'_, S> {
    type Output = S;

    #[inline(always)]
    fn index(&self, (k, j): (usize, usize)) -> &S {
        assert!(j < self.derivatives, "u^({j}) in an equation of order {}", self.derivatives - 1);
        &self.values[k * self.derivatives + j]
    }
}

/// The number of directions in which F is differentiated at once.
const LANES: usize = 4;

/// An evaluator of F and of its derivatives with respect to the arguments x = (u, t, θ), of which
/// the first K·(m + 1) are u.
pub(super) struct Evaluator<'a, O> {
    ode: &'a O,
    states: usize,
    derivatives: usize,
    /// Arguments x at the current point.
    arguments: Vec<f64>,
    first: Workspace<f64>,
    second: Workspace<Dual<f64, 1>>,
    plain: Vec<f64>,
}

/// The arguments and the results with their derivatives.
struct Workspace<S> {
    arguments: Vec<Dual<S, LANES>>,
    results: Vec<Dual<S, LANES>>,
}

impl<S: Number> Workspace<S> {
    fn new(arguments: usize, results: usize) -> Self {
        let zero = Dual::from(0.0);
        Workspace { arguments: vec![zero; arguments], results: vec![zero; results] }
    }

    /// Evaluates F with its derivatives with respect to the arguments from number `from` on.
    fn differentiate(&mut self, ode: &impl NonlinearOde, from: usize, derivatives: usize) {
        let to = (from + LANES).min(self.arguments.len());
        for (lane, x) in self.arguments[from..to].iter_mut().enumerate() {
            *x = Dual::variable(x.value, lane);
        }
        evaluate(ode, &self.arguments, derivatives, &mut self.results);
        for x in &mut self.arguments[from..to] {
            *x = Dual::constant(x.value);
        }
    }
}

fn evaluate<S: Number>(ode: &impl NonlinearOde, x: &[S], derivatives: usize, results: &mut [S]) {
    let (u, rest) = x.split_at(results.len() * derivatives);
    ode.residual(rest[0], Jet::new(u, derivatives), &rest[1..], results);
}

/// The derivatives ∂ℓ/∂c and ∂ℓ/∂b for one equation of one point of the linearization c·u = b, with
/// c = ∂F/∂u and b = c·u − F.
pub(super) struct EquationCotangent<'a> {
    /// Derivatives ∂ℓ/∂c, (K, m + 1).
    pub coefficients: &'a [f64],
    pub rhs: f64,
}

impl<'a, O: NonlinearOde> Evaluator<'a, O> {
    pub fn new(ode: &'a O) -> Self {
        let (states, derivatives) = (ode.states(), ode.order() + 1);
        let arguments = states * derivatives + 1 + ode.parameters();
        Evaluator {
            ode,
            states,
            derivatives,
            arguments: vec![0.0; arguments],
            first: Workspace::new(arguments, states),
            second: Workspace::new(arguments, states),
            plain: vec![0.0; states],
        }
    }

    /// Moves to a point, where `block` (K, Q) holds u and at least m derivatives.
    pub fn at(&mut self, t: f64, block: &[f64], theta: &[f64]) -> &mut Self {
        let carried = block.len() / self.states;
        let (u, rest) = self.arguments.split_at_mut(self.states * self.derivatives);
        for (to, from) in u.chunks_exact_mut(self.derivatives).zip(block.chunks_exact(carried)) {
            to.copy_from_slice(&from[..self.derivatives]);
        }
        rest[0] = t;
        rest[1..].copy_from_slice(theta);
        self
    }

    /// Returns F at the point, (K).
    pub fn residual(&mut self) -> &[f64] {
        evaluate(self.ode, &self.arguments, self.derivatives, &mut self.plain);
        &self.plain
    }

    /// Computes the linearization c·u = b at the point: c = ∂F/∂u (K, K, m + 1) and b = c·u − F
    /// (K).
    pub fn linearize(&mut self, coefficients: &mut [f64], rhs: &mut [f64]) {
        let columns = self.states * self.derivatives;
        for (x, &value) in self.first.arguments.iter_mut().zip(&self.arguments) {
            *x = Dual::constant(value);
        }
        for from in (0..columns).step_by(LANES) {
            self.first.differentiate(self.ode, from, self.derivatives);
            let to = (from + LANES).min(columns);
            for (e, result) in self.first.results.iter().enumerate() {
                let row = &mut coefficients[e * columns..][from..to];
                row.copy_from_slice(&result.derivatives[..to - from]);
            }
        }
        for (e, b) in rhs.iter_mut().enumerate() {
            let row = &coefficients[e * columns..(e + 1) * columns];
            *b = -self.first.results[e].value;
            *b += row.iter().zip(&self.arguments).map(|(c, u)| c * u).sum::<f64>();
        }
    }

    /// Adds to `gradient` the part of ∂ℓ/∂x, x = (u, t, θ), that goes through equation e of the
    /// linearization. With c̄ = ∂ℓ/∂c, b̄ = ∂ℓ/∂b and v = c̄ + b̄ u, that part is ∂(v·∂F_e/∂u)/∂x,
    /// less b̄ ∂F_e/∂x in t and θ.
    pub fn pull_back(&mut self, e: usize, given: &EquationCotangent<'_>, gradient: &mut [f64]) {
        let columns = self.states * self.derivatives;
        for (i, x) in self.second.arguments.iter_mut().enumerate() {
            let value = self.arguments[i];
            let v = given.coefficients.get(i).map_or(0.0, |c| c + given.rhs * value);
            *x = Dual::constant(Dual { value, derivatives: [v] });
        }
        for from in (0..self.arguments.len()).step_by(LANES) {
            self.second.differentiate(self.ode, from, self.derivatives);
            let slopes = self.second.results[e].derivatives;
            for (i, (sum, slope)) in gradient[from..].iter_mut().zip(slopes).enumerate() {
                *sum += slope.derivatives[0];
                if from + i >= columns {
                    *sum -= given.rhs * slope.value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two coupled equations of order 2, three parameters, explicit time.
    struct Coupled;

    impl NonlinearOde for Coupled {
        fn states(&self) -> usize {
            2
        }
        fn order(&self) -> usize {
            2
        }
        fn parameters(&self) -> usize {
            3
        }
        fn residual<S: Number>(&self, t: S, u: Jet<'_, S>, theta: &[S], f: &mut [S]) {
            f[0] = u[(0, 2)] + theta[0] * u[(0, 1)] * u[(1, 0)].sin() - t * theta[2];
            f[1] = u[(1, 2)] * u[(0, 0)].exp() + u[(1, 1)].powi(2) * theta[1] * (t * t) - theta[2];
        }
    }

    const T: f64 = 0.8;
    const BLOCK: [f64; 6] = [0.3, -0.7, 1.1, 0.9, 0.2, -0.4];
    const THETA: [f64; 3] = [1.5, -0.6, 0.25];

    /// F with argument i of x = (u, t, θ) moved.
    fn linearized(i: usize, change: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (mut block, mut t, mut theta) = (BLOCK, T, THETA);
        match i {
            0..6 => block[i] += change,
            6 => t += change,
            _ => theta[i - 7] += change,
        }
        let mut evaluator = Evaluator::new(&Coupled);
        let (mut c, mut b) = (vec![0.0; 12], vec![0.0; 2]);
        evaluator.at(t, &block, &theta).linearize(&mut c, &mut b);
        (evaluator.residual().to_vec(), c, b)
    }

    #[test]
    fn the_linearization_is_tangent() {
        let (f, c, b) = linearized(0, 0.0);
        for e in 0..2 {
            let row = &c[e * 6..][..6];
            let through = row.iter().zip(BLOCK).map(|(c, u)| c * u).sum::<f64>() - b[e];
            assert!((through - f[e]).abs() < 1e-14);
            for i in 0..6 {
                let difference = (linearized(i, 1e-6).0[e] - linearized(i, -1e-6).0[e]) / 2e-6;
                assert!((row[i] - difference).abs() < 1e-8, "{} {difference}", row[i]);
            }
        }
    }

    #[test]
    fn the_pull_back_is_the_derivative_of_the_linearization() {
        let cotangent = [0.4, -1.2, 0.3, 0.8, 0.1, -0.5];
        let rhs = 0.7;
        let mut evaluator = Evaluator::new(&Coupled);
        evaluator.at(T, &BLOCK, &THETA);
        for e in 0..2 {
            let mut gradient = [0.0; 10];
            let given = EquationCotangent { coefficients: &cotangent, rhs };
            evaluator.pull_back(e, &given, &mut gradient);
            for (i, exact) in gradient.iter().enumerate() {
                let value = |change| {
                    let (_, c, b) = linearized(i, change);
                    let row = c[e * 6..][..6].iter().zip(cotangent);
                    row.map(|(c, cotangent)| c * cotangent).sum::<f64>() + rhs * b[e]
                };
                let difference = (value(1e-6) - value(-1e-6)) / 2e-6;
                assert!((exact - difference).abs() < 1e-8, "{e} {i}: {exact} {difference}");
            }
        }
    }
}
