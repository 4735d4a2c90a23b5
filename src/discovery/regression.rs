//! The regression that gives the search its first coefficients: linear least squares on the
//! smoothed data.

use super::candidates::Parameter;
use super::dense::{dot, solve_positive};
use super::grid::Grid;
use super::information::Information;
use super::link::Link;
use super::right_hand_side::RightHandSide;

/// The length of the windows of the integral regression, in units of the smoothed data's time
/// scale.
const WINDOW_STEPS: usize = 8;
/// The ridge relative to the diagonal of the normal equations.
const RIDGE: f64 = 1e-10;
/// The margin at the ends of a bounded link's range; values closer to an end are moved in before
/// the link is inverted.
const MARGIN: f64 = 0.02;
/// The reweighting passes of the ratio's regression.
const RATIO_PASSES: usize = 5;
/// The error of the smoothed data's slopes, relative to the slopes, that is never counted against a
/// set of terms.
const SMOOTHING: f64 = 1e-3;

/// Estimates the coefficients named by `parameters`, and sets them in `rhs`, from `states` (M, A),
/// with their inputs, on the grid. `slopes` (M, K) are the derivatives of order `rhs.order`.
///
/// The regression solves ∫Θξ dt = Δu over windows for the identity, Θξ = g⁻¹(u') point by point,
/// weighted by g'², for other links, and for a ratio Θξ − u'Θ₁ζ = u', weighted by the last pass's
/// 1/(1 + Θ₁ζ)².
pub(super) fn regress(
    rhs: &mut RightHandSide<'_>,
    parameters: &[Parameter],
    grid: &Grid,
    states: &[f64],
    slopes: &[f64],
) {
    for equation in 0..rhs.states() {
        let mut own: Vec<Parameter> =
            parameters.iter().copied().filter(|p| p.equation == equation).collect();
        if rhs.links[equation] == Link::Ratio {
            for _ in 0..RATIO_PASSES {
                fit(rhs, &own, equation, grid, states, slopes);
            }
            if has_pole(rhs, equation, grid, states) {
                own.iter().filter(|p| p.denominator).for_each(|p| *p.value_mut(rhs) = 0.0);
                own.retain(|p| !p.denominator);
            }
        }
        fit(rhs, &own, equation, grid, states, slopes);
    }
}

/// Reduces the terms of each ratio in `rhs`, which [`regress`] has estimated with all of them, to
/// those that the regression supports, and estimates these anew; the coefficients of the others are
/// zero. A term must lower χ² by `penalty`.
///
/// A numerator and a denominator of high degree can be extended by a common factor in many ways, so
/// that an estimate with all terms is no place to begin from.
pub(super) fn thin_ratios(
    rhs: &mut RightHandSide<'_>,
    parameters: &[Parameter],
    grid: &Grid,
    states: &[f64],
    slopes: &[f64],
    penalty: f64,
) {
    for equation in 0..rhs.states() {
        if rhs.links[equation] != Link::Ratio {
            continue;
        }
        let own: Vec<Parameter> =
            parameters.iter().copied().filter(|p| p.equation == equation).collect();
        let mut normal = Normal::new(own.len());
        points(rhs, &own, equation, states, slopes, &mut normal);
        let mut kept: Vec<Parameter> =
            normal.best_subset(penalty).into_iter().map(|place| own[place]).collect();
        own.iter().for_each(|p| *p.value_mut(rhs) = 0.0);
        for _ in 0..RATIO_PASSES {
            fit(rhs, &kept, equation, grid, states, slopes);
        }
        if has_pole(rhs, equation, grid, states) {
            kept.iter().filter(|p| p.denominator).for_each(|p| *p.value_mut(rhs) = 0.0);
            kept.retain(|p| !p.denominator);
            fit(rhs, &kept, equation, grid, states, slopes);
        }
    }
}

fn fit(
    rhs: &mut RightHandSide<'_>,
    own: &[Parameter],
    equation: usize,
    grid: &Grid,
    states: &[f64],
    slopes: &[f64],
) {
    let mut normal = Normal::new(own.len());
    match rhs.links[equation] {
        Link::Identity => windows(rhs, own, equation, grid, states, &mut normal),
        _ => points(rhs, own, equation, states, slopes, &mut normal),
    }
    for (p, value) in own.iter().zip(normal.solve()) {
        *p.value_mut(rhs) = value;
    }
}

/// Returns whether a denominator changes sign along a trajectory: from such a start no small step
/// leads to a good fit.
fn has_pole(rhs: &RightHandSide<'_>, equation: usize, grid: &Grid, states: &[f64]) -> bool {
    let l = rhs.library.len();
    let d = rhs.library.arguments();
    let mut terms = vec![0.0; l];
    let mut positive = |t: usize| {
        rhs.library.values(&states[t * d..][..d], &mut terms);
        1.0 + dot(&rhs.denominator[equation * l..][..l], &terms) > 0.0
    };
    grid.trajectories.iter().any(|range| {
        let first = positive(range.start);
        range.clone().any(|t| positive(t) != first)
    })
}

/// Adds one row per window, with ∫θ_j dt by the trapezoidal rule and the target Δu; windows overlap
/// by half.
fn windows(
    rhs: &RightHandSide<'_>,
    own: &[Parameter],
    equation: usize,
    grid: &Grid,
    states: &[f64],
    normal: &mut Normal,
) {
    let (k, l) = (rhs.states(), rhs.library.len());
    let d = rhs.library.arguments();
    let known = known_coefficients(rhs, own, equation);
    let (mut terms, mut integrals) = (vec![0.0; l], vec![0.0; l]);
    let mut features = vec![0.0; own.len()];
    for range in &grid.trajectories {
        let length = WINDOW_STEPS.min(range.len() - 1);
        let mut start = range.start;
        while start + length < range.end {
            integrals.fill(0.0);
            let end = start + length;
            for t in start..=end {
                let before = if t > start { grid.time[t] - grid.time[t - 1] } else { 0.0 };
                let after = if t < end { grid.time[t + 1] - grid.time[t] } else { 0.0 };
                rhs.library.values(&states[t * d..][..d], &mut terms);
                let weight = 0.5 * (before + after);
                integrals.iter_mut().zip(&terms).for_each(|(i, term)| *i += weight * term);
            }
            for (feature, p) in features.iter_mut().zip(own) {
                *feature = integrals[p.term];
            }
            let component = k * rhs.order - k + equation;
            let change = states[end * d + component] - states[start * d + component];
            normal.add(&features, change - dot(&known, &integrals), 1.0);
            start += (length / 2).max(1);
        }
    }
}

/// Adds one row per grid point.
fn points(
    rhs: &RightHandSide<'_>,
    own: &[Parameter],
    equation: usize,
    states: &[f64],
    slopes: &[f64],
    normal: &mut Normal,
) {
    let (k, l) = (rhs.states(), rhs.library.len());
    let d = rhs.library.arguments();
    let known = known_coefficients(rhs, own, equation);
    let link = rhs.links[equation];
    let mut terms = vec![0.0; l];
    let mut features = vec![0.0; own.len()];
    for (t, state) in states.chunks_exact(d).enumerate() {
        let slope = slopes[t * k + equation];
        rhs.library.values(state, &mut terms);
        let below = 1.0 + dot(&rhs.denominator[equation * l..][..l], &terms);
        let (target, weight) = match link {
            Link::Identity => (slope, 1.0),
            Link::Tanh => {
                let z = slope.clamp(MARGIN - 1.0, 1.0 - MARGIN).atanh();
                (z, link.derivatives(z, 0.0).a)
            }
            Link::Sin => {
                let z = slope.clamp(MARGIN - 1.0, 1.0 - MARGIN).asin();
                (z, link.derivatives(z, 0.0).a)
            }
            Link::Sigmoid => {
                let value = slope.clamp(MARGIN, 1.0 - MARGIN);
                let z = (value / (1.0 - value)).ln();
                (z, link.derivatives(z, 0.0).a)
            }
            // A denominator near zero must not let one point outweigh all others.
            Link::Ratio => (slope, 1.0 / below.abs().max(0.1)),
        };
        for (feature, p) in features.iter_mut().zip(own) {
            *feature = if p.denominator { -slope * terms[p.term] } else { terms[p.term] };
        }
        normal.add(&features, target - dot(&known, &terms), weight * weight);
    }
}

/// Returns the coefficients (L) of one equation's numerator that are not free.
fn known_coefficients(rhs: &RightHandSide<'_>, own: &[Parameter], equation: usize) -> Vec<f64> {
    let l = rhs.library.len();
    let mut known = rhs.numerator[equation * l..][..l].to_vec();
    own.iter().filter(|p| !p.denominator).for_each(|p| known[p.term] = 0.0);
    known
}

/// The normal equations of a weighted linear regression.
struct Normal {
    matrix: Vec<f64>,
    rhs: Vec<f64>,
    /// Weighted sum of the targets' squares, and the number of rows.
    squares: f64,
    count: f64,
}

impl Normal {
    fn new(n: usize) -> Self {
        Normal { matrix: vec![0.0; n * n], rhs: vec![0.0; n], squares: 0.0, count: 0.0 }
    }

    fn add(&mut self, features: &[f64], target: f64, weight: f64) {
        let n = features.len();
        self.squares += weight * target * target;
        self.count += 1.0;
        for (i, f) in features.iter().enumerate() {
            let scaled = weight * f;
            self.rhs[i] += scaled * target;
            let row = &mut self.matrix[i * n..][..n];
            row[i..].iter_mut().zip(&features[i..]).for_each(|(m, g)| *m += scaled * g);
        }
    }

    /// Returns the features that explain the targets best, where each must lower χ² by `penalty`.
    /// The noise of the targets is what all features leave of them, but at least the part
    /// [`SMOOTHING`].
    fn best_subset(&self, penalty: f64) -> Vec<usize> {
        let n = self.rhs.len();
        let left = self.squares - dot(&self.solve(), &self.rhs);
        let variance = left.max(SMOOTHING * SMOOTHING * self.squares) / self.count;
        if variance <= 0.0 {
            return vec![];
        }
        let entry = |at: usize| {
            let (row, column) = (at / n, at % n);
            let place = row.min(column) * n + row.max(column);
            let ridge = if row == column { 1.0 + RIDGE } else { 1.0 };
            ridge * self.matrix[place] / variance
        };
        let information = Information {
            matrix: (0..n * n).map(entry).collect(),
            vector: self.rhs.iter().map(|b| b / variance).collect(),
            equation: vec![0; n],
            signs: vec![0.0; n],
            penalty,
        };
        let best = information.best(&[]).into_iter().next();
        best.map(|support| support.kept).unwrap_or_default()
    }

    /// Returns the least-squares solution; the ridge grows until the equations can be solved.
    fn solve(&self) -> Vec<f64> {
        let n = self.rhs.len();
        // The equations are scaled to unit diagonal, so that the ridge does not depend on units.
        let scale: Vec<f64> = (0..n).map(|i| self.matrix[i * n + i].sqrt()).collect();
        let scale: Vec<f64> = scale.iter().map(|s| if *s > 0.0 { 1.0 / s } else { 0.0 }).collect();
        let mut ridge = RIDGE;
        loop {
            let mut matrix = self.matrix.clone();
            let mut solution: Vec<f64> = self.rhs.iter().zip(&scale).map(|(b, s)| b * s).collect();
            for i in 0..n {
                for j in i..n {
                    matrix[i * n + j] *= scale[i] * scale[j];
                }
                matrix[i * n + i] += ridge;
            }
            if solve_positive(&mut matrix, &mut solution).is_some() {
                return solution.iter().zip(&scale).map(|(x, s)| x * s).collect();
            }
            if ridge > 1.0 {
                // Only NaN or infinite features get here; zero is as good a start as any.
                return vec![0.0; n];
            }
            ridge *= 100.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::grid::{Grid, smooth};
    use crate::discovery::loss::Loss;
    use crate::discovery::{Dataset, Library, Settings, Trajectory};

    /// x = e^{-t}: x' = -x; with the link, g⁻¹ of it must come out.
    fn found(link: Link, degree: usize, x: fn(f64) -> f64) -> RightHandSide<'static> {
        let settings = Settings { degree, link, ..Settings::default() };
        let states = vec!["x".to_string()];
        let library = Box::leak(Box::new(Library::new(&states, &settings).unwrap()));
        let mut rhs = RightHandSide::new(library, &settings);
        let time: Vec<f64> = (0..200).map(|i| 0.02 * f64::from(i)).collect();
        let values = time.iter().map(|t| x(*t)).collect();
        let data = Dataset {
            states,
            trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
            ..Dataset::default()
        };
        let smoothed = smooth(&data, Loss::Squares).unwrap();
        let grid = Grid::new(&data, &smoothed, Some(1)).unwrap();
        let states = grid.sample(&smoothed, 1);
        let slopes: Vec<f64> =
            grid.sample(&smoothed, 2).chunks_exact(2).map(|pair| pair[1]).collect();
        let mut parameters: Vec<Parameter> = (0..library.len())
            .map(|term| Parameter { equation: 0, term, denominator: false })
            .collect();
        if link == Link::Ratio {
            parameters.push(Parameter { equation: 0, term: 1, denominator: true });
        }
        regress(&mut rhs, &parameters, &grid, &states, &slopes);
        rhs
    }

    #[test]
    fn linear_decay_is_found_from_windows() {
        let rhs = found(Link::Identity, 2, |t| (-t).exp());
        for (value, exact) in rhs.numerator.iter().zip([0.0, -1.0, 0.0]) {
            assert!((value - exact).abs() < 1e-3, "{:?}", rhs.numerator);
        }
    }

    #[test]
    fn links_are_inverted() {
        // sinh x = e^{-t} sinh 1 solves x' = -tanh x.
        let rhs = found(Link::Tanh, 1, |t| ((-t).exp() * 1f64.sinh()).asinh());
        for (value, exact) in rhs.numerator.iter().zip([0.0, -1.0]) {
            assert!((value - exact).abs() < 1e-2, "{:?}", rhs.numerator);
        }
        // (2 + x)² = 9 - 2t: x' = -0.5 / (1 + 0.5 x).
        let rhs = found(Link::Ratio, 1, |t| (9.0 - 2.0 * t).sqrt() - 2.0);
        assert!((rhs.numerator[0] + 0.5).abs() < 1e-2, "{:?}", rhs.numerator);
        assert!(rhs.numerator[1].abs() < 1e-2, "{:?}", rhs.numerator);
        assert!((rhs.denominator[1] - 0.5).abs() < 1e-2, "{:?}", rhs.denominator);
    }
}
