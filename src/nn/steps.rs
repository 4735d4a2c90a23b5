//! Learned time steps: a map from any real number to a positive step.

use crate::tape::{Array, Tape, Var};
use crate::tensor::Backend;
use crate::{Error, Real, Result};

/// Records the steps softplus(raw) + floor, so that every step exceeds `floor` whatever an
/// optimizer does to `raw`. Their shape is that of `raw`, e.g. (B or 1, N−1 or 1).
///
/// # Errors
/// [`Error::Argument`] when the floor is negative or not finite.
pub fn positive_steps<T: Real, B: Backend>(
    tape: &mut Tape<T, B>,
    raw: Var,
    floor: T,
) -> Result<Var> {
    check_floor(floor)?;
    let excess = tape.softplus(raw)?;
    tape.shift(excess, floor)
}

/// Returns the raw values for which [`positive_steps`] records these steps: ln(e^(s − floor) − 1).
///
/// # Errors
/// [`Error::Argument`] when a step is not above the floor or not finite.
pub fn raw_steps<T: Real>(steps: &Array<T>, floor: T) -> Result<Array<T>> {
    check_floor(floor)?;
    let mut raw = steps.clone();
    for step in raw.data_mut() {
        let excess = *step - floor;
        if !(excess > T::zero() && excess.is_finite()) {
            let message = format!("{step} is not a finite step above the floor {floor}");
            return Err(Error::argument("steps", message));
        }
        // Computes ln(e^x − 1) as x + ln(1 − e^−x), which does not overflow for large x.
        *step = excess + (-(-excess).exp_m1()).ln();
    }
    Ok(raw)
}

fn check_floor<T: Real>(floor: T) -> Result<()> {
    if floor >= T::zero() && floor.is_finite() {
        Ok(())
    } else {
        Err(Error::argument("floor", format!("{floor} is not a finite number from 0 up")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_steps_invert_positive_steps() {
        let steps = Array::vector(vec![1.1e-3, 0.05, 1.0, 800.0]);
        let mut tape = Tape::<f64>::new();
        let raw = tape.leaf(raw_steps(&steps, 1e-3).unwrap());
        let back = positive_steps(&mut tape, raw, 1e-3).unwrap();
        for (back, step) in tape.value(back).unwrap().data().iter().zip(steps.data()) {
            assert!((back - step).abs() <= 1e-12 * step, "{back} {step}");
        }
    }

    #[test]
    fn impossible_steps_are_refused() {
        for step in [0.0, -1.0, 1e-3, f64::NAN, f64::INFINITY] {
            assert!(raw_steps(&Array::vector(vec![step]), 1e-3).is_err(), "{step}");
        }
        assert!(raw_steps(&Array::vector(vec![1.0]), -1.0).is_err());
    }
}
