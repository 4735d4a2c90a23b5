//! What the caller knows about coefficients: values, signs, and which are equal.

use super::candidates::{Parameter, Tie, Unknowns};
use super::link::Link;
use super::notation::product;
use super::right_hand_side::RightHandSide;
use super::settings::{Settings, TermName};
use crate::{Error, Result};

/// Sets the known coefficients in `rhs` and returns those of the others that are candidates, which
/// are to be found, with their constraints.
///
/// # Errors
/// [`Error::Argument`] for a constraint on an unknown state or term, and for constraints that
/// contradict each other.
pub(super) fn unknowns(
    rhs: &mut RightHandSide<'_>,
    settings: &Settings,
    is_candidate: impl Fn(&Parameter) -> bool,
) -> Result<Unknowns> {
    let (k, l) = (rhs.states(), rhs.library.len());
    let mut known = vec![false; k * l];
    for term in &settings.known {
        let place = place(rhs, "known", &term.state, &term.factors)?;
        if std::mem::replace(&mut known[place], true) {
            let (name, state) = (product(&term.factors), &term.state);
            let message = format!("the coefficient of `{name}` in {state}' is given twice");
            return Err(Error::argument("known", message));
        }
        rhs.numerator[place] = term.coefficient;
    }
    // The place of the coefficient that stands at each place, and what it is multiplied by there.
    let mut leader: Vec<(usize, f64)> = (0..k * l).map(|place| (place, 1.0)).collect();
    for pair in &settings.equal {
        let mut ends = [0; 2];
        for (end, term) in ends.iter_mut().zip([&pair.first, &pair.second]) {
            *end = unknown(rhs, "equal", term, &known)?;
        }
        let ([(first, a), (second, b)], sign) =
            (ends.map(|end| leader[end]), if pair.opposite { -1.0 } else { 1.0 });
        // With the coefficients c of both leaders, a c₁ = sign b c₂.
        let ratio = sign * a * b;
        if first == second && ratio != 1.0 {
            let message = format!("{} would be its own opposite", quoted(&pair.first));
            return Err(Error::argument("equal", message));
        }
        let (kept, merged) = (first.min(second), first.max(second));
        for (of, factor) in leader.iter_mut().filter(|(of, _)| *of == merged) {
            (*of, *factor) = (kept, *factor * ratio);
        }
    }
    let mut signs = vec![0.0; k * l];
    for (argument, terms, sign) in
        [("positive", &settings.positive, 1.0), ("negative", &settings.negative, -1.0)]
    {
        for term in terms {
            let (leader, factor) = leader[unknown(rhs, argument, term, &known)?];
            if signs[leader] == -sign * factor {
                let message = format!("{} must already have the other sign", quoted(term));
                return Err(Error::argument(argument, message));
            }
            signs[leader] = sign * factor;
        }
    }

    let mut unknowns = Unknowns::default();
    let mut number = vec![0; k * l];
    for equation in 0..k {
        for term in 0..l {
            let place = equation * l + term;
            let parameter = Parameter { equation, term, denominator: false };
            if !known[place] && leader[place].0 == place && is_candidate(&parameter) {
                number[place] = unknowns.all.len();
                unknowns.all.push(parameter);
                unknowns.signs.push(signs[place]);
            }
        }
        if rhs.links[equation] == Link::Ratio {
            let below = (1..l).map(|term| Parameter { equation, term, denominator: true });
            unknowns.all.extend(below.filter(&is_candidate));
            unknowns.signs.resize(unknowns.all.len(), 0.0);
        }
    }
    for (place, &(of, factor)) in leader.iter().enumerate().filter(|(place, (of, _))| place != of) {
        let place = Parameter { equation: place / l, term: place % l, denominator: false };
        unknowns.ties.push(Tie { leader: number[of], place, factor });
    }
    Ok(unknowns)
}

/// Returns the place in the numerator of a term that is not known.
fn unknown(
    rhs: &RightHandSide<'_>,
    argument: &str,
    term: &TermName,
    known: &[bool],
) -> Result<usize> {
    let place = place(rhs, argument, &term.state, &term.factors)?;
    match known[place] {
        false => Ok(place),
        true => {
            let message = format!("{} has a coefficient that is given", quoted(term));
            Err(Error::argument(argument, message))
        }
    }
}

fn quoted(term: &TermName) -> String {
    format!("`{}` in {}'", product(&term.factors), term.state)
}

/// Returns the place of a term in the numerator.
fn place(
    rhs: &RightHandSide<'_>,
    argument: &str,
    state: &str,
    factors: &[String],
) -> Result<usize> {
    let library = rhs.library;
    let states = &library.variables()[..rhs.states()];
    let Some(equation) = states.iter().position(|name| name == state) else {
        let message = format!("there is no state `{state}`; there are {}", states.join(", "));
        return Err(Error::argument(argument, message));
    };
    match library.position(factors) {
        Some(term) => Ok(equation * library.len() + term),
        None => {
            let terms =
                (0..library.len().min(MOST_NAMED)).map(|term| product(library.factors(term)));
            let more = if library.len() > MOST_NAMED { ", ..." } else { "" };
            let terms = terms.collect::<Vec<_>>().join(", ");
            let name = product(factors);
            let message = format!("the library has no term `{name}`; it has {terms}{more}");
            Err(Error::argument(argument, message))
        }
    }
}

/// The most terms of a library that are named.
const MOST_NAMED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{EqualTerms, KnownTerm, Library};

    fn name(state: &str, term: &str) -> TermName {
        TermName { state: state.into(), factors: vec![term.into()] }
    }

    fn equal(first: (&str, &str), second: (&str, &str), opposite: bool) -> EqualTerms {
        EqualTerms { first: name(first.0, first.1), second: name(second.0, second.1), opposite }
    }

    /// Terms 1, x, y of x' and y'.
    fn made(settings: Settings) -> Result<Unknowns> {
        let settings = Settings { degree: 1, ..settings };
        let library = Library::new(&["x".into(), "y".into()], &settings).unwrap();
        unknowns(&mut RightHandSide::new(&library, &settings), &settings, |_| true)
    }

    #[test]
    fn equal_terms_are_one_unknown() {
        let settings = Settings {
            equal: vec![
                equal(("x", "y"), ("y", "x"), true),
                equal(("y", "x"), ("y", "y"), false),
                equal(("x", "x"), ("x", "1"), false),
            ],
            positive: vec![name("y", "y")],
            ..Settings::default()
        };
        let Unknowns { all, ties, signs } = made(settings).unwrap();
        let places: Vec<[usize; 2]> = all.iter().map(|p| [p.equation, p.term]).collect();
        assert_eq!(places, [[0, 0], [0, 2], [1, 0]]);
        assert_eq!(signs, [0.0, -1.0, 0.0]);
        let ties: Vec<_> =
            ties.iter().map(|t| (t.leader, t.place.equation, t.place.term, t.factor)).collect();
        assert_eq!(ties, [(0, 0, 1, 1.0), (1, 1, 1, -1.0), (1, 1, 2, -1.0)]);
    }

    #[test]
    fn impossible_constraints_are_refused() {
        let message = |settings: Settings| made(settings).unwrap_err().to_string();
        let base = Settings::default;
        let known = |term: &str| KnownTerm {
            state: "x".into(),
            factors: vec![term.into()],
            coefficient: 1.0,
        };
        assert_eq!(
            message(Settings { positive: vec![name("z", "x")], ..base() }),
            "positive: there is no state `z`; there are x, y"
        );
        assert_eq!(
            message(Settings { negative: vec![name("x", "x^2")], ..base() }),
            "negative: the library has no term `x^2`; it has 1, x, y"
        );
        assert_eq!(
            message(Settings { known: vec![known("x"), known("x*1")], ..base() }),
            "known: the coefficient of `x*1` in x' is given twice"
        );
        let settings =
            Settings { known: vec![known("x")], positive: vec![name("x", "x")], ..base() };
        assert_eq!(message(settings), "positive: `x` in x' has a coefficient that is given");
        let both = vec![name("y", "x")];
        let settings = Settings { positive: both.clone(), negative: both, ..base() };
        assert_eq!(message(settings), "negative: `x` in y' must already have the other sign");
        let settings = Settings {
            equal: vec![equal(("x", "y"), ("y", "x"), true), equal(("x", "y"), ("y", "x"), false)],
            ..base()
        };
        assert_eq!(message(settings), "equal: `y` in x' would be its own opposite");
    }
}
