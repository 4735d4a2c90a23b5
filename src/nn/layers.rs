//! Layers: they hold the identities of their parameters, and record themselves on a tape.

use super::{Initializer, ParameterId, Parameters, Rng};
use crate::backend::Backend;
use crate::tape::{Array, Tape, Var};
use crate::{Error, Real, Result};

/// The nonlinearity between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// tanh x.
    #[default]
    Tanh,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// ln(1 + e^x).
    Softplus,
    /// Gaussian error linear unit, tanh form.
    Gelu,
    /// sin x.
    Sin,
}

impl Activation {
    /// Records the activation of x.
    ///
    /// # Errors
    /// Only for a variable of another record.
    pub fn forward<T: Real, B: Backend>(self, tape: &mut Tape<T, B>, x: Var) -> Result<Var> {
        match self {
            Activation::Identity => Ok(x),
            Activation::Relu => tape.relu(x),
            Activation::Tanh => tape.tanh(x),
            Activation::Sigmoid => tape.sigmoid(x),
            Activation::Softplus => tape.softplus(x),
            Activation::Gelu => tape.gelu(x),
            Activation::Sin => tape.sin(x),
        }
    }

    /// He for relu and its smooth relatives, Xavier for the rest.
    pub fn initializer(self) -> Initializer {
        match self {
            Activation::Relu | Activation::Gelu => Initializer::HeUniform,
            _ => Initializer::XavierUniform,
        }
    }
}

/// x·W + b with x (…, rows, inputs), W (inputs, outputs), b (outputs).
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// W.
    pub weight: ParameterId,
    /// b.
    pub bias: ParameterId,
}

impl Linear {
    /// Adds `{name}.weight`, begun as `initializer` says, and `{name}.bias`, zero.
    ///
    /// # Errors
    /// [`Error::Argument`] when the name is taken.
    pub fn new<T: Real, B: Backend>(
        parameters: &mut Parameters<T, B>,
        name: &str,
        inputs: usize,
        outputs: usize,
        initializer: Initializer,
        rng: &mut Rng,
    ) -> Result<Self> {
        let weight = initializer.sample(inputs, outputs, rng)?;
        let weight = parameters.insert(format!("{name}.weight"), weight)?;
        let bias = Array::full([outputs], T::zero())?;
        let bias = parameters.insert(format!("{name}.bias"), bias)?;
        Ok(Linear { weight, bias })
    }

    /// Records the layer.
    ///
    /// # Errors
    /// [`Error::Shape`] unless x is (…, rows, inputs).
    pub fn forward<T: Real, B: Backend>(
        &self,
        tape: &mut Tape<T, B>,
        parameters: &Parameters<T, B>,
        x: Var,
    ) -> Result<Var> {
        let weight = tape.parameter(parameters, self.weight)?;
        let bias = tape.parameter(parameters, self.bias)?;
        let product = tape.matmul(x, weight)?;
        tape.add(product, bias)
    }
}

/// Linear layers with an activation between each two (none after the last).
#[derive(Clone, Debug)]
pub struct Mlp {
    /// The layers in order; `{name}.0`, `{name}.1`, ….
    pub layers: Vec<Linear>,
    /// Between them.
    pub activation: Activation,
}

impl Mlp {
    /// Layers of the given sizes, inputs first, outputs last.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two sizes or a name that is taken.
    pub fn new<T: Real, B: Backend>(
        parameters: &mut Parameters<T, B>,
        name: &str,
        sizes: &[usize],
        activation: Activation,
        rng: &mut Rng,
    ) -> Result<Self> {
        if sizes.len() < 2 {
            return Err(Error::argument("sizes", format!("{sizes:?} lacks inputs and outputs")));
        }
        let layer = |(i, pair): (usize, &[usize])| {
            let name = format!("{name}.{i}");
            Linear::new(parameters, &name, pair[0], pair[1], activation.initializer(), rng)
        };
        let layers = sizes.windows(2).enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Mlp { layers, activation })
    }

    /// Records the network.
    ///
    /// # Errors
    /// [`Error::Shape`] unless x is (…, rows, inputs).
    pub fn forward<T: Real, B: Backend>(
        &self,
        tape: &mut Tape<T, B>,
        parameters: &Parameters<T, B>,
        mut x: Var,
    ) -> Result<Var> {
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = self.activation.forward(tape, x)?;
            }
            x = layer.forward(tape, parameters, x)?;
        }
        Ok(x)
    }
}
