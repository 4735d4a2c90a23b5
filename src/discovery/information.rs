//! The cost χ² near an estimate as a quadratic function of the coefficients, so that sets of terms
//! can be compared without refitting.
//!
//! A set of terms is judged by its score, χ² plus threshold² for each term: a term is worth having
//! if the fit without it is worse by threshold standard errors.

mod substitution;

use super::candidates::{Candidates, Support};
use super::dense::{Cholesky, dot};

/// The smallest fraction of a term that the terms of a set must leave unexplained so that the term
/// can join the set.
const COLLINEAR: f64 = 1e-9;
/// The number of sets of each size that the search through one equation's terms keeps, and how many
/// sizes beyond the best one it goes.
const WIDTH: usize = 32;
const BEYOND: usize = 3;
/// The least improvement of a set, in units of the penalty: rounding must not lead in circles.
const CIRCLES: f64 = 1e-3;
/// The fraction of a set, as its reciprocal, that is dropped term by term before the rest is computed
/// anew: single terms of sets that are smaller than twice this.
const BATCHES: usize = 32;

/// The function χ²(ξ) near an estimate: (ξ − coefficients)ᵀ covariance⁻¹ (ξ − coefficients) +
/// constant.
#[derive(Clone, Debug)]
pub(super) struct Quadratic {
    /// The coefficients with which χ² is smallest (c).
    pub coefficients: Vec<f64>,
    /// The covariance of the coefficients (c, c).
    pub covariance: Vec<f64>,
    /// The sign that each coefficient must have: 1, −1, or 0 for any (c).
    pub signs: Vec<f64>,
}

impl Quadratic {
    /// Returns the standard error of coefficient j.
    pub fn standard_error(&self, j: usize) -> f64 {
        self.covariance[j * self.coefficients.len() + j].sqrt()
    }

    /// Returns how many standard errors coefficient j is from zero; a coefficient of the wrong sign
    /// is so far below.
    pub fn significance(&self, j: usize) -> f64 {
        let value = self.coefficients[j];
        let size = if is_allowed(self.signs[j], value) { value.abs() } else { -value.abs() };
        size / self.standard_error(j)
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
        // The coefficient is zero exactly, not up to rounding.
        self.coefficients[j] = 0.0;
        for i in 0..n {
            self.covariance[i * n + j] = 0.0;
            self.covariance[j * n + i] = 0.0;
        }
    }
}

/// A set of terms with its score by an [`Information`].
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// The terms and the coefficients with which χ² is smallest.
    pub support: Support,
    /// χ² plus the penalty of each term, up to a constant common to all sets.
    pub score: f64,
}

/// A set in which one term replaces another.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    /// The term that is removed.
    pub without: usize,
    pub with: usize,
    /// The set after the exchange, without terms that have become superfluous by it.
    pub set: Set,
}

/// The function χ² of the coefficients of all C candidates, by which subsets of them are judged.
pub(super) struct Information {
    /// The inverse A of the covariance (C, C).
    pub matrix: Vec<f64>,
    /// The vector A ξ for the ξ with which χ² is smallest (C).
    pub vector: Vec<f64>,
    /// The equation of each candidate (C): only terms of one equation replace each other.
    pub equation: Vec<usize>,
    /// The sign that each coefficient must have: 1, −1, or 0 for any (C).
    pub signs: Vec<f64>,
    /// The penalty of a term: the decrease of χ² for which it is worth having.
    pub penalty: f64,
}

impl Information {
    /// Makes the function from what an estimator knows about all candidates.
    pub fn new(matrix: Vec<f64>, vector: Vec<f64>, candidates: &Candidates, penalty: f64) -> Self {
        let equation = candidates.all.iter().map(|p| p.equation).collect();
        Information { matrix, vector, equation, signs: candidates.signs.clone(), penalty }
    }

    /// Returns the sets that local search finds, from `start` downwards and from the empty set
    /// upwards, and from the best of these through many sets of each equation in turn, if that leads
    /// nowhere also through sets that are worse at first; the best first.
    pub fn best(&self, start: &[usize]) -> Vec<Support> {
        let mut sets: Vec<Set> = [start, &[]].iter().filter_map(|s| self.improved(s)).collect();
        sets.sort_by(|a, b| a.score.total_cmp(&b.score));
        sets.extend(sets.first().and_then(|best| self.by_equation(best, |_| true)));
        sets.sort_by(|a, b| a.score.total_cmp(&b.score));
        sets.dedup_by(|a, b| a.support.kept == b.support.kept);
        if let Some(best) = sets.first().filter(|best| best.support.kept == start) {
            let better = self.by_a_detour(best);
            sets.splice(0..0, better);
        }
        sets.into_iter().map(|set| set.support).collect()
    }

    /// Drops, adds and exchanges terms as long as that lowers the score.
    fn improved(&self, start: &[usize]) -> Option<Set> {
        let mut set = self.pruned(start.to_vec())?;
        loop {
            let moves = [self.extended(&set), self.rivals(&set).into_iter().next().map(|r| r.set)];
            let best = moves.into_iter().flatten().min_by(|a, b| a.score.total_cmp(&b.score));
            match best {
                Some(better) if better.score < set.score - CIRCLES * self.penalty => set = better,
                _ => return Some(set),
            }
        }
    }

    /// Replaces the terms of each suitable equation in turn by the best ones for that equation, while the
    /// terms of the others stay: where a few terms stand in for several others, no single addition
    /// or exchange lowers the score.
    fn by_equation(&self, set: &Set, suitable: impl Fn(usize) -> bool) -> Option<Set> {
        let mut set = set.clone();
        for equation in self.equations().into_iter().filter(|&equation| suitable(equation)) {
            let (all, others) = self.apart(equation, &set.support.kept);
            let best = self.given(&all, &others)?.best_subset();
            let mut kept = others;
            kept.extend(best.into_iter().map(|place| all[place]));
            kept.sort_unstable();
            match self.improved(&kept) {
                Some(better) if better.score < set.score => set = better,
                _ => {}
            }
        }
        Some(set)
    }

    fn equations(&self) -> Vec<usize> {
        let mut equations = self.equation.clone();
        equations.dedup();
        equations
    }

    /// Returns all candidates of an equation, and what is kept of the others.
    fn apart(&self, equation: usize, kept: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let own = |i: &usize| self.equation[*i] == equation;
        (0..self.equation.len()).filter(|i| own(i) || kept.contains(i)).partition(own)
    }

    /// Returns χ² as a function of the coefficients of `own` alone, where those of `others` are
    /// always the best ones: the Schur complement.
    fn given(&self, own: &[usize], others: &[usize]) -> Option<Information> {
        let n = self.vector.len();
        let subset = self.subset(others)?;
        let across = |i: usize| others.iter().map(move |&o| self.matrix[i * n + o]);
        let halves: Vec<Vec<f64>> =
            own.iter().map(|&i| subset.cholesky.half(&across(i).collect::<Vec<_>>())).collect();
        let entry = |(a, &i): (usize, &usize)| -> Vec<f64> {
            let with =
                |(b, &j): (usize, &usize)| self.matrix[i * n + j] - dot(&halves[a], &halves[b]);
            own.iter().enumerate().map(with).collect()
        };
        let left = |(a, &i): (usize, &usize)| self.vector[i] - dot(&halves[a], &subset.half);
        Some(Information {
            matrix: own.iter().enumerate().flat_map(entry).collect(),
            vector: own.iter().enumerate().map(left).collect(),
            equation: own.iter().map(|&i| self.equation[i]).collect(),
            signs: own.iter().map(|&i| self.signs[i]).collect(),
            penalty: self.penalty,
        })
    }

    /// Returns the set with the best score that beam search finds: from the best sets of one size,
    /// all sets with one term more.
    fn best_subset(&self) -> Vec<usize> {
        let mut best = (vec![], 0.0);
        self.through_sets(|sets| {
            let (kept, score) = &sets[0];
            if *score < best.1 {
                best = (kept.clone(), *score);
            }
            kept.len() <= best.0.len() + BEYOND
        });
        best.0
    }

    /// Shows the best sets of each size with their scores, the best one first, as long as `go_on`
    /// returns true.
    fn through_sets(&self, mut go_on: impl FnMut(&[(Vec<usize>, f64)]) -> bool) {
        let mut beam: Vec<(Vec<usize>, f64)> = vec![(vec![], 0.0)];
        while !beam.is_empty() && go_on(&beam) {
            let mut larger: Vec<(Vec<usize>, f64)> = Vec::new();
            for (kept, score) in &beam {
                let gains = self.gains(kept, |_| true).into_iter().flatten();
                let with = |(j, gain)| (with_term(kept.clone(), j), score + self.penalty - gain);
                larger.extend(gains.map(with));
            }
            larger.sort_by(|a, b| a.0.cmp(&b.0));
            larger.dedup_by(|a, b| a.0 == b.0);
            larger.sort_by(|a, b| a.1.total_cmp(&b.1));
            larger.truncate(WIDTH);
            beam = larger;
        }
    }

    /// Returns, for each term of the set, the best set in which another term of its equation
    /// replaces it, with the best score first.
    pub fn rivals(&self, set: &Set) -> Vec<Rival> {
        let kept = &set.support.kept;
        let mut rivals: Vec<Rival> = kept
            .iter()
            .filter_map(|&without| {
                let rest: Vec<usize> = kept.iter().copied().filter(|&i| i != without).collect();
                let equation = self.equation[without];
                let suitable = |j: usize| self.equation[j] == equation && j != without;
                let with = self.best_addition(&rest, suitable)?;
                let set = self.pruned(with_term(rest, with))?;
                Some(Rival { without, with, set })
            })
            .collect();
        rivals.sort_by(|a, b| a.set.score.total_cmp(&b.set.score));
        rivals
    }

    /// Returns the set with its best addition, if there is any.
    fn extended(&self, set: &Set) -> Option<Set> {
        let kept = &set.support.kept;
        let with = self.best_addition(kept, |_| true)?;
        self.pruned(with_term(kept.clone(), with))
    }

    /// Returns the suitable term whose addition lowers χ² most.
    fn best_addition(&self, kept: &[usize], suitable: impl Fn(usize) -> bool) -> Option<usize> {
        let gains = self.gains(kept, suitable)?.into_iter();
        // Of equal ones the first.
        gains.rev().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(j, _)| j)
    }

    /// Returns, for each suitable term that could join the set, by how much that lowers χ²: (b_j − A_jS
    /// ξ_S)² / (A_jj − A_jS A_SS⁻¹ A_Sj).
    fn gains(&self, kept: &[usize], suitable: impl Fn(usize) -> bool) -> Option<Vec<(usize, f64)>> {
        self.changes(kept, suitable, true)
    }

    /// Returns the gains of the suitable terms whose coefficients would have a sign that is `allowed`,
    /// or of the others.
    fn changes(
        &self,
        kept: &[usize],
        suitable: impl Fn(usize) -> bool,
        allowed: bool,
    ) -> Option<Vec<(usize, f64)>> {
        let n = self.vector.len();
        let subset = self.subset(kept)?;
        let mut gains = Vec::new();
        for j in (0..n).filter(|&j| suitable(j) && !kept.contains(&j)) {
            let across: Vec<f64> = kept.iter().map(|&i| self.matrix[i * n + j]).collect();
            let half = subset.cholesky.half(&across);
            let whole = self.matrix[j * n + j];
            let left = whole - dot(&half, &half);
            // The coefficient would be this divided by what is left.
            let pull = self.vector[j] - dot(&half, &subset.half);
            if left > COLLINEAR * whole && is_allowed(self.signs[j], pull) == allowed {
                gains.push((j, pull.powi(2) / left));
            }
        }
        Some(gains)
    }

    /// Returns the candidates that would be worth having if they could have the wrong sign: those
    /// that their constraints hold at zero.
    pub fn held_at_zero(&self, kept: &[usize]) -> Vec<usize> {
        let gains = self.changes(kept, |_| true, false).unwrap_or_default();
        let worth = gains.into_iter().filter(|(_, gain)| *gain >= self.penalty);
        worth.map(|(j, _)| j).collect()
    }

    /// Drops terms as long as that lowers the score.
    fn pruned(&self, mut kept: Vec<usize>) -> Option<Set> {
        loop {
            let subset = self.subset(&kept)?;
            let together = kept.len() / BATCHES;
            // To factorize the matrix of a large set anew for every term would take very long.
            let dropped = match together {
                0 | 1 => self.superfluous(&kept, &subset).into_iter().collect(),
                _ => {
                    let mut quadratic = Quadratic {
                        coefficients: subset.coefficients.clone(),
                        covariance: subset.cholesky.inverse(),
                        signs: kept.iter().map(|&i| self.signs[i]).collect(),
                    };
                    weakest(&mut quadratic, self.penalty.sqrt(), together)
                }
            };
            if dropped.is_empty() {
                return Some(self.judged(kept, subset));
            }
            let left = kept.iter().enumerate().filter(|(place, _)| !dropped.contains(place));
            kept = left.map(|(_, term)| *term).collect();
        }
    }

    /// Returns the place in the set of the term without which the score is lowest, if it is lower than
    /// with it.
    fn superfluous(&self, kept: &[usize], subset: &Subset) -> Option<usize> {
        let variances = subset.cholesky.inverse_diagonal();
        // What a term of the wrong sign explains is none.
        let loss = |((c, variance), &j): ((&f64, f64), &usize)| {
            let loss = c * c / variance;
            if is_allowed(self.signs[j], *c) { loss } else { -loss }
        };
        let losses = subset.coefficients.iter().zip(variances).zip(kept).map(loss);
        let (place, loss) = losses.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
        (loss < self.penalty).then_some(place)
    }

    /// Returns the best fit with these terms and its score, or `None` if the terms are collinear.
    pub fn set(&self, kept: &[usize]) -> Option<Set> {
        Some(self.judged(kept.to_vec(), self.subset(kept)?))
    }

    fn judged(&self, kept: Vec<usize>, subset: Subset) -> Set {
        let explained = dot(&subset.half, &subset.half);
        let score = self.penalty * kept.len() as f64 - explained;
        Set { support: Support { kept, coefficients: subset.coefficients }, score }
    }

    fn subset(&self, kept: &[usize]) -> Option<Subset> {
        let (n, m) = (self.vector.len(), kept.len());
        let row = |&i: &usize| kept.iter().map(move |&j| self.matrix[i * n + j]);
        let block: Vec<f64> = kept.iter().flat_map(row).collect();
        let vector: Vec<f64> = kept.iter().map(|&i| self.vector[i]).collect();
        let cholesky = Cholesky::new(&block, m)?;
        let half = cholesky.half(&vector);
        Some(Subset { coefficients: cholesky.whole(&half), cholesky, half })
    }
}

/// Returns the terms to drop, weakest first, at most `limit`: the least significant as long as it is below
/// `threshold`. The function becomes that of the rest.
pub(super) fn weakest(quadratic: &mut Quadratic, threshold: f64, limit: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..quadratic.coefficients.len()).collect();
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

/// Returns whether a coefficient may have this value where this is its sign: 1, −1, or 0 for any.
fn is_allowed(sign: f64, value: f64) -> bool {
    sign == 0.0 || sign * value >= 0.0
}

fn with_term(mut kept: Vec<usize>, term: usize) -> Vec<usize> {
    kept.push(term);
    kept.sort_unstable();
    kept
}

/// The best fit with a subset of the terms.
struct Subset {
    coefficients: Vec<f64>,
    /// The factor of their part of the matrix.
    cholesky: Cholesky,
    /// Half the solution for the coefficients, whose square is the decrease of χ² from all of them zero.
    half: Vec<f64>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::dense::invert_positive;
    use super::*;

    /// Terms 0 and 1 nearly the same, 2 on its own, 3 noise.
    fn information() -> Information {
        let matrix = [
            [400.0, 399.0, 0.0, 1.0],
            [399.0, 400.0, 0.0, 2.0],
            [0.0, 0.0, 100.0, 3.0],
            [1.0, 2.0, 3.0, 50.0],
        ];
        let minimum = [1.0, 0.1, 2.0, 0.05];
        Information {
            vector: matrix.iter().map(|row| dot(row, &minimum)).collect(),
            matrix: matrix.concat(),
            equation: vec![0; 4],
            signs: vec![0.0; 4],
            penalty: 25.0,
        }
    }

    pub fn quadratic() -> Quadratic {
        let covariance = invert_positive(&information().matrix, 4).unwrap();
        Quadratic { coefficients: vec![1.0, 0.1, 2.0, 0.05], covariance, signs: vec![0.0; 4] }
    }

    #[test]
    fn removal_is_the_conditional_minimum() {
        let mut removed = quadratic();
        removed.remove(1);
        let subset = information().subset(&[0, 2, 3]).unwrap();
        let variances = subset.cholesky.inverse_diagonal();
        for (place, j) in [0, 2, 3].into_iter().enumerate() {
            assert!((removed.coefficients[j] - subset.coefficients[place]).abs() < 1e-10);
            assert!((removed.covariance[j * 5] - variances[place]).abs() < 1e-10);
        }
    }

    #[test]
    fn near_copies_are_rivals_and_others_are_not() {
        let information = information();
        let set = information.set(&[0, 2]).unwrap();
        let rivals = information.rivals(&set);
        assert_eq!((rivals[0].without, rivals[0].with), (0, 1));
        assert_eq!(rivals[0].set.support.kept, [1, 2]);
        assert!(rivals[0].set.score - set.score < 25.0, "{rivals:?}");
        assert_eq!(rivals[1].without, 2);
        assert!(rivals[1].set.score - set.score > 100.0, "{rivals:?}");
        // In another equation there is no replacement.
        let apart = Information { equation: vec![0, 1, 2, 3], ..information };
        assert!(apart.rivals(&set).is_empty());
    }

    #[test]
    fn search_finds_the_best_of_all_subsets() {
        // The result is compared with enumeration, on informations of random vectors.
        let mut seed = 7_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        let n = 8;
        for _ in 0..20 {
            let vectors: Vec<f64> = (0..n * 12).map(|_| random()).collect();
            let row = |i: usize| &vectors[i * 12..][..12];
            let matrix: Vec<f64> =
                (0..n * n).map(|at| 60.0 * dot(row(at / n), row(at % n))).collect();
            let minimum = [2.0, 0.0, 0.0, -1.5, 0.0, 0.1, 0.0, 1.0];
            let vector = (0..n).map(|i| dot(&matrix[i * n..][..n], &minimum)).collect();
            let (equation, signs) = (vec![0; n], vec![0.0; n]);
            let information = Information { matrix, vector, equation, signs, penalty: 25.0 };
            let every = (0..1_usize << n)
                .map(|mask| (0..n).filter(|i| mask >> i & 1 == 1).collect::<Vec<_>>());
            let scores = every.map(|kept| information.set(&kept).unwrap().score);
            let lowest = scores.fold(f64::INFINITY, f64::min);
            let all: Vec<usize> = (0..n).collect();
            let found = information.set(&information.best(&all)[0].kept).unwrap();
            assert!((found.score - lowest).abs() < 1e-6, "{found:?} {lowest}");
        }
    }

    /// So many terms that several are dropped before the rest is computed anew.
    #[test]
    fn large_sets_lose_what_is_superfluous() {
        let n = 3 * BATCHES;
        let wave = |i: usize, j: usize| ((i * j) as f64 * 0.7).sin();
        let row = |i: usize| -> Vec<f64> { (0..2 * n).map(|j| wave(i + 1, j + 1)).collect() };
        let rows: Vec<Vec<f64>> = (0..n).map(row).collect();
        let matrix: Vec<f64> =
            (0..n * n).map(|at| 40.0 * dot(&rows[at / n], &rows[at % n])).collect();
        let minimum: Vec<f64> =
            (0..n).map(|i| if i % 9 == 2 { 1.0 } else { 1e-3 * (i as f64).cos() }).collect();
        let vector = (0..n).map(|i| dot(&matrix[i * n..][..n], &minimum)).collect();
        let (equation, signs) = (vec![0; n], vec![0.0; n]);
        let information = Information { matrix, vector, equation, signs, penalty: 25.0 };
        let all: Vec<usize> = (0..n).collect();
        let set = information.pruned(all).unwrap();
        assert_eq!(set.support.kept, (2..n).step_by(9).collect::<Vec<_>>());
        let exact = information.set(&set.support.kept).unwrap();
        assert!((set.score - exact.score).abs() < 1e-9 * exact.score.abs());
    }
}
