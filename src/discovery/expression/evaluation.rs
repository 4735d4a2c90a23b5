//! The value of an expression and its derivatives, which are exact: the gradient goes back from the
//! whole to the variables, and its change along a direction is carried along.

use smallvec::SmallVec;

use super::{Expression, Function, Operation};
use crate::discovery::link::Partials;

/// The numbers of one evaluation: expressions of usual size need no allocation.
type Numbers<T> = SmallVec<[T; 24]>;

/// An expression as steps, each of which refers to earlier ones; the last is the whole.
#[derive(Clone, Debug)]
pub(in super::super) struct Compiled {
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Number(f64),
    Variable(usize),
    Apply(Function, usize),
    Combine(Operation, usize, usize),
}

impl Compiled {
    /// Returns the product of these expressions, which is 1 if there are none.
    pub fn product(factors: &[Expression]) -> Self {
        let mut compiled = Compiled { steps: vec![] };
        let places: Vec<usize> = factors.iter().map(|factor| compiled.add(factor)).collect();
        let product = places.into_iter().reduce(|product, next| {
            compiled.push(Step::Combine(Operation::Multiply, product, next))
        });
        if product.is_none() {
            compiled.push(Step::Number(1.0));
        }
        compiled
    }

    fn add(&mut self, expression: &Expression) -> usize {
        let step = match expression {
            Expression::Number(number) => Step::Number(*number),
            Expression::Variable(variable) => Step::Variable(*variable),
            Expression::Apply(function, inner) => Step::Apply(*function, self.add(inner)),
            Expression::Combine(operation, a, b) => {
                let (a, b) = (self.add(a), self.add(b));
                Step::Combine(*operation, a, b)
            }
        };
        self.push(step)
    }

    fn push(&mut self, step: Step) -> usize {
        self.steps.push(step);
        self.steps.len() - 1
    }

    /// Returns the value at these values of the variables.
    pub fn value(&self, variables: &[f64]) -> f64 {
        let mut values: Numbers<f64> = SmallVec::with_capacity(self.steps.len());
        for step in &self.steps {
            values.push(match *step {
                Step::Number(number) => number,
                Step::Variable(variable) => variables[variable],
                Step::Apply(function, a) => function.value(values[a]),
                Step::Combine(operation, a, b) => operation.value(values[a], values[b]),
            });
        }
        values[self.steps.len() - 1]
    }

    /// Writes the gradient into a vector as long as the variables.
    pub fn gradient(&self, variables: &[f64], gradient: &mut [f64]) {
        let mut unused: Numbers<f64> = SmallVec::from_elem(0.0, gradient.len());
        let direction: Numbers<f64> = unused.clone();
        self.derivatives(variables, &direction, gradient, &mut unused);
    }

    /// Writes the change of the gradient along `direction` into a vector as long as the variables.
    pub fn gradient_along(&self, variables: &[f64], direction: &[f64], along: &mut [f64]) {
        let mut unused: Numbers<f64> = SmallVec::from_elem(0.0, along.len());
        self.derivatives(variables, direction, &mut unused, along);
    }

    /// Writes the gradient and its change along `direction`.
    fn derivatives(
        &self,
        variables: &[f64],
        direction: &[f64],
        gradient: &mut [f64],
        along: &mut [f64],
    ) {
        let count = self.steps.len();
        // Each step's partial derivatives and its change along the direction.
        let mut partials: Numbers<(Partials, f64)> = SmallVec::with_capacity(count);
        for step in &self.steps {
            let constant = |value| Partials { value, ..Partials::default() };
            partials.push(match *step {
                Step::Number(number) => (constant(number), 0.0),
                Step::Variable(variable) => (constant(variables[variable]), direction[variable]),
                Step::Apply(function, a) => {
                    let (of_a, change) = partials[a];
                    let p = function.partials(of_a.value);
                    (p, times(p.a, change))
                }
                Step::Combine(operation, a, b) => {
                    let ((of_a, a), (of_b, b)) = (partials[a], partials[b]);
                    let p = operation.partials(of_a.value, of_b.value);
                    (p, times(p.a, a) + times(p.b, b))
                }
            });
        }
        gradient.fill(0.0);
        along.fill(0.0);
        // The derivative of the whole with respect to each step, and its change.
        let mut back: Numbers<[f64; 2]> = SmallVec::from_elem([0.0; 2], count);
        back[count - 1][0] = 1.0;
        for (place, step) in self.steps.iter().enumerate().rev() {
            let [slope, change] = back[place];
            let (p, _) = partials[place];
            match *step {
                Step::Number(_) => {}
                Step::Variable(variable) => {
                    gradient[variable] += slope;
                    along[variable] += change;
                }
                Step::Apply(_, a) => {
                    let bend = times(p.aa, partials[a].1);
                    back[a][0] += times(p.a, slope);
                    back[a][1] += times(p.a, change) + times(bend, slope);
                }
                Step::Combine(_, a, b) => {
                    let (of_a, of_b) = (partials[a].1, partials[b].1);
                    let bend = [
                        times(p.aa, of_a) + times(p.ab, of_b),
                        times(p.ab, of_a) + times(p.bb, of_b),
                    ];
                    back[a][0] += times(p.a, slope);
                    back[a][1] += times(p.a, change) + times(bend[0], slope);
                    back[b][0] += times(p.b, slope);
                    back[b][1] += times(p.b, change) + times(bend[1], slope);
                }
            }
        }
    }
}

/// Returns the product, which is zero if a factor is: an infinite slope of what does not change is
/// none.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// Returns xⁿ; a whole n also takes negative x.
fn power(x: f64, n: f64) -> f64 {
    if n.fract() == 0.0 && n.abs() <= 64.0 { x.powi(n as i32) } else { x.powf(n) }
}

impl Function {
    fn value(self, x: f64) -> f64 {
        match self {
            Function::Negative => -x,
            Function::Power(n) => power(x, n),
            Function::Abs => x.abs(),
            Function::Atan => x.atan(),
            Function::Cos => x.cos(),
            Function::Cosh => x.cosh(),
            Function::Exp => x.exp(),
            Function::Log => x.ln(),
            Function::Sin => x.sin(),
            Function::Sinh => x.sinh(),
            Function::Sqrt => x.sqrt(),
            Function::Tan => x.tan(),
            Function::Tanh => x.tanh(),
        }
    }

    fn partials(self, x: f64) -> Partials {
        let value = self.value(x);
        let (a, aa) = match self {
            Function::Negative => (-1.0, 0.0),
            Function::Power(n) => {
                (times(n, power(x, n - 1.0)), times(n * (n - 1.0), power(x, n - 2.0)))
            }
            // The kink counts as flat.
            Function::Abs => (if x == 0.0 { 0.0 } else { x.signum() }, 0.0),
            Function::Atan => {
                let slope = 1.0 / (1.0 + x * x);
                (slope, -2.0 * x * slope * slope)
            }
            Function::Cos => (-x.sin(), -value),
            Function::Cosh => (x.sinh(), value),
            Function::Exp => (value, value),
            Function::Log => (1.0 / x, -1.0 / (x * x)),
            Function::Sin => (x.cos(), -value),
            Function::Sinh => (x.cosh(), value),
            Function::Sqrt => (0.5 / value, -0.25 / (x * value)),
            Function::Tan => {
                let slope = 1.0 + value * value;
                (slope, 2.0 * value * slope)
            }
            Function::Tanh => {
                let slope = 1.0 - value * value;
                (slope, -2.0 * value * slope)
            }
        };
        Partials { value, a, aa, ..Partials::default() }
    }
}

impl Operation {
    fn value(self, a: f64, b: f64) -> f64 {
        match self {
            Operation::Add => a + b,
            Operation::Subtract => a - b,
            Operation::Multiply => a * b,
            Operation::Divide => a / b,
            Operation::Power => a.powf(b),
        }
    }

    /// Returns the value with all partial derivatives.
    pub(super) fn partials(self, a: f64, b: f64) -> Partials {
        let value = self.value(a, b);
        let linear = |a, b| Partials { value, a, b, ..Partials::default() };
        match self {
            Operation::Add => linear(1.0, 1.0),
            Operation::Subtract => linear(1.0, -1.0),
            Operation::Multiply => Partials { ab: 1.0, ..linear(b, a) },
            Operation::Divide => {
                let r = 1.0 / b;
                Partials { ab: -r * r, bb: 2.0 * value * r * r, ..linear(r, -value * r) }
            }
            Operation::Power => {
                let (log, r) = (a.ln(), 1.0 / a);
                Partials {
                    value,
                    a: b * value * r,
                    b: value * log,
                    aa: b * (b - 1.0) * value * r * r,
                    ab: value * r * (1.0 + b * log),
                    bb: value * log * log,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn derivatives_agree_with_central_differences() {
        let names = ["x", "y"].map(String::from);
        for text in [
            "x*y - x/y",
            "x^3*y^2 + x^-2",
            "x^y",
            "sin(x*y) + cos(x - y) + tan(x/4)",
            "exp(-x^2)*log(y)",
            "sqrt(x + y)/(1 + tanh(x*y))",
            "abs(x - 5)*sinh(x)*cosh(y) + atan(x*y)",
            "-(2*x - y)^5",
        ] {
            let compiled = Compiled::product(&[parse(text, &names).unwrap()]);
            let (state, direction) = ([0.7, 1.3], [0.4, -1.1]);
            let (mut gradient, mut along) = ([0.0; 2], [0.0; 2]);
            compiled.derivatives(&state, &direction, &mut gradient, &mut along);
            let h = 1e-5;
            let moved = |by: [f64; 2]| [state[0] + by[0], state[1] + by[1]];
            for i in 0..2 {
                let mut step = [0.0; 2];
                step[i] = h;
                let back = step.map(|s| -s);
                let difference = compiled.value(&moved(step)) - compiled.value(&moved(back));
                let close = |exact: f64, numeric: f64| {
                    let error = (exact - numeric).abs() / (1.0 + exact.abs());
                    assert!(error < 1e-7, "{text}, {i}: {exact} {numeric}");
                };
                close(gradient[i], difference / (2.0 * h));
                let of = |sign: f64| {
                    let at = moved(direction.map(|d| sign * h * d));
                    let (mut gradient, mut unused) = ([0.0; 2], [0.0; 2]);
                    compiled.derivatives(&at, &[0.0; 2], &mut gradient, &mut unused);
                    gradient[i]
                };
                close(along[i], (of(1.0) - of(-1.0)) / (2.0 * h));
            }
        }
    }

    #[test]
    fn powers_at_zero_have_slopes() {
        let names = ["x".to_owned()];
        let compiled = Compiled::product(&[parse("x^2 + 3*x^1", &names).unwrap()]);
        let (mut gradient, mut along) = ([0.0], [0.0]);
        compiled.derivatives(&[0.0], &[1.0], &mut gradient, &mut along);
        assert_eq!((gradient, along), ([3.0], [2.0]));
    }

    #[test]
    fn a_product_of_nothing_is_one() {
        assert_eq!(Compiled::product(&[]).value(&[]), 1.0);
    }
}
