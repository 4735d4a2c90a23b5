//! Copies for an engine that reads row-major arrays and knows one axis of the batch: of inputs with strides, and
//! of those that share some axes of the batch and not others.

use super::engine::Engine;
use crate::adjoint::{Cotangent, GradientsMut, Tangents, overflow_in_sum};
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::memory::{grow, zeros};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::{Places, ProblemShape};
use crate::solution::{Residuals, SolutionMut, Status};

/// An engine with memory for copies, which the first problem that needs them allocates.
pub struct Expanded<T: Real> {
    engine: Box<dyn Engine<T>>,
    /// Shape that the engine is made for: inputs that are partly shared have values for every system.
    shape: ProblemShape,
    /// Which inputs are partly shared, and places of the systems in arrays as the caller has them.
    partly: Inputs<bool>,
    places: Inputs<Places>,
    inputs: Inputs<Vec<T>>,
    /// Gradients or tangents of what is partly shared.
    directions: Inputs<Vec<T>>,
}

impl<T: Real> Expanded<T> {
    /// Makes the engine of a problem of this shape from one that `engine` makes for an expanded shape.
    pub fn new(
        shape: &ProblemShape,
        engine: impl FnOnce(&ProblemShape) -> Result<Box<dyn Engine<T>>>,
    ) -> Result<Self> {
        let expanded = shape.expanded();
        Ok(Expanded {
            engine: engine(&expanded)?,
            shape: expanded,
            partly: shape.partly_shared(),
            places: shape.places(),
            inputs: Inputs::default(),
            directions: Inputs::default(),
        })
    }

    /// Hands the engine and the problem as it reads it to `work`.
    fn with<R>(
        &mut self,
        problem: &Problem<'_, T>,
        work: impl FnOnce(&mut dyn Engine<T>, &Problem<'_, T>) -> Result<R>,
    ) -> Result<R> {
        if *problem.shape() == self.shape && problem.places == self.places {
            return work(&mut *self.engine, problem);
        }
        let sources = problem.inputs.zip(problem.places.as_ref());
        let copies = self.inputs.as_mut().zip(self.shape.inputs());
        Inputs::NAMES.zip(sources.zip(copies)).try_map(
            |(name, ((values, places), (to, axes)))| expand(name, values, places, axes, to),
        )?;
        let inputs = self.inputs.as_ref().map(|copy| &copy[..]);
        work(&mut *self.engine, &Problem::from_parts(&self.shape, inputs))
    }
}

/// Copies the values of as many systems as `axes` begins with.
fn expand<T: Real>(
    name: &str,
    values: &[T],
    places: &Places,
    axes: &[usize],
    to: &mut Vec<T>,
) -> Result<()> {
    grow(name, axes.iter().product(), to)?;
    let all = (0..axes[0]).flat_map(|system| places.of_values(system));
    for (to, place) in to.iter_mut().zip(all) {
        *to = values[place];
    }
    Ok(())
}

impl<T: Real> Engine<T> for Expanded<T> {
    fn plan(&self) -> Plan {
        self.engine.plan()
    }

    fn bytes(&self) -> usize {
        self.engine.bytes()
    }

    fn solve(
        &mut self,
        problem: &Problem<'_, T>,
        solution: SolutionMut<'_, T>,
        status: &mut [Status],
    ) -> Result<()> {
        self.with(problem, |engine, problem| engine.solve(problem, solution, status))
    }

    fn vjp(
        &mut self,
        problem: &Problem<'_, T>,
        cotangent: &Cotangent<'_, T>,
        status: &[Status],
        gradients: &mut GradientsMut<'_, T>,
        found: &mut [Status],
    ) -> Result<()> {
        let mut own = std::mem::take(&mut self.directions);
        for (name, ((partly, axes), own)) in
            Inputs::NAMES.zip(self.partly.zip(self.shape.inputs()).zip(own.as_mut()))
        {
            if partly {
                grow(&format!("gradient of {name}"), axes.iter().product(), own)?;
            }
        }
        let GradientsMut { inputs, weights } = gradients;
        let places = inputs.as_mut().zip(self.partly).zip(own.as_mut());
        let inputs = places.map(|((place, partly), own)| match place {
            Some(_) if partly => Some(&mut own[..]),
            place => place.as_deref_mut(),
        });
        let mut expanded = GradientsMut { inputs, weights: weights.as_deref_mut() };
        self.with(problem, |engine, problem| {
            engine.vjp(problem, cotangent, status, &mut expanded, found)
        })?;
        let mut finite = true;
        let sums = gradients.inputs.as_mut().zip(self.partly).zip(own.as_ref());
        for ((sum, own), places) in sums
            .map(|((place, partly), own)| (place.as_deref_mut().filter(|_| partly), own))
            .zip(self.places.as_ref())
        {
            let Some(sum) = sum else { continue };
            let mut total: Vec<f64> = zeros("gradient of a shared input", sum.len())?;
            let all = (0..self.shape.batch).flat_map(|system| places.of_values(system));
            for (place, value) in all.zip(own) {
                total[place] += value.to_double();
            }
            for (sum, total) in sum.iter_mut().zip(total) {
                *sum = T::of(total);
                finite &= sum.is_finite();
            }
        }
        self.directions = own;
        if !finite && *found == *status {
            overflow_in_sum(found);
        }
        Ok(())
    }

    fn jvp(
        &mut self,
        problem: &Problem<'_, T>,
        tangents: &Tangents<'_, T>,
        status: &[Status],
        derivative: SolutionMut<'_, T>,
    ) -> Result<()> {
        let mut own = std::mem::take(&mut self.directions);
        let sources = tangents.zip(self.partly).zip(self.places.as_ref());
        let moved = Inputs::NAMES.zip(sources.zip(self.shape.inputs().zip(own.as_mut()))).try_map(
            |(name, (((tangent, partly), places), (axes, own)))| match tangent {
                Some(tangent) if partly => {
                    expand(&format!("tangent of {name}"), tangent, places, axes, own)?;
                    Ok::<_, Error>(Some(&own[..]))
                }
                tangent => Ok(tangent),
            },
        )?;
        self.with(problem, |engine, problem| engine.jvp(problem, &moved, status, derivative))?;
        self.directions = own;
        Ok(())
    }

    fn inverse(
        &mut self,
        problem: &Problem<'_, T>,
        q: &Cotangent<'_, T>,
        status: &[Status],
        result: SolutionMut<'_, T>,
    ) -> Result<()> {
        self.with(problem, |engine, problem| engine.inverse(problem, q, status, result))
    }

    fn variances(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
        variances: &mut [T],
    ) -> Result<()> {
        self.with(problem, |engine, problem| engine.variances(problem, status, variances))
    }

    fn residuals(
        &mut self,
        problem: &Problem<'_, T>,
        status: &[Status],
        residuals: &mut [Residuals],
    ) -> Result<()> {
        self.with(problem, |engine, problem| engine.residuals(problem, status, residuals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu;
    use crate::options::Options;
    use crate::problem::View;

    /// What an engine computes of a problem: values, gradients in the shapes of the inputs, and a tangent.
    fn results(
        mut engine: Box<dyn Engine<f64>>,
        problem: &Problem<'_, f64>,
    ) -> (Vec<f64>, Inputs<Vec<f64>>, Vec<f64>) {
        let shape = problem.shape();
        let size = shape.solution().iter().product();
        let wave = |count: usize| (0..count).map(|i| (1.0 + i as f64).sin()).collect::<Vec<_>>();
        let mut status = vec![Status::Ok; shape.batch()];
        let mut values = vec![0.0; size];
        let solution = SolutionMut { values: &mut values, epsilon: None };
        engine.solve(problem, solution, &mut status).unwrap();
        assert!(status.iter().all(|status| status.is_ok()));
        let mut gradients = shape.inputs().map(|axes| vec![0.0; axes.iter().product()]);
        let inputs = gradients.as_mut().map(|gradient| Some(&mut gradient[..]));
        let cotangent = Cotangent { values: &wave(size), epsilon: None };
        let mut targets = GradientsMut { inputs, weights: None };
        let mut found = status.clone();
        engine.vjp(problem, &cotangent, &status, &mut targets, &mut found).unwrap();
        assert_eq!(found, status);
        let tangents = gradients.as_ref().map(|gradient| wave(gradient.len()));
        let tangents = tangents.as_ref().map(|tangent| Some(&tangent[..]));
        let mut moved = vec![0.0; size];
        let derivative = SolutionMut { values: &mut moved, epsilon: None };
        engine.jvp(problem, &tangents, &status, derivative).unwrap();
        (values, gradients, moved)
    }

    #[test]
    fn copies_have_the_results_of_an_engine_that_needs_none() {
        // Two times three systems; the coefficients lie step first.
        let coefficients: Vec<_> = (0..24).map(|i| 1.0 + 0.1 * (i as f64).cos()).collect();
        let rhs: Vec<_> = (0..12).map(|i| (i as f64).sin()).collect();
        let problem = Problem::builder()
            .coefficients(View::strided(&[2, 1, 4, 1, 1, 3], &[3, 0, 6, 0, 0, 1], &coefficients))
            .rhs(View::new(&[1, 3, 4, 1], &rhs))
            .initial_values(View::new(&[2, 3, 1, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
            .steps(View::new(&[1, 1, 1], &[0.3]))
            .build()
            .unwrap();
        let (shape, options) = (problem.shape(), Options::default());
        let expanded = Expanded::new(shape, |shape| cpu::engine::new(shape, &options)).unwrap();
        let found = results(Box::new(expanded), &problem);
        let expected = results(cpu::engine::new(shape, &options).unwrap(), &problem);
        assert_eq!(found.0, expected.0);
        assert_eq!(found.2, expected.2);
        for (found, expected) in found.1.zip(expected.1) {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= 1e-13 * expected.abs().max(1.0));
            }
        }
    }
}
