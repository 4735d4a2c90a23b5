//! The functions of one or two numbers that the tape applies element by element.

/// A function of one number x, applied to every element of an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary<T> {
    /// −x.
    Negate,
    /// c·x.
    Scale(T),
    /// x + c.
    Shift(T),
    /// max(x, 0); the derivative at 0 is 0.
    Relu,
    /// tanh x.
    Tanh,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// ln(1 + e^x).
    Softplus,
    /// x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))): the tanh form (Hendrycks and Gimpel, 2016).
    Gelu,
    /// sin x.
    Sin,
    /// cos x.
    Cos,
    /// e^x.
    Exp,
    /// Natural logarithm.
    Ln,
    /// √x.
    Sqrt,
    /// x².
    Square,
    /// 1/x.
    Reciprocal,
    /// xⁿ.
    Powi(i32),
    /// x^p.
    Powf(T),
}

/// A function of two numbers a and b, applied to every pair of elements of two arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a − b.
    Subtract,
    /// a·b.
    Multiply,
    /// a/b.
    Divide,
}

/// One of the two operands of a binary operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first operand, a.
    A,
    /// The second operand, b.
    B,
}
