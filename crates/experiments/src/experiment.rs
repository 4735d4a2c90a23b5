//! How an experiment is set up, run and written.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches};
use mechanistic::discovery::{Dataset, Discovery, Method, Settings, discover};
use mechanistic::nn::{Parameters, Rng, Training};
use mechanistic::tape::{Tape, Var};
use mechanistic::{Backend, Cpu, Device, DeviceName, Error, Result};

use crate::progress::{bar, go_on, watch_for_interrupt};
use crate::{Arguments, Report};

/// One experiment of the paper.
pub trait Experiment {
    /// The name of its example and of its files.
    const NAME: &'static str;
    /// What it shows, in one sentence.
    const ABOUT: &'static str;

    /// Runs the experiment.
    ///
    /// # Errors
    /// Whatever goes wrong in the library.
    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report>;
}

/// Where an experiment computes, and at what scale.
#[derive(Debug)]
pub struct Lab<B: Backend> {
    /// The command line.
    pub arguments: Arguments,
    /// The backend of tapes.
    pub backend: B,
    /// The same device for solvers and discovery.
    pub device: Device,
}

impl<B: Backend> Lab<B> {
    /// Opens the device of the arguments, of which `backend` must be one.
    ///
    /// # Errors
    /// [`Error::Device`] when there is no such device.
    pub fn new(arguments: Arguments, backend: B) -> Result<Self> {
        let device = arguments.device.open()?;
        Ok(Lab { arguments, backend, device })
    }

    /// Returns a source of random numbers for one purpose; purposes differ in `stream`.
    #[must_use]
    pub fn rng(&self, stream: u64) -> Rng {
        Rng::new(self.arguments.seed.wrapping_mul(1000).wrapping_add(stream))
    }

    /// Trains for `steps` steps in all, or as many as the command line says, and returns the losses;
    /// see [`Training::run`]. `name` tells the experiment's models apart, in the progress and in the
    /// folder of checkpoints.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after Ctrl-C, when what was reached is in the folder of checkpoints, if
    /// there is one; those of [`Training::run`].
    pub fn train(
        &self,
        name: &str,
        training: Training<f64, B>,
        steps: u64,
        loss: impl FnMut(&mut Tape<f64, B>, &Parameters<f64, B>, u64) -> Result<Var>,
    ) -> Result<(Training<f64, B>, Vec<f64>)> {
        let steps = self.arguments.steps.unwrap_or(steps);
        let bar = bar(steps, self.arguments.quiet);
        let mut training = match &self.arguments.checkpoints {
            Some(folder) => {
                std::fs::create_dir_all(folder)
                    .map_err(|source| Error::Io { path: folder.clone(), source })?;
                let path = folder.join(format!("{name}.safetensors"));
                training.with_checkpoints(path, steps.div_ceil(20))?
            }
            None => training,
        };
        let losses = training.run(steps, loss, |step, loss| {
            bar.set_position(step + 1);
            bar.set_message(format!("{name}: loss {loss:.3e}"));
            go_on()
        })?;
        bar.finish_and_clear();
        match go_on() {
            ControlFlow::Continue(()) => Ok((training, losses)),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
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
    let command = Arguments::command().name(E::NAME).about(E::ABOUT);
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

fn perform<E: Experiment>(arguments: &Arguments) -> Result<String> {
    let begin = Instant::now();
    let report = match arguments.device {
        DeviceName::Cpu => E::run(&Lab::new(arguments.clone(), Cpu)?)?,
        DeviceName::Cuda(ordinal) => {
            let cuda = mechanistic::cuda::Cuda::new(ordinal)?;
            E::run(&Lab::new(arguments.clone(), cuda)?)?
        }
    };
    report.write(E::NAME, arguments, begin.elapsed().as_secs_f64())
}
