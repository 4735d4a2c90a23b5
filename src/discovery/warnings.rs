//! The warnings of a discovery: what the reader must know about the result, in words.

use super::candidates::Candidates;
use super::dense;
use super::equation::{Equation, Fit, Tried};
use super::estimate::Estimate;
use super::information::Information;
use super::ladder::Model;
use super::notation::product;
use super::report::aligned;
use super::right_hand_side::RightHandSide;
use crate::Error;

/// The most undecided pairs of terms that are named for an equation.
const MAX_PAIRS: usize = 3;

/// Returns the warning that a sharper search than the last one failed.
pub(super) fn coarse() -> String {
    "the search with less noise assumed failed, and the equations are those of the last one that \
     did not: terms that make little difference may be missing"
        .to_owned()
}

/// Returns the warning that searches with some models were ended early, if one of them has the result,
/// or might have had a better one than equations that the data do not obey exactly.
pub(super) fn cut_short(tried: &[Tried]) -> Option<String> {
    let exact = tried.iter().any(|tried| tried.chosen && tried.exact);
    let matters = |tried: &&Tried| tried.cut_short && (tried.chosen || !exact);
    let names: Vec<&str> = tried.iter().filter(matters).map(|tried| &*tried.model).collect();
    (!names.is_empty()).then(|| {
        format!(
            "searches among many models have a limit to their work and were cut short: {}; a model \
             that is given is searched without a limit",
            names.join("; ")
        )
    })
}

/// Returns the warning that so many values cannot decide the coefficients of one of these models.
pub(super) fn too_few(values: usize, models: &[Model]) -> Option<String> {
    let richest = models.iter().max_by_key(|model| model.coefficients())?;
    let count = richest.coefficients();
    (values <= count).then(|| {
        format!(
            "{values} values are too few to try {}, which has {count} coefficients: whether there are \
             other terms, these data cannot show",
            richest.name
        )
    })
}

/// Returns warnings of terms that others could stand in for: exchanging them costs less χ² than a
/// term must be worth.
pub(super) fn undecided(
    rhs: &RightHandSide<'_>,
    candidates: &Candidates,
    information: &Information,
) -> Vec<String> {
    let Candidates { all, kept, .. } = candidates;
    let name = |index: usize| format!("`{}`", product(rhs.library.factors(all[index].term)));
    let Some(set) = information.set(kept) else { return vec![singular()] };
    let rivals = information.rivals(&set);
    let all_of =
        |terms: &[usize]| terms.iter().map(|index| name(*index)).collect::<Vec<_>>().join(" and ");
    let mut warnings = Vec::new();
    for equation in 0..rhs.states() {
        // Sets that seemed far better were tried, and the quadratic function was wrong about them.
        let close = rivals.iter().filter(|rival| {
            all[rival.without].equation == equation
                && (rival.set.score - set.score).abs() < information.penalty
        });
        let mut pairs: Vec<String> = close
            .take(MAX_PAIRS)
            .map(|rival| {
                let change = rival.set.score - set.score;
                format!("{} or {} ({change:+.1})", name(rival.without), name(rival.with))
            })
            .collect();
        if pairs.is_empty() {
            let several = information.substitute(equation, &set);
            let several = several.filter(|several| several.change.abs() < information.penalty);
            pairs.extend(several.map(|substitute| {
                let (without, with) = (all_of(&substitute.without), all_of(&substitute.with));
                let more = substitute.with.len() as f64 - substitute.without.len() as f64;
                let change = substitute.change - information.penalty * more;
                format!("{without} or {with} ({change:+.1})")
            }));
        }
        if !pairs.is_empty() {
            warnings.push(format!(
                "the data cannot decide between terms of {}: {}; in brackets the change of χ², of \
                 which {:.0} would decide",
                rhs.lhs(equation),
                pairs.join(", "),
                information.penalty
            ));
        }
    }
    if !warnings.is_empty() {
        warnings.push(format!(
            "fewer candidates, less noise, or trajectories from other initial values would help \
             (condition number of the candidate terms {:.0e})",
            condition_number(information)
        ));
    }
    warnings
}

/// Returns the warning that another model is as good: with it these equations are others, and the score
/// differs by so much.
pub(super) fn undecided_model(
    model: &str,
    difference: f64,
    penalty: f64,
    equations: &[String],
) -> String {
    format!(
        "the data cannot decide between models: {model} gives {}, whose score differs by \
         {difference:+.1}, of which {penalty:.0} would decide",
        equations.join(" and ")
    )
}

/// Returns the warning that another model has a score that differs by so much, which is lower, although the
/// data do not obey its equations, which are these, as exactly.
pub(super) fn better_score(model: &str, difference: f64, equations: &[String]) -> String {
    format!(
        "the data obey these equations exactly, but another model has a better score ({difference:+.1}) \
         without that, {model}: {}",
        equations.join(" and ")
    )
}

/// Returns warnings of coefficients that only a constraint on their signs keeps at zero.
pub(super) fn held_at_zero(
    rhs: &RightHandSide<'_>,
    candidates: &Candidates,
    information: &Information,
) -> Vec<String> {
    let warning = |index: usize| {
        let Candidates { all, signs, .. } = candidates;
        let (p, wrong) = (all[index], if signs[index] > 0.0 { "negative" } else { "positive" });
        let (name, lhs) = (product(rhs.library.factors(p.term)), rhs.lhs(p.equation));
        format!(
            "the constraint on `{name}` in {lhs} is active: it holds the coefficient at zero, which \
             the data would make {wrong}"
        )
    };
    information.held_at_zero(&candidates.kept).into_iter().map(warning).collect()
}

/// Returns the condition number of the information, scaled to unit diagonal.
fn condition_number(information: &Information) -> f64 {
    let n = information.vector.len();
    let scale = |j: usize| information.matrix[j * n + j].sqrt();
    let scaled: Vec<f64> =
        (0..n * n).map(|at| information.matrix[at] / (scale(at / n) * scale(at % n))).collect();
    dense::condition_number(&scaled, n)
}

/// Returns the warning that the terms that were found are combinations of each other.
fn singular() -> String {
    "some of the terms are combinations of others on these data, so other equations fit equally \
     well: fewer candidates or trajectories from other initial values would help"
        .into()
}

/// Returns the warning that these equations have nearly all of their candidates.
pub(super) fn saturated(rhs: &RightHandSide<'_>, equations: &[usize]) -> Option<String> {
    let names: Vec<String> = equations.iter().map(|&equation| rhs.lhs(equation)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} has nearly all of its candidates: such a sum may only approximate other terms, or a ratio",
            names.join(", ")
        )
    })
}

/// Returns the warning that one series turns back, which no equation of first order of its own does.
pub(super) fn turns_back(name: &str) -> String {
    format!(
        "`{name}` rises and falls through the same values, which no equation of first order in `{name}` \
         alone does: what is needed may be the second order (order 2), a hidden state (hidden), or a \
         column that drives it (inputs)"
    )
}

/// Returns the warning that the data do not obey some equations exactly.
pub(super) fn inexact(found: &Estimate<'_>) -> String {
    let states = 0..found.rhs.states();
    let names: Vec<String> =
        states.filter(|&i| !found.obeys(i)).map(|i| found.rhs.lhs(i)).collect();
    format!(
        "no equation with these terms fits the data of {} exactly: small random disturbances of \
         the states were allowed for",
        names.join(", ")
    )
}

/// Returns the warning that nobody knows whether a hidden state is needed.
pub(super) fn unexamined(name: &str, error: &Error) -> String {
    format!("whether `{name}` is needed could not be examined: {error}")
}

/// Returns the warning that this hidden state is needless, because this equation without it explains
/// the data as well.
pub(super) fn needless(hidden: &str, equation: &Equation) -> String {
    let equation = aligned(std::slice::from_ref(equation));
    format!(
        "`{hidden}` cannot be identified: without it, {} explains the data as well, so that it is a \
         function of the other states, and terms with it can be exchanged for terms with these; ask for \
         fewer hidden states, or put a state first whose derivative depends on what is hidden",
        equation.trim_end()
    )
}

/// Returns the warning that the data of the state `root` do not obey the equation of this hidden state.
pub(super) fn unidentified(hidden: &str, root: &str) -> String {
    format!(
        "`{hidden}` cannot be identified with these terms: where its equation holds only up to \
         disturbances, it is hardly more than a derivative of the smoothed `{root}`; its equation may \
         be a ratio, or need a higher degree or terms of one's own"
    )
}

/// Returns warnings of equations that lost all their terms.
pub(super) fn empty(equations: &[Equation]) -> Vec<String> {
    let empty = equations.iter().filter(|equation| equation.terms.is_empty());
    empty.map(|equation| format!("no term of {} is significant", equation.lhs)).collect()
}

/// Returns warnings of simulations that leave all bounds.
pub(super) fn blow_ups(fits: &[Fit], states: usize) -> Vec<String> {
    let blow_up = |(index, fit): (usize, &Fit)| blow_up(index, &fit.time, &fit.simulated, states);
    fits.iter().enumerate().filter_map(blow_up).collect()
}

/// Returns the warning that the simulation (M, K) of a trajectory leaves all bounds, if it does.
pub(super) fn blow_up(
    trajectory: usize,
    time: &[f64],
    simulated: &[f64],
    states: usize,
) -> Option<String> {
    let row = simulated.iter().position(|x| x.is_nan())? / states;
    Some(format!(
        "simulated from its first point, trajectory {} blows up at time {}",
        trajectory + 1,
        time[row]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_short_is_named_where_it_matters() {
        let tried = |model: &str, cut_short, exact, chosen| Tried {
            model: model.into(),
            cut_short,
            exact,
            chosen,
            ..Tried::default()
        };
        let inexact = tried("degree 2", false, false, true);
        let both = [inexact, tried("degree 3", true, false, false), tried("a", true, true, false)];
        assert_eq!(
            cut_short(&both).unwrap(),
            "searches among many models have a limit to their work and were cut short: degree 3; a; \
             a model that is given is searched without a limit"
        );
        let exact = tried("degree 2", false, true, true);
        assert_eq!(cut_short(&[exact, tried("degree 3", true, false, false)]), None);
    }
}
