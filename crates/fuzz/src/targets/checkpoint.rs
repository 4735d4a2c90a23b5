//! Checkpoints of training.
//!
//! Whatever the file, it is refused and changes nothing, or it is taken whole: saved again it is the
//! same, and training goes on from it.

use std::path::Path;

use arbitrary::{Result as Choice, Unstructured};
use mechanistic::nn::{
    Activation, Mlp, Optimizer, Parameters, Rng, Rule, load_checkpoint, save_checkpoint,
};
use mechanistic::tape::{Array, Tape};
use serde_json::{Map, Value};

use super::safetensors_file::{Builder, TYPES, encode};
use super::{Outcome, Target, ensure, machine};
use crate::entropy::{chance, number};

pub const TARGET: Target = Target {
    name: "checkpoint",
    generate,
    run,
    samples: &[],
    words: &[
        "\"steps\":",
        "\"shape\":[]",
        "\"dtype\":\"U64\"",
        "F3",
        "parameter.",
        "moment2.",
        "}",
    ],
    tested: 12_000,
};

/// Names and shapes of the parameters of the model.
const PARAMETERS: [(&str, &[usize]); 4] = [
    ("net.0.weight", &[1, 2]),
    ("net.0.bias", &[2]),
    ("net.1.weight", &[2, 1]),
    ("net.1.bias", &[1]),
];

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let mut file = Builder::default();
    let count = |u: &mut Unstructured<'_>| -> Choice<[u8; 8]> {
        let few = u.int_in_range(0..=9)?;
        let count = if chance(u, 1, 8)? { *u.choose(&[u64::MAX, 1 << 63, 1 << 31])? } else { few };
        Ok(count.to_le_bytes())
    };
    let steps = count(u)?;
    file.tensor(u, "steps", "U64", &[], &steps)?;
    for (name, shape) in PARAMETERS {
        let mut tensors = vec![format!("parameter.{name}")];
        if !chance(u, 1, 8)? {
            let updates = count(u)?;
            file.tensor(u, &format!("updates.{name}"), "U64", &[], &updates)?;
            tensors.extend([format!("moment0.{name}"), format!("moment1.{name}")]);
        }
        for tensor in tensors {
            if chance(u, 1, 60)? {
                continue;
            }
            let dtype = if chance(u, 1, 60)? { u.choose(&TYPES)?.0 } else { "F64" };
            let mut shape = shape.to_vec();
            if chance(u, 1, 60)? {
                shape.push(u.int_in_range(0..=3)?);
            }
            let count = shape.iter().product();
            let values = (0..count).map(|_| number(u, 2)).collect::<Choice<Vec<_>>>()?;
            file.tensor(u, &tensor, dtype, &shape, &encode(dtype, &values))?;
        }
    }
    if chance(u, 1, 2)? {
        let format = Value::String("mechanistic checkpoint".to_owned());
        file.metadata(Map::from_iter([("format".to_owned(), format)]));
    }
    file.finish(u)
}

struct Model {
    net: Mlp,
    parameters: Parameters<f64>,
    optimizer: Optimizer<f64>,
}

impl Model {
    /// Makes a model that has taken two steps.
    fn new() -> mechanistic::Result<Self> {
        let mut parameters = Parameters::new();
        let (sizes, activation) = ([1, 2, 1], Activation::Tanh);
        let net = Mlp::new(&mut parameters, "net", &sizes, activation, &mut Rng::new(0))?;
        let mut model = Model { net, parameters, optimizer: Optimizer::new(Rule::adam(), 0.1) };
        model.step()?;
        model.step()?;
        Ok(model)
    }

    fn step(&mut self) -> mechanistic::Result<()> {
        let mut tape = Tape::new();
        let x = tape.constant(Array::new([2, 1], vec![0.5, -1.0])?);
        let target = tape.constant(Array::new([2, 1], vec![1.0, 0.0])?);
        let y = self.net.forward(&mut tape, &self.parameters, x)?;
        let loss = tape.mse(y, target)?;
        let gradients = tape.backward(loss)?;
        self.optimizer.step(&mut self.parameters, &gradients)
    }

    fn saved(&self, path: &Path) -> Result<Vec<u8>, String> {
        save_checkpoint(path, &self.parameters, &self.optimizer)
            .map_err(|error| format!("save: {error}"))?;
        std::fs::read(path).map_err(machine)
    }
}

fn run(input: &[u8], folder: &Path) -> Outcome {
    let (path, again) = (folder.join("checkpoint"), folder.join("again"));
    std::fs::write(&path, input).map_err(machine)?;
    let mut model = Model::new().map_err(|error| format!("the model: {error}"))?;
    let before = model.saved(&again)?;
    if let Err(error) = load_checkpoint(&path, &mut model.parameters, &mut model.optimizer) {
        let message = error.to_string();
        ensure(message.contains("checkpoint: "), || format!("names no file: {message}"))?;
        ensure(model.saved(&again)? == before, || "refused, but changed".into())?;
        return Ok(false);
    }
    let loaded = model.saved(&again)?;
    let mut other = Model::new().map_err(|error| format!("the model: {error}"))?;
    load_checkpoint(&again, &mut other.parameters, &mut other.optimizer)
        .map_err(|error| format!("what was saved is refused: {error}"))?;
    ensure(other.saved(&again)? == loaded, || "saved again it is another".into())?;
    // A gradient that is not finite is refused, and then nothing is changed.
    if model.step().is_err() {
        ensure(model.saved(&again)? == loaded, || "a refused step changed it".into())?;
    }
    Ok(true)
}
