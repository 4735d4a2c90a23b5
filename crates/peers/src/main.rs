//! This library's side of the trainings that `cargo xtask peers` compares.
//!
//! `peers TASK FOLDER` reads the numbers that `benches/peers/TASK.py` has written to the folder. Then each
//! line on standard input is a turn, which trains and prints its seconds and its last loss, so that
//! whoever asks can let others take turns with it.

mod lorenz;
mod sine;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use mechanistic::nn::{Optimizer, Parameters, Rule, load_checkpoint};
use mechanistic::tape::Array;
use mechanistic::{Error, Result};
use serde_json::json;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sine", folder] => sine::run(Path::new(folder)),
        ["lorenz", folder] => lorenz::run(Path::new(folder)),
        _ => Err(Error::argument("arguments", "expected sine FOLDER or lorenz FOLDER")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes a turn for each line on standard input; a turn returns its last loss.
fn take_turns(mut turn: impl FnMut() -> Result<f64>) -> Result<()> {
    for line in std::io::stdin().lines() {
        line.map_err(|source| Error::Io { path: "standard input".into(), source })?;
        let begin = Instant::now();
        let loss = turn()?;
        println!("{}", json!({ "seconds": begin.elapsed().as_secs_f64(), "loss": loss }));
    }
    Ok(())
}

/// Reads the one array of a file that is written like a checkpoint.
fn stored(folder: &Path, name: &str, shape: &[usize]) -> Result<Array<f64>> {
    let mut parameters = Parameters::new();
    let id = parameters.insert(name, Array::full(shape, 0.0)?)?;
    let path = folder.join(format!("{name}.safetensors"));
    load_checkpoint(&path, &mut parameters, &mut Optimizer::new(Rule::sgd(), 0.0))?;
    parameters.get(id).cloned()
}
