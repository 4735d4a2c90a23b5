//! Reverse-mode automatic differentiation of computations on dense arrays.
//!
//! A [`Tape`] computes each operation when it is called and records it as one entry of an
//! enumeration, so that [`Tape::backward`] can walk back over the record. Shapes follow NumPy.
//!
//! ```
//! use mechanistic::tape::{Array, Tape};
//! # fn main() -> mechanistic::Result<()> {
//! let mut tape = Tape::<f64>::new();
//! let x = tape.constant(Array::new([2, 1], vec![1.0, 2.0])?);
//! let w = tape.leaf(Array::new([1, 1], vec![3.0])?);
//! let y = tape.matmul(x, w)?;
//! let target = tape.constant(Array::new([2, 1], vec![0.0, 0.0])?);
//! let loss = tape.mse(y, target)?;
//! let gradients = tape.backward(loss)?;
//! assert_eq!(gradients.of(w).unwrap().data(), [15.0]); // mean of 2·(w x)·x
//! # Ok(())
//! # }
//! ```

mod backward;
mod losses;
mod ode;
mod operation;
mod operations;
pub(crate) mod parameters;
mod pool;

pub use crate::tensor::Array;
pub use backward::Gradients;
pub use ode::Ode;

pub(crate) use crate::tensor::array::checked_size;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tensor::layout::Axes;
use crate::tensor::{Backend, Cpu};

use crate::{Error, Real, Result};
use ode::Solve;
use operation::Operation;
use parameters::{ParameterId, Parameters};
use pool::Pool;

/// A variable: the handle of a value on a [`Tape`], valid until the tape is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    index: usize,
    recording: u64,
}

/// A record of operations and their values, which a backend computes: the CPU, unless another
/// backend is named.
#[derive(Debug)]
pub struct Tape<T: Real, B: Backend = Cpu> {
    backend: B,
    nodes: Vec<Node<T, B>>,
    /// Variable of each parameter that the record uses.
    parameters: Vec<(ParameterId, Var)>,
    /// The inputs of those operations that have any number of them, one operation after another.
    operands: Vec<usize>,
    /// The ODE solves of the record, and after them those of earlier records whose workspace is free
    /// again.
    solves: Vec<Solve<T, B>>,
    /// The number of solves of the record.
    solved: usize,
    pool: Pool<T, B>,
    /// The arrays of the backward pass, kept between records.
    workspace: backward::Workspace<T, B>,
    /// Number that tells the variables of this record from those of others.
    recording: u64,
}

#[derive(Debug)]
struct Node<T: Real, B: Backend> {
    operation: Operation<T, B>,
    value: Array<T, B>,
    /// Whether the value depends on a leaf.
    differentiable: bool,
}

/// The number of recordings begun in this process.
static RECORDINGS: AtomicU64 = AtomicU64::new(0);

impl<T: Real> Default for Tape<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Tape<T> {
    /// Makes an empty tape on the CPU.
    pub fn new() -> Self {
        Tape::on(Cpu)
    }
}

impl<T: Real, B: Backend> Tape<T, B> {
    /// Makes an empty tape on this backend.
    pub fn on(backend: B) -> Self {
        Tape {
            backend,
            nodes: vec![],
            parameters: vec![],
            operands: vec![],
            solves: vec![],
            solved: 0,
            pool: Pool::default(),
            workspace: backward::Workspace::default(),
            recording: RECORDINGS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Forgets the record but keeps its memory for the next one. Earlier variables become invalid.
    pub fn clear(&mut self) {
        for node in self.nodes.drain(..) {
            // Arrays that came from outside would make the pool grow with every record.
            if !matches!(
                node.operation,
                Operation::Constant | Operation::Leaf | Operation::Rowwise { .. }
            ) {
                self.pool.give(node.value);
            }
        }
        self.parameters.clear();
        self.pool.all_is_given();
        self.operands.clear();
        self.solved = 0;
        self.recording = RECORDINGS.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a value that needs no gradient.
    pub fn constant(&mut self, value: Array<T>) -> Var {
        self.push(Operation::Constant, B::wrap(value), false)
    }

    /// Records a copy of a value that needs no gradient, in memory that the tape uses again: for data
    /// that many records have. On a GPU the array stays there, from its first use on.
    ///
    /// # Errors
    /// [`Error::Argument`] when the array lies on another device, [`Error::OutOfMemory`] when there
    /// is no memory for the copy.
    pub fn constant_from(&mut self, value: &Array<T, B>) -> Result<Var> {
        let mut copy = self.pool.take(&self.backend, value.shape())?;
        self.backend.copy(value, &mut copy)?;
        Ok(self.push(Operation::Copy, copy, false))
    }

    /// Records a value that [`Tape::backward`] computes the gradient of.
    pub fn leaf(&mut self, value: Array<T>) -> Var {
        self.push(Operation::Leaf, B::wrap(value), true)
    }

    /// Records a parameter as a leaf; returns the same variable each time it is called for the same
    /// parameter.
    ///
    /// # Errors
    /// [`Error::Argument`] when the parameter is of another store or lies on another device.
    pub fn parameter(&mut self, parameters: &Parameters<T, B>, id: ParameterId) -> Result<Var> {
        if let Some((_, var)) = self.parameters.iter().find(|(known, _)| *known == id) {
            return Ok(*var);
        }
        let value = parameters.array(id)?;
        let mut copy = self.pool.take(&self.backend, value.shape())?;
        self.backend.copy(value, &mut copy).map_err(|error| match error {
            Error::Argument { message, .. } => {
                Error::argument(format!("parameter {:?}", parameters.name(id)), message)
            }
            other => other,
        })?;
        let var = self.push(Operation::Parameter, copy, true);
        self.parameters.push((id, var));
        Ok(var)
    }

    /// Returns the value of a variable, fetched from the backend's memory if it is not the
    /// program's.
    ///
    /// # Errors
    /// [`Error::Argument`] when the variable is not of this tape's current record, and
    /// [`Error::Device`] when the backend's device fails; every operation of a tape can fail in
    /// these two ways.
    pub fn value(&self, var: Var) -> Result<&Array<T>> {
        B::host(&self.node(var)?.value)
    }

    /// Returns the backend that computes the values of this tape.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Returns the shape of a variable.
    ///
    /// # Errors
    /// Those of [`Tape::value`].
    pub fn shape(&self, var: Var) -> Result<&[usize]> {
        Ok(self.node(var)?.value.shape())
    }

    /// Returns the value of a variable of one element.
    ///
    /// # Errors
    /// [`Error::Shape`] when it has more elements or none, and those of [`Tape::value`].
    pub fn scalar(&self, var: Var) -> Result<T> {
        self.check_scalar(var)?;
        Ok(self.value(var)?.data()[0])
    }

    fn check_scalar(&self, var: Var) -> Result<()> {
        match self.node(var)?.value.len() {
            1 => Ok(()),
            _ => Err(shape_error("scalar", "one element", self.shape(var)?)),
        }
    }

    fn node(&self, var: Var) -> Result<&Node<T, B>> {
        if var.recording == self.recording {
            Ok(&self.nodes[var.index])
        } else {
            let message = "belongs to another tape, or to one that was cleared since";
            Err(Error::argument("variable", message))
        }
    }

    fn push(
        &mut self,
        operation: Operation<T, B>,
        value: Array<T, B>,
        differentiable: bool,
    ) -> Var {
        self.nodes.push(Node { operation, value, differentiable });
        Var { index: self.nodes.len() - 1, recording: self.recording }
    }

    /// Records an operation whose value `compute` writes; the result is differentiable if an input
    /// is.
    fn record(
        &mut self,
        operation: Operation<T, B>,
        shape: Axes,
        compute: impl FnOnce(&Self, &Operation<T, B>, &mut Array<T, B>) -> Result<()>,
    ) -> Result<Var> {
        if checked_size(&shape).is_none() {
            let what = format!("array {shape:?}");
            return Err(Error::OutOfMemory { what, bytes: usize::MAX });
        }
        let mut value = self.pool.take(&self.backend, &shape)?;
        compute(self, &operation, &mut value)?;
        let mut differentiable = false;
        operation.for_each_input(&self.operands, |input| {
            differentiable |= self.nodes[input].differentiable
        });
        Ok(self.push(operation, value, differentiable))
    }

    fn array(&self, index: usize) -> &Array<T, B> {
        &self.nodes[index].value
    }
}

fn shape_error(argument: &str, expected: impl Into<String>, actual: &[usize]) -> Error {
    Error::Shape { argument: argument.into(), expected: expected.into(), actual: actual.to_vec() }
}

fn check_axis(argument: &str, axis: usize, shape: &[usize]) -> Result<()> {
    if axis < shape.len() {
        Ok(())
    } else {
        Err(shape_error(argument, format!("an axis {axis}"), shape))
    }
}

fn check_range(argument: &str, range: &Range<usize>, length: usize) -> Result<()> {
    if range.start <= range.end && range.end <= length {
        Ok(())
    } else {
        let message = format!("{range:?} is not a range within the axis of length {length}");
        Err(Error::argument(argument, message))
    }
}
