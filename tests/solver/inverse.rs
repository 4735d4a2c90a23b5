//! M⁻¹ q, from which second derivatives are made: against the variances, and the gradient of the
//! right-hand side.

use mechanistic::{Cotangent, Error, Formulation, Options, Problem, Smoothness, Solver, View};

const POINTS: usize = 6;
/// N·K·Q of one system.
const VALUES: usize = POINTS * 4;

/// Two systems, of which the second is not solved.
fn with_problem(work: impl FnOnce(&Problem<'_, f64>)) {
    let coefficients = [1.0, 0.5, 1.0, f64::NAN, 0.5, 1.0];
    let problem = Problem::builder()
        .points(POINTS)
        .coefficients(View::new(&[2, 1, 1, 1, 3], &coefficients))
        .rhs(View::new(&[1, 1, 1], &[0.25]))
        .initial_values(View::new(&[1, 1, 1, 2], &[1.0, 0.0]))
        .steps(View::new(&[1, 1], &[0.5]))
        .build()
        .and_then(|problem| problem.with_extra_derivatives(1));
    work(&problem.unwrap());
}

#[test]
fn unit_vectors_give_the_columns_of_the_inverse() {
    with_problem(|problem| {
        for smoothness in Smoothness::ALL {
            for formulation in
                [Formulation::LeastSquares, Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 }]
            {
                let options = Options { smoothness, formulation, ..Options::default() };
                let mut solver = Solver::new(problem.shape(), &options).unwrap();
                solver.solve(problem).unwrap();
                let variances = solver.variances(problem).unwrap().to_vec();
                let columns: Vec<Vec<f64>> = (0..VALUES)
                    .map(|i| {
                        let mut unit = vec![0.0; 2 * VALUES];
                        (unit[i], unit[VALUES + i]) = (1.0, 1.0);
                        let q = Cotangent { values: &unit, epsilon: None };
                        let column = solver.inverse(problem, &q).unwrap();
                        assert!(column.status[0].is_ok() && !column.status[1].is_ok());
                        assert!(column.values[VALUES..].iter().all(|&value| value == 0.0));
                        column.values[..VALUES].to_vec()
                    })
                    .collect();
                let largest = variances[..VALUES].iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                for i in 0..VALUES {
                    assert!((columns[i][i] - variances[i]).abs() < 1e-9 * largest);
                    for j in 0..i {
                        assert!((columns[i][j] - columns[j][i]).abs() < 1e-9 * largest);
                    }
                }
            }
        }
    });
}

#[test]
fn the_slack_has_an_entry_of_its_own() {
    with_problem(|problem| {
        // ∂ε/∂b = e_εᵀ M⁻¹ AᵀW²: the equation rows of M⁻¹ e_ε, added up.
        let formulation = Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 };
        let smoothness = Smoothness::TaylorCentral;
        let options = Options { smoothness, formulation, ..Options::default() };
        let mut solver = Solver::new(problem.shape(), &options).unwrap();
        solver.solve(problem).unwrap();
        let zeros = [0.0; 2 * VALUES];
        let q = Cotangent { values: &zeros, epsilon: Some(&[1.0, 1.0]) };
        let column = solver.inverse(problem, &q).unwrap().clone();
        let rows = column.values[..VALUES].chunks_exact(4);
        let expected: f64 = rows.map(|z| z[0] + 0.5 * z[1] + z[2]).sum();
        let gradient = solver.vjp(problem, &q).unwrap().inputs.rhs[0];
        assert!((gradient - expected).abs() < 1e-10 * expected.abs().max(1.0));
        assert!(column.epsilon[0] > 0.0 && column.epsilon[1] == 0.0);
    });
}

#[test]
fn misuse_is_an_error() {
    with_problem(|problem| {
        let mut solver = Solver::new(problem.shape(), &Options::default()).unwrap();
        let zeros = [0.0; 2 * VALUES];
        let q = Cotangent { values: &zeros[..], epsilon: None };
        let message = solver.inverse(problem, &q).unwrap_err().to_string();
        assert_eq!(message, "problem: call `solve` first");
        solver.solve(problem).unwrap();
        let short = Cotangent { values: &zeros[1..], epsilon: None };
        assert!(matches!(solver.inverse(problem, &short), Err(Error::Shape { .. })));
    });
}
