//! The functions of the tape as its kernels know them.

use crate::Real;
use crate::backend::cuda::bindings::{BinaryFunction, UnaryFunction};
use crate::tensor::function::{Binary, Unary};

/// Returns a function's number in the kernels, its constant and its exponent.
pub fn unary_code<T: Real>(function: Unary<T>) -> (i32, f64, i32) {
    use Unary::*;
    use UnaryFunction as Code;
    let (code, number, exponent) = match function {
        Negate => (Code::Negate, 0.0, 0),
        Scale(c) => (Code::Scale, c.to_double(), 0),
        Shift(c) => (Code::Shift, c.to_double(), 0),
        Relu => (Code::Relu, 0.0, 0),
        Tanh => (Code::Tanh, 0.0, 0),
        Sigmoid => (Code::Sigmoid, 0.0, 0),
        Softplus => (Code::Softplus, 0.0, 0),
        Gelu => (Code::Gelu, 0.0, 0),
        Sin => (Code::Sin, 0.0, 0),
        Cos => (Code::Cos, 0.0, 0),
        Exp => (Code::Exp, 0.0, 0),
        Ln => (Code::Ln, 0.0, 0),
        Sqrt => (Code::Sqrt, 0.0, 0),
        Square => (Code::Square, 0.0, 0),
        Reciprocal => (Code::Reciprocal, 0.0, 0),
        Powi(n) => (Code::Powi, 0.0, n),
        Powf(p) => (Code::Powf, p.to_double(), 0),
    };
    (code as i32, number, exponent)
}

/// Returns a function's number in the kernels.
pub fn binary_code(function: Binary) -> i32 {
    let code = match function {
        Binary::Add => BinaryFunction::Add,
        Binary::Subtract => BinaryFunction::Subtract,
        Binary::Multiply => BinaryFunction::Multiply,
        Binary::Divide => BinaryFunction::Divide,
    };
    code as i32
}
