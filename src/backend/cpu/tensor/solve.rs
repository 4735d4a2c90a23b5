//! The solve of a batch of ODEs as an operation of the tape.

use std::sync::OnceLock;

use crate::adjoint::{Cotangent, GradientsMut};
use crate::backend::Engine;
use crate::backend::cpu::engine;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::memory::{grow, zeros};
use crate::options::Options;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::solution::{Solution, SolutionMut, Status};
use crate::tensor::Array;

/// The plan and the workspace for problems of one shape, and what the last solve left beside its
/// solution.
pub struct Solve<T: Real> {
    shape: ProblemShape,
    engine: Box<dyn Engine<T>>,
    status: Vec<Status>,
    epsilon: Vec<T>,
    /// Gradients on their way to those that they are added to, and their statuses.
    gradients: Inputs<Vec<T>>,
    found: Vec<Status>,
    /// Last solution, from the first time on that the program asked for one.
    read: OnceLock<Solution<T>>,
}

impl<T: Real> Solve<T> {
    /// Allocates the workspace for problems of this shape.
    pub fn new(shape: &ProblemShape, options: &Options) -> Result<Self> {
        options.check()?;
        Ok(Solve {
            engine: engine::new(shape, options)?,
            shape: shape.clone(),
            status: zeros("status", shape.batch)?,
            epsilon: zeros("epsilon", shape.batch)?,
            gradients: Inputs::default(),
            found: zeros("status", shape.batch)?,
            read: OnceLock::new(),
        })
    }

    /// Solves the problem of these inputs.
    pub fn solve(&mut self, inputs: Inputs<&Array<T>>, solution: &mut Array<T>) -> Result<()> {
        let problem = Problem::from_parts(&self.shape, inputs.map(|input| input.data()));
        let values = solution.data_mut();
        let into = SolutionMut { values, epsilon: Some(&mut self.epsilon) };
        self.engine.solve(&problem, into, &mut self.status)?;
        if let Some(read) = self.read.get_mut() {
            copy(values, &self.epsilon, &self.status, read);
        }
        Ok(())
    }

    /// Adds the vector-Jacobian product to the gradients that are wanted.
    pub fn adjoint(
        &mut self,
        inputs: Inputs<&Array<T>>,
        cotangent: &Array<T>,
        gradients: Inputs<Option<&mut Array<T>>>,
    ) -> Result<()> {
        let problem = Problem::from_parts(&self.shape, inputs.map(|input| input.data()));
        let cotangent = Cotangent { values: cotangent.data(), epsilon: None };
        let wanted = gradients.as_ref().map(Option::is_some);
        let own = self.gradients.as_mut().zip(wanted).zip(inputs);
        let own = own.try_map(|((own, wanted), input)| {
            wanted
                .then(|| grow("a gradient of the solve", input.len(), own).map(|()| &mut own[..]))
                .transpose()
        })?;
        let mut found = GradientsMut { inputs: own, weights: None };
        self.engine.vjp(&problem, &cotangent, &self.status, &mut found, &mut self.found)?;
        for (gradient, found) in gradients.zip(found.inputs) {
            if let (Some(gradient), Some(found)) = (gradient, found) {
                gradient.data_mut().iter_mut().zip(found).for_each(|(g, found)| *g += *found);
            }
        }
        Ok(())
    }

    /// Returns the last solution, whose values are given.
    pub fn solution(&self, values: &Array<T>) -> Result<&Solution<T>> {
        if let Some(solution) = self.read.get() {
            return Ok(solution);
        }
        let mut solution = Solution::without_values(&self.shape)?;
        solution.grow()?;
        copy(values.data(), &self.epsilon, &self.status, &mut solution);
        Ok(self.read.get_or_init(|| solution))
    }
}

fn copy<T: Real>(values: &[T], epsilon: &[T], status: &[Status], solution: &mut Solution<T>) {
    solution.values.copy_from_slice(values);
    solution.epsilon.copy_from_slice(epsilon);
    solution.status.copy_from_slice(status);
}
