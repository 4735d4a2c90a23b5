//! Convolutions of two-dimensional maps.

use super::{Initializer, Linear, Parameters, Rng};
use crate::tape::{Array, Tape, Var};
use crate::tensor::Backend;
use crate::{Error, Real, Result};

/// A convolution of maps (B, H, W, C) with a square kernel: at every point the same linear layer of
/// the values around it, which are zero beyond the edges, so that the size of a map stays.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// The linear layer, whose weight is (size · size · C, outputs): its inputs are the rows of the
    /// surroundings one after another, each with the channels of its points.
    pub linear: Linear,
    /// Points along a side of the kernel, an odd number.
    pub size: usize,
}

impl Conv2d {
    /// Makes a layer from `inputs` to `outputs` channels and adds its parameters to the store:
    /// `{name}.weight` and `{name}.bias`, as [`Linear::new`] does.
    ///
    /// # Errors
    /// [`Error::Argument`] when the size is even or the name is taken.
    pub fn new<T: Real, B: Backend>(
        parameters: &mut Parameters<T, B>,
        name: &str,
        [inputs, outputs]: [usize; 2],
        size: usize,
        initializer: Initializer,
        rng: &mut Rng,
    ) -> Result<Self> {
        if size.is_multiple_of(2) {
            return Err(Error::argument("size", format!("{size} is even: there is no middle")));
        }
        let inputs = size * size * inputs;
        let linear = Linear::new(parameters, name, inputs, outputs, initializer, rng)?;
        Ok(Conv2d { linear, size })
    }

    /// Records the convolution (B, H, W, outputs) of x on the tape.
    ///
    /// # Errors
    /// [`Error::Shape`] unless x is (B, H, W, inputs).
    pub fn forward<T: Real, B: Backend>(
        &self,
        tape: &mut Tape<T, B>,
        parameters: &Parameters<T, B>,
        x: Var,
    ) -> Result<Var> {
        let actual = tape.shape(x)?;
        if actual.len() != 4 {
            let (argument, actual) = ("x".into(), actual.to_vec());
            return Err(Error::Shape { argument, expected: "(B, H, W, channels)".into(), actual });
        }
        let rows = surroundings(tape, x, 2, self.size)?;
        let squares = surroundings(tape, rows, 1, self.size)?;
        self.linear.forward(tape, parameters, squares)
    }
}

/// Records for every point of x (B, H, W, C) the channels of the `size` points around it along an
/// axis, itself in the middle: (B, H, W, size · C).
fn surroundings<T: Real, B: Backend>(
    tape: &mut Tape<T, B>,
    x: Var,
    axis: usize,
    size: usize,
) -> Result<Var> {
    let mut edge: [usize; 4] = tape.shape(x)?.try_into().expect("the rank was checked");
    let length = edge[axis];
    edge[axis] = size / 2;
    let zero = tape.constant(Array::scalar(T::zero()));
    let edge = tape.broadcast_to(zero, edge)?;
    let padded = tape.concat(&[edge, x, edge], axis)?;
    let shifted = |shift: usize| tape.slice(padded, axis, shift..shift + length);
    let shifted = (0..size).map(shifted).collect::<Result<Vec<_>>>()?;
    tape.concat(&shifted, 3)
}
