//! A nonlinear function of a combination of terms (the paper's section 5.1, Figure 2): u' = tanh of
//! polynomials, known to be so, is found from one trajectory and from several. SINDy, which can only
//! combine polynomials, fits the trajectory and fails away from it.

use std::process::ExitCode;

use experiments::{Experiment, FieldComparison, Lab, Report, Truth};
use mechanistic::discovery::{Link, Method, Settings};
use mechanistic::{Backend, Result};

struct TanhBasis;

const COMPARISON: FieldComparison = FieldComparison {
    truth: Truth {
        states: &["x", "y"],
        equations: "x' = tanh(1.5 y)\ny' = tanh(x - x^3 - 0.2 y)",
        field: |u, out| {
            out[0] = (1.5 * u[1]).tanh();
            out[1] = (u[0] - u[0].powi(3) - 0.2 * u[1]).tanh();
        },
    },
    initial: &[[1.6, 0.6], [-0.5, 1.8], [0.4, -1.2], [-1.7, -0.5]],
    test: [-2.6, 1.4],
    dt: 0.02,
    noise: 0.002,
    extent: 4.0,
};

impl Experiment for TanhBasis {
    const NAME: &'static str = "tanh_basis";
    const ABOUT: &'static str = "Finds equations whose right-hand side is tanh of polynomials";
    const TRAINS: bool = false;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let settings = Settings {
            method: Method::Network,
            degree: 3,
            link: Link::Tanh,
            ..Settings::default()
        };
        COMPARISON.run(lab, &settings)
    }
}

fn main() -> ExitCode {
    experiments::run::<TanhBasis>()
}

experiments::test_on_every_device!(
    #[ignore = "takes minutes on the simulated device"]
    TanhBasis,
    experiments::Arguments::small(),
    |report: Report| {
        assert!(report.value("one trajectory: MNN / SINDy") < 0.2, "{report}");
        assert!(report.value("several trajectories: MNN / SINDy") < 0.2, "{report}");
    }
);
