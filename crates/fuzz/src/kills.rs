//! Writes files in a process that is killed while it does.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use mechanistic::Cpu;
use mechanistic::files::atomic;
use mechanistic::nn::{Optimizer, Parameters, Rule, Training};
use mechanistic::tape::{Array, Tape};

/// What is written again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A file of [`SIZE`] equal bytes, each time others.
    Table,
    /// The checkpoint of a training run after every step.
    Checkpoint,
}

/// The size of the file, in bytes.
pub const SIZE: usize = 1 << 18;

/// Writes the file until the process is killed; it says when it has begun.
///
/// # Errors
/// The file cannot be written.
pub fn write_forever(kind: Kind, path: &Path) -> io::Result<ExitCode> {
    println!("writing");
    io::stdout().flush()?;
    match kind {
        Kind::Table => loop {
            for digit in b'a'..=b'z' {
                let part = [digit; SIZE >> 6];
                atomic::write(path, |file| (0..1 << 6).try_for_each(|_| file.write_all(&part)))
                    .map_err(io::Error::other)?;
            }
        },
        Kind::Checkpoint => {
            let mut training = training().and_then(|t| t.with_checkpoints(path.to_owned(), 1));
            let training =
                training.as_mut().map_err(|error| io::Error::other(error.to_string()))?;
            let loss = |tape: &mut Tape<f64>, parameters: &Parameters<f64>, _| {
                let id = parameters.find("w").expect("it has this parameter");
                let w = tape.parameter(parameters, id)?;
                let zero = tape.constant(Array::full([WIDTH], 0.0)?);
                tape.mse(w, zero)
            };
            let observe = |_, _| ControlFlow::Continue(());
            training.run(u64::MAX, loss, observe).map_err(io::Error::other)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The number of parameters of the model that is trained.
const WIDTH: usize = 1 << 12;

/// Makes the training run whose checkpoints are written.
///
/// # Errors
/// Those of the library.
pub fn training() -> mechanistic::Result<Training<f64>> {
    let mut parameters = Parameters::new();
    parameters.insert("w", Array::full([WIDTH], 5.0)?)?;
    Training::new(parameters, Optimizer::new(Rule::adam(), 1e-3), Cpu)
}
