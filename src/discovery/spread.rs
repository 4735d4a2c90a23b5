//! The spread of the noise within a state: sensors whose error is a part of what they read are the more
//! precise, the smaller the value.
//!
//! The variance of the noise is taken to be σ² (1 − ρ + ρ x²/mean x²), where x is the smoothed value
//! and ρ its relative part. What the smoothed data leave of the values tells ρ, by likelihood.

use super::grid::{Grid, Smooth};

/// The relative parts ρ of the variance that are tried beside none.
const RELATIVE: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
/// The decrease of −2 log likelihood for which the noise is taken to be relative.
const CLEAR: f64 = 25.0;
/// The smallest noise, as a fraction of a state's deviation, that is judged: less may be the error of
/// the splines.
const LEAST: f64 = 1e-3;

/// Returns what the noise of each value is in units of its state's, (M, K): 1 unless it is clearly
/// larger for larger values.
pub(super) fn spread(grid: &Grid, smooth: &Smooth) -> Vec<f64> {
    let k = grid.offset.len();
    let states = grid.sample(smooth, 1);
    let mut spread = vec![1.0; grid.observed.len()];
    for state in 0..smooth.measured() {
        if smooth.noise[state] <= LEAST * smooth.deviation[state] {
            continue;
        }
        let places: Vec<usize> = (state..grid.observed.len()).step_by(k).collect();
        let measured: Vec<usize> =
            places.iter().copied().filter(|&at| !grid.observed[at].is_nan()).collect();
        // A smoothed value is not known better than to the noise.
        let least = smooth.noise[state].powi(2);
        let square = |at: usize| (states[at] + grid.offset[state]).powi(2).max(least);
        let count = measured.len() as f64;
        let mean = measured.iter().map(|&at| square(at)).sum::<f64>() / count;
        let variance = |part: f64, at: usize| 1.0 - part + part * square(at) / mean;
        let logarithm =
            |part: f64| measured.iter().map(|&at| variance(part, at).ln()).sum::<f64>() / count;
        let misfit = |part: f64| {
            let left = |&at: &usize| (grid.observed[at] - states[at]).powi(2) / variance(part, at);
            count * ((measured.iter().map(left).sum::<f64>() / count).ln() + logarithm(part))
        };
        let misfits = RELATIVE.map(|part| (misfit(part), part));
        let [first, others @ ..] = misfits;
        let better = |a: (f64, f64), b: (f64, f64)| if b.0 < a.0 { b } else { a };
        let (least, part) = others.into_iter().fold(first, better);
        if least < misfit(0.0) - CLEAR {
            let usual = logarithm(part);
            for at in places {
                spread[at] = (0.5 * (variance(part, at).ln() - usual)).exp();
            }
        }
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::grid::smooth;
    use crate::discovery::loss::Loss;
    use crate::discovery::{Dataset, Trajectory};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rand_distr::{Distribution, StandardNormal};

    /// Returns the spread of a decay, measured with an error of this part of each value and this one of
    /// all.
    fn of_decay(relative: f64, absolute: f64) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(3);
        let mut normal = move || Distribution::<f64>::sample(&StandardNormal, &mut random);
        let time: Vec<f64> = (0..300).map(|i| 0.01 * f64::from(i)).collect();
        let value = |t: &f64| {
            let x = (-t).exp();
            x + relative * x * normal() + absolute * normal()
        };
        let values = time.iter().map(value).collect();
        let data = Dataset {
            states: vec!["x".into()],
            trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
            ..Dataset::default()
        };
        let smoothed = smooth(&data, Loss::Squares).unwrap();
        spread(&Grid::new(&data, &smoothed, Some(1)).unwrap(), &smoothed)
    }

    #[test]
    fn relative_noise_is_told_from_absolute_noise() {
        let relative = of_decay(0.05, 0.0);
        let ratio = relative[0] / relative[299];
        assert!((10.0..30.0).contains(&ratio), "{ratio}");
        let mean = relative.iter().map(|s| s.ln()).sum::<f64>();
        assert!(mean.abs() < 1e-9, "{mean}");
        assert!(of_decay(0.0, 0.02).iter().all(|s| *s == 1.0));
        assert!(of_decay(0.0, 0.0).iter().all(|s| *s == 1.0));
    }
}
