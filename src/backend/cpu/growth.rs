//! The growth of a solution, found by a march forward in time before the solve
//! ([`Options::follow_growth`]).
//!
//! Least squares weighs the defects of all rows alike. Where the solution grows by many orders of
//! magnitude, the discretization errors of its large end outweigh the whole of its small beginning,
//! and the minimum misses the initial values and stays small. Divided by the magnitude m_t that the
//! solution has reached at point t, the rows weigh relative defects.
//!
//! The march is a filter: it carries M and AᵀW²β of the points so far, reduced to point t by
//! elimination. With the rows of point t they give an estimate of z_t from the past alone, hence
//! m_t = max_{s≤t, k, j<m} h_s^j |z_s\[k,j\]|, by which the rows from t to t+1 are divided before
//! they are added: so the filter weighs relative defects too. Only magnitudes are wanted: they are
//! rounded to powers of two, by which numbers are divided exactly, and an unknown that the past
//! does not determine is left small.

use super::assembly::{Assembly, Context, Layout, Row, RowBuffers, RowVisitor, Source};
use super::inputs::TileSystems;
use super::simd::{Work, vectorized};
use crate::banded::lanes::{MOST_LANES, Pack, Packed};
use crate::error::Result;
use crate::memory::{ensure, zeros};
use crate::options::Options;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use rayon::prelude::*;

/// Computes the factors (B, N) by which [`Options::follow_growth`] multiplies the rows that begin at
/// each point of each system: m_0/m_t, m_t being the largest magnitude that the solution has
/// reached at point t, to a power of two.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
pub fn point_scales<T: Real>(problem: &Problem<'_, T>, options: &Options) -> Result<Vec<f64>> {
    let shape = problem.shape();
    let (points, batch) = (shape.points, shape.batch);
    let layout = Layout::new(shape, options);
    let context = Context { problem, options, layout: &layout };
    let tiles = rayon::current_num_threads().saturating_mul(MOST_LANES);
    let scales = batch.saturating_add(tiles).saturating_mul(points);
    let marches = tiles.saturating_mul(March::<Pack<f64, 1>>::values(shape));
    ensure("the growth of the solution", &[(scales, 8), (marches, 8)])?;
    let mut scales: Vec<f64> = zeros("growth", batch.saturating_mul(points))?;
    scales.par_chunks_mut(points * MOST_LANES).enumerate().try_for_each(|(tile, scales)| {
        let first = tile * MOST_LANES;
        let systems = TileSystems { first, last: (first + MOST_LANES).min(batch) - 1 };
        let mut march = March::<Pack<f64, MOST_LANES>>::new(shape, options)?;
        let mut in_lanes = zeros("growth", points * MOST_LANES)?;
        vectorized(MarchOfTile { march: &mut march, context, systems, scales: &mut in_lanes });
        for (lane, of_system) in scales.chunks_exact_mut(points).enumerate() {
            for (scale, in_lanes) in of_system.iter_mut().zip(in_lanes.chunks_exact(MOST_LANES)) {
                *scale = in_lanes[lane];
            }
        }
        Ok(())
    })?;
    Ok(scales)
}

/// The march of one tile, which is compiled for wider vectors too.
struct MarchOfTile<'a, T> {
    march: &'a mut March<Pack<f64, MOST_LANES>>,
    context: Context<'a, T>,
    systems: TileSystems,
    scales: &'a mut [f64],
}

impl<T: Real> Work for MarchOfTile<'_, T> {
    #[inline(always)]
    fn run(self) {
        self.march.point_scales(self.context, self.systems, self.scales);
    }
}

/// The march of the systems of one tile.
pub struct March<D: Packed<Real = f64>> {
    rows: RowBuffers<D>,
    /// The unknowns of points t and t+1.
    pair: Normal<D>,
    /// The unknowns of point t.
    point: Normal<D>,
}

impl<D: Packed<Real = f64>> March<D> {
    /// Allocates a march for problems of this shape.
    pub fn new(shape: &ProblemShape, options: &Options) -> Result<Self> {
        let p = shape.block();
        Ok(March {
            rows: RowBuffers::new(shape, options)?,
            pair: Normal::new(2 * p)?,
            point: Normal::new(p)?,
        })
    }

    /// Returns the number of values of a march, in lanes.
    pub fn values(shape: &ProblemShape) -> usize {
        let p = shape.block();
        Normal::<D>::values(2 * p).saturating_add(Normal::<D>::values(p))
    }

    /// Computes the factors m_0/m_t of the rows that begin at each point, (N, lanes). If the
    /// solution begins with zeros, m_0 is the magnitude of the first point that is not zero.
    #[inline(always)]
    pub fn point_scales<T: Real>(
        &mut self,
        context: Context<'_, T>,
        systems: TileSystems,
        scales: &mut [f64],
    ) {
        let March { rows, pair, point } = self;
        let shape = context.problem.shape();
        let (p, last_step) = (shape.block(), shape.points - 2);
        let mut assembly = Assembly::new(context, systems, &[], rows);
        let mut magnitudes = D::default();
        pair.clear();
        for (t, scales) in scales.chunks_exact_mut(D::LANES).enumerate() {
            // The rows of point t itself are still divided by what was reached before.
            pair.begin(t * p, &magnitudes);
            assembly.visit_point_rows(t, false, pair);
            point.copy_first(pair);
            point.eliminate(p);
            point.substitute_back();
            let step =
                context.layout.mean_step(context.problem.inputs.steps, systems, t.min(last_step));
            reach(&mut magnitudes, point.solution(), step, shape);
            for (lane, scale) in scales.iter_mut().enumerate() {
                *scale = magnitudes.lane(lane);
            }

            pair.begin(t * p, &magnitudes);
            assembly.visit_smoothness_rows(t, false, pair);
            pair.eliminate(p);
            pair.advance(p);
        }
        for lane in 0..D::LANES {
            let of_lane = || (lane..scales.len()).step_by(D::LANES);
            let first = of_lane().map(|i| scales[i]).find(|&m| m > 0.0).unwrap_or(1.0);
            for i in of_lane() {
                scales[i] = if scales[i] > 0.0 { first / scales[i] } else { 1.0 };
            }
        }
    }
}

/// Raises each lane's magnitude to the power of two below max_{k, j<m} h^j |z\[k,j\]|, if that is
/// larger; h is the mean step. A value that is not finite, which the solve will report, is passed
/// over.
#[inline(always)]
fn reach<D: Packed<Real = f64>>(
    magnitudes: &mut D,
    z: impl Iterator<Item = D>,
    step: D,
    shape: &ProblemShape,
) {
    const EXPONENT_BITS: u64 = f64::INFINITY.to_bits();
    let (q, order) = (shape.derivatives(), shape.equation_order().max(1));
    for (i, value) in z.enumerate().filter(|(i, _)| i % q < order) {
        for lane in 0..D::LANES {
            let size = value.lane(lane).abs() * step.lane(lane).powi((i % q) as i32);
            if size > magnitudes.lane(lane) && size.is_finite() {
                magnitudes.set_lane(lane, f64::from_bits(size.to_bits() & EXPONENT_BITS));
            }
        }
    }
}

/// The least part of its diagonal entry in M that a pivot counts as.
const LEAST_PIVOT: f64 = 1e-12;

/// The normal equations of a few unknowns: the upper triangle of M, and AᵀW²β as one more column.
struct Normal<D> {
    size: usize,
    /// Entries, (size, size + 1).
    entries: Vec<D>,
    /// Diagonal of M before anything was eliminated, (size).
    whole: Vec<D>,
    /// Number of the first unknown in the problem.
    first: usize,
    /// Factor of the rows that are added.
    factor: D,
}

impl<D: Packed<Real = f64>> Normal<D> {
    fn new(size: usize) -> Result<Self> {
        Ok(Normal {
            size,
            entries: zeros("march", size.saturating_mul(size + 1))?,
            whole: zeros("march", size)?,
            first: 0,
            factor: D::default(),
        })
    }

    /// Returns the number of values of normal equations of this size, in lanes.
    fn values(size: usize) -> usize {
        size.saturating_mul(size.saturating_add(2))
    }

    fn clear(&mut self) {
        self.entries.fill(D::default());
        self.whole.fill(D::default());
    }

    /// Prepares for rows over the unknowns from `first` on, which are to be divided by the
    /// magnitudes that are not zero.
    #[inline(always)]
    fn begin(&mut self, first: usize, magnitudes: &D) {
        self.first = first;
        self.factor = D::splat(1.0);
        for lane in 0..D::LANES {
            if magnitudes.lane(lane) > 0.0 {
                self.factor.set_lane(lane, 1.0 / magnitudes.lane(lane));
            }
        }
    }

    /// Takes the first unknowns of a larger one.
    #[inline(always)]
    fn copy_first(&mut self, other: &Normal<D>) {
        let (size, columns) = (self.size, self.size + 1);
        for i in 0..size {
            let from = &other.entries[i * (other.size + 1)..][..=other.size];
            let to = &mut self.entries[i * columns..][..columns];
            to[..size].copy_from_slice(&from[..size]);
            to[size] = from[other.size];
        }
        self.whole.copy_from_slice(&other.whole[..size]);
    }

    /// Eliminates the first unknowns: their rows are divided by their pivots, and the others become
    /// the Schur complement.
    #[inline(always)]
    fn eliminate(&mut self, unknowns: usize) {
        let columns = self.size + 1;
        for i in 0..unknowns {
            let (above, below) = self.entries.split_at_mut((i + 1) * columns);
            let row = &mut above[i * columns..];
            let mut pivot = row[i];
            for lane in 0..D::LANES {
                let least = LEAST_PIVOT * self.whole[i].lane(lane);
                let sound = if least > 0.0 { pivot.lane(lane).max(least) } else { 1.0 };
                pivot.set_lane(lane, sound);
            }
            for (j, below) in (i + 1..self.size).zip(below.chunks_exact_mut(columns)) {
                let factor = -(row[j] / pivot);
                for (below, &value) in below[j..].iter_mut().zip(&row[j..]) {
                    *below += factor * value;
                }
            }
            for value in &mut row[i + 1..] {
                *value = *value / pivot;
            }
        }
    }

    /// Replaces the right-hand side by the solution, once all unknowns are eliminated.
    #[inline(always)]
    fn substitute_back(&mut self) {
        let (size, columns) = (self.size, self.size + 1);
        for i in (0..size).rev() {
            let mut value = self.entries[i * columns + size];
            for k in i + 1..size {
                value += -(self.entries[i * columns + k] * self.entries[k * columns + size]);
            }
            self.entries[i * columns + size] = value;
        }
    }

    /// Iterates over the solution.
    fn solution(&self) -> impl Iterator<Item = D> {
        self.entries.chunks_exact(self.size + 1).map(|row| row[self.size])
    }

    /// Drops the first `p` of 2p unknowns, which are eliminated, and appends p without rows.
    #[inline(always)]
    fn advance(&mut self, p: usize) {
        let columns = self.size + 1;
        for i in 0..p {
            let (to, from) = (i * columns, (i + p) * columns);
            for k in 0..p {
                self.entries[to + k] = self.entries[from + p + k];
            }
            self.entries[to + p..to + 2 * p].fill(D::default());
            self.entries[to + 2 * p] = self.entries[from + 2 * p];
            self.whole[i] = self.whole[p + i];
        }
        self.entries[p * columns..].fill(D::default());
        self.whole[p..].fill(D::default());
    }
}

impl<D: Packed<Real = f64>> RowVisitor<D> for Normal<D> {
    /// Adds a row, unless it ties three points: what the march needs is tied by the others.
    #[inline(always)]
    fn visit(&mut self, row: &Row<'_, D>) {
        if matches!(row.source, Source::Smoothness { steps: 2.., .. }) {
            return;
        }
        let factor = row.factor() * self.factor;
        let squared = factor * factor;
        for (i, (&unknown, &value)) in row.unknowns.iter().zip(row.values).enumerate() {
            let place = unknown - self.first;
            let weighted = squared * value;
            self.whole[place] += weighted * value;
            let entries = &mut self.entries[place * (self.size + 1)..][..=self.size];
            entries[self.size] += weighted * row.rhs;
            for (&unknown, &value) in row.unknowns[i..].iter().zip(&row.values[i..]) {
                entries[unknown - self.first] += weighted * value;
            }
        }
    }
}
