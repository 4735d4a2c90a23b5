//! The coefficients that are to be found: one for every candidate term of every equation.

use super::right_hand_side::RightHandSide;

/// The place of one coefficient that is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// State whose equation the coefficient stands in.
    pub equation: usize,
    /// Number of its term in the library.
    pub term: usize,
    /// Whether the coefficient belongs to the denominator of a ratio.
    pub denominator: bool,
}

impl Parameter {
    /// Returns the coefficient in `rhs`, to be changed.
    pub fn value_mut<'r>(&self, rhs: &'r mut RightHandSide<'_>) -> &'r mut f64 {
        let place = self.equation * rhs.library.len() + self.term;
        if self.denominator { &mut rhs.denominator[place] } else { &mut rhs.numerator[place] }
    }

    /// Returns the coefficient's value in `rhs`.
    pub fn value(&self, rhs: &RightHandSide<'_>) -> f64 {
        let place = self.equation * rhs.library.len() + self.term;
        if self.denominator { rhs.denominator[place] } else { rhs.numerator[place] }
    }
}

/// A set of candidates with the values of their coefficients; the coefficients of all others are
/// zero.
#[derive(Clone, Debug)]
pub(super) struct Support {
    /// Indices of the candidates in [`Candidates::all`], sorted.
    pub kept: Vec<usize>,
    /// Coefficients of these candidates.
    pub coefficients: Vec<f64>,
}

/// A place of a free coefficient in the equations: most coefficients have one, those of equal terms
/// several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub place: Parameter,
    /// Number of the coefficient among the free ones.
    pub column: usize,
    /// What the coefficient is multiplied by here: 1 or −1.
    pub factor: f64,
    /// Whether this is the place by which the coefficient is known.
    pub leads: bool,
}

/// A further place of a candidate's coefficient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tie {
    /// Index of the candidate in [`Candidates::all`].
    pub leader: usize,
    pub place: Parameter,
    /// What the candidate's coefficient is multiplied by there: 1 or −1.
    pub factor: f64,
}

/// The coefficients that are to be found, with the constraints that they obey.
#[derive(Clone, Debug, Default)]
pub(super) struct Unknowns {
    /// Every coefficient, by one of its places, sorted by equation (C).
    pub all: Vec<Parameter>,
    /// Further places of these coefficients.
    pub ties: Vec<Tie>,
    /// The sign that each coefficient must have: 1, −1, or 0 for any (C).
    pub signs: Vec<f64>,
}

/// All candidates, and which of them are in the equations now.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    /// Every candidate, sorted by equation (C).
    pub all: Vec<Parameter>,
    /// Further places of their coefficients.
    pub ties: Vec<Tie>,
    /// The sign that each coefficient must have: 1, −1, or 0 for any (C).
    pub signs: Vec<f64>,
    /// Reciprocal prior standard deviation of each coefficient (C).
    pub priors: Vec<f64>,
    /// Sorted indices in `all` of the coefficients that are now free (c); the others are zero.
    pub kept: Vec<usize>,
}

impl Candidates {
    /// Makes a list of candidates that are all free.
    pub fn new(unknowns: Unknowns, priors: Vec<f64>) -> Self {
        let Unknowns { all, ties, signs } = unknowns;
        Candidates { kept: (0..all.len()).collect(), all, ties, signs, priors }
    }

    /// Returns the same candidates, all free.
    pub fn all_free(&self) -> Self {
        Candidates { kept: (0..self.all.len()).collect(), ..self.clone() }
    }

    /// Returns the free coefficients (c).
    pub fn free(&self) -> Vec<Parameter> {
        self.kept.iter().map(|&index| self.all[index]).collect()
    }

    /// Returns the sign that each free coefficient must have (c).
    pub fn free_signs(&self) -> Vec<f64> {
        self.kept.iter().map(|&index| self.signs[index]).collect()
    }

    /// Returns all places of the free coefficients, sorted by equation.
    pub fn slots(&self) -> Vec<Slot> {
        let lead = |(column, &index): (usize, &usize)| Slot {
            place: self.all[index],
            column,
            factor: 1.0,
            leads: true,
        };
        let mut slots: Vec<Slot> = self.kept.iter().enumerate().map(lead).collect();
        slots.extend(self.ties.iter().filter_map(|tie| {
            let column = self.kept.binary_search(&tie.leader).ok()?;
            Some(Slot { place: tie.place, column, factor: tie.factor, leads: false })
        }));
        slots.sort_by_key(|slot| slot.place.equation);
        slots
    }

    /// Returns all places of all coefficients, sorted by equation.
    pub fn all_slots(&self) -> Vec<Slot> {
        self.all_free().slots()
    }

    /// Sets the coefficients of exactly these candidates in `rhs`; those of all others are zero.
    pub fn set(&self, rhs: &mut RightHandSide<'_>, support: &Support) {
        self.all.iter().for_each(|p| *p.value_mut(rhs) = 0.0);
        for (&index, value) in support.kept.iter().zip(&support.coefficients) {
            *self.all[index].value_mut(rhs) = *value;
        }
        for tie in &self.ties {
            *tie.place.value_mut(rhs) = tie.factor * self.all[tie.leader].value(rhs);
        }
    }

    /// Returns the values in `rhs` of the free coefficients (c).
    pub fn values(&self, rhs: &RightHandSide<'_>) -> Vec<f64> {
        self.kept.iter().map(|&index| self.all[index].value(rhs)).collect()
    }

    /// Returns the prior of each free coefficient (c).
    pub fn free_priors(&self) -> Vec<f64> {
        self.kept.iter().map(|&index| self.priors[index]).collect()
    }
}
