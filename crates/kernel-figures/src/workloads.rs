//! The workloads: problems that the kernels are measured on, run on the simulated device.

use std::{collections::BTreeMap, fmt};

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

/// The precision of the numbers of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Inputs and results are in double precision.
    F64,
    /// Inputs and results are in single precision; the arithmetic is in double.
    F32,
}

/// A least-squares problem that the kernels are measured on. Its coefficients, right-hand side and
/// initial values differ by system and by point; it has one equation a state, initial values below
/// the highest derivative, and one step for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// B: systems.
    pub batch: usize,
    /// Number of systems that are simulated; all do the same.
    pub simulated: usize,
    /// N: time points.
    pub points: usize,
    /// K: states.
    pub states: usize,
    /// Order of the equation.
    pub order: usize,
    /// Family of the rows between the points; Hermite rows are solved with one extra derivative.
    pub smoothness: Smoothness,
    /// Precision of all numbers.
    pub precision: Precision,
    /// Steps of refinement, if not one.
    pub refinement: Option<usize>,
    /// Whether the test measures the workload again.
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

/// The workloads that the table shows.
pub const WORKLOADS: [Workload; 19] = [
    taylor(1, 1000, 1, 2).tested(),
    taylor(1, 10000, 1, 2),
    taylor(1, 1_000_000, 1, 2),
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

/// The launches of one direction of a workload.
#[derive(Clone, Debug)]
pub struct Run {
    /// Launches in order.
    pub launches: Vec<LaunchRecord>,
    /// Executions of each line of a kernel's PTX, by the kernel's name: those of
    /// [`Simulator::profile`].
    pub profiles: BTreeMap<String, BTreeMap<u32, u64>>,
    /// Least work that the direction has to do.
    pub least: Least,
}

impl Run {
    /// Returns the counters of all launches together.
    pub fn sums(&self) -> LaunchCounters {
        let mut sums = LaunchCounters::default();
        for launch in &self.launches {
            sums.add(&launch.counters);
        }
        sums
    }

    /// Returns the figures in the order of [`Figure::ALL`](crate::targets::Figure::ALL).
    pub fn figures(&self) -> [f64; 5] {
        figures(&self.sums(), self.least)
    }

    /// Returns the launch that executes most instructions.
    pub fn main_launch(&self) -> &LaunchRecord {
        let work = |launch: &&LaunchRecord| launch.counters.total_warp_instructions();
        self.launches.iter().max_by_key(work).expect("every solve launches something")
    }
}

/// A workload with its measurements.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Workload that was measured.
    pub workload: Workload,
    /// Path by which it was solved, from the plan.
    pub path: String,
    /// Run of the solve.
    pub forward: Run,
    /// Run of the gradients.
    pub adjoint: Run,
}

impl Workload {
    /// Solves the workload once and computes its gradient.
    ///
    /// # Errors
    /// The message says what fails; also a system that is not solved and a report of the
    /// simulator's sanitizers.
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
        // The first words of a path are its kind: threads or teams, for whole systems or for
        // chunks.
        let kind = |path: &str| path.split(',').next().map(str::to_owned);
        if kind(&whole) != kind(&path) {
            return Err(format!("{batch} systems: {path}; all of them: {whole}"));
        }
        let path = if whole == path { path } else { format!("{whole}; simulated: {path}") };

        let recorded = Recorded::new(simulator)?;
        let solution = solver.solve(&problem).map_err(failed)?;
        if let Some(system) = solution.status.iter().position(|status| !status.is_ok()) {
            return Err(format!("system {system}: {:?}", solution.status[system]));
        }
        let forward = recorded.next(least.forward())?;
        let cotangent = Cotangent { values: &cotangent, epsilon: None };
        solver.vjp(&problem, &cotangent).map_err(failed)?;
        let adjoint = recorded.next(least.adjoint())?;
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

/// What the simulated driver has recorded since it was last asked.
struct Recorded(Simulator);

impl Recorded {
    fn new(simulator: Simulator) -> Result<Self, String> {
        simulator.clear_records().map_err(|error| format!("{error:?}"))?;
        Ok(Recorded(simulator))
    }

    fn next(&self, least: Least) -> Result<Run, String> {
        let failed = |error| format!("{error:?}");
        let reports = self.0.reports().map_err(failed)?;
        if !reports.is_empty() {
            return Err(reports.join("\n"));
        }
        let launches = self.0.launches().map_err(failed)?;
        let mut profiles = BTreeMap::new();
        for launch in &launches {
            let profile = self.0.profile(&launch.kernel).map_err(failed)?;
            profiles.insert(launch.kernel.clone(), profile);
        }
        self.0.clear_records().map_err(failed)?;
        Ok(Run { launches, profiles, least })
    }
}

/// A source of numbers between −1 and 1, the same in every run: the generator SplitMix64 (Steele,
/// Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
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
