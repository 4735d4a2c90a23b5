//! Ten bodies under gravity (the paper's section 5.5, Figure 5, Table 2): an MNN whose equations are
//! Newton's learns the masses and the force from the first half of a trajectory and predicts the second.
//! A Neural ODE that is trained for longer is the baseline.

use std::process::ExitCode;

use experiments::many_bodies::{BODIES, STATE, newton, pairs, simulated, ways};
use experiments::{
    Experiment, Lab, NeuralOde, Report, column, position_error, runge_kutta, solve_newton,
};
use figures::{Axis, Color, Figure, Mark, Panel, Series};
use mechanistic::nn::{
    Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Schedule, Training,
};
use mechanistic::tape::{Array, Tape, Var};
use mechanistic::{Backend, Cpu, Result};

struct NBody;

/// Time between two points.
const H: f64 = 0.0025;
/// Points of the pieces that training solves, and how many of them make a batch.
const SEGMENT: usize = 10;
const SEGMENTS: usize = 16;

/// c_i u_i'' = Σ_j F_ij for each coordinate of each body, F_ij = q_i q_j g(|r|) r, where r is the way
/// from body i to body j and ln g a network of ln |r|².
struct Mnn {
    law: Mlp,
    /// (BODIES): c.
    coefficients: ParameterId,
    /// (BODIES): ln q.
    charges: ParameterId,
}

impl Mnn {
    fn new(parameters: &mut Parameters<f64>, rng: &mut Rng) -> Result<Self> {
        let zeros = Array::vector(vec![0.0; BODIES]);
        let ones = Array::vector(vec![1.0; BODIES]);
        Ok(Mnn {
            law: Mlp::new(parameters, "law", &[1, 16, 16, 1], Activation::Tanh, rng)?,
            coefficients: parameters.insert("coefficients", ones)?,
            charges: parameters.insert("charges", zeros)?,
        })
    }

    /// Records q_i q_j g (T, pairs) at states (T, STATE).
    fn factors<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        states: &[f64],
    ) -> Result<Var> {
        let count = pairs().count();
        let squares = states.chunks_exact(STATE).flat_map(ways);
        let squares = squares.map(|way| (way[0] * way[0] + way[1] * way[1]).ln()).collect();
        let squares = tape.constant(Array::new([states.len() / STATE * count, 1], squares)?);
        let law = self.law.forward(tape, parameters, squares)?;
        let law = tape.reshape(law, [states.len() / STATE, count])?;
        let charges = tape.parameter(parameters, self.charges)?;
        let (first, second): (Vec<usize>, Vec<usize>) = pairs().unzip();
        let first = tape.gather(charges, 0, &first)?;
        let second = tape.gather(charges, 0, &second)?;
        let both = tape.add(first, second)?;
        let logarithm = tape.add(law, both)?;
        tape.exp(logarithm)
    }

    /// Solves each piece of SEGMENT points from its first state, with the forces at the measured
    /// states: (S, SEGMENT, STATE).
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        states: &[f64],
    ) -> Result<Var> {
        let (points, count) = (states.len() / STATE, pairs().count());
        let segments = points / SEGMENT;
        let factors = self.factors(tape, parameters, states)?;
        let factors = tape.reshape(factors, [points, count, 1])?;
        let r = states.chunks_exact(STATE).flat_map(ways).flatten().collect();
        let r = tape.constant(Array::new([points, count, 2], r)?);
        let forces = tape.mul(factors, r)?;
        let forces = tape.permute(forces, &[0, 2, 1])?;
        let mut acts = Array::full([count, BODIES], 0.0)?;
        for (pair, (i, j)) in pairs().enumerate() {
            acts.data_mut()[pair * BODIES + i] = 1.0;
            acts.data_mut()[pair * BODIES + j] = -1.0;
        }
        let acts = tape.constant(acts);
        let forces = tape.matmul(forces, acts)?;
        let forces = tape.reshape(forces, [segments, SEGMENT, 2, BODIES])?;
        let forces = tape.permute(forces, &[0, 3, 2, 1])?;
        let forces = tape.reshape(forces, [segments, STATE / 2, SEGMENT])?;
        let coefficients = tape.parameter(parameters, self.coefficients)?;
        let coefficients = tape.reshape(coefficients, [BODIES, 1])?;
        let coefficients = tape.broadcast_to(coefficients, [BODIES, 2])?;
        solve_newton(tape, coefficients, forces, states, H)
    }
}

/// Trains a model, given by its forward pass, on random pieces of the data; returns the seconds too.
fn fit<B: Backend>(
    lab: &Lab<B>,
    name: &str,
    parameters: Parameters<f64>,
    data: &[f64],
    steps: u64,
    forward: impl Fn(&mut Tape<f64, B>, &Parameters<f64, B>, &[f64]) -> Result<Var>,
) -> Result<(Training<f64, B>, f64, f64)> {
    let schedule = Schedule::Cosine { steps, floor: 0.001 };
    let optimizer = Optimizer::new(Rule::adam(), 0.01).with_schedule(schedule);
    let training = Training::new(parameters, optimizer, lab.backend.clone())?;
    let (training, history) = lab.train(name, training, steps, |tape, parameters, step| {
        let mut rng = lab.rng(1000 + step);
        let places = (data.len() / STATE - SEGMENT + 1) as f64;
        let starts = (0..SEGMENTS).map(|_| STATE * (places * rng.uniform()) as usize);
        let pieces = starts.flat_map(|from| data[from..from + STATE * SEGMENT].to_vec());
        let pieces: Vec<f64> = pieces.collect();
        let states = forward(tape, parameters, &pieces)?;
        let measured = tape.constant(Array::new([SEGMENTS, SEGMENT, STATE], pieces)?);
        tape.mse(states, measured)
    })?;
    Ok((training, history.last_loss(), history.seconds()))
}

impl Experiment for NBody {
    const NAME: &'static str = "n_body";
    const ABOUT: &'static str = "Predicts the motion of ten bodies";

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let points = lab.arguments.scale(400, 4000, 4000);
        // The Neural ODE takes four times as many, which lasts at least as long.
        let steps = lab.steps(lab.arguments.scale(150, 5000, 5000));
        let truth = simulated(points, H, &mut lab.rng(0))?;
        // The last point of training is the first of the prediction.
        let (data, _) = truth.split_at(STATE * points / 2);
        let future = &truth[data.len() - STATE..];
        let ahead = future.len() / STATE;

        let mut parameters = Parameters::new();
        let mnn = Mnn::new(&mut parameters, &mut lab.rng(1))?;
        let (training, loss, seconds) =
            fit(lab, "mnn", parameters, data, steps, |tape, p, pieces| {
                mnn.forward(tape, p, pieces)
            })?;
        let parameters = training.parameters.to::<Cpu>()?;
        let masses = parameters.get(mnn.coefficients)?.data();
        let field = |_: f64, state: &[f64], out: &mut [f64]| {
            let mut tape = Tape::new();
            let factors = mnn.factors(&mut tape, &parameters, state);
            match factors.and_then(|factors| tape.value(factors)) {
                Ok(factors) => newton(masses, state, factors.data(), out),
                Err(_) => out.fill(f64::NAN),
            }
        };
        let by_mnn = runge_kutta(field, &future[..STATE], H, ahead).concat();

        let mut parameters = Parameters::new();
        let sizes = [64, 64];
        let ode = NeuralOde::new(&mut parameters, "net", STATE, &sizes, &mut lab.rng(2))?;
        let (training, loss_of_ode, baseline) =
            fit(lab, "neural-ode", parameters, data, 4 * steps, |tape, p, pieces| {
                let starts = pieces.chunks_exact(STATE * SEGMENT);
                let starts = starts.flat_map(|u| u[..STATE].to_vec()).collect();
                let starts = tape.constant(Array::new([SEGMENTS, STATE], starts)?);
                ode.forward(tape, p, starts, H, SEGMENT)
            })?;
        let by_ode = ode.predict(&training.parameters, &future[..STATE], H, ahead)?;

        let panel = |title: &str, predicted: &[f64]| {
            let paths = |states: &[f64]| -> Vec<_> {
                let path = |i| column(states, STATE, 2 * i, 2 * i + 1);
                (0..BODIES).map(|i| path(i).into_iter().step_by(5).collect()).collect()
            };
            let line = |name, color, width, states: &[f64]| {
                Series::new(name, color, Mark::Line(width), paths(states))
            };
            let ends = paths(&future[future.len() - STATE..]).concat();
            Panel::new(title, Axis::new("x"), Axis::new("y"))
                .with(line("training", Color::SKY, 1.0, data))
                .with(line("truth", Color::GRAY, 3.0, future))
                .with(line("predicted", Color::VERMILION, 1.25, predicted).without_framing())
                .with(Series::dots("true end", Color::BLACK, ends))
        };
        let panels = vec![panel("MNN", &by_mnn), panel("Neural ODE", &by_ode)];
        Ok(Report::new(Figure::grid(2, 480, 460, panels))
            .with("prediction error, MNN", position_error(STATE, &by_mnn, future))
            .with("prediction error, Neural ODE", position_error(STATE, &by_ode, future))
            .with("loss of the last step, MNN", loss)
            .with("loss of the last step, Neural ODE", loss_of_ode)
            .with("seconds of training, MNN", seconds)
            .with("seconds of training, Neural ODE", baseline))
    }
}

fn main() -> ExitCode {
    experiments::run::<NBody>()
}

experiments::test_on_the_cpu!(NBody, experiments::Arguments::small(), |report: Report| {
    let error = |method: &str| report.value(&format!("prediction error, {method}"));
    assert!(error("MNN") < 0.5 * error("Neural ODE"), "{report}");
});

experiments::test_that_devices_agree!(
    NBody,
    experiments::Arguments { steps: Some(2), ..experiments::Arguments::small() },
    ["loss of the last step, MNN", "loss of the last step, Neural ODE"]
);
