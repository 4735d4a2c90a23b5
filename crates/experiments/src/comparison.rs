//! The vector field that is found in a few trajectories of a planar system, beside SINDy's.

use figures::{Axis, Color, Figure, Mark, Panel, Series};
use mechanistic::discovery::{Library, Link, RightHandSide, Settings, Trajectory, aligned};
use mechanistic::{Backend, Result};

use crate::{
    Grid, Lab, Report, Stlsq, Truth, arrows, column, field, noisy, relative_error, simulated,
    stlsq, trajectories,
};

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct FieldComparison {
    /// The system, of two states.
    pub truth: Truth,
    /// Where trajectories start; the first alone makes the case of one trajectory.
    pub initial: &'static [[f64; 2]],
    /// Where a trajectory starts that no method has seen.
    pub test: [f64; 2],
    /// Time between two points.
    pub dt: f64,
    /// Deviation of the noise, relative to that of the states.
    pub noise: f64,
    /// Fields are compared up to this far from the origin, outside the box of the training data.
    pub extent: f64,
}

impl FieldComparison {
    /// Finds the equations from the first trajectory and from all, and compares the fields with the
    /// true one outside of the training data.
    ///
    /// # Errors
    /// Those of discovery.
    pub fn run<B: Backend>(&self, lab: &Lab<B>, settings: &Settings) -> Result<Report> {
        let mut report = Report::default().with_equations("true", self.truth.equations);
        let mut panels = Vec::new();
        for (name, count) in [("one trajectory", 1), ("several trajectories", self.initial.len())] {
            let own;
            (report, own) = self.compare(lab, settings, report, name, count)?;
            panels.extend(own);
        }
        report.figure = Figure::grid(3, 400, 380, panels);
        Ok(report)
    }

    fn compare<B: Backend>(
        &self,
        lab: &Lab<B>,
        settings: &Settings,
        report: Report,
        name: &str,
        count: usize,
    ) -> Result<(Report, [Panel; 3])> {
        let points = lab.arguments.scale(40, 500, 2000);
        let dt = self.dt * lab.arguments.scale(5.0, 1.0, 1.0);
        let initial: Vec<Vec<f64>> = self.initial[..count].iter().map(|u| u.to_vec()).collect();
        let exact = trajectories(&self.truth, &initial, dt, points)?;
        let data = noisy(&exact, self.noise, &mut lab.rng(count as u64));
        let library = Library::new(&data.states, settings)?;
        let found = lab.discover(&data, settings)?;
        let mnn = RightHandSide::from_equations(&library, settings, &found.equations)?;
        // SINDy has no links.
        let plain = Settings { link: Link::Identity, ..settings.clone() };
        let sindy = stlsq(&data, &library, &plain, Stlsq::default());

        let values = || data.trajectories.iter().flat_map(|t| t.values.chunks_exact(2));
        let bound = |state: usize| values().fold(0.0, |bound: f64, u| bound.max(u[state].abs()));
        let (x, y) = (bound(0), bound(1));
        let side = -self.extent..self.extent;
        let dense = Grid { x: side.clone(), y: side.clone(), count: 41 };
        let mut outside = dense.points();
        outside.retain(|u| u[0].abs() > x || u[1].abs() > y);
        let errors =
            [&mnn, &sindy].map(|rhs| relative_error(&outside, field(rhs), self.truth.field));

        let coarse = Grid { x: side.clone(), y: side.clone(), count: 10 };
        let time: Vec<f64> = (0..points).map(|i| dt * i as f64).collect();
        let test = trajectories(&self.truth, &[self.test.to_vec()], dt, points)?;
        let panel = |title: &str, arrows, predicted| {
            // Every fourth point is enough for a smooth line.
            let thinned = |t: &Trajectory| column(&t.values, 2, 0, 1).into_iter().step_by(4);
            let training = data.trajectories.iter().map(|t| thinned(t).collect()).collect();
            let truth = column(&test.trajectories[0].values, 2, 0, 1);
            let axis = |name| Axis::over(name, side.clone());
            Panel::new(&format!("{title}, {name}"), axis("x"), axis("y"))
                .with(Series::new("direction of u'", Color::SKY, Mark::Arrows(1.0), arrows))
                .with(Series::new("training data", Color::GRAY, Mark::Line(2.0), training))
                .with(Series::line("test trajectory", Color::BLACK, 2.5, truth))
                .with(Series::line("predicted", Color::VERMILION, 1.25, predicted))
        };
        let panels = [
            panel("truth", arrows(&coarse, self.truth.field), vec![]),
            panel("MNN", arrows(&coarse, field(&mnn)), {
                column(&simulated(&mnn, &self.test, &time), 2, 0, 1)
            }),
            panel("SINDy", arrows(&coarse, field(&sindy)), {
                column(&simulated(&sindy, &self.test, &time), 2, 0, 1)
            }),
        ];
        let report = report
            .with_equations(&format!("MNN, {name}"), aligned(&mnn.equations(&[])))
            .with_equations(&format!("SINDy, {name}"), aligned(&sindy.equations(&[])))
            .with(&format!("{name}: field error outside, MNN"), errors[0])
            .with(&format!("{name}: field error outside, SINDy"), errors[1])
            .with_paper(&format!("{name}: MNN / SINDy"), "in a figure", errors[0] / errors[1]);
        Ok((report, panels))
    }
}
