//! The solver against Runge-Kutta in training (the paper's section 5.7, Table 3): noisy sines of
//! growing length are fitted by an ODE that the solver solves for all steps at once, and by a Neural
//! ODE that the Runge-Kutta method integrates step by step.

use std::f64::consts::TAU;
use std::process::ExitCode;

use experiments::{Experiment, Lab, NeuralOde, Report, SineFit};
use figures::{Axis, Color, Figure, Panel, Points, Series};
use mechanistic::nn::{Optimizer, ParameterId, Parameters, Rule, Training};
use mechanistic::tape::{Array, Tape, Var};
use mechanistic::{Backend, DeviceName, Result};

struct SolverVsRk4;

/// sin(TAU t / PERIOD), H apart, with normal noise of this deviation, new in each step.
const PERIOD: f64 = 5.0;
const H: f64 = SineFit::H;
const NOISE: f64 = 0.1;
const ITERATIONS: u64 = 100;

fn target(t: f64) -> f64 {
    (TAU * t / PERIOD).sin()
}

/// The first of two states of a Neural ODE, whose initial values are learned too.
struct Baseline {
    ode: NeuralOde,
    start: ParameterId,
}

impl Baseline {
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        points: usize,
    ) -> Result<Var> {
        let start = tape.parameter(parameters, self.start)?;
        let states = self.ode.forward(tape, parameters, start, H, points)?;
        let u = tape.slice(states, 2, 0..1)?;
        tape.reshape(u, [1, points])
    }
}

/// What 100 iterations gave.
struct Outcome {
    seconds: f64,
    /// The last mean square error to the noisy data.
    loss: f64,
    u: Vec<f64>,
}

/// Trains a model, given by its forward pass.
fn fit<B: Backend>(
    lab: &Lab<B>,
    name: &str,
    points: usize,
    rate: f64,
    parameters: Parameters<f64>,
    forward: impl Fn(&mut Tape<f64, B>, &Parameters<f64, B>) -> Result<Var>,
) -> Result<Outcome> {
    let optimizer = Optimizer::new(Rule::adam(), rate).with_clip(SineFit::CLIP);
    let training = Training::new(parameters, optimizer, lab.backend.clone())?;
    let (mut training, history) = lab.train(
        &format!("{name}-{points}"),
        training,
        lab.steps(ITERATIONS),
        |tape, parameters, step| {
            let mut rng = lab.rng(step);
            let noisy = (0..points).map(|i| target(H * i as f64) + NOISE * rng.normal()).collect();
            let noisy = tape.constant(Array::new([1, points], noisy)?);
            let u = forward(tape, parameters)?;
            tape.mse(u, noisy)
        },
    )?;
    let u = training.evaluate(|tape, parameters| {
        let u = forward(tape, parameters)?;
        Ok(tape.value(u)?.data().to_vec())
    })?;
    Ok(Outcome { seconds: history.seconds(), loss: history.last_loss(), u })
}

impl Experiment for SolverVsRk4 {
    const NAME: &'static str = "solver_vs_rk4";
    const ABOUT: &'static str = "Times training through the solver and through Runge-Kutta";

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        // The simulated device is slow: its test is short.
        let small: &[usize] = if lab.arguments.device == DeviceName::Cpu { &[200] } else { &[10] };
        let lengths = &[50, 100, 200, 500, 1000, 2000];
        let lengths = lab.arguments.scale(small, &lengths[..5], lengths);
        let mut report = Report::default();
        let names = [("solver", Color::BLUE), ("Runge-Kutta", Color::VERMILION)];
        let (mut times, mut losses) = ([vec![], vec![]], [vec![], vec![]]);
        let mut learned = Panel::default();
        for &points in lengths {
            let mut parameters = Parameters::new();
            let mnn = SineFit::new(&mut parameters, points)?;
            let by_solver =
                fit(lab, "solver", points, SineFit::RATE, parameters, |tape, parameters| {
                    mnn.forward(tape, parameters, points)
                })?;
            let mut parameters = Parameters::new();
            let ode = NeuralOde::new(&mut parameters, "net", 2, &[32], &mut lab.rng(1000))?;
            let start = parameters.insert("start", Array::new([1, 2], vec![0.0, 0.5])?)?;
            let baseline = Baseline { ode, start };
            let by_runge_kutta =
                fit(lab, "runge-kutta", points, 0.02, parameters, |tape, parameters| {
                    baseline.forward(tape, parameters, points)
                })?;

            let time = |i: usize| H * i as f64;
            let curve = |u: &[f64]| -> Points {
                u.iter().enumerate().map(|(i, u)| (time(i), *u)).take(200).collect()
            };
            let exact: Vec<f64> = (0..points).map(|i| target(time(i))).collect();
            let title = format!("{points} points, the first 20 s");
            learned = Panel::new(&title, Axis::new("t"), Axis::over("u", -1.6..1.6))
                .with(Series::line("sine", Color::GRAY, 3.5, curve(&exact)));
            for (method, outcome) in [&by_solver, &by_runge_kutta].into_iter().enumerate() {
                let (name, color) = names[method];
                let length = points as f64;
                report = report
                    .with(&format!("{points} points, {name}: seconds"), outcome.seconds)
                    .with(&format!("{points} points, {name}: final loss"), outcome.loss);
                times[method].push((length, outcome.seconds));
                losses[method].push((length, outcome.loss));
                learned = learned.with(Series::line(name, color, 1.25, curve(&outcome.u)));
            }
            let ratio = by_runge_kutta.seconds / by_solver.seconds;
            let name = format!("{points} points: times as fast");
            report = match points {
                1000 => report.with_paper(&name, "about 200", ratio),
                _ => report.with(&name, ratio),
            };
        }
        let against_length = |title: &str, axis: &str, values: [Points; 2]| {
            let panel = Panel::new(title, Axis::logarithmic("points"), Axis::logarithmic(axis));
            names.iter().zip(values).fold(panel, |panel, ((name, color), values)| {
                panel
                    .with(Series::line(name, *color, 1.5, values.clone()))
                    .with(Series::dots("", *color, values))
            })
        };
        let time = against_length("100 iterations", "seconds", times);
        let loss = against_length("after 100 iterations", "loss", losses);
        report.figure = Figure::grid(3, 420, 300, vec![time, loss, learned]);
        Ok(report)
    }
}

fn main() -> ExitCode {
    experiments::run::<SolverVsRk4>()
}

experiments::test_on_the_cpu!(SolverVsRk4, experiments::Arguments::small(), |report: Report| {
    let loss = |method: &str| report.value(&format!("200 points, {method}: final loss"));
    assert!(loss("solver") < 2.0 * NOISE * NOISE, "{report}");
    assert!(loss("Runge-Kutta") > 2.0 * loss("solver"), "{report}");
});

experiments::test_on_the_device!(SolverVsRk4, experiments::Arguments::small(), |report: Report| {
    assert!(report.value("10 points, solver: final loss") < 3.0 * NOISE * NOISE, "{report}");
});
