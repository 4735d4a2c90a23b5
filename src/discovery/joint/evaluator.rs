//! The vector field at both ends of a step.

use crate::discovery::candidates::Parameter;
use crate::discovery::grid::Grid;
use crate::discovery::linearized::Linearized;
use crate::discovery::right_hand_side::RightHandSide;

/// The vector field at the points t and t+1, and what it is computed from.
pub(super) struct Evaluator {
    /// The vector field at both points.
    pub ends: [Linearized; 2],
    /// The inputs at both ends of the step (E).
    pub inputs: [Vec<f64>; 2],
    /// Their rates in between (E).
    rates: Vec<f64>,
    /// State and inputs at one point (A).
    arguments: Vec<f64>,
}

impl Evaluator {
    /// Makes room for the vector field of a right-hand side as it is now, and for its derivatives with
    /// respect to the free coefficients in these places.
    pub fn new(rhs: &RightHandSide<'_>, places: &[Parameter]) -> Self {
        let e = rhs.library.inputs().len();
        let point = Linearized::new(rhs, places);
        Evaluator {
            ends: [point.clone(), point],
            inputs: [(); 2].map(|()| vec![0.0; e]),
            rates: vec![0.0; e],
            arguments: vec![0.0; rhs.library.arguments()],
        }
    }

    /// Returns whether the vector field at the beginning of the step from t is not that at the end of the one
    /// that was evaluated last: that step did not end there, or inputs have other rates now.
    pub fn is_new(&self, last: Option<usize>, t: usize) -> bool {
        !self.rates.is_empty() || last.is_none_or(|last| last + 1 != t)
    }

    /// Finds the inputs of the step of length h from t, and their rates.
    pub fn find_inputs(&mut self, grid: &Grid, t: usize, h: f64, rhs: &RightHandSide<'_>) {
        let [begin, end] = &mut self.inputs;
        grid.forcing.step(rhs.library, &grid.time, t, [begin, end]);
        for ((rate, begin), end) in self.rates.iter_mut().zip(begin).zip(end) {
            *rate = (*end - *begin) / h;
        }
    }

    /// Evaluates the flow at the beginning (0) or at the end (1) of the step, where the state is this.
    pub fn evaluate_flow(&mut self, end: usize, rhs: &RightHandSide<'_>, state: &[f64]) {
        self.set_arguments(end, state);
        self.ends[end].evaluate_flow(rhs, &self.arguments, &self.rates);
    }

    /// Evaluates everything there; `places` are those of the free coefficients, sorted by equation.
    pub fn evaluate(
        &mut self,
        end: usize,
        rhs: &RightHandSide<'_>,
        places: &[Parameter],
        state: &[f64],
    ) {
        self.set_arguments(end, state);
        self.ends[end].evaluate(rhs, places, &self.arguments, &self.rates);
    }

    fn set_arguments(&mut self, end: usize, state: &[f64]) {
        let (variables, inputs) = self.arguments.split_at_mut(state.len());
        variables.copy_from_slice(state);
        inputs.copy_from_slice(&self.inputs[end]);
    }
}
