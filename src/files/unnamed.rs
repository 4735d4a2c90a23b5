//! Files that have no name until they are whole, as Linux has them: whatever ends the process that
//! writes one, the operating system removes it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat, open};
use rustix::io::Errno;

/// Name of a file between the two calls that replace another one by it.
const TEMPORARY: &str = ".mnn.tmp";

/// Makes a file without a name in a folder, with these permissions where the process's mask has
/// them; returns `None` where the file system has no such files.
pub fn create(folder: &Path, mode: u32) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(open(folder, flags, Mode::from_raw_mode(mode)).ok()?);
    itself(&file).exists().then_some(file)
}

/// Gives the file its name in the folder that it was made in. An older file of this name is replaced
/// in one step.
///
/// No call of the operating system gives a file without a name the name of another one. To replace
/// one takes two calls, with a temporary name in between: a process that ends just there leaves the
/// new file, whole, under that name. The lock tells such a file from one whose writer is alive, and
/// the next replacement in the folder removes it.
///
/// # Errors
/// The operating system's.
pub fn give_name(file: &File, target: &Path) -> io::Result<()> {
    match link(file, target) {
        Err(Errno::EXIST) => {}
        done => return Ok(done?),
    }
    flock(file, FlockOperation::LockExclusive)?;
    let temporary = target.with_file_name(TEMPORARY);
    loop {
        match link(file, &temporary) {
            Err(Errno::EXIST) => remove_abandoned(&temporary)?,
            Err(error) => return Err(error.into()),
            Ok(()) => break,
        }
    }
    fs::rename(&temporary, target).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Waits for the process that is replacing a file by this one, and removes it if there is none.
fn remove_abandoned(temporary: &Path) -> io::Result<()> {
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let file = match File::open(temporary) {
        Err(error) if absent(&error) => return Ok(()),
        file => file?,
    };
    flock(&file, FlockOperation::LockExclusive)?;
    // Who holds the lock is the only one to remove the file, unless its writer has renamed it.
    let (ours, there) = match fs::metadata(temporary) {
        Err(error) if absent(&error) => return Ok(()),
        there => (file.metadata()?, there?),
    };
    match (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
        true => fs::remove_file(temporary),
        false => Ok(()),
    }
}

fn link(file: &File, name: &Path) -> rustix::io::Result<()> {
    linkat(CWD, itself(file), CWD, name, AtFlags::SYMLINK_FOLLOW)
}

/// Returns a path that leads to an open file, if the system has its `/proc`.
fn itself(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_a_killed_writer_left_is_removed_and_a_living_one_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (target, temporary) = (folder.path().join("a"), folder.path().join(TEMPORARY));
        let write = |text: &str| {
            let mut file = create(folder.path(), 0o666).expect("this file system has such files");
            file.write_all(text.as_bytes()).unwrap();
            give_name(&file, &target).unwrap();
        };
        write("old");
        fs::write(&temporary, "a writer that was killed between the two calls").unwrap();
        write("new");
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(!temporary.exists());

        let living = create(folder.path(), 0o666).unwrap();
        flock(&living, FlockOperation::LockExclusive).unwrap();
        link(&living, &temporary).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| write("newer"));
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!waiting.is_finished() && temporary.exists());
            fs::rename(&temporary, &target).unwrap();
            drop(living);
        });
        assert_eq!(fs::read_to_string(&target).unwrap(), "newer");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
