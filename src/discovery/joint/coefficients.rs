//! The normal equations of the coefficients, once the trajectory is eliminated.

use crate::Result;
use crate::gemm::{Matrix, product};
use crate::memory::zeros;

/// The number of rows that are collected before their squares are added, as products of matrices.
const COLLECTED: usize = 256;
/// The number of rows of the matrix that are computed together: those below the diagonal are not needed.
const STRIP: usize = 96;

/// The matrix Σ LᵀL and the vector Σ Lᵀl of some rows (L, l).
pub(super) struct Squares {
    c: usize,
    /// Rows with their residuals whose squares are not yet added, (m, c + 1).
    rows: Vec<f64>,
    /// The sum of their squares, of which each [`STRIP`] of rows begins at the diagonal.
    sum: Vec<f64>,
}

/// The matrix and the vector of the rows about the coefficients, with the squares of the prior, and what is
/// computed from them.
pub(super) struct Coefficients {
    c: usize,
    /// The matrix with the prior (c, c).
    matrix: Vec<f64>,
    /// Its factor R, (c, c), with reciprocals in the diagonal; of no account below that.
    factor: Vec<f64>,
    /// R⁻ᵀ times the vector with the prior (c).
    half: Vec<f64>,
    /// Room for a strip of a matrix.
    strip: Vec<f64>,
}

impl Squares {
    /// Allocates everything for c coefficients.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) says how much was asked for.
    pub fn new(c: usize) -> Result<Self> {
        let what = "squares of the rows of the coefficients";
        let mut rows = zeros(what, COLLECTED * (c + 1))?;
        rows.clear();
        let lengths = strips(c + 1).map(|(_, height, width)| height * width);
        Ok(Squares { c, rows, sum: zeros(what, lengths.fold(0, usize::saturating_add))? })
    }

    /// Begins a sum of squares.
    pub fn begin(&mut self) {
        self.rows.clear();
        self.sum.fill(0.0);
    }

    /// Adds the square of a row over the coefficients (c), sooner or later.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if a product of matrices has no memory.
    pub fn collect(&mut self, row: &[f64], residual: f64) -> Result<()> {
        self.rows.extend_from_slice(row);
        self.rows.push(residual);
        if self.rows.len() == COLLECTED * (self.c + 1) { self.add_collected() } else { Ok(()) }
    }

    /// Adds the squares of all rows of another sum, and of those that were collected.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub fn add(&mut self, other: &mut Squares) -> Result<()> {
        self.add_collected()?;
        other.add_collected()?;
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, other)| *sum += other);
        Ok(())
    }

    /// Adds the squares of the rows that were collected.
    fn add_collected(&mut self) -> Result<()> {
        let n = self.c + 1;
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = Matrix::new(&self.rows, self.rows.len() / n, n);
        let mut squares = &mut self.sum[..];
        for (first, height, width) in strips(n) {
            let (strip, rest) = std::mem::take(&mut squares).split_at_mut(height * width);
            squares = rest;
            product(rows.columns(first, height).t(), rows.columns(first, width), strip, true)?;
        }
        self.rows.clear();
        Ok(())
    }
}

impl Coefficients {
    /// Returns the number of values that are kept for c coefficients, with two sums of squares, saturated.
    pub fn values(c: usize) -> usize {
        c.saturating_add(1).saturating_mul(c.saturating_add(COLLECTED)).saturating_mul(6)
    }

    /// Allocates everything for c coefficients.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) says how much was asked for.
    pub fn new(c: usize) -> Result<Self> {
        let what = "normal equations of the coefficients";
        let squares = c.saturating_mul(c);
        Ok(Coefficients {
            c,
            matrix: zeros(what, squares)?,
            factor: zeros(what, squares)?,
            half: zeros(what, c)?,
            strip: zeros(what, STRIP.min(c) * c)?,
        })
    }

    /// Factorizes the normal equations of these rows with the rows weight·(coefficient + step) of the prior
    /// besides, for the `weights` and `values` of the coefficients (c). Returns whether they are positive
    /// definite.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if a product of matrices has no memory.
    pub fn factorize(
        &mut self,
        squares: &Squares,
        weights: &[f64],
        values: &[f64],
    ) -> Result<bool> {
        let c = self.c;
        let mut squares = &squares.sum[..];
        for (first, height, width) in strips(c + 1) {
            let strip;
            (strip, squares) = squares.split_at(height * width);
            for (i, row) in (first..c).zip(strip.chunks_exact(width)) {
                let row = &row[i - first..];
                self.half[i] = row[c - i];
                for (k, value) in (i..c).zip(row) {
                    self.matrix[i * c + k] = *value;
                    self.matrix[k * c + i] = *value;
                }
            }
        }
        for (i, (weight, value)) in weights.iter().zip(values).enumerate() {
            self.matrix[i * c + i] += weight * weight;
            self.half[i] += weight * weight * value;
        }
        self.factor.copy_from_slice(&self.matrix);
        if !factorize(&mut self.factor, c, &mut self.strip)? {
            return Ok(false);
        }
        for i in 0..c {
            self.half[i] *= self.factor[i * c + i];
            let solved = self.half[i];
            let others = self.half[i + 1..].iter_mut().zip(&self.factor[i * c + i + 1..]);
            others.for_each(|(other, factor)| *other -= factor * solved);
        }
        Ok(true)
    }

    /// Computes the step (c) that makes the sum of squares smallest if it is subtracted. Returns the part
    /// of the sum that it removes.
    pub fn solve(&self, step: &mut [f64]) -> f64 {
        let c = self.c;
        step.copy_from_slice(&self.half);
        for i in (0..c).rev() {
            let (own, solved) = step[i..].split_first_mut().expect("i is below the length");
            let row = &self.factor[i * c + i..(i + 1) * c];
            let known: f64 = row[1..].iter().zip(&*solved).map(|(r, x)| r * x).sum();
            *own = (*own - known) * row[0];
        }
        self.half.iter().map(|value| value * value).sum()
    }

    /// Returns the matrix with the prior (c, c): the inverse of the coefficients' covariance, for rows of
    /// unit variance.
    pub fn information(&self) -> &[f64] {
        &self.matrix
    }

    /// Returns the inverse R⁻¹R⁻ᵀ of that matrix (c, c).
    ///
    /// # Errors
    /// As [`factorize`](Self::factorize).
    pub fn covariance(&mut self) -> Result<Vec<f64>> {
        let c = self.c;
        // R⁻ᵀ is zero above the diagonal.
        let mut solved = zeros("covariance of the coefficients", c * c)?;
        for (first, height, _) in strips(c) {
            let factor = Matrix::new(&self.factor, c, c);
            let (above, own) = solved.split_at_mut(first * c);
            let known = &mut self.strip[..height * first];
            if first > 0 {
                let above = Matrix::new(above, first, c).columns(0, first);
                product(factor.rows(0, first).columns(first, height).t(), above, known, false)?;
            }
            for i in 0..height {
                let (above, own) = own.split_at_mut(i * c);
                let own = &mut own[..=first + i];
                own[first + i] = 1.0;
                let known = &known[i * first..][..first];
                own.iter_mut().zip(known).for_each(|(value, known)| *value = -known);
                for (m, above) in above.chunks_exact(c).enumerate() {
                    let factor = self.factor[(first + m) * c + first + i];
                    let above = &above[..=first + m];
                    own.iter_mut().zip(above).for_each(|(value, other)| *value -= factor * other);
                }
                let reciprocal = self.factor[(first + i) * c + first + i];
                own.iter_mut().for_each(|value| *value *= reciprocal);
            }
        }
        let mut inverse = zeros("covariance of the coefficients", c * c)?;
        for (first, height, width) in strips(c) {
            let below = Matrix::new(&solved, c, c).rows(first, width);
            let reached = first + height;
            let strip = &mut self.strip[..height * reached];
            product(below.columns(first, height).t(), below.columns(0, reached), strip, false)?;
            for (i, row) in (first..).zip(strip.chunks_exact(reached)) {
                for (k, value) in row[..=i].iter().enumerate() {
                    inverse[i * c + k] = *value;
                    inverse[k * c + i] = *value;
                }
            }
        }
        Ok(inverse)
    }
}

/// Returns the strips of a symmetric matrix of n rows: the first row of each, the number of its rows, and
/// that of the columns from the first one's diagonal on.
fn strips(n: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n).step_by(STRIP).map(move |first| (first, STRIP.min(n - first), n - first))
}

/// Overwrites the upper triangle of a matrix (n, n) by its factor R, A = RᵀR, with the reciprocals of
/// its diagonal. Returns whether all pivots are positive.
fn factorize(a: &mut [f64], n: usize, strip: &mut [f64]) -> Result<bool> {
    for (first, height, width) in strips(n) {
        let (above, rows) = a.split_at_mut(first * n);
        if first > 0 {
            let above = Matrix::new(above, first, n);
            let sums = &mut strip[..height * width];
            product(above.columns(first, height).t(), above.columns(first, width), sums, false)?;
            for (i, sums) in sums.chunks_exact(width).enumerate() {
                let row = rows[i * n + first + i..].iter_mut().zip(&sums[i..]);
                row.for_each(|(value, sum)| *value -= sum);
            }
        }
        for i in 0..height {
            let (above, own) = rows.split_at_mut(i * n);
            let own = &mut own[first + i..n];
            for above in above.chunks_exact(n) {
                let above = &above[first + i..];
                let factor = above[0];
                own.iter_mut().zip(above).for_each(|(value, other)| *value -= factor * other);
            }
            if !(own[0] > 0.0 && own[0].is_normal()) {
                return Ok(false);
            }
            let reciprocal = 1.0 / own[0].sqrt();
            own.iter_mut().for_each(|value| *value *= reciprocal);
            own[0] = reciprocal;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that fill what is collected together exactly leave none to be added at the end.
    #[test]
    fn the_squares_are_those_of_all_rows() {
        for c in [1, STRIP, 2 * STRIP + 5] {
            for count in [0, COLLECTED - 1, COLLECTED, COLLECTED + 1] {
                let number = |m: usize, i: usize| ((m * 7 + i * i) as f64).sin();
                // What was added before does not count.
                let mut sums = [Squares::new(c).unwrap(), Squares::new(c).unwrap()];
                sums[0].collect(&vec![1.0; c], 1.0).unwrap();
                sums.iter_mut().for_each(Squares::begin);
                for m in 0..count {
                    let row: Vec<f64> = (0..c).map(|i| number(m, i)).collect();
                    sums[usize::from(m >= COLLECTED)].collect(&row, number(m, c)).unwrap();
                }
                let [mut squares, mut others] = sums;
                squares.add(&mut others).unwrap();
                let mut normal = Coefficients::new(c).unwrap();
                assert!(normal.factorize(&squares, &vec![30.0; c], &vec![0.0; c]).unwrap());
                for (i, row) in normal.information().chunks_exact(c).enumerate() {
                    for (k, value) in row.iter().enumerate() {
                        let products = (0..count).map(|m| number(m, i) * number(m, k));
                        let prior = if i == k { 900.0 } else { 0.0 };
                        let expected = products.sum::<f64>() + prior;
                        assert!((value - expected).abs() < 1e-9, "{c} {count}: {value} {expected}");
                    }
                }
            }
        }
    }
}
