//! The flags that say what a table holds.

use super::cell::{self, Cell};
use super::{Columns, DateOrder, Decimal, TimeUnit};

// No documentation comment: clap would take it for the description of the command.
#[derive(clap::Args, Clone, Debug)]
#[allow(missing_docs)]
pub struct Flags {
    /// Column of the time [default: the one called t, time, date, year, ...]
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub time: Option<String>,
    /// Unit of times that are dates, counted from the first one, without daylight saving time unless
    /// dates have a time zone [default: days, hours, minutes or seconds, as the rows are apart]
    #[arg(long, value_enum, value_name = "UNIT", help_heading = "Data")]
    pub time_unit: Option<TimeUnit>,
    /// What comes first in dates like 3/4/2021, where no date tells
    #[arg(long, value_enum, value_name = "ORDER", help_heading = "Data")]
    pub date_order: Option<DateOrder>,
    /// Column that tells trajectories of one file apart
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub trajectory: Option<String>,
    /// What is before the fraction in numbers like 1,234, where no number tells
    #[arg(long, value_enum, value_name = "CHARACTER", help_heading = "Data")]
    pub decimal: Option<Decimal>,
    /// What else stands for a missing value: -9999, or void,99.9; may be repeated, as it must for
    /// several numbers with decimal commas
    #[arg(long, value_name = "VALUES", allow_hyphen_values = true, help_heading = "Data")]
    pub missing: Vec<String>,
}

impl Flags {
    /// Returns the meaning of the columns of a table with these states and inputs.
    #[must_use]
    pub fn columns(&self, states: Vec<String>, inputs: Vec<String>) -> Columns {
        Columns {
            time: self.time.clone(),
            time_unit: self.time_unit,
            date_order: self.date_order,
            trajectory: self.trajectory.clone(),
            states,
            inputs,
            decimal: self.decimal,
            missing: self.missing.iter().flat_map(|given| words(given)).collect(),
            ..Columns::default()
        }
    }
}

/// Returns the words that are separated by commas; a number with a decimal comma is one.
fn words(given: &str) -> Vec<String> {
    match cell::read(given) {
        Cell::Number(..) | Cell::Doubtful(_) => vec![given.to_owned()],
        _ => given.split(',').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_commas_separate_no_words() {
        for (given, expected) in [
            ("-9999", &["-9999"][..]),
            ("-99,9", &["-99,9"]),
            ("-9,999", &["-9,999"]),
            ("void,99.9", &["void", "99.9"]),
            ("-99,-999", &["-99", "-999"]),
            ("-99.5,7", &["-99.5", "7"]),
            ("1,2,3", &["1", "2", "3"]),
        ] {
            assert_eq!(words(given), expected, "{given}");
        }
    }
}
