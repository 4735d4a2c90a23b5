//! Smoothness rows evaluated for a given step, for the systems of one tile.

use crate::banded::lanes::Packed;
use crate::error::Result;
use crate::memory::zeros;
use crate::real::Real;
use crate::rows::RowFamily;
use num_traits::{Float, One};

/// A [`RowFamily`] at a given length: values, their derivatives with respect to the length, and the
/// Gram matrix. Each of the three is computed when it is needed and kept until the length changes,
/// so that it is computed once on a uniform grid.
pub struct Stencil<S: Packed> {
    family: RowFamily,
    columns: usize,
    slack: bool,
    values: Cached<S>,
    slopes: Cached<S>,
    gram: Cached<S>,
}

struct Cached<S: Packed> {
    length: S,
    entries: Vec<S>,
}

impl<S: Packed> Cached<S> {
    fn new(entries: usize) -> Result<Self> {
        let never = S::splat(S::Real::nan());
        Ok(Cached { length: never, entries: zeros("smoothness rows", entries)? })
    }
}

impl<S: Packed> Stencil<S> {
    /// Makes the stencil of rows over (points, Q) columns, and one more column of ones if the slack
    /// stands in them.
    pub fn new(family: RowFamily, slack: bool) -> Result<Self> {
        let columns = family.points * family.derivatives + usize::from(slack);
        Ok(Stencil {
            columns,
            slack,
            values: Cached::new(family.rows * columns)?,
            slopes: Cached::new(family.rows * columns)?,
            gram: Cached::new(columns * columns)?,
            family,
        })
    }

    /// Returns the number of columns: points · Q, and one more if there is slack.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.family.rows
    }

    /// Returns the values a, (rows, columns), at the length last given to
    /// [`update_values`](Self::update_values).
    #[inline(always)]
    pub fn values(&self) -> &[S] {
        &self.values.entries
    }

    /// Returns the slopes da/dlength, (rows, columns), at the length last given to
    /// [`update_slopes`](Self::update_slopes).
    #[inline(always)]
    pub fn slopes(&self) -> &[S] {
        &self.slopes.entries
    }

    /// Evaluates the rows at this length.
    #[inline(always)]
    pub fn update_values(&mut self, length: S) {
        if self.values.length == length {
            return;
        }
        self.values.length = length;
        self.values.entries.fill(S::default());
        for entry in &self.family.entries {
            let column = entry.point * self.family.derivatives + entry.derivative;
            self.values.entries[entry.row * self.columns + column] +=
                S::splat(S::Real::of(entry.coefficient)) * integer_power(length, entry.power);
        }
        if self.slack {
            for row in self.values.entries.chunks_exact_mut(self.columns) {
                row[self.columns - 1] = S::splat(S::Real::one());
            }
        }
    }

    /// Evaluates the derivatives of the rows with respect to the length, at this length.
    #[inline(always)]
    pub fn update_slopes(&mut self, length: S) {
        if self.slopes.length == length {
            return;
        }
        self.slopes.length = length;
        self.slopes.entries.fill(S::default());
        for entry in self.family.entries.iter().filter(|entry| entry.power != 0) {
            let column = entry.point * self.family.derivatives + entry.derivative;
            let coefficient = entry.coefficient * f64::from(entry.power);
            self.slopes.entries[entry.row * self.columns + column] +=
                S::splat(S::Real::of(coefficient)) * integer_power(length, entry.power - 1);
        }
    }

    /// Returns Σ_rows aᵀa at this length, (columns, columns); only the upper triangle is filled.
    #[inline(always)]
    pub fn gram(&mut self, length: S) -> &[S] {
        if self.gram.length != length {
            self.update_values(length);
            self.gram.length = length;
            self.gram.entries.fill(S::default());
            let columns = self.columns;
            for row in self.values.entries.chunks_exact(columns) {
                for i in 0..columns {
                    for j in i..columns {
                        self.gram.entries[i * columns + j] += row[i] * row[j];
                    }
                }
            }
        }
        &self.gram.entries
    }
}

/// Computes length^exponent by repeated multiplication; the exponents are small.
#[inline(always)]
pub fn integer_power<S: Packed>(length: S, exponent: i32) -> S {
    let one = S::splat(S::Real::one());
    let base = if exponent < 0 { one / length } else { length };
    (0..exponent.abs()).fold(one, |product, _| product * base)
}
