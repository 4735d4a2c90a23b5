//! The joint method: trajectory and coefficients together, terms selected by standard error.

use super::grid::{self, Grid};
use super::linearised::Parameter;
use super::regression::regress;
use super::search::Search;
use super::{Dataset, Discovery, Fit, Library, Link, Observer, Progress, RightHandSide, Settings};
use super::{selection, simulate};
use crate::{Error, Result};

/// See [`discover`](super::discover).
pub(super) fn discover(
    data: &Dataset,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Discovery> {
    data.validate()?;
    let library = Library::new(&data.states, settings)?;
    report(observer, 0.0, "smoothing the data", None)?;
    let smooth = grid::smooth(data)?;
    let grid = Grid::new(data, &smooth, settings.refinement)?;
    let mut rhs = RightHandSide::new(&library, settings);
    let parameters = free_parameters(&mut rhs, settings)?;

    report(observer, 0.02, "regression on the smoothed data", None)?;
    let trajectory = grid.sample(&smooth, settings.order);
    let slopes = grid.slopes(&smooth, settings.order);
    regress(&mut rhs, &parameters, &grid, &trajectory, &slopes);

    let mut search = Search::new(&grid, &smooth, rhs, trajectory, &slopes, parameters)?;
    search.approach(|done, equations| {
        report(observer, 0.05 + 0.35 * done, "fitting all candidate terms", equations)
    })?;
    let all = search.parameters().len();
    loop {
        search.converge(|| report(observer, 0.4, "refitting", None))?;
        let dropped = selection::weakest(&search.quadratic(), settings.threshold);
        if std::env::var("DISC_DEBUG").is_ok() {
            eprintln!("{} terms, dropping {dropped:?}", search.parameters().len());
        }
        if dropped.is_empty() {
            break;
        }
        search.drop(&dropped)?;
        let done = 1.0 - search.parameters().len() as f64 / all as f64;
        report(observer, 0.4 + 0.5 * done, "dropping terms", Some(&search.equations()))?;
    }
    finish(data, search)
}

pub(super) fn report(
    observer: &mut Observer<'_>,
    fraction: f64,
    stage: &str,
    equations: Option<&[super::Equation]>,
) -> Result<()> {
    match observer(&Progress { fraction, stage, equations }) {
        std::ops::ControlFlow::Continue(()) => Ok(()),
        std::ops::ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}

/// Sets the known coefficients in `rhs`; the others, sorted by equation, are free.
pub(super) fn free_parameters(rhs: &mut RightHandSide<'_>, settings: &Settings) -> Result<Vec<Parameter>> {
    let (k, l) = (rhs.states(), rhs.library.len());
    let mut free = vec![true; k * l];
    for known in &settings.known {
        let state = rhs.library.variables()[..k].iter().position(|name| *name == known.state);
        let Some(equation) = state else {
            return Err(Error::argument("known", format!("there is no state `{}`", known.state)));
        };
        let Some(term) = rhs.library.position(&known.factors) else {
            let message = format!("the library has no term `{}`", known.factors.join(" "));
            return Err(Error::argument("known", message));
        };
        free[equation * l + term] = false;
        rhs.numerator[equation * l + term] = known.coefficient;
    }
    let mut parameters = Vec::new();
    for equation in 0..k {
        let numerator = (0..l).filter(|term| free[equation * l + term]);
        parameters.extend(numerator.map(|term| Parameter { equation, term, denominator: false }));
        if rhs.link == Link::Ratio {
            parameters.extend((1..l).map(|term| Parameter { equation, term, denominator: true }));
        }
    }
    Ok(parameters)
}

fn finish(data: &Dataset, search: Search<'_>) -> Result<Discovery> {
    let (k, order) = (data.states.len(), search.estimate.rhs.order);
    let d = k * order;
    let trajectory = &search.estimate.trajectory;
    let scale: Vec<f64> = (0..d)
        .map(|i| trajectory.iter().skip(i).step_by(d).fold(0.0, |m: f64, u| m.max(u.abs())))
        .collect();
    let fits = search.grid.trajectories.iter().map(|range| {
        let time = search.grid.time[range.clone()].to_vec();
        let states = &trajectory[range.start * d..range.end * d];
        let smoothed = states.chunks_exact(d).flat_map(|state| state[..k].to_vec()).collect();
        let simulated = simulate(&search.estimate.rhs, &states[..d], &time, &scale);
        Fit { time, smoothed, simulated }
    });
    Ok(Discovery {
        states: data.states.clone(),
        order,
        equations: search.equations(),
        fits: fits.collect(),
        noise: search.noise.clone(),
        warnings: Vec::new(),
    })
}
