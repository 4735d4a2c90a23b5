//! The C library that programs need.

use std::{fs, path::Path};

use crate::commands::failed;

/// What stands before the version in the names of the versions of its symbols: `GLIBC_2.34`.
const MARK: &[u8] = b"GLIBC_2.";

/// Returns the newest version of glibc that any program or library in the directory asks for.
pub fn newest_needed(directory: &Path) -> Result<String, String> {
    Ok(format!("2.{}", newest_minor(directory)?))
}

fn newest_minor(directory: &Path) -> Result<u32, String> {
    let entries = fs::read_dir(directory).map_err(|error| failed("read", directory, &error))?;
    let mut newest = 0;
    for entry in entries {
        let path = entry.map_err(|error| failed("read", directory, &error))?.path();
        let minor = if path.is_dir() {
            newest_minor(&path)?
        } else {
            let bytes = fs::read(&path).map_err(|error| failed("read", &path, &error))?;
            if bytes.starts_with(b"\x7fELF") { newest_in(&bytes) } else { 0 }
        };
        newest = newest.max(minor);
    }
    Ok(newest)
}

/// Returns the largest number that follows [`MARK`], or 0.
fn newest_in(bytes: &[u8]) -> u32 {
    let number = |bytes: &[u8]| {
        let digits: String =
            bytes.iter().take_while(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
        digits.parse().unwrap_or(0)
    };
    let after = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    after.map(|(place, _)| number(&bytes[place + MARK.len()..])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_found() {
        assert_eq!(newest_in(b"\x7fELF..GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_PRIVATE"), 34);
        assert_eq!(newest_in(b"GLIBC_2."), 0);
    }
}
