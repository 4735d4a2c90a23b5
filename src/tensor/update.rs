//! One step of an optimizer on the elements of one parameter.

/// An update rule of an optimizer with the numbers of one step.
#[derive(Clone, Copy, Debug)]
pub enum Rule<T> {
    /// x ← x − rate·v with v ← momentum·v + g (momentum 0: plain gradient descent).
    Sgd {
        /// Learning rate.
        rate: T,
        /// Part of the velocity v that is kept.
        momentum: T,
    },
    /// The Adam rule of Kingma and Ba (2015), algorithm 1; with weight decay that of Loshchilov and
    /// Hutter (2019), algorithm 2.
    Adam(Adam<T>),
}

/// The numbers of one Adam step, with the powers of β already computed.
#[derive(Clone, Copy, Debug)]
pub struct Adam<T> {
    /// Learning rate.
    pub rate: T,
    /// Decay β₁ of the first moment.
    pub beta1: T,
    /// Decay β₂ of the second moment.
    pub beta2: T,
    /// Number ε that is added to the root of the second moment.
    pub epsilon: T,
    /// Bias correction 1 − β₁ᵗ of the first moment.
    pub correction1: T,
    /// Bias correction 1 − β₂ᵗ of the second moment.
    pub correction2: T,
    /// Decoupled weight decay (AdamW), multiplied by the rate; 0 for Adam.
    pub decay: T,
}

/// The norm of the gradients of a step, and the limit that they are clipped to.
#[derive(Clone, Debug)]
pub struct Clip<N> {
    /// Joint Euclidean norm of all gradients of the step.
    pub norm: N,
    /// Limit of the norm; where the norm exceeds it, the gradients are scaled by limit/norm.
    pub limit: Option<f64>,
}
