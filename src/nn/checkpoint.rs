//! Checkpoints: training that was interrupted continues from its file as if it had not been, to the
//! bit.
//!
//! A checkpoint is a safetensors file. It has each parameter under `parameter.{name}`, each moment
//! of the optimizer under `moment{i}.{name}` with the number of its updates under `updates.{name}`,
//! and `steps`.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};

use super::optimizer::State;
use super::{Optimizer, Parameters};
use crate::files::tensors::{self, Tensor};
use crate::tape::Array;
use crate::tensor::Backend;
use crate::{Error, Real, Result};

/// Writes parameters and optimizer state to a file, as a whole or not at all.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written; those of [`Optimizer::check`].
pub fn save_checkpoint<T: Real, B: Backend>(
    path: &Path,
    parameters: &Parameters<T, B>,
    optimizer: &Optimizer<T, B>,
) -> Result<()> {
    optimizer.check()?;
    let mut contents = vec![Tensor::count("steps", optimizer.steps())];
    let states = optimizer.states.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    for ((id, name), state) in parameters.names().zip(states) {
        let value = parameters.get(id)?;
        contents.push(Tensor::of(format!("parameter.{name}"), value.shape(), value.data()));
        let Some(state) = state else { continue };
        contents.push(Tensor::count(format!("updates.{name}"), state.updates));
        for (i, moment) in state.moments.iter().enumerate() {
            let moment = B::host(moment)?;
            contents.push(Tensor::of(format!("moment{i}.{name}"), moment.shape(), moment.data()));
        }
    }
    tensors::write(path, &contents, &[("format", "mechanistic checkpoint".into())])
}

/// Reads a checkpoint into parameters and an optimizer made as they were when it was saved; both
/// stay as they are unless all of it fits.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Format`] when it is not a checkpoint of these
/// parameters and this rule.
pub fn load_checkpoint<T: Real, B: Backend>(
    path: &Path,
    parameters: &mut Parameters<T, B>,
    optimizer: &mut Optimizer<T, B>,
) -> Result<()> {
    let bytes =
        std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let format = |message: String| Error::Format { path: path.to_owned(), message };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
    let view = |name: &str, dtype: Dtype, shape: &[usize]| {
        let view = file.tensor(name).map_err(|_| format(format!("tensor {name:?} is missing")))?;
        if view.dtype() == dtype && view.shape() == shape {
            return Ok(view);
        }
        let found = (view.dtype(), view.shape());
        Err(format(format!("tensor {name:?}: expected {dtype:?} {shape:?}, got {found:?}")))
    };
    let number = |name: &str| -> Result<u64> {
        let bytes = view(name, Dtype::U64, &[])?.data().try_into();
        Ok(u64::from_le_bytes(bytes.expect("a u64 has eight bytes")))
    };
    let array = |name: &str, shape: &[usize]| -> Result<Array<T>> {
        let numbers = tensors::decode(&view(name, tensors::dtype::<T>(), shape)?);
        Ok(Array::from_parts(shape.into(), numbers.expect("the type was checked")))
    };

    let steps = number("steps")?;
    let (mut values, mut states, mut known) = (vec![], vec![], 1);
    for (id, name) in parameters.names() {
        let shape = parameters.array(id)?.shape();
        values.push((id, array(&format!("parameter.{name}"), shape)?));
        known += 1;
        let updates = format!("updates.{name}");
        if file.tensor(&updates).is_err() {
            states.push(None);
            continue;
        }
        let moments = (0..optimizer.moments())
            .map(|i| Ok(B::wrap(array(&format!("moment{i}.{name}"), shape)?)))
            .collect::<Result<Vec<_>>>()?;
        known += 1 + moments.len();
        states.push(Some(State { updates: number(&updates)?, moments }));
    }
    if file.len() != known {
        let message = format!("{} tensors, {known} of which belong to this model", file.len());
        return Err(format(message));
    }
    for (id, value) in values {
        parameters.data_mut(id)?.copy_from_slice(value.data());
    }
    optimizer.restore(steps, states);
    Ok(())
}
