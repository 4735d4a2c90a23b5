//! Files that have no name until they are whole, as Linux has them: whatever ends the process that
//! writes one, the operating system removes it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat, open};
use rustix::io::Errno;

use super::atomic::temporary_name;

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
/// in one step. It waits for nobody.
///
/// No call of the operating system gives a file without a name the name of another one. To replace
/// one takes two calls, with a temporary name in between: a process that ends just there leaves the
/// new file, whole, under that name. The lock tells such a file from one whose writer is alive, and
/// the next replacement in the folder removes it. Where that name is taken by a living writer, or by
/// something that this user may not open or remove, the temporary name is a random one; under it, a
/// file that a killed process left stays until somebody removes it.
///
/// # Errors
/// The operating system's.
pub fn give_name(file: &File, target: &Path) -> io::Result<()> {
    match link(file, target) {
        Err(Errno::EXIST) => {}
        done => return Ok(done?),
    }
    // Nobody else has this file yet, so that the lock is free.
    flock(file, FlockOperation::NonBlockingLockExclusive)?;
    let temporary = target.with_file_name(TEMPORARY);
    let mut linked = link(file, &temporary);
    if linked == Err(Errno::EXIST) && remove_abandoned(&temporary).is_ok() {
        linked = link(file, &temporary);
    }
    match linked {
        Ok(()) => fs::rename(&temporary, target).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        }),
        Err(Errno::EXIST) => {
            let folder = target.parent().unwrap_or(Path::new(""));
            let linked = temporary_name().make_in(folder, |name| Ok(link(file, name)?))?;
            Ok(linked.persist(target).map(drop)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the file that a killed process left under the temporary name.
///
/// # Errors
/// It has a writer that is alive, or cannot be opened or removed.
fn remove_abandoned(temporary: &Path) -> io::Result<()> {
    // Neither a pipe, whose other end nobody may ever open, nor a link is opened; either right to
    // open the file will do.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |access| open(temporary, access | flags, Mode::empty());
    let file = File::from(open(OFlags::RDONLY).or_else(|_| open(OFlags::WRONLY))?);
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    // Who holds the lock is the only one to remove the file, unless its writer has renamed it.
    let (ours, there) = (file.metadata()?, fs::symlink_metadata(temporary)?);
    match ours.is_file() && (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
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
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn write(target: &Path, text: &str) {
        let folder = target.parent().unwrap();
        let mut file = create(folder, 0o666).expect("this file system has such files");
        file.write_all(text.as_bytes()).unwrap();
        give_name(&file, target).unwrap();
    }

    #[test]
    fn what_a_killed_writer_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, temporary) = (folder.path().join("a"), folder.path().join(TEMPORARY));
        write(&target, "old");
        for mode in [0o644, 0o200, 0o400] {
            fs::write(&temporary, "a writer that was killed between the two calls").unwrap();
            fs::set_permissions(&temporary, PermissionsExt::from_mode(mode)).unwrap();
            write(&target, &format!("{mode:o}"));
            assert_eq!(fs::read_to_string(&target).unwrap(), format!("{mode:o}"));
            assert!(!temporary.exists(), "{mode:o}");
        }
    }

    /// Whatever has the temporary name: the file is replaced without delay, and it stays.
    #[test]
    fn who_has_the_temporary_name_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let (target, temporary) = (folder.path().join("a"), folder.path().join(TEMPORARY));
        let living = create(folder.path(), 0o666).unwrap();
        flock(&living, FlockOperation::LockExclusive).unwrap();
        type Make<'a> = (&'a str, &'a dyn Fn());
        let kinds: [Make<'_>; 3] = [
            ("a living writer", &|| link(&living, &temporary).unwrap()),
            ("a folder", &|| fs::create_dir(&temporary).unwrap()),
            ("a link", &|| symlink("/dev/stdin", &temporary).unwrap()),
        ];
        write(&target, "old");
        for (kind, make) in kinds {
            make();
            let before = fs::symlink_metadata(&temporary).unwrap();
            write(&target, kind);
            assert_eq!(fs::read_to_string(&target).unwrap(), kind);
            assert_eq!(fs::symlink_metadata(&temporary).unwrap().ino(), before.ino(), "{kind}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "{kind}");
            fs::remove_file(&temporary).or_else(|_| fs::remove_dir(&temporary)).unwrap();
        }
    }

    #[test]
    fn writers_side_by_side_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a");
        std::thread::scope(|scope| {
            for digit in ["0", "1", "2"] {
                let text = digit.repeat(1 << 10);
                let target = &target;
                scope.spawn(move || (0..200).for_each(|_| write(target, &text)));
            }
        });
        let text = fs::read_to_string(&target).unwrap();
        assert!(text.len() == 1 << 10 && ["0", "1", "2"].contains(&&text[..1]), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
