//! What a tape records.

use crate::tensor::Array;
use crate::tensor::Backend;
use crate::tensor::function::{Binary, Unary};
use crate::tensor::product::Product;
use crate::{Inputs, Real};

/// One recorded operation; inputs are indices of earlier nodes.
#[derive(Debug)]
pub(super) enum Operation<T: Real, B: Backend> {
    /// Given, no gradient wanted.
    Constant,
    /// Given, gradient wanted.
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
    /// Sum over axes; `kept` is the result's shape with the summed axes of length 1.
    Sum {
        x: usize,
        kept: Vec<usize>,
    },
    /// Maximum over the middle of three axes, and where it was.
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
        strides: Vec<usize>,
    },
    /// Inputs one after another along an axis; x viewed as (outer, own length · inner).
    Concat {
        inputs: Vec<usize>,
        outer: usize,
    },
    /// Slices of the middle of three axes.
    Gather {
        x: usize,
        sizes: [usize; 3],
        indices: B::Indices,
    },
    /// x where the mask holds, else `otherwise`.
    Select {
        mask: Array<bool, B>,
        x: usize,
        otherwise: usize,
    },
    /// Along the last axis.
    LogSoftmax {
        x: usize,
    },
    /// A function evaluated elsewhere, with its Jacobian (rows, outputs, inputs).
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
    /// Calls `input` with each input's index.
    pub(super) fn for_each_input(&self, mut input: impl FnMut(usize)) {
        match self {
            Operation::Constant | Operation::Leaf | Operation::Parameter => {}
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
            Operation::Concat { inputs, .. } => inputs.iter().copied().for_each(input),
        }
    }
}
