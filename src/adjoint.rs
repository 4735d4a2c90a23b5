//! Derivatives of the solution: what goes into and comes out of the vjp and the jvp.
//!
//! z minimizes ½‖W(Az − β)‖², so M z = AᵀW²β with M = AᵀW²A. With z̄ = ∂ℓ/∂z, M g = z̄ and
//! r = W²(β − Az), every row a with right-hand side β and weight w has
//!
//! ```text
//! ∂ℓ/∂β = w² a·g        ∂ℓ/∂a = r g − w² (a·g) z        ∂ℓ/∂w = 2 w (a·g) (β − a·z)
//! ```
//!
//! on its own pattern, and ∂ℓ/∂s follows by the chain rule through the rows. The scale of a balanced
//! row is part of w here, which therefore depends on the steps too. Read the other way,
//! M ż = AᵀW²(β̇ − Ȧz) + ȦᵀW²(β − Az). Both reuse the factor of the solve.

use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::memory::zeros;
use crate::options::Weights;
use crate::real::Real;
use crate::shape::ProblemShape;

/// ∂ℓ/∂(solution).
#[derive(Clone, Copy, Debug)]
pub struct Cotangent<'a, T> {
    /// (B, N, K, Q).
    pub values: &'a [T],
    /// (B), if ℓ depends on the shared slack.
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

/// Gradient of ℓ with respect to every input, each of the input's own shape: along a shared axis
/// the gradient is summed.
#[derive(Clone, Debug, Default)]
pub struct Gradients<T> {
    /// ∂ℓ/∂(input), in the shape of the input.
    pub inputs: Inputs<Vec<T>>,
    /// ∂ℓ/∂(row weights), which all systems share.
    pub weights: Weights,
}

impl<T: Real> Gradients<T> {
    /// Zeros for problems of this shape.
    pub(crate) fn zeros(shape: &ProblemShape) -> Result<Self> {
        let inputs = Inputs::NAMES.zip(shape.layouts()).try_map(|(name, layout)| {
            zeros(&format!("gradient of {name}"), layout.total(shape.batch))
        })?;
        let weights = Weights { equation: 0.0, initial: 0.0, smoothness: 0.0, periodic: 0.0 };
        Ok(Gradients { inputs, weights })
    }
}

/// Directions in which the inputs move, each of its input's shape; an input without one stands still.
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
