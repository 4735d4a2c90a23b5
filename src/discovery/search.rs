//! The search for equations: the whole algorithm of a discovery.

use super::attempts;
use super::budget::Budget;
use super::contradiction;
use super::data::Dataset;
use super::equation::Discovery;
use super::estimate::Estimate;
use super::estimator::Estimator;
use super::grid::Grid;
use super::hidden::{Hidden, Without};
use super::joint::{Joint, NOISE_FLOORS, joint_values};
use super::ladder::{self, Model, Step};
use super::link::Link;
use super::network::{Network, network_values};
use super::omitted;
use super::preparation::prepare;
use super::progress::{Observer, Reporter};
use super::ranking::{Found, Results};
use super::result::collected;
use super::selection::{conclude, return_to, select};
use super::settings::{Method, Settings};
use super::smoothing::TOGETHER;
use super::start::Start;
use super::user_terms::check_gradients;
use super::view::View;
use super::warnings;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::memory::ensure;
use crate::threads;
use crate::{Cpu, Device, Error, Result};

/// The most work of a search without the constraints, in units of about a nanosecond.
const CONTRADICTION: f64 = 1e10;
/// The fewest linearizations with all terms that a search needs.
const LINEARIZATIONS: f64 = 15.0;

/// Finds the equations that the data obey, by the method [`Settings::method`].
///
/// # Errors
/// [`Error::Argument`] and [`Error::Shape`] for malformed input, [`Error::Data`] when the data are
/// too few, the search diverges, or they obey only equations without a hidden state that was asked for,
/// [`Error::Interrupted`] when `observer` breaks.
pub fn discover(
    data: &Dataset,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<Discovery> {
    // Too many terms are refused before the data are looked at.
    settings.validate()?;
    data.validate_names()?;
    models(data, &Hidden::new(data, settings)?, settings)?;
    data.validate()?;
    let mut progress = Reporter::new(observer);
    progress.stage(0.0, "smoothing the data")?;
    ensure_memory_to_prepare(data, settings)?;
    let prepared = prepare(data, settings)?;
    let hidden = Hidden::new(&prepared.data, settings)?;
    let steps = models(&prepared.data, &hidden, settings)?;
    let (asked, settings) = (settings, &hidden.defined(&prepared.data.states, settings));
    let all = || steps.iter().flat_map(|step| &step.models);
    let has_inputs = all().any(|model| !model.library.inputs().is_empty());
    if settings.method == Method::Network && has_inputs {
        let message = "the network method takes no inputs and no terms with the time; the joint \
                       method does";
        return Err(Error::argument("method", message));
    }
    let translatable = |model: &Model| settings.is_translatable() && model.is_translatable();
    let any_translatable = all().any(translatable);
    let views = View::all(&prepared.data, &hidden, settings, any_translatable)?;
    // Terms get the time where a candidate depends on it.
    let with_time = all().any(|m| m.library.inputs().len() > prepared.data.inputs.len());
    check_gradients(&prepared.data, &views[0].smooth, with_time, settings)?;

    // Searches with every model about every offset, and keeps the best result.
    let mut results = Results::new(settings);
    let to_judge: Vec<usize> = hidden.last(prepared.data.states.len()).collect();
    let again = usize::from(settings.automatic || views.len() > 1);
    let constrained = usize::from(asked.is_constrained());
    let parts = steps.len() + again + constrained + to_judge.len();
    for (index, Step { models, refused }) in steps.iter().enumerate() {
        progress.begin_part(index, parts);
        // What is exact has the terms of simpler models already.
        let exact = results.best().filter(|best| settings.automatic && best.is_exact());
        let least = exact.map_or(0, |exact| exact.model.place);
        let tasks = |view: usize| {
            let suitable =
                move |model: &&Model| model.place >= least && (view == 0 || translatable(model));
            models.iter().filter(suitable).map(move |model| (view, model))
        };
        let tasks: Vec<(&View, &Model)> =
            (0..views.len()).flat_map(tasks).map(|(view, model)| (&views[view], model)).collect();
        search(&mut results, &tasks, settings, &mut progress)?;
        for (name, failure) in refused {
            results.refuse(name, failure);
        }
        if settings.automatic && results.is_settled(models) {
            break;
        }
    }
    let mixed: Vec<Model> = results.mixed().into_iter().collect();
    let tasks: Vec<(&View, &Model)> = mixed.iter().map(|model| (&views[0], model)).collect();
    if !tasks.is_empty() {
        progress.begin_part(steps.len(), parts);
        search(&mut results, &tasks, settings, &mut progress)?;
    }
    // What was found about the means may have fewer terms in the states themselves.
    let moved = results
        .best()
        .filter(|best| settings.method == Method::Joint && best.is_exact() && best.view.is_moved());
    if let Some(model) = moved.map(|best| best.model) {
        progress.begin_part(steps.len(), parts);
        search(&mut results, &[(&views[0], model)], settings, &mut progress)?;
    }
    let (mut found, tried) = results.into_best()?;
    let values = prepared.data.values();
    found.warnings.extend(steps.get(1).and_then(|step| warnings::too_few(values, &step.models)));
    if settings.method == Method::Joint {
        if constrained > 0 {
            progress.begin_part(steps.len() + again, parts);
        }
        let contradicted = contradicted(&found, &hidden, asked, &mut progress)?;
        let is_contradicted = contradicted.is_some();
        found.warnings.extend(contradicted);
        // What else would help would only make up for that.
        if !is_contradicted {
            found.warnings.extend(omitted::warnings(&found, &hidden, settings, &mut progress)?);
        }
    }
    for (index, number) in to_judge.iter().enumerate() {
        progress.begin_part(parts - to_judge.len() + index, parts);
        let doubt = doubt(&found, *number, &hidden, &prepared.data, settings, &mut progress)?;
        found.warnings.extend(doubt);
    }
    let chosen_translatable = translatable(found.model);
    collected(found, tried, chosen_translatable, data, prepared, hidden.names, &mut progress)
}

/// Returns the models to be tried for data with these hidden states besides, in steps.
fn models(data: &Dataset, hidden: &Hidden, settings: &Settings) -> Result<Vec<Step>> {
    let extended;
    let data = match hidden.names.is_empty() {
        true => data,
        false => {
            extended = data.with_hidden(&hidden.names);
            &extended
        }
    };
    let mut steps = ladder::models(data, settings)?;
    for step in &mut steps {
        let models = std::mem::take(&mut step.models).into_iter();
        step.models = models.map(|model| hidden.restricted(model)).collect();
    }
    Ok(steps)
}

/// Returns the warning that the hidden state of this number cannot be identified, if it cannot. It is
/// needless if a search without it finds an equation of the state whose derivative it is, which the data
/// obey, and they are worth hardly less than with the hidden state. Else the data must obey its equation.
///
/// # Errors
/// [`Error::Data`] with that warning, if the data obey the equation without the hidden state, but not
/// the one with it: then what was found says nothing.
fn doubt(
    found: &Found<'_>,
    number: usize,
    hidden: &Hidden,
    data: &Dataset,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Option<String>> {
    let parent = hidden.parent(number);
    let state = data.states.len() + number;
    let Without { hidden: others, model, settings: without } =
        hidden.without(number, found.model, settings);
    let views = View::all(data, &others, &without, false)?;
    let budget = Budget::new(f64::INFINITY);
    let closed = progress.relaying(&format!("without {}", hidden.names[number]), |progress| {
        find(&views[0], &model, None, &budget, &without, progress)
    });
    let closed = match closed {
        Ok(closed) => Some(closed),
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(Error::Data(_)) => None,
        // What was found stands, whatever kept this search from its end.
        Err(error) => return Ok(Some(warnings::unexamined(&hidden.names[number], &error))),
    };
    let root = found.view.smooth.roots[state];
    let obeyed =
        |found: &Found<'_>, equation: usize| found.is_exact_in(root) && found.is_exact_in(equation);
    let score = |found: &Found<'_>, equation: usize| {
        let with_data = found.score_of(root, settings);
        if equation == root { with_data } else { with_data + found.score_of(equation, settings) }
    };
    let name = &hidden.names[number];
    if let Some(closed) = closed.filter(|closed| obeyed(closed, parent)) {
        let needless = || warnings::needless(name, &closed.estimate.equations()[parent]);
        if !obeyed(found, state) {
            return Err(Error::Data(needless()));
        }
        // A hidden state must be worth as much as a term.
        if score(&closed, parent) - score(found, state) <= settings.threshold.powi(2) {
            return Ok(Some(needless()));
        }
    }
    let data_obey = found.estimate.obeys(state);
    Ok((!data_obey).then(|| warnings::unidentified(name, &found.view.data.states[root])))
}

/// Returns the warning that the data contradict the constraints that were `asked` for, if there are any.
///
/// # Errors
/// [`Error::Interrupted`].
fn contradicted(
    found: &Found<'_>,
    hidden: &Hidden,
    asked: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Option<String>> {
    if !asked.is_constrained() || asked.threshold == 0.0 {
        return Ok(None);
    }
    let states = &found.view.data.states;
    let measured = &states[..states.len() - hidden.names.len()];
    let free = hidden.defined(measured, &contradiction::without_constraints(asked));
    let budget = Budget::new(CONTRADICTION);
    let search = |progress: &mut Reporter<'_, '_>| {
        find(found.view, found.model, None, &budget, &free, progress)
    };
    contradiction::warning(found, &free, search, progress)
}

/// Searches with each of these models, in threads, and adds what is found to the results.
fn search<'a>(
    results: &mut Results<'a>,
    tasks: &[(&'a View, &'a Model)],
    settings: &'a Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<()> {
    // What obeys an equation exactly is where the search with a richer model begins, or one with the
    // same model in the states themselves after one about the means.
    let exact = results.best().filter(|best| best.is_exact());
    let begin = |view: &View, model: &Model| {
        exact.filter(|exact| match std::ptr::eq(exact.model, model) {
            true => exact.view.is_moved() && !view.is_moved(),
            false => settings.automatic && std::ptr::eq(exact.view, view),
        })
    };
    let name = |(view, model): &(&View, &Model)| {
        let from_moved = || begin(view, model).is_some_and(|begin| begin.view.is_moved());
        let about = match view.is_moved() {
            true => ", about the means",
            false if from_moved() => ", from the terms about the means",
            false => "",
        };
        model.name.clone() + about
    };
    let names: Vec<String> = tasks.iter().map(name).collect();
    let outcomes = {
        let simpler = |view: &View, model: &Model| begin(view, model).map(|begin| &begin.estimate);
        // What the budget forbids needs no memory. What has not enough of it alone is not begun, and
        // of the rest as many at a time as fit.
        let need = |&(view, model): &(&View, &Model)| {
            let joint = settings.method == Method::Joint;
            let begins = !joint || simpler(view, model).is_some() || can_begin(view, model).is_ok();
            if begins { memory(&view.grid, model, settings) } else { 0 }
        };
        let ensure = |bytes: usize| ensure("the search", &[(bytes, 1)]);
        let needs: Vec<usize> = tasks.iter().map(need).collect();
        let fits: Vec<bool> = needs.iter().map(|bytes| ensure(*bytes).is_ok()).collect();
        let fitting = needs.iter().zip(&fits).filter(|(_, fits)| **fits);
        let largest = fitting.map(|(bytes, _)| *bytes).max().unwrap_or(0);
        let threads = threads::available().min(tasks.len());
        let at_a_time = (2..=threads).rev().find(|n| ensure(largest.saturating_mul(*n)).is_ok());
        let find = |index: usize, progress: &mut Reporter<'_, '_>| {
            let (view, model) = tasks[index];
            let budget = model.budget(&view.grid);
            if !fits[index] {
                let (what, bytes) = ("the search".into(), needs[index]);
                return (Err(Error::OutOfMemory { what, bytes }), false);
            }
            let found = find(view, model, simpler(view, model), &budget, settings, progress);
            (found, budget.is_spent())
        };
        attempts::run(&names, at_a_time.unwrap_or(1), find, progress)?
    };
    for (name, (found, cut_short)) in names.into_iter().zip(outcomes) {
        results.add(name, found, cut_short, progress)?;
    }
    match results.best() {
        Some(best) => progress.show(&best.estimate.equations()),
        None => Ok(()),
    }
}

/// Checks that the memory for looking at the data and for smoothing them can be had: for each row some
/// ten numbers while outliers are looked for in a column, and a copy; for each row that is taken twenty
/// while a column is smoothed, and three for each value afterwards.
fn ensure_memory_to_prepare(data: &Dataset, settings: &Settings) -> Result<()> {
    let rows = data.trajectories.iter().map(|t| t.time.len()).fold(0, usize::saturating_add);
    let values = rows.saturating_mul(data.states.len());
    let taken = rows.min(settings.max_points);
    let splines = taken.saturating_mul(20 * TOGETHER + 3 * data.states.len());
    ensure("smoothing the data", &[(rows, 10 * 8), (values, 8), (splines, 8)])
}

/// Checks that the budget of a model allows a search that begins with all its terms.
fn can_begin(view: &View, model: &Model) -> Result<()> {
    let points = view.grid.points();
    model.budget(&view.grid).check(LINEARIZATIONS, points, model.unknowns())
}

/// Returns the bytes of memory of a search with this model.
fn memory(grid: &Grid, model: &Model, settings: &Settings) -> usize {
    let variables = model.library.variables().len();
    let states = variables / settings.order;
    let coefficients = model.coefficients();
    let squares = coefficients.saturating_mul(coefficients);
    // The trajectory in the units of the data and in those of the method, of the estimates that
    // are compared, smoothed and simulated.
    let trajectories = grid.points().saturating_mul(variables).saturating_mul(20);
    let values = match settings.method {
        // One for the present terms and one for all of them.
        Method::Joint => joint_values(grid.points(), variables, coefficients).saturating_mul(2),
        Method::Network => network_values(grid.points(), variables, states, coefficients),
    };
    let all = trajectories.saturating_add(values).saturating_add(squares.saturating_mul(8));
    all.saturating_mul(size_of::<f64>())
}

/// What a search begins with.
#[derive(Clone, Copy)]
enum Begin<'s, 'a> {
    /// The terms of a simpler model.
    Simpler(&'s Estimate<'a>),
    /// All terms, but few in ratios.
    Sparse,
    All,
}

/// Finds the terms of a model that the data support, by either method; the joint one begins with
/// all terms, or with those of a simpler model.
fn find<'a>(
    view: &'a View,
    model: &'a Model,
    simpler: Option<&Estimate<'a>>,
    budget: &Budget,
    settings: &'a Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<Found<'a>> {
    progress.stage(0.02, "regression on the smoothed data")?;
    let View { grid, smooth, .. } = view;
    let start = |sparse| Start::new(model, grid, smooth, settings, sparse);
    let (estimate, warnings) = match (settings.method, &settings.device) {
        (Method::Joint, _) => {
            if simpler.is_none() {
                budget.check(LINEARIZATIONS, grid.points(), model.unknowns())?;
            }
            // After a search about another offset: the other attempts were made before it. What is
            // exact there would be lost where more noise is assumed.
            let again = simpler.is_some_and(|simpler| simpler.offset != grid.offset);
            let mut attempt = |begin: Begin<'_, 'a>, floors| {
                let mut estimate = start(matches!(begin, Begin::Sparse))?.estimate;
                let is_same = match begin {
                    Begin::Simpler(simpler) => estimate.continue_from(simpler),
                    _ => false,
                };
                let make = if is_same { Joint::continued } else { Joint::new };
                let joint = make(grid, smooth, estimate, floors, budget, progress)?;
                selected(joint, again, settings, progress)
            };
            let has_ratio = model.links.contains(&Link::Ratio);
            let first = if again { 2 } else { 1 };
            let attempts = [
                simpler.map(|simpler| (Begin::Simpler(simpler), &NOISE_FLOORS[first..])),
                (has_ratio && !again).then_some((Begin::Sparse, &NOISE_FLOORS[1..])),
                (!again).then_some((Begin::All, &NOISE_FLOORS[1..])),
                // With more noise, bad starts are forgiven.
                (!again).then_some((Begin::All, &NOISE_FLOORS[..])),
            ];
            let mut outcome = None;
            for (begin, floors) in attempts.into_iter().flatten() {
                outcome = Some(attempt(begin, floors));
                if !matches!(outcome, Some(Err(Error::Data(_)))) || budget.is_spent() {
                    break;
                }
            }
            outcome.expect("there is an attempt")?
        }
        (Method::Network, Device::Cpu) => {
            let network = Network::new(view, settings, start(false)?, Cpu)?;
            selected(network, false, settings, progress)?
        }
        #[cfg(feature = "cuda")]
        (Method::Network, Device::Cuda(device)) => {
            let network = Network::new(view, settings, start(false)?, Cuda::on(device)?)?;
            selected(network, false, settings, progress)?
        }
    };
    Ok(Found { estimate, model, view, warnings, held_out: None })
}

/// Selects terms from sharpness to sharpness, beginning with those of the estimator, of which
/// `sufficient` says whether they are known to include all that are needed. Returns the estimate, and
/// warnings of what remains undecided.
fn selected<'a, E: Estimator<'a>>(
    mut estimator: E,
    mut sufficient: bool,
    settings: &Settings,
    progress: &mut Reporter<'_, '_>,
) -> Result<(Estimate<'a>, Vec<String>)> {
    let mut last: Option<Estimate<'a>> = None;
    let mut warnings = Vec::new();
    loop {
        let begin = std::mem::take(&mut sufficient);
        let sharper = select(&mut estimator, begin, settings, progress).and_then(|()| {
            last = Some(estimator.estimate().clone());
            estimator.sharpen(progress)
        });
        match (sharper, &last) {
            (Ok(true), _) => {}
            (Ok(false), _) => break,
            // What was selected before is the sharpest that there is.
            (Err(Error::Data(_)), Some(selected)) => {
                warnings.push(warnings::coarse());
                return_to(&mut estimator, selected.clone(), progress)?;
                break;
            }
            (Err(error), _) => return Err(error),
        }
    }
    let sharpest = estimator.estimate().clone();
    match conclude(&mut estimator, settings, progress) {
        Ok(undecided) => warnings.extend(undecided),
        Err(Error::Data(_)) => {
            return_to(&mut estimator, sharpest, progress)?;
            if warnings.is_empty() {
                warnings.push(warnings::coarse());
            }
        }
        Err(error) => return Err(error),
    }
    Ok((estimator.finish(), warnings))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::super::data::Trajectory;
    use super::super::equation::{Equation, Tried};
    use super::super::progress::Progress;
    use super::*;

    /// Returns the equations that a search with this budget finds, and what was tried.
    fn within(work: f64, data: &Dataset) -> (Result<Vec<Equation>>, Vec<Tried>) {
        let settings = Settings { automatic: true, ..Settings::default() };
        let views = View::all(data, &Hidden::default(), &settings, false).unwrap();
        let model = Model { work, linearizations: 0.0, ..Model::new(data, &settings).unwrap() };
        let mut results = Results::new(&settings);
        let mut observer = |_: &Progress<'_>| ControlFlow::Continue(());
        let mut progress = Reporter::new(&mut observer);
        search(&mut results, &[(&views[0], &model)], &settings, &mut progress).unwrap();
        match results.into_best() {
            Ok((found, tried)) => (Ok(found.estimate.equations()), tried),
            Err(error) => (Err(error), vec![]),
        }
    }

    #[test]
    fn a_search_without_work_left_has_what_was_selected_before_and_says_so() {
        let time: Vec<f64> = (0..200).map(|i| 0.05 * f64::from(i)).collect();
        let noise = |t: f64| 1e-4 * (1e3 * t * t).sin();
        let state = |t: &f64| {
            let decay = (-0.1 * t).exp();
            [decay * (2.0 * t).cos() + noise(*t), decay * (2.0 * t).sin() - noise(t + 1.0)]
        };
        let values = time.iter().flat_map(state).collect();
        let data = Dataset {
            states: vec!["x".into(), "y".into()],
            trajectories: vec![Trajectory { time, values, ..Trajectory::default() }],
            ..Dataset::default()
        };
        let (unlimited, tried) = within(f64::INFINITY, &data);
        assert!(!tried[0].cut_short && warnings::cut_short(&tried).is_none());
        assert_eq!(unlimited.unwrap().iter().map(|e| e.terms.len()).sum::<usize>(), 4);

        let (refused, _) = within(1.0, &data);
        assert_eq!(refused.unwrap_err().to_string(), "not tried, because it would take too long");
        // Somewhere between too little work and enough there is some for a first selection.
        let mut cut_short = 0;
        for multiple in 1..100 {
            let (found, tried) = within(5e5 * f64::from(multiple), &data);
            if found.is_ok() && tried[0].cut_short {
                cut_short += 1;
                let warning = warnings::cut_short(&tried).unwrap();
                assert!(warning.contains("cut short: degree 2;"), "{warning}");
            }
        }
        assert!(cut_short > 0);
    }
}
