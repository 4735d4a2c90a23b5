//! The operations that a tape offers, apart from losses and the ODE solve.

use std::ops::Range;

use super::operation::Operation;
use super::{Array, Tape, Var, check_axis, check_range, shape_error};
use crate::tensor::Backend;
use crate::tensor::function::{Binary, Unary};
use crate::tensor::layout::{self, Axes};
use crate::tensor::product::Product;
use crate::{Error, Real, Result};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {
        impl<T: Real, B: Backend> Tape<T, B> {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// Only for a variable of another record.
                pub fn $name(&mut self, x: Var) -> Result<Var> {
                    self.unary(Unary::$function, x)
                }
            )*
        }
    };
}

unary! {
    /// Records −x.
    neg = Negate;
    /// Records max(x, 0), whose derivative at 0 is taken as 0.
    relu = Relu;
    /// Records tanh x.
    tanh = Tanh;
    /// Records the sigmoid 1 / (1 + e^−x).
    sigmoid = Sigmoid;
    /// Records ln(1 + e^x), computed without overflow.
    softplus = Softplus;
    /// Records the Gaussian error linear unit in its tanh form, x/2 · (1 + tanh(√(2/π)(x + 0.044715
    /// x³))) (Hendrycks and Gimpel, 2016).
    gelu = Gelu;
    /// Records sin x.
    sin = Sin;
    /// Records cos x.
    cos = Cos;
    /// Records e^x.
    exp = Exp;
    /// Records the natural logarithm ln x.
    ln = Ln;
    /// Records √x.
    sqrt = Sqrt;
    /// Records x².
    square = Square;
    /// Records 1/x.
    reciprocal = Reciprocal;
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {
        impl<T: Real, B: Backend> Tape<T, B> {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Error::Shape`] when the shapes do not broadcast.
                pub fn $name(&mut self, a: Var, b: Var) -> Result<Var> {
                    self.binary(Binary::$function, a, b)
                }
            )*
        }
    };
}

binary! {
    /// Records a + b with NumPy broadcasting.
    add = Add;
    /// Records a − b with NumPy broadcasting.
    sub = Subtract;
    /// Records a·b, element by element, with NumPy broadcasting.
    mul = Multiply;
    /// Records a/b with NumPy broadcasting.
    div = Divide;
}

impl<T: Real, B: Backend> Tape<T, B> {
    /// Records c·x for a number c.
    ///
    /// # Errors
    /// Only for a variable of another record.
    pub fn scale(&mut self, x: Var, c: T) -> Result<Var> {
        self.unary(Unary::Scale(c), x)
    }

    /// Records x + c for a number c.
    ///
    /// # Errors
    /// Only for a variable of another record.
    pub fn shift(&mut self, x: Var, c: T) -> Result<Var> {
        self.unary(Unary::Shift(c), x)
    }

    /// Records xⁿ for a whole number n.
    ///
    /// # Errors
    /// Only for a variable of another record.
    pub fn powi(&mut self, x: Var, n: i32) -> Result<Var> {
        self.unary(Unary::Powi(n), x)
    }

    /// Records x^p for a number p; the result is NaN where x < 0.
    ///
    /// # Errors
    /// Only for a variable of another record.
    pub fn powf(&mut self, x: Var, p: T) -> Result<Var> {
        self.unary(Unary::Powf(p), x)
    }

    fn unary(&mut self, function: Unary<T>, x: Var) -> Result<Var> {
        let shape = Axes::from_slice(self.shape(x)?);
        let x = x.index;
        self.record(Operation::Unary { function, x }, shape, |tape, _, y| {
            tape.backend.unary(function, tape.array(x), y)
        })
    }

    fn binary(&mut self, function: Binary, a: Var, b: Var) -> Result<Var> {
        let shape = self.common_shape("b", a, b)?;
        let (a, b) = (a.index, b.index);
        self.record(Operation::Binary { function, a, b }, shape, |tape, _, y| {
            tape.backend.binary(function, tape.array(a), tape.array(b), y)
        })
    }

    fn common_shape(&self, argument: &str, a: Var, b: Var) -> Result<Axes> {
        let (a, b) = (self.shape(a)?, self.shape(b)?);
        layout::broadcast(a, b)
            .ok_or_else(|| shape_error(argument, format!("one that broadcasts with {a:?}"), b))
    }

    /// Records the matrix product of a (…, M, K) and b (…, K, N), whose leading axes broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`] for rank below 2, unequal K, or leading axes that do not broadcast.
    pub fn matmul(&mut self, a: Var, b: Var) -> Result<Var> {
        let (shape_a, shape_b) = (self.shape(a)?, self.shape(b)?);
        for (name, shape) in [("a", shape_a), ("b", shape_b)] {
            if shape.len() < 2 {
                return Err(shape_error(name, "a matrix (…, rows, columns)", shape));
            }
        }
        let (lead_a, [rows, inner]) = shape_a.split_last_chunk().expect("rank was checked");
        let (lead_b, [inner_b, columns]) = shape_b.split_last_chunk().expect("rank was checked");
        let misfit = || shape_error("b", format!("(…, {inner}, N) for a of {shape_a:?}"), shape_b);
        if inner != inner_b {
            return Err(misfit());
        }
        let batch = layout::broadcast(lead_a, lead_b).ok_or_else(misfit)?;
        let product = Product::new(shape_a, shape_b, &batch);
        let mut shape = batch;
        shape.extend([*rows, *columns]);
        let (a, b) = (a.index, b.index);
        self.record(Operation::MatMul { product: product.clone(), a, b }, shape, |tape, _, c| {
            tape.backend.matmul(&product, tape.array(a), tape.array(b), c)
        })
    }

    /// Records the sum over `axes`, which disappear, or stay with length 1 if `keep`.
    ///
    /// # Errors
    /// [`Error::Shape`] when an axis does not exist.
    pub fn sum(&mut self, x: Var, axes: &[usize], keep: bool) -> Result<Var> {
        let from = Axes::from_slice(self.shape(x)?);
        let mut kept = from.clone();
        for &axis in axes {
            check_axis("axes", axis, &from)?;
            kept[axis] = 1;
        }
        let shape = if keep {
            kept.clone()
        } else {
            (0..from.len()).filter(|axis| !axes.contains(axis)).map(|axis| from[axis]).collect()
        };
        let x = x.index;
        self.record(Operation::Sum { x, kept: kept.clone() }, shape, |tape, _, y| {
            tape.backend.sum(tape.array(x), &kept, y)
        })
    }

    /// Records the mean over `axes`, which disappear, or stay with length 1 if `keep`. The mean
    /// over an empty axis is NaN.
    ///
    /// # Errors
    /// [`Error::Shape`] when an axis does not exist.
    pub fn mean(&mut self, x: Var, axes: &[usize], keep: bool) -> Result<Var> {
        let before = self.node(x)?.value.len();
        let sum = self.sum(x, axes, keep)?;
        let after = self.node(sum)?.value.len();
        self.scale(sum, T::of(after as f64 / before as f64))
    }

    /// Records the sum of all elements, of rank 0.
    ///
    /// # Errors
    /// Only for a variable of another record.
    pub fn sum_all(&mut self, x: Var) -> Result<Var> {
        let axes: Axes = (0..self.shape(x)?.len()).collect();
        self.sum(x, &axes, false)
    }

    /// Records the mean of all elements, of rank 0.
    ///
    /// # Errors
    /// Only for a variable of another record.
    pub fn mean_all(&mut self, x: Var) -> Result<Var> {
        let axes: Axes = (0..self.shape(x)?.len()).collect();
        self.mean(x, &axes, false)
    }

    /// Records the largest element along `axis`, which disappears. The gradient goes to the first
    /// element that attains it.
    ///
    /// # Errors
    /// [`Error::Shape`] when the axis does not exist or is empty.
    pub fn max(&mut self, x: Var, axis: usize) -> Result<Var> {
        let (sizes, mut shape) = self.around("axis", x, axis)?;
        if sizes[1] == 0 {
            return Err(shape_error("x", format!("an axis {axis} that is not empty"), &shape));
        }
        shape.remove(axis);
        let x = x.index;
        let mut value = self.pool.take(&self.backend, &shape)?;
        let arguments = self.backend.max(self.array(x), sizes, &mut value)?;
        let differentiable = self.nodes[x].differentiable;
        Ok(self.push(Operation::Max { x, sizes, arguments }, value, differentiable))
    }

    /// Returns the shape around an axis as (outer, length, inner), and the whole shape.
    fn around(&self, argument: &str, x: Var, axis: usize) -> Result<([usize; 3], Axes)> {
        let shape = self.shape(x)?;
        check_axis(argument, axis, shape)?;
        let (outer, inner) = (layout::size(&shape[..axis]), layout::size(&shape[axis + 1..]));
        Ok(([outer, shape[axis], inner], shape.into()))
    }

    /// Records the elements of x in another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] when the number of elements differs.
    pub fn reshape(&mut self, x: Var, shape: impl AsRef<[usize]>) -> Result<Var> {
        let shape = Axes::from_slice(shape.as_ref());
        let from = &self.node(x)?.value;
        if super::checked_size(&shape) != Some(from.len()) {
            return Err(shape_error("x", format!("as many elements as {shape:?}"), from.shape()));
        }
        let x = x.index;
        self.record(Operation::Reshape { x }, shape, |tape, _, y| {
            tape.backend.copy(tape.array(x), y)
        })
    }

    /// Records a permutation of axes: axis i of the result is axis `axes[i]` of x.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `axes` names every axis once.
    pub fn permute(&mut self, x: Var, axes: &[usize]) -> Result<Var> {
        let from = self.shape(x)?;
        let mut sorted = Axes::from_slice(axes);
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..from.len()) {
            let message = format!("{axes:?} is not a permutation of the axes of {from:?}");
            return Err(Error::argument("axes", message));
        }
        let own = layout::contiguous(from);
        let shape = axes.iter().map(|&axis| from[axis]).collect();
        self.view(x, 0, axes.iter().map(|&axis| own[axis]).collect(), shape)
    }

    /// Records the part of x in `range` of `axis`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the axis does not exist, [`Error::Argument`] for a range beyond it.
    pub fn slice(&mut self, x: Var, axis: usize, range: Range<usize>) -> Result<Var> {
        let mut shape = Axes::from_slice(self.shape(x)?);
        check_axis("axis", axis, &shape)?;
        check_range("range", &range, shape[axis])?;
        let strides = layout::contiguous(&shape);
        shape[axis] = range.len();
        self.view(x, range.start * strides[axis], strides, shape)
    }

    /// Records x repeated to `shape` by NumPy's rule of broadcasting.
    ///
    /// # Errors
    /// [`Error::Shape`] when x does not broadcast to that shape.
    pub fn broadcast_to(&mut self, x: Var, shape: impl AsRef<[usize]>) -> Result<Var> {
        let (from, shape) = (self.shape(x)?, Axes::from_slice(shape.as_ref()));
        if layout::broadcast(from, &shape).as_ref() != Some(&shape) {
            return Err(shape_error("x", format!("one that broadcasts to {shape:?}"), from));
        }
        let strides = layout::broadcast_strides(from, &shape);
        self.view(x, 0, strides, shape)
    }

    fn view(&mut self, x: Var, offset: usize, strides: Axes, shape: Axes) -> Result<Var> {
        let x = x.index;
        let operation = Operation::View { x, offset, strides: strides.clone() };
        self.record(operation, shape, |tape, _, y| {
            tape.backend.view(tape.array(x), offset, &strides, y)
        })
    }

    /// Records the inputs joined one after another along `axis`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no input, [`Error::Shape`] when another axis differs.
    pub fn concat(&mut self, inputs: &[Var], axis: usize) -> Result<Var> {
        let Some(&first) = inputs.first() else {
            return Err(Error::argument("inputs", "at least one is needed"));
        };
        let ([outer, ..], mut shape) = self.around("axis", first, axis)?;
        shape[axis] = 0;
        for (i, &input) in inputs.iter().enumerate() {
            let own = self.shape(input)?;
            let fits = own.len() == shape.len()
                && (0..own.len()).all(|other| other == axis || own[other] == shape[other]);
            if !fits {
                let expected = format!("that of inputs[0] but for axis {axis}");
                return Err(shape_error(&format!("inputs[{i}]"), expected, own));
            }
            shape[axis] += own[axis];
        }
        let start = self.operands.len();
        self.operands.extend(inputs.iter().map(|input| input.index));
        let operation = Operation::Concat { inputs: start..self.operands.len(), outer };
        self.record(operation, shape, |tape, _, y| {
            let arrays = tape.operands[start..].iter().map(|&input| tape.array(input));
            tape.backend.concat(arrays, outer, y)
        })
    }

    /// Records entries of x along `axis`: entry i of the result is entry `indices[i]` of x, and
    /// entries may repeat.
    ///
    /// # Errors
    /// [`Error::Shape`] when the axis does not exist, [`Error::Argument`] for an index beyond it.
    pub fn gather(&mut self, x: Var, axis: usize, indices: &[usize]) -> Result<Var> {
        let (sizes, mut shape) = self.around("axis", x, axis)?;
        if let Some(index) = indices.iter().find(|&&index| index >= sizes[1]) {
            let message = format!("{index} is beyond the axis {axis} of {shape:?}");
            return Err(Error::argument("indices", message));
        }
        shape[axis] = indices.len();
        let x = x.index;
        let indices = self.backend.indices(indices, sizes[1])?;
        self.record(Operation::Gather { x, sizes, indices }, shape, |tape, operation, y| {
            let Operation::Gather { indices, .. } = operation else { unreachable!("made above") };
            tape.backend.gather(tape.array(x), sizes, indices, y)
        })
    }

    /// Records x where the mask holds and `otherwise` elsewhere; all three broadcast. Where a side
    /// is not taken its gradient is 0, even if its value is NaN.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes do not broadcast.
    pub fn select(&mut self, mask: &Array<bool>, x: Var, otherwise: Var) -> Result<Var> {
        let values = self.common_shape("otherwise", x, otherwise)?;
        let shape = layout::broadcast(mask.shape(), &values).ok_or_else(|| {
            shape_error("mask", format!("one that broadcasts with {values:?}"), mask.shape())
        })?;
        let (x, otherwise) = (x.index, otherwise.index);
        let operation = Operation::Select { mask: B::wrap(mask.clone()), x, otherwise };
        self.record(operation, shape, |tape, operation, y| {
            let Operation::Select { mask, .. } = operation else { unreachable!("made above") };
            tape.backend.select(mask, tape.array(x), tape.array(otherwise), y)
        })
    }

    /// Records the logarithm of the softmax, x − ln Σ e^x along the last axis, computed without
    /// overflow.
    ///
    /// # Errors
    /// [`Error::Shape`] for rank 0.
    pub fn log_softmax(&mut self, x: Var) -> Result<Var> {
        let shape = Axes::from_slice(self.shape(x)?);
        if shape.is_empty() {
            return Err(shape_error("x", "(…, classes)", &shape));
        }
        let x = x.index;
        self.record(Operation::LogSoftmax { x }, shape, |tape, _, y| {
            tape.backend.log_softmax(tape.array(x), y)
        })
    }

    /// Records a function that the caller evaluated row by row outside the tape: x (…, D) and
    /// `value` (…, L) agree in the leading axes, and `jacobian` is (…, L, D).
    ///
    /// # Errors
    /// [`Error::Shape`] when the three shapes do not belong together.
    pub fn rowwise(&mut self, x: Var, value: Array<T>, jacobian: Array<T>) -> Result<Var> {
        let shape = self.shape(x)?;
        let (Some((inputs, rows)), Some((outputs, value_rows))) =
            (shape.split_last(), value.shape().split_last())
        else {
            return Err(shape_error("x", "(…, D) for a value of (…, L)", shape));
        };
        if rows != value_rows {
            return Err(shape_error("value", format!("{rows:?} and L"), value.shape()));
        }
        let expected = [rows, &[*outputs, *inputs]].concat();
        if jacobian.shape() != expected {
            return Err(shape_error("jacobian", format!("{expected:?}"), jacobian.shape()));
        }
        let differentiable = self.nodes[x.index].differentiable;
        let operation = Operation::Rowwise { x: x.index, jacobian: B::wrap(jacobian) };
        Ok(self.push(operation, B::wrap(value), differentiable))
    }
}
