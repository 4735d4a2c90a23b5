//! Terms of the caller's own: their second derivatives, and a check of the gradients that are given.

use super::data::Dataset;
use super::grid::Smooth;
use super::settings::{Settings, UserTerm};
use crate::{Error, Result};

/// Number of states at which each gradient is checked.
const PLACES: usize = 11;
/// The difference from a central difference, relative to the larger of both, that counts as wrong.
/// Rounding and curvature are far below it.
const WRONG: f64 = 0.01;

impl UserTerm {
    /// Writes the change of the gradient along a direction, (∇²θ)·v (A), into `out`: (∇θ(u + εv) −
    /// ∇θ(u − εv)) / 2ε with the optimal ε, ∛(machine precision) relative to |u|/|v|.
    pub(super) fn write_gradient_along(&self, state: &[f64], direction: &[f64], out: &mut [f64]) {
        let norm = |x: &[f64]| x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let speed = norm(direction);
        if speed == 0.0 {
            out.fill(0.0);
            return;
        }
        let step = f64::EPSILON.cbrt() * norm(state).max(f64::MIN_POSITIVE.sqrt()) / speed;
        let moved = |sign: f64| -> Vec<f64> {
            state.iter().zip(direction).map(|(u, v)| u + sign * step * v).collect()
        };
        let mut behind = vec![0.0; state.len()];
        self.write_gradient(&moved(1.0), out);
        self.write_gradient(&moved(-1.0), &mut behind);
        for (o, b) in out.iter_mut().zip(&behind) {
            *o = (*o - b) / (2.0 * step);
        }
    }
}

/// Checks the gradient of each term of the caller's own against central differences of its value,
/// at states of the smoothed data. It is refused where more than half of the states contradict it:
/// a function may have a kink somewhere.
///
/// # Errors
/// [`Error::Argument`] with the name of the term, a state, and both derivatives.
pub(super) fn check_gradients(
    data: &Dataset,
    smooth: &Smooth,
    with_time: bool,
    settings: &Settings,
) -> Result<()> {
    if settings.user_terms.is_empty() {
        return Ok(());
    }
    let states: Vec<Vec<f64>> = data
        .trajectories
        .iter()
        .zip(&smooth.splines)
        .flat_map(|(trajectory, splines)| {
            let stride = trajectory.time.len().div_ceil(PLACES);
            let inputs = trajectory.inputs.len() / trajectory.time.len();
            (0..trajectory.time.len()).step_by(stride).map(move |row| {
                let time = trajectory.time[row];
                let at: Vec<[f64; 3]> = splines.iter().map(|spline| spline.at(time)).collect();
                let variables = (0..settings.order).flat_map(|j| at.iter().map(move |u| u[j]));
                let inputs = &trajectory.inputs[row * inputs..][..inputs];
                variables.chain(inputs.iter().copied()).chain(with_time.then_some(time)).collect()
            })
        })
        .collect();
    settings.user_terms.iter().try_for_each(|term| check(term, &states))
}

fn check(term: &UserTerm, states: &[Vec<f64>]) -> Result<()> {
    let variables = states[0].len();
    // Differences are taken over a small part of what a variable ranges over.
    let scale = |m: usize| {
        let values = || states.iter().map(|state| state[m]);
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        let largest = least.abs().max(most.abs());
        (most - least).max(1e-6 * largest)
    };
    for m in 0..variables {
        let step = f64::EPSILON.cbrt() * scale(m).max(f64::MIN_POSITIVE.sqrt());
        let mut contradictions = Vec::new();
        for state in states {
            let moved = |sign: f64| {
                let mut moved = state.clone();
                moved[m] += sign * step;
                (term.value)(&moved)
            };
            let (ahead, behind) = (moved(1.0), moved(-1.0));
            let difference = (ahead - behind) / (2.0 * step);
            let mut gradient = vec![0.0; variables];
            term.write_gradient(state, &mut gradient);
            // What rounding of the values leaves of a difference.
            let rounding = 1e3 * f64::EPSILON * ahead.abs().max(behind.abs()) / step;
            let allowed = WRONG * gradient[m].abs().max(difference.abs()) + rounding;
            let agrees = (gradient[m] - difference).abs() <= allowed;
            if difference.is_finite() && !agrees {
                contradictions.push((state, gradient[m], difference));
            }
        }
        if 2 * contradictions.len() > states.len() {
            let (state, given, difference) = contradictions[0];
            let message = format!(
                "the gradient of `{}` at {state:?} has the derivative {given:e} with respect to variable {m}, \
                 where differences of its value give {difference:e}",
                term.name
            );
            return Err(Error::argument("user_terms", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn outcome(gradient: impl Fn(&[f64], &mut [f64]) + Send + Sync + 'static) -> Result<()> {
        let term = UserTerm {
            name: "x|y|".into(),
            value: Arc::new(|u| u[0] * u[1].abs()),
            gradient: Arc::new(gradient),
        };
        let states: Vec<Vec<f64>> =
            (0..20).map(|i| vec![1.0 + f64::from(i), 0.5 * f64::from(i) - 4.0]).collect();
        check(&term, &states)
    }

    #[test]
    fn gradients_that_differences_contradict_are_refused() {
        outcome(|u, out| {
            out[0] = u[1].abs();
            out[1] = u[0] * u[1].signum();
        })
        .unwrap();
        let message = |outcome: Result<()>| outcome.unwrap_err().to_string();
        let wrong = message(outcome(|u, out| {
            out[0] = -u[1].abs();
            out[1] = u[0] * u[1].signum();
        }));
        assert!(wrong.starts_with("user_terms: the gradient of `x|y|` at "), "{wrong}");
        let undefined = message(outcome(|_, out| out.fill(f64::NAN)));
        assert!(undefined.contains("NaN with respect to variable 0"), "{undefined}");
        let unwritten = message(outcome(|u, out| out[0] = u[1].abs()));
        assert!(unwritten.contains("0e0 with respect to variable 1"), "{unwritten}");
    }
}
