//! Processes that are killed while they write: the file is the old or the new one, whole. Nothing
//! else is left, but for a second whole file under the name `.mnn.tmp` where the kill came between
//! the two calls that replace a file, which the next replacement removes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fuzz::kills::{self, SIZE};
use mechanistic::files::atomic;

/// Returns how often a process is killed: `MNN_KILLS` times, and 60 times in an ordinary test.
fn kills() -> u64 {
    std::env::var("MNN_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

/// Starts a process that writes a file again and again, and waits until it has begun.
fn writer(kind: &str, path: &Path) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .args(["write", kind])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "writing\n");
    child
}

/// Kills writers of a file at times of every phase of a write, calls `check` after each kill, and
/// returns how many kills left a second file: one that was whole, but not yet in its place.
fn kill_often(kind: &str, path: &Path, mut check: impl FnMut(&Path)) -> u64 {
    let folder = path.parent().unwrap();
    let mut between = 0;
    for kill in 0..kills() {
        let mut child = writer(kind, path);
        // The golden ratio spreads the times of the kills evenly over 8 ms.
        let part = (kill as f64 * 0.618_033_988_749_895).fract();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs_f64(0.008 * part) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        check(path);
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let names: BTreeSet<_> = names.collect();
        let temporary = folder.join(".mnn.tmp");
        if names.contains(temporary.file_name().unwrap()) {
            between += 1;
            check(&temporary);
        }
        let others = names.iter().filter(|name| *name != ".mnn.tmp").count();
        assert!(others <= 1, "kill {kill} leaves {names:?}");
    }
    between
}

#[test]
fn a_table_is_whole_after_every_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    std::fs::write(&path, [b'-'; SIZE]).unwrap();
    let mut contents = BTreeSet::new();
    let between = kill_often("table", &path, |path| {
        let bytes = std::fs::read(path).unwrap();
        assert!(bytes.len() == SIZE && bytes.iter().all(|byte| *byte == bytes[0]), "torn");
        contents.insert(bytes[0]);
    });
    assert!(contents.len() > 1, "no writer was quick enough to write a file");
    eprintln!("{} kills of a table's writer, {between} between two calls", kills());
    // What a kill may leave, the next file that is written removes.
    atomic::write(&path, |_| Ok(())).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_training_goes_on_after_every_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    // From the first checkpoint on there always is one.
    let (mut child, begin) = (writer("checkpoint", &path), Instant::now());
    while !path.exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "no checkpoint is written");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let steps_in = |file: &Path| {
        assert!(file.exists());
        let training = kills::training().unwrap().with_checkpoints(file.to_owned(), 1).unwrap();
        training.optimizer.steps()
    };
    let first = steps_in(&path);
    let mut steps = first;
    let between = kill_often("checkpoint", &path, |file| {
        let taken = steps_in(file);
        // One that is not yet in its place is a step ahead.
        if file == path {
            assert!(taken >= steps, "{steps} steps were taken, {taken} are left");
            steps = taken;
        }
    });
    assert!(steps > first, "no writer was quick enough to write a checkpoint");
    eprintln!("{} kills of a training, {between} between two calls, {steps} steps", kills());
}
