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
//! Of many points, one thread eliminates the first half and another one the second half, from its end; what both
//! leave determines the state in the middle. How they are divided depends on their number alone, so that the
//! results do not depend on the threads.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::coefficients::Coefficients;
use super::half::{BLOCK, Half};
use super::rows::{Rows, Step};
use crate::threads::{self, on_one_thread};
use crate::{Error, Result};

/// The number of points from which on they are eliminated from both ends.
const MANY: usize = 2000;

/// Returns the number of values that the elimination of so many points with D variables and c coefficients
/// keeps, saturated.
pub(super) fn values(points: usize, d: usize, c: usize) -> usize {
    let row = c.saturating_add(2 * d + 1);
    let factor = points.saturating_mul(d).saturating_mul(row);
    let of_point = d.saturating_mul(row.saturating_mul(2).saturating_add(8 * d + 1));
    let rows = of_point.saturating_mul(6 + points.min(2 * BLOCK));
    factor.saturating_add(rows).saturating_add(Coefficients::values(c))
}

/// The factor over the trajectory, and the normal equations of the coefficients that remain.
pub(super) struct Elimination {
    points: usize,
    d: usize,
    /// The points before the middle and the middle itself, then those after it from the last one on.
    halves: [Half; 2],
    middle: usize,
    pub coefficients: Coefficients,
}

impl Elimination {
    /// Allocates the factor for M points of D variables and c coefficients.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) says how much was asked for.
    pub fn new(points: usize, d: usize, c: usize) -> Result<Self> {
        let middle = if points < MANY { points.saturating_sub(1) } else { points / 2 };
        Elimination::about(middle, points, d, c)
    }

    fn about(middle: usize, points: usize, d: usize, c: usize) -> Result<Self> {
        debug_assert!(middle < points, "there is a point where both ends meet");
        let before = points.min(middle + 1);
        Ok(Elimination {
            points,
            d,
            halves: [Half::new(before, d, c)?, Half::new(points - before, d, c)?],
            middle,
            coefficients: Coefficients::new(c)?,
        })
    }

    /// Eliminates all points. `write` writes the rows of a range of points, in their order, with the defects of
    /// these steps. `report` is told the fraction of the work that is done. Returns whether all states are
    /// determined.
    ///
    /// # Errors
    /// Those of `report`, which end the work, and [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn eliminate(
        &mut self,
        write: impl Fn(Range<usize>, Step, &mut [Rows]) + Sync,
        mut report: impl FnMut(f64) -> Result<()>,
    ) -> Result<bool> {
        let (middle, points) = (self.middle, self.points);
        let [before, after] = &mut self.halves;
        let fraction = |done: usize, all: usize| done as f64 / all as f64;
        // Other threads may have work of their own, or there may be none.
        if middle + 1 >= points || threads::available() == 1 {
            let mut first = |done| report(fraction(done, points));
            before.eliminate(0..middle, Step::After, &write, &mut first)?;
            let mut second = |done| report(fraction(middle + done, points));
            after.eliminate(middle + 1..points, Step::Before, &write, &mut second)?;
        } else {
            let stopped = AtomicBool::new(false);
            let mut second = Ok(());
            let first = rayon::in_place_scope(|scope| {
                scope.spawn(|_| {
                    let mut go_on = |_| match stopped.load(Ordering::Relaxed) {
                        true => Err(Error::Interrupted),
                        false => Ok(()),
                    };
                    let range = middle + 1..points;
                    second =
                        on_one_thread(|| after.eliminate(range, Step::Before, &write, &mut go_on));
                });
                let mut report = |done| report(fraction(done, middle));
                let outcome =
                    on_one_thread(|| before.eliminate(0..middle, Step::After, &write, &mut report));
                stopped.store(outcome.is_err(), Ordering::Relaxed);
                outcome
            });
            first.and(second)?;
        }
        before.join(after, middle, &write)
    }

    /// Factorizes the normal equations of the coefficients, as [`Coefficients::factorize`] does.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn factorize(&mut self, weights: &[f64], values: &[f64]) -> Result<bool> {
        self.coefficients.factorize(&self.halves[0].squares, weights, values)
    }

    /// Computes the step (M·D + c) that makes the sum of squares smallest if it is subtracted, given the
    /// coefficients' part of it at its end. Returns the part of that sum which it removes, as far as it is
    /// not the coefficients'.
    pub fn solve(&self, step: &mut [f64]) -> f64 {
        let (d, middle) = (self.d, self.middle);
        let [before, after] = &self.halves;
        let (along, coefficients) = step.split_at_mut(self.points * d);
        let mut removed = 0.0;
        for t in (0..=middle).rev() {
            let (own, next) = along[t * d..].split_at_mut(d);
            let next = if t < middle { &next[..d] } else { &[] };
            removed += before.solve(t, own, next, coefficients);
        }
        for t in middle + 1..self.points {
            let (next, own) = along[(t - 1) * d..].split_at_mut(d);
            removed += after.solve(self.points - 1 - t, &mut own[..d], next, coefficients);
        }
        removed
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

    /// Writes the rows of some points by a function that writes the values of one, and one that writes the
    /// defects of the step from one, if there are any: along the states at both ends and the residual, and
    /// across.
    fn of_each(
        values: impl Fn(usize, &mut Rows) + Sync,
        defect: impl Fn(usize, usize) -> Option<(Vec<f64>, Vec<f64>)> + Sync,
    ) -> impl Fn(Range<usize>, Step, &mut [Rows]) + Sync {
        move |points, step, rows| {
            for (t, rows) in points.zip(rows) {
                rows.begin();
                values(t, rows);
                let from = step.start(t).filter(|from| defect(*from, 0).is_some());
                let Some(from) = from else { continue };
                for (i, (along, across)) in rows.defects().enumerate() {
                    let (mut a, b) = defect(from, i).unwrap();
                    if step == Step::Before {
                        let d = a.len() / 2;
                        a[..2 * d].rotate_left(d);
                    }
                    along.copy_from_slice(&a);
                    across.copy_from_slice(&b);
                }
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

            let write = of_each(
                |t, rows| values(t).for_each(|(j, weight, r)| rows.observe(j, weight, r)),
                |t, i| has_step(t).then(|| defect(t, i, c)),
            );
            // The middle is within a trajectory, at either end of one, a point alone, and at both ends of all.
            for middle in [150, 24, 25, 26, 127, 128, 0, 1, POINTS - 2, POINTS - 1] {
                let mut elimination = Elimination::about(middle, POINTS, D, c).unwrap();
                let mut told = vec![];
                let report = |fraction| {
                    told.push(fraction);
                    Ok(())
                };
                assert!(elimination.eliminate(&write, report).unwrap());
                assert!(
                    told.is_sorted() && told.iter().all(|fraction| (0.0..1.0).contains(fraction))
                );
                let mut step = vec![0.0; n];
                assert!(elimination.factorize(&prior, &coefficients).unwrap());
                let normal = &mut elimination.coefficients;
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
    }

    /// The second state is neither measured nor coupled with the first, at weights at which rounding
    /// leaves something of it.
    #[test]
    fn a_state_that_nothing_measures_is_told_whatever_rounding_leaves() {
        for measured in [true, false] {
            for seed in 0..50 {
                let write = of_each(
                    |t, rows| {
                        rows.observe(0, 1.0, 0.5);
                        if measured && t == 7 {
                            rows.observe(1, 1e-3, 0.1);
                        }
                    },
                    |t, i| {
                        let mut along = vec![0.0; 5];
                        along[i] = -1e4 * (1.0 + 0.1 * number(seed * 40 + 2 * t + i));
                        along[2 + i] = 1e4 * (1.0 + 0.1 * number(seed * 80 + 3 * t + i));
                        (t < 19).then_some((along, vec![]))
                    },
                );
                for middle in [19, 12, 7, 3, 0] {
                    let mut elimination = Elimination::about(middle, 20, 2, 0).unwrap();
                    let determined = elimination.eliminate(&write, |_| Ok(())).unwrap();
                    assert_eq!(determined, measured, "{seed} {middle}");
                }
            }
        }
    }

    #[test]
    fn a_state_that_no_row_determines_is_told() {
        let mut elimination = Elimination::new(2, 1, 1).unwrap();
        for (weight, determined) in [(0.0, false), (f64::NAN, false), (1.0, true)] {
            let write = of_each(
                |t, rows| rows.observe(0, if t == 1 { weight } else { 1.0 }, 0.5),
                |_, _| None,
            );
            assert_eq!(elimination.eliminate(write, |_| Ok(())).unwrap(), determined, "{weight}");
        }
        // No row has to do with the coefficient but the prior.
        assert!(!elimination.factorize(&[0.0], &[2.0]).unwrap());
        assert!(elimination.factorize(&[3.0], &[2.0]).unwrap());
        let mut step = [0.0];
        assert_eq!((elimination.coefficients.solve(&mut step), step), (36.0, [2.0]));
    }
}
