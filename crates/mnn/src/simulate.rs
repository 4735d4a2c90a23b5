//! The command `mnn simulate`, which makes data with known equations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use mechanistic::{Error, Result};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use systems::{System, trajectory};

use crate::{csv, outputs};

/// Make time series of a system with known equations, with noise if asked
#[derive(clap::Args)]
pub struct Arguments {
    /// The system
    #[arg(value_enum)]
    system: System,
    /// Number of points [default: the system's]
    #[arg(long, value_name = "N")]
    points: Option<usize>,
    /// Time between two points [default: the system's]
    #[arg(long, value_name = "TIME")]
    dt: Option<f64>,
    /// Initial state, velocities last: `1,1,1` [default: the system's]
    #[arg(long, value_name = "VALUES", value_delimiter = ',', allow_hyphen_values = true)]
    initial: Vec<f64>,
    /// Standard deviation of the noise: of all states (`0.1`), or in percent of each state's own
    /// (`1%`)
    #[arg(long, value_name = "SIGMA", default_value = "0", allow_hyphen_values = true)]
    noise: Noise,
    /// Seed of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The CSV file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The standard deviation of the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Noise {
    Absolute(f64),
    /// The deviation is a fraction of each state's standard deviation over the trajectory.
    Relative(f64),
}

impl FromStr for Noise {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        match number.trim().parse::<f64>() {
            Ok(sigma) if sigma >= 0.0 && sigma.is_finite() => {
                Ok(if percent { Noise::Relative(sigma / 100.0) } else { Noise::Absolute(sigma) })
            }
            _ => Err("expected a number like 0.1 or a percentage like 1%, not negative".into()),
        }
    }
}

/// Simulates the system, adds noise, and writes the table.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let system = arguments.system;
    let points = arguments.points.unwrap_or(system.points());
    let dt = arguments.dt.unwrap_or(system.step());
    let initial = match arguments.initial.as_slice() {
        [] => system.initial(),
        given => given,
    };
    let refuse = |argument: &str, message: String| {
        Err(Error::Argument { argument: argument.into(), message })
    };
    if points < 2 {
        return refuse("--points", format!("must be at least 2, got {points}"));
    }
    if !(dt.is_finite() && dt > 0.0) {
        return refuse("--dt", format!("must be finite and positive, got {dt}"));
    }
    let dimension = system.initial().len();
    if initial.len() != dimension || initial.iter().any(|value| !value.is_finite()) {
        return refuse(
            "--initial",
            format!("expected {dimension} finite numbers, got {initial:?}"),
        );
    }
    if let Some(path) = &arguments.output {
        outputs::check::<&Path>(&[], &[("--output", path)])?;
    }

    let field = |u: &[f64], out: &mut [f64]| system.derivative(u, out);
    let Some(mut states) = trajectory(&field, initial, dt, points) else {
        crate::tell(format_args!("mnn: the solution from {initial:?} grows beyond all bounds"));
        return Ok(ExitCode::FAILURE);
    };
    let measured = system.states().len();
    for state in &mut states {
        state.truncate(measured);
    }
    add_noise(&mut states, arguments.noise, arguments.seed);

    let header: Vec<String> =
        std::iter::once("t").chain(system.states().iter().copied()).map(String::from).collect();
    // Where whole steps make up the unit, dividing by their number gives the times as written by
    // hand: 0.07, and not 7 · 0.01 = 0.07 + 10⁻¹⁷.
    let per_unit = (1.0 / dt).round();
    let time = |index: usize| match 1.0 / dt == per_unit {
        true => index as f64 / per_unit,
        false => index as f64 * dt,
    };
    let rows = states.into_iter().enumerate().map(|(index, state)| {
        let mut row = vec![time(index)];
        row.extend(state);
        row
    });
    match &arguments.output {
        Some(path) => csv::write(path, &header, rows)?,
        None => crate::print(&csv::table(&header, rows))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn add_noise(states: &mut [Vec<f64>], noise: Noise, seed: u64) {
    let sigma: Vec<f64> = match noise {
        Noise::Absolute(sigma) => vec![sigma; states[0].len()],
        Noise::Relative(fraction) => {
            deviations(states).into_iter().map(|deviation| fraction * deviation).collect()
        }
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for state in states {
        for (value, sigma) in state.iter_mut().zip(&sigma) {
            let normal: f64 = StandardNormal.sample(&mut random);
            *value += sigma * normal;
        }
    }
}

/// Returns the standard deviation of each state over time.
fn deviations(states: &[Vec<f64>]) -> Vec<f64> {
    let n = states.len() as f64;
    (0..states[0].len())
        .map(|k| {
            let mean = states.iter().map(|state| state[k]).sum::<f64>() / n;
            (states.iter().map(|state| (state[k] - mean).powi(2)).sum::<f64>() / n).sqrt()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_a_number_or_a_percentage() {
        assert_eq!("0.1".parse(), Ok(Noise::Absolute(0.1)));
        assert_eq!("1%".parse(), Ok(Noise::Relative(0.01)));
        for wrong in ["", "%", "x", "-1", "nan", "inf%"] {
            assert!(wrong.parse::<Noise>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let clean: Vec<Vec<f64>> =
            (0..20_000).map(|i| vec![f64::from(i % 2) * 20.0, 0.0]).collect();
        let noise_of = |noise| {
            let mut noisy = clean.clone();
            add_noise(&mut noisy, noise, 7);
            let pairs = noisy.iter().zip(&clean);
            let difference: Vec<Vec<f64>> =
                pairs.map(|(a, b)| vec![a[0] - b[0], a[1] - b[1]]).collect();
            deviations(&difference)
        };
        let absolute = noise_of(Noise::Absolute(0.5));
        assert!(absolute.iter().all(|sigma| (sigma - 0.5).abs() < 0.02), "{absolute:?}");
        let relative = noise_of(Noise::Relative(0.01));
        assert!((relative[0] - 0.1).abs() < 0.004 && relative[1] == 0.0, "{relative:?}");
    }
}
