//! The notation of equations as text and as LaTeX.

use std::fmt::{self, Display, Write as _};

use super::equation::{Equation, Term};
use super::expression::{Expression, shown};
use super::link::Link;

/// Writes an equation on one line, such as `x' = -10.002(3) x + 10.001(2) y`, where the digits in
/// brackets are the standard error in units of the last place.
impl Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.lhs, right_hand_side(self, &TEXT))
    }
}

/// The differences between plain text and LaTeX.
pub(crate) struct Notation<'a> {
    /// The names that expressions are made of, or in text those of the columns; where they are not known,
    /// none.
    variables: &'a [String],
    name: fn(&str, &[String]) -> String,
    power: fn(usize) -> String,
    between: &'static str,
    exponent: fn(i32) -> String,
    function: fn(Link, &str) -> String,
    ratio: fn(&str, &str) -> String,
}

impl<'a> Notation<'a> {
    /// Returns the notation where expressions are made of these names.
    pub fn of(self, variables: &'a [String]) -> Self {
        Notation { variables, ..self }
    }
}

/// The notation of plain text, as in `0.5 - 1.000(14) x^2 z`.
pub(crate) const TEXT: Notation<'static> = Notation {
    variables: &[],
    name: shown,
    power: |n| format!("^{n}"),
    between: " ",
    exponent: |e| format!("e{e}"),
    function: |link, inner| format!("{}({inner})", link.name()),
    ratio: |above, below| format!("({above}) / ({below})"),
};

/// The notation of LaTeX, as in `0.5 - 1.000(14) \, x^{2} \, z`.
pub(crate) const LATEX: Notation<'static> = Notation {
    variables: &[],
    name: latex_factor,
    power: |n| format!("^{{{n}}}"),
    between: " \\, ",
    exponent: |e| format!(" \\times 10^{{{e}}}"),
    function: |link, inner| {
        let name = match link {
            Link::Sigmoid => "\\sigma",
            Link::Sin => "\\sin",
            _ => "\\tanh",
        };
        format!("{name}\\left({inner}\\right)")
    },
    ratio: |above, below| format!("\\frac{{{above}}}{{{below}}}"),
};

/// Returns the right-hand side of an equation, which is 0 if it has no terms.
pub(crate) fn right_hand_side(equation: &Equation, notation: &Notation<'_>) -> String {
    let inner = sum(&equation.terms, notation, "");
    match equation.link {
        Link::Identity => inner,
        Link::Ratio if equation.denominator.is_empty() => inner,
        Link::Ratio => (notation.ratio)(&inner, &sum(&equation.denominator, notation, "1")),
        link => (notation.function)(link, &inner),
    }
}

/// Returns `first` and then the terms with their signs, or 0 when there is neither.
fn sum(terms: &[Term], notation: &Notation<'_>, first: &str) -> String {
    let mut out = first.to_owned();
    for term in terms {
        let sign = match (term.coefficient.is_sign_negative(), out.is_empty()) {
            (true, true) => "-",
            (true, false) => " - ",
            (false, true) => "",
            (false, false) => " + ",
        };
        out += sign;
        out += &number(term.coefficient.abs(), term.standard_error, notation);
        for factor in powers(&term.factors, notation) {
            out += notation.between;
            out += &factor;
        }
    }
    if out.is_empty() { "0".to_owned() } else { out }
}

/// Returns the product of these factors as it stands in equations, as in `x^2 z`; 1 for none.
pub(crate) fn product(factors: &[String]) -> String {
    match factors {
        [] => "1".into(),
        factors => powers(factors, &TEXT).join(TEXT.between),
    }
}

/// Returns the factors in order, with equal ones gathered into a power.
fn powers(factors: &[String], notation: &Notation<'_>) -> Vec<String> {
    let mut sorted: Vec<&str> = factors.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let powers = sorted.chunk_by(|a, b| a == b);
    powers
        .map(|equal| match equal.len() {
            1 => (notation.name)(equal[0], notation.variables),
            n => (notation.name)(equal[0], notation.variables) + &(notation.power)(n),
        })
        .collect()
}

/// Returns a positive number rounded to its standard error, which follows in brackets in units of
/// the last place: with two digits when the first is a 1 and with one otherwise, as in 9.997(2) and
/// 9.9971(14). Without a standard error, the number has six significant digits.
fn number(value: f64, standard_error: Option<f64>, notation: &Notation<'_>) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let known = standard_error.filter(|error| error.is_finite() && *error > 0.0);
    // Decimal exponents of the last place shown (a double has no more than sixteen digits) and of
    // the first.
    let place = match known {
        Some(error) if value == 0.0 => last_place(error),
        Some(error) => last_place(error).max(exponent(value) - 15),
        None => exponent(value) - 5,
    };
    let first = exponent(shifted(value, -place).round().max(1.0)) + place;
    let magnitude = match known {
        Some(error) if value == 0.0 => exponent(error),
        Some(error) => exponent(value).max(exponent(error)),
        None => exponent(value),
    };
    let scientific = !(-4..6).contains(&magnitude);
    let shift = if scientific { first.max(magnitude) } else { 0 };
    let place = place.min(shift);
    let decimals = (shift - place) as usize;
    let mut out = format!("{:.decimals$}", shifted(value, -shift));
    match known {
        Some(error) => {
            let _ = write!(out, "({})", shifted(error, -place).round().max(1.0));
        }
        None => out = without_trailing_zeros(out),
    }
    if scientific {
        out += &(notation.exponent)(shift);
    }
    out
}

/// Returns value · 10^power, as a product with two factors, because the power of a tiny number
/// alone would overflow.
fn shifted(value: f64, power: i32) -> f64 {
    value * 10f64.powi(power / 2) * 10f64.powi(power - power / 2)
}

/// Returns the decimal exponent of the last digit of a standard error that is worth showing. The
/// error is first rounded to two digits, so that 0.0996 counts as 0.10.
fn last_place(error: f64) -> i32 {
    let rounded: f64 = format!("{error:.1e}").parse().unwrap_or(error);
    let first = exponent(rounded);
    if rounded < 2.0 * 10f64.powi(first) { first - 1 } else { first }
}

/// Returns the decimal exponent of the first significant digit.
fn exponent(value: f64) -> i32 {
    if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 }
}

fn without_trailing_zeros(number: String) -> String {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Greek letters and their names, which are commands in LaTeX. Capitals that look Latin have none.
const GREEK: [(char, &str); 37] = [
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "varepsilon"),
    ('ϵ', "epsilon"),
    ('ζ', "zeta"),
    ('η', "eta"),
    ('θ', "theta"),
    ('ι', "iota"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('\u{b5}', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('π', "pi"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('υ', "upsilon"),
    ('φ', "varphi"),
    ('ϕ', "phi"),
    ('χ', "chi"),
    ('ψ', "psi"),
    ('ω', "omega"),
    ('Γ', "Gamma"),
    ('Δ', "Delta"),
    ('Θ', "Theta"),
    ('Λ', "Lambda"),
    ('Ξ', "Xi"),
    ('Π', "Pi"),
    ('Σ', "Sigma"),
    ('Υ', "Upsilon"),
    ('Φ', "Phi"),
    ('Ψ', "Psi"),
    ('Ω', "Omega"),
];

/// Returns the LaTeX form of a name: `x` stays as it is, `x1` gets an index, `hare` is set upright,
/// `sin(x)` becomes the function, `alpha` and `α` become the Greek letter.
pub(crate) fn latex_name(name: &str) -> String {
    if let Some((function, argument)) = name.strip_suffix(')').and_then(|n| n.split_once('(')) {
        let argument = latex_name(argument);
        return match function {
            "sin" | "cos" | "tanh" | "exp" => format!("\\{function}({argument})"),
            _ => format!("\\operatorname{{{}}}({argument})", escape(function)),
        };
    }
    if let Some(state) = name.strip_suffix('\'') {
        return latex_name(state) + "'";
    }
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (base, index) = name.split_at(name.len() - digits);
    let base = base.strip_suffix('_').filter(|_| digits > 0).unwrap_or(base);
    let greek = GREEK.iter().find(|(letter, name)| *name == base || base.chars().eq([*letter]));
    let symbol = match (greek, base.chars().count()) {
        (Some((_, name)), _) => format!("\\{name}"),
        (None, 0 | 1) => escape(base),
        (None, _) => format!("\\mathrm{{{}}}", escape(base)),
    };
    if index.is_empty() || base.is_empty() {
        symbol + index
    } else {
        format!("{symbol}_{{{index}}}")
    }
}

/// Returns the LaTeX form of a factor of a term: an expression is set as a formula.
fn latex_factor(factor: &str, variables: &[String]) -> String {
    let simple = |name: &str| variables.iter().any(|known| known == name);
    let argument = factor.strip_suffix(')').and_then(|f| f.split_once('(')).map(|(_, a)| a);
    match Expression::of_factor(factor, variables) {
        Ok(expression) if !simple(factor) && !argument.is_some_and(simple) => {
            let names: Vec<String> = variables.iter().map(|name| latex_name(name)).collect();
            expression.latex(&names)
        }
        _ => latex_name(factor),
    }
}

fn escape(name: &str) -> String {
    name.chars().fold(String::new(), |mut out, character| {
        match character {
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => out.extend(['\\', character]),
            '\\' => out.push_str("\\backslash "),
            '^' => out.push_str("\\hat{}"),
            '~' => out.push_str("\\sim "),
            ' ' => out.push_str("\\ "),
            _ => match GREEK.iter().find(|(letter, _)| *letter == character) {
                // The space ends the command and is not typeset.
                Some((_, greek)) => out.extend(["\\", greek, " "]),
                None => out.push(character),
            },
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equation_is_one_line() {
        let term = |factor: &str, coefficient, error| Term {
            factors: vec![factor.into()],
            coefficient,
            standard_error: error,
        };
        let equation = Equation {
            lhs: "x'".into(),
            terms: vec![term("x", -10.00213, Some(0.0031)), term("y", 10.0, None)],
            link: Link::Identity,
            denominator: vec![],
        };
        assert_eq!(equation.to_string(), "x' = -10.002(3) x + 10 y");
    }

    #[test]
    fn greek_letters_are_commands_in_latex() {
        let names = ["α", "α1", "omega_0", "α_β", "theta'", "sin(φ)", "Ω", "µ", "alphabet", "ж"];
        let expected = [
            r"\alpha",
            r"\alpha_{1}",
            r"\omega_{0}",
            r"\mathrm{\alpha \_\beta }",
            r"\theta'",
            r"\sin(\varphi)",
            r"\Omega",
            r"\mu",
            r"\mathrm{alphabet}",
            "ж",
        ];
        assert_eq!(names.map(latex_name), expected);
    }

    #[test]
    fn expressions_are_formulas_in_latex() {
        let variables = ["x", "T_1", "x'"].map(String::from);
        for (factor, expected) in [
            ("x", "x"),
            ("sin(x)", r"\sin(x)"),
            ("exp(-x)", r"\exp(-x)"),
            ("x/(1 + T_1^2)", r"\frac{x}{1 + T_{1}^{2}}"),
            ("(x - 2*x')", r"\left(x - 2 \, x'\right)"),
            ("sqrt(abs(x))", r"\sqrt{\left|x\right|}"),
            ("atan(x)^0.5", r"\arctan(x)^{0.5}"),
            ("x^T_1", "x^{T_{1}}"),
            ("f(x)", r"\operatorname{f}(x)"),
        ] {
            assert_eq!(latex_factor(factor, &variables), expected, "{factor}");
        }
    }

    #[test]
    fn equal_factors_are_a_power() {
        assert_eq!(product(&["z", "x", "x"].map(String::from)), "x^2 z");
        assert_eq!(product(&[]), "1");
    }

    #[test]
    fn numbers_are_rounded_to_their_error() {
        let shown = |value, error| number(value, error, &TEXT);
        assert_eq!(shown(9.99712, Some(0.0024)), "9.997(2)");
        assert_eq!(shown(9.99712, Some(0.0014)), "9.9971(14)");
        assert_eq!(shown(9.99712, Some(0.00996)), "9.997(10)");
        assert_eq!(shown(9.99712, Some(0.3)), "10.0(3)");
        assert_eq!(shown(0.3, Some(20.0)), "0(20)");
        assert_eq!(shown(1e-9, Some(0.7)), "0.0(7)");
        assert_eq!(shown(1e-9, Some(7e-8)), "0(7)e-8");
        assert_eq!(shown(12345.0, Some(300.0)), "12345(300)");
        assert_eq!(shown(1.234e-7, Some(5e-10)), "1.234(5)e-7");
        assert_eq!(shown(1.234e9, Some(5e6)), "1.234(5)e9");
        assert_eq!(shown(9.9999e-7, Some(5e-9)), "1.000(5)e-6");
        assert_eq!(shown(1.0, Some(1e-30)), "1.000000000000000(1)");
        assert_eq!(shown(0.0, Some(0.02)), "0.00(2)");
        assert_eq!(shown(0.0, Some(2e-8)), "0(2)e-8");
        assert_eq!(shown(0.0, Some(1.2e40)), "0.0(12)e40");
        assert_eq!(shown(0.0, None), "0");
        assert_eq!(shown(2.5, None), "2.5");
        assert_eq!(shown(1.0 / 3.0, None), "0.333333");
        assert_eq!(shown(1.0 / 3.0, Some(f64::INFINITY)), "0.333333");
        assert_eq!(shown(1e7, None), "1e7");
        assert_eq!(shown(f64::NAN, None), "NaN");
    }

    #[test]
    fn every_number_is_short() {
        let sizes = || (-323..=308).step_by(7).map(|e| format!("9.96e{e}").parse().unwrap());
        let numbers = || sizes().chain([0.0, 5e-324, f64::MIN_POSITIVE, f64::MAX]);
        for value in numbers() {
            for error in numbers().map(Some).chain([None]) {
                let shown = number(value, error, &TEXT);
                assert!(shown.len() <= 30, "{value:e} {error:?}: {shown}");
            }
        }
    }
}
