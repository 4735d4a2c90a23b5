//! All that a solver computes, by name.

use super::case::{Case, noise};
use mechanistic::{Cotangent, Result, Solver, Status, Tangents};

/// What a solve and its derivatives return.
#[derive(Debug, PartialEq)]
pub struct Results {
    pub status: Vec<Status>,
    /// Every array with its name.
    pub arrays: Vec<(&'static str, Vec<f64>)>,
}

impl Results {
    /// All numbers as bits.
    pub fn bits(&self) -> Vec<u64> {
        self.arrays.iter().flat_map(|(_, values)| values).map(|value| value.to_bits()).collect()
    }
}

/// Solves and differentiates; the right-hand side has no direction.
pub fn results(solver: &mut Solver<f64>, case: &Case) -> Result<Results> {
    let problem = case.problem();
    let solution = solver.solve(&problem)?.clone();
    let residuals = solver.residuals(&problem)?;
    let residuals =
        residuals.iter().flat_map(|r| [r.equation, r.initial, r.smoothness, r.periodic]);
    let residuals = residuals.collect();
    let variances = solver.variances(&problem)?.to_vec();
    let cotangent = noise::<f64>(20, solution.values.len());
    let epsilon = noise::<f64>(21, case.batch);
    let of_loss = Cotangent { values: &cotangent, epsilon: Some(&epsilon) };
    let gradients = solver.vjp(&problem, &of_loss)?.clone();
    let inverse = solver.inverse(&problem, &of_loss)?.clone();
    let weights = gradients.weights;
    let directions = case.directions(22);
    let all = directions.as_ref().map(|direction| Some(direction.as_slice()));
    let tangents = Tangents { rhs: None, ..all };
    let tangent = solver.jvp(&problem, &tangents)?.clone();
    let arrays = vec![
        ("solution", solution.values),
        ("epsilon", solution.epsilon),
        ("residuals", residuals),
        ("variances", variances),
        ("gradient of coefficients", gradients.inputs.coefficients),
        ("gradient of rhs", gradients.inputs.rhs),
        ("gradient of initial_values", gradients.inputs.initial_values),
        ("gradient of steps", gradients.inputs.steps),
        (
            "gradient of weights",
            vec![weights.equation, weights.initial, weights.smoothness, weights.periodic],
        ),
        ("tangent", tangent.values),
        ("tangent of epsilon", tangent.epsilon),
        ("inverse", inverse.values),
        ("epsilon of inverse", inverse.epsilon),
    ];
    Ok(Results { status: solution.status, arrays })
}
