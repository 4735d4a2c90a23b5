//! One step of an optimizer on the elements of one parameter.

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub enum Rule<T> {
    /// x ← x − rate·v with v ← momentum·v + g (momentum 0: plain gradient descent).
    Sgd {
        /// Learning rate.
        rate: T,
        /// What is kept of the velocity v.
        momentum: T,
    },
    /// Kingma and Ba (2015), algorithm 1; with decay, Loshchilov and Hutter (2019), algorithm 2.
    Adam(Adam<T>),
}

/// The numbers of one Adam step, powers of β already taken.
#[derive(Clone, Copy, Debug)]
pub struct Adam<T> {
    /// Learning rate.
    pub rate: T,
    /// Decay of the first moment.
    pub beta1: T,
    /// Decay of the second moment.
    pub beta2: T,
    /// Added to the root of the second moment.
    pub epsilon: T,
    /// 1 − β₁ᵗ.
    pub correction1: T,
    /// 1 − β₂ᵗ.
    pub correction2: T,
    /// Decoupled weight decay (AdamW), multiplied by the rate; 0 for Adam.
    pub decay: T,
}

/// The gradient's norm, and what to do about it.
#[derive(Clone, Debug)]
pub struct Clip<N> {
    /// Joint Euclidean norm of all gradients of the step.
    pub norm: N,
    /// Where the norm exceeds this, the gradients are scaled by limit/norm.
    pub limit: Option<f64>,
}
