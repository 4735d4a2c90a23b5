//! The authors' network for the Lorenz system: a window of data becomes the inputs f of the basis
//! functions, a learned vector their coefficients ξ, u' = Θ(f)ξ is solved from f's first point, and the
//! loss is MSE(u, x) + MSE(f, x).

use std::path::Path;

use mechanistic::nn::{
    Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Training, load_checkpoint,
};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Cpu, Inputs, Options, Result, Smoothness};

/// As in benches/peers/lorenz.py: the batches of an epoch, the windows of a batch, their points and the
/// states.
const BATCHES: usize = 19;
const WINDOWS: usize = 512;
const POINTS: usize = 50;
const STATES: usize = 3;
/// The polynomials of degree 2 and less in the states.
const TERMS: usize = 10;
/// Sizes of the networks: width of the hidden layers, length of the learned vector.
const WIDTH: usize = 1024;
const LATENT: usize = 64;
const RATE: f64 = 5e-4;
const STEP: f64 = 0.01;

struct Model {
    /// From a window to f.
    net: Mlp,
    /// From the learned vector to ξ.
    coefficients: Mlp,
    latent: ParameterId,
    one: Array<f64>,
    equation: Array<f64>,
    step: Array<f64>,
}

impl Model {
    fn new(parameters: &mut Parameters<f64>) -> Result<Self> {
        let window = POINTS * STATES;
        let mut mlp = |name: &str, inputs: usize, outputs: usize| {
            let sizes = [inputs, WIDTH, WIDTH, outputs];
            // The weights are read later.
            Mlp::new(parameters, name, &sizes, Activation::Relu, &mut Rng::new(0))
        };
        Ok(Model {
            net: mlp("net", window, window)?,
            coefficients: mlp("param_net", LATENT, TERMS * STATES)?,
            latent: parameters.insert("param_in", Array::full([1, LATENT], 0.0)?)?,
            one: Array::full([WINDOWS * POINTS, 1], 1.0)?,
            // u' alone, of an equation that could be of second order.
            equation: Array::new([1, 1, 1, 1, 3], vec![0.0, 1.0, 0.0])?,
            step: Array::full([1, 1], STEP)?,
        })
    }

    fn loss(
        &self,
        tape: &mut Tape<f64>,
        parameters: &Parameters<f64>,
        data: &Array<f64>,
    ) -> Result<Var> {
        let data = tape.constant_from(data)?;
        let f = self.net.forward(tape, parameters, data)?;
        let terms = self.terms(tape, f)?;
        let latent = tape.parameter(parameters, self.latent)?;
        let xi = self.coefficients.forward(tape, parameters, latent)?;
        let xi = tape.reshape(xi, [TERMS, STATES])?;
        let slope = tape.matmul(terms, xi)?;
        let u = self.solve(tape, slope, f)?;
        let first = tape.mse(u, data)?;
        let second = tape.mse(f, data)?;
        tape.add(first, second)
    }

    /// Θ(f), (W·N, 10): 1, x, y, z, x², xy, xz, y², yz, z².
    fn terms(&self, tape: &mut Tape<f64>, f: Var) -> Result<Var> {
        let states = tape.reshape(f, [WINDOWS * POINTS, STATES])?;
        let mut terms = vec![tape.constant_from(&self.one)?];
        for i in 0..STATES {
            terms.push(tape.slice(states, 1, i..i + 1)?);
        }
        for i in 1..=STATES {
            for j in i..=STATES {
                terms.push(tape.mul(terms[i], terms[j])?);
            }
        }
        tape.concat(&terms, 1)
    }

    /// u (W, N·K) of u' = `slope` (W·N, K) from the first point of f, each state a system of its own.
    fn solve(&self, tape: &mut Tape<f64>, slope: Var, f: Var) -> Result<Var> {
        let slope = tape.reshape(slope, [WINDOWS, POINTS, STATES])?;
        let slope = tape.permute(slope, &[0, 2, 1])?;
        let start = tape.slice(f, 1, 0..STATES)?;
        let batch = WINDOWS * STATES;
        let ode = Ode {
            batch,
            points: POINTS,
            inputs: Inputs {
                coefficients: tape.constant_from(&self.equation)?,
                rhs: tape.reshape(slope, [batch, POINTS, 1])?,
                initial_values: tape.reshape(start, [batch, 1, 1, 1])?,
                steps: tape.constant_from(&self.step)?,
            },
            extra_derivatives: 0,
        };
        let options = Options {
            smoothness: Smoothness::TaylorHold,
            refinement_steps: Some(0),
            ..Options::default()
        };
        let solution = tape.solve_ode(&ode, &options)?;
        let u = tape.slice(solution, 3, 0..1)?;
        let u = tape.reshape(u, [WINDOWS, STATES, POINTS])?;
        let u = tape.permute(u, &[0, 2, 1])?;
        tape.reshape(u, [WINDOWS, POINTS * STATES])
    }
}

/// Trains for one more epoch in each turn.
pub fn run(folder: &Path) -> Result<()> {
    let size = WINDOWS * POINTS * STATES;
    let batches = crate::stored(folder, "batches", &[BATCHES, size])?;
    let batches = batches.data().chunks_exact(size);
    let batches = batches.map(|batch| Array::new([WINDOWS, POINTS * STATES], batch.to_vec()));
    let batches = batches.collect::<Result<Vec<_>>>()?;
    let mut parameters = Parameters::new();
    let model = Model::new(&mut parameters)?;
    let mut optimizer = Optimizer::new(Rule::adam(), RATE);
    load_checkpoint(&folder.join("weights.safetensors"), &mut parameters, &mut optimizer)?;
    let mut training = Training::new(parameters, optimizer, Cpu)?;
    crate::take_turns(|| {
        let mut last = f64::NAN;
        for data in &batches {
            last = training.step(|tape, parameters| model.loss(tape, parameters, data))?;
        }
        Ok(last)
    })
}
