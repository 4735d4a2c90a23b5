//! Layers, which hold the identities of their parameters and record their computation on a tape.

use super::{Initializer, ParameterId, Parameters, Rng};
use crate::tape::{Array, Tape, Var};
use crate::tensor::Backend;
use crate::{Error, Real, Result};

/// A nonlinear function between layers, applied to every element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity x.
    Identity,
    /// The rectifier max(x, 0).
    Relu,
    /// The hyperbolic tangent tanh x.
    #[default]
    Tanh,
    /// The sigmoid 1 / (1 + e^−x).
    Sigmoid,
    /// The softplus ln(1 + e^x).
    Softplus,
    /// The Gaussian error linear unit in its tanh form, as [`Tape::gelu`].
    Gelu,
    /// The sine sin x.
    Sin,
}

impl Activation {
    /// Records the activation of x on the tape.
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

    /// Returns the initializer that suits weights before this activation: He for relu and its
    /// smooth relatives, Xavier for the rest.
    pub fn initializer(self) -> Initializer {
        match self {
            Activation::Relu | Activation::Gelu => Initializer::HeUniform,
            _ => Initializer::XavierUniform,
        }
    }
}

/// A linear layer x·W + b with x (…, rows, inputs), W (inputs, outputs), b (outputs).
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// Weight W, (inputs, outputs).
    pub weight: ParameterId,
    /// Bias b, (outputs).
    pub bias: ParameterId,
}

impl Linear {
    /// Makes a layer and adds its parameters to the store: `{name}.weight`, with the values of
    /// `initializer`, and `{name}.bias`, zero.
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

    /// Records x·W + b on the tape.
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

/// A multilayer perceptron: linear layers with an activation between each two (none after the
/// last).
#[derive(Clone, Debug)]
pub struct Mlp {
    /// Layers in order, whose parameters are named `{name}.0`, `{name}.1`, ….
    pub layers: Vec<Linear>,
    /// Activation between the layers.
    pub activation: Activation,
}

impl Mlp {
    /// Makes layers of the given sizes, inputs first, outputs last, and adds their parameters to
    /// the store.
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

    /// Records the output of the network for the input x on the tape.
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
