//! Reports of a discovery: its equations as text, JSON and LaTeX.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::equation::{Discovery, DownWeighted, Equation, Term, Tried};
use super::expression::shown;
use super::link::Link;
use super::notation::{LATEX, Notation, TEXT, latex_name, right_hand_side};
use super::settings::Interpolation;
use super::symbols::Symbols;

/// Returns the equations as text, one in each line and with their equals signs aligned, such as `x'
/// = -10.002(3) x + 10.001(2) y`, where the digits in brackets are the standard error in units of
/// the last place.
///
/// Names stand as they are; [`Discovery`] writes those in backquotes that could be confused.
pub fn aligned(equations: &[Equation]) -> String {
    let left = equations.iter().map(|equation| equation.lhs.clone()).collect();
    lines(left, equations, &TEXT)
}

/// Returns the state whose derivative of this order the equation gives: what is left of its left-hand side
/// without so many primes.
fn state_of(equation: &Equation, order: usize) -> &str {
    // One prime after the other: an order that was read from a file may be any number.
    let bare = (0..order).try_fold(&*equation.lhs, |name, _| name.strip_suffix('\''));
    bare.unwrap_or(&equation.lhs)
}

fn lines(left: Vec<String>, equations: &[Equation], notation: &Notation<'_>) -> String {
    let width = left.iter().map(|left| left.chars().count()).max().unwrap_or(0);
    equations.iter().zip(left).fold(String::new(), |mut out, (equation, left)| {
        let _ = writeln!(out, "{left:<width$} = {}", right_hand_side(equation, notation));
        out
    })
}

/// Writes the equations as [`aligned`] does, with those columns in backquotes whose names could be confused
/// with something else: `` `y z`' = x `y z` ``.
impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [&self.states[..], &self.inputs].concat();
        let left_hand_side = |equation: &Equation| {
            let name = state_of(equation, self.order);
            shown(name, &columns) + &equation.lhs[name.len()..]
        };
        let left = self.equations.iter().map(left_hand_side).collect();
        f.write_str(&lines(left, &self.equations, &TEXT.of(&columns)))
    }
}

impl Discovery {
    /// Returns the equations as one JSON object: `{"states": [...], "order": 1, "equations":
    /// [{"lhs": "x'", "rhs": "1.0*x*y", "terms": [{"factors": ["x", "y"], "coefficient": 1.0,
    /// "standard_error": 0.01}]}], "symbols": [...], "noise": [...], "fit": [...], "warnings":
    /// [...], "tried": [{"model": "degree 1", "score": -2.5, "exact": true, "held_out": 0.01,
    /// "terms": 2, "chosen": true, "cut_short": false, "failure": ""}]}`.
    ///
    /// `rhs` is an expression that Python and SymPy parse, in `symbols`: the names of the states,
    /// for order 2 then of their velocities (`x_dot`), of the inputs, and the time `t` where it occurs,
    /// with underscores for what no name may have there. With hidden states there is `"hidden"`, their
    /// names, which are the last of `states`; they have neither `noise` nor `fit`. SymPy has constants of its own, such as
    /// `I`, so that it should be told the names:
    /// `sympify(rhs, locals={name: Symbol(name) for name in symbols})`. `noise` is that of each
    /// state, and `fit` the fraction of its variance that the simulated equations explain (R²),
    /// `null` where they blow up. A robust search adds `"down_weighted"`, the values that hardly count:
    /// `[{"trajectory": 1, "row": 58, "state": "x", "value": 0.0, "weight": 0.1}]`, counted from 1, with
    /// weight 0 for those that were left out.
    ///
    /// Factors are sorted, and `[]` for the constant. A coefficient that was given and not estimated
    /// ([`Settings::known`](super::Settings::known)) has no standard error, `null`, and `"known":
    /// true`. An
    /// equation u' = g(Σ terms) has also `"link": "tanh"` (or sin, sigmoid); a ratio has `"link":
    /// "ratio"` and `"denominator"`, the terms that are added to 1 in the denominator. With inputs
    /// there are `"inputs"`, their names, and `"interpolation"`, `"linear"` or `"hold"` for each.
    pub fn to_json(&self) -> String {
        let symbols = Symbols::of(self);
        let equation = |equation| JsonEquation::new(equation, &symbols);
        let model = Model {
            states: &self.states,
            hidden: &self.hidden,
            inputs: &self.inputs,
            interpolation: &self.interpolation,
            order: self.order,
            equations: self.equations.iter().map(equation).collect(),
            symbols: symbols.names(),
            noise: &self.noise,
            fit: &self.explained,
            down_weighted: &self.down_weighted,
            tried: &self.tried,
            warnings: &self.warnings,
        };
        serde_json::to_string_pretty(&model).expect("strings and numbers always serialize")
    }

    /// Returns the equations as an `align*` environment of LaTeX (package amsmath).
    pub fn to_latex(&self) -> String {
        let symbols = Symbols::of(self);
        let notation = LATEX.of(symbols.variables());
        let mut out = String::from("\\begin{align*}\n");
        for (index, equation) in self.equations.iter().enumerate() {
            let power = if self.order == 1 { "" } else { "^2" };
            let symbol = latex_name(state_of(equation, self.order));
            let end = if index + 1 == self.equations.len() { "" } else { " \\\\" };
            let _ = writeln!(
                out,
                "  \\frac{{\\mathrm{{d}}{power} {symbol}}}{{\\mathrm{{d}}t{power}}} &= {}{end}",
                right_hand_side(equation, &notation)
            );
        }
        out + "\\end{align*}\n"
    }
}

#[derive(Serialize)]
struct Model<'a> {
    states: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hidden: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    inputs: &'a [String],
    #[serde(skip_serializing_if = "<[Interpolation]>::is_empty")]
    interpolation: &'a [Interpolation],
    order: usize,
    equations: Vec<JsonEquation<'a>>,
    symbols: &'a [String],
    noise: &'a [f64],
    fit: &'a [f64],
    #[serde(skip_serializing_if = "<[DownWeighted]>::is_empty")]
    down_weighted: &'a [DownWeighted],
    tried: &'a [Tried],
    warnings: &'a [String],
}

#[derive(Serialize)]
struct JsonEquation<'a> {
    lhs: &'a str,
    rhs: String,
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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    known: bool,
}

impl<'a> JsonEquation<'a> {
    fn new(equation: &'a Equation, symbols: &Symbols) -> Self {
        let terms = |terms: &'a [Term]| terms.iter().map(JsonTerm::from).collect();
        JsonEquation {
            lhs: &equation.lhs,
            rhs: symbols.right_hand_side(equation),
            link: (equation.link != Link::Identity).then(|| equation.link.name()),
            terms: terms(&equation.terms),
            denominator: (equation.link == Link::Ratio).then(|| terms(&equation.denominator)),
        }
    }
}

impl<'a> From<&'a Term> for JsonTerm<'a> {
    fn from(term: &'a Term) -> Self {
        let mut factors: Vec<&str> = term.factors.iter().map(String::as_str).collect();
        factors.sort_unstable();
        let Term { coefficient, standard_error, .. } = *term;
        JsonTerm { factors, coefficient, standard_error, known: standard_error.is_none() }
    }
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
            noise: vec![0.1, 0.2, 0.3],
            explained: vec![0.5, 1.0, f64::NAN],
            tried: vec![Tried { model: "degree 1".into(), score: Some(-2.5), ..Tried::default() }],
            warnings: vec!["no term of y'".into()],
            ..Discovery::default()
        }
    }

    #[test]
    fn text_is_legible() {
        let expected = "\
x' = -10.002(3) x + 10.001(2) y
y' = tanh(0.5 - 1.000(14) x^2 z)
z' = (2.00(10) z) / (1 - 0.25(2) x_1)
";
        assert_eq!(example().to_string(), expected);
        assert_eq!(aligned(&[equation("ab''", vec![], Link::Identity, vec![])]), "ab'' = 0\n");
    }

    #[test]
    fn names_that_could_be_confused_stand_in_backquotes() {
        let model = |order: usize, states: [&str; 2], factors: [&str; 2]| {
            let terms = |factor| vec![term(&[factor], 2.0, None)];
            let of = |i: usize| {
                let lhs = states[i].to_owned() + &"'".repeat(order);
                equation(&lhs, terms(factors[i]), Link::Identity, vec![])
            };
            let states = states.map(String::from).to_vec();
            let equations = vec![of(0), of(1)];
            Discovery { states, order, equations, ..Discovery::default() }.to_string()
        };
        assert_eq!(model(1, ["x", "y z"], ["y z", "x"]), "x'     = 2 `y z`\n`y z`' = 2 x\n");
        assert_eq!(model(1, ["x", "y'"], ["y'", "x"]), "x'    = 2 `y'`\n`y'`' = 2 x\n");
        assert_eq!(model(1, ["y", "y'"], ["y'", "y"]), "y'    = 2 `y'`\n`y'`' = 2 y\n");
        assert_eq!(
            model(1, ["x", "y z"], ["sin(y z)", "sin(x)"]),
            "x'     = 2 sin(`y z`)\n`y z`' = 2 sin(x)\n"
        );
        assert_eq!(model(1, ["-x", "1"], ["1", "-x"]), "`-x`' = 2 `1`\n`1`'  = 2 `-x`\n");
        assert_eq!(model(2, ["x", "y z"], ["x'", "y z'"]), "x''     = 2 x'\n`y z`'' = 2 `y z'`\n");
    }

    #[test]
    fn json_follows_the_schema() {
        let value: serde_json::Value = serde_json::from_str(&example().to_json()).unwrap();
        let expected = serde_json::json!({
            "states": ["x", "y", "z"],
            "order": 1,
            "equations": [
                {"lhs": "x'", "rhs": "(-10.00213)*x + 10.001*y", "terms": [
                    {"factors": ["x"], "coefficient": -10.00213, "standard_error": 0.0031},
                    {"factors": ["y"], "coefficient": 10.001, "standard_error": 0.0021},
                ]},
                {"lhs": "y'", "rhs": "tanh(0.5 + (-1.0)*z*x*x)", "link": "tanh", "terms": [
                    {"factors": [], "coefficient": 0.5, "standard_error": null,
                        "known": true},
                    {"factors": ["x", "x", "z"], "coefficient": -1.0, "standard_error": 0.014},
                ]},
                {"lhs": "z'", "rhs": "(2.0*z)/(1 + (-0.25)*(x_1))", "link": "ratio", "terms": [
                    {"factors": ["z"], "coefficient": 2.0, "standard_error": 0.1},
                ], "denominator": [
                    {"factors": ["x_1"], "coefficient": -0.25, "standard_error": 0.02},
                ]},
            ],
            "symbols": ["x", "y", "z"],
            "noise": [0.1, 0.2, 0.3],
            "fit": [0.5, 1.0, null],
            "tried": [{"model": "degree 1", "score": -2.5, "exact": false, "terms": 0,
                "held_out": null, "chosen": false, "cut_short": false, "failure": ""}],
            "warnings": ["no term of y'"],
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
        assert_eq!(example().to_latex(), expected);
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
