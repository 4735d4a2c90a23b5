//! Equations as expressions of Python, which SymPy parses.

use super::equation::{Discovery, Equation, Term};
use super::expression::{Expression, PYTHON, is_function};
use super::library::TIME;
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
        // A discovery that was read from a file may have any order.
        for order in 0..discovery.order.clamp(1, 2) {
            let suffix = if order == 0 { "" } else { "_dot" };
            for state in &discovery.states {
                symbols.add(state.clone() + &"'".repeat(order), identifier(state) + suffix);
            }
        }
        for input in &discovery.inputs {
            symbols.add(input.clone(), identifier(input));
        }
        if !symbols.variables.iter().any(|name| name == TIME) {
            symbols.add(TIME.into(), TIME.into());
            let last = symbols.names.len() - 1;
            let has_time = |factor: &String| {
                Expression::of_factor(factor, &symbols.variables).is_ok_and(|e| e.has(last))
            };
            let terms =
                discovery.equations.iter().flat_map(|e| e.terms.iter().chain(&e.denominator));
            if !terms.flat_map(|term| &term.factors).any(has_time) {
                symbols.variables.pop();
                symbols.names.pop();
            }
        }
        symbols
    }

    fn add(&mut self, variable: String, mut name: String) {
        while self.names.contains(&name) {
            name.push('_');
        }
        self.variables.push(variable);
        self.names.push(name);
    }

    /// Returns the names of the symbols: those of the states, then of the velocities, then of the
    /// inputs, and of the time where a term has it.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the variables that the symbols stand for.
    pub fn variables(&self) -> &[String] {
        &self.variables
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
        match Expression::of_factor(factor, &self.variables) {
            Ok(expression) => {
                let written = expression.written(&self.names, &PYTHON);
                if expression.is_whole() { written } else { format!("({written})") }
            }
            // Functions of the caller's own may have any name.
            Err(_) => format!("({factor})"),
        }
    }
}

/// Returns the name as Python takes it: other characters become underscores. A name that a function
/// has gets one at its end, because both may occur in one expression.
fn identifier(name: &str) -> String {
    let mut identifier: String = name.chars().map(letter).collect();
    if identifier.starts_with(|c: char| c.is_numeric()) {
        identifier.insert(0, '_');
    }
    if KEYWORDS.contains(&identifier.as_str()) || is_function(&identifier) {
        identifier.push('_');
    }
    identifier
}

/// Returns the character that stands for another in a name of Python, which normalizes names (NFKC):
/// letters that this leaves alone stay, raised and lowered digits become digits, and what is neither an
/// underscore.
fn letter(character: char) -> char {
    let digit = |from: char| char::from(b'0' + (character as u32 - from as u32) as u8);
    match character {
        c if c.is_ascii_alphanumeric() => c,
        // The micro sign, and what it is normalized to.
        'µ' => 'μ',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁰' | '⁴'..='⁹' => digit('⁰'),
        '₀'..='₉' => digit('₀'),
        'ĳ' | 'Ĳ' | 'ŀ' | 'Ŀ' | 'ŉ' | '×' | '÷' => '_',
        // Latin, Greek, Cyrillic, Japanese, Chinese and Korean letters.
        'À'..='ž'
        | 'Α'..='ω'
        | 'Ѐ'..='ҁ'
        | 'ぁ'..='ゖ'
        | 'ァ'..='ヺ'
        | '一'..='鿿'
        | '가'..='힣'
            if character.is_alphabetic() =>
        {
            character
        }
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_becomes_a_symbol() {
        let names = ["x", r"\alpha", "$q$", "_q_", "lambda", "2nd", "T_in [K]", "Δ", "exp"];
        let states = names.map(String::from).to_vec();
        let symbols = Symbols::of(&Discovery { states, order: 1, ..Discovery::default() });
        let expected = ["x", "_alpha", "_q_", "_q__", "lambda_", "_2nd", "T_in__K_", "Δ", "exp_"];
        assert_eq!(symbols.names(), expected);
        // Not every letter and digit may stand in a name of Python, and some become others there.
        let names = ["µ", "μ", "CO₂", "CO2", "x²", "x⁴", "ﬁ", "ｘ", "½", "é", "温度", "a`b", "ª"];
        let states = names.map(String::from).to_vec();
        let symbols = Symbols::of(&Discovery { states, order: 1, ..Discovery::default() });
        let expected =
            ["μ", "μ_", "CO2", "CO2_", "x2", "x4", "_", "__", "___", "é", "温度", "a_b", "____"];
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

    /// In an expression, `a t` would be a times t, and `exp(exp)` a call.
    #[test]
    fn factors_are_bare_names_first() {
        let names = ["a t", "exp", "a"].map(String::from);
        let factors = ["a t", "exp(exp)", "sin(a t)", "exp(-a)", "(a/(1 + a))"];
        let terms = factors.map(|factor| Term {
            factors: vec![factor.into()],
            coefficient: 1.0,
            standard_error: None,
        });
        let equation = Equation {
            lhs: "a'".into(),
            terms: terms.to_vec(),
            link: Link::Identity,
            denominator: vec![],
        };
        let states = names.to_vec();
        let equations = vec![equation];
        let discovery = Discovery { states, order: 1, equations, ..Discovery::default() };
        let symbols = Symbols::of(&discovery);
        assert_eq!(symbols.names(), ["a_t", "exp_", "a"]);
        let expected = "1.0*a_t + 1.0*exp(exp_) + 1.0*sin(a_t) + 1.0*exp(-a) + 1.0*(a/(1 + a))";
        assert_eq!(symbols.right_hand_side(&discovery.equations[0]), expected);
    }
}
