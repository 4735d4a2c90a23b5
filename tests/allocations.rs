//! A plan is made once a shape; solving and differentiating again allocates nothing, and neither does
//! a training step. A binary of its own because the allocator that counts is the process's.

mod support;

use mechanistic::nn::{Activation, Mlp, Optimizer, ParameterId, Parameters, Rng, Rule};
use mechanistic::tape::{Array, Ode, Tape, Var};
use mechanistic::{
    Cotangent, Factorization, Formulation, Inputs, Options, Result, Solver, Tangents,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::case::{Case, Sizes, noise};

/// The system's allocator, counting by thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of this thread so far.
fn counted() -> usize {
    ALLOCATIONS.get()
}

#[test]
fn solving_again_allocates_nothing() {
    count_allocations(Factorization::Cholesky);
    count_allocations(Factorization::SquareRoot);
}

fn count_allocations(factorization: Factorization) {
    let slack = Formulation::SharedSlack { gamma: 0.5, alpha: 0.1 };
    for (batch, points, formulation) in [
        (1, 20, slack),
        (3, 20, slack),
        (200, 20, slack),
        // Long enough to be cut into chunks.
        (2, 120, Formulation::LeastSquares),
        (1, 2050, Formulation::LeastSquares),
    ] {
        let options =
            Options { formulation, factorization, refinement_steps: Some(1), ..Options::default() };
        let case = Case::<f64>::new(Sizes { batch, points, ..Sizes::SMALL }, options, 1);
        let problem = case.problem();
        let mut solver = Solver::new(problem.shape(), &case.options).unwrap();
        let direction = noise(3, case.inputs.steps.data.len());
        let cotangent = noise(1, batch * points * 6);
        let mut step = || {
            let tangents = Tangents { steps: Some(&direction), ..Tangents::default() };
            let cotangent = Cotangent { values: &cotangent, epsilon: None };
            solver.solve(&problem).unwrap();
            solver.vjp(&problem, &cotangent).unwrap();
            solver.jvp(&problem, &tangents).unwrap();
            solver.residuals(&problem).unwrap();
            solver.variances(&problem).unwrap();
            solver.error_estimate(&problem).unwrap();
        };
        // On the one thread of a pool, which then does all the work: what the pool itself allocates
        // when work is handed to it from outside is not the solver's.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            step();
            let before = counted();
            for _ in 0..10 {
                step();
            }
            assert_eq!(counted(), before, "batch {batch}");
        });
    }
}

/// Windows of the Lorenz system's data in a training step.
const WINDOWS: usize = 512;
/// Time points of a window.
const POINTS: usize = 50;
/// States of the system.
const STATES: usize = 3;
/// The polynomials of degree 2 and less in the states.
const TERMS: usize = 10;
/// Width of the network's two hidden layers.
const WIDTH: usize = 1024;

/// The paper's network for the Lorenz system: from the data of a window to the inputs f of the basis
/// functions, u' = Θ(f)ξ, and the two-part loss.
struct LorenzNetwork {
    parameters: Parameters<f64>,
    optimizer: Optimizer<f64>,
    tape: Tape<f64>,
    net: Mlp,
    coefficients: ParameterId,
    start: ParameterId,
    data: Array<f64>,
    leading: Array<f64>,
    step: Array<f64>,
    one: Array<f64>,
}

impl LorenzNetwork {
    fn new() -> Self {
        let (mut parameters, mut rng) = (Parameters::new(), Rng::new(1));
        let inputs = POINTS * STATES;
        let sizes = [inputs, WIDTH, WIDTH, inputs];
        let net = Mlp::new(&mut parameters, "net", &sizes, Activation::Gelu, &mut rng).unwrap();
        let full = |shape: &[usize], value: f64| Array::full(shape, value).unwrap();
        let coefficients = parameters.insert("xi", full(&[TERMS, STATES], 0.1)).unwrap();
        let start = full(&[WINDOWS, 1, STATES, 1], 0.0);
        // The coefficients of u and u' in three equations: the unit matrix before u'.
        let unit = (0..STATES * STATES).flat_map(|i| [0.0, f64::from(i % (STATES + 1) == 0)]);
        let unit = Array::new([1, 1, STATES, STATES, 2], unit.collect());
        LorenzNetwork {
            start: parameters.insert("start", start).unwrap(),
            parameters,
            optimizer: Optimizer::new(Rule::adam(), 1e-4).with_clip(1.0),
            tape: Tape::new(),
            net,
            coefficients,
            data: Array::new([WINDOWS, inputs], noise(7, WINDOWS * inputs)).unwrap(),
            leading: unit.unwrap(),
            step: full(&[1, 1], 0.01),
            one: full(&[WINDOWS * POINTS, 1], 1.0),
        }
    }

    fn loss(&mut self) -> Result<Var> {
        let (tape, parameters) = (&mut self.tape, &self.parameters);
        let data = tape.constant_from(&self.data)?;
        let f = self.net.forward(tape, parameters, data)?;
        let states = tape.reshape(f, [WINDOWS * POINTS, STATES])?;
        let mut terms = [tape.constant_from(&self.one)?; TERMS];
        for i in 0..STATES {
            terms[1 + i] = tape.slice(states, 1, i..i + 1)?;
        }
        let mut count = 1 + STATES;
        for i in 0..STATES {
            for j in i..STATES {
                terms[count] = tape.mul(terms[1 + i], terms[1 + j])?;
                count += 1;
            }
        }
        let terms = tape.concat(&terms, 1)?;
        let coefficients = tape.parameter(parameters, self.coefficients)?;
        let rhs = tape.matmul(terms, coefficients)?;
        let ode = Ode {
            batch: WINDOWS,
            points: POINTS,
            inputs: Inputs {
                coefficients: tape.constant_from(&self.leading)?,
                rhs: tape.reshape(rhs, [WINDOWS, POINTS, STATES])?,
                initial_values: tape.parameter(parameters, self.start)?,
                steps: tape.constant_from(&self.step)?,
            },
            extra_derivatives: 1,
        };
        let solution = tape.solve_ode(&ode, &Options::default())?;
        assert!(tape.ode_solution(solution)?.status.iter().all(|status| status.is_ok()));
        let u = tape.slice(solution, 3, 0..1)?;
        let u = tape.reshape(u, [WINDOWS, POINTS * STATES])?;
        let first = tape.mse(u, data)?;
        let second = tape.mse(f, data)?;
        tape.add(first, second)
    }

    /// One step of training; the loss before it.
    fn step(&mut self) -> Result<f64> {
        self.tape.clear();
        let loss = self.loss()?;
        let gradients = self.tape.backward(loss)?;
        self.optimizer.step(&mut self.parameters, &gradients)?;
        self.tape.recycle(gradients);
        self.tape.scalar(loss)
    }
}

#[test]
fn a_training_step_of_the_lorenz_network_allocates_nothing_after_the_first() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut network = LorenzNetwork::new();
        let first = network.step().unwrap();
        let before = counted();
        let second = network.step().unwrap();
        assert_eq!(counted(), before);
        assert!(second < first, "{first} to {second}");
    });
}
