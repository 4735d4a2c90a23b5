//! Flags of every subcommand of `mnn`, right and wrong, in this process.
//!
//! Whatever the flags, the exit code is one that is documented, the inputs stay as they are, and no
//! temporary file is left. An input has one argument a line.

use std::path::Path;
use std::process::ExitCode;

use arbitrary::{Result as Choice, Unstructured};
use mechanistic::discovery::Discovery;

use super::{Outcome, Target, ensure, machine};
use crate::entropy::{chance, word};

pub const TARGET: Target = Target {
    name: "flags",
    generate,
    run,
    samples: &[],
    words: &["--", "-", "=", "\n", "--help", "-q", "--version", ",", "é", "/dev/full", "."],
    tested: 1000,
};

/// Flags with their possible and impossible values; those without any take none.
type Flags = &'static [(&'static str, &'static [&'static str])];

/// The flags of each subcommand.
const FLAGS: [(&str, Flags); 6] = [
    (
        "discover",
        &[
            ("--time", &["t", "x", "none", ""]),
            ("--trajectory", &["run", "t"]),
            ("--time-unit", &["hours", "days", "fortnights"]),
            ("--date-order", &["day-first", "month-first", "none"]),
            ("--decimal", &["point", "comma", "1"]),
            ("--missing", &["-9999", "1", "void,0", ""]),
            ("--states", &["x", "x,y", "y,x", "x,x", "", "t"]),
            ("--robust", &[]),
            ("--method", &["joint", "network", "guess"]),
            ("--order", &["1", "2", "0", "3", "-1", "99999999999999999999"]),
            ("--degree", &["1", "2", "3", "0", "9", "1000", "18446744073709551615"]),
            ("--sin-cos", &[]),
            ("--inputs", &["y", "x", "x,y", "t", "", "none"]),
            ("--interpolation", &["linear", "hold", "cubic"]),
            (
                "--terms",
                &["exp(-x)", "sin(2*t), x^0.5", "x*y", "((", "table.csv", "é", "1e999", ""],
            ),
            ("--explicit-time", &[]),
            ("--fix", &["x' : y = 1", "x' : y = nan", "x : y", "z' : y = 1", "="]),
            ("--forbid", &["y' : x", "y'' : x'", "x' : 1", ":", "x'"]),
            ("--positive", &["x' : y", "x' : x", "y' : x^2"]),
            ("--negative", &["x' : y", "x'' : x"]),
            ("--equal", &["x' : y, -y' : x", "x':x,x':x", "x':x,-x':x", ",", ""]),
            ("--link", &["identity", "tanh", "sin", "sigmoid", "ratio"]),
            ("--threshold", &["5", "0", "-1", "nan", "inf", "1e300"]),
            ("--seed", &["1", "-1"]),
            ("--device", &["cpu", "cuda", "cuda:7", "gpu"]),
            ("--format", &["text", "json", "latex"]),
            ("--plot", &["out.svg", "out.png", "out.gif", "table.csv", "none/out.svg", "-"]),
            ("--output", &["out.csv", "table.csv", ".", "-", "/dev/full", "/dev/null", "out.svg"]),
            ("--save", &["out.st", "out.csv", "link.csv", "-"]),
            ("--quiet", &[]),
        ],
    ),
    (
        "predict",
        &[
            ("--time", &["t", "x", "none"]),
            ("--trajectory", &["x", "none"]),
            ("--velocities", &["x,y", "y", ""]),
            ("--format", &["text", "json"]),
            ("--plot", &["out.svg", "table.csv", "model.st"]),
            ("--output", &["out.csv", "table.csv", "model.st", "-", "/dev/full"]),
        ],
    ),
    (
        "solve",
        &[
            ("--output", &["out.st", "problem.st", ".", "-", "/dev/full", "none/out.st"]),
            ("--formulation", &["least_squares", "shared_epsilon"]),
            ("--gamma", &["1", "-1", "nan", "1e308"]),
            ("--alpha", &["1", "0", "-1e308"]),
            ("--smoothness", &["taylor", "taylor_hold", "taylor_central", "hermite"]),
            ("--roughness", &["0", "1", "-1", "1e-320"]),
            ("--scaling", &["auto", "unit", "balanced"]),
            ("--extra-derivatives", &["0", "1", "2", "16", "17", "-1"]),
            ("--weight-equation", &["0", "1", "1e200", "-1"]),
            ("--weight-initial", &["0", "1e-200", "nan"]),
            ("--weight-smoothness", &["0", "1e308"]),
            ("--weight-periodic", &["0", "1"]),
            ("--periodic", &["true", "false", "maybe"]),
            ("--follow-growth", &["true", "false", "maybe"]),
            ("--factorization", &["auto", "cholesky", "square_root"]),
            ("--refinement", &["0", "5", "1000", "1001", "-1"]),
            ("--device", &["cpu", "cuda:0"]),
        ],
    ),
    (
        "simulate",
        &[
            ("--points", &["2", "50", "1", "0", "-3", "999"]),
            ("--dt", &["0.1", "1e-9", "1e9", "0", "-1", "nan", "1e308", "5e-324"]),
            ("--initial", &["1,1,1", "0,0", "1e300,1,1", "nan,0,0", "", "1", "-1,2"]),
            ("--noise", &["0.1", "1%", "1e308", "-1", "%", "1e400"]),
            ("--seed", &["7", "18446744073709551616"]),
            ("--output", &["out.csv", "table.csv", "/dev/full", ".", "-"]),
        ],
    ),
    (
        "bench",
        &[
            ("--batch", &["0", "99999999999", "18446744073709551615"]),
            ("--points", &["1", "0", "99999999999"]),
            ("--states", &["0", "99999999999"]),
            ("--order", &["0", "18446744073709551615"]),
            ("--dtype", &["f32", "f64", "f16"]),
            ("--device", &["cpu", "cuda"]),
            ("--json", &[]),
        ],
    ),
    ("info", &[("--help", &[])]),
];

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let (command, flags) = *u.choose(&FLAGS)?;
    let mut arguments = vec![command.to_owned()];
    match command {
        "discover" => {
            let files = ["table.csv", "table.csv", "table.csv", "none.csv", "link.csv", "-"];
            arguments.push(word(u, &files)?);
        }
        "predict" => {
            arguments.push(word(u, &["model.st", "model.st", "problem.st", "none.st"])?);
            arguments.push(word(u, &["table.csv", "table.csv", "none.csv"])?);
        }
        "solve" => {
            arguments.push(word(u, &["problem.st", "problem.st", "table.csv", "none.st"])?);
            arguments.extend(["--output", "out.st"].map(str::to_owned));
        }
        "simulate" => arguments.push(word(u, &["lorenz", "lotka-volterra", "pendulum"])?),
        // What is right takes more than a second: it is run by the program's own tests.
        "bench" => arguments.extend(["--batch", "0"].map(str::to_owned)),
        _ => {}
    }
    for _ in 0..u.int_in_range(0..=4)? {
        let (flag, values) = *u.choose(flags)?;
        if values.is_empty() {
            arguments.push(flag.to_owned());
            continue;
        }
        let value = word(u, values)?;
        if chance(u, 1, 8)? {
            arguments.push(format!("{flag}={value}"));
        } else {
            arguments.extend([flag.to_owned(), value]);
        }
    }
    Ok(arguments.join("\n").into_bytes())
}

/// The table that is there: x' = y, y' = -x.
fn table() -> String {
    let row = |i: u32| {
        let t = f64::from(i) * 0.2;
        format!("{t},{},{}\n", t.sin(), t.cos())
    };
    (0..24).fold("t,x,y\n".to_owned(), |text, i| text + &row(i))
}

/// The problem that is there: u' + u = 0, u(0) = 1 on three points.
fn problem() -> Vec<u8> {
    let header = r#"{"__metadata__":{"points":"3"},
        "coefficients":{"dtype":"F64","shape":[1,1,1,1,2],"data_offsets":[0,16]},
        "rhs":{"dtype":"F64","shape":[1,1,1],"data_offsets":[16,24]},
        "initial_values":{"dtype":"F64","shape":[1,1,1,1],"data_offsets":[24,32]},
        "steps":{"dtype":"F64","shape":[1,1],"data_offsets":[32,40]}}"#;
    let data = [1.0, 1.0, 0.0, 1.0, 0.1f64].map(f64::to_le_bytes);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data.as_flattened()].concat()
}

/// The model that is there: x' = y, y' = -x.
fn model() -> Result<Discovery, String> {
    let json = r#"{"states": ["x", "y"], "order": 1, "equations": [
        {"lhs": "x'", "terms": [{"factors": ["y"], "coefficient": 1.0, "standard_error": null}]},
        {"lhs": "y'", "terms": [{"factors": ["x"], "coefficient": -1.0, "standard_error": 0.1}]}]}"#;
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn run(input: &[u8], folder: &Path) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let arguments: Vec<&str> = text.lines().collect();
    // Where the folder is the working directory, which this process alone has.
    let place = tempfile::tempdir_in(folder).map_err(machine)?;
    std::env::set_current_dir(place.path()).map_err(machine)?;
    if !is_harmless(&arguments) {
        return Ok(false);
    }
    let (table, problem) = (table(), problem());
    std::fs::write("table.csv", &table).map_err(machine)?;
    std::fs::write("problem.st", &problem).map_err(machine)?;
    model()?.save(Path::new("model.st"), "t").map_err(|error| error.to_string())?;
    let model = std::fs::read("model.st").map_err(machine)?;
    std::os::unix::fs::symlink("table.csv", "link.csv").map_err(machine)?;
    let code = mnn::run(std::iter::once("mnn").chain(arguments.iter().copied()));
    ensure([0, 1, 2].map(ExitCode::from).contains(&code), || format!("exit code {code:?}"))?;
    let (name, before): (&str, &[u8]) = match arguments.as_slice() {
        ["discover", input @ ("table.csv" | "link.csv"), ..] => (input, table.as_bytes()),
        ["solve", input @ "problem.st", ..] => (input, &problem),
        ["predict", input @ "model.st", ..] => (input, &model),
        _ => ("", &[]),
    };
    let same = name.is_empty() || std::fs::read(name).is_ok_and(|after| after == before);
    ensure(same, || format!("the input {name} was changed"))?;
    for entry in std::fs::read_dir(".").map_err(machine)? {
        let name = entry.map_err(machine)?.file_name().to_string_lossy().into_owned();
        ensure(!name.ends_with(".tmp"), || "a temporary file is left".to_owned())?;
    }
    std::env::set_current_dir(folder).map_err(machine)?;
    Ok(code == ExitCode::SUCCESS)
}

/// Returns whether a call neither takes long by its nature nor writes where it should not.
pub fn is_harmless(arguments: &[&str]) -> bool {
    // A search of a file that is absent, or of an empty standard input, ends at once.
    let searched = !matches!(arguments.get(1), Some(&("none.csv" | "-")));
    let long = |text: &str| text.contains("network") && searched || text.contains("cuda");
    let bench =
        arguments.contains(&"bench") && !arguments.windows(2).any(|w| w == ["--batch", "0"]);
    // A millionfold number of points is a legitimate wish.
    let numbers = arguments
        .iter()
        .any(|text| text.split(['=', ',']).any(|part| part.parse().is_ok_and(|n: f64| n >= 1e4)));
    let simulate = arguments.contains(&"simulate") && numbers;
    let outside =
        |text: &&str| text.contains('/') && !text.contains("/dev/") || text.contains("..");
    !(arguments.iter().copied().any(long) || bench || simulate || arguments.iter().any(outside))
}
