//! Ctrl-C and SIGTERM, in the middle of what takes long.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{DONE, Run, Workspace};

/// Exit codes.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// The program is to end within a second; a machine whose cores other tests keep busy is given
/// three.
const WITHIN: Duration = Duration::from_secs(3);

fn start(workspace: &Workspace, arguments: &[&str]) -> Child {
    let mut command = workspace.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Sends a signal and returns how the program ended.
#[track_caller]
fn end(child: Child, name: &str) -> Run {
    let begin = Instant::now();
    signal(&child, name);
    let run = Run::from(child.wait_with_output().unwrap());
    assert!(begin.elapsed() < WITHIN, "{:?} after {name}", begin.elapsed());
    run
}

/// Checks the exit code and the last line of a program that a signal has ended.
#[track_caller]
fn assert_ended(run: Run, name: &str) -> Run {
    let (code, word) =
        if name == "-INT" { (INTERRUPTED, "interrupted") } else { (TERMINATED, "terminated") };
    let run = run.expect(code);
    assert!(run.stderr.ends_with(&format!("mnn: {word}\n")), "{}", run.stderr);
    run
}

/// A table of 6 states, oscillators that are coupled, with `rows` rows.
fn six_states(rows: usize) -> String {
    let mut table = String::from("t,a,b,c,d,e,f\n");
    for i in 0..rows {
        let t = i as f64 * 0.01;
        let x = |k: f64| (t * (1.0 + 0.1 * k)).sin() + 0.3 * (t * k).cos();
        let row: Vec<String> = (1..=6).map(|k| x(f64::from(k)).to_string()).collect();
        table += &format!("{t},{}\n", row.join(","));
    }
    table
}

#[test]
fn a_search_ends_with_the_equations_so_far_and_without_files() {
    let workspace = Workspace::new();
    workspace.run(&["simulate", "lorenz", "--noise", "0.1", "-o", "a.csv"]).expect(DONE);
    let outputs = ["--plot", "p.svg", "--output", "o.csv", "--save", "m", "--report", "r.html"];
    for name in ["-INT", "-TERM"] {
        let search = ["discover", "a.csv", "--degree", "3"];
        let mut child = start(&workspace, &[&search[..], &outputs].concat());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // The first equations.
        while !line.starts_with("z' = ") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it has ended");
        }
        let mut run = end(child, name);
        stderr.read_to_string(&mut run.stderr).unwrap();
        let run = assert_ended(run, name);
        let (_, last) =
            run.stderr.split_once("the equations when interrupted, not final:\n").unwrap();
        assert!(["x' = ", "\ny' = ", "\nz' = "].iter().all(|lhs| last.contains(lhs)), "{last}");
        assert_eq!((run.stdout.as_str(), workspace.files()), ("", vec!["a.csv".to_owned()]));
    }
}

#[test]
fn one_long_iteration_ends_too() {
    let workspace = Workspace::new();
    workspace.write("a.csv", six_states(100_000));
    for method in ["joint", "network"] {
        let search = ["discover", "a.csv", "--degree", "4", "--method", method, "-o", "o.csv"];
        let child = start(&workspace, &search);
        sleep(Duration::from_millis(1500));
        assert_ended(end(child, "-INT"), "-INT");
        assert_eq!(workspace.files(), ["a.csv"], "{method}");
    }
}

#[test]
fn a_simulation_ends_with_whole_rows() {
    let workspace = Workspace::new();
    let endless = ["simulate", "lorenz", "--points", "1000000000", "-o"];
    let mut child = start(&workspace, &[&endless[..], &["-"]].concat());
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    for _ in 0..1000 {
        stdout.read_line(&mut text).unwrap();
    }
    let reader = std::thread::spawn(move || {
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    assert_ended(end(child, "-TERM"), "-TERM");
    let text = reader.join().unwrap();
    assert!(text.ends_with('\n'));
    let mut rows = text.lines().map(|row| row.split(',').count());
    assert!(rows.all(|fields| fields == 4));

    let child = start(&workspace, &[&endless[..], &["a.csv"]].concat());
    // By then it writes its file, which on Linux has no name yet.
    sleep(Duration::from_millis(500));
    assert_ended(end(child, "-INT"), "-INT");
    assert!(workspace.files().is_empty(), "{:?}", workspace.files());
}

/// A batch that takes seconds to be read, solved and written.
#[test]
fn a_solve_ends_wherever_it_is() {
    let workspace = Workspace::new();
    let (batch, points) = (2_000, 500);
    let zeros = |count: usize| vec![0u8; 8 * count];
    let ones = |count: usize| 1f64.to_le_bytes().repeat(count);
    let (a, b) = (zeros(batch * points * 16 * 2), zeros(batch * points * 4));
    let (c, d) = (zeros(batch * 4), ones(1));
    let cotangent = ones(batch * points * 4 * 2);
    let tensor = |shape: &[usize], data| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F64, shape.to_vec(), data).unwrap()
    };
    let tensors = [
        ("coefficients", tensor(&[batch, points, 4, 4, 2], &a)),
        ("rhs", tensor(&[batch, points, 4], &b)),
        ("initial_values", tensor(&[batch, 1, 4, 1], &c)),
        ("steps", tensor(&[1, 1], &d)),
        ("cotangent", tensor(&[batch, points, 4, 2], &cotangent)),
    ];
    safetensors::serialize_to_file(tensors, None, &workspace.path("p.st")).unwrap();
    for wait in [100, 300, 600] {
        let child = start(&workspace, &["solve", "p.st", "-o", "s.st"]);
        sleep(Duration::from_millis(wait));
        assert_ended(end(child, "-TERM"), "-TERM");
        assert_eq!(workspace.files(), ["p.st"], "after {wait} ms");
    }
}

#[test]
fn a_bench_ends_with_the_runs_so_far() {
    let workspace = Workspace::new();
    let sizes = ["--batch", "10", "--points", "20", "--states", "2", "--order", "1"];
    let child = start(&workspace, &[&["bench"][..], &sizes].concat());
    sleep(Duration::from_millis(600));
    let run = assert_ended(end(child, "-INT"), "-INT");
    assert!(run.stderr.contains(" runs: forward "), "{}", run.stderr);
    assert_eq!(run.stdout, "");
}

/// Nobody reads the standard error of a program that wants to say its last words there.
#[test]
fn nothing_to_read_the_last_words_is_no_reason_to_stay() {
    let workspace = Workspace::new();
    workspace.write("a.csv", six_states(2000));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = workspace.command(&["discover", "a.csv", "--degree", "3"]);
    let child = command.stderr(writer.try_clone().unwrap()).spawn().unwrap();
    let mut full = writer;
    std::thread::spawn(move || std::io::Write::write_all(&mut full, &[b' '; 1 << 20]));
    sleep(Duration::from_millis(700));
    let run = end(child, "-INT");
    assert_eq!(run.code, INTERRUPTED);
    drop(reader);
}
