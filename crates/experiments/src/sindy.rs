//! SINDy (Brunton et al., 2016), the baseline of equation discovery: derivatives by differences,
//! then a sparse linear regression on the library.

use mechanistic::discovery::{Dataset, Library, RightHandSide, Settings};

/// How the regression is made sparse.
#[derive(Clone, Copy, Debug)]
pub struct Stlsq {
    /// Coefficients below this are dropped.
    pub threshold: f64,
    /// Weight of the coefficients' squares.
    pub ridge: f64,
}

/// The defaults of the authors' package pysindy.
impl Default for Stlsq {
    fn default() -> Self {
        Stlsq { threshold: 0.1, ridge: 0.05 }
    }
}

/// Rounds of dropping, at most.
const ROUNDS: usize = 20;

/// Returns the right-hand side that sequentially thresholded least squares finds, from central
/// differences of second order (one-sided at the ends) of all trajectories, each of three points or
/// more. The terms that are left are fitted once more without the ridge, as in pysindy, unless they
/// depend on one another.
#[must_use]
pub fn stlsq<'a>(
    data: &Dataset,
    library: &'a Library,
    settings: &Settings,
    sparsity: Stlsq,
) -> RightHandSide<'a> {
    let (k, l) = (data.states.len(), library.len());
    let (mut features, mut slopes) = (Vec::new(), Vec::new());
    for trajectory in &data.trajectories {
        let rows: Vec<&[f64]> = trajectory.values.chunks_exact(k).collect();
        for i in 0..rows.len() {
            slopes.extend((0..k).map(|state| slope(&trajectory.time, &rows, i, state)));
            let mut terms = vec![0.0; l];
            library.values(rows[i], &mut terms);
            features.extend(terms);
        }
    }
    let mut rhs = RightHandSide::new(library, settings);
    for state in 0..k {
        let target: Vec<f64> = slopes.iter().skip(state).step_by(k).copied().collect();
        let mut kept: Vec<usize> = (0..l).collect();
        for _ in 0..ROUNDS {
            let coefficients = ridge_regression(&features, l, &kept, &target, sparsity.ridge);
            let own = &mut rhs.numerator[state * l..][..l];
            own.fill(0.0);
            for (&term, coefficient) in kept.iter().zip(&coefficients) {
                own[term] = *coefficient;
            }
            let before = kept.len();
            kept.retain(|&term| own[term].abs() >= sparsity.threshold);
            if kept.len() == before {
                break;
            }
        }
        let own = &mut rhs.numerator[state * l..][..l];
        own.fill(0.0);
        let mut coefficients = ridge_regression(&features, l, &kept, &target, 0.0);
        if coefficients.iter().any(|coefficient| !coefficient.is_finite()) {
            coefficients = ridge_regression(&features, l, &kept, &target, sparsity.ridge);
        }
        for (&term, coefficient) in kept.iter().zip(&coefficients) {
            own[term] = *coefficient;
        }
    }
    rhs
}

/// The slope at point i of the parabola through it and its neighbors, or through the three points at
/// an end.
fn slope(time: &[f64], rows: &[&[f64]], i: usize, state: usize) -> f64 {
    let middle = i.clamp(1, rows.len() - 2);
    let rise = |j: usize| (rows[j + 1][state] - rows[j][state]) / (time[j + 1] - time[j]);
    let (left, right) = (rise(middle - 1), rise(middle));
    let bend = (right - left) / (time[middle + 1] - time[middle - 1]);
    left + bend * (2.0 * time[i] - time[middle - 1] - time[middle])
}

/// argmin ‖Θξ − b‖² + ridge ‖ξ‖² over the kept columns of Θ (rows, l), by Cholesky.
fn ridge_regression(
    features: &[f64],
    l: usize,
    kept: &[usize],
    target: &[f64],
    ridge: f64,
) -> Vec<f64> {
    let n = kept.len();
    let (mut matrix, mut solution) = (vec![0.0; n * n], vec![0.0; n]);
    for (row, b) in features.chunks_exact(l).zip(target) {
        for (i, &a) in kept.iter().enumerate() {
            solution[i] += row[a] * b;
            for (j, &c) in kept[..=i].iter().enumerate() {
                matrix[i * n + j] += row[a] * row[c];
            }
        }
    }
    for i in 0..n {
        matrix[i * n + i] += ridge;
        for j in 0..=i {
            let sum: f64 = (0..j).map(|m| matrix[i * n + m] * matrix[j * n + m]).sum();
            let rest = matrix[i * n + j] - sum;
            matrix[i * n + j] = if i == j { rest.sqrt() } else { rest / matrix[j * n + j] };
        }
    }
    for i in 0..n {
        let sum: f64 = (0..i).map(|m| matrix[i * n + m] * solution[m]).sum();
        solution[i] = (solution[i] - sum) / matrix[i * n + i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|m| matrix[m * n + i] * solution[m]).sum();
        solution[i] = (solution[i] - sum) / matrix[i * n + i];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Truth, trajectories};

    #[test]
    fn a_linear_system_is_found() {
        let field = |u: &[f64], out: &mut [f64]| {
            out[0] = -0.1 * u[0] + 2.0 * u[1];
            out[1] = -2.0 * u[0] - 0.1 * u[1];
        };
        let truth = Truth { states: &["x", "y"], equations: "", field };
        let data = trajectories(&truth, &[vec![2.0, 0.0]], 0.01, 1000).unwrap();
        let settings = Settings::default();
        let library = Library::new(&data.states, &settings).unwrap();
        let sparsity = Stlsq { threshold: 0.05, ridge: 0.0 };
        let found = stlsq(&data, &library, &settings, sparsity);
        let expected = [0.0, -0.1, 2.0, 0.0, 0.0, 0.0, 0.0, -2.0, -0.1, 0.0, 0.0, 0.0];
        for (found, expected) in found.numerator.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
    }
}
