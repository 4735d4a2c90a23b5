//! The error type of the library, for misuse of its functions, unreadable files, unusable data.
//!
//! Numerical breakdown of one system in a batch is not an error but a [`Status`](crate::Status)
//! of that system.

use std::path::PathBuf;

/// An error of the library, which says what went wrong, with the name of the argument and the
/// actual sizes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array does not have the shape that the other arguments ask for.
    #[error("{argument}: expected shape {expected}, got {actual:?}")]
    Shape {
        /// Name of the array, as in the documentation.
        argument: String,
        /// The shape in letters and numbers, e.g. `(B or 1, N or 1, E) = (4 or 1, 10 or 1, 2)`.
        expected: String,
        /// The shape that was passed.
        actual: Vec<usize>,
    },
    /// An argument has an impossible value.
    #[error("{argument}: {message}")]
    Argument {
        /// Name of the argument or option.
        argument: String,
        /// Description of what is wrong with it and what is allowed.
        message: String,
    },
    /// A problem so large that its arrays cannot be addressed or allocated.
    #[error("{what}: {bytes} bytes of memory cannot be had")]
    OutOfMemory {
        /// Name of what the memory was for.
        what: String,
        /// Size of the request (saturated when it does not fit a `usize`).
        bytes: usize,
    },
    /// A device could not be used, or failed.
    #[error("while {doing}: {message}")]
    Device {
        /// Description of what the library was doing.
        doing: String,
        /// Message of the driver, and what to do about it where that is known.
        message: String,
    },
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Place in the file (line and column, or tensor name) and what is wrong there.
        message: String,
    },
    /// A line of a text file does not hold what it should.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, counted from 1.
        line: u64,
        /// Name of the column where there is one, and what is wrong.
        message: String,
    },
    /// The data cannot be used for what was asked.
    #[error("{0}")]
    Data(String),
    /// The caller asked to stop (progress callback or Ctrl-C).
    #[error("interrupted")]
    Interrupted,
}

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an [`Error::Argument`] from the argument's name and what is wrong with its value.
    pub fn argument(argument: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Argument { argument: argument.into(), message: message.into() }
    }
}
