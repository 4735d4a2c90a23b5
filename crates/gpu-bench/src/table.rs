//! Tables of measurements: for people as text, for programs as JSON.

use std::fmt;

use serde_json::{Map, Value};

/// Rows of values under named columns.
pub struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
    /// What there is to say about the whole, one line each.
    pub notes: Vec<String>,
    /// Whether something that the table shows has failed.
    pub failed: bool,
}

impl Table {
    /// Makes a table without rows.
    pub fn new(columns: &'static [&'static str]) -> Self {
        Table { columns, rows: Vec::new(), notes: Vec::new(), failed: false }
    }

    /// Adds a row, a value for each column; `null` is a value that there is not.
    pub fn push<const COLUMNS: usize>(&mut self, row: [Value; COLUMNS]) {
        assert_eq!(COLUMNS, self.columns.len(), "a value for each column");
        self.rows.push(row.into());
    }

    /// Returns the table as one JSON object: `rows`, an object each, and `notes`.
    pub fn to_json(&self) -> String {
        let row = |row: &Vec<Value>| -> Value {
            let cells = self.columns.iter().zip(row);
            cells
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect::<Map<_, _>>()
                .into()
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        format!("{:#}\n", serde_json::json!({ "rows": rows, "notes": self.notes }))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        writeln!(f, "{}", line(self.columns.iter().map(|name| (*name).to_owned()).collect()))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(f, "{}", line(row.iter().map(cell).collect()))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

/// Returns the text of a value: four digits of a fraction.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            significant(number.as_f64().unwrap_or(f64::NAN))
        }
        other => other.to_string(),
    }
}

fn significant(number: f64) -> String {
    let before = number.abs().max(1e-3).log10().floor() as i32;
    format!("{number:.*}", usize::try_from(3 - before).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_text_and_json() {
        let mut table = Table::new(&["kernel", "µs", "estimate"]);
        table.push(["sum".into(), 12.3456.into(), Value::Null]);
        table.notes.push("one row".into());
        assert_eq!(
            table.to_string(),
            "| kernel | µs | estimate |\n|---|---|---|\n| sum | 12.35 |  |\none row\n"
        );
        let json: Value = serde_json::from_str(&table.to_json()).unwrap();
        assert_eq!(json["rows"][0]["kernel"], "sum");
        assert_eq!(json["rows"][0]["µs"], 12.3456);
        assert_eq!(json["notes"][0], "one row");
    }

    #[test]
    fn numbers_have_four_digits() {
        let texts = [0.001_236, 0.5, 12_345.6].map(significant);
        assert_eq!(texts, ["0.001236", "0.5000", "12346"]);
    }
}
