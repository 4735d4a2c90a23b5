//! Integrates initial-value problems to nearly the last digit.

/// The numbers of substeps of the successive midpoint rules; the extrapolated value has order 16.
const SUBSTEPS: [usize; 8] = [2, 4, 6, 8, 10, 12, 14, 16];

/// The error of a step that is accepted, relative to the largest component of the state.
const TOLERANCE: f64 = 1e-13;

/// The number of times that a step may be halved before the solution counts as blown up.
const HALVINGS: u32 = 40;

/// The most steps that one step may be divided into, which take seconds.
const MOST_STEPS: u32 = 1 << 18;

/// Integrates the autonomous system u' = f(u) from u(t) to u(t + h), where `f(u, out)` writes the
/// derivative.
///
/// The method is Gragg's modified midpoint rule, extrapolated to a vanishing step (Hairer, Nørsett,
/// Wanner, *Solving Ordinary Differential Equations I*, section II.9); the step is halved until the
/// last two extrapolated values agree. `None`: the solution blows up, or the step is so long that
/// it would take more than 2¹⁸ of those.
pub fn advance(f: &impl Fn(&[f64], &mut [f64]), u: &[f64], h: f64) -> Option<Vec<f64>> {
    halving(f, u, h, HALVINGS, &mut { MOST_STEPS })
}

/// Returns `points` states of the autonomous system u' = f(u), `dt` apart, beginning with `initial`.
/// `None`: the solution cannot be followed, as [`advance`] says.
pub fn trajectory(
    f: &impl Fn(&[f64], &mut [f64]),
    initial: &[f64],
    dt: f64,
    points: usize,
) -> Option<Vec<Vec<f64>>> {
    let mut states = vec![initial.to_vec()];
    while states.len() < points {
        states.push(advance(f, states.last()?, dt)?);
    }
    Some(states)
}

fn halving(
    f: &impl Fn(&[f64], &mut [f64]),
    u: &[f64],
    h: f64,
    left: u32,
    steps: &mut u32,
) -> Option<Vec<f64>> {
    *steps = steps.checked_sub(1)?;
    let (value, error) = extrapolate(f, u, h);
    let scale = value.iter().chain(u).fold(f64::MIN_POSITIVE, |max, v| max.max(v.abs()));
    if error <= TOLERANCE * scale {
        return Some(value);
    }
    let half = halving(f, u, h / 2.0, left.checked_sub(1)?, steps)?;
    halving(f, &half, h / 2.0, left - 1, steps)
}

/// Returns the value extrapolated from all midpoint rules, and its distance from the value
/// extrapolated without the last rule.
fn extrapolate(f: &impl Fn(&[f64], &mut [f64]), u: &[f64], h: f64) -> (Vec<f64>, f64) {
    // This is the Aitken-Neville scheme in h²: row[j] holds T_{i,j}, and entries beyond j still
    // hold T_{i-1,j}.
    let mut row: Vec<Vec<f64>> = Vec::with_capacity(SUBSTEPS.len());
    let mut error = f64::INFINITY;
    for (i, &n) in SUBSTEPS.iter().enumerate() {
        let mut current = midpoint(f, u, h, n);
        for j in 0..i {
            let ratio = n as f64 / SUBSTEPS[i - 1 - j] as f64;
            let factor = 1.0 / (ratio * ratio - 1.0);
            let previous = std::mem::replace(&mut row[j], current);
            let pairs = row[j].iter().zip(&previous);
            current = pairs.map(|(fine, coarse)| fine + (fine - coarse) * factor).collect();
        }
        if let Some(last) = row.last() {
            let differences = current.iter().zip(last).map(|(a, b)| (a - b).abs());
            // The comparison is written out because `f64::max` would drop a NaN.
            error = differences.fold(0.0, |max, d| if d <= max { max } else { d });
        }
        row.push(current);
    }
    (row.pop().unwrap_or_default(), error)
}

/// Computes z₀ = u, z₁ = z₀ + δ f(z₀), z_{k+1} = z_{k-1} + 2δ f(z_k) with δ = h/n; returns z_n.
fn midpoint(f: &impl Fn(&[f64], &mut [f64]), u: &[f64], h: f64, n: usize) -> Vec<f64> {
    let step = h / n as f64;
    let mut slope = vec![0.0; u.len()];
    let mut before = u.to_vec();
    f(u, &mut slope);
    let mut now: Vec<f64> = u.iter().zip(&slope).map(|(u, s)| u + step * s).collect();
    for _ in 1..n {
        f(&now, &mut slope);
        for (old, s) in before.iter_mut().zip(&slope) {
            *old += 2.0 * step * s;
        }
        std::mem::swap(&mut before, &mut now);
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::System;

    #[test]
    fn meets_an_exact_solution() {
        let rotation = |u: &[f64], out: &mut [f64]| {
            out[0] = 2.0 * u[1];
            out[1] = -2.0 * u[0];
        };
        let mut u = vec![1.0, 0.0];
        for _ in 0..50 {
            u = advance(&rotation, &u, 0.1).unwrap();
        }
        assert!((u[0] - 10f64.cos()).abs() < 1e-13 && (u[1] + 10f64.sin()).abs() < 1e-13, "{u:?}");
    }

    #[test]
    fn halving_the_step_changes_nothing() {
        for system in System::all() {
            let f = |u: &[f64], out: &mut [f64]| system.derivative(u, out);
            let (mut whole, mut halves) = (system.initial().to_vec(), system.initial().to_vec());
            for _ in 0..100 {
                whole = advance(&f, &whole, system.step()).unwrap();
                for _ in 0..2 {
                    halves = advance(&f, &halves, system.step() / 2.0).unwrap();
                }
            }
            let scale = whole.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
            for (a, b) in whole.iter().zip(&halves) {
                assert!((a - b).abs() < 1e-11 * scale, "{system:?}: {whole:?} {halves:?}");
            }
        }
    }

    #[test]
    fn a_blow_up_is_noticed() {
        // u' = u², u(0) = 1 is infinite at t = 1.
        let square = |u: &[f64], out: &mut [f64]| out[0] = u[0] * u[0];
        assert!((advance(&square, &[1.0], 0.9).unwrap()[0] - 10.0).abs() < 1e-9);
        assert_eq!(advance(&square, &[1.0], 1.1), None);
        let rotation = |u: &[f64], out: &mut [f64]| out.copy_from_slice(&[u[1], -u[0]]);
        assert_eq!(advance(&rotation, &[1.0, 0.0], 1e9), None, "and so is a step of many periods");
    }
}
