//! Files that are written whole or not at all.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

#[cfg(target_os = "linux")]
use super::unnamed;
use crate::{Error, Result};

/// Symbolic links that are followed one after another before they count as a circle.
const MOST_LINKS: usize = 40;

/// Writes a file as a whole or not at all: `fill` writes a new file in the folder of `path`, which is
/// synchronized to the disk and then takes the place of `path`. When anything fails, an existing
/// `path` keeps its contents and no new file is left.
///
/// So it is when the process is killed, too: on Linux, the new file has no name until it is whole.
/// Only a kill in the microseconds in which an older file is replaced may leave the new one, whole,
/// as `.mnn.tmp`; the next file that is replaced in the folder removes it. Where that name is taken,
/// by another process that is replacing a file or by something that this user may not remove, and
/// where the file system has no files without a name (network file systems, other operating
/// systems), a kill leaves a temporary file `.mnn-*.tmp`, which is the user's to remove.
///
/// A file that is replaced hands its permissions on; one that may not be written is not replaced. A
/// symbolic link is followed, also to a file that does not exist yet. A device or pipe
/// (`/dev/stdout`) is written directly.
///
/// # Errors
/// [`Error::Io`] names `path` and gives the operating system's reason.
pub fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<()> {
    try_write(path, fill).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Checks that [`write()`] could create or replace `path`, so that a long computation fails before
/// it begins. Nothing is changed.
///
/// # Errors
/// [`Error::Io`] when the folder does not exist or cannot be written to, when `path` is a folder or
/// a file that may not be written, or when no file can have this name.
pub fn check(path: &Path) -> Result<()> {
    try_check(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Returns whether two paths lead to one regular file, or would if both were written: under another
/// spelling, through a symbolic link, or (on Unix) as hard links. What cannot be overwritten, such
/// as a terminal or a pipe, is no such file.
pub fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
        use std::os::unix::fs::MetadataExt;
        return a.is_file() && b.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino());
    }
    let absolute = |path: &Path| -> io::Result<PathBuf> {
        let target = target(path)?;
        Ok(fs::canonicalize(folder(&target))?.join(target.file_name().unwrap_or_default()))
    };
    matches!((absolute(a), absolute(b)), (Ok(a), Ok(b)) if a == b)
}

fn try_check(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::other("is a folder"));
    }
    let target = target(path)?;
    match fs::metadata(&target) {
        // To open a pipe would be to wait for its reader.
        Ok(existing) if !existing.is_file() => return Ok(()),
        Ok(_) => drop(File::options().write(true).open(&target)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let folder = folder(&target);
    if !folder.is_dir() {
        return Err(io::Error::other(format!("there is no folder {}", folder.display())));
    }
    tempfile::tempfile_in(&folder).map(drop).map_err(|error| {
        let message = format!("no file can be made in {}: {}", folder.display(), error.kind());
        io::Error::new(error.kind(), message)
    })
}

fn try_write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let through = |file: &File| -> io::Result<()> {
        let mut buffer = BufWriter::with_capacity(1 << 16, file);
        let filled = fill(&mut buffer).and_then(|()| buffer.flush());
        // What could not be written is not tried again when the buffer is dropped.
        let _ = buffer.into_parts();
        filled
    };
    if fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
        return through(&File::options().write(true).open(path)?);
    }
    let target = target(path)?;
    let permissions = match fs::metadata(&target) {
        Ok(existing) => {
            File::options().write(true).open(&target)?;
            Some(existing.permissions())
        }
        Err(_) => None,
    };
    let mut builder = temporary_name();
    // What replaces a private file is private from the beginning.
    #[cfg(unix)]
    let new = permissions.clone().unwrap_or(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    #[cfg(unix)]
    builder.permissions(new.clone());
    let finish = |file: &File| -> io::Result<()> {
        through(file)?;
        permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
        file.sync_all()
    };
    #[cfg(target_os = "linux")]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&new);
        if let Some(file) = unnamed::create(&folder(&target), mode) {
            finish(&file)?;
            let _none_is_discarded = unfinished();
            return unnamed::give_name(&file, &target);
        }
    }
    let temporary = Temporary::new(&builder, &folder(&target))?;
    finish(temporary.file())?;
    temporary.persist(&target)
}

/// Returns a maker of files with random names, `.mnn-*.tmp`.
pub(super) fn temporary_name() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mnn-").suffix(".tmp");
    builder
}

/// The temporary files that exist.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // A set of paths is whole even if a thread panicked while it held the lock.
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary file, which is among the [`UNFINISHED`] as long as it exists.
struct Temporary(Option<NamedTempFile>);

impl Temporary {
    fn new(builder: &tempfile::Builder<'_, '_>, folder: &Path) -> io::Result<Self> {
        let mut unfinished = unfinished();
        let file = builder.tempfile_in(folder)?;
        unfinished.insert(file.path().to_owned());
        Ok(Temporary(Some(file)))
    }

    fn file(&self) -> &File {
        self.0.as_ref().expect("taken only by `persist` and `drop`").as_file()
    }

    /// Gives the file its name.
    fn persist(mut self, target: &Path) -> io::Result<()> {
        let file = self.0.take().expect("taken only by `persist` and `drop`");
        let mut unfinished = unfinished();
        unfinished.remove(file.path());
        file.persist(target)?;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            // The file is removed before others may be told that there is none.
            let mut unfinished = unfinished();
            unfinished.remove(file.path());
            drop(file);
        }
    }
}

/// A guard that keeps files from being written, which [`discard_unfinished`] returns.
#[must_use = "files can be written again as soon as this is dropped"]
pub struct Discarded {
    _held: MutexGuard<'static, BTreeSet<PathBuf>>,
}

/// Removes the temporary files of all [`write()`]s of the process that are not finished, and lets
/// none finish or begin as long as the result lives; those whose file was removed then fail. It is
/// for a process that ends while other threads may be writing.
pub fn discard_unfinished() -> Discarded {
    let mut unfinished = unfinished();
    while let Some(path) = unfinished.pop_first() {
        // A file that cannot be removed is not worth staying for.
        let _ = fs::remove_file(path);
    }
    Discarded { _held: unfinished }
}

/// Returns the file that `path` leads to through symbolic links, whether or not it exists.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        // A name like `new/` or `new/.` could only be a folder's.
        let ends_with =
            |name: &OsStr| target.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
        if !target.file_name().is_some_and(ends_with) {
            return Err(io::Error::other("is not the name of a file"));
        }
        match fs::read_link(&target) {
            Ok(next) => target = folder(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("is a symbolic link that leads in a circle"))
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_or_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, |file| file.write_all(b"first")).unwrap();
        write(&path, |file| file.write_all(b"second")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");

        let failed = write(&path, |file| {
            file.write_all(&[b'x'; 1 << 17])?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().ends_with("a.txt: disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn discarded_files_are_gone_and_none_is_finished_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let files = || fs::read_dir(folder.path()).unwrap().count();
        let temporary = Temporary::new(&tempfile::Builder::new(), folder.path()).unwrap();
        assert_eq!(files(), 1);
        let discarded = discard_unfinished();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| write(&path, |file| file.write_all(b"kept")));
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!waiting.is_finished());
            assert_eq!(files(), 0);
            drop(discarded);
        });
        assert!(temporary.persist(&path).is_err());
        assert_eq!((fs::read(&path).unwrap().as_slice(), files()), (&b"kept"[..], 1));
    }

    #[test]
    fn a_file_that_is_dropped_meanwhile_is_discarded_too() {
        let folder = tempfile::tempdir().unwrap();
        let end = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !end.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(Temporary::new(&temporary_name(), folder.path()));
                }
            });
            let files = || fs::read_dir(folder.path()).unwrap().count();
            let counts: Vec<usize> = (0..2000)
                .map(|_| {
                    let _discarded = discard_unfinished();
                    files()
                })
                .collect();
            end.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(counts.iter().all(|&count| count == 0), "{counts:?}");
        });
    }

    #[test]
    fn unusable_targets_are_known_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(&folder.path().join("new.txt")).is_ok());
        assert!(check(folder.path()).is_err());
        assert!(check(&folder.path().join("absent/new.txt")).is_err());
        assert!(write(&folder.path().join("absent/new.txt"), |_| Ok(())).is_err());
        for name in ["new/", "new/.", "..", &"n".repeat(300)] {
            assert!(check(&folder.path().join(name)).is_err(), "{name}");
        }
        assert!(check(Path::new("")).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        #[cfg(target_os = "linux")]
        assert!(check(Path::new("/proc/new.txt")).is_err(), "a folder without new files");
    }

    #[test]
    fn one_file_has_many_spellings() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("inner")).unwrap();
        fs::write(path("old"), "").unwrap();
        let same = |a: &str, b: &str| same_file(&path(a), &path(b));
        for name in ["new", "old"] {
            assert!(same(name, &format!("inner/../{name}")), "{name}");
            assert!(same(name, &format!("./{name}")), "{name}");
            assert!(!same(name, &format!("inner/{name}")), "{name}");
        }
        assert!(!same("new", "old"));
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_and_spares_devices() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        let (absent, dangling) = (folder.path().join("absent"), folder.path().join("dangling"));
        std::os::unix::fs::symlink("absent", &dangling).unwrap();
        assert!(same_file(&absent, &dangling) && check(&dangling).is_ok());
        write(&dangling, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&absent).unwrap(), b"new");
        assert!(fs::symlink_metadata(&dangling).unwrap().is_symlink());

        let circle = folder.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(check(&circle).is_err() && write(&circle, |_| Ok(())).is_err());

        fs::hard_link(&real, folder.path().join("hard")).unwrap();
        assert!(same_file(&link, &folder.path().join("hard")));
        assert!(!same_file(Path::new("/dev/null"), Path::new("/dev/null")), "never overwritten");
        write(Path::new("/dev/null"), |file| file.write_all(b"gone")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        for mode in [0o600, 0o640, 0o777] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let mut meanwhile = 0;
            write(&path, |file| {
                meanwhile = file.get_ref().metadata()?.permissions().mode() & 0o7777;
                file.write_all(b"new")
            })
            .unwrap();
            assert_eq!(meanwhile & !mode, 0, "nobody may read more while it is written");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        // The superuser may write any file.
        let may = File::options().write(true).open(&path).is_ok();
        assert_eq!(check(&path).is_ok(), may);
        assert_eq!(write(&path, |file| file.write_all(b"newer")).is_ok(), may);
    }
}
