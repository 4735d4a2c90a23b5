//! The classical Runge-Kutta method, which the paper compares its solver with.

/// Returns `points` states of u' = f(t, u), `h` apart from t = 0, by the classical method of fourth
/// order; `f(t, u, out)` writes the derivative.
pub fn runge_kutta(
    f: impl Fn(f64, &[f64], &mut [f64]),
    initial: &[f64],
    h: f64,
    points: usize,
) -> Vec<Vec<f64>> {
    let mut states = vec![initial.to_vec()];
    for step in 1..points {
        let (t, u) = (h * (step - 1) as f64, &states[step - 1]);
        let slope = |t: f64, u: &[f64]| {
            let mut out = vec![0.0; u.len()];
            f(t, u, &mut out);
            out
        };
        let moved =
            |k: &[f64], h: f64| -> Vec<f64> { u.iter().zip(k).map(|(u, k)| u + h * k).collect() };
        let k1 = slope(t, u);
        let k2 = slope(t + h / 2.0, &moved(&k1, h / 2.0));
        let k3 = slope(t + h / 2.0, &moved(&k2, h / 2.0));
        let k4 = slope(t + h, &moved(&k3, h));
        let next = (0..u.len()).map(|i| u[i] + h / 6.0 * (k1[i] + 2.0 * (k2[i] + k3[i]) + k4[i]));
        let next = next.collect();
        states.push(next);
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_of_fourth_order() {
        // u' = 2 t u: u = exp(t²).
        let error = |points: usize| {
            let h = 1.0 / (points - 1) as f64;
            let states = runge_kutta(|t, u, out| out[0] = 2.0 * t * u[0], &[1.0], h, points);
            (states[points - 1][0] - 1_f64.exp()).abs()
        };
        let ratio = error(11) / error(21);
        assert!((14.0..18.0).contains(&ratio), "{ratio}");
    }
}
