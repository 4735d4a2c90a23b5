//! Forward-mode differentiation by dual numbers, and the operations that an equation may use.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// A number that an equation is evaluated on: `f64`, or a [`Dual`] that carries derivatives along.
/// The second operand of +, −, · and / may be an `f64`; a constant as the first operand is written
/// `S::from(1.0)`.
pub trait Number:
    Copy
    + Debug
    + Send
    + Sync
    + 'static
    + From<f64>
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
{
    /// Returns the number without its derivatives, for comparisons.
    fn value(self) -> f64;
    /// Returns xⁿ.
    fn powi(self, n: i32) -> Self;
    /// Returns x^p.
    fn powf(self, p: f64) -> Self;
    /// Returns √x.
    fn sqrt(self) -> Self;
    /// Returns e^x.
    fn exp(self) -> Self;
    /// Returns the natural logarithm of x.
    fn ln(self) -> Self;
    /// Returns sin x.
    fn sin(self) -> Self;
    /// Returns cos x.
    fn cos(self) -> Self;
    /// Returns tanh x.
    fn tanh(self) -> Self;
    /// Returns |x|, whose derivative at 0 is taken as 1.
    fn abs(self) -> Self;
}

macro_rules! of_f64 {
    ($($name:ident($($argument:ident: $type:ty)?);)*) => {
        impl Number for f64 {
            fn value(self) -> f64 {
                self
            }
            $(
                #[inline(always)]
                fn $name(self $(, $argument: $type)?) -> f64 {
                    f64::$name(self $(, $argument)?)
                }
            )*
        }
    };
}

of_f64! {
    powi(n: i32);
    powf(p: f64);
    sqrt();
    exp();
    ln();
    sin();
    cos();
    tanh();
    abs();
}

/// A dual number: a value with its derivatives in V directions, x + Σ_i ẋ_i ε_i with ε_i ε_j = 0.
/// Nested (`Dual<Dual<f64, 1>, V>`) it gives second derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual<S, const V: usize> {
    /// Value x.
    pub value: S,
    /// Derivatives ẋ_i in the V directions.
    pub derivatives: [S; V],
}

impl<S: Number, const V: usize> Dual<S, V> {
    /// Makes a constant, whose derivatives are all zero.
    #[inline(always)]
    pub fn constant(value: S) -> Self {
        Dual { value, derivatives: [S::from(0.0); V] }
    }

    /// Makes a variable, whose derivative is 1 in one direction and 0 in the others.
    #[inline(always)]
    pub fn variable(value: S, direction: usize) -> Self {
        let mut variable = Self::constant(value);
        variable.derivatives[direction] = S::from(1.0);
        variable
    }

    /// Returns f(x) from the value and the slope of f at x.
    #[inline(always)]
    fn chain(self, value: S, slope: S) -> Self {
        Dual { value, derivatives: self.derivatives.map(|d| slope * d) }
    }

    /// Returns f(x, y) from the value of f and its slopes in x and y.
    #[inline(always)]
    fn chain_two(self, other: Self, value: S, slopes: (S, S)) -> Self {
        let derivatives = std::array::from_fn(|i| {
            slopes.0 * self.derivatives[i] + slopes.1 * other.derivatives[i]
        });
        Dual { value, derivatives }
    }
}

impl<S: Number, const V: usize> From<f64> for Dual<S, V> {
    #[inline(always)]
    fn from(value: f64) -> Self {
        Self::constant(S::from(value))
    }
}

impl<S: Number, const V: usize> Number for Dual<S, V> {
    fn value(self) -> f64 {
        self.value.value()
    }

    fn powi(self, n: i32) -> Self {
        let slope = if n == 0 { S::from(0.0) } else { self.value.powi(n - 1) * f64::from(n) };
        self.chain(self.value.powi(n), slope)
    }

    fn powf(self, p: f64) -> Self {
        // For p = 0 the slope is 0; the formula would give ∞·0 at x = 0.
        let slope = if p == 0.0 { S::from(0.0) } else { self.value.powf(p - 1.0) * p };
        self.chain(self.value.powf(p), slope)
    }

    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, S::from(0.5) / root)
    }

    fn exp(self) -> Self {
        let power = self.value.exp();
        self.chain(power, power)
    }

    fn ln(self) -> Self {
        self.chain(self.value.ln(), S::from(1.0) / self.value)
    }

    fn sin(self) -> Self {
        self.chain(self.value.sin(), self.value.cos())
    }

    fn cos(self) -> Self {
        self.chain(self.value.cos(), -self.value.sin())
    }

    fn tanh(self) -> Self {
        let tanh = self.value.tanh();
        self.chain(tanh, -(tanh * tanh) + 1.0)
    }

    fn abs(self) -> Self {
        if self.value() < 0.0 { -self } else { self }
    }
}

impl<S: Number, const V: usize> Neg for Dual<S, V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Dual { value: -self.value, derivatives: self.derivatives.map(|d| -d) }
    }
}

macro_rules! operator {
    ($operator:ident, $function:ident, $assign:ident, $assign_function:ident,
     |$a:ident, $b:ident| $whole:expr, |$x:ident, $c:ident| $part:expr) => {
        impl<S: Number, const V: usize> $operator for Dual<S, V> {
            type Output = Self;
            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                $whole
            }
        }

        impl<S: Number, const V: usize> $operator<f64> for Dual<S, V> {
            type Output = Self;
            #[inline(always)]
            fn $function(self, $c: f64) -> Self {
                let $x = self;
                $part
            }
        }

        impl<S: Number, const V: usize> $assign for Dual<S, V> {
            #[inline(always)]
            fn $assign_function(&mut self, other: Self) {
                *self = $operator::$function(*self, other);
            }
        }
    };
}

operator!(
    Add,
    add,
    AddAssign,
    add_assign,
    |a, b| Dual {
        value: a.value + b.value,
        derivatives: std::array::from_fn(|i| a.derivatives[i] + b.derivatives[i]),
    },
    |x, c| Dual { value: x.value + c, ..x }
);
operator!(
    Sub,
    sub,
    SubAssign,
    sub_assign,
    |a, b| Dual {
        value: a.value - b.value,
        derivatives: std::array::from_fn(|i| a.derivatives[i] - b.derivatives[i]),
    },
    |x, c| Dual { value: x.value - c, ..x }
);
operator!(
    Mul,
    mul,
    MulAssign,
    mul_assign,
    |a, b| a.chain_two(b, a.value * b.value, (b.value, a.value)),
    |x, c| Dual { value: x.value * c, derivatives: x.derivatives.map(|d| d * c) }
);
operator!(
    Div,
    div,
    DivAssign,
    div_assign,
    |a, b| {
        let quotient = a.value / b.value;
        let reciprocal = S::from(1.0) / b.value;
        a.chain_two(b, quotient, (reciprocal, -(quotient * reciprocal)))
    },
    |x, c| Dual { value: x.value / c, derivatives: x.derivatives.map(|d| d / c) }
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation at least once.
    fn mixture<S: Number>(x: S, y: S) -> S {
        let mut sum = x.powi(3) * y - y.powf(1.7) / (x + 2.0);
        sum += (x * y).sin() * x.cos() - (x / 3.0).tanh();
        sum -= (y.sqrt() - x.exp() * 0.1).abs();
        sum *= y.ln() - 4.0;
        sum /= -(x.powi(0) + x * x);
        sum
    }

    #[test]
    fn first_derivatives_are_those_of_central_differences() {
        let (x, y, h) = (0.7, 1.3, 1e-6);
        let value = mixture(Dual::<f64, 2>::variable(x, 0), Dual::variable(y, 1));
        assert_eq!(value.value, mixture(x, y));
        let differences = [
            (mixture(x + h, y) - mixture(x - h, y)) / (2.0 * h),
            (mixture(x, y + h) - mixture(x, y - h)) / (2.0 * h),
        ];
        for (exact, difference) in value.derivatives.iter().zip(differences) {
            assert!((exact - difference).abs() < 1e-8, "{exact} {difference}");
        }
    }

    #[test]
    fn nested_numbers_give_second_derivatives() {
        type Second = Dual<Dual<f64, 2>, 2>;
        let variable = |value, i| Second::variable(Dual::variable(value, i), i);
        let gradient =
            |x, y| mixture(Dual::<f64, 2>::variable(x, 0), Dual::variable(y, 1)).derivatives;
        let (x, y, h) = (0.7, 1.3, 1e-6);
        let hessian = mixture(variable(x, 0), variable(y, 1)).derivatives.map(|d| d.derivatives);
        for i in 0..2 {
            assert!((hessian[0][1] - hessian[1][0]).abs() < 1e-12);
            let by_x = (gradient(x + h, y)[i] - gradient(x - h, y)[i]) / (2.0 * h);
            let by_y = (gradient(x, y + h)[i] - gradient(x, y - h)[i]) / (2.0 * h);
            assert!((hessian[i][0] - by_x).abs() < 1e-7, "{} {by_x}", hessian[i][0]);
            assert!((hessian[i][1] - by_y).abs() < 1e-7, "{} {by_y}", hessian[i][1]);
        }
    }
}
