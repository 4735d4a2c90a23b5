//! Writes tables.

use std::cell::OnceCell;
use std::io;
use std::path::Path;

use mechanistic::files::atomic;
use mechanistic::{Error, Result};

use crate::outputs;

/// Writes a table with a header row to a file, or to standard output if `path` is `-`; a value that
/// is not finite becomes an empty field. Rows are written as they come. An error among them ends
/// the table: there is no file then, but standard output has the rows before the error.
///
/// # Errors
/// [`Error::Io`] when `path` cannot be written, or the error among the rows.
pub fn write(
    path: &Path,
    header: &[String],
    rows: impl Iterator<Item = Result<Vec<f64>>>,
) -> Result<()> {
    let failure = OnceCell::new();
    let rows = rows.map_while(|row| row.map_err(|error| failure.set(error)).ok());
    let written = if outputs::is_standard(path) {
        match write_records(Pieces::new(io::stdout()), header, rows) {
            // A reader that has closed it (`mnn … | head`) has all that it wanted.
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::Io { path: "standard output".into(), source })
            }
            _ => Ok(()),
        }
    } else {
        atomic::write(path, |file| {
            write_records(file, header, rows)?;
            failure.get().map_or(Ok(()), |_| Err(io::Error::other("not all rows can be had")))
        })
    };
    failure.into_inner().map_or(written, Err)
}

fn write_records(
    out: impl io::Write,
    header: &[String],
    rows: impl Iterator<Item = Vec<f64>>,
) -> io::Result<()> {
    // A header that begins like a comment is quoted.
    let first = header.first().and_then(|name| name.bytes().next());
    let comment = first.filter(|byte| matches!(byte, b'#' | b'%'));
    let mut writer = csv::WriterBuilder::new().comment(comment).from_writer(out);
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row.iter().map(|value| field(*value)))?;
    }
    writer.flush()
}

/// Text on its way to standard output, which takes it in pieces of whole rows. After a failure it
/// takes no more: its writer tries again when it is dropped.
struct Pieces<W> {
    out: W,
    text: Vec<u8>,
    failed: bool,
}

/// The bytes of a piece, about.
const PIECE: usize = 1 << 16;

impl<W: io::Write> Pieces<W> {
    fn new(out: W) -> Self {
        Pieces { out, text: Vec::new(), failed: false }
    }

    /// Prints the first `end` bytes.
    fn print(&mut self, end: usize) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier piece could not be written"));
        }
        let printed = self.out.write_all(&self.text[..end]).and_then(|()| self.out.flush());
        self.text.drain(..end);
        self.failed = printed.is_err();
        printed
    }
}

impl<W: io::Write> io::Write for Pieces<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        if self.text.len() >= PIECE
            && let Some(last) = self.text.iter().rposition(|&byte| byte == b'\n')
        {
            self.print(last + 1)?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.print(self.text.len())
    }
}

/// Formats a value with the fewest digits that give it back exactly when they are read.
pub fn field(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    match value.abs() {
        size if size != 0.0 && !(1e-5..1e16).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(value in any::<f64>()) {
            let read: Option<f64> = field(value).parse().ok();
            prop_assert_eq!(read.map(f64::to_bits), value.is_finite().then_some(value.to_bits()));
        }
    }

    /// What could not be written is not written again, when the disk has room again.
    #[test]
    fn after_a_failure_nothing_more_is_written() {
        struct Disk<'a>(&'a mut Vec<usize>);
        impl io::Write for Disk<'_> {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.0.push(text.len());
                match self.0.len() {
                    1 => Ok(text.len() / 2),
                    2 => Err(io::Error::other("full")),
                    _ => Ok(text.len()),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for rows in [1, 10_000] {
            let mut writes = Vec::new();
            let (header, rows) = (["t".to_owned()], (0..rows).map(|t| vec![f64::from(t) + 0.125]));
            let written = write_records(Pieces::new(Disk(&mut writes)), &header, rows);
            assert_eq!(written.unwrap_err().to_string(), "full");
            assert_eq!(writes.len(), 2, "{writes:?}");
        }
    }

    #[test]
    fn numbers_are_written_with_the_digits_that_they_need() {
        let row = vec![0.3, -1e-7, 1e12, f64::NAN, f64::INFINITY, 1.0 / 3.0, 1e300];
        let header: Vec<String> = ["a", "b,c", "d", "e", "f", "g", "h"].map(String::from).to_vec();
        let expected = "a,\"b,c\",d,e,f,g,h\n0.3,-1e-7,1000000000000,,,0.3333333333333333,1e300\n";
        let mut written = Vec::new();
        write_records(&mut written, &header, std::iter::once(row)).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
