//! A batch of nonlinear ODEs on a grid, given by parameters, initial values and steps.

use super::ode::NonlinearOde;
use crate::problem::check_length;
use crate::{Error, Result, View};

/// The sizes of a [`NonlinearProblem`]; an axis of length 1 marked "or 1" is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonlinearShape {
    /// B: systems in the batch.
    pub batch: usize,
    /// N: time points.
    pub points: usize,
    /// Extents of the parameters θ, (B or 1, L).
    pub parameters: [usize; 2],
    /// Extents of the initial values, (B or 1, K, m).
    pub initial_values: [usize; 3],
    /// Extents of the steps, (B or 1, N−1 or 1).
    pub steps: [usize; 2],
}

/// A batch of B systems F(t, u, u', …, u^(m); θ) = 0 with their parameters and initial values, on a
/// grid of N points.
#[derive(Clone, Debug)]
pub struct NonlinearProblem<'a> {
    shape: NonlinearShape,
    pub(super) parameters: &'a [f64],
    pub(super) initial_values: &'a [f64],
    pub(super) steps: &'a [f64],
    pub(super) initial_time: f64,
}

impl<'a> NonlinearProblem<'a> {
    /// Makes a problem of B = `batch` systems on N = `points` time points that begin at t = 0. An
    /// axis of length 1 marked "or 1" is shared.
    ///
    /// * `parameters` (B or 1, L): the parameters θ,
    /// * `initial_values` (B or 1, K, m): u, …, u^(m−1) at the first point,
    /// * `steps` (B or 1, N−1 or 1): the distances between neighboring time points, positive.
    ///
    /// # Errors
    /// [`Error::Shape`] names the array that does not fit, [`Error::Argument`] is for an empty
    /// batch or fewer than two points.
    pub fn new(
        batch: usize,
        points: usize,
        parameters: View<'a, f64>,
        initial_values: View<'a, f64>,
        steps: View<'a, f64>,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::argument("batch", "there must be at least one system"));
        }
        if points < 2 {
            let message = format!("there must be at least two time points, got {points}");
            return Err(Error::argument("points", message));
        }
        for (name, view) in
            [("parameters", &parameters), ("initial_values", &initial_values), ("steps", &steps)]
        {
            check_length(name, view.shape, view.data.len())?;
        }
        let shape = NonlinearShape {
            batch,
            points,
            parameters: axes("parameters", &parameters, [(batch, "B")], ["L"])?,
            initial_values: axes("initial_values", &initial_values, [(batch, "B")], ["K", "m"])?,
            steps: axes("steps", &steps, [(batch, "B"), (points - 1, "N-1")], [])?,
        };
        Ok(NonlinearProblem {
            shape,
            parameters: parameters.data,
            initial_values: initial_values.data,
            steps: steps.data,
            initial_time: 0.0,
        })
    }

    /// Sets the time of the first point to t = `time`, for equations in which t occurs.
    pub fn starting_at(mut self, time: f64) -> Self {
        self.initial_time = time;
        self
    }

    /// Returns the sizes of the problem.
    pub fn shape(&self) -> &NonlinearShape {
        &self.shape
    }

    /// Returns θ of a system, (L).
    pub(super) fn theta(&self, system: usize) -> &'a [f64] {
        part(self.parameters, self.shape.parameters[0], system)
    }

    /// Writes the times of a system, (N), to `times`.
    pub(super) fn times(&self, system: usize, times: &mut [f64]) {
        let steps = part(self.steps, self.shape.steps[0], system);
        let mut t = self.initial_time;
        times[0] = t;
        for (i, time) in times[1..].iter_mut().enumerate() {
            t += steps[if steps.len() == 1 { 0 } else { i }];
            *time = t;
        }
    }
}

/// Returns the part of one system in an array whose first axis is B or 1.
pub(super) fn part<T>(array: &[T], extent: usize, system: usize) -> &[T] {
    let size = array.len() / extent;
    &array[if extent == 1 { 0 } else { system * size }..][..size]
}

impl NonlinearShape {
    /// Checks that the sizes fit this equation.
    pub(super) fn check(&self, ode: &impl NonlinearOde) -> Result<()> {
        let (k, m, l) = (ode.states(), ode.order(), ode.parameters());
        if k == 0 || m == 0 {
            let message = format!("needs states and an order, has K = {k} and m = {m}");
            return Err(Error::argument("ode", message));
        }
        let misfit = |argument: &str, expected: String, actual: &[usize]| Error::Shape {
            argument: argument.into(),
            expected,
            actual: actual.to_vec(),
        };
        let fits = |axis: usize| axis == 1 || axis == self.batch;
        if self.parameters[1] != l || !fits(self.parameters[0]) {
            let expected = format!("(B or 1, L) = ({} or 1, {l})", self.batch);
            return Err(misfit("parameters", expected, &self.parameters));
        }
        if self.initial_values[1..] != [k, m] || !fits(self.initial_values[0]) {
            let expected = format!("(B or 1, K, m) = ({} or 1, {k}, {m})", self.batch);
            return Err(misfit("initial_values", expected, &self.initial_values));
        }
        Ok(())
    }
}

/// Returns the axes of an array: first those that may be shared, then those of any length.
fn axes<const A: usize, const S: usize, const F: usize>(
    argument: &str,
    view: &View<'_, f64>,
    shared: [(usize, &str); S],
    free: [&str; F],
) -> Result<[usize; A]> {
    let axes: Option<[usize; A]> = view.shape.try_into().ok();
    let fits = |axes: &[usize; A]| {
        axes.iter().zip(shared).all(|(&axis, (full, _))| axis == full || axis == 1)
    };
    axes.filter(fits).ok_or_else(|| {
        let letters = shared.iter().map(|(full, name)| format!("{name} or 1 = {full} or 1"));
        let letters: Vec<String> = letters.chain(free.map(String::from)).collect();
        Error::Shape {
            argument: argument.into(),
            expected: format!("({})", letters.join(", ")),
            actual: view.shape.to_vec(),
        }
    })
}
