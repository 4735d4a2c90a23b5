//! Sweeps over the points of a tile's systems: forward and backward substitution, and the normal
//! residual on the way.

use super::block::{
    Entry, solve_transposed, solve_upper, subtract_times, subtract_transposed_coupling,
    subtract_transposed_times,
};
use super::lanes::{Vector, work};
use super::layout::{Context, Layout, triangle};
use super::points::{Points, initial_rows};
use super::smoothness::{Smoothness, couple, subtract_coupled};
use super::staging::TileSystems;
use crate::error::Result;
use crate::memory::zeros;
use crate::options::{Formulation, Options};
use crate::shape::ProblemShape;
use probe::Probes;
use std::ops::Range;

/// The buffers of a sweep.
pub struct Room<V> {
    /// Data of the points.
    pub points: Points<V>,
    /// Smoothness rows.
    pub smoothness: Smoothness<V>,
    /// Right-hand side in the blocks t .. t+w, ((w+1)·P).
    pub y: Vec<V>,
    /// A block of something, (P).
    block: Vec<V>,
    /// Scaled values of a few points of one state, and a product with them, (4, 3·Q).
    pub scaled: Vec<V>,
    /// A block of a Gram matrix, (Q, Q).
    pub gram: Vec<V>,
}

impl<V: Vector> Room<V> {
    /// Allocates the buffers for problems of this shape.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error) says how much was asked for.
    pub fn new(shape: &ProblemShape, context: (&Options, &Layout)) -> Result<Self> {
        let (options, layout) = context;
        Ok(Room {
            points: Points::new(layout)?,
            smoothness: Smoothness::new(shape, options, layout)?,
            y: zeros("right-hand side", (layout.bandwidth + 1) * layout.block)?,
            block: zeros("right-hand side", layout.block)?,
            scaled: zeros("smoothness rows", 4 * 3 * layout.derivatives)?,
            gram: zeros("smoothness rows", layout.derivatives * layout.derivatives)?,
        })
    }
}

/// The factor of a tile's systems, and all that a sweep over their points needs.
pub struct Sweep<'a, V> {
    /// Problem, options and layout.
    pub context: &'a Context<'a>,
    /// Systems in the lanes.
    pub systems: TileSystems,
    /// Factor R.
    pub factor: Factor<'a, V>,
    /// Factors of the rows that begin at each point, or none where they are 1.
    pub scales: &'a [V],
    /// Buffers.
    pub room: &'a mut Room<V>,
}

/// The factor R of the systems in the lanes.
#[derive(Clone, Copy)]
pub enum Factor<'a, V> {
    /// Each lane has its own.
    Own(&'a [V]),
    /// All systems of the batch have the same.
    Shared(&'a [f64]),
}

/// Computes with the numbers of a factor, whichever they are.
macro_rules! with_numbers {
    ($factor:expr, |$numbers:ident| $compute:expr) => {
        match $factor {
            $crate::backend::cpu::sweep::Factor::Own($numbers) => $compute,
            $crate::backend::cpu::sweep::Factor::Shared($numbers) => $compute,
        }
    };
}
pub(super) use with_numbers;

impl<V: Vector> Sweep<'_, V> {
    /// Solves M x = y, y being `given` or that of the problem. `correction` is room for the unknowns;
    /// `finish` as in [`substitute`](Self::substitute), the result as that of [`forward`](Self::forward).
    #[inline(always)]
    pub fn solve<const T: usize, const P: usize>(
        &mut self,
        given: Option<&[V]>,
        x: &mut [V],
        correction: &mut [V],
        finish: impl FnMut(&mut Self, Range<usize>, &[V]),
    ) -> V {
        let check = self.forward::<T, P>(given, None, x);
        self.border(x);
        self.substitute::<T, P>(given, x, correction, &mut Probes::none(), finish);
        check
    }

    /// Solves Rᵀ v = y − M x for the chain, y being `given` or that of the problem, AᵀW²β + γα e_ε, and x zero
    /// unless there is one; leaves the right-hand side of the border in its place. For that of the problem
    /// alone, which a factorization substitutes on its way, it returns NaN in the lanes whose data are not
    /// finite or whose steps not positive; else zero.
    pub fn forward<const T: usize, const P: usize>(
        &mut self,
        given: Option<&[V]>,
        x: Option<&[V]>,
        v: &mut [V],
    ) -> V {
        let mut check = V::default();
        V::run(Forward::<V, T, P> { sweep: self, given, x, v, check: &mut check });
        check
    }

    #[inline(always)]
    fn forward_inlined<E: Entry<V>, const T: usize, const P: usize>(
        &mut self,
        factor: &[E],
        [given, x]: [Option<&[V]>; 2],
        v: &mut [V],
    ) -> V {
        let layout = &self.context.layout.fixed::<T, P>();
        let (p, chain) = (layout.block, layout.chain);
        self.room.points.begin(self.context, self.systems, self.scales);
        let mut check = V::default();
        if let (1.., Some(given), None) = (P, given, x) {
            self.forward_chain::<_, T, P>(layout, factor, given, v);
            return check;
        }
        let (v, border) = v.split_at_mut(layout.first_border());
        self.room.y.fill(V::default());
        match given {
            Some(given) => border.copy_from_slice(&given[v.len()..]),
            None => border.fill(V::default()),
        }
        if let (None, Some(slack)) = (given, layout.slack) {
            border[slack - v.len()] = V::splat(slack_cost(self.context));
        }
        let of_problem = given.is_none() && x.is_none();
        for range in layout.ranges() {
            if of_problem || x.is_some() {
                self.room.points.load(self.context, self.systems, range.clone());
            }
            if of_problem {
                check += self.room.points.check();
            }
            for t in range {
                if let Some(x) = x {
                    self.add_residual::<T>(layout, t, x, given.is_none(), border);
                } else if of_problem {
                    let Room { points, y, .. } = &mut *self.room;
                    let fixed = &Context { layout, ..*self.context };
                    points.absorb_rhs(fixed, t, V::splat(1.0), &mut y[..p]);
                }
                if t == chain {
                    break;
                }
                let v = &mut v[t * p..][..p];
                self.right_hand_side(t, given, v);
                if layout.opening && t == 0 {
                    border[..p].copy_from_slice(v);
                    self.room.y.copy_within(p.., 0);
                    self.room.y[layout.bandwidth * p..].fill(V::default());
                    continue;
                }
                let row = &factor[t * layout.row_values()..][..layout.row_values()];
                self.forward_block::<T>(layout, t, row, of_problem, [v, border]);
            }
        }
        if layout.closing {
            for (border, y) in border.iter_mut().zip(&self.room.y[..p]) {
                *border += *y;
            }
        } else if chain < layout.points {
            self.right_hand_side(chain, given, &mut v[chain * p..]);
        }
        check
    }

    /// Takes the right-hand side of block t, where the window of y is.
    #[inline(always)]
    fn right_hand_side(&self, t: usize, given: Option<&[V]>, v: &mut [V]) {
        v.copy_from_slice(&self.room.y[..v.len()]);
        if let Some(given) = given {
            add(v, &given[t * v.len()..][..v.len()]);
        }
    }

    /// Solves block t of Rᵀ v = y in place, given its row of R, and moves the window of y on by a block: `kept`
    /// tells whether with the coupling that was [kept](Layout::kept), as a factorization does.
    #[inline(always)]
    fn forward_block<const T: usize>(
        &mut self,
        layout: &Layout,
        t: usize,
        row: &[impl Entry<V>],
        kept: bool,
        [v, border]: [&mut [V]; 2],
    ) {
        let (p, panel, reach) = (layout.block, layout.panel(), layout.bandwidth * layout.block);
        let (r, row) = row.split_at(triangle(p));
        solve_transposed::<V, T>(r, v);
        let coupled = panel - layout.border;
        subtract_transposed_times(&row[coupled..], panel, v, border);
        let y = &mut self.room.y[..reach + p];
        y.copy_within(p.., 0);
        y[reach..].fill(V::default());
        if layout.stored {
            subtract_transposed_times(row, panel, v, &mut y[..reach]);
        } else if kept {
            let coupling = &row[p * panel..];
            subtract_transposed_coupling::<V, T>(coupling, layout.derivatives, v, &mut y[..p]);
        } else if t + 1 < layout.points {
            self.update::<T>(layout, t);
            let Room { smoothness, y, block, .. } = &mut *self.room;
            let block = &mut block[..p];
            block.copy_from_slice(v);
            solve_upper::<V, T>(r, block);
            subtract_coupled(smoothness, layout, block, &mut y[..p]);
        }
    }

    /// Solves the border's part of R x = v in place, before [`backward`](Self::backward).
    #[inline(always)]
    pub fn border_backward(&self, v: &mut [V]) {
        let layout = self.context.layout;
        with_numbers!(self.factor, |factor| {
            solve_upper::<V, 1>(&factor[layout.chain * layout.row_values()..], v);
        });
    }

    /// Solves the border's part of M x = y in place, between [`forward`](Self::forward) and
    /// [`backward`](Self::backward).
    #[inline(always)]
    fn border(&self, x: &mut [V]) {
        let layout = self.context.layout;
        let of_border = &mut x[layout.first_border()..];
        with_numbers!(self.factor, |factor| {
            solve_transposed::<V, 1>(&factor[layout.chain * layout.row_values()..], of_border);
        });
        self.border_backward(of_border);
    }

    /// Solves the blocks of a range of R x = v in place, once the border and the blocks after it are
    /// solved; with the same of probes, so that none waits for another.
    pub fn backward<const T: usize, const P: usize>(
        &mut self,
        range: Range<usize>,
        x: &mut [V],
        probes: &mut Probes<'_, V>,
    ) {
        V::run(Backward::<V, T, P> { sweep: self, range, x, probes });
    }

    #[inline(always)]
    fn backward_inlined<const T: usize, const P: usize>(
        &mut self,
        factor: &[impl Entry<V>],
        range: Range<usize>,
        x: &mut [V],
        probes: &mut Probes<'_, V>,
    ) {
        let layout = &self.context.layout.fixed::<T, P>();
        if P > 0 {
            return self.backward_chain::<_, T, P>(layout, factor, range, x, probes);
        }
        for t in (range.start.max(usize::from(layout.opening))..range.end.min(layout.chain)).rev() {
            if !layout.stored && t + 1 < layout.points {
                self.update::<T>(layout, t);
            }
            let row = &factor[t * layout.row_values()..][..layout.row_values()];
            let (x, border) = x.split_at_mut(layout.first_border());
            let (now, next) = x[t * layout.block..].split_at_mut(layout.block);
            self.backward_block::<T>(layout, t, row, now, [next, border]);
            for probe in &mut *probes.of {
                self.probe_block::<T>(layout, t, row, (probe, probes.whole));
            }
        }
    }

    /// Solves block t of R x = v in place, given its row of R, the blocks after it and the border, with the
    /// smoothness rows at the step from t on.
    #[inline(always)]
    fn backward_block<const T: usize>(
        &mut self,
        layout: &Layout,
        t: usize,
        row: &[impl Entry<V>],
        now: &mut [V],
        [next, border]: [&[V]; 2],
    ) {
        let (p, panel, chain) = (layout.block, layout.panel(), layout.chain);
        let (r, row) = row.split_at(triangle(p));
        subtract_times(&row[panel - layout.border..], panel, border, now);
        if layout.stored {
            let blocks = layout.bandwidth.min(layout.points - 1 - t);
            let inner = blocks.min(chain - 1 - t) * p;
            subtract_times(row, panel, &next[..inner], now);
            if blocks * p > inner {
                // The closing point stands for the block after the chain.
                subtract_times(&row[inner..], panel, &border[..p], now);
            }
        } else if t + 1 < layout.points {
            let next = if layout.closing && t + 1 == chain { &border[..p] } else { &next[..p] };
            let block = &mut self.room.block[..p];
            couple(&self.room.smoothness, layout, next, block);
            solve_transposed::<V, T>(r, block);
            for (now, block) in now.iter_mut().zip(block) {
                *now -= *block;
            }
        }
        solve_upper::<V, T>(r, now);
    }

    /// Finishes the solution of M x = y, where x holds v = R⁻ᵀy and its border is solved: substitutes
    /// backward, refines, and gives `finish` what is complete, range after range backward in time. y
    /// is `given`, or that of the problem. `correction` is room for the unknowns.
    #[inline(always)]
    pub fn substitute<const T: usize, const P: usize>(
        &mut self,
        given: Option<&[V]>,
        x: &mut [V],
        correction: &mut [V],
        probes: &mut Probes<'_, V>,
        mut finish: impl FnMut(&mut Self, Range<usize>, &[V]),
    ) {
        let last = self.context.options.refinement();
        for step in 0..=last {
            let mut finish = |sweep: &mut Self, range: Range<usize>, x: &[V]| {
                if step == last {
                    finish(sweep, range, x);
                }
            };
            if step == 0 {
                self.back::<T, P>(x, None, probes, &mut finish);
            } else {
                self.forward::<T, P>(given, Some(x), correction);
                self.border(correction);
                self.back::<T, P>(x, Some(correction), &mut Probes::none(), &mut finish);
            }
        }
    }

    /// Substitutes backward, with what follows the chain solved already: R x = v in place, or, if
    /// there is a correction, that, which is added to x. Gives `finish` what is complete, range after
    /// range backward in time.
    #[inline(always)]
    pub fn back<const T: usize, const P: usize>(
        &mut self,
        x: &mut [V],
        mut correction: Option<&mut [V]>,
        probes: &mut Probes<'_, V>,
        finish: &mut impl FnMut(&mut Self, Range<usize>, &[V]),
    ) {
        let layout = self.context.layout;
        let (p, chain) = (layout.block, layout.chain);
        if let Some(correction) = &correction {
            add(&mut x[chain * p..], &correction[chain * p..]);
        }
        for range in layout.ranges().rev() {
            match &mut correction {
                None => self.backward::<T, P>(range.clone(), x, probes),
                Some(correction) => {
                    self.backward::<T, P>(range.clone(), correction, &mut Probes::none());
                    let of_chain = range.start * p..range.end.min(chain) * p;
                    add(&mut x[of_chain.clone()], &correction[of_chain]);
                }
            }
            finish(self, range, x);
        }
    }

    /// Brings the smoothness rows to the step from point t on.
    #[inline(always)]
    pub fn update<const T: usize>(&mut self, layout: &Layout, t: usize) {
        let Room { points, smoothness, .. } = &mut *self.room;
        let weight = V::splat(self.context.options.weights.smoothness) * points.point_scale(t);
        smoothness.update::<T>(points.steps(layout, t), weight);
    }

    /// Adds the normal residual AᵀW²(β − Ax) of the rows that begin at point t to y and to the border, β being
    /// that of the problem or zero.
    #[inline(always)]
    fn add_residual<const T: usize>(
        &mut self,
        layout: &Layout,
        t: usize,
        x: &[V],
        of_problem: bool,
        border: &mut [V],
    ) {
        let context = self.context;
        let weights = &context.options.weights;
        let (p, q) = (layout.block, layout.derivatives);
        let Room { points, y, .. } = &mut *self.room;
        let scale = points.scale(context, t, layout.equation_derivatives - 1).value;
        let weight = V::splat(weights.equation) * scale;
        points.make_rows(layout, t, weight);
        let z = &x[t * p..][..p];
        for (row, b) in points.rows.chunks_exact(p).zip(points.rhs(layout, t)) {
            let b = if of_problem { weight * *b } else { V::default() };
            let defect = b - dot(row, z);
            for (y, c) in y.iter_mut().zip(row) {
                *y = y.plus(*c, defect);
            }
        }
        if t < layout.given[0] {
            for (k, j, at) in initial_rows(layout) {
                let weight = points.initial_weight(context, t, j);
                let value = points.initial[t * layout.states * layout.given[1] + at];
                let value = if of_problem { value } else { V::default() };
                let unknown = k * q + j;
                y[unknown] = y[unknown].plus(weight * weight, value - z[unknown]);
            }
        }
        if t == 0 && layout.closing {
            let squared = V::splat(weights.periodic) * V::splat(weights.periodic);
            for unknown in (0..p).filter(|unknown| unknown % q + 1 < q) {
                let defect = x[unknown] - x[layout.first_border() + unknown];
                y[unknown] = y[unknown].minus(squared, defect);
                border[unknown] = border[unknown].plus(squared, defect);
            }
        }
        if t + 1 < layout.points {
            self.update::<T>(layout, t);
        }
        let Room { points, smoothness, y, scaled, .. } = &mut *self.room;
        let weight = V::splat(weights.smoothness) * points.point_scale(t);
        let squared = weight * weight;
        let slack = layout.slack.map_or(V::default(), |slack| x[slack]);
        for (k, span) in layout.spans(t) {
            let (table, powers, _) = smoothness.rows(points, layout, t, k, span);
            let (of_x, along) = scaled.split_at_mut(3 * q);
            let (of_x, along) = (&mut of_x[..span * q], &mut along[..span * q]);
            scale_values(&x[t * p + k * q..], p, powers, of_x);
            along.fill(V::default());
            let [_, sum] = table.apply::<V, T>(of_x, slack, along);
            for (point, along) in along.chunks_exact(q).enumerate() {
                let y = &mut y[point * p + k * q..][..q];
                for j in 0..q {
                    y[j] = y[j].minus(squared * powers[j], along[j]);
                }
            }
            if let Some(slack) = layout.slack {
                let at = slack - layout.first_border();
                border[at] = border[at].minus(squared, sum);
            }
        }
    }
}

work! {
    Forward<'a, 'b; T: usize, P: usize> {
        sweep: &'a mut Sweep<'b, V>,
        given: Option<&'a [V]>,
        x: Option<&'a [V]>,
        v: &'a mut [V],
        check: &'a mut V,
    }
    *check = with_numbers!(sweep.factor, |factor| {
        sweep.forward_inlined::<_, T, P>(factor, [given, x], v)
    })
}

work! {
    Backward<'a, 'b, 'c; T: usize, P: usize> {
        sweep: &'a mut Sweep<'b, V>,
        range: Range<usize>,
        x: &'a mut [V],
        probes: &'a mut Probes<'c, V>,
    }
    with_numbers!(sweep.factor, |factor| {
        sweep.backward_inlined::<T, P>(factor, range, x, probes)
    })
}

/// Computes the values of one state at a few points, `p` apart, times the powers.
#[inline(always)]
pub fn scale_values<V: Vector>(x: &[V], p: usize, powers: &[V], to: &mut [V]) {
    let q = powers.len();
    for (point, to) in to.chunks_exact_mut(q).enumerate() {
        let x = &x[point * p..][..q];
        for j in 0..q {
            to[j] = powers[j] * x[j];
        }
    }
}

/// Computes x += y.
#[inline(always)]
fn add<V: Vector>(x: &mut [V], y: &[V]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += *y;
    }
}

/// Returns a·b, which is made of two sums, so that an addition need not wait for the one before.
#[inline(always)]
pub fn dot<V: Vector>(a: &[V], b: &[V]) -> V {
    let ((a, last_a), (b, last_b)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
    let mut sums = [V::default(); 2];
    for (a, b) in a.iter().zip(b) {
        sums = [sums[0].plus(a[0], b[0]), sums[1].plus(a[1], b[1])];
    }
    for (a, b) in last_a.iter().zip(last_b) {
        sums[0] = sums[0].plus(*a, *b);
    }
    sums[0] + sums[1]
}

/// Returns γα, which the linear cost −γ·α·ε of the slack adds to the line of ε in M (z, ε) = AᵀW²β
/// + γα e_ε.
pub fn slack_cost(context: &Context<'_>) -> f64 {
    match context.options.formulation {
        Formulation::SharedSlack { gamma, alpha } => gamma * alpha,
        Formulation::LeastSquares => 0.0,
    }
}

mod chain;
pub mod probe;
