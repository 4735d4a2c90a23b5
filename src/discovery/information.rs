//! The cost χ² near an estimate as a quadratic function of the coefficients, so that sets of terms
//! can be compared without refitting.
//!
//! A set of terms is judged by its score, χ² plus threshold² for each term: a term is worth having
//! if the fit without it is worse by threshold standard errors.

mod substitution;
mod tableau;

use super::candidates::{Candidates, Support};
use tableau::Tableau;

/// The smallest fraction of a term that the terms of a set must leave unexplained so that the term
/// can join the set.
const COLLINEAR: f64 = 1e-9;
/// The number of sets of each size that the search through one equation's terms keeps, and how many
/// sizes beyond the best one it goes.
const WIDTH: usize = 32;
const BEYOND: usize = 3;
/// The most sets that may turn out to be better where the best one is none, and the numbers that the
/// tableaus of a search through sets may have together: of very many terms it keeps fewer sets.
const RUNNERS_UP: usize = 6;
const ROOM: usize = 1 << 23;
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

    /// Returns better sets than this one in which the terms of one equation are others, the best of each
    /// number of terms; the best first. Where χ² is not as quadratic as it seems, the very best set may turn
    /// out to be none, and one of these be better.
    pub fn runners_up(&self, start: &[usize]) -> Vec<Support> {
        let Some(present) = self.set(start) else { return vec![] };
        let equations = self.equations().into_iter();
        let others = equations.filter_map(|equation| self.with_other_terms(equation, start));
        let sets = others.flatten().filter_map(|(kept, _)| self.set(&self.pruned(kept)?));
        let mut sets: Vec<Set> = sets.filter(|set| self.is_better(set, &present)).collect();
        sets.sort_by(|a, b| a.score.total_cmp(&b.score));
        sets.dedup_by(|a, b| a.support.kept == b.support.kept);
        sets.truncate(RUNNERS_UP);
        sets.into_iter().map(|set| set.support).collect()
    }

    /// Drops, adds and exchanges terms as long as that lowers the score.
    fn improved(&self, start: &[usize]) -> Option<Set> {
        let mut tableau = Tableau::new(self).moved(&self.pruned(start.to_vec())?)?;
        loop {
            let present = tableau.set();
            let lowers = |set: &Set| self.is_better(set, &present);
            let moves = tableau.extended().into_iter();
            let moves = moves.chain(tableau.rivals().into_iter().map(|rival| rival.set));
            let mut moves: Vec<Set> = moves.filter(lowers).collect();
            moves.sort_by(|a, b| a.score.total_cmp(&b.score));
            // The scores of exchanges are known only up to rounding before they are done.
            let mut done = moves.iter().filter_map(|set| tableau.moved(&set.support.kept));
            match done.find(|next| lowers(&next.set())) {
                Some(next) => tableau = next,
                None => return Some(present),
            }
        }
    }

    /// Replaces the terms of each suitable equation in turn by the best ones for that equation, while the
    /// terms of the others stay: where a few terms stand in for several others, no single addition
    /// or exchange lowers the score.
    fn by_equation(&self, set: &Set, suitable: impl Fn(usize) -> bool) -> Option<Set> {
        let mut set = set.clone();
        for equation in self.equations().into_iter().filter(|&equation| suitable(equation)) {
            let sets = self.with_other_terms(equation, &set.support.kept)?;
            let best = sets.into_iter().min_by(|a, b| a.1.total_cmp(&b.1))?.0;
            match self.improved(&best) {
                Some(better) if better.score < set.score => set = better,
                _ => {}
            }
        }
        Some(set)
    }

    /// Returns sets in which the terms of one equation are others, the best of each number of terms, with
    /// their scores up to a constant; the terms of the other equations stay.
    fn with_other_terms(&self, equation: usize, kept: &[usize]) -> Option<Vec<(Vec<usize>, f64)>> {
        let (all, others) = self.apart(equation, kept);
        let sets = self.given(&all, &others)?.best_of_each_size();
        let whole = |(own, score): (Vec<usize>, f64)| {
            let own = own.into_iter().map(|place| all[place]);
            let mut kept: Vec<usize> = others.iter().copied().chain(own).collect();
            kept.sort_unstable();
            (kept, score)
        };
        Some(sets.into_iter().map(whole).collect())
    }

    /// Returns whether a set has a lower score than another, by more than rounding.
    fn is_better(&self, set: &Set, than: &Set) -> bool {
        set.score < than.score - CIRCLES * self.penalty
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
        let n = own.len();
        let both = self.among(&[own, others].concat());
        let tableau = Tableau::new(&both).moved(&(n..n + others.len()).collect::<Vec<_>>())?;
        Some(Information {
            matrix: (0..n).flat_map(|i| tableau.row(i)[..n].to_vec()).collect(),
            vector: tableau.row(n + others.len())[..n].to_vec(),
            equation: both.equation[..n].to_vec(),
            signs: both.signs[..n].to_vec(),
            penalty: self.penalty,
        })
    }

    /// Returns χ² as a function of the coefficients of these terms, where all others are zero.
    fn among(&self, terms: &[usize]) -> Information {
        let n = self.vector.len();
        let row = |&i: &usize| terms.iter().map(move |&j| self.matrix[i * n + j]);
        Information {
            matrix: terms.iter().flat_map(row).collect(),
            vector: terms.iter().map(|&i| self.vector[i]).collect(),
            equation: terms.iter().map(|&i| self.equation[i]).collect(),
            signs: terms.iter().map(|&i| self.signs[i]).collect(),
            penalty: self.penalty,
        }
    }

    /// Returns A_jj, of which a set leaves less.
    fn whole(&self, j: usize) -> f64 {
        self.matrix[j * (self.vector.len() + 1)]
    }

    /// Returns the best set of each size that beam search finds, and its score, without those that have a
    /// better one within them: from the best sets of one size, all sets with one term more, until
    /// [`BEYOND`] the best size.
    fn best_of_each_size(&self) -> Vec<(Vec<usize>, f64)> {
        let mut sets: Vec<(Vec<usize>, f64)> = vec![];
        let mut best = (0, 0.0);
        self.through_sets(|of_size| {
            let (size, score) = (of_size[0].0.kept.len(), of_size[0].1);
            if score < best.1 {
                best = (size, score);
            }
            let needs_all = |(tableau, score): &&(Tableau<'_>, f64)| {
                let within = |kept: &[usize]| kept.iter().all(|i| tableau.kept.contains(i));
                !sets.iter().any(|(kept, less)| less <= score && within(kept))
            };
            let found = of_size.iter().find(needs_all);
            sets.extend(found.map(|(tableau, score)| (tableau.kept.clone(), *score)));
            size <= best.0 + BEYOND
        });
        sets
    }

    /// Shows the best sets of each size with their scores, the best one first, as long as `go_on`
    /// returns true.
    fn through_sets(&self, mut go_on: impl FnMut(&[(Tableau<'_>, f64)]) -> bool) {
        let mut beam = vec![(Tableau::new(self), 0.0)];
        while !beam.is_empty() && go_on(&beam) {
            let mut larger: Vec<(Vec<usize>, f64, &Tableau<'_>, usize)> = Vec::new();
            for (tableau, score) in &beam {
                for (j, gain) in tableau.trial().gains(|_| true, true) {
                    let kept = with_term(tableau.kept.clone(), j);
                    larger.push((kept, score + self.penalty - gain, tableau, j));
                }
            }
            larger.sort_by(|a, b| a.0.cmp(&b.0));
            larger.dedup_by(|a, b| a.0 == b.0);
            larger.sort_by(|a, b| a.1.total_cmp(&b.1));
            larger.truncate((ROOM / tableau::values(self)).clamp(1, WIDTH));
            let next = larger.into_iter().filter_map(|(_, score, tableau, j)| {
                tableau.clone().with(j).map(|tableau| (tableau, score))
            });
            beam = next.collect();
        }
    }

    /// Returns, for each term of the set, the best set in which another term of its equation
    /// replaces it, with the best score first.
    pub fn rivals(&self, set: &Set) -> Vec<Rival> {
        let tableau = Tableau::new(self).moved(&set.support.kept);
        tableau.map(|tableau| tableau.rivals()).unwrap_or_default()
    }

    /// Returns the candidates that would be worth having if they could have the wrong sign: those
    /// that their constraints hold at zero.
    pub fn held_at_zero(&self, kept: &[usize]) -> Vec<usize> {
        let Some(tableau) = Tableau::new(self).moved(kept) else { return vec![] };
        let trial = tableau.trial();
        let worth = trial.gains(|_| true, false).filter(|(_, gain)| *gain >= self.penalty);
        worth.map(|(j, _)| j).collect()
    }

    /// Returns by how much χ² falls if one of the other candidates joins this set, for each that can.
    pub fn gains(&self, kept: &[usize]) -> Vec<(usize, f64)> {
        let tableau = Tableau::new(self).moved(kept);
        let gains = |tableau: Tableau<'_>| tableau.trial().gains(|_| true, true).collect();
        tableau.map(gains).unwrap_or_default()
    }

    /// Drops terms as long as that lowers the score. Returns `None` if the terms are collinear.
    fn pruned(&self, mut kept: Vec<usize>) -> Option<Vec<usize>> {
        loop {
            let own = self.among(&kept);
            let tableau = Tableau::new(&own).moved(&(0..kept.len()).collect::<Vec<_>>())?;
            let mut trial = tableau.trial();
            // To eliminate anew after every term of a large set would take very long.
            trial.prune((kept.len() / BATCHES).max(1));
            if trial.kept.len() == kept.len() {
                return Some(kept);
            }
            kept = trial.kept.iter().map(|&place| kept[place]).collect();
        }
    }

    /// Returns the best fit with these terms and its score, or `None` if the terms are collinear.
    pub fn set(&self, kept: &[usize]) -> Option<Set> {
        let own = self.among(kept);
        let all: Vec<usize> = (0..kept.len()).collect();
        let Set { support, score } = Tableau::new(&own).moved(&all)?.set();
        Some(Set { support: Support { kept: kept.to_vec(), ..support }, score })
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

#[cfg(test)]
pub(super) mod tests {
    use super::super::dense::{dot, invert_positive};
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
        let information = information();
        let tableau = Tableau::new(&information).moved(&[0, 2, 3]).unwrap();
        for j in [0, 2, 3] {
            assert!((removed.coefficients[j] - tableau.row(4)[j]).abs() < 1e-10);
            assert!((removed.covariance[j * 5] + tableau.row(j)[j]).abs() < 1e-10);
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

    /// Returns informations of 8 random vectors.
    pub fn random_informations() -> Vec<Information> {
        let mut seed = 7_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        let n = 8;
        let information = |_| {
            let vectors: Vec<f64> = (0..n * 12).map(|_| random()).collect();
            let row = |i: usize| &vectors[i * 12..][..12];
            let matrix: Vec<f64> =
                (0..n * n).map(|at| 60.0 * dot(row(at / n), row(at % n))).collect();
            let minimum = [2.0, 0.0, 0.0, -1.5, 0.0, 0.1, 0.0, 1.0];
            let vector = (0..n).map(|i| dot(&matrix[i * n..][..n], &minimum)).collect();
            let (equation, signs) = (vec![0; n], vec![0.0; n]);
            Information { matrix, vector, equation, signs, penalty: 25.0 }
        };
        (0..20).map(information).collect()
    }

    #[test]
    fn search_finds_the_best_of_all_subsets() {
        // The result is compared with enumeration.
        for information in random_informations() {
            let n = information.vector.len();
            let every = (0..1_usize << n)
                .map(|mask| (0..n).filter(|i| mask >> i & 1 == 1).collect::<Vec<_>>());
            let scores = every.map(|kept| information.set(&kept).unwrap().score);
            let lowest = scores.fold(f64::INFINITY, f64::min);
            let all: Vec<usize> = (0..n).collect();
            let found = information.set(&information.best(&all)[0].kept).unwrap();
            assert!((found.score - lowest).abs() < 1e-6, "{found:?} {lowest}");
        }
    }

    /// Term 0 is what 1 and 2 are together, and 3, 4 and 5.
    #[test]
    fn runners_up_are_the_best_sets_of_each_size() {
        let rows = [
            [1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            [0.0, 1.0, 1.0, -1.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            [0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            [0.0, 0.0, 1.0, 0.0, -1.0, -1.0],
        ];
        let product = |i: usize, j: usize| 1e4 * dot(&rows[i], &rows[j]);
        let information = Information {
            matrix: (0..36).map(|at| product(at / 6, at % 6)).collect(),
            vector: (0..6).map(|i| product(i, 0)).collect(),
            equation: vec![0; 6],
            signs: vec![0.0; 6],
            penalty: 25.0,
        };
        let kept = |start: &[usize]| -> Vec<Vec<usize>> {
            information.runners_up(start).into_iter().map(|support| support.kept).collect()
        };
        assert_eq!(kept(&[3, 4, 5]), [vec![0], vec![1, 2]]);
        assert_eq!(kept(&[1, 2]), [[0]]);
        assert!(kept(&[0]).is_empty());
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
        let kept = information.pruned(all).unwrap();
        assert_eq!(kept, (2..n).step_by(9).collect::<Vec<_>>());
    }
}
