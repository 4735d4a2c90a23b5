//! A small mechanistic network and its training, on any backend.

use mechanistic::nn::{Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Schedule};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Backend, Inputs, Options, Real, Result};

const BATCH: usize = 3;
const POINTS: usize = 8;

/// Network → time-varying stiffness → solve → loss → backward → optimizer.
pub struct Model<T: Real, B: Backend> {
    pub parameters: Parameters<T, B>,
    pub optimizer: Optimizer<T, B>,
    tape: Tape<T, B>,
    net: Mlp,
    start: ParameterId,
}

pub fn array<T: Real>(shape: &[usize], data: &[f64]) -> Array<T> {
    Array::new(shape, data.iter().map(|x| T::of(*x)).collect()).unwrap()
}

impl<T: Real, B: Backend> Model<T, B> {
    pub fn new(backend: &B, rule: Rule) -> Self {
        let (mut parameters, mut rng) = (Parameters::<T>::new(), Rng::new(11));
        let sizes = [1, 20, POINTS];
        let net = Mlp::new(&mut parameters, "net", &sizes, Activation::Tanh, &mut rng).unwrap();
        let start = array(&[1, 1, 1, 2], &[0.5, 0.0]);
        let start = parameters.insert("start", start).unwrap();
        let schedule = Schedule::Cosine { steps: 50, floor: 0.1 };
        let optimizer = Optimizer::new(rule, 0.02).with_schedule(schedule).with_clip(0.5);
        let tape = Tape::on(backend.clone());
        Model { parameters: parameters.to().unwrap(), optimizer, tape, net, start }
    }

    fn loss(&mut self) -> Result<Var> {
        let tape = &mut self.tape;
        let frequencies: Vec<f64> = (0..BATCH).map(|b| 0.5 + 0.4 * b as f64).collect();
        let curve = |w: &f64| (0..POINTS).map(|t| (w * 0.2 * t as f64).cos()).collect::<Vec<_>>();
        let data: Vec<f64> = frequencies.iter().flat_map(curve).collect();
        let x = tape.constant(array(&[BATCH, 1], &frequencies));
        let stiffness = self.net.forward(tape, &self.parameters, x)?;
        let stiffness = tape.reshape(stiffness, [BATCH, POINTS, 1, 1, 1])?;
        let rest = tape.constant(array(&[2], &[0.0, 1.0]));
        let rest = tape.broadcast_to(rest, [BATCH, POINTS, 1, 1, 2])?;
        let ode = Ode {
            batch: BATCH,
            points: POINTS,
            inputs: Inputs {
                coefficients: tape.concat(&[stiffness, rest], 4)?,
                rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
                initial_values: tape.parameter(&self.parameters, self.start)?,
                steps: tape.constant(array(&[1, 1], &[0.2])),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = tape.slice(solution, 3, 0..1)?;
        let target = tape.constant(array(&[BATCH, POINTS, 1, 1], &data));
        tape.mse(u, target)
    }

    /// The loss before the step.
    pub fn step(&mut self) -> Result<T> {
        self.tape.clear();
        let loss = self.loss()?;
        let gradients = self.tape.backward(loss)?;
        self.optimizer.step(&mut self.parameters, &gradients)?;
        self.tape.scalar(loss)
    }

    fn values(&self) -> Vec<Vec<f64>> {
        let numbers = |id| -> Vec<f64> {
            self.parameters.get(id).unwrap().data().iter().map(|x| x.to_double()).collect()
        };
        self.parameters.names().map(|(id, _)| numbers(id)).collect()
    }
}

/// Losses of some steps, and the parameters after them.
pub fn train<T: Real, B: Backend>(
    backend: &B,
    rule: Rule,
    steps: usize,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut model = Model::<T, B>::new(backend, rule);
    let losses = (0..steps).map(|_| model.step().unwrap().to_double()).collect();
    (losses, model.values())
}
