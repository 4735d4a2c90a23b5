//! The backward pass of a tape: from the last recorded operation to the first, each adds to the
//! gradients of its inputs.

use super::operation::Operation;
use super::{Array, Tape, Var, shape_error};
use crate::tape::ParameterId;
use crate::tensor::function::Side;
use crate::tensor::{Backend, Cpu};
use crate::{Error, Real, Result};

/// The gradients of a result with respect to the leaves and parameters of a record, in the
/// backend's memory.
#[derive(Debug)]
pub struct Gradients<T: Real, B: Backend = Cpu> {
    backend: B,
    leaves: Vec<(Var, Array<T, B>)>,
    parameters: Vec<(ParameterId, Var)>,
}

impl<T: Real> Gradients<T> {
    /// Returns the gradient of a leaf, in the leaf's shape, or `None` for a variable that is not a
    /// leaf of the record or on which the result does not depend.
    pub fn of(&self, leaf: Var) -> Option<&Array<T>> {
        self.array(leaf)
    }
}

impl<T: Real, B: Backend> Gradients<T, B> {
    /// Returns the gradient of a leaf as [`Gradients::of`] does, fetched from the backend's memory
    /// if it is not the program's.
    ///
    /// # Errors
    /// [`Error::Argument`] where [`Gradients::of`] returns `None`; [`Error::Device`] when the
    /// backend's device fails.
    pub fn value(&self, leaf: Var) -> Result<&Array<T>> {
        let message = "is not a leaf, or has no part in the result";
        B::host(self.array(leaf).ok_or_else(|| Error::argument("leaf", message))?)
    }

    /// Returns the backend whose memory holds the gradients.
    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    /// Iterates over the parameters that the result depends on, with their gradients.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (ParameterId, &Array<T, B>)> {
        self.parameters.iter().filter_map(|(id, var)| Some((*id, self.array(*var)?)))
    }

    fn array(&self, leaf: Var) -> Option<&Array<T, B>> {
        let at = self.leaves.binary_search_by_key(&leaf.index, |(var, _)| var.index).ok()?;
        let (var, gradient) = &self.leaves[at];
        (*var == leaf).then_some(gradient)
    }
}

impl<T: Real, B: Backend> Tape<T, B> {
    /// Computes the gradients of a result of one element with respect to every leaf.
    ///
    /// # Errors
    /// [`Error::Shape`] when the result has more elements or none.
    pub fn backward(&mut self, result: Var) -> Result<Gradients<T, B>> {
        self.check_scalar(result)?;
        let one = Array::full(self.shape(result)?, T::one())?;
        self.backward_from(result, &one)
    }

    /// Computes the gradients of Σ cotangent · result with respect to every leaf.
    ///
    /// # Errors
    /// [`Error::Shape`] when the cotangent's shape is not the result's.
    pub fn backward_from(&mut self, result: Var, cotangent: &Array<T>) -> Result<Gradients<T, B>> {
        let shape = self.shape(result)?;
        if cotangent.shape() != shape {
            return Err(shape_error("cotangent", format!("{shape:?}"), cotangent.shape()));
        }
        let mut gradients: Vec<Option<Array<T, B>>> = Vec::new();
        gradients.resize_with(result.index + 1, || None);
        if self.nodes[result.index].differentiable {
            gradients[result.index] = Some(B::wrap(cotangent.clone()));
        }
        let mut leaves = vec![];
        for i in (0..=result.index).rev() {
            let Some(gradient) = gradients[i].take() else {
                continue;
            };
            let node = &self.nodes[i];
            if let Operation::Leaf | Operation::Parameter = node.operation {
                leaves.push((Var { index: i, recording: self.recording }, gradient));
                continue;
            }
            let mut prepared = Ok(());
            node.operation.for_each_input(|input| {
                let node = &self.nodes[input];
                if node.differentiable && gradients[input].is_none() && prepared.is_ok() {
                    match self.pool.zeros(&self.backend, node.value.shape()) {
                        Ok(zeros) => gradients[input] = Some(zeros),
                        Err(error) => prepared = Err(error),
                    }
                }
            });
            prepared?;
            if let Operation::Ode { inputs, solve } = node.operation {
                self.propagate_ode(inputs, solve, &gradient, &mut gradients)?;
            } else {
                self.propagate(i, &gradient, &mut gradients)?;
            }
            // The first gradient came from outside and would make the pool grow with every record.
            if i != result.index {
                self.pool.give(gradient);
            }
        }
        leaves.reverse();
        let (backend, parameters) = (self.backend.clone(), self.parameters.clone());
        Ok(Gradients { backend, leaves, parameters })
    }

    /// Adds one node's contribution to the gradients of those of its inputs that have one.
    fn propagate(
        &self,
        i: usize,
        gy: &Array<T, B>,
        gradients: &mut [Option<Array<T, B>>],
    ) -> Result<()> {
        let (backend, y) = (&self.backend, self.array(i));
        match &self.nodes[i].operation {
            Operation::Constant | Operation::Leaf | Operation::Parameter => {}
            Operation::Ode { .. } => unreachable!("its adjoint changes the solver's workspace"),
            Operation::Rowwise { x, jacobian } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.rowwise_adjoint(gy, jacobian, gx)?;
                }
            }
            Operation::Unary { function, x } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.unary_adjoint(*function, self.array(*x), y, gy, gx)?;
                }
            }
            Operation::Binary { function, a, b } => {
                let operands = [self.array(*a), self.array(*b)];
                for (side, input) in [(Side::A, *a), (Side::B, *b)] {
                    if let Some(g) = &mut gradients[input] {
                        backend.binary_adjoint(*function, side, operands, gy, g)?;
                    }
                }
            }
            Operation::MatMul { product, a, b } => {
                for (side, input, other) in [(Side::A, *a, *b), (Side::B, *b, *a)] {
                    if let Some(g) = &mut gradients[input] {
                        backend.matmul_adjoint(product, side, self.array(other), gy, g)?;
                    }
                }
            }
            Operation::Sum { x, kept } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.sum_adjoint(gy, kept, gx)?;
                }
            }
            Operation::Max { x, sizes, arguments } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.max_adjoint(gy, arguments, *sizes, gx)?;
                }
            }
            Operation::Reshape { x } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.accumulate(gy, gx)?;
                }
            }
            Operation::View { x, offset, strides } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.view_adjoint(gy, *offset, strides, gx)?;
                }
            }
            Operation::Concat { inputs, outer } => {
                let mut start = 0;
                for &input in inputs {
                    if let Some(gx) = &mut gradients[input] {
                        backend.concat_adjoint(gy, *outer, start, gx)?;
                    }
                    start += self.array(input).len().checked_div(*outer).unwrap_or(0);
                }
            }
            Operation::Gather { x, sizes, indices } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.gather_adjoint(gy, *sizes, indices, gx)?;
                }
            }
            Operation::Select { mask, x, otherwise } => {
                for (held, input) in [(true, *x), (false, *otherwise)] {
                    if let Some(g) = &mut gradients[input] {
                        backend.select_adjoint(mask, held, gy, g)?;
                    }
                }
            }
            Operation::LogSoftmax { x } => {
                if let Some(gx) = &mut gradients[*x] {
                    backend.log_softmax_adjoint(y, gy, gx)?;
                }
            }
        }
        Ok(())
    }
}
