//! The shooting method: coefficients and initial values are estimated by Gauss-Newton through the
//! ODE solver.
//!
//! About a path v(t), u' = g(Θ(u)ξ) = F(u) becomes the linear ODE u' − J(v) u = F(v) − J(v) v, one
//! system a window, which the solver solves and differentiates. The error of the path enters only
//! in second order, while it would enter Θ(v) in full. The method minimizes
//!
//! ```text
//! Σ_observed (u − x)²/σ²  +  Σ (ξ·prior)²
//! ```
//!
//! over ξ and the initial values of every window; the latter are eliminated window by window. The
//! Schur complement's inverse is the covariance of ξ.

use std::sync::Arc;

use super::windows::Windows;
use crate::discovery::candidates::{Candidates, Parameter};
use crate::discovery::dense::{invert_positive, solve_positive};
use crate::discovery::estimate::Estimate;
use crate::discovery::information::Information;
use crate::discovery::linearized::Linearized;
use crate::discovery::progress::Report;
use crate::threads;
use crate::{
    Device, Inputs, Options, Problem, ProblemShape, Result, Smoothness, Solver, Tangents, View,
};

/// The order of the solver above that of the equation; each additional one divides its error by
/// about five.
const EXTRA_ORDER: usize = 3;
/// The number of grid points that are solved at once, which bounds the memory.
pub(super) const CHUNK_POINTS: usize = 25_000;
/// The prior deviation of initial values, in deviations of the state.
const PRIOR_START: f64 = 1e3;
/// The most times that a step which raises the cost is halved.
const HALVINGS: usize = 8;

/// The path about which the equation is linearized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// The path stays as it is: the problem is almost linear, hence safe from any start.
    Fixed,
    /// The path follows the solution, so that in the end the equation itself is solved.
    Solution,
}

/// The result of an iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iteration {
    /// Decrease of the cost that the linearization promised for the full step.
    pub promised: f64,
    /// Fraction of the step that was taken; 0 if none lowers the cost.
    pub fraction: f64,
}

/// Gauss-Newton for one set of windows: their data and the workspace.
pub(super) struct Shooting {
    pub windows: Arc<Windows>,
    solver: Solver<f64>,
    /// Number of windows in a chunk.
    chunk: usize,
    /// Inputs of the ODE solver for one chunk.
    coefficients: Vec<f64>,
    forcing: Vec<f64>,
    start: Vec<f64>,
    steps: Vec<f64>,
    /// Derivatives ∂F/∂ξ of one chunk, each in its own equation, in the solver's units: (chunk, N,
    /// c).
    slopes: Vec<f64>,
    /// Denominators 1 + Θ₁ζ of one chunk, (chunk, N, K).
    denominators: Vec<f64>,
}

/// The normal equations of Gauss-Newton, after the elimination of the initial values.
struct Normal {
    /// Matrix, (c, c).
    matrix: Vec<f64>,
    /// Gradient, (c).
    gradient: Vec<f64>,
    windows: Vec<Eliminated>,
}

/// The part of one window in the normal equations: its initial values move by `step` −
/// `coupling`·δξ.
struct Eliminated {
    /// Step of the initial values, (K·m).
    step: Vec<f64>,
    /// Coupling with the coefficients, (K·m, c).
    coupling: Vec<f64>,
}

impl Shooting {
    /// Allocates the workspace for as many windows at once as memory allows.
    ///
    /// # Errors
    /// Those of [`Solver::on`].
    pub fn new(windows: Arc<Windows>, device: &Device) -> Result<Self> {
        let (k, m, n) = (windows.unit.states(), windows.unit.order, windows.points);
        let q = m + EXTRA_ORDER + 1;
        let most = (CHUNK_POINTS / n).max(1);
        let chunk = windows.count.div_ceil(windows.count.div_ceil(most));
        let shape = ProblemShape::new(
            chunk,
            n,
            Inputs {
                coefficients: &[chunk, n, k, k, q],
                rhs: &[chunk, n, k],
                initial_values: &[chunk, 1, k, m],
                steps: &[chunk, n - 1],
            },
        )?;
        let options = Options {
            smoothness: Smoothness::Taylor,
            refinement_steps: Some(1),
            ..Options::default()
        };
        Ok(Shooting {
            solver: Solver::on(device, &shape, &options)?,
            coefficients: vec![0.0; chunk * n * k * k * q],
            forcing: vec![0.0; chunk * n * k],
            start: vec![0.0; chunk * k * m],
            steps: vec![0.0; chunk * (n - 1)],
            slopes: vec![],
            denominators: vec![1.0; chunk * n * k],
            chunk,
            windows,
        })
    }

    /// Returns χ² as a function of all coefficients, about the estimate; a term must be worth
    /// `penalty`.
    pub fn information(&mut self, estimate: &Estimate<'_>, penalty: f64) -> Result<Information> {
        let every = Estimate { candidates: estimate.candidates.all_free(), ..estimate.clone() };
        let (_, Normal { matrix, gradient, .. }) = self.normal(&every, &mut |_| Ok(()))?;
        let (all, c) = (&every.candidates.all, gradient.len());
        let values: Vec<f64> = all.iter().map(|p| p.value(&estimate.rhs)).collect();
        let vector = (0..c).map(|i| dot(&matrix[i * c..][..c], &values) + gradient[i]).collect();
        Ok(Information::new(matrix, vector, &every.candidates, penalty))
    }

    /// Takes one damped step from `estimate`, and reports as it goes.
    ///
    /// # Errors
    /// Those of the solver and of `report`.
    pub fn iterate(
        &mut self,
        estimate: &mut Estimate<'_>,
        path: Path,
        report: &mut Report<'_>,
    ) -> Result<Iteration> {
        let (before, normal) = self.normal(estimate, report)?;
        estimate.covariance = invert(&normal)?;
        let c = normal.gradient.len();
        let row = |i: usize| &estimate.covariance[i * c..][..c];
        let step: Vec<f64> = (0..c).map(|i| dot(row(i), &normal.gradient)).collect();
        let promised = dot(&step, &normal.gradient);
        let mut fraction = 1.0;
        for _ in 0..=HALVINGS {
            let mut trial = estimate.clone();
            self.advance(&mut trial, &step, &normal, fraction);
            let cost = self.cost(&mut trial, path, report)?;
            if cost <= before {
                *estimate = trial;
                return Ok(Iteration { promised, fraction });
            }
            fraction *= 0.5;
        }
        Ok(Iteration { promised, fraction: 0.0 })
    }

    /// Computes estimate += fraction · step.
    fn advance(&self, estimate: &mut Estimate<'_>, step: &[f64], normal: &Normal, fraction: f64) {
        for (p, step) in estimate.candidates.free().iter().zip(step) {
            *p.value_mut(&mut estimate.rhs) += fraction * step;
        }
        let c = step.len();
        let starts = estimate.starts.chunks_exact_mut(self.start_size());
        for (start, window) in starts.zip(&normal.windows) {
            for (i, value) in start.iter_mut().enumerate() {
                *value += fraction * (window.step[i] - dot(&window.coupling[i * c..][..c], step));
            }
        }
    }

    /// Returns K·m, the number of initial values of a window.
    fn start_size(&self) -> usize {
        self.windows.unit.components()
    }

    /// Returns the sum of squares that is minimized, which is infinite at a pole; with
    /// [`Path::Solution`] the path is moved to the solution first.
    fn cost(
        &mut self,
        estimate: &mut Estimate<'_>,
        path: Path,
        report: &mut Report<'_>,
    ) -> Result<f64> {
        let mut cost = self.prior_cost(estimate);
        for first in (0..self.windows.count).step_by(self.chunk) {
            report(1.0)?;
            if path == Path::Solution {
                self.solve(estimate, first)?;
                self.follow(estimate, first);
            }
            self.solve(estimate, first)?;
            cost += self.residuals(estimate, first).iter().map(|r| r * r).sum::<f64>();
            if self.has_pole(first) {
                cost = f64::INFINITY;
            }
        }
        Ok(if cost.is_finite() { cost } else { f64::INFINITY })
    }

    /// Returns whether a denominator changes its sign within a window of the chunk that was just
    /// solved.
    fn has_pole(&self, first: usize) -> bool {
        let k = self.windows.unit.states();
        let mut windows = self.denominators.chunks_exact(self.windows.points * k);
        windows.by_ref().take(self.range(first).len()).any(|window| {
            window.iter().zip(&window[k..]).any(|(before, after)| before * after <= 0.0)
        })
    }

    fn prior_cost(&self, estimate: &Estimate<'_>) -> f64 {
        let Candidates { all, priors, kept, .. } = &estimate.candidates;
        let value = |i: &usize| priors[*i] * all[*i].value(&estimate.rhs);
        let of_coefficients = kept.iter().map(|i| value(i).powi(2));
        let of_starts = estimate.starts.iter().map(|start| (start / PRIOR_START).powi(2));
        of_coefficients.sum::<f64>() + of_starts.sum::<f64>()
    }

    /// Returns the windows of the chunk that begins at window `first`.
    fn range(&self, first: usize) -> std::ops::Range<usize> {
        first..(first + self.chunk).min(self.windows.count)
    }

    /// Solves the chunk that begins at window `first`; where the chunk reaches beyond the last
    /// window, the last window is solved again and the surplus ignored.
    fn solve(&mut self, estimate: &Estimate<'_>, first: usize) -> Result<()> {
        let windows = &*self.windows;
        let parameters = &estimate.candidates.free();
        let (n, c, chunk) = (windows.points, parameters.len(), self.chunk);
        self.slopes.resize(chunk * n * c, 0.0);
        let window = |i: usize| (first + i).min(windows.count - 1);
        for i in 0..chunk {
            let start = windows.of(window(i), &estimate.starts);
            self.start[i * start.len()..][..start.len()].copy_from_slice(start);
            let steps = windows.of(window(i), &windows.steps);
            self.steps[i * (n - 1)..][..n - 1].copy_from_slice(steps);
        }
        let [row, equations] = [&self.coefficients, &self.forcing].map(|x| x.len() / (chunk * n));
        // An empty slice stands for the slopes where no coefficient is free.
        let mut none = vec![[0.0; 0]; chunk * n];
        let mut slopes: Vec<&mut [f64]> = match c {
            0 => none.iter_mut().map(|empty| &mut empty[..]).collect(),
            _ => self.slopes.chunks_exact_mut(c).collect(),
        };
        let rows =
            self.coefficients.chunks_mut(row * n).zip(self.forcing.chunks_mut(equations * n));
        let rows = rows.zip(self.denominators.chunks_mut(equations * n)).zip(slopes.chunks_mut(n));
        threads::share_with(
            rows.enumerate(),
            usize::MAX,
            || Linearized::new(&estimate.rhs, parameters),
            |at, (i, (((coefficients, forcing), denominators), slopes))| {
                let states = windows.of(window(i), &estimate.trajectory).chunks(at.flow.len());
                let rows = coefficients.chunks_mut(row).zip(forcing.chunks_mut(equations));
                let rows = rows.zip(denominators.chunks_mut(equations)).zip(slopes);
                for (state, (((coefficients, forcing), denominators), slopes)) in states.zip(rows) {
                    at.evaluate(&estimate.rhs, parameters, state, &[]);
                    denominators.copy_from_slice(&at.denominators);
                    write_point(windows, parameters, at, state, coefficients, forcing, slopes);
                }
            },
        );
        let shape = self.solver.shape().clone();
        let problem = problem(&shape, &self.coefficients, &self.forcing, &self.start, &self.steps)?;
        self.solver.solve(&problem)?;
        Ok(())
    }

    /// Moves the path of the chunk that was just solved to its solution, where that is finite.
    fn follow(&self, estimate: &mut Estimate<'_>, first: usize) {
        let unit = &self.windows.unit;
        let (k, q) = (unit.states(), self.solver.shape().derivatives());
        let d = unit.components();
        let range = self.range(first);
        let size = self.windows.points * d;
        let path = &mut estimate.trajectory[range.start * size..range.end * size];
        let solution = self.solver.solution().values.chunks_exact(k * q);
        for (state, point) in path.chunks_exact_mut(d).zip(solution) {
            if point.iter().all(|value| value.is_finite()) {
                for (i, value) in state.iter_mut().enumerate() {
                    *value = point[i % k * q + i / k] * unit.of_component(i);
                }
            }
        }
    }

    /// Returns (x − u)/σ of the chunk that was just solved (windows in range, N, K), zero where
    /// nothing was measured.
    fn residuals(&self, estimate: &Estimate<'_>, first: usize) -> Vec<f64> {
        let k = self.windows.unit.states();
        let q = self.solver.shape().derivatives();
        let range = self.range(first);
        let size = self.windows.points * k;
        let observed = &self.windows.observed[range.start * size..range.end * size];
        let fitted = self.solver.solution().values.iter().step_by(q);
        let noise = estimate.noise.iter().cycle();
        let residual = |((x, u), noise): ((&f64, &f64), &f64)| {
            if x.is_nan() { 0.0 } else { (x - u) / noise }
        };
        observed.iter().zip(fitted).zip(noise).map(residual).collect()
    }

    /// Computes the cost and the normal equations at `estimate`.
    fn normal(
        &mut self,
        estimate: &Estimate<'_>,
        report: &mut Report<'_>,
    ) -> Result<(f64, Normal)> {
        let c = estimate.candidates.kept.len();
        let mut cost = self.prior_cost(estimate);
        let mut normal = Normal {
            matrix: vec![0.0; c * c],
            gradient: vec![0.0; c],
            windows: Vec::with_capacity(self.windows.count),
        };
        for (i, &index) in estimate.candidates.kept.iter().enumerate() {
            let precision = estimate.candidates.priors[index].powi(2);
            normal.matrix[i * c + i] = precision;
            normal.gradient[i] = -precision * estimate.candidates.all[index].value(&estimate.rhs);
        }
        for first in (0..self.windows.count).step_by(self.chunk) {
            self.solve(estimate, first)?;
            let residuals = self.residuals(estimate, first);
            cost += residuals.iter().map(|r| r * r).sum::<f64>();
            let (done, share) = (first as f64, self.range(first).len() as f64);
            let whole = self.windows.count as f64;
            let sensitivities = self.sensitivities(estimate, first, &mut |column| {
                report((done + column * share) / whole)
            })?;
            let size = self.windows.points * self.windows.unit.states();
            let mut parts: Vec<_> = self.range(first).map(|_| None).collect();
            threads::share(parts.iter_mut().enumerate(), usize::MAX, |(i, part)| {
                let rows = i * size..(i + 1) * size;
                let columns: Vec<&[f64]> =
                    sensitivities.iter().map(|column| &column[rows.clone()]).collect();
                let start = self.windows.of(first + i, &estimate.starts);
                *part = Some(eliminate(&columns, &residuals[rows], c, start));
            });
            for (matrix, gradient, eliminated) in parts.into_iter().flatten() {
                normal.matrix.iter_mut().zip(matrix).for_each(|(sum, part)| *sum += part);
                normal.gradient.iter_mut().zip(gradient).for_each(|(sum, part)| *sum += part);
                normal.windows.push(eliminated);
            }
        }
        Ok((cost, normal))
    }

    /// Returns ∂u/∂ξ (c of them), then ∂u/∂(initial values) (K·m), of the chunk that was just
    /// solved: each (windows in range, N, K), divided by σ, zero where nothing was measured.
    fn sensitivities(
        &mut self,
        estimate: &Estimate<'_>,
        first: usize,
        report: &mut Report<'_>,
    ) -> Result<Vec<Vec<f64>>> {
        let k = self.windows.unit.states();
        let parameters = estimate.candidates.free();
        let (c, start) = (parameters.len(), self.start_size());
        let shape = self.solver.shape().clone();
        let q = shape.derivatives();
        let range = self.range(first);
        let size = self.windows.points * k;
        let observed = &self.windows.observed[range.start * size..range.end * size];
        let problem = problem(&shape, &self.coefficients, &self.forcing, &self.start, &self.steps)?;
        let mut forcing = vec![0.0; self.forcing.len()];
        let mut unit = vec![0.0; self.start.len()];
        let mut columns = Vec::with_capacity(c + start);
        for i in 0..c + start {
            report(i as f64 / (c + start) as f64)?;
            let tangents = if i < c {
                let equation = parameters[i].equation;
                forcing.fill(0.0);
                let slopes = self.slopes.iter().skip(i).step_by(c);
                let targets = forcing.iter_mut().skip(equation).step_by(k);
                targets.zip(slopes).for_each(|(target, slope)| *target = *slope);
                Tangents { rhs: Some(&forcing), ..Tangents::default() }
            } else {
                unit.fill(0.0);
                unit.iter_mut().skip(i - c).step_by(start).for_each(|one| *one = 1.0);
                Tangents { initial_values: Some(&unit), ..Tangents::default() }
            };
            let moved = self.solver.jvp(&problem, &tangents)?.values.iter().step_by(q);
            let weighted = observed.iter().zip(moved).zip(estimate.noise.iter().cycle());
            let weighted =
                weighted.map(|((x, moved), noise)| if x.is_nan() { 0.0 } else { moved / noise });
            columns.push(weighted.collect());
        }
        Ok(columns)
    }

    /// Returns σ of each state from its residuals, in the solver's units (K), with the degrees of
    /// freedom that coefficients and initial values leave.
    pub fn residual_noise(&mut self, estimate: &Estimate<'_>) -> Result<Vec<f64>> {
        let k = self.windows.unit.states();
        let mut squares = vec![0.0; k];
        for first in (0..self.windows.count).step_by(self.chunk) {
            self.solve(estimate, first)?;
            for (i, r) in self.residuals(estimate, first).iter().enumerate() {
                squares[i % k] += (r * estimate.noise[i % k]).powi(2);
            }
        }
        let used = (self.windows.count * self.start_size() + estimate.candidates.kept.len()) as f64;
        let all: usize = (0..k).map(|state| self.windows.measured(state)).sum();
        let left = (1.0 - used / all as f64).max(1.0 / all as f64);
        let noise = |(i, s): (usize, &f64)| (s / (left * self.windows.measured(i) as f64)).sqrt();
        Ok(squares.iter().enumerate().map(noise).collect())
    }
}

/// Returns the covariance of the coefficients, the inverse of the matrix.
fn invert(normal: &Normal) -> Result<Vec<f64>> {
    invert_positive(&normal.matrix, normal.gradient.len()).ok_or_else(|| {
        crate::Error::Data(
            "the data cannot decide between the candidate terms: the normal equations are singular"
                .into(),
        )
    })
}

/// Writes one time point of the linearized equations, in the solver's units.
fn write_point(
    windows: &Windows,
    parameters: &[Parameter],
    at: &Linearized,
    state: &[f64],
    coefficients: &mut [f64],
    forcing: &mut [f64],
    slopes: &mut [f64],
) {
    let unit = &windows.unit;
    let (k, m, d) = (unit.states(), unit.order, state.len());
    let q = coefficients.len() / (k * k);
    coefficients.fill(0.0);
    for e in 0..k {
        let row = d - k + e;
        let scale = 1.0 / unit.of(e, m);
        coefficients[(e * k + e) * q + m] = 1.0;
        let mut known = at.flow[row];
        for (i, value) in state.iter().enumerate() {
            let slope = at.jacobian[row * d + i];
            known -= slope * value;
            coefficients[(e * k + i % k) * q + i / k] = -slope * scale * unit.of_component(i);
        }
        forcing[e] = known * scale;
    }
    for ((slope, p), by) in slopes.iter_mut().zip(parameters).zip(&at.by_parameter) {
        *slope = by / unit.of(p.equation, m);
    }
}

/// Eliminates the initial values of one window from its normal equations, and returns its part of
/// the matrix and of the gradient.
fn eliminate(
    columns: &[&[f64]],
    residuals: &[f64],
    c: usize,
    start: &[f64],
) -> (Vec<f64>, Vec<f64>, Eliminated) {
    let s = start.len();
    let prior = PRIOR_START.powi(-2);
    let mut own = vec![0.0; s * s];
    for i in 0..s {
        for j in 0..s {
            own[i * s + j] = dot(columns[c + i], columns[c + j]);
        }
        own[i * s + i] += prior;
    }
    let across: Vec<f64> = (0..s * c).map(|at| dot(columns[c + at / c], columns[at % c])).collect();
    let gradient: Vec<f64> =
        (0..s).map(|i| dot(columns[c + i], residuals) - prior * start[i]).collect();
    // The prior keeps the matrix positive; a solution that is not finite leaves the step zero.
    let solve = |mut b: Vec<f64>| {
        let solved = solve_positive(&mut own.clone(), &mut b);
        if solved.is_some() { b } else { vec![0.0; s] }
    };
    let step = solve(gradient);
    let mut coupling = vec![0.0; s * c];
    for j in 0..c {
        let solved = solve((0..s).map(|i| across[i * c + j]).collect());
        solved.iter().enumerate().for_each(|(i, value)| coupling[i * c + j] = *value);
    }
    let mut matrix = vec![0.0; c * c];
    let mut reduced = vec![0.0; c];
    for i in 0..c {
        for j in i..c {
            let eliminated: f64 = (0..s).map(|m| across[m * c + i] * coupling[m * c + j]).sum();
            let value = dot(columns[i], columns[j]) - eliminated;
            matrix[i * c + j] = value;
            matrix[j * c + i] = value;
        }
        let eliminated: f64 = (0..s).map(|m| across[m * c + i] * step[m]).sum();
        reduced[i] = dot(columns[i], residuals) - eliminated;
    }
    (matrix, reduced, Eliminated { step, coupling })
}

fn problem<'p>(
    shape: &'p ProblemShape,
    coefficients: &'p [f64],
    forcing: &'p [f64],
    start: &'p [f64],
    steps: &'p [f64],
) -> Result<Problem<'p, f64>> {
    Problem::builder()
        .batch(shape.batch)
        .points(shape.points)
        .coefficients(View::new(&shape.coefficients, coefficients))
        .rhs(View::new(&shape.rhs, forcing))
        .initial_values(View::new(&shape.initial_values, start))
        .steps(View::new(&shape.steps, steps))
        .build()
}

/// Returns the inner product, computed in four lanes, because the products of the windows are most
/// of the work.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (wide_a, rest_a) = a.as_chunks::<4>();
    let (wide_b, rest_b) = b.as_chunks::<4>();
    for (a, b) in wide_a.iter().zip(wide_b) {
        for i in 0..4 {
            lanes[i] += a[i] * b[i];
        }
    }
    lanes.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::grid::{Grid, smooth};
    use crate::discovery::ladder;
    use crate::discovery::loss::Loss;
    use crate::discovery::network::windows::tests::oscillations;
    use crate::discovery::start::Start;
    use crate::discovery::{Link, Settings};

    /// Sensitivities against differences of the residuals, along a fixed path that is the solution.
    #[test]
    fn sensitivities_agree_with_central_differences() {
        for (order, link) in [(1, Link::Identity), (2, Link::Identity), (1, Link::Ratio)] {
            let data = oscillations();
            let smooth = smooth(&data, Loss::Squares).unwrap();
            let grid = Grid::new(&data, &smooth, Some(1)).unwrap();
            let windows = Arc::new(Windows::new(&data, &grid, &smooth, order));
            let settings = Settings { degree: 1, order, link, ..Settings::default() };
            let candidates = ladder::Model::new(&data, &settings).unwrap();
            let start = Start::new(&candidates, &grid, &smooth, &settings, false).unwrap();
            let mut estimate = windows.along(start.estimate);
            estimate.candidates.priors.fill(0.0);
            estimate.noise = vec![0.1, 0.2];
            let parameters = estimate.candidates.free();
            for (i, p) in parameters.iter().enumerate() {
                *p.value_mut(&mut estimate.rhs) = 0.1 * (i as f64).sin();
            }
            let c = parameters.len();
            let mut shooting = Shooting::new(windows.clone(), &Device::Cpu).unwrap();
            for _ in 0..6 {
                shooting.cost(&mut estimate, Path::Solution, &mut |_| Ok(())).unwrap();
            }
            shooting.solve(&estimate, 0).unwrap();
            let columns = shooting.sensitivities(&estimate, 0, &mut |_| Ok(())).unwrap();
            assert_eq!(columns.len(), c + windows.unit.components());
            let h = 1e-5;
            for (i, column) in columns.iter().enumerate() {
                let mut moved = |by: f64| {
                    let mut moved = estimate.clone();
                    if i < c {
                        *parameters[i].value_mut(&mut moved.rhs) += by;
                    } else {
                        let starts = moved.starts.iter_mut().skip(i - c);
                        starts.step_by(windows.unit.components()).for_each(|start| *start += by);
                    }
                    shooting.solve(&moved, 0).unwrap();
                    shooting.residuals(&moved, 0)
                };
                let pairs = moved(h).into_iter().zip(moved(-h));
                for (exact, (ahead, behind)) in column.iter().zip(pairs) {
                    let difference = (behind - ahead) / (2.0 * h);
                    let error = (exact - difference).abs() / (1.0 + exact.abs());
                    assert!(error < 1e-5, "{link:?} {order} {i}: {exact} {difference}");
                }
            }
        }
    }
}
