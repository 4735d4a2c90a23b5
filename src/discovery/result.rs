//! The result of a search: equations, fits, and everything that their reader must know.

use super::check::{check, turns_back};
use super::data::Dataset;
use super::dependence;
use super::equation::{Discovery, Fit, Tried};
use super::estimate::Estimate;
use super::outliers::{self, down_weighted};
use super::preparation::Prepared;
use super::progress::Reporter;
use super::ranking::Found;
use super::simulate::trajectory;
use super::view::View;
use super::warnings;
use crate::Result;

/// Collects the result of the best estimate, with everything that its reader must know.
pub(super) fn collected(
    found: Found<'_>,
    tried: Vec<Tried>,
    translatable: bool,
    data: &Dataset,
    prepared: Prepared,
    hidden: Vec<String>,
    progress: &mut Reporter<'_, '_>,
) -> Result<Discovery> {
    let saturated = found.saturated();
    let Found { estimate, view, warnings: undecided, .. } = found;
    let View { grid, smooth, .. } = view;
    let mut warnings = prepared.warnings;
    warnings.extend(view.warnings(&prepared.data, translatable));
    warnings.extend(dependence::warnings(&prepared.data, smooth));
    warnings.extend(undecided);
    warnings.extend(warnings::cut_short(&tried));
    if !estimate.is_exact() {
        warnings.push(warnings::inexact(&estimate));
    }
    warnings.extend(warnings::saturated(&estimate.rhs, &saturated));
    if turns_back(&estimate.rhs, grid, smooth) {
        warnings.push(warnings::turns_back(&view.data.states[0]));
    }
    let (equations, correlations) = (estimate.equations(), estimate.correlations());
    warnings.extend(warnings::empty(&equations));
    let scale = estimate.sizes();
    let parts = fits(&estimate, view, &scale);
    let down_weighted = down_weighted(
        data,
        &view.data.states,
        grid,
        &prepared.part_of,
        &prepared.left_out,
        &estimate.trajectory,
        &estimate.noise,
    );
    warnings.extend(outliers::far_from_fit(data, &down_weighted));
    // Values that hardly count say nothing about the equations.
    let judged = grid.without_outliers(&estimate.trajectory, &estimate.noise);
    let checked = check(&estimate, &judged, smooth, &parts, view.period, &scale);
    warnings.extend(checked.warnings);
    let fits = joined(parts, &prepared.part_of, data.trajectories.len(), &grid.offset);
    warnings.extend(warnings::blow_ups(&fits, estimate.noise.len()));
    progress.finish(&equations)?;
    Ok(Discovery {
        states: view.data.states.clone(),
        hidden,
        inputs: prepared.data.inputs,
        interpolation: view.grid.interpolation.clone(),
        order: estimate.rhs.order,
        equations,
        correlations,
        fits,
        noise: prepared
            .noise
            .iter()
            .enumerate()
            .map(|(state, unit)| unit * grid.mean_noise(estimate.noise[state], state))
            .collect(),
        explained: checked.explained,
        down_weighted,
        tried,
        warnings,
    })
}

/// Returns the trajectories of the grid, as estimated and as simulated with the equations that were
/// found.
fn fits(found: &Estimate<'_>, view: &View, scale: &[f64]) -> Vec<Fit> {
    let (k, d) = (found.rhs.states(), scale.len());
    let fit = |range: &std::ops::Range<usize>| {
        let time = view.grid.time[range.clone()].to_vec();
        let states = &found.trajectory[range.start * d..range.end * d];
        let smoothed = states.chunks_exact(d).flat_map(|state| state[..k].to_vec()).collect();
        let forcing = view.grid.forcing.part(range.clone());
        let simulated = trajectory(&found.rhs, &states[..d], &time, &forcing, scale);
        Fit { time, smoothed, simulated, restarts: vec![] }
    };
    view.grid.trajectories.iter().map(fit).collect()
}

/// Returns the fits of `count` trajectories, of which `fits` are parts, with the offset of each
/// state added.
fn joined(fits: Vec<Fit>, part_of: &[usize], count: usize, offset: &[f64]) -> Vec<Fit> {
    let mut joined = vec![Fit::default(); count];
    for (fit, &whole) in fits.into_iter().zip(part_of) {
        let back =
            |values: Vec<f64>| values.into_iter().zip(offset.iter().cycle()).map(|(u, o)| u + o);
        let first = joined[whole].time.len();
        joined[whole].restarts.extend((first > 0).then_some(first));
        joined[whole].time.extend(fit.time);
        joined[whole].smoothed.extend(back(fit.smoothed));
        joined[whole].simulated.extend(back(fit.simulated));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_trajectory_begin_anew() {
        let part = |time: &[f64]| Fit {
            time: time.to_vec(),
            smoothed: time.to_vec(),
            simulated: time.to_vec(),
            ..Fit::default()
        };
        let parts = vec![part(&[0.0, 1.0]), part(&[0.5]), part(&[4.0, 5.0, 6.0]), part(&[8.0])];
        let fits = joined(parts, &[0, 1, 0, 0], 2, &[10.0]);
        assert_eq!(fits[0].smoothed, [10.0, 11.0, 14.0, 15.0, 16.0, 18.0]);
        assert_eq!((&fits[0].restarts[..], &fits[1].restarts[..]), (&[2, 5][..], &[][..]));
        assert_eq!(fits[0].parts().collect::<Vec<_>>(), [0..2, 2..5, 5..6]);
        // Whatever a caller writes there.
        let wrong = Fit { restarts: vec![3, 1, 99], ..fits[0].clone() };
        assert_eq!(wrong.parts().collect::<Vec<_>>(), [0..3, 3..3, 3..6, 6..6]);
    }
}
