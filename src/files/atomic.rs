//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file as a whole or not at all: `fill` writes a temporary file beside `path`, which is
/// synchronized to the disk and then renamed to `path`. When anything fails, an existing `path`
/// keeps its contents and no new file is left.
///
/// A symbolic link is followed. A device or pipe (`/dev/stdout`) is written directly.
///
/// # Errors
/// [`Error::Io`] names `path` and gives the operating system's reason.
pub fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<()> {
    try_write(path, fill).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Checks that [`write()`] could create `path`, so that a long computation fails before it begins.
///
/// # Errors
/// [`Error::Io`] when the folder does not exist or `path` is a folder.
pub fn check(path: &Path) -> Result<()> {
    let folder = folder(path);
    let problem = if path.is_dir() {
        "is a folder".to_owned()
    } else if !folder.is_dir() {
        format!("there is no folder {}", folder.display())
    } else {
        return Ok(());
    };
    Err(Error::Io { path: path.to_owned(), source: io::Error::other(problem) })
}

fn try_write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let through = |file: &File| -> io::Result<()> {
        let mut buffer = BufWriter::with_capacity(1 << 16, file);
        fill(&mut buffer)?;
        buffer.flush()
    };
    if fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
        return through(&File::options().write(true).open(path)?);
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mnn-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder(&target))?;
    through(temporary.as_file())?;
    temporary.as_file().sync_all()?;
    temporary.persist(&target)?;
    Ok(())
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
    fn unusable_targets_are_known_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(&folder.path().join("new.txt")).is_ok());
        assert!(check(folder.path()).is_err());
        assert!(check(&folder.path().join("absent/new.txt")).is_err());
        assert!(write(&folder.path().join("absent/new.txt"), |_| Ok(())).is_err());
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

        write(Path::new("/dev/null"), |file| file.write_all(b"gone")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
