//! The options of a solve, as Python hands them over.

use mechanistic::{
    Error, Factorization, Formulation, Options, Result, RowScaling, Smoothness, Weights,
};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::errors::exception;

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
        let by_name = ByName {
            smoothness,
            weights,
            slack,
            periodic,
            scaling,
            factorization,
            refinement_steps,
            roughness,
            follow_growth,
        };
        by_name.options().map(SolveOptions).map_err(exception)
    }

    /// Whether equation and initial rows are multiplied by powers of the step.
    #[getter]
    fn balanced(&self) -> bool {
        self.0.balanced()
    }
}

/// The options by the names that they have in Python.
#[derive(Deserialize)]
pub struct ByName<'a> {
    smoothness: &'a str,
    weights: [f64; 4],
    slack: Option<(f64, f64)>,
    periodic: bool,
    scaling: &'a str,
    factorization: &'a str,
    refinement_steps: Option<usize>,
    roughness: f64,
    follow_growth: bool,
}

impl<'a> ByName<'a> {
    /// Reads the options from a JSON object.
    pub fn of_json(text: &'a str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::argument("options", error.to_string()))
    }

    /// Returns the options, or an error with the name of one that there is not or that is impossible.
    pub fn options(&self) -> Result<Options> {
        let [equation, initial, smoothness, periodic] = self.weights;
        let all = &Smoothness::ALL;
        let rows = named("smoothness", all, Smoothness::name, self.smoothness)?;
        let all = &Factorization::ALL;
        let factorization = named("factorization", all, Factorization::name, self.factorization)?;
        let options = Options {
            smoothness: rows,
            weights: Weights { equation, initial, smoothness, periodic },
            formulation: match self.slack {
                None => Formulation::LeastSquares,
                Some((gamma, alpha)) => Formulation::SharedSlack { gamma, alpha },
            },
            periodic: self.periodic,
            scaling: named("scaling", &RowScaling::ALL, RowScaling::name, self.scaling)?,
            factorization,
            refinement_steps: self.refinement_steps,
            roughness: self.roughness,
            follow_growth: self.follow_growth,
        };
        options.check()?;
        Ok(options)
    }
}

/// Returns the value of this name, or an error that lists the names that there are.
fn named<V: Copy>(
    argument: &str,
    all: &[V],
    name: fn(V) -> &'static str,
    wanted: &str,
) -> Result<V> {
    all.iter().copied().find(|&value| name(value) == wanted).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|&value| name(value)).collect();
        let message = format!("expected one of {}, got {wanted:?}", known.join(", "));
        Error::argument(argument, message)
    })
}
