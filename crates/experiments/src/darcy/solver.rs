//! Random fields and the solver of the flow, both by products with matrices of sines and cosines.

use std::f64::consts::PI;

use mechanistic::nn::Rng;
use mechanistic::tape::{Array, Tape};
use mechanistic::{Error, Result};

use crate::largest;

/// The inverse length τ of the random field N(0, (−Δ + τ²)⁻²).
const TAU: f64 = 3.0;
/// The residual at which the iteration ends, relative to the right-hand side.
const RESIDUAL: f64 = 1e-9;
/// Iterations, at most; the residual falls to a third in each.
const ITERATIONS: usize = 60;

/// Records m x mᵀ for each of the matrices x (B, n, n) and returns it.
fn both_sides(m: &Array<f64>, x: Array<f64>) -> Result<Vec<f64>> {
    let mut tape = Tape::new();
    let m = tape.constant_from(m)?;
    let transposed = tape.permute(m, &[1, 0])?;
    let x = tape.constant(x);
    let left = tape.matmul(m, x)?;
    let product = tape.matmul(left, transposed)?;
    Ok(tape.value(product)?.data().to_vec())
}

/// Samples of N(0, (−Δ + τ²)⁻²) with no flux through the edges, without their mean: a cosine series.
pub struct RandomField {
    n: usize,
    /// The k-th cosine at the i-th point, at (i, k).
    cosines: Array<f64>,
}

impl RandomField {
    pub fn new(n: usize) -> Result<Self> {
        let cosine = |at: usize| {
            let (i, k) = (at / n, at % n);
            let size = if k == 0 { 1.0 } else { 2_f64.sqrt() };
            size * (PI * k as f64 * i as f64 / (n - 1) as f64).cos()
        };
        Ok(RandomField { n, cosines: Array::new([n, n], (0..n * n).map(cosine).collect())? })
    }

    /// Returns the values (B, n, n) at the points, edges included.
    pub fn draw(&self, count: usize, rng: &mut Rng) -> Result<Vec<f64>> {
        let n = self.n;
        let amplitude = |at: usize| {
            let (k, l) = ((at / n % n) as f64, (at % n) as f64);
            let deviation = 1.0 / (PI * PI * (k * k + l * l) + TAU * TAU);
            let normal = rng.normal();
            if k + l == 0.0 { 0.0 } else { deviation * normal }
        };
        let amplitudes = (0..count * n * n).map(amplitude).collect();
        both_sides(&self.cosines, Array::new([count, n, n], amplitudes)?)
    }
}

/// Conjugate gradients for the five-point scheme, whose permeability between two points is their mean.
/// The inverse of the Laplacian, a sine transform from either side, is the preconditioner: the
/// number of iterations depends on the permeability's contrast alone.
pub struct Solver {
    /// Points along a side; n − 2 of them are unknown.
    n: usize,
    /// Orthogonal and symmetric, (n − 2, n − 2).
    sines: Array<f64>,
    /// Eigenvalues of the Laplacian, for a distance of one between points.
    eigenvalues: Vec<f64>,
}

impl Solver {
    pub fn new(n: usize) -> Result<Self> {
        let m = n - 2;
        let angle = |i: usize| PI * (i + 1) as f64 / (m + 1) as f64;
        let size = (2.0 / (m + 1) as f64).sqrt();
        let sine = |at: usize| size * (angle(at / m) * (at % m + 1) as f64).sin();
        let along = |i: usize| 2.0 - 2.0 * angle(i).cos();
        Ok(Solver {
            n,
            sines: Array::new([m, m], (0..m * m).map(sine).collect())?,
            eigenvalues: (0..m * m).map(|at| along(at / m) + along(at % m)).collect(),
        })
    }

    /// Returns u (B, n, n) for a (B, n, n).
    pub fn solve(&self, a: &[f64]) -> Result<Vec<f64>> {
        let (n, m) = (self.n, self.n - 2);
        let count = a.len() / (n * n);
        let square = 1.0 / ((n - 1) * (n - 1)) as f64;
        let mut u = vec![0.0; count * m * m];
        let mut residual = vec![square; u.len()];
        let mut direction = self.precondition(&residual)?;
        let mut size = dots(&residual, &direction, m * m);
        let start = square * m as f64;
        let mut left = f64::NAN;
        for _ in 0..ITERATIONS {
            let image = self.apply(a, &direction);
            let curvature = dots(&direction, &image, m * m);
            let length: Vec<f64> = size.iter().zip(&curvature).map(|(s, c)| s / c).collect();
            add(&mut u, &direction, &length, m * m);
            let back: Vec<f64> = length.iter().map(|length| -length).collect();
            add(&mut residual, &image, &back, m * m);
            let residuals = dots(&residual, &residual, m * m).into_iter();
            left = largest(residuals.map(f64::sqrt)) / start;
            if left <= RESIDUAL {
                break;
            }
            let mut next = self.precondition(&residual)?;
            let new_size = dots(&residual, &next, m * m);
            let part: Vec<f64> = new_size.iter().zip(&size).map(|(new, old)| new / old).collect();
            add(&mut next, &direction, &part, m * m);
            (direction, size) = (next, new_size);
        }
        if left.is_nan() || left > RESIDUAL {
            let message = format!("after {ITERATIONS} iterations the residual is {left:.1e}");
            return Err(Error::Data(message));
        }
        let mut framed = vec![0.0; a.len()];
        for (row, values) in u.chunks_exact(m).enumerate() {
            let start = (row / m * n + row % m + 1) * n + 1;
            framed[start..start + m].copy_from_slice(values);
        }
        Ok(framed)
    }

    fn precondition(&self, residual: &[f64]) -> Result<Vec<f64>> {
        let m = self.n - 2;
        let shape = [residual.len() / (m * m), m, m];
        let mut spectrum = both_sides(&self.sines, Array::new(shape, residual.to_vec())?)?;
        let eigenvalues = self.eigenvalues.iter().cycle();
        spectrum.iter_mut().zip(eigenvalues).for_each(|(value, eigenvalue)| *value /= eigenvalue);
        both_sides(&self.sines, Array::new(shape, spectrum)?)
    }

    /// The scheme's left-hand side, times the squared distance of two points.
    fn apply(&self, a: &[f64], u: &[f64]) -> Vec<f64> {
        let (n, m) = (self.n, self.n - 2);
        let mut image = vec![0.0; u.len()];
        let samples = image.chunks_exact_mut(m * m).zip(u.chunks_exact(m * m));
        for ((image, u), a) in samples.zip(a.chunks_exact(n * n)) {
            for i in 0..m {
                for j in 0..m {
                    let (at, own) = (i * m + j, (i + 1) * n + j + 1);
                    let toward = |inside: bool, other: usize, neighbor: usize| {
                        let value = if inside { u[neighbor] } else { 0.0 };
                        0.5 * (a[own] + a[other]) * (u[at] - value)
                    };
                    image[at] = toward(i > 0, own - n, at.wrapping_sub(m))
                        + toward(i + 1 < m, own + n, at + m)
                        + toward(j > 0, own - 1, at.wrapping_sub(1))
                        + toward(j + 1 < m, own + 1, at + 1);
                }
            }
        }
        image
    }
}

/// The inner products of rows of this length.
fn dots(x: &[f64], y: &[f64], row: usize) -> Vec<f64> {
    let rows = x.chunks_exact(row).zip(y.chunks_exact(row));
    rows.map(|(x, y)| x.iter().zip(y).map(|(x, y)| x * y).sum()).collect()
}

/// Adds to each row of this length its part of y's.
fn add(x: &mut [f64], y: &[f64], parts: &[f64], row: usize) {
    for ((x, y), part) in x.chunks_exact_mut(row).zip(y.chunks_exact(row)).zip(parts) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += part * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// −∇·(∇u) = 1 on the square has u = 0.0736713… in the middle.
    #[test]
    fn a_uniform_medium_has_the_known_pressure() {
        let n = 65;
        let u = Solver::new(n).unwrap().solve(&vec![3.0; n * n]).unwrap();
        let middle = 3.0 * u[n / 2 * n + n / 2];
        assert!((middle - 0.073_671_35).abs() < 2e-5, "{middle}");
    }
}
