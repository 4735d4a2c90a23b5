//! Derivatives of the solution: what goes into and comes out of the vector-Jacobian product (vjp)
//! and the Jacobian-vector product (jvp).
//!
//! The solution z minimizes ½‖W(Az − β)‖², so M z = AᵀW²β with M = AᵀW²A. With z̄ = ∂ℓ/∂z, M g = z̄
//! and r = W²(β − Az), every row a with right-hand side β and weight w has
//!
//! ```text
//! ∂ℓ/∂β = w² a·g        ∂ℓ/∂a = r g − w² (a·g) z        ∂ℓ/∂w = 2 w (a·g) (β − a·z)
//! ```
//!
//! on its own pattern, and ∂ℓ/∂s follows by the chain rule through the rows. The scale of a
//! balanced row is a part of w, which therefore depends on the steps too. In forward mode, with ˙
//! for directional derivatives, M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az). Both modes reuse the factor of
//! the solve.

use crate::error::{Error, Result};
use crate::options::Weights;
use crate::shape::ProblemShape;

/// The derivative ∂ℓ/∂(solution) of a scalar ℓ, which a vector-Jacobian product starts from.
#[derive(Clone, Copy, Debug)]
pub struct Cotangent<'a, T> {
    /// ∂ℓ/∂(values of the solution), (B, N, K, Q).
    pub values: &'a [T],
    /// ∂ℓ/∂ε, (B), if ℓ depends on the shared slack ε.
    pub epsilon: Option<&'a [T]>,
}

impl<T> Cotangent<'_, T> {
    pub(crate) fn check(&self, shape: &ProblemShape) -> Result<()> {
        let expected: usize = shape.solution().iter().product();
        if self.values.len() != expected {
            return Err(Error::Shape {
                argument: "cotangent".into(),
                expected: format!("(B, N, K, Q) = {:?}", shape.solution()),
                actual: vec![self.values.len()],
            });
        }
        match self.epsilon {
            Some(epsilon) if epsilon.len() != shape.batch => Err(Error::Shape {
                argument: "cotangent of epsilon".into(),
                expected: format!("(B) = ({})", shape.batch),
                actual: vec![epsilon.len()],
            }),
            _ => Ok(()),
        }
    }
}

/// The gradients of a scalar ℓ with respect to every input, each of the input's own shape: along a
/// shared axis the gradient is summed.
#[derive(Clone, Debug, Default)]
pub struct Gradients<T> {
    /// Gradient with respect to the coefficients, (B or 1, N or 1, E, K, Qc).
    pub coefficients: Vec<T>,
    /// Gradient with respect to the right-hand side, (B or 1, N or 1, E).
    pub rhs: Vec<T>,
    /// Gradient with respect to the initial values, (B or 1, I, K, J).
    pub initial_values: Vec<T>,
    /// Gradient with respect to the steps, (B or 1, N−1 or 1, K or 1).
    pub steps: Vec<T>,
    /// Gradient with respect to the row weights, which all systems share.
    pub weights: Weights,
}

impl<T> Gradients<T> {
    /// Returns the gradients with respect to coefficients, right-hand side, initial values and
    /// steps.
    #[cfg(feature = "cuda")]
    pub(crate) fn inputs_mut(&mut self) -> [&mut [T]; 4] {
        [&mut self.coefficients, &mut self.rhs, &mut self.initial_values, &mut self.steps]
    }
}

/// The directions in which the inputs move in a Jacobian-vector product, each of its input's shape;
/// an input whose direction is `None` does not move.
#[derive(Clone, Copy, Debug)]
pub struct Tangents<'a, T> {
    /// Direction of the coefficients, (B or 1, N or 1, E, K, Qc).
    pub coefficients: Option<&'a [T]>,
    /// Direction of the right-hand side, (B or 1, N or 1, E).
    pub rhs: Option<&'a [T]>,
    /// Direction of the initial values, (B or 1, I, K, J).
    pub initial_values: Option<&'a [T]>,
    /// Direction of the steps, (B or 1, N−1 or 1, K or 1).
    pub steps: Option<&'a [T]>,
}

impl<T> Default for Tangents<'_, T> {
    fn default() -> Self {
        Tangents { coefficients: None, rhs: None, initial_values: None, steps: None }
    }
}

impl<T> Tangents<'_, T> {
    pub(crate) fn check(&self, shape: &ProblemShape) -> Result<()> {
        for (argument, tangent, axes) in [
            ("tangent of coefficients", self.coefficients, &shape.coefficients[..]),
            ("tangent of rhs", self.rhs, &shape.rhs),
            ("tangent of initial_values", self.initial_values, &shape.initial_values),
            ("tangent of steps", self.steps, &shape.steps),
        ] {
            if let Some(tangent) = tangent
                && tangent.len() != axes.iter().product::<usize>()
            {
                return Err(Error::Shape {
                    argument: argument.into(),
                    expected: format!("{axes:?}"),
                    actual: vec![tangent.len()],
                });
            }
        }
        Ok(())
    }
}
