//! The Neural ODE (Chen et al., 2018), the baseline of prediction: u' = network(u), integrated step
//! by step by the classical Runge-Kutta method, differentiated through all of its operations.

use mechanistic::nn::{Activation, Mlp, Parameters, Rng};
use mechanistic::tape::{Array, Tape, Var};
use mechanistic::{Backend, Result};

/// u' = network(u).
#[derive(Clone, Debug)]
pub struct NeuralOde {
    net: Mlp,
}

impl NeuralOde {
    /// Adds the network `name` to the parameters: `states` in, one hidden layer of this width after
    /// another, `states` out.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn new(
        parameters: &mut Parameters<f64>,
        name: &str,
        states: usize,
        hidden: &[usize],
        rng: &mut Rng,
    ) -> Result<Self> {
        let sizes = [&[states], hidden, &[states]].concat();
        Ok(NeuralOde { net: Mlp::new(parameters, name, &sizes, Activation::Tanh, rng)? })
    }

    /// Records the solution (B, N, K) from `start` (B, K) at N = `points` times, `h` apart.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn forward<B: Backend>(
        &self,
        tape: &mut Tape<f64, B>,
        parameters: &Parameters<f64, B>,
        start: Var,
        h: f64,
        points: usize,
    ) -> Result<Var> {
        let shape = tape.shape(start)?.to_vec();
        let (batch, states) = (shape[0], shape[1]);
        let mut u = start;
        let mut trajectory = vec![tape.reshape(u, [batch, 1, states])?];
        for _ in 1..points {
            let moved = |tape: &mut Tape<f64, B>, slope: Var, part: f64| {
                let change = tape.scale(slope, part * h)?;
                tape.add(u, change)
            };
            let k1 = self.net.forward(tape, parameters, u)?;
            let middle = moved(tape, k1, 0.5)?;
            let k2 = self.net.forward(tape, parameters, middle)?;
            let middle = moved(tape, k2, 0.5)?;
            let k3 = self.net.forward(tape, parameters, middle)?;
            let end = moved(tape, k3, 1.0)?;
            let k4 = self.net.forward(tape, parameters, end)?;
            let inner = tape.add(k2, k3)?;
            let inner = tape.scale(inner, 2.0)?;
            let outer = tape.add(k1, k4)?;
            let sum = tape.add(inner, outer)?;
            u = moved(tape, sum, 1.0 / 6.0)?;
            trajectory.push(tape.reshape(u, [batch, 1, states])?);
        }
        tape.concat(&trajectory, 1)
    }

    /// Returns the solution (N, K) from one start (K), as [`NeuralOde::forward`] records it; computed on
    /// the CPU.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn predict<B: Backend>(
        &self,
        parameters: &Parameters<f64, B>,
        start: &[f64],
        h: f64,
        points: usize,
    ) -> Result<Vec<f64>> {
        let mut tape = Tape::new();
        let start = tape.constant(Array::new([1, start.len()], start.to_vec())?);
        let states = self.forward(&mut tape, &parameters.to()?, start, h, points)?;
        Ok(tape.value(states)?.data().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runge_kutta;

    #[test]
    fn the_network_is_integrated() {
        let mut parameters = Parameters::new();
        let ode = NeuralOde::new(&mut parameters, "net", 2, &[5], &mut Rng::new(1)).unwrap();
        let found = ode.predict(&parameters, &[0.3, -0.8], 0.2, 6).unwrap();
        let expected = runge_kutta(
            |_, u, out| {
                let mut tape = Tape::new();
                let u = tape.constant(Array::new([1, 2], u.to_vec()).unwrap());
                let slope = ode.net.forward(&mut tape, &parameters, u).unwrap();
                out.copy_from_slice(tape.value(slope).unwrap().data());
            },
            &[0.3, -0.8],
            0.2,
            6,
        );
        for (found, expected) in found.iter().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}
