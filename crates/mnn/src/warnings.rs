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
