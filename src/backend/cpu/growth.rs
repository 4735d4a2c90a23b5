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
//! rounded to powers of two, by which numbers are divided exactly, an unknown that the past does not
//! determine is left small, and rows that tie three points are left out: what the march needs is tied
//! by the others.

use super::block::{Window, pack, solve_transposed, solve_upper, subtract_transposed_times};
use super::lanes::{Choice, LANES, Vector, choose, work};
use super::layout::{Context, Layout, triangle};
use super::pivots::Raised;
use super::staging::{Source, TileSystems};
use super::sweep::Room;
use crate::error::Result;
use crate::memory::{ensure, zeros};
use crate::options::Options;
use crate::problem::Problem;
use crate::real::Real;
use crate::shape::ProblemShape;
use crate::threads;
use rayon::prelude::*;

/// Computes the factors (B, N) by which [`Options::follow_growth`] multiplies the rows that begin at
/// each point of each system: m_0/m_t, m_t being the largest magnitude that the solution has
/// reached at point t, to a power of two.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
pub fn point_scales<T: Real>(problem: &Problem<'_, T>, options: &Options) -> Result<Vec<f64>> {
    let layout = Layout::new(problem.shape(), options);
    let inputs = Source::of(problem.inputs, &problem.places);
    let context = Context { inputs, options, layout: &layout, shared: None };
    choose(ScalesOfAll { shape: problem.shape(), context: &context })
}

struct ScalesOfAll<'a> {
    shape: &'a ProblemShape,
    context: &'a Context<'a>,
}

impl Choice for ScalesOfAll<'_> {
    type Output = Result<Vec<f64>>;
    fn with<V: Vector>(self) -> Result<Vec<f64>> {
        let (points, batch) = (self.shape.points, self.shape.batch);
        let alone = batch <= LANES || threads::is_alone();
        let tiles = LANES.saturating_mul(if alone { 1 } else { threads::available() });
        let scales = batch.saturating_add(tiles).saturating_mul(points);
        let staged =
            self.context.layout.staged().into_iter().fold(2 * points, usize::saturating_add);
        let march = March::<V>::values(self.context.layout).saturating_add(staged);
        let marches = tiles.saturating_mul(march);
        ensure("the growth of the solution", &[(scales, 8), (marches, 8)])?;
        let mut scales: Vec<f64> = zeros("growth", batch.saturating_mul(points))?;
        let find = |(tile, scales): (usize, &mut [f64])| {
            let first = tile * LANES;
            let systems = TileSystems::whole(first, LANES.min(batch - first));
            let (options, layout) = (self.context.options, self.context.layout);
            let mut march = March::<V>::new(layout)?;
            let mut room = Room::new(self.shape, (options, layout))?;
            let mut in_lanes: Vec<V> = zeros("growth", points)?;
            march.point_scales(self.context, systems, &mut room, &mut in_lanes);
            for (lane, of_system) in scales.chunks_exact_mut(points).enumerate() {
                for (scale, in_lanes) in of_system.iter_mut().zip(&in_lanes) {
                    *scale = in_lanes.lane(lane);
                }
            }
            Ok(())
        };
        match alone {
            true => scales.chunks_mut(points * LANES).enumerate().try_for_each(find)?,
            false => scales.par_chunks_mut(points * LANES).enumerate().try_for_each(find)?,
        }
        Ok(scales)
    }
}

work! {
    MarchOfTile<'a> {
        march: &'a mut March<V>,
        context: &'a Context<'a>,
        systems: TileSystems,
        room: &'a mut Room<V>,
        scales: &'a mut [V],
    }
    march.point_scales_inlined(context, systems, room, scales)
}

/// The least part of its diagonal entry in M that a pivot counts as.
const LEAST_PIVOT: f64 = 1e-12;

/// The march of the systems of one tile.
pub struct March<V> {
    /// The unknowns of points t and t+1.
    window: Window<V>,
    /// Right-hand side of the two, (2·P).
    y: Vec<V>,
    /// Triangle of a block and the solution at the point.
    r: Vec<V>,
    z: Vec<V>,
}

impl<V: Vector> March<V> {
    /// Allocates a march.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let p = layout.block;
        Ok(March {
            window: Window::new(2 * p, p)?,
            y: zeros("march", 2 * p)?,
            r: zeros("march", triangle(p))?,
            z: zeros("march", p)?,
        })
    }

    /// Returns the number of values of a march, in lanes.
    pub fn values(layout: &Layout) -> usize {
        let p = layout.block;
        p.saturating_mul(p).saturating_mul(7)
    }

    /// Computes the factors m_0/m_t of the rows that begin at each point, (N). If the solution begins
    /// with zeros, m_0 is the magnitude of the first point that is not zero.
    pub fn point_scales(
        &mut self,
        context: &Context<'_>,
        systems: TileSystems,
        room: &mut Room<V>,
        scales: &mut [V],
    ) {
        V::run(MarchOfTile { march: self, context, systems, room, scales });
    }

    #[inline(always)]
    fn point_scales_inlined(
        &mut self,
        context: &Context<'_>,
        systems: TileSystems,
        room: &mut Room<V>,
        scales: &mut [V],
    ) {
        let layout = context.layout;
        let (p, q, n) = (layout.block, layout.derivatives, 2 * layout.block);
        let March { window, y, r, z } = self;
        let (zero, one) = (V::default(), V::splat(1.0));
        let order = (layout.equation_derivatives - 1).max(1);
        let mut pivots = Raised { least: LEAST_PIVOT };
        let mut magnitudes = V::default();
        window.clear();
        y.fill(zero);
        scales.fill(one);
        room.points.begin(context, systems, scales);
        for range in layout.ranges() {
            room.points.load(context, systems, range.clone());
            for t in range {
                // The rows of point t itself are still divided by what was reached before.
                let factor = one / zero.less(magnitudes, magnitudes, one);
                let entries = &mut window.entries;
                room.points.absorb::<1>(context, t, factor, entries, n, &mut y[..p]);
                window.factorize::<1>([n, p], 0, |_| 0, &mut pivots);
                pack(&window.rows, n, 0, p, r);
                z.copy_from_slice(&y[..p]);
                solve_transposed::<V, 1>(r, z);
                solve_upper::<V, 1>(r, z);
                let step = room.points.mean_step(layout, t);
                for z in z.chunks_exact(q) {
                    reach(&mut magnitudes, &z[..order], step);
                }
                scales[t] = magnitudes;
                if t + 1 == layout.points {
                    break;
                }

                let factor = one / zero.less(magnitudes, magnitudes, one);
                let weight = V::splat(context.options.weights.smoothness) * factor;
                let smoothness = &mut room.smoothness;
                smoothness.update::<1>(room.points.steps(layout, t), weight);
                for k in 0..layout.states {
                    for (block, [a, b]) in [[0, 0], [0, 1], [1, 1]].into_iter().enumerate() {
                        let gram = smoothness.block(k, block);
                        window.add_block(n, [a * p + k * q, b * p + k * q], q, gram);
                    }
                }
                window.factorize::<1>([n, p], 0, |_| 0, &mut pivots);
                pack(&window.rows, n, 0, p, r);
                z.copy_from_slice(&y[..p]);
                solve_transposed::<V, 1>(r, z);
                y.copy_within(p.., 0);
                subtract_transposed_times(&window.rows[p..], n, z, &mut y[..p]);
                y[p..].fill(zero);
                window.advance::<1>([n, p, n], |_| 0);
            }
        }
        let mut first = zero;
        for scale in scales.iter().rev() {
            first = zero.less(*scale, *scale, first);
        }
        for scale in scales {
            *scale = zero.less(*scale, first / *scale, one);
        }
    }
}

/// Raises each lane's magnitude to the power of two below max_j h^j |z_j|, if that is larger; h is
/// the mean step. A value that is not finite, which the solve will report, is passed over.
#[inline(always)]
fn reach<V: Vector>(magnitudes: &mut V, z: &[V], step: V) {
    const EXPONENT_BITS: u64 = f64::INFINITY.to_bits();
    let mut reached = magnitudes.to_array();
    let mut power = V::splat(1.0);
    for z in z {
        let sizes = (*z * power).to_array().map(f64::abs);
        power = power * step;
        for (lane, size) in sizes.into_iter().enumerate() {
            if size > reached[lane] && size.is_finite() {
                reached[lane] = f64::from_bits(size.to_bits() & EXPONENT_BITS);
            }
        }
    }
    *magnitudes = V::from_array(reached);
}
