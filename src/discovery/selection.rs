//! Which terms the data support: backward elimination by standard error.

/// At most this fraction of the terms is dropped before the estimate is made anew.
const BATCH: f64 = 0.25;

/// χ²(ξ) near the estimate: (ξ − coefficients)ᵀ covariance⁻¹ (ξ − coefficients).
#[derive(Clone, Debug)]
pub(super) struct Quadratic {
    /// (c)
    pub coefficients: Vec<f64>,
    /// (c, c)
    pub covariance: Vec<f64>,
}

impl Quadratic {
    /// Standard error of coefficient j.
    pub fn standard_error(&self, j: usize) -> f64 {
        self.covariance[j * self.coefficients.len() + j].sqrt()
    }

    /// |ξ_j| in standard errors.
    pub fn significance(&self, j: usize) -> f64 {
        self.coefficients[j].abs() / self.standard_error(j)
    }

    /// Sets coefficient j to zero for good: the others move to their conditional minimum,
    /// ξ −= C_j ξ_j / C_jj and C −= C_j C_jᵀ / C_jj.
    pub fn remove(&mut self, j: usize) {
        let n = self.coefficients.len();
        let column: Vec<f64> = (0..n).map(|i| self.covariance[i * n + j]).collect();
        let (value, variance) = (self.coefficients[j], column[j]);
        for i in 0..n {
            let factor = column[i] / variance;
            self.coefficients[i] -= factor * value;
            for (c, other) in self.covariance[i * n..][..n].iter_mut().zip(&column) {
                *c -= factor * other;
            }
        }
        // Exactly, not up to rounding.
        self.coefficients[j] = 0.0;
        for i in 0..n {
            self.covariance[i * n + j] = 0.0;
            self.covariance[j * n + i] = 0.0;
        }
    }
}

/// The terms to drop now, weakest first: the least significant as long as it is below
/// `threshold`, the others' significance being updated after each.
pub(super) fn weakest(quadratic: &Quadratic, threshold: f64) -> Vec<usize> {
    let mut quadratic = quadratic.clone();
    let mut left: Vec<usize> = (0..quadratic.coefficients.len()).collect();
    let limit = (BATCH * left.len() as f64).ceil() as usize;
    let mut dropped = Vec::new();
    while dropped.len() < limit {
        let significance = |j: &usize| quadratic.significance(*j);
        let Some(&weakest) = left.iter().min_by(|a, b| significance(a).total_cmp(&significance(b)))
        else {
            break;
        };
        if quadratic.significance(weakest) >= threshold {
            break;
        }
        quadratic.remove(weakest);
        left.retain(|j| *j != weakest);
        dropped.push(weakest);
    }
    dropped
}
