//! The function χ² with some of the candidates in the fit, and what any other candidate that joins them,
//! or any of them that leaves, changes.
//!
//! The matrix ((A, b), (bᵀ, 0)) of an [`Information`] is swept by the terms S of the fit (J. H.
//! Goodnight, A Tutorial on the SWEEP Operator, The American Statistician 33, 1979). With R for all
//! others it becomes, symmetric,
//!
//! ```text
//! −A_SS⁻¹   A_SS⁻¹ A_SR                  ξ_S = A_SS⁻¹ b_S
//!           A_RR − A_RS A_SS⁻¹ A_SR      b_R − A_RS ξ_S
//!                                        −b_Sᵀ ξ_S
//! ```
//!
//! A further sweep by a term outside takes it in, by one inside takes it out, and lowers χ² by t²/d, where
//! t is the last entry of the term's row and d that on the diagonal. From one set to the next this is C²
//! operations for C candidates, and as many for all exchanges of one term each. To take a term in adds
//! squares to what is there, and is as accurate as elimination anew; to take one out is not where terms
//! are nearly collinear, so that a set that is to stay is not reached in that way.

use super::{COLLINEAR, Information, Rival, Set, is_allowed, with_term};
use crate::discovery::candidates::Support;

/// The swept matrix with a set of terms in the fit.
#[derive(Clone)]
pub(super) struct Tableau<'i> {
    information: &'i Information,
    /// The terms of the set, sorted.
    pub kept: Vec<usize>,
    /// (C + 1, C + 1); the last row and column are those of the vector.
    entries: Vec<f64>,
}

/// Returns the number of entries of a tableau.
pub(super) fn values(information: &Information) -> usize {
    (information.vector.len() + 1).pow(2)
}

impl<'i> Tableau<'i> {
    /// Makes the tableau of the empty set.
    pub fn new(information: &'i Information) -> Self {
        let n = information.vector.len();
        let mut entries = Vec::with_capacity(values(information));
        for (row, last) in information.matrix.chunks_exact(n.max(1)).zip(&information.vector) {
            entries.extend_from_slice(row);
            entries.push(*last);
        }
        entries.extend_from_slice(&information.vector);
        entries.push(0.0);
        Tableau { information, kept: vec![], entries }
    }

    /// Returns the tableau of another set, or `None` if its terms are collinear.
    pub fn moved(&self, kept: &[usize]) -> Option<Self> {
        let grows = self.kept.iter().all(|i| kept.contains(i));
        let mut tableau = if grows { self.clone() } else { Tableau::new(self.information) };
        for &term in kept.iter().filter(|i| !self.kept.contains(i) || !grows) {
            tableau = tableau.with(term)?;
        }
        Some(tableau)
    }

    /// Returns the tableau with one term more, or `None` if it is collinear with the others.
    pub fn with(mut self, term: usize) -> Option<Self> {
        let row = self.row(term).to_vec();
        let (left, whole) = (row[term], self.information.whole(term));
        if !(left > f64::EPSILON * whole && left.is_finite()) {
            return None;
        }
        let pivot = Pivot { term, row };
        for (i, row) in self.entries.chunks_exact_mut(pivot.row.len()).enumerate() {
            pivot.sweep(i, row);
        }
        self.kept = with_term(self.kept, term);
        Some(self)
    }

    /// Returns row i (C + 1).
    pub fn row(&self, i: usize) -> &[f64] {
        let width = self.information.vector.len() + 1;
        &self.entries[i * width..][..width]
    }

    /// Begins to try other sets.
    pub fn trial(&self) -> Trial<'_> {
        let n = self.information.vector.len();
        Trial {
            tableau: self,
            kept: self.kept.clone(),
            pivots: vec![],
            diagonal: (0..n).map(|i| self.row(i)[i]).collect(),
            last: self.row(n).to_vec(),
        }
    }

    pub fn set(&self) -> Set {
        self.trial().set()
    }

    /// Returns, for each term of the set, the best set in which another term of its equation
    /// replaces it, without what is superfluous then, with the best score first.
    pub fn rivals(&self) -> Vec<Rival> {
        let equation = &self.information.equation;
        let present = self.trial();
        let rival = |&without: &usize| {
            let mut trial = present.clone();
            trial.sweep(without);
            let with = trial.best_addition(|j| equation[j] == equation[without] && j != without)?;
            trial.sweep(with);
            trial.prune(usize::MAX);
            Some(Rival { without, with, set: trial.set() })
        };
        let mut rivals: Vec<Rival> = self.kept.iter().filter_map(rival).collect();
        rivals.sort_by(|a, b| a.set.score.total_cmp(&b.set.score));
        rivals
    }

    /// Returns the set with its best addition, if there is any, without what is superfluous then.
    pub fn extended(&self) -> Option<Set> {
        let mut trial = self.trial();
        let with = trial.best_addition(|_| true)?;
        trial.sweep(with);
        trial.prune(usize::MAX);
        Some(trial.set())
    }
}

/// The row by which a tableau is swept.
#[derive(Clone)]
struct Pivot {
    term: usize,
    row: Vec<f64>,
}

impl Pivot {
    /// Turns row i into what it is after the sweep: T_ij −= T_ik T_kj / T_kk, and, where i or j is the
    /// term k itself, T_ij / |T_kk|, or −1 / T_kk if both are.
    fn sweep(&self, i: usize, row: &mut [f64]) {
        let k = self.term;
        let size = self.row[k];
        if i == k {
            row.iter_mut().for_each(|entry| *entry /= size.abs());
            row[k] = -1.0 / size;
        } else {
            let factor = row[k] / size;
            row.iter_mut().zip(&self.row).for_each(|(entry, other)| *entry -= factor * other);
            row[k] = factor * size.signum();
        }
    }
}

/// A set near that of a tableau. Only those rows are swept that a further step needs.
#[derive(Clone)]
pub(super) struct Trial<'t> {
    tableau: &'t Tableau<'t>,
    /// The terms of the set, sorted.
    pub kept: Vec<usize>,
    /// What the tableau was swept by, one after the other.
    pivots: Vec<Pivot>,
    /// The diagonal (C) and the last row (C + 1) of the swept matrix.
    diagonal: Vec<f64>,
    last: Vec<f64>,
}

impl Trial<'_> {
    /// Takes a term in, or one of the set out.
    fn sweep(&mut self, term: usize) {
        let mut row = self.tableau.row(term).to_vec();
        self.pivots.iter().for_each(|pivot| pivot.sweep(term, &mut row));
        let pivot = Pivot { term, row };
        let size = pivot.row[term];
        for (entry, other) in self.diagonal.iter_mut().zip(&pivot.row) {
            *entry -= other / size * other;
        }
        self.diagonal[term] = -1.0 / size;
        pivot.sweep(self.diagonal.len(), &mut self.last);
        self.pivots.push(pivot);
        match self.kept.binary_search(&term) {
            Ok(place) => drop(self.kept.remove(place)),
            Err(place) => self.kept.insert(place, term),
        }
    }

    /// Returns by how much a sweep by this term lowers χ².
    fn gain(&self, term: usize) -> f64 {
        self.last[term] / self.diagonal[term] * self.last[term]
    }

    /// Returns the gains of the suitable terms that could join the set and whose coefficients would have
    /// a sign that is `allowed`, or of the others.
    pub fn gains(
        &self,
        suitable: impl Fn(usize) -> bool,
        allowed: bool,
    ) -> impl DoubleEndedIterator<Item = (usize, f64)> {
        let information = self.tableau.information;
        let outside = move |j: &usize| suitable(*j) && self.kept.binary_search(j).is_err();
        let could = move |j: &usize| {
            let apart = self.diagonal[*j] > COLLINEAR * information.whole(*j);
            // The coefficient would be the last entry divided by that on the diagonal.
            apart && is_allowed(information.signs[*j], self.last[*j]) == allowed
        };
        let places = (0..self.diagonal.len()).filter(outside).filter(could);
        places.map(|j| (j, self.gain(j)))
    }

    /// Returns the suitable term whose addition lowers χ² most.
    fn best_addition(&self, suitable: impl Fn(usize) -> bool) -> Option<usize> {
        // Of equal ones the first.
        let gains = self.gains(suitable, true).rev();
        gains.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(j, _)| j)
    }

    /// Drops the term without which the score is lowest, as long as it is lower than with it, and at
    /// most so many.
    pub fn prune(&mut self, limit: usize) {
        let information = self.tableau.information;
        for _ in 0..limit {
            // What a term of the wrong sign explains is none.
            let loss = |&k: &usize| {
                let loss = -self.gain(k);
                let allowed = is_allowed(information.signs[k], self.last[k]);
                (k, if allowed { loss } else { -loss })
            };
            match self.kept.iter().map(loss).min_by(|a, b| a.1.total_cmp(&b.1)) {
                Some((term, loss)) if loss < information.penalty => self.sweep(term),
                _ => return,
            }
        }
    }

    fn score(&self) -> f64 {
        let explained = -self.last[self.diagonal.len()];
        self.tableau.information.penalty * self.kept.len() as f64 - explained
    }

    pub fn set(&self) -> Set {
        let coefficients = self.kept.iter().map(|&k| self.last[k]).collect();
        Set { support: Support { kept: self.kept.clone(), coefficients }, score: self.score() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::random_informations;
    use super::*;

    /// Whatever way leads to a set, all that is known about it is what elimination in order gives.
    #[test]
    fn sets_do_not_depend_on_the_way_to_them() {
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
        for information in random_informations() {
            let empty = Tableau::new(&information);
            let begin = empty.moved(&[0, 2, 5]).unwrap();
            let mut trial = begin.trial();
            // Term 3 joins and leaves again, 2 leaves and comes back.
            [3, 2, 7, 3, 0, 2, 1].into_iter().for_each(|term| trial.sweep(term));
            assert_eq!(trial.kept, [1, 2, 5, 7]);
            let direct = empty.moved(&trial.kept).unwrap();
            for (i, entry) in trial.diagonal.iter().enumerate() {
                assert!(close(*entry, direct.row(i)[i]), "{i}: {entry}");
            }
            let last = direct.row(trial.diagonal.len());
            assert!(trial.last.iter().zip(last).all(|(a, b)| close(*a, *b)), "{:?}", trial.last);
            let grown = begin.moved(&[0, 1, 2, 5]).unwrap();
            let direct = empty.moved(&[0, 1, 2, 5]).unwrap();
            let pairs = grown.entries.iter().zip(&direct.entries);
            assert!(pairs.clone().all(|(a, b)| close(*a, *b)));
            // ξ = A⁻¹ b is the best fit: A ξ = b.
            let Set { support, .. } = direct.set();
            let n = information.vector.len();
            for &i in &support.kept {
                let terms = support.kept.iter().zip(&support.coefficients);
                let sum: f64 = terms.map(|(j, value)| information.matrix[i * n + j] * value).sum();
                assert!(close(sum, information.vector[i]));
            }
        }
    }

    #[test]
    fn collinear_terms_are_not_in_a_set_together() {
        let matrix = vec![2.0, 2.0, 2.0, 2.0];
        let (equation, signs) = (vec![0; 2], vec![0.0; 2]);
        let information =
            Information { matrix, vector: vec![1.0, 1.0], equation, signs, penalty: 0.1 };
        let single = Tableau::new(&information).moved(&[0]).unwrap();
        assert!(single.moved(&[0, 1]).is_none() && single.extended().is_none());
        assert_eq!(single.rivals()[0].set.support.kept, [1]);
    }
}
