//! Schedules: how the learning rate changes from step to step.

use std::f64::consts::PI;

/// A schedule: a factor on the learning rate for each step, counted from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// The factor is 1.
    #[default]
    Constant,
    /// The factor is factor^⌊step / every⌋.
    Step {
        /// Number of steps between two changes.
        every: u64,
        /// Factor of each change.
        factor: f64,
    },
    /// The factor is decay^step.
    Exponential {
        /// Factor of each step.
        decay: f64,
    },
    /// The factor falls from 1 to `floor` along half a cosine over `steps`, and stays there.
    Cosine {
        /// Number of steps of the descent.
        steps: u64,
        /// The last factor.
        floor: f64,
    },
    /// The factor rises to 1 in equal parts over `steps`, and follows the other schedule from its
    /// beginning afterwards.
    WarmUp {
        /// Number of steps of the rise.
        steps: u64,
        /// Schedule after the rise.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// Returns the factor at this step.
    pub fn factor(&self, step: u64) -> f64 {
        match self {
            Schedule::Constant => 1.0,
            Schedule::Step { every, factor } => {
                factor.powf(step.checked_div(*every).unwrap_or(0) as f64)
            }
            Schedule::Exponential { decay } => decay.powf(step as f64),
            Schedule::Cosine { steps, floor } if step < *steps => {
                let part = step as f64 / *steps as f64;
                floor + (1.0 - floor) * 0.5 * (1.0 + (PI * part).cos())
            }
            Schedule::Cosine { floor, .. } => *floor,
            Schedule::WarmUp { steps, .. } if step < *steps => {
                (step as f64 + 1.0) / (*steps as f64 + 1.0)
            }
            Schedule::WarmUp { steps, then } => then.factor(step - steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_follow_their_formula() {
        let at = |schedule: &Schedule, steps: &[u64]| -> Vec<f64> {
            steps.iter().map(|&step| schedule.factor(step)).collect()
        };
        assert_eq!(at(&Schedule::Constant, &[0, 9]), [1.0, 1.0]);
        let step = Schedule::Step { every: 10, factor: 0.5 };
        assert_eq!(at(&step, &[0, 9, 10, 25]), [1.0, 1.0, 0.5, 0.25]);
        let exponential = Schedule::Exponential { decay: 0.5 };
        assert_eq!(at(&exponential, &[0, 1, 3]), [1.0, 0.5, 0.125]);
        let cosine = Schedule::Cosine { steps: 10, floor: 0.1 };
        let expected = [1.0, 0.55, 0.1, 0.1];
        for (value, expected) in at(&cosine, &[0, 5, 10, 99]).iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12);
        }
        let warm = Schedule::WarmUp { steps: 3, then: Box::new(exponential) };
        assert_eq!(at(&warm, &[0, 1, 2, 3, 4]), [0.25, 0.5, 0.75, 1.0, 0.5]);
    }
}
