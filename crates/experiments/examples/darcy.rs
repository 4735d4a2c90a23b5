//! Darcy flow (the paper's section 5.6, Figure 13, Table 1): the pressure in a porous square from its
//! permeability, by a network of Mechanistic Neural Network modules. Each solves ODEs along the rows
//! and columns of a coarser map, whose coefficients convolutions put out.
//!
//! The data set is written to `darcy.safetensors` beside the figure, for the baseline
//! benches/peers/fno_darcy.py.

use std::process::ExitCode;

use experiments::{Darcy, Experiment, Lab, Report};
use mechanistic::nn::{
    Activation, Conv2d, Initializer, Linear, Mlp, Optimizer, Parameters, Resize, Rng, Rule,
    Schedule, Training,
};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Inputs, Options, Result};

struct DarcyFlow;

/// Numbers that describe an ODE at a point: two coefficients, the right-hand side, and its part in
/// the two initial values.
const NUMBERS: usize = 5;
/// The time of an ODE, from one edge to the other.
const TIME: f64 = 2.0;
/// Bound of the coefficients.
const BOUND: f64 = 4.0;
/// The pressure is of this size.
const PRESSURE: f64 = 0.01;

/// The sizes of a network.
#[derive(Clone, Copy)]
struct Sizes {
    /// Points along a side of the maps.
    side: usize,
    /// Points along a side of the coarser maps, and steps of an ODE.
    coarse: usize,
    channels: usize,
    /// ODEs on a row or column.
    odes: usize,
}

/// A module: (B, side, side, channels) to the same, by the solutions of ODEs.
struct Module<B: Backend> {
    sizes: Sizes,
    downsample: Resize<f64, B>,
    convolution: Conv2d,
    equations: Linear,
    upsample: Resize<f64, B>,
    combination: Mlp,
}

impl<B: Backend> Module<B> {
    fn new(p: &mut Parameters<f64>, name: &str, sizes: Sizes, rng: &mut Rng) -> Result<Self> {
        let Sizes { side, coarse, channels, odes } = sizes;
        let name = |part: &str| format!("{name}.{part}");
        let (he, xavier) = (Initializer::HeUniform, Initializer::XavierUniform);
        let numbers = 2 * odes * NUMBERS;
        let together = [channels + 2 * odes, 2 * channels, channels];
        Ok(Module {
            sizes,
            downsample: Resize::new([side; 2], [coarse; 2])?,
            convolution: Conv2d::new(p, &name("convolution"), [channels; 2], 3, he, rng)?,
            equations: Linear::new(p, &name("equations"), channels, numbers, xavier, rng)?,
            upsample: Resize::new([coarse; 2], [side; 2])?,
            combination: Mlp::new(p, &name("combination"), &together, Activation::Gelu, rng)?,
        })
    }

    fn forward(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        features: Var,
    ) -> Result<Var> {
        let coarse = self.downsample.forward(tape, features)?;
        let surroundings = self.convolution.forward(tape, parameters, coarse)?;
        let surroundings = tape.gelu(surroundings)?;
        let numbers = self.equations.forward(tape, parameters, surroundings)?;
        let solutions = self.solve(tape, numbers)?;
        let solutions = self.upsample.forward(tape, solutions)?;
        let both = tape.concat(&[features, solutions], 3)?;
        let change = self.combination.forward(tape, parameters, both)?;
        tape.add(features, change)
    }

    /// Solves u'' + c₁(t) u' + c₀(t) u = b(t) on every row and column of the map of their numbers
    /// (B, s, s, 2·odes·NUMBERS), with t along it: (B, s, s, 2·odes).
    fn solve(&self, tape: &mut Tape<f64, B>, numbers: Var) -> Result<Var> {
        let Sizes { coarse: s, odes, .. } = self.sizes;
        let maps = tape.shape(numbers)?[0];
        let batch = 2 * maps * s * odes;
        let numbers = tape.reshape(numbers, [maps, s, s, 2, odes, NUMBERS])?;
        // (B, line, ODE, time, number), for rows and columns.
        let orders = [[0, 1, 4, 2, 3, 5], [0, 2, 4, 1, 3, 5]];
        let mut lines = [numbers; 2];
        for (axis, order) in orders.iter().enumerate() {
            let own = tape.slice(numbers, 3, axis..axis + 1)?;
            lines[axis] = tape.permute(own, order)?;
        }
        let lines = tape.concat(&lines, 0)?;
        let lines = tape.reshape(lines, [batch, s, NUMBERS])?;
        let lower = tape.slice(lines, 2, 0..2)?;
        let lower = tape.tanh(lower)?;
        let lower = tape.scale(lower, BOUND)?;
        let one = tape.constant(Array::scalar(1.0));
        let one = tape.broadcast_to(one, [batch, s, 1])?;
        let coefficients = tape.concat(&[lower, one], 2)?;
        let rhs = tape.slice(lines, 2, 2..3)?;
        let start = tape.slice(lines, 2, 3..5)?;
        let start = tape.mean(start, &[1], false)?;
        let ode = Ode {
            batch,
            points: s,
            inputs: Inputs {
                coefficients: tape.reshape(coefficients, [batch, s, 1, 1, 3])?,
                rhs,
                initial_values: tape.reshape(start, [batch, 1, 1, 2])?,
                steps: tape.constant(Array::full([1, 1], TIME / (s - 1) as f64)?),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = tape.slice(solution, 3, 0..1)?;
        let u = tape.reshape(u, [2, maps, s, odes, s])?;
        let mut maps_of = [u; 2];
        for (axis, order) in [[0, 1, 2, 4, 3], [0, 1, 4, 2, 3]].iter().enumerate() {
            let own = tape.slice(u, 0, axis..axis + 1)?;
            let own = tape.permute(own, order)?;
            maps_of[axis] = tape.reshape(own, [maps, s, s, odes])?;
        }
        tape.concat(&maps_of, 3)
    }
}

/// Permeability and place of every point to its pressure: a network of each point, three modules, and
/// another network of each point.
struct Mnn<B: Backend> {
    lifting: Mlp,
    modules: Vec<Module<B>>,
    projection: Mlp,
}

impl<B: Backend> Mnn<B> {
    fn new(p: &mut Parameters<f64>, sizes: Sizes, rng: &mut Rng) -> Result<Self> {
        let (c, gelu) = (sizes.channels, Activation::Gelu);
        let lifting = Mlp::new(p, "lifting", &[4, 2 * c, c], gelu, rng)?;
        let modules = (0..3).map(|i| Module::new(p, &format!("module{i}"), sizes, rng));
        let modules = modules.collect::<Result<_>>()?;
        let projection = Mlp::new(p, "projection", &[c, 2 * c, 1], gelu, rng)?;
        Ok(Mnn { lifting, modules, projection })
    }

    /// Records the pressure (B, side, side, 1) for inputs (B, side, side, 4).
    fn forward(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        inputs: Var,
    ) -> Result<Var> {
        let mut features = self.lifting.forward(tape, parameters, inputs)?;
        for module in &self.modules {
            features = module.forward(tape, parameters, features)?;
        }
        let raw = self.projection.forward(tape, parameters, features)?;
        // The last of the inputs vanishes at the edges, as the pressure does.
        let envelope = tape.slice(inputs, 3, 3..4)?;
        let pressure = tape.mul(raw, envelope)?;
        tape.scale(pressure, PRESSURE)
    }
}

impl Experiment for DarcyFlow {
    const NAME: &'static str = "darcy";
    const ABOUT: &'static str = "Predicts the pressure in a porous square from its permeability";

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let (fine, every) = lab.arguments.scale((21, 2), (141, 5), (421, 5));
        let (count, tests) = lab.arguments.scale((8, 4), (500, 100), (1000, 200));
        let (batch, steps) = lab.arguments.scale((4, 40), (10, 2400), (10, 50_000));
        let steps = lab.steps(steps);
        let training_data = Darcy::new(count, fine, every, &mut lab.rng(0))?;
        let test_data = Darcy::new(tests, fine, every, &mut lab.rng(1))?;
        if !lab.arguments.small {
            let path = lab.arguments.output.join("darcy.safetensors");
            Darcy::write(&path, &training_data, &test_data)?;
        }
        let side = training_data.side;
        let (coarse, channels, odes) = lab.arguments.scale((6, 4, 2), (15, 16, 8), (30, 32, 16));
        let sizes = Sizes { side, coarse, channels, odes };

        let mut parameters = Parameters::new();
        let mnn = Mnn::<B>::new(&mut parameters, sizes, &mut lab.rng(2))?;
        let schedule = Schedule::Cosine { steps, floor: 0.001 };
        let optimizer = Optimizer::new(Rule::adam(), 0.005).with_schedule(schedule).with_clip(1.0);
        let training = Training::new(parameters, optimizer, lab.backend.clone())?;
        let (mut training, history) =
            lab.train("mnn", training, steps, |tape, parameters, step| {
                let mut rng = lab.rng(1000 + step);
                let pick = |_| (rng.uniform() * count as f64) as usize;
                let [inputs, pressures] =
                    training_data.arrays(&(0..batch).map(pick).collect::<Vec<_>>())?;
                let (inputs, pressures) = (tape.constant(inputs), tape.constant(pressures));
                let found = mnn.forward(tape, parameters, inputs)?;
                tape.relative_l2(found, pressures)
            })?;

        let (mut error, mut shown) = (0.0, vec![]);
        for sample in 0..tests {
            let [inputs, pressures] = test_data.arrays(&[sample])?;
            let (loss, found) = training.evaluate(|tape, parameters| {
                let (inputs, pressures) = (tape.constant(inputs), tape.constant(pressures));
                let found = mnn.forward(tape, parameters, inputs)?;
                let loss = tape.relative_l2(found, pressures)?;
                Ok((tape.scalar(loss)?, tape.value(found)?.data().to_vec()))
            })?;
            error += loss / tests as f64;
            if sample == 0 {
                shown = found;
            }
        }
        let tail = history.losses.len().div_ceil(10);
        let trained = history.losses.iter().rev().take(tail).sum::<f64>() / tail as f64;
        Ok(Report::new(test_data.figure(&shown))
            .with("relative error, training", trained)
            .with_paper("relative error, test", "0.0065 (FNO 0.0070)", error)
            .with("seconds of training", history.seconds()))
    }
}

fn main() -> ExitCode {
    experiments::run::<DarcyFlow>()
}

experiments::test_on_the_cpu!(DarcyFlow, experiments::Arguments::small(), |report: Report| {
    assert!(report.value("relative error, training") < 0.5, "{report}");
});

experiments::test_that_devices_agree!(
    DarcyFlow,
    experiments::Arguments { steps: Some(2), ..experiments::Arguments::small() },
    ["relative error, training", "relative error, test"]
);

experiments::test_that_threads_do_not_matter!(
    DarcyFlow,
    experiments::Arguments { steps: Some(3), ..experiments::Arguments::small() },
    ["relative error, training", "relative error, test"]
);
