//! The matrix that is left over the separators of a system in chunks.

use super::half::{Half, Part, Which};
use crate::backend::cpu::lanes::{LANES, Vector};
use crate::banded::{self, BandedShape, Factor};
use crate::error::Result;
use crate::memory::zeros;
use smallvec::SmallVec;

/// The most parts: two sets of chunks, and the tail.
const MOST_PARTS: usize = 3;

/// The matrix over the separators, the rest of the system being eliminated.
pub struct Separators {
    factor: Factor,
    window: banded::Window,
    /// Right-hand side and solution.
    values: Vec<f64>,
    /// Diagonal of M.
    whole: Vec<f64>,
    /// Share in Σ M_ii x_i² of the probe.
    of_probe: f64,
}

impl Separators {
    /// Allocates the matrix over so many separators.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(count: usize, block: usize) -> Result<Self> {
        let shape = BandedShape { blocks: count, block };
        Ok(Separators {
            window: banded::Window::new(&shape)?,
            factor: Factor::new(shape)?,
            values: zeros("separators", count * block)?,
            whole: zeros("separators", count * block)?,
            of_probe: 0.0,
        })
    }

    /// Factorizes what elimination has left of the parts.
    pub fn factorize<V: Vector>(&mut self, halves: &[Half<V>]) {
        let Separators { factor, window, whole, .. } = self;
        let parts: SmallVec<[&Part<V>; MOST_PARTS]> =
            halves.iter().flat_map(|half| &half.parts).collect();
        let place = |separator: usize| {
            let part = parts[separator / LANES];
            (part, part.scratch.elimination.window(), separator % LANES)
        };
        let (p, last) = (factor.shape().block, factor.shape().blocks - 1);
        factor.factorize(window, |separator, to| {
            let own = &mut whole[separator * p..][..p];
            let (part, left, lane) = place(separator);
            let (n, border) = (part.layout.window(), 2 * p);
            for i in 0..p {
                own[i] = left.whole_entry(n, border + i).lane(lane);
                for j in i..p {
                    to.add(i, j, left.entries[(border + i) * n + border + j].lane(lane));
                }
                if separator < last {
                    for j in 0..p {
                        to.add(i, p + j, left.entries[j * n + border + i].lane(lane));
                    }
                }
                if separator > 0 {
                    let (_, right, lane) = place(separator - 1);
                    own[i] += right.whole_entry(n, i).lane(lane);
                    for j in i..p {
                        to.add(i, j, right.entries[i * n + j].lane(lane));
                    }
                }
            }
        });
    }

    /// Solves the system of the separators, whose right-hand sides forward substitution has left in
    /// a vector of the parts, and writes them there.
    pub fn solve<V: Vector>(&mut self, halves: &mut [Half<V>], which: Which) {
        let p = self.factor.shape().block;
        self.values.fill(0.0);
        for (number, part) in halves.iter_mut().flat_map(|half| &mut half.parts).enumerate() {
            let (layout, lanes) = (part.layout, part.tile.systems.lanes());
            let x = part.vector(which);
            for lane in 0..lanes {
                let separator = number * LANES + lane;
                for i in 0..p {
                    self.values[separator * p + i] += x[layout.first_border() + i].lane(lane);
                    if layout.chain < layout.points {
                        self.values[(separator + 1) * p + i] += x[layout.chain * p + i].lane(lane);
                    }
                }
            }
        }
        self.factor.solve(&mut self.values);
        self.scatter(halves, |part, i, left, right| {
            let layout = part.layout;
            let x = part.vector(which);
            x[i] = left;
            x[layout.first_border() + i] = left;
            if let Some(right) = right {
                x[layout.chain * layout.block + i] = right;
            }
        });
    }

    /// Gives `put` every part, and the values i of the separators before and, if there are any, after its chains.
    fn scatter<V: Vector>(
        &self,
        halves: &mut [Half<V>],
        mut put: impl FnMut(&mut Part<V>, usize, V, Option<V>),
    ) {
        let p = self.factor.shape().block;
        for (number, part) in halves.iter_mut().flat_map(|half| &mut half.parts).enumerate() {
            let chunks = part.layout.chain < part.layout.points;
            for i in 0..p {
                let (mut left, mut right) = ([0.0; LANES], [0.0; LANES]);
                for lane in 0..LANES {
                    let separator = number * LANES + if chunks { lane } else { 0 };
                    left[lane] = self.values[separator * p + i];
                    if chunks {
                        right[lane] = self.values[(separator + 1) * p + i];
                    }
                }
                put(part, i, V::from_array(left), chunks.then(|| V::from_array(right)));
            }
        }
    }

    /// Begins the probe x = R⁻¹e_k for the weakest pivot k among the separators, as in a tile, in the
    /// second probe of each part. Returns the unknown of the system whose pivot broke down, or else, as an
    /// error, that of k. Zero stands for what has decayed: Σ M_ii x_i² is at least one.
    pub fn begin_probe<V: Vector>(
        &mut self,
        halves: &mut [Half<V>],
    ) -> std::result::Result<Option<usize>, usize> {
        let p = self.factor.shape().block;
        let chunk = halves[0].parts[0].layout.begun;
        let unknown = |k: usize| k / p * chunk * p + k % p;
        if let Some(at) = self.factor.breakdown() {
            // Only the other probes are finished; that of the separators is of no account.
            return Ok(Some(unknown(at.block * p + at.pivot)));
        }
        let ratio = |k: usize| self.whole[k] * self.factor.reciprocal(k / p, k % p).powi(2);
        let weaker = |k: usize, other: usize| if ratio(other) > ratio(k) { other } else { k };
        let weakest = (0..self.whole.len()).fold(0, weaker);
        self.values.fill(0.0);
        self.values[weakest] = 1.0;
        self.factor.substitute(&mut self.values);
        for (x, whole) in self.values.iter_mut().zip(&self.whole) {
            if whole * *x * *x < f64::EPSILON.powi(4) {
                *x = 0.0;
            }
        }
        self.of_probe = self.values.iter().zip(&self.whole).map(|(x, whole)| whole * x * x).sum();
        self.scatter(halves, |part, i, left, right| {
            let probe = &mut part.scratch.probes[1];
            probe.border[i] = left;
            if let Some(right) = right {
                probe.blocks[i] = right;
            }
        });
        Err(unknown(weakest))
    }

    /// Returns the share of the separators in Σ M_ii x_i² of their probe.
    pub fn sum_of_squares(&self) -> f64 {
        self.of_probe
    }
}
