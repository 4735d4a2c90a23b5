//! Nested circles (the paper's section 5.2, Figure 3): points of a disk and of a ring around it are
//! told apart after they moved by ODEs. One vector field cannot carry the disk out of the ring without
//! a further dimension; a Mechanistic Neural Network gives every point an ODE of its own.

use std::process::ExitCode;

use experiments::{Experiment, Lab, NestedCircles, NeuralOde, Report, column};
use figures::{Axis, Color, Figure, Mark, Panel, Series};
use mechanistic::nn::{
    Activation, Initializer, Linear, Mlp, Optimizer, Parameters, Rng, Rule, Training,
};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Inputs, Options, Result};

struct Circles;

/// Time points, of which the first is the data point itself.
const POINTS: usize = 6;
/// Time between two of them.
const H: f64 = 0.2;
/// Bound of the coefficients of the learned equations.
const BOUND: f64 = 2.0;

/// What moves points (B, 2) to trajectories (B, N, 2).
trait Flow {
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        points: Var,
    ) -> Result<Var>;
}

/// x' + c(t) x = b(t) for each coordinate of each point, with c and b at each time from a network of
/// the point.
struct Mnn {
    equations: Mlp,
}

impl Mnn {
    fn new(parameters: &mut Parameters<f64>, rng: &mut Rng) -> Result<Self> {
        let sizes = [2, 32, 32, 4 * POINTS];
        let equations = Mlp::new(parameters, "equations", &sizes, Activation::Tanh, rng)?;
        Ok(Mnn { equations })
    }

    /// Records (2, 2·B, N): c and b of each coordinate of each point.
    fn equations<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        points: Var,
    ) -> Result<Var> {
        let count = tape.shape(points)?[0];
        let raw = self.equations.forward(tape, parameters, points)?;
        let raw = tape.reshape(raw, [count, 2, 2, POINTS])?;
        let raw = tape.permute(raw, &[1, 0, 2, 3])?;
        let bounded = tape.tanh(raw)?;
        let bounded = tape.scale(bounded, BOUND)?;
        tape.reshape(bounded, [2, 2 * count, POINTS])
    }
}

impl Flow for Mnn {
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        points: Var,
    ) -> Result<Var> {
        let count = tape.shape(points)?[0];
        let batch = 2 * count;
        let equations = self.equations(tape, parameters, points)?;
        let c = tape.slice(equations, 0, 0..1)?;
        let b = tape.slice(equations, 0, 1..2)?;
        let c = tape.reshape(c, [batch, POINTS, 1, 1, 1])?;
        let one = tape.constant(Array::full([batch, POINTS, 1, 1, 1], 1.0)?);
        let ode = Ode {
            batch,
            points: POINTS,
            inputs: Inputs {
                coefficients: tape.concat(&[c, one], 4)?,
                rhs: tape.reshape(b, [batch, POINTS, 1])?,
                initial_values: tape.reshape(points, [batch, 1, 1, 1])?,
                steps: tape.constant(Array::full([1, 1], H)?),
            },
            extra_derivatives: 0,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let x = tape.slice(solution, 3, 0..1)?;
        let x = tape.reshape(x, [count, 2, POINTS])?;
        tape.permute(x, &[0, 2, 1])
    }
}

impl Flow for NeuralOde {
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        points: Var,
    ) -> Result<Var> {
        NeuralOde::forward(self, tape, parameters, points, H, POINTS)
    }
}

/// A flow whose last states a linear layer classifies.
struct Classifier<F> {
    flow: F,
    readout: Linear,
}

impl<F: Flow> Classifier<F> {
    fn new(parameters: &mut Parameters<f64>, flow: F, rng: &mut Rng) -> Result<Self> {
        let xavier = Initializer::XavierUniform;
        Ok(Classifier { flow, readout: Linear::new(parameters, "readout", 2, 2, xavier, rng)? })
    }

    /// Records the trajectories (B, N, 2) and the logits (B, 2).
    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        points: Array<f64>,
    ) -> Result<(Var, Var)> {
        let count = points.shape()[0];
        let points = tape.constant(points);
        let trajectories = self.flow.forward(tape, parameters, points)?;
        let last = tape.slice(trajectories, 1, POINTS - 1..POINTS)?;
        let last = tape.reshape(last, [count, 2])?;
        Ok((trajectories, self.readout.forward(tape, parameters, last)?))
    }

    /// Trains, and finds how many percent of the test points are classified as they should be.
    fn train<B: Backend>(
        &self,
        lab: &Lab<B>,
        name: &str,
        parameters: Parameters<f64>,
        data: [&NestedCircles; 2],
    ) -> Result<Trained<B>> {
        let steps = lab.steps(lab.arguments.scale(100, 200, 1000));
        let [seen, test] = data;
        let optimizer = Optimizer::new(Rule::adam(), 0.01);
        let training = Training::new(parameters, optimizer, lab.backend.clone())?;
        let (mut training, history) = lab.train(name, training, steps, |tape, parameters, _| {
            let (_, logits) = self.forward(tape, parameters, seen.points.clone())?;
            tape.cross_entropy(logits, &seen.classes)
        })?;
        let (trajectories, right) = training.evaluate(|tape, parameters| {
            let (trajectories, logits) = self.forward(tape, parameters, test.points.clone())?;
            let logits = tape.value(logits)?.data().chunks_exact(2);
            let right =
                logits.zip(&test.classes).filter(|(l, class)| usize::from(l[1] > l[0]) == **class);
            let right = right.count();
            Ok((tape.value(trajectories)?.data().to_vec(), right))
        })?;
        let accuracy = 100.0 * right as f64 / test.classes.len() as f64;
        Ok(Trained { training, loss: history.last_loss(), trajectories, accuracy })
    }
}

struct Trained<B: Backend> {
    training: Training<f64, B>,
    loss: f64,
    /// (B, N, 2), of the test points.
    trajectories: Vec<f64>,
    accuracy: f64,
}

/// Two panels: how some points move, and where all of them end.
fn panels(title: &str, data: &NestedCircles, trajectories: &[f64]) -> [Panel; 2] {
    let of_each: Vec<_> = trajectories.chunks_exact(2 * POINTS).zip(&data.classes).collect();
    let axes = |title: &str| Panel::new(title, Axis::new("x"), Axis::new("y"));
    let (mut moves, mut ends) =
        (axes(&format!("{title}, evolution")), axes(&format!("{title}, end")));
    for (class, name, color) in [(1, "ring", Color::VERMILION), (0, "disk", Color::BLUE)] {
        let own = of_each.iter().filter(|(_, of)| **of == class);
        let paths: Vec<_> = own.clone().take(60).map(|(path, _)| column(path, 2, 0, 1)).collect();
        let starts: Vec<_> = paths.iter().map(|path| path[0]).collect();
        let last = own.map(|(path, _)| (path[2 * POINTS - 2], path[2 * POINTS - 1])).collect();
        moves = moves
            .with(Series::new("", color, Mark::Line(0.6), paths))
            .with(Series::dots(name, color, starts));
        ends = ends.with(Series::dots(name, color, last));
    }
    [moves, ends]
}

impl Experiment for Circles {
    const NAME: &'static str = "nested_circles";
    const ABOUT: &'static str = "Tells a disk from the ring around it without further dimensions";

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let count = lab.arguments.scale(100, 600, 3000);
        let data = [
            NestedCircles::new(count, &mut lab.rng(0))?,
            NestedCircles::new(count, &mut lab.rng(1))?,
        ];
        let both = [&data[0], &data[1]];

        let mut parameters = Parameters::new();
        let mut rng = lab.rng(2);
        let mnn = Mnn::new(&mut parameters, &mut rng)?;
        let mnn = Classifier::new(&mut parameters, mnn, &mut rng)?;
        let mut by_mnn = mnn.train(lab, "mnn", parameters, both)?;
        let point = &data[1].points.data()[..2];
        let equations = by_mnn.training.evaluate(|tape, parameters| {
            let point = tape.constant(Array::new([1, 2], point.to_vec())?);
            let equations = mnn.flow.equations(tape, parameters, point)?;
            Ok(tape.value(equations)?.data().to_vec())
        })?;
        let line = |t: usize| {
            let [cx, cy, bx, by] = [0, 1, 2, 3].map(|i| equations[i * POINTS + t]);
            let t = H * t as f64;
            format!("t = {t:.1}: x' {cx:+.3} x = {bx:+.3}, y' {cy:+.3} y = {by:+.3}\n")
        };
        let heading = format!("equation of the point ({:.3}, {:.3})", point[0], point[1]);

        let mut parameters = Parameters::new();
        let ode = NeuralOde::new(&mut parameters, "net", 2, &[32, 32], &mut rng)?;
        let ode = Classifier::new(&mut parameters, ode, &mut rng)?;
        let by_ode = ode.train(lab, "neural-ode", parameters, both)?;

        let ends = [("MNN", &by_mnn.trajectories), ("Neural ODE", &by_ode.trajectories)];
        let panels = ends.map(|(name, trajectories)| panels(name, &data[1], trajectories));
        Ok(Report::new(Figure::grid(4, 300, 300, panels.concat()))
            .with_equations(&heading, (0..POINTS).map(line).collect::<String>())
            .with("loss, MNN", by_mnn.loss)
            .with("loss, Neural ODE", by_ode.loss)
            .with_paper("test accuracy in percent, MNN", "separated", by_mnn.accuracy)
            .with_paper("test accuracy in percent, Neural ODE", "not separated", by_ode.accuracy))
    }
}

fn main() -> ExitCode {
    experiments::run::<Circles>()
}

experiments::test_on_the_cpu!(Circles, experiments::Arguments::small(), |report: Report| {
    assert_eq!(report.value("test accuracy in percent, MNN"), 100.0, "{report}");
});

experiments::test_that_devices_agree!(
    Circles,
    experiments::Arguments { steps: Some(2), ..experiments::Arguments::small() },
    ["loss, MNN", "loss, Neural ODE"]
);
