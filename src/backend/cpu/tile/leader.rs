//! The factor of a matrix that all systems of a batch share: one tile makes it, all substitute with it.

use super::{Probes, Scratch, Tile, uncertainty};
use crate::backend::cpu::lanes::{LANES, Vector, work};
use crate::backend::cpu::layout::{Context, Layout};
use crate::backend::cpu::staging::{Source, TileSystems};
use crate::error::Result;
use crate::inputs::Inputs;
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
    /// Coefficients and steps that it was made of; empty before the first.
    made_of: Vec<f64>,
}

impl<V: Vector> Leader<V> {
    /// Allocates the tile and the factor.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &ProblemShape, options: &Options, layout: &Layout) -> Result<Self> {
        let factor =
            SharedFactor { values: zeros("factor", layout.factor_values())?, broken: None };
        let mut made_of = zeros("coefficients and steps", layout.matrix_values())?;
        made_of.clear();
        Ok(Leader {
            tile: Tile::new(TileSystems::whole(0, LANES), layout)?,
            scratch: Scratch::new(shape, options, layout)?,
            factor,
            made_of,
        })
    }

    /// Returns the number of values, in lanes, of factor and solution, and of what the factor is made of.
    pub fn values(&self) -> usize {
        let own = self.factor.values.len() + self.made_of.capacity();
        self.tile.values() + own.div_ceil(LANES)
    }

    /// Returns whether the factor is that of these coefficients and steps, bit for bit: with the options,
    /// which stay, they are all that it depends on.
    pub fn is_current(&self, inputs: Inputs<Source<'_>>) -> bool {
        let mut made_of = self.made_of.iter();
        let mut is_next = |value: f64| {
            made_of.next().is_some_and(|made_of: &f64| made_of.to_bits() == value.to_bits())
        };
        matrix(inputs).all(|input| input.of_first().all(&mut is_next))
    }

    /// Keeps the coefficients and steps that the factor was made of.
    fn remember(&mut self, inputs: Inputs<Source<'_>>) {
        for input in matrix(inputs) {
            input.of_first().for_each(|value| self.made_of.push(value));
        }
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

/// Returns the inputs that the matrix is made of.
fn matrix<'a>(inputs: Inputs<Source<'a>>) -> impl Iterator<Item = Source<'a>> {
    [inputs.coefficients, inputs.steps].into_iter()
}

/// Makes the factor of all systems, whose blocks are computed on in tiles of T; unless P is 0, the layout is plain,
/// and blocks have P unknowns.
pub fn lead<V: Vector, const T: usize, const P: usize>(
    context: &Context<'_>,
    leader: &mut Leader<V>,
) {
    leader.made_of.clear();
    V::run(Lead::<V, T, P> { context, leader });
    leader.remember(context.inputs);
}

work! {
    Lead<'a; T: usize, P: usize> { context: &'a Context<'a>, leader: &'a mut Leader<V> }
    leader.factorize::<T, P>(context)
}
