//! Errors of u for the row families and for classical Runge-Kutta at the same step, on linear ODEs
//! with known solutions: the README's table.
//!
//! ```sh
//! cargo run --release --example accuracy
//! ```

use mechanistic::{Options, Result, Smoothness};

#[path = "../tests/support/known.rs"]
mod known;

use known::{END, KnownProblem, PROBLEMS, graded, uniform};

const POINTS: [usize; 3] = [21, 41, 81];

fn main() -> Result<()> {
    let rows = |smoothness| Options { smoothness, ..Options::default() };
    let (taylor, hermite) = (rows(Smoothness::Taylor), rows(Smoothness::Hermite));
    println!(
        "Largest error of u on N = {} / {} / {} points of [0, {END}].",
        POINTS[0], POINTS[1], POINTS[2]
    );
    table("equal steps", |problem| {
        Ok([
            errors(|n| problem.error(&uniform(n), 0, &taylor))?,
            errors(|n| problem.error(&uniform(n), 2, &taylor))?,
            errors(|n| problem.error(&uniform(n), 1, &hermite))?,
            errors(|n| problem.error(&uniform(n), 2, &hermite))?,
            errors(|n| Ok(runge_kutta(problem, &uniform(n))))?,
        ])
    })?;
    let irregular = |n| graded(n, |t| [1.0, 3.0, 1.5, 2.0][t % 4]);
    table("steps in the ratios 2 : 6 : 3 : 4", |problem| {
        Ok([
            errors(|n| problem.error(&irregular(n), 0, &taylor))?,
            errors(|n| problem.error(&irregular(n), 2, &taylor))?,
            errors(|n| problem.error(&irregular(n), 1, &hermite))?,
            errors(|n| problem.error(&irregular(n), 2, &hermite))?,
            errors(|n| Ok(runge_kutta(problem, &irregular(n))))?,
        ])
    })
}

/// One line a problem.
fn table(grid: &str, columns: impl Fn(&KnownProblem) -> Result<[String; 5]>) -> Result<()> {
    println!("\n| {grid} | Taylor | Taylor + 2 | Hermite + 1 | Hermite + 2 | Runge-Kutta |");
    println!("|---|---|---|---|---|---|");
    for problem in &PROBLEMS {
        println!("| {} | {} |", problem.name, columns(problem)?.join(" | "));
    }
    Ok(())
}

fn errors(error: impl Fn(usize) -> Result<f64>) -> Result<String> {
    let errors: Result<Vec<_>> =
        POINTS.into_iter().map(|n| Ok(format!("{:.1e}", error(n)?))).collect();
    Ok(errors?.join(" / "))
}

/// Largest error of u at `times` by the classical fourth-order method, one step from each time to
/// the next.
fn runge_kutta(problem: &KnownProblem, times: &[f64]) -> f64 {
    let (k, m) = (problem.states, problem.order);
    // y = (u_k, ..., u_k^(m−1)) of every state; equation k gives u_k^(m).
    let slope = |t: f64, y: &[f64]| -> Vec<f64> {
        let (coefficients, rhs) = ((problem.coefficients)(t), (problem.rhs)(t));
        let mut slope = vec![0.0; k * m];
        for e in 0..k {
            slope[e * m..(e + 1) * m - 1].copy_from_slice(&y[e * m + 1..(e + 1) * m]);
            let lower = (0..k * m).map(|i| coefficients[(e * k + i / m) * (m + 1) + i % m] * y[i]);
            slope[(e + 1) * m - 1] = rhs[e] - lower.sum::<f64>();
        }
        slope
    };
    let along = |y: &[f64], slope: &[f64], h: f64| -> Vec<f64> {
        y.iter().zip(slope).map(|(y, slope)| y + h * slope).collect()
    };
    let mut y = problem.initial_values.to_vec();
    let mut worst = 0.0_f64;
    for pair in times.windows(2) {
        let (t, h) = (pair[0], pair[1] - pair[0]);
        let k1 = slope(t, &y);
        let k2 = slope(t + h / 2.0, &along(&y, &k1, h / 2.0));
        let k3 = slope(t + h / 2.0, &along(&y, &k2, h / 2.0));
        let k4 = slope(t + h, &along(&y, &k3, h));
        for i in 0..y.len() {
            y[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
        }
        let exact = (problem.exact)(pair[1]);
        let error = exact.iter().enumerate().map(|(e, exact)| (y[e * m] - exact).abs());
        worst = error.fold(worst, f64::max);
    }
    worst
}
