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
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::Weights;
use crate::real::Real;
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
    /// Gradients ∂ℓ/∂(input), each in the shape of its input.
    pub inputs: Inputs<Vec<T>>,
    /// Gradient ∂ℓ/∂(row weights); all systems share the weights.
    pub weights: Weights,
}

impl<T: Real> Gradients<T> {
    /// Returns zeros for problems of this shape.
    pub(crate) fn zeros(shape: &ProblemShape) -> Result<Self> {
        let inputs = Inputs::NAMES.zip(shape.layouts()).try_map(|(name, layout)| {
            zeros(&format!("gradient of {name}"), layout.total(shape.batch))
        })?;
        let weights = Weights { equation: 0.0, initial: 0.0, smoothness: 0.0, periodic: 0.0 };
        Ok(Gradients { inputs, weights })
    }
}

/// The directions in which the inputs move in a Jacobian-vector product, each of its input's shape;
/// an input whose direction is `None` does not move.
pub type Tangents<'a, T> = Inputs<Option<&'a [T]>>;

/// Checks that every direction has as many values as its input.
pub(crate) fn check_tangents<T>(tangents: &Tangents<'_, T>, shape: &ProblemShape) -> Result<()> {
    for (name, (tangent, axes)) in Inputs::NAMES.zip(tangents.zip(shape.inputs())) {
        if let Some(tangent) = tangent
            && tangent.len() != axes.iter().product::<usize>()
        {
            return Err(Error::Shape {
                argument: format!("tangent of {name}"),
                expected: format!("{axes:?}"),
                actual: vec![tangent.len()],
            });
        }
    }
    Ok(())
}
