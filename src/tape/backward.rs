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

/// What the backward passes of a tape use again.
#[derive(Debug)]
pub(super) struct Workspace<T: Real, B: Backend> {
    /// The gradient of each node, all of them none between two passes.
    gradients: Vec<Option<Array<T, B>>>,
    /// The gradient of a result with respect to itself.
    one: Option<Array<T, B>>,
    /// Gradients that were given back.
    idle: Option<Gradients<T, B>>,
}

impl<T: Real, B: Backend> Default for Workspace<T, B> {
    fn default() -> Self {
        Workspace { gradients: vec![], one: None, idle: None }
    }
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
        let one = self.workspace.one.get_or_insert_with(|| B::wrap(Array::scalar(T::one())));
        let mut cotangent =
            self.pool.take(&self.backend, self.nodes[result.index].value.shape())?;
        self.backend.copy(one, &mut cotangent)?;
        self.differentiate(result, cotangent)
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
        let mut copy = self.pool.take(&self.backend, cotangent.shape())?;
        self.backend.copy(&B::wrap(cotangent.clone()), &mut copy)?;
        self.differentiate(result, copy)
    }

    /// Takes the memory of gradients that are no longer needed, for the next backward pass of this
    /// tape.
    ///
    /// A training step on the CPU that gives its gradients back, and takes its data by
    /// [`Tape::constant_from`], allocates nothing after the first, except that rayon takes some bytes for each
    /// thread that is asked for help, and from outside of its threads a list of 1.5 kB now and then. Operations that are
    /// given masks, indices or Jacobians copy them into memory of their own. Gradients on another
    /// device than this tape's are dropped.
    pub fn recycle(&mut self, mut gradients: Gradients<T, B>) {
        if !self.backend.shares_device(&gradients.backend) {
            return;
        }
        // They may come from another handle of the device, with other settings, and the next pass
        // returns them as this tape's.
        gradients.backend.clone_from(&self.backend);
        for (_, array) in gradients.leaves.drain(..) {
            self.pool.give(array);
        }
        gradients.parameters.clear();
        self.workspace.idle = Some(gradients);
    }

    /// Computes the gradients from that of the result, in memory of the pool.
    fn differentiate(&mut self, result: Var, cotangent: Array<T, B>) -> Result<Gradients<T, B>> {
        let mut gradients = std::mem::take(&mut self.workspace.gradients);
        gradients.clear();
        gradients.resize_with(result.index + 1, || None);
        if self.nodes[result.index].differentiable {
            gradients[result.index] = Some(cotangent);
        } else {
            self.pool.give(cotangent);
        }
        let mut found = self.workspace.idle.take().unwrap_or_else(|| {
            let backend = self.backend.clone();
            Gradients { backend, leaves: vec![], parameters: vec![] }
        });
        for i in (0..=result.index).rev() {
            let Some(gradient) = gradients[i].take() else {
                continue;
            };
            let node = &self.nodes[i];
            if let Operation::Leaf | Operation::Parameter = node.operation {
                found.leaves.push((Var { index: i, recording: self.recording }, gradient));
                continue;
            }
            match node.operation {
                Operation::MatMul { .. } => self.propagate_matmul(i, &gradient, &mut gradients)?,
                Operation::Ode { inputs, solve } => {
                    self.begin_inputs(i, &mut gradients)?;
                    self.propagate_ode(inputs, solve, &gradient, &mut gradients)?;
                }
                _ => {
                    self.begin_inputs(i, &mut gradients)?;
                    self.propagate(i, &gradient, &mut gradients)?;
                }
            }
            self.pool.give(gradient);
        }
        found.leaves.reverse();
        found.parameters.extend_from_slice(&self.parameters);
        self.workspace.gradients = gradients;
        Ok(found)
    }

    /// Begins the gradients of a node's inputs to which nothing has contributed yet, with zeros.
    fn begin_inputs(&mut self, i: usize, gradients: &mut [Option<Array<T, B>>]) -> Result<()> {
        let mut begun = Ok(());
        self.nodes[i].operation.for_each_input(&self.operands, |input| {
            let node = &self.nodes[input];
            if node.differentiable && gradients[input].is_none() && begun.is_ok() {
                match self.pool.zeros(&self.backend, node.value.shape()) {
                    Ok(zeros) => gradients[input] = Some(zeros),
                    Err(error) => begun = Err(error),
                }
            }
        });
        begun
    }

    /// Adds the contribution of a product to the gradients of its operands. What is the first to contribute writes
    /// them, where a gradient has each element once: clearing and reading large matrices would take as long as a
    /// product of few terms.
    fn propagate_matmul(
        &mut self,
        i: usize,
        gy: &Array<T, B>,
        gradients: &mut [Option<Array<T, B>>],
    ) -> Result<()> {
        let Operation::MatMul { product, a, b } = &self.nodes[i].operation else {
            unreachable!("only products come here");
        };
        for (side, input, other) in [(Side::A, *a, *b), (Side::B, *b, *a)] {
            let (node, other) = (&self.nodes[input], &self.nodes[other].value);
            if !node.differentiable {
                continue;
            }
            let add = gradients[input].is_some() || !product.has_each_once(side);
            let gradient = match &mut gradients[input] {
                Some(gradient) => gradient,
                none => none.insert(match add {
                    true => self.pool.zeros(&self.backend, node.value.shape())?,
                    false => self.pool.take(&self.backend, node.value.shape())?,
                }),
            };
            self.backend.matmul_adjoint(product, side, other, gy, gradient, add)?;
        }
        Ok(())
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
            Operation::Constant | Operation::Copy | Operation::Leaf | Operation::Parameter => {}
            Operation::Ode { .. } => unreachable!("its adjoint changes the solver's workspace"),
            Operation::MatMul { .. } => unreachable!("its adjoint may begin gradients"),
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
                for &input in &self.operands[inputs.clone()] {
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
