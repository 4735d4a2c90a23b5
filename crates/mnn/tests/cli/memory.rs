//! Too little memory and too many threads: a message, and never an abort or a panic.

use std::process::{Command, Output};

use crate::{DONE, MISUSE, NUMERICAL_FAILURE, Run, Workspace};

/// Runs the program in an address space of so many KiB; it may not even start.
fn output_within(workspace: &Workspace, kilobytes: usize, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_mnn"))
        .args(arguments)
        .current_dir(workspace.path(""))
        .env("RAYON_NUM_THREADS", "2");
    command.output().unwrap()
}

/// Runs the program in an address space of so many MiB.
fn within(workspace: &Workspace, megabytes: usize, arguments: &[&str]) -> Run {
    output_within(workspace, megabytes * 1024, arguments).into()
}

/// The least MiB in which the program starts, which has nothing to do with what a user asks for.
fn least(workspace: &Workspace) -> usize {
    let starts =
        |megabytes: &usize| output_within(workspace, megabytes * 1024, &["info"]).status.success();
    // Below that, a little more may go to a thread that leaves nothing to the others.
    (16..).find(|&least| (least..least + 8).all(|more| starts(&more))).unwrap() + 4
}

/// Returns the bytes that a message says cannot be had.
#[track_caller]
fn need(run: &Run) -> usize {
    let (before, _) = run.stderr.split_once(" bytes of memory cannot be had").expect(&run.stderr);
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A table of many rows and states.
fn table(rows: usize, states: usize) -> String {
    let names: Vec<String> = (0..states).map(|k| format!("x{k}")).collect();
    let mut table = format!("t,{}\n", names.join(","));
    for i in 0..rows {
        let t = i as f64 * 0.02;
        let values = (0..states).map(|k| ((1.0 + 0.1 * k as f64) * t + k as f64).sin().to_string());
        table += &format!("{t},{}\n", values.collect::<Vec<_>>().join(","));
    }
    table
}

/// Of a search in ever more memory: the message that there is not enough, then the result; and at
/// no size anything else.
#[test]
fn a_search_without_memory_says_what_it_needs() {
    let workspace = Workspace::new();
    workspace.write("a.csv", table(20_000, 4));
    for method in ["joint", "network"] {
        let search = ["discover", "a.csv", "-q", "--degree", "3", "--method", method];
        let mut needs = Vec::new();
        for megabytes in (least(&workspace)..150).step_by(6) {
            let run = within(&workspace, megabytes, &search).expect(MISUSE);
            if run.stderr.contains("the search: ") {
                needs.push(need(&run));
            }
        }
        assert!(!needs.is_empty(), "{method}");
        assert!(needs.iter().all(|need| *need == needs[0]), "{method}: {needs:?}");
    }
}

/// Between too little memory and enough for all models, simple ones are tried and rich ones not.
#[test]
fn models_that_need_too_much_memory_leave_the_others() {
    let workspace = Workspace::new();
    workspace.run(&["simulate", "lorenz", "--points", "20000", "-o", "a.csv"]).expect(DONE);
    let search = ["discover", "a.csv", "-q", "--format", "json"];
    let some = (least(&workspace)..300).step_by(8).any(|megabytes| {
        let run = within(&workspace, megabytes, &search);
        let known = [DONE, NUMERICAL_FAILURE, MISUSE].contains(&run.code);
        assert!(known, "in {megabytes} MiB: {}: {}", run.code, run.stderr);
        run.code == DONE && run.stdout.contains("bytes of memory cannot be had")
    });
    assert!(some);
}

/// Writes a small file `p` that asks for a large solution.
fn write_problem(workspace: &Workspace) {
    let tensor = |name: &str, shape: &[usize], values: &[f64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name.to_owned(), shape.to_vec(), bytes)
    };
    let tensors = [
        tensor("coefficients", &[1, 1, 1, 1, 2], &[1.0, 1.0]),
        tensor("rhs", &[1, 1, 1], &[0.0]),
        tensor("initial_values", &[1, 1, 1, 1], &[1.0]),
        // Each system has its own matrix, and so a factor.
        tensor("steps", &[1000, 1], &[0.1; 1000]),
    ];
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F64, shape.clone(), bytes);
        (name, view.unwrap())
    });
    let sizes = [("batch", "1000"), ("points", "10000")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let metadata = std::collections::HashMap::from(sizes);
    safetensors::serialize_to_file(views, Some(metadata), &workspace.path("p")).unwrap();
}

#[test]
fn every_subcommand_lives_without_memory() {
    let workspace = Workspace::new();
    workspace.write("a.csv", table(100_000, 4));
    write_problem(&workspace);
    let bench = ["bench", "--batch", "1000", "--points", "1000", "--states", "4", "--order", "2"];
    let searches = ["joint", "network"].map(|method| ["discover", "a.csv", "--method", method]);
    for arguments in [&["solve", "p", "-o", "r"][..], &bench, &searches[0], &searches[1]] {
        for megabytes in (least(&workspace)..100).step_by(7) {
            let run = within(&workspace, megabytes, arguments).expect(MISUSE);
            let said = run.stderr.contains("memory");
            assert!(said, "{arguments:?} in {megabytes} MiB: {}", run.stderr);
        }
        assert_eq!(workspace.files(), ["a.csv", "p"]);
    }
    // The whole need: at least the solution, the factor (a triangle for each point) and the gradient
    // of the coefficients.
    let run = within(&workspace, 200, &["solve", "p", "-o", "r"]).expect(MISUSE);
    assert!(
        run.stderr.starts_with("mnn: the solver, its solution and gradients: "),
        "{}",
        run.stderr
    );
    assert!(need(&run) > 1000 * 10_000 * 2 * 8 * 3, "{}", run.stderr);
    let run = within(&workspace, 200, &bench).expect(MISUSE);
    assert!(need(&run) > 1000 * 1000 * (12 + 12 * 13 / 2 + 4 * 12) * 8, "{}", run.stderr);
}

/// Tables that are large in every other way than by their rows of few states: where there is memory
/// enough they are searched or refused for what they are, and where there is not, that is said.
#[test]
fn tables_of_every_form_live_without_memory() {
    let workspace = Workspace::new();
    let trajectories = |count: usize| {
        let rows = (0..count).map(|run| format!("{run},0,1\n{run},1,2\n"));
        "run,t,x\n".to_owned() + &rows.collect::<String>()
    };
    let long = "x".repeat(1 << 22);
    let cases: [(&str, String, &[&str]); 4] = [
        ("columns", table(3, 60_000), &[]),
        // Each of the equations has 1 + 40 + 820 candidates, which border all of its normal matrix.
        ("border", table(60, 40), &["--degree", "2"]),
        ("trajectories", trajectories(100_000), &["--trajectory", "run"]),
        ("field", format!("t,x\n0,{long}\n1,2\n"), &[]),
    ];
    for (name, text, flags) in cases {
        workspace.write(name, text);
        let search = [&["discover", name, "-q"][..], flags].concat();
        let mut without_memory = 0;
        for megabytes in (least(&workspace)..130).step_by(9) {
            let run = within(&workspace, megabytes, &search);
            let known = [DONE, NUMERICAL_FAILURE, MISUSE].contains(&run.code);
            assert!(known, "{name} in {megabytes} MiB: {}: {}", run.code, run.stderr);
            without_memory += usize::from(run.stderr.contains("bytes of memory cannot be had"));
        }
        assert!(without_memory > 0 || name == "field", "{name}");
        std::fs::remove_file(workspace.path(name)).unwrap();
    }
}

#[test]
fn what_follows_growth_is_part_of_the_need() {
    let workspace = Workspace::new();
    write_problem(&workspace);
    let solve = |flags: &[&str]| {
        let run = within(&workspace, 200, &[&["solve", "p", "-o", "r"], flags].concat());
        need(&run.expect(MISUSE))
    };
    let (without, with) = (solve(&[]), solve(&["--follow-growth", "true"]));
    // A factor for each point of each system.
    assert!(with >= without + 1000 * 10_000 * 8, "{without} {with}");
}

#[test]
fn a_simulation_takes_no_memory() {
    let workspace = Workspace::new();
    let run = [
        "simulate", "lorenz", "--points", "300000", "--dt", "1e-4", "--noise", "1%", "-o", "a.csv",
    ];
    within(&workspace, 32, &run).expect(DONE);
    assert!(std::fs::metadata(workspace.path("a.csv")).unwrap().len() > 300_000 * 40);
}

/// As soon as the program is loaded, it never aborts: what little it needs besides what it asks for as a
/// whole may not be had either.
#[test]
fn without_a_small_piece_of_memory_the_program_ends_with_a_message() {
    let workspace = Workspace::new();
    let least = least(&workspace) * 1024;
    for kilobytes in (least - 8 * 1024..least + 4 * 1024).step_by(96) {
        let output = output_within(&workspace, kilobytes, &["info"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        // Before its first line, the system has no words for a program that it cannot load, and the
        // runtime of Rust some of its own.
        let begins = ["shared libraries", "alternative stack"];
        let begun = !stderr.is_empty() && !begins.iter().any(|words| stderr.contains(words));
        let known = matches!(output.status.code(), Some(DONE | MISUSE));
        assert!(known || !begun, "in {kilobytes} KiB: {}: {stderr}", output.status);
    }
}

/// Where there is memory for the program and not for all of its threads, fewer compute.
#[test]
fn with_any_more_memory_the_program_starts_too() {
    let workspace = Workspace::new();
    let least = least(&workspace);
    for megabytes in least..least + 24 {
        let run = within(&workspace, megabytes, &["info"]);
        assert_eq!(run.code, DONE, "{megabytes} MiB: {}", run.stderr);
    }
}

#[test]
fn too_many_threads_are_fewer() {
    let workspace = Workspace::new();
    for threads in ["1000000", "18446744073709551615"] {
        let mut command = workspace.command(&["info"]);
        let run = Run::from(command.env("RAYON_NUM_THREADS", threads).output().unwrap());
        let run = run.expect(DONE);
        let note = format!("mnn: RAYON_NUM_THREADS is {threads}; ");
        assert!(run.stderr.starts_with(&note), "{}", run.stderr);
        let line = run.stdout.lines().find(|line| line.starts_with("cpu threads:")).unwrap();
        let count: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(count >= 1 && count <= 4 * std::thread::available_parallelism().unwrap().get());
    }
}
