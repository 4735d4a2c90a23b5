//! Rational right-hand sides (the paper's section 5.1, Figure 12): u' = p(u) / q(u) with two
//! combinations of polynomials is found from one trajectory and, better, from several. SINDy, which
//! has no quotients, fits the trajectory and fails away from it.

use std::process::ExitCode;

use experiments::{Experiment, FieldComparison, Lab, Report, Truth};
use mechanistic::discovery::{Link, Method, Settings};
use mechanistic::{Backend, Result};

struct Rational;

const COMPARISON: FieldComparison = FieldComparison {
    truth: Truth {
        states: &["x", "y"],
        equations: "x' = 2 y / (1 + x^2)\ny' = (-2 x - 0.3 y) / (1 + 0.5 y^2)",
        field: |u, out| {
            out[0] = 2.0 * u[1] / (1.0 + u[0] * u[0]);
            out[1] = (-2.0 * u[0] - 0.3 * u[1]) / (1.0 + 0.5 * u[1] * u[1]);
        },
    },
    initial: &[[1.8, 0.0], [-1.0, 1.8], [0.4, -1.2], [-1.7, -1.5]],
    test: [-2.6, 1.4],
    dt: 0.02,
    noise: 0.001,
    extent: 4.0,
};

impl Experiment for Rational {
    const NAME: &'static str = "rational";
    const ABOUT: &'static str =
        "Finds equations whose right-hand side is a quotient of polynomials";
    const TRAINS: bool = false;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let settings =
            Settings { method: Method::Network, link: Link::Ratio, ..Settings::default() };
        COMPARISON.run(lab, &settings)
    }
}

fn main() -> ExitCode {
    experiments::run::<Rational>()
}

experiments::test_on_every_device!(
    #[ignore = "takes minutes on the simulated device"]
    Rational,
    experiments::Arguments::small(),
    |report: Report| {
        assert!(report.value("one trajectory: MNN / SINDy") < 0.2, "{report}");
        assert!(report.value("several trajectories: MNN / SINDy") < 0.2, "{report}");
    }
);
