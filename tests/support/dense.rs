//! The whole constraint matrix of one system, dense, and its least-squares solution by QR: what
//! the block-banded solver is checked against. It shares only the row definitions with it.

use super::case::Case;
use mechanistic::Formulation;
use mechanistic::point_scales;
use mechanistic::rows::{RowFamily, RowScale, pair_rows, triple_rows};
use nalgebra::{DMatrix, DVector};

/// Weighted rows of one system: columns (z, ε), and right-hand sides.
pub struct Dense {
    pub matrix: DMatrix<f64>,
    pub rhs: DVector<f64>,
    /// Of each row: equation, initial, smoothness, periodic.
    families: Vec<usize>,
    /// γα on ε's line of the normal equations.
    cost: f64,
    slack: bool,
}

impl Dense {
    pub fn new(case: &Case, system: usize) -> Self {
        let &[_, _, equations, states, columns] = &case.inputs.coefficients.shape[..] else {
            unreachable!()
        };
        let q = columns + case.extra_derivatives;
        let (points, order, p) = (case.points, q - 1, states * q);
        let weights = case.options.weights;
        let weights = [weights.equation, weights.initial, weights.smoothness, weights.periodic];
        let (slack, cost) = match case.options.formulation {
            Formulation::LeastSquares => (false, 0.0),
            Formulation::SharedSlack { gamma, alpha } => (true, gamma * alpha),
        };
        let unknowns = points * p + usize::from(slack);
        let step = |t: usize, k: usize| match case.inputs.steps.shape.len() {
            2 => case.inputs.steps.get(&[system, t]),
            _ => case.inputs.steps.get(&[system, t, k]),
        };
        // Of a row at point t with the given highest derivative.
        let scale = |t: usize, derivative: usize| {
            let scale = RowScale::new(&case.options, points, t, derivative);
            let sum: f64 = (0..states).map(|k| step(scale.step, k)).sum();
            (sum / states as f64).powi(scale.power)
        };
        let point_scales = match case.options.follow_growth {
            true => point_scales(&case.problem(), &case.options).unwrap(),
            false => vec![1.0; case.batch * points],
        };
        let mut rows: Vec<(Vec<f64>, f64)> = Vec::new();
        let mut families = Vec::new();
        // A row that begins at point t.
        let mut push = |family: usize, t: usize, scale: f64, entries: &[(usize, f64)], rhs: f64| {
            let factor = weights[family] * scale * point_scales[system * points + t];
            let mut row = vec![0.0; unknowns];
            for &(column, value) in entries {
                row[column] += factor * value;
            }
            rows.push((row, factor * rhs));
            families.push(family);
        };
        for t in 0..points {
            for e in 0..equations {
                let entries: Vec<_> = (0..states * columns)
                    .map(|i| {
                        let (k, j) = (i / columns, i % columns);
                        (t * p + k * q + j, case.inputs.coefficients.get(&[system, t, e, k, j]))
                    })
                    .collect();
                push(0, t, scale(t, columns - 1), &entries, case.inputs.rhs.get(&[system, t, e]));
            }
        }
        let &[_, initial_points, _, given] = &case.inputs.initial_values.shape[..] else {
            unreachable!()
        };
        for i in 0..initial_points {
            for k in 0..states {
                for j in 0..given {
                    let value = case.inputs.initial_values.get(&[system, i, k, j]);
                    push(1, i, scale(i, j), &[(i * p + k * q + j, 1.0)], value);
                }
            }
        }
        if case.options.periodic {
            for k in 0..states {
                for j in 0..order {
                    let at = k * q + j;
                    let entries = [(at, 1.0), ((points - 1) * p + at, -1.0)];
                    push(3, 0, 1.0, &entries, 0.0);
                }
            }
        }
        let mut smooth = |family: &RowFamily, length: &dyn Fn(usize, usize) -> f64| {
            for t in 0..(points + 1).saturating_sub(family.points) {
                for k in 0..states {
                    for row in 0..family.rows {
                        let mut entries: Vec<_> = family
                            .entries
                            .iter()
                            .filter(|entry| entry.row == row)
                            .map(|entry| {
                                let value = entry.coefficient * length(t, k).powi(entry.power);
                                ((t + entry.point) * p + k * q + entry.derivative, value)
                            })
                            .collect();
                        if slack {
                            entries.push((points * p, 1.0));
                        }
                        push(2, t, 1.0, &entries, 0.0);
                    }
                }
            }
        };
        smooth(&pair_rows(&case.options, order), &step);
        if let Some(family) = triple_rows(&case.options, order) {
            smooth(&family, &|t, k| step(t, k) + step(t + 1, k));
        }
        let count = rows.len();
        Dense {
            matrix: DMatrix::from_row_iterator(
                count,
                unknowns,
                rows.iter().flat_map(|row| row.0.iter().copied()),
            ),
            rhs: DVector::from_iterator(count, rows.iter().map(|row| row.1)),
            families,
            cost,
            slack,
        }
    }

    /// Norms of the defects that a solution leaves, by family.
    pub fn residuals(&self, values: &[f64], epsilon: f64) -> [f64; 4] {
        let slack = self.slack.then_some(epsilon);
        let unknowns = self.matrix.ncols();
        let x = DVector::from_iterator(unknowns, values.iter().copied().chain(slack));
        let mut squares = [0.0; 4];
        for (&family, defect) in self.families.iter().zip((&self.matrix * x - &self.rhs).iter()) {
            squares[family] += defect * defect;
        }
        squares.map(f64::sqrt)
    }

    /// Ratio of the extreme singular values; infinite for fewer rows than columns.
    pub fn condition(&self) -> f64 {
        if self.matrix.nrows() < self.matrix.ncols() {
            return f64::INFINITY;
        }
        let values = self.matrix.singular_values();
        values.max() / values.min()
    }

    /// Diagonal of M⁻¹ = R⁻¹R⁻ᵀ, of z alone.
    pub fn variances(&self) -> Vec<f64> {
        let r = self.matrix.clone().qr().r();
        let n = self.matrix.ncols();
        let inverse = r.solve_upper_triangular(&DMatrix::identity(n, n)).unwrap();
        let values = n - usize::from(self.slack);
        inverse.row_iter().take(values).map(|row| row.norm_squared()).collect()
    }

    /// M⁻¹q = R⁻¹R⁻ᵀq for q and its entry of ε, as (values, ε); the latter is 0 without slack.
    pub fn inverse(&self, q: &[f64], epsilon: f64) -> (Vec<f64>, f64) {
        let r = self.matrix.clone().qr().r();
        let entries = q.iter().copied().chain(self.slack.then_some(epsilon));
        let q = DVector::from_iterator(self.matrix.ncols(), entries);
        let v = r.transpose().solve_lower_triangular(&q).unwrap();
        let x = r.solve_upper_triangular(&v).unwrap();
        self.split(x)
    }

    /// Unknowns as (z, ε), ε = 0 without slack.
    fn split(&self, x: DVector<f64>) -> (Vec<f64>, f64) {
        let mut values: Vec<f64> = x.iter().copied().collect();
        let epsilon = if self.slack { values.pop().unwrap() } else { 0.0 };
        (values, epsilon)
    }

    /// (z, ε), ε = 0 without slack: x = R⁻¹(Qᵀβ + R⁻ᵀ γα e_ε).
    pub fn solve(&self) -> (Vec<f64>, f64) {
        let qr = self.matrix.clone().qr();
        let (q, r) = (qr.q(), qr.r());
        let mut rhs = q.transpose() * &self.rhs;
        let mut unit = DVector::zeros(self.matrix.ncols());
        unit[self.matrix.ncols() - 1] = self.cost;
        if self.slack {
            rhs += r.transpose().solve_lower_triangular(&unit).unwrap();
        }
        self.split(r.solve_upper_triangular(&rhs).unwrap())
    }
}
