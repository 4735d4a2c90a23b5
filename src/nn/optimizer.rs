//! Optimizers by gradient descent: SGD, Adam, AdamW.

use super::{Parameters, Schedule};
use crate::tape::{Array, Gradients};
use crate::tensor::update::{self, Clip};
use crate::tensor::{Backend, Cpu};
use crate::{Error, Real, Result};

/// The update rule of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Gradient descent with momentum: v ← momentum·v + g, x ← x − rate·v.
    Sgd {
        /// Part of the velocity v that is kept; 0 for plain gradient descent.
        momentum: f64,
    },
    /// The Adam rule of Kingma and Ba (2015); with `decay` > 0 it is AdamW, of Loshchilov and
    /// Hutter (2019).
    Adam {
        /// Decay β₁ of the mean of g.
        beta1: f64,
        /// Decay β₂ of the mean of g².
        beta2: f64,
        /// Number ε that is added to the root of the mean of g².
        epsilon: f64,
        /// Decoupled weight decay, which is multiplied by the rate.
        decay: f64,
    },
}

impl Rule {
    /// Returns plain gradient descent, without momentum.
    pub fn sgd() -> Self {
        Rule::Sgd { momentum: 0.0 }
    }

    /// Returns Adam with β₁ = 0.9, β₂ = 0.999 and ε = 1e-8.
    pub fn adam() -> Self {
        Rule::adam_w(0.0)
    }

    /// Returns Adam with decoupled weight decay (AdamW), β₁ = 0.9, β₂ = 0.999 and ε = 1e-8.
    pub fn adam_w(decay: f64) -> Self {
        Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay }
    }

    /// Returns the number of arrays of state for each parameter.
    fn moments(self) -> usize {
        match self {
            Rule::Sgd { .. } => 1,
            Rule::Adam { .. } => 2,
        }
    }

    /// Returns the numbers of an update at this rate, the `updates`-th of its parameter.
    fn numbers<T: Real>(self, rate: f64, updates: u64) -> update::Rule<T> {
        let rate = T::of(rate);
        match self {
            Rule::Sgd { momentum } => update::Rule::Sgd { rate, momentum: T::of(momentum) },
            Rule::Adam { beta1, beta2, epsilon, decay } => {
                let power = |beta: f64| beta.powf(updates as f64);
                update::Rule::Adam(update::Adam {
                    rate,
                    beta1: T::of(beta1),
                    beta2: T::of(beta2),
                    epsilon: T::of(epsilon),
                    correction1: T::of(1.0 - power(beta1)),
                    correction2: T::of(1.0 - power(beta2)),
                    decay: T::of(decay),
                })
            }
        }
    }
}

/// An optimizer: an update rule with its learning rate and its state.
#[derive(Clone, Debug)]
pub struct Optimizer<T: Real, B: Backend = Cpu> {
    /// The update rule.
    pub rule: Rule,
    /// Learning rate, which the schedule multiplies.
    pub rate: f64,
    /// Schedule of the learning rate.
    pub schedule: Schedule,
    /// Largest joint Euclidean norm of the gradients of a step; larger gradients are scaled down to
    /// it.
    pub clip: Option<f64>,
    steps: u64,
    /// State of each parameter in the store's order; `None` until it has had a gradient.
    pub(super) states: Vec<Option<State<T, B>>>,
    /// Number of the last step and norm of its gradient, where that may still be computed.
    unchecked: Option<(u64, B::Norm)>,
}

/// The state of an optimizer for one parameter.
#[derive(Clone, Debug)]
pub(super) struct State<T: Real, B: Backend> {
    /// Number of updates of this parameter so far (the t of Adam's bias correction).
    pub(super) updates: u64,
    /// Velocity (SGD), or first and second moment (Adam), each of the parameter's shape.
    pub(super) moments: Vec<Array<T, B>>,
}

impl<T: Real, B: Backend> Optimizer<T, B> {
    /// Makes an optimizer with a constant rate and without clipping.
    pub fn new(rule: Rule, rate: f64) -> Self {
        let (schedule, clip) = (Schedule::Constant, None);
        Optimizer { rule, rate, schedule, clip, steps: 0, states: vec![], unchecked: None }
    }

    /// Sets the schedule of the learning rate.
    pub fn with_schedule(self, schedule: Schedule) -> Self {
        Optimizer { schedule, ..self }
    }

    /// Sets the norm that the gradients are clipped to.
    pub fn with_clip(self, norm: f64) -> Self {
        Optimizer { clip: Some(norm), ..self }
    }

    /// Returns the number of steps taken, at most the largest number.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Takes a step: changes every parameter that has a gradient; the others stay as they are.
    ///
    /// A system that [`Tape::solve_ode`](crate::tape::Tape::solve_ode) could not solve contributes
    /// zero to the gradients, and nothing that is not finite: ask
    /// [`Tape::ode_solved`](crate::tape::Tape::ode_solved).
    ///
    /// # Errors
    /// [`Error::Argument`] when a parameter is of another store; [`Error::Data`] when a gradient is
    /// not finite, and then nothing is changed. A backend that works while the program goes on
    /// reports a gradient that is not finite at the next step, which changes nothing either;
    /// [`Optimizer::check`] reports it for the last step. [`Error::Device`] when the backend's
    /// device fails.
    pub fn step(
        &mut self,
        parameters: &mut Parameters<T, B>,
        gradients: &Gradients<T, B>,
    ) -> Result<()> {
        let before = self.check();
        self.unchecked = None;
        before?;
        let backend = gradients.backend();
        for (id, _) in gradients.parameters() {
            parameters.array(id)?;
        }
        let norm = backend.norm(gradients.parameters().map(|(_, gradient)| gradient))?;
        if B::ASYNCHRONOUS {
            self.unchecked = Some((self.steps, norm.clone()));
        } else {
            check_norm::<B>(self.steps, &norm)?;
        }
        let clip = Clip { norm, limit: self.clip };
        let rate = self.rate * self.schedule.factor(self.steps);
        self.states.resize(self.states.len().max(parameters.len()), None);
        for (id, gradient) in gradients.parameters() {
            let x = parameters.array_mut(id)?;
            let state = match &mut self.states[id.index] {
                Some(state) => state,
                none => {
                    let zeros = Array::full(x.shape(), T::zero())?;
                    let moments = vec![B::wrap(zeros); self.rule.moments()];
                    none.insert(State { updates: 0, moments })
                }
            };
            if state.moments.len() != self.rule.moments() {
                let moments = state.moments.len();
                let message = format!("changed after the first step ({moments} moments)");
                return Err(Error::argument("rule", message));
            }
            state.updates = state.updates.saturating_add(1);
            let rule = self.rule.numbers(rate, state.updates);
            backend.update(&rule, &clip, x, &mut state.moments, gradient)?;
        }
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// Checks that the gradient of the last step was finite, if `step` could not check it yet;
    /// waits for the backend.
    ///
    /// # Errors
    /// [`Error::Data`] when it was not finite; the step has then changed no parameter.
    pub fn check(&self) -> Result<()> {
        self.unchecked.as_ref().map_or(Ok(()), |(step, norm)| check_norm::<B>(*step, norm))
    }

    /// Replaces the state by a saved one.
    pub(super) fn restore(&mut self, steps: u64, states: Vec<Option<State<T, B>>>) {
        self.steps = steps;
        self.states = states;
    }

    /// Returns the number of arrays of state for each parameter.
    pub(super) fn moments(&self) -> usize {
        self.rule.moments()
    }
}

fn check_norm<B: Backend>(step: u64, norm: &B::Norm) -> Result<()> {
    if B::norm_value(norm)?.is_finite() {
        Ok(())
    } else {
        Err(Error::Data(format!("the gradient of step {step} is not finite")))
    }
}
