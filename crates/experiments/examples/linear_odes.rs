//! Linear ODEs with constant coefficients (the paper's section 5.7, Figures 7 and 9): the solver
//! against the exact solution and the classical Runge-Kutta method with the same steps.

use std::process::ExitCode;

use experiments::{Experiment, Lab, Report, largest, runge_kutta};
use figures::{Axis, Color, Figure, Panel, Series};
use mechanistic::{Backend, Options, Problem, Result, Smoothness, Solver, View};

struct LinearOdes;

/// Steps on 0 ≤ t ≤ END.
const END: f64 = 10.0;

/// c₀ u + c₁ u' + … = 0 with its exact solution.
struct Equation {
    name: &'static str,
    coefficients: &'static [f64],
    initial: &'static [f64],
    exact: fn(f64) -> f64,
}

const EQUATIONS: [Equation; 2] = [
    Equation {
        name: "second order",
        coefficients: &[4.04, 0.4, 1.0],
        initial: &[1.0, -0.2],
        exact: |t| (-0.2 * t).exp() * (2.0 * t).cos(),
    },
    // (d/dt + 1/2) of the same: one decay more.
    Equation {
        name: "third order",
        coefficients: &[2.02, 4.24, 0.9, 1.0],
        initial: &[2.0, -0.7, -3.71],
        exact: |t| (-0.2 * t).exp() * (2.0 * t).cos() + (-0.5 * t).exp(),
    },
];

impl Equation {
    fn order(&self) -> usize {
        self.initial.len()
    }

    /// u by the solver with these rows, which carry `extra` derivatives more than the equation.
    fn solve<B: Backend>(
        &self,
        lab: &Lab<B>,
        points: usize,
        smoothness: Smoothness,
        extra: usize,
    ) -> Result<Vec<f64>> {
        let order = self.order();
        let (coefficients, initial) = ([1, 1, 1, 1, order + 1], [1, 1, 1, order]);
        let step = [END / (points - 1) as f64];
        let problem = Problem::builder()
            .coefficients(View::new(&coefficients, self.coefficients))
            .rhs(View::new(&[1, 1, 1], &[0.0]))
            .initial_values(View::new(&initial, self.initial))
            .steps(View::new(&[1, 1], &step))
            .points(points)
            .build()?
            .with_extra_derivatives(extra)?;
        let options = Options { smoothness, ..Options::default() };
        let mut solver = Solver::<f64>::on(&lab.device, problem.shape(), &options)?;
        let solution = solver.solve(&problem)?;
        Ok((0..points).map(|t| solution.at(0, t, 0, 0)).collect())
    }

    /// u by the Runge-Kutta method, of the same equation as a system of first order.
    fn runge_kutta(&self, points: usize) -> Vec<f64> {
        let (order, h) = (self.order(), END / (points - 1) as f64);
        let field = |_: f64, u: &[f64], out: &mut [f64]| {
            out[..order - 1].copy_from_slice(&u[1..]);
            out[order - 1] = -(0..order).map(|j| self.coefficients[j] * u[j]).sum::<f64>();
        };
        runge_kutta(field, self.initial, h, points).iter().map(|u| u[0]).collect()
    }
}

impl Experiment for LinearOdes {
    const NAME: &'static str = "linear_odes";
    const ABOUT: &'static str = "Solves linear ODEs of second and third order";
    const TRAINS: bool = false;

    fn run<B: Backend>(lab: &Lab<B>) -> Result<Report> {
        let points = lab.arguments.scale(101, 101, 1001);
        let time: Vec<f64> = (0..points).map(|t| END * t as f64 / (points - 1) as f64).collect();
        let (mut panels, mut rows) = (vec![], vec![]);
        for equation in &EQUATIONS {
            let methods = [
                ("Taylor rows (the paper's)", Color::ORANGE, {
                    equation.solve(lab, points, Smoothness::Taylor, 0)?
                }),
                ("Hermite rows", Color::BLUE, {
                    equation.solve(lab, points, Smoothness::Hermite, 1)?
                }),
                ("Runge-Kutta", Color::VERMILION, equation.runge_kutta(points)),
            ];
            let curve = |u: &[f64]| time.iter().copied().zip(u.iter().copied()).collect();
            let exact: Vec<f64> = time.iter().map(|t| (equation.exact)(*t)).collect();
            let errors = Axis::logarithmic("error of u");
            let mut left = Panel::new(equation.name, Axis::new("t"), Axis::new("u"))
                .with(Series::line("exact", Color::GRAY, 3.5, curve(&exact)));
            let mut right = Panel::new(equation.name, Axis::new("t"), errors);
            for (name, color, u) in methods {
                let error: Vec<f64> = u.iter().zip(&exact).map(|(u, x)| (u - x).abs()).collect();
                let worst = largest(error.iter().copied());
                rows.push((format!("largest error, {}, {name}", equation.name), worst));
                left = left.with(Series::line(name, color, 1.25, curve(&u)));
                right = right.with(Series::line(name, color, 1.25, curve(&error)));
            }
            panels.extend([left, right]);
        }
        let report = Report::new(Figure::grid(2, 560, 260, panels));
        Ok(rows.iter().fold(report, |report, (name, worst)| {
            report.with_paper(name, "a close match, in a figure", *worst)
        }))
    }
}

fn main() -> ExitCode {
    experiments::run::<LinearOdes>()
}

experiments::test_on_every_device!(
    LinearOdes,
    experiments::Arguments::small(),
    |report: Report| {
        for order in ["second order", "third order"] {
            let worst = |method: &str| report.value(&format!("largest error, {order}, {method}"));
            assert!(worst("Hermite rows") < worst("Runge-Kutta"));
            assert!(worst("Hermite rows") < 2e-5, "{report}");
            assert!(worst("Taylor rows (the paper's)") < 5e-2, "{report}");
        }
    }
);
