//! The ODE solve on the tape: gradients, learned quantities, a small mechanistic network.

use mechanistic::nn::{
    Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule, Schedule, positive_steps,
    raw_steps,
};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{Inputs, Options, Result, Smoothness, Status};

fn taylor() -> Options {
    Options { smoothness: Smoothness::Taylor, ..Options::default() }
}

fn array(shape: &[usize], data: &[f64]) -> Array<f64> {
    Array::new(shape, data.to_vec()).unwrap()
}

/// Trains until the schedule's end; `record` builds the loss.
fn train(
    parameters: &mut Parameters<f64>,
    rate: f64,
    steps: u64,
    mut record: impl FnMut(&mut Tape<f64>, &Parameters<f64>) -> Result<Var>,
) -> Vec<f64> {
    let mut tape = Tape::new();
    let schedule = Schedule::Cosine { steps, floor: 0.01 };
    let mut optimizer = Optimizer::new(Rule::adam(), rate).with_schedule(schedule);
    (0..steps)
        .map(|_| {
            tape.clear();
            let loss = record(&mut tape, parameters).unwrap();
            let gradients = tape.backward(loss).unwrap();
            optimizer.step(parameters, &gradients).unwrap();
            tape.scalar(loss).unwrap()
        })
        .collect()
}

/// The first Q-component of every state: u, of shape (B, N, K).
fn values(tape: &mut Tape<f64>, solution: Var) -> Result<Var> {
    let shape = tape.shape(solution)?[..3].to_vec();
    let u = tape.slice(solution, 3, 0..1)?;
    tape.reshape(u, shape)
}

#[test]
fn gradients_of_every_input_agree_with_central_differences() {
    // (B or 1, N or 1) of coefficients, rhs, initial values, steps: K = 2, Q = 3, E = 2, N = 4.
    let wave = |shape: &[usize], phase: f64| {
        let size: usize = shape.iter().product();
        let data: Vec<f64> = (0..size).map(|i| (1.3 * i as f64 + phase).sin()).collect();
        array(shape, &data)
    };
    let solves = [(taylor(), 0), (Options::default(), 1)];
    for ((options, extra), shared) in solves.into_iter().flat_map(|s| [(s, false), (s, true)]) {
        let b = if shared { 1 } else { 3 };
        let n = if shared { 1 } else { 4 };
        let mut steps = wave(&[b, if shared { 1 } else { 3 }], 0.4);
        steps.data_mut().iter_mut().for_each(|step| *step = 0.3 + 0.1 * *step);
        let inputs = [wave(&[b, n, 2, 2, 3], 0.1), wave(&[b, n, 2], 0.2), wave(&[b, 2, 2, 1], 0.3)];
        let inputs = [&inputs[..], &[steps]].concat();
        let record = |tape: &mut Tape<f64>, inputs: &[Array<f64>]| {
            let vars: Vec<Var> = inputs.iter().map(|input| tape.leaf(input.clone())).collect();
            let [coefficients, rhs, initial_values, steps] = vars[..] else { unreachable!() };
            let ode = Ode {
                batch: 3,
                points: 4,
                inputs: Inputs { coefficients, rhs, initial_values, steps },
                extra_derivatives: extra,
            };
            let solution = tape.solve_ode(&ode, &options).unwrap();
            let weights = tape.constant(wave(&[3, 4, 2, 3 + extra], 0.5));
            let product = tape.mul(solution, weights).unwrap();
            (tape.sum_all(product).unwrap(), vars)
        };
        let mut tape = Tape::new();
        let (loss, vars) = record(&mut tape, &inputs);
        let gradients = tape.backward(loss).unwrap();
        for (k, var) in vars.iter().enumerate() {
            let gradient = gradients.of(*var).unwrap();
            assert_eq!(gradient.shape(), inputs[k].shape());
            for i in 0..inputs[k].len() {
                let value = |change: f64| {
                    let mut changed = inputs.clone();
                    changed[k].data_mut()[i] += change;
                    let mut tape = Tape::new();
                    let (loss, _) = record(&mut tape, &changed);
                    tape.scalar(loss).unwrap()
                };
                let difference = (value(1e-5) - value(-1e-5)) / 2e-5;
                let exact = gradient.data()[i];
                assert!(
                    (exact - difference).abs() <= 1e-6 * (1.0 + exact.abs()),
                    "extra {extra}, shared {shared}, input {k}, element {i}: {exact} {difference}"
                );
            }
        }
    }
}

/// u'' + c u = 0 with c unknown, from samples of cos 1.5 t.
#[test]
fn a_constant_coefficient_is_recovered() {
    let (points, step) = (41, 0.1);
    let mut parameters = Parameters::new();
    let stiffness = parameters.insert("c", array(&[1], &[1.0])).unwrap();
    let data: Vec<f64> = (0..points).map(|i| (1.5 * step * i as f64).cos()).collect();
    train(&mut parameters, 0.1, 150, |tape, parameters| {
        let c = tape.parameter(parameters, stiffness)?;
        let rest = tape.constant(Array::vector([0.0, 1.0]));
        let coefficients = tape.concat(&[c, rest], 0)?;
        let ode = Ode {
            batch: 1,
            points,
            inputs: Inputs {
                coefficients: tape.reshape(coefficients, [1, 1, 1, 1, 3])?,
                rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
                initial_values: tape.constant(array(&[1, 1, 1, 2], &[1.0, 0.0])),
                steps: tape.constant(array(&[1, 1], &[step])),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = values(tape, solution)?;
        let target = tape.constant(array(&[1, points, 1], &data));
        tape.mse(u, target)
    });
    let found = parameters.get(stiffness).unwrap().data()[0];
    assert!((found - 2.25).abs() < 1e-4, "{found}");
}

/// u' + u = 0 from three starts, each learned for its own system; coefficients and steps shared.
#[test]
fn initial_values_are_learned_for_each_example() {
    let (batch, points, step) = (3, 21, 0.1);
    let starts = [2.0, -1.0, 0.5];
    let mut parameters = Parameters::new();
    let learned = parameters.insert("u0", array(&[batch, 1, 1, 1], &[0.0; 3])).unwrap();
    let data: Vec<f64> = starts
        .iter()
        .flat_map(|start| (0..points).map(move |i| start * (-step * i as f64).exp()))
        .collect();
    train(&mut parameters, 0.1, 200, |tape, parameters| {
        let ode = Ode {
            batch,
            points,
            inputs: Inputs {
                coefficients: tape.constant(array(&[1, 1, 1, 1, 4], &[1.0, 1.0, 0.0, 0.0])),
                rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
                initial_values: tape.parameter(parameters, learned)?,
                steps: tape.constant(array(&[1, 1], &[step])),
            },
            extra_derivatives: 0,
        };
        let solution = tape.solve_ode(&ode, &taylor())?;
        let u = values(tape, solution)?;
        let target = tape.constant(array(&[batch, points, 1], &data));
        tape.mse(u, target)
    });
    for (found, start) in parameters.get(learned).unwrap().data().iter().zip(starts) {
        assert!((found - start).abs() < 1e-3, "{found} {start}");
    }
}

/// u' = 1 + t-like growth u' = u, sampled at unknown times: the steps are learned.
#[test]
fn steps_are_learned_and_stay_positive() {
    let truth = [0.05, 0.2, 0.1, 0.15, 0.08, 0.12];
    let points = truth.len() + 1;
    let times = truth.iter().scan(0.0, |t, step| {
        *t += step;
        Some(*t)
    });
    let data: Vec<f64> = std::iter::once(0.0).chain(times).map(f64::exp).collect();
    let begin = raw_steps(&array(&[1, 6], &[0.11; 6]), 1e-4).unwrap();
    let mut parameters = Parameters::new();
    let raw = parameters.insert("raw steps", begin).unwrap();
    let steps = |tape: &mut Tape<f64>, parameters: &Parameters<f64>| {
        let raw = tape.parameter(parameters, raw)?;
        positive_steps(tape, raw, 1e-4)
    };
    train(&mut parameters, 0.1, 400, |tape, parameters| {
        let ode = Ode {
            batch: 1,
            points,
            inputs: Inputs {
                coefficients: tape.constant(array(&[1, 1, 1, 1, 4], &[-1.0, 1.0, 0.0, 0.0])),
                rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
                initial_values: tape.constant(array(&[1, 1, 1, 1], &[1.0])),
                steps: steps(tape, parameters)?,
            },
            extra_derivatives: 0,
        };
        let solution = tape.solve_ode(&ode, &taylor())?;
        let u = values(tape, solution)?;
        let target = tape.constant(array(&[1, points, 1], &data));
        tape.mse(u, target)
    });
    let mut tape = Tape::new();
    let found = steps(&mut tape, &parameters).unwrap();
    for (found, truth) in tape.value(found).unwrap().data().iter().zip(truth) {
        assert!((found - truth).abs() < 0.01, "{found} {truth}");
    }
}

#[test]
fn a_broken_system_is_reported_and_has_no_gradient() {
    let mut tape = Tape::new();
    let coefficients = tape.leaf(array(&[3, 1, 1, 1, 2], &[1.0, 1.0, f64::NAN, 1.0, 2.0, 1.0]));
    let ode = Ode {
        batch: 3,
        points: 5,
        inputs: Inputs {
            coefficients,
            rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
            initial_values: tape.constant(array(&[1, 1, 1, 1], &[1.0])),
            steps: tape.constant(array(&[1, 1], &[0.1])),
        },
        extra_derivatives: 0,
    };
    let solution = tape.solve_ode(&ode, &Options::default()).unwrap();
    let status = &tape.ode_solution(solution).unwrap().status;
    assert!(status[0].is_ok() && status[2].is_ok());
    assert_eq!(status[1], Status::NonFiniteInput { argument: "coefficients" });
    let solved = tape.ode_solved(solution).unwrap();
    assert_eq!(solved.data(), [true, false, true]);
    let zero = tape.constant(Array::scalar(0.0));
    let kept = tape.select(&solved, solution, zero).unwrap();
    let square = tape.square(kept).unwrap();
    let loss = tape.sum_all(square).unwrap();
    assert!(tape.scalar(loss).unwrap().is_finite());
    let gradients = tape.backward(loss).unwrap();
    let gradient = gradients.of(coefficients).unwrap().data();
    assert!(gradient.iter().all(|g| g.is_finite()));
    assert_eq!(gradient[2..4], [0.0, 0.0]);
    assert!(gradient[0] != 0.0 && gradient[4] != 0.0);
    assert!(tape.ode_solution(loss).is_err());
}

#[test]
fn misfit_inputs_are_refused() {
    let mut tape = Tape::new();
    let ode = Ode {
        batch: 2,
        points: 5,
        inputs: Inputs {
            coefficients: tape.constant(array(&[1, 1, 1, 1, 2], &[1.0, 1.0])),
            rhs: tape.constant(array(&[3, 1, 1], &[0.0; 3])),
            initial_values: tape.constant(array(&[1, 1, 1, 1], &[1.0])),
            steps: tape.constant(array(&[1, 1], &[0.1])),
        },
        extra_derivatives: 0,
    };
    let message = tape.solve_ode(&ode, &Options::default()).unwrap_err().to_string();
    assert!(message.starts_with("rhs: expected shape (B or 1, N or 1, E)"), "{message}");
    tape.clear();
    assert!(tape.solve_ode(&ode, &Options::default()).is_err());
}

/// Network → time-varying coefficients → solve → loss: pendulum-like curves from their frequency.
struct Mechanistic {
    parameters: Parameters<f64>,
    net: Mlp,
    start: ParameterId,
}

const BATCH: usize = 8;
const POINTS: usize = 20;

impl Mechanistic {
    fn new() -> Self {
        let (mut parameters, mut rng) = (Parameters::new(), Rng::new(11));
        let sizes = [1, 16, POINTS];
        let net = Mlp::new(&mut parameters, "net", &sizes, Activation::Gelu, &mut rng).unwrap();
        let start = parameters.insert("start", array(&[1, 1, 1, 2], &[0.5, 0.0])).unwrap();
        Mechanistic { parameters, net, start }
    }

    fn loss(&self, tape: &mut Tape<f64>, parameters: &Parameters<f64>) -> Result<Var> {
        let frequencies: Vec<f64> = (0..BATCH).map(|b| 0.5 + 0.2 * b as f64).collect();
        let curve = |w: &f64| (0..POINTS).map(|t| (w * 0.1 * t as f64).cos()).collect::<Vec<_>>();
        let data: Vec<f64> = frequencies.iter().flat_map(curve).collect();
        let x = tape.constant(array(&[BATCH, 1], &frequencies));
        let stiffness = self.net.forward(tape, parameters, x)?;
        let stiffness = tape.reshape(stiffness, [BATCH, POINTS, 1, 1, 1])?;
        let rest = tape.constant(array(&[2], &[0.0, 1.0]));
        let rest = tape.broadcast_to(rest, [BATCH, POINTS, 1, 1, 2])?;
        let ode = Ode {
            batch: BATCH,
            points: POINTS,
            inputs: Inputs {
                coefficients: tape.concat(&[stiffness, rest], 4)?,
                rhs: tape.constant(array(&[1, 1, 1], &[0.0])),
                initial_values: tape.parameter(parameters, self.start)?,
                steps: tape.constant(array(&[1, 1], &[0.1])),
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        let u = values(tape, solution)?;
        let target = tape.constant(array(&[BATCH, POINTS, 1], &data));
        tape.mse(u, target)
    }

    /// Losses and final parameters.
    fn train(steps: u64) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut model = Mechanistic::new();
        let mut parameters = model.parameters.clone();
        let losses = train(&mut parameters, 0.02, steps, |tape, now| model.loss(tape, now));
        model.parameters = parameters;
        (losses, model.parameters.iter().map(|(_, _, value)| value.data().to_vec()).collect())
    }
}

#[test]
fn a_mechanistic_network_learns_the_same_on_any_number_of_threads() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Mechanistic::train(120))
    };
    let one = with(1);
    let losses = &one.0;
    assert!(losses[119] < 0.01 * losses[0], "{} to {}", losses[0], losses[119]);
    assert_eq!(one, with(1));
    assert_eq!(one, with(3));
}
