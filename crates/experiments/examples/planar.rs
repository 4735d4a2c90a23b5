//! Planar systems (the paper's section 5.1): a linear and a cubic damped oscillator are found in
//! noisy samples, by the paper's network, by the joint method and by SINDy.

use std::process::ExitCode;

use experiments::{
    Experiment, Lab, Report, Stlsq, TrueTerms, Truth, coefficient_errors, column, noisy, simulated,
    stlsq, trajectories,
};
use figures::{Axis, Color, Figure, Panel, Series};
use mechanistic::discovery::{Library, Method, RightHandSide, Settings, aligned};
use mechanistic::{Backend, Result};

struct Planar;

/// Brunton et al., 2016, section 4.1.
const SYSTEMS: [(&str, Truth, &TrueTerms); 2] = [
    (
        "linear",
        Truth {
            states: &["x", "y"],
            equations: "x' = -0.1 x + 2 y\ny' = -2 x - 0.1 y",
            field: |u, out| {
                out[0] = -0.1 * u[0] + 2.0 * u[1];
                out[1] = -2.0 * u[0] - 0.1 * u[1];
            },
        },
        &[(0, "x", -0.1), (0, "y", 2.0), (1, "x", -2.0), (1, "y", -0.1)],
    ),
    (
        "cubic",
        Truth {
            states: &["x", "y"],
            equations: "x' = -0.1 x^3 + 2 y^3\ny' = -2 x^3 - 0.1 y^3",
            field: |u, out| {
                out[0] = -0.1 * u[0].powi(3) + 2.0 * u[1].powi(3);
                out[1] = -2.0 * u[0].powi(3) - 0.1 * u[1].powi(3);
            },
        },
        &[(0, "x x x", -0.1), (0, "y y y", 2.0), (1, "x x x", -2.0), (1, "y y y", -0.1)],
    ),
];

impl Experiment for Planar {
    const NAME: &'static str = "planar";
    const ABOUT: &'static str = "Finds the equations of two planar systems";
    const TRAINS: bool = false;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let points = lab.arguments.scale(21, 2500, 10_000);
        // Deviation of the noise, relative to that of the states.
        let noise = lab.arguments.scale(0.001, 0.01, 0.01);
        let mut report = Report::default();
        let mut panels = Vec::new();
        // A small sample decides between the terms of the linear system only.
        let count = lab.arguments.scale(1, 2, 2);
        for (name, truth, terms) in &SYSTEMS[..count] {
            let degree = lab.arguments.scale(1, 3, 3);
            let settings = Settings { degree, ..Settings::default() };
            let dt = 25.0 / (points - 1) as f64 * lab.arguments.scale(0.16, 1.0, 1.0);
            let exact = trajectories(truth, &[vec![2.0, 0.0]], dt, points)?;
            let data = noisy(&exact, noise, &mut lab.rng(0));
            let library = Library::new(&data.states, &settings)?;
            let by = |method| -> Result<RightHandSide<'_>> {
                let settings = Settings { method, ..settings.clone() };
                let found = lab.discover(&data, &settings)?;
                RightHandSide::from_equations(&library, &settings, &found.equations)
            };
            let found = [
                ("MNN", Color::SKY, 5.0, by(Method::Network)?),
                ("joint", Color::BLUE, 2.5, by(Method::Joint)?),
                ("SINDy", Color::VERMILION, 1.0, {
                    stlsq(&data, &library, &settings, Stlsq { threshold: 0.05, ..Stlsq::default() })
                }),
            ];
            report = report.with_equations(&format!("{name}, true"), truth.equations);
            let measured =
                column(&data.trajectories[0].values, 2, 0, 1).into_iter().step_by(8).collect();
            let mut panel = Panel::new(name, Axis::new("x"), Axis::new("y"));
            for (method, color, width, rhs) in &found {
                let (wrong, worst) = coefficient_errors(rhs, terms);
                let paper = "recovered";
                report = report
                    .with_paper(&format!("{name}, {method}: wrong terms"), paper, wrong as f64)
                    .with(&format!("{name}, {method}: worst coefficient, %"), worst)
                    .with_equations(&format!("{name}, {method}"), aligned(&rhs.equations(&[])));
                let states = simulated(rhs, &[2.0, 0.0], &data.trajectories[0].time);
                let curve = column(&states, 2, 0, 1);
                panel = panel.with(Series::line(method, *color, *width, curve).without_framing());
            }
            // In front, where they can be seen.
            panels.push(panel.with(Series::dots("data", Color::BLACK, measured)));
        }
        report.figure = Figure::grid(panels.len() as u32, 520, 460, panels);
        Ok(report)
    }
}

fn main() -> ExitCode {
    experiments::run::<Planar>()
}

experiments::test_on_every_device!(Planar, experiments::Arguments::small(), |report: Report| {
    for method in ["MNN", "joint"] {
        assert_eq!(report.value(&format!("linear, {method}: wrong terms")), 0.0, "{report}");
        let worst = report.value(&format!("linear, {method}: worst coefficient, %"));
        assert!(worst < 5.0, "{report}");
    }
});
