//! The best fit with a subset of the terms, as terms join and leave it.

use crate::discovery::dense::{dot, invert_positive};

/// The best fit with a subset S of the terms.
#[derive(Clone)]
pub(super) struct Subset {
    /// The best coefficients ξ_S (m).
    pub coefficients: Vec<f64>,
    /// Covariance of the coefficients, C = A_SS⁻¹ (m, m).
    pub inverse: Vec<f64>,
    /// Decrease of χ² from all coefficients zero.
    pub explained: f64,
}

/// What a term j that is not in a subset would be in it.
pub(super) struct Joining {
    /// What the terms of the subset do not explain of it, A_jj − A_jS C A_Sj.
    pub left: f64,
    /// Half the slope of χ² along it, b_j − A_jS ξ_S: its coefficient times what is left.
    pub pull: f64,
    /// By how much the coefficients of the others fall for each unit of its own, C A_Sj (m).
    pub shares: Vec<f64>,
}

impl Subset {
    /// Returns the best fit with these terms' rows and columns A_SS (m, m) and b_S (m), or `None` if the
    /// terms are collinear.
    pub fn new(matrix: &[f64], vector: &[f64]) -> Option<Self> {
        let m = vector.len();
        let inverse = invert_positive(matrix, m)?;
        let coefficients: Vec<f64> = (0..m).map(|i| dot(&inverse[i * m..][..m], vector)).collect();
        Some(Subset { explained: dot(&coefficients, vector), coefficients, inverse })
    }

    /// Returns the variance of the coefficient at this place.
    pub fn variance(&self, place: usize) -> f64 {
        self.inverse[place * (self.coefficients.len() + 1)]
    }

    /// Returns what a term with this column A_Sj (m), this A_jj and this b_j would be.
    pub fn joining(&self, column: &[f64], whole: f64, vector: f64) -> Joining {
        let m = self.coefficients.len();
        let shares: Vec<f64> = (0..m).map(|i| dot(&self.inverse[i * m..][..m], column)).collect();
        Joining {
            left: whole - dot(column, &shares),
            pull: vector - dot(column, &self.coefficients),
            shares,
        }
    }

    /// Inserts a term at this place; the others move to their best values with it.
    pub fn insert(&mut self, place: usize, term: &Joining) {
        let (m, value) = (self.coefficients.len(), term.pull / term.left);
        let mut inverse = vec![0.0; (m + 1) * (m + 1)];
        // The number in the larger subset.
        let now = |i: usize| if i < place { i } else { i + 1 };
        for i in 0..m {
            let share = term.shares[i] / term.left;
            for j in 0..m {
                inverse[now(i) * (m + 1) + now(j)] =
                    self.inverse[i * m + j] + share * term.shares[j];
            }
            inverse[now(i) * (m + 1) + place] = -share;
            inverse[place * (m + 1) + now(i)] = -share;
            self.coefficients[i] -= term.shares[i] * value;
        }
        inverse[place * (m + 2)] = 1.0 / term.left;
        self.inverse = inverse;
        self.coefficients.insert(place, value);
        self.explained += term.pull * value;
    }

    /// Removes the term at this place; the others move to their best values without it.
    pub fn remove(&mut self, place: usize) {
        let m = self.coefficients.len();
        let column: Vec<f64> = (0..m).map(|i| self.inverse[i * m + place]).collect();
        let (value, variance) = (self.coefficients[place], column[place]);
        self.explained -= value * value / variance;
        let mut inverse = Vec::with_capacity((m - 1) * (m - 1));
        for i in (0..m).filter(|i| *i != place) {
            let factor = column[i] / variance;
            self.coefficients[i] -= factor * value;
            let row = &self.inverse[i * m..][..m];
            for left in [0..place, place + 1..m] {
                let both = row[left.clone()].iter().zip(&column[left]);
                inverse.extend(both.map(|(c, other)| c - factor * other));
            }
        }
        self.coefficients.remove(place);
        self.inverse = inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_leave_and_join_are_as_if_computed_anew() {
        let n = 40;
        let wave = |i: usize, j: usize| ((i * j) as f64 * 0.7).sin();
        let row = |i: usize| -> Vec<f64> { (0..2 * n).map(|j| wave(i + 1, j + 1)).collect() };
        let rows: Vec<Vec<f64>> = (0..n).map(row).collect();
        let of = |kept: &[usize]| {
            let across = |&i: &usize| kept.iter().map(move |&j| (i, j));
            let matrix: Vec<f64> =
                kept.iter().flat_map(across).map(|(i, j)| dot(&rows[i], &rows[j])).collect();
            let vector: Vec<f64> = kept.iter().map(|&i| wave(i, 3) + 1.0).collect();
            (matrix, vector)
        };
        let fit = |kept: &[usize]| {
            let (matrix, vector) = of(kept);
            Subset::new(&matrix, &vector).unwrap()
        };
        let check = |subset: &Subset, kept: &[usize]| {
            let anew = fit(kept);
            let same = |a: &[f64], b: &[f64]| {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
            };
            assert!(same(&subset.coefficients, &anew.coefficients));
            assert!(same(&subset.inverse, &anew.inverse));
            assert!((subset.explained / anew.explained - 1.0).abs() < 1e-9);
            assert_eq!(subset.variance(2), subset.inverse[2 * kept.len() + 2]);
        };
        let mut kept: Vec<usize> = (0..n).collect();
        let mut subset = fit(&kept);
        for place in [30, 3, 0] {
            kept.remove(place);
            subset.remove(place);
            check(&subset, &kept);
        }
        for (place, term) in [(0, 0), (3, 3), (30, 30)] {
            let column: Vec<f64> = kept.iter().map(|&i| dot(&rows[i], &rows[term])).collect();
            let (_, vector) = of(&[term]);
            let joining = subset.joining(&column, dot(&rows[term], &rows[term]), vector[0]);
            kept.insert(place, term);
            subset.insert(place, &joining);
            check(&subset, &kept);
        }
        assert_eq!(kept, (0..n).collect::<Vec<_>>());
    }
}
