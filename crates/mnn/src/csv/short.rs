//! Trajectories that have too few values to be used.

use std::path::Path;

use mechanistic::discovery::{Dataset, Trajectory};

use super::source::quoted;

/// Leaves out the trajectories that have fewer than `least` values of a state, and says so; none if
/// all are such. Each has the file that it is from, and its name there unless it is the only one.
pub fn leave_out(dataset: &mut Dataset, origins: &[(&Path, String)], least: usize) {
    const SHOWN: usize = 5;
    let states = dataset.states.len();
    let suffices = |trajectory: &Trajectory| {
        (0..states).all(|state| {
            let values = trajectory.values.iter().skip(state).step_by(states);
            values.filter(|value| !value.is_nan()).count() >= least
        })
    };
    let pairs = dataset.trajectories.iter().zip(origins);
    let short = pairs.filter(|(trajectory, _)| !suffices(trajectory)).map(|(_, origin)| origin);
    let short: Vec<&(&Path, String)> = short.collect();
    if short.is_empty() || short.len() == dataset.trajectories.len() {
        return;
    }
    let named = short.iter().take(SHOWN).map(|(path, name)| match &name[..] {
        "" => path.display().to_string(),
        name => format!("{} of {}", quoted(name), path.display()),
    });
    let named: Vec<String> = named.collect();
    let (plural, verb) = if short.len() == 1 { ("y", "is") } else { ("ies", "are") };
    tracing::warn!(
        "{} trajector{plural} with fewer than {least} values of a state {verb} left out: {}{}",
        short.len(),
        named.join(", "),
        if short.len() > SHOWN { ", ..." } else { "" }
    );
    dataset.trajectories.retain(suffices);
}
