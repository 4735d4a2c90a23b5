//! Logistic growth (beyond the paper): one equation for many noisy trajectories, each with a known
//! parameter of its own. The parameter is a state that does not change.

use std::process::ExitCode;

use experiments::{
    Experiment, Lab, Report, Stlsq, TrueTerms, coefficient_errors, simulated, stlsq,
};
use figures::{Axis, Color, Figure, Mark, Panel, Points, Series};
use mechanistic::discovery::{Dataset, Library, RightHandSide, Settings, Trajectory, aligned};
use mechanistic::{Backend, Result};

struct Logistic;

/// x' = r x (1 − x) with the states x and r.
const TERMS: &TrueTerms = &[(0, "r x", 1.0), (0, "r x x", -1.0)];
const POINTS: usize = 41;
const DT: f64 = 0.2;

/// The exact solution.
fn exact(t: f64, r: f64, start: f64) -> f64 {
    start / (start + (1.0 - start) * (-r * t).exp())
}

impl Experiment for Logistic {
    const NAME: &'static str = "logistic";
    const ABOUT: &'static str = "Finds one equation with a parameter in many noisy trajectories";
    const TRAINS: bool = false;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let count = lab.arguments.scale(20, 100, 1000);
        let noise = 0.05;
        let mut rng = lab.rng(0);
        let time: Vec<f64> = (0..POINTS).map(|i| DT * i as f64).collect();
        let trajectories: Vec<Trajectory> = (0..count)
            .map(|_| {
                let (r, start) = (0.4 + 1.6 * rng.uniform(), 0.02 + 0.3 * rng.uniform());
                let row = |t: &f64| [exact(*t, r, start) + noise * rng.normal(), r];
                Trajectory {
                    time: time.clone(),
                    values: time.iter().flat_map(row).collect(),
                    ..Trajectory::default()
                }
            })
            .collect();
        let data =
            Dataset { states: vec!["x".into(), "r".into()], trajectories, ..Dataset::default() };

        let settings = Settings { degree: 3, ..Settings::default() };
        let library = Library::new(&data.states, &settings)?;
        let found = lab.discover(&data, &settings)?;
        let joint = RightHandSide::from_equations(&library, &settings, &found.equations)?;
        let sindy = stlsq(&data, &library, &settings, Stlsq::default());

        let mut panels = Vec::new();
        for (name, rhs) in [("joint", &joint), ("SINDy", &sindy)] {
            let mut panel = Panel::new(name, Axis::new("t"), Axis::over("x", -0.2..1.2));
            let shown = data.trajectories.iter().zip(&found.fits).take(6);
            let (mut measured, mut truth, mut predicted) = (vec![], vec![], vec![]);
            for (trajectory, fit) in shown {
                let curve = |values: &[f64]| -> Points {
                    time.iter().copied().zip(values.iter().step_by(2).copied()).collect()
                };
                measured.push(curve(&trajectory.values));
                let r = trajectory.values[1];
                let start = [fit.smoothed[0], r];
                predicted.push(curve(&simulated(rhs, &start, &time)));
                truth.push(time.iter().map(|&t| (t, exact(t, r, start[0]))).collect());
            }
            for series in [
                Series::new("data, six of the trajectories", Color::GRAY, Mark::Dots, measured),
                Series::new("exact solution", Color::SKY, Mark::Line(4.0), truth),
                Series::new("found equation", Color::VERMILION, Mark::Line(1.25), predicted),
            ] {
                panel = panel.with(series);
            }
            panels.push(panel);
        }
        let mut report = Report::new(Figure::grid(2, 520, 340, panels))
            .with_equations("true", "x' = r x - r x^2\nr' = 0")
            .with_equations("joint", &found)
            .with_equations("SINDy", aligned(&sindy.equations(&[])));
        for (name, rhs) in [("joint", &joint), ("SINDy", &sindy)] {
            let (wrong, worst) = coefficient_errors(rhs, TERMS);
            report = report
                .with(&format!("{name}: wrong terms"), wrong as f64)
                .with(&format!("{name}: worst coefficient, %"), worst);
        }
        Ok(report)
    }
}

fn main() -> ExitCode {
    experiments::run::<Logistic>()
}

experiments::test_on_every_device!(Logistic, experiments::Arguments::small(), |report: Report| {
    assert_eq!(report.value("joint: wrong terms"), 0.0, "{report}");
    assert!(report.value("joint: worst coefficient, %") < 10.0, "{report}");
});
