//! An estimate: the equations with their coefficients, and the uncertainty, trajectory and noise
//! that belong to them.

use std::collections::BTreeMap;

use super::candidates::{Candidates, Parameter, Slot, Support};
use super::dense::dot;
use super::equation::Equation;
use super::information::Quadratic;
use super::link::Link;
use super::right_hand_side::RightHandSide;
use super::translation::{multiplied_out, translated};

/// The weight of the equation that the data must bear to count as obeying it exactly.
const EXACT: f64 = 1e6;

/// An estimate of everything that a search estimates. The search compares and keeps such estimates;
/// an [`Estimator`](super::estimator::Estimator) makes them.
#[derive(Clone)]
pub(super) struct Estimate<'a> {
    /// Equations with the present coefficients.
    pub rhs: RightHandSide<'a>,
    /// Every candidate, and which of them are in the equations now (c).
    pub candidates: Candidates,
    /// What was subtracted from each state before the search (K).
    pub offset: Vec<f64>,
    /// Covariance of the free coefficients (c, c); empty before the first estimate.
    pub covariance: Vec<f64>,
    /// The states without noise, in the units of the data: at all points of the grid (M, D), or,
    /// while the network method works, at those of its windows (W, N, D).
    pub trajectory: Vec<f64>,
    /// Additional estimates of the network method: u and its derivatives below the m-th at the
    /// start of every window (W, K, m), in the solver's units.
    pub starts: Vec<f64>,
    /// Noise σ of each state (K) in the units of the data, or, while the network method works, in
    /// those of the solver.
    pub noise: Vec<f64>,
    /// Weight w of each equation against the data (K), which is infinite if the trajectory solves
    /// the equation.
    pub equation_weights: Vec<f64>,
    /// What an exact solution of the present equations leaves in the rows of each step of the grid,
    /// which is the error of the discretization, in the units of the data: (M, D); empty where it
    /// is not accounted for.
    pub discretization: Vec<f64>,
}

impl Estimate<'_> {
    /// Frees exactly the candidates of `support`, with the coefficients given there.
    pub fn take(&mut self, support: &Support) {
        self.candidates.set(&mut self.rhs, support);
        self.candidates.kept.clone_from(&support.kept);
    }

    /// Takes everything from the estimate of a simpler model of the same data, the terms as far as they are
    /// candidates here. Returns whether the equations are the same then.
    pub fn continue_from(&mut self, simpler: &Estimate<'_>) -> bool {
        let mut support = Vec::new();
        let terms = simpler.terms_about(&self.offset);
        let count = terms.len();
        for (p, value) in terms {
            let place = self.rhs.library.position(simpler.rhs.library.factors(p.term));
            let here = place.map(|term| Parameter { term, ..p });
            let candidate = self.candidates.all.iter().position(|own| Some(*own) == here);
            support.extend(candidate.map(|candidate| (candidate, value)));
        }
        support.sort_by_key(|(candidate, _)| *candidate);
        // A ratio begins without a denominator.
        let same_link = |(own, link): (&Link, &Link)| own == link || *own == Link::Ratio;
        let links_agree = self.rhs.links.iter().zip(&simpler.rhs.links).all(same_link);
        let is_same = links_agree && support.len() == count;
        let (kept, coefficients) = support.into_iter().unzip();
        self.take(&Support { kept, coefficients });
        self.trajectory.clone_from(&simpler.trajectory);
        self.noise.clone_from(&simpler.noise);
        self.equation_weights.clone_from(&simpler.equation_weights);
        self.discretization.clone_from(&simpler.discretization);
        let (k, d) = (self.offset.len(), self.rhs.library.variables().len());
        for state in self.trajectory.chunks_exact_mut(d) {
            for (j, u) in state[..k].iter_mut().enumerate() {
                *u += simpler.offset[j] - self.offset[j];
            }
        }
        is_same
    }

    /// Returns the terms with their coefficients, multiplied out if they are about another offset
    /// than this one, which then must be zero.
    fn terms_about(&self, offset: &[f64]) -> Vec<(Parameter, f64)> {
        if self.offset == offset {
            let values = self.candidates.values(&self.rhs);
            return self.candidates.free().into_iter().zip(values).collect();
        }
        let (rhs, l) = (self.multiplied_out().0, self.rhs.library.len());
        let terms = rhs.numerator.iter().enumerate().filter(|(_, value)| **value != 0.0);
        let parameter =
            |place: usize| Parameter { equation: place / l, term: place % l, denominator: false };
        terms.map(|(place, value)| (parameter(place), *value)).collect()
    }

    /// Returns the number of coefficients of each equation (K) as it is written in the states as they
    /// were measured.
    pub fn written_terms(&self) -> Vec<usize> {
        let mut counts = vec![0; self.rhs.states()];
        let zero = vec![0.0; self.offset.len()];
        self.terms_about(&zero).iter().for_each(|(p, _)| counts[p.equation] += 1);
        counts
    }

    /// Returns the largest absolute value of each component of the trajectory (D).
    pub fn sizes(&self) -> Vec<f64> {
        let d = self.rhs.library.variables().len();
        let component = |i: usize| self.trajectory.iter().skip(i).step_by(d);
        (0..d).map(|i| component(i).fold(0.0, |m: f64, u| m.max(u.abs()))).collect()
    }

    /// Returns χ² as a function of the free coefficients, about this estimate.
    pub fn quadratic(&self) -> Quadratic {
        let coefficients = self.candidates.values(&self.rhs);
        let signs = self.candidates.free_signs();
        Quadratic { coefficients, covariance: self.covariance.clone(), signs }
    }

    /// Returns the equations with standard errors, in the states as they were measured.
    pub fn equations(&self) -> Vec<Equation> {
        if self.offset.iter().any(|offset| *offset != 0.0) {
            let (rhs, errors) = self.multiplied_out();
            return rhs.equations(&errors);
        }
        let (quadratic, size) = (self.quadratic(), self.rhs.numerator.len());
        let mut errors = vec![None; 2 * size];
        for Slot { place: p, column, .. } in self.candidates.slots() {
            let side = if p.denominator { size } else { 0 };
            let place = side + p.equation * self.rhs.library.len() + p.term;
            errors[place] = Some(quadratic.standard_error(column));
        }
        self.rhs.equations(&errors)
    }

    /// Returns the correlations (n, n) of the coefficients that have standard errors, in the order of
    /// [`equations`](Self::equations).
    pub fn correlations(&self) -> Vec<f64> {
        let c = self.candidates.kept.len().max(1);
        let rows = self.places();
        let times_covariance = |row: &Vec<f64>| -> Vec<f64> {
            self.covariance.chunks_exact(c).map(|of_column| dot(of_column, row)).collect()
        };
        let moved: Vec<Vec<f64>> = rows.iter().map(times_covariance).collect();
        let deviation: Vec<f64> =
            rows.iter().zip(&moved).map(|(row, moved)| dot(row, moved).sqrt()).collect();
        let entry = |i: usize, j: usize| dot(&rows[i], &moved[j]) / (deviation[i] * deviation[j]);
        let n = rows.len();
        (0..n * n).map(|at| entry(at / n, at % n)).collect()
    }

    /// Returns the estimated coefficients of the equations as combinations of the free ones: for each
    /// a row (c), in the order of the equations.
    fn places(&self) -> Vec<Vec<f64>> {
        let (library, free) = (self.rhs.library, self.candidates.free());
        let mut places: BTreeMap<(usize, bool, usize), Vec<f64>> = BTreeMap::new();
        let mut add = |equation, denominator, term, column: usize, factor| {
            let row = places.entry((equation, denominator, term));
            row.or_insert_with(|| vec![0.0; free.len()])[column] += factor;
        };
        if self.offset.iter().any(|offset| *offset != 0.0) {
            for (column, p) in free.iter().enumerate() {
                for (term, factor) in multiplied_out(library, p.term, &self.offset) {
                    add(p.equation, p.denominator, term, column, factor);
                }
            }
        } else {
            for Slot { place: p, column, factor, .. } in self.candidates.slots() {
                add(p.equation, p.denominator, p.term, column, factor);
            }
        }
        // What is zero is no term.
        let values = self.candidates.values(&self.rhs);
        places.into_values().filter(|row| dot(row, &values) != 0.0).collect()
    }

    /// Returns the equations in the states as they were measured, and the standard errors of their
    /// coefficients.
    fn multiplied_out(&self) -> (RightHandSide<'_>, Vec<Option<f64>>) {
        let (free, l) = (self.candidates.free(), self.rhs.library.len());
        let values = self.candidates.values(&self.rhs);
        let mut rhs = self.rhs.clone();
        let mut errors = Vec::with_capacity(2 * rhs.numerator.len());
        for equation in 0..rhs.states() {
            let own: Vec<usize> =
                (0..free.len()).filter(|&i| free[i].equation == equation).collect();
            let terms: Vec<usize> = own.iter().map(|&i| free[i].term).collect();
            let coefficients: Vec<f64> = own.iter().map(|&i| values[i]).collect();
            // There is no covariance before the first estimate.
            let entry = |place: usize| self.covariance.get(place).copied().unwrap_or(f64::NAN);
            let (n, c) = (own.len(), free.len());
            let covariance: Vec<f64> =
                (0..n * n).map(|at| entry(own[at / n] * c + own[at % n])).collect();
            let (whole, own_errors) =
                translated(rhs.library, &self.offset, &terms, &coefficients, &covariance);
            rhs.numerator[equation * l..][..l].copy_from_slice(&whole);
            errors.extend(own_errors);
        }
        (rhs, errors)
    }

    /// Returns σ corrected for the noise that the trajectory follows where the weight w of the
    /// equation is small: for a random walk seen through noise each value has the leverage 1/√(1 +
    /// 4w).
    pub fn unbiased_noise(&self) -> Vec<f64> {
        self.unbiased(&self.noise)
    }

    /// Returns the noise (K) corrected as [`unbiased_noise`](Self::unbiased_noise) says.
    pub fn unbiased(&self, noise: &[f64]) -> Vec<f64> {
        let unbiased = |(noise, weight): (&f64, &f64)| {
            let leverage = 1.0 / (1.0 + 4.0 * weight).sqrt();
            noise / (1.0 - 1.5 * leverage).sqrt()
        };
        noise.iter().zip(&self.equation_weights).map(unbiased).collect()
    }

    /// Returns whether the data obey this state's equation without further disturbances.
    pub fn obeys(&self, state: usize) -> bool {
        self.equation_weights[state] >= EXACT
    }

    /// Returns whether the data obey all equations without further disturbances.
    pub fn is_exact(&self) -> bool {
        (0..self.equation_weights.len()).all(|state| self.obeys(state))
    }
}
