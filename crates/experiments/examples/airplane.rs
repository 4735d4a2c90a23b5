//! Vibrations of an airplane (the paper's section 5.3, Figure 4): the acceleration of one point of a
//! wing from that of another, by a network that puts out non-autonomous linear ODEs of second order.
//!
//! The data are the F-16 ground vibration benchmark (Noël and Schoukens, 2017), published on
//! <https://www.nonlinearbenchmark.org>: `--data F16Data_FullMSine_Level1.csv`, of which the columns
//! Acceleration1 and Acceleration2 are used. Without a file, a simulated structure of two modes with
//! clearance takes the airplane's place.

use std::process::ExitCode;

use experiments::{Experiment, Lab, Report, Vibrations};
use figures::{Axis, Color, Figure, Panel, Points, Series};
use mechanistic::nn::{
    Activation, Initializer, Linear, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Schedule,
    Training,
};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Inputs, Options, Result};

struct Airplane;

/// Samples of training, the first of all.
const TRAINING: usize = 1000;
/// Samples in all: what follows is predicted.
const ALL: usize = 5000;
/// The network sees so many samples of the first acceleration on either side of each point.
const REACH: usize = 8;
const WINDOW: usize = 2 * REACH + 1;
/// How far the network can move the logarithm of a coefficient.
const MODULATION: f64 = 0.01;

/// What the network sees at the first `points` points, (N, WINDOW), of deviation 1 in training.
fn windows(input: &[f64], points: usize) -> Result<Array<f64>> {
    let square = input[..TRAINING].iter().map(|a| a * a).sum::<f64>();
    let deviation = (square / TRAINING as f64).sqrt();
    let at = |t: usize| t.checked_sub(REACH).and_then(|t| input.get(t)).unwrap_or(&0.0);
    let windows = (0..points).flat_map(|t| (t..t + WINDOW).map(at));
    Array::new([points, WINDOW], windows.map(|a| a / deviation).collect())
}

/// u'' + c₁(t) u' + c₀(t) u = b(t) for each of M modes, whose coefficients a network puts
/// out and whose right-hand sides are linear in what it sees; the acceleration is a linear combination of all u, u' and u''.
struct Mnn {
    modes: usize,
    network: Mlp,
    drive: Linear,
    /// Logarithms of the coefficients (2, M) where the network puts out 0.
    coefficients: ParameterId,
    start: ParameterId,
    readout: ParameterId,
    /// (M, 3): makes u, u' and u'' of similar size.
    units: Array<f64>,
}

impl Mnn {
    /// Begins with lightly damped modes whose frequencies cover the benchmark's.
    fn new(parameters: &mut Parameters<f64>, modes: usize, rng: &mut Rng) -> Result<Self> {
        let frequencies: Vec<f64> =
            (0..modes).map(|m| 0.05 + 0.95 * (m as f64 + 0.5) / modes as f64).collect();
        let squares = frequencies.iter().map(|w| (w * w).ln());
        let damping = frequencies.iter().map(|w| (0.06 * w).ln());
        let coefficients = Array::new([2, modes], squares.chain(damping).collect())?;
        let units = frequencies.iter().flat_map(|w| [w * w, *w, 1.0]).collect();
        let xavier = Initializer::XavierUniform;
        let sizes = [WINDOW, 32, 2 * modes];
        Ok(Mnn {
            modes,
            network: Mlp::new(parameters, "network", &sizes, Activation::Tanh, rng)?,
            drive: Linear::new(parameters, "drive", WINDOW, modes, xavier, rng)?,
            coefficients: parameters.insert("coefficients", coefficients)?,
            start: parameters.insert("start", Array::full([modes, 1, 1, 2], 0.0)?)?,
            readout: parameters
                .insert("readout", Initializer::Normal(0.03).sample(modes, 3, rng)?)?,
            units: Array::new([modes, 3], units)?,
        })
    }

    /// Records the acceleration (N) and the coefficients (2, M, N) for windows (N, WINDOW).
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        windows: &Array<f64, B>,
    ) -> Result<(Var, Var)> {
        let (modes, points) = (self.modes, windows.shape()[0]);
        let windows = tape.constant_from(windows)?;
        let raw = self.network.forward(tape, parameters, windows)?;
        let raw = tape.reshape(raw, [points, 2, modes])?;
        let raw = tape.permute(raw, &[1, 2, 0])?;
        let bounded = tape.tanh(raw)?;
        let modulation = tape.scale(bounded, MODULATION)?;
        let rest = tape.parameter(parameters, self.coefficients)?;
        let rest = tape.reshape(rest, [2, modes, 1])?;
        let logarithms = tape.add(rest, modulation)?;
        let lower = tape.exp(logarithms)?;
        let one = tape.constant(Array::full([1, modes, points], 1.0)?);
        let coefficients = tape.concat(&[lower, one], 0)?;
        let coefficients = tape.permute(coefficients, &[1, 2, 0])?;

        let rhs = self.drive.forward(tape, parameters, windows)?;
        let rhs = tape.permute(rhs, &[1, 0])?;
        let ode = Ode {
            batch: modes,
            points,
            inputs: Inputs {
                coefficients: tape.reshape(coefficients, [modes, points, 1, 1, 3])?,
                rhs: tape.reshape(rhs, [modes, points, 1])?,
                initial_values: tape.parameter(parameters, self.start)?,
                steps: tape.constant(Array::full([1, 1], 1.0)?),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = tape.slice(solution, 3, 0..3)?;
        let u = tape.reshape(u, [modes, points, 3])?;
        let u = tape.permute(u, &[1, 0, 2])?;
        let u = tape.reshape(u, [points, 3 * modes])?;
        let units = tape.constant(self.units.clone());
        let readout = tape.parameter(parameters, self.readout)?;
        let readout = tape.mul(readout, units)?;
        let readout = tape.reshape(readout, [3 * modes, 1])?;
        let acceleration = tape.matmul(u, readout)?;
        Ok((tape.reshape(acceleration, [points])?, lower))
    }
}

/// The mean of the squared differences.
fn mean_square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
}

impl Experiment for Airplane {
    const NAME: &'static str = "airplane";
    const ABOUT: &'static str = "Models the vibrations of an airplane (--data F16.csv)";
    const TAKES_DATA: bool = true;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let steps = lab.steps(lab.arguments.scale(100, 2000, 6000));
        let modes = lab.arguments.scale(6, 16, 24);
        let signals = match &lab.arguments.data {
            Some(path) => Vibrations::read(path, ALL)?,
            None => Vibrations::simulated(ALL, &mut lab.rng(0)),
        };
        let signals = signals.centered(TRAINING);
        let mut parameters = Parameters::new();
        let mnn = Mnn::new(&mut parameters, modes, &mut lab.rng(1))?;
        let schedule = Schedule::Cosine { steps, floor: 0.01 };
        let optimizer = Optimizer::new(Rule::adam(), 0.02).with_schedule(schedule).with_clip(1.0);
        let training = Training::new(parameters, optimizer, lab.backend.clone())?;
        let (seen, future) = signals.output.split_at(TRAINING);
        let first = B::wrap(windows(&signals.input, TRAINING)?);
        let measured = B::wrap(Array::vector(seen.to_vec()));
        let (mut training, history) =
            lab.train("mnn", training, steps, |tape, parameters, _| {
                let (acceleration, _) = mnn.forward(tape, parameters, &first)?;
                let measured = tape.constant_from(&measured)?;
                tape.mse(acceleration, measured)
            })?;
        let all = B::wrap(windows(&signals.input, ALL)?);
        let (found, coefficients) = training.evaluate(|tape, parameters| {
            let (acceleration, coefficients) = mnn.forward(tape, parameters, &all)?;
            let found = tape.value(acceleration)?.data().to_vec();
            Ok((found, tape.value(coefficients)?.data().to_vec()))
        })?;

        let curve = |values: &[f64], range: std::ops::Range<usize>| -> Points {
            range.map(|t| (t as f64, values[t])).collect()
        };
        let acceleration = |title: &str, range: std::ops::Range<usize>| {
            Panel::new(title, Axis::new("sample"), Axis::new("a2"))
                .with(Series::line(
                    "measured",
                    Color::GRAY,
                    3.0,
                    curve(&signals.output, range.clone()),
                ))
                .with(Series::line("MNN", Color::VERMILION, 1.25, curve(&found, range)))
        };
        let mut smallest = f64::INFINITY;
        let mut best = |(step, loss): (usize, &f64)| {
            smallest = smallest.min(*loss);
            (step as f64, smallest)
        };
        let axes = (Axis::new("training step"), Axis::logarithmic("smallest loss so far"));
        let loss = history.losses.iter().enumerate().map(&mut best).collect();
        let loss =
            Panel::new("training", axes.0, axes.1).with(Series::line("", Color::BLUE, 1.5, loss));
        let mut equation =
            Panel::new("stiffness of some modes", Axis::new("sample"), Axis::new("c0"));
        let colors = [Color::BLUE, Color::GREEN, Color::PURPLE];
        for (mode, color) in (0..modes).step_by(modes / 3).zip(colors) {
            let own = &coefficients[mode * ALL..(mode + 1) * ALL];
            equation = equation.with(Series::line("", color, 1.25, curve(own, 0..300)));
        }
        let panels = vec![
            acceleration("training samples", 0..300),
            loss,
            acceleration("predicted samples", 3000..3300),
            equation,
        ];
        let trained = mean_square(&found[..TRAINING], seen);
        let predicted = mean_square(&found[TRAINING..], future);
        Ok(Report::new(Figure::grid(2, 560, 260, panels))
            .with_paper(
                "mean square error, training",
                "half that of a second-order Neural ODE",
                trained,
            )
            .with("mean square error, prediction", predicted)
            .with("mean square of the predicted signal", mean_square(future, &vec![0.0; ALL]))
            .with("seconds of training", history.seconds()))
    }
}

fn main() -> ExitCode {
    experiments::run::<Airplane>()
}

experiments::test_on_the_cpu!(Airplane, experiments::Arguments::small(), |report: Report| {
    let signal = report.value("mean square of the predicted signal");
    assert!(report.value("mean square error, training") < 0.05 * signal, "{report}");
    assert!(report.value("mean square error, prediction") < 0.1 * signal, "{report}");
});

experiments::test_that_devices_agree!(
    Airplane,
    experiments::Arguments { steps: Some(2), ..experiments::Arguments::small() },
    ["mean square error, training", "mean square error, prediction"]
);

experiments::test_that_threads_do_not_matter!(
    Airplane,
    experiments::Arguments { steps: Some(3), ..experiments::Arguments::small() },
    ["mean square error, training", "mean square error, prediction"]
);
