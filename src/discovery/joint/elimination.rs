//! Elimination of the trajectory from the rows of the joint estimate, by orthogonal matrices.
//!
//! The squares of all rows together are to be small. One point after the other, an orthogonal matrix Qᵀ
//! turns the rows that have to do with the point's state u_t into ones of which only D have,
//!
//! ```text
//!      u_t u_{t+1}  ξ residual               u_t u_{t+1}  ξ residual
//!    | A    B      C    r |  defects         | R    S      T    v |  row t of the factor
//!    | P           G    g |  left before  →  |      P      G    g |  left for the next point
//!    | W                o |  values          |             L    l |  about the coefficients alone
//! ```
//!
//! where R and P are upper triangular: the information filter in square-root form (Bierman, Factorization
//! Methods for Discrete Sequential Estimation, 1977). Rows of the last kind, as many as there are values,
//! go to the normal equations of the [`Coefficients`]; nothing is lost by subtraction. The defects come first
//! because rows of large weights above small ones keep the digits of both.
//!
//! While the points of one block are eliminated, other threads write the rows of the next block.

use std::ops::Range;

use rayon::prelude::*;

use super::coefficients::Coefficients;
use crate::Result;
use crate::discovery::dense::dot;
use crate::gemm::{self, Matrix, on_one_thread, product};
use crate::memory::zeros;

/// The fraction of a column's size, before the rows are turned, up to which what is left of it on the
/// diagonal is rounding, squared.
const ROUNDING: f64 = 1e-28;

/// The number of points whose rows one thread writes, and of such pieces in a block.
const PIECE: usize = 32;
const PIECES: usize = 4;

/// Returns the number of values that the elimination of so many points with D variables and c coefficients
/// keeps, saturated.
pub(super) fn values(points: usize, d: usize, c: usize) -> usize {
    let row = c.saturating_add(2 * d + 1);
    let factor = points.saturating_mul(d).saturating_mul(row);
    let of_point = d.saturating_mul(row.saturating_mul(2).saturating_add(8 * d + 1));
    let rows = of_point.saturating_mul(3 + points.min(2 * PIECES * PIECE));
    factor.saturating_add(rows).saturating_add(Coefficients::values(c))
}

/// The rows that have to do with the state at one point: first those of the defects (D), then those that
/// are left of the points before (D), then those of the point's values (K ≤ D).
pub(super) struct Rows {
    d: usize,
    c: usize,
    /// Their parts over u_t, over u_{t+1} and the residual, then the first 2D columns of Qᵀ, which are those
    /// of the unit matrix at first: (3D, 4D + 1).
    along: Vec<f64>,
    /// The part over the coefficients of all but the values, which have none, (2D, c).
    across: Vec<f64>,
    count: usize,
    /// Whether a step to the next point follows, which has defects.
    step: bool,
}

impl Rows {
    fn new(d: usize, c: usize) -> Result<Self> {
        let what = "rows of the joint estimate";
        let along = zeros(what, 3 * d * (4 * d + 1))?;
        Ok(Rows { d, c, along, across: zeros(what, 2 * d * c)?, count: 0, step: false })
    }

    /// Returns the number of columns of the parts along the trajectory.
    fn length(&self) -> usize {
        4 * self.d + 1
    }

    /// Begins a point, which has no defects and no values yet.
    pub fn begin(&mut self) {
        let (d, length) = (self.d, self.length());
        for (i, row) in self.along.chunks_exact_mut(length).take(2 * d).enumerate() {
            row[2 * d + 1..].fill(0.0);
            row[2 * d + 1 + i] = 1.0;
        }
        (self.count, self.step) = (2 * d, false);
    }

    /// Adds the row of a measured value of state j, at this weighted distance from it.
    pub fn observe(&mut self, j: usize, weight: f64, residual: f64) {
        let (d, length) = (self.d, self.length());
        let row = &mut self.along[self.count * length..][..length];
        row.fill(0.0);
        (row[j], row[2 * d]) = (weight, residual);
        self.count += 1;
    }

    /// Returns the rows of the defects of the step that follows, to be written: for each the derivatives with
    /// respect to u_t and u_{t+1}, and the residual (2D + 1), and those with respect to the coefficients (c).
    pub fn defects(&mut self) -> impl Iterator<Item = (&mut [f64], &mut [f64])> {
        let (d, length) = (self.d, self.length());
        self.step = true;
        let along = self.along.chunks_exact_mut(length).map(move |row| &mut row[..2 * d + 1]);
        let mut across = &mut self.across[..];
        let c = self.c;
        along.take(d).map(move |row| {
            let (own, rest) = std::mem::take(&mut across).split_at_mut(c);
            across = rest;
            (row, own)
        })
    }
}

/// The factor over the trajectory, and the normal equations of the coefficients that remain.
pub(super) struct Elimination {
    points: usize,
    d: usize,
    /// The rows of the points that are eliminated, and of those after them.
    blocks: [Vec<Rows>; 2],
    factor: Factor,
    pub coefficients: Coefficients,
}

/// The factor over the trajectory.
struct Factor {
    d: usize,
    c: usize,
    /// The parts over the coefficients after a point is eliminated, and those of the point before, (3D, c):
    /// the second D rows are those that are left of it.
    turned: Vec<f64>,
    before: Vec<f64>,
    /// What is left of the point before over the next state, and the residuals, (D, D + 1).
    left: Vec<f64>,
    /// Room for sums over the rows.
    sums: Vec<f64>,
    /// The sums of squares of the columns of u_t and u_{t+1} before the rows are turned.
    squares: Vec<f64>,
    /// The factor's parts R, S and v, (M, D, 2D + 1).
    along: Vec<f64>,
    /// The factor's part T, (M, D, c).
    across: Vec<f64>,
    /// Whether a state is not determined by the rows, or is not a number.
    broken: bool,
}

impl Elimination {
    /// Allocates the factor for M points of D variables and c coefficients.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) says how much was asked for.
    pub fn new(points: usize, d: usize, c: usize) -> Result<Self> {
        let what = "factor of the joint estimate";
        let rows = points.saturating_mul(d);
        let own = points.min(PIECES * PIECE);
        let block = |count| (0..count).map(|_| Rows::new(d, c)).collect::<Result<Vec<Rows>>>();
        Ok(Elimination {
            points,
            d,
            blocks: [block(own)?, block((points - own).min(own))?],
            factor: Factor {
                d,
                c,
                turned: zeros(what, 3 * d * c)?,
                before: zeros(what, 3 * d * c)?,
                left: zeros(what, d * (d + 1))?,
                sums: zeros(what, 4 * d + 1)?,
                squares: zeros(what, 2 * d)?,
                along: zeros(what, rows.saturating_mul(2 * d + 1))?,
                across: zeros(what, rows.saturating_mul(c))?,
                broken: false,
            },
            coefficients: Coefficients::new(c)?,
        })
    }

    /// Eliminates all points, whose rows `write(points, rows)` writes, for a few points together; `report` is
    /// told at which point the work is. Returns whether all states are determined.
    ///
    /// # Errors
    /// Those of `report`, which end the work, and [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn eliminate(
        &mut self,
        write: impl Fn(Range<usize>, &mut [Rows]) + Sync,
        mut report: impl FnMut(usize) -> Result<()>,
    ) -> Result<bool> {
        let Elimination { points, blocks: [now, next], factor, coefficients, .. } = self;
        let (points, length) = (*points, now.len());
        let (mut now, mut next) = (now, next);
        let write_block = |first: usize, rows: &mut [Rows]| {
            let pieces = rows.par_chunks_mut(PIECE).enumerate();
            pieces.for_each(|(piece, rows)| {
                let first = first + piece * PIECE;
                write(first..first + rows.len(), rows);
            });
        };
        coefficients.begin();
        factor.begin();
        // Other threads may have work of their own, or there may be none.
        let alone = gemm::is_alone() || rayon::current_num_threads() == 1;
        if alone || points <= PIECE {
            write(0..length, now);
        } else {
            write_block(0, now);
        }
        for first in (0..points).step_by(length.max(1)) {
            let after = points.min(first + length);
            let following = &mut next[..length.min(points - after)];
            let mut eliminate = || {
                now.iter_mut().zip(first..after).try_for_each(|(rows, t)| {
                    report(t)?;
                    factor.add(t, rows, coefficients)
                })
            };
            if following.is_empty() {
                eliminate()?;
            } else if alone {
                eliminate()?;
                write(after..after + following.len(), following);
            } else {
                rayon::in_place_scope(|scope| {
                    scope.spawn(|_| write_block(after, following));
                    eliminate()
                })?;
            }
            std::mem::swap(&mut now, &mut next);
        }
        coefficients.add_collected()?;
        Ok(!factor.broken)
    }

    /// Computes the step (M·D + c) that makes the sum of squares smallest if it is subtracted, given the
    /// coefficients' part of it at its end. Returns the part of that sum which it removes, as far as it is
    /// not the coefficients'.
    pub fn solve(&self, step: &mut [f64]) -> f64 {
        let (along, coefficients) = step.split_at_mut(self.points * self.d);
        self.factor.solve(along, coefficients)
    }
}

impl Factor {
    fn begin(&mut self) {
        self.broken = false;
        self.begin_trajectory();
    }

    /// Begins a trajectory: nothing is left of points before.
    fn begin_trajectory(&mut self) {
        self.left.fill(0.0);
        self.before.fill(0.0);
    }

    /// Eliminates the state at point t, and collects what has to do with the coefficients alone.
    fn add(&mut self, t: usize, rows: &mut Rows, coefficients: &mut Coefficients) -> Result<()> {
        let (d, c, length, step) = (self.d, self.c, rows.length(), rows.step);
        let of_left = rows.along.chunks_exact_mut(length).skip(d).take(d);
        for (row, left) in of_left.zip(self.left.chunks_exact(d + 1)) {
            row[..d].copy_from_slice(&left[..d]);
            row[d..2 * d].fill(0.0);
            row[2 * d] = left[d];
        }
        rows.across[d * c..].copy_from_slice(&self.before[d * c..2 * d * c]);

        // Without a step there are no defects, and nothing is left for the next point.
        let (first, left) = if step { (0, d) } else { (d, 0) };
        let count = rows.count - first;
        let across = Matrix::new(&rows.across[first * c..], 2 * d - first, c);
        let rows = &mut rows.along[first * length..][..count * length];
        self.squares.fill(0.0);
        for row in rows.chunks_exact(length) {
            self.squares.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * value);
        }
        triangularize(rows, length, d + left, &mut self.sums);
        // Of the next state that nothing determines yet, only rounding is left.
        for i in d..d + left {
            if !is_determined(rows[i * length + i], self.squares[i]) {
                rows[i * length + i] = 0.0;
            }
        }

        let turn = Matrix::new(rows, count, length).columns(2 * d + 1 + first, 2 * d - first);
        let turned = &mut self.turned[..count * c];
        on_one_thread(|| product(turn, across, turned, false))?;

        let width = 2 * d + 1;
        for (i, own) in self.along[t * d * width..].chunks_exact_mut(width).take(d).enumerate() {
            own.copy_from_slice(&rows[i * length..][..width]);
            self.broken |= !is_determined(own[i], self.squares[i]);
        }
        self.across[t * d * c..][..d * c].copy_from_slice(&turned[..d * c]);
        for i in d + left..count {
            coefficients.collect(&turned[i * c..][..c], rows[i * length + 2 * d])?;
        }
        if step {
            let kept = rows.chunks_exact(length).skip(d);
            for (left, row) in self.left.chunks_exact_mut(d + 1).zip(kept) {
                left.copy_from_slice(&row[d..=2 * d]);
            }
            std::mem::swap(&mut self.before, &mut self.turned);
        } else {
            self.begin_trajectory();
        }
        Ok(())
    }

    /// Computes the trajectory's part of the step (M, D), given that of the coefficients (c).
    fn solve(&self, along: &mut [f64], coefficients: &[f64]) -> f64 {
        let (d, c, width) = (self.d, self.c, 2 * self.d + 1);
        let points = along.len() / d;
        let mut removed = 0.0;
        for t in (0..points).rev() {
            let (own, after) = along[t * d..].split_at_mut(d);
            for i in (0..d).rev() {
                let row = &self.along[(t * d + i) * width..][..width];
                let across = &self.across[(t * d + i) * c..][..c];
                let mut sum = row[2 * d] - dot(across, coefficients);
                for (k, value) in own.iter().enumerate().skip(i + 1) {
                    sum -= row[k] * value;
                }
                // No step follows the last point.
                for (value, next) in row[d..2 * d].iter().zip(&*after) {
                    sum -= value * next;
                }
                own[i] = sum / row[i];
                removed += row[2 * d] * row[2 * d];
            }
        }
        removed
    }
}

/// Returns whether what is left on the diagonal of a column, the sum of whose squares was this before, is
/// more than rounding.
fn is_determined(diagonal: f64, squares: f64) -> bool {
    let square = diagonal * diagonal;
    square.is_normal() && square > ROUNDING * squares
}

/// Makes the first columns of some rows of this length upper triangular, by reflections I − v vᵀ·2/vᵀv of
/// all rows from the diagonal on. Zeros, of which there are many, cost nothing.
fn triangularize(rows: &mut [f64], length: usize, columns: usize, sums: &mut [f64]) {
    for j in 0..columns {
        let (above, below) = rows.split_at_mut((j + 1) * length);
        let own = &mut above[j * length + j..];
        let sums = &mut sums[j..length];
        let squares: f64 = below.chunks_exact(length).map(|row| row[j] * row[j]).sum();
        if squares == 0.0 {
            continue;
        }
        let pivot = own[0];
        let diagonal = -(squares + pivot * pivot).sqrt().copysign(pivot);
        own[0] -= diagonal;
        let head = own[0];
        sums.iter_mut().zip(&*own).for_each(|(sum, value)| *sum = head * value);
        for row in below.chunks_exact(length).filter(|row| row[j] != 0.0) {
            let factor = row[j];
            sums.iter_mut().zip(&row[j..]).for_each(|(sum, value)| *sum += factor * value);
        }
        // 2/vᵀv.
        let scale = -1.0 / (diagonal * head);
        sums.iter_mut().for_each(|sum| *sum *= scale);
        own.iter_mut().zip(&*sums).for_each(|(value, sum)| *value -= head * sum);
        own[0] = diagonal;
        for row in below.chunks_exact_mut(length).filter(|row| row[j] != 0.0) {
            let factor = row[j];
            row[j..].iter_mut().zip(&*sums).for_each(|(value, sum)| *value -= factor * sum);
            row[j] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::dense::{invert_positive, solve_positive};

    const D: usize = 3;
    const K: usize = 2;
    const POINTS: usize = 300;

    fn number(at: usize) -> f64 {
        (1.3 * at as f64 + 0.1 * (at * at % 97) as f64).sin()
    }

    /// Whether a step follows point t: trajectories end at the ends of pieces and of blocks too, and one of
    /// them is a single point.
    fn has_step(t: usize) -> bool {
        ![24, 25, 31, 127, 255, POINTS - 1].contains(&t)
    }

    /// Writes the rows of some points by a function that writes those of one.
    fn of_each(
        write: impl Fn(usize, &mut Rows) + Sync,
    ) -> impl Fn(Range<usize>, &mut [Rows]) + Sync {
        move |points, rows| {
            for (t, rows) in points.zip(rows) {
                rows.begin();
                write(t, rows);
            }
        }
    }

    /// The state, weight and residual of each value at point t; some values are missing, but a single
    /// point has one of every state.
    fn values(t: usize) -> impl Iterator<Item = (usize, f64, f64)> {
        let all = t == 25;
        let present = move |j: &usize| all || !(t + j).is_multiple_of(3);
        let value = move |j: usize| (j, 1.0 + number(t * K + j).abs(), number(7 * t + j));
        let of_hidden = all.then_some((K, 0.8, 0.3));
        (0..K).filter(present).map(value).chain(of_hidden)
    }

    /// The derivatives of a defect of the step from t with respect to u_t and u_{t+1} and its residual,
    /// and those with respect to c coefficients.
    fn defect(t: usize, i: usize, c: usize) -> (Vec<f64>, Vec<f64>) {
        let of = |at: usize| number((t * D + i) * 131 + at);
        let mut along: Vec<f64> = (0..2 * D + 1).map(|k| 2.0 * of(k)).collect();
        along[i] -= 10.0;
        along[D + i] += 10.0;
        (along, (0..c).map(|k| 3.0 * of(20 + k)).collect())
    }

    /// The step, the covariance of the coefficients, and the decrease are those of the dense normal
    /// equations.
    #[test]
    fn steps_are_those_of_the_normal_equations() {
        for c in [0, 5, 40] {
            let n = POINTS * D + c;
            let prior: Vec<f64> = (0..c).map(|k| 1.0 + 0.01 * k as f64).collect();
            let coefficients: Vec<f64> = (0..c).map(|k| number(3 * k)).collect();
            let (mut matrix, mut gradient) = (vec![0.0; n * n], vec![0.0; n]);
            let mut add = |row: &[(usize, f64)], residual: f64| {
                for &(i, a) in row {
                    gradient[i] += a * residual;
                    row.iter().for_each(|&(k, b)| matrix[i * n + k] += a * b);
                }
            };
            for t in 0..POINTS {
                values(t).for_each(|(j, weight, residual)| add(&[(t * D + j, weight)], residual));
                for i in (0..D).filter(|_| has_step(t)) {
                    let (along, across) = defect(t, i, c);
                    let states = along[..2 * D].iter().enumerate().map(|(k, a)| (t * D + k, *a));
                    let others = across.iter().enumerate().map(|(k, a)| (POINTS * D + k, *a));
                    add(&states.chain(others).collect::<Vec<_>>(), along[2 * D]);
                }
            }
            for (k, (weight, value)) in prior.iter().zip(&coefficients).enumerate() {
                add(&[(POINTS * D + k, *weight)], weight * value);
            }
            let mut expected = gradient.clone();
            let inverse = invert_positive(&matrix, n).unwrap();
            solve_positive(&mut matrix, &mut expected).unwrap();

            let mut elimination = Elimination::new(POINTS, D, c).unwrap();
            let write = of_each(|t: usize, rows: &mut Rows| {
                values(t).for_each(|(j, weight, residual)| rows.observe(j, weight, residual));
                if has_step(t) {
                    for (i, (along, across)) in rows.defects().enumerate() {
                        let (a, b) = defect(t, i, c);
                        along.copy_from_slice(&a);
                        across.copy_from_slice(&b);
                    }
                }
            });
            assert!(elimination.eliminate(write, |_| Ok(())).unwrap());
            let mut step = vec![0.0; n];
            let normal = &mut elimination.coefficients;
            assert!(normal.factorize(&prior, &coefficients).unwrap());
            let promised = normal.solve(&mut step[POINTS * D..]);
            let covariance = normal.covariance().unwrap();
            let information = normal.information().to_vec();
            let promised = promised + elimination.solve(&mut step);
            let decrease: f64 = gradient.iter().zip(&expected).map(|(g, x)| g * x).sum();
            assert!((promised / decrease - 1.0).abs() < 1e-11, "{c}: {promised} {decrease}");
            for (value, expected) in step.iter().zip(&expected) {
                assert!((value - expected).abs() < 1e-10, "{c}: {value} {expected}");
            }
            for (i, row) in covariance.chunks_exact(c.max(1)).enumerate() {
                for (k, value) in row.iter().enumerate() {
                    let expected = inverse[(POINTS * D + i) * n + POINTS * D + k];
                    assert!((value - expected).abs() < 1e-12, "{value} {expected}");
                    let column = information.chunks_exact(c).map(|row| row[k]);
                    let product: f64 = row.iter().zip(column).map(|(a, b)| a * b).sum();
                    assert!((product - f64::from(u8::from(i == k))).abs() < 1e-11, "{product}");
                }
            }
        }
    }

    /// The second state is neither measured nor coupled with the first, at weights at which rounding
    /// leaves something of it.
    #[test]
    fn a_state_that_nothing_measures_is_told_whatever_rounding_leaves() {
        for measured in [true, false] {
            for seed in 0..50 {
                let mut elimination = Elimination::new(20, 2, 0).unwrap();
                let write = of_each(|t: usize, rows: &mut Rows| {
                    rows.observe(0, 1.0, 0.5);
                    if measured && t == 7 {
                        rows.observe(1, 1e-3, 0.1);
                    }
                    if t == 19 {
                        return;
                    }
                    for (i, (along, _)) in rows.defects().enumerate() {
                        along.fill(0.0);
                        along[i] = -1e4 * (1.0 + 0.1 * number(seed * 40 + 2 * t + i));
                        along[2 + i] = 1e4 * (1.0 + 0.1 * number(seed * 80 + 3 * t + i));
                    }
                });
                let determined = elimination.eliminate(write, |_| Ok(())).unwrap();
                assert_eq!(determined, measured, "{seed}");
            }
        }
    }

    #[test]
    fn a_state_that_no_row_determines_is_told() {
        let mut elimination = Elimination::new(2, 1, 1).unwrap();
        for (weight, determined) in [(1.0, true), (0.0, false), (f64::NAN, false)] {
            let write = of_each(|t, rows: &mut Rows| {
                rows.observe(0, if t == 1 { weight } else { 1.0 }, 0.5);
            });
            assert_eq!(elimination.eliminate(write, |_| Ok(())).unwrap(), determined, "{weight}");
        }
        // No row has to do with the coefficient but the prior.
        let normal = &mut elimination.coefficients;
        normal.begin();
        assert!(!normal.factorize(&[0.0], &[2.0]).unwrap());
        assert!(normal.factorize(&[3.0], &[2.0]).unwrap());
        let mut step = [0.0];
        assert_eq!((normal.solve(&mut step), step), (36.0, [2.0]));
    }
}
