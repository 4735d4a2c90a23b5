//! What the distance of a measured value from the trajectory costs: its square, or less where it is
//! so large that it can hardly be noise.
//!
//! Huber's function (Huber 1964) is the square up to k standard deviations and a straight line
//! beyond. Gauss-Newton minimizes it by weights min(1, k/|z|) in the rows of the values (iteratively
//! reweighted least squares).

/// The distance k in standard deviations: of normal noise, 95 % of the information is kept.
const HUBER: f64 = 1.345;
/// The expectation of min(z², k²) for normal z.
const CLIPPED_VARIANCE: f64 = 0.710_164_5;
/// The weight below which a value hardly counts: it lies more than 5.4 standard deviations away.
const HARDLY: f64 = 0.25;
/// The most iterations towards the scale of residuals, and the relative change that ends them.
const MAX_ITERATIONS: usize = 100;
const SETTLED: f64 = 1e-9;

/// The cost of a value's distance from the trajectory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Loss {
    /// The square.
    #[default]
    Squares,
    /// Huber's function.
    Huber,
}

impl Loss {
    /// Returns the loss of a search that is `robust` or not.
    pub fn of(robust: bool) -> Self {
        if robust { Loss::Huber } else { Loss::Squares }
    }

    /// Returns the cost of a distance of z standard deviations: z², or 2k|z| − k² beyond k.
    pub fn cost(self, z: f64) -> f64 {
        match self {
            Loss::Huber if z.abs() > HUBER => HUBER * (2.0 * z.abs() - HUBER),
            _ => z * z,
        }
    }

    /// Returns the weight of the row of a value at this distance: min(1, k/|z|).
    pub fn weight(self, z: f64) -> f64 {
        match self {
            Loss::Huber if z.abs() > HUBER => HUBER / z.abs(),
            _ => 1.0,
        }
    }

    /// Returns the square whose expectation is 1 for normal noise, as that of z² is: min(z², k²)
    /// over its expectation. In contrast to the cost, single large distances hardly change its mean.
    pub fn square(self, z: f64) -> f64 {
        match self {
            Loss::Squares => z * z,
            Loss::Huber => (z * z).min(HUBER * HUBER) / CLIPPED_VARIANCE,
        }
    }

    /// Returns whether a value at this distance hardly counts.
    pub fn hardly_counts(self, z: f64) -> bool {
        self.weight(z) < HARDLY
    }

    /// Returns the sum of squares that residuals of the same scale without outliers would have: σ²
    /// times `freedom`, their number less that of what was fitted to them. For Huber's function,
    /// σ² solves Σ [`square`](Self::square)(r/σ) = freedom (Huber's proposal 2).
    pub fn sum_of_squares(self, residuals: impl Iterator<Item = f64> + Clone, freedom: f64) -> f64 {
        let all: f64 = residuals.clone().map(|r| r * r).sum();
        if self == Loss::Squares {
            return all;
        }
        let mut variance = all / freedom;
        for _ in 0..MAX_ITERATIONS {
            let limit = HUBER * HUBER * variance;
            let clipped: f64 = residuals.clone().map(|r| (r * r).min(limit)).sum();
            let before = variance;
            variance = clipped / (CLIPPED_VARIANCE * freedom);
            if (variance - before).abs() <= SETTLED * before {
                break;
            }
        }
        variance * freedom
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use rand_distr::{Distribution, StandardNormal};

    /// The cost is twice the integral of weight · z, and both are continuous.
    #[test]
    fn the_cost_belongs_to_the_weight() {
        for loss in [Loss::Squares, Loss::Huber] {
            for z in (-400..400).map(|i| 0.01 * f64::from(i) + 0.003) {
                let slope = (loss.cost(z + 1e-6) - loss.cost(z - 1e-6)) / 2e-6;
                assert!((slope - 2.0 * loss.weight(z) * z).abs() < 1e-5, "{loss:?} at {z}");
            }
        }
        assert!(Loss::Huber.hardly_counts(-6.0) && !Loss::Huber.hardly_counts(5.0));
        assert!(!Loss::Squares.hardly_counts(1e9));
    }

    #[test]
    fn outliers_hardly_change_the_scale() {
        let mut random = StdRng::seed_from_u64(1);
        let mut residuals: Vec<f64> = (0..20_000)
            .map(|_| 3.0 * Distribution::<f64>::sample(&StandardNormal, &mut random))
            .collect();
        let deviation = |loss: Loss, residuals: &[f64]| {
            let count = residuals.len() as f64;
            (loss.sum_of_squares(residuals.iter().copied(), count) / count).sqrt()
        };
        let clean = deviation(Loss::Squares, &residuals);
        assert!((clean - 3.0).abs() < 0.05, "{clean}");
        let huber = deviation(Loss::Huber, &residuals);
        assert!((huber / clean - 1.0).abs() < 0.02, "{huber}, {clean}");
        let scaled: f64 = residuals.iter().map(|r| Loss::Huber.square(r / huber)).sum();
        assert!((scaled / 20_000.0 - 1.0).abs() < 1e-6, "{scaled}");
        for residual in &mut residuals {
            if random.random::<f64>() < 0.03 {
                *residual = 1e6;
            }
        }
        let spoiled = deviation(Loss::Huber, &residuals);
        assert!((spoiled / clean - 1.0).abs() < 0.12, "{spoiled}, {clean}");
        assert_eq!(deviation(Loss::Huber, &[0.0; 5]), 0.0);
    }
}
