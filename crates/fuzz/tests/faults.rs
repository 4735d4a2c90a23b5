//! Faults of the disk while the program writes: it says so with exit code 2, and the file that was
//! there stays as it was.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const OLD: &str = "what was there before\n";

/// A folder with a file `out.csv`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("out.csv"), OLD).unwrap();
    folder
}

/// Runs `mnn simulate`, which writes some 100 KB, in a folder, by a shell that does `before` first.
fn simulate(folder: &Path, before: &str, output: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_fuzz");
    let call = format!("{before} exec {program} mnn simulate lorenz --points 2000 -o {output}");
    Command::new("sh")
        .args(["-c", &call])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn expect_refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(words) && !said.contains("panicked"), "{said}");
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_may_not_grow_leaves_the_old_one() {
    let folder = folder();
    // The signal that comes with the limit is ignored, so that the write itself fails as it does on
    // a full disk.
    for blocks in [0, 1, 8, 64] {
        let limit = format!("trap '' XFSZ; ulimit -f {blocks};");
        let output = simulate(folder.path(), &limit, "out.csv");
        expect_refused(&output, "out.csv: ");
        assert_eq!(std::fs::read_to_string(folder.path().join("out.csv")).unwrap(), OLD);
        assert_eq!(names(folder.path()), ["out.csv"], "{blocks} blocks");
        expect_refused(&simulate(folder.path(), &limit, "new.csv"), "new.csv: ");
        assert_eq!(names(folder.path()), ["out.csv"], "{blocks} blocks");
    }
    // The signal ends the program at once; the file that has no name yet goes with it.
    let output = simulate(folder.path(), "ulimit -f 8; ulimit -c 0;", "out.csv");
    assert_eq!(output.status.code(), None);
    assert_eq!(names(folder.path()), ["out.csv"]);
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = folder();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // Only the superuser may make a small disk.
    let mount = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
    let mounted = Command::new("mount").args(mount).arg(&disk).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return;
    }
    std::fs::write(disk.join("out.csv"), OLD).unwrap();
    let output = simulate(&disk, "", "out.csv");
    let (kept, files) = (std::fs::read_to_string(disk.join("out.csv")), names(&disk));
    let unmounted = Command::new("umount").arg(&disk).status().unwrap();
    assert!(unmounted.success());
    expect_refused(&output, "out.csv: No space left on device");
    assert_eq!(kept.unwrap(), OLD);
    assert_eq!(files, ["out.csv"]);
}

/// In a folder where everybody writes, somebody else's files cannot be removed, and in part not
/// even be opened.
#[test]
fn files_of_others_under_the_temporary_name_are_no_obstacle() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let folder = folder();
    let mode = |name: &str, mode: u32| {
        std::fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode))
            .unwrap();
    };
    mode("", 0o1777);
    std::fs::write(folder.path().join(".mnn.tmp"), "somebody else's").unwrap();
    for of_others in [0o644, 0o622, 0o600] {
        mode(".mnn.tmp", of_others);
        let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz"));
        command.args(["mnn", "simulate", "lorenz", "--points", "20", "-o", "new.csv"]);
        command.current_dir(folder.path());
        // Only the superuser may be somebody else.
        if !command.uid(NOBODY).gid(NOBODY).output().is_ok_and(|run| run.status.success()) {
            let own = Command::new("id").arg("-u").output().unwrap();
            assert_ne!(own.stdout, b"0\n", "the first file that nobody writes");
            return;
        }
        let run = command.output().unwrap();
        assert_eq!(run.status.code(), Some(0), "{of_others:o}: {run:?}");
        assert_eq!(names(folder.path()), [".mnn.tmp", "new.csv", "out.csv"], "{of_others:o}");
    }
}

#[test]
fn devices_folders_and_pipes_are_no_files() {
    let folder = folder();
    expect_refused(&simulate(folder.path(), "", "/dev/full"), "No space left on device");
    expect_refused(&simulate(folder.path(), "", "."), "is a folder");
    expect_refused(&simulate(folder.path(), "", "absent/out.csv"), "there is no folder");
    expect_refused(&simulate(folder.path(), "", "/proc/out.csv"), "no file can be made");
    // A pipe gets the table, whatever its reader does with it.
    let output = simulate(folder.path(), "mkfifo pipe; cat pipe > read &", "pipe");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let reader_is_done = || {
        let text = std::fs::read_to_string(folder.path().join("read")).unwrap_or_default();
        text.lines().count() == 2001
    };
    let begin = std::time::Instant::now();
    while !reader_is_done() {
        assert!(begin.elapsed().as_secs() < 20, "the reader gets no table");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let output =
        simulate(folder.path(), "mkfifo broken; head -c 10 broken > /dev/null &", "broken");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Broken pipe"), "{said}");
    assert_eq!(names(folder.path()), ["broken", "out.csv", "pipe", "read"]);
}
