//! The problems that the kernels are measured on, run on the simulated device.

use std::fmt;

use cuda_sim::{
    counters::LaunchCounters,
    simulator::{LaunchRecord, Simulator},
};
use mechanistic::{
    Cotangent, Device, Inputs, Options, Problem, ProblemShape, Real, Smoothness, Solver, View,
    rows::pair_rows,
};

use crate::{
    minimum::{Least, Minimum},
    targets::figures,
};

/// Precision of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Double.
    F64,
    /// Single, of inputs and results; computed in double.
    F32,
}

/// A least-squares problem whose coefficients, right-hand side and initial values differ by system and
/// by point; one equation a state, initial values below the highest derivative, one step for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// B: systems.
    pub batch: usize,
    /// How many of them are simulated: all do the same.
    pub simulated: usize,
    /// N: time points.
    pub points: usize,
    /// K: states.
    pub states: usize,
    /// Order of the equation.
    pub order: usize,
    /// Rows between the points; Hermite with one derivative more.
    pub smoothness: Smoothness,
    /// Of all numbers.
    pub precision: Precision,
    /// Steps of refinement, if not one.
    pub refinement: Option<usize>,
    /// Whether the test measures it again.
    pub tested: bool,
}

const fn taylor(batch: usize, points: usize, states: usize, order: usize) -> Workload {
    Workload {
        batch,
        simulated: batch,
        points,
        states,
        order,
        smoothness: Smoothness::TaylorHold,
        precision: Precision::F64,
        refinement: None,
        tested: false,
    }
}

impl Workload {
    const fn of(self, simulated: usize) -> Self {
        Workload { simulated, ..self }
    }

    const fn tested(self) -> Self {
        Workload { tested: true, ..self }
    }
}

/// What the table shows.
pub const WORKLOADS: [Workload; 18] = [
    taylor(1, 1000, 1, 2).tested(),
    taylor(1, 10000, 1, 2),
    taylor(100, 1000, 1, 2),
    taylor(1536, 50, 1, 2).tested(),
    taylor(3000, 50, 1, 2),
    taylor(1, 1000, 3, 1).tested(),
    taylor(512, 50, 3, 1).tested(),
    taylor(4096, 64, 2, 2),
    taylor(256, 64, 8, 2).of(8),
    taylor(30, 50, 10, 2).of(6).tested(),
    taylor(8192, 50, 1, 2).tested(),
    taylor(8192, 64, 2, 2),
    Workload { smoothness: Smoothness::Hermite, ..taylor(8192, 50, 1, 2) },
    Workload { refinement: Some(0), ..taylor(8192, 64, 2, 2) },
    Workload { precision: Precision::F32, ..taylor(1536, 50, 1, 2).tested() },
    Workload { precision: Precision::F32, ..taylor(8192, 50, 1, 2) },
    Workload { precision: Precision::F32, ..taylor(8192, 64, 2, 2) },
    Workload { precision: Precision::F32, ..taylor(256, 64, 8, 2).of(8) },
];

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Workload { batch, points, states, order, .. } = self;
        let precision = match self.precision {
            Precision::F64 => "f64",
            Precision::F32 => "f32",
        };
        write!(f, "{batch} × {points} × {states} × {order} {precision}")?;
        if self.smoothness != Smoothness::TaylorHold {
            write!(f, " {}", self.smoothness.name())?;
        }
        match self.refinement {
            Some(0) => write!(f, " unrefined"),
            Some(steps) => write!(f, " {steps} refinements"),
            None => Ok(()),
        }
    }
}

/// What one direction of a workload did.
#[derive(Clone, Debug)]
pub struct Run {
    /// The launches, in order.
    pub launches: Vec<LaunchRecord>,
    /// What it had to do at least.
    pub least: Least,
}

impl Run {
    /// The counters of all launches together.
    pub fn sums(&self) -> LaunchCounters {
        let mut sums = LaunchCounters::default();
        for launch in &self.launches {
            sums.add(&launch.counters);
        }
        sums
    }

    /// In the order of [`Figure::ALL`](crate::targets::Figure::ALL).
    pub fn figures(&self) -> [f64; 5] {
        figures(&self.sums(), self.least)
    }

    /// The launch that executes most instructions.
    pub fn main_launch(&self) -> &LaunchRecord {
        let work = |launch: &&LaunchRecord| launch.counters.total_warp_instructions();
        self.launches.iter().max_by_key(work).expect("every solve launches something")
    }
}

/// A workload, measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which one.
    pub workload: Workload,
    /// How it was solved, from the plan.
    pub path: String,
    /// The solve.
    pub forward: Run,
    /// The gradients.
    pub adjoint: Run,
}

impl Workload {
    /// Solves it once and takes the gradient.
    ///
    /// # Errors
    /// Whatever fails, also a system that is not solved and a report of the simulator's sanitizers.
    pub fn measure(&self, simulator: Simulator) -> Result<Measured, String> {
        let measured = match self.precision {
            Precision::F64 => self.run::<f64>(simulator),
            Precision::F32 => self.run::<f32>(simulator),
        };
        measured.map_err(|message| format!("{self}: {message}"))
    }

    fn run<T: Real>(&self, simulator: Simulator) -> Result<Measured, String> {
        let Workload { simulated: batch, points, states, order, .. } = *self;
        let q = order + 1;
        let extra = usize::from(self.smoothness == Smoothness::Hermite);
        let mut random = Random(0);
        let mut array = |shape: &[usize]| -> Vec<T> {
            (0..shape.iter().product()).map(|_| T::of(random.next())).collect()
        };
        let coefficient_shape = [batch, points, states, states, q];
        let rhs_shape = [batch, points, states];
        let initial_shape = [batch, 1, states, order];
        let coefficients = array(&coefficient_shape);
        let rhs = array(&rhs_shape);
        let initial_values = array(&initial_shape);
        let cotangent = array(&[batch, points, states, q + extra]);
        let steps = [T::of(0.1)];
        let problem = Problem::builder()
            .batch(batch)
            .points(points)
            .coefficients(View::new(&coefficient_shape, &coefficients))
            .rhs(View::new(&rhs_shape, &rhs))
            .initial_values(View::new(&initial_shape, &initial_values))
            .steps(View::new(&[1, 1], &steps))
            .build()
            .and_then(|problem| problem.with_extra_derivatives(extra))
            .map_err(|error| error.to_string())?;

        let options = Options {
            smoothness: self.smoothness,
            refinement_steps: self.refinement,
            ..Options::default()
        };
        let failed = |error: mechanistic::Error| error.to_string();
        let device = Device::cuda(0).map_err(failed)?;
        let mut solver = Solver::<T>::on(&device, problem.shape(), &options).map_err(failed)?;
        let least = self.minimum::<T>(problem.shape(), &options);
        let path = solver.plan().path;
        let shape = problem.shape();
        let whole = ProblemShape::new(
            self.batch,
            shape.points(),
            Inputs {
                coefficients: &with_batch(shape.coefficients(), self.batch),
                rhs: &with_batch(shape.rhs(), self.batch),
                initial_values: &with_batch(shape.initial_values(), self.batch),
                steps: &shape.steps(),
            },
        )
        .and_then(|whole| whole.with_extra_derivatives(extra))
        .map_err(failed)?;
        let whole = Solver::<T>::on(&device, &whole, &options).map_err(failed)?.plan().path;
        // Threads or teams, for whole systems or for chunks.
        let kind = |path: &str| path.split(',').next().map(str::to_owned);
        if kind(&whole) != kind(&path) {
            return Err(format!("{batch} systems: {path}; all of them: {whole}"));
        }
        let path = if whole == path { path } else { format!("{whole}; simulated: {path}") };

        let mut recorded = Recorded::new(simulator)?;
        let solution = solver.solve(&problem).map_err(failed)?;
        if let Some(system) = solution.status.iter().position(|status| !status.is_ok()) {
            return Err(format!("system {system}: {:?}", solution.status[system]));
        }
        let forward = Run { launches: recorded.next()?, least: least.forward() };
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        solver.vjp(&problem, &cotangent).map_err(failed)?;
        let adjoint = Run { launches: recorded.next()?, least: least.adjoint() };
        match simulator.reports() {
            Ok(reports) if reports.is_empty() => {}
            Ok(reports) => return Err(reports.join("\n")),
            Err(error) => return Err(format!("{error:?}")),
        }
        Ok(Measured { workload: *self, path, forward, adjoint })
    }

    fn minimum<T>(&self, shape: &ProblemShape, options: &Options) -> Minimum {
        let extra = shape.extra_derivatives();
        Minimum::new(
            shape,
            &pair_rows(options, self.order + extra),
            size_of::<T>(),
            self.refinement.unwrap_or(1),
        )
    }
}

fn with_batch<const AXES: usize>(mut shape: [usize; AXES], batch: usize) -> [usize; AXES] {
    shape[0] = batch;
    shape
}

/// The launches since the last look.
struct Recorded {
    simulator: Simulator,
    seen: usize,
}

impl Recorded {
    fn new(simulator: Simulator) -> Result<Self, String> {
        let mut recorded = Recorded { simulator, seen: 0 };
        recorded.next()?;
        Ok(recorded)
    }

    fn next(&mut self) -> Result<Vec<LaunchRecord>, String> {
        let mut launches = self.simulator.launches().map_err(|error| format!("{error:?}"))?;
        let new = launches.split_off(self.seen);
        self.seen += new.len();
        Ok(new)
    }
}

/// Numbers between −1 and 1, the same in every run: the generator SplitMix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}
