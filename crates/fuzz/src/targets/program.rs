//! Whole runs of `mnn` as a process of its own, with random files.
//!
//! Whatever the files, the process ends within 20 seconds with an exit code that is documented,
//! without a panic; it changes no input, leaves no temporary file, and what it writes can be read.
//! An input is the arguments, one a line, an empty line, and the contents of the file `input`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use arbitrary::{Result as Choice, Unstructured};
use mnn::csv::{self, Columns};
use safetensors::SafeTensors;

use super::{Outcome, Target, ensure, machine};
use crate::entropy::{chance, tame, word};

pub const TARGET: Target =
    Target { name: "program", generate, run, samples: &[], words: &["\n", "-", ","], tested: 200 };

/// The time that a run may take.
const LIMIT: Duration = Duration::from_secs(18);

fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let command = *u.choose(&["discover", "solve", "simulate"])?;
    let mut arguments = vec![command.to_owned()];
    let mut contents = Vec::new();
    match command {
        "discover" => {
            arguments.push("input".to_owned());
            let output = *u.choose(&["out.csv", "out.csv", "-"])?;
            for flags in [
                &["--output", output][..],
                &["--save", "out.st"],
                &["--plot", "out.svg"],
                &["--degree", "1"],
                &["--link", "sin"],
                &["--order", "2"],
                &["--format", "json"],
                &["--link", "ratio"],
                &["--threshold", "0"],
                &["--trajectory", "run"],
                &["--method", "joint"],
                &["--robust"],
                &["--inputs", "y"],
                &["--terms", "exp(-x), x*sin(t)"],
                &["--positive", "x' : x"],
                &["--equal", "x' : x, x' : 1"],
            ] {
                if chance(u, 1, 4)? {
                    arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
                }
            }
            contents = match chance(u, 1, 4)? {
                true => (super::csv::TARGET.generate)(u)?,
                false => series(u)?,
            };
        }
        "solve" => {
            arguments.extend(["input", "--output", "out.st"].map(str::to_owned));
            contents = (super::problem::TARGET.generate)(u)?;
        }
        _ => {
            let system = word(u, &["lorenz", "lotka-volterra", "pendulum", "duffing"])?;
            let points = u.int_in_range(0..=300)?.to_string();
            let noise = format!("{}%", u.int_in_range(0..=9)?);
            let output = *u.choose(&["out.csv", "-"])?;
            let flags = ["--output", output, "--points", &points, "--noise", &noise];
            arguments.push(system);
            arguments.extend(flags.map(str::to_owned));
        }
    }
    Ok([arguments.join("\n").as_bytes(), b"\n\n", &contents].concat())
}

/// Makes a table of oscillations and decays, with noise and gaps now and then.
fn series(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let k = u.int_in_range(1..=2)?;
    let parameters = (0..k)
        .map(|_| Ok([tame(u)?, tame(u)?, tame(u)?, tame(u)?]))
        .collect::<Choice<Vec<[f64; 4]>>>()?;
    let noise = *u.choose(&[0.0, 0.0, 1e-6, 0.05])?;
    let scale = *u.choose(&[1.0, 1.0, 1.0, 1e-160, 1e160, 1e300])?;
    let unit = *u.choose(&[0.1, 0.1, 1.0, 1e-9, 1e12])?;
    let mut text = ["t,x\n", "t,x,y\n"][k - 1].to_owned();
    for row in 0..u.int_in_range(0..=60)? {
        let t = f64::from(row);
        text += &format!("{}", t * unit);
        for [amplitude, rate, frequency, offset] in &parameters {
            let clean = amplitude * (-0.02 * rate * t).exp() * (0.2 * frequency * t).sin() + offset;
            let value = scale * (clean + noise * tame(u)?);
            text += &if chance(u, 1, 100)? { ",".to_owned() } else { format!(",{value}") };
        }
        text.push('\n');
    }
    Ok(text.into_bytes())
}

fn run(input: &[u8], folder: &Path) -> Outcome {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (arguments, contents) = (&input[..end], input.get(end + 2..).unwrap_or_default());
    let arguments = String::from_utf8_lossy(arguments);
    let arguments: Vec<&str> = arguments.lines().collect();
    // The operating system takes no argument with a zero byte.
    let possible = arguments.iter().all(|argument| !argument.contains('\0'));
    if !possible || !super::flags::is_harmless(&arguments) {
        return Ok(false);
    }
    let place = tempfile::tempdir_in(folder).map_err(machine)?;
    let path = |name: &str| place.path().join(name);
    std::fs::write(path("input"), contents).map_err(machine)?;
    let errors = std::fs::File::create(folder.join("stderr")).map_err(machine)?;
    let output = std::fs::File::create(folder.join("stdout")).map_err(machine)?;
    let mut child = Command::new(std::env::current_exe().map_err(machine)?)
        .arg("mnn")
        .args(&arguments)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(machine)?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().map_err(machine)? {
            Some(status) => break status,
            None if begin.elapsed() > LIMIT => {
                child.kill().and_then(|()| child.wait()).map_err(machine)?;
                return Err(format!("no end after {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let said = std::fs::read(folder.join("stderr")).map_err(machine)?;
    let said = String::from_utf8_lossy(&said);
    let code = status.code().ok_or_else(|| format!("ended with {status}: {said}"))?;
    ensure((0..=2).contains(&code), || format!("exit code {code}: {said}"))?;
    ensure(!said.contains("panicked"), || format!("a panic: {said}"))?;
    ensure(code != 0 || !said.contains("error:"), || format!("done, but: {said}"))?;
    ensure(code == 0 || !said.is_empty(), || format!("exit code {code} and no message"))?;
    ensure(std::fs::read(path("input")).map_err(machine)? == contents, || {
        "the input was changed".to_owned()
    })?;
    for entry in std::fs::read_dir(place.path()).map_err(machine)? {
        let name = entry.map_err(machine)?.file_name().to_string_lossy().into_owned();
        let wanted = name == "input" || arguments.iter().any(|argument| argument.contains(&name));
        ensure(wanted, || "a file that nobody asked for".to_owned())?;
        readable(&name, &path(&name))?;
    }
    let printed = std::fs::read(folder.join("stdout")).map_err(machine)?;
    // A mutated flag may ask for help, which is printed instead of a table.
    let is_help = String::from_utf8_lossy(&printed).contains("Usage: mnn ");
    let to_stdout = arguments.windows(2).any(|pair| pair == ["--output", "-"]);
    if code == 0 && to_stdout && !is_help {
        std::fs::write(path("out.csv"), printed).map_err(machine)?;
        readable("out.csv", &path("out.csv"))?;
    }
    Ok(code == 0)
}

/// Checks that what a run has written is whole.
fn readable(name: &str, path: &Path) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{name} is not whole: {error}");
    let bytes = std::fs::read(path).map_err(machine)?;
    match name {
        "out.st" => SafeTensors::deserialize(&bytes).map(drop).map_err(|error| wrong(&error)),
        "out.csv" => match csv::read(&[path], &Columns::default()) {
            // A simulation may have blown up at once.
            Err(error) if !error.to_string().contains("every value is missing") => {
                Err(wrong(&error))
            }
            _ => Ok(()),
        },
        "out.svg" => ensure(bytes.ends_with(b"</svg>\n"), || wrong(&"it has no end")),
        // The input, or an output under another name.
        _ => Ok(()),
    }
}
