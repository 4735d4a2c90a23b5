//! Shows the warnings of the library on standard error.

use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Shows every warning of this process from now on.
pub fn show() {
    let shown = tracing::subscriber::set_global_default(Warnings(|line: &str| crate::tell(line)));
    shown.expect("nothing else listens in this program");
}

/// What the library calls its settings, and the flags that set them here. Words that mean other things
/// too stand in brackets where they name a setting.
const FLAGS: [(&str, &str); 7] = [
    ("max_points", "--max-points"),
    ("(explicit_time)", "(--explicit-time)"),
    ("(robust)", "(--robust)"),
    ("(inputs)", "(--inputs)"),
    ("(hidden)", "(--hidden 1)"),
    ("(order 2)", "(--order 2)"),
    ("(NaN)", "(--missing)"),
];

/// Shows these warnings of a result.
pub fn tell(warnings: &[String]) {
    for warning in warnings {
        crate::tell(format_args!("mnn: warning: {}", with_flags(warning)));
    }
}

/// Returns the text with flags where it names settings; names of columns, in backquotes, stay.
pub fn with_flags(text: &str) -> String {
    let flagged = |(index, part): (usize, &str)| match index % 2 {
        0 => FLAGS.iter().fold(part.to_owned(), |text, (name, flag)| text.replace(name, flag)),
        _ => part.to_owned(),
    };
    text.split('`').enumerate().map(flagged).collect::<Vec<_>>().join("`")
}

/// A subscriber that gives a line to the function for every event that is a warning or worse. The
/// library opens no spans, so that nothing nests.
struct Warnings<F>(F);

impl<F: Fn(&str) + Send + Sync + 'static> Subscriber for Warnings<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line("mnn: warning:".to_owned());
        event.record(&mut line);
        (self.0)(&line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The text that is shown of an event: its message, then its other fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn settings_are_called_by_their_flags_and_columns_by_their_names() {
        let text =
            "`max_points` in row 3 (0); leave it out (robust), or take more (max_points is 9)";
        let shown =
            "`max_points` in row 3 (0); leave it out (--robust), or take more (--max-points is 9)";
        assert_eq!(with_flags(text), shown);
    }

    #[test]
    fn warnings_are_shown_and_lesser_events_are_not() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = lines.clone();
        let warnings = Warnings(move |line: &str| written.lock().unwrap().push(line.to_owned()));
        tracing::subscriber::with_default(warnings, || {
            tracing::warn!(device = 0, "no {}", "cuBLAS");
            tracing::info!("a detail");
            tracing::error!("worse");
        });
        let expected = ["mnn: warning: no cuBLAS device=0", "mnn: warning: worse"];
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}
