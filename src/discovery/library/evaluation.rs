//! The values of the terms and their derivatives.
//!
//! A term is evaluated after those that it is a product of, so that all are in the library's order, and some
//! of them are in the order of [`Library::with_factors`].

use super::{Function, Library};
use crate::discovery::dense::dot;

impl Library {
    /// Evaluates all terms: writes θ (L) at `state` (A: the variables, then the inputs) into
    /// `values`.
    pub fn values(&self, state: &[f64], values: &mut [f64]) {
        (0..self.len()).for_each(|term| self.value(term, state, values));
    }

    /// Evaluates one term after those that it is a product of: writes its place in `values` (L).
    pub(in crate::discovery) fn value(&self, term: usize, state: &[f64], values: &mut [f64]) {
        values[term] = match &self.terms[term] {
            Function::Constant => 1.0,
            Function::Product { parent, variable } => values[*parent] * state[*variable],
            Function::Pair { left, right } => values[*left] * values[*right],
            Function::Expression(expression) => expression.value(state),
            Function::User(user) => (user.value)(state),
        };
    }

    /// Differentiates all terms: writes ∇θ (L, A) at `state` (A) into `gradients`. `values` (L) are
    /// θ at `state`.
    pub fn gradients(&self, state: &[f64], values: &[f64], gradients: &mut [f64]) {
        (0..self.len()).for_each(|term| self.gradient(term, state, values, gradients));
    }

    /// Differentiates one term after those that it is a product of: writes its row of `gradients` (L, A).
    pub(in crate::discovery) fn gradient(
        &self,
        term: usize,
        state: &[f64],
        values: &[f64],
        gradients: &mut [f64],
    ) {
        let d = state.len();
        let (earlier, rest) = gradients.split_at_mut(term * d);
        let gradient = &mut rest[..d];
        match &self.terms[term] {
            Function::Product { parent, variable } => {
                let of_parent = &earlier[parent * d..][..d];
                for (g, p) in gradient.iter_mut().zip(of_parent) {
                    *g = p * state[*variable];
                }
                gradient[*variable] += values[*parent];
            }
            Function::Expression(expression) => expression.gradient(state, gradient),
            Function::User(user) => user.write_gradient(state, gradient),
            Function::Constant => gradient.fill(0.0),
            Function::Pair { left, right } => {
                let (a, b) = (&earlier[left * d..][..d], &earlier[right * d..][..d]);
                for (g, (a, b)) in gradient.iter_mut().zip(a.iter().zip(b)) {
                    *g = a * values[*right] + b * values[*left];
                }
            }
        }
    }

    /// Differentiates all gradients along a direction: writes (∇²θ)·v (L, A) at `state` (A) for
    /// `direction` v (A) into `out`. `values` (L) are θ and `gradients` (L, A) are ∇θ at `state`.
    ///
    /// For a product θ = p·u_i the result is v_i ∇p + u_i (∇²p)v + (∇p·v) e_i. A user's term is
    /// differentiated by central differences of its gradient.
    pub fn gradients_along(
        &self,
        state: &[f64],
        values: &[f64],
        gradients: &[f64],
        direction: &[f64],
        out: &mut [f64],
    ) {
        let each = 0..self.len();
        each.for_each(|term| self.gradient_along(term, state, values, gradients, direction, out));
    }

    /// Differentiates one gradient along a direction, after those of the terms that it is a product of:
    /// writes its row of `out` (L, A).
    pub(in crate::discovery) fn gradient_along(
        &self,
        term: usize,
        state: &[f64],
        values: &[f64],
        gradients: &[f64],
        direction: &[f64],
        out: &mut [f64],
    ) {
        let d = state.len();
        let (earlier, rest) = out.split_at_mut(term * d);
        let out = &mut rest[..d];
        match &self.terms[term] {
            Function::Product { parent, variable } => {
                let (u, v) = (state[*variable], direction[*variable]);
                let gradient = &gradients[parent * d..][..d];
                let change = &earlier[parent * d..][..d];
                let mut slope = 0.0;
                for a in 0..d {
                    out[a] = v * gradient[a] + u * change[a];
                    slope += gradient[a] * direction[a];
                }
                out[*variable] += slope;
            }
            Function::Expression(expression) => {
                expression.gradient_along(state, direction, out);
            }
            Function::User(user) => user.write_gradient_along(state, direction, out),
            Function::Constant => out.fill(0.0),
            Function::Pair { left, right } => {
                // (∇²ab)v = a (∇²b)v + b (∇²a)v + (∇a·v) ∇b + (∇b·v) ∇a.
                let of = |term: usize| (&gradients[term * d..][..d], &earlier[term * d..][..d]);
                let ((a, a_change), (b, b_change)) = (of(*left), of(*right));
                let (a_slope, b_slope) = (dot(a, direction), dot(b, direction));
                let (a_value, b_value) = (values[*left], values[*right]);
                for m in 0..d {
                    out[m] = a_value * b_change[m]
                        + b_value * a_change[m]
                        + a_slope * b[m]
                        + b_slope * a[m];
                }
            }
        }
    }

    /// Returns these terms, all that they are products of, and the functions, in the order in which they can be
    /// evaluated. A function may have no value somewhere, as log x where x < 0; the rows of a search, which have all
    /// candidates, are of no use there, even if its coefficient is zero.
    pub(in crate::discovery) fn with_factors(
        &self,
        terms: impl IntoIterator<Item = usize>,
    ) -> Vec<usize> {
        let has_value =
            |function: &Function| !matches!(function, Function::Expression(_) | Function::User(_));
        let mut needed: Vec<bool> = self.terms.iter().map(|term| !has_value(term)).collect();
        terms.into_iter().for_each(|term| needed[term] = true);
        for term in (0..self.len()).rev() {
            match self.terms[term] {
                _ if !needed[term] => {}
                Function::Product { parent, .. } => needed[parent] = true,
                Function::Pair { left, right } => (needed[left], needed[right]) = (true, true),
                Function::Constant | Function::Expression(_) | Function::User(_) => {}
            }
        }
        (0..self.len()).filter(|term| needed[*term]).collect()
    }
}
