//! The options of a solve, as Python hands them over.

use mechanistic::{Factorization, Formulation, Options, RowScaling, Smoothness, Weights};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Options of a solve, checked when it is made.
#[pyclass(frozen)]
pub struct SolveOptions(pub Options);

#[pymethods]
impl SolveOptions {
    #[new]
    #[pyo3(signature = (*, smoothness, weights, slack, periodic, scaling, factorization,
        refinement_steps, roughness, follow_growth))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        smoothness: &str,
        weights: [f64; 4],
        slack: Option<(f64, f64)>,
        periodic: bool,
        scaling: &str,
        factorization: &str,
        refinement_steps: Option<usize>,
        roughness: f64,
        follow_growth: bool,
    ) -> PyResult<Self> {
        let [equation, initial, of_smoothness, of_periodic] = weights;
        Ok(SolveOptions(Options {
            smoothness: named("smoothness", &Smoothness::ALL, Smoothness::name, smoothness)?,
            weights: Weights {
                equation,
                initial,
                smoothness: of_smoothness,
                periodic: of_periodic,
            },
            formulation: match slack {
                None => Formulation::LeastSquares,
                Some((gamma, alpha)) => Formulation::SharedSlack { gamma, alpha },
            },
            periodic,
            scaling: named("scaling", &RowScaling::ALL, RowScaling::name, scaling)?,
            factorization: named(
                "factorization",
                &Factorization::ALL,
                Factorization::name,
                factorization,
            )?,
            refinement_steps,
            roughness,
            follow_growth,
        }))
    }

    /// Whether equation and initial rows are multiplied by powers of the step.
    #[getter]
    fn balanced(&self) -> bool {
        self.0.balanced()
    }
}

/// Returns the value of this name, or an error that lists the names that there are.
fn named<V: Copy>(
    argument: &str,
    all: &[V],
    name: fn(V) -> &'static str,
    wanted: &str,
) -> PyResult<V> {
    all.iter().copied().find(|&value| name(value) == wanted).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|&value| name(value)).collect();
        let message = format!("{argument}: expected one of {}, got {wanted:?}", known.join(", "));
        PyValueError::new_err(message)
    })
}
