//! Random systems of three species, and how they are found: in the data, and for every order of the
//! columns. The test of this binary takes a few, `examples/random_systems.rs` many.

use std::ops::ControlFlow;

use mechanistic::Result;
use mechanistic::discovery::{Dataset, Discovery, KnownTerm, Settings, Trajectory, discover};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use systems::LotkaVolterra;

/// Names of the species, and the orders in which their columns are given.
const NAMES: [&str; 3] = ["a", "b", "c"];
const ORDERS: [[usize; 3]; 3] = [[0, 1, 2], [2, 0, 1], [1, 2, 0]];
/// The grid of the data.
const POINTS: usize = 121;
const STEP: f64 = 0.1;

/// Terms of an equation as sorted lists of factors, for each species.
type Terms = Vec<Vec<String>>;

/// How one system was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Whether every order of the columns led to exactly the true terms.
    pub exact: bool,
    /// Whether all orders of the columns led to the same terms.
    pub same: bool,
    /// Whether some order led to other than the true terms without a warning.
    pub silently_wrong: bool,
    /// Whether what was found instead of the true terms is no worse than these: a fit with the true terms
    /// only drops one of them that is less than `Settings::threshold` standard errors from zero, or its
    /// [`score`] is not below that of any other. No search can tell from such data which terms are the true ones.
    pub undecidable: bool,
}

/// Finds the system of this seed in data with noise `relative` to each state's deviation, for all
/// orders of the columns.
pub fn outcome(seed: u64, relative: f64) -> Result<Outcome> {
    let (system, mut states) = LotkaVolterra::random(seed, NAMES.len(), STEP, POINTS);
    add_noise(&mut states, relative, seed);
    let truth = true_terms(&system);
    let mut outcome = Outcome { exact: true, same: true, ..Outcome::default() };
    let (mut first, mut wrong) = (None, Vec::new());
    for order in ORDERS {
        let result = find(&states, order, &Settings::default())?;
        let terms = terms_of(&result, order);
        outcome.exact &= terms == truth;
        outcome.silently_wrong |= terms != truth && result.warnings.is_empty();
        outcome.same &= terms == *first.get_or_insert_with(|| terms.clone());
        if terms != truth {
            wrong.push(score(&result));
        }
    }
    if !outcome.exact {
        let only_true = Settings { known: absent_terms(&truth), ..Settings::default() };
        let result = find(&states, ORDERS[0], &only_true)?;
        let all_stay = terms_of(&result, ORDERS[0]) == truth;
        let of_truth = score(&result);
        outcome.undecidable = !all_stay || wrong.iter().all(|score| *score <= of_truth);
    }
    Ok(outcome)
}

/// Finds the equations of states, (points, 3), whose columns are given in this order.
fn find(states: &[Vec<f64>], order: [usize; 3], settings: &Settings) -> Result<Discovery> {
    let data = Dataset {
        states: order.map(|i| NAMES[i].to_owned()).to_vec(),
        trajectories: vec![Trajectory {
            time: (0..POINTS).map(|i| STEP * i as f64).collect(),
            values: states.iter().flat_map(|state| order.map(|i| state[i])).collect(),
            ..Trajectory::default()
        }],
        ..Dataset::default()
    };
    discover(&data, settings, &mut |_| ControlFlow::Continue(()))
}

/// Returns the terms of what was found with the columns in this order.
fn terms_of(result: &Discovery, order: [usize; 3]) -> Terms {
    let mut terms: Terms = vec![vec![]; NAMES.len()];
    for (place, equation) in result.equations.iter().enumerate() {
        let factors = equation.terms.iter().map(|term| term.factors.join(" "));
        terms[order[place]] = factors.collect();
        terms[order[place]].sort();
    }
    terms
}

/// Returns how badly equations fit: −2 ln of the likelihood at the noise that was estimated with them, and
/// threshold² for each term, as discovery compares them.
fn score(result: &Discovery) -> f64 {
    let terms: usize = result.equations.iter().map(|equation| equation.terms.len()).sum();
    let logarithms = result.noise.iter().map(|noise| noise.ln()).sum::<f64>();
    2.0 * POINTS as f64 * logarithms + Settings::default().threshold.powi(2) * terms as f64
}

/// Returns the candidates of degree 2 that are not among these terms, as coefficients of zero.
fn absent_terms(truth: &Terms) -> Vec<KnownTerm> {
    let (mut products, mut absent) = (vec![vec!["1"]], Vec::new());
    for (i, a) in NAMES.into_iter().enumerate() {
        products.push(vec![a]);
        products.extend(NAMES[i..].iter().map(|b| vec![a, b]));
    }
    for (state, terms) in NAMES.into_iter().zip(truth) {
        let factors = products.iter().filter(|factors| !terms.contains(&factors.join(" ")));
        absent.extend(factors.map(|factors| KnownTerm {
            state: state.to_owned(),
            factors: factors.iter().map(|&factor| factor.to_owned()).collect(),
            coefficient: 0.0,
        }));
    }
    absent
}

fn true_terms(system: &LotkaVolterra) -> Terms {
    let terms = |i: usize| {
        let own = NAMES[i].to_owned();
        let effects = (0..NAMES.len()).filter(|j| system.effects[i * NAMES.len() + j] != 0.0);
        let products = effects.map(|j| {
            let mut factors = [NAMES[i], NAMES[j]];
            factors.sort_unstable();
            factors.join(" ")
        });
        let mut terms: Vec<String> = products.chain([own]).collect();
        terms.sort();
        terms
    };
    (0..NAMES.len()).map(terms).collect()
}

fn add_noise(states: &mut [Vec<f64>], relative: f64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed + 1000);
    let n = states.len() as f64;
    for i in 0..NAMES.len() {
        let mean = states.iter().map(|state| state[i]).sum::<f64>() / n;
        let variance = states.iter().map(|state| (state[i] - mean).powi(2)).sum::<f64>() / n;
        for state in states.iter_mut() {
            let normal: f64 = StandardNormal.sample(&mut random);
            state[i] += relative * variance.sqrt() * normal;
        }
    }
}
