//! Equations as expressions of Python, which SymPy parses.

use std::collections::HashSet;

use super::equation::{Discovery, Equation, Term};
use super::link::Link;

/// The words that Python does not take as names.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// The symbols that stand for the variables of a discovery.
pub(super) struct Symbols {
    variables: Vec<String>,
    names: Vec<String>,
}

impl Symbols {
    /// Makes a symbol of each state and, for order 2, of each velocity.
    pub fn of(discovery: &Discovery) -> Self {
        let mut symbols = Symbols { variables: vec![], names: vec![] };
        let mut taken = HashSet::new();
        // A discovery that was read from a file may have any order.
        for order in 0..discovery.order.clamp(1, 2) {
            for state in &discovery.states {
                let suffix = if order == 0 { "" } else { "_dot" };
                let mut name = identifier(state) + suffix;
                while !taken.insert(name.clone()) {
                    name.push('_');
                }
                symbols.variables.push(state.clone() + &"'".repeat(order));
                symbols.names.push(name);
            }
        }
        symbols
    }

    /// Returns the names of the symbols: those of the states, then those of the velocities.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the right-hand side of an equation, with all digits of its coefficients.
    pub fn right_hand_side(&self, equation: &Equation) -> String {
        let inner = self.sum(&equation.terms);
        match equation.link {
            Link::Identity => inner,
            Link::Tanh | Link::Sin => format!("{}({inner})", equation.link.name()),
            Link::Sigmoid => format!("1/(1 + exp(-({inner})))"),
            Link::Ratio if equation.denominator.is_empty() => inner,
            Link::Ratio => format!("({inner})/(1 + {})", self.sum(&equation.denominator)),
        }
    }

    fn sum(&self, terms: &[Term]) -> String {
        let product = |term: &Term| {
            let factors = term.factors.iter().map(|factor| self.factor(factor));
            let number = match term.coefficient {
                c if c < 0.0 => format!("({c:?})"),
                c => format!("{c:?}"),
            };
            std::iter::once(number).chain(factors).collect::<Vec<_>>().join("*")
        };
        match terms {
            [] => "0".into(),
            terms => terms.iter().map(product).collect::<Vec<_>>().join(" + "),
        }
    }

    /// Returns a factor: a symbol, a function of one, or an expression of the caller's own.
    fn factor(&self, factor: &str) -> String {
        let symbol = |name: &str| {
            let place = self.variables.iter().position(|variable| variable == name)?;
            Some(self.names[place].clone())
        };
        if let Some(symbol) = symbol(factor) {
            return symbol;
        }
        let function = factor.strip_suffix(')').and_then(|f| f.split_once('('));
        let of_variable = |(name, argument): (&str, &str)| {
            let (sign, argument) = match argument.strip_prefix('-') {
                Some(rest) if symbol(argument).is_none() => ("-", rest),
                _ => ("", argument),
            };
            Some(format!("{name}({sign}{})", symbol(argument)?))
        };
        match function.and_then(of_variable) {
            Some(function) => function,
            None => format!("({factor})"),
        }
    }
}

/// Returns the name as Python takes it: other characters become underscores.
fn identifier(name: &str) -> String {
    let letter = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let mut identifier: String = name.chars().map(letter).collect();
    if identifier.starts_with(|c: char| c.is_numeric()) {
        identifier.insert(0, '_');
    }
    if KEYWORDS.contains(&identifier.as_str()) {
        identifier.push('_');
    }
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_becomes_a_symbol() {
        let names = ["x", r"\alpha", "$q$", "_q_", "lambda", "2nd", "T_in [K]", "Δ"];
        let states = names.map(String::from).to_vec();
        let symbols = Symbols::of(&Discovery { states, order: 1, ..Discovery::default() });
        let expected = ["x", "_alpha", "_q_", "_q__", "lambda_", "_2nd", "T_in__K_", "Δ"];
        assert_eq!(symbols.names(), expected);
    }

    #[test]
    fn expressions_are_complete() {
        let term = |factors: &[&str], coefficient| Term {
            factors: factors.iter().map(ToString::to_string).collect(),
            coefficient,
            standard_error: None,
        };
        let mut equation = Equation {
            lhs: "x''".into(),
            terms: vec![
                term(&[], 1e-7),
                term(&["x", "x", "x'"], -0.1),
                term(&["sin(x)"], 2.0),
                term(&["exp(-x)"], 1.0),
            ],
            link: Link::Identity,
            denominator: vec![],
        };
        let discovery = Discovery { states: vec!["x".into()], order: 2, ..Discovery::default() };
        let symbols = Symbols::of(&discovery);
        let sum = "1e-7 + (-0.1)*x*x*x_dot + 2.0*sin(x) + 1.0*exp(-x)";
        assert_eq!(symbols.right_hand_side(&equation), sum);
        equation.link = Link::Sigmoid;
        assert_eq!(symbols.right_hand_side(&equation), format!("1/(1 + exp(-({sum})))"));
        equation.link = Link::Ratio;
        equation.denominator = vec![term(&["x"], 0.5)];
        assert_eq!(symbols.right_hand_side(&equation), format!("({sum})/(1 + 0.5*x)"));
        equation.terms.clear();
        assert_eq!(symbols.right_hand_side(&equation), "(0)/(1 + 0.5*x)");
    }
}
