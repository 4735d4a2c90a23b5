//! The command `mnn simulate`, which makes data with known equations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use mechanistic::{Error, Result};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use systems::{System, advance};

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
    /// The CSV file [default: -, standard output]
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
    let output = arguments.output.as_deref().unwrap_or(Path::new("-"));
    outputs::check::<&Path>(&[], &[("--output", output)])?;

    let simulation = Simulation { system, initial, dt, points };
    let sigma = match arguments.noise {
        Noise::Absolute(sigma) => vec![sigma; system.states().len()],
        Noise::Relative(fraction) => {
            let deviations = deviations(simulation.states())?;
            deviations.into_iter().map(|deviation| fraction * deviation).collect()
        }
    };
    let header: Vec<String> =
        std::iter::once("t").chain(system.states().iter().copied()).map(String::from).collect();
    let rows = with_noise(simulation.states(), &sigma, arguments.seed);
    let rows = rows.enumerate().map(|(index, state)| {
        let mut row = state?;
        row.insert(0, simulation.time(index));
        Ok(row)
    });
    csv::write(output, &header, rows)?;
    Ok(ExitCode::SUCCESS)
}

/// A trajectory that is computed as it is asked for, and never kept.
struct Simulation<'a> {
    system: System,
    initial: &'a [f64],
    dt: f64,
    points: usize,
}

impl Simulation<'_> {
    /// Returns the time of a point.
    fn time(&self, index: usize) -> f64 {
        // Where whole steps make up the unit, dividing by their number gives the times as written
        // by hand: 0.07, and not 7 · 0.01 = 0.07 + 10⁻¹⁷.
        let per_unit = (1.0 / self.dt).round();
        match 1.0 / self.dt == per_unit && per_unit.is_finite() {
            true => index as f64 / per_unit,
            false => index as f64 * self.dt,
        }
    }

    /// Iterates over the states of all points, without the velocities, which nobody measures.
    ///
    /// # Errors
    /// [`Error::Data`] where the solution cannot be followed.
    fn states(&self) -> impl Iterator<Item = Result<Vec<f64>>> + '_ {
        let field = |u: &[f64], out: &mut [f64]| self.system.derivative(u, out);
        let mut state = Vec::new();
        (0..self.points).map(move |index| {
            state = match index {
                0 => self.initial.to_vec(),
                _ => advance(&field, &state, self.dt).ok_or_else(|| self.lost(index))?,
            };
            Ok(state[..self.system.states().len()].to_vec())
        })
    }

    fn lost(&self, index: usize) -> Error {
        let [before, after] = [index - 1, index].map(|index| csv::field(self.time(index)));
        let start: Vec<String> = self.initial.iter().map(|&value| csv::field(value)).collect();
        let start = start.join(",");
        Error::Data(format!(
            "the solution from {start} cannot be followed from t = {before} to {after}: it grows \
             beyond all bounds, or the step between two points is too long"
        ))
    }
}

/// Adds normal noise of the deviations `sigma` to states.
fn with_noise(
    states: impl Iterator<Item = Result<Vec<f64>>>,
    sigma: &[f64],
    seed: u64,
) -> impl Iterator<Item = Result<Vec<f64>>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    states.map(move |state| {
        let mut state = state?;
        for (value, sigma) in state.iter_mut().zip(sigma) {
            let normal: f64 = StandardNormal.sample(&mut random);
            *value += sigma * normal;
            if !value.is_finite() {
                let sigma = csv::field(*sigma);
                let message = format!("values with a noise of {sigma} are not finite");
                return Err(Error::Argument { argument: "--noise".into(), message });
            }
        }
        Ok(state)
    })
}

/// Returns the standard deviation of each state over time, by Welford's recurrence, which needs no
/// more than one state at a time.
fn deviations(states: impl Iterator<Item = Result<Vec<f64>>>) -> Result<Vec<f64>> {
    let (mut count, mut moments) = (0.0, Vec::new());
    for state in states {
        let state = state?;
        count += 1.0;
        moments.resize(state.len(), [0.0; 2]);
        for ([mean, squares], value) in moments.iter_mut().zip(state) {
            let before = value - *mean;
            *mean += before / count;
            *squares += before * (value - *mean);
        }
    }
    Ok(moments.into_iter().map(|[_, squares]: [f64; 2]| (squares / count).sqrt()).collect())
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
        let clean = || (0..20_000).map(|i| Ok(vec![f64::from(i % 2) * 20.0, 0.0]));
        let noise_of = |sigma: &[f64]| {
            let pairs = with_noise(clean(), sigma, 7).zip(clean());
            let difference = pairs.map(|(a, b)| {
                let (a, b): (Vec<f64>, Vec<f64>) = (a?, b?);
                Ok(vec![a[0] - b[0], a[1] - b[1]])
            });
            deviations(difference).unwrap()
        };
        assert_eq!(deviations(clean()).unwrap(), [10.0, 0.0]);
        let absolute = noise_of(&[0.5, 0.5]);
        assert!(absolute.iter().all(|sigma| (sigma - 0.5).abs() < 0.02), "{absolute:?}");
        let relative = noise_of(&[0.1, 0.0]);
        assert!((relative[0] - 0.1).abs() < 0.004 && relative[1] == 0.0, "{relative:?}");
    }
}
