//! Probes of how well M determines its unknowns: vectors x = R⁻¹y of which only Σ M_ii x_i² counts, so
//! that no more of one is kept than the substitution backward needs.

use super::Sweep;
use crate::backend::cpu::block::Entry;
use crate::backend::cpu::lanes::Vector;
use crate::backend::cpu::layout::Layout;
use crate::error::Result;
use crate::memory::zeros;

/// A probe x = R⁻¹y, whose blocks are made one after another, backward. What has decayed of it is left
/// out, because only its size counts.
pub struct Probe<V> {
    /// The block that was solved last and those after it, ((w+1)·P).
    pub blocks: Vec<V>,
    /// Values of the border.
    pub border: Vec<V>,
    /// Unknown of the chain in whose place y is one, in each lane; none if it is negative.
    unknown: V,
    /// Σ M_ii x_i² over what is solved. There are four sums, so that an addition need not wait for the
    /// one before.
    sums: [V; 4],
}

/// The probes that go back beside a solution.
pub struct Probes<'a, V> {
    /// Diagonal of M, in the layout of the unknowns.
    pub whole: &'a [V],
    /// The probes, none, one or two.
    pub of: &'a mut [Probe<V>],
}

impl<V> Probes<'_, V> {
    /// Returns no probes.
    pub fn none() -> Self {
        Probes { whole: &[], of: &mut [] }
    }
}

impl<V: Vector> Probe<V> {
    /// Allocates a probe.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(layout: &Layout) -> Result<Self> {
        let border = layout.unknowns() - layout.first_border();
        Ok(Probe {
            blocks: zeros("probe of the factor", (layout.bandwidth + 1) * layout.block)?,
            border: zeros("probe of the factor", border)?,
            unknown: V::default(),
            sums: [V::default(); 4],
        })
    }

    /// Begins with y = 0.
    pub fn clear(&mut self) {
        self.blocks.fill(V::default());
        self.border.fill(V::default());
        self.unknown = V::splat(-1.0);
        // No sum is subnormal where x has decayed, because none begins with zero.
        self.sums = [V::splat(2.0_f64.powi(-900)); 4];
    }

    /// Begins with y = e_k, where `unknown` is the number k of each lane. `solve` solves the border's part of
    /// R x = y in place, and `whole` is the diagonal of M.
    pub fn begin(
        &mut self,
        layout: &Layout,
        unknown: V,
        whole: &[V],
        solve: impl FnOnce(&mut [V]),
    ) {
        self.clear();
        self.unknown = unknown;
        for (lane, unknown) in unknown.to_array().into_iter().enumerate() {
            if let Some(at) = (unknown as usize).checked_sub(layout.first_border()) {
                let mut unit = self.border[at].to_array();
                unit[lane] = 1.0;
                self.border[at] = V::from_array(unit);
            }
        }
        solve(&mut self.border);
        add_squares(&mut self.sums, &self.border, &whole[layout.first_border()..]);
    }

    /// Returns the value of y in the place of an unknown of the chain.
    #[inline(always)]
    fn unit(&self, unknown: usize) -> V {
        let distance = (self.unknown - V::splat(unknown as f64)).abs();
        distance.less(V::splat(0.5), V::splat(1.0), V::default())
    }

    /// Returns block t of y.
    #[inline(always)]
    pub(super) fn unit_block<const P: usize>(&self, t: usize) -> [V; P] {
        let mut block = [V::default(); P];
        for i in 0..P {
            block[i] = self.unit(t * P + i);
        }
        block
    }

    /// Takes a solved block of x, and the diagonal of M there, into account.
    #[inline(always)]
    pub(super) fn finish(&mut self, x: &mut [V], whole: &[V]) {
        for x in &mut *x {
            *x = x.without_remnants();
        }
        add_squares(&mut self.sums, x, whole);
    }

    /// Returns Σ M_ii x_i².
    pub fn sum_of_squares(&self) -> V {
        let [a, b, c, d] = self.sums;
        (a + b) + (c + d)
    }
}

/// Adds M_ii x_i² of some unknowns, whose number i within their block tells in which sum.
#[inline(always)]
fn add_squares<V: Vector>(sums: &mut [V; 4], x: &[V], whole: &[V]) {
    for (x, whole) in x.chunks(4).zip(whole.chunks(4)) {
        for (sum, (x, whole)) in sums.iter_mut().zip(x.iter().zip(whole)) {
            // In this order, x² cannot overflow where M_ii x² does not.
            *sum = sum.plus(*x * *whole, *x);
        }
    }
}

impl<V: Vector> Sweep<'_, V> {
    /// Solves the next block of a probe, t, given its row of R.
    #[inline(always)]
    pub(super) fn probe_block<const T: usize>(
        &mut self,
        layout: &Layout,
        t: usize,
        row: &[impl Entry<V>],
        (probe, whole): (&mut Probe<V>, &[V]),
    ) {
        let p = layout.block;
        let mut blocks = std::mem::take(&mut probe.blocks);
        blocks.copy_within(..layout.bandwidth * p, p);
        let (now, next) = blocks.split_at_mut(p);
        for (i, now) in now.iter_mut().enumerate() {
            *now = probe.unit(t * p + i);
        }
        self.backward_block::<T>(layout, t, row, now, [next, &probe.border]);
        probe.finish(now, &whole[t * p..][..p]);
        probe.blocks = blocks;
    }
}
