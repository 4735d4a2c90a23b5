//! Which terms the data support.
//!
//! A set of terms is judged by its score, χ² plus threshold² for each term: a term is worth having
//! if the fit without it is worse by threshold standard errors. Near an estimate χ² is a quadratic
//! function of the coefficients, so sets can be compared without refitting.

use super::dense::invert_positive;
use super::rhs::dot;

/// At most this fraction of the terms is dropped before the estimate is made anew.
const BATCH: f64 = 0.25;

/// χ²(ξ) near an estimate: (ξ − coefficients)ᵀ covariance⁻¹ (ξ − coefficients) + constant.
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

/// The term to drop where a product of numerator and denominator with a common factor says the
/// same with more terms: of those that may as well be zero, the one of highest degree, or else the
/// weakest.
pub(super) fn highest(quadratic: &Quadratic, threshold: f64, degrees: &[usize]) -> Vec<usize> {
    let candidates = 0..degrees.len();
    let free = candidates.filter(|&j| quadratic.significance(j) < 1.0);
    let chosen = free.max_by(|&a, &b| {
        let weaker = quadratic.significance(b).total_cmp(&quadratic.significance(a));
        degrees[a].cmp(&degrees[b]).then(weaker)
    });
    match chosen {
        Some(j) => vec![j],
        None => weakest(quadratic, threshold).into_iter().take(1).collect(),
    }
}

/// Another set of terms and its score relative to the current one.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    /// The term that is replaced.
    pub without: usize,
    /// The term that stands in for it.
    pub with: usize,
    /// All terms of the rival set, sorted: some others may have become superfluous.
    pub kept: Vec<usize>,
    /// Its score less that of the current set.
    pub score: f64,
}

/// χ² of subsets of all terms: A = C⁻¹ and b = A ξ.
pub(super) struct Information {
    matrix: Vec<f64>,
    vector: Vec<f64>,
    penalty: f64,
}

impl Information {
    /// From the quadratic of all terms; `None` if its covariance is numerically singular.
    pub fn new(quadratic: &Quadratic, threshold: f64) -> Option<Self> {
        let n = quadratic.coefficients.len();
        let matrix = invert_positive(&quadratic.covariance, n)?;
        let vector = (0..n).map(|i| dot(&matrix[i * n..][..n], &quadratic.coefficients)).collect();
        Some(Information { matrix, vector, penalty: threshold * threshold })
    }

    /// For each kept term, the best set in which another term of the same equation (by `group`)
    /// replaces it, superfluous terms dropped; best score first.
    pub fn rivals(&self, kept: &[usize], group: &[usize]) -> Vec<Rival> {
        let Some(current) = self.subset(kept) else { return Vec::new() };
        let score = self.penalty * kept.len() as f64 - current.explained;
        let mut rivals: Vec<Rival> = kept
            .iter()
            .filter_map(|&without| self.replacement(kept, without, group))
            .map(|rival| Rival { score: rival.score - score, ..rival })
            .collect();
        rivals.sort_by(|a, b| a.score.total_cmp(&b.score));
        rivals
    }

    fn replacement(&self, kept: &[usize], without: usize, group: &[usize]) -> Option<Rival> {
        let n = self.vector.len();
        let rest: Vec<usize> = kept.iter().copied().filter(|&i| i != without).collect();
        let base = self.subset(&rest)?;
        // Adding j explains (b_j − A_jS ξ_S)² / (A_jj − A_jS A_SS⁻¹ A_Sj) more.
        let gain = |j: usize| {
            let across: Vec<f64> = rest.iter().map(|&i| self.matrix[i * n + j]).collect();
            let open = self.vector[j] - dot(&across, &base.coefficients);
            let m = rest.len();
            let seen: f64 =
                (0..m).map(|i| across[i] * dot(&base.inverse[i * m..][..m], &across)).sum();
            let left = self.matrix[j * n + j] - seen;
            (left > f64::EPSILON * n as f64 * self.matrix[j * n + j]).then(|| open * open / left)
        };
        let candidates = (0..n).filter(|j| group[*j] == group[without] && !kept.contains(j));
        let gains = candidates.filter_map(|j| Some((gain(j)?, j)));
        let (_, with) = gains.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let mut set = rest;
        set.push(with);
        set.sort_unstable();
        let (kept, score) = self.pruned(set)?;
        Some(Rival { without, with, kept, score })
    }

    /// Drops terms as long as that lowers the score; the set and its score.
    fn pruned(&self, mut kept: Vec<usize>) -> Option<(Vec<usize>, f64)> {
        loop {
            let subset = self.subset(&kept)?;
            let variance = |i: usize| subset.inverse[i * (kept.len() + 1)];
            let losses = subset.coefficients.iter().enumerate().map(|(i, c)| c * c / variance(i));
            let weakest = losses.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
            match weakest {
                Some((place, loss)) if loss < self.penalty => drop(kept.remove(place)),
                _ => {
                    let score = self.penalty * kept.len() as f64 - subset.explained;
                    return Some((kept, score));
                }
            }
        }
    }

    fn block(&self, kept: &[usize]) -> Vec<f64> {
        let n = self.vector.len();
        let row = |&i: &usize| kept.iter().map(move |&j| self.matrix[i * n + j]);
        kept.iter().flat_map(row).collect()
    }

    fn subset(&self, kept: &[usize]) -> Option<Subset> {
        let m = kept.len();
        let vector: Vec<f64> = kept.iter().map(|&i| self.vector[i]).collect();
        let inverse = invert_positive(&self.block(kept), m)?;
        let coefficients: Vec<f64> = (0..m).map(|i| dot(&inverse[i * m..][..m], &vector)).collect();
        Some(Subset { explained: dot(&coefficients, &vector), coefficients, inverse })
    }
}

/// The best fit with a subset of the terms.
struct Subset {
    coefficients: Vec<f64>,
    /// Their covariance.
    inverse: Vec<f64>,
    /// Decrease of χ² from all coefficients zero.
    explained: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Terms 0 and 1 nearly the same, 2 on its own, 3 noise.
    fn quadratic() -> Quadratic {
        let information = [
            [400.0, 399.0, 0.0, 1.0],
            [399.0, 400.0, 0.0, 2.0],
            [0.0, 0.0, 100.0, 3.0],
            [1.0, 2.0, 3.0, 50.0],
        ];
        let covariance = invert_positive(&information.concat(), 4).unwrap();
        Quadratic { coefficients: vec![1.0, 0.1, 2.0, 0.05], covariance }
    }

    #[test]
    fn removal_is_the_conditional_minimum() {
        let mut removed = quadratic();
        removed.remove(1);
        let information = Information::new(&quadratic(), 5.0).unwrap();
        let subset = information.subset(&[0, 2, 3]).unwrap();
        for (place, j) in [0, 2, 3].into_iter().enumerate() {
            assert!((removed.coefficients[j] - subset.coefficients[place]).abs() < 1e-10);
            assert!((removed.covariance[j * 5] - subset.inverse[place * 4]).abs() < 1e-10);
        }
    }

    #[test]
    fn weak_terms_go_and_their_partners_take_over() {
        assert_eq!(weakest(&quadratic(), 5.0), [1]);
        let mut quadratic = quadratic();
        quadratic.remove(1);
        assert!(quadratic.significance(0) > 20.0);
    }

    #[test]
    fn highest_degree_goes_first_among_the_undecided() {
        assert_eq!(highest(&quadratic(), 5.0, &[1, 1, 1, 2]), [3]);
        assert_eq!(highest(&quadratic(), 5.0, &[1, 2, 1, 2]), [1]);
    }

    #[test]
    fn near_copies_are_rivals_and_others_are_not() {
        let information = Information::new(&quadratic(), 5.0).unwrap();
        let rivals = information.rivals(&[0, 2], &[0, 0, 0, 0]);
        assert_eq!((rivals[0].without, rivals[0].with), (0, 1));
        assert_eq!(rivals[0].kept, [1, 2]);
        assert!(rivals[0].score < 25.0, "{rivals:?}");
        assert_eq!(rivals[1].without, 2);
        assert!(rivals[1].score > 100.0, "{rivals:?}");
        // In another equation there is no replacement.
        assert!(information.rivals(&[0, 2], &[0, 1, 2, 3]).is_empty());
    }
}
