//! The right-hand sides of equations that were found, at given states.

use super::equation::Discovery;
use super::right_hand_side::RightHandSide;
use super::settings::Settings;
use crate::{Error, Result};

impl Discovery {
    /// Returns the time derivatives that the equations give at M points: u' (M, K), or for order 2
    /// (u', u'') (M, 2K), row-major. Each row of `arguments` (M, A) holds what the equations depend
    /// on: the K states, for order 2 then their K velocities, then the inputs, then the time.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of arguments is no multiple of A, and [`Error::Argument`] for
    /// malformed equations.
    pub fn derivative(&self, arguments: &[f64]) -> Result<Vec<f64>> {
        let settings = Settings { order: self.order, ..Settings::default() };
        let library = self.library(&settings)?;
        let rhs = RightHandSide::from_equations(&library, &settings, &self.equations)?;
        let variables = self.states.len() * self.order;
        let width = variables + self.inputs.len() + 1;
        if !arguments.len().is_multiple_of(width) {
            return Err(Error::Shape {
                argument: "arguments".into(),
                expected: format!("(M, A) with A = {width}"),
                actual: vec![arguments.len()],
            });
        }
        let mut terms = vec![0.0; library.len()];
        let mut derivative = vec![0.0; arguments.len() / width * variables];
        let rows = arguments.chunks_exact(width).zip(derivative.chunks_exact_mut(variables));
        for (row, derivative) in rows {
            rhs.derivative(&row[..library.arguments()], &mut terms, derivative);
        }
        Ok(derivative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(json: &str) -> Discovery {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn derivatives_are_those_of_the_equations() {
        // x'' = −4 x + 0.5 x' u + t.
        let found = discovery(
            r#"{"states": ["x"], "inputs": ["u"], "interpolation": ["hold"], "order": 2,
                "equations": [{"lhs": "x''", "terms": [
                    {"factors": ["x"], "coefficient": -4.0, "standard_error": null},
                    {"factors": ["u", "x'"], "coefficient": 0.5, "standard_error": null},
                    {"factors": ["t"], "coefficient": 1.0, "standard_error": null}]}]}"#,
        );
        let derivative = found.derivative(&[1.0, 2.0, 3.0, 10.0, 0.0, -1.0, 2.0, 0.5]).unwrap();
        assert_eq!(derivative, [2.0, -4.0 + 3.0 + 10.0, -1.0, -1.0 + 0.5]);
        let message = found.derivative(&[1.0; 5]).unwrap_err().to_string();
        assert_eq!(message, "arguments: expected shape (M, A) with A = 4, got [5]");
    }
}
