//! The paper's model and its training: a network from windows of the data to the inputs of the
//! basis functions, the ODE solver, and the two-part loss, minimized by Adam.

use std::sync::Arc;

use super::windows::Windows;
use crate::discovery::estimate::Estimate;
use crate::discovery::link::Link;
use crate::discovery::right_hand_side::RightHandSide;
use crate::discovery::start::{root_mean_square, term_sizes};
use crate::nn::{Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Schedule};
use crate::tape::{Array, Ode, Tape, Var};
use crate::{Backend, Inputs, Options, Result, Smoothness};

/// The width of the network's hidden layer.
const HIDDEN: usize = 64;
/// The number of grid points in a training step, and its least number of windows.
const BATCH_POINTS: usize = 25_000;
const MIN_BATCH: usize = 8;
/// The learning rate at the beginning of each cycle, and the part of it that is left at the end.
const RATE: f64 = 2e-3;
const LAST_RATE: f64 = 0.1;
/// The norm at which gradients are clipped.
const CLIP: f64 = 1.0;
/// The order of the solver above that of the equation; each additional one divides its error by
/// about five.
const EXTRA_ORDER: usize = 3;

/// The model that is trained: network, coefficients and initial values.
pub(super) struct Model<B: Backend> {
    windows: Arc<Windows>,
    parameters: Parameters<f64, B>,
    net: Mlp,
    /// Coefficients ξ and ζ in units of what their terms contribute, (L, K).
    numerator: ParameterId,
    denominator: ParameterId,
    /// Initial values of the windows, (W, K·m).
    start: ParameterId,
    scale: Scale,
    /// Inputs of the network (W, N·K): the measured values, or smoothed ones where nothing was
    /// measured, less their mean, in the solver's units.
    inputs: Vec<f64>,
    tape: Tape<f64, B>,
    rng: Rng,
}

/// The scales that make the learned numbers of order one.
struct Scale {
    /// Root mean square of each term (L).
    term: Vec<f64>,
    /// Unit of Θξ for each state (K): the size of u^(m), or 1 inside a bounded link.
    reach: Vec<f64>,
    /// Noise of each component of the state, in the solver's units (D), which is the unit of the
    /// network's output.
    noise: Vec<f64>,
}

/// A forward pass over some windows.
struct Pass {
    /// Output f of the model, the input of the basis functions, (b, N, D) in the solver's units.
    inputs_of_basis: Var,
    /// Two-part loss.
    loss: Var,
}

impl<B: Backend> Model<B> {
    /// Makes a model whose network begins as f = smoothed data. `slopes` (M, K) are u^(m) of the
    /// smoothed data.
    pub fn new(
        windows: Arc<Windows>,
        estimate: &Estimate<'_>,
        slopes: &[f64],
        seed: u64,
        backend: B,
    ) -> Result<Self> {
        let rhs = &estimate.rhs;
        let (k, l, n) = (rhs.states(), rhs.library.len(), windows.points);
        let d = windows.unit.components();
        let reach = |state: usize| match rhs.links[state] {
            Link::Identity | Link::Ratio => {
                root_mean_square(slopes.iter().skip(state).step_by(k)).max(f64::MIN_POSITIVE)
            }
            _ => 1.0,
        };
        let sizes = term_sizes(rhs, &windows.path);
        let scale = Scale {
            term: sizes.into_iter().map(|size| size.max(f64::MIN_POSITIVE)).collect(),
            reach: (0..k).map(reach).collect(),
            noise: (0..d).map(|i| estimate.noise[i % k]).collect(),
        };
        let (mut parameters, mut rng) = (Parameters::empty(), Rng::new(seed));
        let sizes = [n * k, HIDDEN, HIDDEN, n * d];
        let net = Mlp::new(&mut parameters, "network", &sizes, Activation::Tanh, &mut rng)?;
        parameters.data_mut(net.layers[2].weight)?.fill(0.0);
        let zeros = Array::full([l, k], 0.0)?;
        Ok(Model {
            numerator: parameters.insert("numerator", zeros.clone())?,
            denominator: parameters.insert("denominator", zeros)?,
            start: parameters.insert("start", Array::full([windows.count, d], 0.0)?)?,
            inputs: network_inputs(&windows),
            windows,
            parameters,
            net,
            scale,
            tape: Tape::on(backend),
            rng,
        })
    }

    /// Trains for a number of steps from the estimate's coefficients and initial values, and writes
    /// the learned ones back, with the network's output as the path. Returns the last loss, which
    /// is infinite if training ended early because the loss was not finite.
    pub fn train(
        &mut self,
        estimate: &mut Estimate<'_>,
        steps: usize,
        mut report: impl FnMut(usize) -> Result<()>,
    ) -> Result<f64> {
        self.load(estimate)?;
        let masks = self.masks(estimate)?;
        let schedule = Schedule::Cosine { steps: steps as u64, floor: LAST_RATE };
        let mut optimizer =
            Optimizer::new(Rule::adam(), RATE).with_schedule(schedule).with_clip(CLIP);
        let mut last = f64::INFINITY;
        for step in 0..steps {
            report(step)?;
            let batch = self.batch();
            let pass = self.forward(&estimate.rhs, &masks, &batch)?;
            last = self.tape.scalar(pass.loss)?;
            if !last.is_finite() {
                return Ok(f64::INFINITY);
            }
            let gradients = self.tape.backward(pass.loss)?;
            optimizer.step(&mut self.parameters, &gradients)?;
        }
        self.store(estimate, &masks)?;
        Ok(last)
    }

    /// Returns the number of windows of a training step.
    fn batch_size(&self) -> usize {
        (BATCH_POINTS / self.windows.points).max(MIN_BATCH).min(self.windows.count)
    }

    /// Returns the windows of a training step, chosen at random, or all windows if there are not
    /// more.
    fn batch(&mut self) -> Vec<usize> {
        let (count, size) = (self.windows.count, self.batch_size());
        let mut windows: Vec<usize> = (0..count).collect();
        if size < count {
            for i in 0..size {
                let other = i + (self.rng.uniform() * (count - i) as f64) as usize;
                windows.swap(i, other);
            }
            windows.truncate(size);
        }
        windows
    }

    /// Copies coefficients and initial values of the estimate into the parameters.
    fn load(&mut self, estimate: &Estimate<'_>) -> Result<()> {
        let Scale { term, reach, .. } = &self.scale;
        let (k, l) = (reach.len(), term.len());
        let rhs = &estimate.rhs;
        for (at, value) in self.parameters.data_mut(self.numerator)?.iter_mut().enumerate() {
            let (j, i) = (at / k, at % k);
            *value = rhs.numerator[i * l + j] * term[j] / reach[i];
        }
        for (at, value) in self.parameters.data_mut(self.denominator)?.iter_mut().enumerate() {
            let (j, i) = (at / k, at % k);
            *value = rhs.denominator[i * l + j] * term[j];
        }
        self.parameters.data_mut(self.start)?.copy_from_slice(&estimate.starts);
        Ok(())
    }

    /// Copies the learned parameters back into the estimate.
    fn store(&mut self, estimate: &mut Estimate<'_>, masks: &[Array<bool>; 2]) -> Result<()> {
        let k = self.scale.reach.len();
        for p in estimate.candidates.free() {
            let (i, j) = (p.equation, p.term);
            let (id, unit) = if p.denominator {
                (self.denominator, 1.0 / self.scale.term[j])
            } else {
                (self.numerator, self.scale.reach[i] / self.scale.term[j])
            };
            *p.value_mut(&mut estimate.rhs) = self.parameters.get(id)?.data()[j * k + i] * unit;
        }
        estimate.starts.copy_from_slice(self.parameters.get(self.start)?.data());
        let windows = self.windows.clone();
        let unit = &windows.unit;
        let d = unit.components();
        let size = self.windows.points * d;
        let all: Vec<usize> = (0..self.windows.count).collect();
        for batch in all.chunks(self.batch_size()) {
            let pass = self.forward(&estimate.rhs, masks, batch)?;
            let path = &mut estimate.trajectory[batch[0] * size..][..batch.len() * size];
            let learned = self.tape.value(pass.inputs_of_basis)?.data();
            for (i, (v, f)) in path.iter_mut().zip(learned).enumerate() {
                *v = f * unit.of_component(i % d);
            }
        }
        Ok(())
    }

    /// Returns which entries of numerator and denominator are free, (L, K) each.
    fn masks(&self, estimate: &Estimate<'_>) -> Result<[Array<bool>; 2]> {
        let (k, l) = (self.scale.reach.len(), self.scale.term.len());
        let mut masks = [Array::full([l, k], false)?, Array::full([l, k], false)?];
        for p in estimate.candidates.free() {
            masks[usize::from(p.denominator)].data_mut()[p.term * k + p.equation] = true;
        }
        Ok(masks)
    }

    /// Records network, basis, solve and loss for these windows on an empty tape.
    fn forward(
        &mut self,
        rhs: &RightHandSide<'_>,
        masks: &[Array<bool>; 2],
        batch: &[usize],
    ) -> Result<Pass> {
        let (windows, b, n) = (self.windows.clone(), batch.len(), self.windows.points);
        let unit = &windows.unit;
        let (k, d) = (unit.states(), unit.components());
        self.tape.clear();
        let pick = |values: &[f64]| -> Vec<f64> {
            batch.iter().flat_map(|&w| windows.of(w, values)).copied().collect()
        };

        // The output is f = smoothed data + noise · network(data).
        let scale = |i: usize| unit.of_component(i % d);
        let smoothed = pick(&windows.path);
        let smoothed = smoothed.iter().enumerate().map(|(i, s)| s / scale(i)).collect();
        let smoothed = self.tape.constant(Array::new([b, n, d], smoothed)?);
        let x = self.tape.constant(Array::new([b, n * k], pick(&self.inputs))?);
        let y = self.net.forward(&mut self.tape, &self.parameters, x)?;
        let tape = &mut self.tape;
        let y = tape.reshape(y, [b, n, d])?;
        let noise = tape.constant(Array::vector(self.scale.noise.clone()));
        let correction = tape.mul(y, noise)?;
        let f = tape.add(smoothed, correction)?;

        let highest = self.right_hand_side(rhs, masks, f)?;
        let u = self.solve(batch, highest)?;

        let tape = &mut self.tape;
        let observed = Array::new([b, n, k], pick(&windows.observed))?;
        let measured = observed.data().iter().map(|x| !x.is_nan()).collect();
        let measured = Array::new([b, n, k], measured)?;
        let observed = tape.constant(observed);
        let f_values = tape.slice(f, 2, 0..k)?;
        let u_values = tape.slice(u, 2, 0..k)?;
        let first = tape.masked_mse(u_values, observed, &measured)?;
        let second = tape.masked_mse(f_values, observed, &measured)?;
        let mut loss = tape.add(first, second)?;
        if d > k {
            // There are no data of the derivatives but those of the solution.
            let f_slopes = tape.slice(f, 2, k..d)?;
            let u_slopes = tape.slice(u, 2, k..d)?;
            let third = tape.mse(f_slopes, u_slopes)?;
            loss = tape.add(loss, third)?;
        }
        Ok(Pass { inputs_of_basis: f, loss })
    }

    /// Records g(Θ(f)ξ) in the solver's units, (b·K, N, 1).
    fn right_hand_side(
        &mut self,
        rhs: &RightHandSide<'_>,
        masks: &[Array<bool>; 2],
        f: Var,
    ) -> Result<Var> {
        let unit = &self.windows.unit;
        let (k, d, l) = (unit.states(), unit.components(), rhs.library.len());
        let tape = &mut self.tape;
        let &[b, n, _] = tape.shape(f)? else { unreachable!("f is (b, N, D)") };
        let units =
            tape.constant(Array::vector((0..d).map(|i| unit.of_component(i)).collect::<Vec<_>>()));
        let states = tape.mul(f, units)?;
        let states = tape.reshape(states, [b * n, d])?;
        let (values, gradients) = basis(rhs, tape.value(states)?.data(), d, &self.scale.term);
        let terms = tape.rowwise(
            states,
            Array::new([b * n, l], values)?,
            Array::new([b * n, l, d], gradients)?,
        )?;
        // Coefficients that are not free do not change.
        let combine = |tape: &mut Tape<f64, B>, id: ParameterId, mask: &Array<bool>| {
            let fixed = tape.constant(self.parameters.get(id)?.clone());
            let learned = tape.parameter(&self.parameters, id)?;
            let coefficients = tape.select(mask, learned, fixed)?;
            tape.matmul(terms, coefficients)
        };
        let a = combine(tape, self.numerator, &masks[0])?;
        // This method takes one link for all equations.
        let g = match rhs.links[0] {
            Link::Identity => a,
            Link::Tanh => tape.tanh(a)?,
            Link::Sin => tape.sin(a)?,
            Link::Sigmoid => tape.sigmoid(a)?,
            Link::Ratio => {
                let below = combine(tape, self.denominator, &masks[1])?;
                let below = tape.shift(below, 1.0)?;
                tape.div(a, below)?
            }
        };
        let reach = self.scale.reach.iter().enumerate();
        let reach: Vec<f64> = reach.map(|(i, reach)| reach / unit.of(i, unit.order)).collect();
        let reach = tape.constant(Array::vector(reach));
        let scaled = tape.mul(g, reach)?;
        let scaled = tape.reshape(scaled, [b, n, k])?;
        let by_state = tape.permute(scaled, &[0, 2, 1])?;
        tape.reshape(by_state, [b * k, n, 1])
    }

    /// Records the solution of u^(m) = `highest`: u and its derivatives below the m-th (b, N, D) in
    /// the solver's units. Every state of every window is a system of its own.
    fn solve(&mut self, batch: &[usize], highest: Var) -> Result<Var> {
        let (b, n) = (batch.len(), self.windows.points);
        let unit = &self.windows.unit;
        let (k, m) = (unit.states(), unit.order);
        let q = m + EXTRA_ORDER + 1;
        let tape = &mut self.tape;
        let mut coefficients = vec![0.0; q];
        coefficients[m] = 1.0;
        let start = tape.parameter(&self.parameters, self.start)?;
        let start = tape.gather(start, 0, batch)?;
        let steps = batch.iter().flat_map(|&w| {
            std::iter::repeat_n(self.windows.of(w, &self.windows.steps), k).flatten().copied()
        });
        let ode = Ode {
            batch: b * k,
            points: n,
            inputs: Inputs {
                coefficients: tape.constant(Array::new([1, 1, 1, 1, q], coefficients)?),
                rhs: highest,
                initial_values: tape.reshape(start, [b * k, 1, 1, m])?,
                steps: tape.constant(Array::new([b * k, n - 1], steps.collect())?),
            },
            extra_derivatives: 0,
        };
        // The gradients of an optimizer need no more digits than the unrefined factor has.
        let options = Options {
            smoothness: Smoothness::Taylor,
            refinement_steps: Some(0),
            ..Options::default()
        };
        let solution = tape.solve_ode(&ode, &options)?;
        let lower = tape.slice(solution, 3, 0..m)?;
        let lower = tape.reshape(lower, [b, k, n, m])?;
        let ordered = tape.permute(lower, &[0, 2, 3, 1])?;
        tape.reshape(ordered, [b, n, m * k])
    }
}

/// Returns θ/size (rows, L) and its gradients (rows, L, D).
fn basis(rhs: &RightHandSide<'_>, states: &[f64], d: usize, size: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let l = size.len();
    let rows = states.len() / d;
    let (mut values, mut gradients) = (vec![0.0; rows * l], vec![0.0; rows * l * d]);
    for (row, state) in states.chunks_exact(d).enumerate() {
        let own = &mut values[row * l..][..l];
        let own_gradients = &mut gradients[row * l * d..][..l * d];
        rhs.library.values(state, own);
        rhs.library.gradients(state, own, own_gradients);
        for j in 0..l {
            own[j] /= size[j];
            own_gradients[j * d..][..d].iter_mut().for_each(|slope| *slope /= size[j]);
        }
    }
    (values, gradients)
}

/// Returns the inputs of the network (W, N·K), which [`Model`] describes.
fn network_inputs(windows: &Windows) -> Vec<f64> {
    let unit = &windows.unit;
    let (k, d) = (unit.states(), unit.components());
    let points = windows.observed.chunks_exact(k).zip(windows.path.chunks_exact(d));
    let value = |(x, s): (&f64, &f64), i: usize| if x.is_nan() { s / unit.of(i, 0) } else { *x };
    let filled: Vec<f64> = points
        .flat_map(|(x, s)| x.iter().zip(s).enumerate().map(|(i, pair)| value(pair, i)))
        .collect();
    let mean = |i: usize| filled.iter().skip(i).step_by(k).sum::<f64>() / (filled.len() / k) as f64;
    let means: Vec<f64> = (0..k).map(mean).collect();
    filled.iter().zip(means.iter().cycle()).map(|(x, mean)| x - mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Settings;
    use crate::discovery::grid::{Grid, smooth};
    use crate::discovery::ladder;
    use crate::discovery::loss::Loss;
    use crate::discovery::network::windows::tests::oscillations;
    use crate::discovery::start::Start;

    /// Adam alone brings a rough guess at least five times closer to the oscillation's equations.
    #[test]
    fn training_approaches_the_coefficients() {
        let data = oscillations();
        let smooth = smooth(&data, Loss::Squares).unwrap();
        let grid = Grid::new(&data, &smooth, Some(1)).unwrap();
        let windows = Arc::new(Windows::new(&data, &grid, &smooth, 1));
        let settings = Settings { degree: 1, ..Settings::default() };
        let candidates = ladder::Model::new(&data, &settings).unwrap();
        let Start { estimate, slopes } =
            Start::new(&candidates, &grid, &smooth, &settings, false).unwrap();
        let mut estimate = windows.along(estimate);
        estimate.noise.iter_mut().zip(&smooth.deviation).for_each(|(noise, unit)| *noise /= unit);
        // x' is a guess. y' has its true coefficients, which are not free and must stay; so does
        // the constant 0.
        estimate.rhs.numerator = vec![0.0, 0.3, 1.5, 0.0, -2.0, -0.1];
        estimate.candidates.kept = vec![1, 2];
        let mut model = Model::new(windows, &estimate, &slopes, 0, crate::Cpu).unwrap();
        let first = model.train(&mut estimate, 1, |_| Ok(())).unwrap();
        let last = model.train(&mut estimate, 800, |_| Ok(())).unwrap();
        assert!(last < 0.01 * first, "{first} to {last}");
        let found = &estimate.rhs.numerator;
        assert_eq!((found[0], &found[3..]), (0.0, &[0.0, -2.0, -0.1][..]));
        assert!((found[1] + 0.1).abs() < 0.4 / 5.0, "{found:?}");
        assert!((found[2] - 2.0).abs() < 0.5 / 5.0, "{found:?}");
        // The network's output is the data without most of their noise.
        let exact = 2.0 * (-0.1_f64).exp() * 2_f64.cos();
        assert!((estimate.trajectory[20 * 2] - exact).abs() < 0.03, "{}", estimate.trajectory[40]);
    }
}
