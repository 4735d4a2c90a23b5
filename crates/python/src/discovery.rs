//! Equations from time series, and what is done with them. What was found goes to Python as JSON
//! and comes back from there, so that nothing but plain values lives in Python.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use mechanistic::discovery::{
    self, Dataset, Discovery, Fit, KnownTerm, Library, Method, Settings, TermName, Trajectory,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::de::DeserializeOwned;

use crate::errors::exception;
use crate::memory::Address;
use crate::threads;

/// A trajectory: N, and the addresses of its times (N), values (N, K) and inputs (N, I).
type Series = (usize, usize, usize, usize);

/// The numbers of a fit: times (M), smoothed and simulated values (M, K), and the points before which
/// no line is drawn.
type Numbers = (Vec<f64>, Vec<f64>, Vec<f64>, Vec<usize>);

/// What equations predict: the states (N, K) of each trajectory, the fraction of each state's variance
/// that they explain, and warnings.
type Predicted = (Vec<Vec<f64>>, Vec<f64>, Vec<String>);

/// Returns what was found: the JSON of the equations, the factors of all candidate terms, and the
/// fits. `progress` is called with a fraction and a stage; Ctrl-C breaks the search off.
#[pyfunction]
pub fn discover(
    py: Python<'_>,
    states: Vec<String>,
    inputs: Vec<String>,
    trajectories: Vec<Series>,
    settings: &Bound<'_, PyDict>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, Vec<Vec<String>>, Vec<Numbers>)> {
    let settings = read_settings(settings)?;
    let data = dataset(states, inputs, trajectories)?;
    let (found, candidates) = search(py, &data, &settings, progress.as_ref())?;
    let json = found.to_json();
    let numbers = |fit: Fit| (fit.time, fit.smoothed, fit.simulated, fit.restarts);
    Ok((json, candidates, found.fits.into_iter().map(numbers).collect()))
}

/// Searches on threads of its own, while this one, which is the only one that Python tells of Ctrl-C,
/// waits and passes the progress on.
fn search(
    py: Python<'_>,
    data: &Dataset,
    settings: &Settings,
    progress: Option<&Py<PyAny>>,
) -> PyResult<(Discovery, Vec<Vec<String>>)> {
    let threads = threads::shared().map_err(exception)?;
    let stop = AtomicBool::new(false);
    let (sender, mut receiver) = mpsc::channel();
    thread::scope(|scope| {
        let stop = &stop;
        let worker = scope.spawn(move || {
            threads.install(|| {
                let found = discovery::discover(data, settings, &mut |state| {
                    // The receiver lives until the worker has ended.
                    let _ = sender.send((state.fraction, state.stage.to_owned()));
                    match stop.load(Ordering::Relaxed) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                })?;
                let candidates = candidates(&found, data, settings)?;
                Ok((found, candidates))
            })
        });
        let mut outcome = Ok(());
        loop {
            let receiver = &mut receiver;
            let told = py.detach(move || receiver.recv_timeout(PATIENCE));
            let heard = match told {
                Ok((fraction, stage)) => match progress {
                    // Not once more after it has raised.
                    Some(progress) if outcome.is_ok() => {
                        progress.call1(py, (fraction, stage)).map(drop)
                    }
                    _ => Ok(()),
                },
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = heard.and_then(|()| py.check_signals())
                && outcome.is_ok()
            {
                outcome = Err(error);
                stop.store(true, Ordering::Relaxed);
            }
        }
        let found = py.detach(|| worker.join());
        outcome?;
        let found = found.map_err(|_| PyRuntimeError::new_err("the search panicked"))?;
        found.map_err(exception)
    })
}

/// Returns the factors of the candidate terms of a given model, or those of the terms that occur in
/// the equations where the data have chosen among many models, in the order of their degrees.
fn candidates(
    found: &Discovery,
    data: &Dataset,
    settings: &Settings,
) -> mechanistic::Result<Vec<Vec<String>>> {
    if !settings.automatic {
        let states = [&data.states[..], &found.hidden].concat();
        let library = Library::with_inputs(&states, &data.inputs, settings)?;
        return Ok((0..library.len()).map(|term| library.factors(term).to_vec()).collect());
    }
    let mut occurring: Vec<Vec<String>> = Vec::new();
    for equation in &found.equations {
        for term in equation.terms.iter().chain(&equation.denominator) {
            if !occurring.contains(&term.factors) {
                occurring.push(term.factors.clone());
            }
        }
    }
    occurring.sort_by_key(Vec::len);
    Ok(occurring)
}

/// The longest time until Ctrl-C is noticed.
const PATIENCE: Duration = Duration::from_millis(50);

/// Returns the equations as an `align*` environment of LaTeX.
#[pyfunction]
pub fn latex(json: &str) -> PyResult<String> {
    Ok(parse(json)?.to_latex())
}

/// Returns the equations as text, one in a line, with the standard errors in brackets.
#[pyfunction]
pub fn text(json: &str) -> PyResult<String> {
    Ok(parse(json)?.to_string())
}

/// Returns the states (N, K) that the equations predict for each trajectory, whose first row they
/// begin at; the fraction of each state's variance that they explain; and warnings. `sizes` is the
/// usual size of every state.
#[pyfunction]
pub fn simulate(
    py: Python<'_>,
    json: &str,
    states: Vec<String>,
    inputs: Vec<String>,
    trajectories: Vec<Series>,
    sizes: Vec<f64>,
) -> PyResult<Predicted> {
    let mut found = parse(json)?;
    // The prediction takes the usual sizes of the states from the fits.
    let time = vec![0.0];
    found.fits = vec![Fit { time, smoothed: sizes.clone(), simulated: sizes, restarts: vec![] }];
    let data = dataset(states, inputs, trajectories)?;
    let prediction = threads::run(py, false, 1, || found.predict(&data))?;
    Ok((prediction.trajectories, prediction.explained, prediction.warnings))
}

/// Returns the time derivatives that the equations give at M points, whose arguments (M, A) lie at
/// an address.
#[pyfunction]
pub fn derivative(
    py: Python<'_>,
    json: &str,
    arguments: usize,
    count: usize,
) -> PyResult<Vec<f64>> {
    let found = parse(json)?;
    threads::run(py, true, 1, || found.derivative(Address(arguments).read(count)?))
}

fn parse(json: &str) -> PyResult<Discovery> {
    serde_json::from_str(json).map_err(|error| {
        PyValueError::new_err(format!("these are no equations of this version: {error}"))
    })
}

fn dataset(
    states: Vec<String>,
    inputs: Vec<String>,
    trajectories: Vec<Series>,
) -> PyResult<Dataset> {
    let (k, i) = (states.len(), inputs.len());
    let read = |address: usize, count: usize| {
        Address(address).read::<f64>(count).map(<[f64]>::to_vec).map_err(exception)
    };
    let trajectory = |(points, time, values, inputs): Series| {
        Ok(Trajectory {
            time: read(time, points)?,
            values: read(values, points * k)?,
            inputs: read(inputs, points * i)?,
        })
    };
    let trajectories = trajectories.into_iter().map(trajectory).collect::<PyResult<_>>()?;
    Ok(Dataset { states, inputs, trajectories })
}

/// A term in Python: the name of a state and the factors of the term.
type Name = (String, Vec<String>);

fn read_settings(values: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let mut settings = Settings::default();
    for (name, value) in values {
        let name: String = name.extract()?;
        let names = || -> PyResult<Vec<TermName>> {
            let names: Vec<Name> = value.extract()?;
            Ok(names.into_iter().map(|(state, factors)| TermName { state, factors }).collect())
        };
        match &*name {
            "method" => settings.method = method(&value.extract::<String>()?)?,
            "order" => settings.order = value.extract()?,
            "automatic" => settings.automatic = value.extract()?,
            "degree" => settings.degree = value.extract()?,
            "hidden" => settings.hidden = value.extract()?,
            "sine_cosine" => settings.sine_cosine = value.extract()?,
            "explicit_time" => settings.explicit_time = value.extract()?,
            "terms" => settings.terms = value.extract()?,
            "link" => settings.link = choice(&name, &value.extract::<String>()?)?,
            "threshold" => settings.threshold = value.extract()?,
            "robust" => settings.robust = value.extract()?,
            "max_points" => settings.max_points = value.extract()?,
            "grid_refinement" => settings.grid_refinement = value.extract()?,
            "known" => {
                let known: Vec<(Name, f64)> = value.extract()?;
                settings.known = known
                    .into_iter()
                    .map(|((state, factors), coefficient)| KnownTerm {
                        state,
                        factors,
                        coefficient,
                    })
                    .collect();
            }
            "positive" => settings.positive = names()?,
            "negative" => settings.negative = names()?,
            "interpolation" => {
                let course: Option<String> = value.extract()?;
                settings.interpolation = course.map(|course| choice(&name, &course)).transpose()?;
            }
            "seed" => settings.seed = value.extract()?,
            _ => return Err(PyValueError::new_err(format!("there is no setting {name:?}"))),
        }
    }
    settings.validate().map_err(exception)?;
    Ok(settings)
}

fn method(name: &str) -> PyResult<Method> {
    match name {
        "joint" => Ok(Method::Joint),
        "network" => Ok(Method::Network),
        _ => Err(PyValueError::new_err(format!("method: expected joint or network, got {name:?}"))),
    }
}

/// Returns the value of a setting by its name in JSON.
fn choice<V: DeserializeOwned>(setting: &str, name: &str) -> PyResult<V> {
    serde_json::from_value(name.into())
        .map_err(|error| PyValueError::new_err(format!("{setting}: {error}")))
}
