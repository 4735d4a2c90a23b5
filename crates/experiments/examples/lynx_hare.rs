//! Lynx and hare (beyond the paper): the pelts that the Hudson's Bay Company traded in 1900–1920, 21
//! points, yield the equations of Lotka and Volterra.

use std::process::ExitCode;

use experiments::{Experiment, Lab, Report, Stlsq, column, dataset, simulated, stlsq};
use figures::{Axis, Color, Figure, Panel, Points, Series};
use mechanistic::discovery::{Library, Method, RightHandSide, Settings, aligned};
use mechanistic::{Backend, Result};

struct LynxHare;

impl Experiment for LynxHare {
    const NAME: &'static str = "lynx_hare";
    const ABOUT: &'static str = "Finds the equations of predator and prey in 21 real points";
    const TRAINS: bool = false;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let data = dataset(include_str!("../../../data/lynx_hare.csv"))?;
        let settings = Settings { method: Method::Joint, ..Settings::default() };
        let library = Library::new(&data.states, &settings)?;
        let found = lab.discover(&data, &settings)?;
        let sindy = stlsq(&data, &library, &settings, Stlsq { threshold: 0.01, ridge: 0.05 });

        let (measured, fit) = (&data.trajectories[0], &found.fits[0]);
        let by_sindy = simulated(&sindy, &measured.values[..2], &fit.time);
        let mut panels = Vec::new();
        for (state, name) in data.states.iter().enumerate() {
            let curve = |time: &[f64], values: &[f64]| -> Points {
                time.iter().copied().zip(values.iter().skip(state).step_by(2).copied()).collect()
            };
            let (year, pelts) = (Axis::new("year"), Axis::new(&format!("{name}, thousands")));
            panels.push(
                Panel::new("", year, pelts)
                    .with(Series::line("fit", Color::SKY, 3.5, curve(&fit.time, &fit.smoothed)))
                    .with(Series::line(
                        "joint",
                        Color::BLUE,
                        1.25,
                        curve(&fit.time, &fit.simulated),
                    ))
                    .with(
                        Series::line("SINDy", Color::VERMILION, 1.25, curve(&fit.time, &by_sindy))
                            .without_framing(),
                    )
                    .with(Series::dots(
                        "pelts traded",
                        Color::BLACK,
                        curve(&measured.time, &measured.values),
                    )),
            );
        }
        panels.push(
            Panel::new("", Axis::new("hare, thousands"), Axis::new("lynx, thousands"))
                .with(Series::line("joint", Color::BLUE, 1.25, column(&fit.simulated, 2, 0, 1)))
                .with(Series::dots(
                    "pelts traded",
                    Color::BLACK,
                    column(&measured.values, 2, 0, 1),
                )),
        );
        let mnn = RightHandSide::from_equations(&library, &settings, &found.equations)?;
        let mut report = Report::new(Figure::grid(3, 420, 300, panels))
            .with_equations("joint", &found)
            .with_equations("SINDy", aligned(&sindy.equations(&[])));
        let terms = [(0, "hare"), (0, "hare lynx"), (1, "lynx"), (1, "hare lynx")];
        for (state, factors) in terms {
            let factors: Vec<String> = factors.split(' ').map(String::from).collect();
            let term = library.position(&factors).expect("the library is of second degree");
            let name = format!("{}: {}", mnn.lhs(state), factors.join(" "));
            report = report.with(&name, mnn.numerator[state * library.len() + term]);
        }
        let terms = found.equations.iter().map(|equation| equation.terms.len()).sum::<usize>();
        Ok(report.with("terms in all", terms as f64))
    }
}

fn main() -> ExitCode {
    experiments::run::<LynxHare>()
}

experiments::test_on_every_device!(LynxHare, experiments::Arguments::small(), |report: Report| {
    assert_eq!(report.value("terms in all"), 4.0, "{report}");
    let prototype = [
        ("hare': hare", 0.483),
        ("hare': hare lynx", -0.0249),
        ("lynx': lynx", -0.917),
        ("lynx': hare lynx", 0.0273),
    ];
    for (name, expected) in prototype {
        assert!((report.value(name) / expected - 1.0).abs() < 0.02, "{report}");
    }
});
