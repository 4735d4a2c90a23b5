//! The files that a call writes: what they may not overwrite, and what happens when one fails.

use std::path::Path;

use crate::{DONE, MISUSE, Run, Workspace};

/// x' = −0.1 x + 2 y, y' = −2 x − 0.1 y with 1 % noise, in the folder `data`.
fn oscillator() -> Workspace {
    let workspace = Workspace::new();
    std::fs::create_dir(workspace.path("data")).unwrap();
    let simulate = ["simulate", "linear", "--noise", "1%", "--dt", "0.05", "--points", "300"];
    workspace.run(&[&simulate[..], &["-o", "data/a.csv"]].concat()).expect(DONE);
    workspace
}

fn read(workspace: &Workspace, name: &str) -> Vec<u8> {
    std::fs::read(workspace.path(name)).unwrap()
}

#[track_caller]
fn assert_refused(run: Run, message: &str) {
    let run = run.expect(MISUSE);
    assert_eq!((run.stdout.as_str(), run.stderr), ("", format!("mnn: {message}\n")));
}

fn same(flag: &str, path: &str, other: &str) -> String {
    format!("{flag}: {path} is the same file as {other}, and would overwrite it")
}

#[test]
fn an_output_that_is_an_input_is_refused() {
    let workspace = oscillator();
    let before = read(&workspace, "data/a.csv");
    workspace.write("p.svg", &before).write("p.st", "a problem");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("data/a.csv", workspace.path("link")).unwrap();
        std::fs::hard_link(workspace.path("data/a.csv"), workspace.path("hard")).unwrap();
    }
    let mut spellings = vec!["data/a.csv", "./data/a.csv", "data/../data/a.csv"];
    if cfg!(unix) {
        spellings.extend(["link", "hard"]);
    }
    for path in spellings {
        for flag in ["--output", "--save"] {
            let run = workspace.run(&["discover", "data/a.csv", flag, path]);
            assert_refused(run, &same(flag, path, "data/a.csv"));
        }
    }
    let run = workspace.run(&["discover", "p.svg", "--plot", "./p.svg"]);
    assert_refused(run, &same("--plot", "./p.svg", "p.svg"));
    let run = workspace.run(&["solve", "p.st", "-o", "data/../p.st"]);
    assert_refused(run, &same("--output", "data/../p.st", "p.st"));
    assert!(read(&workspace, "data/a.csv") == before, "the input is untouched");
    assert!(read(&workspace, "p.svg") == before && read(&workspace, "p.st") == b"a problem");
}

#[test]
fn two_outputs_in_one_file_are_refused() {
    let workspace = oscillator();
    for (output, save) in [("new", "./new"), ("data/../new.svg", "new.svg")] {
        let run = workspace.run(&["discover", "data/a.csv", "-o", output, "--save", save]);
        assert_refused(run, &same("--save", save, output));
    }
    let run = workspace.run(&["discover", "data/a.csv", "-o", "b.svg", "--plot", "./b.svg"]);
    assert_refused(run, &same("--plot", "./b.svg", "b.svg"));
    assert_eq!(workspace.files(), ["data"]);
}

/// Through standard input and output as through files.
#[test]
fn tables_pass_through_pipes() {
    use std::process::Stdio;

    let workspace = oscillator();
    let made = ["simulate", "linear", "--noise", "1%", "--dt", "0.05", "--points", "300"];
    let run = workspace.run(&[&made[..], &["-o", "-"]].concat()).expect(DONE);
    assert_eq!(run.stdout.as_bytes(), read(&workspace, "data/a.csv"));

    let search = ["discover", "data/a.csv", "-q", "-o"];
    let file = workspace.run(&[&search[..], &["o.csv"]].concat()).expect(DONE);
    let pipe = workspace.run(&[&search[..], &["-"]].concat()).expect(DONE);
    assert_eq!(pipe.stdout.as_bytes(), read(&workspace, "o.csv"));
    assert_eq!(pipe.stderr.trim_end(), file.stdout.trim_end(), "the equations");

    let input = std::fs::File::open(workspace.path("data/a.csv")).unwrap();
    let mut command = workspace.command(&["discover", "-", "-q"]);
    let run = Run::from(command.stdin(input).output().unwrap()).expect(DONE);
    assert_eq!(run.stdout, file.stdout);
    let mut command = workspace.command(&["discover", "-"]);
    let run = Run::from(command.stdin(Stdio::null()).output().unwrap());
    assert_refused(run, "standard input:1: the file is empty: a table has a header and rows");
    std::fs::remove_file(workspace.path("o.csv")).unwrap();
    assert_eq!(workspace.files(), ["data"]);
}

#[cfg(target_os = "linux")]
#[test]
fn standard_input_is_not_overwritten() {
    let workspace = oscillator();
    let input = std::fs::File::open(workspace.path("data/a.csv")).unwrap();
    let mut command = workspace.command(&["discover", "-", "-o", "data/a.csv"]);
    let run = Run::from(command.stdin(input).output().unwrap());
    assert_refused(run, &same("--output", "data/a.csv", "/dev/stdin"));
}

#[cfg(unix)]
#[test]
fn a_dangling_link_is_followed_and_is_the_file_that_it_names() {
    let workspace = oscillator();
    std::os::unix::fs::symlink("new", workspace.path("dangling")).unwrap();
    let run = workspace.run(&["discover", "data/a.csv", "-o", "new", "--save", "dangling"]);
    assert_refused(run, &same("--save", "dangling", "new"));
    workspace.run(&["simulate", "linear", "--points", "3", "-o", "dangling"]).expect(DONE);
    assert!(std::fs::symlink_metadata(workspace.path("dangling")).unwrap().is_symlink());
    assert!(read(&workspace, "new").starts_with(b"t,x,y\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_is_not_overwritten() {
    let workspace = oscillator();
    let file = std::fs::File::create(workspace.path("b.csv")).unwrap();
    let mut command = workspace.command(&["discover", "data/a.csv", "-o", "b.csv"]);
    let run = Run::from(command.stdout(file).output().unwrap());
    assert_refused(run, &same("--output", "b.csv", "/dev/stdout"));
}

#[test]
fn a_file_that_cannot_be_made_is_known_before_the_search() {
    let workspace = oscillator();
    let long = "n".repeat(300);
    let mut names = vec!["new/", "data", "data/new/.", long.as_str()];
    if cfg!(target_os = "linux") {
        names.push("/proc/new");
    }
    for name in names {
        for arguments in [
            &["discover", "data/a.csv", "--save", name][..],
            &["simulate", "linear", "-o", name],
            &["solve", "data/a.csv", "-o", name],
        ] {
            let run = workspace.run(arguments).expect(MISUSE);
            // Not the progress of a search, nor the complaint that a table is no problem.
            assert!(run.stderr.starts_with(&format!("mnn: {name}: ")), "{}", run.stderr);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        }
    }
    assert_eq!(workspace.files(), ["data"]);
}

/// A full disk shows only when it is written to.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_fails_takes_nothing_with_it() {
    let workspace = oscillator();
    let full = Path::new("/dev/full");
    let outputs = ["-o", "o.csv", "--save", "m", "--plot", "p.svg", "-q"];
    for lost in ["o.csv", "m"] {
        let outputs = outputs.map(|word| if word == lost { full.to_str().unwrap() } else { word });
        let run = workspace.run(&[&["discover", "data/a.csv"][..], &outputs].concat());
        let run = run.expect(MISUSE);
        assert!(run.stdout.contains("\ny' = "), "{}", run.stdout);
        assert_eq!(run.stderr, "mnn: /dev/full: No space left on device (os error 28)\n");
        let mut files = vec!["data", "m", "o.csv", "p.svg"];
        files.retain(|file| *file != lost);
        assert_eq!(workspace.files(), files);
        files[1..].iter().for_each(|file| std::fs::remove_file(workspace.path(file)).unwrap());
    }
    let mut command = workspace.command(&["discover", "data/a.csv", "-q", "-o", "o.csv"]);
    let out = std::fs::File::options().write(true).open(full).unwrap();
    let run = Run::from(command.stdout(out).output().unwrap()).expect(MISUSE);
    assert!(run.stderr.starts_with("mnn: standard output: "), "{}", run.stderr);
    assert!(read(&workspace, "o.csv").starts_with(b"t,x_smoothed"));
}

#[cfg(unix)]
#[test]
fn a_replaced_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;

    let workspace = Workspace::new();
    workspace.write("a.csv", "");
    let mode = || std::fs::metadata(workspace.path("a.csv")).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(workspace.path("a.csv"), PermissionsExt::from_mode(0o600)).unwrap();
    workspace.run(&["simulate", "linear", "--points", "3", "-o", "a.csv"]).expect(DONE);
    assert_eq!(mode(), 0o600);
}
