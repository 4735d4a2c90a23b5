//! One step of an optimiser on the elements of one parameter.

use crate::Real;

/// x ← x − rate·v with v ← momentum·v + g (momentum 0: plain gradient descent).
pub fn sgd<T: Real>(x: &mut [T], velocity: &mut [T], g: &[T], rate: T, momentum: T) {
    for ((x, v), g) in x.iter_mut().zip(velocity).zip(g) {
        *v = momentum * *v + *g;
        *x -= rate * *v;
    }
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

impl<T: Real> Adam<T> {
    /// Kingma and Ba (2015), algorithm 1; with decay, Loshchilov and Hutter (2019), algorithm 2.
    pub fn step(&self, x: &mut [T], first: &mut [T], second: &mut [T], g: &[T]) {
        let one = T::one();
        for (((x, m), v), g) in x.iter_mut().zip(first).zip(second).zip(g) {
            *m = self.beta1 * *m + (one - self.beta1) * *g;
            *v = self.beta2 * *v + (one - self.beta2) * *g * *g;
            let (mean, square) = (*m / self.correction1, *v / self.correction2);
            *x -= self.rate * (mean / (square.sqrt() + self.epsilon) + self.decay * *x);
        }
    }
}
