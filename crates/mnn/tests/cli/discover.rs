//! `mnn discover` on data that can be used.

use serde_json::Value;

use crate::{DONE, MISUSE, NUMERICAL_FAILURE, Run, Workspace, repository};

/// x' = −0.1 x + 2 y, y' = −2 x − 0.1 y with 1 % noise.
fn oscillator() -> Workspace {
    let workspace = Workspace::new();
    let simulate = ["simulate", "linear", "--noise", "1%", "--dt", "0.05", "--points", "300"];
    workspace.run(&[&simulate[..], &["-o", "a.csv"]].concat()).expect(DONE);
    workspace
}

/// Factors and coefficient of each term of the equations with these left-hand sides.
#[track_caller]
pub fn terms(json: &str, lhs: &[&str]) -> Vec<(String, f64)> {
    let value: Value = serde_json::from_str(json).unwrap();
    let equations = value["equations"].as_array().unwrap();
    assert_eq!(equations.iter().map(|e| e["lhs"].as_str().unwrap()).collect::<Vec<_>>(), lhs);
    let terms = equations.iter().flat_map(|equation| equation["terms"].as_array().unwrap());
    terms
        .map(|term| {
            let factors: Vec<&str> =
                term["factors"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
            (factors.join(" "), term["coefficient"].as_f64().unwrap())
        })
        .collect()
}

#[track_caller]
fn assert_oscillator(found: &[(String, f64)]) {
    let factors: Vec<&str> = found.iter().map(|(factors, _)| factors.as_str()).collect();
    assert_eq!(factors, ["x", "y", "x", "y"]);
    for ((_, coefficient), truth) in found.iter().zip([-0.1, 2.0, -2.0, -0.1]) {
        assert!((coefficient - truth).abs() < 0.02, "{found:?}");
    }
}

#[test]
fn json_is_alone_on_standard_output() {
    let run = oscillator().run(&["discover", "a.csv", "--format", "json"]).expect(DONE);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["states"], serde_json::json!(["x", "y"]));
    assert_eq!(value["order"], 1);
    assert!(value["equations"][0]["terms"][0]["standard_error"].as_f64().unwrap() > 0.0);
    assert_oscillator(&terms(&run.stdout, &["x'", "y'"]));
    let rhs = value["equations"][0]["rhs"].as_str().unwrap();
    assert!(rhs.starts_with("(-0.") && rhs.ends_with("*y"), "{rhs}");
    assert_eq!(value["symbols"], serde_json::json!(["x", "y"]));
    assert_eq!(value["warnings"], serde_json::json!([]));
    assert!(value["fit"][1].as_f64().unwrap() > 0.99, "{}", value["fit"]);
    assert!(value["noise"][1].as_f64().unwrap() > 1e-3, "{}", value["noise"]);
    assert!(run.stderr.starts_with("2 states (x, y), 300 points\n"), "{}", run.stderr);
    assert!(run.stderr.contains("\nx' = "), "the equations as they are found:\n{}", run.stderr);
}

#[test]
fn text_and_latex() {
    let workspace = oscillator();
    let text = workspace.run(&["discover", "a.csv", "--quiet"]).expect(DONE);
    assert_eq!(text.stderr, "");
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", text.stdout);
    assert!(lines[0].starts_with("x' = -0.") && lines[0].ends_with(") y"), "{}", lines[0]);
    assert!(lines[1].starts_with("y' = -") && lines[1].contains(") x - 0."), "{}", lines[1]);

    let latex = workspace.run(&["discover", "a.csv", "-q", "--format", "latex"]).expect(DONE);
    let begin = "\\begin{align*}\n  \\frac{\\mathrm{d} x}{\\mathrm{d}t} &= -0.";
    assert!(latex.stdout.starts_with(begin), "{}", latex.stdout);
    assert!(latex.stdout.ends_with("\\end{align*}\n"), "{}", latex.stdout);
}

#[test]
fn runs_are_reproducible_and_files_complete() {
    let workspace = oscillator();
    let discover = |threads: &str, suffix: &str| {
        let names = ["p.svg", "p.png", "o.csv", "m.safetensors"].map(|n| format!("{suffix}{n}"));
        let [svg, png, output, model] = names.each_ref().map(String::as_str);
        let mut command = workspace.command(&["discover", "a.csv", "--plot", svg]);
        command.args(["-o", output, "--save", model]).env("RAYON_NUM_THREADS", threads);
        let first = Run::from(command.output().unwrap()).expect(DONE).stdout;
        workspace.run(&["discover", "a.csv", "--plot", png]).expect(DONE);
        (first, names.map(|name| std::fs::read(workspace.path(&name)).unwrap()))
    };
    let (first, second) = (discover("1", "1"), discover("2", "2"));
    assert!(first == second, "the same bytes whatever the number of threads");

    let table = String::from_utf8(first.1[2].clone()).unwrap();
    assert!(table.starts_with("t,x_smoothed,y_smoothed,x_simulated,y_simulated\n0,"), "{table}");
    let rows = table.lines().count() - 1;
    assert!(rows >= 300, "{table}");

    let (_, header) = safetensors::SafeTensors::read_metadata(&first.1[3]).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    assert_eq!(metadata["time"], "t");
    assert_oscillator(&terms(&metadata["equations"], &["x'", "y'"]));
    let model = safetensors::SafeTensors::deserialize(&first.1[3]).unwrap();
    assert_eq!(model.tensor("noise").unwrap().shape(), [2]);
    assert_eq!(model.tensor("trajectory1.time").unwrap().shape(), [rows]);
    assert_eq!(model.tensor("trajectory1.smoothed").unwrap().shape(), [rows, 2]);
    assert_eq!(model.tensor("trajectory1.simulated").unwrap().shape(), [rows, 2]);
    assert_eq!(workspace.files().len(), 9, "nothing is left behind: {:?}", workspace.files());
}

/// The data choose among models where none is given, and what was tried is said and in the JSON.
#[test]
fn the_automatic_choice_says_what_it_tried() {
    let workspace = oscillator();
    let table = std::fs::read_to_string(workspace.path("a.csv")).unwrap();
    let with_input = table.lines().enumerate().map(|(i, line)| {
        let u = if i == 0 { "u".to_owned() } else { (0.1 * i as f64).sin().to_string() };
        format!("{line},{u}\n")
    });
    workspace.write("u.csv", with_input.collect::<String>());
    let tried = |arguments: &[&str]| {
        let all = [&["discover"][..], arguments, &["--format", "json"]].concat();
        let run = workspace.run(&all).expect(DONE);
        let value: Value = serde_json::from_str(&run.stdout).unwrap();
        (value["tried"].as_array().unwrap().clone(), run.stderr)
    };
    let (all, stderr) = tried(&["a.csv"]);
    let names: Vec<&str> = all.iter().map(|tried| tried["model"].as_str().unwrap()).collect();
    // What degree 2 explains exactly needs no other search among the terms of degree 1.
    assert_eq!(names, ["degree 2", "degree 3"]);
    let chosen: Vec<&Value> = all.iter().filter(|tried| tried["chosen"] == true).collect();
    let [chosen] = chosen[..] else { panic!("{all:?}") };
    assert_eq!(chosen["terms"], 4);
    assert_eq!(chosen["exact"], true);
    let (_, lines) = stderr.split_once("\n  tried ").unwrap_or_else(|| panic!("{stderr}"));
    assert_eq!(lines.lines().filter(|line| line.starts_with("* degree ")).count(), 1, "{stderr}");
    for tried in all.iter().filter(|tried| tried["score"].is_number()) {
        let model = tried["model"].as_str().unwrap();
        let own = |line: &&str| line.get(2..).is_some_and(|line| line.starts_with(model));
        let score = format!("{:.1}", tried["score"].as_f64().unwrap());
        assert!(lines.lines().find(own).unwrap().contains(&score), "{tried} {stderr}");
    }
    let (quiet, stderr) = tried(&["a.csv", "-q"]);
    assert_eq!((quiet, stderr.as_str()), (all, ""));

    let given: [&[&str]; 13] = [
        &["a.csv", "--degree", "2"],
        &["a.csv", "--sin-cos"],
        &["a.csv", "--link", "identity"],
        &["a.csv", "--terms", "exp(-x)"],
        &["a.csv", "--explicit-time"],
        &["u.csv", "--inputs", "u"],
        &["a.csv", "--fix", "x' : y = 2"],
        &["a.csv", "--forbid", "x' : x y"],
        &["a.csv", "--positive", "x' : y"],
        &["a.csv", "--negative", "y' : x"],
        &["a.csv", "--equal", "x' : x, y' : y"],
        &["a.csv", "--degree", "1", "--robust"],
        &["a.csv", "--states", "x", "--hidden", "1"],
    ];
    for arguments in given {
        let (one, stderr) = tried(arguments);
        assert_eq!(one.len(), 1, "{arguments:?}: {one:?}");
        assert!(!stderr.contains("tried"), "{arguments:?}: {stderr}");
    }
}

/// The second column never changes, one reading of the last fell to zero, and one of the first is ten
/// times its noise too large, which only the equations tell.
#[test]
fn columns_and_rows_that_do_not_fit_are_named() {
    let workspace = oscillator();
    let table = std::fs::read_to_string(workspace.path("a.csv")).unwrap();
    let rows = table.lines().enumerate().map(|(i, line)| {
        let fields: Vec<&str> = line.split(',').collect();
        let y = if i == 121 { "0" } else { fields[2] };
        let x = match fields[1].parse::<f64>() {
            Ok(x) if i == 60 => (x + 0.15).to_string(),
            _ => fields[1].to_owned(),
        };
        let u = if i == 0 { "u" } else { "1.1" };
        format!("{},{u},{x},{y}\n", fields[0])
    });
    workspace.write("b.csv", rows.collect::<String>());
    let arguments = ["discover", "b.csv", "-q", "--robust", "--plot", "b.svg", "--format", "json"];
    let run = workspace.run(&arguments).expect(DONE);
    assert_oscillator(&terms(&run.stdout, &["x'", "y'"]));
    assert!(run.stderr.contains("warning: `u` never changes and was left out"), "{}", run.stderr);
    assert!(run.stderr.contains("`y` in row 121 (0); they were left out"), "{}", run.stderr);
    assert!(
        run.stderr.contains("which hardly count (--robust): `x` in row 60 ("),
        "{}",
        run.stderr
    );
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    let values = value["down_weighted"].as_array().unwrap();
    let rows: Vec<u64> = values.iter().map(|value| value["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [60, 121]);
    assert!(values[0]["state"] == "x" && values[1]["state"] == "y", "{values:?}");
    assert!(values.iter().all(|value| value["trajectory"] == 1), "{values:?}");
    assert!(
        values[0]["weight"].as_f64().unwrap() > 0.0 && values[1]["weight"] == 0.0,
        "{values:?}"
    );
    assert_eq!(values[1]["value"], 0.0);

    let network = ["discover", "b.csv", "--robust", "--method", "network"];
    let refused = workspace.run(&network).expect(MISUSE).stderr;
    assert!(
        refused.starts_with("mnn: --robust: only the joint method can weigh outliers"),
        "{refused}"
    );
    assert!(workspace.files().contains(&"b.svg".into()), "{:?}", workspace.files());
}

/// Three thousand rows, of which a search may take 300: it takes averages, whose noise is smaller than
/// that of the rows, and says so.
#[test]
fn of_long_tables_an_excerpt_is_searched() {
    let workspace = Workspace::new();
    let simulate = ["simulate", "linear", "--noise", "1%", "--dt", "0.002", "--points", "3000"];
    workspace.run(&[&simulate[..], &["-o", "a.csv"]].concat()).expect(DONE);
    let found = |options: &[&str]| {
        let discover = ["discover", "a.csv", "-q", "--degree", "1", "--format", "json"];
        workspace.run(&[&discover[..], options].concat()).expect(DONE)
    };
    let [whole, excerpt, thinned] =
        [&[][..], &["--max-points", "300"], &["--max-points", "300", "--robust"]].map(found);
    for run in [&whole, &excerpt, &thinned] {
        assert_oscillator(&terms(&run.stdout, &["x'", "y'"]));
    }
    assert!(!whole.stderr.contains("long"), "{}", whole.stderr);
    let averages = "the data are long (3000 rows): the equations were estimated from 273 averages";
    assert!(excerpt.stderr.contains(averages), "{}", excerpt.stderr);
    assert!(thinned.stderr.contains("273 rows, of which about 11 follow each other in the data"));
    let noise = |run: &Run| {
        let value: Value = serde_json::from_str(&run.stdout).unwrap();
        value["noise"][0].as_f64().unwrap()
    };
    for run in [&excerpt, &thinned] {
        let ratio = noise(run) / noise(&whole);
        assert!((0.8..1.25).contains(&ratio), "{ratio}");
    }
    let refused = workspace.run(&["discover", "a.csv", "--max-points", "10"]).expect(MISUSE);
    let message = "mnn: --max-points: must be at least 100, got 10";
    assert!(refused.stderr.starts_with(message), "{}", refused.stderr);
}

/// A table in another dialect: semicolons, byte-order mark, carriage returns, quotes, units, other
/// columns, missing values of every spelling.
#[test]
fn tables_of_many_kinds_are_understood() {
    let workspace = oscillator();
    let table = std::fs::read_to_string(workspace.path("a.csv")).unwrap();
    let missing = ["", "NaN", "nan", "NA", "n/a", "NULL", "None"];
    let mut other = String::from("\u{feff}y;station;\"Time [s]\";x\r\n");
    for (i, line) in table.lines().skip(1).enumerate() {
        let mut fields: Vec<&str> = line.split(',').collect();
        if i % 10 == 3 {
            fields[1 + i / 10 % 2] = missing[i / 10 % missing.len()];
        }
        let (t, x, y) = (fields[0], fields[1], fields[2]);
        other += &format!("{y};north;\"{t}\"; {x} \r\n");
    }
    workspace.write("b.csv", other);
    let arguments = ["discover", "b.csv", "--states", "x,y", "--format", "json"];
    let run = workspace.run(&arguments).expect(DONE);
    assert!(run.stderr.starts_with("2 states (x, y), 300 points, 30 values missing\n"));
    assert_oscillator(&terms(&run.stdout, &["x'", "y'"]));
}

#[test]
fn trajectories_come_from_files_or_a_column() {
    let workspace = oscillator();
    let simulate = ["simulate", "linear", "--noise", "1%", "--dt", "0.1", "--points", "150"];
    let other = ["--initial", "0,1", "--seed", "2", "-o", "b.csv"];
    workspace.run(&[&simulate[..], &other[..]].concat()).expect(DONE);
    let arguments = ["discover", "a.csv", "b.csv", "--format", "json", "--output", "o.csv"];
    let files = workspace.run(&arguments).expect(DONE);
    assert!(files.stderr.starts_with("2 states (x, y), 450 points in 2 trajectories\n"));
    assert_oscillator(&terms(&files.stdout, &["x'", "y'"]));
    let output = std::fs::read_to_string(workspace.path("o.csv")).unwrap();
    assert!(output.starts_with("trajectory,t,x_smoothed,"), "{output}");
    assert!(output.lines().filter(|line| line.starts_with("2,")).count() >= 150, "{output}");

    let rows = |name: &str, run: &str| -> String {
        let table = std::fs::read_to_string(workspace.path(name)).unwrap();
        table.lines().skip(1).map(|line| format!("{run},{line}\n")).collect()
    };
    workspace
        .write("c.csv", format!("run,t,x,y\n{}{}", rows("a.csv", "first"), rows("b.csv", "2")));
    let arguments = ["discover", "c.csv", "--format", "json", "--trajectory", "run"];
    let column = workspace.run(&arguments).expect(DONE);
    assert_eq!(column.stdout, files.stdout);
}

#[test]
fn links_and_second_order() {
    let workspace = Workspace::new();
    for (system, flags, start, end) in [
        ("pendulum", "--order 2 --degree 1 --sin-cos", "x'' = -0.20", ") sin(x)\n"),
        ("saturating", "--link tanh --degree 1", "x' = tanh(", ") y)\n"),
        ("michaelis-menten", "--link ratio --degree 1", "x' = (", ") x)\n"),
    ] {
        workspace.run(&["simulate", system, "--noise", "0.01", "-o", "a.csv"]).expect(DONE);
        let flags: Vec<&str> =
            ["discover", "a.csv", "-q"].into_iter().chain(flags.split(' ')).collect();
        let run = workspace.run(&flags).expect(DONE);
        assert!(run.stdout.starts_with(start), "{}", run.stdout);
        assert!(run.stdout.ends_with(end), "{}", run.stdout);
        let json = workspace.run(&[&flags[..], &["--format", "json"]].concat()).expect(DONE);
        let value: Value = serde_json::from_str(&json.stdout).unwrap();
        let equation = &value["equations"][0];
        match system {
            "pendulum" => assert_eq!((&value["order"], equation.get("link")), (&2.into(), None)),
            "saturating" => assert_eq!(equation["link"], "tanh"),
            _ => {
                assert_eq!(equation["link"], "ratio");
                assert_eq!(equation["denominator"][0]["factors"], serde_json::json!(["x"]));
            }
        }
    }
}

#[test]
fn the_classic_real_series() {
    let table = repository("data/lynx_hare.csv");
    let table = table.to_str().unwrap();
    let run = Workspace::new().run(&["discover", table, "--format", "json"]).expect(DONE);
    let found = terms(&run.stdout, &["hare'", "lynx'"]);
    let factors: Vec<&str> = found.iter().map(|(factors, _)| factors.as_str()).collect();
    assert_eq!(factors, ["hare", "hare lynx", "lynx", "hare lynx"]);
    for ((_, coefficient), expected) in found.iter().zip([0.483, -0.0249, -0.917, 0.0273]) {
        assert!((coefficient / expected - 1.0).abs() < 0.05, "{found:?}");
    }
}

#[test]
fn files_of_different_states_are_refused() {
    let workspace = oscillator();
    workspace.write("b.csv", "t,y,x,z\n0,1,2,3\n1,2,3,4\n");
    let run = workspace.run(&["discover", "a.csv", "b.csv"]).expect(MISUSE);
    let message = "b.csv:1: the first file has no column `z`; choose with --states";
    assert_eq!(run.stderr, format!("mnn: {message}\n"));
}

#[test]
fn the_network_finds_the_same_terms() {
    let workspace = oscillator();
    let arguments = ["discover", "a.csv", "--method", "network", "--format", "json"];
    let run = workspace.run(&arguments).expect(DONE);
    assert_oscillator(&terms(&run.stdout, &["x'", "y'"]));
}

#[test]
fn impossible_requests_are_refused_before_the_work() {
    let workspace = oscillator();
    for (arguments, message) in [
        (&["--plot", "p.gif"][..], "--plot: expected a file name in .svg or .png, got p.gif"),
        (&["--plot", "absent/p.svg"], "absent/p.svg: there is no folder absent"),
        (&["--output", "absent/o.csv"], "absent/o.csv: there is no folder absent"),
        (&["--save", "."], ".: is a folder"),
        (&["--order", "3"], "--order: must be 1 or 2, got 3"),
        (&["--threshold", "nan"], "--threshold: must be finite and ≥ 0, got NaN"),
        (&["--threshold", "-1"], "--threshold: must be finite and ≥ 0, got -1"),
    ] {
        let run = workspace.run(&[&["discover", "a.csv"][..], arguments].concat()).expect(MISUSE);
        assert_eq!(run.stderr, format!("mnn: {message}\n"));
        assert_eq!(workspace.files(), ["a.csv"]);
    }
}

/// x' = x - x^2, and a column so like it that squares of either can stand in for each other.
#[test]
fn terms_in_warnings_are_as_in_equations() {
    let workspace = Workspace::new();
    let rows = (0..200).map(|i| {
        let (t, noise) = (0.05 * f64::from(i), |n: i32| 1e-3 * f64::from((n * i) % 11 - 5));
        let x = 1.0 / (1.0 + 9.0 * (-t).exp());
        format!("{t},{},{}\n", x + noise(7), x + noise(5))
    });
    workspace.write("a.csv", format!("t,x,y\n{}", rows.collect::<String>()));
    let run = workspace.run(&["discover", "a.csv", "-q"]).expect(DONE);
    assert!(run.stderr.contains("the data cannot decide between terms"), "{}", run.stderr);
    assert!(run.stderr.contains("^2`"), "{}", run.stderr);
    assert!(!run.stderr.contains("x x") && !run.stderr.contains("y y"), "{}", run.stderr);
}

#[test]
fn too_many_terms_name_the_flag() {
    let run = oscillator().run(&["discover", "a.csv", "-q", "--degree", "1000"]).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: --degree: 1000 in 2 variables gives "), "{}", run.stderr);
}

/// Times like 1700000000.1 and their neighbors.
#[test]
fn times_are_written_as_they_were_read() {
    let workspace = Workspace::new();
    let times: Vec<String> =
        (0..60).map(|i| format!("{}.{}", 1_700_000_000 + i / 10, i % 10)).collect();
    let value = |i: usize| (-0.03 * i as f64).exp() + 0.01 * ((7 * i) % 5) as f64;
    let rows = times.iter().enumerate().map(|(i, time)| format!("{time},{}\n", value(i)));
    workspace.write("a.csv", format!("time,x\n{}", rows.collect::<String>()));
    workspace.run(&["discover", "a.csv", "-q", "--degree", "1", "-o", "o.csv"]).expect(DONE);
    let output = std::fs::read_to_string(workspace.path("o.csv")).unwrap();
    let written: Vec<&str> =
        output.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    for time in &times {
        let time = time.strip_suffix(".0").unwrap_or(time);
        assert!(written.contains(&time), "{time} in {written:?}");
    }
    workspace
        .run(&["discover", "o.csv", "-q", "--degree", "1", "--states", "x_smoothed"])
        .expect(DONE);
}

#[test]
fn too_few_data_are_a_failure_of_the_search() {
    let workspace = Workspace::new();
    workspace.write("a.csv", "t,x\n0,1\n1,2\n");
    let run = workspace.run(&["discover", "a.csv", "-q"]).expect(NUMERICAL_FAILURE);
    assert!(run.stderr.starts_with("mnn: trajectory 1 has 2 values of `x`"), "{}", run.stderr);
}

/// A damped oscillation whose times and values have these units.
fn in_units(time: f64, value: f64) -> String {
    let rows = (0..300).map(|i| {
        let t = f64::from(i) * 0.05;
        let size = value * (-0.1 * t).exp();
        let (x, y) = (size * (2.0 * t).cos(), -size * (2.0 * t).sin());
        format!("{:e},{x:e},{y:e}\n", t * time)
    });
    "t,x,y\n".to_owned() + &rows.collect::<String>()
}

#[test]
fn what_is_said_of_extreme_numbers_is_true() {
    let search = |table: String| {
        let workspace = Workspace::new();
        workspace.write("a.csv", table);
        workspace.run(&["discover", "a.csv", "-q", "--degree", "1"])
    };
    let beyond = "; sizes below 1e-60 and above 1e60 cannot be computed with: another unit is \
                  needed\n";
    for (table, message) in [
        (in_units(1e160, 1.0), "the time of trajectory 1 reaches 1.495e161"),
        (in_units(1e-160, 1.0), "the times of trajectory 1 are 5e-162 apart"),
        (in_units(1e305, 1.0), "the time of trajectory 1 reaches 1.495e306"),
        (in_units(1.0, 1e160), "`x` reaches 1e160"),
        (in_units(1.0, 1e308), "`x` reaches 1e308"),
        (in_units(1.0, 1e-160), "`x` changes by 1."),
        (in_units(1.0, 1e-310), "`x` changes by 1."),
    ] {
        let run = search(table).expect(NUMERICAL_FAILURE);
        assert!(run.stderr.starts_with(&format!("mnn: {message}")), "{}", run.stderr);
        assert!(run.stderr.ends_with(beyond), "{}", run.stderr);
    }
    // What can be computed with is.
    for (time, value) in [(1e50, 1.0), (1e-50, 1.0), (1.0, 1e50), (1.0, 1e-50), (1e-50, 1e-50)] {
        let run = search(in_units(time, value)).expect(DONE);
        assert_eq!(run.stdout.matches(['x', 'y']).count(), 6, "{}", run.stdout);
    }
    // The degree is too high for the size.
    let workspace = Workspace::new();
    workspace.write("a.csv", in_units(1.0, 1e50));
    let run = workspace.run(&["discover", "a.csv", "-q", "--degree", "4"]);
    let run = run.expect(NUMERICAL_FAILURE);
    let message = "mnn: the square of the term `x^4` is too large a number on the data";
    assert!(run.stderr.starts_with(message), "{}", run.stderr);
}

#[test]
fn times_that_are_too_near_are_named() {
    let workspace = Workspace::new();
    let rows = (0..120).map(|i| {
        // Row 60 comes a billionth after row 59.
        let t = if i == 60 { 59.0 * 0.2 + 1e-9 } else { f64::from(i) * 0.2 };
        let size = (-0.1 * t).exp();
        format!("{t},{},{}\n", size * (2.0 * t).cos(), size * (2.0 * t).sin())
    });
    workspace.write("a.csv", "t,a,b\n".to_owned() + &rows.collect::<String>());
    for options in [&["discover", "a.csv", "-q"][..], &["discover", "a.csv", "-q", "--robust"]] {
        let run = workspace.run(options).expect(NUMERICAL_FAILURE);
        assert_eq!(
            run.stderr,
            "mnn: `a` cannot be smoothed: its times 11.8 and 11.800000001 are too near to each \
             other, compared with the rest; leave one of them out\n"
        );
    }
}

/// x'' = −0.2 x' − 4.01 x, as the example of the help has it.
#[test]
fn hidden_states_are_found_reported_and_predicted() {
    let workspace = oscillator();
    let call = ["discover", "a.csv", "--states", "x", "--hidden", "1"];
    let outputs = ["--save", "m.st", "--report", "r.html", "--plot", "p.svg", "-o", "o.csv"];
    let run = workspace.run(&[&call[..], &outputs, &["--format", "json"]].concat()).expect(DONE);
    assert!(run.stderr.starts_with("1 state (x), 1 hidden state, 300 points\n"), "{}", run.stderr);
    let found = terms(&run.stdout, &["x'", "hidden1'"]);
    let factors: Vec<&str> = found.iter().map(|(factors, _)| factors.as_str()).collect();
    assert_eq!(factors, ["hidden1", "x", "hidden1"], "{}", run.stderr);
    for ((_, coefficient), truth) in found.iter().zip([1.0, -4.01, -0.2]) {
        assert!((coefficient - truth).abs() < 0.04, "{found:?}");
    }
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["states"], serde_json::json!(["x", "hidden1"]));
    assert_eq!(value["hidden"], serde_json::json!(["hidden1"]));
    assert_eq!(value["equations"][0]["terms"][0]["known"], true);
    assert_eq!(value["warnings"], serde_json::json!([]));
    for name in ["noise", "fit"] {
        assert_eq!(value[name].as_array().unwrap().len(), 1, "{name}");
    }
    let text = workspace.run(&[&call[..], &["-q"]].concat()).expect(DONE).stdout;
    assert!(text.starts_with("x'       = 1 hidden1\nhidden1' = -4.0"), "{text}");

    let page = std::fs::read_to_string(workspace.path("r.html")).unwrap();
    assert!(page.contains("<td>hidden1</td><td>no data</td>"), "no noise of hidden states");
    assert!(page.contains("residual of x") && !page.contains("residual of hidden1"), "residuals");
    let picture = std::fs::read_to_string(workspace.path("p.svg")).unwrap();
    assert!(picture.contains("hidden1"), "a panel of the hidden state");
    let table = std::fs::read_to_string(workspace.path("o.csv")).unwrap();
    assert!(table.starts_with("t,x_smoothed,hidden1_smoothed,x_simulated,hidden1_simulated\n"));

    // The model predicts other data, of which it needs x alone.
    let simulate = ["simulate", "linear", "--noise", "1%", "--dt", "0.05", "--points", "300"];
    let other = ["--initial=-1,3", "--seed", "2", "-o", "b.csv"];
    workspace.run(&[&simulate[..], &other].concat()).expect(DONE);
    let predict = ["predict", "m.st", "b.csv", "-o", "q.csv", "--plot", "q.svg"];
    let run = workspace.run(&predict).expect(DONE);
    let r2: f64 = run.stdout.trim().strip_prefix("x: R^2 = ").unwrap().parse().unwrap();
    assert!(r2 > 0.98, "{r2}");
    let table = std::fs::read_to_string(workspace.path("q.csv")).unwrap();
    assert!(table.starts_with("t,x_predicted,hidden1_predicted,x_residual\n0,"), "{table}");
    assert_eq!(table.lines().nth(1).unwrap().split(',').count(), 4);
}

#[test]
fn hidden_states_that_cannot_be_found_are_refused_or_named() {
    let workspace = oscillator();
    let refused = |flags: &[&str], message: &str| {
        let run = workspace.run(&[&["discover", "a.csv"][..], flags].concat()).expect(MISUSE);
        assert!(run.stderr.contains(&format!("mnn: {message}")), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    };
    refused(&["--hidden", "5"], "--hidden: at most 2 for each of the 2 states with data");
    refused(&["--hidden", "1", "--order", "2"], "--hidden: order 2 already has");
    refused(&["--hidden", "1", "--method", "network"], "--hidden: only the joint method");
    refused(&["--hidden", "1", "--degree", "0"], "--hidden: hidden states must occur in the terms");
    refused(&["--hidden", "1", "--fix", "x' : y = 2"], "--fix or --forbid: x' = hidden1 is what");
    let table = std::fs::read_to_string(workspace.path("a.csv")).unwrap();
    workspace.write("b.csv", table.replacen("y", "hidden1", 1));
    let clash = workspace.run(&["discover", "b.csv", "--hidden", "1"]).expect(MISUSE).stderr;
    assert!(clash.contains("mnn: --hidden: the data have a column `hidden1`"), "{clash}");
    workspace.run(&["discover", "b.csv", "-q", "--hidden", "0", "--degree", "1"]).expect(DONE);
    // Both states are measured: there is nothing left to be hidden.
    let run = workspace.run(&["discover", "a.csv", "-q", "--hidden", "1", "--degree", "1"]);
    let Run { stdout, stderr, .. } = run.expect(NUMERICAL_FAILURE);
    let expected = "mnn: `hidden1` cannot be identified: without it, x' = -";
    assert!(stdout.is_empty() && stderr.starts_with(expected), "{stdout}{stderr}");
    // So it is with a decay, whose equations with a hidden state are right, but not the only ones.
    let rows = (0..300).map(|i| 0.02 * f64::from(i)).map(|t| format!("{t},{}\n", 3.0 * (-t).exp()));
    workspace.write("c.csv", format!("t,x\n{}", rows.collect::<String>()));
    let stderr = workspace.run(&["discover", "c.csv", "-q", "--hidden", "1"]).expect(DONE).stderr;
    let expected = "mnn: warning: `hidden1` cannot be identified: without it, x' = -";
    assert!(stderr.contains(expected), "{stderr}");
}
