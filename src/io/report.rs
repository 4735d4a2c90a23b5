//! Found equations as text, JSON and LaTeX.

use std::fmt::Write as _;

use serde::Serialize;

use crate::discovery::{Discovery, Equation, Link, Term};

/// The equations one a line, their equals signs aligned:
/// `x' = -10.002(3) x + 10.001(2) y`, the digits in brackets being the standard error in units of
/// the last place.
pub fn text(equations: &[Equation]) -> String {
    let width = equations.iter().map(|equation| equation.lhs.chars().count()).max().unwrap_or(0);
    equations.iter().fold(String::new(), |mut out, equation| {
        let _ = writeln!(out, "{:<width$} = {}", equation.lhs, right_hand_side(equation, &TEXT));
        out
    })
}

/// One JSON object: `{"states": [...], "order": 1, "equations": [{"lhs": "x'", "terms":
/// [{"factors": ["x", "y"], "coefficient": 1.0, "standard_error": 0.01}]}]}`.
///
/// Factors are sorted, and `[]` for the constant; an unknown standard error is `null`. An equation
/// u' = g(Σ terms) has `"link": "tanh"` (or sin, sigmoid) besides; a ratio has `"link": "ratio"`
/// and `"denominator"`, the terms that are added to 1 below the line.
pub fn json(discovery: &Discovery) -> String {
    let model = Model {
        states: &discovery.states,
        order: discovery.order,
        equations: discovery.equations.iter().map(JsonEquation::from).collect(),
    };
    serde_json::to_string_pretty(&model).expect("strings and numbers always serialise")
}

/// An `align*` environment (package amsmath).
pub fn latex(discovery: &Discovery) -> String {
    let mut out = String::from("\\begin{align*}\n");
    for (index, equation) in discovery.equations.iter().enumerate() {
        let primes = "'".repeat(discovery.order);
        let name = equation.lhs.strip_suffix(&primes).unwrap_or(&equation.lhs);
        let power = if discovery.order == 1 { "" } else { "^2" };
        let symbol = latex_name(name);
        let end = if index + 1 == discovery.equations.len() { "" } else { " \\\\" };
        let _ = writeln!(
            out,
            "  \\frac{{\\mathrm{{d}}{power} {symbol}}}{{\\mathrm{{d}}t{power}}} &= {}{end}",
            right_hand_side(equation, &LATEX)
        );
    }
    out + "\\end{align*}\n"
}

#[derive(Serialize)]
struct Model<'a> {
    states: &'a [String],
    order: usize,
    equations: Vec<JsonEquation<'a>>,
}

#[derive(Serialize)]
struct JsonEquation<'a> {
    lhs: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'static str>,
    terms: Vec<JsonTerm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denominator: Option<Vec<JsonTerm<'a>>>,
}

#[derive(Serialize)]
struct JsonTerm<'a> {
    factors: Vec<&'a str>,
    coefficient: f64,
    standard_error: Option<f64>,
}

impl<'a> From<&'a Equation> for JsonEquation<'a> {
    fn from(equation: &'a Equation) -> Self {
        let terms = |terms: &'a [Term]| terms.iter().map(JsonTerm::from).collect();
        JsonEquation {
            lhs: &equation.lhs,
            link: (equation.link != Link::Identity).then(|| link_name(equation.link)),
            terms: terms(&equation.terms),
            denominator: (equation.link == Link::Ratio).then(|| terms(&equation.denominator)),
        }
    }
}

impl<'a> From<&'a Term> for JsonTerm<'a> {
    fn from(term: &'a Term) -> Self {
        let mut factors: Vec<&str> = term.factors.iter().map(String::as_str).collect();
        factors.sort_unstable();
        JsonTerm { factors, coefficient: term.coefficient, standard_error: term.standard_error }
    }
}

fn link_name(link: Link) -> &'static str {
    match link {
        Link::Identity => "identity",
        Link::Tanh => "tanh",
        Link::Sin => "sin",
        Link::Sigmoid => "sigmoid",
        Link::Ratio => "ratio",
    }
}

/// What differs between plain text and LaTeX.
struct Notation {
    name: fn(&str) -> String,
    power: fn(usize) -> String,
    between: &'static str,
    exponent: fn(i32) -> String,
    function: fn(Link, &str) -> String,
    ratio: fn(&str, &str) -> String,
}

const TEXT: Notation = Notation {
    name: str::to_owned,
    power: |n| format!("^{n}"),
    between: " ",
    exponent: |e| format!("e{e}"),
    function: |link, inner| format!("{}({inner})", link_name(link)),
    ratio: |above, below| format!("({above}) / ({below})"),
};

const LATEX: Notation = Notation {
    name: latex_name,
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

fn right_hand_side(equation: &Equation, notation: &Notation) -> String {
    let inner = sum(&equation.terms, notation, "");
    match equation.link {
        Link::Identity => inner,
        Link::Ratio if equation.denominator.is_empty() => inner,
        Link::Ratio => (notation.ratio)(&inner, &sum(&equation.denominator, notation, "1")),
        link => (notation.function)(link, &inner),
    }
}

/// `first` and then the terms with their signs; 0 when there is nothing.
fn sum(terms: &[Term], notation: &Notation, first: &str) -> String {
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
        for factor in factors(term, notation) {
            out += notation.between;
            out += &factor;
        }
    }
    if out.is_empty() { "0".to_owned() } else { out }
}

/// Sorted, equal ones gathered into a power.
fn factors(term: &Term, notation: &Notation) -> Vec<String> {
    let mut sorted: Vec<&str> = term.factors.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let powers = sorted.chunk_by(|a, b| a == b);
    powers
        .map(|equal| match equal.len() {
            1 => (notation.name)(equal[0]),
            n => (notation.name)(equal[0]) + &(notation.power)(n),
        })
        .collect()
}

/// A positive number rounded to its standard error, which follows in brackets in units of the last
/// place: with two digits when the first is a 1 and one otherwise, as in 9.997(2) and 9.9971(14).
/// Without a standard error: six significant digits.
fn number(value: f64, standard_error: Option<f64>, notation: &Notation) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let known = standard_error.filter(|error| error.is_finite() && *error > 0.0);
    // Decimal exponents of the last place shown (a double has no more than sixteen) and the first.
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

/// value · 10^power, in two factors: the power of a tiny number alone would overflow.
fn shifted(value: f64, power: i32) -> f64 {
    value * 10f64.powi(power / 2) * 10f64.powi(power - power / 2)
}

/// Decimal exponent of the last digit of a standard error worth showing. Rounded to two digits
/// first, so that 0.0996 counts as 0.10.
fn last_place(error: f64) -> i32 {
    let rounded: f64 = format!("{error:.1e}").parse().unwrap_or(error);
    let first = exponent(rounded);
    if rounded < 2.0 * 10f64.powi(first) { first - 1 } else { first }
}

/// Decimal exponent of the first significant digit.
fn exponent(value: f64) -> i32 {
    if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 }
}

fn without_trailing_zeros(number: String) -> String {
    if !number.contains('.') {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `x` stays, `x1` gets an index, `hare` is set upright, `sin(x)` becomes the function.
fn latex_name(name: &str) -> String {
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
    let symbol = match base.chars().count() {
        0 | 1 => escape(base),
        _ => format!("\\mathrm{{{}}}", escape(base)),
    };
    if index.is_empty() || base.is_empty() {
        symbol + index
    } else {
        format!("{symbol}_{{{index}}}")
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
            _ => out.push(character),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(factors: &[&str], coefficient: f64, standard_error: Option<f64>) -> Term {
        let factors = factors.iter().map(ToString::to_string).collect();
        Term { factors, coefficient, standard_error }
    }

    fn equation(lhs: &str, terms: Vec<Term>, link: Link, denominator: Vec<Term>) -> Equation {
        Equation { lhs: lhs.into(), terms, link, denominator }
    }

    fn example() -> Discovery {
        let x = vec![term(&["x"], -10.00213, Some(0.0031)), term(&["y"], 10.001, Some(0.0021))];
        let y = vec![term(&[], 0.5, None), term(&["z", "x", "x"], -1.0, Some(0.014))];
        let z = vec![term(&["z"], 2.0, Some(0.1))];
        Discovery {
            states: vec!["x".into(), "y".into(), "z".into()],
            order: 1,
            equations: vec![
                equation("x'", x, Link::Identity, vec![]),
                equation("y'", y, Link::Tanh, vec![]),
                equation("z'", z, Link::Ratio, vec![term(&["x_1"], -0.25, Some(0.02))]),
            ],
            ..Discovery::default()
        }
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

    #[test]
    fn text_is_legible() {
        let expected = "\
x' = -10.002(3) x + 10.001(2) y
y' = tanh(0.5 - 1.000(14) x^2 z)
z' = (2.00(10) z) / (1 - 0.25(2) x_1)
";
        assert_eq!(text(&example().equations), expected);
        assert_eq!(text(&[equation("ab''", vec![], Link::Identity, vec![])]), "ab'' = 0\n");
    }

    #[test]
    fn json_follows_the_schema() {
        let value: serde_json::Value = serde_json::from_str(&json(&example())).unwrap();
        let expected = serde_json::json!({
            "states": ["x", "y", "z"],
            "order": 1,
            "equations": [
                {"lhs": "x'", "terms": [
                    {"factors": ["x"], "coefficient": -10.00213, "standard_error": 0.0031},
                    {"factors": ["y"], "coefficient": 10.001, "standard_error": 0.0021},
                ]},
                {"lhs": "y'", "link": "tanh", "terms": [
                    {"factors": [], "coefficient": 0.5, "standard_error": null},
                    {"factors": ["x", "x", "z"], "coefficient": -1.0, "standard_error": 0.014},
                ]},
                {"lhs": "z'", "link": "ratio", "terms": [
                    {"factors": ["z"], "coefficient": 2.0, "standard_error": 0.1},
                ], "denominator": [
                    {"factors": ["x_1"], "coefficient": -0.25, "standard_error": 0.02},
                ]},
            ],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn latex_is_well_formed() {
        let expected = r"\begin{align*}
  \frac{\mathrm{d} x}{\mathrm{d}t} &= -10.002(3) \, x + 10.001(2) \, y \\
  \frac{\mathrm{d} y}{\mathrm{d}t} &= \tanh\left(0.5 - 1.000(14) \, x^{2} \, z\right) \\
  \frac{\mathrm{d} z}{\mathrm{d}t} &= \frac{2.00(10) \, z}{1 - 0.25(2) \, x_{1}}
\end{align*}
";
        assert_eq!(latex(&example()), expected);
        let names = ["hare", "x2", "x_12", "a_b", "sin(x1)", "x'", "50%", "17"];
        let set: Vec<String> = names.iter().map(|name| latex_name(name)).collect();
        let expected = [
            r"\mathrm{hare}",
            "x_{2}",
            "x_{12}",
            r"\mathrm{a\_b}",
            r"\sin(x_{1})",
            "x'",
            r"\mathrm{50\%}",
            "17",
        ];
        assert_eq!(set, expected);
    }
}
