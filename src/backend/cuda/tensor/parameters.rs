//! The structures that the tape's kernels take by value: field by field those of `kernels/tape/parameters.h`.

use cudarc::driver::DeviceRepr;

use crate::Real;
use crate::backend::function::{Binary, Unary};
use crate::backend::layout;
use crate::error::{Error, Result};

/// Axes of an index space after neighboring ones were merged.
pub const AXES: usize = 6;
/// Arrays that are walked over together.
pub const OPERANDS: usize = 4;

/// An index space and where its elements lie in each operand.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Of each axis, outermost first.
    pub length: [i64; AXES],
    /// Of each operand along each axis, in elements.
    pub stride: [[i64; AXES]; OPERANDS],
    /// Number of elements.
    pub size: i64,
    /// Number of axes.
    pub axes: i64,
}

impl Walk {
    /// The walk over `shape`; each operand's strides have one entry per axis.
    ///
    /// # Errors
    /// [`Error::Argument`] when more than six axes remain after merging.
    pub fn new<const M: usize>(shape: &[usize], strides: [&[usize]; M]) -> Result<Self> {
        const { assert!(M <= OPERANDS) };
        let merged = layout::merge(shape, strides);
        if merged.len() > AXES {
            let axes = merged.len();
            let message = format!(
                "{axes} axes of {shape:?} are laid out independently, a CUDA device walks over at \
                 most {AXES}"
            );
            return Err(Error::argument("shape", message));
        }
        let mut walk = Walk { axes: merged.len() as i64, ..Walk::default() };
        for (axis, (length, steps)) in merged.into_iter().enumerate() {
            walk.length[axis] = length as i64;
            for (operand, step) in steps.into_iter().enumerate() {
                walk.stride[operand][axis] = step as i64;
            }
        }
        walk.size = layout::size(shape) as i64;
        Ok(walk)
    }

    /// One past the furthest element that the walk reaches in an operand; 0 if it is empty.
    pub fn reach(&self, operand: usize) -> usize {
        if self.size == 0 {
            return 0;
        }
        let axes = 0..self.axes as usize;
        let last: i64 = axes.map(|axis| (self.length[axis] - 1) * self.stride[operand][axis]).sum();
        last as usize + 1
    }

    /// Step of an operand along the innermost axis; `None` without axes or where it repeats.
    pub fn innermost(&self, operand: usize) -> Option<i64> {
        let last = (self.axes as usize).checked_sub(1)?;
        Some(self.stride[operand][last]).filter(|&stride| stride != 0)
    }
}

/// target(k) = or += Σ_r f(g, a, b at k and r), k in `kept`, r in `reduced`; operands: 0 target, 1 g,
/// 2 a or mask, 3 b.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Reduction {
    /// The sums.
    pub kept: Walk,
    /// The terms of each.
    pub reduced: Walk,
    /// Of the target's first element.
    pub offset: i64,
    /// Between the results of two splits in the target.
    pub split_stride: i64,
    /// f.
    pub function: ReduceFunction,
    /// Threads that share a sum: a power of two, at most 256.
    pub lanes: i32,
    /// Blocks that share a sum.
    pub splits: i32,
    /// 1: neighboring threads share a sum; 0: they have neighboring sums.
    pub adjacent: i32,
    /// 1: the target is added to; 0: it is overwritten.
    pub add: i32,
    /// Makes the size a multiple of 8.
    pub reserved: i32,
}

/// The f of a [`Reduction`].
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceFunction {
    /// g.
    Sum = 0,
    /// −g.
    Negated = 1,
    /// g·a.
    Product = 2,
    /// g/a.
    Quotient = 3,
    /// −g·a/b².
    Denominator = 4,
    /// g where the mask holds.
    Held = 5,
    /// g where it does not.
    NotHeld = 6,
}

/// A batch of products; operands of the walks: 0 c, 1 a, 2 b.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    /// The products that are kept apart.
    pub kept: Walk,
    /// Those that are added up.
    pub reduced: Walk,
    /// Rows of a and c.
    pub m: i64,
    /// Columns of a, rows of b.
    pub k: i64,
    /// Columns of b and c.
    pub n: i64,
    /// Between two rows of a.
    pub a_row: i64,
    /// Between two columns of a.
    pub a_column: i64,
    /// Between two rows of b.
    pub b_row: i64,
    /// Between two columns of b.
    pub b_column: i64,
    /// Between the results of two splits in c.
    pub split_stride: i64,
    /// Blocks that share a tile of c.
    pub splits: i32,
    /// 1: c is added to; 0: it is overwritten.
    pub add: i32,
}

/// The numbers of one step of an optimizer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Update {
    /// The gradient is scaled by limit/norm where the norm exceeds it; may be infinite.
    pub limit: f64,
    /// Learning rate.
    pub rate: f64,
    /// Of SGD.
    pub momentum: f64,
    /// Of Adam, as the rest.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// 1 − β₁ᵗ.
    pub correction1: f64,
    /// 1 − β₂ᵗ.
    pub correction2: f64,
    /// Decoupled weight decay.
    pub decay: f64,
}

/// A function's number in `tape.h`, its constant and its exponent.
pub fn unary_code<T: Real>(function: Unary<T>) -> (i32, f64, i32) {
    use Unary::*;
    match function {
        Negate => (0, 0.0, 0),
        Scale(c) => (1, c.to_double(), 0),
        Shift(c) => (2, c.to_double(), 0),
        Relu => (3, 0.0, 0),
        Tanh => (4, 0.0, 0),
        Sigmoid => (5, 0.0, 0),
        Softplus => (6, 0.0, 0),
        Gelu => (7, 0.0, 0),
        Sin => (8, 0.0, 0),
        Cos => (9, 0.0, 0),
        Exp => (10, 0.0, 0),
        Ln => (11, 0.0, 0),
        Sqrt => (12, 0.0, 0),
        Square => (13, 0.0, 0),
        Reciprocal => (14, 0.0, 0),
        Powi(n) => (15, 0.0, n),
        Powf(p) => (16, p.to_double(), 0),
    }
}

/// A function's number in `tape.h`.
pub fn binary_code(function: Binary) -> i32 {
    match function {
        Binary::Add => 0,
        Binary::Subtract => 1,
        Binary::Multiply => 2,
        Binary::Divide => 3,
    }
}

// SAFETY: plain C structures without pointers, the same on both sides (checked by the test below).
unsafe impl DeviceRepr for Walk {}
unsafe impl DeviceRepr for Reduction {}
unsafe impl DeviceRepr for MatMul {}
unsafe impl DeviceRepr for Update {}

#[cfg(test)]
mod tests {
    use super::super::super::testing::c_values;
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn structures_are_those_of_the_kernels() {
        macro_rules! layout {
            ($name:ident: $($field:ident),*) => {{
                // All fields are listed.
                let _ = |$name { $($field: _),* }: $name| ();
                vec![
                    (format!("sizeof({})", stringify!($name)), size_of::<$name>()),
                    $((format!("offsetof({}, {})", stringify!($name), stringify!($field)),
                       offset_of!($name, $field))),*
                ]
            }};
        }
        macro_rules! constants {
            ($($c:ident = $value:expr),* $(,)?) => {
                vec![$((stringify!($c).to_owned(), $value as usize)),*]
            };
        }
        use super::{binary_code as binary, unary_code as unary};
        let expected = [
            layout!(Walk: length, stride, size, axes),
            layout!(Reduction: kept, reduced, offset, split_stride, function, lanes, splits,
                adjacent, add, reserved),
            layout!(MatMul: kept, reduced, m, k, n, a_row, a_column, b_row, b_column,
                split_stride, splits, add),
            layout!(Update: limit, rate, momentum, beta1, beta2, epsilon, correction1,
                correction2, decay),
            constants! {
                TAPE_AXES = AXES,
                TAPE_OPERANDS = OPERANDS,
                REDUCE_SUM = ReduceFunction::Sum,
                REDUCE_NEGATED = ReduceFunction::Negated,
                REDUCE_PRODUCT = ReduceFunction::Product,
                REDUCE_QUOTIENT = ReduceFunction::Quotient,
                REDUCE_DENOMINATOR = ReduceFunction::Denominator,
                REDUCE_HELD = ReduceFunction::Held,
                REDUCE_NOT_HELD = ReduceFunction::NotHeld,
                UNARY_NEGATE = unary(Unary::<f64>::Negate).0,
                UNARY_SCALE = unary(Unary::<f64>::Scale(1.0)).0,
                UNARY_SHIFT = unary(Unary::<f64>::Shift(1.0)).0,
                UNARY_RELU = unary(Unary::<f64>::Relu).0,
                UNARY_TANH = unary(Unary::<f64>::Tanh).0,
                UNARY_SIGMOID = unary(Unary::<f64>::Sigmoid).0,
                UNARY_SOFTPLUS = unary(Unary::<f64>::Softplus).0,
                UNARY_GELU = unary(Unary::<f64>::Gelu).0,
                UNARY_SIN = unary(Unary::<f64>::Sin).0,
                UNARY_COS = unary(Unary::<f64>::Cos).0,
                UNARY_EXP = unary(Unary::<f64>::Exp).0,
                UNARY_LN = unary(Unary::<f64>::Ln).0,
                UNARY_SQRT = unary(Unary::<f64>::Sqrt).0,
                UNARY_SQUARE = unary(Unary::<f64>::Square).0,
                UNARY_RECIPROCAL = unary(Unary::<f64>::Reciprocal).0,
                UNARY_POWI = unary(Unary::<f64>::Powi(1)).0,
                UNARY_POWF = unary(Unary::<f64>::Powf(1.0)).0,
                BINARY_ADD = binary(Binary::Add),
                BINARY_SUBTRACT = binary(Binary::Subtract),
                BINARY_MULTIPLY = binary(Binary::Multiply),
                BINARY_DIVIDE = binary(Binary::Divide),
            },
        ]
        .concat();
        let expressions: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
        let actual = c_values("tape/parameters.h", &expressions);
        for ((expression, here), there) in expected.iter().zip(actual) {
            assert_eq!(*here, there, "{expression}");
        }
    }

    #[test]
    fn a_walk_knows_how_far_it_reaches() {
        let walk = Walk::new(&[2, 3], [&[3, 1], &[1, 5]]).unwrap();
        assert_eq!((walk.axes, walk.size, walk.reach(0), walk.reach(1)), (2, 6, 6, 12));
        assert_eq!((walk.innermost(0), walk.innermost(1)), (Some(1), Some(5)));
        let empty = Walk::new(&[2, 0], [&[0, 1]]).unwrap();
        assert_eq!((empty.size, empty.reach(0)), (0, 0));
        let one = Walk::new(&[1, 1], [&[7, 7]]).unwrap();
        assert_eq!((one.axes, one.size, one.reach(0)), (0, 1, 1));
        // Every second element along every axis: nothing merges.
        let strides: Vec<usize> = (0..7).map(|axis| 4_usize.pow(6 - axis)).collect();
        let message = Walk::new(&[2; 7], [&strides]).unwrap_err().to_string();
        assert!(message.contains("7 axes"), "{message}");
    }
}
