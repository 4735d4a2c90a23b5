//! Two bodies under gravity (the paper's section 5.4, Figure 6): a Mechanistic Neural Network whose
//! equations are Newton's, c u'' = F, learns the force and, as the ratio of its coefficients, the
//! ratio of the masses. A Neural ODE of the same data is the baseline of prediction.

use std::process::ExitCode;

use experiments::{
    Experiment, Lab, NeuralOde, Report, column, position_error, relative_rms, runge_kutta,
    solve_newton, trajectories, two_bodies,
};
use figures::{Axis, Color, Figure, Mark, Panel, Series};
use mechanistic::nn::{
    Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Schedule, Training,
};
use mechanistic::tape::{Array, Tape, Var};
use mechanistic::{Backend, Cpu, Result};

struct TwoBody;

/// Time between two points.
const H: f64 = 0.02;
/// Points of training, the first of all.
const POINTS: usize = 200;
/// Points of the pieces that training solves.
const SEGMENT: usize = 20;
/// Points in all: what follows is predicted.
const ALL: usize = 400;

/// c u'' = ±F for each coordinate of each body, opposite for the two as Newton's third law demands:
/// F = g(|r|²) r, where r is the way from the first body to the second and g a network.
struct Mnn {
    force: Mlp,
    /// (4): of x₁, y₁, x₂, y₂.
    coefficients: ParameterId,
}

impl Mnn {
    fn new(parameters: &mut Parameters<f64>, rng: &mut Rng) -> Result<Self> {
        let force = Mlp::new(parameters, "force", &[1, 32, 32, 1], Activation::Tanh, rng)?;
        let coefficients = parameters.insert("coefficients", Array::vector(vec![1.0; 4]))?;
        Ok(Mnn { force, coefficients })
    }

    /// F (N, 2) at the states (N, 8).
    fn force<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        states: &[f64],
    ) -> Result<Var> {
        let r = states.chunks_exact(8).flat_map(|u| [u[2] - u[0], u[3] - u[1]]);
        let r = tape.constant(Array::new([states.len() / 8, 2], r.collect())?);
        let square = tape.square(r)?;
        let square = tape.sum(square, &[1], true)?;
        let g = self.force.forward(tape, parameters, square)?;
        tape.mul(g, r)
    }

    /// Solves each piece of SEGMENT points from its first state, with the forces at the measured
    /// states (POINTS, 8): (S, SEGMENT, 8).
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        data: &[f64],
    ) -> Result<Var> {
        let segments = data.len() / (8 * SEGMENT);
        let force = self.force(tape, parameters, data)?;
        let opposite = tape.neg(force)?;
        let rhs = tape.concat(&[force, opposite], 1)?;
        let rhs = tape.reshape(rhs, [segments, SEGMENT, 4])?;
        let rhs = tape.permute(rhs, &[0, 2, 1])?;
        let coefficients = tape.parameter(parameters, self.coefficients)?;
        solve_newton(tape, coefficients, rhs, data, H)
    }

    /// F (N, 2) at states (N, 8), as numbers.
    fn forces(&self, parameters: &Parameters<f64>, states: &[f64]) -> Result<Vec<f64>> {
        let mut tape = Tape::new();
        let force = self.force(&mut tape, parameters, states)?;
        Ok(tape.value(force)?.data().to_vec())
    }
}

struct Learned {
    coefficients: Vec<f64>,
    /// F (POINTS, 2) on the first body, along the training data.
    forces: Vec<f64>,
    /// (ALL, 8), by the learned equations alone from the first state.
    states: Vec<f64>,
}

/// Trains a model, given by its forward pass, on all pieces of the data.
fn fit<B: Backend>(
    lab: &Lab<B>,
    name: &str,
    parameters: Parameters<f64>,
    data: &[f64],
    steps: u64,
    forward: impl Fn(&mut Tape<f64, B>, &Parameters<f64, B>) -> Result<Var>,
) -> Result<Training<f64, B>> {
    let schedule = Schedule::Cosine { steps, floor: 0.001 };
    let optimizer = Optimizer::new(Rule::adam(), 0.01).with_schedule(schedule);
    let training = Training::new(parameters, optimizer, lab.backend.clone())?;
    let shape = [data.len() / (8 * SEGMENT), SEGMENT, 8];
    let trained = lab.train(name, training, steps, |tape, parameters, _| {
        let states = forward(tape, parameters)?;
        let measured = tape.constant(Array::new(shape, data.to_vec())?);
        tape.mse(states, measured)
    })?;
    Ok(trained.0)
}

fn learn<B: Backend>(lab: &Lab<B>, data: &[f64], steps: u64) -> Result<Learned> {
    let mut parameters = Parameters::new();
    let mnn = Mnn::new(&mut parameters, &mut lab.rng(1))?;
    let training = fit(lab, "mnn", parameters, data, steps, |tape, parameters| {
        mnn.forward(tape, parameters, data)
    })?;
    let parameters = training.parameters.to::<Cpu>()?;
    let c = parameters.get(mnn.coefficients)?.data().to_vec();
    let field = |_: f64, u: &[f64], out: &mut [f64]| {
        let f = mnn.forces(&parameters, u).unwrap_or(vec![f64::NAN; 2]);
        out[..4].copy_from_slice(&u[4..]);
        out[4..].copy_from_slice(&[f[0] / c[0], f[1] / c[1], -f[0] / c[2], -f[1] / c[3]]);
    };
    let states = runge_kutta(field, &data[..8], H, ALL).concat();
    Ok(Learned { forces: mnn.forces(&parameters, data)?, coefficients: c, states })
}

/// The states (ALL, 8) of a Neural ODE that was trained on the same pieces of the data.
fn baseline<B: Backend>(lab: &Lab<B>, data: &[f64], steps: u64) -> Result<Vec<f64>> {
    let mut parameters = Parameters::new();
    let ode = NeuralOde::new(&mut parameters, "net", 8, &[64, 64], &mut lab.rng(2))?;
    let starts: Vec<f64> = data.chunks_exact(8 * SEGMENT).flat_map(|u| u[..8].to_vec()).collect();
    let training = fit(lab, "neural-ode", parameters, data, steps, |tape, parameters| {
        let starts = Array::new([data.len() / (8 * SEGMENT), 8], starts.clone())?;
        let starts = tape.constant(starts);
        ode.forward(tape, parameters, starts, H, SEGMENT)
    })?;
    ode.predict(&training.parameters, &data[..8], H, ALL)
}

impl Experiment for TwoBody {
    const NAME: &'static str = "two_body";
    const ABOUT: &'static str = "Learns the force between two bodies and the ratio of their masses";

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let steps = lab.steps(lab.arguments.scale(1500, 3000, 20_000));
        let initial = [two_bodies::start(&mut lab.rng(0))];
        let truth =
            trajectories(&two_bodies::TRUTH, &initial, H, ALL)?.trajectories.remove(0).values;
        let (data, future) = truth.split_at(8 * POINTS);
        let learned = learn(lab, data, steps)?;
        let neural = baseline(lab, data, steps.div_ceil(4))?;

        // Only ratios of force and coefficients are determined: the scale comes from the truth.
        let true_forces: Vec<f64> = data.chunks_exact(8).flat_map(two_bodies::force).collect();
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let scale = dot(&learned.forces, &true_forces) / dot(&learned.forces, &learned.forces);
        let forces: Vec<f64> = learned.forces.iter().map(|f| scale * f).collect();
        let force_error = relative_rms(&forces, &true_forces);

        let extent = truth.chunks_exact(8).flat_map(|u| &u[..4]);
        let extent = 1.2 * extent.fold(0.0, |extent: f64, x| extent.max(x.abs()));
        let side = |name| Axis::over(name, -extent..extent);
        let orbit = |title: &str, states: &[f64]| {
            let bodies = |states: &[f64]| vec![column(states, 8, 0, 1), column(states, 8, 2, 3)];
            let predicted = &states[8 * POINTS..];
            let line =
                |name, color, width, curves| Series::new(name, color, Mark::Line(width), curves);
            Panel::new(title, side("x"), side("y"))
                .with(line("true orbit", Color::GRAY, 3.5, bodies(&truth)))
                .with(line("fitted", Color::BLUE, 1.5, bodies(&states[..8 * POINTS])))
                .with(line("predicted", Color::VERMILION, 1.5, bodies(predicted)))
        };
        let longest = true_forces.iter().fold(0.0, |longest: f64, f| longest.max(f.abs()));
        let arrows = |name, color, width, forces: &[f64]| {
            let pairs = data.chunks_exact(8).zip(forces.chunks_exact(2)).step_by(5);
            let head = |u: f64, f: f64| u + f / longest;
            let arrow =
                pairs.map(|(u, f)| vec![(u[0], u[1]), (head(u[0], f[0]), head(u[1], f[1]))]);
            Series::new(name, color, Mark::Arrows(width), arrow.collect())
        };
        let panel = Panel::new("force on the first body", side("x"), side("y"))
            .with(Series::line("", Color::GRAY, 1.0, column(data, 8, 0, 1)))
            .with(arrows("true force", Color::GRAY, 3.5, &true_forces))
            .with(arrows("learned force", Color::GREEN, 1.25, &forces));
        let panels = vec![orbit("MNN", &learned.states), orbit("Neural ODE", &neural), panel];

        let c = &learned.coefficients;
        let equation = |i: usize, u, f| format!("{:.4} {u}'' = {f}\n", c[i]);
        let names = [("x1", "Fx"), ("y1", "Fy"), ("x2", "-Fx"), ("y2", "-Fy")];
        let equations = (0..).zip(names).map(|(i, (u, f))| equation(i, u, f));
        let later = |states: &[f64]| position_error(8, &states[8 * POINTS..], future);
        Ok(Report::new(Figure::grid(3, 380, 380, panels))
            .with_equations("MNN", equations.collect::<String>())
            .with_paper("mass ratio, x", "2.013", c[2] / c[0])
            .with_paper("mass ratio, y", "2.128", c[3] / c[1])
            .with_paper("mass ratio", "2.022", (c[2] / c[0] + c[3] / c[1]) / 2.0)
            .with_paper("force error, MNN", "in a figure", force_error)
            .with(
                "fitted orbit, error, MNN",
                position_error(8, &learned.states[..8 * POINTS], data),
            )
            .with("fitted orbit, error, Neural ODE", position_error(8, &neural[..8 * POINTS], data))
            .with_paper("predicted orbit, error, MNN", "in a figure", later(&learned.states))
            .with_paper("predicted orbit, error, Neural ODE", "in a figure", later(&neural)))
    }
}

fn main() -> ExitCode {
    experiments::run::<TwoBody>()
}

experiments::test_on_the_cpu!(TwoBody, experiments::Arguments::small(), |report: Report| {
    let ratio = report.value("mass ratio");
    assert!((ratio / 2.0 - 1.0).abs() < 0.01, "{report}");
});

experiments::test_that_devices_agree!(
    TwoBody,
    experiments::Arguments { steps: Some(2), ..experiments::Arguments::small() },
    ["mass ratio", "fitted orbit, error, MNN", "fitted orbit, error, Neural ODE"]
);
