//! The steps of the optimizers on the elements of one parameter; the gradient is multiplied by
//! `shrink` first.

use super::CHUNK;
use crate::Real;
use crate::tensor::update::Adam;
use crate::threads::share;

/// Takes a step of gradient descent with momentum.
pub fn sgd<T: Real>(x: &mut [T], v: &mut [T], g: &[T], shrink: T, rate: T, momentum: T) {
    let chunks = x.chunks_mut(CHUNK).zip(v.chunks_mut(CHUNK)).zip(g.chunks(CHUNK));
    share(chunks, usize::MAX, |((x, v), g)| {
        for ((x, v), g) in x.iter_mut().zip(v).zip(g) {
            *v = momentum * *v + *g * shrink;
            *x -= rate * *v;
        }
    });
}

/// Takes a step of Adam, or of AdamW where `numbers` have a decay.
pub fn adam<T: Real>(numbers: &Adam<T>, x: &mut [T], moments: [&mut [T]; 2], g: &[T], shrink: T) {
    let Adam { rate, beta1, beta2, epsilon, correction1, correction2, decay } = *numbers;
    let one = T::one();
    let [first, second] = moments.map(|moment| moment.chunks_mut(CHUNK));
    let chunks = x.chunks_mut(CHUNK).zip(first).zip(second).zip(g.chunks(CHUNK));
    share(chunks, usize::MAX, |(((x, m), v), g)| {
        for (((x, m), v), g) in x.iter_mut().zip(m).zip(v).zip(g) {
            let g = *g * shrink;
            *m = beta1 * *m + (one - beta1) * g;
            *v = beta2 * *v + (one - beta2) * g * g;
            let (mean, square) = (*m / correction1, *v / correction2);
            *x -= rate * (mean / (square.sqrt() + epsilon) + decay * *x);
        }
    });
}
