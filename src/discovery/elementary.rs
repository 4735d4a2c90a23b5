//! Functions of one variable as candidate terms, and libraries with them.

use super::library::{Function, Library};

/// A function of one variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elementary {
    Sin,
    Cos,
    /// The decay exp(−x).
    Decay,
    Log,
    Sqrt,
    /// The absolute value, which makes x|x| of a product with x.
    Abs,
}

impl Elementary {
    /// Returns the function of a variable with this name, as Python and SymPy read it.
    pub fn name(self, variable: &str) -> String {
        match self {
            Elementary::Sin => format!("sin({variable})"),
            Elementary::Cos => format!("cos({variable})"),
            Elementary::Decay => format!("exp(-{variable})"),
            Elementary::Log => format!("log({variable})"),
            Elementary::Sqrt => format!("sqrt({variable})"),
            Elementary::Abs => format!("abs({variable})"),
        }
    }

    /// Returns the value and the first and second derivative at x.
    pub fn at(self, x: f64) -> [f64; 3] {
        match self {
            Elementary::Sin => [x.sin(), x.cos(), -x.sin()],
            Elementary::Cos => [x.cos(), -x.sin(), -x.cos()],
            Elementary::Decay => {
                let value = (-x).exp();
                [value, -value, value]
            }
            Elementary::Log => [x.ln(), 1.0 / x, -1.0 / (x * x)],
            Elementary::Sqrt => {
                let root = x.sqrt();
                [root, 0.5 / root, -0.25 / (x * root)]
            }
            Elementary::Abs => [x.abs(), if x < 0.0 { -1.0 } else { 1.0 }, 0.0],
        }
    }

    /// Returns whether the function is a smooth one of every number; the others need positive ones.
    pub fn is_entire(self) -> bool {
        !matches!(self, Elementary::Log | Elementary::Sqrt)
    }
}

impl Library {
    /// Adds functions of variables, each a pair of a function and the number of its variable, that
    /// the library does not have yet; with `products` they also come multiplied by each variable and
    /// by each other. A function that is called like a variable is left out.
    pub(super) fn with_functions(
        mut self,
        functions: &[(Elementary, usize)],
        products: bool,
    ) -> Library {
        let name = |library: &Library, (function, variable): (Elementary, usize)| {
            function.name(&library.variables()[variable])
        };
        let mut places = Vec::new();
        for &(function, variable) in functions {
            let factors = vec![name(&self, (function, variable))];
            if self.variables().contains(&factors[0]) {
                continue;
            }
            let place = self.position(&factors).unwrap_or(self.len());
            if place == self.len() {
                self.push(Function::Elementary(function, variable), factors);
            }
            places.push(place);
        }
        if !products {
            return self;
        }
        let variables = 0..self.variables().len();
        let linear: Vec<usize> = variables
            .filter_map(|v| self.position(std::slice::from_ref(&self.variables()[v])))
            .collect();
        for (index, &left) in places.iter().enumerate() {
            for &right in linear.iter().chain(&places[index + 1..]) {
                let mut factors = [self.factors(left), self.factors(right)].concat();
                factors.sort();
                if self.position(&factors).is_none() {
                    self.push(Function::Pair { left, right }, factors);
                }
            }
        }
        self
    }
}

impl Library {
    /// Adds the terms of another library of the same variables that this one lacks.
    pub(super) fn united(mut self, other: &Library) -> Library {
        for term in 0..other.len() {
            if self.position(other.factors(term)).is_none() {
                let place = |index: usize| {
                    self.position(other.factors(index)).expect("earlier terms have been added")
                };
                let function = match other.function(term).clone() {
                    Function::Product { parent, variable } => {
                        Function::Product { parent: place(parent), variable }
                    }
                    Function::Pair { left, right } => {
                        Function::Pair { left: place(left), right: place(right) }
                    }
                    function => function,
                };
                self.push(function, other.factors(term).to_vec());
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Settings;

    const ALL: [Elementary; 6] = [
        Elementary::Sin,
        Elementary::Cos,
        Elementary::Decay,
        Elementary::Log,
        Elementary::Sqrt,
        Elementary::Abs,
    ];

    #[test]
    fn derivatives_agree_with_central_differences() {
        let states = ["x".to_owned(), "y".to_owned()];
        let settings = Settings { degree: 1, ..Settings::default() };
        let functions: Vec<(Elementary, usize)> =
            ALL.iter().flat_map(|&f| [(f, 0), (f, 1)]).collect();
        let library = Library::new(&states, &settings).unwrap().with_functions(&functions, true);
        let l = library.len();
        assert_eq!(l, 3 + 12 + 12 * 2 + 12 * 11 / 2);
        let at = |u: &[f64]| {
            let (mut values, mut gradients) = (vec![0.0; l], vec![0.0; 2 * l]);
            library.values(u, &mut values);
            library.gradients(u, &values, &mut gradients);
            (values, gradients)
        };
        let (state, direction, step) = ([0.7, 1.9], [0.3, -1.1], 1e-5);
        let moved = |by: f64| [state[0] + by * direction[0], state[1] + by * direction[1]];
        let (values, gradients) = at(&state);
        let (ahead, behind) = (at(&moved(step)), at(&moved(-step)));
        let mut along = vec![0.0; 2 * l];
        library.gradients_along(&state, &values, &gradients, &direction, &mut along);
        for i in 0..l {
            let slope = gradients[2 * i] * direction[0] + gradients[2 * i + 1] * direction[1];
            let numeric = (ahead.0[i] - behind.0[i]) / (2.0 * step);
            assert!((slope - numeric).abs() < 1e-8, "{:?}: {slope} {numeric}", library.factors(i));
        }
        for i in 0..2 * l {
            let numeric = (ahead.1[i] - behind.1[i]) / (2.0 * step);
            assert!((along[i] - numeric).abs() < 1e-7, "{}: {} {numeric}", i / 2, along[i]);
        }
    }

    #[test]
    fn no_term_comes_twice() {
        let settings = Settings { sine_cosine: true, ..Settings::default() };
        let library = Library::new(&["x".into()], &settings).unwrap();
        let more = library.with_functions(&[(Elementary::Sin, 0), (Elementary::Abs, 0)], true);
        let names: Vec<String> = (0..more.len()).map(|i| more.factors(i).join(" ")).collect();
        let expected = "|x|x x|sin(x)|cos(x)|abs(x)|sin(x) x|abs(x) sin(x)|abs(x) x";
        assert_eq!(names.join("|"), expected);
    }
}
