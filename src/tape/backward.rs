//! The walk back over the record.

use super::operation::Operation;
use super::{Array, Tape, Var, shape_error};
use crate::backend::cpu::tensor::{elementwise, index, reduce, softmax};
use crate::nn::ParameterId;
use crate::{Real, Result};

/// Gradients of the leaves and parameters of a record.
#[derive(Debug)]
pub struct Gradients<T> {
    leaves: Vec<(Var, Array<T>)>,
    parameters: Vec<(ParameterId, Var)>,
}

impl<T> Gradients<T> {
    /// The gradient of a leaf, in its shape; `None` for what is not a leaf of the record or has no
    /// part in the result.
    pub fn of(&self, leaf: Var) -> Option<&Array<T>> {
        let at = self.leaves.binary_search_by_key(&leaf.index, |(var, _)| var.index).ok()?;
        let (var, gradient) = &self.leaves[at];
        (*var == leaf).then_some(gradient)
    }

    /// The parameters that have part in the result, with their gradients.
    pub fn parameters(&self) -> impl Iterator<Item = (ParameterId, &Array<T>)> {
        self.parameters.iter().filter_map(|(id, var)| Some((*id, self.of(*var)?)))
    }
}

impl<T: Real> Tape<T> {
    /// Gradients of a result of one element with respect to every leaf.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when the result has more elements or none.
    pub fn backward(&mut self, result: Var) -> Result<Gradients<T>> {
        self.scalar(result)?;
        let shape = self.shape(result)?.to_vec();
        self.backward_from(result, &Array::from_parts(shape, vec![T::one()]))
    }

    /// Gradients of Σ cotangent · result with respect to every leaf.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when the cotangent's shape is not the result's.
    pub fn backward_from(&mut self, result: Var, cotangent: &Array<T>) -> Result<Gradients<T>> {
        let shape = self.shape(result)?;
        if cotangent.shape() != shape {
            return Err(shape_error("cotangent", format!("{shape:?}"), cotangent.shape()));
        }
        let mut gradients: Vec<Option<Vec<T>>> = Vec::new();
        gradients.resize_with(result.index + 1, || None);
        if self.nodes[result.index].differentiable {
            let mut start = self.pool.take(cotangent.len());
            start.copy_from_slice(cotangent.data());
            gradients[result.index] = Some(start);
        }
        let mut leaves = vec![];
        for i in (0..=result.index).rev() {
            let Some(gradient) = gradients[i].take() else {
                continue;
            };
            let node = &self.nodes[i];
            if let Operation::Leaf | Operation::Parameter = node.operation {
                let var = Var { index: i, recording: self.recording };
                leaves.push((var, Array::from_parts(node.value.shape().to_vec(), gradient)));
                continue;
            }
            node.operation.for_each_input(|input| {
                let node = &self.nodes[input];
                if node.differentiable && gradients[input].is_none() {
                    gradients[input] = Some(self.pool.zeros(node.value.len()));
                }
            });
            if let Operation::Ode { inputs, solve } = self.nodes[i].operation {
                let arrays = inputs.map(|input| &self.nodes[input].value);
                self.solves[solve].propagate(arrays, inputs, &gradient, &mut gradients);
            } else {
                self.propagate(i, &gradient, &mut gradients);
            }
            self.pool.give(gradient);
        }
        leaves.reverse();
        Ok(Gradients { leaves, parameters: self.parameters.clone() })
    }

    /// Adds one node's contribution to the gradients of those of its inputs that have one.
    fn propagate(&self, i: usize, gy: &[T], gradients: &mut [Option<Vec<T>>]) {
        let value = &self.nodes[i].value;
        let (y, shape) = (value.data(), value.shape());
        match &self.nodes[i].operation {
            Operation::Constant | Operation::Leaf | Operation::Parameter => {}
            Operation::Ode { .. } => unreachable!("its adjoint changes the solver's workspace"),
            Operation::Rowwise { x, jacobian } => {
                if let Some(gx) = &mut gradients[*x] {
                    let outputs = shape.last().copied().unwrap_or(0);
                    index::rowwise_adjoint(gy, jacobian, outputs, gx);
                }
            }
            Operation::Unary { function, x } => {
                if let Some(gx) = &mut gradients[*x] {
                    function.adjoint(self.data(*x), y, gy, gx);
                }
            }
            Operation::Binary { function, a, b } => {
                let (value_a, value_b) = (self.operand(*a), self.operand(*b));
                if let Some(ga) = &mut gradients[*a] {
                    function.adjoint_a(value_a.1, value_b, shape, gy, ga);
                }
                if let Some(gb) = &mut gradients[*b] {
                    function.adjoint_b(value_a, value_b, shape, gy, gb);
                }
            }
            Operation::MatMul { product, a, b } => {
                if let Some(ga) = &mut gradients[*a] {
                    product.adjoint_a(self.data(*b), gy, ga);
                }
                if let Some(gb) = &mut gradients[*b] {
                    product.adjoint_b(self.data(*a), gy, gb);
                }
            }
            Operation::Sum { x, kept } => {
                if let Some(gx) = &mut gradients[*x] {
                    reduce::add_repeated(gy, kept, gx, self.nodes[*x].value.shape());
                }
            }
            Operation::Max { x, sizes, arguments } => {
                if let Some(gx) = &mut gradients[*x] {
                    reduce::max_adjoint(gy, arguments, *sizes, gx);
                }
            }
            Operation::Reshape { x } => {
                if let Some(gx) = &mut gradients[*x] {
                    gx.iter_mut().zip(gy).for_each(|(gx, gy)| *gx += *gy);
                }
            }
            Operation::View { x, offset, strides } => {
                if let Some(gx) = &mut gradients[*x] {
                    index::add_strided(gy, shape, gx, *offset, strides);
                }
            }
            Operation::Concat { inputs, outer } => {
                let row = gy.len().checked_div(*outer).unwrap_or(0);
                let mut start = 0;
                for &input in inputs {
                    let own = self.data(input).len().checked_div(*outer).unwrap_or(0);
                    if let Some(gx) = &mut gradients[input] {
                        for o in 0..*outer {
                            let from = &gy[o * row + start..][..own];
                            let to = &mut gx[o * own..(o + 1) * own];
                            to.iter_mut().zip(from).for_each(|(gx, gy)| *gx += *gy);
                        }
                    }
                    start += own;
                }
            }
            Operation::Gather { x, sizes, indices } => {
                if let Some(gx) = &mut gradients[*x] {
                    index::scatter_add(gy, *sizes, indices, gx);
                }
            }
            Operation::Select { mask, x, otherwise } => {
                for (side, input) in [(true, *x), (false, *otherwise)] {
                    let mask = (mask.data(), mask.shape());
                    let own = self.nodes[input].value.shape();
                    if let Some(gx) = &mut gradients[input] {
                        elementwise::select_adjoint(mask, side, shape, gy, gx, own);
                    }
                }
            }
            Operation::LogSoftmax { x } => {
                if let Some(gx) = &mut gradients[*x]
                    && let Some(&length) = shape.last()
                    && length > 0
                {
                    softmax::log_softmax_adjoint(y, length, gy, gx);
                }
            }
        }
    }
}
