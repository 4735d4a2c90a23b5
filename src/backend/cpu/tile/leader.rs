//! The factor of a matrix that all systems of a batch share: one tile makes it, all substitute with it.

use super::{Probes, Scratch, Tile, uncertainty};
use crate::backend::cpu::lanes::{LANES, Vector, work};
use crate::backend::cpu::layout::{Context, Layout};
use crate::backend::cpu::staging::TileSystems;
use crate::error::Result;
use crate::memory::zeros;
use crate::options::Options;
use crate::shape::ProblemShape;

/// A factor that all systems of a batch share.
pub struct SharedFactor {
    /// Its numbers, as a [`Layout`] has them.
    pub values: Vec<f64>,
    /// Unknown whose pivot broke down or is not certain, if one is.
    pub broken: Option<usize>,
}

/// The tile that makes the factor. Its lanes hold the first systems of the batch, of which there are enough
/// (see [`Layout::one_matrix`]), and whose right-hand sides do not matter.
pub struct Leader<V> {
    tile: Tile<V>,
    scratch: Scratch<V>,
    /// The factor that was made last.
    pub factor: SharedFactor,
}

impl<V: Vector> Leader<V> {
    /// Allocates the tile and the factor.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &ProblemShape, options: &Options, layout: &Layout) -> Result<Self> {
        let factor =
            SharedFactor { values: zeros("factor", layout.factor_values())?, broken: None };
        Ok(Leader {
            tile: Tile::new(TileSystems::whole(0, LANES), layout)?,
            scratch: Scratch::new(shape, options, layout)?,
            factor,
        })
    }

    /// Returns the number of values, in lanes, of factor and solution.
    pub fn values(&self) -> usize {
        self.tile.values() + self.factor.values.len().div_ceil(LANES)
    }

    /// Makes the factor, and judges its pivots by the probe of the weakest one.
    #[inline(always)]
    fn factorize<const T: usize, const P: usize>(&mut self, context: &Context<'_>) {
        let Leader { tile, scratch, factor, .. } = self;
        let found = tile.eliminate::<T, P>(context, scratch);
        let mut v = std::mem::take(&mut tile.unknowns);
        let Scratch { room, probes: [probe, _], whole, .. } = scratch;
        let mut sweep = sweep!(tile, context, room);
        // The probe goes back beside a solution, which nobody reads here.
        let mut probes = Probes { whole, of: std::slice::from_mut(probe) };
        sweep.back::<T, P>(&mut v, None, &mut probes, &mut |_, _, _| {});
        tile.unknowns = v;
        factor.broken = found.broken(0, uncertainty(context.layout, probe.sum_of_squares()));
        for (value, in_lanes) in factor.values.iter_mut().zip(&tile.factor) {
            *value = in_lanes.lane(0);
        }
    }
}

/// Makes the factor of all systems, whose blocks are computed on in tiles of T; unless P is 0, the layout is plain,
/// and blocks have P unknowns.
pub fn lead<V: Vector, const T: usize, const P: usize>(
    context: &Context<'_>,
    leader: &mut Leader<V>,
) {
    V::run(Lead::<V, T, P> { context, leader });
}

work! {
    Lead<'a; T: usize, P: usize> { context: &'a Context<'a>, leader: &'a mut Leader<V> }
    leader.factorize::<T, P>(context)
}
