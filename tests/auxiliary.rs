//! Nonlinear ODEs on the tape by auxiliary variables ν and the loss (ν − g)².

use mechanistic::nn::{Optimizer, ParameterId, Parameters, Rule, Schedule, solve_with_auxiliaries};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Inputs, Options, Result};

const POINTS: usize = 21;
const STEP: f64 = 0.1;

fn array(shape: &[usize], data: &[f64]) -> Array<f64> {
    Array::new(shape, data.to_vec()).unwrap()
}

/// Minimizes what `record` builds; the last loss.
fn train(
    parameters: &mut Parameters<f64>,
    steps: u64,
    mut record: impl FnMut(&mut Tape<f64>, &Parameters<f64>) -> Result<Var>,
) -> f64 {
    let mut tape = Tape::new();
    let schedule = Schedule::Cosine { steps, floor: 0.001 };
    let mut optimizer = Optimizer::new(Rule::adam(), 0.05).with_schedule(schedule);
    let mut last = f64::INFINITY;
    for _ in 0..steps {
        tape.clear();
        let loss = record(&mut tape, parameters).unwrap();
        last = tape.scalar(loss).unwrap();
        let gradients = tape.backward(loss).unwrap();
        optimizer.step(parameters, &gradients).unwrap();
    }
    last
}

/// u of the only system (N).
fn values(tape: &Tape<f64>, solution: Var) -> Vec<f64> {
    let solution = tape.value(solution).unwrap();
    let derivatives = solution.shape()[3];
    solution.data().chunks_exact(derivatives).map(|u| u[0]).collect()
}

/// Σ c_j u^(j) = 0 in one state.
fn linear(tape: &mut Tape<f64>, c: &[f64], start: &[f64]) -> Ode {
    Ode {
        batch: 1,
        points: POINTS,
        inputs: Inputs {
            coefficients: tape.constant(array(&[1, 1, 1, 1, c.len()], c)),
            rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
            initial_values: tape.constant(array(&[1, 1, 1, start.len()], start)),
            steps: tape.constant(array(&[1, 1], &[STEP])),
        },
        extra_derivatives: 1,
    }
}

/// u (B, N, 1, 1) of a solution (B, N, 1, Q).
fn states(tape: &mut Tape<f64>, solution: Var) -> Result<Var> {
    tape.slice(solution, 3, 0..1)
}

/// u' − u + ν = 0 with ν → u²: logistic growth.
#[test]
fn a_nonlinear_equation_is_solved_by_training_the_auxiliaries() {
    let mut parameters = Parameters::new();
    let nu = parameters.insert("nu", array(&[1, POINTS, 1, 1], &[0.0; POINTS])).unwrap();
    let record = |tape: &mut Tape<f64>, parameters: &Parameters<f64>| {
        let ode = linear(tape, &[-1.0, 1.0], &[0.2]);
        let nu = tape.parameter(parameters, nu)?;
        solve_with_auxiliaries(tape, &ode, nu, &Options::default(), |tape, solution| {
            let u = states(tape, solution)?;
            tape.square(u)
        })
    };
    let loss = train(&mut parameters, 600, |tape, p| Ok(record(tape, p)?.loss));
    assert!(loss < 1e-9, "{loss}");
    let mut tape = Tape::new();
    let solution = record(&mut tape, &parameters).unwrap().solution;
    for (i, u) in values(&tape, solution).into_iter().enumerate() {
        let exact = 1.0 / (1.0 + 4.0 * (-STEP * i as f64).exp());
        assert!((u - exact).abs() < 1e-4, "{i}: {u} {exact}");
    }
}

/// A pendulum u'' + ν = 0, ν → φ sin u, whose φ is learned from samples of u.
#[test]
fn the_loss_learns_the_parameters_of_the_nonlinear_term() {
    let truth = 2.5;
    // The classical Runge-Kutta method, a hundred steps between two samples.
    let field = |u: [f64; 2]| [u[1], -truth * u[0].sin()];
    let moved = |u: [f64; 2], h: f64, k: [f64; 2]| [u[0] + h * k[0], u[1] + h * k[1]];
    let mut state = [1.5, 0.0];
    let mut data = vec![state[0]];
    for _ in 1..POINTS {
        for _ in 0..100 {
            let h = STEP / 100.0;
            let k1 = field(state);
            let k2 = field(moved(state, 0.5 * h, k1));
            let k3 = field(moved(state, 0.5 * h, k2));
            let k4 = field(moved(state, h, k3));
            let mean = [0, 1].map(|i| (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]) / 6.0);
            state = moved(state, h, mean);
        }
        data.push(state[0]);
    }

    let mut parameters = Parameters::new();
    let phi: ParameterId = parameters.insert("phi", array(&[1], &[1.0])).unwrap();
    let nu = parameters.insert("nu", array(&[1, POINTS, 1, 1], &[0.0; POINTS])).unwrap();
    train(&mut parameters, 2000, |tape, parameters| {
        let ode = linear(tape, &[0.0, 0.0, 1.0], &[1.5, 0.0]);
        let phi = tape.parameter(parameters, phi)?;
        let nu = tape.parameter(parameters, nu)?;
        let solve =
            solve_with_auxiliaries(tape, &ode, nu, &Options::default(), |tape, solution| {
                let u = states(tape, solution)?;
                let sine = tape.sin(u)?;
                tape.mul(sine, phi)
            })?;
        let u = states(tape, solve.solution)?;
        let target = tape.constant(array(&[1, POINTS, 1, 1], &data));
        let misfit = tape.mse(u, target)?;
        tape.add(misfit, solve.loss)
    });
    let found = parameters.get(phi).unwrap().data()[0];
    assert!((found - truth).abs() < 1e-3, "{found}");
}

#[test]
fn the_gradient_of_the_loss_agrees_with_central_differences() {
    let wave = |size: usize, phase: f64| -> Vec<f64> {
        (0..size).map(|i| (1.3 * i as f64 + phase).sin()).collect()
    };
    let record = |nu: &[f64], coefficients: &[f64]| {
        let mut tape = Tape::new();
        let nu = tape.leaf(array(&[1, POINTS, 2, 3], nu));
        let coefficients = tape.leaf(array(&[2, 1, 2, 2, 2], coefficients));
        let ode = Ode {
            batch: 2,
            points: POINTS,
            inputs: Inputs {
                coefficients,
                rhs: tape.constant(array(&[1, 1, 2], &[0.3, -0.4])),
                initial_values: tape.constant(array(&[2, 1, 2, 1], &[0.5, 1.0, -0.2, 0.4])),
                steps: tape.constant(array(&[1, 1], &[STEP])),
            },
            extra_derivatives: 1,
        };
        let record = |tape: &mut Tape<f64>, solution| {
            // Both states in both equations, once as they are, once squared, once their sine.
            let u = tape.slice(solution, 3, 0..1)?;
            let (square, sine) = (tape.square(u)?, tape.sin(u)?);
            tape.concat(&[u, square, sine], 3)
        };
        let solve =
            solve_with_auxiliaries(&mut tape, &ode, nu, &Options::default(), record).unwrap();
        (tape, solve.loss, nu, coefficients)
    };
    let nu = wave(POINTS * 6, 0.2);
    let coefficients: Vec<f64> = wave(16, 0.7)
        .iter()
        .enumerate()
        .map(|(i, c)| 0.3 * c + if i % 8 == 1 || i % 8 == 7 { 1.0 } else { 0.0 })
        .collect();
    let (mut tape, loss, nu_var, coefficients_var) = record(&nu, &coefficients);
    let gradients = tape.backward(loss).unwrap();
    let value = |nu: &[f64], coefficients: &[f64]| {
        let (tape, loss, ..) = record(nu, coefficients);
        tape.scalar(loss).unwrap()
    };
    let moved = |values: &[f64], i: usize, change: f64| {
        let mut values = values.to_vec();
        values[i] += change;
        values
    };
    let h = 1e-4;
    let agree = |exact: f64, difference: f64| {
        assert!((exact - difference).abs() < 1e-7, "{exact} {difference}");
    };
    for i in (0..nu.len()).step_by(11) {
        let near = [h, -h].map(|change| value(&moved(&nu, i, change), &coefficients));
        agree(gradients.of(nu_var).unwrap().data()[i], (near[0] - near[1]) / (2.0 * h));
    }
    for i in 0..coefficients.len() {
        let near = [h, -h].map(|change| value(&nu, &moved(&coefficients, i, change)));
        agree(gradients.of(coefficients_var).unwrap().data()[i], (near[0] - near[1]) / (2.0 * h));
    }
}

#[test]
fn a_system_without_solution_does_not_count() {
    let loss = |coefficients: &[f64]| {
        let batch = coefficients.len() / 2;
        let mut tape = Tape::new();
        let nu = tape.leaf(array(&[1, POINTS, 1, 1], &[0.1; POINTS]));
        let phi = tape.leaf(array(&[1], &[2.0]));
        let ode = Ode {
            batch,
            points: POINTS,
            inputs: Inputs {
                coefficients: tape.constant(array(&[batch, 1, 1, 1, 2], coefficients)),
                rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
                initial_values: tape.constant(array(&[1, 1, 1, 1], &[1.0])),
                steps: tape.constant(array(&[1, 1], &[STEP])),
            },
            extra_derivatives: 1,
        };
        let solve =
            solve_with_auxiliaries(&mut tape, &ode, nu, &Options::default(), |tape, solution| {
                let u = states(tape, solution)?;
                tape.mul(u, phi)
            })
            .unwrap();
        let gradients = tape.backward(solve.loss).unwrap();
        let of = |var| gradients.of(var).unwrap().data()[0];
        (tape.scalar(solve.loss).unwrap(), of(nu), of(phi))
    };
    let (whole, nu, phi) = loss(&[1.0, 1.0]);
    let (with_broken, nu_with, phi_with) = loss(&[1.0, 1.0, f64::NAN, 1.0]);
    for (a, b) in [(whole, with_broken), (nu, nu_with), (phi, phi_with)] {
        assert!((a - b).abs() <= 1e-12 * a.abs(), "{a} {b}");
    }
}

#[test]
fn misfit_shapes_are_errors() {
    let mut tape = Tape::new();
    let ode = linear(&mut tape, &[-1.0, 1.0], &[0.2]);
    let nu = tape.constant(array(&[1, POINTS, 2, 1], &[0.0; 2 * POINTS]));
    let message = solve_with_auxiliaries(&mut tape, &ode, nu, &Options::default(), |_, u| Ok(u));
    let message = message.unwrap_err().to_string();
    assert!(message.starts_with("auxiliaries: expected shape (B or 1, N or 1, E, R)"), "{message}");
    let nu = tape.constant(array(&[1, 1, 1, 1], &[0.0]));
    let message = solve_with_auxiliaries(&mut tape, &ode, nu, &Options::default(), |_, u| Ok(u));
    let message = message.unwrap_err().to_string();
    let expected = "nonlinearity: expected shape (B, N, E, R) = [1, 21, 1, 1], got [1, 21, 1, 3]";
    assert_eq!(message, expected);
}
