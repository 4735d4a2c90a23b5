//! Sizes of the thread path: workspace, and shared memory in which inputs are staged.

use std::fmt;

use super::parameters::{ThreadRing, ThreadRows};
use crate::options::{Formulation, Options, Smoothness};
use crate::real::Real;
use crate::rows::pair_rows;
use crate::shape::{ProblemShape, stride};

/// Systems of a tile: lanes of a warp.
pub const TILE: usize = 32;
/// (K, Q) for which there are kernels: as in `kernels/thread_sizes.cuh`.
const SIZES: [(usize, usize); 6] = [(1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (3, 2)];
/// Most bytes of shared memory a block: what every device gives without being asked.
const MOST_SHARED: usize = 48 << 10;
/// Where the arrays of the workspace begin: at multiples of this.
const ALIGNMENT: usize = 256;

/// Sizes for problems of one shape, computed in one precision.
#[derive(Clone, Debug)]
pub struct Plan {
    /// N.
    pub points: usize,
    /// (K, Q).
    pub size: (usize, usize),
    /// Whether the rows themselves are factorised.
    pub square_root: bool,
    /// Smoothness rows.
    pub rows: ThreadRows,
    /// Staging for solution and defects.
    pub forward: Staging,
    /// Staging for the adjoint.
    pub adjoint: Staging,
    /// Staging for the tangent.
    pub tangent: Staging,
    value_bytes: usize,
    refined: bool,
}

/// Layout of a block's shared memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staging {
    /// Of coefficients, right-hand side, initial values, steps.
    pub inputs: [ThreadRing; 4],
    /// Of solution, cotangent or tangent.
    pub unknowns: ThreadRing,
    /// Of the inputs' directions.
    pub directions: [ThreadRing; 4],
    /// All of it, in bytes.
    pub bytes: usize,
}

/// Byte offsets of the arrays of the workspace, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Of R.
    pub factor: usize,
    /// Of z.
    pub solution: usize,
    /// Of the vector being substituted.
    pub vector: usize,
    /// Of what adjoint and tangent solve for, if they are refined.
    pub given: Option<usize>,
    /// Of their result.
    pub direction: Option<usize>,
    /// Of everything.
    pub bytes: usize,
}

/// How one input is staged.
#[derive(Clone, Copy)]
struct Staged {
    /// V.
    values: usize,
    /// Whether all systems have the same: nothing to stage but a gradient.
    shared: bool,
    /// Whether all points have the same: all values stay in the ring.
    still: bool,
}

impl Staged {
    fn of(shape: &ProblemShape) -> [Self; 4] {
        let [cb, cn, e, k, q] = shape.coefficients;
        let [rb, rn, _] = shape.rhs;
        let [ib, i, _, j] = shape.initial_values;
        let [sb, sn, sk] = shape.steps;
        let input = |batch, points, values| Staged {
            values: points * values,
            shared: batch == 1,
            still: stride(points, 1) == 0,
        };
        [
            input(cb, cn, e * k * q),
            input(rb, rn, e),
            Staged { values: i * k * j, shared: ib == 1, still: false },
            input(sb, sn, sk),
        ]
    }

    /// Slots of a system: two windows of 64 bytes, or all values and what aligns them.
    fn capacity<T>(&self) -> usize {
        let (window, sector) = (64 / size_of::<T>(), 32 / size_of::<T>());
        if self.still {
            (self.values + sector - 1).next_power_of_two().max(2 * window)
        } else {
            2 * window
        }
    }
}

impl Staging {
    fn add_ring<T>(&mut self, values: usize, capacity: usize) -> ThreadRing {
        let slots = self.bytes / size_of::<T>();
        let pitch = capacity + 32 / size_of::<T>() - 1;
        self.bytes = (self.bytes + TILE * pitch * size_of::<T>()).next_multiple_of(8);
        ThreadRing {
            values: values as i32,
            slots: slots as i32,
            capacity: capacity as i32,
            sums: 0,
        }
    }

    fn add_sums(&mut self, ring: &mut ThreadRing, values: usize) {
        ring.sums = (self.bytes / 8) as i32;
        self.bytes += TILE * (values | 1) * 8;
    }

    fn new<T>(shape: &ProblemShape, gradients: bool, directions: bool) -> Self {
        let mut staging = Staging::default();
        let inputs = Staged::of(shape);
        let ring = |staging: &mut Staging, input: &Staged, wanted: bool| {
            if wanted && input.values > 0 {
                staging.add_ring::<T>(input.values, input.capacity::<T>())
            } else {
                ThreadRing { values: input.values as i32, ..ThreadRing::default() }
            }
        };
        let two_windows = 2 * 64 / size_of::<T>();
        staging.unknowns = staging.add_ring::<T>(shape.points * shape.block(), two_windows);
        // They pass in sweeps in which the inputs do not: the inputs' rings lie in the same place.
        let unknowns_bytes = std::mem::take(&mut staging.bytes);
        staging.inputs = inputs.map(|input| {
            let mut ring = ring(&mut staging, &input, gradients || !input.shared);
            if gradients && input.still {
                staging.add_sums(&mut ring, input.values);
            }
            ring
        });
        staging.directions =
            inputs.map(|input| ring(&mut staging, &input, directions && !input.shared));
        staging.bytes = staging.bytes.max(unknowns_bytes);
        staging
    }
}

impl Plan {
    /// For problems of this shape, if the path takes them.
    pub fn new<T: Real>(shape: &ProblemShape, options: &Options) -> Option<Self> {
        let size = (shape.states(), shape.derivatives());
        let square_root = options.square_root_in::<T>();
        let is_single = size_of::<T>() == 4;
        let taken = SIZES.contains(&size)
            && options.formulation == Formulation::LeastSquares
            && !options.periodic
            && options.smoothness != Smoothness::TaylorCentral
            && (is_single || !square_root);
        // Within a system the kernels count with 32 bits.
        let most = Staged::of(shape).map(|input| input.values).into_iter().max()?;
        let countable = most.max(shape.points.checked_mul(shape.block())?) < (1 << 30);
        let still = Staged::of(shape).into_iter().filter(|input| input.still);
        let stageable =
            still.map(|input| input.values).max().unwrap_or(0) <= MOST_SHARED / TILE / 8;
        if !(taken && countable && stageable) {
            return None;
        }
        let plan = Plan {
            points: shape.points,
            size,
            square_root,
            rows: ThreadRows::new(&pair_rows(options, shape.order()), square_root),
            forward: Staging::new::<T>(shape, false, false),
            adjoint: Staging::new::<T>(shape, true, false),
            tangent: Staging::new::<T>(shape, false, true),
            value_bytes: size_of::<T>(),
            refined: options.refinement_in::<T>() > 0,
        };
        let bytes = [&plan.forward, &plan.adjoint, &plan.tangent].map(|staging| staging.bytes);
        (bytes.into_iter().max()? <= MOST_SHARED).then_some(plan)
    }

    /// P.
    pub fn block(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// F: stored values of a block row of R. The diagonal block is a triangle; column k of the
    /// other block is zero above row ⌊k/Q⌋·Q.
    fn factor_values(&self) -> usize {
        let ((k, q), p) = (self.size, self.block());
        p * (p + 1) / 2 + q * (k * p - q * k * (k - 1) / 2)
    }

    /// Tiles of so many systems.
    pub fn tiles(&self, systems: usize) -> usize {
        systems.div_ceil(TILE)
    }

    /// Of so many systems.
    pub fn workspace(&self, systems: usize) -> Workspace {
        let values = self.tiles(systems).saturating_mul(self.points).saturating_mul(TILE);
        let mut bytes = 0usize;
        let mut array = |of_point: usize| {
            let offset = bytes;
            let end = bytes.saturating_add(values.saturating_mul(of_point));
            bytes = end.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
            offset
        };
        let vector_bytes = self.block() * size_of::<f64>();
        Workspace {
            factor: array(self.factor_values() * self.value_bytes),
            solution: array(vector_bytes),
            vector: array(vector_bytes),
            given: self.refined.then(|| array(vector_bytes)),
            direction: self.refined.then(|| array(vector_bytes)),
            bytes,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (k, q) = self.size;
        let factorisation = if self.square_root { "square root" } else { "Cholesky" };
        write!(
            f,
            "thread: a system a thread, {TILE} a block, blocks of {k}·{q} in registers, \
             {factorisation}; {} + {} bytes of shared memory a block",
            self.forward.bytes, self.adjoint.bytes
        )
    }
}
