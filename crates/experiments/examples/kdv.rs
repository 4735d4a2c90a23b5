//! A partial differential equation in time (beyond the paper): from two solitons that meet, a
//! Mechanistic Neural Network finds the equation of Korteweg and de Vries, u_t = −6 u u_x − u_xxx. Every
//! point in space has an ODE in time, u' = Σ θ_l φ_l, with the same coefficients θ of nine terms.

use std::process::ExitCode;

use experiments::{Experiment, Lab, PeriodicDerivative, Report, largest, relative_rms};
use figures::{Axis, Color, Figure, Panel, Points, Series};
use mechanistic::nn::{Optimizer, ParameterId, Parameters, Rule, Schedule, Training};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Error, Inputs, Options, Result};

struct Kdv;

/// Points in space, and the period.
const SPACE: usize = 64;
const LENGTH: f64 = 30.0;
/// Time between two points.
const H: f64 = 0.05;
/// Time points of the pieces that training solves.
const SEGMENT: usize = 20;
/// Terms whose share of u_t is less than this part of the largest are dropped.
const THRESHOLD: f64 = 0.05;
/// How often terms are dropped and the rest is trained again.
const ROUNDS: usize = 3;

const TERMS: [&str; 9] =
    ["u", "u^2", "u_x", "u u_x", "u^2 u_x", "u_xx", "u u_xx", "u_xxx", "u u_xxx"];
const TRUTH: [f64; 9] = [0.0, 0.0, 0.0, -6.0, 0.0, 0.0, 0.0, -1.0, 0.0];

/// The derivatives of orders 1 to 3.
fn derivatives() -> [PeriodicDerivative; 3] {
    [1, 2, 3].map(|order| PeriodicDerivative::new(SPACE, LENGTH, order))
}

/// The values of all terms (TERMS, SPACE) for u (SPACE).
fn terms(derivatives: &[PeriodicDerivative; 3], u: &[f64]) -> Vec<f64> {
    let [first, second, third] = derivatives.each_ref().map(|derivative| derivative.of(u));
    let by = |factor: &dyn Fn(f64) -> f64, v: &[f64]| -> Vec<f64> {
        u.iter().zip(v).map(|(u, v)| factor(*u) * v).collect()
    };
    let (one, square): (&dyn Fn(f64) -> f64, &dyn Fn(f64) -> f64) = (&|_| 1.0, &|u| u * u);
    [
        by(one, u),
        by(&|u| u, u),
        by(one, &first),
        by(&|u| u, &first),
        by(square, &first),
        by(one, &second),
        by(&|u| u, &second),
        by(one, &third),
        by(&|u| u, &third),
    ]
    .concat()
}

/// u (points, SPACE) of u_t = Σ θ φ, from two solitons of which the faster follows the slower.
fn solution(theta: &[f64], points: usize) -> Result<Vec<f64>> {
    let soliton = |x: f64, speed: f64, center: f64| {
        speed / 2.0 / (speed.sqrt() / 2.0 * (x - center)).cosh().powi(2)
    };
    let x = |i: usize| LENGTH * i as f64 / SPACE as f64;
    let initial: Vec<f64> =
        (0..SPACE).map(|i| soliton(x(i), 2.0, 7.0) + soliton(x(i), 0.7, 14.0)).collect();
    let derivatives = derivatives();
    let field = |u: &[f64], out: &mut [f64]| {
        out.fill(0.0);
        for (values, theta) in terms(&derivatives, u).chunks_exact(SPACE).zip(theta) {
            for (out, value) in out.iter_mut().zip(values) {
                *out += theta * value;
            }
        }
    };
    let states = systems::trajectory(&field, &initial, H, points);
    Ok(states.ok_or_else(|| Error::Data("the waves grow beyond all bounds".into()))?.concat())
}

/// u' = Σ θ φ in time for each point in space and each piece of time.
struct Mnn {
    /// (TERMS, 1): θ in units that make every term of similar size.
    theta: ParameterId,
}

/// What training needs of the data, pieces and points in space together as B.
struct Data<B: Backend> {
    /// (B, SEGMENT).
    u: Array<f64>,
    /// (B, SEGMENT, TERMS), each term of root mean square 1.
    terms: Array<f64, B>,
    /// The root mean square that each term had.
    sizes: Vec<f64>,
}

impl<B: Backend> Data<B> {
    /// Cuts u (N, SPACE) into pieces.
    fn new(u: &[f64]) -> Result<Self> {
        let derivatives = derivatives();
        let states: Vec<&[f64]> = u.chunks_exact(SPACE).collect();
        let values: Vec<Vec<f64>> = states.iter().map(|u| terms(&derivatives, u)).collect();
        let size = |term: usize| {
            let own = values.iter().flat_map(|v| &v[term * SPACE..(term + 1) * SPACE]);
            (own.map(|v| v * v).sum::<f64>() / u.len() as f64).sqrt()
        };
        let sizes: Vec<f64> = (0..TERMS.len()).map(size).collect();
        let (mut pieces, mut scaled) = (vec![], vec![]);
        for first in (0..states.len() / SEGMENT).map(|piece| piece * SEGMENT) {
            for x in 0..SPACE {
                for t in first..first + SEGMENT {
                    pieces.push(states[t][x]);
                    scaled.extend((0..TERMS.len()).map(|l| values[t][l * SPACE + x] / sizes[l]));
                }
            }
        }
        let batch = pieces.len() / SEGMENT;
        Ok(Data {
            u: Array::new([batch, SEGMENT], pieces)?,
            terms: B::wrap(Array::new([batch, SEGMENT, TERMS.len()], scaled)?),
            sizes,
        })
    }
}

impl Mnn {
    /// Records u (B, SEGMENT) with the terms that are kept.
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        data: &Data<B>,
        kept: &[bool],
    ) -> Result<Var> {
        let batch = data.u.shape()[0];
        let theta = tape.parameter(parameters, self.theta)?;
        let kept = kept.iter().map(|kept| f64::from(u8::from(*kept))).collect();
        let kept = tape.constant(Array::new([TERMS.len(), 1], kept)?);
        let theta = tape.mul(theta, kept)?;
        let terms = tape.constant_from(&data.terms)?;
        let starts = data.u.data().iter().step_by(SEGMENT).copied().collect();
        let ode = Ode {
            batch,
            points: SEGMENT,
            inputs: Inputs {
                coefficients: tape.constant(Array::new([1, 1, 1, 1, 2], vec![0.0, 1.0])?),
                rhs: tape.matmul(terms, theta)?,
                initial_values: tape.constant(Array::new([batch, 1, 1, 1], starts)?),
                steps: tape.constant(Array::full([1, 1], H)?),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = tape.slice(solution, 3, 0..1)?;
        tape.reshape(u, [batch, SEGMENT])
    }
}

/// Trains, drops small terms and trains again; returns θ in the units of the equation.
fn learn<B: Backend>(lab: &Lab<B>, data: &Data<B>, steps: u64) -> Result<Vec<f64>> {
    let mut kept = vec![true; TERMS.len()];
    let mut parameters = Parameters::new();
    let zeros = Array::full([TERMS.len(), 1], 0.0)?;
    let mnn = Mnn { theta: parameters.insert("theta", zeros)? };
    let measured = B::wrap(data.u.clone());
    for round in 0..ROUNDS {
        let schedule = Schedule::Cosine { steps, floor: 0.001 };
        let optimizer = Optimizer::new(Rule::adam(), 0.05).with_schedule(schedule);
        let training = Training::new(parameters, optimizer, lab.backend.clone())?;
        let name = format!("round-{round}");
        let (training, _) = lab.train(&name, training, steps, |tape, parameters, _| {
            let u = mnn.forward(tape, parameters, data, &kept)?;
            let measured = tape.constant_from(&measured)?;
            tape.mse(u, measured)
        })?;
        parameters = training.parameters.to()?;
        let theta = parameters.get(mnn.theta)?.data();
        let largest = theta.iter().fold(0.0, |largest: f64, theta| largest.max(theta.abs()));
        for (kept, theta) in kept.iter_mut().zip(theta) {
            *kept &= theta.abs() >= THRESHOLD * largest;
        }
    }
    let theta = parameters.get(mnn.theta)?.data().iter().zip(&data.sizes).zip(kept);
    Ok(theta.map(|((theta, size), kept)| if kept { theta / size } else { 0.0 }).collect())
}

impl Experiment for Kdv {
    const NAME: &'static str = "kdv";
    const ABOUT: &'static str = "Finds the equation of Korteweg and de Vries in two solitons";

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let steps = lab.steps(lab.arguments.scale(600, 1000, 4000));
        let points = lab.arguments.scale(160, 200, 400);
        let truth = solution(&TRUTH, points)?;
        let theta = learn(lab, &Data::new(&truth)?, steps)?;
        // An equation that was found badly may have no solution.
        let found = solution(&theta, points).unwrap_or_else(|_| vec![f64::NAN; truth.len()]);

        let term = |(theta, name): (&f64, &&str)| format!(" {theta:+.4} {name}");
        let shown = theta.iter().zip(&TERMS).filter(|(theta, _)| **theta != 0.0);
        let equation = format!("u_t ={}", shown.map(term).collect::<String>());
        let pairs = || theta.iter().zip(&TRUTH);
        let wrong = pairs().filter(|(a, b)| (**a == 0.0) != (**b == 0.0)).count();
        let worst = pairs().filter(|(_, b)| **b != 0.0).map(|(a, b)| (a / b - 1.0).abs());
        let worst = 100.0 * largest(worst);

        // One curve below another, later ones higher.
        let waterfall = |u: &[f64], shift: f64| -> Vec<Points> {
            let rows = u.chunks_exact(SPACE).step_by(points / 10).enumerate();
            let point = |row: usize, i: usize, u: f64| {
                (LENGTH * i as f64 / SPACE as f64, u + shift * row as f64)
            };
            rows.map(|(row, u)| (0..SPACE).map(|i| point(row, i, u[i])).collect()).collect()
        };
        let line = |name, color, width, u: &[f64]| {
            Series::new(name, color, figures::Mark::Line(width), waterfall(u, 0.4))
        };
        let axes = (Axis::new("x"), Axis::new("u + 0.4 row, later rows above"));
        let panel = Panel::new("two solitons meet", axes.0, axes.1)
            .with(line("truth", Color::GRAY, 3.0, &truth))
            .with(line("solution of the found equation", Color::VERMILION, 1.25, &found));
        Ok(Report::new(Figure::grid(1, 560, 480, vec![panel]))
            .with_equations("true", "u_t = -6 u u_x - u_xxx")
            .with_equations("MNN", equation)
            .with("wrong terms", wrong as f64)
            .with("largest error of a coefficient in percent", worst)
            .with("error of the solution", relative_rms(&found, &truth)))
    }
}

fn main() -> ExitCode {
    experiments::run::<Kdv>()
}

experiments::test_on_the_cpu!(Kdv, experiments::Arguments::small(), |report: Report| {
    assert_eq!(report.value("wrong terms"), 0.0, "{report}");
    assert!(report.value("largest error of a coefficient in percent") < 2.0, "{report}");
});

experiments::test_that_devices_agree!(
    Kdv,
    experiments::Arguments { steps: Some(2), ..experiments::Arguments::small() },
    ["largest error of a coefficient in percent"]
);

experiments::test_that_threads_do_not_matter!(
    Kdv,
    experiments::Arguments { steps: Some(3), ..experiments::Arguments::small() },
    ["largest error of a coefficient in percent"]
);
