//! The vector field at one point of the trajectory, with all its derivatives that Gauss-Newton
//! needs.

use super::candidates::Parameter;
use super::dense::dot;
use super::link::{Link, Partials};
use super::right_hand_side::RightHandSide;

/// The vector field F(u), the first-order form of the right-hand side, its rate of change F' = J F
/// along itself, and their derivatives with respect to the state (D) and the free coefficients (c).
/// With inputs w of known rates, F is F(u, w), and F' = ∂F/∂u F + ∂F/∂w w': everything is as if the
/// inputs were further states (A = D + E in all), whose flow does not depend on anything.
///
/// A coefficient of equation i changes F in row i only, so that one number per coefficient
/// describes the change. It changes F' in row i directly (`rate_by_parameter`), and in every row
/// through J F.
#[derive(Clone, Debug)]
pub(super) struct Linearized {
    /// The vector field F, then the rates of the inputs (A).
    pub flow: Vec<f64>,
    /// The derivative J = ∂F/∂(u, w) of the flow (D, A).
    pub jacobian: Vec<f64>,
    /// The rate of change F' = J F of the flow along itself (D).
    pub rate: Vec<f64>,
    /// The derivative ∂F'/∂u of that rate (D, D).
    pub rate_jacobian: Vec<f64>,
    /// ∂F/∂ξ of each free coefficient, in the row of its own equation (c).
    pub by_parameter: Vec<f64>,
    /// The direct part of ∂F'/∂ξ of each free coefficient, in the same row (c).
    pub rate_by_parameter: Vec<f64>,
    /// 1 + Θ₁ζ of each equation (K).
    pub denominators: Vec<f64>,
    /// The terms that the vector field or its derivatives are made of, after their factors, and those that may have
    /// no value at a state, where the vector field has none then; the others stay zero.
    needed: Vec<usize>,
    /// The terms θ (L), their gradients ∇θ (L, A), the products (∇²θ)F (L, A) and ∇θ·F (L).
    terms: Vec<f64>,
    gradients: Vec<f64>,
    gradients_along: Vec<f64>,
    term_rates: Vec<f64>,
    /// The gradients ∇a and ∇b of each equation's numerator a and denominator b, (K, A).
    numerator_gradients: Vec<f64>,
    denominator_gradients: Vec<f64>,
    /// The link function of each equation there (K).
    links: Vec<Partials>,
}

impl Linearized {
    /// Makes room for the vector field of a right-hand side as it is now, and for its derivatives with
    /// respect to these free coefficients.
    pub fn new(rhs: &RightHandSide<'_>, parameters: &[Parameter]) -> Self {
        let (k, l) = (rhs.states(), rhs.library.len());
        let (d, arguments) = (k * rhs.order, rhs.library.arguments());
        let coefficients = rhs.numerator.iter().chain(&rhs.denominator).enumerate();
        let present = coefficients.filter(|(_, value)| **value != 0.0).map(|(place, _)| place % l);
        let terms = present.chain(parameters.iter().map(|p| p.term));
        let parameters = parameters.len();
        Linearized {
            flow: vec![0.0; arguments],
            jacobian: vec![0.0; d * arguments],
            rate: vec![0.0; d],
            rate_jacobian: vec![0.0; d * d],
            by_parameter: vec![0.0; parameters],
            rate_by_parameter: vec![0.0; parameters],
            denominators: vec![1.0; k],
            needed: rhs.library.with_factors(terms),
            terms: vec![0.0; l],
            gradients: vec![0.0; l * arguments],
            gradients_along: vec![0.0; l * arguments],
            term_rates: vec![0.0; l],
            numerator_gradients: vec![0.0; k * arguments],
            denominator_gradients: vec![0.0; k * arguments],
            links: vec![Partials::default(); k],
        }
    }

    /// Returns whether a denominator changes its sign on the way to `next`.
    pub fn pole_before(&self, next: &Self) -> bool {
        self.denominators.iter().zip(&next.denominators).any(|(a, b)| a * b <= 0.0)
    }

    /// Evaluates F, J and F' at `state` (A: the variables, then the inputs), whose inputs change at
    /// these rates (E), and nothing else.
    pub fn evaluate_flow(&mut self, rhs: &RightHandSide<'_>, state: &[f64], rates: &[f64]) {
        let (k, d) = (rhs.states(), self.rate.len());
        let arguments = state.len();
        self.flow[d..].copy_from_slice(rates);
        for &term in &self.needed {
            rhs.library.value(term, state, &mut self.terms);
            rhs.library.gradient(term, state, &self.terms, &mut self.gradients);
        }
        self.jacobian.fill(0.0);
        if rhs.order == 2 {
            for i in 0..k {
                self.flow[i] = state[k + i];
                self.jacobian[i * arguments + k + i] = 1.0;
            }
        }
        for i in 0..k {
            let row = d - k + i;
            let [numerator, denominator] = sides(rhs, i);
            let (a, b) = (dot(numerator, &self.terms), dot(denominator, &self.terms));
            let g = rhs.links[i].derivatives(a, b);
            self.links[i] = g;
            self.flow[row] = g.value;
            self.denominators[i] = 1.0 + b;
            let of_a = &mut self.numerator_gradients[i * arguments..][..arguments];
            let of_b = &mut self.denominator_gradients[i * arguments..][..arguments];
            of_a.fill(0.0);
            of_b.fill(0.0);
            combine(1.0, numerator, &self.gradients, arguments, of_a);
            combine(1.0, denominator, &self.gradients, arguments, of_b);
            for (m, j) in self.jacobian[row * arguments..][..arguments].iter_mut().enumerate() {
                *j = g.a * of_a[m] + g.b * of_b[m];
            }
        }
        for i in 0..d {
            self.rate[i] = dot(&self.jacobian[i * arguments..][..arguments], &self.flow);
        }
    }

    /// Evaluates everything at `state` (A) with inputs of these rates (E). `parameters` are the free
    /// coefficients of [`new`](Self::new), sorted by equation.
    pub fn evaluate(
        &mut self,
        rhs: &RightHandSide<'_>,
        parameters: &[Parameter],
        state: &[f64],
        rates: &[f64],
    ) {
        self.evaluate_flow(rhs, state, rates);
        let (k, d) = (rhs.states(), self.rate.len());
        let arguments = state.len();
        let Linearized { flow, terms, gradients, gradients_along, term_rates, .. } = self;
        for &term in &self.needed {
            rhs.library.gradient_along(term, state, terms, gradients, flow, gradients_along);
            term_rates[term] = dot(&gradients[term * arguments..][..arguments], flow);
        }
        // The derivative ∂F'/∂u is J J plus what J F changes by through J, row by row.
        self.rate_jacobian.fill(0.0);
        for (i, out) in self.rate_jacobian.chunks_exact_mut(d).enumerate() {
            let row = &self.jacobian[i * arguments..][..d];
            combine(1.0, row, &self.jacobian, arguments, out);
        }
        let mut next = 0;
        for i in 0..k {
            let row = d - k + i;
            let [numerator, denominator] = sides(rhs, i);
            let g = self.links[i];
            let of_a = &self.numerator_gradients[i * arguments..][..arguments];
            let of_b = &self.denominator_gradients[i * arguments..][..arguments];
            let (a_rate, b_rate) = (dot(of_a, &self.flow), dot(of_b, &self.flow));
            let a_bend = g.aa * a_rate + g.ab * b_rate;
            let b_bend = g.ab * a_rate + g.bb * b_rate;
            let out = &mut self.rate_jacobian[row * d..][..d];
            for m in 0..d {
                out[m] += a_bend * of_a[m] + b_bend * of_b[m];
            }
            combine(g.a, numerator, &self.gradients_along, arguments, out);
            combine(g.b, denominator, &self.gradients_along, arguments, out);
            while let Some(p) = parameters.get(next).filter(|p| p.equation == i) {
                let (slope, bend) = if p.denominator { (g.b, b_bend) } else { (g.a, a_bend) };
                self.by_parameter[next] = slope * self.terms[p.term];
                self.rate_by_parameter[next] =
                    bend * self.terms[p.term] + slope * self.term_rates[p.term];
                next += 1;
            }
        }
        debug_assert_eq!(next, parameters.len(), "parameters must be sorted by equation");
    }
}

/// Returns the coefficients of an equation's numerator and of its denominator, where it has one.
fn sides<'r>(rhs: &'r RightHandSide<'_>, equation: usize) -> [&'r [f64]; 2] {
    let l = rhs.library.len();
    let own = equation * l..(equation + 1) * l;
    let below: &[f64] = match rhs.links[equation] {
        Link::Ratio => &rhs.denominator[own.clone()],
        _ => &[],
    };
    [&rhs.numerator[own], below]
}

/// Adds factor · Σ_j coefficients_j rows_j to `out`, skipping zeros; the rows have this length, of which
/// `out` may be less.
fn combine(factor: f64, coefficients: &[f64], rows: &[f64], length: usize, out: &mut [f64]) {
    for (j, coefficient) in coefficients.iter().enumerate() {
        let weight = factor * coefficient;
        if weight != 0.0 {
            let row = &rows[j * length..][..out.len()];
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight * value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{Library, Link, Settings};

    /// Every derivative against central differences, all links, both orders.
    #[test]
    fn derivatives_agree_with_central_differences() {
        for link in [Link::Identity, Link::Tanh, Link::Sin, Link::Sigmoid, Link::Ratio] {
            for order in [1, 2] {
                check(link, order, &[]);
                check(link, order, &["u".into()]);
            }
        }
    }

    fn check(link: Link, order: usize, inputs: &[String]) {
        let own = if inputs.is_empty() { vec![] } else { vec!["x*exp(-t*u)".into()] };
        let settings =
            Settings { link, order, sine_cosine: true, terms: own, ..Settings::default() };
        let library = Library::with_inputs(&["x".into(), "y".into()], inputs, &settings).unwrap();
        let mut rhs = RightHandSide::new(&library, &settings);
        let (l, d) = (library.len(), 2 * order);
        let mut parameters = Vec::new();
        for equation in 0..2 {
            for term in 0..l {
                rhs.numerator[equation * l + term] = 0.3 * ((equation * l + term) as f64).sin();
                parameters.push(Parameter { equation, term, denominator: false });
                if link == Link::Ratio && term > 0 {
                    rhs.denominator[equation * l + term] = 0.1 * (term as f64).cos();
                    parameters.push(Parameter { equation, term, denominator: true });
                }
            }
        }
        let e = library.inputs().len();
        let (state, rates) = ([0.6, -0.3, 0.4, 0.8], &[1.7, 1.0][..e]);
        let state = [&state[..d], &[0.9, 0.5][..e]].concat();
        let arguments = state.len();
        let mut at = Linearized::new(&rhs, &parameters);
        at.evaluate(&rhs, &parameters, &state, rates);
        let (mut ahead, mut behind) = (at.clone(), at.clone());
        let h = 1e-5;
        let close = |exact: f64, difference: f64, what: &str| {
            let numeric = difference / (2.0 * h);
            let error = (exact - numeric).abs() / (1.0 + exact.abs());
            assert!(error < 1e-7, "{link:?} order {order} {what}: {exact} {numeric}");
        };
        for m in 0..d {
            let mut moved = state.clone();
            moved[m] += h;
            ahead.evaluate_flow(&rhs, &moved, rates);
            moved[m] -= 2.0 * h;
            behind.evaluate_flow(&rhs, &moved, rates);
            for i in 0..d {
                close(at.jacobian[i * arguments + m], ahead.flow[i] - behind.flow[i], "jacobian");
                close(at.rate_jacobian[i * d + m], ahead.rate[i] - behind.rate[i], "rate");
            }
        }
        // The rate is that along the flow, inputs included.
        let moved =
            |by: f64| -> Vec<f64> { state.iter().zip(&at.flow).map(|(u, v)| u + by * v).collect() };
        ahead.evaluate_flow(&rhs, &moved(h), rates);
        behind.evaluate_flow(&rhs, &moved(-h), rates);
        (0..d).for_each(|i| close(at.rate[i], ahead.flow[i] - behind.flow[i], "rate"));
        for (index, p) in parameters.iter().enumerate() {
            let coefficient = p.equation * l + p.term;
            let moved = |by: f64| {
                let mut moved = rhs.clone();
                let side =
                    if p.denominator { &mut moved.denominator } else { &mut moved.numerator };
                side[coefficient] += by;
                moved
            };
            ahead.evaluate_flow(&moved(h), &state, rates);
            behind.evaluate_flow(&moved(-h), &state, rates);
            let row = d - 2 + p.equation;
            for i in 0..d {
                let own = f64::from(u8::from(i == row));
                let flow = own * at.by_parameter[index];
                close(flow, ahead.flow[i] - behind.flow[i], "flow by parameter");
                let rate = own * at.rate_by_parameter[index]
                    + at.jacobian[i * arguments + row] * at.by_parameter[index];
                close(rate, ahead.rate[i] - behind.rate[i], "rate by parameter");
            }
        }
    }
}
