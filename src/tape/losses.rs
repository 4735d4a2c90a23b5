//! Losses, each of which is a mean and has rank 0.

use super::{Array, Tape, Var, shape_error};
use crate::tensor::Backend;
use crate::tensor::layout::Axes;
use crate::{Error, Real, Result};

impl<T: Real, B: Backend> Tape<T, B> {
    /// Records the mean of (x − target)².
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes differ: a silent broadcast would hide a mistake.
    pub fn mse(&mut self, x: Var, target: Var) -> Result<Var> {
        self.check_same("target", x, target)?;
        let difference = self.sub(x, target)?;
        let square = self.square(difference)?;
        self.mean_all(square)
    }

    /// Records the mean of (x − target)² over the elements where the mask holds, or 0 when it holds
    /// nowhere; where it does not hold, the target may be NaN.
    ///
    /// # Errors
    /// [`Error::Shape`] when the three shapes differ.
    pub fn masked_mse(&mut self, x: Var, target: Var, mask: &Array<bool>) -> Result<Var> {
        self.check_same("target", x, target)?;
        let shape = self.shape(x)?;
        if mask.shape() != shape {
            return Err(shape_error("mask", format!("{shape:?}"), mask.shape()));
        }
        let difference = self.sub(x, target)?;
        let zero = self.constant(Array::scalar(T::zero()));
        let counted = self.select(mask, difference, zero)?;
        let square = self.square(counted)?;
        let sum = self.sum_all(square)?;
        let count = mask.data().iter().filter(|&&held| held).count();
        self.scale(sum, T::of(1.0 / count.max(1) as f64))
    }

    /// Records the mean over the batch of ‖x − target‖ / ‖target‖ in the Euclidean norm, for x and
    /// target (B, …). Its gradient is zero for a target that is met exactly; a target of zero
    /// has no relative error, and makes the loss enormous.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes differ or have rank 0.
    pub fn relative_l2(&mut self, x: Var, target: Var) -> Result<Var> {
        self.check_same("target", x, target)?;
        let difference = self.sub(x, target)?;
        let (error, size) = (self.norms(difference)?, self.norms(target)?);
        let relative = self.div(error, size)?;
        self.mean_all(relative)
    }

    /// Records the Euclidean norms (B) of x (B, …), which are too large by the smallest root, so that
    /// they have a derivative at zero.
    fn norms(&mut self, x: Var) -> Result<Var> {
        let axes: Axes = (1..self.shape(x)?.len()).collect();
        if self.shape(x)?.is_empty() {
            return Err(shape_error("x", "(B, …)", &[]));
        }
        let square = self.square(x)?;
        let sum = self.sum(square, &axes, false)?;
        let positive = self.shift(sum, T::min_positive_value())?;
        self.sqrt(positive)
    }

    /// Records the cross entropy: the mean of −ln softmax(logits)\[target\] over rows, for logits
    /// (…, C) and one target below C for each row, in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] for rank 0 or another number of targets, [`Error::Argument`] for a target
    /// beyond the classes.
    pub fn cross_entropy(&mut self, logits: Var, targets: &[usize]) -> Result<Var> {
        let shape = self.shape(logits)?;
        let Some((&classes, rows)) = shape.split_last() else {
            return Err(shape_error("logits", "(…, classes)", shape));
        };
        let rows = rows.iter().product::<usize>();
        if targets.len() != rows {
            return Err(shape_error("targets", format!("one a row: [{rows}]"), &[targets.len()]));
        }
        if let Some(target) = targets.iter().find(|&&target| target >= classes) {
            let message = format!("class {target} of {classes}");
            return Err(Error::argument("targets", message));
        }
        let logarithms = self.log_softmax(logits)?;
        let flat = self.reshape(logarithms, [rows * classes])?;
        let picked: Vec<usize> =
            targets.iter().enumerate().map(|(row, target)| row * classes + target).collect();
        let picked = self.gather(flat, 0, &picked)?;
        let mean = self.mean_all(picked)?;
        self.neg(mean)
    }

    fn check_same(&self, argument: &str, x: Var, other: Var) -> Result<()> {
        let (expected, actual) = (self.shape(x)?, self.shape(other)?);
        if expected == actual {
            Ok(())
        } else {
            Err(shape_error(argument, format!("{expected:?}"), actual))
        }
    }
}
