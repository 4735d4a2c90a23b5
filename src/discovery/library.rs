//! The library Θ: the candidate functions of the state that the right-hand side combines.

mod evaluation;

use std::collections::HashSet;

use super::data::Dataset;
use super::expression::{self, Compiled, Expression};
use super::extension::Extension;
use super::notation::product;
use super::settings::{Settings, UserTerm};
use crate::{Error, Result};

/// The name of the time in terms.
pub(super) const TIME: &str = "t";

/// The most terms per equation: more are refused, because the estimate costs their square.
const MAX_TERMS: usize = 1000;

/// A candidate function. A product refers to an earlier term of the library, so that each term of a
/// library of monomials costs one multiplication.
#[derive(Clone, Debug)]
pub(super) enum Function {
    Constant,
    /// `terms[parent]` times the variable.
    Product {
        parent: usize,
        variable: usize,
    },
    /// The product of two earlier terms.
    Pair {
        left: usize,
        right: usize,
    },
    Expression(Compiled),
    User(UserTerm),
}

/// The library Θ: L candidate functions of D variables, which are the K states and, for order 2,
/// then their K derivatives, and of E inputs, which no equation determines: those of the data, then
/// the time `t` where a term has it.
#[derive(Clone, Debug)]
pub struct Library {
    variables: Vec<String>,
    inputs: Vec<String>,
    /// Whether the last input is the time.
    has_time: bool,
    terms: Vec<Function>,
    factors: Vec<Vec<String>>,
}

impl Library {
    /// Makes a library of all monomials up to `settings.degree` by increasing degree (the constant
    /// first), then sin and cos of each state if asked for, then the expressions
    /// `settings.terms`, then the user's terms.
    ///
    /// # Errors
    /// [`Error::Argument`] for settings that are invalid, names that are ambiguous, terms that
    /// cannot be read or are there already, or over a thousand terms.
    pub fn new(states: &[String], settings: &Settings) -> Result<Self> {
        Library::with_inputs(states, &[], settings)
    }

    /// Makes a library as [`new`](Self::new) does, in whose monomials and expressions these inputs
    /// occur like states.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_inputs(states: &[String], inputs: &[String], settings: &Settings) -> Result<Self> {
        let powers = vec![usize::MAX; inputs.len()];
        Library::with_powers(states, inputs, &powers, settings)
    }

    /// Makes the library for these data. Of an input that has m different values, powers from the
    /// m-th on are combinations of lower ones, and are left out: a switch has no square.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn for_data(data: &Dataset, settings: &Settings) -> Result<Self> {
        let powers: Vec<usize> = (0..data.inputs.len())
            .map(|input| data.different_values(input, settings.degree) - 1)
            .collect();
        Library::with_powers(&data.states, &data.inputs, &powers, settings)
    }

    /// Makes a library in whose monomials each input has at most this power.
    fn with_powers(
        states: &[String],
        inputs: &[String],
        powers: &[usize],
        settings: &Settings,
    ) -> Result<Self> {
        settings.validate()?;
        let mut variables = states.to_vec();
        if settings.order == 2 {
            variables.extend(states.iter().map(|name| format!("{name}'")));
        }
        let d = variables.len();
        let mut arguments = [&variables[..], inputs].concat();
        let time = !arguments.iter().any(|name| name == TIME);
        if time || settings.explicit_time {
            arguments.push(TIME.into());
        }
        let monomial_arguments = d + inputs.len() + usize::from(settings.explicit_time);
        let count = monomials(monomial_arguments, settings.degree)
            .saturating_add(if settings.sine_cosine { 2 * states.len() } else { 0 })
            .saturating_add(settings.terms.len())
            .saturating_add(settings.user_terms.len());
        if count > MAX_TERMS {
            return Err(Error::argument(
                "degree",
                format!(
                    "{} in {monomial_arguments} variables gives {count} terms per equation; at \
                     most {MAX_TERMS} are allowed",
                    settings.degree,
                ),
            ));
        }
        let mut names = arguments.clone();
        if settings.sine_cosine {
            names.extend(states.iter().flat_map(|x| [format!("sin({x})"), format!("cos({x})")]));
        }
        let mut known = HashSet::new();
        if let Some(name) = names.iter().find(|name| !known.insert(*name)) {
            return Err(ambiguous(name));
        }
        let own = settings
            .terms
            .iter()
            .map(|text| read(text, &arguments))
            .collect::<Result<Vec<Vec<Expression>>>>()?;
        let last = arguments.len() - 1;
        let has_time = |factors: &Vec<Expression>| factors.iter().any(|factor| factor.has(last));
        let has_time = settings.explicit_time || (time && own.iter().any(has_time));
        if time && !has_time {
            arguments.pop();
        }
        let mut library = Library {
            variables,
            inputs: arguments[d..].to_vec(),
            has_time,
            terms: Vec::new(),
            factors: Vec::new(),
        };
        let mut highest = vec![usize::MAX; monomial_arguments];
        highest[d..d + inputs.len()].copy_from_slice(powers);
        library.add_monomials(settings.degree, &arguments[..monomial_arguments], &highest);
        if settings.sine_cosine {
            let waves = |k| {
                [expression::Function::Sin, expression::Function::Cos].map(|f| Expression::of(f, k))
            };
            let functions: Vec<Expression> = (0..states.len()).flat_map(waves).collect();
            library = library.with_functions(&Extension { functions, products: false });
        }
        let twice = |argument: &str, name: &str| {
            Err(Error::argument(argument, format!("the library already has a term `{name}`")))
        };
        for (text, expressions) in settings.terms.iter().zip(own) {
            let mut factors = Expression::names(&expressions, &arguments);
            factors.sort();
            if library.factors.contains(&factors) {
                return twice("terms", text);
            }
            library.push(Function::Expression(Compiled::product(&expressions)), factors);
        }
        for term in &settings.user_terms {
            let factors = vec![term.name.clone()];
            if library.factors.contains(&factors) {
                return twice("user_terms", &term.name);
            }
            library.push(Function::User(term.clone()), factors);
        }
        // A column `x^2` beside a column `x`: flags, warnings and files write it as they do the square.
        let mut written = HashSet::new();
        for factors in library.factors.iter().filter(|factors| !factors.is_empty()) {
            if !written.insert(product(factors)) {
                return Err(ambiguous(&product(factors)));
            }
        }
        Ok(library)
    }

    /// Makes the library of exactly these terms, each a product of factors as in
    /// [`Term::factors`](super::Term::factors), of these variables and inputs.
    ///
    /// # Errors
    /// [`Error::Argument`] for a factor that cannot be read.
    pub(super) fn of_terms(
        variables: Vec<String>,
        inputs: &[String],
        terms: &[Vec<String>],
    ) -> Result<Self> {
        let mut arguments = [&variables[..], inputs].concat();
        let time = !arguments.iter().any(|name| name == TIME);
        if time {
            arguments.push(TIME.into());
        }
        let read = |factor: &String| {
            Expression::of_factor(factor, &arguments)
                .map_err(|message| Error::argument("equations", message))
        };
        let products = terms
            .iter()
            .map(|factors| factors.iter().map(read).collect())
            .collect::<Result<Vec<Vec<Expression>>>>()?;
        let last = arguments.len() - 1;
        let has_time = time && products.iter().flatten().any(|factor| factor.has(last));
        if time && !has_time {
            arguments.pop();
        }
        let inputs = arguments[variables.len()..].to_vec();
        let mut library = Library { variables, inputs, has_time, terms: vec![], factors: vec![] };
        for (factors, product) in terms.iter().zip(&products) {
            // A variable times an earlier term is evaluated faster as such.
            let parent = factors.split_last().and_then(|(_, others)| {
                library.factors.iter().position(|earlier| earlier == others)
            });
            let function = match (product.last(), parent) {
                (None, _) => Function::Constant,
                (Some(&Expression::Variable(variable)), Some(parent)) => {
                    Function::Product { parent, variable }
                }
                _ => Function::Expression(Compiled::product(product)),
            };
            library.push(function, factors.clone());
        }
        Ok(library)
    }

    /// Adds the monomials: each is an earlier one times a variable not before the last variable of
    /// the earlier one.
    fn add_monomials(&mut self, degree: usize, arguments: &[String], highest: &[usize]) {
        self.push(Function::Constant, Vec::new());
        let mut last_variable = vec![0];
        let mut previous = 0..1;
        for _ in 0..degree {
            let start = self.terms.len();
            for parent in previous {
                for variable in last_variable[parent]..arguments.len() {
                    let mut factors = self.factors[parent].clone();
                    let name = &arguments[variable];
                    let same = || factors.iter().filter(|factor| *factor == name).count();
                    if highest[variable] < degree && same() >= highest[variable] {
                        continue;
                    }
                    factors.push(name.clone());
                    factors.sort();
                    self.push(Function::Product { parent, variable }, factors);
                    last_variable.push(variable);
                }
            }
            previous = start..self.terms.len();
        }
    }

    /// Adds a term, whose factors must be sorted.
    pub(super) fn push(&mut self, function: Function, factors: Vec<String>) {
        self.terms.push(function);
        self.factors.push(factors);
    }

    pub(super) fn function(&self, term: usize) -> &Function {
        &self.terms[term]
    }

    /// Returns the number L of terms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Returns whether there are no terms, which is never so, because the constant is always in the
    /// library.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Returns the names of the D variables.
    #[must_use]
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Returns the sorted factors of the term with this index; see
    /// [`Term::factors`](super::Term::factors).
    #[must_use]
    pub fn factors(&self, term: usize) -> &[String] {
        &self.factors[term]
    }

    /// Returns the names of the E inputs: those of the data, then `t` where a term has the time.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Returns the names of the inputs of the data, without the time.
    pub(super) fn measured_inputs(&self) -> &[String] {
        &self.inputs[..self.inputs.len() - usize::from(self.has_time)]
    }

    /// Returns the number A = D + E of arguments of the terms.
    #[must_use]
    pub fn arguments(&self) -> usize {
        self.variables.len() + self.inputs.len()
    }

    /// Returns the index of the term with these factors, in any order, or `None` if there is none.
    /// A factor may also be an expression: `["x^2 y"]` is `["x", "x", "y"]`.
    #[must_use]
    pub fn position(&self, factors: &[String]) -> Option<usize> {
        let mut sorted = factors.to_vec();
        sorted.sort();
        let find = |sorted: &[String]| self.factors.iter().position(|have| have == sorted);
        find(&sorted).or_else(|| {
            let arguments = [&*self.variables, &self.inputs].concat();
            let (mut number, mut names) = (1.0, Vec::new());
            for factor in factors {
                let parsed = expression::parse(factor, &arguments).ok()?;
                let (more, expressions) = parsed.factors();
                number *= more;
                names.extend(Expression::names(&expressions, &arguments));
            }
            names.sort();
            find(&names).filter(|_| number == 1.0)
        })
    }
}

fn ambiguous(name: &str) -> Error {
    let message = format!("with these terms, `{name}` would stand for two things: rename it");
    Error::argument("states", message)
}

/// Reads a term of the caller's own as a product of factors.
fn read(text: &str, arguments: &[String]) -> Result<Vec<Expression>> {
    let refuse = |message| Err(Error::argument("terms", message));
    let (number, factors) = match expression::parse(text, arguments) {
        Ok(expression) => expression.factors(),
        Err(message) => return refuse(message),
    };
    if number != 1.0 {
        let message = format!(
            "`{text}` has the number {number} in front, which is what is searched for: leave it out"
        );
        return refuse(message);
    }
    Ok(factors)
}

/// Returns the number of monomials up to a degree, (variables + degree)! / (variables! degree!),
/// saturating.
fn monomials(variables: usize, degree: usize) -> usize {
    let mut count: usize = 1;
    for i in 1..=variables.min(degree) {
        match count.checked_mul(variables.max(degree).saturating_add(i)) {
            Some(product) => count = product / i,
            None => return usize::MAX,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_the_gradient_of_a_user_term_leaves_alone_is_zero() {
        let term = UserTerm {
            name: "x^2".into(),
            value: std::sync::Arc::new(|u| u[0] * u[0]),
            gradient: std::sync::Arc::new(|u, out| out[0] = 2.0 * u[0]),
        };
        let mut gradient = [7.0; 2];
        term.write_gradient(&[3.0, 1.0], &mut gradient);
        assert_eq!(gradient, [6.0, 0.0]);
        let mut along = [7.0; 2];
        term.write_gradient_along(&[3.0, 1.0], &[1.0, 1.0], &mut along);
        assert!((along[0] - 2.0).abs() < 1e-6 && along[1] == 0.0, "{along:?}");
    }

    fn library(settings: &Settings) -> Library {
        Library::new(&["x".into(), "y".into()], settings).unwrap()
    }

    fn everything() -> Settings {
        let term = UserTerm {
            name: "x*exp(y)".into(),
            value: Arc::new(|s| s[0] * s[1].exp()),
            gradient: Arc::new(|s, g| {
                g.fill(0.0);
                g[0] = s[1].exp();
                g[1] = s[0] * s[1].exp();
            }),
        };
        Settings {
            order: 2,
            degree: 4,
            sine_cosine: true,
            terms: vec!["x'/(1 + exp(x*y))".into()],
            user_terms: vec![term],
            ..Settings::default()
        }
    }

    #[test]
    fn terms_are_listed_by_degree_with_sorted_factors() {
        let library = library(&Settings { degree: 2, order: 2, ..Settings::default() });
        let names: Vec<String> = (0..library.len()).map(|i| library.factors(i).join(" ")).collect();
        let expected = "|x|y|x'|y'|x x|x y|x x'|x y'|y y|x' y|y y'|x' x'|x' y'|y' y'";
        assert_eq!(names.join("|"), expected);
        assert_eq!(library.position(&["y".into(), "x".into()]), Some(6));
        assert_eq!(library.position(&["z".into()]), None);
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        let library = library(&everything());
        let (l, d) = (library.len(), 4);
        assert_eq!(l, 70 + 4 + 1 + 1);
        let state = [0.7, -0.4, 1.3, 0.2];
        let direction = [0.3, -1.1, 0.5, 0.9];
        let at = |u: &[f64]| {
            let (mut values, mut gradients) = (vec![0.0; l], vec![0.0; l * d]);
            library.values(u, &mut values);
            library.gradients(u, &values, &mut gradients);
            (values, gradients)
        };
        let (values, gradients) = at(&state);
        let mut along = vec![0.0; l * d];
        library.gradients_along(&state, &values, &gradients, &direction, &mut along);
        let step = 1e-5;
        let moved =
            |s: f64| -> Vec<f64> { state.iter().zip(direction).map(|(u, v)| u + s * v).collect() };
        let (ahead, behind) = (at(&moved(step)), at(&moved(-step)));
        for i in 0..l {
            let slope: f64 = (0..d).map(|a| gradients[i * d + a] * direction[a]).sum();
            let numeric = (ahead.0[i] - behind.0[i]) / (2.0 * step);
            assert!((slope - numeric).abs() < 1e-8, "{:?}: {slope} {numeric}", library.factors(i));
        }
        for i in 0..l * d {
            let numeric = (ahead.1[i] - behind.1[i]) / (2.0 * step);
            assert!((along[i] - numeric).abs() < 1e-7, "{}: {} {numeric}", i / d, along[i]);
        }
    }

    #[test]
    fn absurd_libraries_are_refused() {
        let states: Vec<String> = (0..40).map(|k| format!("x{k}")).collect();
        let refused = |settings: Settings| Library::new(&states, &settings).unwrap_err();
        let message = refused(Settings { degree: 4, ..Settings::default() }).to_string();
        assert!(message.contains("135751 terms"), "{message}");
        refused(Settings { degree: usize::MAX - 7, ..Settings::default() });
        let largest = Settings { degree: usize::MAX, ..Settings::default() };
        assert!(Library::new(&states[..2], &largest).is_err());
    }

    #[test]
    fn a_name_stands_for_one_thing() {
        let refused = |states: [&str; 2], settings: Settings| {
            Library::new(&states.map(String::from), &settings).unwrap_err().to_string()
        };
        let second = Settings { order: 2, ..Settings::default() };
        assert!(refused(["x", "x'"], second).contains("`x'` would stand for two things"));
        let sines = Settings { sine_cosine: true, ..Settings::default() };
        assert!(refused(["x", "sin(x)"], sines).contains("`sin(x)` would stand for two things"));
        assert!(
            refused(["x", "x^2"], Settings::default()).contains("`x^2` would stand for two things")
        );
    }

    #[test]
    fn expressions_are_terms_of_states_inputs_and_time() {
        let made = |terms: &[&str], settings: Settings| {
            let terms = terms.iter().map(ToString::to_string).collect();
            let settings = Settings { terms, ..settings };
            Library::with_inputs(&["x".into(), "y".into()], &["u".into()], &settings)
        };
        let linear = || Settings { degree: 1, ..Settings::default() };
        let library = made(&["u*x^2", "exp(-t)", "x/(1+y)"], linear()).unwrap();
        let names: Vec<String> = (0..library.len()).map(|i| library.factors(i).join(" ")).collect();
        assert_eq!(names.join("|"), "|x|y|u|u x x|exp(-t)|x/(1 + y)");
        assert_eq!(
            (library.variables(), library.inputs()),
            (&["x".into(), "y".into()][..], &["u".into(), "t".into()][..])
        );
        let mut values = vec![0.0; library.len()];
        library.values(&[2.0, 3.0, 5.0, 0.0], &mut values);
        assert_eq!(values, [1.0, 2.0, 3.0, 5.0, 20.0, 1.0, 0.5]);
        assert_eq!(library.position(&["x^2 u".into()]), Some(4));
        assert_eq!(library.position(&["x / (1+y)".into()]), Some(6));
        assert_eq!(library.position(&["2 x".into()]), None);
        assert_eq!(made(&["x^3"], linear()).unwrap().inputs(), ["u"]);
        let timed = made(&[], Settings { explicit_time: true, ..linear() }).unwrap();
        assert_eq!((timed.factors(4), timed.inputs().len()), (&["t".to_owned()][..], 2));

        let refused = |terms: &[&str]| made(terms, linear()).unwrap_err().to_string();
        assert_eq!(refused(&["1*u"]), "terms: the library already has a term `1*u`");
        assert_eq!(refused(&["x^2", "x*x"]), "terms: the library already has a term `x*x`");
        assert!(
            refused(&["x + z"])
                .starts_with("terms: `x + z`: there is no `z` (there are x, y, u, t")
        );
        assert!(refused(&["-2*x^2"]).contains("the number -2 in front"));
    }

    #[test]
    fn a_state_that_is_called_t_is_not_the_time() {
        let make = |settings: Settings| Library::new(&["t".into()], &settings);
        let own = Settings { terms: vec!["sin(t)".into()], ..Settings::default() };
        assert!(make(own).unwrap().inputs().is_empty());
        let timed = make(Settings { explicit_time: true, ..Settings::default() }).unwrap_err();
        assert!(timed.to_string().contains("`t` would stand for two things"), "{timed}");
    }
}
