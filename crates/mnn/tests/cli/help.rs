//! Help, `mnn info`, `mnn bench`.

use crate::{DONE, MISUSE, Workspace};

#[test]
fn every_subcommand_explains_itself() {
    let workspace = Workspace::new();
    let overview = workspace.run(&["--help"]).expect(DONE).stdout;
    assert!(overview.contains("Exit codes: 0 done, 1 numerical failure"), "{overview}");
    for name in ["discover", "predict", "solve", "simulate", "bench", "info"] {
        assert!(overview.contains(&format!("\n  {name} ")), "{overview}");
        let help = workspace.run(&[name, "--help"]).expect(DONE).stdout;
        assert!(help.contains(&format!("Usage: mnn {name}")), "{help}");
        assert!(help.contains("Exit codes: 0 done, 1 numerical failure"), "{help}");
    }
    let help = workspace.run(&["discover", "--help"]).expect(DONE).stdout;
    for flag in ["--time", "--trajectory", "--states", "--method", "--plot", "--save", "--format"] {
        assert!(help.contains(flag), "{flag} in:\n{help}");
    }
    let version = workspace.run(&["--version"]).expect(DONE).stdout;
    assert_eq!(version, concat!("mnn ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// The block of commands in the README that begins with `mnn`.
#[cfg(unix)]
#[test]
fn the_commands_of_the_readme_run() {
    use std::path::Path;
    use std::process::Command;

    use crate::{Run, repository};

    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let block = readme.split("```sh\n").find(|block| block.starts_with("mnn ")).unwrap();
    let commands = block.split("```").next().unwrap();
    assert!(commands.lines().count() >= 6, "{commands}");
    let workspace = Workspace::new();
    let program = Path::new(env!("CARGO_BIN_EXE_mnn")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    for command in commands.lines() {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).env("PATH", &path).current_dir(workspace.path(""));
        let run = Run::from(shell.output().unwrap()).expect(DONE);
        if command.contains("predict") {
            assert!(run.stdout.starts_with("x: R^2 = 0.99"), "{}", run.stdout);
        }
    }
    assert!(workspace.files().contains(&"p.svg".to_owned()), "{:?}", workspace.files());
}

#[test]
fn nothing_and_nonsense_are_misuse() {
    let workspace = Workspace::new();
    assert!(workspace.run::<&str>(&[]).expect(MISUSE).stderr.contains("Usage: mnn"));
    workspace.run(&["nonsense"]).expect(MISUSE);
    workspace.run(&["discover"]).expect(MISUSE);
    workspace.run(&["discover", "a.csv", "--nonsense"]).expect(MISUSE);
}

#[test]
fn info_names_what_there_is() {
    let text = Workspace::new().run(&["info"]).expect(DONE).stdout;
    let names =
        ["version", "backends", "devices", "kernels", "features", "cpu threads", "cpu simd"];
    for name in names {
        assert!(text.lines().any(|line| line.starts_with(&format!("{name}: "))), "{text}");
    }
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    assert!(line("smoothness: ").ends_with(" taylor taylor_hold taylor_central hermite"), "{text}");
    assert!(line("scaling: ").ends_with(" auto unit balanced"), "{text}");
    assert!(line("factorization: ").ends_with(" auto cholesky square_root"), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_an_error_and_a_closed_pipe_is_not() {
    let workspace = Workspace::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = workspace.command(&["info"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(MISUSE));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("mnn: standard output: "), "{message}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = workspace.command(&["info"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(DONE), &b""[..]));
}

#[test]
fn bench_prints_medians_as_json() {
    let workspace = Workspace::new();
    for dtype in ["f64", "f32"] {
        let size = ["bench", "--batch", "2", "--points", "5", "--states", "1", "--order", "2"];
        let text = workspace.run(&[&size[..], &["--dtype", dtype, "--json"]].concat()).expect(DONE);
        let value: serde_json::Value = serde_json::from_str(&text.stdout).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 3);
        let [forward, backward, total] =
            ["forward_ms", "backward_ms", "total_ms"].map(|key| value[key].as_f64().unwrap());
        assert!(forward > 0.0 && backward > 0.0 && total >= forward.max(backward), "{value}");
    }
}

/// A random problem grows as it likes; nobody wants to know what becomes of its solution.
#[test]
fn bench_does_not_warn_of_its_own_problem() {
    let workspace = Workspace::new();
    let size = ["bench", "--batch", "3", "--points", "300", "--states", "2", "--order", "1"];
    assert_eq!(workspace.run(&size).expect(DONE).stderr, "");
}

#[test]
fn bench_refuses_impossible_sizes() {
    let workspace = Workspace::new();
    for (sizes, message) in [
        (["0", "5", "1", "1"], "mnn: --batch: must be at least 1, got 0\n"),
        (["1", "1", "1", "1"], "mnn: --points: must be at least 2, got 1\n"),
        (["1", "5", "0", "1"], "mnn: --states: must be at least 1, got 0\n"),
        (["1", "5", "1", "0"], "mnn: --order: must be at least 1, got 0\n"),
        (
            ["4000000000", "4000000000", "10", "1"],
            "mnn: coefficients: 18446744073709551615 bytes of memory cannot be had\n",
        ),
    ] {
        let flags = ["--batch", "--points", "--states", "--order"];
        let pairs = flags.into_iter().zip(sizes).flat_map(|(flag, size)| [flag, size]);
        let arguments: Vec<&str> = std::iter::once("bench").chain(pairs).collect();
        assert_eq!(workspace.run(&arguments).expect(MISUSE).stderr, message);
    }
}
