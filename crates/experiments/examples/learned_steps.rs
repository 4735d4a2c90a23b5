//! Learned steps (the paper's section 5.7, Figure 8): the grid on which the ODE of a damped sine is
//! solved is learned by gradient descent through the solver, and becomes finer where the fit is poor.

use std::process::ExitCode;

use experiments::{Experiment, Lab, Report};
use figures::{Axis, Color, Figure, Panel, Points, Series};
use mechanistic::nn::{Optimizer, ParameterId, Parameters, Rule, Schedule, Training};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Inputs, Options, Result, Smoothness};

struct LearnedSteps;

/// The damped sine e^(−DECAY t) sin(FREQUENCY t) on 0 ≤ t ≤ END.
const DECAY: f64 = 0.5;
const FREQUENCY: f64 = 4.0;
const END: f64 = 10.0;
/// Grid points.
const POINTS: usize = 61;

fn target(t: f64) -> f64 {
    (-DECAY * t).exp() * (FREQUENCY * t).sin()
}

/// The equation of the damped sine, u'' + 2 DECAY u' + (DECAY² + FREQUENCY²) u = 0, on a grid whose
/// steps are END times the softmax of learned numbers.
struct Model {
    points: usize,
    raw_steps: ParameterId,
}

/// The solution on its grid.
struct Solved {
    /// (1, N − 1).
    steps: Var,
    /// (1, N).
    time: Var,
    /// (1, N, 1, 3): u, u', u''.
    solution: Var,
}

impl Model {
    /// Begins with equal steps.
    fn new(parameters: &mut Parameters<f64>, points: usize) -> Result<Self> {
        let raw_steps = parameters.insert("steps", Array::full([1, points - 1], 0.0)?)?;
        Ok(Model { points, raw_steps })
    }

    fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
    ) -> Result<Solved> {
        let n = self.points;
        let raw = tape.parameter(parameters, self.raw_steps)?;
        let parts = tape.log_softmax(raw)?;
        let parts = tape.exp(parts)?;
        let steps = tape.scale(parts, END)?;
        let earlier = (0..n * (n - 1)).map(|at| f64::from(at / n < at % n)).collect();
        let earlier = tape.constant(Array::new([n - 1, n], earlier)?);
        let time = tape.matmul(steps, earlier)?;

        let coefficients = vec![DECAY * DECAY + FREQUENCY * FREQUENCY, 2.0 * DECAY, 1.0];
        let ode = Ode {
            batch: 1,
            points: n,
            inputs: Inputs {
                coefficients: tape.constant(Array::new([1, 1, 1, 1, 3], coefficients)?),
                rhs: tape.constant(Array::full([1, 1, 1], 0.0)?),
                initial_values: tape.constant(Array::new([1, 1, 1, 2], vec![0.0, FREQUENCY])?),
                steps,
            },
            extra_derivatives: 0,
        };
        let options = Options { smoothness: Smoothness::Taylor, ..Options::default() };
        Ok(Solved { steps, time, solution: tape.solve_ode(&ode, &options)? })
    }

    /// ∫ (u − x)² dt / END by the trapezoidal rule on the model's own grid.
    fn loss<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
    ) -> Result<Var> {
        let n = self.points;
        let Solved { steps, time, solution } = self.forward(tape, parameters)?;
        let decay = tape.scale(time, -DECAY)?;
        let decay = tape.exp(decay)?;
        let sine = tape.scale(time, FREQUENCY)?;
        let sine = tape.sin(sine)?;
        let x = tape.mul(decay, sine)?;
        let u = tape.slice(solution, 3, 0..1)?;
        let u = tape.reshape(u, [1, n])?;
        let error = tape.sub(u, x)?;
        let square = tape.square(error)?;
        let (left, right) = (tape.slice(square, 1, 0..n - 1)?, tape.slice(square, 1, 1..n)?);
        let both = tape.add(left, right)?;
        let area = tape.mul(both, steps)?;
        let sum = tape.sum_all(area)?;
        tape.scale(sum, 0.5 / END)
    }
}

/// A solution on its grid.
struct Fit {
    time: Vec<f64>,
    /// (u, u') at each point.
    state: Vec<[f64; 2]>,
}

impl Fit {
    fn new<B: Backend>(model: &Model, training: &mut Training<f64, B>) -> Result<Self> {
        training.evaluate(|tape, parameters| {
            let Solved { time, solution, .. } = model.forward(tape, parameters)?;
            let state = tape.value(solution)?.data().chunks_exact(3).map(|u| [u[0], u[1]]);
            let state = state.collect();
            Ok(Fit { time: tape.value(time)?.data().to_vec(), state })
        })
    }

    /// The mean square error between the grid points too, where u is the cubic through the values
    /// and slopes at both ends of a step.
    fn error(&self) -> f64 {
        const BETWEEN: usize = 100;
        let mut sum = 0.0;
        for (t, u) in self.time.windows(2).zip(self.state.windows(2)) {
            let h = t[1] - t[0];
            for i in 0..BETWEEN {
                let s = (i as f64 + 0.5) / BETWEEN as f64;
                let cubic = u[0][0] * (1.0 + 2.0 * s) * (1.0 - s).powi(2)
                    + u[0][1] * h * s * (1.0 - s).powi(2)
                    + u[1][0] * s * s * (3.0 - 2.0 * s)
                    + u[1][1] * h * s * s * (s - 1.0);
                sum += h / BETWEEN as f64 * (cubic - target(t[0] + h * s)).powi(2);
            }
        }
        sum / END
    }

    fn points(&self) -> Points {
        self.time.iter().zip(&self.state).map(|(t, u)| (*t, u[0])).collect()
    }

    /// Each step at its middle.
    fn steps(&self) -> Points {
        self.time.windows(2).map(|t| ((t[0] + t[1]) / 2.0, t[1] - t[0])).collect()
    }
}

impl Experiment for LearnedSteps {
    const NAME: &'static str = "learned_steps";
    const ABOUT: &'static str = "Learns the time steps on which an ODE is solved";

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let steps = lab.steps(lab.arguments.scale(300, 3000, 10_000));
        let mut parameters = Parameters::new();
        let model = Model::new(&mut parameters, POINTS)?;
        let schedule = Schedule::Cosine { steps, floor: 0.01 };
        let optimizer = Optimizer::new(Rule::adam(), 0.03).with_schedule(schedule);
        let mut training = Training::new(parameters, optimizer, lab.backend.clone())?;
        let equal = Fit::new(&model, &mut training)?;
        let (mut training, history) =
            lab.train("steps", training, steps, |tape, parameters, _| {
                model.loss(tape, parameters)
            })?;
        let learned = Fit::new(&model, &mut training)?;

        let truth = (0..=1000).map(|i| END * f64::from(i) / 1000.0).map(|t| (t, target(t)));
        let mut solution = Panel::new("", Axis::new("t"), Axis::new("u")).with(Series::line(
            "damped sine",
            Color::GRAY,
            3.0,
            truth.collect(),
        ));
        let mut grids = Panel::new("", Axis::new("t"), Axis::new("step"));
        for (name, color, fit) in
            [("equal steps", Color::ORANGE, &equal), ("learned steps", Color::BLUE, &learned)]
        {
            solution = solution.with(Series::dots(name, color, fit.points()));
            grids = grids.with(Series::dots(name, color, fit.steps()));
        }
        let curve = history.losses.iter().enumerate().map(|(i, loss)| (i as f64, *loss)).collect();
        let losses = Panel::new("", Axis::new("training step"), Axis::logarithmic("loss"))
            .with(Series::line("", Color::BLUE, 1.5, curve));
        let [equal, learned] = [equal.error(), learned.error()];
        let figure = Figure::grid(1, 800, 220, vec![solution, grids, losses]);
        Ok(Report::new(figure)
            .with("mean square error, equal steps", equal)
            .with("mean square error, learned steps", learned)
            .with_paper("learned / equal", "refined where the fit is poor", learned / equal))
    }
}

fn main() -> ExitCode {
    experiments::run::<LearnedSteps>()
}

experiments::test_on_every_device!(
    LearnedSteps,
    experiments::Arguments::small(),
    |report: Report| {
        assert!(report.value("learned / equal") < 1.0 / 3.0, "{report}");
    }
);
