//! Problem files of `mnn solve`: header and data.
//!
//! Whatever the file, it is refused with a message or solved; a system that counts as solved has no
//! value that is not finite; the result is read back as it was written.

use std::path::Path;

use arbitrary::{Result as Choice, Unstructured};
use mechanistic::files::problem::{self, OPTION_KEYS, OwnedProblem, ProblemFile, SIZE_KEYS};
use mechanistic::{Cotangent, Real, Solver};
use safetensors::SafeTensors;
use serde_json::{Map, Value};

use super::safetensors_file::{Builder, TYPES, encode};
use super::{Outcome, Target, ensure, machine};
use crate::entropy::{chance, number, word};

pub const TARGET: Target = Target {
    name: "problem",
    generate,
    run,
    samples: &[],
    words: &[
        "\"dtype\":\"F64\"",
        "\"shape\":[]",
        "\"data_offsets\":[0,8]",
        "\"__metadata__\":{}",
        "\"coefficients\":",
        "\"points\":\"",
        "[1,0,1,0]",
        "18446744073709551615",
        "F4",
        "}",
        "{",
    ],
    tested: 6000,
};

/// More values than these are only allocated for and not solved.
const MOST_VALUES: usize = 1 << 17;

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let [b, k] = [u.int_in_range(1..=4)?, u.int_in_range(1..=3)?];
    let n = u.int_in_range(2..=9)?;
    let columns = u.int_in_range(1..=3)?;
    let e = if chance(u, 1, 4)? { u.int_in_range(1..=4)? } else { k };
    let [i, j] = [u.int_in_range(0..=2)?, u.int_in_range(0..=columns)?];
    let extra = if chance(u, 1, 4)? { u.int_in_range(0..=2)? } else { 0 };
    let dtype = match chance(u, 1, 3)? {
        true => u.choose(&TYPES)?.0,
        false => "F64",
    };
    let wild = if chance(u, 1, 2)? { 1 } else { 0 };
    let mut file = Builder::default();
    for (name, shape) in [
        ("coefficients", vec![b, n, e, k, columns]),
        ("rhs", vec![b, n, e]),
        ("initial_values", vec![b, i, k, j]),
        ("steps", vec![b, n - 1]),
        ("cotangent", vec![b, n, k, columns + extra]),
    ] {
        if chance(u, 1, 40)? || (name == "cotangent" && chance(u, 1, 2)?) {
            continue;
        }
        let mut shape = shape;
        for axis in 0..shape.len().min(2) {
            if name != "cotangent" && (name, axis) != ("initial_values", 1) && chance(u, 1, 3)? {
                shape[axis] = 1;
            }
        }
        if chance(u, 1, 40)? {
            let axis = u.choose_index(shape.len())?;
            shape[axis] = *u.choose(&[0, 1, 2, 3, 7, 1 << 20, 1 << 40, usize::MAX])?;
        }
        let count = shape.iter().fold(1usize, |count, &axis| count.saturating_mul(axis)).min(4096);
        let values: Vec<f64> = (0..count)
            .map(|_| number(u, wild))
            .map(|value| if name == "steps" && wild == 0 { value.map(f64::abs) } else { value })
            .collect::<Choice<_>>()?;
        let dtype = if chance(u, 1, 40)? { u.choose(&TYPES)?.0 } else { dtype };
        file.tensor(u, name, dtype, &shape, &encode(dtype, &values))?;
    }
    file.metadata(metadata(u, [b, n, extra])?);
    file.finish(u)
}

/// Chooses options, most of them possible.
fn metadata(u: &mut Unstructured<'_>, [b, n, extra]: [usize; 3]) -> Choice<Map<String, Value>> {
    let mut metadata = Map::new();
    let mut set = |key: &str, value: String| metadata.insert(key.to_owned(), Value::String(value));
    set("batch", b.to_string());
    set("points", n.to_string());
    if extra > 0 {
        set("extra_derivatives", extra.to_string());
    }
    for _ in 0..u.int_in_range(0..=4)? {
        let keys: &[&str] = if chance(u, 1, 12)? { &SIZE_KEYS } else { &OPTION_KEYS };
        let key = word(u, keys)?;
        let value = match key.as_str() {
            "formulation" => word(u, &["least_squares", "shared_epsilon"])?,
            "smoothness" => word(u, &["taylor", "taylor_hold", "taylor_central", "hermite"])?,
            "scaling" => word(u, &["auto", "unit", "balanced"])?,
            "factorization" => word(u, &["auto", "cholesky", "square_root"])?,
            "periodic" | "follow_growth" => word(u, &["true", "false", "True"])?,
            "refinement" => word(u, &["0", "1", "3", "1000", "1001"])?,
            "batch" | "points" => word(u, &["2", "5", "1000000", "1000000000000", "-1"])?,
            "gamma" | "alpha" | "roughness" => number(u, 16)?.to_string(),
            key if key.starts_with("weight") => number(u, 16)?.abs().to_string(),
            _ => u.int_in_range(0..=4)?.to_string(),
        };
        set(&key, value);
        if key == "formulation" {
            set("gamma", number(u, 4)?.to_string());
            set("alpha", number(u, 4)?.to_string());
        }
    }
    Ok(metadata)
}

fn run(input: &[u8], folder: &Path) -> Outcome {
    let path = folder.join("problem.safetensors");
    std::fs::write(&path, input).map_err(machine)?;
    let read = problem::read(&path, &[]);
    ensure(std::fs::read(&path).map_err(machine)? == input, || "the input was changed".into())?;
    match read {
        Err(error) => {
            let message = error.to_string();
            ensure(message.contains("problem.safetensors: "), || {
                format!("a message that does not name the file: {message}")
            })?;
            Ok(false)
        }
        Ok(ProblemFile::F64(problem)) => solve(&problem, folder),
        Ok(ProblemFile::F32(problem)) => solve(&problem, folder),
    }
}

fn solve<T: Real>(owned: &OwnedProblem<T>, folder: &Path) -> Outcome {
    let problem = owned.problem();
    let Ok(mut solver) = Solver::<T>::new(problem.shape(), &owned.options) else {
        return Ok(false);
    };
    let [b, n, k, q] = problem.shape().solution();
    if b * n * k * q > MOST_VALUES {
        return Ok(false);
    }
    solver.solve(&problem).map_err(|error| format!("solve: {error}"))?;
    let gradients = match owned.cotangent() {
        Some(values) => match solver.vjp(&problem, &Cotangent { values, epsilon: None }) {
            Ok(gradients) => Some(gradients.clone()),
            Err(error) => return Err(format!("vjp: {error}")),
        },
        None => None,
    };
    let solution = solver.solution();
    for (system, values) in solution.values.chunks(n * k * q).enumerate() {
        let finite = values.iter().all(|value| value.is_finite());
        ensure(finite || !solution.status[system].is_ok(), || "solved, but not finite".into())?;
    }
    let path = folder.join("result.safetensors");
    owned
        .write_results(&path, solution, gradients.as_ref())
        .map_err(|error| format!("write: {error}"))?;
    let bytes = std::fs::read(&path).map_err(machine)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format!("read back: {error}"))?;
    let values = file.tensor("solution").map_err(|error| format!("read back: {error}"))?;
    ensure(values.shape() == [b, n, k, q], || format!("read back: {:?}", values.shape()))?;
    let names = if T::NAME == "f64" { "F64" } else { "F32" };
    let doubles: Vec<f64> = solution.values.iter().map(|value| value.to_double()).collect();
    ensure(values.data() == encode(names, &doubles), || "read back: other values".into())?;
    Ok(solution.status.iter().any(|status| status.is_ok()))
}
