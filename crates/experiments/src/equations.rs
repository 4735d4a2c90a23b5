//! Found equations as functions, and how far they are from the truth.

use mechanistic::discovery::{Forcing, RightHandSide, simulate};

use crate::largest;

/// The true terms of a system: the number of the equation, the factors as in `x x y`, and the
/// coefficient.
pub type TrueTerms = [(usize, &'static str, f64)];

/// Returns the right-hand side as a function that writes u' at u.
pub fn field<'a>(rhs: &'a RightHandSide<'_>) -> impl Fn(&[f64], &mut [f64]) + 'a {
    |state, out| rhs.derivative(state, &mut vec![0.0; rhs.library.len()], out)
}

/// Returns the states (M, K) of the found equations at these times, from `initial`; NaN after a
/// blow-up. Errors of the integration are measured in units of the initial state's largest entry.
#[must_use]
pub fn simulated(rhs: &RightHandSide<'_>, initial: &[f64], time: &[f64]) -> Vec<f64> {
    let scale = initial.iter().fold(f64::MIN_POSITIVE, |scale, u| scale.max(u.abs()));
    let scale = vec![scale; initial.len()];
    simulate(rhs, initial, time, &Forcing::default(), &scale).expect("there are no inputs")
}

/// Returns how many terms of the numerator are missing or should not be there, and the largest
/// relative error of the true terms' coefficients, in percent.
#[must_use]
pub fn coefficient_errors(rhs: &RightHandSide<'_>, truth: &TrueTerms) -> (usize, f64) {
    let l = rhs.library.len();
    let (mut wrong, mut worst) = (0, 0.0_f64);
    for state in 0..rhs.states() {
        for term in 0..l {
            let factors = rhs.library.factors(term).join(" ");
            let mut own = truth.iter().filter(|t| t.0 == state);
            let expected = own.find(|t| t.1 == factors).map_or(0.0, |t| t.2);
            let found = rhs.numerator[state * l + term];
            wrong += usize::from((found == 0.0) != (expected == 0.0));
            if expected != 0.0 {
                worst = largest([worst, 100.0 * ((found - expected) / expected).abs()]);
            }
        }
    }
    (wrong, worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mechanistic::discovery::{Library, Settings};

    #[test]
    fn errors_are_of_the_true_terms_and_wrong_terms_are_counted() {
        let settings = Settings::default();
        let library = Library::new(&["x".into(), "y".into()], &settings).unwrap();
        let mut rhs = RightHandSide::new(&library, &settings);
        (rhs.numerator[2], rhs.numerator[6 + 1], rhs.numerator[6 + 4]) = (1.98, -2.0, 0.01);
        let truth = [(0, "y", 2.0), (1, "x", -2.0)];
        let (wrong, worst) = coefficient_errors(&rhs, &truth);
        assert!(wrong == 1 && (worst - 1.0).abs() < 1e-9, "{wrong} {worst}");
        rhs.numerator[6 + 4] = 0.0;
        let (state, mut slope) = ([1.0, 3.0], [0.0; 2]);
        field(&rhs)(&state, &mut slope);
        assert!((slope[0] - 5.94).abs() < 1e-12 && slope[1] == -2.0, "{slope:?}");
        // x'' = −3.96 x.
        let end = simulated(&rhs, &[1.0, 0.0], &[0.0, 0.5])[2];
        assert!((end - (0.5 * 3.96_f64.sqrt()).cos()).abs() < 1e-6, "{end}");
    }
}
