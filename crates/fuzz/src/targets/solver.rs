//! Solver inputs of any shape, sharing, options and values, beside a neighbor that is broken.
//!
//! A system that counts as solved has no value that is not finite, and one whose cotangent or
//! tangent is not finite says so. A batch is solved twice, as it is and with one system broken, in
//! its inputs, its cotangent or its tangents: of every other system, the solution, the status and
//! all derivatives must be the same to the bit.

use std::path::Path;

use arbitrary::{Result as Choice, Unstructured};
use mechanistic::{
    Cotangent, Factorization, Formulation, Gradients, Inputs, Options, Problem, Real, RowScaling,
    Smoothness, Solver, Status, View, Weights,
};

use super::{Outcome, Target, ensure};
use crate::entropy::{chance, number, tame};

pub const TARGET: Target =
    Target { name: "solver", generate, run, samples: &[], words: &[], tested: 12_000 };

/// An input is the bytes that the choices are made from.
fn generate(u: &mut Unstructured<'_>) -> Choice<Vec<u8>> {
    let length = u.len();
    Ok(u.bytes(length)?.to_vec())
}

/// A batch with its options, and the same batch with one system broken.
struct Case {
    shapes: Inputs<Vec<usize>>,
    extra: usize,
    points: usize,
    batch: usize,
    options: Options,
    values: Values<f64>,
    /// The system that is broken, which array, which of its values in it, and by what.
    broken: Option<(usize, usize, usize, f64)>,
    single: bool,
}

/// The arrays of a solve and of its derivatives.
#[derive(Clone)]
struct Values<T> {
    inputs: Inputs<Vec<T>>,
    tangents: Inputs<Vec<T>>,
    cotangent: Vec<T>,
    epsilon: Vec<T>,
}

impl<T> Values<T> {
    /// The arrays in this order, which has a place for each.
    fn arrays(&mut self) -> [&mut Vec<T>; ARRAYS] {
        let Values { inputs, tangents, cotangent, epsilon } = self;
        let [a, b, c, d] = inputs.as_mut().into();
        let [e, f, g, h] = tangents.as_mut().into();
        [a, b, c, d, e, f, g, h, cotangent, epsilon]
    }

    fn map<U>(&self, value: impl Fn(&T) -> U) -> Values<U> {
        let all = |values: &Vec<T>| values.iter().map(&value).collect();
        Values {
            inputs: self.inputs.as_ref().map(all),
            tangents: self.tangents.as_ref().map(all),
            cotangent: all(&self.cotangent),
            epsilon: all(&self.epsilon),
        }
    }
}

/// The number of arrays that can be broken.
const ARRAYS: usize = 10;

fn run(input: &[u8], _: &Path) -> Outcome {
    let Ok(case) = choose(&mut Unstructured::new(input)) else { return Ok(false) };
    if case.single { check::<f32>(&case) } else { check::<f64>(&case) }
}

fn choose(u: &mut Unstructured<'_>) -> Choice<Case> {
    let batch = if chance(u, 1, 8)? { u.int_in_range(1..=20)? } else { u.int_in_range(1..=5)? };
    // The CPU cuts up to three systems of more than 97 points into chunks.
    let points = match u.int_in_range(0..=15)? {
        0 if batch <= 3 => u.int_in_range(98..=140)?,
        1 | 2 => u.int_in_range(2..=60)?,
        _ => u.int_in_range(2..=9)?,
    };
    let (k, columns) = (u.int_in_range(1..=3)?, u.int_in_range(1..=4)?);
    let e = if chance(u, 1, 4)? { u.int_in_range(1..=k + 1)? } else { k };
    let extra = if chance(u, 1, 2)? { u.int_in_range(0..=3)? } else { 0 };
    let i = if chance(u, 1, 8)? { u.int_in_range(0..=points)? } else { 1 };
    let j = if chance(u, 1, 4)? { u.int_in_range(0..=columns + extra)? } else { columns - 1 };
    let mut axis = |full: usize| Ok(if chance(u, 1, 3)? { 1 } else { full });
    let shapes = Inputs {
        coefficients: vec![axis(batch)?, axis(points)?, e, k, columns],
        rhs: vec![axis(batch)?, axis(points)?, e],
        initial_values: vec![axis(batch)?, i, k, j],
        steps: vec![axis(batch)?, axis(points - 1)?, axis(k)?],
    };
    let wild = *u.choose(&[0, 0, 1, 8])?;
    let options = options(u, wild)?;
    // Magnitudes that make squares overflow or vanish.
    let scale = *u.choose(&[1.0, 1.0, 1.0, 1e-8, 1e8, 1e-160, 1e160, 1e-300, 1e300])?;
    let inputs = Inputs::NAMES.zip(shapes.as_ref()).try_map(|(name, shape)| {
        let scale = if chance(u, 1, 4)? { scale } else { 1.0 };
        let count = shape.iter().product();
        (0..count)
            .map(|_| match name {
                "steps" if chance(u, wild, 64)? => number(u, 64),
                "steps" => Ok(scale * (0.001 + tame(u)?.abs())),
                _ => Ok(scale * number(u, wild)?),
            })
            .collect::<Choice<Vec<f64>>>()
    })?;
    let scale = if chance(u, 1, 4)? { scale } else { 1.0 };
    let mut values = Values {
        tangents: inputs.as_ref().map(|values| vec![1.0; values.len()]),
        inputs,
        cotangent: vec![scale; batch * points * k * (columns + extra)],
        epsilon: vec![1.0; batch],
    };
    if chance(u, wild, 16)? {
        let system = u.choose_index(batch)?;
        let own = values.cotangent.len() / batch;
        values.cotangent[system * own + u.choose_index(own)?] = number(u, 64)?;
    }
    let array = u.choose_index(ARRAYS)?;
    let of_batch = shapes.as_ref().into_iter().nth(array % 4).is_none_or(|s| s[0] == batch);
    let inner = values.arrays()[array].len() / batch;
    let broken = match batch > 1 && (array >= 8 || of_batch) && inner > 0 {
        true => Some((
            u.int_in_range(0..=batch - 1)?,
            array,
            u.choose_index(inner)?,
            *u.choose(&[f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, -1e300, 5e-324])?,
        )),
        false => None,
    };
    Ok(Case { shapes, extra, points, batch, options, values, broken, single: u.arbitrary()? })
}

fn options(u: &mut Unstructured<'_>, wild: u32) -> Choice<Options> {
    let mut weight = || Ok(if chance(u, 1, 6)? { number(u, wild)?.abs() } else { 1.0 });
    let weights = Weights {
        equation: weight()?,
        initial: weight()?,
        smoothness: weight()?,
        periodic: weight()?,
    };
    let formulation = match chance(u, 1, 3)? {
        true => Formulation::SharedSlack { gamma: number(u, wild)?, alpha: number(u, wild)? },
        false => Formulation::LeastSquares,
    };
    Ok(Options {
        smoothness: *u.choose(&Smoothness::ALL)?,
        roughness: if chance(u, 1, 6)? { number(u, wild)?.abs() } else { 0.001 },
        scaling: *u.choose(&RowScaling::ALL)?,
        formulation,
        weights,
        periodic: chance(u, 1, 4)?,
        factorization: *u.choose(&Factorization::ALL)?,
        refinement_steps: match chance(u, 1, 2)? {
            true => Some(u.int_in_range(0..=4)?),
            false => None,
        },
        // It is refused with the slack and where the problem is periodic, which are rarer then.
        follow_growth: chance(u, 1, 4)?,
    })
}

/// What a solver says of a batch.
struct Answers<T> {
    status: Vec<Status>,
    values: Vec<T>,
    epsilon: Vec<T>,
    tangents: Vec<T>,
    variances: Vec<T>,
    residuals: Vec<[f64; 4]>,
    gradients: Gradients<T>,
    tangent_status: Vec<Status>,
}

/// Accepted is a batch with a system that is solved.
fn check<T: Real>(case: &Case) -> Outcome {
    let Some(alone) = answers::<T>(case, &case.values)? else { return Ok(false) };
    let solved = alone.status.iter().any(|status| status.is_ok());
    let Some((system, array, place, value)) = case.broken else { return Ok(solved) };
    let mut values = case.values.clone();
    let broken = &mut values.arrays()[array];
    let inner = broken.len() / case.batch;
    broken[system * inner + place] = value;
    let Some(others) = answers::<T>(case, &values)? else { return Ok(solved) };
    for neighbor in (0..case.batch).filter(|neighbor| *neighbor != system) {
        compare(case, neighbor, &alone, &others)?;
    }
    Ok(solved)
}

fn answers<T: Real>(case: &Case, values: &Values<f64>) -> Result<Option<Answers<T>>, String> {
    let values: Values<T> = values.map(|value| T::of(*value));
    let arrays = &values.inputs;
    let problem = Problem::builder()
        .batch(case.batch)
        .points(case.points)
        .coefficients(View::new(&case.shapes.coefficients, &arrays.coefficients))
        .rhs(View::new(&case.shapes.rhs, &arrays.rhs))
        .initial_values(View::new(&case.shapes.initial_values, &arrays.initial_values))
        .steps(View::new(&case.shapes.steps, &arrays.steps))
        .build()
        .and_then(|problem| problem.with_extra_derivatives(case.extra));
    let Ok(problem) = problem else { return Ok(None) };
    let Ok(mut solver) = Solver::<T>::new(problem.shape(), &case.options) else {
        return Ok(None);
    };
    let fails = |error: mechanistic::Error| format!("an error of a possible call: {error}");
    let solution = solver.solve(&problem).map_err(fails)?.clone();
    let block = solution.values.len() / case.batch;
    for (system, status) in solution.status.iter().enumerate() {
        let values = &solution.values[system * block..][..block];
        let finite = values.iter().all(|value| value.is_finite());
        ensure(!status.is_ok() || finite && solution.epsilon[system].is_finite(), || {
            "solved, but not finite".to_owned()
        })?;
        ensure(status.is_ok() || values.iter().all(|value| value.is_nan()), || {
            format!("{status:?}, but with values")
        })?;
    }
    let cotangent = Cotangent { values: &values.cotangent, epsilon: Some(&values.epsilon) };
    let gradients = solver.vjp(&problem, &cotangent).map_err(fails)?.clone();
    check_gradients(case, &solution.status, &cotangent, &gradients)?;
    let directions = values.tangents.as_ref().map(|values| Some(values.as_slice()));
    let tangent = solver.jvp(&problem, &directions).map_err(fails)?;
    for (values, status) in tangent.values.chunks_exact(block).zip(&tangent.status) {
        ensure(!status.is_ok() || values.iter().all(|value| value.is_finite()), || {
            "a tangent with status ok that is not finite".to_owned()
        })?;
    }
    let (tangents, tangent_status) = (tangent.values.clone(), tangent.status.clone());
    let residuals = solver.residuals(&problem).map_err(fails)?;
    let norms = |r: &mechanistic::Residuals| [r.equation, r.initial, r.smoothness, r.periodic];
    let residuals = residuals.iter().map(norms).collect();
    let variances = solver.variances(&problem).map_err(fails)?.to_vec();
    Ok(Some(Answers {
        status: solution.status,
        values: solution.values,
        epsilon: solution.epsilon,
        tangents,
        variances,
        residuals,
        gradients,
        tangent_status,
    }))
}

/// Checks what is said of the gradients: they are finite, and what is left out is said to be.
fn check_gradients<T: Real>(
    case: &Case,
    solved: &[Status],
    cotangent: &Cotangent<'_, T>,
    gradients: &Gradients<T>,
) -> Result<(), String> {
    let inputs = Inputs::NAMES.zip(gradients.inputs.as_ref()).zip(case.shapes.as_ref());
    for ((name, gradient), shape) in inputs {
        ensure(gradient.iter().all(|value| value.is_finite()), || {
            format!("a gradient of {name} that is not finite")
        })?;
        let own = gradient.len() / case.batch;
        for (system, status) in gradients.status.iter().enumerate() {
            let zero = || gradient[system * own..][..own].iter().all(|value| *value == T::zero());
            ensure(status.is_ok() || shape[0] != case.batch || zero(), || {
                format!("{status:?}, but with a gradient of {name}")
            })?;
        }
    }
    let own = cotangent.values.len() / case.batch;
    for (system, (solved, said)) in solved.iter().zip(&gradients.status).enumerate() {
        let finite = cotangent.values[system * own..][..own].iter().all(|value| value.is_finite())
            && cotangent.epsilon.is_none_or(|epsilon| epsilon[system].is_finite());
        let right = match (solved.is_ok(), finite) {
            (false, _) => said == solved,
            (true, false) => matches!(said, Status::NonFiniteInput { .. }),
            (true, true) => matches!(said, Status::Ok | Status::Overflow),
        };
        ensure(right, || format!("{said:?} of gradients of {solved:?}, cotangent {finite}"))?;
    }
    Ok(())
}

/// Whether several systems overflow and none is left, as where only the sum of their gradients does.
fn sum_overflows(status: &[Status]) -> bool {
    let overflowing = status.iter().filter(|status| matches!(status, Status::Overflow)).count();
    overflowing > 1 && !status.iter().any(|status| status.is_ok())
}

/// Compares what is said of one system, to the bit.
fn compare<T: Real>(
    case: &Case,
    system: usize,
    a: &Answers<T>,
    b: &Answers<T>,
) -> Result<(), String> {
    let differs = |what: &str| format!("a broken neighbor changes the {what} of a system");
    ensure(a.status[system] == b.status[system], || differs("status"))?;
    let bits = |values: &[T]| values.iter().map(|v| v.to_double().to_bits()).collect::<Vec<_>>();
    let part = |values: &[T]| {
        let length = values.len() / case.batch;
        bits(&values[system * length..][..length])
    };
    for (what, a, b) in [
        ("solution", &a.values, &b.values),
        ("slack", &a.epsilon, &b.epsilon),
        ("tangent", &a.tangents, &b.tangents),
        ("variances", &a.variances, &b.variances),
    ] {
        ensure(part(a) == part(b), || differs(what))?;
    }
    ensure(a.tangent_status[system] == b.tangent_status[system], || differs("tangent's status"))?;
    let norms = |a: &Answers<T>| a.residuals[system].map(f64::to_bits);
    ensure(norms(a) == norms(b), || differs("residuals"))?;
    let (said_a, said_b) = (&a.gradients.status, &b.gradients.status);
    // All overflow together where only the sum does of what they share, such as the weights.
    if sum_overflows(said_a) || sum_overflows(said_b) {
        return Ok(());
    }
    ensure(said_a[system] == said_b[system], || differs("gradients' status"))?;
    // Along a shared axis the gradient is the sum over the systems.
    let shapes = case.shapes.as_ref();
    for ((shape, name), (a, b)) in shapes
        .into_iter()
        .zip(Inputs::NAMES)
        .zip(a.gradients.inputs.as_ref().into_iter().zip(b.gradients.inputs.as_ref()))
    {
        let own = shape[0] == case.batch && case.batch > 1;
        ensure(!own || part(a) == part(b), || differs(&format!("gradient of {name}")))?;
    }
    Ok(())
}
