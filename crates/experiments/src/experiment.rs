//! How an experiment is set up, run and written.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches};
use mechanistic::discovery::{Dataset, Discovery, Method, Settings, discover};
use mechanistic::nn::{Parameters, Rng, Training};
use mechanistic::tape::{Tape, Var};
use mechanistic::{Backend, Cpu, Device, DeviceName, Error, Result};

use crate::progress::{bar, go_on, watch_for_interrupt};
use crate::{Arguments, History, Report};

/// The most training steps between two checkpoints.
const MOST_STEPS_AT_RISK: u64 = 200;

/// One experiment of the paper.
pub trait Experiment {
    /// The name of its example and of its files.
    const NAME: &'static str;
    /// What it shows, in one sentence.
    const ABOUT: &'static str;
    /// Whether it trains by [`Lab::train`], and so takes `--steps` and `--checkpoints`.
    const TRAINS: bool = true;
    /// Whether it takes `--data`.
    const TAKES_DATA: bool = false;

    /// Runs the experiment.
    ///
    /// # Errors
    /// Whatever goes wrong in the library.
    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report>;
}

/// Where an experiment computes, and at what scale.
#[derive(Debug)]
pub struct Lab<B: Backend> {
    /// The name of the experiment.
    name: &'static str,
    /// The command line.
    pub arguments: Arguments,
    /// The backend of tapes.
    pub backend: B,
    /// The same device for solvers and discovery.
    pub device: Device,
}

impl<B: Backend> Lab<B> {
    /// Opens the device of the arguments, of which `backend` must be one, for the experiment E.
    ///
    /// # Errors
    /// [`Error::Device`] when there is no such device.
    pub fn new<E: Experiment>(arguments: Arguments, backend: B) -> Result<Self> {
        let device = arguments.device.open()?;
        Ok(Lab { name: E::NAME, arguments, backend, device })
    }

    /// Returns a source of random numbers for one purpose; purposes differ in `stream`.
    #[must_use]
    pub fn rng(&self, stream: u64) -> Rng {
        // Seeds are far apart, so that no stream of one is a stream of another.
        const APART: u64 = 0x9e37_79b9_7f4a_7c15;
        Rng::new(self.arguments.seed.wrapping_mul(APART).wrapping_add(stream))
    }

    /// Returns how many training steps to take: as many as the command line says, or else `steps`.
    #[must_use]
    pub fn steps(&self, steps: u64) -> u64 {
        self.arguments.steps.unwrap_or(steps)
    }

    /// Trains for `steps` steps in all; see [`Training::run`]. `name` tells the experiment's models
    /// apart, in the progress and in the folder of checkpoints.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after Ctrl-C, when what was reached is in the folder of checkpoints, if
    /// there is one; those of [`Training::run`].
    pub fn train(
        &self,
        name: &str,
        mut training: Training<f64, B>,
        steps: u64,
        loss: impl FnMut(&mut Tape<f64, B>, &Parameters<f64, B>, u64) -> Result<Var>,
    ) -> Result<(Training<f64, B>, History)> {
        let bar = bar(steps, self.arguments.quiet);
        let every = steps.div_ceil(20).clamp(1, MOST_STEPS_AT_RISK);
        let files = self.checkpoint(name, steps)?;
        let mut history = History::default();
        if let Some([checkpoint, record]) = &files {
            training = training.with_checkpoints(checkpoint.clone(), every)?;
            history = History::read(record, training.optimizer.steps())?;
        }
        let (before, begin) = (history.seconds(), Instant::now());
        let mut written = Ok(());
        training.run(steps, loss, |step, loss| {
            history.push(loss, before + begin.elapsed().as_secs_f64());
            bar.set_position(step + 1);
            bar.set_message(format!("{name}: loss {loss:.3e}"));
            let next = go_on();
            // Before the checkpoint, which never has steps that the record lacks.
            let due = (step + 1).is_multiple_of(every) || step + 1 == steps || next.is_break();
            if let (true, Some([_, record])) = (due, &files) {
                written = history.write(record);
            }
            if written.is_err() { ControlFlow::Break(()) } else { next }
        })?;
        written?;
        bar.finish_and_clear();
        match go_on() {
            ControlFlow::Continue(()) => Ok((training, history)),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }

    /// Returns where a model's checkpoint and its history are kept, if they are. The names tell
    /// apart what is trained differently.
    fn checkpoint(&self, name: &str, steps: u64) -> Result<Option<[PathBuf; 2]>> {
        let Arguments { checkpoints, seed, data, .. } = &self.arguments;
        let Some(folder) = checkpoints else { return Ok(None) };
        fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        let scale = self.arguments.scale("small", "default", "full");
        let data = data.as_deref().map(|path| format!("-{:016x}", hash_of(path)));
        let data = data.unwrap_or_default();
        let stem = format!("{}-{name}-{scale}-seed{seed}-{steps}-steps{data}", self.name);
        Ok(Some(["safetensors", "json"].map(|kind| folder.join(format!("{stem}.{kind}")))))
    }

    /// Searches for the equations behind the data, with progress. The joint method runs on the CPU
    /// on every device.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after Ctrl-C; those of [`discover()`].
    pub fn discover(&self, data: &Dataset, settings: &Settings) -> Result<Discovery> {
        let device = match settings.method {
            Method::Joint => Device::Cpu,
            Method::Network => self.device.clone(),
        };
        let settings = Settings { device, seed: self.arguments.seed, ..settings.clone() };
        let bar = bar(1000, self.arguments.quiet);
        let outcome = discover(data, &settings, &mut |progress| {
            bar.set_position((1000.0 * progress.fraction) as u64);
            bar.set_message(progress.stage.to_owned());
            go_on()
        });
        bar.finish_and_clear();
        outcome
    }
}

/// The main function of an experiment: reads the command line, runs, writes figure and result, and
/// prints the table.
#[must_use]
pub fn run<E: Experiment>() -> ExitCode {
    let without = |command: clap::Command, name: &'static str, used: bool| {
        command.mut_arg(name, |argument| argument.hide(!used))
    };
    let command = Arguments::command().name(E::NAME).about(E::ABOUT);
    let command = without(command, "steps", E::TRAINS);
    let command = without(command, "checkpoints", E::TRAINS);
    let command = without(command, "data", E::TAKES_DATA);
    let arguments = Arguments::from_arg_matches(&command.get_matches());
    let arguments = arguments.unwrap_or_else(|error| error.exit());
    watch_for_interrupt();
    match perform::<E>(&arguments) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", E::NAME);
            ExitCode::FAILURE
        }
    }
}

/// Refuses arguments that would have no effect.
fn check<E: Experiment>(arguments: &Arguments) -> Result<()> {
    let refused = [
        ("steps", arguments.steps.is_some(), E::TRAINS),
        ("checkpoints", arguments.checkpoints.is_some(), E::TRAINS),
        ("data", arguments.data.is_some(), E::TAKES_DATA),
    ];
    for (argument, given, used) in refused {
        if given && !used {
            return Err(Error::argument(argument, format!("has no effect on {}", E::NAME)));
        }
    }
    if arguments.steps == Some(0) {
        return Err(Error::argument("steps", "expected at least 1, got 0"));
    }
    Ok(())
}

fn perform<E: Experiment>(arguments: &Arguments) -> Result<String> {
    check::<E>(arguments)?;
    // Not only after minutes of work.
    Report::check(E::NAME, arguments)?;
    let begin = Instant::now();
    let report = match arguments.device {
        DeviceName::Cpu => E::run(&Lab::new::<E>(arguments.clone(), Cpu)?)?,
        DeviceName::Cuda(ordinal) => {
            let device = Device::cuda(ordinal)?;
            let cuda = mechanistic::cuda::Cuda::on(device.gpu()?)?;
            E::run(&Lab::new::<E>(arguments.clone(), cuda)?)?
        }
    };
    report.write(E::NAME, arguments, begin.elapsed().as_secs_f64())
}

/// A number that tells files apart: by their place and, if they can be read, their content.
fn hash_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    (path, fs::read(path).ok()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mechanistic::nn::{Optimizer, Rule};
    use mechanistic::tape::Array;

    struct Parabola;

    impl Experiment for Parabola {
        const NAME: &'static str = "parabola";
        const ABOUT: &'static str = "Walks down a parabola";

        fn run<B: Backend>(_: &Lab<B>) -> Result<Report> {
            Ok(Report::default())
        }
    }

    fn walk(arguments: &Arguments, steps: u64) -> Result<(Training<f64, Cpu>, History)> {
        let lab = Lab::new::<Parabola>(arguments.clone(), Cpu)?;
        let mut parameters = Parameters::new();
        let start = lab.rng(0).uniform();
        let id = parameters.insert("w", Array::vector(vec![5.0 + start]))?;
        let training = Training::new(parameters, Optimizer::new(Rule::adam(), 0.1), Cpu)?;
        lab.train("walker", training, steps, |tape, parameters, _| {
            let w = tape.parameter(parameters, id)?;
            let square = tape.square(w)?;
            tape.mean(square, &[0], false)
        })
    }

    #[test]
    fn a_finished_training_is_taken_up_whole_and_by_its_own_run_only() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Some(folder.path().join("new"));
        let arguments = Arguments { checkpoints, ..Arguments::small() };
        let (_, first) = walk(&arguments, 30).unwrap();
        assert_eq!(first.losses.len(), 30);
        let (training, again) = walk(&arguments, 30).unwrap();
        assert_eq!((training.optimizer.steps(), &again.losses), (30, &first.losses));
        assert_eq!(again.seconds(), first.seconds());
        let other_seed = Arguments { seed: 1, ..arguments.clone() };
        let (_, other) = walk(&other_seed, 30).unwrap();
        assert!(other.losses.len() == 30 && other.losses != first.losses);
        let full = Arguments { small: false, full: true, ..arguments.clone() };
        assert_eq!(walk(&full, 5).unwrap().1.losses, first.losses[..5]);

        let record = arguments.checkpoints.as_ref().unwrap();
        let record = record.join("parabola-walker-small-seed0-30-steps.json");
        fs::write(&record, "[[1.0,0.1]]").unwrap();
        let message = walk(&arguments, 30).unwrap_err().to_string();
        assert!(message.contains("has 1 steps, and the checkpoint beside it 30"), "{message}");
    }

    #[test]
    fn arguments_without_effect_are_refused() {
        let given = Arguments { data: Some("x.csv".into()), ..Arguments::small() };
        let message = check::<Parabola>(&given).unwrap_err().to_string();
        assert!(message.contains("data") && message.contains("no effect on parabola"), "{message}");
        let given = Arguments { steps: Some(0), ..Arguments::small() };
        assert!(check::<Parabola>(&given).unwrap_err().to_string().contains("at least 1"));
        assert!(check::<Parabola>(&Arguments::small()).is_ok());
    }
}
