//! Gradient descent: SGD, Adam, AdamW.

use super::{ParameterId, Parameters, Schedule};
use crate::backend::cpu::tensor::{reduce::sum_run, update};
use crate::tape::{Array, Gradients};
use crate::{Error, Real, Result};

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// v ← momentum·v + g, x ← x − rate·v.
    Sgd {
        /// 0 for plain gradient descent.
        momentum: f64,
    },
    /// Kingma and Ba (2015); with `decay` > 0 AdamW, Loshchilov and Hutter (2019).
    Adam {
        /// Decay of the mean of g.
        beta1: f64,
        /// Decay of the mean of g².
        beta2: f64,
        /// Added to the root of the mean of g².
        epsilon: f64,
        /// Decoupled weight decay, times the rate.
        decay: f64,
    },
}

impl Rule {
    /// Plain gradient descent.
    pub fn sgd() -> Self {
        Rule::Sgd { momentum: 0.0 }
    }

    /// Adam with β = 0.9, 0.999 and ε = 1e-8.
    pub fn adam() -> Self {
        Rule::adam_w(0.0)
    }

    /// Adam with decoupled weight decay.
    pub fn adam_w(decay: f64) -> Self {
        Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay }
    }

    /// Number of arrays of state for each parameter.
    fn moments(self) -> usize {
        match self {
            Rule::Sgd { .. } => 1,
            Rule::Adam { .. } => 2,
        }
    }
}

/// A rule with its learning rate and its state.
#[derive(Clone, Debug)]
pub struct Optimiser<T> {
    /// The update rule.
    pub rule: Rule,
    /// Learning rate, before the schedule.
    pub rate: f64,
    /// Factor on the rate for each step.
    pub schedule: Schedule,
    /// Gradients are scaled so that their joint Euclidean norm is at most this.
    pub clip: Option<f64>,
    steps: u64,
    /// For each parameter in the store's order, once it had a gradient.
    pub(super) states: Vec<Option<State<T>>>,
}

/// What the rule remembers of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State<T> {
    /// Updates of this parameter so far (the t of Adam's bias correction).
    pub(super) updates: u64,
    /// Velocity (SGD), or first and second moment (Adam).
    pub(super) moments: Vec<Array<T>>,
}

impl<T: Real> Optimiser<T> {
    /// Constant rate, no clipping.
    pub fn new(rule: Rule, rate: f64) -> Self {
        let (schedule, clip) = (Schedule::Constant, None);
        Optimiser { rule, rate, schedule, clip, steps: 0, states: vec![] }
    }

    /// The same with a schedule.
    pub fn with_schedule(self, schedule: Schedule) -> Self {
        Optimiser { schedule, ..self }
    }

    /// The same with clipping at this norm.
    pub fn with_clip(self, norm: f64) -> Self {
        Optimiser { clip: Some(norm), ..self }
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Changes every parameter that has a gradient; the others stay as they are.
    ///
    /// # Errors
    /// [`Error::Argument`] when a parameter is of another store; [`Error::Data`] when a gradient is
    /// not finite, and then nothing is changed.
    pub fn step(&mut self, parameters: &mut Parameters<T>, gradients: &Gradients<T>) -> Result<()> {
        let mut squares = 0.0;
        for (id, gradient) in gradients.parameters() {
            parameters.get(id)?;
            let square: Vec<f64> = gradient.data().iter().map(|g| g.to_double().powi(2)).collect();
            squares += sum_run(&square);
        }
        let norm = squares.sqrt();
        if !norm.is_finite() {
            let message = format!("the gradient of step {} is not finite", self.steps);
            return Err(Error::Data(message));
        }
        let shrink = match self.clip {
            Some(limit) if norm > limit => T::of(limit / norm),
            _ => T::one(),
        };
        let rate = self.rate * self.schedule.factor(self.steps);
        self.states.resize(self.states.len().max(parameters.len()), None);
        for (id, gradient) in gradients.parameters() {
            let gradient: Vec<T> = gradient.data().iter().map(|g| *g * shrink).collect();
            self.update(parameters, id, &gradient, rate)?;
        }
        self.steps += 1;
        Ok(())
    }

    fn update(
        &mut self,
        parameters: &mut Parameters<T>,
        id: ParameterId,
        gradient: &[T],
        rate: f64,
    ) -> Result<()> {
        let state = match &mut self.states[id.index] {
            Some(state) => state,
            none => {
                let zeros = Array::full(parameters.get(id)?.shape(), T::zero())?;
                none.insert(State { updates: 0, moments: vec![zeros; self.rule.moments()] })
            }
        };
        state.updates += 1;
        let x = parameters.data_mut(id)?;
        match (self.rule, &mut state.moments[..]) {
            (Rule::Sgd { momentum }, [velocity]) => {
                update::sgd(x, velocity.data_mut(), gradient, T::of(rate), T::of(momentum));
            }
            (Rule::Adam { beta1, beta2, epsilon, decay }, [first, second]) => {
                let power = |beta: f64| beta.powf(state.updates as f64);
                let step = update::Adam {
                    rate: T::of(rate),
                    beta1: T::of(beta1),
                    beta2: T::of(beta2),
                    epsilon: T::of(epsilon),
                    correction1: T::of(1.0 - power(beta1)),
                    correction2: T::of(1.0 - power(beta2)),
                    decay: T::of(decay),
                };
                step.step(x, first.data_mut(), second.data_mut(), gradient);
            }
            (_, moments) => {
                let message = format!("changed after the first step ({} moments)", moments.len());
                return Err(Error::argument("rule", message));
            }
        }
        Ok(())
    }

    /// Takes up a saved state.
    pub(super) fn restore(&mut self, steps: u64, states: Vec<Option<State<T>>>) {
        self.steps = steps;
        self.states = states;
    }

    /// Number of arrays of state for each parameter.
    pub(super) fn moments(&self) -> usize {
        self.rule.moments()
    }
}
