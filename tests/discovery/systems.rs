//! Synthetic data for discovery: known equations, an accurate integrator, seeded noise.

use std::ops::ControlFlow;

use mechanistic::discovery::{Dataset, Discovery, Settings, Trajectory, discover};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Steps of the classical Runge-Kutta method between two samples.
const SUBSTEPS: usize = 50;

/// u' = field(u) through `initial`, sampled at `time`: (N, D) row-major.
pub fn integrate(field: impl Fn(&[f64]) -> Vec<f64>, initial: &[f64], time: &[f64]) -> Vec<f64> {
    let mut state = initial.to_vec();
    let mut values = state.clone();
    let moved = |u: &[f64], h: f64, slope: &[f64]| -> Vec<f64> {
        u.iter().zip(slope).map(|(u, s)| u + h * s).collect()
    };
    for pair in time.windows(2) {
        let h = (pair[1] - pair[0]) / SUBSTEPS as f64;
        for _ in 0..SUBSTEPS {
            let k1 = field(&state);
            let k2 = field(&moved(&state, 0.5 * h, &k1));
            let k3 = field(&moved(&state, 0.5 * h, &k2));
            let k4 = field(&moved(&state, h, &k3));
            for (i, u) in state.iter_mut().enumerate() {
                *u += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
            }
        }
        values.extend_from_slice(&state);
    }
    values
}

/// 0, step, 2 step, ...
pub fn uniform(points: usize, step: f64) -> Vec<f64> {
    (0..points).map(|i| step * i as f64).collect()
}

/// One trajectory with states x, y, z, ... (the first `names.len()` of the field's components).
pub fn sample(
    names: &[&str],
    field: impl Fn(&[f64]) -> Vec<f64>,
    initial: &[f64],
    time: Vec<f64>,
) -> Dataset {
    let all = integrate(field, initial, &time);
    let values = all.chunks_exact(initial.len()).flat_map(|row| row[..names.len()].to_vec());
    Dataset {
        states: names.iter().map(|name| name.to_string()).collect(),
        trajectories: vec![Trajectory { values: values.collect(), time, ..Trajectory::default() }],
        ..Dataset::default()
    }
}

/// Adds normal noise: `relative` times each state's standard deviation, plus `absolute`.
pub fn with_noise(mut data: Dataset, relative: f64, absolute: f64, seed: u64) -> Dataset {
    let k = data.states.len();
    let mut random = StdRng::seed_from_u64(seed);
    for state in 0..k {
        let column = || {
            data.trajectories
                .iter()
                .flat_map(move |t| t.values.iter().skip(state).step_by(k))
                .filter(|x| !x.is_nan())
        };
        let count = column().count() as f64;
        let mean = column().sum::<f64>() / count;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let sigma = relative * variance.sqrt() + absolute;
        for trajectory in &mut data.trajectories {
            for x in trajectory.values.iter_mut().skip(state).step_by(k) {
                let normal: f64 = StandardNormal.sample(&mut random);
                *x += sigma * normal;
            }
        }
    }
    data
}

pub fn lorenz(points: usize) -> Dataset {
    let field = |u: &[f64]| {
        vec![10.0 * (u[1] - u[0]), u[0] * (28.0 - u[2]) - u[1], u[0] * u[1] - 8.0 / 3.0 * u[2]]
    };
    sample(&["x", "y", "z"], field, &[1.0, 1.0, 1.0], uniform(points, 0.01))
}

pub const LORENZ: &str =
    "x' = -10 x + 10 y; y' = 28 x - 1 y - 1 x z; z' = -2.6666666666666665 z + 1 x y";

/// The chaotic ring of Lorenz (1996): x_i' = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + 8.
pub fn ring(states: usize, points: usize) -> Dataset {
    let names: Vec<String> = (0..states).map(|i| format!("x{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let field = |u: &[f64]| {
        let at = |i: usize| u[i % states];
        let rate = |i: usize| (at(i + 1) - at(i + states - 2)) * at(i + states - 1) - at(i) + 8.0;
        (0..states).map(rate).collect()
    };
    let initial: Vec<f64> = (0..states).map(|i| 8.0 + (i as f64).cos()).collect();
    sample(&names, field, &initial, uniform(points, 0.02))
}

/// The equations of [`ring`].
pub fn ring_equations(states: usize) -> String {
    let equation = |i: usize| {
        let at = |i: usize| format!("x{}", i % states);
        let (next, last) = (at(i + 1), at(i + states - 1));
        let before = at(i + states - 2);
        format!("x{i}' = 8 - 1 {} + 1 {next} {last} - 1 {before} {last}", at(i))
    };
    (0..states).map(equation).collect::<Vec<_>>().join("; ")
}

pub fn rossler() -> Dataset {
    let field = |u: &[f64]| vec![-u[1] - u[2], u[0] + 0.2 * u[1], 0.2 + u[2] * (u[0] - 5.7)];
    sample(&["x", "y", "z"], field, &[1.0, 1.0, 1.0], uniform(8000, 0.02))
}

pub const ROSSLER: &str = "x' = -1 y - 1 z; y' = 1 x + 0.2 y; z' = 0.2 - 5.7 z + 1 x z";

pub fn van_der_pol() -> Dataset {
    let field = |u: &[f64]| vec![u[1], 2.0 * (1.0 - u[0] * u[0]) * u[1] - u[0]];
    sample(&["x", "y"], field, &[2.0, 0.0], uniform(4000, 0.01))
}

pub const VAN_DER_POL: &str = "x' = 1 y; y' = -1 x + 2 y - 2 x x y";

/// Susceptible and infected fractions.
pub fn sir() -> Dataset {
    let field = |u: &[f64]| vec![-0.5 * u[0] * u[1], 0.5 * u[0] * u[1] - 0.1 * u[1]];
    sample(&["S", "I"], field, &[0.99, 0.01], uniform(1600, 0.05))
}

pub const SIR: &str = "S' = -0.5 I S; I' = -0.1 I + 0.5 I S";

pub fn planar_linear() -> Dataset {
    let field = |u: &[f64]| vec![-0.1 * u[0] + 2.0 * u[1], -2.0 * u[0] - 0.1 * u[1]];
    sample(&["x", "y"], field, &[2.0, 0.0], uniform(2500, 0.01))
}

pub const PLANAR_LINEAR: &str = "x' = -0.1 x + 2 y; y' = -2 x - 0.1 y";

pub fn planar_cubic() -> Dataset {
    let field = |u: &[f64]| {
        let (x, y) = (u[0].powi(3), u[1].powi(3));
        vec![-0.1 * x + 2.0 * y, -2.0 * x - 0.1 * y]
    };
    sample(&["x", "y"], field, &[2.0, 0.0], uniform(2500, 0.01))
}

pub const PLANAR_CUBIC: &str = "x' = -0.1 x x x + 2 y y y; y' = -2 x x x - 0.1 y y y";

/// x'' = −0.2 x' − x − x³.
pub fn duffing(initial: &[f64], time: Vec<f64>) -> Dataset {
    sample(&["x"], |u| vec![u[1], -0.2 * u[1] - u[0] - u[0].powi(3)], initial, time)
}

pub const DUFFING: &str = "x'' = -1 x - 0.2 x' - 1 x x x";

/// x'' = −0.1 x' − 4 sin x, large swings.
pub fn pendulum() -> Dataset {
    sample(&["x"], |u| vec![u[1], -0.1 * u[1] - 4.0 * u[0].sin()], &[2.5, 0.0], uniform(2000, 0.02))
}

pub const PENDULUM: &str = "x'' = -0.1 x' - 4 sin(x)";

/// x' = tanh(1.5 y − 0.5 x), y' = tanh(−1.2 x + 0.3 x y).
pub fn tanh_system() -> Dataset {
    let field = |u: &[f64]| {
        vec![(1.5 * u[1] - 0.5 * u[0]).tanh(), (-1.2 * u[0] + 0.3 * u[0] * u[1]).tanh()]
    };
    sample(&["x", "y"], field, &[2.0, 0.5], uniform(2000, 0.01))
}

pub const TANH: &str = "x' = -0.5 x + 1.5 y; y' = -1.2 x + 0.3 x y";

/// x' = sin(1.2 y), y' = sin(−0.8 x − 0.2 y).
pub fn sine_system() -> Dataset {
    let field = |u: &[f64]| vec![(1.2 * u[1]).sin(), (-0.8 * u[0] - 0.2 * u[1]).sin()];
    sample(&["x", "y"], field, &[1.0, 0.5], uniform(2000, 0.01))
}

pub const SINE: &str = "x' = 1.2 y; y' = -0.8 x - 0.2 y";

/// x' = σ(x − 2y), y' = σ(0.8x − 1.5).
pub fn sigmoid_system() -> Dataset {
    let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
    let field = |u: &[f64]| vec![logistic(u[0] - 2.0 * u[1]), logistic(0.8 * u[0] - 1.5)];
    sample(&["x", "y"], field, &[0.1, -1.5], uniform(800, 0.01))
}

pub const SIGMOID: &str = "x' = 1 x - 2 y; y' = -1.5 + 0.8 x";

/// Michaelis-Menten consumption with constant supply: x' = 0.6 − 1.5 x/(0.3 + x), written with a
/// denominator that starts at one: (0.6 − 3x)/(1 + 10x/3).
pub fn michaelis_menten(initial: f64) -> Dataset {
    sample(&["x"], |u| vec![0.6 - 1.5 * u[0] / (0.3 + u[0])], &[initial], uniform(400, 0.02))
}

pub const MICHAELIS_MENTEN: &str = "x' = 0.6 - 3 x / 1 + 3.3333333333333335 x";

/// Every value is lost with probability `share`.
pub fn with_gaps(mut data: Dataset, share: f64, seed: u64) -> Dataset {
    let mut random = StdRng::seed_from_u64(seed);
    for x in data.trajectories.iter_mut().flat_map(|t| &mut t.values) {
        if random.random::<f64>() < share {
            *x = f64::NAN;
        }
    }
    data
}

/// Increasing times with steps that vary by a factor of three.
pub fn irregular(points: usize, step: f64, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut time = 0.0;
    let mut next = || {
        time += step * (0.5 + random.random::<f64>());
        time
    };
    (0..points).map(|_| next()).collect()
}

/// The trajectories of all, under the first one's names.
pub fn together(parts: Vec<Dataset>) -> Dataset {
    let states = parts[0].states.clone();
    Dataset {
        states,
        trajectories: parts.into_iter().flat_map(|p| p.trajectories).collect(),
        ..Dataset::default()
    }
}

/// One side of an equation as factors and coefficients.
fn parse_terms(text: &str) -> Vec<(Vec<String>, f64)> {
    let spaced = text.replace(" - ", " + -");
    let terms = spaced.split(" + ").map(|term| {
        let mut words = term.split_whitespace();
        let coefficient = words.next().expect("a coefficient").parse().expect("a number");
        let mut factors: Vec<String> = words.map(String::from).collect();
        factors.sort();
        (factors, coefficient)
    });
    terms.collect()
}

/// Largest relative error of a coefficient if the terms are exactly the expected ones, else a
/// description of what was found. Equations are separated by `;`, a denominator follows ` / 1 + `.
pub fn worst_error(found: &Discovery, expected: &str) -> Result<f64, String> {
    let mut worst: f64 = 0.0;
    for (equation, text) in found.equations.iter().zip(expected.split("; ")) {
        let (lhs, rhs) = text.split_once(" = ").expect("an equation");
        assert_eq!(equation.lhs, lhs);
        let (above, below) = rhs.split_once(" / 1 + ").unwrap_or((rhs, ""));
        let below = if below.is_empty() { vec![] } else { parse_terms(below) };
        for (found, expected) in
            [(&equation.terms, parse_terms(above)), (&equation.denominator, below)]
        {
            let same = found.len() == expected.len();
            for (factors, value) in &expected {
                let Some(term) = found.iter().find(|term| term.factors == *factors) else {
                    return Err(format!("wrong terms: {}", text_of(equation)));
                };
                worst = worst.max(((term.coefficient - value) / value).abs());
            }
            if !same {
                return Err(format!("wrong terms: {}", text_of(equation)));
            }
        }
    }
    Ok(worst)
}

pub fn text_of(equation: &mechanistic::discovery::Equation) -> String {
    let side = |terms: &[mechanistic::discovery::Term]| {
        let terms = terms.iter().map(|t| {
            let error = t.standard_error.unwrap_or(f64::NAN);
            format!("{:+.6}({error:.1e}) {}", t.coefficient, t.factors.join(" "))
        });
        terms.collect::<Vec<_>>().join(" ")
    };
    format!("{} = {} / 1 + {}", equation.lhs, side(&equation.terms), side(&equation.denominator))
}

/// What discovery finds in the data.
pub fn found(data: &Dataset, settings: &Settings) -> Discovery {
    discover(data, settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Settings with all monomials up to this degree.
pub fn degree(degree: usize) -> Settings {
    Settings { degree, ..Settings::default() }
}

/// Asserts that exactly these terms were found, with coefficients so close.
#[track_caller]
pub fn check(found: &Discovery, expected: &str, tolerance: f64) {
    match worst_error(found, expected) {
        Ok(error) => assert!(error < tolerance, "coefficient off by {error}"),
        Err(message) => panic!("{message} {:?}", found.warnings),
    }
}
