//! The command `mnn discover`, which finds governing equations in time series.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use mechanistic::discovery::{
    self, Dataset, Discovery, Interpolation, Link, Method, Settings, TermName,
};
use mechanistic::{DeviceName, Error, Result};

use crate::csv::Table;
use crate::progress::Display;
use crate::terms::ColumnNames;
use crate::{csv, html_report, interrupt, outputs, plot, terms, warnings};

/// Find the differential equations that time series obey
///
/// Each FILE is a CSV table with a header row: a time column (found by its name: t, time, elapsed_s,
/// year, ...; T only as the first column), and one column a state. Fields are separated by commas,
/// semicolons, tabs or bars; lines above the header, lines that begin with # or % and are no rows, a row
/// of units, rows of separators only, columns without a name, of words or without a value are passed
/// over. Times may be dates (2021-03-31 08:00, 31.3.2021 8:00, 3/31/2021 8:00 AM, 31 Mar 2021, 08:00:00;
/// 20210331 only where the name of the column or a flag says so), which without a time zone are taken
/// without daylight saving time. Fractions may have decimal commas, text may be UTF-16 or Windows-1252.
/// Empty fields, -, ?, NaN, NA, N/A, null, none and the like are missing values. Rows at the same time
/// are averaged.
/// The equations appear on standard output, everything else, warnings of what was passed over too,
/// on standard error. A FILE called - is standard input.
///
/// Example: mnn discover log.csv --time when --time-unit hours --missing -9999
#[derive(clap::Args)]
pub struct Arguments {
    /// CSV tables; each is a trajectory, or several (--trajectory)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    table: csv::Flags,
    /// Columns of the states, in this order [default: all others]; names with commas in backquotes
    #[arg(long, value_name = "COLUMNS", help_heading = "Data")]
    states: Vec<ColumnNames>,
    /// Columns of inputs: they occur in the terms, but have no equation
    #[arg(long, value_name = "COLUMNS", help_heading = "Data")]
    inputs: Vec<ColumnNames>,
    /// The course of the inputs between their values [default: hold for one that mostly repeats the
    /// value before, linear for others]
    #[arg(long, value_enum, help_heading = "Data")]
    interpolation: Option<InterpolationName>,
    /// Keep outliers from spoiling the equations: values far from their neighbors, such as readings that
    /// fell to zero, are left out, and those that the equations leave far away count less (Huber weights);
    /// both are named
    #[arg(long, help_heading = "Data")]
    robust: bool,
    /// The most rows that the search takes. Of longer data it takes averages of rows where values are
    /// measured much faster than they change, and pieces that are spread evenly, and says so
    #[arg(long, value_name = "ROWS", default_value_t = Settings::default().max_points, help_heading = "Data")]
    max_points: usize,

    /// How the equations are found [default: joint on the CPU, network on a GPU]
    #[arg(long, value_enum, help_heading = "Model")]
    method: Option<MethodName>,
    /// Order of the equations: 1 for x' = ..., 2 for x'' = ...
    #[arg(long, value_name = "ORDER", default_value_t = 1, help_heading = "Model")]
    order: usize,
    /// Highest degree of the polynomial terms. Without this, --hidden, --sin-cos, --link, --terms,
    /// --explicit-time, --inputs and constraints (--fix, --forbid, --positive, --negative, --equal), the joint
    /// method tries many models, and the data choose [default: where it does not, 2, and up to 3 for ratios]
    #[arg(long, value_name = "DEGREE", help_heading = "Model")]
    degree: Option<usize>,
    /// Hidden states: so many states without data are added. They are derivatives of the states in
    /// their order: x' = hidden1, for two states y' = hidden2; after those of all states, that of hidden1. A
    /// warning, or an error, names those that cannot be identified. Example: mnn discover a.csv --states x --hidden 1
    #[arg(long, value_name = "NUMBER", default_value_t = 0, help_heading = "Model")]
    hidden: usize,
    /// Sine and cosine of each state are candidate terms too
    #[arg(long, help_heading = "Model")]
    sin_cos: bool,
    /// Further candidate terms, as `"exp(-x), x/(1 + y), x*sin(2*pi*t)"` or a file with one in each
    /// line: + - * / ^, parentheses, pi, abs, atan, cos, cosh, exp, log, sin, sinh, sqrt, tan, tanh of
    /// states, velocities (x'), inputs and the time t; other names in backquotes
    #[arg(long, value_name = "FILE|LIST", help_heading = "Model")]
    terms: Option<String>,
    /// The time t occurs in the polynomial terms like a state
    #[arg(long, help_heading = "Model")]
    explicit_time: bool,
    /// Hold a coefficient fixed: `"x' : y = 1"`; may be repeated
    #[arg(long, value_name = "TERM = VALUE", help_heading = "Model")]
    fix: Vec<String>,
    /// Exclude a term from one equation: `"x' : y"`; may be repeated
    #[arg(long, value_name = "TERM", help_heading = "Model")]
    forbid: Vec<String>,
    /// A coefficient that must not be negative: `"x' : y"`; may be repeated
    #[arg(long, value_name = "TERM", help_heading = "Model")]
    positive: Vec<String>,
    /// A coefficient that must not be positive; may be repeated
    #[arg(long, value_name = "TERM", help_heading = "Model")]
    negative: Vec<String>,
    /// Coefficients that are equal, or opposite after a minus: `"x' : y, -y' : x"`; may be repeated
    #[arg(long, value_name = "TERMS", help_heading = "Model")]
    equal: Vec<String>,
    /// The function g in x' = g(sum of terms) [default: identity, where a model is given]
    #[arg(long, value_enum, help_heading = "Model")]
    link: Option<LinkName>,
    /// Keep a term when the fit without it is as much worse as for a coefficient so many standard errors
    /// from zero
    #[arg(long, value_name = "NUMBER", default_value_t = 5.0, help_heading = "Model")]
    threshold: f64,
    /// Seed of everything random
    #[arg(long, default_value_t = 0, help_heading = "Model")]
    seed: u64,
    /// Where to compute: cpu, cuda or cuda:N; the joint method runs on the CPU only
    #[arg(long, value_name = "DEVICE", default_value_t, help_heading = "Model")]
    device: DeviceName,

    /// Form of the equations on standard output
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,
    /// Draw data, fit, simulation and phase portrait (.svg or .png)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    plot: Option<PathBuf>,
    /// Write a page of HTML with equations, errors, correlations, plots that zoom, residuals, warnings
    /// and what was tried
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Write smoothed and simulated trajectories as CSV; with -, to standard output, and the
    /// equations to standard error
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Write equations and trajectories as safetensors: `equations` (as --format json) in the
    /// metadata, tensors `noise`, `trajectory1.time`, `trajectory1.smoothed`, ...
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    save: Option<PathBuf>,
    /// No progress, no intermediate equations
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodName {
    /// Trajectory and coefficients together by Gauss-Newton, terms selected by standard error
    Joint,
    /// A neural network feeds the candidate terms, the ODE solver closes the loss
    Network,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LinkName {
    /// x' = sum
    Identity,
    /// x' = tanh(sum)
    Tanh,
    /// x' = sin(sum)
    Sin,
    /// x' = 1 / (1 + exp(-sum))
    Sigmoid,
    /// x' = sum / (1 + another sum)
    Ratio,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum InterpolationName {
    /// A straight line from value to value
    Linear,
    /// Each value holds until the next
    Hold,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One equation a line; in brackets the standard error, in units of the last digit
    Text,
    /// One JSON object
    Json,
    /// An align* environment
    Latex,
}

impl Arguments {
    /// Returns the method that was asked for, or else the one that suits the device.
    fn method(&self) -> Method {
        match (self.method, self.device) {
            (Some(MethodName::Joint), _) | (None, DeviceName::Cpu) => Method::Joint,
            (Some(MethodName::Network), _) | (None, DeviceName::Cuda(_)) => Method::Network,
        }
    }

    /// Returns whether the data choose the model.
    fn is_automatic(&self) -> bool {
        let constraints =
            [&self.fix, &self.forbid, &self.positive, &self.negative, &self.equal].into_iter();
        let given = self.degree.is_some()
            || self.hidden > 0
            || self.sin_cos
            || self.link.is_some()
            || self.terms.is_some()
            || self.explicit_time
            // An input is known between its values only as it is interpolated, and rich models fit
            // the errors of that.
            || !self.inputs.is_empty()
            || constraints.flatten().next().is_some();
        self.method() == Method::Joint && !given
    }

    /// Returns all settings but the device, which is not opened yet.
    fn settings(&self) -> Result<Settings> {
        let order = self.order;
        let named = |flag: &str, texts: &[String]| -> Result<Vec<TermName>> {
            texts.iter().map(|text| terms::named(flag, text, order)).collect()
        };
        let fixed = self.fix.iter().map(|text| terms::fixed(text, order));
        let forbidden = self.forbid.iter().map(|text| terms::forbidden(text, order));
        let equal = self.equal.iter().map(|text| terms::equal(text, order));
        Ok(Settings {
            method: self.method(),
            order: self.order,
            automatic: self.is_automatic(),
            degree: self.degree.unwrap_or(match self.link {
                // The lowest degree that suffices is taken.
                Some(LinkName::Ratio) => 3,
                _ => 2,
            }),
            hidden: self.hidden,
            sine_cosine: self.sin_cos,
            link: match self.link.unwrap_or(LinkName::Identity) {
                LinkName::Identity => Link::Identity,
                LinkName::Tanh => Link::Tanh,
                LinkName::Sin => Link::Sin,
                LinkName::Sigmoid => Link::Sigmoid,
                LinkName::Ratio => Link::Ratio,
            },
            threshold: self.threshold,
            robust: self.robust,
            max_points: self.max_points,
            explicit_time: self.explicit_time,
            terms: self.terms.as_deref().map_or(Ok(vec![]), terms::expressions)?,
            known: fixed.chain(forbidden).collect::<Result<_>>()?,
            positive: named("--positive", &self.positive)?,
            negative: named("--negative", &self.negative)?,
            equal: equal.collect::<Result<Vec<_>>>()?.concat(),
            interpolation: self.interpolation.map(|name| match name {
                InterpolationName::Linear => Interpolation::Linear,
                InterpolationName::Hold => Interpolation::Hold,
            }),
            seed: self.seed,
            ..Settings::default()
        })
    }

    /// Checks everything that can be refused before the work begins.
    fn check(&self, settings: &Settings) -> Result<()> {
        settings.validate().map_err(naming_known)?;
        if self.method() == Method::Joint && self.device != DeviceName::Cpu {
            let message = "the joint method runs on the CPU; leave --device out, or take the \
                           network method (--method network)";
            return Err(Error::Argument {
                argument: "--device".into(),
                message: format!("{message}; got {}", self.device),
            });
        }
        self.plot.as_deref().map_or(Ok(()), plot::check)?;
        let files = self.files.iter().map(|path| match outputs::is_standard(path) {
            true => Path::new("/dev/stdin"),
            false => path,
        });
        // The equations may go to a file, too.
        let terms = self.terms.as_deref().and_then(terms::file);
        let taken: Vec<&Path> = files.chain(terms).chain([Path::new("/dev/stdout")]).collect();
        for (flag, path) in [("--save", &self.save), ("--report", &self.report)] {
            if path.as_deref().is_some_and(outputs::is_standard) {
                let message = "what is saved is a file, and not for standard output";
                return Err(Error::argument(flag, message));
            }
        }
        let outputs = [
            ("--output", &self.output),
            ("--save", &self.save),
            ("--plot", &self.plot),
            ("--report", &self.report),
        ];
        let outputs: Vec<(&str, &Path)> =
            outputs.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?))).collect();
        outputs::check(&taken, &outputs)
    }
}

/// Reads the data, searches for equations, and writes the results.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    // The order decides how constraints are read.
    if !(1..=2).contains(&arguments.order) {
        Settings { order: arguments.order, ..Settings::default() }.validate()?;
    }
    let settings = arguments.settings()?;
    arguments.check(&settings)?;
    let columns = csv::Columns {
        least_values: discovery::MIN_VALUES,
        ..arguments
            .table
            .columns(ColumnNames::all(&arguments.states), ColumnNames::all(&arguments.inputs))
    };
    let table = csv::read(&arguments.files, &columns)?;
    let settings = Settings { device: arguments.device.open()?, ..settings };
    let display = Arc::new(Mutex::new(Display::new(arguments.quiet)));
    let shown = || display.lock().unwrap_or_else(PoisonError::into_inner);
    shown().note(&summary(&table.dataset, arguments.hidden));
    if arguments.method.is_none() && settings.method == Method::Network {
        shown().note(&format!(
            "the network method, on {}: the joint method is one small solve, which the CPU does \
             in about a second (--device cpu)",
            settings.device
        ));
    }

    let last = Arc::clone(&display);
    interrupt::on_interrupt(move || {
        last.lock().unwrap_or_else(PoisonError::into_inner).interrupted();
    });
    let outcome = discovery::discover(&table.dataset, &settings, &mut |progress| {
        shown().show(progress);
        ControlFlow::Continue(())
    });
    shown().finish();
    interrupt::on_interrupt(|| ());
    let discovery = outcome.map_err(naming_known)?;

    if !arguments.quiet && discovery.tried.len() > 1 {
        crate::tell(tried(&discovery).trim_end());
    }
    warnings::tell(&discovery.warnings);
    Ok(give(arguments, &table, &discovery))
}

/// Names the flags by which known coefficients are given.
fn naming_known(error: Error) -> Error {
    match error {
        Error::Argument { argument, message } if argument == "known" => {
            Error::argument("--fix or --forbid", message)
        }
        other => other,
    }
}

/// Prints the equations and then writes the files. Where one of them fails, which the exit code
/// tells, the others are given all the same.
fn give(arguments: &Arguments, table: &Table, discovery: &Discovery) -> ExitCode {
    let (time, format) = (&table.time_name, arguments.format);
    let equations = match format {
        Format::Text => discovery.to_string(),
        Format::Json => discovery.to_json() + "\n",
        Format::Latex => discovery.to_latex(),
    };
    let printed = if arguments.output.as_deref().is_some_and(outputs::is_standard) {
        crate::tell(equations.trim_end());
        Ok(())
    } else {
        crate::print(&equations)
    };
    // Columns that never change were left out.
    let dataset = || table.dataset.with_states(&discovery.states).with_hidden(&discovery.hidden);
    let files = [
        arguments.output.as_ref().map(|path| write_trajectories(path, time, discovery)),
        arguments.save.as_ref().map(|path| discovery.save(path, time)),
        arguments.plot.as_ref().map(|path| plot::write(path, time, &dataset(), discovery)),
        arguments.report.as_ref().map(|path| html_report::write(path, time, &dataset(), discovery)),
    ];
    let failures = files.into_iter().flatten().chain([printed]).filter_map(Result::err);
    failures.fold(ExitCode::SUCCESS, |_, error| crate::report(&error))
}

/// Returns a table of the models that were tried; the chosen one has an asterisk. The errors on data
/// held out are those by which the choice was made.
fn tried(discovery: &Discovery) -> String {
    let width = discovery.tried.iter().map(|tried| tried.model.chars().count()).max().unwrap_or(0);
    let mut text = format!("  {:<width$}  {:>10}  terms  exact  held out\n", "tried", "score");
    for tried in &discovery.tried {
        let mark = if tried.chosen { '*' } else { ' ' };
        let result = match tried.score {
            Some(score) => {
                let exact = if tried.exact { "yes" } else { "no" };
                let held_out = tried.held_out.map(|error| format!("{error:.1e}"));
                let held_out = held_out.as_deref().unwrap_or("-");
                let cut_short = if tried.cut_short { "  (cut short)" } else { "" };
                format!("{score:>10.1}  {:>5}  {exact:<5}  {held_out}{cut_short}", tried.terms)
            }
            None => tried.failure.clone(),
        };
        text += &format!("{mark} {:<width$}  {result}\n", tried.model);
    }
    text
}

/// Describes the data, as in `3 states (x, y, z), 10000 points`, and what is searched besides.
fn summary(dataset: &Dataset, hidden: usize) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let states = dataset.states.len();
    let points: usize = dataset.trajectories.iter().map(|trajectory| trajectory.time.len()).sum();
    let mut text = format!("{states} state{} ({})", plural(states), dataset.states.join(", "));
    if !dataset.inputs.is_empty() {
        let inputs = dataset.inputs.len();
        text += &format!(", {inputs} input{} ({})", plural(inputs), dataset.inputs.join(", "));
    }
    if hidden > 0 {
        text += &format!(", {hidden} hidden state{}", plural(hidden));
    }
    text += &format!(", {points} points");
    let trajectories = dataset.trajectories.len();
    if trajectories > 1 {
        text += &format!(" in {trajectories} trajectories");
    }
    let values = dataset.trajectories.iter().flat_map(|trajectory| &trajectory.values);
    let missing = values.filter(|value| value.is_nan()).count();
    if missing > 0 {
        text += &format!(", {missing} value{} missing", plural(missing));
    }
    text
}

/// Writes a table of time, each state smoothed and each state simulated; with several trajectories,
/// their number comes first.
fn write_trajectories(path: &Path, time_name: &str, discovery: &Discovery) -> Result<()> {
    let k = discovery.states.len();
    let several = discovery.fits.len() > 1;
    let mut header: Vec<String> = several.then(|| "trajectory".to_owned()).into_iter().collect();
    header.push(time_name.to_owned());
    for kind in ["smoothed", "simulated"] {
        header.extend(discovery.states.iter().map(|state| format!("{state}_{kind}")));
    }
    let rows = discovery.fits.iter().enumerate().flat_map(|(index, fit)| {
        fit.time.iter().enumerate().map(move |(i, &time)| {
            let number = several.then_some((index + 1) as f64);
            let (from, to) = (i * k, (i + 1) * k);
            let values = fit.smoothed[from..to].iter().chain(&fit.simulated[from..to]);
            number.into_iter().chain([time]).chain(values.copied()).collect()
        })
    });
    csv::write(path, &header, rows.map(Ok))
}
