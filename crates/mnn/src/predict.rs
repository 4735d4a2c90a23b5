//! The command `mnn predict`, which simulates equations that were found from other initial values.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use mechanistic::discovery::{Dataset, Discovery, Prediction};
use mechanistic::{Error, Result};

use crate::csv::Clock;
use crate::terms::ColumnNames;
use crate::{csv, outputs, prediction_plot, warnings};

/// Predict other data with equations that were found: simulate them from other initial values
///
/// MODEL is what `mnn discover --save` has written. Each FILE is a CSV table as for `mnn discover`,
/// with the states and inputs of the model. The first row of each trajectory has the initial values,
/// those of hidden states are estimated from the slopes of the data;
/// the equations are integrated over the times of all rows, with the inputs in these. Later values of
/// the states may be missing; the others are compared with the prediction: R^2 of each state, the
/// fraction of its variance that the prediction explains, appears on standard output, all else on
/// standard error.
///
/// Example: mnn discover a.csv --save model.safetensors && mnn predict model.safetensors b.csv -o p.csv
#[derive(clap::Args)]
pub struct Arguments {
    /// Equations that `mnn discover --save` has written
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// CSV tables; each is a trajectory, or several (--trajectory); - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    table: csv::Flags,
    /// Columns of the velocities, in the order of the states, for equations of second order
    /// [default: the first ones are estimated from the states]
    #[arg(long, value_name = "COLUMNS", help_heading = "Data")]
    velocities: Vec<ColumnNames>,

    /// Form of R^2 on standard output
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = "Output")]
    format: Format,
    /// Draw data, prediction and residuals (.svg or .png)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    plot: Option<PathBuf>,
    /// Write predicted states and residuals (data less prediction) as CSV; with -, to standard
    /// output, and R^2 to standard error
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One state a line
    Text,
    /// One JSON object: states, r2, warnings
    Json,
}

impl Arguments {
    /// Checks everything that can be refused before the work begins.
    fn check(&self) -> Result<()> {
        self.plot.as_deref().map_or(Ok(()), figures::check)?;
        if outputs::is_standard(&self.model) {
            let message = "the model is a file, and not on standard input";
            return Err(Error::argument("MODEL", message));
        }
        let files = self.files.iter().map(|path| match outputs::is_standard(path) {
            true => Path::new("/dev/stdin"),
            false => path,
        });
        // What is printed may go to a file, too.
        let taken: Vec<&Path> = files.chain([&*self.model, Path::new("/dev/stdout")]).collect();
        let outputs = [("--output", &self.output), ("--plot", &self.plot)];
        let outputs: Vec<(&str, &Path)> =
            outputs.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?))).collect();
        outputs::check(&taken, &outputs)
    }

    /// Reads the tables, with the columns that the model needs.
    fn table(&self, model: &Discovery, time_name: &str) -> Result<csv::Table> {
        let k = model.states.len();
        let velocities = ColumnNames::all(&self.velocities);
        if !velocities.is_empty() && (model.order != 2 || velocities.len() != k) {
            let wanted = if model.order == 2 { k } else { 0 };
            let given = velocities.len();
            let message = format!(
                "the equations are of order {} and have {wanted} velocities, got {given}",
                model.order
            );
            return Err(Error::argument("--velocities", message));
        }
        let with_data = with_data(&model.states, &model.hidden).to_vec();
        let columns = self.table.columns([with_data, velocities].concat(), model.inputs.clone());
        // Dates are counted as they were when the equations were found.
        let clock = Clock::of_name(time_name);
        if let (Some(clock), Some(unit)) = (clock, self.table.time_unit)
            && clock.unit != unit
        {
            let message = format!("the times of the model are {}, got {unit}", clock.unit);
            return Err(Error::argument("--time-unit", message));
        }
        let columns = csv::Columns { clock, ..columns };
        let mut table = csv::read(&self.files, &columns)?;
        if table.clock.is_some() && clock.is_none() && self.table.time_unit.is_none() {
            let message = format!(
                "the times are dates, those of the model (`{time_name}`) are not: in which unit are \
                 they?"
            );
            return Err(Error::argument("--time-unit", message));
        }
        if let (Some(clock), None) = (clock, table.clock)
            && table.time_name != time_name
        {
            let name = &table.time_name;
            crate::tell(format_args!(
                "mnn: warning: the times `{name}` are numbers, and are taken as {clock}"
            ));
        }
        if model.order == 2 {
            for (name, state) in table.dataset.states[k..].iter_mut().zip(&model.states) {
                *name = format!("{state}'");
            }
        }
        Ok(table)
    }
}

/// Reads the model and the data, predicts, and writes the results.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.check()?;
    let (model, time_name) = Discovery::load(&arguments.model)?;
    let table = arguments.table(&model, &time_name).map_err(|error| {
        match (error, arguments.table.time.is_none()) {
            // The name of the time in the model is worth a hint where the time is not found.
            (Error::Line { path, line, message }, true)
                if message.starts_with("no column is called") =>
            {
                let message = format!("{message}; the model has `{time_name}`");
                Error::Line { path, line, message }
            }
            (error, _) => error,
        }
    })?;
    let prediction = model.predict(&table.dataset)?;
    warnings::tell(&prediction.warnings);
    let report = match arguments.format {
        Format::Text => text(&prediction),
        Format::Json => json(&prediction),
    };
    let printed = if arguments.output.as_deref().is_some_and(outputs::is_standard) {
        crate::tell(report.trim_end());
        Ok(())
    } else {
        crate::print(&report)
    };
    let dataset = table.dataset.with_states(&model.states).with_hidden(&model.hidden);
    let files = [
        arguments.output.as_ref().map(|path| write(path, &table.time_name, &dataset, &prediction)),
        arguments
            .plot
            .as_ref()
            .map(|path| prediction_plot::write(path, &table.time_name, &dataset, &prediction)),
    ];
    // One that fails leaves the others.
    let failures = files.into_iter().flatten().chain([printed]).filter_map(Result::err);
    Ok(failures.fold(ExitCode::SUCCESS, |_, error| crate::report(&error)))
}

/// Returns the states with data.
fn with_data<'a>(states: &'a [String], hidden: &[String]) -> &'a [String] {
    states.strip_suffix(hidden).unwrap_or(states)
}

/// Returns a line for each state with data, as in `x: R^2 = 0.9987`.
fn text(prediction: &Prediction) -> String {
    let line = |(name, explained): (&String, &f64)| match explained {
        r if r.is_nan() => format!("{name}: no R^2\n"),
        r => format!("{name}: R^2 = {r:.6}\n"),
    };
    prediction.states.iter().zip(&prediction.explained).map(line).collect()
}

fn json(prediction: &Prediction) -> String {
    let value = serde_json::json!({
        "states": prediction.states,
        "r2": prediction.explained,
        "warnings": prediction.warnings,
    });
    format!("{value:#}\n")
}

/// Writes a table of time, each state as predicted, and each residual of one with data; with several trajectories,
/// their number comes first.
fn write(path: &Path, time_name: &str, dataset: &Dataset, prediction: &Prediction) -> Result<()> {
    let k = dataset.states.len();
    let several = dataset.trajectories.len() > 1;
    let mut header: Vec<String> = several.then(|| "trajectory".to_owned()).into_iter().collect();
    header.push(time_name.to_owned());
    let with_data = with_data(&prediction.states, &prediction.hidden);
    for (kind, states) in [("predicted", &prediction.states[..]), ("residual", with_data)] {
        header.extend(states.iter().map(|state| format!("{state}_{kind}")));
    }
    let both = dataset.trajectories.iter().zip(&prediction.trajectories);
    let rows = both.enumerate().flat_map(|(index, (trajectory, predicted))| {
        trajectory.time.iter().enumerate().map(move |(row, &time)| {
            let number = several.then_some((index + 1) as f64);
            let predicted = &predicted[row * k..][..k];
            let measured = &trajectory.values[row * k..][..with_data.len()];
            let residuals = measured.iter().zip(predicted).map(|(x, u)| x - u);
            number
                .into_iter()
                .chain([time])
                .chain(predicted.iter().copied())
                .chain(residuals)
                .collect()
        })
    });
    csv::write(path, &header, rows.map(Ok))
}
