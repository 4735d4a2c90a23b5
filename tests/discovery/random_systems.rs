//! Random systems of three species, and how they are found: in the data, and for every order of the
//! columns. The test of this binary takes a few, `examples/random_systems.rs` many.

use std::ops::ControlFlow;

use mechanistic::Result;
use mechanistic::discovery::{Dataset, Settings, Trajectory, discover};
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
}

/// Finds the system of this seed in data with noise `relative` to each state's deviation, for all
/// orders of the columns.
pub fn outcome(seed: u64, relative: f64) -> Result<Outcome> {
    let (system, mut states) = LotkaVolterra::random(seed, NAMES.len(), STEP, POINTS);
    add_noise(&mut states, relative, seed);
    let truth = true_terms(&system);
    let mut found = Vec::new();
    let mut outcome = Outcome::default();
    for order in ORDERS {
        let data = Dataset {
            states: order.map(|i| NAMES[i].to_owned()).to_vec(),
            trajectories: vec![Trajectory {
                time: (0..POINTS).map(|i| STEP * i as f64).collect(),
                values: states.iter().flat_map(|state| order.map(|i| state[i])).collect(),
                ..Trajectory::default()
            }],
            ..Dataset::default()
        };
        let result = discover(&data, &Settings::default(), &mut |_| ControlFlow::Continue(()))?;
        let mut terms: Terms = vec![vec![]; NAMES.len()];
        for (place, equation) in result.equations.iter().enumerate() {
            let factors = equation.terms.iter().map(|term| term.factors.join(" "));
            terms[order[place]] = factors.collect();
            terms[order[place]].sort();
        }
        outcome.silently_wrong |= terms != truth && result.warnings.is_empty();
        found.push(terms);
    }
    outcome.exact = found.iter().all(|terms| *terms == truth);
    outcome.same = found.iter().all(|terms| *terms == found[0]);
    Ok(outcome)
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
