//! The solve of a batch of ODEs as an operation of the tape.

use crate::adjoint::Cotangent;
use crate::backend::Engine;
use crate::backend::cpu::engine;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::options::Options;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::Solution;
use crate::tensor::Array;

/// Plan and workspace for problems of one shape, and the last solution.
pub struct Solve<T: Real> {
    shape: ProblemShape,
    engine: Box<dyn Engine<T>>,
    pub(super) solution: Solution<T>,
}

impl<T: Real> Solve<T> {
    /// Allocates for problems of this shape.
    pub fn new(shape: &ProblemShape, options: &Options) -> Result<Self> {
        options.check()?;
        let engine = engine::new(shape, options)?;
        Ok(Solve { solution: Solution::allocate(shape)?, engine, shape: shape.clone() })
    }

    /// Solves the problem of these inputs.
    pub fn solve(&mut self, inputs: Inputs<&Array<T>>, solution: &mut Array<T>) -> Result<()> {
        let problem = Problem::from_parts(&self.shape, inputs.map(|input| input.data()));
        self.engine.solve(&problem, &mut self.solution)?;
        solution.data_mut().copy_from_slice(&self.solution.values);
        Ok(())
    }

    /// Adds to the gradients that are asked for.
    pub fn adjoint(
        &mut self,
        inputs: Inputs<&Array<T>>,
        cotangent: &Array<T>,
        gradients: Inputs<Option<&mut Array<T>>>,
    ) -> Result<()> {
        let problem = Problem::from_parts(&self.shape, inputs.map(|input| input.data()));
        let cotangent = Cotangent { values: cotangent.data(), epsilon: None };
        let found = self.engine.vjp(&problem, &cotangent, &self.solution.status)?;
        for (gradient, found) in gradients.zip(found.inputs.as_ref()) {
            if let Some(gradient) = gradient {
                gradient.data_mut().iter_mut().zip(found).for_each(|(g, found)| *g += *found);
            }
        }
        Ok(())
    }
}
