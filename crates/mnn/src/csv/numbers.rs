//! The numbers of one table, which must all be written in the same way.

use mechanistic::Result;

use super::cell::{self, Cell, Decimal};
use super::source::{Source, quoted};

/// What is known of the way in which the numbers of a table are written.
pub struct Numbers<'a> {
    source: &'a Source<'a>,
    /// What the user says of it.
    given: Option<Decimal>,
    /// The decimal character of the numbers so far, and the line of the first that has one.
    found: Option<(Decimal, u64)>,
    /// The first number with a comma that may separate thousands: its line, column and text.
    doubtful: Option<(u64, usize, String)>,
    points: Points,
}

/// What is known of points in numbers.
enum Points {
    /// No number has one.
    None,
    /// Those of all numbers may separate thousands; the line, column and text of the first.
    Doubtful(u64, usize, String),
    /// They are before fractions.
    Decimal,
}

/// What a field holds.
pub enum Value {
    /// A finite number.
    Number(f64),
    /// No number, but not a malformed one either.
    Text,
}

impl<'a> Numbers<'a> {
    pub fn new(source: &'a Source<'a>, given: Option<Decimal>) -> Self {
        Numbers { source, given, found: None, doubtful: None, points: Points::None }
    }

    /// Reads a field that is not missing.
    ///
    /// # Errors
    /// [`Error::Line`](mechanistic::Error::Line) for a number that is not finite, or not written as
    /// those before.
    pub fn read(&mut self, line: u64, column: usize, text: &str) -> Result<Value> {
        let wrong = |message: String| Err(self.source.in_column(line, column, message));
        let (value, decimal, certain) = match cell::read(text) {
            Cell::Text => return Ok(Value::Text),
            Cell::Grouped => {
                let message = "write numbers without separators between thousands";
                return wrong(format!("not a number: {} ({message})", quoted(text)));
            }
            Cell::Number(value, _) if !value.is_finite() => {
                let message = "a missing value is empty, or named with --missing";
                return wrong(format!("not finite: {} ({message})", quoted(text)));
            }
            Cell::Number(value, None) => return Ok(Value::Number(value)),
            Cell::Number(value, Some(decimal)) => (value, decimal, true),
            Cell::Doubtful(value) => (value, Decimal::Comma, self.given.is_some()),
        };
        if let Some(given) = self.given.filter(|given| *given != decimal) {
            let name = given.name();
            return wrong(format!(
                "{}: --decimal says that fractions have {name}; numbers are read without separators \
                 between thousands",
                quoted(text)
            ));
        }
        if let Some((found, first)) = self.found.filter(|(found, _)| *found != decimal) {
            let name = found.name();
            return wrong(format!(
                "{}: line {first} writes fractions with {name}; write all numbers alike, without \
                 separators between thousands",
                quoted(text)
            ));
        }
        match (certain, decimal) {
            // What was in doubt is not a decimal comma.
            (true, Decimal::Point) => self.check()?,
            (false, _) if self.found.is_none() && self.doubtful.is_none() => {
                self.doubtful = Some((line, column, text.to_owned()));
            }
            _ => {}
        }
        if certain {
            self.found.get_or_insert((decimal, line));
        }
        match self.points {
            _ if decimal == Decimal::Comma => {}
            Points::None if cell::may_be_thousands(text) => {
                self.points = Points::Doubtful(line, column, text.to_owned());
            }
            Points::None | Points::Doubtful(..) if !cell::may_be_thousands(text) => {
                self.points = Points::Decimal;
            }
            _ => {}
        }
        Ok(Value::Number(value))
    }

    /// Says it if all points may separate thousands, in a table whose fields are separated as where
    /// commas are decimal.
    pub fn tell(&self) {
        if let Points::Doubtful(line, column, text) = &self.points
            && self.given.is_none()
            && self.source.delimiter() == b';'
        {
            let (path, name) = (self.source.path.display(), &self.source.header[*column]);
            tracing::warn!(
                "{path}:{line}: column `{name}`: {} is read as a fraction, and not as {} \
                 (--decimal point says so)",
                quoted(text),
                text.replacen('.', "", 1)
            );
        }
    }

    /// Checks that all commas that were read as decimal ones are no separators between thousands.
    ///
    /// # Errors
    /// [`Error::Line`](mechanistic::Error::Line) names the first of which that is not known.
    pub fn check(&self) -> Result<()> {
        match (&self.doubtful, self.found) {
            (Some((line, column, text)), None) => {
                let fraction = text.replacen(',', ".", 1);
                let whole = text.replacen(',', "", 1);
                let message = format!(
                    "{}: is this {fraction} or {whole}? Pass --decimal comma for the former; for \
                     the latter, write numbers without separators between thousands",
                    quoted(text)
                );
                Err(self.source.in_column(*line, *column, message))
            }
            _ => Ok(()),
        }
    }
}
