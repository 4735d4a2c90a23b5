//! What an experiment returns: a figure, a table of the paper's figures beside ours, equations.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use figures::Figure;
use mechanistic::files::atomic;
use mechanistic::{Error, Result};
use serde_json::json;

use crate::Arguments;

/// The result of an experiment.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The figure.
    pub figure: Figure,
    rows: Vec<Row>,
    equations: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Row {
    quantity: String,
    paper: Option<String>,
    ours: f64,
}

impl Report {
    /// Begins a report.
    #[must_use]
    pub fn new(figure: Figure) -> Self {
        Report { figure, ..Report::default() }
    }

    /// Adds a figure of ours to the table.
    #[must_use]
    pub fn with(mut self, quantity: &str, ours: f64) -> Self {
        self.rows.push(Row { quantity: quantity.into(), paper: None, ours });
        self
    }

    /// Adds a figure of ours beside what the paper reports.
    #[must_use]
    pub fn with_paper(mut self, quantity: &str, paper: &str, ours: f64) -> Self {
        self.rows.push(Row { quantity: quantity.into(), paper: Some(paper.into()), ours });
        self
    }

    /// Adds equations, one a line, under a heading.
    #[must_use]
    pub fn with_equations(mut self, heading: &str, equations: impl ToString) -> Self {
        self.equations.push((heading.into(), equations.to_string().trim_end().into()));
        self
    }

    /// Returns our figure of this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn value(&self, quantity: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.quantity == quantity);
        row.unwrap_or_else(|| panic!("the report has no {quantity:?}")).ours
    }

    /// Makes the folder of the output, and fails now if [`Report::write`] could not write to it later.
    ///
    /// # Errors
    /// [`Error::Io`] when it could not.
    pub fn check(name: &str, arguments: &Arguments) -> Result<()> {
        let folder = &arguments.output;
        fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        ["svg", "png", "json"]
            .iter()
            .try_for_each(|extension| atomic::check(&folder.join(format!("{name}.{extension}"))))
    }

    /// Writes `NAME.svg`, `NAME.png` and `NAME.json` and returns the table as text.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written.
    pub fn write(&self, name: &str, arguments: &Arguments, seconds: f64) -> Result<String> {
        Report::check(name, arguments)?;
        let folder = &arguments.output;
        for extension in ["svg", "png"] {
            self.figure.write(&folder.join(format!("{name}.{extension}")))?;
        }
        let rows = self
            .rows
            .iter()
            .map(|row| json!({"quantity": row.quantity, "paper": row.paper, "ours": row.ours}));
        let equations = self.equations.iter();
        let equations = equations.map(|(heading, text)| (heading.clone(), json!(text)));
        let result = json!({
            "experiment": name,
            "device": arguments.device.to_string(),
            "seed": arguments.seed,
            "full": arguments.full,
            "seconds": seconds,
            "results": rows.collect::<Vec<_>>(),
            "equations": serde_json::Map::from_iter(equations),
        });
        let path = folder.join(format!("{name}.json"));
        atomic::write(&path, |file| writeln!(file, "{result:#}"))?;
        let mut text = self.to_string();
        let _ = writeln!(text, "\n{seconds:.1} s; {}", folder.join(name).display());
        Ok(text)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (heading, equations) in &self.equations {
            writeln!(f, "{heading}\n  {}\n", equations.replace('\n', "\n  "))?;
        }
        let width = self.rows.iter().map(|row| row.quantity.chars().count()).max().unwrap_or(0);
        writeln!(f, "{:width$}  {:>12}  paper", "", "ours")?;
        for Row { quantity, paper, ours } in &self.rows {
            let paper = paper.as_deref().unwrap_or("-");
            writeln!(f, "{quantity:width$}  {:>12}  {paper}", number(*ours))?;
        }
        Ok(())
    }
}

/// Four significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if (1e-2..1e5).contains(&size) => {
            let digits = (3 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = Arguments { output: folder.path().join("new"), ..Arguments::small() };
        let report = Report::new(Figure::grid(1, 300, 200, vec![figures::Panel::default()]))
            .with_paper("error", "2.022", 2.0004)
            .with("ratio", 1.5e-7)
            .with_equations("found", "x' = y\ny' = -x\n");
        let text = report.write("test", &arguments, 1.25).unwrap();
        assert!(text.starts_with("found\n  x' = y\n  y' = -x\n\n"), "{text}");
        assert!(text.contains("error         2.000  2.022\nratio      1.500e-7  -\n"), "{text}");
        assert_eq!(report.value("ratio"), 1.5e-7);
        let json = fs::read_to_string(arguments.output.join("test.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["results"][0]["ours"], 2.0004);
        assert!(arguments.output.join("test.svg").exists());
    }
}
