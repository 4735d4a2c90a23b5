//! Sets of terms that several exchanges at once lead to: where a few terms stand in for others, no single
//! addition or exchange lowers the score.

use super::tableau::Tableau;
use super::{Information, Set, is_allowed};

/// Of an equation with more terms than this, several are not replaced at once: it would take long, and
/// such an equation says little.
const REPLACED: usize = 20;
/// The change of the score, in units of the penalty, up to which one term more makes a set worth looking
/// at: χ² is lower by a third of the penalty, which is no chance.
const FINER: f64 = 2.0 / 3.0;
/// How much worse, in units of the penalty, a set may be on the way to a better one, how many such ways are
/// tried, and the number of terms beyond which none is: it would take long.
const DETOUR: f64 = 10.0;
const WAYS: usize = 6;
const LARGE: usize = 64;

/// A set in which other terms of an equation replace some of its own.
#[derive(Clone, Debug)]
pub(in crate::discovery) struct Substitute {
    /// The terms that are removed.
    pub without: Vec<usize>,
    pub with: Vec<usize>,
    /// The score after the exchange less that before.
    pub change: f64,
}

impl Information {
    /// Returns a better set on the way to which one equation becomes worse: with the alternative of an
    /// equation that the data hardly tell from its terms, others may get by with fewer.
    pub(super) fn by_a_detour(&self, set: &Set) -> Option<Set> {
        if set.support.kept.len() > LARGE {
            return None;
        }
        let rivals = self.rivals(set);
        let around = self.equations().into_iter().flat_map(|equation| {
            let own = rivals.iter().filter(move |rival| self.equation[rival.without] == equation);
            let exchanged = own.take(1).filter_map(|rival| self.set(&rival.set.support.kept));
            let substitute = self.substitute(equation, set);
            let substituted = substitute.and_then(|substitute| {
                let left = set.support.kept.iter().filter(|i| !substitute.without.contains(i));
                let mut kept: Vec<usize> = left.copied().chain(substitute.with).collect();
                kept.sort_unstable();
                self.set(&self.pruned(kept)?)
            });
            let close = move |other: &Set| other.score - set.score < DETOUR * self.penalty;
            exchanged.chain(substituted).filter(close).map(move |other| (equation, other))
        });
        let mut around: Vec<(usize, Set)> = around.collect();
        around.sort_by(|a, b| a.1.score.total_cmp(&b.1.score));
        around.truncate(WAYS);
        let found = around.iter();
        let found =
            found.filter_map(|(equation, other)| self.by_equation(other, |e| e != *equation));
        let best = found.min_by(|a, b| a.score.total_cmp(&b.score))?;
        self.is_better(&best, set).then_some(best)
    }

    /// Returns the best set in which no more other terms of this equation replace two or more of its
    /// terms at once, or one more replaces one or more, of those that a search through many sets sees,
    /// if its coefficients have the signs that they must have; terms of the other equations stay.
    pub(in crate::discovery) fn substitute(
        &self,
        equation: usize,
        set: &Set,
    ) -> Option<Substitute> {
        let kept = &set.support.kept;
        let (all, others) = self.apart(equation, kept);
        let present: Vec<usize> = (0..all.len()).filter(|&i| kept.contains(&all[i])).collect();
        if present.len() > REPLACED {
            return None;
        }
        let information = self.given(&all, &others)?;
        let before = information.set(&present)?.score;
        let mut best: Option<(Vec<usize>, f64)> = None;
        information.through_sets(|sets| {
            for (Tableau { kept: other, .. }, score) in sets {
                let common = other.iter().filter(|i| present.contains(i)).count();
                // Single terms replace each other in `rivals`.
                let more = other.len() > present.len();
                let least = if more { 1 } else { 2 };
                let replaces = present.len() - common >= least && other.len() > common;
                // Of sets that do the same, the one with fewer terms is right.
                let lowers = !more || score - before < FINER * self.penalty;
                if replaces && lowers && best.as_ref().is_none_or(|(_, least)| score < least) {
                    best = Some((other.clone(), *score));
                }
            }
            sets[0].0.kept.len() <= present.len()
        });
        let (other, score) = best?;
        let support = information.set(&other)?.support;
        let mut signs = other.iter().map(|&i| information.signs[i]).zip(&support.coefficients);
        if !signs.all(|(sign, value)| is_allowed(sign, *value)) {
            return None;
        }
        let only = |these: &[usize], those: &[usize]| {
            these.iter().filter(|i| !those.contains(i)).map(|&i| all[i]).collect()
        };
        Some(Substitute {
            without: only(&present, &other),
            with: only(&other, &present),
            change: score - before,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::dense::dot;
    use super::*;

    /// Terms 0 and 1 together are nearly what 2 and 3 are together, and nothing that one of these is
    /// alone.
    #[test]
    fn pairs_that_replace_pairs_are_found() {
        let [a, b, c]: [[f64; 4]; 3] =
            [[1.0, 1.0, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        let sum = |f: f64, g: f64, h: f64| -> Vec<f64> {
            (0..4).map(|i| f * a[i] + g * b[i] + h * c[i]).collect()
        };
        // The sum of the first two and that of the others is a, up to a hundredth.
        let rows =
            [sum(0.5, 0.0, 1.0), sum(0.5, 0.0, -1.0), sum(0.5, 1.0, 0.0), sum(0.5, -0.99, 0.0)];
        let matrix: Vec<f64> = (0..16).map(|at| 1e4 * dot(&rows[at / 4], &rows[at % 4])).collect();
        let minimum = [1.0, 1.0, 0.0, 0.0];
        let vector = matrix.chunks_exact(4).map(|row| dot(row, &minimum)).collect();
        let (equation, signs) = (vec![0; 4], vec![0.0; 4]);
        let information = Information { matrix, vector, equation, signs, penalty: 25.0 };
        let set = information.set(&[0, 1]).unwrap();
        let single = information.rivals(&set);
        assert!(single.iter().all(|rival| rival.set.score - set.score > 25.0), "{single:?}");
        let pair = information.substitute(0, &set).unwrap();
        assert_eq!((&pair.without[..], &pair.with[..]), (&[0, 1][..], &[2, 3][..]));
        let exact = information.set(&[2, 3]).unwrap().score - set.score;
        assert!((pair.change - exact).abs() < 1e-6 && exact < 25.0, "{pair:?} {exact}");
        // Of signs that are forbidden nothing is said.
        let signs = vec![0.0, 0.0, -1.0, -1.0];
        let other = Information { signs, ..information }.substitute(0, &set);
        assert!(other.is_none(), "{other:?}");
    }

    /// Term 0 is nearly the sum of 1 and 2.
    #[test]
    fn one_term_that_two_others_replace_is_found() {
        let of = |apart: f64| {
            let rows = [[100.0, 100.0, 0.0], [100.0, 0.0, 0.0], [0.0, 100.0, apart]];
            let matrix: Vec<f64> = (0..9).map(|at| dot(&rows[at / 3], &rows[at % 3])).collect();
            let vector = rows.iter().map(|row| dot(row, &[100.0, 100.0, apart])).collect();
            let (equation, signs) = (vec![0; 3], vec![0.0; 3]);
            let information = Information { matrix, vector, equation, signs, penalty: 25.0 };
            information.substitute(0, &information.set(&[0]).unwrap())
        };
        assert!(of(2.0).is_none());
        let two = of(4.0).unwrap();
        assert_eq!((&two.without[..], &two.with[..]), (&[0][..], &[1, 2][..]));
        assert!((two.change - (25.0 - 16.0)).abs() < 0.1, "{two:?}");
    }

    /// Either of two equations has a term that does what two others do together, but for what those of
    /// the other equation make up for.
    #[test]
    fn equations_that_make_up_for_each_other_become_simpler_together() {
        let apart = 9.0;
        let row = |own: usize, sign: f64| {
            let mut rows = [[0.0; 5]; 3];
            rows[0][own] = 100.0;
            for (row, side) in rows[1..].iter_mut().zip([100.0, -100.0]) {
                (row[own], row[own + 2], row[4]) = (50.0, side, 0.5 * sign * apart);
            }
            rows
        };
        let rows = [row(0, 1.0), row(1, -1.0)].concat();
        let matrix: Vec<f64> = (0..36).map(|at| dot(&rows[at / 6], &rows[at % 6])).collect();
        let target = [100.0, 100.0, 0.0, 0.0, 0.0];
        let vector = rows.iter().map(|row| dot(row, &target)).collect();
        let equation = vec![0, 0, 0, 1, 1, 1];
        let information =
            Information { matrix, vector, equation, signs: vec![0.0; 6], penalty: 25.0 };
        let set = information.set(&[1, 2, 4, 5]).unwrap();
        let one = information.set(&[0, 4, 5]).unwrap();
        assert!(one.score > set.score + 50.0, "{} {}", one.score, set.score);
        let each = information.by_equation(&set, |_| true).unwrap();
        assert_eq!(each.support.kept, set.support.kept);
        let better = information.by_a_detour(&set).unwrap();
        assert_eq!(better.support.kept, [0, 3]);
        assert!((better.score - set.score + 50.0).abs() < 1e-6);
        assert!(information.by_a_detour(&better).is_none());
    }
}
