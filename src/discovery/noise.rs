//! The noise of each state, and the floor below which it must not count.
//!
//! Sets of terms are compared through a quadratic function about one estimate, which holds for
//! changes of the coefficients by some number of standard errors. Where there is hardly any noise,
//! even neighboring sets are thousands of standard errors apart, and the comparison would be wrong
//! about all but the very next. The search therefore begins as if there were more noise, and lowers
//! this floor from selection to selection, each of which starts from the last one's terms.

/// The common noise level counts as much as this number of values of a state.
const POOLING: f64 = 100.0;

/// A floor under the noise of each state, which falls from one level to the next.
#[derive(Clone, Debug)]
pub(super) struct Floor {
    /// The levels that are left, the present one first, as fractions of a state's deviation.
    levels: &'static [f64],
    /// Standard deviation of each state (K).
    deviation: Vec<f64>,
}

impl Floor {
    /// Makes a floor at the first of the falling `levels` for states with these deviations.
    pub fn new(levels: &'static [f64], deviation: Vec<f64>) -> Self {
        Floor { levels, deviation }
    }

    /// Returns the smallest noise that the state may have now.
    pub fn of(&self, state: usize) -> f64 {
        self.levels[0] * self.deviation[state]
    }

    /// Returns the noise (K) where it is above the floor, and the floor elsewhere.
    pub fn under(&self, noise: &[f64]) -> Vec<f64> {
        noise.iter().enumerate().map(|(state, noise)| noise.max(self.of(state))).collect()
    }

    /// Lowers the floor by one level if that makes a difference: if the noise (K) of a state lies
    /// below it or near it. Returns whether the floor was lowered.
    pub fn lower(&mut self, noise: &[f64]) -> bool {
        let matters = noise.iter().enumerate().any(|(state, noise)| *noise < 2.0 * self.of(state));
        let lowered = matters && self.levels.len() > 1;
        if lowered {
            self.levels = &self.levels[1..];
        }
        lowered
    }
}

/// The residuals of one state in units of its deviation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Residuals {
    /// Sum of their squares.
    pub squares: f64,
    /// Their number, less the number of what was fitted to them.
    pub freedom: f64,
}

/// Returns the noise of each state in units of its deviation: the root mean square of its
/// residuals, drawn towards the median of all states as far as the difference may be chance.
///
/// A few dozen values cannot tell whose noise is larger. The logarithm of a variance from n values
/// has the variance 2/n; where logarithms differ by d, a fraction min(1, POOLING/(n d²)) of d is
/// taken back, so that sensors that do differ are left alone (positive-part James-Stein).
pub(super) fn levels(states: &[Residuals]) -> Vec<f64> {
    let variances: Vec<f64> =
        states.iter().map(|s| (s.squares / s.freedom).max(f64::MIN_POSITIVE)).collect();
    let common = median(variances.iter().map(|v| v.ln()).collect());
    let level = |(state, variance): (&Residuals, &f64)| {
        let difference = common - variance.ln();
        let chance = POOLING / (state.freedom * difference * difference);
        (0.5 * (variance.ln() + difference * chance.min(1.0))).exp()
    };
    states.iter().zip(&variances).map(level).collect()
}

/// Returns the median; of an even number of values the mean of the middle two.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => 0.5 * (values[middle - 1] + values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sensors_are_pooled_and_unequal_ones_are_not() {
        let state = |noise: f64, n: f64| Residuals { squares: n * noise * noise, freedom: n };
        // 21 values: a ratio of 1.3 is chance.
        let pooled = levels(&[state(0.013, 20.0), state(0.010, 20.0)]);
        assert!((pooled[0] / pooled[1] - 1.0).abs() < 1e-12, "{pooled:?}");
        // A column of noise does not spoil the other two.
        let apart = levels(&[state(1e-5, 200.0), state(1.1e-5, 200.0), state(1.0, 200.0)]);
        assert!(apart[0] > 1e-5 && apart[1] <= 1.1e-5 * 1.001, "{apart:?}");
        assert!((apart[2] - 1.0).abs() < 0.02, "{apart:?}");
    }

    #[test]
    fn the_floor_falls_while_noise_lies_below_it() {
        let mut floor = Floor::new(&[1e-3, 1e-4, 1e-5], vec![2.0, 1.0]);
        assert_eq!(floor.under(&[1e-4, 0.1]), [2e-3, 0.1]);
        assert!(!floor.lower(&[5e-3, 0.1]));
        assert!(floor.lower(&[1e-4, 0.1]));
        assert_eq!(floor.of(0), 2e-4);
        assert!(floor.lower(&[1e-4, 0.1]) && !floor.lower(&[0.0, 0.0]));
    }
}
