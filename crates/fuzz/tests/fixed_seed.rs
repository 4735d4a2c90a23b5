//! A pass over all targets with inputs that are always the same, and over the corpus.

use std::path::Path;
use std::time::Duration;

use fuzz::campaign::{self, Plan};
use fuzz::targets;

#[test]
fn no_input_breaks_a_promise() {
    let program = Path::new(env!("CARGO_BIN_EXE_fuzz"));
    let mut failures = String::new();
    for target in &targets::ALL {
        // The time is none that a machine should need: only the number of inputs counts.
        let time = Duration::from_secs(600);
        let plan = Plan { seed: 1, inputs: target.tested, time, workers: 2 };
        let summary = campaign::run(program, target, &plan).unwrap();
        assert!(summary.inputs >= target.tested, "{}: {summary:?}", target.name);
        // Inputs that are all refused, or all right, would show little.
        let accepted = summary.accepted as f64 / summary.inputs as f64;
        if !(0.05..0.95).contains(&accepted) {
            failures += &format!("{}: {accepted} of the inputs accepted\n", target.name);
        }
        for failure in summary.failures {
            let (file, message) = (failure.file.display(), failure.finding.message);
            failures += &format!("{}: {file}: {message}\n", target.name);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
