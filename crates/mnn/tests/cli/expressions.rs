//! `mnn discover` with inputs, own expressions and constraints on coefficients.

use serde_json::Value;

use crate::discover::terms;
use crate::{DONE, MISUSE, Workspace};

/// A heated room: T_in' = 0.08 (out − T_in) + 1.2 heat, where out and heat are measured every quarter of an
/// hour and hold their value.
pub fn room() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("room.csv", table(15.0, 0));
    workspace
}

/// The table of a room that begins at this temperature, with inputs from another day on.
pub fn table(mut temperature: f64, begin: u32) -> String {
    let (step, mut text) = (0.25, "time,T_in,out,heat\n".to_owned());
    for i in 0..400 {
        let out = 5.0 + 4.0 * (0.06 * f64::from(i + begin)).sin() + f64::from((7 * i) % 5) * 0.2;
        let heat = f64::from(u8::from((i + begin) / 40 % 2 == 1));
        text += &format!("{},{temperature},{out},{heat}\n", f64::from(i) * step);
        let rest = out + 15.0 * heat;
        temperature = rest + (temperature - rest) * (-0.08 * step).exp();
    }
    text
}

#[track_caller]
fn assert_close(found: &[(String, f64)], expected: &[(&str, f64)]) {
    let names: Vec<&str> = found.iter().map(|(factors, _)| factors.as_str()).collect();
    assert_eq!(names, expected.iter().map(|(factors, _)| *factors).collect::<Vec<_>>());
    for ((_, value), (_, truth)) in found.iter().zip(expected) {
        assert!((value / truth - 1.0).abs() < 0.02, "{found:?}");
    }
}

#[test]
fn inputs_have_no_equation() {
    let workspace = room();
    let flags = ["--inputs", "out,heat", "--interpolation", "hold", "--format", "json"];
    let run = workspace.run(&[&["discover", "room.csv"][..], &flags].concat()).expect(DONE);
    assert!(run.stderr.starts_with("1 state (T_in), 2 inputs (out, heat), 400 points\n"));
    assert_close(&terms(&run.stdout, &["T_in'"]), &[("T_in", -0.08), ("out", 0.08), ("heat", 1.2)]);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["inputs"], serde_json::json!(["out", "heat"]));
    assert_eq!(value["interpolation"], serde_json::json!(["hold", "hold"]));
    assert_eq!(value["symbols"], serde_json::json!(["T_in", "out", "heat"]));
    assert!(value["fit"][0].as_f64().unwrap() > 0.9999, "{}", value["fit"]);
}

/// x' = exp(−x) − 0.5 x/(1 + x²) + 0.3 sin(2t), by small steps.
fn decay() -> Workspace {
    let (mut x, step) = (-1.0f64, 1e-4);
    let rate = |x: f64, t: f64| (-x).exp() - 0.5 * x / (1.0 + x * x) + 0.3 * (2.0 * t).sin();
    let mut text = "t,x\n".to_owned();
    for i in 0..100_001 {
        let t = f64::from(i) * step;
        if i % 200 == 0 {
            text += &format!("{t},{x}\n");
        }
        x += step * rate(x + 0.5 * step * rate(x, t), t + 0.5 * step);
    }
    let workspace = Workspace::new();
    workspace.write("a.csv", text);
    workspace
}

#[test]
fn terms_are_a_list_or_a_file() {
    let workspace = decay();
    let flags = ["discover", "a.csv", "-q", "--degree", "1", "--format", "json", "--terms"];
    let list = "exp(-x), x/(1+x^2), sin(2*t), cos(2*t)";
    let run = workspace.run(&[&flags[..], &[list]].concat()).expect(DONE);
    let expected = [("exp(-x)", 1.0), ("x/(1 + x^2)", -0.5), ("sin(2*t)", 0.3)];
    assert_close(&terms(&run.stdout, &["x'"]), &expected);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["symbols"], serde_json::json!(["x", "t"]));
    let rhs = value["equations"][0]["rhs"].as_str().unwrap();
    assert!(rhs.contains("*(x/(1 + x**2)) + ") && rhs.ends_with("*sin(2*t)"), "{rhs}");

    let lines = "# candidates\nexp(-x)\n\nx/(1+x^2) # saturation\nsin(2*t)\ncos(2*t)\n";
    workspace.write("terms.txt", lines);
    let file = workspace.run(&[&flags[..], &["terms.txt"]].concat()).expect(DONE);
    assert_eq!(file.stdout, run.stdout);
    let over = workspace.run(&[&flags[..], &["terms.txt", "-o", "terms.txt"]].concat());
    let message =
        "mnn: --output: terms.txt is the same file as terms.txt, and would overwrite it\n";
    assert_eq!(over.expect(MISUSE).stderr, message);

    let latex = ["discover", "a.csv", "-q", "--degree", "1", "--format", "latex", "--terms", list];
    let latex = workspace.run(&latex).expect(DONE).stdout;
    assert!(latex.contains(r"\, \exp(-x) - 0.5"), "{latex}");
}

fn oscillator() -> Workspace {
    let workspace = Workspace::new();
    let simulate = ["simulate", "linear", "--noise", "1%", "--dt", "0.05", "--points", "300"];
    workspace.run(&[&simulate[..], &["-o", "a.csv"]].concat()).expect(DONE);
    workspace
}

#[test]
fn coefficients_are_fixed_forbidden_signed_and_equal() {
    let workspace = oscillator();
    let lines = |flags: &[&str]| {
        let run = workspace.run(&[&["discover", "a.csv", "-q"], flags].concat()).expect(DONE);
        let lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        (lines, run.stderr)
    };
    let (fixed, _) = lines(&["--fix", "x' : y = 2", "--forbid", "y' : x*y", "--forbid", "y':1"]);
    assert!(fixed[0].ends_with(" x + 2 y"), "{fixed:?}");
    let (equal, _) = lines(&["--equal", "x' : x, y' : y", "--equal", "x' : y, -y' : x"]);
    let (x, y) = (equal[0].strip_prefix("x' = ").unwrap(), equal[1].strip_prefix("y' = ").unwrap());
    let part = |text: &str, index: usize| text.split(' ').nth(index).unwrap().to_owned();
    // x' = -a x + b y, y' = -b x - a y.
    assert_eq!(part(x, 0), format!("-{}", part(y, 3)));
    assert_eq!(format!("-{}", part(x, 3)), part(y, 0));
    let (signed, said) = lines(&["--degree", "1", "--positive", "x' : x", "--negative", "y' : x"]);
    assert!(!signed[0].contains(" x "), "{signed:?}");
    assert!(said.contains("the constraint on `x` in x' is active"), "{said}");
    assert!(!said.contains("in y' is active"), "{said}");
}

#[test]
fn backquotes_hold_names_with_commas_and_primes() {
    let workspace = oscillator();
    let table = std::fs::read_to_string(workspace.path("a.csv")).unwrap();
    let rows = table.strip_prefix("t,x,y\n").unwrap();
    workspace.write("b.csv", format!("t,\"room, east\",y'\n{rows}"));
    let values = |file: &str, left: &[&str], states: &str, fix: &str, forbid: &str| {
        let flags = ["--format", "json", "--states", states, "--fix", fix, "--forbid", forbid];
        let run = workspace.run(&[&["discover", file, "-q"], &flags[..]].concat()).expect(DONE);
        terms(&run.stdout, left).into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    let plain = values("a.csv", &["y'", "x'"], "y,x", "x' : y = 2", "y' : x*y");
    let (states, left) = ("y',`room, east`", ["y''", "room, east'"]);
    let (fix, forbid) = ("`room, east`' : `y'` = 2", "`y'`' : `room, east`*`y'`");
    assert_eq!(values("b.csv", &left, states, fix, forbid), plain);
    assert!(plain.contains(&2.0), "{plain:?}");
}

#[test]
fn bad_terms_inputs_and_constraints_are_named() {
    let workspace = oscillator();
    workspace.write("empty.txt", "# nothing\n");
    for (flags, message) in [
        (
            &["--terms", "x*(1 + y"][..],
            "--terms: `x*(1 + y`: expected `)`, but it ends at character 9",
        ),
        (
            &["--terms", "empty.txt"],
            "--terms: expected expressions such as `exp(-x), x/(1 + y)`, or a file of them, got none",
        ),
        (&["--terms", "x*y"], "--terms: the library already has a term `x*y`"),
        (
            &["--terms", "3*exp(x)"],
            "--terms: `3*exp(x)` has the number 3 in front, which is what is searched for: leave it out",
        ),
        (&["--inputs", "u"], "a.csv:1: no column `u`; there are `t`, `x`, `y`"),
        (&["--inputs", "x,y"], "a.csv:1: there is no column besides time and inputs: no states"),
        (
            &["--inputs", "x", "--states", "x"],
            "a.csv:1: column `x`: cannot be an input: it is already a state",
        ),
        (&["--inputs", "t"], "a.csv:1: column `t`: cannot be an input: it is the time column"),
        (&["--fix", "x' : y"], "--fix: expected `x' : y = 1`: there is no `=` in `x' : y`"),
        (
            &["--fix", "x' : y = inf"],
            "--fix or --forbid: the coefficient of `y` in x' must be finite, got inf",
        ),
        (&["--fix", "z' : y = 1"], "--fix or --forbid: there is no state `z`; there are x, y"),
        (
            &["--forbid", "x' : y^3"],
            "--fix or --forbid: the library has no term `y^3`; it has 1, x, y, x^2, x y, y^2",
        ),
        (&["--positive", "x : y"], "--positive: `x` is no left-hand side of order 1, such as `x'`"),
        (
            &["--positive", "x':y", "--negative", "x':y"],
            "--negative: `y` in x' must already have the other sign",
        ),
        (
            &["--equal", "x' : y"],
            "--equal: expected several terms, as in `x' : y, y' : x`, got `x' : y`",
        ),
        (
            &["--equal", "x':y,y':w"],
            "--equal: the library has no term `w`; it has 1, x, y, x^2, x y, y^2",
        ),
    ] {
        let run = workspace.run(&[&["discover", "a.csv", "-q"][..], flags].concat()).expect(MISUSE);
        assert_eq!(run.stderr, format!("mnn: {message}\n"));
    }
}
