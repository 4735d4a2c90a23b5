//! The operations that a tape records.

use std::ops::Range;

use crate::tensor::Array;
use crate::tensor::Backend;
use crate::tensor::function::{Binary, Unary};
use crate::tensor::layout::Axes;
use crate::tensor::product::Product;
use crate::{Inputs, Real};

/// One recorded operation; inputs are indices of earlier nodes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be allocated for every product")]
pub(super) enum Operation<T: Real, B: Backend> {
    /// A given value whose gradient is not wanted.
    Constant,
    /// The same, in memory of the tape.
    Copy,
    /// A given value whose gradient is wanted.
    Leaf,
    /// A leaf copied from a parameter store.
    Parameter,
    Unary {
        function: Unary<T>,
        x: usize,
    },
    Binary {
        function: Binary,
        a: usize,
        b: usize,
    },
    MatMul {
        product: Product,
        a: usize,
        b: usize,
    },
    /// The sum over axes; `kept` is the result's shape with the summed axes of length 1.
    Sum {
        x: usize,
        kept: Axes,
    },
    /// The maximum over the middle of three axes, and its position.
    Max {
        x: usize,
        sizes: [usize; 3],
        arguments: B::Buffer<usize>,
    },
    /// The same elements in another shape.
    Reshape {
        x: usize,
    },
    /// Elements of x at an offset and strides: permute, slice, broadcast.
    View {
        x: usize,
        offset: usize,
        strides: Axes,
    },
    /// The inputs one after another along an axis; x is viewed as (outer, own length · inner). Which
    /// they are lies in this part of the tape's operands.
    Concat {
        inputs: Range<usize>,
        outer: usize,
    },
    /// Some slices of the middle of three axes.
    Gather {
        x: usize,
        sizes: [usize; 3],
        indices: B::Indices,
    },
    /// The input x where the mask holds, `otherwise` elsewhere.
    Select {
        mask: Array<bool, B>,
        x: usize,
        otherwise: usize,
    },
    /// The logarithm of the softmax along the last axis.
    LogSoftmax {
        x: usize,
    },
    /// A function that the caller evaluated, with its Jacobian (rows, outputs, inputs).
    Rowwise {
        x: usize,
        jacobian: Array<T, B>,
    },
    /// The solve by its number on the tape.
    Ode {
        inputs: Inputs<usize>,
        solve: usize,
    },
}

impl<T: Real, B: Backend> Operation<T, B> {
    /// Calls `input` with each input's index; `operands` are the tape's.
    pub(super) fn for_each_input(&self, operands: &[usize], mut input: impl FnMut(usize)) {
        match self {
            Operation::Constant | Operation::Copy | Operation::Leaf | Operation::Parameter => {}
            Operation::Unary { x, .. }
            | Operation::Sum { x, .. }
            | Operation::Max { x, .. }
            | Operation::Reshape { x }
            | Operation::View { x, .. }
            | Operation::Gather { x, .. }
            | Operation::LogSoftmax { x }
            | Operation::Rowwise { x, .. } => input(*x),
            Operation::Ode { inputs, .. } => inputs.into_iter().for_each(input),
            Operation::Binary { a, b, .. } | Operation::MatMul { a, b, .. } => {
                input(*a);
                input(*b);
            }
            Operation::Select { x, otherwise, .. } => {
                input(*x);
                input(*otherwise);
            }
            Operation::Concat { inputs, .. } => {
                operands[inputs.clone()].iter().copied().for_each(input);
            }
        }
    }
}
