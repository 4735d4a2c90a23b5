//! Derivatives of periodic functions by their Fourier series: exact for all but the highest waves.

use std::f64::consts::TAU;

/// The derivative of one order on an equidistant grid over a period, as a circular convolution.
#[derive(Clone, Debug)]
pub struct PeriodicDerivative {
    kernel: Vec<f64>,
}

impl PeriodicDerivative {
    /// Makes the derivative of this order on `points` points over a period of this length.
    #[must_use]
    pub fn new(points: usize, length: f64, order: i32) -> Self {
        // (ik)^m e^(ikx) + (−ik)^m e^(−ikx) = 2 k^m cos(kx + m π/2); the wave of highest frequency
        // has no derivative of its own on the grid.
        let quarter = TAU / 4.0 * f64::from(order);
        let value = |j: usize| {
            let wave = |k: usize| {
                let phase = TAU * (k * j % points) as f64 / points as f64 + quarter;
                2.0 * (TAU * k as f64 / length).powi(order) * phase.cos()
            };
            (1..points.div_ceil(2)).map(wave).sum::<f64>() / points as f64
        };
        PeriodicDerivative { kernel: (0..points).map(value).collect() }
    }

    /// Returns the derivative of a function given by its values on the grid.
    #[must_use]
    pub fn of(&self, u: &[f64]) -> Vec<f64> {
        let n = u.len();
        let at = |i: usize| (0..n).map(|j| self.kernel[(i + n - j) % n] * u[j]).sum();
        (0..n).map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_differentiated_exactly() {
        let length = 3.0;
        let k = TAU * 2.0 / length;
        let x = |i: usize| length * i as f64 / 16.0;
        let wave: Vec<f64> = (0..16).map(|i| 5.0 + (k * x(i)).sin()).collect();
        let exact: [fn(f64) -> f64; 3] = [f64::cos, |x| -x.sin(), |x| -x.cos()];
        for (order, exact) in (1..).zip(exact) {
            for (i, found) in
                PeriodicDerivative::new(16, length, order).of(&wave).iter().enumerate()
            {
                let expected = k.powi(order) * exact(k * x(i));
                assert!((found - expected).abs() < 1e-11, "{order} {i}: {found} {expected}");
            }
        }
    }
}
