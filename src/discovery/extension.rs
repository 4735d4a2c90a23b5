//! The extension of libraries by functions, products with them, and the terms of other libraries.

use std::collections::HashMap;

use super::expression::{Compiled, Expression};
use super::library::{Function, Library};

/// Functions by which a library is extended.
pub(super) struct Extension {
    pub functions: Vec<Expression>,
    /// Whether the functions also come multiplied by each variable, each input, and each other.
    pub products: bool,
}

impl Extension {
    /// Returns the number of terms that this adds, at most, to a library with so many variables and
    /// inputs.
    pub fn terms(&self, arguments: usize) -> usize {
        let f = self.functions.len();
        let pairs = f.saturating_mul(f.saturating_sub(1)) / 2;
        let products = f.saturating_mul(arguments).saturating_add(pairs);
        f.saturating_add(if self.products { products } else { 0 })
    }
}

impl Library {
    /// Adds the functions that the library does not have yet. One that is called like a variable or an
    /// input is left out.
    pub(super) fn with_functions(mut self, extension: &Extension) -> Library {
        let arguments = [self.variables(), self.inputs()].concat();
        let mut known = self.places();
        let mut places = Vec::new();
        for function in &extension.functions {
            let function = std::slice::from_ref(function);
            let factors = Expression::names(function, &arguments);
            if arguments.contains(&factors[0]) {
                continue;
            }
            let place = *known.entry(factors.clone()).or_insert(self.len());
            if place == self.len() {
                self.push(Function::Expression(Compiled::product(function)), factors);
            }
            places.push(place);
        }
        if !extension.products {
            return self;
        }
        let linear: Vec<usize> = arguments
            .iter()
            .filter_map(|argument| known.get(std::slice::from_ref(argument)).copied())
            .collect();
        for (index, &left) in places.iter().enumerate() {
            for &right in linear.iter().chain(&places[index + 1..]) {
                let mut factors = [self.factors(left), self.factors(right)].concat();
                factors.sort();
                if *known.entry(factors.clone()).or_insert(self.len()) == self.len() {
                    self.push(Function::Pair { left, right }, factors);
                }
            }
        }
        self
    }

    /// Returns the places of the terms by their factors.
    fn places(&self) -> HashMap<Vec<String>, usize> {
        (0..self.len()).map(|term| (self.factors(term).to_vec(), term)).collect()
    }

    /// Adds the terms of another library of the same variables and inputs that this one lacks.
    pub(super) fn united(mut self, other: &Library) -> Library {
        let mut known = self.places();
        for term in 0..other.len() {
            if *known.entry(other.factors(term).to_vec()).or_insert(self.len()) == self.len() {
                let place = |index: usize| known[other.factors(index)];
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
    use super::super::expression::parse;
    use super::*;
    use crate::discovery::Settings;

    fn expressions(texts: &[&str], arguments: &[&str]) -> Vec<Expression> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        texts.iter().map(|text| parse(text, &arguments).unwrap()).collect()
    }

    fn names(library: &Library) -> String {
        let name = |term: usize| library.factors(term).join(" ");
        (0..library.len()).map(name).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        let states = ["x".to_owned(), "y".to_owned()];
        let settings = Settings { degree: 1, ..Settings::default() };
        let texts =
            ["exp(-x)", "log(x)", "sqrt(x)", "abs(x)", "sin(y)", "cos(y)", "exp(-y)", "log(y)"];
        let functions = expressions(&texts, &["x", "y"]);
        let extension = Extension { functions, products: true };
        let library = Library::new(&states, &settings).unwrap();
        let (before, added) = (library.len(), extension.terms(library.arguments()));
        let library = library.with_functions(&extension);
        let l = library.len();
        assert_eq!(l, before + added);
        assert_eq!(l, 3 + 8 + 8 * 2 + 8 * 7 / 2);
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
        let functions = expressions(&["sin(x)", "abs(x)"], &["x"]);
        let more = library.with_functions(&Extension { functions, products: true });
        let expected = "|x|x x|sin(x)|cos(x)|abs(x)|sin(x) x|abs(x) sin(x)|abs(x) x";
        assert_eq!(names(&more), expected);
    }

    #[test]
    fn inputs_multiply_functions_and_names_can_be_read_again() {
        let (states, inputs) = (["T [K]".to_owned()], ["u".to_owned()]);
        let settings = Settings { degree: 1, ..Settings::default() };
        let library = Library::with_inputs(&states, &inputs, &settings).unwrap();
        let functions = expressions(&["log(`T [K]`)", "exp(-`T [K]`)"], &["T [K]", "u"]);
        let more = library.with_functions(&Extension { functions, products: true });
        let expected = "|T [K]|u|log(T [K])|exp(-`T [K]`)|T [K] log(T [K])|log(T [K]) u|\
                        exp(-`T [K]`) log(T [K])|T [K] exp(-`T [K]`)|exp(-`T [K]`) u";
        assert_eq!(names(&more), expected);
        let factors: Vec<Vec<String>> =
            (0..more.len()).map(|term| more.factors(term).to_vec()).collect();
        let again = Library::of_terms(states.to_vec(), &inputs, &factors).unwrap();
        let (mut values, mut expected) = (vec![0.0; more.len()], vec![0.0; more.len()]);
        more.values(&[0.7, -1.3], &mut expected);
        again.values(&[0.7, -1.3], &mut values);
        for (value, expected) in values.iter().zip(&expected) {
            assert!((value - expected).abs() < 1e-12, "{value} {expected}");
        }
    }
}
