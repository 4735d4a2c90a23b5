//! The chaotic Lorenz system (the paper's section 5.1, Figure 1): found in noisy samples, by the
//! paper's network, by the joint method and by SINDy, and extrapolated.

use std::process::ExitCode;

use experiments::{
    Experiment, Lab, Report, Stlsq, TrueTerms, Truth, coefficient_errors, column, noisy, simulated,
    stlsq, trajectories,
};
use figures::{Axis, Color, Figure, Panel, Points, Series};
use mechanistic::discovery::{Library, Method, RightHandSide, Settings, aligned};
use mechanistic::{Backend, Result};

struct Lorenz;

const TRUTH: Truth = Truth {
    states: &["x", "y", "z"],
    equations: "x' = -10 x + 10 y\ny' = 28 x - y - x z\nz' = -8/3 z + x y",
    field: |u, out| {
        out[0] = 10.0 * (u[1] - u[0]);
        out[1] = u[0] * (28.0 - u[2]) - u[1];
        out[2] = u[0] * u[1] - 8.0 / 3.0 * u[2];
    },
};
const TERMS: &TrueTerms = &[
    (0, "x", -10.0),
    (0, "y", 10.0),
    (1, "x", 28.0),
    (1, "y", -1.0),
    (1, "x z", -1.0),
    (2, "z", -8.0 / 3.0),
    (2, "x y", 1.0),
];

const DT: f64 = 0.01;
/// Deviation of the noise, relative to that of the states.
const NOISE: f64 = 0.01;
/// Points of the extrapolation.
const BEYOND: usize = 1500;
/// A prediction counts until it is so far off, relative to the size of the attractor.
const LOST: f64 = 0.2;
const SIZE: f64 = 27.0;

impl Experiment for Lorenz {
    const NAME: &'static str = "lorenz";
    const ABOUT: &'static str = "Finds the equations of the Lorenz system and extrapolates";
    const TRAINS: bool = false;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let points = lab.arguments.scale(40, 2000, 10_000);
        let exact = trajectories(&TRUTH, &[vec![-8.0, 7.0, 27.0]], DT, points + BEYOND)?;
        let (time, truth) = (&exact.trajectories[0].time, &exact.trajectories[0].values);
        let mut data = exact.clone();
        data.trajectories[0].time.truncate(points);
        data.trajectories[0].values.truncate(3 * points);
        let data = noisy(&data, NOISE, &mut lab.rng(0));

        let settings = Settings::default();
        let library = Library::new(&data.states, &settings)?;
        let by = |method| -> Result<RightHandSide<'_>> {
            let settings = Settings { method, ..settings.clone() };
            let found = lab.discover(&data, &settings)?;
            RightHandSide::from_equations(&library, &settings, &found.equations)
        };
        let found = [
            ("MNN", Color::BLUE, by(Method::Network)?),
            ("joint", Color::GREEN, by(Method::Joint)?),
            ("SINDy", Color::VERMILION, stlsq(&data, &library, &settings, Stlsq::default())),
        ];

        let mut report = Report::default().with_equations("true", TRUTH.equations);
        let (beyond, ahead) = (&time[points - 1..], &truth[3 * (points - 1)..]);
        let against_time = |states: &[f64]| -> Points {
            beyond.iter().copied().zip(states.iter().step_by(3).copied()).collect()
        };
        let range = beyond[0]..beyond[BEYOND];
        let mut extrapolated = Panel::new("extrapolated", Axis::over("t", range), Axis::new("x"))
            .with(Series::line("truth", Color::GRAY, 3.5, against_time(ahead)));
        let portrait = |title: &str, series: Series| {
            Panel::new(title, Axis::over("x", -22.0..22.0), Axis::over("z", 0.0..50.0)).with(series)
        };
        let training = column(&data.trajectories[0].values, 3, 0, 2);
        let mut panels = vec![portrait("data", Series::dots("data", Color::GRAY, training))];
        for (method, color, rhs) in &found {
            let (wrong, worst) = coefficient_errors(rhs, TERMS);
            let states = simulated(rhs, &ahead[..3], beyond);
            let lost = states.chunks(3).zip(ahead.chunks(3)).position(|(found, truth)| {
                let error = found.iter().zip(truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                // A prediction that blew up is NaN.
                error.is_nan() || error.sqrt() > LOST * SIZE
            });
            report = report
                .with(&format!("{method}: wrong terms"), wrong as f64)
                .with(&format!("{method}: worst coefficient, %"), worst)
                .with(&format!("{method}: predicts for"), DT * lost.unwrap_or(BEYOND) as f64)
                .with_equations(method, aligned(&rhs.equations(&[])));
            let curve = Series::line(method, *color, 1.25, against_time(&states));
            extrapolated = extrapolated.with(curve.without_framing());
            panels.push(portrait(
                &format!("{method}, extrapolated"),
                Series::line(method, *color, 1.0, column(&states, 3, 0, 2)),
            ));
        }
        let mut figure = Figure::grid(4, 300, 280, panels);
        let below = figures::Rectangle { left: 0, top: 280, width: 1200, height: 220 };
        figure.panels.push((below, extrapolated));
        figure.height += 220;
        report.figure = figure;
        Ok(report)
    }
}

fn main() -> ExitCode {
    experiments::run::<Lorenz>()
}

experiments::test_on_every_device!(Lorenz, experiments::Arguments::small(), |report: Report| {
    assert_eq!(report.value("MNN: wrong terms"), 0.0, "{report}");
    assert!(report.value("MNN: worst coefficient, %") < 5.0, "{report}");
});
