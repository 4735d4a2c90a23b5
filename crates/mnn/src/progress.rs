//! Shows the progress of a discovery on standard error.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use mechanistic::discovery::aligned;
use mechanistic::discovery::{Equation, Progress, Term};

/// The number of steps of the bar.
const LENGTH: u64 = 1000;

/// The display of progress: on a terminal a bar with the present equations below it; in a log the
/// equations whenever their terms change.
pub struct Display {
    bar: Option<ProgressBar>,
    quiet: bool,
    /// Equations as they were last reported.
    equations: Vec<Equation>,
}

impl Display {
    /// Makes a display, which shows nothing when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {prefix}\n{msg}");
            let bar = ProgressBar::new(LENGTH);
            bar.set_style(style.expect("the template is well-formed"));
            bar
        });
        Display { bar, quiet, equations: Vec::new() }
    }

    /// Shows a line of its own.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None if !self.quiet => crate::tell(text),
            None => {}
        }
    }

    /// Shows progress; called as the work proceeds.
    pub fn show(&mut self, progress: &Progress<'_>) {
        if let Some(bar) = &self.bar {
            bar.set_position((progress.fraction.clamp(0.0, 1.0) * LENGTH as f64) as u64);
            bar.set_prefix(progress.stage.to_owned());
        }
        let Some(equations) = progress.equations else { return };
        match &self.bar {
            Some(bar) => bar.set_message(aligned(equations)),
            None if !self.quiet && !same_terms(equations, &self.equations) => {
                let text = aligned(equations);
                crate::tell(format_args!("{}\n{}", progress.stage, text.trim_end()));
            }
            None => {}
        }
        equations.clone_into(&mut self.equations);
    }

    /// Removes the bar and prints what was found so far, even if it is quiet otherwise.
    pub fn interrupted(&self) {
        self.finish();
        if !self.equations.is_empty() {
            let equations = aligned(&self.equations);
            let equations = equations.trim_end();
            crate::tell(format_args!("the equations when interrupted, not final:\n{equations}"));
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Returns whether only coefficients differ.
fn same_terms(a: &[Equation], b: &[Equation]) -> bool {
    let same =
        |a: &[Term], b: &[Term]| a.iter().map(|t| &t.factors).eq(b.iter().map(|t| &t.factors));
    let pairs = a.iter().zip(b);
    a.len() == b.len()
        && pairs
            .into_iter()
            .all(|(a, b)| same(&a.terms, &b.terms) && same(&a.denominator, &b.denominator))
}
