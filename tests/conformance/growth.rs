//! Solutions that grow by many orders of magnitude. That rows which follow growth are solved and
//! differentiated as they are defined is tested with the other options, on random problems.

use super::Subject;
use crate::support::case::{Case, Owned};
use mechanistic::{Inputs, Options, Real, Smoothness, Status, Weights};

/// The initial-value problem Σ_j c_j u^(j) = 0 of one state on [0, end].
struct Initial {
    name: &'static str,
    coefficients: &'static [f64],
    values: &'static [f64],
    end: f64,
    points: usize,
    exact: fn(f64) -> f64,
}

const GROWING: [Initial; 5] = [
    Initial {
        name: "u' = 10u",
        coefficients: &[-10.0, 1.0],
        values: &[1.0],
        end: 1.0,
        points: 101,
        exact: |t| (10.0 * t).exp(),
    },
    Initial {
        name: "u' = 20u",
        coefficients: &[-20.0, 1.0],
        values: &[1.0],
        end: 1.0,
        points: 101,
        exact: |t| (20.0 * t).exp(),
    },
    Initial {
        name: "u' = 100u",
        coefficients: &[-100.0, 1.0],
        values: &[1.0],
        end: 1.0,
        points: 1000,
        exact: |t| (100.0 * t).exp(),
    },
    Initial {
        name: "u'' = u, u(0) = 1",
        coefficients: &[-1.0, 0.0, 1.0],
        values: &[1.0, 0.0],
        end: 40.0,
        points: 401,
        exact: f64::cosh,
    },
    Initial {
        name: "u'' = u, u(0) = 0",
        coefficients: &[-1.0, 0.0, 1.0],
        values: &[0.0, 1.0],
        end: 40.0,
        points: 401,
        exact: f64::sinh,
    },
];

/// What became of a problem.
struct Outcome {
    status: Status,
    /// Largest error of u after the first point, relative to the exact u there.
    relative_error: f64,
    error: f64,
    lost: bool,
    missed: f64,
}

impl Initial {
    fn case(&self, options: Options) -> Case {
        let array =
            |shape: &[usize], data: &[f64]| Owned { shape: shape.to_vec(), data: data.to_vec() };
        Case {
            batch: 1,
            points: self.points,
            extra_derivatives: 1,
            inputs: Inputs {
                coefficients: array(&[1, 1, 1, 1, self.coefficients.len()], self.coefficients),
                rhs: array(&[1, 1, 1], &[0.0]),
                initial_values: array(&[1, 1, 1, self.values.len()], self.values),
                steps: array(&[1, 1], &[self.end / (self.points - 1) as f64]),
            },
            options,
        }
    }

    fn solve<T: Real>(&self, subject: &Subject, options: Options) -> Outcome {
        let case = self.case(options).map(T::of);
        let problem = case.problem();
        let mut solver = subject.solver(problem.shape(), &options);
        let solution = solver.solve(&problem).unwrap();
        let step = case.inputs.steps.data[0].to_double();
        let (mut error, mut relative_error) = (0.0_f64, 0.0_f64);
        for t in 1..self.points {
            let exact = (self.exact)(t as f64 * step);
            let here = (solution.at(0, t, 0, 0).to_double() - exact).abs();
            error = error.max(here);
            relative_error = relative_error.max(here / exact.abs());
        }
        let (status, missed) = (solution.status[0], solution.initial_defect[0]);
        Outcome { status, relative_error, error, lost: solution.is_lost(0), missed }
    }
}

fn following(options: Options) -> Options {
    Options { follow_growth: true, ..options }
}

pub fn growth_is_followed_with_the_option_and_its_loss_is_reported_without(subject: &Subject) {
    for &factorization in subject.factorizations() {
        for growing in GROWING {
            let options = Options { factorization, ..Options::default() };
            let plain = growing.solve::<f64>(subject, options);
            let followed = growing.solve::<f64>(subject, following(options));
            let name = format!("{} by {}", growing.name, factorization.name());
            println!(
                "{name}: {:.1e}, misses {:.1e}; followed {:.1e}, misses {:.1e}",
                plain.relative_error, plain.missed, followed.relative_error, followed.missed
            );
            assert!(plain.status.is_ok() && followed.status.is_ok(), "{name}");
            assert!(plain.relative_error > 0.1 && plain.lost, "{name}");
            assert!(followed.relative_error < 1e-3 && !followed.lost, "{name}");
        }
    }
}

pub fn growth_is_followed_in_single_precision(subject: &Subject) {
    for growing in GROWING {
        let followed = growing.solve::<f32>(subject, following(Options::default()));
        // e^100 is beyond the range of f32.
        let within = (growing.exact)(growing.end) < f64::from(f32::MAX);
        assert_eq!(followed.status.is_ok(), within, "{}: {}", growing.name, followed.status);
        if within {
            println!("{}: {:.1e}", growing.name, followed.relative_error);
            assert!(followed.relative_error < 1e-3, "{}", growing.name);
        }
    }
}

pub fn every_row_family_follows_growth(subject: &Subject) {
    let [growing, ..] = GROWING;
    for smoothness in Smoothness::ALL {
        let options = Options { smoothness, ..Options::default() };
        let plain = growing.solve::<f64>(subject, options);
        let followed = growing.solve::<f64>(subject, following(options));
        println!(
            "{}: {:.1e}, followed {:.1e}",
            smoothness.name(),
            plain.relative_error,
            followed.relative_error
        );
        // Taylor rows are of second order: (λh)²/12 a step of λh = 0.1, over 100 steps.
        let most = if smoothness == Smoothness::Hermite { 1e-4 } else { 0.15 };
        assert!(plain.lost && followed.relative_error < most, "{}", smoothness.name());
    }
}

pub fn a_solution_that_does_not_grow_hardly_changes(subject: &Subject) {
    let oscillating = Initial {
        name: "u'' = -u",
        coefficients: &[1.0, 0.0, 1.0],
        values: &[0.0, 1.0],
        end: 10.0,
        points: 101,
        exact: f64::sin,
    };
    let plain = oscillating.solve::<f64>(subject, Options::default());
    let followed = oscillating.solve::<f64>(subject, following(Options::default()));
    println!("{:.1e}, followed {:.1e}", plain.error, followed.error);
    assert!(!plain.lost && !followed.lost);
    assert!((followed.error / plain.error - 1.0).abs() < 0.1);
}

/// u' = 20u + 1, u(0) = 0, beside a state that stays at 1: what is lost is small, and begins at zero.
pub fn a_state_that_begins_at_zero_is_not_lost_in_silence(subject: &Subject) {
    let array =
        |shape: &[usize], data: &[f64]| Owned { shape: shape.to_vec(), data: data.to_vec() };
    let lost = |growth: f64, options: Options| {
        let case = Case {
            batch: 1,
            points: 101,
            extra_derivatives: 1,
            inputs: Inputs {
                coefficients: array(
                    &[1, 1, 2, 2, 2],
                    &[-growth, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
                ),
                rhs: array(&[1, 1, 2], &[1.0, 0.0]),
                initial_values: array(&[1, 1, 2, 1], &[0.0, 1.0]),
                steps: array(&[1, 1], &[0.01]),
            },
            options,
        };
        let mut solver = subject.solver(case.problem().shape(), &options);
        let solution = solver.solve(&case.problem()).unwrap();
        println!("{growth}: misses {:.1e}", solution.initial_defect[0]);
        assert!(solution.status[0].is_ok());
        solution.is_lost(0)
    };
    assert!(lost(20.0, Options::default()));
    assert!(!lost(20.0, following(Options::default())));
    // What is not to be met is not missed.
    let weights = Weights { initial: 0.5, ..Weights::default() };
    assert!(!lost(20.0, Options { weights, ..Options::default() }));
    assert!(!lost(-1.0, Options::default()));
}
