//! The loop around a loss: record, differentiate, update, with checkpoints and an early end.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{Optimizer, Parameters, load_checkpoint, save_checkpoint};
use crate::tape::{Tape, Var};
use crate::tensor::{Backend, Cpu};
use crate::{Error, Real, Result};

/// Parameters in training, with the optimizer that changes them and the tape that records the loss.
///
/// ```
/// use std::ops::ControlFlow::{Break, Continue};
/// use mechanistic::nn::{Activation, Mlp, Optimizer, Parameters, Rng, Rule, Training};
/// use mechanistic::{Cpu, tape::Array};
/// # fn main() -> mechanistic::Result<()> {
/// let mut parameters = Parameters::<f64>::new();
/// let net = Mlp::new(&mut parameters, "net", &[1, 16, 1], Activation::Tanh, &mut Rng::new(7))?;
/// let mut training = Training::new(parameters, Optimizer::new(Rule::adam(), 0.01), Cpu)?;
/// let losses = training.run(
///     200,
///     |tape, parameters, _step| {
///         let x = tape.constant(Array::new([3, 1], vec![-1.0, 0.0, 1.0])?);
///         let y = net.forward(tape, parameters, x)?;
///         let target = tape.constant(Array::new([3, 1], vec![1.0, 0.0, 1.0])?);
///         tape.mse(y, target)
///     },
///     |_step, loss| if loss < 1e-3 { Break(()) } else { Continue(()) },
/// )?;
/// assert!(losses.last().unwrap() < &0.01);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Training<T: Real, B: Backend = Cpu> {
    /// What is learned.
    pub parameters: Parameters<T, B>,
    /// How it is learned.
    pub optimizer: Optimizer<T, B>,
    tape: Tape<T, B>,
    checkpoints: Option<(PathBuf, u64)>,
}

impl<T: Real, B: Backend> Training<T, B> {
    /// Moves the parameters to `backend`, where the tape records and the optimizer works.
    ///
    /// # Errors
    /// When the backend's device fails.
    pub fn new(parameters: Parameters<T>, optimizer: Optimizer<T, B>, backend: B) -> Result<Self> {
        let (parameters, tape) = (parameters.to()?, Tape::on(backend));
        Ok(Training { parameters, optimizer, tape, checkpoints: None })
    }

    /// Takes up the checkpoint at `path` if there is one, and from now on lets [`Training::run`]
    /// write one there after each `every` steps (at least 1) and when it ends.
    ///
    /// # Errors
    /// Those of [`load_checkpoint`], except that the file may be missing.
    pub fn with_checkpoints(mut self, path: PathBuf, every: u64) -> Result<Self> {
        let exists = path.try_exists();
        if exists.map_err(|source| Error::Io { path: path.clone(), source })? {
            load_checkpoint(&path, &mut self.parameters, &mut self.optimizer)?;
        }
        self.checkpoints = Some((path, every.max(1)));
        Ok(self)
    }

    /// Takes one step down the gradient of the loss that `loss` records, and returns the loss before
    /// it.
    ///
    /// # Errors
    /// Those of `loss`, [`Tape::backward`] and [`Optimizer::step`].
    pub fn step(
        &mut self,
        loss: impl FnOnce(&mut Tape<T, B>, &Parameters<T, B>) -> Result<Var>,
    ) -> Result<T> {
        self.tape.clear();
        let loss = loss(&mut self.tape, &self.parameters)?;
        let gradients = self.tape.backward(loss)?;
        self.optimizer.step(&mut self.parameters, &gradients)?;
        self.tape.recycle(gradients);
        self.tape.scalar(loss)
    }

    /// Takes steps until the optimizer has taken `steps` in all, and returns the loss before each.
    ///
    /// `loss` is told the number of the step, from which it should draw whatever is random: then a
    /// run that goes on from a checkpoint is the run that was never interrupted. `observe` is told
    /// the number and the loss; when it breaks, training ends as if it were done.
    ///
    /// # Errors
    /// Those of [`Training::step`] and [`save_checkpoint`].
    pub fn run(
        &mut self,
        steps: u64,
        mut loss: impl FnMut(&mut Tape<T, B>, &Parameters<T, B>, u64) -> Result<Var>,
        mut observe: impl FnMut(u64, T) -> ControlFlow<()>,
    ) -> Result<Vec<T>> {
        let first = self.optimizer.steps();
        // However many steps are asked for, `observe` may end them soon.
        let mut losses = Vec::new();
        for step in first..steps {
            let value = self.step(|tape, parameters| loss(tape, parameters, step))?;
            losses.push(value);
            if observe(step, value).is_break() {
                break;
            }
            match &self.checkpoints {
                Some((_, every)) if (step + 1).is_multiple_of(*every) => self.save()?,
                _ => {}
            }
        }
        self.save()?;
        Ok(losses)
    }

    /// Records what `f` asks for and returns its result, without changing any parameter.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn evaluate<R>(
        &mut self,
        f: impl FnOnce(&mut Tape<T, B>, &Parameters<T, B>) -> Result<R>,
    ) -> Result<R> {
        self.tape.clear();
        f(&mut self.tape, &self.parameters)
    }

    fn save(&self) -> Result<()> {
        let Some((path, _)) = &self.checkpoints else { return Ok(()) };
        save_checkpoint(path, &self.parameters, &self.optimizer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Rule;
    use crate::tape::Array;

    /// (w − step mod 3)², so that every step has a loss of its own.
    fn losses(training: &mut Training<f64>, steps: u64, stop_at: f64) -> Vec<f64> {
        let id = training.parameters.find("w").unwrap();
        let loss = |tape: &mut Tape<f64>, parameters: &Parameters<f64>, step: u64| {
            let w = tape.parameter(parameters, id)?;
            let target = tape.constant(Array::vector(vec![(step % 3) as f64]));
            tape.mse(w, target)
        };
        let observe = |_, loss| match loss < stop_at {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        training.run(steps, loss, observe).unwrap()
    }

    fn training() -> Training<f64> {
        let mut parameters = Parameters::new();
        parameters.insert("w", Array::vector(vec![5.0])).unwrap();
        Training::new(parameters, Optimizer::new(Rule::adam(), 0.1), Cpu).unwrap()
    }

    #[test]
    fn an_interrupted_run_goes_on_where_it_was() {
        let whole = losses(&mut training(), 20, 0.0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.safetensors");
        let with_checkpoints = || training().with_checkpoints(path.clone(), 4).unwrap();
        let first = losses(&mut with_checkpoints(), 20, 15.0);
        let rest = losses(&mut with_checkpoints(), 20, 0.0);
        assert!(first.len() > 1 && rest.len() > 1, "{first:?}");
        assert_eq!([first, rest].concat(), whole);
        assert!(losses(&mut with_checkpoints(), 20, 0.0).is_empty(), "all steps are taken");
        let endless = losses(&mut training(), u64::MAX, 15.0);
        assert_eq!(endless, whole[..endless.len()]);
    }

    #[test]
    fn evaluation_changes_nothing() {
        let mut training = training();
        let id = training.parameters.find("w").unwrap();
        let value = training.evaluate(|tape, parameters| {
            let w = tape.parameter(parameters, id)?;
            tape.scalar(w)
        });
        assert_eq!((value.unwrap(), training.optimizer.steps()), (5.0, 0));
    }
}
