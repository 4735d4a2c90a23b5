//! Cubic smoothing splines through noisy, non-uniform samples.
//!
//! The spline g minimizes Σ (x_i − g(t_i))² + λ ∫ g''². With γ = g'' at the inner knots, (R +
//! λQᵀQ)γ = Qᵀx and g = x − λQγ: a pentadiagonal system (Reinsch 1967). λ minimizes the generalized
//! cross-validation score RSS/(n − tr S)² (S: the matrix that maps the data to the spline's
//! values), whose trace needs only the five central diagonals of the inverse (Hutchinson and de
//! Hoog 1985).

use super::noise::median;
use crate::threads;

/// How often values that lie far from the splines are moved, the distance in standard deviations
/// beyond which they are, a normal deviation over the median distance, and the part of the distance below
/// which a change is none.
const CLIPPINGS: usize = 10;
const CLIPPED: f64 = 3.0;
const NORMAL: f64 = 1.4826;
const SETTLED: f64 = 1e-3;

/// The decimal exponent of λ, in units of the sampling interval, below which a spline follows all waves
/// that the values can carry; the number of values in a difference that tells their noise then, that of a
/// second one, and the part of the first that this must be at least if both are noise.
const INTERPOLATING: f64 = -2.0;
const NEIGHBORS: usize = 7;
const MORE: usize = 9;
const SAME: f64 = 0.7;

/// The most fits that are made at a time, each in memory of its own.
pub(super) const TOGETHER: usize = 4;

/// A natural cubic spline.
#[derive(Clone, Debug)]
pub(super) struct Spline {
    knots: Vec<f64>,
    values: Vec<f64>,
    /// Second derivatives g'' at the knots, which are zero at both ends.
    curvatures: Vec<f64>,
}

/// The splines of several series with the same noise, and the estimate of that noise.
pub(super) struct Smoothed {
    pub splines: Vec<Spline>,
    /// Estimated standard deviation of the noise.
    pub noise: f64,
}

/// Smooths series of (times, values), each of at least three points, by one common λ.
pub(super) fn smooth(series: &[(Vec<f64>, Vec<f64>)]) -> Smoothed {
    let systems: Vec<Reinsch> = series.iter().map(|(t, x)| Reinsch::new(t, x)).collect();
    let intervals: usize = series.iter().map(|(t, _)| t.len() - 1).sum();
    let duration: f64 = series.iter().map(|(t, _)| t[t.len() - 1] - t[0]).sum();
    let unit = (duration / intervals as f64).powi(3);
    let total = |exponent: f64| -> Fitted {
        let lambda = unit * 10f64.powf(exponent);
        systems.iter().map(|system| system.fit(lambda).1).fold(Fitted::default(), Fitted::plus)
    };
    // In units of the sampling interval, λ = 10^-4 interpolates and 10^10 keeps only waves longer
    // than about 2000 intervals.
    let score = |exponent: &f64| total(*exponent).score();
    let coarse: Vec<f64> = (0..29).map(|i| 0.5 * f64::from(i) - 4.0).collect();
    let around = minimum(&coarse, score);
    let fine: Vec<f64> = (-4..=4).map(|i| around + 0.1 * f64::from(i)).collect();
    let best = minimum(&fine, score);
    let lambda = unit * 10f64.powf(best);
    let splines = series.iter().zip(&systems);
    let noise = total(best).noise();
    // Splines that follow every value leave nothing that would tell the noise.
    let of_differences = if best < INTERPOLATING { noise_of_differences(series) } else { 0.0 };
    Smoothed {
        splines: splines.map(|((t, x), system)| system.spline(lambda, t, x)).collect(),
        // What is not a number stays so: the caller tells of it.
        noise: if noise < of_differences { of_differences } else { noise },
    }
}

/// Returns the noise by differences of neighboring values. Noise is the same by those over more values,
/// while motion that is sampled coarsely becomes less; of that, and where no series has so many values,
/// nothing is said: zero.
fn noise_of_differences(series: &[(Vec<f64>, Vec<f64>)]) -> f64 {
    let [fewer, more] =
        [typical_difference::<NEIGHBORS>(series), typical_difference::<MORE>(series)];
    if more > SAME * fewer { fewer } else { 0.0 }
}

/// Returns the median size of divided differences over N values, scaled so that noise of unit variance has
/// differences of unit variance: polynomials of N − 1 coefficients leave nothing in them, and motion that
/// is fast for short times leaves the median alone. Zero where no series has so many values.
fn typical_difference<const N: usize>(series: &[(Vec<f64>, Vec<f64>)]) -> f64 {
    let difference = |(t, x): (&[f64], &[f64])| {
        // The coefficients of the divided difference, 1/Π_{j≠i} (t_i − t_j).
        let weight = |i: usize| {
            let others = (0..N).filter(|&j| j != i);
            1.0 / others.map(|j| (t[i] - t[j]) / (t[N - 1] - t[0])).product::<f64>()
        };
        let weights: [f64; N] = std::array::from_fn(weight);
        let norm = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>().abs() / norm
    };
    let windows = series.iter().flat_map(|(t, x)| t.windows(N).zip(x.windows(N)));
    let differences: Vec<f64> = windows.map(difference).collect();
    if differences.is_empty() { 0.0 } else { NORMAL * median(differences) }
}

/// Smooths as [`smooth`] does, but moves values that lie far from the splines nearer to them, until
/// they hardly change. The series are then those that were smoothed.
pub(super) fn smooth_robustly(series: &mut [(Vec<f64>, Vec<f64>)]) -> Smoothed {
    let measured: Vec<Vec<f64>> = series.iter().map(|(_, x)| x.clone()).collect();
    let mut smoothed = smooth(series);
    for _ in 0..CLIPPINGS {
        // Of times that are too near to each other nothing is found, which the caller tells.
        if !(smoothed.noise.is_finite() && smoothed.splines.iter().all(Spline::is_finite)) {
            return smoothed;
        }
        let splines = measured.iter().zip(&smoothed.splines);
        let distances = splines.flat_map(|(x, s)| x.iter().zip(&s.values).map(|(x, g)| x - g));
        let limit = CLIPPED * NORMAL * median(distances.map(f64::abs).collect());
        let mut change = 0.0_f64;
        for ((x, spline), (_, moved)) in measured.iter().zip(&smoothed.splines).zip(&mut *series) {
            for ((x, g), moved) in x.iter().zip(&spline.values).zip(moved) {
                let near = x.clamp(g - limit, g + limit);
                change = change.max((near - *moved).abs());
                *moved = near;
            }
        }
        if change <= SETTLED * limit {
            break;
        }
        smoothed = smooth(series);
    }
    smoothed
}

/// Returns the first candidate of the smallest score; up to [`TOGETHER`] are scored at a time.
fn minimum(candidates: &[f64], score: impl Fn(&f64) -> f64 + Sync) -> f64 {
    let mut scores = vec![0.0; candidates.len()];
    let together = candidates.len().div_ceil(TOGETHER);
    let parts = candidates.chunks(together).zip(scores.chunks_mut(together));
    threads::share(parts, usize::MAX, |(candidates, scores)| {
        for (x, to) in candidates.iter().zip(scores) {
            *to = score(x);
        }
    });
    let best = scores.iter().zip(candidates).min_by(|a, b| a.0.total_cmp(b.0));
    *best.expect("there are candidates").1
}

/// Sums over series that describe a fit: points, residual sum of squares, residual degrees of
/// freedom n − tr S.
#[derive(Clone, Copy, Default)]
struct Fitted {
    points: f64,
    squares: f64,
    freedom: f64,
}

impl Fitted {
    fn plus(self, other: Self) -> Self {
        Fitted {
            points: self.points + other.points,
            squares: self.squares + other.squares,
            freedom: self.freedom + other.freedom,
        }
    }

    /// Returns the score of generalized cross-validation.
    fn score(&self) -> f64 {
        self.points * self.squares / (self.freedom * self.freedom)
    }

    fn noise(&self) -> f64 {
        (self.squares / self.freedom).sqrt()
    }
}

/// The parts of (R + λQᵀQ)γ = Qᵀx that do not depend on λ; m = n − 2 inner knots.
struct Reinsch {
    steps: Vec<f64>,
    /// Right-hand side Qᵀx, (m).
    rhs: Vec<f64>,
    /// Central, first and second diagonal of R (the last is zero) and of QᵀQ, per inner knot.
    r: Vec<[f64; 3]>,
    q: Vec<[f64; 3]>,
}

impl Reinsch {
    fn new(t: &[f64], x: &[f64]) -> Self {
        let steps: Vec<f64> = t.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let m = t.len() - 2;
        let slope = |i: usize| (x[i + 1] - x[i]) / steps[i];
        let column = |j: usize| {
            let (before, after) = (1.0 / steps[j], 1.0 / steps[j + 1]);
            [before, -before - after, after]
        };
        let q = (0..m).map(|j| {
            let [a, b, c] = column(j);
            let first = if j + 1 < m { b * column(j + 1)[0] + c * column(j + 1)[1] } else { 0.0 };
            let second = if j + 2 < m { c * column(j + 2)[0] } else { 0.0 };
            [a * a + b * b + c * c, first, second]
        });
        let r = (0..m).map(|j| {
            let first = if j + 1 < m { steps[j + 1] / 6.0 } else { 0.0 };
            [(steps[j] + steps[j + 1]) / 3.0, first, 0.0]
        });
        Reinsch {
            rhs: (0..m).map(|j| slope(j + 1) - slope(j)).collect(),
            q: q.collect(),
            r: r.collect(),
            steps,
        }
    }

    /// Returns γ at the inner knots and the sums that describe the fit.
    fn fit(&self, lambda: f64) -> (Vec<f64>, Fitted) {
        let m = self.rhs.len();
        let entry = |j: usize, k: usize| self.r[j][k] + lambda * self.q[j][k];
        // The factors of B = LDLᵀ are d and l[j] = (L_{j+1,j}, L_{j+2,j}).
        let (mut d, mut l) = (vec![0.0; m], vec![[0.0; 2]; m]);
        let mut gamma = self.rhs.clone();
        for j in 0..m {
            let [mut central, mut first, second] = [entry(j, 0), entry(j, 1), entry(j, 2)];
            if j >= 1 {
                central -= l[j - 1][0] * l[j - 1][0] * d[j - 1];
                first -= l[j - 1][0] * l[j - 1][1] * d[j - 1];
                gamma[j] -= l[j - 1][0] * gamma[j - 1];
            }
            if j >= 2 {
                central -= l[j - 2][1] * l[j - 2][1] * d[j - 2];
                gamma[j] -= l[j - 2][1] * gamma[j - 2];
            }
            d[j] = central;
            l[j] = [first / central, second / central];
        }
        // Backward substitution gives γ and the inverse's diagonals (b_jj, b_j,j+1, b_j,j+2), where
        // the two rows below row j are kept.
        let (mut below, mut beyond) = ([0.0; 3], [0.0; 3]);
        let (mut trace, mut squares) = (0.0, 0.0);
        for j in (0..m).rev() {
            let next = |k: usize| gamma.get(j + k).copied().unwrap_or(0.0);
            let (next1, next2) = (next(1), next(2));
            gamma[j] = gamma[j] / d[j] - l[j][0] * next1 - l[j][1] * next2;
            let [l1, l2] = l[j];
            let first = -l1 * below[0] - l2 * below[1];
            let second = -l1 * below[1] - l2 * beyond[0];
            let inverse = [1.0 / d[j] - l1 * first - l2 * second, first, second];
            let q = self.q[j];
            trace += inverse[0] * q[0] + 2.0 * (inverse[1] * q[1] + inverse[2] * q[2]);
            squares += gamma[j] * (q[0] * gamma[j] + 2.0 * (q[1] * next1 + q[2] * next2));
            (beyond, below) = (below, inverse);
        }
        let fitted = Fitted {
            points: (m + 2) as f64,
            squares: lambda * lambda * squares,
            freedom: lambda * trace,
        };
        (gamma, fitted)
    }

    fn spline(&self, lambda: f64, t: &[f64], x: &[f64]) -> Spline {
        let n = t.len();
        let mut curvatures = vec![0.0; n];
        curvatures[1..n - 1].copy_from_slice(&self.fit(lambda).0);
        let mut values = x.to_vec();
        for j in 1..n - 1 {
            let pull = lambda * curvatures[j];
            let (before, after) = (1.0 / self.steps[j - 1], 1.0 / self.steps[j]);
            values[j - 1] -= pull * before;
            values[j] += pull * (before + after);
            values[j + 1] -= pull * after;
        }
        Spline { knots: t.to_vec(), values, curvatures }
    }
}

impl Spline {
    /// Returns whether all its numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.values.iter().chain(&self.curvatures).all(|number| number.is_finite())
    }

    /// Returns its knots, and its slopes there.
    pub fn slopes(&self) -> (Vec<f64>, Vec<f64>) {
        let slopes = self.knots.iter().map(|&knot| self.at(knot)[1]);
        (self.knots.clone(), slopes.collect())
    }

    /// Returns value, slope and curvature at `time`; beyond its ends the spline is a straight line.
    pub fn at(&self, time: f64) -> [f64; 3] {
        let last = self.knots.len() - 1;
        let i = self.knots.partition_point(|&knot| knot <= time).clamp(1, last) - 1;
        let h = self.knots[i + 1] - self.knots[i];
        let (g, c) = (&self.values[i..i + 2], &self.curvatures[i..i + 2]);
        let inside = time.clamp(self.knots[0], self.knots[last]);
        let b = (inside - self.knots[i]) / h;
        let a = 1.0 - b;
        let value =
            a * g[0] + b * g[1] + h * h / 6.0 * ((a * a * a - a) * c[0] + (b * b * b - b) * c[1]);
        let slope =
            (g[1] - g[0]) / h + h / 6.0 * ((3.0 * b * b - 1.0) * c[1] - (3.0 * a * a - 1.0) * c[0]);
        [
            value + slope * (time - inside),
            slope,
            if time == inside { a * c[0] + b * c[1] } else { 0.0 },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(n: usize, noise: f64) -> (Vec<f64>, Vec<f64>) {
        let mut seed = 1_u64;
        let mut uniform = move || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let t: Vec<f64> = (0..n).map(|i| 0.05 * (i as f64 + 0.6 * uniform())).collect();
        let x = t.iter().map(|t| t.sin() + noise * 12f64.sqrt() * uniform()).collect();
        (t, x)
    }

    #[test]
    fn noise_is_estimated_and_removed() {
        let smoothed = smooth(&[sine(400, 0.1), sine(300, 0.1)]);
        assert!((smoothed.noise - 0.1).abs() < 0.01, "{}", smoothed.noise);
        for t in (0..140).map(|i| 0.5 + 0.1 * f64::from(i)) {
            let [value, slope, _] = smoothed.splines[0].at(t);
            assert!((value - t.sin()).abs() < 0.08, "{t}: {value}");
            assert!((slope - t.cos()).abs() < 0.3, "{t}: {slope}");
        }
    }

    #[test]
    fn outliers_move_robust_splines_little() {
        let (t, mut x) = sine(400, 0.1);
        (3..400).step_by(30).for_each(|i| x[i] += 3.0);
        let errors = |smoothed: &Smoothed| {
            let at = (0..180).map(|i| 0.5 + 0.1 * f64::from(i));
            at.map(|t| (smoothed.splines[0].at(t)[0] - t.sin()).abs()).fold(0.0, f64::max)
        };
        let plain = smooth(&[(t.clone(), x.clone())]);
        let mut moved = [(t, x)];
        let robust = smooth_robustly(&mut moved);
        let [spoiled, kept] = [errors(&plain), errors(&robust)];
        assert!(spoiled > 0.2 && kept < 0.15, "{spoiled} {kept}");
        // One value in thirty that is moved to three deviations adds a third to the variance.
        assert!((0.08..0.13).contains(&robust.noise), "{}", robust.noise);
        assert!(plain.noise > 0.4, "{}", plain.noise);
        assert!(moved[0].1[33] < 2.0, "{}", moved[0].1[33]);
    }

    #[test]
    fn differences_tell_the_noise_of_motion_with_bursts() {
        let (t, x) = sine(400, 0.1);
        let burst = |t: f64| 5.0 / (1.0 + (40.0 * (t % 4.0 - 2.0)).powi(2));
        let bursting: Vec<f64> = t.iter().zip(&x).map(|(t, x)| x + burst(*t)).collect();
        for values in [x, bursting] {
            let noise = noise_of_differences(&[(t.clone(), values)]);
            assert!((noise - 0.1).abs() < 0.02, "{noise}");
        }
        let polynomial: Vec<f64> = t.iter().map(|t| t.powi(5) - 3.0 * t * t).collect();
        let size = polynomial.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
        let rounding = noise_of_differences(&[(t, polynomial)]);
        assert!(rounding < 1e-12 * size, "{rounding} {size}");
        // Five values a period are no noise.
        let time: Vec<f64> = (0..200).map(|i| 0.4 * std::f64::consts::PI * f64::from(i)).collect();
        let coarse = time.iter().map(|t| (1.003 * t).sin()).collect();
        assert_eq!(noise_of_differences(&[(time, coarse)]), 0.0);
        assert_eq!(noise_of_differences(&[(vec![0.0, 1.0, 2.0], vec![1.0, 3.0, 2.0])]), 0.0);
    }

    #[test]
    fn times_that_are_too_near_to_each_other_are_told() {
        let (mut t, mut x) = sine(120, 0.1);
        t.insert(20, t[19] + 1.6e-8);
        x.insert(20, x[19] + 0.1);
        let close = smooth(&[(t, x)]);
        let finite = close.splines.iter().all(Spline::is_finite);
        // Neither is taken for an estimate: the noise is that of the data, or it is not a number.
        assert!(
            !finite || close.noise.is_nan() || (0.05..0.2).contains(&close.noise),
            "{}",
            close.noise
        );
    }

    #[test]
    fn exact_samples_are_interpolated() {
        let smoothed = smooth(&[sine(400, 0.0)]);
        assert!(smoothed.noise < 1e-5, "{}", smoothed.noise);
        for t in (0..140).map(|i| 0.5 + 0.1 * f64::from(i)) {
            let [value, slope, curvature] = smoothed.splines[0].at(t);
            assert!((value - t.sin()).abs() < 1e-5, "{t}: {value}");
            assert!((slope - t.cos()).abs() < 1e-3, "{t}: {slope}");
            assert!((curvature + t.sin()).abs() < 1e-2, "{t}: {curvature}");
        }
    }

    #[test]
    fn smoothing_solves_the_normal_equations() {
        // The dense definition on few points: (I + λQR⁻¹Qᵀ)g = x, so x − g = λQγ is orthogonal to
        // straight lines, and tr S follows from unit vectors.
        let (t, x) = sine(9, 0.3);
        let lambda = 0.003;
        let system = Reinsch::new(&t, &x);
        let spline = system.spline(lambda, &t, &x);
        let residual: Vec<f64> = x.iter().zip(&spline.values).map(|(x, g)| x - g).collect();
        assert!(residual.iter().sum::<f64>().abs() < 1e-12);
        assert!(residual.iter().zip(&t).map(|(r, t)| r * t).sum::<f64>().abs() < 1e-12);
        let fitted = system.fit(lambda).1;
        let squares: f64 = residual.iter().map(|r| r * r).sum();
        assert!((fitted.squares - squares).abs() < 1e-12);
        let trace: f64 = (0..9)
            .map(|i| {
                let mut unit = vec![0.0; 9];
                unit[i] = 1.0;
                Reinsch::new(&t, &unit).spline(lambda, &t, &unit).values[i]
            })
            .sum();
        assert!((fitted.freedom - (9.0 - trace)).abs() < 1e-10, "{} {trace}", fitted.freedom);
    }
}
