//! `mnn simulate`.

use crate::{DONE, MISUSE, NUMERICAL_FAILURE, Workspace, repository};

#[test]
fn the_repository_s_table_is_made_by_its_command() {
    let workspace = Workspace::new();
    let run = workspace.run(&["simulate", "lorenz", "--noise", "0.1", "--seed", "1"]).expect(DONE);
    let kept = std::fs::read_to_string(repository("data/lorenz.csv")).unwrap();
    assert_eq!(kept.lines().count(), 10_001);
    assert!(run.stdout == kept, "data/lorenz.csv differs from what its command makes");
}

#[test]
fn a_system_takes_points_step_start_and_file() {
    let workspace = Workspace::new();
    let arguments = ["simulate", "pendulum", "--points", "3", "--dt", "0.5", "--initial", "-1,0"];
    let run = workspace.run(&arguments).expect(DONE);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[..2], ["t,x", "0,-1"]);
    assert_eq!(lines.len(), 4);
    workspace.run(&[&arguments[..], &["-o", "a.csv"]].concat()).expect(DONE);
    assert_eq!(std::fs::read_to_string(workspace.path("a.csv")).unwrap(), run.stdout);
}

#[test]
fn times_are_as_written_by_hand_and_values_exact() {
    let run = Workspace::new().run(&["simulate", "linear"]).expect(DONE);
    let rows: Vec<Vec<&str>> =
        run.stdout.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let dt: f64 = rows[1][0].parse().unwrap();
    assert!(rows.iter().all(|row| row[0].len() <= 6), "times like 0.07000000000000001");
    assert!(
        (rows[rows.len() - 1][0].parse::<f64>().unwrap() / dt).round() + 1.0 == rows.len() as f64
    );
    // Fewer digits would not do for most doubles.
    let long = rows.iter().filter(|row| row[1].len() > 15).count();
    assert!(2 * long > rows.len(), "{long} of {} values", rows.len());
}

#[test]
fn impossible_requests_are_refused() {
    let workspace = Workspace::new();
    for (arguments, message) in [
        (&["--points", "1"][..], "mnn: --points: must be at least 2, got 1\n"),
        (&["--dt", "-1"], "mnn: --dt: must be finite and positive, got -1\n"),
        (&["--dt", "0"], "mnn: --dt: must be finite and positive, got 0\n"),
        (&["--initial", "1,2"], "mnn: --initial: expected 3 finite numbers, got [1.0, 2.0]\n"),
        (
            &["--initial", "1,2,nan"],
            "mnn: --initial: expected 3 finite numbers, got [1.0, 2.0, NaN]\n",
        ),
        (&["-o", "absent/a.csv"], "mnn: absent/a.csv: there is no folder absent\n"),
    ] {
        let run = workspace.run(&[&["simulate", "lorenz"][..], arguments].concat()).expect(MISUSE);
        assert_eq!(run.stderr, message);
    }
    let run = workspace.run(&["simulate", "lorenz", "--noise", "-1"]).expect(MISUSE);
    assert!(run.stderr.contains("--noise"), "{}", run.stderr);
    let run = workspace.run(&["simulate", "lorenz", "--points", "-1"]).expect(MISUSE);
    assert!(run.stderr.contains("invalid value '-1' for '--points <N>'"), "{}", run.stderr);
    let run = workspace.run(&["simulate", "nothing"]).expect(MISUSE);
    assert!(run.stderr.contains("lorenz, rossler"), "{}", run.stderr);
    assert!(workspace.files().is_empty());
}

#[test]
fn a_blow_up_is_a_numerical_failure() {
    let workspace = Workspace::new();
    let start = ["--initial=-1,0,1e300", "-o", "a.csv"];
    let run = workspace.run(&[&["simulate", "rossler"][..], &start].concat());
    let run = run.expect(NUMERICAL_FAILURE);
    let message = "mnn: the solution from -1,0,1e300 cannot be followed from t = 0 to ";
    assert!(run.stderr.starts_with(message), "{}", run.stderr);
    assert!(run.stderr.contains("grows beyond all bounds"), "{}", run.stderr);
    assert!(workspace.files().is_empty());
}

#[test]
fn what_is_said_of_extreme_numbers_is_true() {
    let workspace = Workspace::new();
    // It decays: the step is what is wrong.
    for dt in ["1e300", "1e9"] {
        let run = workspace.run(&["simulate", "linear", "--dt", dt, "--points", "3"]);
        let run = run.expect(NUMERICAL_FAILURE);
        assert_eq!(run.stdout, "t,x,y\n0,2,0\n", "the rows before");
        assert!(run.stderr.contains("the step between two points is too long"), "{}", run.stderr);
        assert!(run.stderr.len() < 200, "{}", run.stderr);
    }
    let run = workspace.run(&["simulate", "linear", "--dt", "1e-320", "--points", "3"]);
    let times: Vec<f64> = run
        .expect(DONE)
        .stdout
        .lines()
        .skip(1)
        .map(|row| row.split(',').next().unwrap().parse().unwrap())
        .collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    let run = workspace.run(&["simulate", "linear", "--noise", "1.7e308"]).expect(MISUSE);
    assert_eq!(run.stderr, "mnn: --noise: values with a noise of 1.7e308 are not finite\n");
}
