//! What the matrix of a batch is made of, if all its systems have the same one.

use crate::backend::cpu::layout::Layout;
use crate::backend::cpu::staging::Source;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::zeros;

/// The coefficients and steps of the last factor, which with the options, which stay, are all that it depends on.
pub(super) struct Matrix {
    /// Empty as long as there is no factor.
    made_of: Vec<f64>,
}

impl Matrix {
    /// Allocates room for coefficients and steps.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let mut made_of = zeros("coefficients and steps", layout.matrix_values())?;
        made_of.clear();
        Ok(Matrix { made_of })
    }

    /// Returns the number of values.
    pub fn values(&self) -> usize {
        self.made_of.capacity()
    }

    /// Begins a solve: returns whether the factor is that of these coefficients and steps, bit for bit. If it is
    /// not, it is forgotten.
    pub fn is_current(&mut self, inputs: Inputs<Source<'_>>) -> bool {
        let mut made_of = self.made_of.iter();
        let mut is_next = |value: f64| {
            made_of.next().is_some_and(|made_of: &f64| made_of.to_bits() == value.to_bits())
        };
        let is_current = sources(inputs).all(|input| input.of_first().all(&mut is_next));
        if !is_current {
            self.made_of.clear();
        }
        is_current
    }

    /// Keeps the coefficients and steps that the factor was made of.
    pub fn remember(&mut self, inputs: Inputs<Source<'_>>) {
        for input in sources(inputs) {
            self.made_of.extend(input.of_first());
        }
    }
}

/// Returns the inputs that a matrix is made of.
fn sources<'a>(inputs: Inputs<Source<'a>>) -> impl Iterator<Item = Source<'a>> {
    [inputs.coefficients, inputs.steps].into_iter()
}
