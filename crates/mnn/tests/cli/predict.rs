//! `mnn predict`: models that live on.

use crate::expressions::{room, table};
use crate::{DONE, MISUSE, NUMERICAL_FAILURE, Workspace};

/// A room with its model, and the same room on another day, of which only the first temperature was
/// measured, and every tenth.
fn with_model() -> Workspace {
    let workspace = room();
    let flags = ["--inputs", "out,heat", "--interpolation", "hold", "--save", "model.safetensors"];
    workspace.run(&[&["discover", "room.csv", "-q"][..], &flags].concat()).expect(DONE);
    let mut rows = table(21.0, 130).lines().map(str::to_owned).collect::<Vec<_>>();
    for (_, row) in rows.iter_mut().enumerate().skip(1).filter(|(i, _)| i % 10 != 1) {
        let fields: Vec<&str> = row.split(',').collect();
        *row = format!("{},,{},{}", fields[0], fields[2], fields[3]);
    }
    workspace.write("other.csv", rows.join("\n"));
    workspace
}

#[test]
fn other_data_are_predicted() {
    let workspace = with_model();
    let call = ["predict", "model.safetensors", "other.csv", "-o", "p.csv", "--plot", "p.svg"];
    let run = workspace.run(&call).expect(DONE);
    assert_eq!(run.stderr, "");
    let r2: f64 = run.stdout.trim().strip_prefix("T_in: R^2 = ").unwrap().parse().unwrap();
    assert!(r2 > 0.9999, "{r2}");
    let written = std::fs::read_to_string(workspace.path("p.csv")).unwrap();
    let rows: Vec<Vec<&str>> = written.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["time", "T_in_predicted", "T_in_residual"]);
    assert_eq!((rows.len(), &rows[1][..]), (401, &["0", "21", "0"][..]));
    let truth = table(21.0, 130);
    for (row, truth) in rows.iter().zip(truth.lines()).skip(1) {
        let truth: f64 = truth.split(',').nth(1).unwrap().parse().unwrap();
        assert!((row[1].parse::<f64>().unwrap() - truth).abs() < 0.02, "{row:?}");
    }
    assert_eq!(rows[2][2], "", "nothing was measured there");
    assert!(std::fs::read_to_string(workspace.path("p.svg")).unwrap().contains("residual of T_in"));

    let standard = ["predict", "model.safetensors", "other.csv", "-o", "-", "--format", "json"];
    let run = workspace.run(&standard).expect(DONE);
    assert_eq!(run.stdout, written);
    let value: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(value["states"], serde_json::json!(["T_in"]));
    assert!(value["r2"][0].as_f64().unwrap() > 0.9999, "{value}");
}

#[test]
fn the_example_of_the_help() {
    let workspace = Workspace::new();
    let simulate = |initial: &str, file: &str| {
        let flags = ["--points", "300", "--dt", "0.05", "--initial", initial, "-o", file];
        workspace.run(&[&["simulate", "linear"][..], &flags].concat()).expect(DONE);
    };
    simulate("2,0", "a.csv");
    simulate("-1,3", "b.csv");
    workspace.run(&["discover", "a.csv", "-q", "--save", "model.safetensors"]).expect(DONE);
    let call = ["predict", "model.safetensors", "b.csv", "-o", "p.csv"];
    let run = workspace.run(&call).expect(DONE);
    assert_eq!(run.stdout, "x: R^2 = 1.000000\ny: R^2 = 1.000000\n");
    let several = ["predict", "model.safetensors", "a.csv", "b.csv", "-o", "-"];
    let run = workspace.run(&several).expect(DONE);
    assert!(
        run.stdout
            .starts_with("trajectory,t,x_predicted,y_predicted,x_residual,y_residual\n1,0,2,0,")
    );
    assert!(run.stdout.contains("\n2,0,-1,3,0,0\n"));
}

#[test]
fn equations_of_second_order_take_velocities() {
    let workspace = Workspace::new();
    workspace.run(&["simulate", "pendulum", "-o", "a.csv"]).expect(DONE);
    let flags = ["--order", "2", "--degree", "1", "--sin-cos", "--save", "m.st"];
    workspace.run(&[&["discover", "a.csv", "-q"][..], &flags].concat()).expect(DONE);
    let table = std::fs::read_to_string(workspace.path("a.csv")).unwrap();
    let first = table.lines().nth(1).unwrap().split(',').nth(1).unwrap();
    let state = table.lines().next().unwrap().split(',').nth(1).unwrap();
    workspace.write("b.csv", format!("t,{state},w\n0,{first},0.1\n0.5,,\n1,,\n"));
    let without = workspace.run(&["predict", "m.st", "b.csv"]).expect(NUMERICAL_FAILURE);
    assert!(without.stderr.starts_with("mnn: the initial velocities cannot be estimated"));
    let given = workspace.run(&["predict", "m.st", "b.csv", "--velocities", "w", "-o", "-"]);
    let given = given.expect(DONE);
    assert_eq!(given.stdout.lines().count(), 4, "{}", given.stdout);
    assert!(given.stderr.contains("no R^2"), "{}", given.stderr);
    let run = workspace.run(&["predict", "m.st", "b.csv", "--velocities", "w,w"]).expect(MISUSE);
    let message = "--velocities: the equations are of order 2 and have 1 velocities, got 2";
    assert_eq!(run.stderr, format!("mnn: {message}\n"));
    workspace.run(&["predict", "m.st", "a.csv"]).expect(DONE);
}

#[test]
fn what_does_not_suit_is_refused() {
    let workspace = with_model();
    workspace.write("without.csv", "time,T_in,out\n0,20,5\n1,20,5\n");
    workspace.write("begin.csv", "time,T_in,out,heat\n0,,5,0\n1,20,5,0\n");
    workspace.write("no_time.csv", "clock,T_in,out,heat\n0,20,5,0\n1,20,5,0\n");
    let before = std::fs::read(workspace.path("model.safetensors")).unwrap();
    for (arguments, code, message) in [
        (
            &["absent.st", "other.csv"][..],
            MISUSE,
            "absent.st: No such file or directory (os error 2)",
        ),
        (&["other.csv", "other.csv"], MISUSE, "other.csv: not a complete safetensors file: "),
        (&["-", "other.csv"], MISUSE, "MODEL: the model is a file, and not on standard input"),
        (
            &["model.safetensors", "without.csv"],
            MISUSE,
            "without.csv:1: no column `heat`; there are `time`, `T_in`, `out`",
        ),
        (
            &["model.safetensors", "begin.csv"],
            NUMERICAL_FAILURE,
            "the first row of trajectory 1 has no value of `T_in`, from which it begins",
        ),
        (
            &["model.safetensors", "no_time.csv"],
            MISUSE,
            "no_time.csv:1: no column is called t, time, year, ...; ",
        ),
        (
            &["model.safetensors", "other.csv", "-o", "model.safetensors"],
            MISUSE,
            "--output: model.safetensors is the same file as model.safetensors, and would overwrite it",
        ),
        (
            &["model.safetensors", "other.csv", "--plot", "other.csv"],
            MISUSE,
            "--plot: expected a file name in .svg or .png, got other.csv",
        ),
        (
            &["model.safetensors", "other.csv", "-o", "absent/p.csv"],
            MISUSE,
            "absent/p.csv: there is no folder absent",
        ),
        (
            &["model.safetensors", "other.csv", "--velocities", "T_in"],
            MISUSE,
            "--velocities: the equations are of order 1 and have 0 velocities, got 1",
        ),
    ] {
        let run = workspace.run(&[&["predict"][..], arguments].concat()).expect(code);
        assert!(run.stderr.starts_with(&format!("mnn: {message}")), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert!(std::fs::read(workspace.path("model.safetensors")).unwrap() == before);
}

/// x' = x², which is infinite at time 1.
#[test]
fn a_blow_up_is_a_warning_and_leaves_fields_empty() {
    let workspace = Workspace::new();
    let rows = (0..90).map(|i| {
        let t = 0.01 * f64::from(i);
        format!("{t},{}\n", 1.0 / (1.0 - t))
    });
    workspace.write("a.csv", format!("t,x\n{}", rows.collect::<String>()));
    workspace.run(&["discover", "a.csv", "-q", "--save", "m.st"]).expect(DONE);
    workspace.write("b.csv", "t,x\n0,1\n0.5,2\n2,\n");
    let run = workspace.run(&["predict", "m.st", "b.csv", "-o", "-"]).expect(DONE);
    assert!(run.stderr.contains("trajectory 1 blows up at time 2\n"), "{}", run.stderr);
    assert!(run.stdout.ends_with("\n2,,\n"), "{}", run.stdout);
}
